"""Vertex component analysis: pure pixels by random projections."""

from __future__ import annotations

from typing import Any, Literal, overload

import numpy as np
from numpy.typing import NDArray

from sparsesolve.applications.unmixing_spectra import (
    Floats,
    endmember_count,
    pixel_matrix,
    second_moment,
)
from sparsesolve.applications.unmixing_subspace import Doubles, leading_directions

__all__ = ["vca"]

Indices = NDArray[np.intp]


@overload
def vca(
    spectra: Any,
    n_endmembers: int,
    *,
    rng: int | np.random.Generator = 0,
    snr: float | None = None,
    return_index: Literal[False] = False,
) -> Floats: ...


@overload
def vca(
    spectra: Any,
    n_endmembers: int,
    *,
    rng: int | np.random.Generator = 0,
    snr: float | None = None,
    return_index: Literal[True],
) -> tuple[Floats, Indices]: ...


def vca(
    spectra: Any,
    n_endmembers: int,
    *,
    rng: int | np.random.Generator = 0,
    snr: float | None = None,
    return_index: bool = False,
) -> Floats | tuple[Floats, Indices]:
    """Return the purest pixels, found by vertex component analysis.

    Each step draws a random direction, makes it orthogonal to the endmembers found, and
    takes the pixel that lies farthest along it: a vertex of the simplex. At high
    signal-to-noise the pixels are projected on K dimensions and scaled onto a plane,
    which undoes changes of brightness; below 15 + 10 log₁₀ K dB that would blow up the
    noise of dark pixels, and K - 1 principal components are used instead.

    Parameters
    ----------
    spectra : HyperspectralCube, or array (n_pixels, bands) or (rows, cols, bands)
        See `pixel_matrix`.
    n_endmembers : int
        K >= 2, at most the rank of the spectra.
    rng : int or numpy.random.Generator, default 0
        Seed of the directions. Real scenes give other pixels for other seeds.
    snr : float, dB, optional
        Signal-to-noise ratio; None: estimated from the energy outside of K dimensions.
    return_index : bool
        Whether to return the pixels' row numbers too.

    Returns
    -------
    endmembers : (K, bands) array
        The pixels' spectra, projected on the subspace used, which averages noise out.
    index : (K,) array
        Which pixels they are, rows of `pixel_matrix(spectra)`; if `return_index`.

    Raises
    ------
    TypeError, ValueError
        Unusable spectra, K out of range, or an `snr` that is no number.

    Notes
    -----
    J. M. P. Nascimento and J. M. Bioucas-Dias, IEEE TGRS 43 (2005) 898, fig. 4. Pure
    pixels without noise are found exactly. One product of bands² n_pixels.

    Examples
    --------
    >>> import numpy as np
    >>> generator = np.random.default_rng(0)
    >>> pure = generator.random((3, 50))
    >>> mixed = generator.dirichlet(np.ones(3), 500) @ pure
    >>> found = vca(np.vstack([mixed, pure]), 3, rng=0)
    >>> bool(np.allclose(np.sort(found, axis=0), np.sort(pure, axis=0)))
    True
    """
    pixels = pixel_matrix(spectra)
    moment = second_moment(pixels) / len(pixels)
    count = endmember_count(n_endmembers, pixels, least=2, moment=moment)
    mean = pixels.mean(axis=0, dtype=np.float64)
    if snr is None:
        snr = _signal_to_noise(moment, mean, count)
    elif not isinstance(snr, (int, float, np.number)) or np.isnan(snr):
        raise TypeError(f"snr is {snr!r}; wanted a number of decibels")
    if snr > 15 + 10 * np.log10(count):
        basis = leading_directions(moment, count)[1].astype(pixels.dtype)
        coordinates = pixels @ basis.T
        index = _extremes(_onto_plane(coordinates), np.random.default_rng(rng))
        endmembers = coordinates[index] @ basis
    else:
        covariance = moment - np.outer(mean, mean)
        basis = leading_directions(covariance, count - 1)[1].astype(pixels.dtype)
        centre = mean.astype(pixels.dtype)
        coordinates = pixels @ basis.T - centre @ basis.T
        index = _extremes(_lifted(coordinates), np.random.default_rng(rng))
        endmembers = coordinates[index] @ basis + centre
    return (endmembers, index) if return_index else endmembers


def _signal_to_noise(moment: Doubles, mean: Doubles, count: int) -> float:
    """Return the ratio in dB; the noise inside the subspace is taken off its signal."""
    values = leading_directions(moment - np.outer(mean, mean), 1)[0]
    total = float(np.trace(moment))
    kept = float(values[:count].sum() + mean @ mean)
    # What rounding leaves of noise-free spectra is no noise.
    noise = max(total - kept, 1e-15 * total)
    signal = max(kept - count / len(mean) * total, 1e-15 * total)
    return float(10 * np.log10(signal / noise))


def _onto_plane(coordinates: Floats) -> Floats:
    """Scale pixels onto the plane of unit product with the mean; dead ones to zero."""
    centre = coordinates.mean(axis=0)
    length = coordinates @ centre
    alive = length > 1e-6 * float(centre @ centre)
    scale = np.where(alive, length, 1)
    return np.where(alive[:, None], coordinates / scale[:, None], 0)


def _lifted(coordinates: Floats) -> Floats:
    """Append the largest distance from the mean as one more, constant, coordinate."""
    reach = np.sqrt(np.max(np.sum(coordinates**2, axis=1)))
    return np.hstack([coordinates, np.full_like(coordinates[:, :1], reach)])


def _extremes(points: Floats, rng: np.random.Generator) -> Indices:
    """Return K pixels, each farthest in a direction orthogonal to those before."""
    count = points.shape[1]
    found = np.zeros((count, count))
    found[0, -1] = 1
    index = np.zeros(count, np.intp)
    for i in range(count):
        draw = rng.standard_normal(count)
        # The first spectrum only makes the first direction lie in the plane.
        known = found[: max(i, 1)]
        direction = draw - np.linalg.pinv(known) @ (known @ draw)
        direction /= np.linalg.norm(direction)
        index[i] = np.argmax(np.abs(points @ direction.astype(points.dtype)))
        found[i] = points[index[i]]
    return index
