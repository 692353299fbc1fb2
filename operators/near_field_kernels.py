"""Numba kernels of `NearFieldMIMO` for one run of equally spaced frequencies.

Per channel and voxel a wave at the first frequency and its change from one frequency
to the next are formed once; the other frequencies follow by multiplication, in
registers, so that no table grows with the number of frequencies. Real and imaginary
parts are kept apart, in tiles of voxels, because interleaved complex numbers do not
vectorise.
"""

from __future__ import annotations

import numpy as np

from sparsesolve.backends import Array
from sparsesolve.kernels import njit, prange

# Four frequencies a pass over a tile that stays in the first-level cache, beside the
# waves of all antennas in the second-level one. The number of groups is fixed, so that
# sums do not depend on the number of threads.
_UNROLL = 4
_TILE = 512
_GROUPS = 32
# Without the promise that NaN and infinity never come: they must come out again.
_FAST = {"reassoc", "contract", "nsz", "arcp"}


@njit(cache=True, fastmath=_FAST, error_model="numpy")
def _split(waves: Array, first: int, n: int, parts: Array) -> None:
    """Copy the voxels of a tile to `parts`, (2, antennas, tile): real, imaginary."""
    for a in range(waves.shape[0]):
        for i in range(n):
            parts[0, a, i] = waves[a, first + i].real
            parts[1, a, i] = waves[a, first + i].imag


@njit(cache=True, fastmath=_FAST, error_model="numpy")
def _product(a: Array, k: int, b: Array, m: int, n: int, out: Array) -> None:
    """Put wave `k` of `a` times wave `m` of `b` into `out`, (2, tile)."""
    ar, ai, br, bi, re, im = a[0, k], a[1, k], b[0, m], b[1, m], out[0], out[1]
    for i in range(n):
        re[i] = ar[i] * br[i] - ai[i] * bi[i]
        im[i] = ar[i] * bi[i] + ai[i] * br[i]


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
    real = x.real.dtype
    n_batch, n_voxels = x.shape
    n_tx, n_rx, n_channels = p.shape[0], q.shape[0], tx.size
    passes = (n_freq + _UNROLL - 1) // _UNROLL
    n_tiles = (n_voxels + _TILE - 1) // _TILE
    zero = real.type(0)
    sums = np.zeros((_GROUPS, n_batch, passes * _UNROLL, n_channels), np.complex128)
    for group in prange(_GROUPS):
        ps, dps = np.empty((2, n_tx, _TILE), real), np.empty((2, n_tx, _TILE), real)
        qs, dqs = np.empty((2, n_rx, _TILE), real), np.empty((2, n_rx, _TILE), real)
        xs, wave = np.empty((2, n_batch, _TILE), real), np.empty((2, 1, _TILE), real)
        step, z = np.empty((2, _TILE), real), np.empty((2, _TILE), real)
        sr, si, zr, zi = step[0], step[1], z[0], z[1]
        for tile in range(group, n_tiles, _GROUPS):
            first = tile * _TILE
            n = min(_TILE, n_voxels - first)
            _split(p, first, n, ps)
            _split(q, first, n, qs)
            _split(dp, first, n, dps)
            _split(dq, first, n, dqs)
            _split(x, first, n, xs)
            for c in range(n_channels):
                _product(dps, tx[c], dqs, rx[c], n, step)
                _product(ps, tx[c], qs, rx[c], n, wave[:, 0])
                for b in range(n_batch):
                    _product(wave, 0, xs, b, n, z)
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
    real = y.real.dtype
    n_batch, n_freq, n_channels = y.shape
    n_tx, n_rx, n_voxels = p.shape[0], q.shape[0], p.shape[1]
    passes = (n_freq + _UNROLL - 1) // _UNROLL
    data = np.zeros((n_batch, n_channels, passes * _UNROLL), y.dtype)
    data[:, :, :n_freq] = y.transpose(0, 2, 1)
    n_tiles = (n_voxels + _TILE - 1) // _TILE
    x = np.zeros((n_batch, n_voxels), y.dtype)
    for group in prange(_GROUPS):
        ps, dps = np.empty((2, n_tx, _TILE), real), np.empty((2, n_tx, _TILE), real)
        qs, dqs = np.empty((2, n_rx, _TILE), real), np.empty((2, n_rx, _TILE), real)
        step, wave = np.empty((2, _TILE), real), np.empty((2, _TILE), real)
        sums, h = np.empty((2, n_batch, _TILE), real), np.empty((2, _TILE), real)
        sr, si, wr, wi, hr, hi = step[0], step[1], wave[0], wave[1], h[0], h[1]
        for tile in range(group, n_tiles, _GROUPS):
            first = tile * _TILE
            n = min(_TILE, n_voxels - first)
            _split(p, first, n, ps)
            _split(q, first, n, qs)
            _split(dp, first, n, dps)
            _split(dq, first, n, dqs)
            sums[:] = 0
            for c in range(n_channels):
                _product(dps, tx[c], dqs, rx[c], n, step)
                _product(ps, tx[c], qs, rx[c], n, wave)
                for b in range(n_batch):
                    h[:] = 0
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
                    re, im = sums[0, b], sums[1, b]
                    for i in range(n):
                        re[i] += hr[i] * wr[i] + hi[i] * wi[i]
                        im[i] += hi[i] * wr[i] - hr[i] * wi[i]
            for b in range(n_batch):
                for i in range(n):
                    x[b, first + i] = complex(sums[0, b, i], sums[1, b, i])
    return x
