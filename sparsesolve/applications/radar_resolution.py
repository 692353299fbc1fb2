"""Rules of thumb for what an array and its frequencies can resolve."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from sparsesolve import checks
from sparsesolve.operators.near_field import LIGHT
from sparsesolve.operators.near_field_arguments import antenna_positions, frequencies

__all__ = ["ambiguity", "cross_range", "range_cell"]

# Frequencies count as multiples of a step if they miss it by less than this share of
# it: an echo then repeats with 95 % of its amplitude or more.
_MISS = 0.05
# Steps this much finer than equal spacing would have are not looked for.
_FINEST = 20


def range_cell(freq: Any, speed: float = LIGHT) -> float:
    """Return c/(2B), m, with B from the lowest to the highest frequency (Hz).

    The first null of the range response; inf for one frequency. `speed` in m/s.
    """
    span = float(np.ptp(frequencies(freq)))
    return checks.positive_number("speed", speed) / (2 * span) if span else math.inf


def ambiguity(freq: Any, speed: float = LIGHT) -> float:
    """Return c/(2Δf), m, the range after which an echo repeats.

    Of frequencies (Hz) that are not equally spaced, Δf is the largest step of which
    all their differences are multiples, to within 5 % of it. It is inf for one
    frequency, and where no such step above 1/20 of the mean spacing is found: random
    or logarithmic frequencies repeat nowhere, at the price of higher sidelobes.
    `speed` in m/s.
    """
    values = np.unique(frequencies(freq))
    speed = checks.positive_number("speed", speed)
    span = float(values[-1] - values[0])
    places = (values - values[0]) / (span or 1.0)
    for n in range(1, _FINEST * (values.size - 1) + 1):
        misses = n * places - np.rint(n * places)
        if np.all(np.abs(misses) <= _MISS):
            return speed * n / (2 * span)
    return math.inf


def cross_range(
    wavelength: float, tx: Any, rx: Any, distance: float
) -> tuple[float, float, float]:
    """Return λR/(L_t + L_r) along x, y and z, m, but λ/4 at least.

    The cross-range resolution cell of transmitters and receivers that extend over L_t
    and L_r along an axis (first null of a filled aperture, small angles). No array
    does better than λ/4, even one all around. An axis without aperture has inf.

    Parameters
    ----------
    wavelength : float, m
    tx, rx : (n, 3) array_like, m
    distance : float, m
        R, from the array to the target.
    """
    wavelength = checks.positive_number("wavelength", wavelength)
    reach = checks.positive_number("distance", distance)
    lengths = sum(
        np.ptp(antenna_positions(name, points), axis=0)
        for name, points in (("tx", tx), ("rx", rx))
    )
    x, y, z = (
        max(wavelength * reach / length, wavelength / 4) if length > 0 else math.inf
        for length in np.asarray(lengths).tolist()
    )
    return x, y, z
