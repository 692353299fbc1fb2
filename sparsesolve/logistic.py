"""The logistic loss, for labels."""

from __future__ import annotations

from typing import Any, Self

from sparsesolve.backends import Array, array_namespace, dtype_of, fresh_copy, is_array
from sparsesolve.losses import Loss


class Logistic(Loss):
    """Σ log(1 + e^{-y (Ax)}) for labels y of -1 and +1; real only.

    Parameters
    ----------
    A, y
        See `Loss`; every entry of `y` is -1 or +1.
    """

    curvature = 0.25

    def __init__(self, A: Any, y: Array) -> None:
        super().__init__(A, y)
        xp = array_namespace(self.y)
        if dtype_of(self.y).kind == "c" or not bool(xp.all(xp.abs(self.y) == 1)):
            raise ValueError("y has entries other than -1 and +1; wanted labels")

    def value(self, z: Array) -> Array:
        xp = array_namespace(z)
        return self.total(xp.logaddexp(z * 0, -self.y * z))

    def gradient(self, z: Array) -> Array:
        return -self.y * _sigmoid(-self.y * z)

    def prox(self, z: Array, step: Any) -> Array:
        """Solve u = v + step·sigmoid(-u), v = yz, by safeguarded Newton steps.

        A Newton step counts if it stays in the bracket [v, v + step] and the last one
        halved the slope; else the bracket is halved, as Newton alone may cycle.
        """
        xp = array_namespace(z)
        v, step = self.y * z, self.expand(step)
        low, high = v, v + step
        u, last = 0.5 * (low + high), xp.abs(step + v * 0)
        for _ in range(100):
            s = _sigmoid(-u)
            slope = u - v - step * s
            low, high = xp.where(slope < 0, u, low), xp.where(slope < 0, high, u)
            newton = u - slope / (1 + step * s * (1 - s))
            good = (newton >= low) & (newton <= high) & (xp.abs(slope) <= 0.5 * last)
            u, last = xp.where(good, newton, 0.5 * (low + high)), xp.abs(slope)
        return self.y * u

    def partial(self, block: str, x: dict[str, Array]) -> Self:
        operator, offset = self.A.partial(block, x)
        if is_array(offset):
            raise TypeError("Logistic cannot hold blocks fixed that add to Ax")
        new = fresh_copy(self)
        new.A = operator
        return new


def _sigmoid(z: Array) -> Array:
    xp = array_namespace(z)
    return 0.5 * (1 + xp.tanh(0.5 * z))
