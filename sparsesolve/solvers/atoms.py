"""The columns of an operator as a dictionary: what greedy solvers ask of it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from sparsesolve.backends import (
    Array,
    abs_squared,
    array_namespace,
    device_of,
    dtype_of,
    native_dtype,
    real_dtype,
    to_device,
    to_numpy,
)
from sparsesolve.operators.base import Composition, Operator, RealUnknown, Scaled
from sparsesolve.operators.dense import Dense
from sparsesolve.operators.diagonal import Diagonal, Identity
from sparsesolve.operators.kronecker import Kronecker, KroneckerOperators, kron
from sparsesolve.operators.mask import Mask
from sparsesolve.operators.reshape import Reshape
from sparsesolve.priors.top_k import TopK
from sparsesolve.solvers.base import Need

TOP_K = Need(
    "the prior TopK",
    lambda problem: isinstance(problem.prior, TopK),
    "use ProximalGradient or ADMM for other priors with a prox, KroneckerOMP for "
    "KroneckerTopK",
)
LINEAR_ATOMS = Need(
    "an operator with columns, which does not drop imaginary parts",
    lambda problem: not problem.A.gives_real,
    "use ProximalGradient",
)

_BLOCK = 2**22  # entries of unit vectors at a time


def rounding(dtype: Any, n: int) -> float:
    """Return what counts as zero beside one in inner products of length `n`."""
    return 10 * math.sqrt(n) * float(np.finfo(dtype).eps)


class Atoms:
    """The columns of A, weighted as the data, in flat arrays: B problems, M data.

    Data are multiplied by the roots of the weights, and so are the columns. Of a real
    unknown under complex data, real and imaginary parts are data of their own: all
    inner products are those of the unknown's field.

    Parameters
    ----------
    problem : Problem
        One array unknown and a LeastSquares loss.
    normalise : bool
        Whether correlations are divided by the norms of the columns.

    Attributes
    ----------
    data : array, shape (B, M)
        Weighted data.
    size : array, shape (B,)
        Their norm.
    norms : array, shape (B or 1, N), or None
        Norms of the weighted columns; None where they are not asked for.
    negligible : float
        What counts as zero beside one.
    """

    def __init__(self, problem: Any, *, normalise: bool = True) -> None:
        A, loss = problem.A, problem.loss
        self.A = A
        self.batch_shape = problem.batch_shape
        self.batch = math.prod(problem.batch_shape)
        self.xp = array_namespace(loss.y)
        self.place = device_of(loss.y)
        self.host_dtype = problem.x_dtype
        self.dtype = native_dtype(self.xp, problem.x_dtype)
        self.root = None
        if loss.weights is not None:
            root = self.xp.sqrt(loss.weights)
            self.root = self.xp.reshape(root, (self.batch, *A.out_shape))
        y = self.xp.reshape(loss.y, (self.batch, 1, *A.out_shape))
        self.data = self._flat(y)[:, 0, :]
        self.size = self.xp.linalg.vector_norm(self.data, axis=-1)
        self.negligible = rounding(problem.x_dtype, self.data.shape[-1])
        self.norms = self._norms() if normalise else None

    def correlations(self, rest: Array) -> Array:
        """Return ⟨column, rest⟩ for each column: (B, M) to (B, N)."""
        xp, m = self.xp, self.A.shape[0]
        if self.A.takes_real:
            rest = rest[:, :m] + 1j * rest[:, m:]
        rest = xp.reshape(rest, (self.batch, *self.A.out_shape))
        if self.root is not None:
            rest = rest * self.root
        return xp.reshape(self.A.adjoint(rest), (self.batch, -1))

    def scores(self, correlations: Array) -> Array:
        """Return their magnitudes over the columns' norms; 0 for a zero column."""
        sizes = self.xp.abs(correlations)
        if self.norms is None:
            return sizes
        used = self.norms > 0
        scaled = sizes / self.xp.where(used, self.norms, self.xp.ones_like(self.norms))
        return self.xp.where(used, scaled, self.xp.zeros_like(scaled))

    def columns(self, index: Array) -> Array:
        """Return the columns numbered `index`, (B, c) to (B, c, M)."""
        flat = to_numpy(index).reshape(-1)
        images = self._images(self.A, flat)
        return self._flat(self.xp.reshape(images, (*index.shape, *self.A.out_shape)))

    def image(self, x: Array) -> Array:
        """Return the weighted A x, (B, *in_shape) to (B, M)."""
        return self._flat(self.A.forward(x)[:, None, ...])[:, 0, :]

    def _images(self, A: Operator, index: Any) -> Array:
        """Return A of unit vectors, by the cheapest way that A offers."""
        if isinstance(A, Composition):
            return A.outer.forward(self._images(A.inner, index))
        if isinstance(A, RealUnknown):
            return self._images(A.inner, index)
        if isinstance(A, Scaled):
            return A.factor * self._images(A.inner, index)
        if isinstance(A, (Dense, Kronecker)):
            return A.columns(index)
        units = np.zeros(
            (index.size, math.prod(A.in_shape)), A.in_dtype or self.host_dtype
        )
        units[np.arange(index.size), index] = 1
        x = to_device(units.reshape(-1, *A.in_shape), self.place)
        return A.forward(x)

    def _flat(self, z: Array) -> Array:
        """Weight data (B, c, *out_shape) and flatten them: (B, c, M)."""
        xp = self.xp
        if self.root is not None:
            z = z * self.root[:, None, ...]
        z = xp.reshape(z, (*z.shape[:2], -1))
        if self.A.takes_real:
            z = xp.concat([xp.real(z), xp.imag(z)], axis=-1)
        return xp.astype(z, self.dtype, copy=False)

    def _norms(self) -> Array:
        xp, A = self.xp, self.A
        # Squares in double precision: they underflow where the norms do not.
        w = xp.ones((1, *A.out_shape), dtype=xp.float64, device=self.data.device)
        if self.root is not None:
            w = xp.astype(self.root, xp.float64) ** 2
        squares = _squared(A)
        if squares is None:
            powers = self._powers_of_images(w)
        else:
            powers = xp.reshape(squares.adjoint(w), (w.shape[0], -1))
        real = native_dtype(xp, real_dtype(self.host_dtype))
        return xp.astype(xp.sqrt(powers), real)

    def _powers_of_images(self, w: Array) -> Array:
        """Return the weighted powers of all columns, from A of all unit vectors."""
        xp, n = self.xp, self.A.shape[1]
        w = xp.reshape(w, (w.shape[0], -1))
        block, powers = max(1, min(n, _BLOCK // n)), []
        for start in range(0, n, block):
            images = self._images(self.A, np.arange(start, min(start + block, n)))
            images = abs_squared(xp.reshape(images, (images.shape[0], -1)))
            images = xp.astype(images, xp.float64)
            powers.append(xp.matmul(w, xp.matrix_transpose(images)))
        found = xp.concat(powers, axis=-1)
        # An operator without entries gives zero columns only up to rounding.
        least = self.negligible**2 * xp.max(found, axis=-1, keepdims=True)
        return xp.where(found > least, found, xp.zeros_like(found))


def _squared(A: Operator) -> Operator | None:
    """Return the operator whose entries are |those of A|², if there is a cheap one."""
    if isinstance(A, RealUnknown):
        return _squared(A.inner)
    if isinstance(A, (Mask, Identity, Reshape)):
        return A
    if isinstance(A, Diagonal):
        return Diagonal(_powers(A.d))
    if isinstance(A, Dense):
        return Dense(_powers(A.a))
    if isinstance(A, Kronecker):
        return Kronecker(*(_powers(a) for a in A.factors))
    if isinstance(A, Scaled):
        inner = _squared(A.inner)
        return None if inner is None else abs(A.factor) ** 2 * inner
    if isinstance(A, KroneckerOperators):
        left, right = _squared(A.left), _squared(A.right)
        return None if left is None or right is None else kron(left, right)
    if isinstance(A, Composition) and isinstance(A.outer, (Mask, Diagonal, Reshape)):
        # One entry in each row of the outer one: no sums, so squares go through.
        outer, inner = _squared(A.outer), _squared(A.inner)
        return None if outer is None or inner is None else outer @ inner
    return None


def _powers(a: Array) -> Array:
    xp = array_namespace(a)
    wide = xp.complex128 if dtype_of(a).kind == "c" else xp.float64
    return abs_squared(xp.astype(a, wide))
