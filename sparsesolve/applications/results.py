"""What a run leaves behind: a solution, a picture, and a line in a table."""

from __future__ import annotations

import csv
import io
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sparsesolve import atomic

__all__ = ["add_rows", "output_folder", "text_table"]

Row = Mapping[str, Any]


def output_folder(path: str | Path) -> Path:
    """Return a folder that can be written to, made if need be.

    Raises
    ------
    OSError
        It is a file, or there is no permission.
    """
    folder = Path(path)
    if folder.exists() and not folder.is_dir():
        raise NotADirectoryError(f"{folder} is a file; wanted a folder to write into")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise type(error)(f"cannot make the folder {folder}: {reason}") from error
    if not os.access(folder, os.W_OK):
        raise PermissionError(f"cannot write into the folder {folder}: no permission")
    return folder


def add_rows(
    path: str | Path, rows: Sequence[Row], *, keys: Sequence[str] = ("scan", "image")
) -> None:
    """Append rows to a CSV file, atomically; new columns go to the end.

    A row with the same values of `keys` as an older one takes its place.
    """
    place = Path(path)
    old: list[Row] = []
    if place.exists():
        old = list(csv.DictReader(io.StringIO(place.read_text(encoding="utf-8"))))
    names = {tuple(str(row[key]) for key in keys) for row in rows}
    kept = [row for row in old if tuple(row.get(key) for key in keys) not in names]
    table = [*kept, *rows]
    text = io.StringIO()
    columns = list(dict.fromkeys(name for row in table for name in row))
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows({k: _cell(v, ".6g") for k, v in row.items()} for row in table)
    atomic.write_bytes(place, text.getvalue().encode())


def text_table(rows: Sequence[Row], columns: Sequence[str]) -> str:
    """Return the rows as aligned text, numbers to the right, empty columns left out."""
    columns = [name for name in columns if any(row.get(name, "") != "" for row in rows)]
    head = [name.replace("_", " ") for name in columns]
    body = [[_cell(row.get(name, ""), ".3g") for name in columns] for row in rows]
    widths = [max(map(len, column)) for column in zip(head, *body, strict=True)]
    numeric = [
        all(isinstance(row.get(name, 0), (int, float)) for row in rows)
        for name in columns
    ]

    def line(cells: Sequence[str]) -> str:
        parts = zip(cells, widths, numeric, strict=True)
        return "  ".join(c.rjust(w) if n else c.ljust(w) for c, w, n in parts).rstrip()

    return "\n".join([line(head), line(["-" * w for w in widths]), *map(line, body)])


def _cell(value: Any, digits: str) -> str:
    if not isinstance(value, float):
        return str(value)
    return format(value, digits) if math.isfinite(value) else str(value)
