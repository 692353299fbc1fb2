"""Checks of arguments, done once before any work; each error is one sentence."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sparsesolve.backends import (
    Array,
    Shape,
    array_namespace,
    device_of,
    dtype_of,
    is_array,
    is_complex,
    real_dtype,
    to_numpy,
)


def positive(name: str, value: Any, *, zero: bool = False) -> Any:
    """Return `value` (float or array, per problem) if finite and above zero.

    NumPy scalars and 0-d arrays become Python floats, so that they never widen a
    float32 computation.
    """
    wanted = "a finite number >= 0" if zero else "a finite number > 0"
    unreal = isinstance(value, complex) or (is_array(value) and is_complex(value))
    if unreal or isinstance(value, str) or is_boolean(value):
        raise TypeError(f"{name} is {value!r}; wanted {wanted}")
    if is_array(value) and value.ndim > 0:
        xp = array_namespace(value)
        good = xp.isfinite(value) & (value >= 0 if zero else value > 0)
        if math.prod(value.shape) == 0 or not bool(xp.all(good)):
            raise ValueError(f"{name} has entries that are not {wanted}")
        return value
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise TypeError(f"{name} is {value!r}; wanted {wanted}") from None
    if not math.isfinite(number) or number < 0 or (number == 0 and not zero):
        raise ValueError(f"{name} is {number:g}; wanted {wanted}")
    return number


def positive_number(name: str, value: Any, *, zero: bool = False) -> float:
    """Return `value` as a float if it is one finite number above zero."""
    if is_array(value) and value.ndim > 0:
        raise TypeError(f"{name} is an array {tuple(value.shape)}; wanted one number")
    return float(positive(name, value, zero=zero))


def finite_number(name: str, value: Any) -> float:
    """Return `value` as a float if it is one finite number."""
    if is_boolean(value):
        raise TypeError(f"{name} is {value!r}; wanted a number")
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise TypeError(f"{name} is {value!r}; wanted a number") from None
    if not math.isfinite(number):
        raise ValueError(f"{name} is {number}; wanted a finite number")
    return number


def is_boolean(value: Any) -> bool:
    """Whether it is True, False or an array of them, which count as 1 and 0."""
    plain = isinstance(value, (bool, np.bool_))
    return plain or (is_array(value) and dtype_of(value).kind == "b")


def positive_int(name: str, value: Any) -> int:
    """Return `value` if it is an integer of at least one."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 1:
        raise ValueError(f"{name} is {value!r}; wanted an integer >= 1")
    return int(value)


def shape_tuple(name: str, shape: Any) -> Shape:
    """Return `shape` as a tuple of positive integers."""
    if isinstance(shape, (int, np.integer)):
        shape = (shape,)
    return tuple(positive_int(name, n) for n in shape)


def sentences(name: str, value: Any) -> tuple[str, ...]:
    """Return `value` as a tuple of printable lines."""
    items = () if isinstance(value, str) else tuple(value)
    lines = tuple(str(item) for item in items if isinstance(item, str))
    plain = all(line.isprintable() and line.strip() for line in lines)
    if isinstance(value, str) or len(lines) < len(items) or not plain:
        raise TypeError(f"{name} is {value!r}; wanted a tuple of sentences, one a step")
    return lines


def swapped(found: Shape, wanted: Shape) -> str:
    """Return the question to add when `found` is a permutation of `wanted`."""
    tail = found[len(found) - len(wanted) :] if len(found) >= len(wanted) else found
    same = sorted(tail) == sorted(wanted) and tail != wanted
    return "; are the axes swapped?" if same else ""


def unlike_rows(shapes: Sequence[Shape], found: Shape) -> str:
    """Say which factors of a product have other rows than `found` has entries.

    Parameters
    ----------
    shapes : sequence of (M_i, N_i)
        Of the factors.
    found : tuple of int
        Shape of data that should be (M_1, ..., M_I); "" for another number of axes.
    """
    if len(found) != len(shapes):
        return ""
    said = []
    for k, ((rows, columns), n) in enumerate(zip(shapes, found, strict=True)):
        if rows != n:
            said.append(f"; factors[{k}] has {rows} rows where axis {k} of y has {n}")
            if columns == n:
                said.append(", which is its number of columns: is it transposed?")
    return "".join(said)


