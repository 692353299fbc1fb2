"""Numba kernels of total variation: dual ascent in 1-3 D, the direct method in 1-D.

A volume is an array (planes, entries of a plane). Its dual `P` is (3, planes, entries),
one array per axis, zero where the forward difference along that axis does not exist.
`m` is the length of a row and `s` the reals per entry: complex arrays are seen as real
ones whose neighbours in a row are two apart and whose entries are pairs.

Every loop is short and over few arrays, because only such loops are vectorised, and
runs over a block of a plane that stays in the first-level cache.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from sparsesolve.backends import Array
from sparsesolve.kernels import njit, prange

_BLOCK = 1024
# Without the promise that NaN and infinity never come: they must come out again.
_FAST = {"reassoc", "contract", "nsz", "arcp"}


@njit(cache=True, fastmath=_FAST, error_model="numpy")
def _subtract(out: Array, a: Array, b: Array) -> None:
    for j in range(b.size):
        out[j] = a[j] - b[j]


@njit(cache=True, fastmath=_FAST, error_model="numpy")
def _add_difference(out: Array, a: Array, b: Array) -> None:
    for j in range(b.size):
        out[j] += a[j] - b[j]


@njit(cache=True, fastmath=_FAST, error_model="numpy")
def _finish(out: Array, v: Array, w: Any, a: Array, b: Array) -> None:
    for j in range(b.size):
        out[j] = v[j] + w * (out[j] + a[j] - b[j])


@njit(cache=True, fastmath=_FAST, error_model="numpy")
def primal(v: Array, w: Any, P: Array, z: int, m: int, s: int, out: Array) -> None:
    """Write plane `z` of v - w ∇ᵀP to `out`."""
    n = v.shape[1]
    for b in range(0, n, _BLOCK):
        f = min(b + _BLOCK, n)
        if z > 0:
            _subtract(out[b:f], P[0, z, b:f], P[0, z - 1, b:f])
        else:
            out[b:f] = P[0, z, b:f]
        if n > m:
            g = min(max(b, m), f)
            for j in range(b, g):
                out[j] += P[1, z, j]
            _add_difference(out[g:f], P[1, z, g:f], P[1, z, g - m : f - m])
        g = max(b, s)
        for j in range(b, g):
            out[j] = v[z, j] + w * (out[j] + P[2, z, j])
        _finish(out[g:f], v[z, g:f], w, P[2, z, g:f], P[2, z, g - s : f - s])


@njit(cache=True, fastmath=_FAST, error_model="numpy")
def _step(q: Array, y: Array, c: Any, a: Array, b: Array) -> None:
    for j in range(b.size):
        q[j] = y[j] + c * (a[j] - b[j])


@njit(cache=True, fastmath=_FAST, error_model="numpy")
def _ascend(
    x: Array, above: Array, Y: Array, z: int, c: Any, b: int, f: int, m: int, s: int,
    q: Array,
) -> None:  # fmt: skip
    """Write block b:f of Y + c ∇x on plane `z` to the rows of `q`."""
    n = x.size
    _step(q[0], Y[0, z, b:f], c, above[b:f], x[b:f])
    if n > m:
        g = max(b, min(f, n - m))
        _step(q[1], Y[1, z, b:g], c, x[b + m : g + m], x[b:g])
        q[1, g - b :] = 0
    g = max(b, min(f, n - s))
    _step(q[2], Y[2, z, b:g], c, x[b + s : g + s], x[b:g])
    for end in range((b // m + 1) * m, f + m, m):
        for j in range(max(end - s, b), min(end, f)):
            q[2, j - b] = 0


@njit(cache=True, fastmath=_FAST, error_model="numpy")
def _squares(total: Array, a: Array, b: Array, c: Array, s: int) -> None:
    """Write squared norms over axes, and over the two reals of a complex entry."""
    for j in range(total.size):
        total[j] = a[j] * a[j] + b[j] * b[j] + c[j] * c[j]
    if s == 2:
        for j in range(total.size // 2):
            total[2 * j] += total[2 * j + 1]
            total[2 * j + 1] = total[2 * j]


@njit(cache=True, fastmath=_FAST, error_model="numpy")
def _to_factors(total: Array) -> None:
    """Replace squared norms by the factors that project onto the unit ball."""
    one = total.dtype.type(1)
    for j in range(total.size):
        total[j] = one / np.sqrt(max(one, total[j]))


@njit(cache=True, fastmath=_FAST, error_model="numpy")
def _advance(p: Array, y: Array, q: Array, factor: Array, beta: Any) -> Any:
    """Project `q` to the new `p`, extrapolate to `y`; return the restart test."""
    downhill = p.dtype.type(0)
    for j in range(p.size):
        new = q[j] * factor[j]
        move = new - p[j]
        downhill += (y[j] - new) * move
        p[j] = new
        y[j] = new + beta * move
    return downhill


@njit(cache=True, fastmath=_FAST, error_model="numpy")
def sweep(
    u: Array, w: Any, c: Any, beta: Any, P: Array, Y: Array, axes: Array,
    z0: int, z1: int, first: Array, last: Array, m: int, s: int, isotropic: bool,
) -> float:  # fmt: skip
    """Take a dual step on planes z0:z1, in one pass and in place.

    P becomes the projection of Y + c ∇x, x = u - w ∇ᵀY, and Y the new P extrapolated
    by `beta` times its change. x on planes z0 and z1 is given as `first` and `last`. A
    positive result says that the extrapolation before this step pointed downhill.
    """
    nz, n = u.shape
    x, above = first, np.empty_like(first)
    spare = np.empty_like(first)
    width = min(_BLOCK, n)
    q, total = np.zeros((4, width), u.dtype), np.empty(width, u.dtype)
    downhill = 0.0
    for z in range(z0, z1):
        if z + 1 < z1:
            primal(u, w, Y, z + 1, m, s, above)
        else:
            above = last if z + 1 < nz else x
        for b in range(0, n, width):
            f = min(b + width, n)
            t = total[: f - b]
            _ascend(x, above, Y, z, c, b, f, m, s, q)
            if isotropic:
                _squares(t, q[0], q[1], q[2], s)
                _to_factors(t)
            for a in axes:
                if not isotropic:
                    _squares(t, q[a], q[3], q[3], s)
                    _to_factors(t)
                downhill += _advance(P[a, z, b:f], Y[a, z, b:f], q[a], t, beta)
        x, above, spare = above, spare, above
    return downhill


@njit(cache=True, parallel=True, error_model="numpy")
def sweep_slabs(
    u: Array, w: Any, c: Any, beta: Any, P: Array, Y: Array, axes: Array,
    m: int, s: int, isotropic: bool, n_slabs: int,
) -> float:  # fmt: skip
    """Do `sweep` on all planes, a thread per slab, after the faces between slabs."""
    nz, n = u.shape
    faces = np.empty((n_slabs, n), u.dtype)
    for i in prange(n_slabs):
        primal(u, w, Y, i * nz // n_slabs, m, s, faces[i])
    downhill = 0.0
    for i in prange(n_slabs):
        z0, z1 = i * nz // n_slabs, (i + 1) * nz // n_slabs
        last = faces[min(i + 1, n_slabs - 1)]
        downhill += sweep(
            u, w, c, beta, P, Y, axes, z0, z1, faces[i], last, m, s, isotropic
        )
    return downhill


@njit(cache=True, fastmath=_FAST, error_model="numpy")
def _dot(a: Array, b: Array) -> float:
    product = 0.0
    for j in range(b.size):
        product += a[j] * b[j]
    return product


@njit(cache=True, fastmath=_FAST, error_model="numpy")
def _sum_roots(total: Array) -> float:
    roots = 0.0
    for j in range(total.size):
        roots += np.sqrt(total[j])
    return roots


@njit(cache=True, fastmath=_FAST, error_model="numpy")
def _sums(
    v: Array, P: Array, x: Array, axes: Array, z: int, m: int, s: int, isotropic: bool,
    sums: Array,
) -> None:  # fmt: skip
    """Write plane z's TV(x), ⟨∇x, P⟩, ‖x - v‖² and ‖x‖² to `sums`."""
    nz, n = v.shape
    width = min(_BLOCK, n)
    q, total, zero = np.zeros((4, width)), np.empty(width), np.zeros((3, 1, n))
    tv = product = fit = size = 0.0
    for b in range(0, n, width):
        f = min(b + width, n)
        t = total[: f - b]
        _ascend(x[z], x[min(z + 1, nz - 1)], zero, 0, 1.0, b, f, m, s, q)
        if isotropic:
            _squares(t, q[0], q[1], q[2], s)
            tv += _sum_roots(t) / s
        for a in axes:
            if not isotropic:
                _squares(t, q[a], q[3], q[3], s)
                tv += _sum_roots(t) / s
            product += _dot(q[a], P[a, z, b:f])
        _subtract(t, x[z, b:f], v[z, b:f])
        fit += _dot(t, t)
        size += _dot(x[z, b:f], x[z, b:f])
    sums[0], sums[1], sums[2], sums[3] = tv, product, fit, size


