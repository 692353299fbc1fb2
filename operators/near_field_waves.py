"""Waves between antennas and voxels, tabulated for the near-field radar operator."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from sparsesolve.backends import Array, array_namespace, native_dtype
from sparsesolve.operators.grid import Floats

# A wave follows from that of the frequency before by one product; over this many
# single-precision products the error stays below 1e-5 of the wave.
_LONGEST = 64
_SAME_SPACING = 1e-12


class Run(NamedTuple):
    """Equally spaced frequencies: the index of the first and how many."""

    first: int
    length: int


class Waves(NamedTuple):
    """Waves of transmitters and of receivers, each (antennas, voxels)."""

    tx: Array
    rx: Array


def equally_spaced(freq: Floats) -> tuple[float, tuple[Run, ...]]:
    """Return the usual frequency step and the runs of `freq` that keep to it."""
    if freq.size == 1:
        return 0.0, (Run(0, 1),)
    step = float(np.sort(np.diff(freq))[(freq.size - 1) // 2])
    runs: list[Run] = []
    first = 0
    for k in range(1, freq.size + 1):
        if k < freq.size:
            expected = freq[first] + (k - first) * step
            if abs(freq[k] - expected) <= _SAME_SPACING * freq[k]:
                continue
        pieces = math.ceil((k - first) / _LONGEST)
        edges = [first + (k - first) * i // pieces for i in range(pieces + 1)]
        runs += [Run(a, b - a) for a, b in pairwise(edges)]
        first = k
    return step, tuple(runs)


def wave_table(
    antennas: Array, points: Array, wavenumber: float, spreading: bool, dtype: Any
) -> Array:
    """Return exp(j wavenumber R), divided by √(4π) R if `spreading`.

    `antennas` is (n, 3) and `points` (voxels, 3), both float64, as are all phases;
    only the result, (n, voxels), has the precision of `dtype`. `wavenumber` in rad/m
    carries the sign of the phase.
    """
    xp = array_namespace(points)
    rows = []
    for i in range(antennas.shape[0]):
        offset = points - antennas[i, :]
        distance = xp.sqrt(xp.sum(offset * offset, axis=-1))
        wave = xp.exp(xp.astype(distance, xp.complex128) * (1j * wavenumber))
        if spreading:
            wave = wave / (math.sqrt(4 * math.pi) * distance)
        rows.append(xp.astype(wave, native_dtype(xp, dtype)))
    return xp.stack(rows)
