"""GeoTIFF through rasterio: read as a cube, and written."""

from __future__ import annotations

import contextlib
import math
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sparsesolve.atomic import StrPath
from sparsesolve.cube import TILE_BYTES, HyperspectralCube
from sparsesolve.cube_screen import screen
from sparsesolve.envi import one_scale
from sparsesolve.hdf5 import require_file
from sparsesolve.wavelength_units import to_nanometres

Floats = NDArray[np.float64]

MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
"""First bytes of TIFF and BigTIFF files, both byte orders."""

_IN_TEXT = re.compile(
    r"(\d+(?:\.\d+)?)[ _]*(nm|nanomet(?:er|re)s?|um|[µμ]m|micromet(?:er|re)s?)\b",
    re.IGNORECASE,
)


def read_geotiff(path: StrPath) -> HyperspectralCube:
    """Read a GeoTIFF as a cube, into memory.

    Wavelengths come from the bands' tags (``wavelength`` and ``wavelength_units``, as
    GDAL copies them from ENVI, or ``CENTRAL_WAVELENGTH_UM``) or descriptions ("450.5
    nm"), if every band has one. No-data, masks, scales and offsets are honoured; dead
    pixels and constant bands are marked, see `steps`.

    Raises
    ------
    ImportError
        ``rasterio`` is not installed.
    OSError, ValueError, TypeError
        One sentence: not a TIFF, truncated, complex numbers.
    """
    place = require_file(path)
    rasterio = _rasterio()
    try:
        with _quiet(), rasterio.open(place, driver="GTiff") as file:
            found = _contents(file)
    except (rasterio.errors.RasterioError, UnicodeDecodeError) as error:
        raise ValueError(
            f"{place} ({place.stat().st_size} bytes) cannot be read as a GeoTIFF: "
            "truncated, damaged, or compressed in a way that is not installed"
        ) from error
    try:
        return _cube(str(place), **found)
    except (TypeError, ValueError) as error:
        raise type(error)(f"{place}: {error}") from error


def tiff_bytes(
    image: NDArray[np.float32],
    names: Sequence[str],
    crs: str | None,
    transform: Sequence[float] | None,
) -> bytes:
    """Return a GeoTIFF of (rows, cols, K) float32 maps, no-data NaN."""
    rasterio = _rasterio()
    rows, cols, count = image.shape
    profile = {
        "driver": "GTiff",
        "height": rows,
        "width": cols,
        "count": count,
        "dtype": "float32",
        "nodata": math.nan,
        "compress": "deflate",
    }
    if transform is not None:
        profile["transform"] = rasterio.Affine(*transform)
    if crs is not None:
        profile["crs"] = _parsed(crs)
    with _quiet(), rasterio.MemoryFile() as memory:
        with memory.open(**profile) as file:
            file.write(np.moveaxis(image, -1, 0))
            file.descriptions = tuple(names)
        return bytes(memory.read())


def esri_wkt(crs: str) -> str:
    """Return a coordinate reference system as ESRI's WKT, on one line."""
    return " ".join(str(_parsed(crs).to_wkt(version="WKT1_ESRI")).split())


def _parsed(crs: str) -> Any:
    rasterio = _rasterio()
    try:
        if crs.lstrip().upper().startswith(("PROJCS[", "GEOGCS[")):
            return rasterio.CRS.from_wkt(
                crs, morph_from_esri_dialect="AUTHORITY" not in crs
            )
        return rasterio.CRS.from_string(crs)
    except rasterio.errors.CRSError as error:
        raise ValueError(
            f"crs is {crs[:60]!r}; wanted WKT or 'EPSG:' and a code"
        ) from error


def _rasterio() -> Any:
    try:
        import rasterio
    except ImportError as error:
        raise ImportError(
            "GeoTIFF files and coordinate systems need the package rasterio; install "
            "it with pip install 'sparsesolve[geotiff]'"
        ) from error
    return rasterio


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Drop the warning that a file has no georeference: the cube says so itself."""
    from rasterio.errors import NotGeoreferencedWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        yield


def _contents(file: Any) -> dict[str, Any]:
    """Read everything that the cube needs from an open data set."""
    rows, cols, bands = file.height, file.width, file.count
    kind = np.result_type(*file.dtypes)
    try:
        data = np.empty((rows, cols, bands), kind)
    except MemoryError:
        raise ValueError(
            f"{file.name} holds {rows} x {cols} x {bands} {kind}, which do not fit "
            "into memory; convert it to ENVI, which stays in its file"
        ) from None
    step = max(1, TILE_BYTES // (data.itemsize * cols * bands))
    for first in range(0, rows, step):
        window = ((first, min(first + step, rows)), (0, cols))
        data[first : first + step] = np.moveaxis(file.read(window=window), 0, -1)
    shared = any(
        "per_dataset" in [f.name for f in flags] for flags in file.mask_flag_enums
    )
    placed = not file.transform.is_identity
    return {
        "data": data,
        "valid": file.dataset_mask() > 0 if shared else np.ones((rows, cols), bool),
        "ignore": np.array(
            [math.nan if v is None else v for v in file.nodatavals], np.float64
        ),
        "gain": np.array(file.scales, np.float64),
        "shift": np.array(file.offsets, np.float64),
        "crs": None if file.crs is None else str(file.crs.to_string()),
        "transform": tuple(file.transform)[:6] if placed else None,
        "notes": [
            {
                **{key.lower(): text for key, text in file.tags(band).items()},
                **file.tags(band, ns="IMAGERY"),
                "description": file.descriptions[band - 1] or "",
            }
            for band in range(1, bands + 1)
        ],
    }


def _cube(
    where: str,
    data: NDArray[Any],
    valid: NDArray[np.bool_],
    ignore: Floats,
    gain: Floats,
    shift: Floats,
    crs: str | None,
    transform: tuple[float, ...] | None,
    notes: list[Mapping[str, str]],
) -> HyperspectralCube:
    wavelengths, fwhm, steps = _wavelengths(where, notes)
    good, valid, found = screen(data, np.ones(len(notes), bool), valid, ignore)
    data, scale, offset, applied = one_scale(data, gain, shift)
    return HyperspectralCube(
        data,
        wavelengths,
        fwhm,
        good_bands=good,
        valid=valid,
        scale=scale,
        offset=offset,
        crs=crs,
        transform=transform,
        steps=steps + found + applied,
    )


def _wavelengths(
    where: str, notes: list[Mapping[str, str]]
) -> tuple[Floats | None, Floats | None, tuple[str, ...]]:
    values = _numbers(notes, "CENTRAL_WAVELENGTH_UM")
    if values is not None:
        widths = _numbers(notes, "FWHM_UM")
        return values * 1e3, None if widths is None else widths * 1e3, ()
    unit = notes[0].get("wavelength_units", "")
    values, widths = _numbers(notes, "wavelength"), _numbers(notes, "fwhm")
    if values is None:
        texts = [_IN_TEXT.search(note["description"]) for note in notes]
        matches = [text for text in texts if text is not None]
        if len(matches) < len(notes):
            return None, None, ()
        values, unit = np.array([float(m[1]) for m in matches]), matches[0][2]
    factor, steps = to_nanometres(where, values, unit)
    if factor is None:
        return None, None, steps
    return values * factor, None if widths is None else widths * factor, steps


def _numbers(notes: list[Mapping[str, str]], name: str) -> Floats | None:
    """Return a number of every band's tag, or None where one lacks it."""
    try:
        return np.array([float(note[name]) for note in notes])
    except (KeyError, ValueError):
        return None
