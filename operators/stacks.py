"""Operators side by side: stacked data, stacked unknowns, blocks on a diagonal.

Arrays of several shapes are put into one along their first axis if their other axes
agree, so that ``(2, 8)`` and ``(3, 8)`` give ``(5, 8)``; otherwise each is flattened,
row-major, and they give one vector.
"""

from __future__ import annotations

import math
from functools import reduce
from itertools import accumulate
from operator import add

from sparsesolve.backends import Array, Shape, array_namespace
from sparsesolve.operators.base import Operator, joint_dtypes
from sparsesolve.operators.blocks import BlockSum


class Packing:
    """How arrays of `shapes` lie in one array of `shape`."""

    def __init__(self, shapes: list[Shape]) -> None:
        flatten = () in shapes or len({shape[1:] for shape in shapes}) > 1
        self.shapes = shapes
        self.inside = [(math.prod(s),) if flatten else s for s in shapes]
        ends = list(accumulate(shape[0] for shape in self.inside))
        self.slices = [slice(a, b) for a, b in zip([0, *ends], ends, strict=False)]
        self.shape: Shape = (ends[-1], *self.inside[0][1:])

    def pack(self, parts: list[Array]) -> Array:
        """Join arrays of `shapes`, with batch axes in front, into one."""
        inside = [
            _reshape(part, shape, new)
            for part, shape, new in zip(parts, self.shapes, self.inside, strict=True)
        ]
        return array_namespace(*inside).concat(inside, axis=-len(self.shape))

    def unpack(self, x: Array) -> list[Array]:
        """Split what `pack` has joined."""
        rest = (slice(None),) * (len(self.shape) - 1)
        return [
            _reshape(x[(..., part, *rest)], old, shape)
            for part, old, shape in zip(
                self.slices, self.inside, self.shapes, strict=True
            )
        ]


def _reshape(x: Array, old: Shape, new: Shape) -> Array:
    """Reshape the trailing axes `old` to `new`."""
    if old == new:
        return x
    return array_namespace(x).reshape(x, (*x.shape[: x.ndim - len(old)], *new))


class VStack(Operator):
    """Several operators on one unknown, their data stacked; made by `vstack`."""

    def __init__(self, *parts: Operator) -> None:
        _same("vstack", "in_shape", parts)
        self.parts = parts
        self.packing = Packing([A.out_shape for A in parts])
        self.in_shape, self.out_shape = parts[0].in_shape, self.packing.shape
        self.in_dtype, self.out_dtype = joint_dtypes(*parts)

    def forward(self, x: Array) -> Array:
        return self.packing.pack([A.forward(x) for A in self.parts])

    def adjoint(self, y: Array) -> Array:
        pieces = zip(self.parts, self.packing.unpack(y), strict=True)
        return reduce(add, (self._model(A.adjoint(part)) for A, part in pieces))

    def gram(self, x: Array) -> Array:
        return reduce(add, (self._model(A.gram(x)) for A in self.parts))


class HStack(Operator):
    """The sum of several operators, each of its own unknown; made by `hstack`."""

    def __init__(self, *parts: Operator) -> None:
        _same("hstack", "out_shape", parts)
        self.parts = parts
        self.packing = Packing([A.in_shape for A in parts])
        self.in_shape, self.out_shape = self.packing.shape, parts[0].out_shape
        self.in_dtype, self.out_dtype = joint_dtypes(*parts)

    def forward(self, x: Array) -> Array:
        pieces = zip(self.parts, self.packing.unpack(x), strict=True)
        return reduce(add, (A.forward(part) for A, part in pieces))

    def adjoint(self, y: Array) -> Array:
        return self.packing.pack([self._model(A.adjoint(y)) for A in self.parts])


class BlockDiag(Operator):
    """Several operators, each of its own unknown and data; made by `block_diag`."""

    def __init__(self, *parts: Operator) -> None:
        _some("block_diag", parts)
        self.parts = parts
        self.model = Packing([A.in_shape for A in parts])
        self.data = Packing([A.out_shape for A in parts])
        self.in_shape, self.out_shape = self.model.shape, self.data.shape
        self.in_dtype, self.out_dtype = joint_dtypes(*parts)

    def forward(self, x: Array) -> Array:
        pieces = zip(self.parts, self.model.unpack(x), strict=True)
        return self.data.pack([A.forward(part) for A, part in pieces])

    def adjoint(self, y: Array) -> Array:
        pieces = zip(self.parts, self.data.unpack(y), strict=True)
        return self.model.pack([self._model(A.adjoint(part)) for A, part in pieces])

    def gram(self, x: Array) -> Array:
        pieces = zip(self.parts, self.model.unpack(x), strict=True)
        return self.model.pack([self._model(A.gram(part)) for A, part in pieces])

    def norm(self) -> float:
        return max(A.norm() for A in self.parts)


def _some(who: str, parts: tuple[Operator, ...]) -> None:
    if not parts:
        raise ValueError(f"{who} got no operators; wanted at least one")
    for A in parts:
        if not isinstance(A, Operator):
            raise TypeError(
                f"{who} got a {type(A).__name__}; wrap it with as_operator first"
            )


def _same(who: str, attribute: str, parts: tuple[Operator, ...]) -> None:
    _some(who, parts)
    shapes = [getattr(A, attribute) for A in parts]
    if len(set(shapes)) > 1:
        found = ", ".join(map(str, shapes))
        raise ValueError(f"{who} wants operators of one {attribute}; got {found}")


def vstack(*parts: Operator) -> Operator:
    """Stack operators of one unknown: y = (A₁ x, A₂ x, ...).

    Parameters
    ----------
    *parts : Operator
        Of equal `in_shape`.

    Returns
    -------
    Operator
        Data joined along the first axis if their other axes agree, else flattened.

    Examples
    --------
    >>> import sparsesolve as ss
    >>> ss.operators.vstack(*[ss.operators.Identity((2, 8))] * 2)
    VStack (2, 8) -> (4, 8)
    """
    return VStack(*parts)


def hstack(*parts: Operator, **blocks: Operator) -> Operator | BlockSum:
    """Add operators of several unknowns: y = A₁ x₁ + A₂ x₂ + ...

    Parameters
    ----------
    *parts : Operator
        Of equal `out_shape`; the unknowns are joined along the first axis if their
        other axes agree, else flattened, into one array.
    **blocks : Operator
        Instead of `parts`: the unknown is a dict of named blocks.

    Returns
    -------
    Operator or BlockSum

    Examples
    --------
    >>> import sparsesolve as ss
    >>> A = ss.operators.Identity((4, 3))
    >>> ss.operators.hstack(L=A, S=A)
    BlockSum {'L': (4, 3), 'S': (4, 3)} -> (4, 3)
    """
    if parts and blocks:
        raise TypeError("hstack got positional and named operators; wanted one kind")
    if not blocks:
        return HStack(*parts)
    _same("hstack", "out_shape", tuple(blocks.values()))
    return BlockSum(blocks)


def block_diag(*parts: Operator) -> Operator:
    """Put operators on a diagonal: y = (A₁ x₁, A₂ x₂, ...).

    Parameters
    ----------
    *parts : Operator
        Unknowns, and data, are joined along the first axis if their other axes agree,
        else flattened.
    """
    return BlockDiag(*parts)
