"""Vectors as wide as a register, for Numba kernels that must not stay scalar.

LLVM turns a loop into vector instructions only while it can show that its arrays do not
overlap, and gives up beyond a few of them: the near-field kernels, which read and write
eight rows at once, ran several times slower for it. Here a vector is a value: `load`
and `store` move one, ``+``, ``-`` and ``*`` act on all its numbers, and a product that
is added becomes one instruction.
"""

from __future__ import annotations

import operator
from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import (
    intrinsic,
    lower_builtin,
    models,
    register_model,
    type_callable,
)

__all__ = ["load", "splat", "store", "total", "width"]

# Of AVX2, which nearly every processor has; others take two instructions for it.
_BITS = 256


class Lanes(types.Type):  # type: ignore[misc]
    """Numba's type of a vector of `dtype`."""

    def __init__(self, dtype: Any) -> None:
        super().__init__(name=f"Lanes({dtype})")
        self.dtype = dtype

    @property
    def count(self) -> int:
        """Numbers in one vector."""
        return int(_BITS // self.dtype.bitwidth)


@register_model(Lanes)
class _Model(models.PrimitiveModel):  # type: ignore[misc]
    def __init__(self, manager: Any, lanes: Lanes) -> None:
        scalar = manager.lookup(lanes.dtype).get_value_type()
        super().__init__(manager, lanes, ir.VectorType(scalar, lanes.count))


def _place(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    """Pointer to the vector that begins at an index of a contiguous array."""
    array_type = signature.args[0]
    array = context.make_array(array_type)(context, builder, arguments[0])
    vector = context.get_value_type(Lanes(array_type.dtype))
    place = builder.gep(array.data, [arguments[1]])
    return builder.bitcast(place, vector.as_pointer())


@intrinsic
def width(typing: Any, array: Any) -> Any:
    """Return how many of an array's numbers make a vector."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return context.get_constant(types.intp, Lanes(array.dtype).count)

    return types.intp(array), generate


@intrinsic
def load(typing: Any, array: Any, i: Any) -> Any:
    """Return the vector that begins at index `i` of a contiguous 1-D array."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        vector = builder.load(_place(context, builder, signature, arguments))
        vector.align = array.dtype.bitwidth // 8
        return vector

    return Lanes(array.dtype)(array, types.intp), generate


@intrinsic
def store(typing: Any, array: Any, i: Any, vector: Any) -> Any:
    """Write a vector to where index `i` of a contiguous 1-D array begins."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        place = _place(context, builder, signature, arguments)
        builder.store(arguments[2], place).align = array.dtype.bitwidth // 8
        return context.get_dummy_value()

    return types.void(array, types.intp, vector), generate


@intrinsic
def splat(typing: Any, x: Any) -> Any:
    """Return the vector that holds `x` throughout."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        vector = context.get_value_type(signature.return_type)
        empty, first = ir.Constant(vector, ir.Undefined), ir.IntType(32)(0)
        one = builder.insert_element(empty, arguments[0], first)
        order = ir.Constant(ir.VectorType(ir.IntType(32), vector.count), None)
        return builder.shuffle_vector(one, empty, order)

    return Lanes(x)(x), generate


@intrinsic
def total(typing: Any, vector: Any) -> Any:
    """Return the sum of a vector's numbers, added pairwise."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        parts = [
            builder.extract_element(arguments[0], ir.IntType(32)(k))
            for k in range(vector.count)
        ]
        while len(parts) > 1:
            pairs = zip(parts[::2], parts[1::2], strict=True)
            parts = [builder.fadd(a, b) for a, b in pairs]
        return parts[0]

    return vector.dtype(vector), generate


def _act_elementwise(function: Any, instruction: str) -> None:
    """Teach Numba an operator between two vectors of one type."""

    @type_callable(function)
    def typed(context: Any) -> Any:
        def result(a: Any, b: Any) -> Any:
            return a if isinstance(a, Lanes) and a == b else None

        return result

    @lower_builtin(function, Lanes, Lanes)
    def lowered(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        # contract: a product that is added is one instruction
        return getattr(builder, instruction)(*arguments, flags=("contract",))


_act_elementwise(operator.add, "fadd")
_act_elementwise(operator.sub, "fsub")
_act_elementwise(operator.mul, "fmul")
