"""The noise of a scan, from its repetition or from delays where nothing is."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from sparsesolve import checks
from sparsesolve.operators.grid import Grid
from sparsesolve.scan import RadarScan

__all__ = ["noise_from_empty_delays", "noise_from_repeats"]

# Half the width between first zeros of the Hann window's peak, in range cells.
_GUARD = 2


def noise_from_repeats(scans: Sequence[RadarScan]) -> float:
    """Return the noise of one scan from sweeps that repeat it.

    Parameters
    ----------
    scans : sequence of RadarScan
        At least two sweeps of the same still scene, by the same antennas.

    Returns
    -------
    float
        Standard deviation of a complex entry, in the unit of the data: the root of
        the mean of E|y - ȳ|², over the entries that are valid in all. Drift between
        the sweeps counts as noise.

    Raises
    ------
    ValueError
        Fewer than two sweeps, of different shapes, or without a common valid entry.
    """
    if len(scans) < 2:
        raise ValueError(f"scans holds {len(scans)}; wanted at least two sweeps")
    for number, scan in enumerate(scans):
        checks.instance(f"scans[{number}]", scan, RadarScan)
    sweeps = [scan.in_convention().read() for scan in scans]
    shapes = sorted({scan.data.shape for scan in sweeps})
    if len(shapes) > 1:
        raise ValueError(f"scans have shapes {shapes}; wanted sweeps of one kind")
    valid = np.ones(shapes[0], bool)
    for scan in sweeps:
        valid &= True if scan.mask is None else scan.mask
    if not valid.any():
        raise ValueError("scans have no entry that is valid in all of them")
    data = np.stack([scan.data[valid] for scan in sweeps]).astype(np.complex128)
    return float(np.sqrt(np.mean(np.var(data, axis=0, ddof=1))))


def noise_from_empty_delays(
    scan: RadarScan, *, grid: Grid | None = None, beyond: float | None = None
) -> float:
    """Return the noise of a scan from delays at which the scene cannot answer.

    Every channel is turned into a range profile (Hann window, no padding); where
    neither echoes from the scene nor their sidelobes lie, it holds noise alone, whose
    level the median of |profile|² tells, ln 2 of the mean, whatever a few echoes from
    elsewhere add.

    Parameters
    ----------
    scan : RadarScan
        Equally spaced frequencies. Channels with masked entries are left out.
    grid : Grid, optional
        Where the scene is: each channel's delays to its voxels are taken out.
    beyond : float, m, optional
        Instead of `grid`: the range, half the way out and back, beyond which nothing
        answers.

    Returns
    -------
    float
        Standard deviation of a complex entry, in the unit of the data.

    Raises
    ------
    ValueError
        Not exactly one of `grid` and `beyond` is given; the scan was range-gated, which
        takes away what is to be measured; the frequencies are unequally
        spaced; no delay is empty, as the scene fills the unambiguous range c/2Δf.

    Notes
    -----
    Interference at single frequencies is noise, too. A few range cells must be empty
    for a good estimate: its relative error is about 1/√(cells x channels).
    """
    if (grid is None) == (beyond is None):
        raise ValueError("wanted either grid or beyond, one of the two")
    checks.instance("scan", scan, RadarScan)
    if any(done.startswith("range gate") for done in scan.steps):
        raise ValueError(
            "the scan was range-gated, which emptied the delays that tell the noise; "
            "wanted the scan before the gate, whose noise the gate then carries along "
            "(dataclasses.replace(scan, noise=...))"
        )
    step = _frequency_step(scan.freq)
    shortest, longest = _delays(scan, grid, beyond)
    scan = scan.in_convention().read()
    n_freq = scan.freq.size
    window = 0.5 - 0.5 * np.cos(2 * np.pi * (np.arange(n_freq) + 0.5) / n_freq)
    data = scan.data.reshape(n_freq, -1)
    used = np.ones(data.shape[1], bool)
    if scan.mask is not None:
        used = scan.mask.reshape(data.shape).all(axis=0)
    profiles = np.fft.ifft(window[:, None] * data[:, used], axis=0, norm="forward")
    cell = 1 / (n_freq * step)
    shift = np.arange(n_freq)[:, None] * cell - (shortest - _GUARD * cell)
    # delays repeat every 1/Δf
    empty = shift % (n_freq * cell) > longest - shortest + 2 * _GUARD * cell
    levels = np.abs(profiles[np.broadcast_to(empty, data.shape)[:, used]]) ** 2
    if not levels.size:
        raise ValueError(
            f"no delay is empty: the scene fills the unambiguous range of "
            f"{scan.speed / (2 * step):.3g} m, or every channel is masked; wanted "
            "noise_from_repeats, finer frequencies or a smaller scene"
        )
    return float(np.sqrt(np.median(levels) / np.log(2) / np.sum(window**2)))


def _frequency_step(freq: NDArray[np.float64]) -> float:
    steps = np.diff(freq)
    if freq.size < 2 * _GUARD + 2 or np.ptp(steps) > 1e-3 * steps.mean():
        raise ValueError(
            f"freq has {freq.size} entries, spaced {steps.min() if steps.size else 0:g}"
            f" to {steps.max() if steps.size else 0:g} Hz; wanted at least "
            f"{2 * _GUARD + 2}, equally spaced, for a range profile"
        )
    return float(steps.mean())


def _delays(
    scan: RadarScan, grid: Grid | None, beyond: float | None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the shortest and longest delay of the scene for each channel, s."""
    n_channels = int(np.prod(scan.data.shape[1:]))
    if grid is None:
        reach = 2 * checks.positive_number("beyond", beyond) / scan.speed
        return np.zeros(n_channels), np.full(n_channels, reach)
    points = grid.points.reshape(-1, 3)
    if grid.region is not None:
        points = points[grid.region.ravel()]
    if scan.channels is None:
        tx, rx = np.divmod(np.arange(n_channels), len(scan.rx))
    else:
        tx, rx = scan.channels.T
    ways = [
        np.linalg.norm(points - scan.tx[t], axis=1)
        + np.linalg.norm(points - scan.rx[r], axis=1)
        for t, r in zip(tx, rx, strict=True)
    ]
    shortest = np.array([way.min() for way in ways]) / scan.speed
    longest = np.array([way.max() for way in ways]) / scan.speed
    return shortest, longest
