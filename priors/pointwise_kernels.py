"""Numba kernels of separable priors: the soft threshold of arrays, scalar proxes."""

from __future__ import annotations

import numpy as np

from sparsesolve.backends import Array
from sparsesolve.kernels import get_num_threads, njit, prange

# Below this many entries starting threads costs more than it saves.
_PARALLEL = 1 << 17


@njit(cache=True, error_model="numpy")
def _shrink_real(v: Array, t: Array, out: Array) -> None:
    if t.size == 1:
        t0 = t[0]
        for i in range(v.size):
            out[i] = v[i] - min(max(v[i], -t0), t0)
        return
    for i in range(v.size):
        out[i] = v[i] - min(max(v[i], -t[i]), t[i])


@njit(cache=True, error_model="numpy")
def _shrink_complex(v: Array, t: Array, out: Array) -> None:
    per_entry = 0 if t.size == 1 else 1
    zero = v.dtype.type(0)
    for i in range(v.size // 2):
        re, im, ti = v[2 * i], v[2 * i + 1], t[i * per_entry]
        m = np.sqrt(re * re + im * im)
        factor = zero if m <= ti else (m - ti) / m
        out[2 * i], out[2 * i + 1] = re * factor, im * factor
