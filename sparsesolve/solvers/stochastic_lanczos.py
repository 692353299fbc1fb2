"""Traces of logarithms of matrices that are only applied."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from sparsesolve.backends import (
    Array,
    Shape,
    array_namespace,
    expand,
    inner,
    to_device,
    to_numpy,
)

_CHECK_EVERY = 8
_MOST_STEPS = 160
_TOL = 1e-2


def trace_log(
    apply: Callable[[Array], Array], probes: Array, n_axes: int
) -> np.ndarray[Any, Any]:
    """Estimate tr log of a Hermitian positive definite map; log|.| of a matrix.

    Parameters
    ----------
    apply : callable
        The map, on arrays like `probes`.
    probes : (*batch, k, ...) array
        Random signs (of two parts, over √2, if complex), the same in every call, so
        that differences between nearby maps are far more exact than the values. Zero
        entries leave out what the map must not reach.
    n_axes : int
        Trailing axes of one probe.

    Returns
    -------
    (*batch) float64 NumPy array
        Mean over the probes of zᴴ log(.) z, by Lanczos quadrature without
        reorthogonalisation, until 8 more steps change it by less than 0.01.

    References
    ----------
    Ubaru, Chen and Saad, SIAM J. Matrix Anal. Appl. 38(4), 2017.
    """
    xp = array_namespace(probes)
    power = inner(probes, probes, n_axes)
    q = probes / expand(xp.sqrt(xp.where(power > 0, power, 1.0)), n_axes)
    least = float(xp.finfo(power.dtype).eps) ** 0.5
    before, beta, alive = xp.zeros_like(q), xp.zeros_like(power), power > 0
    diagonal: list[Any] = []
    beside: list[Any] = []
    value: Any = None
    while len(diagonal) < _MOST_STEPS:
        v = apply(q) - expand(beta, n_axes) * before
        alpha = inner(q, v, n_axes)
        v = v - expand(alpha, n_axes) * q
        beta = xp.sqrt(inner(v, v, n_axes))
        # a probe whose Krylov space is exhausted goes on beside an eigenvalue of one
        diagonal.append(to_numpy(xp.where(alive, alpha, xp.ones_like(alpha))))
        alive = alive & (beta > least * xp.abs(alpha))
        beta = xp.where(alive, beta, xp.zeros_like(beta))
        beside.append(to_numpy(beta))
        inverse = xp.where(alive, 1 / xp.where(alive, beta, 1.0), 0.0)
        before, q = q, v * expand(inverse, n_axes)
        ended = not bool(xp.any(alive))
        if not ended and len(diagonal) % _CHECK_EVERY:
            continue
        last: Any = value
        value = _quadrature(diagonal, beside) * to_numpy(power)
        settled = last is not None and np.all(
            np.abs(np.mean(value - last, axis=-1)) < _TOL
        )
        if ended or settled:
            break
    return np.asarray(np.mean(value, axis=-1), float)


def random_signs(
    rng: np.random.Generator, shape: Shape, complex_: bool, device: str
) -> Array:
    """Draw ±1, or (±1 ± i)/√2."""
    signs: Any = 2.0 * rng.integers(0, 2, shape) - 1
    if complex_:
        other = 2.0 * rng.integers(0, 2, shape) - 1
        signs = (signs + 1j * other) * 0.5**0.5
    return to_device(signs, device)


def _quadrature(diagonal: list[Any], beside: list[Any]) -> Any:
    """Return (log T)₀₀ of the tridiagonal matrices T."""
    a = np.stack(diagonal, axis=-1).astype(float)
    m = a.shape[-1]
    t = a[..., None] * np.eye(m)
    if m > 1:
        b = np.stack(beside[:-1], axis=-1).astype(float)
        t[..., range(1, m), range(m - 1)] = b
        t[..., range(m - 1), range(1, m)] = b
    values, vectors = np.linalg.eigh(t)
    logs = np.log(np.clip(values, np.finfo(float).tiny, None))
    return np.sum(vectors[..., 0, :] ** 2 * logs, axis=-1)
