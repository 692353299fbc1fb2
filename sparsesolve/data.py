"""Find a data set in your folders, the cache or at its publisher, or compute one."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

from sparsesolve.datasets.kronecker_sparse import kronecker_sparse
from sparsesolve.datasets.registry import REGISTRY, DataSet
from sparsesolve.schema import suggest

__all__ = ["cache_folder", "find", "kronecker_sparse", "names", "table"]


def names() -> list[str]:
    """Names of the data sets that are known."""
    return list(REGISTRY)


def table() -> list[dict[str, str]]:
    """One row a data set: name, title, licence, publisher, reading, found.

    Nothing is downloaded; ``found`` is empty where `find` would have to.
    """
    return [
        {
            "name": name,
            "title": entry.title,
            "licence": entry.licence,
            "publisher": entry.publisher,
            "reading": entry.reading,
            "found": str(_local(entry) or ""),
        }
        for name, entry in REGISTRY.items()
    ]


def find(name: str) -> Path:
    """Return where a data set is, downloading it if it has an address.

    Looked at in this order: ``$SPARSESOLVE_DATA``, ``../shared/data`` beside a
    checkout, the user's cache, and the publisher (pooch, hash-checked, into the cache).

    Parameters
    ----------
    name : str
        One of `names`.

    Returns
    -------
    Path
        A folder, or the file of a data set that is one file.

    Raises
    ------
    ValueError
        Unknown name.
    FileNotFoundError
        It is nowhere and cannot be downloaded; the sentence says where to get it.
    """
    if name not in REGISTRY:
        raise ValueError(
            f"data set {name!r} is unknown; known: {suggest(name, names())}"
        )
    entry = REGISTRY[name]
    return _local(entry) or _download(name, entry)


def _local(entry: DataSet) -> Path | None:
    for folder in _folders():
        if all(path.is_file() for path in _files(folder, entry).values()):
            return folder / entry.place
    return None


def _files(folder: Path, entry: DataSet) -> dict[str, Path]:
    place = folder / entry.place
    single = list(entry.files) == [place.name]
    return {name: place if single else place / name for name in entry.files}


def _folders() -> Iterator[Path]:
    own = os.environ.get("SPARSESOLVE_DATA")
    if own:
        if not Path(own).is_dir():
            raise FileNotFoundError(f"$SPARSESOLVE_DATA is {own!r}, which is no folder")
        yield Path(own)
    root = Path(__file__).resolve().parents[1]
    if (root / "setup.cfg").is_file():
        yield root.parent / "shared" / "data"
    yield cache_folder()


def cache_folder() -> Path:
    """Return the user's cache folder for sparsesolve, which need not exist yet."""
    home = Path.home()
    if os.environ.get("XDG_CACHE_HOME"):
        base = Path(os.environ["XDG_CACHE_HOME"])
    elif sys.platform == "darwin":
        base = home / "Library" / "Caches"
    elif sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA", home / "AppData" / "Local"))
    else:
        base = home / ".cache"
    return base / "sparsesolve"


def _download(name: str, entry: DataSet) -> Path:
    get_it = (
        f"get it from {entry.publisher} (licence: {entry.licence}) and put it at "
        f"{entry.place} under $SPARSESOLVE_DATA"
    )
    if not entry.addresses:
        raise FileNotFoundError(f"data set {name!r} was not found; {get_it}")
    try:
        import pooch
    except ImportError:
        raise FileNotFoundError(
            f"data set {name!r} was not found, and downloading it needs pooch (pip "
            f"install pooch); or {get_it}"
        ) from None
    pooch.get_logger().setLevel("WARNING")
    for file, path in _files(cache_folder(), entry).items():
        try:
            pooch.retrieve(
                entry.addresses[file],
                known_hash=f"sha256:{entry.files[file]}",
                fname=path.name,
                path=path.parent,
            )
        # Offline, refused, not found, another hash: pooch lets all of them through.
        except (OSError, ValueError) as error:
            raise FileNotFoundError(
                f"data set {name!r}: {file} could not be downloaded from "
                f"{entry.addresses[file]} ({_first_line(error)}); {get_it}"
            ) from error
    return cache_folder() / entry.place


def _first_line(error: Exception) -> str:
    lines = str(error).splitlines()
    return lines[0][:100] if lines else type(error).__name__
