"""What an array measures of scatterers anywhere in space, summed echo by echo."""

from __future__ import annotations

from dataclasses import replace
from numbers import Real
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from sparsesolve import checks
from sparsesolve.operators.grid import Floats, metres
from sparsesolve.operators.near_field_arguments import (
    antenna_positions,
    channel_pairs,
    frequencies,
)
from sparsesolve.operators.near_field_waves import Run, equally_spaced
from sparsesolve.scan import LIGHT, RadarScan

__all__ = ["simulate"]

_BLOCK = 1 << 15
"""Scatterers times channels worked on at once: two such arrays fit a cache."""

_ROWS = 1024
"""Most scatterers of a block."""

_FEW = 10_000_000
"""Echoes that are worth an exponential each, which takes under a second."""

_TOUCHING = 1e-6
"""Distance of a scatterer from an antenna below which they coincide, m."""

Complexes = NDArray[np.complex128]


class _TrueArray(NamedTuple):
    """What the array really is, which its scan does not say."""

    tx: Floats
    rx: Floats
    tx_gain: Complexes
    rx_gain: Complexes
    speed: float


def simulate(
    positions: Any,
    amplitudes: Any,
    tx: Any,
    rx: Any,
    freq: Any,
    *,
    channels: Any = None,
    speed: float = LIGHT,
    snr_db: float | None = None,
    noise: float | None = None,
    position_error: float = 0.0,
    speed_error: float = 0.0,
    gain_error: float = 0.0,
    seed: int | np.random.Generator = 0,
    dtype: Any = "complex64",
) -> RadarScan:
    r"""Simulate what an array measures of scatterers anywhere in space.

    ``y[k, t, r] = g_t g_r Σ_i a_i exp(-j 2π f_k (R_ti + R_ri) / c) / (4π R_ti R_ri)``

    plus circular complex white noise, with R the distances from the true antenna
    positions and c the true speed. The scan states the nominal ones.

    Parameters
    ----------
    positions : (n_scatterers, 3) array_like, m
    amplitudes : (n_scatterers,) array_like, complex
    tx, rx : (n_tx, 3) and (n_rx, 3) array_like, m
        Nominal antenna positions. A transmitter and a receiver at one place, as of a
        monostatic raster, are one antenna and share their errors.
    freq : (n_freq,) array_like, Hz
    channels : (n_channels, 2) array_like of int, optional
        Measured pairs (transmitter, receiver), counted from zero; by default all.
    speed : float, m/s
        Nominal wave speed; by default in vacuum.
    snr_db : float, optional
        Mean power of the echoes over the variance of a datum's noise, in dB.
    noise : float, optional
        Standard deviation of a datum's noise instead; with neither there is none.
    position_error : float, m
        Standard deviation of each coordinate of an antenna's true position.
    speed_error : float
        The true speed is ``(1 + speed_error) * speed``.
    gain_error : float
        Standard deviation of the complex gain g of each antenna, around 1.
    seed : int or numpy.random.Generator
        Of noise and errors, in generators of their own: the noise is the same draw
        with and without errors.
    dtype : complex64 or complex128
        Of the data; sums are formed in double precision.

    Returns
    -------
    RadarScan

    Raises
    ------
    ValueError, TypeError
        One sentence that names the argument, what it is and what was wanted.

    Notes
    -----
    Work is proportional to scatterers times data. Equally spaced frequencies cost one
    complex product a datum where there are many, others an exponential. Memory beyond
    the data does not grow with the number of scatterers.
    """
    points, weights = _scatterers(positions, amplitudes)
    scan = _blank(tx, rx, freq, channels, speed, dtype)
    noise = _noise(snr_db, noise, weights)
    rng = np.random.default_rng(seed)
    true = _true_array(rng.spawn(1)[0], scan, position_error, speed_error, gain_error)
    _refuse_touching(points, true)
    pairs = channel_pairs(scan.channels, len(true.tx), len(true.rx))
    echoes = _echoes(points, weights, true, pairs, scan.freq)
    echoes = echoes.reshape(scan.data.shape)
    if snr_db is not None:
        noise = float(np.sqrt(np.mean(np.abs(echoes) ** 2) / 10 ** (snr_db / 10)))
    if noise is not None:
        draw = rng.standard_normal((2, *echoes.shape)) * noise / np.sqrt(2)
        echoes = echoes + draw[0] + 1j * draw[1]
    return replace(scan, data=echoes.astype(scan.data.dtype), noise=noise)


def _scatterers(positions: Any, amplitudes: Any) -> tuple[Floats, Complexes]:
    points = metres("positions", positions)
    if points.ndim != 2 or points.shape[1] != 3:
        raise ValueError(
            f"positions has shape {points.shape}; wanted (n_scatterers, 3) in m"
        )
    weights = np.array(amplitudes, dtype=np.complex128)
    if weights.shape != points.shape[:1]:
        raise ValueError(
            f"amplitudes has shape {weights.shape}; wanted {points.shape[:1]}, one for "
            "each row of positions"
        )
    checks.finite("amplitudes", weights)
    return points, weights


