"""Robust losses, in which no outlier pulls with more than a bounded force."""

from __future__ import annotations

import math
from typing import Any

from sparsesolve import checks
from sparsesolve.backends import Array, abs_squared, array_namespace, norm
from sparsesolve.losses import LeastSquares, Loss


class L21(Loss):
    """Σ_l ‖(Ax - y)_l‖₂: rows un-squared, so that a corrupted row pulls boundedly.

    Parameters
    ----------
    A, y
        See `Loss`.
    axis : int
        Axis of the data that runs along a row (pixels of a band), negative.
    """

    smooth = False

    def __init__(self, A: Any, y: Array, *, axis: int = -1) -> None:
        super().__init__(A, y)
        if not -len(self.A.out_shape) <= axis < 0:
            raise ValueError(
                f"axis is {axis}; wanted a negative axis of the data shape "
                f"{self.A.out_shape}"
            )
        self.axis = axis

    def value(self, z: Array) -> Array:
        return self.total(self._row_norms(z))

    def prox(self, z: Array, step: Any) -> Array:
        xp = array_namespace(z)
        norms = self._row_norms(z)
        step = self.expand(step)
        kept = xp.where(norms > step, norms - step, norms * 0)
        return self.y + (z - self.y) * (kept / xp.where(norms > 0, norms, norms + 1))

    def majorise(self, z: Array) -> LeastSquares:
        """Weights 1/‖row‖, rows below 1e-6 of a typical one held at that floor.

        A smaller floor would freeze blocks: the largest weight sets their steps.
        """
        xp = array_namespace(z)
        norms = self._row_norms(z)
        rows = math.prod(self.A.out_shape) / self.A.out_shape[self.axis]
        typical = norm(self.y, len(self.A.out_shape)) / math.sqrt(rows)
        floor = 1e-6 * self.expand(typical)
        safe = xp.maximum(norms, floor + xp.finfo(norms.dtype).smallest_normal)
        weights = xp.broadcast_to(1 / safe, self.y.shape)
        constant = self.total(norms - 0.5 * norms**2 / safe)
        return LeastSquares(self.A, self.y, weights, constant=constant)

    def _row_norms(self, z: Array) -> Array:
        xp = array_namespace(z)
        squares = xp.sum(abs_squared(z - self.y), axis=self.axis, keepdims=True)
        return xp.sqrt(squares)


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