def trailing_shape(who: str, x: Array, shape: Shape, hint: str = "") -> None:
    """Refuse an array whose last axes are not `shape`.

    `hint` ends the message, unless the axes look swapped.
    """
    if not is_array(x):
        raise TypeError(f"{who} got a {type(x).__name__}; wanted an array")
    found = tuple(x.shape)
    if len(found) < len(shape) or found[len(found) - len(shape) :] != shape:
        raise ValueError(
            f"{who} got an array of shape {found}; wanted {shape}, with any batch "
            f"axes in front{swapped(found, shape) or hint}"
        )


def broadcasts(name: str, found: Shape, shape: Shape) -> None:
    """Refuse an array of shape `found` that does not broadcast to `shape`."""
    try:
        fits = np.broadcast_shapes(found, shape) == shape
    except ValueError:
        fits = False
    if not fits:
        raise ValueError(
            f"{name} has shape {found}; wanted one that broadcasts to {shape}"
        )


def same_precision(who: str, x: Array, dtype: np.dtype[Any] | None) -> None:
    """Refuse integers, and an array whose precision is not that of `dtype`."""
    found = dtype_of(x)
    if found.kind not in "fc":
        raise TypeError(f"{who} got {found} numbers; wanted floating point")
    if dtype is not None and real_dtype(found) != real_dtype(dtype):
        raise TypeError(
            f"{who} computes in {dtype} but got {found}; convert one of the two, for "
            f"instance with xp.astype(x, xp.{dtype})"
        )


def real_array(name: str, value: Any) -> NDArray[np.floating[Any]]:
    """Return `value` as a NumPy array of finite real numbers, which is not empty.

    float32 stays, all else is float64.
    """
    array: NDArray[Any] = to_numpy(value)
    if array.dtype.kind not in "iuf":
        raise TypeError(f"{name} holds {array.dtype} entries; wanted real numbers")
    if array.size == 0:
        raise ValueError(f"{name} is empty (shape {array.shape})")
    finite(name, array)
    return array if array.dtype == np.float32 else array.astype(np.float64, copy=False)


def same_device(who: str, x: Array, device: str | None) -> None:
    """Refuse an array that lives elsewhere than `device` (None: anywhere)."""
    if device is not None and device_of(x) != device:
        raise TypeError(
            f"{who} is on {device} but got an array on {device_of(x)}; move one of the "
            f"two with .to({device_of(x)!r}) or sparsesolve.backends.to_device"
        )


def finite(name: str, x: Array) -> None:
    """Refuse an empty array and NaN or infinite entries, counting them."""
    if not is_array(x):
        raise TypeError(f"{name} is a {type(x).__name__}; wanted an array")
    if isinstance(x, np.ma.MaskedArray):
        raise TypeError(f"{name} is a masked array; pass its data, and weights=~mask")
    size = math.prod(x.shape)
    if size == 0:
        raise ValueError(f"{name} is empty (shape {tuple(x.shape)})")
    kind = dtype_of(x).kind
    if kind not in "fc":
        if kind not in "iub":
            raise TypeError(f"{name} has dtype {dtype_of(x)}; wanted numbers")
        return
    xp = array_namespace(x)
    if not bool(xp.all(xp.isfinite(x))):
        remedy = "; clean it, or give those entries weights of 0" if name == "y" else ""
        raise ValueError(f"{unusable(name, to_numpy(~xp.isfinite(x)))}{remedy}")


def instance(name: str, value: Any, wanted: type) -> None:
    """Raise TypeError unless `value` is a `wanted`; say which of its parts is one."""
    if isinstance(value, wanted):
        return
    parts = vars(value) if hasattr(value, "__dict__") else {}
    hint = [f" (its {key} is one)" for key in parts if isinstance(parts[key], wanted)]
    raise TypeError(
        f"{name} is a {type(value).__name__}; wanted a {wanted.__name__}"
        + "".join(hint[:1])
    )


def unusable(name: str, bad: NDArray[np.bool_]) -> str:
    """Say how many entries of an array are NaN or infinite, and where."""
    first = tuple(int(i) for i in np.unravel_index(np.argmax(bad), bad.shape))
    return (
        f"{name} has {np.count_nonzero(bad)} NaN or infinite entries of {bad.size}, "
        f"the first at {first}"
    )
