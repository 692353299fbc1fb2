"""`save` and `load`: records and solutions in self-describing HDF5 files.

Root attributes ``sparsesolve_schema`` and ``kind`` say what a file is; each dataset has
``units``; complex numbers are HDF5's compound of real and imaginary part.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from sparsesolve.atomic import StrPath, atomic_h5
from sparsesolve.backends import is_array
from sparsesolve.hdf5 import (
    find_dataset,
    kind_in,
    lookup,
    numbered,
    open_h5,
    read_array,
    stamp,
)
from sparsesolve.lazy import LazyArray, write_array
from sparsesolve.mapping import Field, read_mapped
from sparsesolve.schema import Column, class_of, columns, kind_of
from sparsesolve.tree_io import read_tree, write_tree

__all__ = ["Field", "LazyArray", "atomic_h5", "load", "open_h5", "save", "stamp"]

LAZY_BYTES = 2**28
"""Arrays above 256 MiB stay in their file until they are read."""

_POSTERIOR = ("mean", "variance", "log_evidence", "noise_variance", "hyper")


def save(path: StrPath, obj: Any, *, compression: str | None = None) -> None:
    """Write a scan, a cube, or what was found in it to HDF5, whole or not at all.

    Parameters
    ----------
    path : path
        An older file of this name is replaced at the very end.
    obj : RadarScan, HyperspectralCube, KroneckerMeasurement, Unmixing, Solution
        Or another class of `sparsesolve.schema.KINDS`.
        Of a solution's posterior all is written but what draws samples.
    compression : None or "gzip"
        Measured data hardly shrink, images do.

    Raises
    ------
    TypeError, ValueError
        Another class, or an unknown compression.
    OSError
        The folder is missing or read-only, the disk is full.
    """
    if compression not in (None, "gzip"):
        raise ValueError(f"compression is {compression!r}; wanted None or 'gzip'")
    kind = kind_of(type(obj))
    with atomic_h5(path) as file:
        if kind != "solution":
            write_record(file, obj, compression=compression)
            return
        stamp(file, kind)
        _write_solution(file, obj, compression)


def write_record(file: Any, obj: Any, *, compression: str | None = None) -> None:
    """Write a record, of a kind with columns, into an open HDF5 file."""
    stamp(file, kind_of(type(obj)))
    for item in columns(type(obj)):
        value = getattr(obj, item.name)
        if isinstance(value, dict):
            value = tuple(f"{name}: {text}" for name, text in value.items())
        if value is None or (isinstance(value, tuple) and not value):
            continue
        unit = item.units[0]
        parts = {item.name: value}
        if item.many:
            parts = {f"{item.name}/{k}": part for k, part in enumerate(value)}
        for name, part in parts.items():
            part = part if isinstance(part, LazyArray) else _storable_array(part)
            write_array(file, name, part, unit=unit, compression=compression)


def load(
    path: StrPath,
    *,
    kind: str | None = None,
    mapping: Mapping[str, Any] | None = None,
    lazy_bytes: int = LAZY_BYTES,
) -> Any:
    """Read a file as the dataclass of its kind.

    Parameters
    ----------
    path : path
        A file that `save` wrote; an ENVI image (header or binary) or a GeoTIFF; with
        ``kind="hyperspectral"``, a public unmixing scene in .mat; with `mapping`, any
        HDF5, MATLAB (v5, v7.3) or .npz.
    kind : str or None
        The kind that is wanted; needed with `mapping`, and for a cube in .mat.
    mapping : dict or None
        For foreign files, what is where: name of a field to `Field`, to a tuple of
        fields (stacked along the last axis; factors, which are several, stay a tuple)
        or to a constant in SI.
    lazy_bytes : int
        Arrays above this size stay in the file as `LazyArray` until they are read.

    Returns
    -------
    RadarScan, HyperspectralCube, KroneckerMeasurement, Unmixing, Solution, ...
        A scan's data are conjugated if their sign is +1, so that it always is -1. A
        solution's state is the dict of its fields.

    Raises
    ------
    ValueError, TypeError, OSError
        One sentence that names the file, the dataset, what was found and wanted.

    Examples
    --------
    >>> scan = load(
    ...     "lab.mat",
    ...     kind="near_field_mimo",
    ...     mapping={
    ...         "data": Field("S.re", imag="S.im", axes=("rx", "tx", "freq")),
    ...         "freq": Field("f", unit="GHz"),
    ...         "tx": (Field("T.x", unit="mm"), Field("T.y", unit="mm"), 0.0),
    ...         "rx": Field("R", axes=("xyz", "rx"), unit="mm"),
    ...         "speed": 2.2e8,
    ...     },
    ... )  # doctest: +SKIP
    """
    if mapping is not None:
        if kind is None:
            raise ValueError("mapping needs kind=, for instance kind='near_field_mimo'")
        cls = _record_class(kind)
        return _build(path, cls, read_mapped(path, columns(cls), mapping, lazy_bytes))
    from sparsesolve.cube_files import cube_reader

    reader = cube_reader(path, kind, lazy_bytes)
    if reader is not None:
        if kind not in (None, "hyperspectral"):
            raise ValueError(f"{path} is a hyperspectral image; wanted {kind!r}")
        return reader()
    with open_h5(path, kind=kind) as file:
        found = kind_in(file)
        if found == "checkpoint":
            raise ValueError(f"{path} is a checkpoint; pass it to solve as resume=")
        if found == "solution":
            return _read_solution(file)
        cls = _record_class(found)
        values = {item.name: _read(file, item, lazy_bytes) for item in columns(cls)}
        given = {name: value for name, value in values.items() if value is not None}
        return _build(path, cls, given)


def _storable_array(value: Any) -> np.ndarray[Any, Any]:
    """Return an array, text as UTF-8 of a fixed length, which needs no pointers."""
    array = np.asarray(value)
    if array.dtype.kind != "U":
        return array
    import h5py

    raw = np.char.encode(array, "utf-8")
    return raw.astype(h5py.string_dtype("utf-8", raw.dtype.itemsize))


def _record_class(kind: str) -> Any:
    cls = class_of(kind)
    if not any(item.metadata for item in dataclasses.fields(cls)):
        raise ValueError(
            f"kind {kind!r} is no record of measured arrays; it has no fields"
        )
    return cls


def _build(path: StrPath, cls: Any, values: dict[str, Any]) -> Any:
    try:
        return cls(**values).in_convention()
    except (TypeError, ValueError) as error:
        raise type(error)(f"{path}: {error}") from error


def _read(file: Any, item: Column, lazy_bytes: int) -> Any:
    if not item.required and lookup(file, item.name) is None:
        return None
    if item.many:
        names = numbered(file, item.name)
        return tuple(_read_one(file, item, name, lazy_bytes) for name in names)
    return _read_one(file, item, item.name, lazy_bytes)


def _read_one(file: Any, item: Column, name: str, lazy_bytes: int) -> Any:
    dataset = find_dataset(file, name)
    unit = str(dataset.attrs.get("units", ""))
    if unit not in item.units:
        raise ValueError(
            f"{file.filename}: dataset {name!r} has the unit {unit!r}; wanted "
            f"{' or '.join(item.units)}"
        )
    if item.may_stay_in_file and dataset.nbytes > lazy_bytes:
        return LazyArray(file.filename, (name,))
    value = read_array(dataset)
    if value.dtype.kind == "S":
        value = np.char.decode(value, "utf-8", "replace")
    return value.item() if item.layouts == ((),) and value.size == 1 else value


def _write_solution(file: Any, solution: Any, compression: str | None) -> None:
    tree = {f.name: getattr(solution, f.name) for f in dataclasses.fields(solution)}
    status = solution.status
    if isinstance(status, np.ndarray):
        names = [item.name for item in status.flat]
        tree["status"] = np.asarray(names, dtype=str).reshape(status.shape)
    else:
        tree["status"] = status.name
    if solution.posterior is not None:
        found = {name: getattr(solution.posterior, name, None) for name in _POSTERIOR}
        tree["posterior"] = {k: v for k, v in found.items() if _storable(v)}
    for name, value in tree.items():
        write_tree(file, name, value, compression=compression)


def _storable(value: Any) -> bool:
    return is_array(value) or isinstance(value, (dict, float, int, np.generic))


def _read_solution(file: Any) -> Any:
    from sparsesolve.solution import PosteriorSummary, Solution, Status

    tree = {f.name: read_tree(file, f.name) for f in dataclasses.fields(Solution)}
    names = np.asarray(tree["status"])
    unknown = set(names.reshape(-1).tolist()) - set(Status.__members__)
    if unknown:
        raise ValueError(
            f"{file.filename}: dataset 'status' has {', '.join(sorted(unknown))}; "
            f"wanted names among {', '.join(Status.__members__)}"
        )
    if names.ndim:
        flat = np.empty(names.size, dtype=object)
        flat[:] = [Status[name] for name in names.reshape(-1)]
        tree["status"] = flat.reshape(names.shape)
    else:
        tree["status"] = Status[tree["status"]]
    if tree["posterior"] is not None:
        kept = {name: tree["posterior"].get(name) for name in _POSTERIOR}
        tree["posterior"] = PosteriorSummary(**kept)
    return Solution(**tree)
