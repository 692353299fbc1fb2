"""Largest singular value by Golub-Kahan-Lanczos bidiagonalisation."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from sparsesolve.backends import Array, array_namespace, inner, norm, to_device

if TYPE_CHECKING:
    from sparsesolve.operators.base import Operator

_RELATIVE_ERROR = 0.01
_MAX_STEPS = 100


def _start(A: Operator) -> Array:
    dtype = np.dtype("float64") if A.in_dtype is None else A.in_dtype
    rng = np.random.default_rng(0)
    x = rng.standard_normal(A.in_shape)
    if dtype.kind == "c":
        x = x + 1j * rng.standard_normal(A.in_shape)
    return to_device(x.astype(dtype), A.device or "numpy")


def largest_singular_value(A: Operator) -> float:
    """Return an upper estimate of ‖A‖₂, at most about 2 % too large.

    Lanczos on AᴴA with full reorthogonalisation; stops when the Ritz residual of the
    largest Ritz value is below 1 % of it, then adds that residual as the margin.
    Memory: one model-sized vector a step, at most 100.

    References
    ----------
    Golub and Van Loan, Matrix Computations, section 10.4.
    """
    v = _start(A)
    v = v / norm(v)
    basis: list[Array] = []
    diagonal: list[float] = []
    off: list[float] = []
    value = margin = 0.0
    for _ in range(min(_MAX_STEPS, A.shape[1])):
        basis.append(v)
        w = A.gram(v)
        diagonal.append(float(inner(v, w)))
        for _ in range(2):  # twice is enough for orthogonality to rounding (Kahan)
            for u in basis:
                w = w - _coefficient(u, w) * u
        beta = float(norm(w))
        ritz, vectors = np.linalg.eigh(
            np.diag(diagonal) + np.diag(off, 1) + np.diag(off, -1)
        )
        value, margin = float(ritz[-1]), beta * abs(float(vectors[-1, -1]))
        if margin <= _RELATIVE_ERROR * value or beta <= 1e-7 * max(value, 1e-300):
            break
        off.append(beta)
        v = w / beta
    return float(np.sqrt(max(value, 0.0) * (1 + _RELATIVE_ERROR) + margin))


def _coefficient(u: Array, w: Array) -> Array:
    xp = array_namespace(u, w)
    return xp.vecdot(xp.reshape(u, (-1,)), xp.reshape(w, (-1,)))
