"""Bounds on every entry, and the value of sets.

Sets are priors of value 0 inside and infinity outside; their prox is the projection,
they have no lam, and `step` does not matter.
"""

from __future__ import annotations

import math
from typing import Any, Self

import numpy as np

from sparsesolve import checks
from sparsesolve.backends import Array, Shape, array_namespace, dtype_of, is_array
from sparsesolve.priors.base import Prior
from sparsesolve.priors.weights import real_like


class NonNegative(Prior):
    """The real arrays with x >= 0.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsesolve.priors import NonNegative
    >>> NonNegative().prox(np.array([3.0, -0.5]), 1.0)
    array([3., 0.])
    """

    separable = True
    keeps_nonnegative = True
    increasing = True
    real_only = True

    def value(self, x: Array) -> Array:
        scale = self.largest(array_namespace(x).abs(x), x)
        return indicator(self.largest(-x, x), scale)

    def prox(self, v: Array, step: Any) -> Array:
        self.refuse_complex(v)
        return array_namespace(v).clip(v, min=0.0)

    def kernel(self) -> Any:
        from sparsesolve.priors import pointwise_kernels

        return pointwise_kernels.clipped, (0.0, math.inf)


class Box(Prior):
    """The real arrays with lower <= x <= upper.

    Parameters
    ----------
    lower, upper : float or array of the unknown's shape
        Bounds, of the unknown's unit; may be infinite.

    Raises
    ------
    ValueError
        A bound is NaN, a lower bound is above its upper one, or the bounds do not fit
        the unknown.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsesolve.priors import Box
    >>> Box(-1.0, 2.0).prox(np.array([3.0, 0.5, -4.0]), 1.0)
    array([ 2. ,  0.5, -1. ])
    """

    separable = True
    real_only = True

    def __init__(self, lower: Any, upper: Any) -> None:
        self.lower = lower if is_array(lower) else float(lower)
        self.upper = upper if is_array(upper) else float(upper)
        if not _all(self.lower <= self.upper):
            raise ValueError(
                f"lower <= upper does not hold everywhere in {self!r}; wanted it to, "
                "and no NaN"
            )
        self.keeps_nonnegative = _all(self.upper >= 0)
        self.increasing = _all(self.lower <= 0)

    def __repr__(self) -> str:
        bounds = (self.lower, self.upper)
        shown = [
            f"{b:g}" if isinstance(b, float) else f"array{b.shape}" for b in bounds
        ]
        return f"Box({', '.join(shown)})"

    def bind(self, x_shape: Shape) -> Self:
        for bound in (self.lower, self.upper):
            if is_array(bound):
                checks.trailing_shape("Box's bound", bound, tuple(x_shape))
        return super().bind(x_shape)

    def value(self, x: Array) -> Array:
        xp = array_namespace(x)
        below = real_like(self.lower, x) - x
        above = x - real_like(self.upper, x)
        scale = self.largest(xp.abs(x), x)
        return indicator(self.largest(xp.maximum(below, above), x), scale)

    def prox(self, v: Array, step: Any) -> Array:
        self.refuse_complex(v)
        xp = array_namespace(v)
        v = xp.clip(v, min=real_like(self.lower, v))
        return xp.clip(v, max=real_like(self.upper, v))

    def kernel(self) -> Any:
        if is_array(self.lower) or is_array(self.upper):
            return super().kernel()
        from sparsesolve.priors import pointwise_kernels

        return pointwise_kernels.clipped, (self.lower, self.upper)


def indicator(violation: Array, scale: Any) -> Array:
    """Return 0 where `violation` is below √eps of the set's `scale`, else infinity.

    √eps allows for the rounding of a projection that was added to and subtracted from.
    """
    xp = array_namespace(violation)
    zero = xp.zeros_like(violation)
    slack = math.sqrt(np.finfo(dtype_of(violation)).eps) * scale
    return xp.where(violation <= slack, zero, zero + xp.inf)


def _all(condition: Any) -> bool:
    if not is_array(condition):
        return bool(condition)
    return bool(array_namespace(condition).all(condition))
