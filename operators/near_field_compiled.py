"""The near-field kernels on arrays: how the work is cut into parallel pieces."""

from __future__ import annotations

import numpy as np

from sparsesolve.backends import Array
from sparsesolve.operators import near_field_kernels as kernels
from sparsesolve.operators.near_field_waves import Blocks, Run

# The number of groups of voxels depends on sizes only, so that sums do not depend on
# the number of threads; their partial sums take at most this many numbers.
_GROUPS = 64
_SUMS = 2**22
# A group's partial sums must be cleared and added: with 480 voxels in a group that took
# 7 % of the time of two threads. But at least so many groups, for as many threads.
_VOXELS = 2048
_FEWEST = 8


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
    wanted = max(_FEWEST, min(_GROUPS, n_voxels // _VOXELS))
    n_groups = max(1, min(-(-wanted // n_blocks), room, n_voxels // 64))
    sums = np.empty((n_groups, n_batch, n_channels, run.length), np.complex128)
    kernels.measure_all(x, waves, blocks[1:], sums)
    kernels.add_all(sums, blocks.order, run.first, y)


def adjoint(
    y: Array, waves: kernels.Waves, blocks: Blocks, run: Run, n_voxels: int
) -> Array:
    """Return voxels ``(batch, voxels)`` of one run of frequencies of the data `y`.

    Arguments as of `forward`. The sum over frequencies is Horner's rule.
    """
    part = y[:, run.first : run.first + run.length, blocks.order]
    part = np.ascontiguousarray(part.swapaxes(1, 2))
    x = np.empty((len(y), n_voxels), y.dtype)
    n_groups = max(1, min(_GROUPS, n_voxels // 64))
    kernels.image_all(part, waves, blocks[1:], n_groups, x)
    return x
