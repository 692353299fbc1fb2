"""Volumes as VTK image data (.vti), which ParaView and 3D Slicer open."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from xml.sax.saxutils import quoteattr

import numpy as np
from numpy.typing import NDArray

from sparsesolve import atomic, checks
from sparsesolve.backends import Array, to_numpy
from sparsesolve.operators.grid import Grid

__all__ = ["write_vti"]

# Shares of a voxel by which a centre may miss its place on the uniform grid: positions
# that went through float32 pass, a grid that was meant to be another does not.
_TOLERANCE = 1e-3
_PARTS: dict[str, tuple[tuple[str, Callable[[Array], Array]], ...]] = {
    "polar": (("magnitude", np.abs), ("phase", np.angle)),
    "cartesian": (("real", np.real), ("imag", np.imag)),
}


def write_vti(
    path: str | Path, images: Mapping[str, Array], grid: Grid, *, parts: str = "polar"
) -> None:
    """Write volumes on a uniform grid to a VTK XML ImageData file, atomically.

    Parameters
    ----------
    path : path
        Ends in ``.vti``, by which viewers know the format.
    images : dict of str to array of shape ``grid.shape``
        Each becomes a named array of float32 values at the voxel centres; a complex
        one becomes two.
    grid : Grid
        Uniform along each axis. Origin and spacing are in m. An axis of one voxel has
        the smallest spacing of the others.
    parts : {"polar", "cartesian"}
        A complex image is NAME_magnitude and NAME_phase (rad), or NAME_real and
        NAME_imag.

    Raises
    ------
    ValueError
        No image, one of another shape, not finite or beyond float32, a name that is
        empty or used twice, an axis that is not uniform, or another ending of `path`.
    OSError
        The file cannot be written; an older one stays.

    Notes
    -----
    Base64 of a 64-bit byte count and of little-endian values, x running fastest, as the
    VTK file formats document has it: larger by a third than raw bytes, but valid XML.

    Examples
    --------
    >>> import numpy as np, sparsesolve as ss, tempfile, pathlib
    >>> grid = ss.Grid.box((0, 0, 0.5), (0.3, 0.3, 0.3), 0.1)
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "image.vti"
    >>> ss.vtk.write_vti(path, {"image": np.ones(grid.shape)}, grid)
    """
    place = Path(path)
    if place.suffix != ".vti":
        raise ValueError(f"path is {str(path)!r}; wanted a name that ends in .vti")
    if parts not in _PARTS:
        raise ValueError(f"parts is {parts!r}; wanted 'polar' or 'cartesian'")
    if not images:
        raise ValueError("images holds no image; wanted at least one")
    spacing = _spacings(grid)
    arrays: dict[str, NDArray[np.float32]] = {}
    for name, image in images.items():
        for key, values in _real_arrays(name, image, grid, parts).items():
            if key in arrays:
                raise ValueError(
                    f"images has two arrays named {key!r} in the file; rename one"
                )
            arrays[key] = values
    extent = " ".join(f"0 {n - 1}" for n in grid.shape)
    origin = " ".join(repr(float(axis[0])) for axis in grid.axes)
    steps = " ".join(repr(step) for step in spacing)
    lines = [
        '<?xml version="1.0" encoding="utf-8"?>',
        '<VTKFile type="ImageData" version="1.0" byte_order="LittleEndian" '
        'header_type="UInt64">',
        f'<ImageData WholeExtent="{extent}" Origin="{origin}" Spacing="{steps}">',
        f'<Piece Extent="{extent}">',
        f"<PointData Scalars={quoteattr(next(iter(arrays)))}>",
        *(_data_array(name, values) for name, values in arrays.items()),
        "</PointData>",
        "</Piece>",
        "</ImageData>",
        "</VTKFile>",
        "",
    ]
    atomic.write_bytes(place, "\n".join(lines).encode())


def _spacings(grid: Grid) -> list[float]:
    """Spacing of each axis, m."""
    steps = []
    for name, axis in zip("xyz", grid.axes, strict=True):
        n = axis.size
        step = float(axis[-1] - axis[0]) / (n - 1) if n > 1 else 0.0
        misses = np.abs(axis - np.linspace(axis[0], axis[-1], n))
        if np.any(misses > _TOLERANCE * step):
            gaps = np.diff(axis)
            raise ValueError(
                f"grid axis {name} has spacings from {gaps.min():g} to {gaps.max():g} "
                "m; image data need a uniform one: interpolate the image to Grid.box"
            )
        steps.append(step)
    smallest = min((step for step in steps if step > 0), default=1.0)
    return [step or smallest for step in steps]


def _real_arrays(
    name: Any, image: Array, grid: Grid, parts: str
) -> dict[str, NDArray[np.float32]]:
    """Return the float32 arrays that a volume becomes, by their names."""
    if not isinstance(name, str) or not name.strip() or not name.isprintable():
        raise ValueError(f"images has the name {name!r}; wanted printable text")
    what = f"image {name!r}"
    checks.finite(what, image)
    if tuple(image.shape) != grid.shape:
        raise ValueError(
            f"{what} has shape {tuple(image.shape)}; wanted {grid.shape}, that of the "
            f"grid{checks.swapped(tuple(image.shape), grid.shape)}"
        )
    values = to_numpy(image)
    if np.abs(values).max() > np.finfo(np.float32).max:
        raise ValueError(f"{what} has entries beyond float32; scale it down")
    if values.dtype.kind != "c":
        return {name: np.asarray(values, np.float32)}
    return {
        f"{name}_{part}": np.asarray(take(values), np.float32)
        for part, take in _PARTS[parts]
    }


def _data_array(name: str, values: NDArray[np.float32]) -> str:
    content = values.astype("<f4").tobytes(order="F")
    encoded = base64.b64encode(len(content).to_bytes(8, "little") + content).decode()
    return (
        f'<DataArray type="Float32" Name={quoteattr(name)} format="binary">'
        f"{encoded}</DataArray>"
    )
