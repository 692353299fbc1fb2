"""The check of a scan: whether another sign or unit brings its echoes into focus."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from sparsesolve.operators.grid import Floats, Grid
from sparsesolve.operators.near_field import NearFieldMIMO
from sparsesolve.operators.near_field_arguments import channel_pairs
from sparsesolve.scan import RadarScan

__all__ = ["ScanCheck", "Trial", "check_scan"]

SCALES = {1e-3: "mm", 1e-2: "cm", 0.0254: "inches", 0.1: "", 10.0: "", 1e3: "km"}
"""Factors on the positions that are tried, and the unit each would mean, if any."""

_BETTER_DB = 6.0
"""By how much another sign or unit must focus better: noise and speckle differ by less,
a wrong sign of measured scans loses 9 to 15 dB."""

_CHANNELS, _FREQUENCIES, _VOXELS = 160, 16, 24_000
_ANTENNAS = 160
"""Where there are more, as in a raster, each channel costs waves of its own, so that
only 64 channels are taken."""
_FEWEST = 8
"""Channels below which chance focuses as well as echoes do."""

# Where a flat array looks, in apertures from it. Farther away waves are all but plane,
# and neither sign nor unit of the positions can be told.
_RANGES = (0.1, 2.5), (2.5, 10.0)
# Thickness over width, by singular values: of an array that surrounds its scene, and
# of one that is flat.
_AROUND, _FLAT = 0.2, 0.002

_LARGEST = 20.0
"""Where a user's own box may reach, in apertures: see _RANGES."""

_NOMINAL = 1e9
"""What the highest frequency is made, Hz: sound may be looked at, too."""


class Trial(NamedTuple):
    """How well a scan focuses under one guess.

    Attributes
    ----------
    sign : int
        Relative to the scan's own: 1 as stated, -1 the other.
    scale : float
        Factor on the positions.
    focus_db : float
        Power of the brightest voxel, 0 where all data add up there in phase.
    chance_db : float
        What data without any order would reach.
    """

    sign: int
    scale: float
    focus_db: float
    chance_db: float

    @property
    def above_chance_db(self) -> float:
        """How far the focus is above what chance reaches, dB."""
        return self.focus_db - self.chance_db


@dataclass(frozen=True)
class ScanCheck:
    """What `RadarScan.check` found.

    Attributes
    ----------
    table : tuple of Trial
        One for each guess that the coarse image can resolve, as stated first.
    range_cell, ambiguity : float, m
        c/2B, and the range c/2Δf after which echoes repeat; infinite for one
        frequency.
    message : str
        What looks wrong, in one sentence; empty if nothing does.
    """

    table: tuple[Trial, ...]
    range_cell: float
    ambiguity: float
    message: str

    def __str__(self) -> str:
        lines = [
            f"range cell {self.range_cell:.3g} m, repeats after {self.ambiguity:.3g} m",
            "  sign  positions  focus dB  by chance dB",
        ]
        lines += [
            f"  {'stated' if t.sign == 1 else 'other':6}  x {t.scale:<8g}"
            f"{t.focus_db:9.1f}{t.chance_db:10.1f}"
            for t in self.table
        ]
        return "\n".join([*lines, self.message or "nothing looks wrong"])


