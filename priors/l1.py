"""Priors with a soft threshold: L1 and the elastic net."""

from __future__ import annotations

from typing import Any, Self

import numpy as np

from sparsesolve import checks
from sparsesolve.backends import (
    Array,
    Shape,
    abs_squared,
    array_namespace,
    device_of,
    is_array,
    is_complex,
    real_dtype,
)
from sparsesolve.priors import weights as weighting
from sparsesolve.priors.base import Prior
from sparsesolve.priors.quadratic import SquaredL2
from sparsesolve.priors.weights import real_like

# From so many entries the compiled threshold is worth loading Numba.
_COMPILED = 1 << 14


class L1(Prior):
    """lam · Σ wᵢ |xᵢ|: the soft threshold; complex entries keep their phase.

    Parameters
    ----------
    lam : float or array of batch shape, default 1
        Regularisation weight.
    weights : array of the unknown's shape, optional
        Non-negative weights wᵢ; default 1. An infinite weight pins an entry at 0.

    Raises
    ------
    ValueError
        `lam` is not positive, a weight is negative or NaN, or the weights do not fit
        the unknown.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsesolve.priors import L1
    >>> L1(lam=1.0).prox(np.array([3.0, -0.5, -2.0]), 1.0)
    array([ 2.,  0., -1.])
    """

    separable = True
    keeps_nonnegative = True
    increasing = True

    def __init__(self, lam: Any = 1.0, weights: Array | None = None) -> None:
        self.lam = checks.positive("lam", lam)
        self.weights = weighting.checked(weights)

    def bind(self, x_shape: Shape) -> Self:
        if self.weights is not None:
            checks.trailing_shape("L1's weights", self.weights, tuple(x_shape))
        return super().bind(x_shape)

    def value(self, x: Array) -> Array:
        terms = weighting.times(array_namespace(x).abs(x), self.weights)
        return self.lam * self.total(terms, x)

    def prox(self, v: Array, step: Any) -> Array:
        threshold = self.weight(v, step)
        if self.weights is not None:
            threshold = threshold * real_like(self.weights, v)
        return soft_threshold(v, threshold)

    def critical_lam(self, gradient: Array) -> Array:
        """Return max |gᵢ| / wᵢ; infinite where an entry without weight has g ≠ 0."""
        sizes = array_namespace(gradient).abs(gradient)
        if self.weights is not None:
            sizes = weighting.quotient(sizes, real_like(self.weights, sizes))
        return self.largest(sizes, gradient)

    def majorise(self, x: Array) -> Prior:
        """Return (lam / 2) Σ (wᵢ / |xᵢ|) |zᵢ|²; entries that are 0 stay 0."""
        sizes = array_namespace(x).abs(x)
        w = array_namespace(x).ones_like(sizes)
        w = w if self.weights is None else w * real_like(self.weights, x)
        return weighting.bound_like(
            SquaredL2(self.lam, weighting.quotient(w, sizes)), self
        )

    def kernel(self) -> Any:
        if self.weights is not None or is_array(self.lam):
            return super().kernel()
        from sparsesolve.priors import pointwise_kernels

        return pointwise_kernels.soft, (self.lam,)


class ElasticNet(Prior):
    """lam · (ratio · ‖x‖₁ + (1 - ratio) · ‖x‖²/2), as in scikit-learn.

    Parameters
    ----------
    lam : float or array of batch shape
        Regularisation weight.
    ratio : float
        Share of the ℓ1 norm, above 0 and at most 1, which is `L1`.

    Raises
    ------
    ValueError
        `lam` is not positive or `ratio` not in (0, 1].

    References
    ----------
    Zou & Hastie, *Regularization and variable selection via the elastic net*, 2005,
    doi:10.1111/j.1467-9868.2005.00503.x.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsesolve.priors import ElasticNet
    >>> ElasticNet(lam=2.0, ratio=0.5).prox(np.array([3.0, -0.5]), 1.0)
    array([1., 0.])
    """

    separable = True
    keeps_nonnegative = True
    increasing = True

    def __init__(self, lam: Any, ratio: float) -> None:
        self.lam = checks.positive("lam", lam)
        self.ratio = float(checks.positive("ratio", ratio))
        if self.ratio > 1:
            raise ValueError(f"ratio is {self.ratio:g}; wanted a number in (0, 1]")

    def value(self, x: Array) -> Array:
        terms = self.ratio * array_namespace(x).abs(x)
        terms = terms + (1 - self.ratio) / 2 * abs_squared(x)
        return self.lam * self.total(terms, x)

    def prox(self, v: Array, step: Any) -> Array:
        w = self.weight(v, step)
        return soft_threshold(v, w * self.ratio) * (1 / (1 + w * (1 - self.ratio)))

    def critical_lam(self, gradient: Array) -> Array:
        """Return max |gᵢ| / ratio."""
        sizes = array_namespace(gradient).abs(gradient)
        return self.largest(sizes, gradient) / self.ratio

    def kernel(self) -> Any:
        if is_array(self.lam):
            return super().kernel()
        from sparsesolve.priors import pointwise_kernels

        return pointwise_kernels.elastic, (self.lam, self.ratio)


def soft_threshold(v: Array, threshold: Any) -> Array:
    """Return v · max(0, 1 - threshold / |v|); the threshold broadcasts to `v`."""
    if device_of(v) == "numpy" and v.size >= _COMPILED:
        return _compiled_threshold(v, threshold)
    xp = array_namespace(v)
    if is_complex(v):
        return v * weighting.shrink_factors(xp.abs(v), threshold)
    return v - xp.clip(v, -threshold, threshold)


def _compiled_threshold(v: Array, threshold: Any) -> Array:
    """Do `soft_threshold` in one pass over memory."""
    from sparsesolve.priors import pointwise_kernels

    real = real_dtype(v.dtype)
    t = np.asarray(threshold, real)
    t = t if t.size == 1 else np.ascontiguousarray(np.broadcast_to(t, v.shape))
    v = np.ascontiguousarray(v)
    out = np.empty_like(v)
    complex_, simple = pointwise_kernels.shrink_complex, pointwise_kernels.shrink_real
    shrink = complex_ if is_complex(v) else simple
    shrink(v.reshape(-1).view(real), t.reshape(-1), out.reshape(-1).view(real))
    return out
