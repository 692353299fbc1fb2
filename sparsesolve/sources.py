"""Other people's files opened: HDF5, MATLAB v5 and v7.3, and .npz."""

from __future__ import annotations

import contextlib
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from sparsesolve.atomic import StrPath
from sparsesolve.backends import Array, Shape, is_array
from sparsesolve.hdf5 import find_dataset, open_h5, require_file
from sparsesolve.lazy import LazyArray

_MATLAB_NUMBERS = re.compile(r"u?int\d+|double|single|logical")


def _require_numbers(where: str, dtype: np.dtype[Any]) -> None:
    pairs = {("real", "imag"), ("r", "i"), ("re", "im")}
    if dtype.kind not in "biufc" and dtype.names not in pairs:
        kind = "text or references" if dtype.kind in "OSU" else str(dtype)
        raise TypeError(f"{where} holds {kind}; wanted numbers")


class Source(ABC):
    """A foreign file that is open for reading."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @abstractmethod
    def shapes(self) -> dict[str, Shape]:
        """Arrays of numbers at the top of the file, and their shapes."""

    @abstractmethod
    def shape(self, name: str) -> Shape:
        """Shape as the file's own world shows it."""

    @abstractmethod
    def unit(self, name: str) -> str:
        """Unit the file states, '' if none."""

    @abstractmethod
    def array(
        self, names: tuple[str, ...], order: tuple[int, ...], finish: Callable[..., Any]
    ) -> Array:
        """Join, finish and permute."""


class _Hdf5(Source):
    def __init__(self, path: Path, file: Any) -> None:
        super().__init__(path)
        self.file = file
        with path.open("rb") as raw:
            self.matlab = raw.read(10) == b"MATLAB 7.3"

    def _name(self, name: str) -> str:
        return name.replace(".", "/") if self.matlab else name

    def _dataset(self, name: str) -> Any:
        dataset = find_dataset(self.file, self._name(name))
        where = f"{self.path}: dataset {name!r}"
        kind = dataset.attrs.get("MATLAB_class", b"double")
        kind = kind.decode() if isinstance(kind, bytes) else str(kind)
        if not _MATLAB_NUMBERS.fullmatch(kind):
            raise TypeError(f"{where} is a MATLAB {kind}; wanted an array of numbers")
        if dataset.attrs.get("MATLAB_empty", 0) or dataset.size == 0:
            raise ValueError(f"{where} is empty; wanted numbers")
        _require_numbers(where, dataset.dtype)
        return dataset

    def shapes(self) -> dict[str, Shape]:
        found = {}
        for name in self.file:
            with contextlib.suppress(TypeError, ValueError):
                found[name] = self.shape(name)
        return found

    def shape(self, name: str) -> Shape:
        shape: Shape = tuple(self._dataset(name).shape)
        return shape[::-1] if self.matlab else shape

    def unit(self, name: str) -> str:
        unit = self._dataset(name).attrs.get("units", "")
        return unit.decode() if isinstance(unit, bytes) else str(unit)

    def array(
        self, names: tuple[str, ...], order: tuple[int, ...], finish: Callable[..., Any]
    ) -> Array:
        if self.matlab:  # written column by column: HDF5 sees the axes reversed
            order = tuple(len(order) - 1 - axis for axis in order)
        paths = tuple(self._name(name) for name in names)
        return LazyArray(self.path, paths, order=order, finish=finish)


class _Arrays(Source):
    """Arrays in memory: a MATLAB v5 file or an .npz archive."""

    def __init__(self, path: Path, arrays: dict[str, Any]) -> None:
        super().__init__(path)
        self.arrays = arrays

    def _get(self, name: str) -> np.ndarray[Any, Any]:
        where = f"{self.path}: variable {name!r}"
        node: Any = self.arrays
        whole = name in self.arrays
        for part in [name] if whole else re.split(r"[/.]", name.strip("/.")):
            if is_array(node) and node.dtype.names and node.size == 1:
                node = dict(zip(node.dtype.names, node.item(), strict=True))
            if not isinstance(node, dict) or part not in node:
                raise ValueError(f"{where} is missing; {self._inventory()}")
            node = node[part]
        array = np.asarray(node)
        if array.size == 0:
            raise ValueError(f"{where} is empty; wanted numbers")
        _require_numbers(where, array.dtype)
        return array

    def _inventory(self) -> str:
        rows = []
        for name, value in self.arrays.items():
            fields = np.asarray(value).dtype.names or ("",)
            rows += [f"{name}/{field}".rstrip("/") for field in fields]
        return f"the file has {', '.join(rows[:12])}"

    def shapes(self) -> dict[str, Shape]:
        kept = {n: np.asarray(v) for n, v in self.arrays.items()}
        return {n: v.shape for n, v in kept.items() if v.dtype.kind in "biuf"}

    def shape(self, name: str) -> Shape:
        shape: Shape = self._get(name).shape
        return shape

    def unit(self, name: str) -> str:
        return ""

    def array(
        self, names: tuple[str, ...], order: tuple[int, ...], finish: Callable[..., Any]
    ) -> Array:
        return np.transpose(finish(*(self._get(name) for name in names)), order)


@contextlib.contextmanager
def open_source(path: StrPath) -> Iterator[Source]:
    """Open a foreign file; its first bytes tell its format."""
    import h5py

    place = require_file(path)
    with place.open("rb") as raw:
        head = raw.read(19)
    if h5py.is_hdf5(place):
        with open_h5(place) as file:
            yield _Hdf5(place, file)
    elif head.startswith((b"MATLAB 5.0", b"PK\x03\x04")):
        yield _Arrays(place, _load(place, head))
    else:
        raise ValueError(
            f"{place} ({place.stat().st_size} bytes) is none of HDF5, MATLAB v5, v7.3 "
            "and .npz; convert it to one of them"
        )


def _load(path: Path, head: bytes) -> dict[str, Any]:
    try:
        if head.startswith(b"PK"):
            with np.load(path, allow_pickle=False) as archive:
                return dict(archive)
        from scipy.io import loadmat

        loaded = loadmat(path, squeeze_me=False, struct_as_record=True)
        return {name: item for name, item in loaded.items() if name[:2] != "__"}
    # Damaged files make SciPy and zipfile raise errors of a dozen types.
    except Exception as error:
        kind = "a MATLAB v5 file" if head.startswith(b"M") else ".npz"
        raise ValueError(
            f"{path} cannot be read as {kind}: truncated, damaged, or holding objects"
        ) from error
