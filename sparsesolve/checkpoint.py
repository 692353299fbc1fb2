"""Checkpoints: the state of a solve in an HDF5 file that always loads."""

from __future__ import annotations

import functools
import hashlib
import os
import time
from pathlib import Path
from typing import Any

import numpy as np

from sparsesolve.backends import describe, device_of, is_array, to_numpy

_SHARE_OF_TIME = 0.05
_WORDY = 200
_PLAIN = (str, int, float, complex, bytes, np.generic, np.dtype, slice, range, set)


def fingerprint(*objects: Any) -> str:
    """Return a hash of problems and settings: arrays, numbers, names, nested objects.

    Underscore attributes are caches and left out. Functions count by their code, what
    they enclose and what they are bound to; torch modules by their weights.
    """
    digest = hashlib.blake2b(digest_size=16)
    for obj in objects:
        _feed(digest, obj, set())
    return digest.hexdigest()


def _feed(digest: Any, obj: Any, seen: set[int]) -> None:
    if is_array(obj):
        array = np.ascontiguousarray(to_numpy(obj))
        digest.update(f"{device_of(obj)}{array.dtype}{array.shape}".encode())
        digest.update(array.reshape(-1).view(np.uint8).data)
    elif isinstance(obj, dict):
        _feed_items(digest, obj.items(), seen)
    elif isinstance(obj, (tuple, list)):
        _feed_items(digest, enumerate(obj), seen)
    elif isinstance(obj, functools.partial):
        parts = {"f": obj.func, "a": obj.args, "k": obj.keywords}
        _feed_items(digest, parts.items(), seen)
    elif isinstance(obj, _PLAIN):
        digest.update(repr(obj).encode())
    elif id(obj) not in seen:
        kind = obj if hasattr(obj, "__qualname__") else type(obj)
        digest.update(f"{kind.__module__}.{kind.__qualname__}".encode())
        _feed_items(digest, _contents(obj).items(), seen | {id(obj)})


def _contents(obj: Any) -> dict[str, Any]:
    """What an object or a function is made of, beside its name."""
    if isinstance(obj, type):
        return {}
    if callable(getattr(obj, "state_dict", None)):
        return dict(obj.state_dict())
    if hasattr(obj, "__code__"):
        cells = [cell.cell_contents for cell in obj.__closure__ or ()]
        code, bound = obj.__code__, getattr(obj, "__self__", None)
        constants = [c for c in code.co_consts if isinstance(c, _PLAIN)]
        return {"code": code.co_code, "constants": constants, "cells": cells} | {
            "bound": bound,
            "defaults": obj.__defaults__,
        }
    if hasattr(obj, "__self__"):
        return {"bound": obj.__self__}
    return {k: v for k, v in getattr(obj, "__dict__", {}).items() if k[0] != "_"}


def _feed_items(digest: Any, items: Any, seen: set[int]) -> None:
    for key, value in items:
        digest.update(f"{key}:".encode())
        _feed(digest, value, seen)
        digest.update(b";")


class Checkpointer:
    """Writes checkpoints as often as costs less than 5 % of the time.

    Parameters
    ----------
    path : path
        Where; refused before any work if its folder cannot be written.
    key : str
        Fingerprint of problem and settings.
    about : dict of str to str
        The same in words, see `in_words`.
    """

    def __init__(self, path: str | Path, key: str, about: dict[str, str]) -> None:
        self.path, self.key, self.about = Path(path), key, about
        folder = self.path.resolve().parent
        if not folder.is_dir() or not os.access(folder, os.W_OK):
            raise OSError(f"checkpoint folder {folder} does not exist or is read-only")
        self._cost = 0.0
        self._last = time.perf_counter()

    def due(self, now: float) -> bool:
        """Whether enough time has passed to write again."""
        return now - self._last >= max(1.0, self._cost / _SHARE_OF_TIME)

    def write(self, record: dict[str, Any]) -> None:
        """Write `record`; the old checkpoint stays until the new one is whole."""
        from sparsesolve.io import atomic_h5, stamp
        from sparsesolve.tree_io import write_tree

        start = time.perf_counter()
        with atomic_h5(self.path) as file:
            stamp(file, "checkpoint")
            write_tree(file, "fingerprint", self.key)
            write_tree(file, "about", self.about)
            write_tree(file, "record", record)
        self._last = time.perf_counter()
        self._cost = self._last - start


def in_words(problem: Any, solver: Any, seed: int) -> dict[str, str]:
    """Return what a person should hear of them where a checkpoint is of others."""
    return {
        "prior": repr(problem.prior),
        "solver": describe(solver),
        "loss": repr(problem.loss),
        "seed": str(seed),
    }


def read_checkpoint(
    path: str | Path, key: str, about: dict[str, str]
) -> dict[str, Any]:
    """Return the record of a checkpoint of the problem and settings hashed to `key`.

    Raises
    ------
    ValueError
        It belongs to another problem or other settings; the message says which, as
        far as their words differ from those `about` this solve.
    """
    from sparsesolve.io import open_h5
    from sparsesolve.tree_io import read_tree

    with open_h5(path, kind="checkpoint") as file:
        if read_tree(file, "fingerprint") != key:
            stored = read_tree(file, "about") if "about" in file else {}
            raise ValueError(
                f"{path} is a checkpoint of another problem, solver or seed"
                f"{_differences(stored, about)}; solve without resume, or with the "
                "settings it was made with"
            )
        record: dict[str, Any] = read_tree(file, "record")
    return record


def _differences(stored: dict[str, str], about: dict[str, str]) -> str:
    other = []
    for name, here in about.items():
        was = stored.get(name, here)
        if was != here:
            of_a_kind = _kind(was) == _kind(here)
            pair = (was, here) if of_a_kind else (_kind(was), _kind(here))
            was, here = map(_shortened, pair)
            other.append(f"its {name} is {was}, here it is {here}")
    return f": {', '.join(other)}" if other else ""


def _kind(text: str) -> str:
    return text.partition("(")[0]


def _shortened(text: str) -> str:
    return text if len(text) <= _WORDY else f"{text[:_WORDY]}..."
