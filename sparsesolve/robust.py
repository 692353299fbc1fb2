"""Robust losses, in which no outlier pulls with more than a bounded force."""

from __future__ import annotations

import math
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from sparsesolve import checks
from sparsesolve.backends import (
    Array,
    abs_squared,
    array_namespace,
    device_of,
    dtype_of,
    is_plain,
    native_dtype,
    real_dtype,
)
from sparsesolve.losses import LeastSquares, Loss

if TYPE_CHECKING:
    from sparsesolve.normal_form import NormalForm

# From so many entries the compiled norms are worth loading Numba.
_COMPILED = 1 << 16


class L21(Loss):
    """Σ_l ‖(Ax - y)_l‖₂: rows un-squared, so that a corrupted row pulls boundedly.

    Parameters
    ----------
    A, y
        See `Loss`.
    axis : int
        Axis of the data that runs along a row (pixels of a band), negative.
    weights : (n,) array, optional
        Positive weights of the entries along `axis`: ‖r‖² = Σ_n w_n |r_n|². All ones
        by default.
    """

    smooth = False

    def __init__(
        self, A: Any, y: Array, *, axis: int = -1, weights: Array | None = None
    ) -> None:
        super().__init__(A, y)
        if not -len(self.A.out_shape) <= axis < 0:
            raise ValueError(
                f"axis is {axis}; wanted a negative axis of the data shape "
                f"{self.A.out_shape}"
            )
        self.axis = axis
        self.weights = None if weights is None else self._checked(weights)

    def _checked(self, weights: Array) -> Array:
        """Return the weights shaped to broadcast along `axis`."""
        checks.finite("weights", weights)
        checks.same_device("y", weights, device_of(self.y))
        n = self.A.out_shape[self.axis]
        if tuple(weights.shape) != (n,):
            raise ValueError(
                f"weights has shape {tuple(weights.shape)}; wanted ({n},), one along "
                f"axis {self.axis} of the data"
            )
        xp = array_namespace(weights)
        if not bool(xp.all(weights > 0)):
            raise ValueError("weights has entries that are not positive")
        weights = xp.astype(weights, native_dtype(xp, real_dtype(dtype_of(self.y))))
        return weights[(..., *(None,) * (-1 - self.axis))]

    def value(self, z: Array) -> Array:
        return self.total(self._row_norms(z))

    def prox(self, z: Array, step: Any) -> Array:
        xp = array_namespace(z)
        step, residual = self.expand(step), z - self.y
        if self.weights is not None:
            return self.y + self._weighted_shrinkage(residual, step)
        norms = self._row_norms(z)
        kept = xp.where(norms > step, norms - step, norms * 0)
        return self.y + residual * (kept / xp.where(norms > 0, norms, norms + 1))

    def _weighted_shrinkage(self, residual: Array, step: Any) -> Array:
        """Return the prox of ‖√w r‖: r t / (t + step w), t the norm of the result.

        t solves Σ w r² / (t + step w)² = 1, whose left side is convex and falls:
        Newton's steps from 0 climb to the root and never pass it. Without a root the
        row is 0.
        """
        xp, w = array_namespace(residual), self.weights
        power = w * abs_squared(residual)
        t = xp.sum(power * 0, axis=self.axis, keepdims=True)
        for _ in range(60):
            share = power / (t + step * w) ** 2
            excess = xp.sum(share, axis=self.axis, keepdims=True) - 1
            slope = xp.sum(share / (t + step * w), axis=self.axis, keepdims=True)
            climb = excess / (2 * xp.where(slope > 0, slope, slope + 1))
            t = t + xp.where(excess > 0, climb, climb * 0)
        return residual * t / (t + step * w)

    def majorise(self, z: Array) -> LeastSquares:
        return self.majorise_and_value(z)[0]

    def majorise_and_value(self, z: Array) -> tuple[LeastSquares, Array]:
        """Weights 1/‖row‖, rows below 1e-6 of a typical one held at that floor.

        A smaller floor would freeze blocks: the largest weight sets their steps.
        """
        return self._touching(self._row_norms(z))

    def majorise_and_value_in(
        self, form: NormalForm, x: Array
    ) -> tuple[LeastSquares, Array] | None:
        # With a single row or column, weights of rows and of columns look the same.
        if form.left != (self.axis == -2) or min(self.A.out_shape) < 2:
            return None
        powers = form.residual_powers(x, self._data_powers)
        return None if powers is None else self._touching(powers**0.5)

    def _touching(self, norms: Array) -> tuple[LeastSquares, Array]:
        """Return the majoriser where the rows' residuals have these norms, and f."""
        xp = array_namespace(norms)
        floor = 1e-6 * self._typical
        safe = xp.maximum(norms, floor + xp.finfo(norms.dtype).smallest_normal)
        constant = self.total(norms - 0.5 * norms**2 / safe)
        factors = (1 / safe,) if self.weights is None else (1 / safe, self.weights)
        return LeastSquares.like(self, factors, constant), self.total(norms)

    @cached_property
    def _typical(self) -> Array:
        """Root mean square over the rows of the data's norms."""
        rows = math.prod(self.A.out_shape) / self.A.out_shape[self.axis]
        power = self.total(self._data_powers)
        return self.expand(array_namespace(power).sqrt(power / rows))

    @cached_property
    def _data_powers(self) -> Array:
        """Squared norms of the data's rows."""
        return self._row_norms(self.y * 0) ** 2

    def _row_norms(self, z: Array) -> Array:
        large = math.prod(z.shape) >= _COMPILED and z.shape == self.y.shape
        if self.axis == -1 and large and is_plain(self.y, z):
            return self._compiled_row_norms(z)
        xp = array_namespace(z)
        squares = abs_squared(z - self.y)
        if self.weights is not None:
            squares = self.weights * squares
        return xp.sqrt(xp.sum(squares, axis=self.axis, keepdims=True))

    def _compiled_row_norms(self, z: Array) -> Array:
        from sparsesolve.row_kernels import row_powers

        y = self.y.reshape(-1, self.y.shape[-1])
        weights = np.empty(0, y.dtype) if self.weights is None else self.weights
        out = np.empty(len(y))
        row_powers(y, z.reshape(y.shape), weights, out)
        return np.sqrt(out).astype(y.dtype).reshape(*self.y.shape[:-1], 1)


