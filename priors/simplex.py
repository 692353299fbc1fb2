"""The simplex, and the water level that projects onto it."""

from __future__ import annotations

from typing import Any, Self

from sparsesolve import checks
from sparsesolve.backends import Array, Shape, array_namespace, expand
from sparsesolve.priors.base import Prior
from sparsesolve.priors.bounds import indicator
from sparsesolve.priors.weights import real_like


class Simplex(Prior):
    """The real arrays with x >= 0 whose sums along one axis are `total`.

    Parameters
    ----------
    axis : int, default 0
        The axis of one unknown along which entries sum to `total`. With the default
        the columns of a matrix do, as abundances of shape (materials, pixels) must.
    total : float, default 1
        What they sum to, of the unknown's unit.

    Raises
    ------
    ValueError
        `total` is not positive, or the unknown has no such axis.

    References
    ----------
    Duchi, Shalev-Shwartz, Singer & Chandra, *Efficient projections onto the l1-ball*,
    2008, doi:10.1145/1390156.1390191. Cost: one sort along the axis.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsesolve.priors import Simplex
    >>> Simplex().prox(np.array([0.75, 0.75, -3.0]), 1.0)
    array([0.5, 0.5, 0. ])
    """

    keeps_nonnegative = True
    real_only = True

    def __init__(self, *, axis: int = 0, total: float = 1.0) -> None:
        self.axis = axis
        self.sum = float(checks.positive("total", total))

    def bind(self, x_shape: Shape) -> Self:
        if not -len(x_shape) <= self.axis < len(x_shape):
            raise ValueError(
                f"axis is {self.axis}; wanted an axis of an unknown of shape {x_shape}"
            )
        return super().bind(x_shape)

    def value(self, x: Array) -> Array:
        xp = array_namespace(x)
        sums = xp.sum(x, axis=self._axis(x), keepdims=True)
        violation = xp.maximum(xp.abs(sums - self.sum), -x)
        return indicator(self.largest(violation, x), self.sum)

    def prox(self, v: Array, step: Any) -> Array:
        self.refuse_complex(v)
        xp = array_namespace(v)
        v = xp.moveaxis(v, self._axis(v), -1)
        x = xp.clip(v - water_level(v, self.sum), min=0.0)
        return xp.moveaxis(x, -1, self._axis(v))

    def _axis(self, x: Array) -> int:
        return self.axis if self.axis < 0 else self.axis - self.item_axes(x)


def water_level(v: Array, total: Any) -> Array:
    """Return the t with Σ max(v - t, 0) = total over the last axis, which is kept.

    It is the largest of the means (v₁ + ... + v_k - total) / k of sorted entries. Sums
    are taken in float64: long ones of float32 would lose the answer.
    """
    xp = array_namespace(v)
    sums = xp.cumulative_sum(
        xp.astype(xp.sort(v, axis=-1, descending=True), xp.float64), axis=-1
    )
    count = xp.cumulative_sum(xp.ones_like(sums), axis=-1)
    means = (sums - expand(total, 1)) / count
    return real_like(xp.max(means, axis=-1, keepdims=True), v)
