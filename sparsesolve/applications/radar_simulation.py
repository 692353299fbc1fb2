"""Simulated near-field scans of point targets that lie off any voxel grid."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sparsesolve import checks
from sparsesolve.operators.grid import Grid
from sparsesolve.operators.near_field import LIGHT
from sparsesolve.scan import RadarScan

__all__ = ["Simulation", "reference_array", "reference_grid", "simulate_scan"]


@dataclass(frozen=True)
class Simulation:
    """A scan and the targets it was computed from.

    Attributes
    ----------
    scan : RadarScan
        With noise of the stated standard deviation.
    positions : (n_targets, 3) array, m
    amplitudes : (n_targets,) complex array
    """

    scan: RadarScan
    positions: NDArray[np.float64]
    amplitudes: NDArray[np.complex128]


def reference_array() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
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
    seed: int = 0, *, n_targets: int = 5, n_freq: int = 15, snr_db: float = 20.0
) -> Simulation:
    """Simulate points seen by the reference array at 4 to 16 GHz.

    Every echo is summed in double precision from the targets' own positions, without
    any voxel: an image is never tested with the model that made its data.

    Parameters
    ----------
    seed : int
        Of positions, amplitudes and noise.
    n_targets : int
        Points, uniform within 0.2 m of the volume's middle 0.5 m before the array, in
        a cube of 0.2 m, magnitudes 0.5 to 1, uniform phases.
    n_freq : int
        Equally spaced frequencies, both ends included; 15 are a tenth of the data that
        would determine 25 x 25 x 49 voxels.
    snr_db : float
        Mean power of the echoes over the variance of a datum's noise. From about 25 dB
        on the distance of targets from voxel centres outweighs the noise.

    Returns
    -------
    Simulation
        Data (n_freq, 12, 13) complex64; ``scan.noise`` is the noise that was added.
    """
    checks.positive_int("n_targets", n_targets)
    checks.positive_int("n_freq", n_freq)
    rng = np.random.default_rng(seed)
    positions = np.array([0, 0, 0.5]) + rng.uniform(-0.1, 0.1, (n_targets, 3))
    phase = rng.uniform(0, 2 * np.pi, n_targets)
    amplitudes = rng.uniform(0.5, 1, n_targets) * np.exp(1j * phase)
    tx, rx = reference_array()
    freq = np.linspace(4e9, 16e9, n_freq)
    echoes = _echoes(tx, rx, freq, positions, amplitudes)
    noise = float(np.sqrt(np.mean(np.abs(echoes) ** 2) / 10 ** (snr_db / 10)))
    draw = rng.standard_normal((2, *echoes.shape)) * noise / np.sqrt(2)
    data = (echoes + draw[0] + 1j * draw[1]).astype(np.complex64)
    scan = RadarScan(data=data, freq=freq, tx=tx, rx=rx, noise=noise)
    return Simulation(scan, positions, amplitudes)


def _echoes(
    tx: NDArray[np.float64],
    rx: NDArray[np.float64],
    freq: NDArray[np.float64],
    positions: NDArray[np.float64],
    amplitudes: NDArray[np.complex128],
) -> NDArray[np.complex128]:
    echoes = np.zeros((freq.size, len(tx), len(rx)), np.complex128)
    for point, amplitude in zip(positions, amplitudes, strict=True):
        out = np.linalg.norm(tx - point, axis=1)[:, None]
        back = np.linalg.norm(rx - point, axis=1)
        delay = (out + back) / LIGHT
        phase = np.exp(-2j * np.pi * freq[:, None, None] * delay)
        echoes += amplitude * phase / (4 * np.pi * out * back)
    return echoes
