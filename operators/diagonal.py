"""Entry-by-entry operators: a diagonal, and the identity."""

from __future__ import annotations

from sparsesolve import checks
from sparsesolve.backends import (
    Array,
    Shape,
    abs_squared,
    array_namespace,
    conj,
    dtype_of,
)
from sparsesolve.operators.base import Operator


class Diagonal(Operator):
    """Multiplication entry by entry: d x.

    Parameters
    ----------
    d : array, floating point
        Its shape is the shape of model and data. A real `d` may also be applied to
        complex arrays.

    Raises
    ------
    TypeError, ValueError
        `d` is no array of floating point, empty or not finite.
    """

    def __init__(self, d: Array) -> None:
        checks.finite("d", d)
        checks.same_precision("d", d, None)
        self.d = d
        self.in_shape = self.out_shape = tuple(d.shape)
        self.in_dtype = self.out_dtype = dtype_of(d)

    def forward(self, x: Array) -> Array:
        return self.d * x

    def adjoint(self, y: Array) -> Array:
        return conj(self.d) * y

    def gram(self, x: Array) -> Array:
        return abs_squared(self.d) * x

    def norm(self) -> float:
        xp = array_namespace(self.d)
        return float(xp.max(xp.abs(self.d)))


class Identity(Operator):
    """The identity on arrays of `shape`, any precision, any device.

    Parameters
    ----------
    shape : tuple of int
        Shape of model and data.
    """

    def __init__(self, shape: Shape) -> None:
        self.in_shape = self.out_shape = checks.shape_tuple("shape", shape)

    def forward(self, x: Array) -> Array:
        return x

    def adjoint(self, y: Array) -> Array:
        return y

    def norm(self) -> float:
        return 1.0
