"""The near-field kernels on arrays: how the work is cut into parallel pieces."""

from __future__ import annotations

import numpy as np

from sparsesolve.backends import Array
from sparsesolve.kernels import get_num_threads, njit, prange
from sparsesolve.operators import near_field_kernels as kernels
from sparsesolve.operators.near_field_waves import Blocks, Run

# The number of groups of voxels depends on sizes only, so that sums do not depend on
# the number of threads. Groups are of whole tiles (with 1.2 tiles in each, a product
# took a fifth longer), and of two in the forward product, which must add their sums.
_GROUPS = 64
_FEWEST = 8
_SUMS = 2**22


@njit(parallel=True, cache=True, error_model="numpy")
def add_all(sums: Array, order: Array, first: int, y: Array) -> None:
    """Put what `measure_all` found into `y`, (batch, frequencies, channels).

    `order` has each channel's place in `y`, `first` is the first frequency's.
    """
    for c in prange(sums.shape[2]):
        for b in range(sums.shape[1]):
            for k in range(sums.shape[3]):
                found = 0j
                for group in range(sums.shape[0]):
                    found += sums[group, b, c, k]
                y[b, first + k, order[c]] = found


def forward(x: Array, waves: kernels.Waves, blocks: Blocks, run: Run, y: Array) -> None:
    """Put the data of one run of frequencies into `y`.

    Parameters
    ----------
    x : (batch, voxels) complex array
    waves : tuple
        Tables of the waves at the first frequency and of their changes, (n_antennas,
        voxels), of no voxel if they are to be computed; then the voxels (3, voxels)
        and the antennas (n_antennas, 3), m, float64; and (3,): turns per metre at the
        first frequency and per frequency step, and 1 if waves fall off, else 0.
    blocks : Blocks
    run : Run
    y : (batch, all frequencies, n_channels) complex array
    """
    n_batch, n_voxels = x.shape
    n_channels, n_blocks = len(blocks.pairs), len(blocks.first) - 1
    room = _SUMS // max(1, n_batch * n_channels * run.length)
    wanted = -(-_groups(n_voxels, 2) // n_blocks)
    n_groups = max(1, min(wanted, room))
    sums = np.empty((n_groups, n_batch, n_channels, run.length), np.complex128)
    kernels.measure_all(x, waves, blocks[1:], get_num_threads(), sums)
    add_all(sums, blocks.order, run.first, y)


def adjoint(
    y: Array, waves: kernels.Waves, blocks: Blocks, run: Run, n_voxels: int
) -> Array:
    """Return voxels ``(batch, voxels)`` of one run of frequencies of the data `y`.

    Arguments as of `forward`. The sum over frequencies is Horner's rule.
    """
    part = y[:, run.first : run.first + run.length, blocks.order]
    part = np.ascontiguousarray(part.swapaxes(1, 2))
    x = np.empty((len(y), n_voxels), y.dtype)
    n_threads, n_groups = get_num_threads(), _groups(n_voxels, 1)
    kernels.image_all(part, waves, blocks[1:], n_threads, n_groups, x)
    return x


def _groups(n_voxels: int, fewest_tiles: int) -> int:
    """Return into how many groups of whole tiles the voxels are cut."""
    n_tiles = -(-n_voxels // kernels.TILE)
    tiles = max(fewest_tiles, -(-n_tiles // _GROUPS))
    return max(-(-n_tiles // tiles), min(_FEWEST, n_voxels // 64), 1)
