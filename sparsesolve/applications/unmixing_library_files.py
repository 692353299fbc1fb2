"""Spectral libraries of others: ENVI files and MATLAB's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sparsesolve.applications.unmixing_library import SpectralLibrary
from sparsesolve.atomic import StrPath
from sparsesolve.hdf5 import require_file
from sparsesolve.sources import open_source
from sparsesolve.wavelength_units import to_nanometres

__all__ = ["load_library"]

Floats = NDArray[np.float64]

_NAMES = {
    "spectra": ("spectra", "library", "A", "M", "E"),
    "wavelengths": ("wavelengths", "wavelength", "wavlen", "lambda"),
    "fwhm": ("fwhm", "FWHM"),
}
"""What variables of a `.mat` file are called, in the order that they are looked for."""


def load_library(path: StrPath) -> SpectralLibrary:
    """Read a spectral library from an ENVI `.sli` or a MATLAB `.mat` file.

    Parameters
    ----------
    path : path
        An ENVI library or its header: needs the package ``spectral`` (``pip install
        sparsesolve[envi]``). A reflectance scale factor is divided by. Or a `.mat`
        file (v5, v7.3): either ``datalib`` as the unmixing literature passes the USGS
        library around, with wavelengths, widths (µm) and channels in its first three
        columns and ``names`` beside it, or ``spectra`` with ``wavelengths`` and
        optionally ``fwhm`` and ``names``.

    Returns
    -------
    SpectralLibrary
        Wavelengths in nm, whatever the file has; where it says nothing, their size
        tells µm from nm.

    Raises
    ------
    FileNotFoundError, ValueError
        There is no such file, or it is no library, truncated, or without wavelengths.
    """
    place = require_file(path)
    if place.suffix.lower() == ".mat":
        return _from_matlab(place)
    if place.suffix.lower() in (".sli", ".hdr"):
        return _from_envi(place)
    raise ValueError(f"{place} is no library that can be read; wanted .sli, .hdr, .mat")


def _from_envi(place: Path) -> SpectralLibrary:
    try:
        from spectral.io import envi
    except ImportError as error:
        raise ImportError(
            "reading ENVI libraries needs the package spectral; install it with "
            "pip install 'sparsesolve[envi]'"
        ) from error
    header, image = _pair(place)
    try:
        found = envi.open(str(header), None if image is None else str(image))
    # Damaged headers and files make spectral raise errors of a dozen types.
    except Exception as error:
        raise ValueError(
            f"{place} cannot be read as an ENVI spectral library: its header and its "
            f"size disagree, or it is damaged ({error})"
        ) from error
    if not isinstance(found, envi.SpectralLibrary):
        raise ValueError(f"{header} describes an image; wanted a spectral library")
    if found.params.offset:
        raise ValueError(
            f"{header} has a header offset of {found.params.offset}; wanted 0, as of "
            "every spectral library"
        )
    if Path(found.params.filename).stat().st_size != found.spectra.nbytes:
        raise ValueError(
            f"{place} cannot be read as an ENVI spectral library: its header and its "
            f"size disagree, which is not {found.spectra.nbytes} bytes"
        )
    if found.bands.centers is None:
        raise ValueError(f"{header} has no wavelengths; add them to the header")
    scale = float(found.metadata.get("reflectance scale factor", 1.0))
    factor = _factor(header, found.bands.centers, str(found.bands.band_unit))
    return SpectralLibrary(
        np.asarray(found.spectra, np.float64) / scale,
        factor * np.asarray(found.bands.centers),
        [name.strip() for name in found.names],
        found.bands.bandwidths and factor * np.asarray(found.bands.bandwidths),
    )


def _pair(place: Path) -> tuple[Path, Path | None]:
    """Return header and data file; None where only `spectral` can tell."""
    if place.suffix.lower() == ".hdr":
        return place, None
    for header in (place.with_suffix(".hdr"), Path(f"{place}.hdr")):
        if header.exists():
            return header, place
    raise FileNotFoundError(
        f"{place} has no header beside it; wanted {place.with_suffix('.hdr').name}"
    )


def _from_matlab(place: Path) -> SpectralLibrary:
    with open_source(place) as source:
        held, names = _inventory(source)
        if "datalib" in held:
            table = _numbers(source, "datalib")
            if table.ndim != 2 or table.shape[1] < 4:
                raise ValueError(
                    f"{place}: datalib has shape {table.shape}; wanted (bands, 3 + n): "
                    "wavelengths, widths, channels, spectra"
                )
            # The first three columns have names, too.
            names = names[3:] if len(names) == table.shape[1] else names
            centres, widths, spectra = table[:, 0], table[:, 1], table[:, 3:].T
        else:
            spectra, centres = (
                _numbers(source, _present(place, held, what))
                for what in ("spectra", "wavelengths")
            )
            width = next((name for name in _NAMES["fwhm"] if name in held), None)
            widths = np.zeros(1) if width is None else _numbers(source, width)
    centres = centres.ravel()
    if spectra.ndim == 2 and spectra.shape[1] != centres.size:
        spectra = spectra.T
    factor = _factor(place, centres, "")
    fwhm = factor * widths.ravel() if (widths > 0).all() else None
    return SpectralLibrary(spectra, factor * centres, names, fwhm)


def _inventory(source: Any) -> tuple[list[str], list[str]]:
    """Return the variables' names and, from MATLAB v5, the materials' names."""
    arrays = getattr(source, "arrays", None)
    if arrays is None:
        return list(source.file), []
    cells = np.ravel(arrays.get("names", ()))
    # A cell array holds an array with one string in every entry.
    return list(arrays), [str(np.ravel(cell)[0]).strip() for cell in cells]


def _present(place: Path, held: list[str], what: str) -> str:
    for name in _NAMES[what]:
        if name in held:
            return name
    raise ValueError(
        f"{place} has no variable {' or '.join(_NAMES[what])}; it has {', '.join(held)}"
    )


def _numbers(source: Any, name: str) -> Floats:
    order = tuple(range(len(source.shape(name))))
    return np.asarray(source.array((name,), order, lambda a: a), np.float64)


def _factor(place: Path, values: Any, unit: str) -> float:
    factor, notes = to_nanometres(str(place), np.asarray(values, np.float64), unit)
    if factor is None:
        raise ValueError(
            f"{place} has no wavelengths that can be brought to nm ({notes[0]}); "
            "wanted micrometers or nanometers"
        )
    return factor
