"""Breast-phantom scans of the MERIT toolbox, from their CSV files.

A folder holds one CSV file a scan (rows are frequencies, columns channels, entries
``a+bi``), ``frequencies.csv`` (Hz), ``antenna_locations.csv`` (m) and
``channel_names.csv`` (pairs of antennas, counted from one). Each phantom was scanned
twice, the second time (``p036``) rotated by 36 degrees: the difference is free of the
coupling between antennas and of the skin, but holds a negative copy of the target,
turned about the z axis.
"""

from __future__ import annotations

import math
from pathlib import Path
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from sparsesolve.operators.near_field import LIGHT
from sparsesolve.scan import RadarScan

__all__ = ["PERMITTIVITY", "TUMOURS", "read_merit"]

PERMITTIVITY = 8.0
"""Relative permittivity of the phantoms' matching medium, 7 to 10 in the literature."""

TUMOURS = MappingProxyType(
    {
        "B0_P3": ((0.015, 0.0, 0.035), 0.011),
        "B0_P5": ((0.015, 0.0, 0.030), 0.020),
    }
)
"""Published centre and diameter, m, of the target in the homogeneous phantoms."""


def read_merit(
    folder: str | Path, name: str, *, permittivity: float = PERMITTIVITY
) -> RadarScan:
    """Read one scan.

    Parameters
    ----------
    folder : path
        Where the CSV files are, such as ``sparsesolve.data.find("merit")``.
    name : str
        The file without its ending, for instance ``"B0_P3_p000"``.
    permittivity : float
        Relative permittivity of the medium; the scan's speed is c/√permittivity.

    Returns
    -------
    RadarScan
        Data (n_freq, n_channels) complex64, as the files hold five digits.

    Raises
    ------
    FileNotFoundError
        A file is not there; the sentence lists the scans that are.
    ValueError
        A cell is not a number, rows differ in length, or the files do not fit.
    """
    place = Path(folder)
    if not (place / f"{name}.csv").is_file():
        found = ", ".join(sorted(p.stem for p in place.glob("*_p0*.csv")))
        raise FileNotFoundError(
            f"no scan {name!r} in {place}; it has {found or 'no scans at all'}"
        )
    if not permittivity >= 1:
        raise ValueError(f"permittivity is {permittivity!r}; wanted a number >= 1")
    antennas = _read_table(place / "antenna_locations.csv").real
    pairs = _read_table(place / "channel_names.csv").real
    return RadarScan(
        data=_read_table(place / f"{name}.csv").astype(np.complex64),
        freq=_read_table(place / "frequencies.csv").real[:, 0],
        tx=antennas,
        rx=antennas,
        channels=pairs.astype(np.int64) - 1,
        speed=LIGHT / math.sqrt(permittivity),
    )


def _read_table(path: Path) -> NDArray[np.complex128]:
    """Read a CSV file of real numbers or of complex ones written ``a+bi``."""
    rows = [line.split(",") for line in path.read_text().splitlines() if line.strip()]
    widths = {len(row) for row in rows}
    if len(widths) != 1:
        raise ValueError(
            f"{path} has rows of {sorted(widths)} cells; wanted equal rows"
        )
    return np.array(
        [
            [_number(cell, path, i, j) for j, cell in enumerate(row, start=1)]
            for i, row in enumerate(rows, start=1)
        ]
    )


def _number(cell: str, path: Path, row: int, column: int) -> complex:
    try:
        return complex(cell.strip().replace("i", "j"))
    except ValueError:
        raise ValueError(
            f"{path}: row {row}, column {column} is {cell!r}; wanted a number such as "
            "0.1 or 0.1-0.2i"
        ) from None
