"""Finite differences."""

from __future__ import annotations

import math

from array_api_compat import device

from sparsesolve import checks
from sparsesolve.backends import Array, Shape, array_namespace
from sparsesolve.operators.base import Operator


class Gradient(Operator):
    """Forward differences along axes, x[i+1] − x[i], stacked in front.

    At the end of an axis the difference is 0 (Neumann boundary), so a constant array
    has gradient zero.

    Parameters
    ----------
    shape : tuple of int
        Shape of the unknown.
    axes : tuple of int, optional
        Axes to differentiate, all by default; negative ones count from the end.

    Notes
    -----
    ``out_shape`` is ``(len(axes), *shape)``, a vector field with its components
    first. The norm is known: √(Σ 4 sin²(π (n − 1) / 2n)) over the axes' lengths n.

    Examples
    --------
    >>> import numpy as np, sparsesolve as ss
    >>> ss.operators.Gradient((4,))(np.array([1.0, 3.0, 6.0, 10.0]))
    array([[2., 3., 4., 0.]])
    """

    def __init__(self, shape: Shape, axes: tuple[int, ...] | None = None) -> None:
        self.in_shape = checks.shape_tuple("shape", shape)
        self.axes = normal_axes(axes, self.in_shape)
        self.out_shape = (len(self.axes), *self.in_shape)

    def forward(self, x: Array) -> Array:
        xp, n_batch = array_namespace(x), x.ndim - len(self.in_shape)
        shape = (*x.shape[:n_batch], *self.out_shape)
        y = xp.zeros(shape, dtype=x.dtype, device=device(x))
        for k, axis in enumerate(self.axes):
            first, rest = self._shifted(axis)
            y[(..., k, *first)] = x[(..., *rest)] - x[(..., *first)]
        return y

    def adjoint(self, y: Array) -> Array:
        xp, n_batch = array_namespace(y), y.ndim - len(self.out_shape)
        shape = (*y.shape[:n_batch], *self.in_shape)
        x = xp.zeros(shape, dtype=y.dtype, device=device(y))
        for k, axis in enumerate(self.axes):
            first, rest = self._shifted(axis)
            part = y[(..., k, *first)]
            x[(..., *rest)] += part
            x[(..., *first)] -= part
        return x

    def norm(self) -> float:
        lengths = [self.in_shape[axis] for axis in self.axes]
        return math.sqrt(
            sum(4 * math.sin(math.pi * (n - 1) / (2 * n)) ** 2 for n in lengths)
        )

    def _shifted(self, axis: int) -> tuple[list[slice], list[slice]]:
        """Index all but the last, and all but the first, entries along `axis`."""
        first = [slice(None)] * len(self.in_shape)
        rest = list(first)
        first[axis], rest[axis] = slice(None, -1), slice(1, None)
        return first, rest


def normal_axes(axes: tuple[int, ...] | None, shape: Shape) -> tuple[int, ...]:
    """Return `axes` of `shape` as non-negative distinct numbers; None is all."""
    if axes is None:
        return tuple(range(len(shape)))
    axes = (axes,) if isinstance(axes, int) else tuple(axes)
    normal = tuple(axis + len(shape) if axis < 0 else axis for axis in axes)
    fits = all(0 <= axis < len(shape) for axis in normal)
    if not normal or not fits or len(set(normal)) < len(normal):
        raise ValueError(
            f"axes is {axes}; wanted distinct axes of shape {shape}, which has "
            f"{len(shape)}"
        )
    return normal
