"""Waves between antennas and voxels, tabulated for the near-field radar operator."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sparsesolve.backends import Array, array_namespace, native_dtype
from sparsesolve.operators.grid import Floats

Ints = NDArray[np.int64]

# Waves of twice as many antennas stay in the second-level cache.
_SIDE = 32
# A wave follows from that of the frequency before by one product; over this many
# single-precision products the error stays below 1e-5 of the wave.
_LONGEST = 64
_SAME_SPACING = 1e-12


class Run(NamedTuple):
    """Equally spaced frequencies: the index of the first and how many."""

    first: int
    length: int


class Blocks(NamedTuple):
    """Channels in an order in which neighbours share antennas, cut into blocks."""

    order: Ints
    """(n_channels,) Which channel comes at each place."""
    first: Ints
    """(n_blocks + 1,) Place of each block's first channel, and the number of them."""
    members: Ints
    """Antennas of all blocks, one after the other."""
    edges: Ints
    """(n_blocks + 1,) Where each block's antennas begin in `members`."""
    pairs: Ints
    """(n_channels, 2) Antennas of each channel, counted within its block."""


def blocks_of(channels: Ints, antennas: Ints) -> Blocks:
    """Cut channels into blocks of at most `_SIDE` transmitters and `_SIDE` receivers.

    `channels` is (n_channels, 2), indices of transmitter and receiver; `antennas` the
    same pairs as indices of antennas, where both may be one. Cost n log n.
    """
    side = channels // _SIDE
    key = side[:, 0] * (side[:, 1].max() + 1) + side[:, 1]
    order = np.argsort(key, kind="stable")
    first = np.flatnonzero(np.diff(key[order], prepend=-1, append=-1))
    members, edges = [], [0]
    pairs = np.empty_like(channels)
    for low, high in pairwise(first):
        found, places = np.unique(antennas[order[low:high]], return_inverse=True)
        pairs[low:high] = places.reshape(-1, 2)
        members.append(found)
        edges.append(edges[-1] + found.size)
    return Blocks(order, first, np.concatenate(members), np.array(edges), pairs)


class Antennas(NamedTuple):
    """The places where antennas are, each once."""

    positions: Floats
    """(n_antennas, 3), m."""
    of_tx: Ints
    """(n_tx,) Which of them each transmitter is."""
    of_rx: Ints
    """(n_rx,) Which of them each receiver is."""


def distinct(tx: Floats, rx: Floats) -> Antennas:
    """Return the antennas of which each may transmit, receive or do both."""
    both = np.concatenate([tx, rx])
    positions, places = np.unique(both, axis=0, return_inverse=True)
    places = places.reshape(-1)
    return Antennas(positions, places[: len(tx)], places[len(tx) :])


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
