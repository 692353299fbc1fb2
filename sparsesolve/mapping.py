"""Other people's files read as ours, by a mapping that says what is where."""

from __future__ import annotations

import dataclasses
import functools
import math
import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sparsesolve.atomic import StrPath
from sparsesolve.backends import Array, Shape
from sparsesolve.lazy import LazyArray
from sparsesolve.schema import Column, suggest
from sparsesolve.sources import Source, open_source
from sparsesolve.units import UNITS, si_factor

# A word of its own, "real" anywhere, and the "Re" of "dataRe".
_REAL = re.compile(r"(?i:real|(?<![a-z])re?(?![a-z]))|(?<=[a-z])Re(?![a-z])")
_IMAGINARY = {"real": "imag", "re": "im", "r": "i"}


@dataclass(frozen=True)
class Field:
    """Where a foreign file keeps one array, and how to bring it to SI.

    The value is ``(stored * scale + offset)`` in `unit`, converted to SI.

    Parameters
    ----------
    path : str
        Dataset (HDF5 ``"/scan/re"``), variable (.npz) or field of nested MATLAB structs
        (``"EMData/Values"`` or ``"EMData.Values"``).
    imag : str or None
        Path of the imaginary part, where `path` is the real one. Without it, a warning
        says so if the file has one by its name, such as "y_im" beside "y_re".
    axes : tuple of str or None
        Names of the stored axes in their order, as in ``("freq", "rx", "tx")``; they
        are permuted to ours. MATLAB's order is the one MATLAB shows, in both its
        formats. None: they are in our order.
    unit : str or None
        None: SI already; refused if the file's own ``units`` attribute says otherwise.
    scale, offset : float
        Applied to what is stored, before the unit; ``offset=-1`` makes one-based
        indices zero-based.
    fill : float or None
        Stored value (NaN allowed) of entries that were not measured; they are excluded
        by the record's mask.

    Examples
    --------
    >>> Field("/scan/re", imag="/scan/im", axes=("freq", "rx", "tx"), unit="mV").unit
    'mV'
    """

    path: str
    imag: str | None = None
    axes: tuple[str, ...] | None = None
    unit: str | None = None
    scale: float = 1
    offset: float = 0
    fill: float | None = None

    def __post_init__(self) -> None:
        for name in (self.path, "x" if self.imag is None else self.imag):
            if not isinstance(name, str) or not name.strip("/."):
                raise TypeError(
                    f"Field got the path {name!r}; wanted a name in the file"
                )
        if not math.isfinite(self.scale) or self.scale == 0:
            raise ValueError(f"Field scale is {self.scale!r}; wanted a number but 0")
        if not math.isfinite(self.offset):
            raise ValueError(f"Field offset is {self.offset!r}; wanted a finite number")


def read_mapped(
    path: StrPath, columns: list[Column], mapping: Mapping[str, Any], lazy_bytes: int
) -> dict[str, Any]:
    """Read the columns of a record from a foreign file.

    Parameters
    ----------
    path : path
        The file; its format is told from its first bytes.
    columns : list of Column
        What the record has.
    mapping : dict
        Column to `Field`, to a tuple of fields and numbers that are stacked along the
        last axis (x, y and z of positions), or to a constant in SI. A column of several
        arrays takes a tuple of these, one an array.
    lazy_bytes : int
        HDF5 arrays above this size stay in the file where the column allows it.

    Raises
    ------
    ValueError, TypeError
        One sentence that names the file, the dataset, what was found and wanted.
    """
    known = {column.name: column for column in columns}
    listing = "; ".join(str(column) for column in columns)
    for name in mapping:
        if name not in known:
            raise ValueError(
                f"mapping has {name!r}; wanted names among {suggest(name, known)}"
            )
    lacking = [c.name for c in columns if c.required and c.name not in mapping]
    if lacking:
        raise ValueError(
            f"mapping lacks {', '.join(lacking)}; the fields are {listing}"
        )
    values: dict[str, Any] = {}
    usable: dict[str, Any] = {}
    with open_source(path) as source:
        for name, given in mapping.items():
            column = known[name]
            values[name] = _value(source, column, given, lazy_bytes)
            filled = isinstance(given, Field) and given.fill is not None
            if filled and column.missing is not None:
                gaps = _gaps(source, column, given)
                layout = _layout(column, given, gaps.ndim)
                usable[column.missing] = ~_along(known[column.missing], layout, gaps)
    for name, entries in usable.items():
        mask = values.get(name)
        if mask is None:
            values[name] = None if np.all(entries) else entries
        elif np.shape(mask) == entries.shape:
            values[name] = entries & (mask != 0)
    return values


