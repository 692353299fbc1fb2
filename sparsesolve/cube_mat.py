"""Hyperspectral images in MATLAB files: the layouts that the literature shares."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sparsesolve.atomic import StrPath
from sparsesolve.backends import Array, Shape
from sparsesolve.cube import HyperspectralCube
from sparsesolve.cube_screen import screen
from sparsesolve.sources import Source, open_source

__all__ = ["from_mat"]

_SIZES = (("nRow", "nCol"), ("lines", "cols"), ("rows", "cols"), ("nrow", "ncol"))
"""Variables that hold the size of the image, in the order that they are looked for."""

_SCENES: dict[tuple[int, ...], tuple[str, int, float, float]] = {
    (95, 95, 156): ("Samson", 156, 401.0, 889.0),
    (100, 100, 198): ("Jasper Ridge", 224, 380.0, 2500.0),
    (307, 307, 162): ("Urban", 210, 400.0, 2500.0),
}
"""(rows, cols, bands) of public scenes to sensor bands and their range in nm.

Their files have no wavelengths; these are the evenly spaced, nominal ones.
"""


def from_mat(
    path: StrPath,
    *,
    data: str | None = None,
    shape: tuple[int, int] | None = None,
    order: str | None = None,
    wavelengths: Array | None = None,
) -> HyperspectralCube:
    """Read a hyperspectral image from a MATLAB file (v5, v7.3) or `.npz`.

    Parameters
    ----------
    path : path
        The file.
    data : str or None
        The variable: (rows, cols, bands), or (bands, n_pixels). None: ``Y``, else the
        only variable of three axes.
    shape : (rows, cols) or None
        Of the image, for a matrix of spectra; None: from the file's ``nRow`` and
        ``nCol`` (Jasper Ridge, Urban) or ``lines`` and ``cols`` (Samson).
    order : "F", "C" or None
        Order of the pixels of a matrix, see `HyperspectralCube.from_matrix`. None: "F",
        as MATLAB has it, where the size is the file's own; needed with `shape`.
    wavelengths : (bands,) array, nm, or None
        None: those of the public scenes Samson, Jasper Ridge and Urban, known by their
        size; nominal, as their files have none.

    Returns
    -------
    HyperspectralCube
        ``maxValue`` becomes ``scale = 1 / maxValue``. Dead pixels and constant bands
        are marked, see `steps`.

    Raises
    ------
    OSError, ValueError, TypeError
        One sentence that names the file, the variable, what was found and wanted.

    Examples
    --------
    >>> cube = from_mat("scene.mat", data="X", shape=(400, 300), order="C")
    ... # doctest: +SKIP
    """
    if shape is not None and order is None:
        raise ValueError(
            "shape needs order=: 'F' if the pixels run down the columns (MATLAB), 'C' "
            "if along the rows (NumPy)"
        )
    with open_source(path) as source:
        held = source.shapes()
        name = _variable(path, held) if data is None else data
        image: Any = source.array((name,), tuple(range(len(source.shape(name)))), _same)
        size = _size(source, held) if shape is None else shape
        top = _scalar(source, "maxValue") if "maxValue" in held else 1.0
        chosen = _vector(source, "SlectBands") if "SlectBands" in held else None
    try:
        if image.ndim == 2:
            image = _unfold(name, np.asarray(image), size, order or "F")
        elif image.ndim != 3:
            raise ValueError(
                f"{name} has shape {image.shape}; wanted (rows, cols, bands) or "
                "(bands, n_pixels)"
            )
        return _cube(image, wavelengths, top, chosen)
    except (TypeError, ValueError) as error:
        raise type(error)(f"{path}: {error}") from error


def _cube(
    image: Any, wavelengths: Any, top: float, chosen: NDArray[Any] | None
) -> HyperspectralCube:
    steps: tuple[str, ...] = ()
    if wavelengths is None and image.shape in _SCENES:
        title, count, first, last = _SCENES[image.shape]
        wavelengths = np.linspace(first, last, count)
        if chosen is not None:
            if chosen.min() < 1 or chosen.max() > count:
                raise ValueError(
                    f"SlectBands has {chosen.min():g} to {chosen.max():g}; wanted "
                    f"bands of {title}'s sensor, 1 to {count}"
                )
            wavelengths = wavelengths[chosen.astype(np.int64) - 1]
        steps = (
            f"wavelengths: nominal, {count} bands from {first:g} to {last:g} nm, as of "
            f"the scene {title}",
        )
    good = np.ones(image.shape[2], bool)
    valid = np.ones(image.shape[:2], bool)
    good, valid, found = screen(image, good, valid, np.full(image.shape[2], math.nan))
    if top != 1:
        steps += (f"scaled: by the file's maxValue {top:g}",)
    return HyperspectralCube(
        image,
        wavelengths,
        good_bands=good,
        valid=valid,
        scale=1 / top,
        steps=steps + found,
    )


def _variable(path: StrPath, held: dict[str, Shape]) -> str:
    if "Y" in held:
        return "Y"
    cubes = [name for name, shape in held.items() if len(shape) == 3]
    if len(cubes) == 1:
        return cubes[0]
    listing = ", ".join(f"{name} {shape}" for name, shape in held.items())
    raise ValueError(
        f"{path} has no variable Y and {len(cubes) or 'no'} variables of three axes "
        f"({listing}); say which one with unmixing.from_mat(path, data=...)"
    )


def _size(source: Source, held: dict[str, Shape]) -> tuple[int, int] | None:
    for rows, cols in _SIZES:
        if rows in held and cols in held:
            return int(_scalar(source, rows)), int(_scalar(source, cols))
    return None


def _unfold(
    name: str, matrix: NDArray[Any], size: tuple[int, int] | None, order: str
) -> Any:
    """Turn (bands, n_pixels) into (rows, cols, bands)."""
    if size is None:
        raise ValueError(
            f"{name} has shape {matrix.shape}, (bands, n_pixels), and the file has no "
            "nRow and nCol; say unmixing.from_mat(path, shape=(rows, cols), "
            "order='F' or 'C')"
        )
    if matrix.shape[1] != math.prod(size):
        raise ValueError(
            f"{name} has shape {matrix.shape} for an image of {size[0]} x {size[1]}; "
            f"wanted (bands, {math.prod(size)})"
        )
    cube = HyperspectralCube.from_matrix(matrix.T, size, order=order)
    return np.ascontiguousarray(cube.data)


def _scalar(source: Source, name: str) -> float:
    values = _vector(source, name)
    if values.size != 1 or not np.isfinite(values[0]) or values[0] <= 0:
        raise ValueError(
            f"{source.path}: {name} is {values}; wanted one number above 0"
        )
    return float(values[0])


def _vector(source: Source, name: str) -> NDArray[Any]:
    order = tuple(range(len(source.shape(name))))
    return np.asarray(source.array((name,), order, _same)).reshape(-1)


def _same(piece: NDArray[Any]) -> NDArray[Any]:
    return piece
