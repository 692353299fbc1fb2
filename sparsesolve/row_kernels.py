"""Numba kernel of weighted row norms, in one pass without temporaries."""

from __future__ import annotations

from sparsesolve.backends import Array
from sparsesolve.kernels import njit


@njit(cache=True, error_model="numpy", fastmath={"reassoc", "contract"})
def row_powers(y: Array, z: Array, weights: Array, out: Array) -> None:
    """Fill ``out[l]`` with Σ_n weights[n] (z - y)[l, n]²; no weights are all one.

    Sums are float64, taken in an order of the compiler's that does not change.
    """
    for row in range(y.shape[0]):
        total = 0.0
        if weights.size:
            for n in range(y.shape[1]):
                difference = z[row, n] - y[row, n]
                total += weights[n] * difference * difference
        else:
            for n in range(y.shape[1]):
                difference = z[row, n] - y[row, n]
                total += difference * difference
        out[row] = total