def _value(source: Source, column: Column, given: Any, lazy_bytes: int) -> Any:
    if column.many:
        if not isinstance(given, (tuple, list)) or not given:
            raise TypeError(
                f"mapping[{column.name!r}] is {given!r}; wanted a tuple with one "
                "Field or array for each matrix"
            )
        single = dataclasses.replace(column, many=False)
        return tuple(_value(source, single, item, lazy_bytes) for item in given)
    if isinstance(given, Field):
        value = _read(source, column, given)
        if given.imag is None and value.dtype.kind != "c":
            _warn_of_lost_part(source, given.path)
        stays = column.may_stay_in_file and value.nbytes > lazy_bytes
        value = value if stays else np.asarray(value)
        needed = given.fill is not None and column.missing is None
        if needed and np.any(_gaps(source, column, given)):
            raise ValueError(
                f"{source.path}: {given.path!r} holds its fill value {given.fill:g}; "
                f"every entry of {column.name} is needed"
            )
        if column.layouts == ((),):
            if value.size != 1:
                raise ValueError(
                    f"{source.path}: {given.path!r} has shape {value.shape}; wanted "
                    f"one number for {column.name}"
                )
            return value.reshape(()).item()
        return value
    if isinstance(given, (tuple, list)) and any(isinstance(v, Field) for v in given):
        parts = [_value(source, column, item, lazy_bytes) for item in given]
        return np.stack(np.broadcast_arrays(*map(np.squeeze, parts)), axis=-1)
    if column.text and isinstance(given, str):
        return given
    if isinstance(given, (str, bytes, Path)):
        raise TypeError(
            f"mapping[{column.name!r}] is {given!r}; wanted Field({given!r})"
        )
    return np.asarray(given) if isinstance(given, (tuple, list)) else given


def _warn_of_lost_part(source: Source, path: str) -> None:
    for name in _imaginary_names(path):
        try:
            alike = source.shape(name) == source.shape(path)
        except (TypeError, ValueError):
            continue
        if alike:
            warnings.warn(
                f"{source.path}: {path!r} is read as real numbers, but {name!r}, of "
                "the same shape, looks like their imaginary part, which its Field "
                f"takes as imag={name!r}",
                stacklevel=5,
            )
            return


def _imaginary_names(path: str) -> list[str]:
    """Return what an imaginary part of `path` would be called, likeliest first."""
    names = []
    for match in _REAL.finditer(path):
        word = match[0]
        other = _IMAGINARY[word.lower()]
        if word.isupper():
            other = other.upper()
        elif word[0].isupper():
            other = other.capitalize()
        names.append(path[: match.start()] + other + path[match.end() :])
    return [*names, f"{path}_imag", f"{path}_im"]


def _read(source: Source, column: Column, field: Field) -> Array:
    names = (field.path,) if field.imag is None else (field.path, field.imag)
    shapes = [source.shape(name) for name in names]
    if len(set(shapes)) > 1:
        raise ValueError(
            f"{source.path}: {field.path!r} has shape {shapes[0]} and its imaginary "
            f"part {field.imag!r} {shapes[1]}; wanted the same"
        )
    factor = _factor(source, column, field)
    order = _order(source, column, field, shapes[0])
    value = source.array(names, order, functools.partial(_finish, field, factor))
    vector = all(len(names) == 1 for names in column.layouts) and not column.any_axes
    if vector and value.ndim > 1 and max(value.shape) == value.size:
        return np.asarray(value).reshape(-1)
    return value


