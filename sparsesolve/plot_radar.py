"""Pictures of a radar: where its antennas stand, and how they image a point.

They are part of `sparsesolve.plot`, where users find them.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from sparsesolve import checks
from sparsesolve.operators.grid import Grid
from sparsesolve.plot_frame import Floats, new_figure, plain, positions

if TYPE_CHECKING:
    from sparsesolve.applications.radar_point_spread import Cut, PointSpread
    from sparsesolve.scan import RadarScan

__all__ = ["array", "point_spread"]

_TX, _RX, _BOTH = "#c1502e", "#2f6fb0", "#5b4a8a"
_VIEWS = ((0, 1), (0, 2))
# From this many antennas of one kind on their markers are dots, which do not merge.
_MANY = 200


def array(scan: RadarScan, grid: Grid | None = None, truth: Any = None) -> Any:
    """Draw where the antennas stand, from the front (x, y) and from the side (x, z).

    Parameters
    ----------
    scan : RadarScan
        A place that transmits and receives has a marker of its own.
    grid : Grid, optional
        The scene, drawn as a box.
    truth : (n, 3) or (3,) array_like, m, optional
        Positions of targets, drawn as crosses.

    Returns
    -------
    matplotlib.figure.Figure
    """
    targets = None if truth is None else positions("truth", truth)
    parts = [scan.tx, scan.rx] if targets is None else [scan.tx, scan.rx, targets]
    if grid is not None:
        parts.append(np.stack([[axis[0], axis[-1]] for axis in grid.axes], axis=1))
    everything = np.concatenate(parts)
    low, high = everything.min(axis=0), everything.max(axis=0)
    margin = 0.06 * float((high - low).max() or 1.0)
    low, high = low - margin, high + margin
    sides = high - low
    # One scale for both views, next to each other; the taller one fits.
    inches = min(4.0 / sides[0], 5.5 / sides[1], 5.5 / sides[2])
    width = max(2 * inches * sides[0] + 1.9, 5.6)
    groups = _antennas(scan.tx, scan.rx, 72 * inches)
    figure = new_figure((width, inches * max(sides[1], sides[2]) + 1.7))
    panels = figure.subplots(1, 2)
    for panel, (across, up) in zip(panels, _VIEWS, strict=True):
        _scene(panel, grid, across, up)
        for label, points, style in groups:
            panel.plot(points[:, across], points[:, up], label=label, **style)
        if targets is not None:
            style = {
                "linestyle": "none",
                "marker": "x",
                "color": "black",
                "markersize": 6,
                "zorder": 4,
            }
            panel.plot(targets[:, across], targets[:, up], label="target", **style)
        panel.set(
            aspect="equal",
            xlim=(low[across], high[across]),
            ylim=(low[up], high[up]),
            anchor="S",
            xlabel=f"{'xyz'[across]} (m)",
            ylabel=f"{'xyz'[up]} (m)",
        )
        panel.locator_params(axis="x", nbins=5)
        panel.locator_params(axis="y", nbins=max(4, round(2 * inches * sides[up])))
        plain(panel)
    panels[0].set_title("from the front", fontsize=9, color="0.35")
    panels[1].set_title("from the side", fontsize=9, color="0.35")
    handles, labels = panels[0].get_legend_handles_labels()
    legend = figure.legend(
        handles, labels, loc="outside lower center", ncols=4, fontsize=8, frameon=False
    )
    for line in legend.get_lines():
        line.set_markersize(5.5)
    return figure


def point_spread(spread: PointSpread, *, db_range: float = 40.0) -> Any:
    """Draw the cuts through an imaged point, with their widths and sidelobes.

    Parameters
    ----------
    spread : PointSpread
        From `sparsesolve.applications.radar.point_spread`.
    db_range : float, dB
        Lowest level that is drawn.

    Returns
    -------
    matplotlib.figure.Figure
    """
    checks.positive("db_range", db_range)
    figure = new_figure((10.4, 3.3))
    panels = figure.subplots(1, len(spread.cuts), sharey=True)
    for panel, cut in zip(panels, spread.cuts, strict=True):
        _cut(panel, cut, db_range)
    panels[0].set_ylabel("level (dB)")
    x, y, z = (f"{p:.4g}" for p in spread.point)
    figure.suptitle(f"point at ({x}, {y}, {z}) m", fontsize=10)
    return figure


def _antennas(
    tx: Floats, rx: Floats, points_per_metre: float
) -> list[tuple[str, Floats, dict[str, Any]]]:
    """Label, positions and style of each kind of antenna that there is."""
    # A micrometre is far below any antenna's size and far above rounding.
    places_tx, places_rx = (
        {tuple(p) for p in np.round(points, 6).tolist()} for points in (tx, rx)
    )
    shared = np.array([tuple(p) in places_rx for p in np.round(tx, 6).tolist()])
    only_rx = np.array([tuple(p) not in places_tx for p in np.round(rx, 6).tolist()])
    kinds = (
        ("transmitter", tx[~shared], "^", _TX, _TX),
        ("receiver", rx[only_rx], "o", "none", _RX),
        ("transmitter and receiver", tx[shared], "D", _BOTH, _BOTH),
    )
    groups = []
    for name, points, marker, face, edge in kinds:
        few = len(points) < _MANY
        style = {
            "linestyle": "none",
            "marker": marker if few else "s",
            "markersize": 5.5 if few else _dot(points, points_per_metre),
            "markerfacecolor": face if few else edge,
            "markeredgecolor": edge,
            "markeredgewidth": 1.0 if few else 0.0,
            "rasterized": not few,
            "zorder": 3,
        }
        if len(points):
            groups.append((f"{len(points)} × {name}", points, style))
    return groups


def _dot(points: Floats, points_per_metre: float) -> float:
    """Size, pt, of dots that leave half of the way to their neighbours free."""
    _, middle, longest = np.sort(np.ptp(points, axis=0))
    n = len(points)
    apart = max(float(longest) / n, math.sqrt(float(longest * middle) / n))
    return min(max(0.5 * apart * points_per_metre, 0.6), 5.5)


def _scene(panel: Any, grid: Grid | None, across: int, up: int) -> None:
    if grid is None:
        return
    from matplotlib.patches import Rectangle

    (left, right), (low, high) = (
        (grid.axes[axis][0], grid.axes[axis][-1]) for axis in (across, up)
    )
    panel.add_patch(
        Rectangle(
            (left, low),
            right - left,
            high - low,
            facecolor="0.93",
            edgecolor="0.45",
            linestyle="--",
            label="scene",
        )
    )


def _cut(panel: Any, cut: Cut, db_range: float) -> None:
    millimetres = 1e3 * cut.positions
    panel.plot(millimetres, cut.level, color=_RX, linewidth=1.2)
    panel.axhline(-3, color="0.6", linewidth=0.7, linestyle=":")
    says = [f"−3 dB width {1e3 * cut.width:.3g} mm"]
    if math.isinf(cut.width):
        says = ["wider than the cut at −3 dB"]
    if math.isinf(cut.sidelobe):
        says.append("no sidelobe in the cut")
    else:
        panel.axhline(cut.sidelobe, color=_TX, linewidth=0.7, linestyle="--")
        says.append(f"sidelobe {cut.sidelobe:.1f} dB".replace("-", "−"))
    panel.set_title("\n".join(says), fontsize=9)
    panel.set(
        xlim=(millimetres[0], millimetres[-1]),
        ylim=(-db_range, 1.5),
        xlabel=f"{cut.axis} (mm)",
    )
    panel.locator_params(axis="x", nbins=6)
    plain(panel)
