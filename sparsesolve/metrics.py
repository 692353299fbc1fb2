"""Numbers that say how good an image is, with the truth and without.

All work on the host in double precision. Complex arrays count by their magnitude: the
phase of a reflectivity is random and seldom known.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sparsesolve import checks
from sparsesolve.backends import Array, to_numpy
from sparsesolve.operators.grid import Grid

__all__ = [
    "contrast",
    "entropy",
    "nmse",
    "peak_position",
    "peak_width",
    "psnr",
    "side_energy",
]

Floats = NDArray[np.float64]


def psnr(x: Array, truth: Array, *, scale: str = "max") -> float:
    """Return 10 log10(max(truth)² / mean((c x - truth)²)) in dB.

    Parameters
    ----------
    x, truth : arrays of one shape
    scale : {"max", "fit", "none"}
        How c is chosen: ``"max"`` gives the estimate the truth's maximum, as published
        radar results have it, so that one hot voxel ruins it; ``"fit"`` takes the
        least-squares c; ``"none"`` takes 1.

    Raises
    ------
    ValueError
        Shapes differ, an entry is not finite, the truth is zero, or another scale.
    """
    estimate, target = _pair(x, truth)
    error = float(np.mean((_scaled(estimate, target, scale) - target) ** 2))
    return _decibel(float(np.max(np.abs(target))) ** 2, error)


def nmse(x: Array, truth: Array, *, scale: str = "fit") -> float:
    """Return 10 log10(‖c x - truth‖² / ‖truth‖²) in dB; `scale` as in `psnr`."""
    estimate, target = _pair(x, truth)
    error = float(np.sum((_scaled(estimate, target, scale) - target) ** 2))
    return _decibel(error, float(np.sum(target**2)))


def entropy(x: Array) -> float:
    """Return -Σ p log p with p = |x|²/Σ|x|², nats: the lower the sharper the image."""
    p = _power(x) / np.sum(_power(x))
    p = p[p > 0]
    return float(-np.sum(p * np.log(p)))


def contrast(x: Array) -> float:
    """Return std(|x|²) / mean(|x|²): the higher the sharper the image."""
    power = _power(x)
    return float(np.std(power) / np.mean(power))


def peak_position(x: Array, grid: Grid) -> Floats:
    """Return the centre of the largest voxel of |x|, (3,) m."""
    power = _on_grid(x, grid)
    index = np.unravel_index(int(np.argmax(power)), power.shape)
    return np.array([axis[i] for axis, i in zip(grid.axes, index, strict=True)])


def side_energy(
    x: Array, grid: Grid, *, center: Any = None, radius: float = 0.015
) -> float:
    """Return energy away from the targets over energy near them, in dB.

    It is -inf where nothing lies away and inf where nothing lies near.

    Parameters
    ----------
    x : array of shape ``grid.shape``
    grid : Grid
    center : (3,) or (n, 3) array_like, m
        Of the targets; by default the image's own peak.
    radius : float, m
        What counts as near: 15 mm by default, about one range cell of a 1.5-4.5 GHz
        scan in tissue.
    """
    power = _on_grid(x, grid)
    targets = peak_position(x, grid) if center is None else np.asarray(center, float)
    checks.positive("radius", radius)
    inside = np.zeros(grid.shape, bool)
    for target in np.atleast_2d(targets):
        inside |= np.linalg.norm(grid.points - target, axis=-1) <= radius
    return _decibel(float(np.sum(power[~inside])), float(np.sum(power[inside])))


def peak_width(profile: Array, positions: Array, *, drop_db: float = 3.0) -> float:
    """Return the width of the largest peak of |profile|, `drop_db` below its top.

    Crossings are interpolated linearly in dB; the unit is that of `positions`.

    Raises
    ------
    ValueError
        The peak does not fall by `drop_db` on both sides within the profile.
    """
    level = np.sqrt(_power(profile))
    where = np.asarray(positions, dtype=np.float64)
    if level.ndim != 1 or where.shape != level.shape:
        raise ValueError(
            f"profile has shape {level.shape} and positions {where.shape}; wanted one "
            "axis of equal length"
        )
    floor = np.finfo(np.float64).tiny
    db = 20 * np.log10(np.maximum(level, floor) / level.max())
    top = int(np.argmax(level))
    ends = []
    for step in (-1, 1):
        i = top
        while 0 <= i < len(db) and db[i] > -drop_db:
            i += step
        if not 0 <= i < len(db):
            raise ValueError(
                f"the peak does not fall by {drop_db:g} dB within the profile; take a "
                "longer one"
            )
        ends.append(
            np.interp(-drop_db, [db[i], db[i - step]], [where[i], where[i - step]])
        )
    return float(abs(ends[1] - ends[0]))


def _values(name: str, x: Array) -> Floats:
    checks.finite(name, x)
    array = to_numpy(x)
    return np.asarray(np.abs(array) if array.dtype.kind == "c" else array, np.float64)


def _power(x: Array) -> Floats:
    power: Floats = _values("x", x) ** 2
    if not power.any():
        raise ValueError("x is zero everywhere; there is nothing to measure")
    return power


def _pair(x: Array, truth: Array) -> tuple[Floats, Floats]:
    estimate, target = _values("x", x), _values("truth", truth)
    if estimate.shape != target.shape:
        raise ValueError(
            f"x has shape {estimate.shape}; wanted {target.shape} like truth"
            f"{checks.swapped(estimate.shape, target.shape)}"
        )
    if not target.any():
        raise ValueError("truth is zero everywhere; wanted something to compare with")
    return estimate, target


def _scaled(estimate: Floats, target: Floats, scale: str) -> Floats:
    if scale not in ("max", "fit", "none"):
        raise ValueError(f"scale is {scale!r}; wanted 'max', 'fit' or 'none'")
    if scale == "none" or not estimate.any():
        return estimate
    if scale == "max":
        return estimate * float(np.abs(target).max() / np.abs(estimate).max())
    return estimate * float(np.sum(estimate * target) / np.sum(estimate**2))


def _on_grid(x: Array, grid: Grid) -> Floats:
    if tuple(x.shape) != grid.shape:
        raise ValueError(
            f"x has shape {tuple(x.shape)}; wanted {grid.shape}, that of the grid"
            f"{checks.swapped(tuple(x.shape), grid.shape)}"
        )
    return _power(x)


def _decibel(numerator: float, denominator: float) -> float:
    if denominator == 0:
        return math.inf
    return 10 * math.log10(numerator / denominator) if numerator > 0 else -math.inf
