"""Images in ENVI's format: a plain binary beside a header, read as a cube."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sparsesolve.atomic import StrPath
from sparsesolve.cube import HyperspectralCube
from sparsesolve.cube_screen import screen
from sparsesolve.envi_map_info import read_crs, read_transform
from sparsesolve.hdf5 import require_file
from sparsesolve.wavelength_units import to_nanometres

Floats = NDArray[np.float64]
Header = Mapping[str, Any]

BINARIES = ("", ".img", ".dat", ".raw", ".bin", ".bsq", ".bil", ".bip", ".hsi")
"""Suffixes of the binary beside NAME.hdr, in the order that they are looked for."""

# Axes of the file that are rows, columns and bands of the cube.
_ORDERS = {"bsq": (1, 2, 0), "bil": (0, 2, 1), "bip": (0, 1, 2)}
_NEEDED = ("samples", "lines", "bands", "data type", "interleave")


def header_of(path: StrPath) -> Path | None:
    """Return the ENVI header that `path` is or that stands beside it, or None."""
    place = Path(path)
    if place.suffix.lower() == ".hdr":
        return place
    for header in (Path(f"{place}.hdr"), place.with_suffix(".hdr")):
        if place.is_file() and header.is_file():
            return header
    return None


def read_envi(path: StrPath, *, lazy_bytes: int = 2**28) -> HyperspectralCube:
    """Read an ENVI image as a cube.

    Parameters
    ----------
    path : path
        The header, or the binary beside it.
    lazy_bytes : int
        Larger images stay in the file as a memory map.

    Returns
    -------
    HyperspectralCube
        In the file's data type and native byte order; wavelengths in nm; the bad band
        list (``bbl``), the ignore value, ``map info`` and the coordinate system are
        honoured; a reflectance scale factor becomes ``scale = 1 / factor``. Dead
        pixels, no-data and constant bands are marked, see `steps`.

    Raises
    ------
    ImportError
        ``spectral`` is not installed.
    OSError, ValueError, TypeError
        One sentence: no binary, sizes that disagree, fields of a wrong length.
    """
    given = require_file(path)
    place = header_of(given)
    if place is None:
        raise FileNotFoundError(f"{given} has no header {given.name}.hdr beside it")
    header = _parse(place)
    try:
        data = _image(place, header, _binary(place, given, header), lazy_bytes)
        return _cube(place, header, data)
    except (TypeError, ValueError) as error:
        raise type(error)(f"{place}: {error}") from error


def _parse(place: Path) -> Header:
    try:
        from spectral.io import envi
    except ImportError as error:
        raise ImportError(
            "reading ENVI files needs the package spectral; install it with "
            "pip install 'sparsesolve[envi]'"
        ) from error
    require_file(place)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # names that are not lower case
            header: Header = envi.read_envi_header(str(place))
    # Damaged headers make spectral raise errors of several unrelated types.
    except Exception as error:
        raise ValueError(
            f"{place} is no ENVI header, or is damaged; wanted text (UTF-8) that "
            "begins with ENVI and closes every brace"
        ) from error
    lacking = [name for name in _NEEDED if name not in header]
    if lacking:
        raise ValueError(f"{place} lacks {', '.join(lacking)}")
    return header


def _binary(place: Path, given: Path, header: Header) -> Path:
    """Find the binary, never outside the header's folder."""
    if given != place:
        return given
    named = str(header.get("data file", "")).strip()
    if named:
        # Both kinds of separators, wherever this runs.
        bare = {PurePosixPath(named).name, PureWindowsPath(named).name}
        if bare != {named} or named == "..":
            raise ValueError(
                f"data file is {named!r}; wanted the name of a file in the same folder"
            )
        return require_file(place.parent / named)
    stem = place.with_suffix("")
    for suffix in BINARIES:
        for ending in (suffix, suffix.upper()):
            found = Path(f"{stem}{ending}")
            if found.is_file():
                return found
    raise FileNotFoundError(
        f"{place} has no binary beside it; wanted {stem.name} or {stem.name}.img (or "
        f"{', '.join(BINARIES[2:])}): pass the binary's path if it has another suffix"
    )


def _image(place: Path, header: Header, binary: Path, lazy_bytes: int) -> Any:
    """Return the binary as (rows, cols, bands), in memory or mapped."""
    size = [_whole(header, name) for name in ("lines", "samples", "bands")]
    start = _whole(header, "header offset", least=0)
    interleave = str(header["interleave"]).lower()
    if interleave not in _ORDERS:
        raise ValueError(f"interleave is {interleave!r}; wanted bsq, bil or bip")
    if "library" in str(header.get("file type", "")).lower():
        raise ValueError("this is a spectral library; wanted an image")
    dtype = _dtype(header)
    wanted = start + math.prod(size) * dtype.itemsize
    there = binary.stat().st_size
    if there != wanted:
        raise ValueError(
            f"{binary.name} has {there} bytes, but {size[0]} lines x {size[1]} samples "
            f"x {size[2]} bands of {dtype.name}"
            + (f" after {start} bytes" if start else "")
            + f" are {wanted}; it is "
            + ("truncated, or" if there < wanted else "longer than that:")
            + " another header belongs to it"
        )
    order = _ORDERS[interleave]
    stored = tuple(size[order.index(axis)] for axis in range(3))
    if wanted > lazy_bytes:
        mapped = np.memmap(binary, dtype, "r", offset=start, shape=stored)
        return mapped.transpose(order)
    flat = np.fromfile(binary, dtype, offset=start)
    image = flat.reshape(stored).transpose(order)
    return np.ascontiguousarray(image, dtype.newbyteorder("="))


