"""The noise of each band, and the bands that hold little else."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sparsesolve import checks
from sparsesolve.applications.unmixing_spectra import (
    Floats,
    pixel_matrix,
    second_moment,
)
from sparsesolve.backends import Array, to_numpy
from sparsesolve.cube import HyperspectralCube

__all__ = ["band_noise", "screen_bands"]

Bools = NDArray[np.bool_]
Doubles = NDArray[np.float64]

# Keeps the regression on bands without noise, whose correlations are singular,
# solvable; unexplained shares of variance below it mean nothing.
_RIDGE = 1e-10
# Where all bands are alike, a spread of this share of the median counts as usual.
_LEAST_SPREAD = 0.2
# A band of which the others explain less than 1 % is bad in the noisiest scene too.
_NOTHING = np.sqrt(0.99)


def band_noise(spectra: Any, *, good_bands: Array | None = None) -> Floats:
    """Return the noise of each band: what the other bands cannot explain of it.

    In a scene of few materials each band is nearly a linear function of the others.
    Every band is regressed, with an intercept, on all other good bands, and the root
    mean square of the residual, corrected for the number of predictors, is its noise.

    Parameters
    ----------
    spectra : HyperspectralCube, or array (n_pixels, bands) or (rows, cols, bands)
        More varying pixels than bands; see `pixel_matrix`.
    good_bands : (bands,) bool array, optional
        Which bands may explain others, say from `screen_bands`; None: all. A corrupted
        band among them does little harm to the others' noise, but two bands corrupted
        alike explain each other.

    Returns
    -------
    (bands,) array
        Standard deviations, in the unit of the spectra; 0 for a constant band.

    Raises
    ------
    TypeError, ValueError
        Unusable spectra, no band that varies, too few pixels, or `good_bands` of
        another shape.

    Notes
    -----
    The regression is that of J. M. Bioucas-Dias and J. M. P. Nascimento, IEEE TGRS 46
    (2008) 2435, sec. III-A, here with an intercept. One product of bands² n_pixels.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> spectra = rng.random((2000, 3)) @ rng.random((3, 40))
    >>> noisy = spectra + 0.01 * rng.standard_normal((2000, 40))
    >>> bool(abs(band_noise(noisy) / 0.01 - 1).max() < 0.15)
    True
    """
    pixels = pixel_matrix(spectra)
    bands = pixels.shape[1]
    good = np.ones(bands, bool) if good_bands is None else to_numpy(good_bands)
    if good.shape != (bands,) or good.dtype != bool:
        raise ValueError(
            f"good_bands is {good.dtype} {good.shape}; wanted bool ({bands},)"
        )
    correlation, deviation = _correlation(pixels)
    predictors = good & (deviation > 0)
    ratio = _unexplained(correlation, predictors, len(pixels))
    return (deviation * ratio).astype(pixels.dtype)


def screen_bands(
    spectra: Any, *, threshold: float = 3.5, least_ratio: float = 0.3
) -> Bools:
    """Return which bands hold signal, by a robust z-score of their noise-to-signal.

    A band's noise-to-signal is its noise (`band_noise`) over its standard deviation.
    Bands replaced by noise, by other pixels' values, by a drift or a constant cannot
    be explained by the good bands, whatever their scale; but they may explain each
    other. So the good bands grow from a core, the third of the bands that correlate
    most: those that it explains join it and help to explain, until none is left that
    they explain.

    Parameters
    ----------
    spectra : HyperspectralCube, or array (n_pixels, bands) or (rows, cols, bands)
        Raw: unit-norm pixels spread a corrupted band over all others. Fewer than a
        third of the bands may be corrupted in the same way.
    threshold : float
        z = (ratio - median) / (1.4826 × median absolute deviation) over the good bands,
        up to which a band joins. 3.5 is the usual choice (Iglewicz and Hoaglin, 1993).
    least_ratio : float
        Below this noise-to-signal a band joins whatever its z: 0.3 (10 dB) leaves the
        weak bands at the edges of a clean sensor alone.

    Returns
    -------
    (bands,) bool array
        True for good bands. Bands in which all pixels look alike, but for noise, are
        bad: they tell nothing of abundances.

    Raises
    ------
    TypeError, ValueError
        Unusable spectra, no band that varies, or too few pixels.

    Notes
    -----
    On Samson nothing is flagged, on Jasper Ridge the first band alone, 71 % of whose
    standard deviation is noise. Noise of 20 dB added to all bands hides the weak ones:
    then the 77 of Samson's shortest wavelengths are flagged too.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> spectra = rng.random((2000, 3)) @ rng.random((3, 40))
    >>> spectra[:, 7] = rng.random(2000)
    >>> np.flatnonzero(~screen_bands(spectra))
    array([7])
    """
    threshold = checks.positive_number("threshold", threshold)
    least_ratio = checks.positive_number("least_ratio", least_ratio, zero=True)
    pixels = pixel_matrix(spectra)
    correlation, deviation = _correlation(pixels)
    varies = deviation > 0
    good = _core(correlation, varies)
    before = 0
    while before < good.sum():
        before = int(good.sum())
        ratio = _unexplained(correlation, good, len(pixels))
        limit = max(_usual(ratio[good], threshold), least_ratio)
        good = good | (varies & (ratio <= min(limit, _NOTHING)))
    return good


def screened(cube: HyperspectralCube) -> HyperspectralCube:
    """Return the cube with the bands that `screen_bands` flags marked as not good.

    For what looks at every good band: the elbow, errors, unmixing by a library.

    Parameters
    ----------
    cube : HyperspectralCube

    Returns
    -------
    HyperspectralCube
        With one of its `steps` more, if any band was flagged.

    Raises
    ------
    TypeError, ValueError
        It is no cube, or `screen_bands` cannot judge it.
    """
    if not isinstance(cube, HyperspectralCube):
        raise TypeError(f"cube is a {type(cube).__name__}; wanted a HyperspectralCube")
    kept = screen_bands(cube)
    if kept.all():
        return cube
    good = cube.good_bands.copy()
    good[good] = kept
    step = f"screening: {int(np.sum(~kept))} of {len(kept)} good bands hold no signal"
    return dataclasses.replace(cube, good_bands=good, steps=(*cube.steps, step))


def _correlation(pixels: Floats) -> tuple[Doubles, Doubles]:
    """Return the bands' correlations, zero for constant ones, and deviations."""
    n = len(pixels)
    if n < 2:
        raise ValueError("spectra holds one pixel; wanted many, to compare bands")
    mean = pixels.mean(axis=0, dtype=np.float64)
    # Centred first: the mean of a bright constant band would swamp its variance.
    covariance = second_moment(pixels, centre=mean) / n
    deviation = np.sqrt(np.diag(covariance))
    rounding = float(np.finfo(pixels.dtype).eps) * np.abs(pixels).max(axis=0)
    deviation = np.where(deviation > 4 * rounding, deviation, 0)
    if not deviation.any():
        raise ValueError(
            "spectra are the same in every pixel; wanted pixels that differ, to tell "
            "signal from noise"
        )
    scale = np.where(deviation > 0, deviation, np.inf)
    return covariance / np.outer(scale, scale), deviation


