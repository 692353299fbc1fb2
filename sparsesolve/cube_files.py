"""Which of the formats of hyperspectral images a file has."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from sparsesolve.atomic import StrPath

_HDF5 = b"\x89HDF\r\n\x1a\n"
_MATLAB = (b"MATLAB 5.0", b"MATLAB 7.3")


def cube_reader(
    path: StrPath, kind: str | None, lazy_bytes: int
) -> Callable[[], Any] | None:
    """Return what reads a file as a cube; None: it is HDF5, or not a cube's format.

    An ENVI header, or a file with one beside it; TIFF by its first bytes; MATLAB files
    where a cube was asked for, as others are kept in them too.
    """
    from sparsesolve.envi import header_of, read_envi
    from sparsesolve.geotiff import MAGIC, read_geotiff

    place = Path(path)
    if not place.is_file():
        return None
    with place.open("rb") as file:
        head = file.read(10)
    if head.startswith(MAGIC):
        return lambda: read_geotiff(place)
    if head.startswith(_MATLAB):
        from sparsesolve.cube_mat import from_mat

        return (lambda: from_mat(place)) if kind == "hyperspectral" else None
    if head.startswith(_HDF5) or header_of(place) is None:
        return None
    return lambda: read_envi(place, lazy_bytes=lazy_bytes)
