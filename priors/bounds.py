"""Bounds on every entry."""

from __future__ import annotations

from typing import Any

from sparsesolve.backends import Array, array_namespace
from sparsesolve.priors.base import Prior


class NonNegative(Prior):
    """x >= 0."""

    separable = True
    keeps_nonnegative = True

    def value(self, x: Array) -> Array:
        xp = array_namespace(x)
        return self.total(xp.where(x < 0, x * 0 + 1e999, x * 0), x)

    def prox(self, v: Array, step: Any) -> Array:
        return array_namespace(v).where(v > 0, v, v * 0)
