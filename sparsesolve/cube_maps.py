"""Maps that overlay the cube they were computed from, as ENVI and GeoTIFF files."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sparsesolve.atomic import StrPath, write_bytes, write_files
from sparsesolve.backends import Array, to_numpy
from sparsesolve.cube import HyperspectralCube
from sparsesolve.envi_map_info import in_map_info, write_map_info

__all__ = ["save_envi", "save_geotiff"]

ENVI_NO_DATA = -9999.0
"""Written for NaN into ENVI files, as not every program takes NaN in a header."""

_NOT_IN_HEADER = re.compile(r"[{},=;\x00-\x1f]")


def save_envi(
    path: StrPath,
    maps: Array,
    cube: HyperspectralCube,
    *,
    names: Sequence[str] | None = None,
    description: str = "sparsesolve maps",
) -> Path:
    """Write maps as an ENVI image with the georeference of their cube.

    Parameters
    ----------
    path : path
        Of the header (NAME.hdr, the binary is then NAME.img) or of the binary.
    maps : (rows, cols, K) or (rows, cols) real array
        Abundances, errors; written as float32, band sequential. NaN, and the invalid
        pixels of `cube`, become the header's ignore value -9999.
    cube : HyperspectralCube
        Whose pixels these are; gives validity, transform and CRS.
    names : sequence of str, optional
        One a map; "map 1", "map 2" and so on if None.
    description : str
        A line for the header.

    Returns
    -------
    Path
        The header. Binary and header are brought to the disk before either appears,
        the header last.

    Raises
    ------
    ValueError, TypeError
        Another shape, names that a header cannot hold, or a transform that ENVI cannot
        state (sheared, mirrored).
    ImportError
        The CRS is neither WKT nor the EPSG code of WGS-84 latitude and longitude or
        UTM, and ``rasterio``, which knows the others, is not installed.
    OSError
        The folder is missing or read-only, the disk is full.
    """
    image, labels = _checked(maps, cube, names)
    if np.any(image == ENVI_NO_DATA):
        raise ValueError(
            f"maps hold {ENVI_NO_DATA:g}, which stands for no-data in ENVI files; "
            "wanted other values, or use save_geotiff"
        )
    for name, text in [("names", label) for label in labels] + [
        ("description", description)
    ]:
        if _NOT_IN_HEADER.search(text):
            raise ValueError(f"{name} has {text!r}; wanted text without {{ }} , = ;")
    place = Path(path)
    header = place.with_suffix(".hdr")
    binary = place.with_suffix(".img") if place.suffix in ("", ".hdr") else place
    rows, cols, count = image.shape
    lines = [
        "ENVI",
        f"description = {{{description}}}",
        f"samples = {cols}",
        f"lines = {rows}",
        f"bands = {count}",
        "header offset = 0",
        "file type = ENVI Standard",
        "data type = 4",
        "interleave = bsq",
        "byte order = 0",
        f"data ignore value = {ENVI_NO_DATA:g}",
        f"band names = {{{', '.join(labels)}}}",
        *_georeference(cube),
    ]
    stored = np.where(np.isnan(image), np.float32(ENVI_NO_DATA), image)
    content = np.moveaxis(stored, -1, 0).astype("<f4").tobytes()
    write_files({binary: content, header: ("\n".join(lines) + "\n").encode()})
    return header


def save_geotiff(
    path: StrPath,
    maps: Array,
    cube: HyperspectralCube,
    *,
    names: Sequence[str] | None = None,
) -> Path:
    """Write maps as a GeoTIFF with the georeference of their cube.

    Parameters
    ----------
    path : path
        NAME.tif.
    maps : (rows, cols, K) or (rows, cols) real array
        Written as float32, losslessly compressed; NaN, and the invalid pixels of
        `cube`, are no-data (NaN).
    cube : HyperspectralCube
        Whose pixels these are; gives validity, transform and CRS.
    names : sequence of str, optional
        One a map, the descriptions of the bands; "map 1" and so on if None.

    Returns
    -------
    Path
        The file, which appears whole or not at all.

    Raises
    ------
    ImportError
        ``rasterio`` is not installed.
    ValueError, TypeError
        Another shape or number of names, or a CRS that is not known.
    OSError
        The folder is missing or read-only, the disk is full.
    """
    from sparsesolve.geotiff import tiff_bytes

    image, labels = _checked(maps, cube, names)
    write_bytes(path, tiff_bytes(image, labels, cube.crs, cube.transform))
    return Path(path)


def _checked(
    maps: Any, cube: HyperspectralCube, names: Sequence[str] | None
) -> tuple[NDArray[np.float32], list[str]]:
    """Return float32 maps with NaN in invalid pixels, and their names."""
    array = to_numpy(maps)
    array = array[..., None] if array.ndim == 2 else array
    if array.ndim != 3 or array.shape[:2] != cube.shape[:2] or array.shape[2] == 0:
        raise ValueError(
            f"maps has shape {tuple(np.shape(maps))}; wanted ({cube.shape[0]}, "
            f"{cube.shape[1]}, K), the rows and columns of the cube"
        )
    if array.dtype.kind not in "biuf":
        raise TypeError(f"maps holds {array.dtype} entries; wanted real numbers")
    count = array.shape[2]
    if names is None:
        labels = [f"map {i + 1}" for i in range(count)]
    else:
        labels = [] if isinstance(names, str) else [str(name) for name in names]
    if len(labels) != count:
        raise ValueError(f"names is {names!r}; wanted {count} names, one a map")
    image = np.where(cube.valid[..., None], array, np.nan)
    return image.astype(np.float32), labels


def _georeference(cube: HyperspectralCube) -> list[str]:
    if cube.transform is None:
        return []
    lines = [f"map info = {{{write_map_info(cube.transform, cube.crs)}}}"]
    if cube.crs is not None and not in_map_info(cube.crs):
        lines.append(f"coordinate system string = {{{_wkt(cube.crs)}}}")
    return lines


def _wkt(crs: str) -> str:
    """Return the old form of WKT that ENVI and its readers know."""
    if crs.lstrip().upper().startswith(("PROJCS[", "GEOGCS[")):
        return " ".join(crs.split())
    from sparsesolve.geotiff import esri_wkt

    return esri_wkt(crs)
