"""Numba kernels of non-negative and simplex-constrained least squares, a row each.

A primal active-set method on the Gram matrix (Lawson and Hanson, *Solving Least Squares
Problems*, 1974, chapter 23), begun for each row at the solution of the row before: rows
of an image resemble their neighbours, and then one triangular solve and one check of
the multipliers are all there is to do. With few columns a call costs as much as what it
does, hence `forceinline`.
"""

from __future__ import annotations

import numpy as np

from sparsesolve.backends import Array
from sparsesolve.kernels import njit, prange

# Least pivot over the diagonal. A column that depends on those of the support to
# rounding gets this much more of a diagonal, which moves its multiplier by as little.
_PIVOT = 1e-14


@njit(cache=True, error_model="numpy", forceinline=True)
def _factor_row(g: Array, factor: Array, ones: Array, order: Array, p: int) -> None:
    """Fill row p of the Cholesky factor L, that of ``order[p]``; `ones` is L⁻¹ 1."""
    j = order[p]
    pivot, forward = g[j, j], 1.0
    for i in range(p):
        value = g[j, order[i]]
        for k in range(i):
            value -= factor[p, k] * factor[i, k]
        value /= factor[i, i]
        factor[p, i] = value
        pivot -= value * value
        forward -= value * ones[i]
    factor[p, p] = np.sqrt(max(pivot, _PIVOT * g[j, j]))
    ones[p] = forward / factor[p, p]


@njit(cache=True, error_model="numpy", forceinline=True)
def _minimiser(
    factor: Array, ones: Array, order: Array, p: int, b: Array, total: bool, s: Array
) -> float:
    """Minimise over the support without bounds into ``s[:p]``; return the multiplier.

    The multiplier is that of the sum, which is 1 if `total`; else it is 0.
    """
    for i in range(p):
        value = b[order[i]]
        for k in range(i):
            value -= factor[i, k] * s[k]
        s[i] = value / factor[i, i]
    multiplier = 0.0
    if total:
        missing, size = 1.0, 0.0
        for i in range(p):
            missing -= ones[i] * s[i]
            size += ones[i] * ones[i]
        multiplier = missing / size
        for i in range(p):
            s[i] += multiplier * ones[i]
    for i in range(p - 1, -1, -1):
        value = s[i]
        for k in range(i + 1, p):
            value -= factor[k, i] * s[k]
        s[i] = value / factor[i, i]
    return multiplier


@njit(cache=True, error_model="numpy", forceinline=True)
def _shorten(x: Array, order: Array, p: int, s: Array) -> int:
    """Move `x` towards `s` until an entry vanishes; return that entry's place."""
    step, place = 1.0, -1
    for i in range(p):
        if s[i] <= 0.0:
            old = x[order[i]]
            # An entry that is 0 cannot move at all.
            ratio = old / (old - s[i]) if old > 0.0 else 0.0
            if place < 0 or ratio < step:
                step, place = ratio, i
    for i in range(p):
        j = order[i]
        x[j] = max(x[j] + step * (s[i] - x[j]), 0.0)
    x[order[place]] = 0.0
    return place


@njit(cache=True, error_model="numpy", forceinline=True)
def _entering(
    g: Array, b: Array, x: Array, order: Array, p: int, multiplier: float, free: Array
) -> int:
    """Return the column whose multiplier is the most negative; -1 if there is none."""
    k = len(b)
    scale, largest = 0.0, 0.0
    for i in range(p):
        scale += x[order[i]]
    for j in range(k):
        largest = max(largest, g[j, j])
    scale *= largest
    for j in range(k):
        scale = max(scale, abs(b[j]))
    best, best_value = -1, 1e-14 * k * scale
    for j in range(k):
        if not free[j]:
            continue
        value = b[j] + multiplier
        for i in range(p):
            value -= g[j, order[i]] * x[order[i]]
        if value > best_value:
            best, best_value = j, value
    return best


@njit(cache=True, error_model="numpy", forceinline=True)
def _solve_row(
    g: Array,
    b: Array,
    total: bool,
    x: Array,
    factor: Array,
    ones: Array,
    order: Array,
    p: int,
    s: Array,
    free: Array,
) -> int:
    """Minimise x'Gx/2 - b'x from a feasible `x` on a factored support of p columns.

    Returns the size of the new support. `free` marks the columns that may enter.
    """
    k = len(b)
    for j in range(k):
        free[j] = g[j, j] > 0.0
    for i in range(p):
        free[order[i]] = False
    newest = -1
    # Each step lowers the objective, so that no support returns; rounding alone could
    # make it, and then what there is is as good as any.
    for _ in range(50 + 20 * k):
        multiplier = _minimiser(factor, ones, order, p, b, total, s)
        inside = True
        for i in range(p):
            inside = inside and s[i] > 0.0
        if not inside:
            place = _shorten(x, order, p, s)
            left = order[place]
            # What would leave at once only seemed to help, by rounding.
            free[left] = left != newest
            p -= 1
            for i in range(place, p):
                order[i] = order[i + 1]
                _factor_row(g, factor, ones, order, i)
            continue
        for i in range(p):
            x[order[i]] = s[i]
        newest = _entering(g, b, x, order, p, multiplier, free)
        if newest < 0:
            return p
        free[newest] = False
        order[p] = newest
        _factor_row(g, factor, ones, order, p)
        p += 1
    return p


@njit(cache=True, error_model="numpy", parallel=True)
def solve_rows(g: Array, rhs: Array, total: bool, chunk: int, out: Array) -> None:
    """Minimise x'Gx/2 - b'x over x >= 0 for every row b of `rhs`, into `out`.

    With `total` the entries of x sum to 1. Chunks of rows run in parallel, and each
    starts afresh, so that threads change nothing.
    """
    n, k = rhs.shape
    for c in prange((n + chunk - 1) // chunk):
        factor, ones = np.zeros((k, k)), np.zeros(k)
        x, s = np.zeros(k), np.zeros(k)
        order, free = np.zeros(k + 1, np.int64), np.ones(k, np.bool_)
        p = 0
        if total:
            first = 0
            for j in range(1, k):
                change = 0.5 * (g[j, j] - g[first, first])
                if change < rhs[c * chunk, j] - rhs[c * chunk, first]:
                    first = j
            order[0], p = first, 1
            x[first] = 1.0
            _factor_row(g, factor, ones, order, 0)
        for i in range(c * chunk, min((c + 1) * chunk, n)):
            p = _solve_row(g, rhs[i], total, x, factor, ones, order, p, s, free)
            for j in range(k):
                out[i, j] = x[j]
