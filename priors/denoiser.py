"""Plug-and-play priors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sparsesolve import checks
from sparsesolve.backends import Array
from sparsesolve.priors.base import Prior


class Denoiser(Prior):
    """Any function ``(array, sigma) -> array`` in the place of a prox."""

    has_value = False
    convex = False
    keeps_nonnegative = True
    ignores_step = True

    def __init__(self, fn: Callable[[Array, float], Array], sigma: float) -> None:
        self.fn, self.sigma = fn, checks.positive("sigma", sigma)

    def value(self, x: Array) -> Array:
        raise TypeError(f"{self!r} has no value")

    def prox(self, v: Array, step: Any) -> Array:
        return self.fn(v, self.sigma)
