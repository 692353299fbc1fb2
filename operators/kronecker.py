"""Kronecker products of matrices, and of general operators."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property

import numpy as np

from sparsesolve.backends import (
    Array,
    Shape,
    array_namespace,
    conj,
    device_of,
    dtype_of,
    is_complex,
    native_dtype,
    to_device,
)
from sparsesolve.operators.base import Operator, common_dtype
from sparsesolve.operators.dense import Dense, checked_matrix, on_parts

# A matrix, its transpose, and how many entries one step along its axis skips.
Step = tuple[Array, Array, int]

# Below this many columns, one product of a transposed copy beats a batch of products.
_NARROW = 5


class Kronecker(Operator):
    """A₁ ⊗ A₂ ⊗ ... ⊗ Aₙ of matrices: X ×₁ A₁ ×₂ A₂ ... ×ₙ Aₙ.

    ``X`` has shape (N₁, ..., Nₙ), so that for two factors the result is A₁ X A₂ᵀ.
    The modes are multiplied in the order that costs the fewest operations.

    Parameters
    ----------
    *factors : (Mₖ, Nₖ) arrays
        Used without a copy. If some are complex, the real ones become complex; if all
        are real, they may also be applied to complex arrays.

    Raises
    ------
    TypeError, ValueError
        A factor is no finite floating-point matrix, or precisions or devices differ.

    Notes
    -----
    Applying mode i before mode j is cheaper exactly if 1/Nᵢ − 1/Mᵢ < 1/Nⱼ − 1/Mⱼ (the
    costs of both orders, divided by the sizes they share), so sorting by that key is
    optimal. The adjoint keeps conjugated copies of complex factors: their entries are
    few beside the data's.

    Examples
    --------
    >>> import numpy as np, sparsesolve as ss
    >>> A = ss.operators.Kronecker(np.ones((3, 2)), np.eye(4))
    >>> A
    Kronecker (2, 4) -> (3, 4)
    """

    def __init__(self, *factors: Array) -> None:
        if not factors:
            raise ValueError("Kronecker got no factors; wanted at least one matrix")
        for k, a in enumerate(factors):
            checked_matrix(f"factor {k}", a)
        devices = sorted({device_of(a) for a in factors})
        if len(devices) > 1:
            raise TypeError(
                f"Kronecker got factors on {' and '.join(devices)}; move them to one "
                "device with sparsesolve.backends.to_device"
            )
        dtype = common_dtype(*(dtype_of(a) for a in factors))
        xp = array_namespace(*factors)
        native = native_dtype(xp, dtype)
        self.factors = tuple(xp.astype(a, native, copy=False) for a in factors)
        self.in_shape = tuple(a.shape[1] for a in factors)
        self.out_shape = tuple(a.shape[0] for a in factors)
        self.in_dtype = self.out_dtype = dtype

    @cached_property
    def _forward_steps(self) -> tuple[Step, ...]:
        return _steps(self.factors)

    @cached_property
    def _adjoint_steps(self) -> tuple[Step, ...]:
        xp = array_namespace(*self.factors)
        return _steps(tuple(xp.matrix_transpose(conj(a)) for a in self.factors))

    def forward(self, x: Array) -> Array:
        return _multiply_modes(self._forward_steps, x, self.out_shape)

    def adjoint(self, y: Array) -> Array:
        return _multiply_modes(self._adjoint_steps, y, self.in_shape)

    @cached_property
    def _norm(self) -> float:
        xp = array_namespace(*self.factors)
        return math.prod(float(xp.linalg.matrix_norm(a, ord=2)) for a in self.factors)

    def columns(self, idx: Sequence[int] | Array) -> Array:
        """Return columns numbered row-major, ``(len(idx), *out_shape)``.

        They are A of unit vectors, as outer products of the factors' columns.
        """
        xp, device = array_namespace(*self.factors), device_of(self.factors[0])
        places = np.unravel_index(np.asarray(idx), self.in_shape)
        n = len(self.factors)
        product: Array = 1.0
        for k, (a, place) in enumerate(zip(self.factors, places, strict=True)):
            column = xp.matrix_transpose(xp.take(a, to_device(place, device), axis=1))
            axes = [1] * n
            axes[k] = a.shape[0]
            product = product * xp.reshape(column, (column.shape[0], *axes))
        return product


def _steps(factors: tuple[Array, ...]) -> tuple[Step, ...]:
    xp = array_namespace(*factors)
    sizes, steps = [a.shape[1] for a in factors], []
    for k in mode_order([a.shape for a in factors]):
        a = factors[k]
        steps.append((a, xp.matrix_transpose(a), math.prod(sizes[k + 1 :])))
        sizes[k] = a.shape[0]
    return tuple(steps)


def mode_order(shapes: Sequence[tuple[int, int]]) -> list[int]:
    """Return the order in which multiplying modes costs the fewest operations."""
    return sorted(range(len(shapes)), key=lambda k: 1 / shapes[k][1] - 1 / shapes[k][0])


def _multiply_modes(steps: tuple[Step, ...], x: Array, shape: Shape) -> Array:
    """Apply `steps`; `shape` is that of one result, batch axes left out."""
    xp, first = array_namespace(x), steps[0][0]
    if is_complex(x) != is_complex(first):
        if is_complex(x):
            return on_parts(lambda parts: _multiply_modes(steps, parts, shape), x)
        x = xp.astype(x, first.dtype)
    z = x
    for a, transposed, width in steps:
        m, n = a.shape
        if width == 1:
            z = xp.matmul(xp.reshape(z, (-1, n)), transposed)
            continue
        z = xp.reshape(z, (-1, n, width))
        if width < _NARROW and z.shape[0] > 1:
            last = xp.reshape(xp.matrix_transpose(z), (-1, n))
            z = xp.reshape(xp.matmul(last, transposed), (-1, width, m))
            z = xp.matrix_transpose(z)
        else:
            z = xp.matmul(a, z)
    return xp.reshape(z, (*x.shape[: x.ndim - len(shape)], *shape))


class KroneckerOperators(Operator):
    """A ⊗ B of two general operators; made by `kron`.

    The unknown has the axes of A's unknown, then those of B's.
    """

    def __init__(self, left: Operator, right: Operator) -> None:
        for part in (left, right):
            if part.takes_real or part.gives_real:
                raise TypeError(
                    f"kron got {part!r}, which keeps real parts; take .real() of the "
                    "product instead"
                )
        self.left, self.right = left, right
        self.in_shape = left.in_shape + right.in_shape
        self.out_shape = left.out_shape + right.out_shape
        self.in_dtype = common_dtype(left.in_dtype, right.in_dtype)
        self.out_dtype = common_dtype(left.out_dtype, right.out_dtype)

    def forward(self, x: Array) -> Array:
        z = _rotate(
            self.right.forward(x), len(self.left.in_shape), self.right.out_shape
        )
        return _rotate(
            self.left.forward(z), len(self.right.out_shape), self.left.out_shape
        )

    def adjoint(self, y: Array) -> Array:
        z = _rotate(
            self.right.adjoint(y), len(self.left.out_shape), self.right.in_shape
        )
        return _rotate(
            self.left.adjoint(z), len(self.right.in_shape), self.left.in_shape
        )

    def norm(self) -> float:
        return self.left.norm() * self.right.norm()


def _rotate(x: Array, n_front: int, back: tuple[int, ...]) -> Array:
    """Exchange the last ``len(back)`` axes with the `n_front` axes before them."""
    n_batch = x.ndim - n_front - len(back)
    batch = range(n_batch)
    front = range(n_batch, n_batch + n_front)
    last = range(n_batch + n_front, x.ndim)
    return array_namespace(x).permute_dims(x, (*batch, *last, *front))


def kron(A: Operator, B: Operator) -> Operator:
    """Kronecker product A ⊗ B, row-major: for matrices X ↦ A X Bᵀ.

    Parameters
    ----------
    A, B : Operator
        If both are `Dense` or `Kronecker`, the result is a `Kronecker`.

    Returns
    -------
    Operator
        From arrays of shape ``A.in_shape + B.in_shape``.
    """
    if isinstance(A, (Dense, Kronecker)) and isinstance(B, (Dense, Kronecker)):
        return Kronecker(*_factors(A), *_factors(B))
    return KroneckerOperators(A, B)


def _factors(A: Dense | Kronecker) -> tuple[Array, ...]:
    return (A.a,) if isinstance(A, Dense) else A.factors
