"""Numba kernels of separable variances."""

from __future__ import annotations

from typing import Any

import numpy as np

from sparsesolve.kernels import njit


@njit(cache=True, error_model="numpy")
def change(new: Any, old: Any) -> float:
    """Return ‖γ - old‖ / ‖old‖ of two outer products, as `Separable.change`."""
    n = len(new)
    grams = np.zeros((n, 3, 3))
    for j in range(n):
        a, b = new[j], old[j]
        for i in range(a.size):
            # squares of variances leave the range of single precision
            row = (np.float64(a[i]), np.float64(b[i]), np.float64(a[i] - b[i]))
            for p in range(3):
                for q in range(3):
                    grams[j, p, q] += row[p] * row[q]
    total, size = 0.0, 1.0
    for j in range(n):
        size *= grams[j, 1, 1]
    for i in range(n):
        for k in range(n):
            term = 1.0
            for j in range(n):
                p = 2 if j == i else (0 if j < i else 1)
                q = 2 if j == k else (0 if j < k else 1)
                term *= grams[j, p, q]
            total += term
    return float(np.sqrt(max(total, 0.0) / (size if size > 0 else 1.0)))
