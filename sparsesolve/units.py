"""Units that foreign files come in, and the way to SI."""

from __future__ import annotations

import math
from decimal import Decimal

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
    "V^2": ("V^2", 1.0),
    "mV^2": ("V^2", 1e-6),
    "rad": ("rad", 1.0),
    "deg": ("rad", math.pi / 180),
}
"""Unit to its SI unit and the factor that leads there."""


def si_factor(what: str, unit: str, wanted: tuple[str, ...]) -> float:
    """Return the factor from `unit` to the first wanted one (SI, or nm).

    Raises
    ------
    ValueError
        An unknown unit, or one of another quantity than `wanted`.
    """
    target = wanted[0]
    known = [name for name, (si, _) in UNITS.items() if si in map(_si, wanted)]
    if unit not in UNITS:
        raise ValueError(f"{what} has the unit {unit!r}; known are {', '.join(UNITS)}")
    if unit not in known:
        raise ValueError(f"{what} has the unit {unit!r}; wanted {', '.join(known)}")
    factor = UNITS[unit][1]
    if UNITS.get(target, ("", 1.0))[1] == 1:
        return factor
    # Decimal, as 1e-6 / 1e-9 is not 1000.
    return float(Decimal(repr(factor)) / Decimal(repr(UNITS[target][1])))


def _si(unit: str) -> str:
    return UNITS.get(unit, (unit, 1.0))[0]
