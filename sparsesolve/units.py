"""Units that foreign files come in, and the way to SI."""

from __future__ import annotations

import math

UNITS: dict[str, tuple[str, float]] = {
    "1": ("1", 1.0),
    "dimensionless": ("1", 1.0),
    "Hz": ("Hz", 1.0),
    "kHz": ("Hz", 1e3),
    "MHz": ("Hz", 1e6),
    "GHz": ("Hz", 1e9),
    "m": ("m", 1.0),
    "cm": ("m", 1e-2),
    "mm": ("m", 1e-3),
    "um": ("m", 1e-6),
    "nm": ("m", 1e-9),
    "s": ("s", 1.0),
    "ms": ("s", 1e-3),
    "us": ("s", 1e-6),
    "ns": ("s", 1e-9),
    "m/s": ("m/s", 1.0),
    "km/s": ("m/s", 1e3),
    "V": ("V", 1.0),
    "mV": ("V", 1e-3),
    "uV": ("V", 1e-6),
    "rad": ("rad", 1.0),
    "deg": ("rad", math.pi / 180),
}
"""Unit to its SI unit and the factor that leads there."""


def si_factor(what: str, unit: str, wanted: tuple[str, ...]) -> float:
    """Return the factor from `unit` to SI.

    Raises
    ------
    ValueError
        An unknown unit, or one of another quantity than `wanted` (SI units).
    """
    known = [name for name, (si, _) in UNITS.items() if si in wanted]
    if unit not in UNITS:
        raise ValueError(f"{what} has the unit {unit!r}; known are {', '.join(UNITS)}")
    si, factor = UNITS[unit]
    if si not in wanted:
        raise ValueError(f"{what} has the unit {unit!r}; wanted {', '.join(known)}")
    return factor
