"""Numbers that say how good an image is, with the truth and without.

All work on the host in double precision. Complex images count by their magnitude: the
phase of a reflectivity is random and seldom known.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sparsesolve import checks
from sparsesolve.backends import Array, to_numpy
from sparsesolve.operators.grid import Grid
from sparsesolve.profiles import integrated_sidelobe, peak_sidelobe, peak_width
from sparsesolve.spectral_metrics import (
    BandDetection,
    abundance_rmse,
    band_detection,
    guide_correlation,
    match_abundances,
    match_endmembers,
    purity,
    signal_to_reconstruction_error,
    spectral_angle,
    spectral_angles,
)
from sparsesolve.spectral_residual import ReconstructionError, reconstruction_error
from sparsesolve.support_metrics import (
    relative_squared_error,
    support_recovery,
    symbol_error_rate,
)

if TYPE_CHECKING:
    from sparsesolve.problem import Problem

__all__ = [
    "BandDetection",
    "ReconstructionError",
    "abundance_rmse",
    "band_detection",
    "contrast",
    "entropy",
    "guide_correlation",
    "integrated_sidelobe",
    "match_abundances",
    "match_endmembers",
    "nmse",
    "peak_position",
    "peak_sidelobe",
    "peak_width",
    "psnr",
    "purity",
    "reconstruction_error",
    "relative_squared_error",
    "residual_shares",
    "side_energy",
    "signal_to_reconstruction_error",
    "spectral_angle",
    "spectral_angles",
    "ssim",
    "support_recovery",
    "symbol_error_rate",
]

Floats = NDArray[np.float64]

# Wang et al. 2004: a Gaussian window of 1.5 voxels, cut off at 3.5 of them, and the
# two constants, as shares of the data range, that keep flat windows from 0/0.
_SIGMA, _REACH = 1.5, 5
_K1, _K2 = 0.01, 0.03


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


def ssim(x: Array, truth: Array, *, scale: str = "max") -> float:
    """Return the mean structural similarity of an image to the truth, at most 1.

    Means, variances and covariance are taken in a Gaussian window of standard
    deviation 1.5 voxels along every axis; the data range is the truth's maximum. The 5
    outermost voxels, whose windows would leave the image, do not count.

    Parameters
    ----------
    x, truth : arrays of one shape
        Of any number of axes; each has one voxel, which is left out, or 11 and more.
    scale : {"max", "fit", "none"}
        As in `psnr`.

    Raises
    ------
    ValueError
        As `psnr`; also an axis of 2 to 10 voxels, which a window does not fit into.

    References
    ----------
    Wang, Bovik, Sheikh and Simoncelli, "Image quality assessment: from error
    visibility to structural similarity", IEEE Trans. Image Process. 13 (2004) 600-612,
    eq. 13.
    """
    estimate, target = _pair(x, truth)
    a, b = np.squeeze(_scaled(estimate, target, scale)), np.squeeze(target)
    if a.ndim == 0 or min(a.shape) <= 2 * _REACH:
        raise ValueError(
            f"x has shape {estimate.shape}; wanted {2 * _REACH + 1} voxels or more "
            "along each axis that has several, so that the window fits"
        )
    mean_a, mean_b = _smooth(a), _smooth(b)
    var_a, var_b = _smooth(a * a) - mean_a**2, _smooth(b * b) - mean_b**2
    covariance = _smooth(a * b) - mean_a * mean_b
    top = float(np.abs(b).max())
    c1, c2 = (_K1 * top) ** 2, (_K2 * top) ** 2
    local = (2 * mean_a * mean_b + c1) * (2 * covariance + c2)
    local /= (mean_a**2 + mean_b**2 + c1) * (var_a + var_b + c2)
    return float(np.mean(local[(slice(_REACH, -_REACH),) * a.ndim]))


def entropy(x: Array) -> float:
    """Return -Σ p log p with p = |x|²/Σ|x|², nats: the lower the sharper the image."""
    p = _power(x) / np.sum(_power(x))
    p = p[p > 0]
    return abs(float(np.sum(p * np.log(p))))  # and not -0.0


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


def residual_shares(problem: Problem, x: Array) -> tuple[Floats, Floats]:
    """Return ‖Ax - y‖/‖y‖ of every frequency and of every channel.

    Entries whose weight is zero (masked ones) count in neither norm; where nothing was
    measured the share is NaN.

    Parameters
    ----------
    problem : Problem
        Its data have the shape (n_freq, ...channels), as those of `NearFieldMIMO`.
    x : array
        The image, of the shape of the operator's input.

    Returns
    -------
    per_frequency : (n_freq,) array
    per_channel : array of the shape of the remaining data axes
    """
    if problem.batch_shape or problem.loss.y.ndim < 2:
        raise ValueError(
            f"the data of problem have shape {tuple(problem.loss.y.shape)} and batch "
            f"{problem.batch_shape}; wanted one problem with data (n_freq, channels)"
        )
    y = to_numpy(problem.loss.y)
    error = np.abs(to_numpy(problem.A(x)) - y).astype(np.float64) ** 2
    power = np.abs(y).astype(np.float64) ** 2
    weights = getattr(problem.loss, "weights", None)
    if weights is not None:
        used = np.broadcast_to(to_numpy(weights) > 0, y.shape)
        error, power = np.where(used, error, 0), np.where(used, power, 0)
    channels = tuple(range(1, y.ndim))
    return _share(error, power, channels), _share(error, power, (0,))


def _share(error: Floats, power: Floats, axes: tuple[int, ...]) -> Floats:
    total = power.sum(axis=axes)
    measured = np.where(total > 0, total, np.nan)
    return np.asarray(np.sqrt(error.sum(axis=axes) / measured))


def _smooth(x: Floats) -> Floats:
    from scipy.ndimage import gaussian_filter

    return np.asarray(gaussian_filter(x, _SIGMA, radius=_REACH))


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