@njit(cache=True, error_model="numpy")
def measure(
    v: Array, w: float, P: Array, axes: Array, m: int, s: int, isotropic: bool,
    x: Array, sums: Array,
) -> None:  # fmt: skip
    """Write v - w ∇ᵀP to `x` and to `sums`, for each plane, what `_sums` returns."""
    for z in range(v.shape[0]):
        primal(v, w, P, z, m, s, x[z])
    for z in range(v.shape[0]):
        _sums(v, P, x, axes, z, m, s, isotropic, sums[z])


@njit(cache=True, parallel=True, error_model="numpy")
def measure_slabs(
    v: Array, w: float, P: Array, axes: Array, m: int, s: int, isotropic: bool,
    x: Array, sums: Array,
) -> None:  # fmt: skip
    """Do `measure` with many threads."""
    for z in prange(v.shape[0]):
        primal(v, w, P, z, m, s, x[z])
    for z in prange(v.shape[0]):
        _sums(v, P, x, axes, z, m, s, isotropic, sums[z])


@njit(cache=True, error_model="numpy")
def _denoise_line(v: Array, w: float, x: Array) -> None:
    """Solve one real line exactly in O(n): dynamic programming of Johnson (2013).

    The derivative of the best cost of the entries so far, as a function of the last
    entry, is piecewise linear and increasing. Its knots lie in `at[first:last]`; at
    each, slope and intercept change by `slope` and `offset`.
    """
    n = v.size
    at, slope, offset = np.empty(2 * n), np.empty(2 * n), np.empty(2 * n)
    low, high = np.empty(n), np.empty(n)
    first = last = n
    left = right = -v[0]
    for k in range(n - 1):
        a, b = 1.0, left
        while first < last and a * at[first] + b <= -w:
            a, b = a + slope[first], b + offset[first]
            first += 1
        low[k] = (-w - b) / a
        first -= 1
        at[first], slope[first], offset[first] = low[k], a, b + w
        a, b = 1.0, right
        while first + 1 < last and a * at[last - 1] + b >= w:
            a, b = a - slope[last - 1], b - offset[last - 1]
            last -= 1
        high[k] = (w - b) / a
        at[last], slope[last], offset[last] = high[k], -a, w - b
        last += 1
        left, right = -w - v[k + 1], w - v[k + 1]
    a, b = 1.0, left
    while first < last and a * at[first] + b <= 0:
        a, b = a + slope[first], b + offset[first]
        first += 1
    x[n - 1] = -b / a
    for k in range(n - 2, -1, -1):
        x[k] = min(max(x[k + 1], low[k]), high[k])


@njit(cache=True, error_model="numpy")
def denoise_lines(v: Array, w: Array, x: Array) -> None:
    """Apply `_denoise_line` to the rows of `v`, each with its own weight."""
    for i in range(v.shape[0]):
        _denoise_line(v[i], w[i], x[i])
