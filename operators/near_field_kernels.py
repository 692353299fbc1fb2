"""Numba kernels of `NearFieldMIMO` for one run of equally spaced frequencies.

Per channel and voxel a wave at the first frequency and its change from one frequency
to the next are formed once; the other frequencies follow by multiplication, in
registers, so that no table grows with the number of frequencies. Real and imaginary
parts are kept apart because interleaved complex numbers do not vectorise.
"""

from __future__ import annotations

import numpy as np

from sparsesolve.backends import Array
from sparsesolve.kernels import njit, prange

# Four frequencies a pass over a tile that stays in the first-level cache. The number
# of groups is fixed, so that sums do not depend on the number of threads.
_UNROLL = 4
_TILE = 1024
_GROUPS = 32
# Without the promise that NaN and infinity never come: they must come out again.
_FAST = {"reassoc", "contract", "nsz", "arcp"}


@njit(parallel=True, fastmath=_FAST, cache=True, error_model="numpy")
def forward(
    x: Array,
    p: Array,
    q: Array,
    dp: Array,
    dq: Array,
    tx: Array,
    rx: Array,
    n_freq: int,
) -> Array:
    """Return Σ_v p q (dp dq)^k x of shape ``(batch, n_freq, n_channels)``.

    `x` is (batch, voxels); `p`, `q` are the waves of transmitters and receivers at
    the first frequency, `dp`, `dq` their changes; `tx`, `rx` index them by channel.
    """
    n_batch, n_voxels = x.shape
    n_channels = tx.size
    passes = (n_freq + _UNROLL - 1) // _UNROLL
    n_tiles = (n_voxels + _TILE - 1) // _TILE
    zero = x.real.dtype.type(0)
    sums = np.zeros((_GROUPS, n_batch, passes * _UNROLL, n_channels), np.complex128)
    for group in prange(_GROUPS):
        zr, zi = np.empty(_TILE, x.real.dtype), np.empty(_TILE, x.real.dtype)
        sr, si = np.empty(_TILE, x.real.dtype), np.empty(_TILE, x.real.dtype)
        for tile in range(group, n_tiles, _GROUPS):
            first = tile * _TILE
            n = min(_TILE, n_voxels - first)
            for c in range(n_channels):
                t, r = tx[c], rx[c]
                for i in range(n):
                    s = dp[t, first + i] * dq[r, first + i]
                    sr[i], si[i] = s.real, s.imag
                for b in range(n_batch):
                    for i in range(n):
                        z = p[t, first + i] * q[r, first + i] * x[b, first + i]
                        zr[i], zi[i] = z.real, z.imag
                    for k in range(passes):
                        r0 = r1 = r2 = r3 = i0 = i1 = i2 = i3 = zero
                        for i in range(n):
                            a, o, u, w = zr[i], zi[i], sr[i], si[i]
                            r0, i0 = r0 + a, i0 + o
                            a, o = a * u - o * w, a * w + o * u
                            r1, i1 = r1 + a, i1 + o
                            a, o = a * u - o * w, a * w + o * u
                            r2, i2 = r2 + a, i2 + o
                            a, o = a * u - o * w, a * w + o * u
                            r3, i3 = r3 + a, i3 + o
                            zr[i], zi[i] = a * u - o * w, a * w + o * u
                        sums[group, b, 4 * k, c] += complex(r0, i0)
                        sums[group, b, 4 * k + 1, c] += complex(r1, i1)
                        sums[group, b, 4 * k + 2, c] += complex(r2, i2)
                        sums[group, b, 4 * k + 3, c] += complex(r3, i3)
    return sums.sum(axis=0)[:, :n_freq]


@njit(parallel=True, fastmath=_FAST, cache=True, error_model="numpy")
def adjoint(
    y: Array, p: Array, q: Array, dp: Array, dq: Array, tx: Array, rx: Array
) -> Array:
    """Return Σ_kc conj(p q (dp dq)^k) y of shape ``(batch, voxels)``.

    The sum over frequencies is Horner's rule in conj(dp dq).
    """
    n_batch, n_freq, n_channels = y.shape
    n_voxels = p.shape[1]
    passes = (n_freq + _UNROLL - 1) // _UNROLL
    data = np.zeros((n_batch, n_channels, passes * _UNROLL), y.dtype)
    data[:, :, :n_freq] = y.transpose(0, 2, 1)
    n_tiles = (n_voxels + _TILE - 1) // _TILE
    zero = y.real.dtype.type(0)
    x = np.zeros((n_batch, n_voxels), y.dtype)
    for tile in prange(n_tiles):
        hr, hi = np.empty(_TILE, y.real.dtype), np.empty(_TILE, y.real.dtype)
        sr, si = np.empty(_TILE, y.real.dtype), np.empty(_TILE, y.real.dtype)
        first = tile * _TILE
        n = min(_TILE, n_voxels - first)
        for c in range(n_channels):
            t, r = tx[c], rx[c]
            for i in range(n):
                s = dp[t, first + i] * dq[r, first + i]
                sr[i], si[i] = s.real, s.imag
            for b in range(n_batch):
                hr[:n], hi[:n] = zero, zero
                for k in range(passes - 1, -1, -1):
                    y0, y1 = data[b, c, 4 * k], data[b, c, 4 * k + 1]
                    y2, y3 = data[b, c, 4 * k + 2], data[b, c, 4 * k + 3]
                    a0, o0, a1, o1 = y0.real, y0.imag, y1.real, y1.imag
                    a2, o2, a3, o3 = y2.real, y2.imag, y3.real, y3.imag
                    for i in range(n):
                        a, o, u, w = hr[i], hi[i], sr[i], si[i]
                        a, o = a * u + o * w + a3, o * u - a * w + o3
                        a, o = a * u + o * w + a2, o * u - a * w + o2
                        a, o = a * u + o * w + a1, o * u - a * w + o1
                        hr[i], hi[i] = a * u + o * w + a0, o * u - a * w + o0
                for i in range(n):
                    wave = (p[t, first + i] * q[r, first + i]).conjugate()
                    x[b, first + i] += wave * complex(hr[i], hi[i])
    return x
