"""Maps of several named unknowns: products and sums of blocks.

The unknown is a dict of arrays, such as ``{"M": ..., "A": ...}``. `partial` holds all
blocks but one fixed, which leaves a linear operator and an offset: this is what
alternating methods solve.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from functools import cached_property, reduce
from operator import add
from typing import Any, Self

from sparsesolve import checks
from sparsesolve.backends import (
    Array,
    Shape,
    array_namespace,
    conj,
    device_of,
    dtype_of,
    is_complex,
    moved_copy,
)
from sparsesolve.operators.base import DType, Operator, held_on, joint_dtypes

Blocks = Mapping[str, Array]


class BlockMap(ABC):
    """A map of named blocks that is linear in each of them (affine in each, if a sum).

    Attributes
    ----------
    in_shape : dict of str to tuple of int
        Shape of each block.
    out_shape : tuple of int
        Shape of the data.
    in_dtype, out_dtype : numpy.dtype or None
        As of an `Operator`; one for all blocks.
    """

    in_shape: dict[str, Shape]
    out_shape: Shape
    in_dtype: DType = None
    out_dtype: DType = None

    @abstractmethod
    def forward(self, x: Blocks) -> Array:
        """Return the data of blocks ``(*batch, *in_shape[name])``, unchecked."""

    @abstractmethod
    def partial(self, block: str, x: Blocks) -> tuple[Operator, Any]:
        """Return ``(A, offset)``: the map is A(x[block]) + offset, the others fixed.

        `x` needs the other blocks only.
        """

    @property
    def device(self) -> str | None:
        """Where its arrays live; None if it holds none and works anywhere."""
        return held_on(self)

    def to(self, device: str) -> Self:
        """Return a copy whose arrays live on `device`."""
        return moved_copy(self, device)

    def check_input(self, x: Blocks) -> None:
        """Raise unless `x` has exactly these blocks, of their shapes, on one device."""
        who = repr(self)
        if not isinstance(x, Mapping):
            raise TypeError(f"{who} got a {type(x).__name__}; wanted a dict of blocks")
        if set(x) != set(self.in_shape):
            raise ValueError(
                f"{who} got blocks {sorted(x)}; wanted {sorted(self.in_shape)}"
            )
        for name, shape in self.in_shape.items():
            checks.trailing_shape(f"{who}, block {name!r},", x[name], shape)
        first = next(iter(x.values()))
        dtype, device = self.in_dtype or dtype_of(first), self.device
        for name, value in x.items():
            block = f"{who}, block {name!r},"
            checks.same_precision(block, value, dtype)
            checks.same_device(block, value, device or device_of(first))

    def _check_block(self, block: str) -> None:
        if block not in self.in_shape:
            raise ValueError(f"{self!r} has no block {block!r}")

    def __call__(self, x: Blocks) -> Array:
        """Return the data after checking names, shapes, dtypes and devices of `x`."""
        self.check_input(x)
        return self.forward(x)

    def __rmatmul__(self, outer: Operator) -> BlockComposition:
        return BlockComposition(outer, self)

    def __repr__(self) -> str:
        return f"{type(self).__name__} {self.in_shape} -> {self.out_shape}"


class Product(BlockMap):
    """The matrix product of two unknown blocks, bilinear.

    Parameters
    ----------
    left, right : str
        Names of the two blocks, such as "M" and "A".
    shape : (int, int, int)
        (L, K, N): the left block is (L, K), the right one (K, N), the data (L, N).

    Examples
    --------
    >>> import numpy as np, sparsesolve as ss
    >>> B = ss.operators.Product("M", "A", shape=(5, 2, 7))
    >>> B
    Product {'M': (5, 2), 'A': (2, 7)} -> (5, 7)
    >>> B.partial("A", {"M": np.ones((5, 2))})[0]
    LeftMultiply (2, 7) -> (5, 7)
    """

    def __init__(self, left: str, right: str, *, shape: tuple[int, int, int]) -> None:
        sizes = checks.shape_tuple("shape", shape)
        if len(sizes) != 3:
            raise ValueError(f"shape is {shape}; wanted three sizes (L, K, N)")
        if left == right:
            raise ValueError(f"both blocks are named {left!r}; wanted two names")
        self.left, self.right = left, right
        self.in_shape = {left: sizes[:2], right: sizes[1:]}
        self.out_shape = (sizes[0], sizes[2])

    def forward(self, x: Blocks) -> Array:
        return _matmul(x[self.left], x[self.right])

    def partial(self, block: str, x: Blocks) -> tuple[Operator, float]:
        self._check_block(block)
        if block == self.right:
            return LeftMultiply(x[self.left], self.out_shape[1]), 0.0
        return RightMultiply(x[self.right], self.out_shape[0]), 0.0


class BlockSum(BlockMap):
    """The sum of linear operators, each of its own named block; made by `hstack`."""

    def __init__(self, blocks: dict[str, Operator]) -> None:
        if len({A.takes_real for A in blocks.values()}) > 1:
            raise TypeError(
                f"hstack got {blocks}: some take a real unknown and some do not; "
                "put .real() on all or none"
            )
        self.blocks = dict(blocks)
        self.in_shape = {name: A.in_shape for name, A in blocks.items()}
        self.out_shape = next(iter(blocks.values())).out_shape
        self.in_dtype, self.out_dtype = joint_dtypes(*blocks.values())

    def forward(self, x: Blocks) -> Array:
        return reduce(add, (A.forward(x[name]) for name, A in self.blocks.items()))

    def adjoint(self, y: Array) -> dict[str, Array]:
        """Return Aᴴ y of each block, unchecked."""
        return {name: A.adjoint(y) for name, A in self.blocks.items()}

    def partial(self, block: str, x: Blocks) -> tuple[Operator, Any]:
        self._check_block(block)
        others = [
            A.forward(x[name]) for name, A in self.blocks.items() if name != block
        ]
        return self.blocks[block], reduce(add, others) if others else 0.0


class BlockComposition(BlockMap):
    """A linear operator after a map of blocks: ``Mask(mask) @ Product(...)``."""

    def __init__(self, outer: Operator, inner: BlockMap) -> None:
        if outer.in_shape != inner.out_shape:
            hint = checks.swapped(inner.out_shape, outer.in_shape)
            raise ValueError(
                f"cannot compose {outer!r} @ {inner!r}: the first takes shape "
                f"{outer.in_shape}, the second gives {inner.out_shape}{hint}"
            )
        self.outer, self.inner = outer, inner
        self.in_shape, self.out_shape = inner.in_shape, outer.out_shape
        self.in_dtype = inner.in_dtype or outer.in_dtype
        self.out_dtype = outer.out_dtype or inner.out_dtype

    def forward(self, x: Blocks) -> Array:
        return self.outer.forward(self.inner.forward(x))

    def partial(self, block: str, x: Blocks) -> tuple[Operator, Any]:
        A, offset = self.inner.partial(block, x)
        constant = isinstance(offset, float)
        return self.outer @ A, offset if constant else self.outer.forward(offset)


class LeftMultiply(Operator):
    """X ↦ m X for a known matrix m, one for each problem of a batch.

    Parameters
    ----------
    m : (*batch, L, K) array
    n : int
        Number of columns of X.
    """

    def __init__(self, m: Array, n: int) -> None:
        self.m = m
        self.in_shape, self.out_shape = (m.shape[-1], n), (m.shape[-2], n)
        self.in_dtype = self.out_dtype = dtype_of(m)

    def forward(self, x: Array) -> Array:
        return _matmul(self.m, x)

    def adjoint(self, y: Array) -> Array:
        return _matmul(_conjugate_transpose(self.m), y)

    def gram(self, x: Array) -> Array:
        return _matmul(self._gram_matrix, x)

    @cached_property
    def _gram_matrix(self) -> Array:
        return _matmul(_conjugate_transpose(self.m), self.m)

    @cached_property
    def _norm(self) -> float:
        return _root_of_largest(self._gram_matrix)


class RightMultiply(Operator):
    """X ↦ X m for a known matrix m, one for each problem of a batch.

    Parameters
    ----------
    m : (*batch, K, N) array
    n : int
        Number of rows of X.
    """

    def __init__(self, m: Array, n: int) -> None:
        self.m = m
        self.in_shape, self.out_shape = (n, m.shape[-2]), (n, m.shape[-1])
        self.in_dtype = self.out_dtype = dtype_of(m)

    def forward(self, x: Array) -> Array:
        return _matmul(x, self.m)

    def adjoint(self, y: Array) -> Array:
        return _matmul(y, _conjugate_transpose(self.m))

    def gram(self, x: Array) -> Array:
        return _matmul(x, self._gram_matrix)

    @cached_property
    def _gram_matrix(self) -> Array:
        return _matmul(self.m, _conjugate_transpose(self.m))

    @cached_property
    def _norm(self) -> float:
        return _root_of_largest(self._gram_matrix)


def _matmul(a: Array, b: Array) -> Array:
    """``a @ b`` where one of them may be real."""
    xp = array_namespace(a, b)
    if is_complex(a) and not is_complex(b):
        b = xp.astype(b, a.dtype)
    elif is_complex(b) and not is_complex(a):
        a = xp.astype(a, b.dtype)
    return xp.matmul(a, b)


def _conjugate_transpose(a: Array) -> Array:
    return array_namespace(a).matrix_transpose(conj(a))


def _root_of_largest(gram: Array) -> float:
    xp = array_namespace(gram)
    return math.sqrt(max(float(xp.max(xp.linalg.eigvalsh(gram))), 0.0))