def _dtype(header: Header) -> np.dtype[Any]:
    from spectral.io.envi import envi_to_dtype

    code = str(header["data type"])
    if code not in envi_to_dtype:
        raise ValueError(f"data type is {code}; known are {', '.join(envi_to_dtype)}")
    byte_order = str(header.get("byte order", "0"))
    if byte_order not in ("0", "1"):
        raise ValueError(f"byte order is {byte_order}; wanted 0 or 1")
    dtype: np.dtype[Any] = np.dtype(envi_to_dtype[code])
    return dtype.newbyteorder("<" if byte_order == "0" else ">")


def _cube(place: Path, header: Header, data: Any) -> HyperspectralCube:
    bands = data.shape[2]
    wavelengths, fwhm, steps = _wavelengths(place, header, bands)
    bbl = _row(header, "bbl", bands)
    good = np.ones(bands, bool) if bbl is None else bbl > 0
    ignore = _number(header, "data ignore value", math.nan)
    everywhere = np.ones(data.shape[:2], bool)
    good, valid, found = screen(data, good, everywhere, np.full(bands, ignore))
    steps += found
    gain, shift = (_row(header, f"data {n} values", bands) for n in ("gain", "offset"))
    gain = np.ones(bands) if gain is None else gain
    shift = np.zeros(bands) if shift is None else shift
    data, scale, offset, applied = one_scale(data, gain, shift)
    factor = _number(header, "reflectance scale factor", 1.0)
    if factor <= 0:
        raise ValueError(f"reflectance scale factor is {factor:g}; wanted one above 0")
    fields = header.get("map info")
    return HyperspectralCube(
        data,
        wavelengths,
        fwhm,
        good_bands=good,
        valid=valid,
        scale=scale / factor,
        offset=offset / factor,
        quantity="reflectance" if "reflectance scale factor" in header else "unknown",
        crs=_crs(header, fields),
        transform=read_transform(fields) if isinstance(fields, list) else None,
        steps=steps + applied,
    )


def one_scale(
    data: Any, gain: Floats, shift: Floats
) -> tuple[Any, float, float, tuple[str, ...]]:
    """Return data with one scale and offset: applied here if bands differ."""
    if np.all(gain == gain[0]) and np.all(shift == shift[0]):
        return data, float(gain[0]), float(shift[0]), ()
    kind = np.float64 if data.dtype == np.float64 else np.float32
    applied = data * gain.astype(kind) + shift.astype(kind)
    note = f"scaled: each band by its own gain and offset, as {np.dtype(kind)}"
    return applied, 1.0, 0.0, (note,)


def _wavelengths(
    place: Path, header: Header, bands: int
) -> tuple[Floats | None, Floats | None, tuple[str, ...]]:
    values, widths = _row(header, "wavelength", bands), _row(header, "fwhm", bands)
    if values is None:
        return None, None, ()
    unit = str(header.get("wavelength units", ""))
    factor, steps = to_nanometres(str(place), values, unit)
    if factor is None:
        return None, None, steps
    return values * factor, None if widths is None else widths * factor, steps


def _crs(header: Header, fields: Any) -> str | None:
    text = header.get("coordinate system string")
    if text:
        # The parser cuts at the commas of the braces.
        return ",".join(text) if isinstance(text, list) else str(text)
    return read_crs(fields) if isinstance(fields, list) else None


def _row(header: Header, name: str, bands: int) -> Floats | None:
    found = header.get(name)
    if found is None:
        return None
    items = [item for item in found if item] if isinstance(found, list) else [found]
    if len(items) != bands:
        raise ValueError(
            f"{name} has {len(items)} entries for {bands} bands; wanted one a band"
        )
    try:
        return np.array(items, np.float64)
    except ValueError:
        raise ValueError(f"{name} has entries that are no numbers") from None


def _whole(header: Header, name: str, least: int = 1) -> int:
    text = str(header.get(name, "0")).strip()
    if not text.isdecimal() or int(text) < least:
        raise ValueError(f"{name} is {text!r}; wanted a whole number >= {least}")
    return int(text)


def _number(header: Header, name: str, default: float) -> float:
    text = header.get(name, default)
    try:
        return float(text)
    except (TypeError, ValueError):
        raise ValueError(f"{name} is {text!r}; wanted one number") from None