class Huber(Loss):
    """Σ h(|Ax - y|), h(r) = r²/2 up to `delta`, delta (r - delta/2) beyond.

    Parameters
    ----------
    A, y
        See `Loss`.
    delta : float
        Residual, in the units of `y`, beyond which an entry counts as an outlier.
    """

    def __init__(self, A: Any, y: Array, delta: float) -> None:
        super().__init__(A, y)
        self.delta = checks.positive("delta", delta)

    def value(self, z: Array) -> Array:
        xp = array_namespace(z)
        size = xp.abs(z - self.y)
        clipped = xp.where(size > self.delta, size * 0 + self.delta, size)
        return self.total(clipped * (size - 0.5 * clipped))

    def gradient(self, z: Array) -> Array:
        return (z - self.y) * self._shrink(z)

    def prox(self, z: Array, step: Any) -> Array:
        xp = array_namespace(z)
        residual, step = z - self.y, self.expand(step)
        size = xp.abs(residual)
        bound = self.delta * (1 + step)
        safe = xp.where(size > bound, size, size * 0 + bound)
        return self.y + residual * (1 - self.delta * step / safe)

    def majorise(self, z: Array) -> LeastSquares:
        weights = self._shrink(z)
        residual = abs_squared(z - self.y)
        constant = self.value(z) - 0.5 * self.total(weights * residual)
        return LeastSquares(self.A, self.y, weights, constant=constant)

    def _shrink(self, z: Array) -> Array:
        xp = array_namespace(z)
        size = xp.abs(z - self.y)
        return self.delta / xp.where(size > self.delta, size, size * 0 + self.delta)
