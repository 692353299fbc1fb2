"""How many dimensions the signal has: HFC, HySime and the elbow plot."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.stats import norm

from sparsesolve import checks
from sparsesolve.applications.unmixing_noise import band_noise
from sparsesolve.applications.unmixing_spectra import (
    Floats,
    pixel_matrix,
    second_moment,
)
from sparsesolve.applications.unmixing_subspace import Doubles, leading_directions

__all__ = ["elbow", "hfc", "hysime"]

# Share of the mean band energy that makes the regression of noise-free bands solvable.
_RIDGE = 1e-9
# The least noise a band is credited with, as a share of the mean signal energy, 50 dB:
# the authors' value, without which quantised data such as Samson fill the subspace.
_LEAST_NOISE = 1e-5


def hfc(spectra: Any, *, false_alarm: float = 1e-3, whiten: bool = False) -> int:
    """Return the virtual dimensionality by Harsanyi, Farrand and Chang's test.

    Noise adds the same to an eigenvalue of the covariance and to that of the
    correlation matrix; a signal with a mean adds more to the latter. The pairs of
    eigenvalues that differ significantly are counted.

    Parameters
    ----------
    spectra : HyperspectralCube, or array (n_pixels, bands) or (rows, cols, bands)
        See `pixel_matrix`. Drop bad bands first.
    false_alarm : float
        Probability, between 0 and 0.5, that noise is taken for signal in one pair.
        Counts for 1e-3 to 1e-5 are usually reported.
    whiten : bool
        Whether to divide each band by its `band_noise` first (NWHFC), as the test
        supposes the same noise in all bands.

    Returns
    -------
    int
        An estimate of the number of distinct signals, often too large on real scenes:
        variability within a material counts. Judge it beside `elbow`.

    Raises
    ------
    TypeError, ValueError
        Unusable spectra, zero or all-equal, or a probability out of range.

    Notes
    -----
    C.-I. Chang and Q. Du, IEEE TGRS 42 (2004) 608, eq. 6-12.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> spectra = rng.dirichlet(np.ones(3), 5000) @ rng.random((3, 40))
    >>> hfc(spectra + 1e-3 * rng.standard_normal(spectra.shape))
    3
    """
    false_alarm = checks.positive_number("false_alarm", false_alarm)
    if false_alarm >= 0.5:
        raise ValueError(f"false_alarm is {false_alarm:g}; wanted it below 0.5")
    pixels = pixel_matrix(spectra)
    _refuse_equal(pixels)
    mean = pixels.mean(axis=0, dtype=np.float64)
    correlation = second_moment(pixels) / len(pixels)
    if whiten:
        noise = band_noise(pixels)
        # A constant band has no noise to compare with.
        scale = np.where(noise > 0, noise, np.inf)
        mean = mean / scale
        correlation = correlation / np.outer(scale, scale)
    covariance = correlation - np.outer(mean, mean)
    r, k = (np.linalg.eigvalsh(matrix)[::-1] for matrix in (correlation, covariance))
    deviation = np.sqrt(2 / len(pixels) * (r**2 + k**2))
    return int(np.sum(r - k > norm.isf(false_alarm) * deviation))


def hysime(spectra: Any) -> tuple[int, Floats]:
    """Return the size and a basis of the signal subspace (HySime).

    Directions of the noise-free moments are kept where leaving them out would lose
    more energy than their noise costs.

    **The size is no number of endmembers**: it counts every direction above the noise,
    those of spectral variability and of structured sensor errors too (43 in Samson,
    which has three materials; 18 in Jasper Ridge, four). Use it to size a subspace.

    Parameters
    ----------
    spectra : HyperspectralCube, or array (n_pixels, bands) or (rows, cols, bands)
        See `pixel_matrix`. More pixels than bands.

    Returns
    -------
    size : int
        Dimension of the subspace.
    basis : (size, bands) array
        Orthonormal rows, the most useful first.

    Raises
    ------
    TypeError, ValueError
        Unusable spectra, zero or all-equal, or fewer pixels than bands.

    Notes
    -----
    J. M. Bioucas-Dias and J. M. P. Nascimento, IEEE TGRS 46 (2008) 2435, eq. 18-20,
    the noise by regression of each band on the others, its moments taken as diagonal,
    and no less than 1e-5 of the mean signal energy.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> spectra = rng.dirichlet(np.ones(3), 5000) @ rng.random((3, 40))
    >>> hysime(spectra + 1e-3 * rng.standard_normal(spectra.shape))[0]
    3
    """
    pixels = pixel_matrix(spectra)
    _refuse_equal(pixels)
    if len(pixels) <= pixels.shape[1]:
        raise ValueError(
            f"spectra holds {len(pixels)} pixels of {pixels.shape[1]} bands; wanted "
            "more pixels than bands, to regress the bands on each other"
        )
    moment = second_moment(pixels) / len(pixels)
    noise, signal = _noise_and_signal(moment)
    basis = leading_directions(signal, len(signal))[1]
    kept = np.einsum("ib,bc,ic->i", basis, moment, basis)
    cost = 2 * np.einsum("ib,b,ib->i", basis, noise, basis) - kept
    order = np.argsort(cost, kind="stable")
    size = int(np.sum(cost < 0))
    return size, basis[order[:size]].astype(pixels.dtype)


def elbow(spectra: Any, *, largest: int = 20) -> Doubles:
    """Return the error of the best subspaces of 1, 2, ... dimensions.

    Where the curve bends from steep to flat, further dimensions hold noise: that
    number is a guess of the endmembers.

    Parameters
    ----------
    spectra : HyperspectralCube, or array (n_pixels, bands) or (rows, cols, bands)
        See `pixel_matrix`.
    largest : int
        The largest dimension; no more than the bands are returned.

    Returns
    -------
    (min(largest, bands),) array
        Root mean square of what each subspace leaves of an entry, in the unit of the
        spectra. Draw it on a logarithmic axis.

    Raises
    ------
    TypeError, ValueError
        Unusable spectra, or `largest` below one.

    Examples
    --------
    >>> import numpy as np
    >>> elbow(np.array([[3.0, 0, 0], [0, 4, 0]])).round(3)
    array([1.225, 0.   , 0.   ])
    """
    largest = checks.positive_int("largest", largest)
    pixels = pixel_matrix(spectra)
    values = leading_directions(second_moment(pixels), 1)[0]
    # Summed from the smallest on: differences of large sums would lose the tail.
    tail = np.append(np.cumsum(values[::-1])[::-1][1:], 0)
    return np.sqrt(tail[:largest] / pixels.size)


def _noise_and_signal(moment: Doubles) -> tuple[Doubles, Doubles]:
    """Return noise variances (bands,) and noise-free moments (bands, bands).

    With P the inverse of the moments and d its diagonal, the residuals of all
    regressions are y P / d, of variance 1 / d, and what they leave is y (1 - P / d).
    """
    floor = _RIDGE * float(np.trace(moment)) / len(moment)
    inverse = np.linalg.inv(moment + floor * np.eye(len(moment)))
    diagonal = np.diag(inverse)
    explain = np.eye(len(moment)) - inverse / diagonal
    signal = explain.T @ moment @ explain
    return 1 / diagonal + _LEAST_NOISE * np.trace(signal) / len(signal), signal


def _refuse_equal(pixels: Floats) -> None:
    if np.all(pixels == pixels[0]):
        raise ValueError(
            "spectra are the same in every pixel; wanted pixels that differ, to tell "
            "signal from noise"
        )
