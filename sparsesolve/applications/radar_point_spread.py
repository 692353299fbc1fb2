"""How an array images a point: cuts through it, their widths and their sidelobes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sparsesolve import checks, metrics
from sparsesolve.operators.grid import Grid, metres
from sparsesolve.operators.near_field import NearFieldMIMO
from sparsesolve.scan import RadarScan

__all__ = ["Cut", "PointSpread", "point_spread"]

Floats = NDArray[np.float64]

# Half a cut in resolution cells, which shows five sidelobes, and samples in a cell.
_CELLS, _SAMPLES = 6.0, 32
# Decimals of a cut relative to the point: levels down to -100 dB.
_DIGITS = 5
# A cut keeps this far from the nearest antenna, in shares of its distance.
_FREE = 0.9


@dataclass(frozen=True, eq=False)
class Cut:
    """One line through the image of a point.

    Attributes
    ----------
    axis : "x", "y" or "z"
    positions : (n,) array, m
        Coordinates along the axis; the point is in the middle.
    level : (n,) array, dB
        Relative to the point.
    width : float, m
        Full width 3 dB below the point; inf where the cut does not fall so far.
    sidelobe : float, dB
        Largest sidelobe, grating lobes and range ambiguities included; -inf where the
        main lobe fills the cut.
    integrated : float, dB
        Energy outside the main lobe over that inside.
    """

    axis: str
    positions: Floats
    level: Floats
    width: float
    sidelobe: float
    integrated: float


@dataclass(frozen=True, eq=False, repr=False)
class PointSpread:
    """Cuts along x, y and z through the image of a point.

    Attributes
    ----------
    point : (3,) array, m
    cuts : (x, y, z) tuple of Cut
    """

    point: Floats
    cuts: tuple[Cut, Cut, Cut]

    @property
    def widths(self) -> tuple[float, float, float]:
        """Widths 3 dB below the point along x, y and z, m."""
        x, y, z = (cut.width for cut in self.cuts)
        return x, y, z

    @property
    def sidelobes(self) -> tuple[float, float, float]:
        """Levels of the largest sidelobes along x, y and z, dB."""
        x, y, z = (cut.sidelobe for cut in self.cuts)
        return x, y, z

    def __repr__(self) -> str:
        where = ", ".join(f"{p:.4g}" for p in self.point)
        cuts = "; ".join(
            f"{c.axis} {1e3 * c.width:.3g} mm, sidelobe {c.sidelobe:.1f} dB"
            for c in self.cuts
        )
        return f"PointSpread(at ({where}) m: {cuts})"


def point_spread(scan: RadarScan, point: Any, *, extent: Any = None) -> PointSpread:
    """Image a point by delay and sum, on fine cuts through it.

    |Σ exp(jk(R_t + R_r - R_t⁰ - R_r⁰))| over the data that the scan's mask allows: what
    `back_projection` makes of echoes of equal strength, and the normalised matched
    filter, whose maximum is always at the point.

    Parameters
    ----------
    scan : RadarScan
        Only its array, frequencies, speed and mask count, not its data.
    point : (3,) array_like, m
    extent : float or three floats, m, optional
        Length of the cuts. By default 12 resolution cells 2π/ΔK along each axis, with
        ΔK the range of the wave vectors k (u_t + u_r) from the antennas to the point,
        but no farther than the nearest antenna.

    Returns
    -------
    PointSpread

    Raises
    ------
    ValueError
        The point is not (3,) or lies at an antenna, or a cut runs into one.
    """
    center = metres("point", point)
    if center.shape != (3,):
        raise ValueError(f"point has shape {center.shape}; wanted (3,), in m")
    checks.instance("scan", scan, RadarScan)
    scan = scan.in_convention()
    cells, nearest = _resolution(scan, center)
    if extent is None:
        half = np.minimum(_CELLS * cells, _FREE * nearest)
    else:
        half = np.broadcast_to(metres("extent", extent), (3,)) / 2
        if np.any(half <= 0):
            raise ValueError(f"extent is {extent}; wanted lengths > 0 in m")
    at_point = _delays(scan, [center[i : i + 1] for i in range(3)])
    echoes = at_point(np.ones((1, 1, 1), np.complex64))
    x, y, z = (
        _cut(scan, center, axis, half[axis], cells[axis], echoes) for axis in range(3)
    )
    return PointSpread(center, (x, y, z))


def _cut(
    scan: RadarScan, center: Floats, axis: int, half: float, cell: float, echoes: Any
) -> Cut:
    middle = int(np.ceil(_SAMPLES * min(max(half / cell, _CELLS), 50 * _CELLS)))
    positions = center[axis] + np.linspace(-half, half, 2 * middle + 1)
    axes = [center[i : i + 1] for i in range(3)]
    axes[axis] = positions
    profile = np.abs(_delays(scan, axes).H(echoes)).ravel()
    # Nothing exceeds the point itself, and no minimum on a flat top is real, that comes
    # from rounding in single precision.
    profile = np.minimum(np.round(profile / profile[middle], _DIGITS), 1.0)
    level = 20 * np.log10(np.maximum(profile, 10.0**-_DIGITS))
    falls = level[:middle].min() <= -3 and level[middle:].min() <= -3
    width = metrics.peak_width(profile, positions, peak=middle) if falls else np.inf
    return Cut(
        axis="xyz"[axis],
        positions=positions,
        level=level,
        width=width,
        sidelobe=metrics.peak_sidelobe(profile, peak=middle),
        integrated=metrics.integrated_sidelobe(profile, positions, peak=middle),
    )


def _delays(scan: RadarScan, axes: Any) -> NearFieldMIMO:
    return NearFieldMIMO(
        scan.tx,
        scan.rx,
        scan.freq,
        Grid(*axes),
        channels=scan.channels,
        speed=scan.speed,
        mask=scan.mask,
        dtype="complex64",
        spreading=False,
    )


def _resolution(scan: RadarScan, point: Floats) -> tuple[Floats, float]:
    """Cells 2π/ΔK along x, y and z at a point, m, and the nearest antenna's distance.

    Along an axis on which no wave vector varies, the largest of the others.
    """
    away_tx, away_rx = point - scan.tx, point - scan.rx
    far_tx, far_rx = (np.linalg.norm(a, axis=1) for a in (away_tx, away_rx))
    nearest = float(min(far_tx.min(), far_rx.min()))
    if nearest == 0:
        raise ValueError(
            f"point lies at an antenna, at {point.tolist()} m; wanted a point before "
            "the array"
        )
    unit_tx, unit_rx = away_tx / far_tx[:, None], away_rx / far_rx[:, None]
    if scan.channels is None:
        directions = (unit_tx[:, None] + unit_rx).reshape(-1, 3)
    else:
        directions = unit_tx[scan.channels[:, 0]] + unit_rx[scan.channels[:, 1]]
    k = 2 * np.pi * scan.freq[[0, -1]] / scan.speed
    vectors = (k[:, None, None] * directions).reshape(-1, 3)
    spans = np.ptp(vectors, axis=0)
    seen = spans > 1e-6 * k[1]
    if not seen.any():
        return np.full(3, 2 * np.pi / k[1]), nearest
    cells = 2 * np.pi / np.where(seen, spans, spans[seen].min())
    return cells, nearest
