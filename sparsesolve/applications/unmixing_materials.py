"""Reflectance spectra of four materials from 400 to 2500 nm, by formula.

Each is built from what shapes the spectrum of such a surface: smooth continua,
logistic edges, and absorptions exp(-Σ depth · Gaussian), at the wavelengths where
pigments, liquid water and minerals absorb. They are plausible, not measured. `change`
is a number a pixel, 0 for the usual surface and of the order of 1 for another one of
the same kind; it changes the shape, not only the brightness.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

__all__ = ["MATERIALS"]

Floats = NDArray[np.float64]
Material = Callable[[Floats, Floats], Floats]


def vegetation(nm: Floats, change: Floats) -> Floats:
    """Green leaves: chlorophyll, red edge, liquid water; `change` dries them."""
    green = 0.055 * np.exp(0.4 * change) * _bell(nm, 552, 32)
    visible = 0.035 * np.exp(0.3 * change) + green
    plateau = 0.50 - 0.03 * change - 6e-5 * (nm - 800)
    edge = _rise(nm, 716 - 4 * change, 13)
    leaf = visible + (plateau - visible) * edge
    water = (
        0.06 * _bell(nm, 970, 28)
        + 0.17 * _bell(nm, 1190, 45)
        + 1.15 * _bell(nm, 1450, 85)
        + 1.75 * _bell(nm, 1940, 120)
        + 1.50 * _bell(nm, 2520, 240)
        + 0.45 * _rise(nm, 1350, 40)
    )
    return np.asarray(leaf * np.exp(-np.exp(-0.35 * change) * water))


def soil(nm: Floats, change: Floats) -> Floats:
    """Loam: iron, hydroxyl and clay; `change` makes it moist."""
    continuum = 0.44 * (1 - np.exp(-(nm - 340) / 520))
    minerals = (
        0.28 * _bell(nm, 490, 55)
        + 0.10 * _bell(nm, 880, 85)
        + 0.07 * _bell(nm, 1412, 22)
        + 0.14 * _bell(nm, 1915, 35)
        + 0.15 * _bell(nm, 2207, 28)
        + 0.06 * _bell(nm, 2350, 30)
    )
    moist = 0.10 + 0.35 * _bell(nm, 1450, 90) + 0.55 * _bell(nm, 1940, 130)
    return np.asarray(continuum * np.exp(-minerals - 0.5 * change * moist))


def water(nm: Floats, change: Floats) -> Floats:
    """A lake: scattering below 700 nm, dark above; `change` makes it turbid."""
    scattered = 0.065 * np.exp(0.25 * change) * _bell(nm, 555 + 8 * change, 75)
    sediment = 0.018 * np.exp(0.4 * change) * (1 - _rise(nm, 730, 18))
    return np.asarray(0.006 + scattered + sediment)


def concrete(nm: Floats, change: Floats) -> Floats:
    """A road: bright, nearly flat, with carbonate; `change` covers it with asphalt."""
    continuum = 0.40 - 0.26 * np.exp(-(nm - 380) / 130) - 2e-5 * (nm - 1000)
    minerals = (
        0.05 * _bell(nm, 1420, 30)
        + 0.12 * _bell(nm, 1930, 45)
        + 0.03 * _bell(nm, 2200, 25)
        + 0.16 * _bell(nm, 2338, 32)
    )
    return np.asarray(continuum * np.exp(-minerals - change * (0.12 + 4e-5 * nm)))


MATERIALS: dict[str, Material] = {
    "vegetation": vegetation,
    "soil": soil,
    "water": water,
    "concrete": concrete,
}
"""Reflectance, from wavelengths (bands,) in nm and `change` (..., 1), (..., bands)."""


def _bell(nm: Floats, center: Floats | float, width: float) -> Floats:
    return np.asarray(np.exp(-0.5 * ((nm - center) / width) ** 2))


def _rise(nm: Floats, center: Floats | float, width: float) -> Floats:
    return np.asarray(1 / (1 + np.exp(-(nm - center) / width)))
