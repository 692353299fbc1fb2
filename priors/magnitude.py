"""Priors on magnitudes, phases left free."""

from __future__ import annotations

from typing import Any, Self

from sparsesolve.backends import Array, Shape, array_namespace
from sparsesolve.priors.base import Prior, fresh_copy


class Magnitude(Prior):
    """p(|x|)."""

    keeps_nonnegative = True

    def __init__(self, prior: Prior) -> None:
        self.prior = prior
        self.convex = prior.convex
        self.separable = prior.separable

    @property
    def lam(self) -> Any:
        return self.prior.lam

    def with_lam(self, lam: Any) -> Self:
        new = fresh_copy(self)
        new.prior = self.prior.with_lam(lam)
        return new

    def bind(self, x_shape: Shape) -> Self:
        new = super().bind(x_shape)
        new.prior = self.prior.bind(x_shape)
        return new

    def value(self, x: Array) -> Array:
        return self.prior.value(array_namespace(x).abs(x))

    def prox(self, v: Array, step: Any) -> Array:
        return self.prox_warm(v, step, None)[0]

    def prox_warm(self, v: Array, step: Any, warm: Any) -> tuple[Array, Any]:
        xp = array_namespace(v)
        size = xp.abs(v)
        new, warm = self.prior.prox_warm(size, step, warm)
        new = xp.where(new > 0, new, new * 0)
        return v * (new / xp.where(size > 0, size, size * 0 + 1)), warm

    def critical_lam(self, gradient: Array) -> Array:
        return self.prior.critical_lam(array_namespace(gradient).abs(gradient))
