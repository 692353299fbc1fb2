"""Credible intervals of Gaussian entries and of their magnitudes."""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import Any

import numpy as np

from sparsesolve import checks

# Beyond it the square root of non-central χ² is normal to 1e-4 of its deviation.
_LARGE = 1e2


def probability(level: float) -> float:
    """Check that `level` is in (0, 1)."""
    if not 0 < checks.positive("level", level) < 1:
        raise ValueError(f"level is {level:g}; wanted a probability below 1")
    return float(level)


def central(level: float) -> float:
    """Half the width of a standard normal variable's central interval."""
    return NormalDist().inv_cdf(0.5 + 0.5 * level)


def magnitude(mean: Any, variance: Any, level: float) -> tuple[Any, Any]:
    """Return the central interval of |x|, entry by entry, in NumPy.

    Parameters
    ----------
    mean : real or complex array
    variance : real array of its shape
        E|x - mean|²; NaN gives NaN.
    level : float

    Notes
    -----
    With k = 2 degrees of freedom for a complex entry and 1 for a real one,
    k|x|²/variance is non-central χ² with non-centrality k|mean|²/variance: |x| is Rice
    distributed, or a folded normal variable.
    """
    known = np.isfinite(variance)
    low, high = (np.full(np.shape(variance), np.nan, variance.dtype) for _ in range(2))
    low[known], high[known] = _known_magnitude(mean[known], variance[known], level)
    return low, high


def _known_magnitude(mean: Any, variance: Any, level: float) -> tuple[Any, Any]:
    k = 2 if np.iscomplexobj(mean) else 1
    scale = np.sqrt(np.asarray(variance, np.float64) / k)
    with np.errstate(divide="ignore", invalid="ignore"):
        centre = np.abs(mean) / scale
    tail = 0.5 - 0.5 * level
    low, high = (_root_quantile(q, k, centre) for q in (tail, 1 - tail))
    return scale * low, scale * high


def _root_quantile(q: float, k: int, centre: Any) -> Any:
    """Quantile of √χ²(k degrees of freedom, non-centrality centre²)."""
    from scipy.special import chndtrix

    large = centre > _LARGE
    near = np.where(large, 1.0, centre)
    exact = np.sqrt(chndtrix(q, k, near**2))
    far = np.where(large, centre, math.inf)
    normal = far + (k - 1) / (2 * far) + NormalDist().inv_cdf(q)
    return np.where(large, normal, exact)
