"""Where to look: a grid for a scan that comes without one."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from sparsesolve import checks
from sparsesolve.operators.grid import Grid
from sparsesolve.scan import RadarScan

__all__ = ["check_scene", "scene_grid", "warn_if_behind"]

# A coarse image in seconds; a finer one is one option away.
_MAX_VOXELS = 100_000
# Ranges before a planar array, in apertures, where it resolves best sideways without
# being in its reactive neighbourhood.
_NEAR, _FAR = 1.0, 2.2


def scene_grid(
    scan: RadarScan, *, center: Any = None, extent: Any = None, spacing: Any = None
) -> Grid:
    """Return a box of voxels where the antennas of a scan look.

    Parameters
    ----------
    scan : RadarScan
    center, extent : three floats (extent also one), m, optional
        Both or neither. By default, for an array in a plane of constant z: its own
        width and height, from 1 to 2.2 apertures in front (towards +z). For any
        other, the box around the antennas, of which 0.93 of the radius of the sphere
        through them is imaged.
    spacing : float or three floats, m, optional
        By default a quarter of the range cell c/2B (of half the wavelength, if there
        is one frequency), coarser where that makes more than 100,000 voxels.

    Raises
    ------
    ValueError
        Only one of `center` and `extent` is given, or the array's plane is another.

    Warns
    -----
    RuntimeWarning
        The box given lies behind the array or on both its sides, see `warn_if_behind`.
    """
    checks.instance("scan", scan, RadarScan)
    if (center is None) != (extent is None):
        raise ValueError("center and extent belong together; give both or neither")
    antennas = np.concatenate([scan.tx, scan.rx])
    around = center is None and not _faces_z(antennas)
    if center is None:
        low, high = antennas.min(axis=0), antennas.max(axis=0)
        if not around:
            aperture = float((high - low).max())
            low[2], high[2] = low[2] + _NEAR * aperture, high[2] + _FAR * aperture
        center, extent = (low + high) / 2, high - low
    sides = np.broadcast_to(np.asarray(extent, dtype=float), (3,))
    spacing = _spacing(scan, sides) if spacing is None else spacing
    if np.min(spacing) > np.max(sides):
        raise ValueError(
            f"spacing is {spacing} m, more than the volume's longest side of "
            f"{np.max(sides):g} m; is it in mm?"
        )
    grid = Grid.box(center, sides, spacing)
    warn_if_behind(scan, grid)
    return _inside(grid, antennas) if around else grid


def check_scene(scan: RadarScan, grid: Grid) -> None:
    """Raise TypeError unless these are a scan and a grid, in this order."""
    checks.instance("scan", scan, RadarScan)
    checks.instance("grid", grid, Grid)


def warn_if_behind(scan: RadarScan, grid: Grid) -> None:
    """Warn of voxels that an array in a plane cannot tell from those before it.

    Parameters
    ----------
    scan : RadarScan
        Only arrays that lie in a plane, and not on a line, have two sides.
    grid : Grid

    Warns
    -----
    RuntimeWarning
        The grid reaches through the plane of the antennas, or lies behind an array of
        constant z, which looks towards +z.
    """
    check_scene(scan, grid)
    antennas = np.concatenate([scan.tx, scan.rx])
    center = antennas.mean(axis=0)
    _, sizes, axes = np.linalg.svd(antennas - center, full_matrices=False)
    if len(sizes) < 3 or sizes[2] > 0.01 * sizes[0] or sizes[1] <= 0.01 * sizes[0]:
        return
    points = grid.points.reshape(-1, 3)
    if grid.region is not None:
        points = points[grid.region.ravel()]
    side = (points - center) @ axes[2]
    if side.min() < 0 < side.max():
        warnings.warn(
            f"the grid lies on both sides of the plane of the antennas ({grid!r}): "
            "echoes from before and from behind it are the same; keep to one side",
            RuntimeWarning,
            stacklevel=3,
        )
    elif abs(axes[2, 2]) > 0.99 and points[:, 2].max() < antennas[:, 2].min():
        warnings.warn(
            f"the grid lies behind the array, at smaller z ({grid!r}): the image is a "
            "mirror image, unless the antennas do face towards -z",
            RuntimeWarning,
            stacklevel=3,
        )


def _faces_z(antennas: Any) -> bool:
    """Whether all antennas lie in a plane of constant z, which may be looked at."""
    flatness = np.linalg.svd(antennas - antennas.mean(axis=0), compute_uv=False)
    if len(antennas) > 3 and flatness[2] > 0.01 * flatness[0]:
        return False
    if np.ptp(antennas[:, 2]) > 0.01 * np.ptp(antennas, axis=0).max():
        raise ValueError(
            "the antennas lie in a plane that is not one of constant z, so where they "
            "look is unknown; wanted center and extent"
        )
    return True


def _spacing(scan: RadarScan, sides: Any) -> float:
    bandwidth = float(scan.freq[-1] - scan.freq[0]) or float(scan.freq[0])
    spacing = scan.speed / (2 * bandwidth) / 4
    while float(np.prod(sides / spacing + 1)) > _MAX_VOXELS:
        spacing *= 1.05
    return float(f"{spacing:.2g}")


def _inside(grid: Grid, antennas: Any) -> Grid:
    """Keep what is nearer to the centre of the sphere through the antennas."""
    # |p|² = 2 c·p + (R² - |c|²) is linear in the sphere's centre c
    system = np.column_stack([2 * antennas, np.ones(len(antennas))])
    fit = np.linalg.lstsq(system, (antennas**2).sum(axis=1), rcond=None)[0]
    radius = float(np.linalg.norm(antennas - fit[:3], axis=1).min())
    return grid.within(0.93 * checks.positive("radius", radius), fit[:3])
