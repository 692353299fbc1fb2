"""The speed of waves in the medium, from the sharpness of the image."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sparsesolve import checks
from sparsesolve.applications.radar_direct import back_projection
from sparsesolve.applications.radar_grid import check_scene
from sparsesolve.backends import Array
from sparsesolve.operators.grid import Grid
from sparsesolve.scan import RadarScan

__all__ = ["SpeedEstimate", "estimate_speed"]

# Of the scan's own speed: media are seldom known worse than by 15 %.
_LOWEST, _HIGHEST, _STEPS = 0.85, 1.15, 31


@dataclass(frozen=True)
class SpeedEstimate:
    """Where images are sharpest, and the curve that says how clearly.

    Attributes
    ----------
    speed : float, m/s
        The best, from a parabola through the largest value and its neighbours.
    speeds : (n,) array, m/s
        Those that were tried, increasing.
    sharpness : (n,) array
        The measure at each: the higher the sharper.
    measure : str
        What was measured.
    """

    speed: float
    speeds: NDArray[np.float64]
    sharpness: NDArray[np.float64]
    measure: str

    def __repr__(self) -> str:
        low, high = self.speeds[0], self.speeds[-1]
        return (
            f"SpeedEstimate({self.speed:.4g} m/s, largest {self.measure} of "
            f"{self.speeds.size} speeds from {low:.4g} to {high:.4g})"
        )


def estimate_speed(scan: RadarScan, grid: Grid, speeds: Any = None) -> SpeedEstimate:
    """Estimate the wave speed: that whose back-projection is sharpest.

    The measure is Σ|x|⁴ of the back-projection over (Σ|y|²)², which grows as echoes
    gather in fewer voxels. It has no division by the image's own energy, because that
    rewards speeds at which the targets leave the grid.

    Parameters
    ----------
    scan : RadarScan
        Its `speed` is the first guess.
    grid : Grid
        Where the scene is. Axes finer than half the range cell c/2B are thinned. For an
        array in a plane it grows and shrinks about the array's centre in proportion to
        the speed, so that echoes of given delays stay where they are in it; around a
        surrounded scene it stays as it is.
    speeds : (n,) array_like, m/s, optional
        At least three, increasing, about equally spaced; by default 31 from 0.85 to
        1.15 times ``scan.speed``.

    Returns
    -------
    SpeedEstimate

    Raises
    ------
    ValueError
        Fewer than three speeds, or not increasing.

    Notes
    -----
    An array in a plane tells speed from distance by the curvature of waves alone:
    simulated points before the reference array come out within 2 %, extended bodies
    of random phase within 5 %, if the unambiguous range c/2Δf exceeds the scene.
    Each speed costs a back-projection.
    """
    check_scene(scan, grid)
    trials = _trials(scan.speed, speeds)
    scan = scan.in_convention().read()
    antennas = np.concatenate([scan.tx, scan.rx])
    center = antennas.mean(axis=0)
    flatness = np.linalg.svd(antennas - center, compute_uv=False)
    planar = flatness[-1] <= 0.01 * flatness[0]
    valid = scan.data if scan.mask is None else scan.data[scan.mask]
    energy = float(np.sum(np.abs(valid).astype(np.float64) ** 2))
    if energy == 0:
        raise ValueError("data are zero everywhere; there is no image to focus")
    grid = _thinned(grid, scan)
    sharpness = np.array(
        [
            _fourth_moment(
                back_projection(
                    replace(scan, speed=speed),
                    _scaled(grid, center, speed / scan.speed) if planar else grid,
                )
            )
            for speed in trials.tolist()
        ]
    )
    sharpness /= energy**2
    best = _vertex(trials, sharpness)
    return SpeedEstimate(best, trials, sharpness, "sum of |x|^4 / (sum of |y|^2)^2")


def _trials(speed: float, speeds: Any) -> NDArray[np.float64]:
    if speeds is None:
        return speed * np.linspace(_LOWEST, _HIGHEST, _STEPS)
    trials = np.array(speeds, dtype=np.float64)
    checks.finite("speeds", trials)
    if trials.ndim != 1 or trials.size < 3 or np.any(np.diff(trials) <= 0):
        raise ValueError(
            f"speeds has shape {trials.shape}; wanted at least three, increasing, in "
            "m/s"
        )
    if trials[0] <= 0:
        raise ValueError(f"speeds begins at {trials[0]:g}; wanted m/s > 0")
    return trials


def _thinned(grid: Grid, scan: RadarScan) -> Grid:
    """Leave out voxels as long as their distance is at most half the range cell.

    Those in which an antenna comes to lie, as they grow, are left out, too.
    """
    bandwidth = float(scan.freq[-1] - scan.freq[0])
    if not bandwidth:
        return grid
    most = scan.speed / (2 * bandwidth) / 2
    steps = [max(1, int(most / spacing)) if spacing else 1 for spacing in grid.spacing]
    if max(steps) == 1:
        return grid
    every = tuple(slice(None, None, step) for step in steps)
    axes = (axis[each] for axis, each in zip(grid.axes, every, strict=True))
    region = np.ones(grid.shape, bool) if grid.region is None else grid.region
    thin = Grid(*axes)
    reach = 0.51 * float(np.linalg.norm(thin.spacing))
    free = region[every].copy()
    for antenna in np.concatenate([scan.tx, scan.rx]):
        free &= np.linalg.norm(thin.points - antenna, axis=-1) > reach
    return Grid(*thin.axes, region=free)


def _scaled(grid: Grid, center: NDArray[np.float64], factor: float) -> Grid:
    axes = (c + factor * (axis - c) for c, axis in zip(center, grid.axes, strict=True))
    return Grid(*axes, region=grid.region)


def _fourth_moment(x: Array) -> float:
    return float(np.sum(np.abs(x).astype(np.float64) ** 4))


def _vertex(at: NDArray[np.float64], values: NDArray[np.float64]) -> float:
    """Return the top of the parabola through the largest value and its neighbours."""
    top = int(np.argmax(values))
    if top in (0, at.size - 1):
        warnings.warn(
            f"the image is sharpest at {at[top]:.4g} m/s, the end of the speeds that "
            "were tried; widen them",
            RuntimeWarning,
            stacklevel=3,
        )
        return float(at[top])
    near = slice(top - 1, top + 2)
    a, b, _ = np.polyfit(at[near] - at[top], values[near] / values[top], 2)
    return float(at[top] - b / (2 * a)) if a < 0 else float(at[top])