def check_scan(scan: RadarScan, grid: Grid | None = None) -> ScanCheck:
    """Image a scan coarsely in several ways, and warn if another fits better.

    A wrong sign of the phase, or positions in another unit, still give an image: one in
    which echoes do not add up. So the brightest voxel is compared between both signs
    and several units. Data that nothing brings into focus, noise for instance, are not
    complained about.

    Parameters
    ----------
    scan : RadarScan
    grid : Grid, optional
        Where the scene is. By default the box around antennas that surround it, and
        for others a box as wide as the array, up to ten apertures off it.

    Returns
    -------
    ScanCheck
        ``print`` shows its table.

    Warns
    -----
    UserWarning
        The message, if there is one: another sign or unit focuses 6 dB better; entries
        are not finite, channels are dead; the array is smaller than half the shortest
        wavelength, so that no unit can be told; echoes repeat within `grid`.

    Notes
    -----
    At most 160 channels, 16 frequencies and 24,000 voxels are used, drawn with a fixed
    seed, and so much of band and aperture as such voxels resolve: about a second. The
    mean over the channels, what antennas reflect themselves, is taken off first.
    Positions times a factor and speed divided by it focus alike, so a wrong speed, or
    frequencies in another unit, show as a scale too. A curved panel is looked at from
    both sides; of targets near its centre of curvature either sign makes an image, and
    a wrong one is not noticed.
    """
    scan = scan.in_convention()
    data, use, findings = _usable(scan)
    findings += _small(scan)
    steps = np.diff(scan.freq)
    ambiguity = float(scan.speed / (2 * steps.min())) if steps.size else math.inf
    cell = scan.speed / (2 * float(np.ptp(scan.freq))) if steps.size else math.inf
    if grid is not None:
        findings += _repeats(scan, grid, ambiguity)
    frame = _Frame.of(scan, grid)
    flat = _without_mean(np.where(use, data, 0), use)
    table: list[Trial] = []
    for scale in (1.0, *SCALES):
        table += _trials(scan, frame, flat, scale)
    findings = _better(table) + findings
    message = "; ".join(findings)
    if message:
        warnings.warn(f"{scan!r}: {message}", stacklevel=3)
    return ScanCheck(tuple(table), float(cell), ambiguity, message)


def _without_mean(data: Any, use: NDArray[np.bool_]) -> Any:
    """Return data (n_freq, channels) minus the mean over the channels in use."""
    flat, used = (a.reshape(len(a), -1) for a in (data, use))
    counts = np.maximum(used.sum(axis=1, keepdims=True), 1)
    mean = (flat.sum(axis=1, keepdims=True) / counts).astype(flat.dtype)
    return np.where(used, flat - mean, 0)


@dataclass(frozen=True)
class _Frame:
    """Antennas in apertures, turned to face z if flat, and the boxes to look into."""

    tx: Floats
    rx: Floats
    boxes: tuple[tuple[Floats, Floats], ...]  # lowest and highest corner
    aperture: float  # m
    fixed: bool  # whether the boxes are the user's, who knows them in m

    @classmethod
    def of(cls, scan: RadarScan, grid: Grid | None) -> _Frame:
        both = np.concatenate([scan.tx, scan.rx])
        aperture, n = _span(both), len(scan.tx)
        both = (both - (both.min(axis=0) + both.max(axis=0)) / 2) / aperture
        if grid is not None:
            middle = np.concatenate([scan.tx, scan.rx])
            middle = (middle.min(axis=0) + middle.max(axis=0)) / 2
            corners = (np.array([axis[i] for axis in grid.axes]) for i in (0, -1))
            low, high = ((corner - middle) / aperture for corner in corners)
            return cls(both[:n], both[n:], ((low, high),), aperture, True)
        powers, axes = np.linalg.eigh(np.cov(both.T))
        sizes = np.sqrt(np.maximum(powers[::-1] / powers[-1], 0))
        both = both @ axes[:, ::-1]
        low, high = both.min(axis=0), both.max(axis=0)
        tx, rx = both[:n], both[n:]
        if sizes[2] > _AROUND:
            return cls(tx, rx, ((low, high),), aperture, False)
        if sizes[1] < _FLAT:
            low[1] = high[1] = 0
        # The other side of a flat array looks the same.
        ends = [(high[2] + near, high[2] + far) for near, far in _RANGES]
        if sizes[2] > _FLAT:
            ends += [(low[2] - far, low[2] - near) for near, far in _RANGES]
        boxes = [
            (np.append(low[:2], first), np.append(high[:2], last))
            for first, last in ends
        ]
        return cls(tx, rx, tuple(boxes), aperture, False)

    def grids(self, scale: float, resolution: float) -> list[Grid]:
        """Return the boxes as voxels, but for those next to an antenna."""
        antennas = cKDTree(np.concatenate([self.tx, self.rx]))
        found = []
        for low, high in self.boxes:
            if self.fixed:
                low, high = low / scale, high / scale
                if np.max(np.abs([low, high])) > _LARGEST:
                    continue
            wide = high - low > 1e-9
            volume = float(np.prod((high - low)[wide])) * len(self.boxes)
            step = max(
                (volume / _VOXELS) ** (1 / max(int(wide.sum()), 1)), resolution / 4
            )
            axes = [
                np.linspace(a, b, max(2, math.ceil((b - a) / step) + 1)) if w else [a]
                for a, b, w in zip(low, high, wide, strict=True)
            ]
            grid = Grid(*axes)
            near = antennas.query(grid.points.reshape(-1, 3))[0].reshape(grid.shape)
            free = near > max(float(np.linalg.norm(grid.spacing)), 0.05)
            if free.any():
                found.append(Grid(*grid.axes, region=free))
        return found