def _factor(source: Source, column: Column, field: Field) -> float:
    what = f"{source.path}: {field.path!r} for {column.name}"
    if field.unit is not None:
        return si_factor(what, field.unit, column.units)
    stated = source.unit(field.path)
    if stated in UNITS and si_factor(what, stated, column.units) != 1:
        raise ValueError(
            f"{what} says that it is in {stated!r}; wanted {column.units[0]}, or "
            f"unit={stated!r} in its Field to convert it"
        )
    return 1.0


def _order(
    source: Source, column: Column, field: Field, shape: Shape
) -> tuple[int, ...]:
    if field.axes is None:
        return tuple(range(len(shape)))
    layout = _layout(column, field, len(shape))
    if not layout:
        known = column.layouts_of(len(shape)) or column.layouts
        wanted = " or ".join(str(names) for names in known)
        raise ValueError(
            f"{source.path}: {field.path!r} has shape {shape} and axes {field.axes}; "
            f"wanted for {column.name} one name an axis, of {wanted} in any order"
        )
    return tuple(field.axes.index(name) for name in layout)


def _layout(column: Column, field: Field, n_axes: int) -> tuple[str, ...]:
    """Return our names of a field's axes, the first that fit; () if none do.

    Of another number of axes than any layout has: the record refuses it by its shape.
    """
    for names in column.layouts_of(n_axes):
        if field.axes is None or sorted(names) == sorted(field.axes):
            return names
    return ()


def _gaps(source: Source, column: Column, field: Field) -> np.ndarray[Any, Any]:
    """Mark the entries that hold the fill value, read slab by slab."""
    names = (field.path,) if field.imag is None else (field.path, field.imag)
    order = _order(source, column, field, source.shape(field.path))
    gaps = source.array(names, order, functools.partial(_is_gap, field.fill))
    if isinstance(gaps, LazyArray) and gaps.ndim > 0:
        gaps = np.concatenate([gaps[slab] for slab in gaps.slabs()])
    return np.asarray(gaps)


def _along(
    mask: Column, layout: tuple[str, ...], gaps: np.ndarray[Any, Any]
) -> np.ndarray[Any, Any]:
    """Reduce gaps to the axes of their mask, where it has fewer than the data."""
    several = [mask.layouts_of(n) for n in range(gaps.ndim + 1)]
    kept = {name for layouts in several for names in layouts for name in names}
    axes = tuple(i for i, name in enumerate(layout) if name not in kept)
    return np.asarray(np.any(gaps, axis=axes))


def _is_gap(fill: Any, *pieces: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    plain = [_plain(piece) for piece in pieces]
    same = np.isnan if np.isnan(fill) else functools.partial(np.equal, fill)
    return np.asarray(np.any([same(piece) for piece in plain], axis=0))


def _finish(
    field: Field, factor: float, *pieces: np.ndarray[Any, Any]
) -> np.ndarray[Any, Any]:
    value = _plain(pieces[0])
    if len(pieces) == 2:
        value = value + 1j * _plain(pieces[1])
    if field.fill is not None:
        value = np.where(_is_gap(field.fill, *pieces), value.dtype.type(0), value)
    if (field.scale, field.offset, factor) == (1, 0, 1):
        return value
    # Unsigned indices minus one must not wrap round.
    value = value.astype(np.int64) if value.dtype.kind in "iu" else value
    # Python numbers: NumPy's would widen float32.
    scale, offset = np.asarray(field.scale).item(), np.asarray(field.offset).item()
    scaled = value * scale + offset
    return np.asarray(scaled if factor == 1 else scaled * factor)


def _plain(piece: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Turn a compound of real and imaginary part into complex numbers."""
    names = piece.dtype.names
    if names is None:
        return piece
    value = piece[names[0]] + 1j * piece[names[1]]
    return np.asarray(value)
