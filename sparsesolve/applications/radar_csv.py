"""Antenna positions from a CSV file."""

from __future__ import annotations

import csv
import math
from pathlib import Path
from typing import Any

import numpy as np

from sparsesolve.hdf5 import require_file
from sparsesolve.operators.grid import Floats

__all__ = ["read_positions"]


def read_positions(path: str | Path) -> Floats:
    """Read antenna positions, in m.

    Parameters
    ----------
    path : path
        A row a position: x, y and z in m, separated by commas, semicolons or blanks;
        six columns are two antennas a row, and so on. Empty lines and lines that start
        with # are skipped, and so is one line of column names.

    Returns
    -------
    (n, 3) array, or (n, n_antennas, 3) where a row has more than one.

    Raises
    ------
    OSError, ValueError
        The file cannot be read; a cell is no number; rows differ in length, or are not
        of three columns an antenna.

    Examples
    --------
    >>> from pathlib import Path
    >>> path = Path("positions.csv")  # x,y,z and a row a position
    >>> read_positions(path)  # doctest: +SKIP
    array([[-0.1, -0.1,  0. ],
           [ 0. , -0.1,  0. ]])
    """
    place = require_file(path)
    try:
        text = place.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError(f"{place} is not text; wanted rows of x, y, z in m") from None
    lines = [
        (number, line)
        for number, line in enumerate(text.splitlines(), start=1)
        if line.strip() and not line.lstrip().startswith("#")
    ]
    rows: list[list[float]] = []
    for i, (number, line) in enumerate(lines):
        cells = _cells(line)
        if i == 0 and not any(_is_number(cell) for cell in cells):
            continue
        rows.append([_number(cell, place, number) for cell in cells])
    widths = {len(row) for row in rows}
    if len(widths) != 1 or widths.pop() % 3:
        raise ValueError(
            f"{place} has rows of {sorted({len(row) for row in rows})} cells; wanted "
            "equal rows of x, y, z in m, three cells an antenna"
        )
    table = np.array(rows)
    return table if table.shape[1] == 3 else table.reshape(len(table), -1, 3)


def _cells(line: str) -> list[str]:
    sign = next((sign for sign in (";", ",") if sign in line), None)
    if sign is None:
        return line.split()
    return next(csv.reader([line], delimiter=sign))


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _number(cell: Any, place: Path, row: int) -> float:
    value = float(cell) if _is_number(cell) else math.nan
    if not math.isfinite(value):
        raise ValueError(f"{place}: line {row} has {cell!r}; wanted a number, in m")
    return value
