"""Numba kernel of the projection on a convex hull of points.

Wolfe, "Finding the nearest point in a polytope", Math. Programming 11 (1976): an active
set of affinely independent points, so, up to rounding, never more than dimensions + 1.
One product with all points finds the next one to enter.
"""

from __future__ import annotations

import numpy as np

from sparsesolve.backends import Array
from sparsesolve.kernels import njit

# A share below this is rounding; the ridge keeps nearly dependent points solvable.
_NO_SHARE = 1e-12
_RIDGE = 1e-11


@njit(cache=True, error_model="numpy")
def _affine_shares(points: Array, z: Array, support: Array, m: int) -> Array:
    """Shares, of sum 1, of the point nearest to z in the plane of the support."""
    system = np.zeros((m + 1, m + 1))
    rhs = np.zeros(m + 1)
    rhs[m] = 1.0
    trace = 0.0
    for i in range(m):
        for j in range(i, m):
            value = 0.0
            for c in range(z.size):
                value += (points[support[i], c] - z[c]) * (points[support[j], c] - z[c])
            system[i, j] = value
            system[j, i] = value
        trace += system[i, i]
        system[i, m] = 1.0
        system[m, i] = 1.0
    for i in range(m):
        system[i, i] += _RIDGE * trace / m + 1e-300
    return np.linalg.solve(system, rhs)


@njit(cache=True, error_model="numpy")
def _shorten(support: Array, shares: Array, m: int, aim: Array) -> int:
    """Go towards `aim` until a share vanishes, and drop what has none."""
    length = 1.0
    for i in range(m):
        if aim[i] <= _NO_SHARE and shares[i] > aim[i]:
            length = min(length, shares[i] / (shares[i] - aim[i]))
    worst = 0
    for i in range(m):
        shares[i] += length * (aim[i] - shares[i])
        if shares[i] < shares[worst]:
            worst = i
    kept = 0
    for i in range(m):
        if i != worst and shares[i] > _NO_SHARE:
            shares[kept] = shares[i]
            support[kept] = support[i]
            kept += 1
    total = 0.0
    for i in range(kept):
        total += shares[i]
    for i in range(kept):
        shares[i] /= total
    return kept


@njit(cache=True, error_model="numpy")
def project(
    points: Array, z: Array, support: Array, shares: Array, m: int, tol: float
) -> int:
    """Project z on the hull, from and into ``support[:m]``, ``shares[:m]``; return m.

    `tol` bounds how much nearer the hull could still come, as an inner product.
    """
    for _ in range(10 * support.size):
        while m > 1:
            aim = _affine_shares(points, z, support, m)
            if np.min(aim[:m]) > _NO_SHARE:
                shares[:m] = aim[:m]
                break
            m = _shorten(support, shares, m, aim)
        if m == 1:
            shares[0] = 1.0
        nearest = np.zeros(z.size)
        for i in range(m):
            for c in range(z.size):
                nearest[c] += shares[i] * points[support[i], c]
        gap = z - nearest
        reach = points @ gap
        best = np.argmax(reach)
        if reach[best] - nearest @ gap <= tol or m == support.size:
            return m
        for i in range(m):
            if support[i] == best:
                return m
        support[m] = best
        shares[m] = 0.0
        m += 1
    return m


@njit(cache=True, error_model="numpy")
def improve(
    points: Array,
    moment: Array,
    cross: Array,
    archetypes: Array,
    support: Array,
    shares: Array,
    sizes: Array,
    passes: int,
    tol: float,
) -> None:
    """Minimise tr(Z' P Z)/2 - tr(Q' Z) over rows Z in the hull, row after row.

    P is `moment` (K, K), Q `cross` (K, d). For one row the quadratic is isotropic, so
    that the projection of its free minimiser is exact.
    """
    for _ in range(passes):
        for k in range(archetypes.shape[0]):
            if moment[k, k] <= 0:
                continue
            pull = cross[k] - moment[k] @ archetypes
            z = archetypes[k] + pull / moment[k, k]
            m = project(points, z, support[k], shares[k], sizes[k], tol)
            sizes[k] = m
            archetypes[k] = 0.0
            for i in range(m):
                archetypes[k] += shares[k, i] * points[support[k, i]]
