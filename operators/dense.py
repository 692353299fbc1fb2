"""A matrix as an operator."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from sparsesolve import checks
from sparsesolve.backends import (
    Array,
    array_namespace,
    conj,
    device_of,
    dtype_of,
    is_array,
    is_complex,
    to_device,
)
from sparsesolve.operators.base import Operator


class Dense(Operator):
    """A matrix: A x.

    Parameters
    ----------
    a : (M, N) array, floating point
        Used as it is, without a copy: do not change it afterwards. A real matrix may
        also be applied to complex arrays.

    Raises
    ------
    TypeError, ValueError
        `a` is no array of floating point, not two-dimensional, empty or not finite.

    Examples
    --------
    >>> import numpy as np, sparsesolve as ss
    >>> A = ss.operators.Dense(np.array([[1.0, 2.0], [0.0, 1.0], [3.0, 0.0]]))
    >>> A
    Dense (2,) -> (3,)
    >>> A(np.array([1.0, 1.0]))
    array([3., 1., 3.])
    """

    def __init__(self, a: Array) -> None:
        self.a = checked_matrix("a", a)
        self.in_shape, self.out_shape = (a.shape[1],), (a.shape[0],)
        self.in_dtype = self.out_dtype = dtype_of(a)

    def forward(self, x: Array) -> Array:
        return rows_times(x, array_namespace(self.a).matrix_transpose(self.a))

    def adjoint(self, y: Array) -> Array:
        # Conjugating the vector twice spares a conjugated copy of the matrix.
        return (
            conj(rows_times(conj(y), self.a))
            if is_complex(self.a)
            else (rows_times(y, self.a))
        )

    def columns(self, idx: Sequence[int] | Array) -> Array:
        """Return the columns numbered `idx`, ``(len(idx), M)``: A of unit vectors."""
        idx = to_device(np.asarray(idx), device_of(self.a))
        xp = array_namespace(self.a)
        return xp.matrix_transpose(xp.take(self.a, idx, axis=1))


def checked_matrix(name: str, a: Array) -> Array:
    """Return `a` if it is a finite, non-empty floating-point matrix."""
    if not is_array(a):
        raise TypeError(f"{name} is a {type(a).__name__}; wanted a 2-D array")
    if a.ndim != 2:
        raise ValueError(f"{name} has shape {tuple(a.shape)}; wanted a 2-D array")
    checks.same_precision(name, a, None)
    checks.finite(name, a)
    return a


def rows_times(x: Array, a: Array) -> Array:
    """``x @ a`` for `x` of shape (*batch, n): one product, whatever the batch."""
    if is_complex(x) and not is_complex(a):
        return on_parts(lambda parts: rows_times(parts, a), x)
    xp = array_namespace(x, a)
    if dtype_of(x) != dtype_of(a):
        x = xp.astype(x, a.dtype)
    if x.ndim <= 2:
        return xp.matmul(x, a)
    rows = xp.matmul(xp.reshape(x, (-1, a.shape[0])), a)
    return xp.reshape(rows, (*x.shape[:-1], a.shape[1]))


def on_parts(linear: Callable[[Array], Array], x: Array) -> Array:
    """Apply a real linear map to complex `x`: both parts as one batch of two."""
    xp = array_namespace(x)
    parts = linear(xp.stack([xp.real(x), xp.imag(x)]))
    return xp.astype(parts[0, ...], x.dtype) + 1j * xp.astype(parts[1, ...], x.dtype)
