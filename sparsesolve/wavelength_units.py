"""Wavelengths of files brought to nanometres, whatever their header says."""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import NDArray

from sparsesolve.cube_check import MICROMETRES_BELOW

_FACTORS = {
    "nm": 1.0,
    "nanometers": 1.0,
    "nanometer": 1.0,
    "nanometres": 1.0,
    "um": 1e3,
    "µm": 1e3,
    "μm": 1e3,
    "micrometers": 1e3,
    "micrometer": 1e3,
    "micrometres": 1e3,
    "microns": 1e3,
    "micron": 1e3,
    "angstroms": 0.1,
}
_SILENT = ("", "unknown", "none", "<unspecified>")
_SHORTEST = 100.0


def to_nanometres(
    where: str, values: NDArray[np.float64], unit: str
) -> tuple[float | None, tuple[str, ...]]:
    """Return the factor to nm, and what was assumed.

    Parameters
    ----------
    where : str
        The file, for the warning.
    values : (bands,) array
        Wavelengths as they stand in the file.
    unit : str
        As the file has it, "" if it says nothing.

    Returns
    -------
    factor : float or None
        None: these are no wavelengths, but band numbers, wavenumbers or frequencies.
    steps : tuple of str
        A sentence where the file says nothing, or contradicts itself (with a warning).

    Notes
    -----
    Optical sensors work between 100 nm and 30 µm, so that values below 30 can only be
    µm, and values above 100 only nm.
    """
    stated = unit.strip().lower()
    if stated not in _FACTORS and stated not in _SILENT:
        return None, (f"wavelengths: left out, as the file has them in {unit!r}",)
    if stated in _SILENT and _counts(values):
        return None, ("wavelengths: left out, as the file has band numbers",)
    likely = 1e3 if np.max(values) < MICROMETRES_BELOW else 1.0
    if stated in _SILENT:
        name = "um" if likely == 1e3 else "nm"
        return likely, (f"wavelengths: taken for {name}, as the file has no unit",)
    factor = _FACTORS[stated]
    if _plausible(values * factor) or not _plausible(values * likely):
        return factor, ()
    name = "um" if likely == 1e3 else "nm"
    note = f"taken for {name}, as {unit!r} of the file cannot be right"
    warnings.warn(
        f"{where}: wavelengths, {np.min(values):g} to {np.max(values):g}, are {note}",
        stacklevel=2,
    )
    return likely, (f"wavelengths: {note}",)


def _plausible(values: NDArray[np.float64]) -> bool:
    return bool(
        np.min(values) >= _SHORTEST and np.max(values) <= 1e3 * MICROMETRES_BELOW
    )


def _counts(values: NDArray[np.float64]) -> bool:
    """Whether the values are the numbers of the bands, from 0 or 1."""
    return values.size > 1 and bool(
        values[0] in (0, 1) and np.all(np.diff(values) == 1)
    )
