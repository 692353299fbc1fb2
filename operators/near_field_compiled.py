"""The near-field kernels on arrays: how the work is cut into parallel pieces."""

from __future__ import annotations

import numpy as np

from sparsesolve.backends import Array
from sparsesolve.operators import near_field_kernels as kernels

# The number of groups of voxels depends on sizes only, so that sums do not depend on
# the number of threads; their partial sums take at most this many numbers.
_GROUPS = 64
_SUMS = 2**22
# A group's partial sums must be cleared and added: with 480 voxels in a group that took
# 7 % of the time of two threads. But at least so many groups, for as many threads.
_VOXELS = 2048
_FEWEST = 8


def forward(
    x: Array, waves: kernels.Waves, blocks: kernels.Blocks, n_freq: int
) -> Array:
    """Return data of shape ``(batch, n_channels, n_freq)`` of one run of frequencies.

    Parameters
    ----------
    x : (batch, voxels) complex array
    waves : tuple
        Tables of the waves at the first frequency and of their changes, (n_antennas,
        voxels), of no voxel if they are to be computed; then the voxels (3, voxels)
        and the antennas (n_antennas, 3), m, float64; and (3,): turns per metre at the
        first frequency and per frequency step, and 1 if waves fall off, else 0.
    blocks : tuple
        ``first``, ``members``, ``edges`` and ``pairs`` of `near_field_waves.Blocks`.
    n_freq : int
    """
    n_batch, n_voxels = x.shape
    n_channels, n_blocks = len(blocks[3]), len(blocks[0]) - 1
    room = _SUMS // max(1, n_batch * n_channels * n_freq)
    wanted = max(_FEWEST, min(_GROUPS, n_voxels // _VOXELS))
    n_groups = max(1, min(-(-wanted // n_blocks), room, n_voxels // 64))
    sums = np.zeros((n_groups, n_batch, n_channels, n_freq), np.complex128)
    kernels.measure_all(x, waves, blocks, sums)
    return np.sum(sums, axis=0)


def adjoint(
    y: Array, waves: kernels.Waves, blocks: kernels.Blocks, n_voxels: int
) -> Array:
    """Return voxels ``(batch, voxels)`` of data ``(batch, n_channels, n_freq)``.

    Arguments as of `forward`. The sum over frequencies is Horner's rule.
    """
    x = np.empty((len(y), n_voxels), y.dtype)
    kernels.image_all(y, waves, blocks, max(1, min(_GROUPS, n_voxels // 64)), x)
    return x
