"""Numba kernels of products of a large matrix with a thin one, each of one pass.

A general product packs the large matrix first, which costs more than the arithmetic
where the other factor has a handful of rows. Four rows are taken at a time, in blocks
of columns that stay in the nearest cache.
"""

from __future__ import annotations

from sparsesolve.backends import Array
from sparsesolve.kernels import njit, prange

_BLOCK = 512
_SUMS = {"reassoc", "contract"}


@njit(cache=True, error_model="numpy", fastmath=_SUMS, parallel=True)
def from_left(thin: Array, y: Array, out: Array) -> None:
    """Fill ``out`` (k, n) with ``thin @ y`` for a thin (k, l) and y (l, n)."""
    k, rows, columns = thin.shape[0], y.shape[0], y.shape[1]
    whole = rows - rows % 4
    for block in prange((columns + _BLOCK - 1) // _BLOCK):
        start, end = block * _BLOCK, min((block + 1) * _BLOCK, columns)
        n = end - start
        out[:, start:end] = 0.0
        for i in range(0, whole, 4):
            y0, y1 = y[i, start:end], y[i + 1, start:end]
            y2, y3 = y[i + 2, start:end], y[i + 3, start:end]
            for j in range(k):
                t0, t1 = thin[j, i], thin[j, i + 1]
                t2, t3 = thin[j, i + 2], thin[j, i + 3]
                target = out[j, start:end]
                for c in range(n):
                    target[c] += t0 * y0[c] + t1 * y1[c] + t2 * y2[c] + t3 * y3[c]
        for i in range(whole, rows):
            y0 = y[i, start:end]
            for j in range(k):
                t0, target = thin[j, i], out[j, start:end]
                for c in range(n):
                    target[c] += t0 * y0[c]


@njit(cache=True, error_model="numpy", fastmath=_SUMS, parallel=True)
def from_right(y: Array, thin: Array, out: Array) -> None:
    """Fill ``out`` (l, k) with ``y @ thin.T`` for y (l, n) and a thin (k, n)."""
    k, rows, columns = thin.shape[0], y.shape[0], y.shape[1]
    for group in prange((rows + 3) // 4):
        first = 4 * group
        out[first : first + 4] = 0.0
        if first + 4 > rows:
            for i in range(first, rows):
                for j in range(k):
                    s0 = 0.0
                    for c in range(columns):
                        s0 += y[i, c] * thin[j, c]
                    out[i, j] = s0
            continue
        for start in range(0, columns, _BLOCK):
            for j in range(k):
                s0, s1, s2, s3 = 0.0, 0.0, 0.0, 0.0
                for c in range(start, min(start + _BLOCK, columns)):
                    t = thin[j, c]
                    s0 += t * y[first, c]
                    s1 += t * y[first + 1, c]
                    s2 += t * y[first + 2, c]
                    s3 += t * y[first + 3, c]
                out[first, j] += s0
                out[first + 1, j] += s1
                out[first + 2, j] += s2
                out[first + 3, j] += s3
