"""The measured near-field scans of IEEE DataPort (10.21227/src2-0y50), from .mat."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from sparsesolve.io import Field, load
from sparsesolve.operators.near_field import LIGHT
from sparsesolve.scan import RadarScan
from sparsesolve.sources import open_source

__all__ = ["from_dataport"]

# Files do not say whether they hold GHz, MHz or Hz, but near-field radars work between
# some 100 MHz and 500 GHz: what is too small for one unit is in the next larger one.
_UNITS = (("GHz", 0.1, 500.0), ("MHz", 500.0, 1e6), ("Hz", 1e8, 1e12))


def from_dataport(
    path: str | Path,
    *,
    range_axis: str = "y",
    unit: str = "m",
    sign: int = -1,
    speed: float = LIGHT,
) -> RadarScan:
    """Read a scan with the layout of IEEE DataPort 10.21227/src2-0y50.

    Parameters
    ----------
    path : path
        A MATLAB file, v5 or v7.3, with ``EMData.Values`` (receivers x transmitters x
        frequencies), ``MIMOArray.Transmitter.X``, ``Y``, ``Z``,
        ``MIMOArray.Receiver.X``, ``Y``, ``Z`` and ``OperateFreq``.
    range_axis : "x", "y" or "z"
        The file's axis that points from the array to the scene. It becomes our z, and
        the other two x and y in their order; in these files it is y.
    unit : str
        Of the positions: "m", "mm" or "cm".
    sign : -1 or +1
        Of the phase of an outgoing wave, -1 for e^{-jkR}; `RadarScan.check` finds out
        whether it is the other.
    speed : float, m/s
        Wave speed; by default in vacuum.

    Returns
    -------
    RadarScan
        Data (n_freq, n_tx, n_rx), conjugated if `sign` is +1; NaN are masked.
        ``OperateFreq`` is taken for GHz, MHz or Hz by its size.

    Raises
    ------
    OSError, ValueError, TypeError
        One sentence that names the file, the variable, what was found and wanted.

    Examples
    --------
    >>> from sparsesolve.applications import radar
    >>> scan = radar.from_dataport("target.mat")  # doctest: +SKIP
    """
    if range_axis not in ("x", "y", "z"):
        raise ValueError(f"range_axis is {range_axis!r}; wanted 'x', 'y' or 'z'")
    axes = [axis for axis in "xyz" if axis != range_axis] + [range_axis]
    tx, rx = (
        tuple(Field(f"MIMOArray.{side}.{axis.upper()}", unit=unit) for axis in axes)
        for side in ("Transmitter", "Receiver")
    )
    scan: RadarScan = load(
        path,
        kind="near_field_mimo",
        mapping={
            "data": Field(
                "EMData.Values", axes=("rx", "tx", "freq"), fill=float("nan")
            ),
            "freq": Field("OperateFreq", unit=_frequency_unit(path)),
            "tx": tx,
            "rx": rx,
            "sign": sign,
            "speed": speed,
        },
    )
    return scan


def _frequency_unit(path: str | Path) -> str:
    with open_source(path) as source:
        axes = tuple(range(len(source.shape("OperateFreq"))))
        values = np.asarray(source.array(("OperateFreq",), axes, np.asarray))
    low, high = float(np.min(values)), float(np.max(values))
    for unit, least, most in _UNITS:
        if least <= low and high < most:
            return unit
    raise ValueError(
        f"{path}: OperateFreq goes from {low:g} to {high:g}, no radar's band in GHz, "
        "MHz or Hz; use sparsesolve.load with a mapping that states its unit"
    )
