"""The simplex."""

from __future__ import annotations

from typing import Any

from sparsesolve.backends import Array, array_namespace
from sparsesolve.priors.base import Prior


class Simplex(Prior):
    """x >= 0 with sum one along `axis`."""

    keeps_nonnegative = True

    def __init__(self, *, axis: int = -1) -> None:
        self.axis = axis

    def value(self, x: Array) -> Array:
        return self.total(x * 0, x)

    def prox(self, v: Array, step: Any) -> Array:
        xp = array_namespace(v)
        axis = self.axis if self.axis < 0 else self.axis - self.item_axes(v)
        moved = xp.moveaxis(v, axis, -1)
        ordered = xp.flip(xp.sort(moved, axis=-1), axis=-1)
        excess = xp.cumulative_sum(ordered, axis=-1) - 1
        count = xp.arange(1, moved.shape[-1] + 1, dtype=moved.dtype)
        theta = xp.max(excess / count, axis=-1, keepdims=True)
        out = moved - theta
        return xp.moveaxis(xp.where(out > 0, out, out * 0), -1, axis)
