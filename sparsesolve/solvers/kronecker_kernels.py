"""Numba kernels of Kronecker posteriors: one problem, double precision.

For small factors a posterior is a hundred array operations of a microsecond's work
each; here they are a few calls. Matrix products and decompositions are LAPACK's.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from sparsesolve.backends import Array
from sparsesolve.kernels import njit


@njit(cache=True, error_model="numpy")
def decompose(a: Array, g: Array) -> tuple[Array, Array, Array, Array]:
    """Return Uᴴ, singular values, V and √g of A diag(√g), columns of g = 0 left out.

    Their rows of V are zero. If all are zero, none is left out.
    """
    n, root = g.size, np.sqrt(g)
    kept = np.flatnonzero(root)
    if kept.size == 0:
        kept = np.arange(n)
    scaled = np.empty((a.shape[0], kept.size), a.dtype)
    for i in range(a.shape[0]):
        for j in range(kept.size):
            scaled[i, j] = a[i, kept[j]] * root[kept[j]]
    u, s, vh = np.linalg.svd(scaled, False)
    uh = np.empty((s.size, a.shape[0]), a.dtype)
    for i in range(s.size):
        for j in range(a.shape[0]):
            uh[i, j] = np.conj(u[j, i])
    v = np.zeros((n, s.size), a.dtype)
    for j in range(kept.size):
        for i in range(s.size):
            v[kept[j], i] = np.conj(vh[i, j])
    return uh, s, v, root


@njit(cache=True, error_model="numpy")
def multiply(x: Array, matrices: Any, sizes: Array) -> Array:
    """Multiply all axes of `x`, flat, of these `sizes`; the cheapest order first."""
    shape, left = sizes.copy(), np.ones(sizes.size, np.bool_)
    z = x
    for _ in range(shape.size):
        k, least = 0, np.inf
        for j in range(shape.size):
            key = 1 / shape[j] - 1 / matrices[j].shape[0]
            if left[j] and key < least:
                k, least = j, key
        left[k] = False
        matrix, n = matrices[k], shape[k]
        before, after = np.prod(shape[:k]), np.prod(shape[k + 1 :])
        if after == 1:
            z = np.dot(z.reshape(before, n), matrix.T).reshape(-1)
        elif before == 1:
            z = np.dot(matrix, z.reshape(n, after)).reshape(-1)
        else:
            blocks = z.reshape(before, n, after)
            out = np.empty((before, matrix.shape[0], after), x.dtype)
            for b in range(before):
                np.dot(matrix, blocks[b], out[b])
            z = out.reshape(-1)
        shape[k] = matrix.shape[0]
    return z


@njit(cache=True, error_model="numpy")
def leading(factors: Any) -> Array:
    """Return the outer product of all but the last of the factors, flat."""
    product = np.ones(1)
    for k in range(len(factors) - 1):
        factor = factors[k]
        new = np.empty(product.size * factor.size)
        for i in range(product.size):
            for j in range(factor.size):
                new[i * factor.size + j] = product[i] * factor[j]
        product = new
    return product


@njit(cache=True, error_model="numpy")
def scaled(x: Array, factors: Any) -> Array:
    """Return `x`, flat, times the outer product of `factors`."""
    out, first, last = np.empty_like(x), leading(factors), factors[len(factors) - 1]
    for i in range(first.size):
        for j in range(last.size):
            n = i * last.size + j
            out[n] = x[n] * (first[i] * last[j])
    return out


@njit(cache=True, error_model="numpy", fastmath={"reassoc", "contract"})
def weights(
    z: Array, values: Any, noise: float
) -> tuple[Array, Array, tuple[float, float, float, float]]:
    """Return √P Z/D, P/D and the sums of |Z|²/D, |Z|² (s²/D)², s²/D and |Z|²."""
    first, last = leading(values), values[len(values) - 1]
    weighted, share = np.empty_like(z), np.empty(z.size)
    quadratic = misfit = freedom = energy = 0.0
    for i in range(first.size):
        for j in range(last.size):
            n = i * last.size + j
            root = first[i] * last[j]
            inverse = 1 / (noise + root * root)
            power = z[n].real ** 2 + z[n].imag ** 2
            weighted[n] = z[n] * (root * inverse)
            share[n] = root * root * inverse
            quadratic += power * inverse
            misfit += power * (noise * inverse) ** 2
            freedom += noise * inverse
            energy += power
    return weighted, share, (quadratic, misfit, freedom, energy)


@njit(cache=True, error_model="numpy")
def projected(
    y: Array, bases: Any, sizes: Array, values: Any, noise: float
) -> tuple[Array, tuple[Array, Array, tuple[float, float, float, float]]]:
    """Return Z = Y ×ₖ Uₖᴴ of these Uₖᴴ, and its `weights`."""
    z = multiply(y, bases, sizes)
    return z, weights(z, values, noise)


@njit(cache=True, error_model="numpy", fastmath={"reassoc", "contract"})
def sum_of_logs(values: Any, noise: float) -> float:
    """Return Σ log D."""
    first, last, logs = leading(values), values[len(values) - 1], 0.0
    for i in range(first.size):
        for j in range(last.size):
            root = first[i] * last[j]
            logs += np.log(noise + root * root)
    return logs


@njit(cache=True, error_model="numpy", fastmath={"reassoc", "contract"})
def marginals(
    weighted: Array, share: Array, v: Array, before: int
) -> tuple[Array, Array]:
    """Return Σ |√P Z/D ×ₖ V|² and Σ (P/D) ×ₖ |V|² over all axes but the k-th."""
    n, r = v.shape
    after = weighted.size // (before * r)
    found, expected, sums = np.zeros(n), np.zeros(n), np.zeros(r)
    shares = share.reshape(before, r, after)
    for b in range(before):
        for i in range(r):
            for j in range(after):
                sums[i] += shares[b, i, j]
    for i in range(n):
        for j in range(r):
            expected[i] += (v[i, j].real ** 2 + v[i, j].imag ** 2) * sums[j]
    if after == 1:
        rows = np.dot(weighted.reshape(before, r), v.T)
        for b in range(before):
            for i in range(n):
                found[i] += rows[b, i].real ** 2 + rows[b, i].imag ** 2
        return found, expected
    blocks = weighted.reshape(before, r, after)
    for b in range(before):
        block = np.dot(v, blocks[b])
        for i in range(n):
            for j in range(after):
                found[i] += block[i, j].real ** 2 + block[i, j].imag ** 2
    return found, expected
