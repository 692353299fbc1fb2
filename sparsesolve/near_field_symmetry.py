"""Symmetries of a near-field array and its grid, by which AAᴴ falls into parts.

A measurement and its mirror image see mirrored voxels alike. Even and odd combinations
of the two are then orthogonal for every image: AAᴴ does not mix them, and the voxels on
one side are enough to form it. Designs with two planes of symmetry, such as crosses and
rectangles centred before a grid, need 1/16 of the work.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sparsesolve.backends import to_numpy
from sparsesolve.operators.grid import Grid
from sparsesolve.operators.near_field import NearFieldMIMO

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]

# Rounding of coordinates: what is farther from its image gives other phases.
_ROUNDING = 16 * np.finfo(float).eps


def symmetries(A: NearFieldMIMO) -> list[tuple[Indices, Indices]]:
    """Return where each of some symmetries takes flat data and flat voxels of the grid.

    Reflections, half turns and exchanges of axes about the middle of the grid that
    leave antennas, channels, mask, calibration and region as they are. Each is its own
    inverse, all commute, and none is a product of others.
    """
    found, elements = [], [np.eye(3, dtype=int)]
    for turn in _candidates():
        known = any(np.array_equal(turn, other) for other in elements)
        if known or any(np.any(turn @ other != other @ turn) for other in elements):
            continue
        voxels = _moved_voxels(A.grid, turn)
        if voxels is None:
            continue
        data = _moved_data(A, turn)
        if data is not None:
            found.append((data, voxels))
            elements += [turn @ other for other in elements]
    return found


def _candidates() -> Iterator[NDArray[np.int64]]:
    """Yield signed exchanges of axes that are their own inverse, reflections first."""
    signs = sorted(itertools.product((1, -1), repeat=3), key=lambda s: s.count(-1))
    for order in ((0, 1, 2), (1, 0, 2), (0, 2, 1), (2, 1, 0)):
        for sign in signs:
            turn = np.diag(sign)[:, order]
            if np.array_equal(turn @ turn, np.eye(3)):
                yield turn


def _middle(grid: Grid) -> Floats:
    return np.array([(axis[0] + axis[-1]) / 2 for axis in grid.axes])


def _moved_voxels(grid: Grid, turn: NDArray[np.int64]) -> Indices | None:
    """Return where a turn about its middle takes the voxels of a grid, if to voxels."""
    middle = _middle(grid)
    for i, row in enumerate(turn):
        j = int(np.flatnonzero(row)[0])
        image = np.sort(row[j] * (grid.axes[j] - middle[j])) + middle[i]
        tolerance = _ROUNDING * max(np.max(np.abs(grid.axes[k])) for k in (i, j))
        if image.size != grid.axes[i].size or np.any(
            np.abs(image - grid.axes[i]) > tolerance
        ):
            return None
    # entry v of `moved` is the voxel that v comes from, and as good: turned twice,
    # each is back
    numbers = np.arange(math.prod(grid.shape)).reshape(grid.shape)
    numbers = np.transpose(numbers, np.argmax(np.abs(turn), axis=1))
    reversed_axes = tuple(np.flatnonzero(turn.sum(axis=1) < 0).tolist())
    moved: Indices = np.flip(numbers, reversed_axes).reshape(-1)
    region = grid.region
    if region is not None and np.any(region.reshape(-1) != region.reshape(-1)[moved]):
        return None
    return moved


def _moved_data(A: NearFieldMIMO, turn: NDArray[np.int64]) -> Indices | None:
    """Return where a turn takes flat data, if antennas are taken to antennas."""
    middle = _middle(A.grid)
    tx, rx = (_moved_points(to_numpy(p), turn, middle) for p in (A.tx, A.rx))
    if tx is None or rx is None:
        return None
    channels = _moved_channels(to_numpy(A.channels), tx, rx)
    if channels is None or not all(
        _same(field, A, channels) for field in (A.mask, A.calibration)
    ):
        return None
    n_freq, n_channels = A.out_shape[0], len(channels)
    return (np.arange(n_freq)[:, None] * n_channels + channels).reshape(-1)


def _moved_points(
    points: Floats, turn: NDArray[np.int64], middle: Floats
) -> Indices | None:
    from scipy.spatial import cKDTree

    image = (points - middle) @ turn.T + middle
    tolerance = _ROUNDING * max(np.max(np.abs(image)), np.max(np.abs(points)))
    distance, nearest = cKDTree(points).query(image)
    return None if np.any(distance > tolerance) else np.asarray(nearest)


def _moved_channels(pairs: Indices, tx: Indices, rx: Indices) -> Indices | None:
    codes = pairs[:, 0] * rx.size + pairs[:, 1]
    image = tx[pairs[:, 0]] * rx.size + rx[pairs[:, 1]]
    order = np.argsort(codes)
    places = np.minimum(np.searchsorted(codes, image, sorter=order), codes.size - 1)
    found = order[places]
    if np.any(codes[found] != image) or np.unique(found).size < codes.size:
        return None
    return np.asarray(found)


def _same(field: Any, A: NearFieldMIMO, channels: Indices) -> bool:
    """Whether what is given for each datum is that of its image."""
    if field is None:
        return True
    whole = np.broadcast_to(to_numpy(field), A.out_shape).reshape(A.out_shape[0], -1)
    return bool(np.all(whole == whole[:, channels]))