def _span(points: Floats) -> float:
    return float(np.ptp(points, axis=0).max())


def _trials(scan: RadarScan, frame: _Frame, flat: Any, scale: float) -> list[Trial]:
    """Return both signs under one factor on the positions, if it can be resolved."""
    # Lengths in apertures, frequencies relative to a nominal one: only phases count.
    freq = scan.freq * (_NOMINAL / scan.freq[-1])
    speed = scan.speed / (scale * frame.aperture) * (_NOMINAL / scan.freq[-1])
    wavelength = speed / _NOMINAL
    if wavelength > 2:
        return []  # The array would be smaller than half a wavelength.
    pairs = channel_pairs(scan.channels, len(scan.tx), len(scan.rx))
    peaks, chance = np.zeros(2), 0.0
    for grid in frame.grids(scale, wavelength):
        step = max(grid.spacing)
        rows = _band(freq, speed, step)
        columns = _aperture(frame, grid, pairs, speed / freq[rows].mean(), step)
        y = flat[np.ix_(rows, columns)].astype("complex64")
        energy = float(np.sum(np.abs(y) ** 2))
        if len(columns) < _FEWEST or energy == 0:
            return []
        tx, senders = np.unique(pairs[columns, 0], return_inverse=True)
        rx, receivers = np.unique(pairs[columns, 1], return_inverse=True)
        A = NearFieldMIMO(
            frame.tx[tx],
            frame.rx[rx],
            freq[rows],
            grid,
            channels=np.stack([senders, receivers], axis=1),
            speed=speed,
            spreading=False,
        )
        images = np.abs(A.H(np.stack([y, y.conj()]) / np.float32(math.sqrt(energy))))
        peaks = np.maximum(peaks, images.reshape(2, -1).max(axis=1) ** 2 / y.size)
        chance = max(chance, math.log(int(grid.region.sum())) / y.size)
    if not chance:
        return []
    return [
        Trial(sign, scale, _db(float(peak)), _db(min(chance, 1.0)))
        for sign, peak in zip((1, -1), peaks, strict=True)
    ]


def _db(power: float) -> float:
    return 10 * math.log10(max(power, 1e-30))