def _unexplained(correlation: Doubles, predictors: Bools, n: int) -> Doubles:
    """Return for each band the share of its deviation that predictors leave over.

    A predictor is regressed on the others: 1 / (R⁻¹)_bb of the correlations R.
    """
    index = np.flatnonzero(predictors)
    if n <= len(index) + 1:
        raise ValueError(
            f"spectra holds {n} pixels to regress {len(index)} bands on each other; "
            "wanted more than two pixels above that: use more pixels or fewer bands"
        )
    inverse = np.linalg.inv(
        correlation[np.ix_(index, index)] + _RIDGE * np.eye(len(index))
    )
    cross = correlation[:, index]
    share = np.diag(correlation) - np.einsum("bi,ij,bj->b", cross, inverse, cross)
    share[index] = 1 / np.diag(inverse)
    freedom = (n - 1) / (n - 1 - len(index))
    ratio: Doubles = np.sqrt(np.clip(share * freedom, 0, 1))
    return ratio


def _core(correlation: Doubles, varies: Bools) -> Bools:
    """Return the first single-linkage cluster to hold over a third of the bands."""
    strength = np.abs(correlation)
    group = np.arange(len(strength))
    first, second = np.triu_indices(len(strength), 1)
    wanted = int(np.sum(varies)) // 3 + 1
    for pair in np.argsort(-strength[first, second], kind="stable"):
        one, other = group[first[pair]], group[second[pair]]
        if one == other:
            continue
        group[group == other] = one
        members: Bools = (group == one) & varies
        if members.sum() >= wanted:
            return members
    return varies


def _usual(ratio: Doubles, threshold: float) -> float:
    """Return the ratio at which the robust z-score reaches the threshold."""
    centre = float(np.median(ratio))
    spread = 1.4826 * float(np.median(np.abs(ratio - centre)))
    return centre + threshold * max(spread, _LEAST_SPREAD * centre)
