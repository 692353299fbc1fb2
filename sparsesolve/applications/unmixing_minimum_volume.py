"""Endmembers where no pixel is pure: the smallest simplex around the spectra."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from scipy.special import expit

from sparsesolve import checks
from sparsesolve.applications.unmixing_pure_pixels import nfindr
from sparsesolve.applications.unmixing_spectra import (
    Floats,
    endmember_count,
    pixel_matrix,
    second_moment,
)
from sparsesolve.applications.unmixing_subspace import Doubles, leading_directions

__all__ = ["sisal"]

# The hinge is smoothed over this share of the noise's deviation, narrow enough to act
# as a hinge. What it then costs on average where only noise crosses a facet, per
# deviation: the mean of log(1 + exp(4 z)) / 4 over a standard normal z.
_SHARP = 0.25
_DEPTH = 0.44
# Widths in abundance at the first, smoothest, stage; its fall per stage; and the least,
# which stands for spectra without noise.
_FIRST, _FALL, _LEAST = 0.05, 0.4, 1e-5
# Relative Newton steps that end the last stage, and those before it.
_SETTLED, _CLOSE = 1e-8, 1e-3
_MAX_STEPS = 200


def sisal(spectra: Any, n_endmembers: int, *, noise: float | None = None) -> Floats:
    """Return the vertices of the smallest simplex that the spectra fit in.

    In the affine subspace of K - 1 principal components, with homogeneous coordinates
    x_n (K,), it minimises over Q (K, K), whose columns sum so that 1ᵀQx = 1,

        -log|det Q| + Σ_k λ_k / n_pixels Σ_n max(0, -(Q x_n)_k),   λ_k = 1 / (0.44 s_k).

    Qx are abundances, the columns of Q⁻¹ the vertices, and -log|det Q| is the logarithm
    of the volume. Facets may leave pixels outside, at a price: with s_k the noise of
    abundance k, as many stay outside as noise pushes there where abundances are spread
    evenly, so that noise does not inflate the simplex.

    Parameters
    ----------
    spectra : HyperspectralCube, or array (n_pixels, bands) or (rows, cols, bands)
        See `pixel_matrix`. Abundances must sum to one, and every facet needs pixels
        that lie on it (pixels without that endmember).
    n_endmembers : int
        K >= 2, at most the rank of the spectra.
    noise : float, optional
        Standard deviation of a band's noise, in the unit of the spectra; None: root
        mean square of what lies outside of the affine subspace. Larger values leave
        more pixels outside, and so make the simplex smaller.

    Returns
    -------
    (K, bands) array
        Endmembers, in the affine subspace; they may have small negative entries.

    Raises
    ------
    TypeError, ValueError
        Unusable spectra, K out of range, or negative noise.

    Notes
    -----
    The objective is that of SISAL (J. M. Bioucas-Dias, WHISPERS 2009), whose weight has
    to be tuned; here it follows from the noise. As in MVSA (J. Li and J. M.
    Bioucas-Dias, IGARSS 2008) it is minimised by a sequence of quadratic models: the
    hinge is smoothed to w log(1 + exp(-a/w)), w falling in stages from 0.05 to s/4, and
    -log|det Q|, which is not convex, is bounded by ‖ΔQ Q⁻¹‖²/2, so that the model falls
    apart into K systems of K unknowns. The start is `nfindr`; deterministic; a local
    minimum. A step costs n_pixels K³.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> pure = rng.random((3, 50))
    >>> shares = rng.dirichlet(np.ones(3), 5000)
    >>> mixed = shares[shares.max(axis=1) < 0.8] @ pure
    >>> bool(abs(np.sort(sisal(mixed, 3), axis=0) - np.sort(pure, axis=0)).max() < 0.02)
    True
    """
    pixels = pixel_matrix(spectra)
    moment = second_moment(pixels) / len(pixels)
    count = endmember_count(n_endmembers, pixels, least=2, moment=moment)
    if noise is not None:
        noise = checks.positive_number("noise", noise, zero=True)
    mean = pixels.mean(axis=0, dtype=np.float64)
    values, basis = leading_directions(moment - np.outer(mean, mean), count - 1)
    if noise is None:
        noise = _outside(values, count)
    # Unit variance in each direction, so that no step length has to be chosen.
    scale = np.sqrt(values[: count - 1])
    project = basis.T / scale
    points = _homogeneous((np.asarray(pixels, np.float64) - mean) @ project)
    purest = np.asarray(nfindr(pixels, count), np.float64)
    start = _homogeneous((purest - mean) @ project)
    Q = np.asarray(np.linalg.inv(start.T), np.float64)
    vertices = np.linalg.inv(_smallest_simplex(points, Q, noise / scale))
    endmembers: Floats = vertices.T[:, :-1] * scale @ basis + mean
    return endmembers.astype(pixels.dtype)


def _outside(values: Doubles, count: int) -> float:
    """Return the noise per band from the variances beyond the first K - 1."""
    return float(np.sqrt(values[count - 1 :].mean()))


def _homogeneous(coordinates: Doubles) -> Doubles:
    return np.hstack([coordinates, np.ones((len(coordinates), 1))])


class _Facets(NamedTuple):
    """How the facets treat pixels beyond them, in units of abundance."""

    width: Doubles  # (K,), over which the hinge is smoothed
    price: Doubles  # (K,), of one unit of abundance, on the mean over the pixels


def _smallest_simplex(points: Doubles, Q: Doubles, noise: Doubles) -> Doubles:
    """Return Q of the smallest; noise (K - 1,) is that of the coordinates."""
    smooth = _FIRST
    spread: Doubles = np.full(len(Q), np.inf)
    last = False
    while not last:
        # A smaller simplex has noisier abundances, which would let it shrink further:
        # the noise may only be corrected downwards.
        found = np.sqrt(np.sum((Q[:, :-1] * noise) ** 2, axis=1))
        spread = np.minimum(spread, found)
        final = np.maximum(_SHARP * spread, _LEAST)
        last = bool(np.all(final >= smooth))
        width = np.maximum(final, smooth)
        # Where the width exceeds the noise, the smoothed hinge alone costs w log 2.
        price = 1 / np.maximum(_DEPTH * spread, np.log(2) * width)
        Q = _stage(points, Q, _Facets(width, price), _SETTLED if last else _CLOSE)
        smooth *= _FALL
    return Q


def _stage(points: Doubles, Q: Doubles, facets: _Facets, tol: float) -> Doubles:
    """Minimise the smoothed objective by Newton steps with a line search."""
    value = _objective(points, Q, facets)
    for _ in range(_MAX_STEPS):
        step, slope = _newton_step(points, Q, facets)
        length = 1.0
        while (found := _objective(points, Q + length * step, facets)) > (
            value + 1e-4 * length * slope
        ):
            length /= 2
            if length < 1e-8:
                return Q
        Q, value = Q + length * step, found
        if np.linalg.norm(step) < tol * np.linalg.norm(Q):
            return Q
    return Q


def _objective(points: Doubles, Q: Doubles, facets: _Facets) -> float:
    outside = np.logaddexp(0, -(points @ Q.T) / facets.width)
    penalty = float(np.mean(outside @ (facets.price * facets.width)))
    return penalty - float(np.linalg.slogdet(Q)[1])


def _newton_step(points: Doubles, Q: Doubles, facets: _Facets) -> tuple[Doubles, float]:
    """Return the step, columns summing to zero, and the objective's slope along it."""
    chance = expit(-(points @ Q.T) / facets.width)
    inverse = np.linalg.inv(Q)
    price = facets.price / len(points)
    gradient = -(chance.T @ points) * price[:, None] - inverse.T
    curvature = chance * (1 - chance) * (price / facets.width)
    moments = [(points * weight[:, None]).T @ points for weight in curvature.T]
    softness = np.linalg.inv(np.stack(moments) + inverse @ inverse.T)
    solved = np.einsum("kij,kj->ki", softness, gradient)
    # The multiplier of the sums: all rows' steps must cancel.
    force = np.linalg.solve(softness.sum(axis=0), solved.sum(axis=0))
    step = softness @ force - solved
    return step, float(np.sum(step * gradient))
