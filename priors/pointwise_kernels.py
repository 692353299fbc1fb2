"""Numba kernels of separable priors: soft threshold of arrays, proxes of one entry.

The scalar proxes ``(v, step, parameters) -> x`` are what `Prior.kernel` hands out.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from sparsesolve.backends import Array
from sparsesolve.kernels import njit


@njit(cache=True, error_model="numpy")
def shrink_real(v: Array, t: Array, out: Array) -> None:
    """Soft threshold; `t` is one threshold or one per entry."""
    each = 0 if t.size == 1 else 1
    for i in range(v.size):
        ti = t[i * each]
        out[i] = v[i] - min(max(v[i], -ti), ti)


@njit(cache=True, error_model="numpy")
def shrink_complex(v: Array, t: Array, out: Array) -> None:
    """Soft threshold of magnitudes; `v` and `out` are real and imaginary pairs.

    Squares are taken in float64, where those of complex64 cannot over- or underflow.
    """
    each = 0 if t.size == 1 else 1
    for i in range(v.size // 2):
        re, im, ti = np.float64(v[2 * i]), np.float64(v[2 * i + 1]), t[i * each]
        m = np.sqrt(re * re + im * im)
        factor = 0.0 if m <= ti else (m - ti) / m
        out[2 * i], out[2 * i + 1] = re * factor, im * factor


@njit(cache=True, error_model="numpy")
def soft(v: Any, step: float, parameters: tuple[float]) -> Any:
    """Prox of lam |x|; parameters: lam."""
    t, m = parameters[0] * step, abs(v)
    return v * 0.0 if m <= t else v * ((m - t) / m)


@njit(cache=True, error_model="numpy")
def elastic(v: Any, step: float, parameters: tuple[float, float]) -> Any:
    """Prox of lam (ratio |x| + (1 - ratio) |x|²/2); parameters: lam, ratio."""
    w, m = parameters[0] * step, abs(v)
    t = w * parameters[1]
    return v * 0.0 if m <= t else v * ((m - t) / m / (1 + w - t))


@njit(cache=True, error_model="numpy")
def scaled(v: Any, step: float, parameters: tuple[float]) -> Any:
    """Prox of lam |x|²/2; parameters: lam."""
    return v / (1 + parameters[0] * step)


@njit(cache=True, error_model="numpy")
def clipped(v: float, step: float, parameters: tuple[float, float]) -> float:
    """Prox of lower <= x <= upper; parameters: lower, upper."""
    return min(max(v, parameters[0]), parameters[1])


@njit(cache=True, error_model="numpy")
def power(v: Any, step: float, parameters: tuple[float, float]) -> Any:
    """Prox of lam |x|^p for p = 0, 1/2, 2/3; parameters: lam, p. See `Lp`."""
    w, p, m = parameters[0] * step, parameters[1], abs(v)
    if p == 0.0:
        return v * 0.0 if m * m <= 2 * w else v * 1.0
    if p == 0.5:
        threshold = 1.5 * w ** (2 / 3)
    else:
        threshold = 2 * (2 * w / 3) ** 0.75
    if m <= threshold:
        return v * 0.0
    s = threshold / m
    if p == 0.5:
        angle = np.arccos(np.sqrt(0.5 * s**3))
        return v * (2 / 3 * (1 + np.cos(2 / 3 * (np.pi - angle))))
    d = np.sqrt(0.25 - 4 / 27 * s**4)
    a = (0.5 + d) ** (1 / 3)
    a = a + (4 / 27) ** (1 / 3) * s ** (4 / 3) / a
    root = (np.sqrt(a) + np.sqrt(2 / np.sqrt(a) - a)) / 2
    return v * root**3
