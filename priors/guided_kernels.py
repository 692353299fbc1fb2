"""Numba kernels of `GuidedLp`: ℓp with an exponent a column, in one pass.

A power costs one logarithm and one exponential; square roots where the exponent is 1/2
or 1/4 (that of a learnt guide where it is cut); nothing where the entry is below the
floor, as in sparse columns most are. Computed in float64.
"""

from __future__ import annotations

import math

import numpy as np

from sparsesolve.backends import Array
from sparsesolve.kernels import njit


@njit(cache=True, error_model="numpy", forceinline=True)
def _power(a: float, p: float) -> float:
    if p == 1.0:
        return a
    if p == 0.5:
        return math.sqrt(a)
    if p == 0.25:
        return math.sqrt(math.sqrt(a))
    return math.exp(p * math.log(a))


@njit(cache=True, error_model="numpy")
def column_value(x: Array, exponents: Array, weights: Array, floor: float) -> float:
    """Return Σ weights[n] φ(|x[k, n]|), φ the power with its tangent below `floor`.

    No weights are all one.
    """
    total = 0.0
    for n in range(x.shape[1]):
        p, column = exponents[n], 0.0
        at_floor = _power(floor, p)
        slope, lift = p * at_floor / floor, (1.0 - p) * at_floor
        for k in range(x.shape[0]):
            a = np.float64(abs(x[k, n]))
            column += slope * a if a <= floor else _power(a, p) - lift
        total += column * weights[n] if weights.size else column
    return total


@njit(cache=True, error_model="numpy")
def column_slopes(
    x: Array, exponents: Array, weights: Array, floor: float, out: Array
) -> None:
    """Fill `out` with weights[n] φ'(|x[k, n]|), that at `floor` below it."""
    for n in range(x.shape[1]):
        p = exponents[n]
        scale = p * weights[n] if weights.size else p
        low = scale * (_power(floor, p) / floor)
        for k in range(x.shape[0]):
            a = np.float64(abs(x[k, n]))
            out[k, n] = low if a <= floor else scale * (_power(a, p) / a)
