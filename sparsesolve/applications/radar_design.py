"""What an array will resolve and imaging with it will need, before there is a scan.

By rules of thumb: `point_spread` says how an array really images a point.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sparsesolve import checks
from sparsesolve.applications.radar_grid import check_scene
from sparsesolve.applications.radar_resolution import (
    ambiguity,
    cross_range,
    range_cell,
)
from sparsesolve.operators.grid import Grid
from sparsesolve.operators.near_field import LIGHT, NearFieldMIMO
from sparsesolve.operators.near_field_arguments import (
    antenna_positions,
    channel_pairs,
    frequencies,
)
from sparsesolve.scan import RadarScan

__all__ = ["Design", "design", "memory_needed"]

Floats = NDArray[np.float64]

# Half a resolution cell is a rule of thumb: a hundredth more is no fault.
_SLACK = 1.01
# Thickness of a planar array, and least width, in shares of its length.
_FLAT = 1e-3


@dataclass(frozen=True, repr=False)
class Design:
    """Numbers of an array before it measures; lengths in m.

    Attributes
    ----------
    n_freq, n_channels : int
    n_voxels : int or None
        Of the grid's region; None without a grid.
    wavelength : float
        In the medium, at the centre frequency.
    distance : float
        From the nearest antenna to the middle of the scene.
    range_cell, ambiguity : float
        See the functions of these names; inf for one frequency.
    cross_range : (x, y, z) tuple of float
        See the function of this name; inf along an axis without aperture.
    needed_bytes : int or None
        Predicted memory of the operator; None without a grid, or where it would not
        fit, which a remark says.
    remarks : tuple of str
        A sentence for each thing that will disappoint.
    """

    n_freq: int
    n_channels: int
    n_voxels: int | None
    wavelength: float
    distance: float
    range_cell: float
    ambiguity: float
    cross_range: tuple[float, float, float]
    needed_bytes: int | None
    remarks: tuple[str, ...]

    @property
    def n_data(self) -> int:
        """Complex data of one scan: frequencies times channels."""
        return self.n_freq * self.n_channels

    @property
    def ratio(self) -> float | None:
        """Data per voxel, M/N; None without a grid."""
        return None if self.n_voxels is None else self.n_data / self.n_voxels

    def __repr__(self) -> str:
        rows = [
            ("data", f"{self.n_data}, {self.n_freq} frequencies x {self.n_channels}"),
            ("wavelength", _length(self.wavelength)),
            ("distance", _length(self.distance)),
            ("range cell", _length(self.range_cell)),
            ("range ambiguity", _length(self.ambiguity)),
        ]
        rows += [
            (f"cross-range {axis}", _length(cell))
            for axis, cell in zip("xyz", self.cross_range, strict=True)
            if math.isfinite(cell)
        ]
        if self.ratio is not None:
            rows.append(("voxels", f"{self.n_voxels}, M/N = {100 * self.ratio:.3g} %"))
        if self.needed_bytes is not None:
            rows.append(("operator", f"{self.needed_bytes / 2**20:.3g} MiB"))
        lines = [f"{name:16}{value}" for name, value in rows]
        return "\n".join([*lines, *(f"! {remark}" for remark in self.remarks)])


def memory_needed(scan: RadarScan, grid: Grid) -> int:
    """Return the bytes that imaging a scan on a grid would take; allocates nothing.

    Raises
    ------
    MemoryError
        More than there is; the sentence says how much and what to do.
    """
    check_scene(scan, grid)
    return NearFieldMIMO.from_scan(scan, grid).needed_bytes


def design(
    tx: Any,
    rx: Any,
    freq: Any,
    *,
    grid: Grid | None = None,
    distance: float | None = None,
    channels: Any = None,
    speed: float = LIGHT,
) -> Design:
    """Return what an array resolves at a distance, or needs on a grid.

    Parameters
    ----------
    tx, rx : (n, 3) array_like, m
    freq : (n_freq,) array_like, Hz
    grid : Grid, optional
        The scene. Either this or `distance`.
    distance : float, m, optional
        From the nearest antenna to the target.
    channels : (n_channels, 2) array_like of int, optional
        Measured pairs (transmitter, receiver) from zero; by default all.
    speed : float, m/s
        Wave speed in the medium; by default in vacuum.

    Returns
    -------
    Design
        Its ``remarks`` say where the scene exceeds the ambiguity, voxels are coarser
        than half a resolution cell, the grid lies behind the array, or memory lacks.

    Raises
    ------
    ValueError
        As `NearFieldMIMO`; also if grid and distance are both given or both missing.
    """
    if (grid is None) == (distance is None):
        raise ValueError("design needs a grid or a distance; give one of the two")
    tx, rx = antenna_positions("tx", tx), antenna_positions("rx", rx)
    freq = frequencies(freq)
    speed = checks.positive_number("speed", speed)
    pairs = channel_pairs(channels, len(tx), len(rx))
    antennas = np.concatenate([tx, rx])
    if grid is not None:
        target = sum(_corners(grid)) / 2
        distance = float(np.linalg.norm(antennas - target, axis=1).min())
    reach = checks.positive_number("distance", distance)
    wavelength = speed / float((freq.min() + freq.max()) / 2)
    cells = (
        range_cell(freq, speed),
        ambiguity(freq, speed),
        cross_range(wavelength, tx, rx, reach),
    )
    needed, remarks = None, []
    if grid is not None:
        remarks = _remarks(grid, antennas, *cells)
        try:
            needed = NearFieldMIMO(
                tx, rx, freq, grid, channels=channels, speed=speed
            ).needed_bytes
        except MemoryError as error:
            remarks.append(str(error))
    if channels is None and len(tx) > 1 and np.array_equal(tx, rx):
        remarks.append(
            "transmitters and receivers stand at the same places and all pairs are "
            "counted: of one antenna that moves, say channels=[(0, 0), (1, 1), ...]"
        )
    region = None if grid is None else grid.region
    n_box = None if grid is None else math.prod(grid.shape)
    return Design(
        n_freq=freq.size,
        n_channels=len(pairs),
        n_voxels=n_box if region is None else int(region.sum()),
        wavelength=wavelength,
        distance=reach,
        range_cell=cells[0],
        ambiguity=cells[1],
        cross_range=cells[2],
        needed_bytes=needed,
        remarks=tuple(remarks),
    )


def _remarks(
    grid: Grid,
    antennas: Floats,
    cell: float,
    repeats: float,
    across: tuple[float, float, float],
) -> list[str]:
    remarks = []
    low, high = _corners(grid)
    corners = np.stack(np.meshgrid(*zip(low, high, strict=True)), -1).reshape(-1, 3)
    middle = (antennas.min(axis=0) + antennas.max(axis=0)) / 2
    farthest = float(np.linalg.norm(corners - middle, axis=1).max())
    nearest = float(np.linalg.norm(np.clip(middle, low, high) - middle))
    if farthest - nearest > repeats:
        remarks.append(
            f"the scene spans {_length(farthest - nearest)} of range but echoes repeat "
            f"after {_length(repeats)}: take a smaller frequency step or scene"
        )
    for name, axis, lateral in zip("xyz", grid.axes, across, strict=True):
        # Where the array has no extent, bandwidth resolves.
        resolved = lateral if math.isfinite(lateral) else cell
        step = float(np.diff(axis).max(initial=0.0))
        if step > _SLACK * resolved / 2:
            remarks.append(
                f"voxels of {_length(step)} along {name} are coarser than half a "
                f"resolution cell, {_length(resolved / 2)}"
            )
    return remarks + _behind(antennas, corners)


def _behind(antennas: Floats, corners: Floats) -> list[str]:
    """What to say of a grid that is not in front of a planar array."""
    middle = antennas.mean(axis=0)
    _, spread, axes = np.linalg.svd(antennas - middle)
    # A line of antennas has no plane.
    if len(antennas) < 3 or not spread[2] <= _FLAT * spread[0] < spread[1]:
        return []
    normal = axes[2] * (1 if axes[2][np.argmax(np.abs(axes[2]))] > 0 else -1)
    height = (corners - middle) @ normal
    if height.min() < 0 < height.max():
        return [
            "the grid lies on both sides of the array's plane, and the array cannot "
            "tell a target from its mirror image there"
        ]
    if height.max() <= 0 and abs(normal[2]) > 0.5:
        return [
            f"the grid lies behind the array, {_length(-float(height.mean()))} below "
            "it: the array looks towards +z"
        ]
    return []


def _corners(grid: Grid) -> tuple[Floats, Floats]:
    low = np.array([axis[0] for axis in grid.axes])
    return low, np.array([axis[-1] for axis in grid.axes])


def _length(metres: float) -> str:
    return f"{1e3 * metres:.4g} mm"
