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
        y = xp.concat([y[1:] - y[:-1], xp.zeros_like(y[:1])])
        parts.append(xp.moveaxis(y, 0, axis))
    return xp.stack(parts, axis=-n - 1)


def adjoint(p: Array, n: int) -> Array:
    """Adjoint of `gradient`, for `p` that is 0 wherever every gradient is."""
    xp = array_namespace(p)
    parts = xp.moveaxis(p, -n - 1, 0)
    terms = [xp.roll(parts[a], 1, axis=a - n) - parts[a] for a in range(n)]
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

    centre, scale = _normalisation(v, 1)
    x = np.empty(v.shape)
    tv_kernels.denoise_lines((v - centre) / scale, w / scale[:, 0], x)
    return _restored(x, v, centre, scale)


def compiled(v: Array, w: float, p: Array, how: Settings) -> tuple[Array, Array, bool]:
    """Return prox, dual and success for one NumPy array `v` by the Numba kernels.

    Dual steps are taken in float32, at a quarter of the time, as long as rounding
    allows; the gap is measured in float64.
    """
    from sparsesolve.priors import tv_kernels

    centre, scale = _normalisation(v[None], v.ndim)
    if not scale.item() > np.finfo(v.dtype).eps * abs(centre.item()):
        return v, p, True
    z = np.ascontiguousarray((v - centre[0]) / scale[0])
    flat = z.view(np.float64).reshape(v.shape[0] if v.ndim > 1 else 1, -1)
    per_entry = 2 if is_complex(v) else 1
    real = real_dtype(v.dtype)
    # The kernel's axes are planes, rows and entries; only volumes have the middle one.
    axes = ([2], [0, 2], [0, 1, 2])[v.ndim - 1]
    dual = np.zeros((3, *flat.shape), np.float32)
    dual[axes] = np.ascontiguousarray(p).view(real).reshape(v.ndim, *flat.shape)
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
            x,
        )
        if done or n_steps == how.max_iter:
            break
    x = _restored(x.view(z.dtype).reshape(v.shape), v, centre[0], scale[0])
    p = dual[axes].astype(real).view(v.dtype).reshape(p.shape)
    return x, p, bool(done)


def plain(v: Array, w: Any, p: Array, n: int, how: Settings) -> tuple[Array, Array, bool]:
    """Return prox, dual and success by the same iteration in the array API.

    A batch runs in lockstep until all of its arrays are done.
    """
    xp = array_namespace(v)
    items = tuple(range(-n, 0))
    shape = v.shape[v.ndim - n :]
    size, n_axes = math.prod(shape), max(1, sum(length > 1 for length in shape))
    eps = float(np.finfo(dtype_of(v)).eps)

    def total(terms: Array) -> Array:
        return xp.sum(terms, axis=items, keepdims=True)

    def dots(g: Array, p: Array) -> Array:
        return total(xp.sum(xp.real(xp.conj(g) * p) ...
'''
