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
Turn = NDArray[np.int64]

# Rounding of coordinates: what is farther from its image gives other phases.
_ROUNDING = 16 * np.finfo(float).eps


def symmetries(A: NearFieldMIMO) -> tuple[list[Turn], list[Indices]]:
    """Return turns that array and grid are symmetric under, and what they do to data.

    Reflections, half turns and exchanges of axes about the middle of the grid that
    leave antennas, channels, mask, calibration and region as they are. Each is its own
    inverse, all commute, and none is a product of others.

    Returns
    -------
    turns : list of (3, 3) arrays of int
        All products of them, the identity first.
    images : list of arrays
        Where each of those that are no product takes flat data.
    """
    turns, images = [np.eye(3, dtype=np.int64)], []
    for turn in _candidates():
        known = any(np.array_equal(turn, other) for other in turns)
        if known or any(np.any(turn @ other != other @ turn) for other in turns):
            continue
        image = _moved_data(A, turn) if _fits(A.grid, turn) else None
        if image is not None:
            images.append(image)
            turns += [turn @ other for other in turns]
    return turns, images


def fundamental(grid: Grid, turns: list[Turn]) -> tuple[Indices, Indices]:
    """Return one flat voxel of all that turns take to each other, and their number."""
    numbers = np.arange(math.prod(grid.shape)).reshape(grid.shape)
    chosen = np.ones(grid.shape, bool) if grid.region is None else grid.region.copy()
    staying = np.zeros(grid.shape, np.int8)
    for turn in turns:
        image = _turned(numbers, turn)
        chosen &= image >= numbers
        staying += image == numbers
    return np.flatnonzero(chosen), len(turns) // staying[chosen].astype(np.int64)


def _candidates() -> Iterator[Turn]:
    """Yield signed exchanges of axes that are their own inverse, reflections first."""
    signs = sorted(itertools.product((1, -1), repeat=3), key=lambda s: s.count(-1))
    for order in ((0, 1, 2), (1, 0, 2), (0, 2, 1), (2, 1, 0)):
        for sign in signs:
            turn = np.diag(sign)[:, order]
            if np.array_equal(turn @ turn, np.eye(3)):
                yield turn


def _middle(grid: Grid) -> Floats:
    return np.array([(axis[0] + axis[-1]) / 2 for axis in grid.axes])


def _fits(grid: Grid, turn: Turn) -> bool:
    """Whether a turn about its middle takes voxels of a grid to such."""
    middle = _middle(grid)
    for i, row in enumerate(turn):
        j = int(np.flatnonzero(row)[0])
        image = np.sort(row[j] * (grid.axes[j] - middle[j])) + middle[i]
        tolerance = _ROUNDING * max(np.max(np.abs(grid.axes[k])) for k in (i, j))
        if image.size != grid.axes[i].size or np.any(
            np.abs(image - grid.axes[i]) > tolerance
        ):
            return False
    region = grid.region
    return region is None or np.array_equal(region, _turned(region, turn))


def _turned(volume: NDArray[Any], turn: Turn) -> NDArray[Any]:
    """Return a view of a volume after a turn that is its own inverse."""
    swapped = np.transpose(volume, np.argmax(np.abs(turn), axis=1))
    return np.flip(swapped, tuple(np.flatnonzero(turn.sum(axis=1) < 0).tolist()))


def _moved_data(A: NearFieldMIMO, turn: Turn) -> Indices | None:
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


def _moved_points(points: Floats, turn: Turn, middle: Floats) -> Indices | None:
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
