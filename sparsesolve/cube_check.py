"""Checks of the fields of a hyperspectral cube; each error is one sentence."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sparsesolve import checks
from sparsesolve.backends import Shape, to_numpy
from sparsesolve.lazy import LazyArray

MICROMETRES_BELOW = 30.0
"""Wavelengths all below this are taken for micrometres."""

_NARROWEST = 0.05


def image(value: Any, bands: int | None) -> Any:
    """Return `value` if it is (rows, cols, bands) real numbers.

    `bands` is the number of wavelengths, by which a wrong order of the axes is found.
    """
    if isinstance(value, np.ma.MaskedArray):
        raise TypeError(
            "data is a masked array; pass data.data, and pixels without a masked entry "
            "as valid=~mask.any(axis=2)"
        )
    data = value if isinstance(value, LazyArray) else to_numpy(value)
    if data.dtype.kind not in "iuf":
        raise TypeError(f"data holds {data.dtype} entries; wanted real numbers")
    if data.ndim == 2:
        raise ValueError(
            f"data has shape {data.shape}; wanted (rows, cols, bands): for a matrix of "
            "spectra use HyperspectralCube.from_matrix"
        )
    if data.ndim != 3 or data.size == 0:
        raise ValueError(f"data has shape {data.shape}; wanted (rows, cols, bands)")
    if bands is None or bands == data.shape[2]:
        return data
    if bands not in data.shape:
        raise ValueError(
            f"wavelengths has {bands} entries for data of shape {data.shape}; wanted "
            f"one a band, {data.shape[2]}"
        )
    axis = data.shape.index(bands)
    order = ("(bands, rows, cols)", "(rows, bands, cols)")[axis]
    raise ValueError(
        f"data has shape {data.shape} and there are {bands} wavelengths, so it looks "
        f"like {order}; wanted (rows, cols, bands): use np.moveaxis(data, {axis}, -1)"
    )


def pixel_rows(value: Any, shape: Shape) -> NDArray[Any]:
    """Return `value` if it is a matrix with a pixel of an image of `shape` a row."""
    matrix = to_numpy(value)
    if len(shape) != 2:
        raise ValueError(f"shape is {shape}; wanted (rows, cols)")
    if matrix.ndim == 2 and len(matrix) == math.prod(shape):
        return matrix
    wide = matrix.ndim == 2 and matrix.shape[1] == math.prod(shape)
    raise ValueError(
        f"matrix has shape {matrix.shape}; wanted ({math.prod(shape)}, bands) for an "
        f"image of {shape[0]} x {shape[1]} pixels"
        + ("; it is transposed: pass matrix.T" if wide else "")
    )


def wavelengths(value: Any, bands: int) -> NDArray[np.float64] | None:
    """Return wavelengths in nm, each once, or None."""
    if value is None:
        return None
    centres = _positive_row("wavelengths", value, bands)
    if centres.max() < MICROMETRES_BELOW:
        raise ValueError(
            f"wavelengths runs from {centres.min():g} to {centres.max():g}, which "
            "looks like micrometres; wanted nm: multiply by 1000"
        )
    found, counts = np.unique(centres, return_counts=True)
    if found.size < bands:
        raise ValueError(
            f"wavelengths has {found[counts > 1][0]:g} nm twice; wanted each once "
            "(overlapping detectors may be unsorted, but not the same)"
        )
    return centres


def widths(value: Any, bands: int) -> NDArray[np.float64] | None:
    """Return full widths at half maximum in nm, or None."""
    if value is None:
        return None
    fwhm = _positive_row("fwhm", value, bands)
    if fwhm.max() < _NARROWEST:
        raise ValueError(
            f"fwhm is at most {fwhm.max():g}, which looks like micrometres; wanted nm: "
            "multiply by 1000"
        )
    return fwhm


def flags(name: str, value: Any, shape: Shape) -> NDArray[np.bool_]:
    """Return an array of True and False of `shape`, all True for None."""
    if value is None:
        return np.ones(shape, bool)
    array = to_numpy(value)
    if array.shape != shape:
        raise ValueError(
            f"{name} has shape {array.shape}; wanted {shape}"
            f"{checks.swapped(array.shape, shape)}"
        )
    if array.dtype.kind not in "biuf" or not np.all((array == 0) | (array == 1)):
        raise TypeError(f"{name} has entries other than True and False (or 1 and 0)")
    if not np.any(array):
        what = {"valid": "pixel", "good_bands": "band"}[name]
        raise ValueError(f"{name} is False everywhere; wanted at least one {what}")
    return array.astype(bool, copy=False)


def number(name: str, value: Any) -> float:
    """Return one finite number as a float."""
    if np.ndim(value) > 0 or isinstance(value, (str, complex)):
        raise TypeError(f"{name} is {value!r}; wanted one number")
    found = float(value)
    if not math.isfinite(found):
        raise ValueError(f"{name} is {found}; wanted a finite number")
    return found


def text(name: str, value: Any) -> str:
    """Return a word or a line of text."""
    if not isinstance(value, str) or not value.strip():
        raise TypeError(f"{name} is {value!r}; wanted text")
    return str(value)


def affine(value: Any) -> tuple[float, ...] | None:
    """Return the six numbers of an invertible affine map, or None."""
    if value is None:
        return None
    entries = [number("transform", item) for item in np.asarray(value).reshape(-1)]
    if len(entries) == 9 and entries[6:] == [0, 0, 1]:
        entries = entries[:6]
    if len(entries) != 6:
        raise ValueError(
            f"transform has {len(entries)} entries; wanted (a, b, c, d, e, f) of "
            "x = a col + b row + c, y = d col + e row + f"
        )
    a, b, _, d, e, _ = entries
    if a * e == b * d:
        raise ValueError(f"transform is {entries}, which maps all pixels to a line")
    return tuple(entries)


def holding(dtype: np.dtype[Any], fill: float) -> np.dtype[Any]:
    """Return the dtype that holds both values of `dtype` and `fill`."""
    if dtype.kind in "fc":
        return dtype
    whole = math.isfinite(fill) and fill == int(fill)
    return dtype if whole else np.dtype(np.float64)


def _positive_row(name: str, value: Any, bands: int) -> NDArray[np.float64]:
    row = to_numpy(value)
    if row.dtype.kind not in "iuf":
        raise TypeError(f"{name} holds {row.dtype} entries; wanted real numbers")
    if row.shape != (bands,):
        raise ValueError(f"{name} has shape {row.shape}; wanted ({bands},), one a band")
    checks.finite(name, row)
    if np.any(row <= 0):
        raise ValueError(f"{name} has {row.min():g} nm; wanted lengths above 0")
    return row.astype(np.float64, copy=False)
