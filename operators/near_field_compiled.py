"""The near-field kernels on arrays: how the work is cut into parallel pieces."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sparsesolve.backends import Array
from sparsesolve.kernels import get_num_threads, njit
from sparsesolve.operators import near_field_kernels as kernels
from sparsesolve.operators.near_field_waves import Blocks, Run

# How voxels are cut into groups depends on sizes only, so that sums do not depend on
# the number of threads. Groups are of whole tiles, and of several in the forward
# product, where each has a sum of its own that must be cleared and added.
_GROUPS = 72
_FEWEST = 8
_TILES = 4
_SUMS = 2**22


@njit(cache=True, error_model="numpy")
def _add(sums: Array, order: Array, first: int, y: Array) -> None:
    """Put the sum over groups into `y`, (batch, frequencies, channels).

    `order` has each channel's place in `y`, `first` is the first frequency's. On one
    thread: threads that must meet once more wait for whoever shares their processors.
    """
    flat = sums.reshape((len(sums), -1))
    for group in range(1, len(flat)):
        for i in range(flat.shape[1]):
            flat[0, i] += flat[group, i]
    for b in range(sums.shape[1]):
        for c in range(sums.shape[2]):
            for k in range(sums.shape[3]):
                y[b, first + k, order[c]] = sums[0, b, c, k]


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
    room = max(1, _SUMS // max(1, n_batch * n_channels * run.length))
    cuts = _cuts(n_voxels, _TILES, min(room, max(1, _GROUPS // n_blocks)))
    shape = (len(cuts) - 1, n_batch, n_channels, run.length)
    sums = np.empty(shape, np.complex128)
    kernels.measure_all(x, waves, blocks[1:], cuts, _counters(), sums)
    _add(sums, blocks.order, run.first, y)


def adjoint(
    y: Array, waves: kernels.Waves, blocks: Blocks, run: Run, n_voxels: int
) -> Array:
    """Return voxels ``(batch, voxels)`` of one run of frequencies of the data `y`.

    Arguments as of `forward`. The sum over frequencies is Horner's rule.
    """
    part = y[:, run.first : run.first + run.length, blocks.order]
    part = np.ascontiguousarray(part.swapaxes(1, 2))
    x = np.empty((len(y), n_voxels), y.dtype)
    cuts = _cuts(n_voxels, 1, _GROUPS)
    kernels.image_all(part, waves, blocks[1:], cuts, _counters(), x)
    return x


def _counters() -> NDArray[np.int64]:
    """Return a zero for each thread."""
    return np.zeros(get_num_threads(), np.int64)


def _cuts(n_voxels: int, tiles: int, most: int) -> NDArray[np.int64]:
    """Return where `most` groups of voxels, or fewer, begin and end.

    Groups of `tiles` tiles or more, and smaller ones at the end, so that threads end
    together; but of few voxels, or where `most` are few, equal ones of any size.
    """
    n_tiles = -(-n_voxels // kernels.TILE)
    if n_tiles < _FEWEST or most < 2 * _FEWEST:
        n_groups = max(1, min(_FEWEST, most, n_voxels // 64))
        return n_voxels * np.arange(n_groups + 1) // n_groups
    tiles = max(tiles, -(-n_tiles // (most - _FEWEST)))  # the end adds so many at most
    ends = [0]
    while left := n_tiles - ends[-1]:
        size = max(-(-left // 6), -(-tiles // 4))
        ends.append(ends[-1] + min(size, tiles, left))
    return n_voxels * np.array(ends) // n_tiles
