"""Products along the axes of an array, and the operators that are made of them."""

from __future__ import annotations

import math
from typing import Any

from sparsesolve.backends import Array
from sparsesolve.operators.base import Operator
from sparsesolve.operators.dense import Dense
from sparsesolve.operators.diagonal import Identity
from sparsesolve.operators.kronecker import Kronecker, KroneckerOperators


def kronecker_parts(A: Operator) -> tuple[Any, ...] | None:
    """Return a matrix, or the length of an identity, for each axis; None if not so."""
    if isinstance(A, Kronecker):
        return A.factors
    if isinstance(A, Dense) and len(A.in_shape) == len(A.out_shape) == 1:
        return (A.a,)
    if isinstance(A, Identity):
        return A.in_shape
    if isinstance(A, KroneckerOperators):
        left, right = kronecker_parts(A.left), kronecker_parts(A.right)
        return None if left is None or right is None else left + right
    return None


def mode_product(xp: Any, x: Array, matrix: Array, k: int, n_axes: int) -> Array:
    """Multiply axis `k` of the last `n_axes` by (*batch, m, n) matrices."""
    first = x.ndim - n_axes
    m, n = matrix.shape[-2:]
    batch, shape = x.shape[:first], x.shape[first:]
    before, after = math.prod(shape[:k]), math.prod(shape[k + 1 :])
    new = (*batch, *shape[:k], m, *shape[k + 1 :])
    if after == 1:
        rows = xp.reshape(x, (*batch, before, n))
        return xp.reshape(rows @ xp.matrix_transpose(matrix), new)
    if before == 1:
        return xp.reshape(matrix @ xp.reshape(x, (*batch, n, after)), new)
    blocks = xp.reshape(x, (*batch, before, n, after))
    return xp.reshape(matrix[..., None, :, :] @ blocks, new)
