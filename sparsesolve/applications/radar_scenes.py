"""Random scenes for simulated scans: clouds of scatterers that lie off the voxels."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from sparsesolve import checks
from sparsesolve.operators.grid import Floats, Grid

__all__ = ["SCENES", "draw_scene"]

_CENTER = np.array([0, 0, 0.5])
_HALF = 0.1
"""Half the side of the cube around `_CENTER` that every scene stays within, m."""

_FLAT = 0.005
"""Half the thickness of plates and letters, m: no ray slips between scatterers."""

_STROKE = 0.0075
"""Half the width of a letter's stroke, m."""

_FAINT = 0.02
"""Magnitudes below this share of the largest are left out of a cluster."""

# Letters of straight strokes, each a polyline in a box of unit height and width 0.7.
_LETTERS = {
    "A": (((0, 0), (0.35, 1), (0.7, 0)), ((0.14, 0.4), (0.56, 0.4))),
    "E": (((0.7, 0), (0, 0), (0, 1), (0.7, 1)), ((0, 0.5), (0.55, 0.5))),
    "F": (((0, 0), (0, 1), (0.7, 1)), ((0, 0.5), (0.55, 0.5))),
    "H": (((0, 0), (0, 1)), ((0.7, 0), (0.7, 1)), ((0, 0.5), (0.7, 0.5))),
    "K": (((0, 0), (0, 1)), ((0.7, 1), (0, 0.45)), ((0.2, 0.6), (0.7, 0))),
    "L": (((0, 1), (0, 0), (0.7, 0)),),
    "N": (((0, 0), (0, 1), (0.7, 0), (0.7, 1)),),
    "T": (((0, 1), (0.7, 1)), ((0.35, 1), (0.35, 0))),
    "X": (((0, 0), (0.7, 1)), ((0, 1), (0.7, 0))),
    "Y": (((0, 1), (0.35, 0.5), (0.7, 1)), ((0.35, 0.5), (0.35, 0))),
    "Z": (((0, 1), (0.7, 1), (0, 0), (0.7, 0)),),
}

Scatterers = tuple[Floats, NDArray[np.complex128]]


def draw_scene(
    name: str, rng: np.random.Generator, voxels: Grid, *, n_targets: int | None = None
) -> Scatterers:
    """Draw positions (n, 3) in m and complex amplitudes (n,) of a random scene.

    Every scene lies within 0.1 m of (0, 0, 0.5) m along each axis. Other scenes than
    points fill their targets with scatterers on a grid twice finer than `voxels` and
    shifted by a quarter voxel, each moved by up to an eighth of a voxel, so that none
    comes nearer to the centre of a voxel than that. Phases are uniform and independent,
    as those of a rough surface are.

    Parameters
    ----------
    name : str
        One of `SCENES`. ``"points"``: magnitudes 0.5 to 1. ``"plates"``: tilted thin
        rectangles of 40 to 90 mm. ``"letters"``: flat, tilted, 120 mm high, less where
        there are several. ``"extruded"``: tilted solids 20 to 40 mm thick, whose
        outline is an L, a cross, a ring, a triangle or a pentagon. ``"clusters"``:
        random points of a random box blurred to one smooth body, after the reference
        study (Oral and Oktem, IEEE Trans. Comput. Imaging, 2024).
    rng : numpy.random.Generator
    voxels : Grid
        That of the images, uniform.
    n_targets : int, optional
        Points, plates, letters, solids, or blurred points of a cluster; by default 5,
        3, 1, 2 and 15, so many as the reference array can tell apart.

    Raises
    ------
    ValueError
        The name is unknown or `n_targets` is not a positive integer.
    """
    if name not in _FAMILIES:
        raise ValueError(f"scene is {name!r}; wanted one of {', '.join(_FAMILIES)}")
    usual, shape = _FAMILIES[name]
    n = usual if n_targets is None else checks.positive_int("n_targets", n_targets)
    if shape is None:
        return _points(rng, n)
    points = _fine_points(rng, voxels)
    magnitude = shape(rng, points, n)
    used = magnitude > 0
    phase = rng.uniform(0, 2 * np.pi, int(used.sum()))
    return _CENTER + points[used], magnitude[used] * np.exp(1j * phase)


def _points(rng: np.random.Generator, n: int) -> Scatterers:
    positions = _CENTER + rng.uniform(-_HALF, _HALF, (n, 3))
    phase = rng.uniform(0, 2 * np.pi, n)
    return positions, rng.uniform(0.5, 1, n) * np.exp(1j * phase)


def _fine_points(rng: np.random.Generator, voxels: Grid) -> Floats:
    """Return all jittered points of the finer grid, (n, 3) m from `_CENTER`."""
    step = np.array(voxels.spacing) / 2
    first = np.array([axis[0] for axis in voxels.axes]) - _CENTER - step / 2
    low, high = np.ceil((-_HALF - first) / step), np.floor((_HALF - first) / step)
    axes = [
        f + s * np.arange(a, b + 1)
        for f, s, a, b in zip(first, step, low, high, strict=True)
    ]
    points = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
    points += rng.uniform(-0.25, 0.25, points.shape) * step
    inside = np.max(np.abs(points), axis=1) <= _HALF
    return np.asarray(points[inside])


# Each family takes points (n, 3) and returns their magnitudes: 0 outside, at most 1.


def _plates(rng: np.random.Generator, points: Floats, n: int) -> Floats:
    magnitude = np.zeros(len(points))
    for i in range(n):
        half = rng.uniform(0.02, 0.045, 2)
        u, v, w = _own_frame(rng, points, i, n, math.hypot(*half, _FLAT))
        inside = (abs(u) <= half[0]) & (abs(v) <= half[1]) & (abs(w) <= _FLAT)
        _paint(rng, magnitude, inside)
    return magnitude


