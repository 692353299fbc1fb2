"""Gram matrices kept on disk, so that the next run need not form them again.

They lie in ``gram`` of the user's cache folder, or of ``$SPARSESOLVE_CACHE``;
``SPARSESOLVE_CACHE=off`` keeps nothing. A file is named by the hash of what determines
the matrix. Together they take at most `LIMIT` bytes: those unused for longest go first.
"""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from sparsesolve.data import cache_folder

__all__ = ["LIMIT", "holds", "read", "write"]

LIMIT = 2 * 2**30
_KIND = "gram_matrix"
_CHUNK_BYTES = 2**20

Matrix = np.ndarray[Any, Any]


def holds(key: str) -> bool:
    """Whether there is a file of this key; it may still turn out to be damaged."""
    path = _path(key)
    return path is not None and path.is_file()


def read(key: str, size: int, dtype: np.dtype[Any]) -> Matrix | None:
    """Return the matrix of a key, or None if there is none.

    Warns
    -----
    RuntimeWarning
        Its file is damaged or holds something else; it will be written anew.
    """
    path = _path(key)
    if path is None or not path.is_file():
        return None
    from sparsesolve.hdf5 import find_dataset, open_h5, read_array

    try:
        with open_h5(path, kind=_KIND) as file:
            dataset = find_dataset(file, "matrix")
            found = file.attrs.get("key"), dataset.shape, dataset.dtype
            if found != (key, (size, size), dtype):
                raise ValueError(f"{path} holds another matrix than its name says")
            matrix = read_array(dataset)
        os.utime(path)
    except (OSError, ValueError) as error:
        warnings.warn(
            f"a kept matrix cannot be used and is formed again: {error}",
            RuntimeWarning,
            stacklevel=2,
        )
        return None
    return matrix


def write(key: str, matrix: Matrix) -> None:
    """Keep the lower triangle of a square matrix, unless it is larger than `LIMIT`.

    Warns
    -----
    RuntimeWarning
        It cannot be written; the run goes on without.
    """
    path = _path(key)
    if path is None or matrix.nbytes > LIMIT:
        return
    from sparsesolve.atomic import atomic_h5
    from sparsesolve.hdf5 import stamp

    rows = max(1, _CHUNK_BYTES // matrix[:1].nbytes)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _make_room(path.parent, matrix.nbytes)
        with atomic_h5(path) as file:
            stamp(file, _KIND)
            file.attrs["key"] = key
            dataset = file.create_dataset(
                "matrix",
                shape=matrix.shape,
                dtype=matrix.dtype,
                chunks=(min(rows, len(matrix)), len(matrix)),
                fletcher32=True,
            )
            for first in range(0, len(matrix), rows):
                dataset[first : first + rows] = matrix[first : first + rows]
            dataset.attrs["units"] = "1"
    except OSError as error:
        warnings.warn(
            f"AAᴴ is not kept for later runs: {error}; SPARSESOLVE_CACHE=off stops "
            "trying",
            RuntimeWarning,
            stacklevel=2,
        )


def _path(key: str) -> Path | None:
    own = os.environ.get("SPARSESOLVE_CACHE")
    if own == "off":
        return None
    return (Path(own) if own else cache_folder()) / "gram" / f"{key}.h5"


def _make_room(folder: Path, needed: int) -> None:
    """Remove files, unused for longest first, until `needed` bytes are within LIMIT."""
    files = sorted(folder.glob("*.h5"), key=lambda path: path.stat().st_mtime)
    total = sum(path.stat().st_size for path in files)
    for path in files:
        if total + needed <= LIMIT:
            return
        total -= path.stat().st_size
        path.unlink()
