"""The operator contract and its lazy algebra.

Conventions, fixed here for the whole library:

* vectorisation is row-major: ``kron(A, B)`` maps ``X`` of shape ``(nA, nB)`` to
  ``A X Bᵀ``;
* FFTs are orthonormal;
* the time factor is e^{+jωt}, so an outgoing wave is e^{-jkR}; data of the other
  sign are conjugated on reading;
* `adjoint` is the conjugate transpose; there is no plain transpose.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from functools import cached_property
from typing import Any

import numpy as np

from sparsesolve import checks
from sparsesolve.backends import (
    Array,
    Shape,
    array_namespace,
    arrays_in,
    device_of,
    is_array,
    is_complex,
    moved_copy,
    native_dtype,
    real_dtype,
)

DType = np.dtype[Any] | None


def _kind(dtype: DType) -> str:
    return "any" if dtype is None else dtype.kind


def common_dtype(*dtypes: DType) -> DType:
    """Join the dtypes of several operators; None (any) gives way to the others.

    Raises
    ------
    TypeError
        Two of them differ in precision.
    """
    known = [dtype for dtype in dtypes if dtype is not None]
    if len({real_dtype(dtype) for dtype in known}) > 1:
        names = ", ".join(str(dtype) for dtype in known)
        raise TypeError(f"operators of {names} cannot be combined; convert one of them")
    return np.result_type(*known) if known else None


def held_on(obj: object) -> str | None:
    """Return the device that holds the arrays of `obj`; None if it has no arrays.

    Raises
    ------
    TypeError
        They are on several.
    """
    devices = sorted({device_of(a) for a in arrays_in(obj)})
    if len(devices) > 1:
        raise TypeError(
            f"{obj!r} holds arrays on {' and '.join(devices)}; move it to one device "
            f"with .to({devices[0]!r})"
        )
    return devices[0] if devices else None


def joint_dtypes(*parts: Operator) -> tuple[DType, DType]:
    """Return `in_dtype` and `out_dtype` of operators that share unknown or data.

    If one of them takes a real unknown, the whole unknown is real.

    Raises
    ------
    TypeError
        They differ in precision, or only some take the real part of their result.
    """
    in_dtype = common_dtype(*(A.in_dtype for A in parts))
    out_dtype = common_dtype(*(A.out_dtype for A in parts))
    if len({A.gives_real for A in parts}) > 1:
        raise TypeError(
            f"{', '.join(map(repr, parts))}: some keep only the real part of what "
            "they compute and some do not; combine them first, then take .real() or .H"
        )
    if in_dtype is not None and any(A.takes_real for A in parts):
        in_dtype = real_dtype(in_dtype)
    return in_dtype, out_dtype


class Operator(ABC):
    """A linear map between n-dimensional arrays.

    A new operator sets `in_shape`, `out_shape` and, if it only works in one
    precision, `in_dtype` and `out_dtype`; and writes `forward` and `adjoint`, for
    arrays with any number of leading batch axes. These two never validate and never
    import an array library: ``xp = array_namespace(x)``. Arrays it needs are plain
    attributes, so that `to` can move them; an attribute with a leading underscore is
    a cache, which `to` drops.

    Attributes
    ----------
    in_shape, out_shape : tuple of int
        Shapes of one model and of one data array.
    in_dtype, out_dtype : numpy.dtype or None
        Natural dtypes; None means any floating-point dtype, kept. If `in_dtype` is
        real and `out_dtype` complex the unknown is real and `adjoint` returns Re Aᴴy.
    """

    in_shape: Shape
    out_shape: Shape
    in_dtype: DType = None
    out_dtype: DType = None

    @abstractmethod
    def forward(self, x: Array) -> Array:
        """Return A x for `x` of shape ``(*batch, *in_shape)``, unchecked."""

    @abstractmethod
    def adjoint(self, y: Array) -> Array:
        """Return Aᴴ y for `y` of shape ``(*batch, *out_shape)``, unchecked."""

    def gram(self, x: Array) -> Array:
        """Return AᴴA x, unchecked; override where that is cheaper than both."""
        return self.adjoint(self.forward(x))

    @property
    def takes_real(self) -> bool:
        """Whether the unknown is real under a complex operator: adjoint is Re Aᴴ."""
        return _kind(self.in_dtype) == "f" and _kind(self.out_dtype) == "c"

    @property
    def gives_real(self) -> bool:
        """Whether it keeps the real part of complex arrays, as ``A.real().H`` does."""
        return _kind(self.in_dtype) == "c" and _kind(self.out_dtype) == "f"

    def _model(self, x: Array) -> Array:
        """Drop the imaginary part of an adjoint's result if the unknown is real."""
        return array_namespace(x).real(x) if self.takes_real and is_complex(x) else x

    @property
    def shape(self) -> tuple[int, int]:
        """``(prod(out_shape), prod(in_shape))``, as of a matrix."""
        return math.prod(self.out_shape), math.prod(self.in_shape)

    @property
    def device(self) -> str | None:
        """Where its arrays live; None if it holds none and works anywhere."""
        return held_on(self)

    @property
    def H(self) -> Operator:
        """The adjoint as an operator."""
        return Adjoint(self)

    def real(self) -> Operator:
        """Return the same operator for a real unknown: its adjoint is Re Aᴴ."""
        return RealUnknown(self)

    def norm(self) -> float:
        """Upper estimate of the largest singular value, cached.

        Seeded Golub-Kahan-Lanczos steps until the estimate is as good as certain to
        1.5 %, then raised by that margin, at most 2 % too large, so that steps of
        1/norm² are safe. Costs typically 20 to 35 applications of A and Aᴴ.
        """
        return self._norm

    @cached_property
    def _norm(self) -> float:
        from sparsesolve.operators.lanczos import largest_singular_value

        return largest_singular_value(self)

    def to(self, device: str) -> Operator:
        """Return a copy whose arrays live on `device`, such as ``"cupy:0"``."""
        return moved_copy(self, device)

    def to_pylops(self) -> Any:
        """Return a ``pylops.LinearOperator`` on flat row-major vectors."""
        from sparsesolve.operators.bridges import to_pylops

        return to_pylops(self)

    def to_scipy(self) -> Any:
        """Return a ``scipy.sparse.linalg.LinearOperator`` on flat row-major vectors."""
        from sparsesolve.operators.bridges import to_scipy

        return to_scipy(self)

    def partial(self, block: str, x: dict[str, Array]) -> tuple[Operator, Array]:
        """Refuse: only a map of named blocks can hold some of them fixed."""
        raise TypeError(f"{self!r} maps one array; there is no block {block!r} to free")

    def check_input(self, x: Array) -> None:
        """Raise unless `x` fits `in_shape`, `in_dtype` and the device."""
        self._check("forward", x, self.in_shape, self.in_dtype)
        if self.takes_real and is_complex(x):
            raise TypeError(f"{self!r} takes a real unknown but got {x.dtype}")

    def check_output(self, y: Array) -> None:
        """Raise unless `y` fits `out_shape`, `out_dtype` and the device."""
        self._check("adjoint", y, self.out_shape, self.out_dtype)

    def _check(self, what: str, x: Array, shape: Shape, dtype: DType) -> None:
        who = f"{self!r} ({what})"
        checks.trailing_shape(who, x, shape)
        checks.same_precision(who, x, dtype)
        checks.same_device(who, x, self.device)

    def __call__(self, x: Array) -> Array:
        """Return A x after checking shape, dtype and device of `x`."""
        self.check_input(x)
        return self.forward(x)

    def __matmul__(self, other: Any) -> Any:
        """Compose with an operator, or apply to natural, flat or column arrays."""
        if isinstance(other, Operator):
            return Composition(self, other)
        if not is_array(other):
            return NotImplemented
        n = self.shape[1]
        columns = other.ndim == 2 and other.shape[0] == n
        natural = tuple(other.shape[-len(self.in_shape) :]) == self.in_shape
        if natural and not (columns and len(self.in_shape) == 1):
            return self(other)
        xp = array_namespace(other)
        if other.shape == (n,):
            return xp.reshape(self(xp.reshape(other, self.in_shape)), (-1,))
        if columns:
            stack = xp.reshape(xp.matrix_transpose(other), (-1, *self.in_shape))
            image = xp.reshape(self(stack), (other.shape[1], self.shape[0]))
            return xp.matrix_transpose(image)
        return self(other)

    def __add__(self, other: Operator) -> Operator:
        return Sum(self, other)

    def __sub__(self, other: Operator) -> Operator:
        return Sum(self, Scaled(-1.0, other))

    def __neg__(self) -> Operator:
        return Scaled(-1.0, self)

    def __mul__(self, factor: complex) -> Operator:
        return Scaled(factor, self)

    __rmul__ = __mul__

    # NumPy would otherwise try to broadcast an operator into an object array.
    __array_ufunc__ = None

    def __repr__(self) -> str:
        return f"{type(self).__name__} {self.in_shape} -> {self.out_shape}"