def _letters(rng: np.random.Generator, points: Floats, n: int) -> Floats:
    magnitude, height = np.zeros(len(points)), 0.12 / math.sqrt(n)
    for i in range(n):
        strokes = _LETTERS[str(rng.choice(sorted(_LETTERS)))]
        radius = height * math.hypot(0.5, 0.35) + _STROKE
        u, v, w = _own_frame(rng, points, i, n, radius)
        place = np.stack([u, v], axis=1) / height + (0.35, 0.5)
        distance = np.min([_from_stroke(place, np.array(s)) for s in strokes], axis=0)
        inside = (height * distance <= _STROKE) & (abs(w) <= _FLAT)
        _paint(rng, magnitude, inside)
    return magnitude


def _extruded(rng: np.random.Generator, points: Floats, n: int) -> Floats:
    magnitude = np.zeros(len(points))
    for i in range(n):
        outline = _OUTLINES[int(rng.integers(len(_OUTLINES)))]
        size, half = rng.uniform(0.04, 0.06), rng.uniform(0.01, 0.02)
        u, v, w = _own_frame(rng, points, i, n, math.hypot(size, half))
        inside = outline(u / size, v / size) & (abs(w) <= half)
        _paint(rng, magnitude, inside)
    return magnitude


def _clusters(rng: np.random.Generator, points: Floats, n: int) -> Floats:
    half = rng.uniform(0.02, 0.06, 3)
    center = rng.uniform(-1, 1, 3) * (0.8 * _HALF - half)
    width = rng.uniform(0.008, 0.014)
    smooth = np.zeros(len(points))
    for bright in center + rng.uniform(-1, 1, (n, 3)) * half:
        smooth += np.exp(-np.sum((points - bright) ** 2, axis=1) / (2 * width**2))
    smooth /= smooth.max()
    # the logistic curve, shifted and scaled to pass through (0, 0) and (1, 1)
    curve = np.tanh(4 * (np.array([0, 1]) - 0.4))
    magnitude = (np.tanh(4 * (smooth - 0.4)) - curve[0]) / (curve[1] - curve[0])
    return np.where(magnitude < _FAINT, 0, magnitude)


def _own_frame(
    rng: np.random.Generator, points: Floats, i: int, n: int, radius: float
) -> Floats:
    """Return the points as target `i` of `n` sees them, (3, points).

    Its own z axis is tilted by up to 40 degrees. Targets follow each other in range,
    where the array resolves best; a ball of `radius` m stays within the scene.
    """
    turn, tilt, back = rng.uniform((0, 0, 0), (360, 40, 360))
    room = 0.95 * _HALF - radius
    center = rng.uniform(-1, 1, 3) * room
    if n > 1:
        center[2] = room * (2 * i / (n - 1) - 1)
    rotation = Rotation.from_euler("ZXZ", (turn, tilt, back), degrees=True)
    frame: Floats = rotation.inv().apply(points - center).T
    return frame


def _paint(
    rng: np.random.Generator, magnitude: Floats, inside: NDArray[np.bool_]
) -> None:
    magnitude[inside] = np.maximum(magnitude[inside], rng.uniform(0.5, 1))


def _from_stroke(place: Floats, corners: Floats) -> Floats:
    """Return the distance of (n, 2) points from a polyline."""
    nearest = np.full(len(place), np.inf)
    for a, b in pairwise(corners):
        along = (place - a) @ (b - a) / np.sum((b - a) ** 2)
        foot = a + np.clip(along, 0, 1)[:, None] * (b - a)
        nearest = np.minimum(nearest, np.linalg.norm(place - foot, axis=1))
    return nearest


# Outlines within the unit circle.


def _ell(u: Floats, v: Floats) -> NDArray[np.bool_]:
    inside: NDArray[np.bool_] = (np.maximum(abs(u), abs(v)) <= 0.7) & (
        np.minimum(u, v) <= -0.2
    )
    return inside


def _cross(u: Floats, v: Floats) -> NDArray[np.bool_]:
    low, high = np.minimum(abs(u), abs(v)), np.maximum(abs(u), abs(v))
    inside: NDArray[np.bool_] = (low <= 0.25) & (high <= 0.95)
    return inside


def _ring(u: Floats, v: Floats) -> NDArray[np.bool_]:
    radius = np.hypot(u, v)
    inside: NDArray[np.bool_] = (radius >= 0.55) & (radius <= 1)
    return inside


def _polygon(corners: int) -> Callable[[Floats, Floats], NDArray[np.bool_]]:
    def outline(u: Floats, v: Floats) -> NDArray[np.bool_]:
        normals = 2 * np.pi * (np.arange(corners) + 0.5) / corners
        reach = np.outer(np.cos(normals), u) + np.outer(np.sin(normals), v)
        inside: NDArray[np.bool_] = reach.max(axis=0) <= np.cos(np.pi / corners)
        return inside

    return outline


_OUTLINES = (_ell, _cross, _ring, _polygon(3), _polygon(5))

_FAMILIES: dict[
    str, tuple[int, Callable[[np.random.Generator, Floats, int], Floats] | None]
] = {
    "points": (5, None),
    "plates": (3, _plates),
    "letters": (1, _letters),
    "extruded": (2, _extruded),
    "clusters": (15, _clusters),
}

SCENES = tuple(_FAMILIES)
"""Names of the families of scenes."""
