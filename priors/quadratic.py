"""The squared Euclidean norm."""

from __future__ import annotations

from typing import Any, Self

from sparsesolve import checks
from sparsesolve.backends import Array, Shape, abs_squared, is_array
from sparsesolve.priors import weights as weighting
from sparsesolve.priors.base import Prior
from sparsesolve.priors.weights import real_like


class SquaredL2(Prior):
    """(lam / 2) · Σ wᵢ |xᵢ|²: note the half, so that the prox is v / (1 + lam·step·w).

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
    >>> from sparsesolve.priors import SquaredL2
    >>> SquaredL2(lam=1.0).prox(np.array([3.0, -0.5]), 1.0)
    array([ 1.5 , -0.25])
    """

    separable = True
    keeps_nonnegative = True
    increasing = True

    def __init__(self, lam: Any = 1.0, weights: Array | None = None) -> None:
        self.lam = checks.positive("lam", lam)
        self.weights = weighting.checked(weights)

    def bind(self, x_shape: Shape) -> Self:
        if self.weights is not None:
            checks.trailing_shape("SquaredL2's weights", self.weights, tuple(x_shape))
        return super().bind(x_shape)

    def value(self, x: Array) -> Array:
        terms = weighting.times(abs_squared(x), self.weights)
        return self.lam * self.total(terms, x) / 2

    def prox(self, v: Array, step: Any) -> Array:
        w = self.weight(v, step)
        if self.weights is not None:
            w = w * real_like(self.weights, v)
        return v * (1 / (1 + w))

    def kernel(self) -> Any:
        if self.weights is not None or is_array(self.lam):
            return super().kernel()
        from sparsesolve.priors import pointwise_kernels

        return pointwise_kernels.scaled, (self.lam,)
