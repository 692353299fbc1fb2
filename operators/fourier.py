"""The Fourier transform and convolution."""

from __future__ import annotations

import math
from functools import cached_property
from typing import Any, Literal

import numpy as np
from array_api_compat import device

from sparsesolve import checks
from sparsesolve.backends import (
    Array,
    Shape,
    abs_squared,
    array_namespace,
    conj,
    dtype_of,
    is_complex,
    native_dtype,
)
from sparsesolve.operators.base import Operator
from sparsesolve.operators.dense import on_parts
from sparsesolve.operators.gradient import normal_axes


def _fft_of(x: Array) -> Any:
    """The library's FFTs; SciPy's on NumPy arrays, up to eight times as fast."""
    if not isinstance(x, np.ndarray):
        return array_namespace(x).fft
    import scipy.fft

    return scipy.fft


def _as_complex(x: Array) -> Array:
    if is_complex(x):
        return x
    xp = array_namespace(x)
    dtype = np.result_type(dtype_of(x), np.complex64)
    return xp.astype(x, native_dtype(xp, dtype))


class Fourier(Operator):
    """Orthonormal discrete Fourier transform: its adjoint is its inverse.

    Parameters
    ----------
    shape : tuple of int
        Shape of model and data.
    axes : tuple of int, optional
        Axes to transform, all by default.
    dtype : {"complex128", "complex64"}
        The precision it takes and gives.

    Examples
    --------
    >>> import numpy as np, sparsesolve as ss
    >>> ss.operators.Fourier((4,))(np.ones(4)).real
    array([2., 0., 0., 0.])
    """

    def __init__(
        self,
        shape: Shape,
        axes: tuple[int, ...] | None = None,
        *,
        dtype: str = "complex128",
    ) -> None:
        self.in_shape = self.out_shape = checks.shape_tuple("shape", shape)
        n = len(self.in_shape)
        self.axes = tuple(axis - n for axis in normal_axes(axes, self.in_shape))
        self.in_dtype = self.out_dtype = np.dtype(dtype)
        if self.in_dtype.kind != "c":
            raise ValueError(f"dtype is {dtype!r}; wanted 'complex64' or 'complex128'")

    def forward(self, x: Array) -> Array:
        x = _as_complex(x)
        return _fft_of(x).fftn(x, axes=self.axes, norm="ortho")

    def adjoint(self, y: Array) -> Array:
        y = _as_complex(y)
        return _fft_of(y).ifftn(y, axes=self.axes, norm="ortho")

    def gram(self, x: Array) -> Array:
        return _as_complex(x)

    def norm(self) -> float:
        return 1.0


class Convolution(Operator):
    """Convolution with a centred kernel, by FFT.

    y[i] = Σₖ kernel[k] x[i − k + c] in every axis, where the origin c is the index
    n // 2 of an axis of n entries: the middle one if n is odd.

    Parameters
    ----------
    kernel : array, floating point
        As many axes as `shape`; an odd number of entries in each keeps images in
        place. A real kernel may also be applied to complex arrays.
    shape : tuple of int
        Shape of model and data.
    boundary : {"periodic", "zero"}
        What x is outside: itself repeated, or zero (padded to a fast FFT length).

    Raises
    ------
    TypeError, ValueError
        The kernel is not finite floating point, has other axes than `shape`, or is
        larger than a periodic image.

    Examples
    --------
    >>> import numpy as np, sparsesolve as ss
    >>> A = ss.operators.Convolution(np.array([1.0, 2.0, 3.0]), (5,))
    >>> np.round(A(np.array([0.0, 0.0, 1.0, 0.0, 0.0])), 12) + 0.0
    array([0., 1., 2., 3., 0.])
    """

    def __init__(
        self,
        kernel: Array,
        shape: Shape,
        boundary: Literal["periodic", "zero"] = "periodic",
    ) -> None:
        checks.finite("kernel", kernel)
        checks.same_precision("kernel", kernel, None)
        self.in_shape = self.out_shape = checks.shape_tuple("shape", shape)
        sizes = tuple(kernel.shape)
        if len(sizes) != len(self.in_shape):
            raise ValueError(
                f"kernel has shape {sizes}; wanted as many axes as {self.in_shape}"
            )
        if boundary not in ("periodic", "zero"):
            raise ValueError(f"boundary is {boundary!r}; wanted 'periodic' or 'zero'")
        pairs = list(zip(self.in_shape, sizes, strict=True))
        if boundary == "periodic" and any(k > n for n, k in pairs):
            raise ValueError(
                f"kernel of shape {sizes} is larger than the periodic image "
                f"{self.in_shape}; crop it or use boundary='zero'"
            )
        self.kernel, self.boundary = kernel, boundary
        self.in_dtype = self.out_dtype = dtype_of(kernel)
        self.fft_shape = self.in_shape
        if boundary == "zero":
            from scipy.fft import next_fast_len

            # Only the kernel's half length can wrap around into the image.
            self.fft_shape = tuple(
                next_fast_len(max(n + k // 2, k), real=True) for n, k in pairs
            )
        self.axes = tuple(range(-len(self.in_shape), 0))

    @property
    def transfer(self) -> Array:
        """What multiplies `spectrum`: that of the kernel with its origin at index 0."""
        return self._transfer

    @cached_property
    def _transfer(self) -> Array:
        xp = array_namespace(self.kernel)
        padded = xp.zeros(
            self.fft_shape, dtype=self.kernel.dtype, device=device(self.kernel)
        )
        padded[tuple(slice(k) for k in self.kernel.shape)] = self.kernel
        shift = tuple(-(k // 2) for k in self.kernel.shape)
        return self.spectrum(xp.roll(padded, shift, axis=self.axes))

    @cached_property
    def _power(self) -> Array:
        return abs_squared(self.transfer)

    def spectrum(self, x: Array) -> Array:
        """Fourier transform of `x`, zero-padded; half of it if the kernel is real."""
        fft = _fft_of(x)
        if not is_complex(self.kernel):
            return fft.rfftn(x, s=self.fft_shape, axes=self.axes)
        x = _as_complex(x)
        return fft.fftn(x, s=self.fft_shape, axes=self.axes)

    def image(self, spectrum: Array) -> Array:
        """Inverse of `spectrum`, cropped to ``out_shape``."""
        fft = _fft_of(spectrum)
        inverse = fft.ifftn if is_complex(self.kernel) else fft.irfftn
        x = inverse(spectrum, s=self.fft_shape, axes=self.axes)
        return x[(..., *(slice(n) for n in self.out_shape))]

    def _filter(self, transfer: Array, x: Array) -> Array:
        if is_complex(x) and not is_complex(self.kernel):
            return on_parts(lambda parts: self._filter(transfer, parts), x)
        return self.image(transfer * self.spectrum(x))

    def forward(self, x: Array) -> Array:
        return self._filter(self.transfer, x)

    def adjoint(self, y: Array) -> Array:
        return self._filter(conj(self.transfer), y)

    def gram(self, x: Array) -> Array:
        if self.boundary == "zero":
            return self.adjoint(self.forward(x))
        return self._filter(self._power, x)

    def norm(self) -> float:
        if self.boundary == "zero":
            return self._norm
        return math.sqrt(float(array_namespace(self._power).max(self._power)))
