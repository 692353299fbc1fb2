"""How far data may be from the model: noise, and what a voxel grid cannot explain."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sparsesolve import checks
from sparsesolve.applications.radar_grid import check_scene
from sparsesolve.operators.grid import Grid
from sparsesolve.scan import RadarScan

__all__ = ["DataLevel", "data_level", "off_grid_error"]

# Scatterers that are tried, and data that are looked at: 3 % of the error it finds.
_TRIALS, _MOST_DATA = 32, 4096


@dataclass(frozen=True)
class DataLevel:
    """What the misfit of a good image is: ‖Ax - y‖² = n_data (noise² + model_error²).

    Attributes
    ----------
    noise : float
        Standard deviation of the receiver's noise of a complex entry, unit of the data.
    model_error : float
        Root of the mean square of what the model cannot explain, unit of the data.
    n_data : int
        Entries that are used.
    why : str
        Where the two come from.
    """

    noise: float
    model_error: float
    n_data: int
    why: str

    @property
    def per_datum(self) -> float:
        """Root mean square misfit of an entry."""
        return math.hypot(self.noise, self.model_error)

    @property
    def radius(self) -> float:
        """‖Ax - y‖ of a good image."""
        return math.sqrt(self.n_data) * self.per_datum


def data_level(
    scan: RadarScan,
    grid: Grid,
    *,
    noise: float | None = None,
    snr: float | None = None,
    model_error: float | None = None,
    spreading: bool = True,
) -> DataLevel | None:
    """Return the misfit to aim at, or None where the noise is not known.

    Parameters
    ----------
    scan : RadarScan
        With its data in memory.
    grid : Grid
    noise : float, optional
        Standard deviation of a complex entry; by default ``scan.noise``.
    snr : float, optional
        Instead of it: mean power of the echoes over the noise's variance, dB.
    model_error : float, optional
        Root mean square of an entry's other errors; by default `off_grid_error` times
        the echoes' root mean square. The noise alone would make an image fit what its
        voxels, its straight single echoes or its positions cannot explain.
    spreading : bool
        See `sparsesolve.applications.radar.imaging_problem`.

    Raises
    ------
    ValueError
        Both `noise` and `snr` are given; one is out of range; no echo exceeds them.
    """
    if noise is not None and snr is not None:
        raise ValueError("noise and snr say the same; give one of the two")
    check_scene(scan, grid)
    valid = scan.data if scan.mask is None else scan.data[scan.mask]
    power = float(np.mean(np.abs(valid).astype(np.float64) ** 2))
    if snr is not None:
        if not math.isfinite(snr):
            raise ValueError(f"snr is {snr!r}; wanted a finite number of dB")
        noise = math.sqrt(power / (1 + 10 ** (snr / 10)))
        source = f"noise {noise:.3g} from an SNR of {snr:g} dB"
    elif noise is not None:
        noise = checks.positive_number("noise", noise)
        source = f"noise {noise:.3g}, given"
    elif scan.noise is not None:
        noise = scan.noise
        source = f"noise {noise:.3g}, the scan's"
    else:
        return None
    if model_error is not None:
        model_error = checks.positive_number("model_error", model_error, zero=True)
        source += f"; model error {model_error:.3g}, given"
    else:
        share = off_grid_error(scan, grid, spreading=spreading)
        model_error = share * math.sqrt(max(power - noise**2, 0.0))
        source += f"; model error {model_error:.3g}, {share:.1%} of the echoes, voxels"
    level = DataLevel(noise, model_error, valid.size, source)
    if level.per_datum**2 >= power:
        raise ValueError(
            f"the level of noise and model error, {level.per_datum:.3g}, is not below "
            f"the data's root mean square, {math.sqrt(power):.3g}: an empty image "
            "explains them; check noise and its unit"
        )
    return level


def off_grid_error(
    scan: RadarScan, grid: Grid, *, spreading: bool = True, seed: int = 0
) -> float:
    """Return the share of an echo that the voxels around its scatterer cannot explain.

    A scatterer at a random place between voxel centres is fitted by the eight voxels
    around it (least squares); the share is ‖residual‖/‖echo‖, its root mean square
    over random places. Errors of different scatterers add in power as their echoes
    do, so the share is one of a whole scene.

    Parameters
    ----------
    scan : RadarScan
        Its antennas, channels, frequencies and speed count, its data do not.
    grid : Grid
    spreading : bool
        See `sparsesolve.applications.radar.imaging_problem`.
    seed : int
        Of the random places.

    Returns
    -------
    float
        Between 0 (voxels far smaller than the resolution, or only one) and 1.
    """
    check_scene(scan, grid)
    rng = np.random.default_rng(seed)
    shares = []
    for _ in range(_TRIALS):
        place, corners = _cell(grid, rng)
        echoes = _echoes(scan, np.vstack([place, corners]), spreading, rng)
        echo, columns = echoes[:, 0], echoes[:, 1:]
        fit = np.linalg.lstsq(columns, echo)[0]
        shares.append(
            np.linalg.norm(echo - columns @ fit) ** 2 / np.linalg.norm(echo) ** 2
        )
    return float(np.sqrt(np.mean(shares)))


def _cell(
    grid: Grid, rng: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return a random place in the grid and the voxel centres around it."""
    region = grid.region
    n_voxels = math.prod(grid.shape) if region is None else np.count_nonzero(region)
    drawn = rng.integers(n_voxels)
    index = drawn if region is None else np.flatnonzero(region)[drawn]
    lower = np.unravel_index(index, grid.shape)
    sides = []
    for axis, i in zip(grid.axes, lower, strict=True):
        first = min(int(i), max(axis.size - 2, 0))
        sides.append(axis[first : first + 2])
    place = np.array([rng.uniform(side[0], side[-1]) for side in sides])
    return place, np.array(list(product(*sides)))


def _echoes(
    scan: RadarScan,
    points: NDArray[np.float64],
    spreading: bool,
    rng: np.random.Generator,
) -> NDArray[np.complex128]:
    """Return some of the data that unit scatterers at the points give, (data, n)."""
    pairs: Any = scan.channels
    if pairs is None:
        pairs = np.indices((len(scan.tx), len(scan.rx))).reshape(2, -1).T
    n_all = scan.freq.size * len(pairs)
    chosen = np.arange(n_all)
    if n_all > _MOST_DATA:
        chosen = rng.choice(n_all, _MOST_DATA, replace=False)
    k, c = np.divmod(chosen, len(pairs))
    out, back = (
        np.linalg.norm(antennas[index][:, None] - points, axis=-1)
        for antennas, index in ((scan.tx, pairs[c, 0]), (scan.rx, pairs[c, 1]))
    )
    numbers = 2 * np.pi * scan.freq[k, None] / scan.speed
    echoes: NDArray[np.complex128] = np.exp(-1j * numbers * (out + back))
    return echoes / (out * back) if spreading else echoes