class Adjoint(Operator):
    """The adjoint Aᴴ of an operator."""

    def __init__(self, inner: Operator) -> None:
        self.inner = inner
        self.in_shape, self.out_shape = inner.out_shape, inner.in_shape
        self.in_dtype, self.out_dtype = inner.out_dtype, inner.in_dtype

    def forward(self, x: Array) -> Array:
        return self.inner.adjoint(x)

    def adjoint(self, y: Array) -> Array:
        return self.inner.forward(y)

    @property
    def H(self) -> Operator:
        return self.inner

    def norm(self) -> float:
        return self.inner.norm()


class Scaled(Operator):
    """An operator times a number; a complex factor needs complex arrays."""

    def __init__(self, factor: complex, inner: Operator) -> None:
        if isinstance(factor, np.generic):
            factor = factor.item()
        if isinstance(factor, bool) or not isinstance(factor, (int, float, complex)):
            raise TypeError(f"factor is {factor!r}; wanted a number")
        self.factor, self.inner = factor, inner
        self.in_shape, self.out_shape = inner.in_shape, inner.out_shape
        self.in_dtype, self.out_dtype = inner.in_dtype, inner.out_dtype
        if not isinstance(factor, complex) or inner.out_dtype is None:
            return
        if inner.gives_real:
            raise TypeError(f"{inner!r} gives real arrays; its factor must be real")
        self.out_dtype = np.result_type(inner.out_dtype, np.complex64)
        if not inner.takes_real:
            self.in_dtype = self.out_dtype

    def forward(self, x: Array) -> Array:
        return self.factor * self.inner.forward(x)

    def adjoint(self, y: Array) -> Array:
        return self.inner.adjoint(self.factor.conjugate() * y)

    def gram(self, x: Array) -> Array:
        return abs(self.factor) ** 2 * self.inner.gram(x)

    def norm(self) -> float:
        return abs(self.factor) * self.inner.norm()


