"""The ℓ1 norm: few entries."""

from __future__ import annotations

from typing import Any

from sparsesolve import checks
from sparsesolve.backends import Array, array_namespace, device_of
from sparsesolve.priors.base import Prior


def soft_threshold(v: Array, threshold: Any) -> Array:
    """Shrink |v| by `threshold`, a number or an array broadcastable to `v`."""
    xp = array_namespace(v)
    size = xp.abs(v)
    kept = xp.where(size > threshold, size - threshold, size * 0)
    return v * (kept / xp.where(size > 0, size, size * 0 + 1))


class L1(Prior):
    """lam Σ w |x|."""

    separable = True
    keeps_nonnegative = True

    def __init__(self, lam: Any = 1.0, *, weights: Array | None = None) -> None:
        self.lam = checks.positive("lam", lam)
        self.weights = weights
        if weights is not None:
            checks.finite("weights", weights)

    def value(self, x: Array) -> Array:
        return self.total(self._scaled(self.weight(x)) * array_namespace(x).abs(x), x)

    def prox(self, v: Array, step: Any) -> Array:
        return soft_threshold(v, self._scaled(self.weight(v, step)))

    def critical_lam(self, gradient: Array) -> Array:
        xp = array_namespace(gradient)
        size = xp.abs(gradient)
        if self.weights is not None:
            size = size / self.weights
        n = self.item_axes(gradient)
        return xp.max(size, axis=tuple(range(gradient.ndim - n, gradient.ndim)))

    def _scaled(self, weight: Any) -> Any:
        return weight if self.weights is None else weight * self.weights
