"""Array libraries: one place that knows NumPy, CuPy and torch apart.

Everything else is written once in the array API standard. A *device* is a string,
``"numpy"``, ``"cupy:0"``, ``"torch:cpu"``, ``"torch:cuda:0"`` or
``"array_api_strict"``: the library and, where it has several, its device.
"""

from __future__ import annotations

import copy
import importlib
import math
from collections.abc import Iterator
from typing import Any, TypeVar

import numpy as np
from array_api_compat import array_namespace as _array_namespace
from array_api_compat import is_array_api_obj
from array_api_compat import numpy as _numpy

Array = Any
Shape = tuple[int, ...]
T = TypeVar("T")

__all__ = [
    "Array",
    "Shape",
    "abs_squared",
    "array_namespace",
    "arrays_in",
    "conj",
    "describe",
    "device_of",
    "dtype_of",
    "expand",
    "fresh_copy",
    "inner",
    "is_array",
    "is_complex",
    "is_plain",
    "moved",
    "moved_copy",
    "native_dtype",
    "norm",
    "real_dtype",
    "scalar",
    "to_device",
    "to_numpy",
    "where",
]

_PYTHON = {"b": bool, "i": int, "u": int, "f": float, "c": complex}
_ALIASES = {"cpu": "numpy", "gpu": "cupy:0", "cuda": "cupy:0", "cupy": "cupy:0"}


def array_namespace(*arrays: Array) -> Any:
    """The array library of `arrays`, in the form of the array API standard.

    NumPy is known at a glance: small iterations ask dozens of times.
    """
    if all(type(x) is np.ndarray for x in arrays):
        return _numpy
    return _array_namespace(*arrays)


def is_array(x: object) -> bool:
    """Whether `x` is an array of a known library (NumPy scalars are not)."""
    return not isinstance(x, np.generic) and is_array_api_obj(x)


def dtype_of(x: Array) -> np.dtype[Any]:
    """The NumPy dtype that names the dtype of `x`, whatever its library."""
    if isinstance(x.dtype, np.dtype):
        return x.dtype
    return np.dtype(str(x.dtype).rsplit(".", 1)[-1])


def native_dtype(xp: Any, dtype: Any) -> Any:
    """The dtype object of library `xp` for a NumPy dtype or its name."""
    return getattr(xp, np.dtype(dtype).name)


def as_dtype(x: Array, dtype: Any) -> Array:
    """`x` in a dtype of its own library; the same array if it has it already."""
    return x if x.dtype == dtype else array_namespace(x).astype(x, dtype)


def real_dtype(dtype: Any) -> np.dtype[Any]:
    """The real dtype of the same precision: complex64 to float32."""
    return np.empty(0, dtype).real.dtype


def is_complex(x: Array) -> bool:
    """Whether the entries of `x` are complex."""
    return dtype_of(x).kind == "c"


def conj(x: Array) -> Array:
    """Complex conjugate; a real array comes back as it is, uncopied."""
    return array_namespace(x).conj(x) if is_complex(x) else x


def is_plain(*arrays: Array) -> bool:
    """Whether they are NumPy arrays of real numbers, each in one piece of memory."""
    return all(
        isinstance(a, np.ndarray) and a.dtype.kind == "f" and a.flags.c_contiguous
        for a in arrays
    )


def abs_squared(x: Array) -> Array:
    """|x|² entry by entry, real, without the square root of ``abs``."""
    if not is_complex(x):
        return x * x
    xp = array_namespace(x)
    real, imag = xp.real(x), xp.imag(x)
    return real * real + imag * imag


def inner(x: Array, y: Array, n_axes: int | None = None) -> Array:
    """Re ⟨x, y⟩ over the last `n_axes` axes (all by default): batch shape."""
    xp = array_namespace(x, y)
    n_axes = x.ndim if n_axes is None else n_axes
    flat = (*x.shape[: x.ndim - n_axes], math.prod(x.shape[x.ndim - n_axes :]))
    product = xp.vecdot(xp.reshape(x, flat), xp.reshape(y, flat))
    return xp.real(product) if is_complex(product) else product


def norm(x: Array, n_axes: int | None = None) -> Array:
    """Euclidean norm over the last `n_axes` axes (all by default): batch shape."""
    return array_namespace(x).sqrt(inner(x, x, n_axes))


def scalar(value: Any) -> Any:
    """A Python float or bool for a 0-d array; anything else as it is.

    Python numbers never widen a float32 computation and cost no array call.
    """
    if isinstance(value, (np.generic, np.ndarray)):
        return value if value.ndim else value.item()
    if not is_array(value) or value.ndim:
        return value
    return _PYTHON[dtype_of(value).kind](value)


def where(condition: Any, a: Any, b: Any) -> Any:
    """``a if condition else b``, problem by problem where the condition is an array."""
    if not is_array(condition):
        return a if condition else b
    like = a if is_array(a) else b
    xp = array_namespace(like)
    a, b = (v if is_array(v) else xp.full_like(like, v) for v in (a, b))
    return xp.where(condition, a, b)


