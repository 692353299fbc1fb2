"""Simulated near-field scans of targets that lie off any voxel grid."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from sparsesolve import checks
from sparsesolve.applications.radar_echoes import simulate
from sparsesolve.applications.radar_scenes import draw_scene
from sparsesolve.operators.grid import Floats, Grid
from sparsesolve.scan import RadarScan

__all__ = ["Simulation", "reference_array", "reference_grid", "simulate_scan"]

_LOST = 0.01
"""Share of a scene's power that may lie outside a grid without a warning."""


@dataclass(frozen=True)
class Simulation:
    """A scan and the scatterers it was computed from.

    Attributes
    ----------
    scan : RadarScan
        With noise of the stated standard deviation and the nominal geometry.
    positions : (n_scatterers, 3) array, m
    amplitudes : (n_scatterers,) complex array
    """

    scan: RadarScan
    positions: Floats
    amplitudes: NDArray[np.complex128]

    def truth(self, grid: Grid) -> Floats:
        """Return the magnitudes that an ideal image on `grid` would have.

        The power |amplitude|² of each scatterer is shared among the eight voxels
        around it by trilinear weights, and the root of the sum is the magnitude: the
        image's energy Σ truth² is that of the scatterers, and moves smoothly with
        them. Powers are added because the phases are independent: amplitudes would
        cancel within a voxel at random, which says nothing about the target (speckle),
        while the expected power is its reflectivity. A single scatterer of magnitude 1
        at the centre of a voxel gives 1 there.

        Parameters
        ----------
        grid : Grid
            At least two voxels along each axis, not much smaller than the distance of
            scatterers: where they are smaller, gaps between scatterers are seen.

        Returns
        -------
        (nx, ny, nz) float64 array
            Zero outside ``grid.region``.

        Raises
        ------
        ValueError
            The grid has only one voxel along an axis, whose thickness is not known.

        Warns
        -----
        UserWarning
            More than 1 % of the power lies outside the grid, and is left out.
        """
        power = np.abs(self.amplitudes) ** 2
        image = _deposit(self.positions, power, grid)
        if grid.region is not None:
            image = np.where(grid.region, image, 0)
        lost = 1 - image.sum() / power.sum()
        if lost > _LOST:
            warnings.warn(
                f"{100 * lost:.0f} % of the scene's power lies outside {grid!r} and is "
                "missing in the truth, but not in the data; take a larger grid",
                stacklevel=2,
            )
        return np.sqrt(image)


def reference_array() -> tuple[Floats, Floats]:
    """Return the 12 transmitters and 13 receivers of the reference study, m.

    A Mills cross on the diagonals of a square of 0.3 m at z = 0 (Oral and Oktem, IEEE
    Trans. Comput. Imaging, 2024).
    """
    a, b = np.linspace(-0.15, 0.15, 12), np.linspace(-0.15, 0.15, 13)
    return np.stack([a, -a, 0 * a], axis=1), np.stack([b, b, 0 * b], axis=1)


def reference_grid() -> Grid:
    """Return the 25 x 25 x 49 voxels of that study, 0.35 to 0.65 m before the array."""
    return Grid.box((0, 0, 0.5), (0.3, 0.3, 0.3), (0.0125, 0.0125, 0.00625))


def simulate_scan(
    seed: int = 0,
    *,
    scene: str = "points",
    n_targets: int | None = None,
    n_freq: int = 15,
    snr_db: float | None = 20.0,
    position_error: float = 0.0,
    speed_error: float = 0.0,
    gain_error: float = 0.0,
) -> Simulation:
    """Simulate a random scene seen by the reference array at 4 to 16 GHz.

    Every echo is summed in double precision from the scatterers' own positions,
    without any voxel: an image is never tested with the model that made its data.

    Parameters
    ----------
    seed : int
        Of the scene, the noise and the errors, which are drawn apart: the same seed
        has the same scene and noise whatever the errors.
    scene : str
        ``"points"``: uniform within 0.1 m of (0, 0, 0.5) m along each axis, magnitudes
        0.5 to 1, uniform phases. ``"plates"``, ``"letters"``, ``"extruded"``,
        ``"clusters"``: rough bodies of scatterers, see `radar_scenes.draw_scene`.
    n_targets : int, optional
        By default 5 points, 3 plates, 1 letter, 2 solids, or 15 points of a cluster.
    n_freq : int
        Equally spaced frequencies, both ends included; 15 are a tenth of the data that
        would determine 25 x 25 x 49 voxels.
    snr_db, position_error, speed_error, gain_error
        See `simulate`. From about 25 dB on, the distance of targets from voxel centres
        outweighs the noise.

    Returns
    -------
    Simulation
        Data (n_freq, 12, 13) complex64; ``scan.noise`` is the noise that was added.

    Raises
    ------
    ValueError, TypeError
        One sentence that names the argument, what it is and what was wanted.

    Examples
    --------
    >>> from sparsesolve.applications import radar
    >>> simulation = radar.simulate_scan(1, scene="plates", position_error=2e-3)
    >>> simulation.truth(radar.reference_grid()).shape
    (25, 25, 49)
    """
    checks.positive_int("n_freq", n_freq)
    rng = np.random.default_rng(seed)
    positions, amplitudes = draw_scene(
        scene, rng, reference_grid(), n_targets=n_targets
    )
    scan = simulate(
        positions,
        amplitudes,
        *reference_array(),
        np.linspace(4e9, 16e9, n_freq),
        snr_db=snr_db,
        position_error=position_error,
        speed_error=speed_error,
        gain_error=gain_error,
        seed=rng,
    )
    return Simulation(scan, positions, amplitudes)


def _deposit(positions: Floats, power: Floats, grid: Grid) -> Floats:
    """Share the power of each point among the voxels around it, trilinearly."""
    inside = np.ones(len(positions), bool)
    corners = []
    for name, axis, place in zip("xyz", grid.axes, positions.T, strict=True):
        if axis.size == 1:
            raise ValueError(
                f"grid has one voxel along {name}, whose thickness is not known; "
                "wanted at least two"
            )
        lower = np.clip(np.searchsorted(axis, place, "right") - 1, 0, axis.size - 2)
        share = (place - axis[lower]) / (axis[lower + 1] - axis[lower])
        # the outermost voxels reach half a voxel beyond their centres
        inside &= (share >= -0.5) & (share <= 1.5)
        share = np.clip(share, 0, 1)
        corners.append(((lower, 1 - share), (lower + 1, share)))
    image = np.zeros(grid.shape)
    for (i, u), (j, v), (k, w) in product(*corners):
        np.add.at(image, (i, j, k), np.where(inside, power * u * v * w, 0))
    return image