class Sum(Operator):
    """The sum of two operators of equal shapes."""

    def __init__(self, left: Operator, right: Operator) -> None:
        if not isinstance(right, Operator):
            raise TypeError(f"cannot add a {type(right).__name__} to {left!r}")
        shapes = left.in_shape, left.out_shape
        if shapes != (right.in_shape, right.out_shape):
            raise ValueError(f"cannot add {left!r} and {right!r}: their shapes differ")
        self.left, self.right = left, right
        self.in_shape, self.out_shape = shapes
        self.in_dtype, self.out_dtype = joint_dtypes(left, right)

    def forward(self, x: Array) -> Array:
        return self.left.forward(x) + self.right.forward(x)

    def adjoint(self, y: Array) -> Array:
        return self._model(self.left.adjoint(y)) + self._model(self.right.adjoint(y))


class Composition(Operator):
    """``outer @ inner``: first `inner`, then `outer`."""

    def __init__(self, outer: Operator, inner: Operator) -> None:
        if outer.in_shape != inner.out_shape:
            hint = checks.swapped(inner.out_shape, outer.in_shape)
            raise ValueError(
                f"cannot compose {outer!r} @ {inner!r}: the first takes shape "
                f"{outer.in_shape}, the second gives {inner.out_shape}{hint}"
            )
        common_dtype(outer.in_dtype, inner.out_dtype)
        if outer.takes_real and _kind(inner.out_dtype) == "c":
            raise TypeError(f"{outer!r} takes a real unknown; {inner!r} gives complex")
        self.outer, self.inner = outer, inner
        self.in_shape, self.out_shape = inner.in_shape, outer.out_shape
        # A real matrix before a Fourier transform still has a complex unknown.
        self.in_dtype, self.out_dtype = inner.in_dtype, outer.out_dtype
        if not inner.takes_real:
            self.in_dtype = common_dtype(inner.in_dtype, outer.in_dtype)
        if not outer.gives_real:
            self.out_dtype = common_dtype(inner.out_dtype, outer.out_dtype)

    def forward(self, x: Array) -> Array:
        return self.outer.forward(self.inner.forward(x))

    def adjoint(self, y: Array) -> Array:
        return self.inner.adjoint(self.outer.adjoint(y))

    def gram(self, x: Array) -> Array:
        return self.inner.adjoint(self.outer.gram(self.inner.forward(x)))


class RealUnknown(Operator):
    """An operator whose unknown is known to be real; its adjoint is Re Aᴴ.

    Applied to a real array it is A; the model space is real, so the adjoint with
    respect to the inner product Re⟨·,·⟩ drops the imaginary part.
    """

    def __init__(self, inner: Operator) -> None:
        if inner.in_dtype is None or inner.in_dtype.kind != "c":
            raise TypeError(f"{inner!r} is not complex; its unknown is real already")
        self.inner = inner
        self.in_shape, self.out_shape = inner.in_shape, inner.out_shape
        self.in_dtype = real_dtype(inner.in_dtype)
        self.out_dtype = inner.out_dtype

    def _complex(self, x: Array) -> Array:
        xp = array_namespace(x)
        return xp.astype(x, native_dtype(xp, self.inner.in_dtype), copy=False)

    def forward(self, x: Array) -> Array:
        return self.inner.forward(self._complex(x))

    def adjoint(self, y: Array) -> Array:
        return array_namespace(y).real(self.inner.adjoint(self._complex(y)))

    def gram(self, x: Array) -> Array:
        return array_namespace(x).real(self.inner.gram(self._complex(x)))
