"""Atomic files: whole or not at all, whatever happens while they are written."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import secrets
import signal
import threading
from collections.abc import Iterator, Mapping
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import h5py

StrPath = str | PathLike[str]

_REASONS = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk quota is used up",
    errno.EFBIG: "it would exceed the largest allowed file",
    errno.EROFS: "the file system is read-only",
    errno.EACCES: "there is no permission to write in its folder",
    errno.EPERM: "there is no permission to write in its folder",
    errno.ENOENT: "its folder does not exist; create it first",
    errno.ENOTDIR: "its folder is not a folder",
    errno.EISDIR: "it is a folder",
}


class _Shield(io.FileIO):
    """A new file that keeps a failed write from HDF5 and remembers it.

    HDF5 crashes the process (segmentation fault at the next close) when a write fails
    under its metadata cache, so the first failure is kept in `error`, later writes are
    dropped, and `atomic_h5` raises it once HDF5 has let go of the file. The same holds
    for what a signal handler raises inside the callback.
    """

    error: BaseException | None = None

    def write(self, data: Any) -> int:
        view = memoryview(data).cast("B")
        if self.error is None:
            try:
                done = 0
                while done < len(view):
                    done += os.write(self.fileno(), view[done:])
            except BaseException as error:
                self.error = error
        return len(view)

    def truncate(self, size: int | None = None) -> int:
        if self.error is None:
            try:
                return super().truncate(size)
            except BaseException as error:
                self.error = error
        return size or 0


@contextlib.contextmanager
def atomic_h5(path: StrPath) -> Iterator[h5py.File]:
    """Write an HDF5 file that appears whole or not at all.

    The file is written under a hidden name in the same folder, brought to the disk
    (fsync) and renamed over `path`. Whatever goes wrong in between, Ctrl-C included,
    the hidden file is removed and an older `path` is untouched. Only ``kill -9`` or a
    power cut can leave the hidden file (``.NAME.*.part``) behind.

    Parameters
    ----------
    path : path
        Where the file shall be; a symbolic link is followed.

    Raises
    ------
    OSError
        The folder is missing or read-only, the disk is full: one sentence.
    """
    target, part = _target_and_part(path)
    try:
        with _shielded(part, target, new=True) as file:
            yield file
        rename(part, target)
    finally:
        with contextlib.suppress(OSError):
            part.unlink()


@contextlib.contextmanager
def update_h5(path: StrPath) -> Iterator[h5py.File]:
    """Open an HDF5 file of ours to change it in place, safe from failed writes.

    It is on the disk (fsync) afterwards. After a failure or Ctrl-C it holds what was
    written before, and can be opened: change values of what is there, little by little.

    Raises
    ------
    OSError
        It cannot be written, the disk is full: one sentence.
    """
    target = Path(os.path.realpath(path))
    with _shielded(target, target, new=False) as file:
        yield file


def rename(part: StrPath, target: StrPath) -> None:
    """Give a finished file its name, over an older file, for good.

    Raises
    ------
    OSError
        There is no permission.
    """
    place = Path(target)
    with _worded(place):
        os.replace(part, place)
        _sync_folder(place.parent)


@contextlib.contextmanager
def _shielded(place: Path, target: Path, *, new: bool) -> Iterator[h5py.File]:
    """Write HDF5 through a shield; errors speak of `target`."""
    import h5py

    with _worded(target):
        shield = _Shield(place, "x+b" if new else "r+b")
    with shield:
        try:
            with _ctrl_c_drops(shield), h5py.File(shield, "w" if new else "r+") as file:
                yield file
        except Exception:
            # What HDF5 says after a failed write is its consequence.
            if shield.error is None:
                raise
        with _worded(target):
            if shield.error is not None:
                raise shield.error
            os.fsync(shield.fileno())


def write_bytes(path: StrPath, content: bytes) -> None:
    """Write `content` to a file that appears whole or not at all.

    Raises
    ------
    OSError
        The folder is missing or read-only, the disk is full; an older file stays.
    """
    write_files({path: content})


def write_files(contents: Mapping[StrPath, bytes]) -> None:
    """Write files that belong together: none appears before all are on the disk.

    They appear in the order of `contents`, each whole; what describes the others
    should come last.

    Raises
    ------
    OSError
        The folder is missing or read-only, the disk is full; older files stay.
    """
    places = [(*_target_and_part(path), data) for path, data in contents.items()]
    try:
        for target, part, content in places:
            with _worded(target), part.open("xb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
        for target, part, _ in places:
            with _worded(target):
                os.replace(part, target)
                _sync_folder(target.parent)
    finally:
        for _, part, _ in places:
            with contextlib.suppress(OSError):
                part.unlink()


def _target_and_part(path: StrPath) -> tuple[Path, Path]:
    """The file behind `path`, and a hidden name beside it to write under."""
    target = Path(os.path.realpath(path))
    if target.is_dir():
        raise IsADirectoryError(f"cannot write {target}: it is a folder")
    return target, target.parent / f".{target.name}.{secrets.token_hex(4)}.part"


@contextlib.contextmanager
def _ctrl_c_drops(shield: _Shield) -> Iterator[None]:
    """Let Ctrl-C drop the file instead of raising inside h5py, where it can be lost.

    A second one raises at once. Handlers that others installed are left alone.
    """
    usual = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if not usual or threading.current_thread() is not threading.main_thread():
        yield
        return

    def drop(*_: object) -> None:
        if shield.error is not None:
            raise KeyboardInterrupt
        shield.error = KeyboardInterrupt()

    signal.signal(signal.SIGINT, drop)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@contextlib.contextmanager
def _worded(target: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = _REASONS.get(error.errno or 0, error.strerror or str(error))
        worded = type(error)(f"cannot write {target}: {reason}")
        worded.errno = error.errno
        raise worded from error


def _sync_folder(folder: Path) -> None:
    if os.name == "nt":  # folders cannot be opened there
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
