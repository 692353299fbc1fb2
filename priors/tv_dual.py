"""The dual problem of the prox of total variation, by accelerated projected gradient.

Arrays are first freed of their mean and divided by their root mean square, which
commutes with the prox and makes weights, tolerances and rounding comparable.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from sparsesolve.backends import (
    Array,
    abs_squared,
    array_namespace,
    dtype_of,
    expand,
    inner,
    is_complex,
)


class Settings(NamedTuple):
    """What the dual methods are told: see `TotalVariation`."""

    isotropic: bool
    tol: float


def gradient(x: Array, n: int) -> Array:
    """Forward differences along the last `n` axes, stacked in front of them.

    The last entry along each axis, which has no successor, is 0.
    """
    xp = array_namespace(x)
    parts = []
    for axis in range(-n, 0):
        y = xp.moveaxis(x, axis, 0)
        y = xp.concat([y[1:, ...] - y[:-1, ...], xp.zeros_like(y[:1, ...])])
        parts.append(xp.moveaxis(y, 0, axis))
    return xp.stack(parts, axis=-n - 1)


def adjoint(p: Array, n: int) -> Array:
    """Adjoint of `gradient`, for `p` that is 0 wherever every gradient is."""
    xp = array_namespace(p)
    terms = xp.moveaxis(p, -n - 1, 0)
    terms = [xp.roll(terms[a, ...], 1, axis=a - n) - terms[a, ...] for a in range(n)]
    return sum(terms[1:], start=terms[0])


def lengths(g: Array, n: int, isotropic: bool) -> Array:
    """Length of each difference, or of the vector of them all, kept broadcastable."""
    xp = array_namespace(g)
    if not isotropic:
        return xp.abs(g)
    return xp.sqrt(xp.sum(abs_squared(g), axis=-n - 1, keepdims=True))


class PlainDual:
    """The dual problem in the array API; a batch runs in lockstep.

    Momentum t/(t + 5): Chambolle & Dossal (2015), doi:10.1007/s10957-015-0746-4;
    restart where it points downhill: O'Donoghue & Candès (2015),
    doi:10.1007/s10208-013-9150-3.
    """

    def __init__(self, v: Array, w: Any, p: Array, n: int, how: Settings) -> None:
        self.v, self.p, self.y, self.n, self.how = v, p, p, n, how
        self.z, self.centre, self.scale = normalised(v, n)
        self.w = w / self.scale
        self.t = array_namespace(v).zeros_like(self.scale)

    def step(self) -> None:
        """Project y + c ∇(z - w ∇ᵀy), the gradient step, and extrapolate."""
        xp, n = array_namespace(self.v), self.n
        c = self._over_axes(1 / (4 * n_axes(self.v, n) * self.w))
        q = self.y + c * gradient(self.z - self.w * adjoint(self.y, n), n)
        new = q / xp.clip(lengths(q, n, self.how.isotropic), min=1.0)
        move = new - self.p
        downhill = self._dot(self.y - new, move) > 0
        self.p, self.y = new, new + self._over_axes(self.t / (self.t + 5)) * move
        self.t = xp.where(downhill, xp.zeros_like(self.t), self.t + 1)

    def excess(self) -> float:
        """Set `x`; return by what factor the gap is above the tolerance."""
        xp, n, z = array_namespace(self.v), self.n, self.z
        self.x = z - self.w * adjoint(self.p, n)
        g = gradient(self.x, n)
        norms = xp.sum(lengths(g, n, self.how.isotropic), axis=-n - 1)
        tv, fit = total(norms, n), total(abs_squared(self.x - z), n)
        gap, value = self.w * (tv - self._dot(g, self.p)), fit / 2 + self.w * tv
        # The constant array is the other candidate: the dual bounds its value too.
        constant = total(abs_squared(self.x), n) / 2
        better = constant < gap
        self.x = xp.where(better, xp.zeros_like(self.x), self.x)
        value = xp.where(better, value - gap + constant, value)
        eps = float(np.finfo(dtype_of(z)).eps)
        floor = rounding(eps, self.w, math.prod(z.shape[z.ndim - n :]))
        allowed = xp.maximum(self.how.tol * value, floor)
        return float(xp.max(xp.minimum(gap, constant) / allowed))

    def result(self) -> tuple[Array, Array]:
        """Return the prox and the dual."""
        return restored(self.x, self.v, self.centre, self.scale, self.n), self.p

    def _over_axes(self, a: Array) -> Array:
        return array_namespace(a).expand_dims(a, axis=-self.n - 1)

    def _dot(self, g: Array, h: Array) -> Array:
        return expand(inner(g, h, self.n + 1), self.n)


def ascend(dual: Any, max_iter: int) -> bool:
    """Take steps until the gap is small enough; return whether that was reached.

    At least four steps come first: a warm-started outer solver then always makes
    progress, although its dual may already meet the tolerance.
    """
    check = min(4, max_iter)
    for k in range(1, max_iter + 1):
        dual.step()
        if k < check:
            continue
        excess = dual.excess()
        if not excess > 1:
            return True
        # The gap falls as 1/k²: look again shortly before it should have fallen.
        wait = max(4.0, 0.7 * k * (math.sqrt(excess) - 1))
        check = min(k + int(min(wait, k)), max_iter)
    return False


def n_axes(v: Array, n: int) -> int:
    """Count the axes along which there are differences; at least 1."""
    return max(1, sum(1 for length in v.shape[v.ndim - n :] if length > 1))


def rounding(eps: float, w: Any, size: int) -> Any:
    """Return a gap that a dual rounded to `eps` cannot be expected to fall below."""
    return 4 * eps * w * (w + 1) * size


def total(terms: Array, n: int) -> Array:
    """Sum over the last `n` axes, kept broadcastable."""
    axes = tuple(range(-n, 0))
    return array_namespace(terms).sum(terms, axis=axes, keepdims=True)


def normalised(v: Array, n: int) -> tuple[Array, Array, Array]:
    """Return the standardised array, its mean and its scale (1 for a constant)."""
    xp = array_namespace(v)
    size = math.prod(v.shape[v.ndim - n :])
    centre = total(v, n) / size
    scale = xp.sqrt(total(abs_squared(v - centre), n) / size)
    eps = float(np.finfo(dtype_of(v)).eps)
    scale = xp.where(scale > eps * xp.abs(centre), scale, xp.ones_like(scale))
    return (v - centre) / scale, centre, scale


def restored(x: Array, v: Array, centre: Array, scale: Array, n: int) -> Array:
    """Undo `normalised`; a real prox lies between the least and largest of `v`."""
    xp = array_namespace(v)
    x = x * scale + centre
    if not is_complex(v):
        axes = tuple(range(-n, 0))
        least = xp.min(v, axis=axes, keepdims=True)
        x = xp.clip(x, least, xp.max(v, axis=axes, keepdims=True))
    return xp.astype(x, v.dtype, copy=False)
