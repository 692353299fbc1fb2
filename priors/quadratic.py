"""Quadratic priors: small entries."""

from __future__ import annotations

from typing import Any

from sparsesolve import checks
from sparsesolve.backends import Array, abs_squared
from sparsesolve.priors.base import Prior


class SquaredL2(Prior):
    """lam/2 ‖x‖²."""

    separable = True
    keeps_nonnegative = True

    def __init__(self, lam: Any = 1.0) -> None:
        self.lam = checks.positive("lam", lam)

    def value(self, x: Array) -> Array:
        return self.total(0.5 * self.weight(x) * abs_squared(x), x)

    def prox(self, v: Array, step: Any) -> Array:
        return v / (1 + self.weight(v, step))