def _band(freq: Floats, speed: float, step: float) -> NDArray[np.int64]:
    """Return the lowest frequencies whose range cell the voxels resolve, some of them.

    A cell c/2B of 1.5 voxels loses 1.5 dB at most between two of them.
    """
    inside = np.flatnonzero(freq - freq[0] <= speed / (3 * step))
    stride = -(-len(inside) // _FREQUENCIES)
    return inside[::stride]


def _aperture(
    frame: _Frame, grid: Grid, pairs: Any, wavelength: float, step: float
) -> NDArray[np.int64]:
    """Return the channels of the part of the array that the voxels resolve, some."""
    middle = np.array([(axis[0] + axis[-1]) / 2 for axis in grid.axes])
    antennas = np.concatenate([frame.tx, frame.rx])
    distance = max(float(np.linalg.norm(antennas - middle, axis=1).mean()), step)
    reach = wavelength * distance / (1.5 * step) / 2
    centre = (antennas.min(axis=0) + antennas.max(axis=0)) / 2
    near_t = np.linalg.norm(frame.tx - centre, axis=1) <= reach
    near_r = np.linalg.norm(frame.rx - centre, axis=1) <= reach
    inside = np.flatnonzero(near_t[pairs[:, 0]] & near_r[pairs[:, 1]])
    most = _CHANNELS if len(antennas) <= _ANTENNAS else 64
    if len(inside) <= most:
        return inside
    rng = np.random.default_rng(0)
    return np.sort(rng.choice(inside, most, replace=False))


def _better(table: list[Trial]) -> list[str]:
    if not table:
        return []
    # Where the image cannot resolve what is stated, chance is the one to beat.
    stated = table[0].above_chance_db if table[0].scale == 1 else 0.0
    same = [trial for trial in table if trial.scale == 1]
    best = max(same or table, key=lambda trial: trial.above_chance_db)
    other = max(table, key=lambda trial: trial.above_chance_db)
    # A sign is more often wrong than a unit.
    if other.above_chance_db > best.above_chance_db + _BETTER_DB:
        best = other
    gain = best.above_chance_db - stated
    if gain < _BETTER_DB or best.above_chance_db < _BETTER_DB / 2:
        return []
    said = []
    if best.sign == -1:
        said.append("with the other sign of the phase (conjugate the data: sign=+1)")
    if best.scale != 1:
        unit = f" in {SCALES[best.scale]}, or" if SCALES[best.scale] else ","
        said.append(
            f"with positions x {best.scale:g} (are they{unit} freq or speed in another "
            "unit?)"
        )
    return [f"echoes focus {gain:.0f} dB better {' and '.join(said)}"]


def _usable(scan: RadarScan) -> tuple[Any, NDArray[np.bool_], list[str]]:
    """Return the data, which of them may be used, and what is wrong with others."""
    data = np.asarray(scan.data)
    use = np.ones(data.shape, bool) if scan.mask is None else scan.mask.copy()
    finite = np.isfinite(data)
    bad = int(np.sum(use & ~finite))
    findings = []
    if bad:
        findings.append(f"{bad} entries are NaN or infinite and need a mask")
    use &= finite
    columns = (use & (data != 0)).reshape(len(data), -1)
    measured = use.reshape(len(data), -1).any(axis=0)
    dead = np.flatnonzero(measured & ~columns.any(axis=0))
    if dead.size:
        pairs = channel_pairs(scan.channels, len(scan.tx), len(scan.rx))
        t, r = pairs[dead[0]].tolist()
        findings.append(
            f"{dead.size} channels are zero throughout, the first of transmitter {t} "
            f"and receiver {r}, and need a mask"
        )
    return data, use, findings


def _small(scan: RadarScan) -> list[str]:
    span = _span(np.concatenate([scan.tx, scan.rx]))
    shortest = float(scan.speed / scan.freq[-1])
    if span >= shortest / 2:
        return []
    return [
        f"the array spans {span:.3g} m, {span / shortest:.2g} of the shortest "
        "wavelength, and resolves nothing sideways: positions look too small (in km?)"
    ]


def _repeats(scan: RadarScan, grid: Grid, ambiguity: float) -> list[str]:
    """Say so if two ranges within the grid cannot be told apart by delay."""
    points = grid.points if grid.region is None else grid.points[grid.region]
    middle = np.concatenate([scan.tx, scan.rx]).mean(axis=0)
    ranges = np.linalg.norm(points.reshape(-1, 3) - middle, axis=1)
    depth = float(np.ptp(ranges))
    if depth <= ambiguity:
        return []
    return [
        f"echoes repeat after {ambiguity:.3g} m and the grid is {depth:.3g} m deep, so "
        "ghosts may lie in it: take a finer frequency step or a shallower grid"
    ]
