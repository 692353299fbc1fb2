"""Numba kernels of an ADMM iteration on real matrices: one pass for many sums."""

from __future__ import annotations

from sparsesolve.backends import Array
from sparsesolve.kernels import njit

# Sums of a row may be taken in any order, which lets them use vector instructions;
# those of rows are added up in float64.
_SUMS = {"reassoc", "contract", "nsz"}


@njit(cache=True, error_model="numpy", fastmath=_SUMS)
def correct(c: Array, y: Array, d: Array, gain: Array, factor: Array) -> float:
    """Overwrite c by e = gain (y - d c); return Σ |factor (y - d c)|², the misfit's."""
    total = 0.0
    for j in range(c.shape[0]):
        cj, yj, dj, gj, fj = c[j], y[j], d[j], gain[j], factor[j]
        row = c.dtype.type(0)
        for i in range(cj.size):
            r = yj[i] - dj * cj[i]
            row += fj * r * (fj * r)
            cj[i] = gj * r
        total += row
    return total


@njit(cache=True, error_model="numpy", fastmath=_SUMS)
def split(
    v: Array, d: Array, rule: Array, u: Array, new: Array, multiplier: Array
) -> tuple[float, float, float, float, float, float, float]:
    """Complete u, which holds V e, by v - d; relax, take the prox, update multipliers.

    `rule` is the relaxation and the prox clip(soft(point - shift, threshold), lower,
    upper). Returns Σ (u - x)², Σ u², Σ x², Σ (x - v)², Σ multiplier², Σ x, Σ |x|.
    """
    relaxation, shift, threshold, lower, upper = rule
    gaps = sizes = copies = changes = duals = totals = magnitudes = 0.0
    for j in range(u.shape[0]):
        vj, dj, uj, nj, mj = v[j], d[j], u[j], new[j], multiplier[j]
        zero = u.dtype.type(0)
        gap = size = copy = change = dual = total = magnitude = zero
        for i in range(uj.size):
            a = uj[i] + (vj[i] - dj[i])
            point = vj[i] + relaxation * (a - vj[i]) + dj[i]
            x = point - shift
            x = x - min(max(x, -threshold), threshold)
            x = min(max(x, lower), upper)
            rest = point - x
            gap += (a - x) * (a - x)
            size += a * a
            copy += x * x
            change += (x - vj[i]) * (x - vj[i])
            dual += rest * rest
            total += x
            magnitude += abs(x)
            uj[i], nj[i], mj[i] = a, x, rest
        gaps, sizes, copies = gaps + gap, sizes + size, copies + copy
        changes, duals = changes + change, duals + dual
        totals, magnitudes = totals + total, magnitudes + magnitude
    return gaps, sizes, copies, changes, duals, totals, magnitudes
