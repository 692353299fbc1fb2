"""Another shape for the same numbers, row-major."""

from __future__ import annotations

import math

from sparsesolve import checks
from sparsesolve.backends import Array, Shape, array_namespace
from sparsesolve.operators.base import Operator


class Reshape(Operator):
    """The same entries in another shape, row-major; any dtype, no copy where possible.

    Parameters
    ----------
    in_shape, out_shape : tuple of int
        Shapes of model and data, of equally many entries.

    Raises
    ------
    ValueError
        The numbers of entries differ.

    Examples
    --------
    >>> import numpy as np, sparsesolve as ss
    >>> A = ss.operators.Dense(np.ones((5, 6))) @ ss.operators.Reshape((2, 3), (6,))
    >>> A(np.ones((2, 3)))
    array([6., 6., 6., 6., 6.])
    """

    def __init__(self, in_shape: Shape, out_shape: Shape) -> None:
        self.in_shape = checks.shape_tuple("in_shape", in_shape)
        self.out_shape = checks.shape_tuple("out_shape", out_shape)
        if math.prod(self.in_shape) != math.prod(self.out_shape):
            raise ValueError(
                f"in_shape {self.in_shape} and out_shape {self.out_shape} have "
                "different numbers of entries"
            )

    def forward(self, x: Array) -> Array:
        return _reshape(x, self.in_shape, self.out_shape)

    def adjoint(self, y: Array) -> Array:
        return _reshape(y, self.out_shape, self.in_shape)

    def norm(self) -> float:
        return 1.0


def _reshape(x: Array, old: Shape, new: Shape) -> Array:
    batch = tuple(x.shape[: x.ndim - len(old)])
    return array_namespace(x).reshape(x, (*batch, *new))
