"""Three ways to the prox of total variation: direct, compiled dual, plain dual.

All of them first subtract the mean of an array and divide by its root mean square,
which commutes with the prox and makes weights, tolerances and rounding comparable.
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
    real_dtype,
)


class Settings(NamedTuple):
    """What the dual methods are told: see `TotalVariation`."""

    isotropic: bool
    tol: float
    max_iter: int


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


def lines(v: Array, w: Array) -> Array:
    """Exact prox of real NumPy rows `v`, each with its own weight, in linear time."""
    from sparsesolve.priors import tv_kernels

    z, centre, scale = _normalised(v.astype(np.float64, copy=False), 1)
    x = np.empty_like(z)
    tv_kernels.denoise_lines(z, w / scale[:, 0], x)
    return _restored(x, v, centre, scale, 1)


def compiled(v: Array, w: float, p: Array, how: Settings) -> tuple[Array, Array, bool]:
    """Return prox, dual and success for one NumPy array `v` by the Numba kernels.

    Dual steps are taken in float32, at a quarter of the time, as long as rounding
    allows; the gap is measured in float64.
    """
    from sparsesolve.kernels import get_num_threads
    from sparsesolve.priors import tv_kernels

    n, per_entry = v.ndim, 2 if is_complex(v) else 1
    z, centre, scale = _normalised(v.astype(np.result_type(v, np.float64)), n)
    flat = z.view(np.float64).reshape(v.shape[0] if n > 1 else 1, -1)
    # The kernel's axes are planes, rows and entries; only volumes have the middle one.
    axes = ([2], [0, 2], [0, 1, 2])[n - 1]
    real = real_dtype(v.dtype)
    dual = np.zeros((3, *flat.shape), np.float32)
    dual[axes] = np.ascontiguousarray(p).view(real).reshape(n, *flat.shape)
    # A slab of planes per thread, if waking the threads at every step is worth it.
    n_slabs = max(1, min(get_num_threads(), len(flat), flat.size >> 16))
    x = np.empty_like(flat)
    for precision in (np.float32, np.float64):
        dual = dual.astype(precision, copy=False)
        done, n_steps = tv_kernels.ascend(
            flat,
            flat.astype(precision, copy=False),
            w / scale.item(),
            dual,
            v.shape[-1] * per_entry,
            per_entry,
            how.isotropic,
            how.tol,
            how.max_iter,
            n_slabs,
            x,
        )
        if done or n_steps == how.max_iter:
            break
    p = dual[axes].astype(real, copy=False).view(v.dtype).reshape(p.shape)
    return _restored(x.view(z.dtype).reshape(v.shape), v, centre, scale, n), p, done


def plain(v: Array, w: Any, p: Array, n: int, how: Settings) -> tuple[Array, Array, bool]:
    """Return prox, dual and success by the same iteration in the array API.

    A batch runs in lockstep until all of its arrays are done.
    """
    xp = array_namespace(v)
    shape = v.shape[v.ndim - n :]
    n_axes = max(1, sum(length > 1 for length in shape))
    eps = float(np.finfo(dtype_of(v)).eps)

    def over_axes(a: Array) -> Array:
        return xp.expand_dims(a, axis=-n - 1)

    def dots(g: Array, h: Array) -> Array:
        return expand(inner(g, h, n + 1), n)

    z, centre, scale = _normalised(v, n)
    w = w / scale
    c = over_axes(1 / (4 * n_axes * w))
    y, t, check = p, xp.zeros_like(scale), min(4, how.max_iter)
    for k in range(1, how.max_iter + 1):
        q = y + c * gradient(z - w * adjoint(y, n), n)
        new = q / xp.clip(lengths(q, n, how.isotropic), min=1.0)
        uphill = dots(y - new, new - p)
        y = new + over_axes(t / (t + 5)) * (new - p)
        p, t = new, xp.where(uphill > 0, xp.zeros_like(t), t + 1)
        if k < check:
            continue
        x = z - w * adjoint(p, n)
        g = gradient(x, n)
        tv = _total(xp.sum(lengths(g, n, how.isotropic), axis=-n - 1), n)
        gap = w * (tv - dots(g, p))
        value = _total(abs_squared(x - z), n) / 2 + w * tv
        # The constant array is the other candidate: the dual bounds its value too.
        constant = _total(abs_squared(x), n) / 2
        x = xp.where(constant < gap, xp.zeros_like(x), x)
        value = xp.where(constant < gap, value - gap + constant, value)
        gap = xp.minimum(gap, constant)
        rounding = 4 * eps * w * (w + 1) * math.prod(shape)
        excess = float(xp.max(gap / xp.maximum(how.tol * value, rounding)))
        if not excess > 1:
            break
        check = _next_check(k, excess, how.max_iter)
    return _restored(x, v, centre, scale, n), p, not excess > 1


def _next_check(k: int, excess: float, max_iter: int) -> int:
    """The gap falls as 1/k²: look again shortly before it should have fallen."""
    wait = max(4, int(0.7 * k * (math.sqrt(excess) - 1)))
    return min(k + min(wait, k), max_iter)


def _total(terms: Array, n: int) -> Array:
    axes = tuple(range(-n, 0))
    return array_namespace(terms).sum(terms, axis=axes, keepdims=True)


def _normalised(v: Array, n: int) -> tuple[Array, Array, Array]:
    """Return the standardised array, its mean and its scale (1 for a constant)."""
    xp = array_namespace(v)
    size = math.prod(v.shape[v.ndim - n :])
    centre = _total(v, n) / size
    scale = xp.sqrt(_total(abs_squared(v - centre), n) / size)
    eps = float(np.finfo(dtype_of(v)).eps)
    scale = xp.where(scale > eps * xp.abs(centre), scale, xp.ones_like(scale))
    return (v - centre) / scale, centre, scale


def _restored(x: Array, v: Array, centre: Array, scale: Array, n: int) -> Array:
    """Undo `_normalised`; a real prox lies between the least and largest of `v`."""
    xp = array_namespace(v)
    x = x * scale + centre
    if not is_complex(v):
        axes = tuple(range(-n, 0))
        least = xp.min(v, axis=axes, keepdims=True)
        x = xp.clip(x, least, xp.max(v, axis=axes, keepdims=True))
    return xp.astype(x, v.dtype, copy=False)