def _blank(
    tx: Any, rx: Any, freq: Any, channels: Any, speed: float, dtype: Any
) -> RadarScan:
    """Return a scan of zeros, which checks all that a scan states."""
    if np.dtype(dtype) not in (np.complex64, np.complex128):
        raise TypeError(f"dtype is {dtype}; wanted complex64 or complex128")
    tx, rx = antenna_positions("tx", tx), antenna_positions("rx", rx)
    freq = frequencies(freq)
    pairs: tuple[int, ...] = (len(tx), len(rx))
    if channels is not None:
        channels = channel_pairs(channels, *pairs)
        pairs = (len(channels),)
    data = np.zeros((freq.size, *pairs), dtype)
    return RadarScan(data, freq, tx, rx, channels, speed=speed)


def _noise(
    snr_db: float | None, noise: float | None, weights: Complexes
) -> float | None:
    """Return the noise that is given, after a check of it and of the ratio."""
    if noise is not None and snr_db is not None:
        raise ValueError(f"snr_db is {snr_db} and noise {noise}; wanted one of them")
    if noise is not None:
        return checks.positive_number("noise", noise)
    if snr_db is None:
        return None
    if not isinstance(snr_db, Real) or not np.isfinite(snr_db):
        raise ValueError(f"snr_db is {snr_db!r}; wanted a finite number, or None")
    if not weights.any():
        raise ValueError("amplitudes is zero everywhere; snr_db wants some echo")
    return None


def _true_array(
    rng: np.random.Generator,
    scan: RadarScan,
    position_error: float,
    speed_error: float,
    gain_error: float,
) -> _TrueArray:
    """Draw what the scan is wrong about; an antenna of both lists is drawn once."""
    move = checks.positive_number("position_error", position_error, zero=True)
    spread = checks.positive_number("gain_error", gain_error, zero=True)
    if not isinstance(speed_error, Real) or not -1 < speed_error < np.inf:
        raise ValueError(
            f"speed_error is {speed_error!r}; wanted a finite number > -1, such as 0.05"
        )
    places = np.round(np.concatenate([scan.tx, scan.rx]), 6)
    _, which = np.unique(places, axis=0, return_inverse=True)
    normal = rng.standard_normal((5, int(which.max()) + 1))[:, which]
    shift = move * normal[:3].T
    gain = 1 + spread * (normal[3] + 1j * normal[4]) / np.sqrt(2)
    n = len(scan.tx)
    return _TrueArray(
        scan.tx + shift[:n],
        scan.rx + shift[n:],
        gain[:n],
        gain[n:],
        scan.speed * (1 + speed_error),
    )


def _refuse_touching(points: Floats, true: _TrueArray) -> None:
    tree = cKDTree(points)
    for name, antennas in (("tx", true.tx), ("rx", true.rx)):
        distance, nearest = tree.query(antennas)
        i = int(np.argmin(distance))
        if distance[i] < _TOUCHING:
            raise ValueError(
                f"positions[{nearest[i]}] is where {name}[{i}] is, where the field is "
                "infinite; move one of the two"
            )


def _echoes(
    points: Floats,
    weights: Complexes,
    true: _TrueArray,
    pairs: NDArray[np.int64],
    freq: Floats,
) -> Complexes:
    """Return the sum of all echoes without noise, (n_freq, n_channels)."""
    step, runs = equally_spaced(freq)
    if len(points) * len(pairs) * freq.size <= _FEW:
        runs = tuple(Run(k, 1) for k in range(freq.size))
    echoes = np.zeros((freq.size, len(pairs)), np.complex128)
    rows = min(len(points), _ROWS)
    columns = max(_BLOCK // rows, 1)
    for j in range(0, len(pairs), columns):
        block = slice(j, j + columns)
        tx, rx = pairs[block].T
        for i in range(0, len(points), rows):
            part = slice(i, i + rows)
            out = _distance(points[part], true.tx[tx])
            back = _distance(points[part], true.rx[rx])
            delay, loss = (out + back) / true.speed, 4 * np.pi * out * back
            turn = np.exp(-2j * np.pi * step * delay)
            for first, length in runs:
                wave = np.exp(-2j * np.pi * float(freq[first]) * delay)
                wave = weights[part, None] * wave / loss
                echoes[first, block] += wave.sum(axis=0)
                for k in range(first + 1, first + length):
                    wave *= turn
                    echoes[k, block] += wave.sum(axis=0)
    return echoes * true.tx_gain[pairs[:, 0]] * true.rx_gain[pairs[:, 1]]


def _distance(points: Floats, antennas: Floats) -> Floats:
    """Return the distances (n_points, n_antennas)."""
    return np.asarray(np.linalg.norm(antennas - points[:, None], axis=-1))
