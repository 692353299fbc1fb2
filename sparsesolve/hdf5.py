"""HDF5 files told apart, looked through and read, without ever leaving the file."""

from __future__ import annotations

import contextlib
import os
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sparsesolve.atomic import StrPath
from sparsesolve.backends import Shape
from sparsesolve.schema import SCHEMA

if TYPE_CHECKING:
    import h5py


_MAX_LINKS = 16


def stamp(file: h5py.File, kind: str) -> None:
    """Write the root attributes that say what the file is."""
    file.attrs["sparsesolve_schema"] = SCHEMA
    file.attrs["kind"] = kind


def require_file(path: StrPath) -> Path:
    """Return `path` if it is a file that can be read.

    Raises
    ------
    OSError
        It does not exist, is a folder, or may not be read.
    """
    place = Path(path)
    if place.is_dir():
        raise IsADirectoryError(f"{place} is a folder; wanted a file")
    if not place.exists():
        raise FileNotFoundError(f"{place} does not exist")
    if not os.access(place, os.R_OK):
        raise PermissionError(f"{place} cannot be read: no permission")
    return place


@contextlib.contextmanager
def open_h5(path: StrPath, *, kind: str | None = None) -> Iterator[h5py.File]:
    """Open an HDF5 file for reading; with `kind`, one of our own of that kind.

    Raises
    ------
    OSError, ValueError
        It does not exist, is not HDF5, is truncated, damaged, or of another kind.
    """
    import h5py

    place = require_file(path)
    size = place.stat().st_size
    if not h5py.is_hdf5(place):
        raise ValueError(
            f"{place} is not an HDF5 file ({size} bytes, no signature); MATLAB and "
            ".npz files are read by sparsesolve.load with kind= and mapping="
        )
    try:
        # Some network file systems cannot lock; a reader does not insist.
        file = h5py.File(place, "r", locking="best-effort")
    except OSError as error:
        state = "truncated" if "truncated" in str(error) else "damaged"
        raise ValueError(
            f"{place} is {state}: {size} bytes are there and HDF5 cannot read it; copy "
            "or write it again"
        ) from error
    with file:
        if kind is not None and kind_in(file) != kind:
            raise ValueError(f"{place} is of kind {kind_in(file)!r}; wanted {kind!r}")
        yield file


def kind_in(file: h5py.File) -> str:
    """Return the kind that a file of ours states.

    Raises
    ------
    ValueError
        It is a foreign file, or was written by a later version.
    """
    version, kind = (file.attrs.get(name) for name in ("sparsesolve_schema", "kind"))
    if not isinstance(version, np.integer) or not isinstance(kind, str):
        raise ValueError(
            f"{file.filename} is a foreign HDF5 file (no sparsesolve_schema and kind "
            "attributes); tell sparsesolve.load by kind= and mapping= what is what: "
            f"{inventory(file)}"
        )
    if version > SCHEMA:
        raise ValueError(
            f"{file.filename} has sparsesolve_schema {version}; wanted at most "
            f"{SCHEMA}: update sparsesolve"
        )
    return kind


def lookup(file: h5py.Group, path: str) -> h5py.Group | h5py.Dataset | None:
    """Find an object without ever leaving the file; None if it is not there.

    Raises
    ------
    ValueError
        The way leads through an external link, or to data kept in another file.
    """
    import h5py

    node, hops = file, 0
    parts = deque(part for part in path.split("/") if part)
    while parts:
        if not isinstance(node, h5py.Group):
            return None
        name = parts.popleft().encode()
        if not node.id.links.exists(name):
            return None
        kind = node.id.links.get_info(name).type
        if kind == h5py.h5l.TYPE_SOFT and hops < _MAX_LINKS:
            hops += 1
            target = node.id.links.get_val(name).decode()
            node = node.file if target.startswith("/") else node
            parts.extendleft(part for part in reversed(target.split("/")) if part)
            continue
        if kind != h5py.h5l.TYPE_HARD:
            raise ValueError(
                f"{file.file.filename}: {path!r} is a link to another file or to "
                "itself; wanted data in this file"
            )
        node = node[name]
    if isinstance(node, h5py.Dataset) and (node.is_virtual or node.external):
        raise ValueError(
            f"{file.file.filename}: dataset {path!r} keeps its data in another file; "
            "wanted data in this file (repack it with h5repack)"
        )
    return node if isinstance(node, (h5py.Group, h5py.Dataset)) else None


def find_dataset(file: h5py.Group, path: str) -> h5py.Dataset:
    """Find a dataset that holds something.

    Raises
    ------
    ValueError
        It is missing or empty: the sentence lists what is there.
    """
    import h5py

    node = lookup(file, path)
    name = file.file.filename
    if not isinstance(node, h5py.Dataset):
        found = "is missing" if node is None else "is a group"
        raise ValueError(f"{name}: dataset {path!r} {found}; {inventory(file)}")
    if node.shape is None:
        raise ValueError(f"{name}: dataset {path!r} is empty; wanted numbers")
    return node


def numbered(file: h5py.File, path: str) -> list[str]:
    """List the paths of the datasets 0, 1, ... of a group, which holds nothing else.

    Raises
    ------
    ValueError
        It is missing, no group, or its members are not numbered from 0 on.
    """
    import h5py

    node = lookup(file, path)
    if not isinstance(node, h5py.Group):
        found = "is missing" if node is None else "is a dataset"
        raise ValueError(f"{file.filename}: group {path!r} {found}; {inventory(file)}")
    names = [str(k) for k in range(len(node))]
    if not names or set(node) != set(names):
        raise ValueError(
            f"{file.filename}: group {path!r} has {', '.join(node) or 'nothing'}; "
            "wanted datasets 0, 1, ... without a gap"
        )
    return [f"{path}/{name}" for name in names]


def read_array(dataset: h5py.Dataset, index: Any = ...) -> np.ndarray[Any, Any]:
    """Read a dataset, or part of it, as a C-contiguous NumPy array.

    Raises
    ------
    ValueError
        The file is damaged there.
    """
    try:
        return np.asarray(dataset[index], order="C")
    except (OSError, RuntimeError) as error:
        raise ValueError(
            f"{dataset.file.filename}: dataset {dataset.name!r} cannot be read; the "
            "file is damaged or needs a compression filter that is not installed"
        ) from error


def inventory(file: h5py.Group, limit: int = 8) -> str:
    """Say in one clause which datasets a file holds."""
    rows = [f"{name} {shape} {kind}" for name, shape, kind, _ in contents(file)]
    more = f" and {len(rows) - limit} more" if len(rows) > limit else ""
    return f"the file has {', '.join(rows[:limit]) or 'no datasets'}{more}"


def contents(file: h5py.Group) -> list[tuple[str, Shape | None, str, str]]:
    """List the datasets of a file: path, shape, dtype and units ('' if none)."""
    import h5py

    rows: list[tuple[str, Shape | None, str, str]] = []

    def visit(name: str, node: Any) -> None:
        if isinstance(node, h5py.Dataset):
            units = str(node.attrs.get("units", ""))
            kind = "compound" if node.dtype.names else str(node.dtype)
            rows.append((f"/{name}", node.shape, kind, units))

    file.visititems(visit)  # follows no links
    return rows
