"""Arrays that stay in their HDF5 file until a piece of them is read."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sparsesolve.atomic import StrPath
from sparsesolve.backends import Array, Shape
from sparsesolve.hdf5 import find_dataset, open_h5, read_array

if TYPE_CHECKING:
    import h5py

_CHUNKED_FROM = 4096
_SLAB = 2**26


class LazyArray:
    """A large array that stays in its HDF5 file.

    It has `shape`, `dtype`, `ndim`, `size` and `nbytes`, is indexed by integers and
    slices, and is read whole by ``numpy.asarray``. The file is open only while a piece
    is read, so there is nothing to close; a file that has changed since is refused.

    Parameters
    ----------
    path : path
        The HDF5 file.
    names : tuple of str
        Datasets of one shape that `finish` joins: one, or real and imaginary part.
    order : tuple of int or None
        Axis i of this array is axis ``order[i]`` of the datasets; None: as they are.
    finish : callable
        Entry-by-entry function of the pieces read, for instance a change of unit.
    """

    def __init__(
        self,
        path: StrPath,
        names: tuple[str, ...],
        *,
        order: tuple[int, ...] | None = None,
        finish: Callable[..., np.ndarray[Any, Any]] = np.asarray,
    ) -> None:
        self.path = Path(os.path.realpath(path))
        self.names = names
        self.finish = finish
        self._stamp = _stamp(self.path)
        with open_h5(self.path) as file:
            sources = [find_dataset(file, name) for name in names]
            shape, dtypes = sources[0].shape, [source.dtype for source in sources]
        self.order = tuple(range(len(shape))) if order is None else order
        self.shape: Shape = tuple(shape[axis] for axis in self.order)
        self.dtype = finish(*(np.empty(0, dtype) for dtype in dtypes)).dtype

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """Number of entries."""
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        """Memory that the whole array would take."""
        return self.size * int(self.dtype.itemsize)

    def then(self, function: Callable[..., np.ndarray[Any, Any]]) -> LazyArray:
        """Return this array with one more entry-by-entry function after the others."""
        before = self.finish
        return LazyArray(
            self.path,
            self.names,
            order=self.order,
            finish=lambda *pieces: function(before(*pieces)),
        )

    def slabs(self, nbytes: int = _SLAB) -> Iterator[slice]:
        """Cut the first axis into pieces of about `nbytes` (64 MiB)."""
        return _slabs(self, nbytes)

    def __getitem__(self, key: Any) -> Any:
        picks = self._picks(key)
        source: list[slice] = [slice(None)] * self.ndim
        for axis, pick in zip(self.order, picks, strict=True):
            source[axis] = slice(pick, pick + 1) if isinstance(pick, int) else pick
        if _stamp(self.path) != self._stamp:
            raise ValueError(
                f"{self.path} has changed since it was opened; load it again"
            )
        with open_h5(self.path) as file:
            pieces = [
                read_array(find_dataset(file, name), tuple(source))
                for name in self.names
            ]
        block = np.transpose(self.finish(*pieces), self.order)
        drop = tuple(0 if isinstance(pick, int) else slice(None) for pick in picks)
        return block[drop]

    def _picks(self, key: Any) -> list[int | slice]:
        keys = list(key) if isinstance(key, tuple) else [key]
        if sum(item is Ellipsis for item in keys) == 0:
            keys.append(Ellipsis)
        at = next(i for i, item in enumerate(keys) if item is Ellipsis)
        keys[at : at + 1] = [slice(None)] * (self.ndim - len(keys) + 1)
        if len(keys) != self.ndim:
            raise IndexError(
                f"got {len(keys)} indices for an array of {self.ndim} axes"
            )
        picks: list[int | slice] = []
        for item, length in zip(keys, self.shape, strict=True):
            if isinstance(item, slice) and (item.step is None or item.step > 0):
                picks.append(slice(*item.indices(length)))
            elif isinstance(item, (int, np.integer)) and -length <= item < length:
                picks.append(int(item) % length)
            else:
                raise IndexError(
                    f"index {item!r} on an axis of length {length}; an array left in "
                    "its file takes integers within range and slices with a positive "
                    "step: use numpy.asarray(array) first"
                )
        return picks

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        if copy is False:
            raise ValueError("an array left in its file cannot be read without a copy")
        return np.asarray(self[...], dtype=dtype, order="C")

    def __len__(self) -> int:
        return int(self.shape[0])

    def __repr__(self) -> str:
        return (
            f"LazyArray({self.shape}, {self.dtype}, {self.path.name}:{self.names[0]})"
        )


def _slabs(array: Any, nbytes: int) -> Iterator[slice]:
    rows = max(1, nbytes * array.shape[0] // max(array.nbytes, 1))
    for start in range(0, array.shape[0], rows):
        yield slice(start, min(start + rows, array.shape[0]))


def _stamp(path: Path) -> tuple[int, int, int]:
    found = path.stat()
    return found.st_ino, found.st_size, found.st_mtime_ns


def write_array(
    group: h5py.Group,
    name: str,
    value: Array,
    *,
    unit: str = "1",
    compression: str | None = None,
) -> h5py.Dataset:
    """Write one array (a large one or one in a file slab by slab) with its unit.

    Arrays above 4096 entries are chunked and, if asked, compressed.
    """
    large = value.size > _CHUNKED_FROM
    dataset = group.create_dataset(
        name,
        shape=value.shape,
        dtype=value.dtype,
        chunks=True if large else None,
        compression=compression if large else None,
    )
    if isinstance(value, LazyArray):
        for index in value.slabs():
            dataset[index] = value[index]
    # A memory map with its axes turned would be copied whole.
    elif value.nbytes > _SLAB:
        for index in _slabs(value, _SLAB):
            dataset[index] = value[index]
    elif value.size:
        dataset[...] = value
    dataset.attrs["units"] = unit
    return dataset
