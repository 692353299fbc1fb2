"""Files written whole or not at all."""

from __future__ import annotations

import contextlib
import os
import secrets
from pathlib import Path

__all__ = ["write_bytes"]


def write_bytes(path: str | Path, content: bytes) -> None:
    """Write a file under a hidden name beside `path`, then rename it.

    Raises
    ------
    OSError
        The folder is missing or read-only, or the disk is full; an older file stays.
    """
    target = Path(path)
    part = target.with_name(f".{target.name}.{secrets.token_hex(4)}.part")
    try:
        with part.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, target)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise type(error)(f"cannot write {target}: {reason}") from error
    finally:
        with contextlib.suppress(OSError):
            part.unlink()