def expand(value: Any, n_axes: int) -> Any:
    """Let a per-problem `value` of batch shape broadcast over `n_axes` item axes."""
    if not is_array(value) or value.ndim == 0:
        return value
    return value[(..., *(None,) * n_axes)]


def device_of(x: Array) -> str:
    """The library and device that hold `x`, as in ``"torch:cuda:0"``."""
    if isinstance(x, np.ndarray):
        return "numpy"
    library = type(x).__module__.split(".", 1)[0]
    if library == "cupy":
        return f"cupy:{x.device.id}"
    if library == "torch":
        return f"torch:{x.device}"
    return library


def to_numpy(x: Array) -> np.ndarray[Any, Any]:
    """Copy `x` to host memory as a NumPy array (no copy if it is one)."""
    if isinstance(x, np.ndarray):
        return x
    library = type(x).__module__.split(".", 1)[0]
    if library == "torch":
        return np.asarray(x.detach().cpu().resolve_conj().numpy())
    if library == "cupy":
        return np.asarray(x.get())
    return np.asarray(x)


def to_device(x: Array, device: str) -> Array:
    """Move an array to `device`; the same array if it is there already.

    Raises
    ------
    ValueError
        The device names a library that sparsesolve does not know.
    """
    device = _ALIASES.get(device, device)
    device = "torch:cpu" if device == "torch" else device
    if device_of(x) == device:
        return x
    library, _, place = device.partition(":")
    if library == "numpy":
        return to_numpy(x)
    if library == "torch":
        torch = _library("torch", "torch")
        host = np.asarray(to_numpy(x), order="C")
        # torch has no read-only tensors, and would write into what must not change
        host = host if host.flags.writeable else host.copy()
        return torch.as_tensor(host, device=place)
    if library == "cupy":
        cupy = _library("cupy", "cuda")
        with cupy.cuda.Device(int(place)):
            return cupy.asarray(to_numpy(x))
    if library == "array_api_strict":
        return importlib.import_module(library).asarray(to_numpy(x))
    raise ValueError(
        f"device is {device!r}; wanted 'numpy', 'cupy:0', 'torch:cpu', 'torch:cuda:0' "
        "or 'array_api_strict'"
    )


def _library(name: str, extra: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        raise ModuleNotFoundError(
            f"arrays of {name} need it installed: pip install sparsesolve[{extra}]"
        ) from None


def moved(obj: T, device: str) -> T:
    """Move every array inside `obj`: arrays, containers, and objects with ``to``."""
    if is_array(obj):
        return to_device(obj, device)  # type: ignore[no-any-return]
    if isinstance(obj, dict):
        return type(obj)((k, moved(v, device)) for k, v in obj.items())
    if isinstance(obj, tuple) and hasattr(obj, "_fields"):
        return type(obj)(*(moved(v, device) for v in obj))
    if isinstance(obj, (tuple, list)):
        return type(obj)(moved(v, device) for v in obj)
    if callable(getattr(obj, "to", None)) and hasattr(obj, "__dict__"):
        return obj.to(device)  # type: ignore[attr-defined, no-any-return]
    return obj


def fresh_copy(obj: T) -> T:
    """Copy `obj` without its underscore attributes, which are caches."""
    new = copy.copy(obj)
    for name in vars(obj):
        if name.startswith("_"):
            object.__delattr__(new, name)
    return new


def moved_copy(obj: T, device: str) -> T:
    """Copy `obj` with its attributes moved to `device`, caches dropped."""
    new = fresh_copy(obj)
    for name, value in vars(new).items():
        object.__setattr__(new, name, moved(value, device))
    return new


def describe(obj: object) -> str:
    """Return a readable one-line repr: arrays as shapes, caches left out."""
    shown = []
    for name, value in vars(obj).items():
        if name.startswith("_") or name == "x_shape":
            continue
        shown.append(f"{name}={_described(value)}")
    return f"{type(obj).__name__}({', '.join(shown)})"


def _described(value: Any) -> str:
    if is_array(value):
        return str(value.item()) if value.ndim == 0 else f"array{tuple(value.shape)}"
    if isinstance(value, tuple) and any(is_array(item) for item in value):
        return f"({', '.join(map(_described, value))})"
    if callable(value) and hasattr(value, "__name__"):
        return str(value.__name__)
    return f"{value:g}" if isinstance(value, float) else repr(value)


def arrays_in(obj: object) -> Iterator[Array]:
    """Yield the arrays held by `obj`, caches (underscore attributes) left out."""
    if is_array(obj):
        yield obj
    elif isinstance(obj, dict):
        for value in obj.values():
            yield from arrays_in(value)
    elif isinstance(obj, (tuple, list)):
        for value in obj:
            yield from arrays_in(value)
    elif type(obj).__module__ != "builtins" and callable(getattr(obj, "to", None)):
        for name, value in vars(obj).items():
            if not name.startswith("_"):
                yield from arrays_in(value)
