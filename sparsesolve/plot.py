"""Pictures of volumes and of convergence; matplotlib loads when one is made.

Every function returns a `matplotlib.figure.Figure` that belongs to nobody else: no
window opens and no global state changes. `save` writes it.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sparsesolve import atomic, checks
from sparsesolve.backends import Array, to_numpy
from sparsesolve.operators.grid import Grid
from sparsesolve.solution import Solution

__all__ = ["convergence", "save", "volume", "volumes"]

Floats = NDArray[np.float64]

# Axes across and up of each picture, and the axis along which the maximum is taken.
_PLANES = ((0, 1, 2), (0, 2, 1), (1, 2, 0))
_COLORS = "inferno"
_MARK = "#35d0ff"
# Inches: the figure's width, what labels and colour bar take of it, and what a row
# needs above and below its pictures.
_WIDTH, _LABELS, _ROW_EXTRA = 10.4, 2.5, 0.95


def volume(
    x: Array,
    grid: Grid | None = None,
    *,
    db_range: float = 40.0,
    title: str = "",
    truth: Any = None,
    truth_diameter: float | None = None,
    antennas: Any = None,
) -> Any:
    """Draw the maximum-intensity projections of |x| on three planes, in dB.

    Parameters
    ----------
    x : (nx, ny, nz) array
        Real or complex; 0 dB is its own maximum.
    grid : Grid, optional
        Gives the axes in m; without it they count voxels.
    db_range : float, dB
        Values below ``-db_range`` are black.
    title : str
    truth : (n, 3) or (3,) array_like, m, optional
        Positions to be circled.
    truth_diameter : float, m, optional
        Diameter of the circles; by default 1/20 of the longest side.
    antennas : (n, 3) array_like, m, optional
        Positions to be marked; the axes widen to show them.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        x is not 3-D, does not fit the grid, is not finite, or is zero everywhere.
    """
    return volumes(
        {title: x},
        grid,
        db_range=db_range,
        truth=truth,
        truth_diameter=truth_diameter,
        antennas=antennas,
    )


def volumes(
    images: Mapping[str, Array],
    grid: Grid | None = None,
    *,
    db_range: float = 40.0,
    title: str = "",
    truth: Any = None,
    truth_diameter: float | None = None,
    antennas: Any = None,
) -> Any:
    """Draw several volumes of one shape below each other; see `volume`.

    Each has its own 0 dB.

    Parameters
    ----------
    images : dict of str to (nx, ny, nz) array
        A row of three projections for each, with its name as the row's title.
    grid, db_range, truth, truth_diameter, antennas
        See `volume`.
    title : str
        Of the whole figure.
    """
    checks.positive("db_range", db_range)
    if not images:
        raise ValueError("images holds no image; wanted at least one")
    levels = {name: _decibels(name, x, grid) for name, x in images.items()}
    frame = _Frame(grid, next(iter(levels.values())).shape, antennas)
    widths = [frame.length(across) for across, _, _ in _PLANES]
    heights = [frame.length(up) for _, up, _ in _PLANES]
    inches = _WIDTH - _LABELS
    row_height = inches * max(heights) / sum(widths) + _ROW_EXTRA
    figure = _figure((_WIDTH, row_height * len(levels) + (0.35 if title else 0.0)))
    rows = np.atleast_1d(figure.subfigures(len(levels), 1))
    for row, (name, db) in zip(rows, levels.items(), strict=True):
        row.suptitle(name, x=0.012, ha="left", fontsize=11, fontweight="bold")
        panels = row.subplots(1, 3, gridspec_kw={"width_ratios": widths})
        for panel, plane in zip(panels, _PLANES, strict=True):
            shown = frame.draw(panel, db, plane, db_range)
            _circle(panel, plane, frame, truth, truth_diameter)
        bar = row.colorbar(shown, ax=panels, shrink=0.9, pad=0.01, aspect=22)
        bar.set_label("dB below the maximum", fontsize=9)
        bar.ax.tick_params(labelsize=8)
        bar.outline.set_visible(False)
    if title:
        figure.suptitle(title, fontsize=13)
    return figure


def convergence(solution: Solution) -> Any:
    """Draw the residual and, where it has one, the objective of a solution.

    Parameters
    ----------
    solution : Solution
        Of one problem, with a history.

    Returns
    -------
    matplotlib.figure.Figure
    """
    history = {name: np.asarray(v) for name, v in solution.history.items()}
    if not history or any(v.ndim != 1 for v in history.values()):
        raise ValueError(
            "solution has no history of a single problem; pick one problem of a batch"
        )
    name = next((n for n in ("objective", "loss", "evidence") if n in history), None)
    figure = _figure((9.0 if name else 4.6, 3.2))
    panels = np.atleast_1d(figure.subplots(1, 2 if name else 1))
    iterations = np.arange(1, len(history["residual"]) + 1)
    positive = np.where(history["residual"] > 0, history["residual"], np.nan)
    panels[0].semilogy(iterations, positive, color="#2f6fb0")
    panels[0].set(xlabel="iteration", ylabel="residual")
    if name:
        panels[1].plot(iterations, history[name], color="#c1502e")
        panels[1].set(xlabel="iteration", ylabel=name)
        low, high = float(np.min(history[name])), float(np.max(history[name]))
        panels[1].set_yscale("log" if 0 < 10 * low < high else "linear")
    for panel in panels:
        panel.spines[["top", "right"]].set_visible(False)
        panel.grid(alpha=0.3)
    figure.suptitle(solution.message, fontsize=10)
    return figure


def save(figure: Any, path: str | Path, *, dpi: float = 150) -> None:
    """Write a figure as the ending of `path` says (.png, .pdf, .svg), atomically."""
    place = Path(path)
    content = io.BytesIO()
    figure.savefig(content, format=place.suffix.lstrip(".") or "png", dpi=dpi)
    atomic.write_bytes(place, content.getvalue())


def _figure(size: tuple[float, float]) -> Any:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _decibels(name: str, x: Array, grid: Grid | None) -> Floats:
    what = f"image {name!r}" if name else "x"
    shape = tuple(x.shape)
    if len(shape) != 3:
        raise ValueError(f"{what} has shape {shape}; wanted a volume (nx, ny, nz)")
    if grid is not None and shape != grid.shape:
        raise ValueError(
            f"{what} has shape {shape}; wanted {grid.shape}, that of the grid"
            f"{checks.swapped(shape, grid.shape)}"
        )
    checks.finite(what, x)
    magnitude = np.asarray(np.abs(to_numpy(x)), np.float64)
    top = float(magnitude.max())
    if top == 0:
        raise ValueError(f"{what} is zero everywhere; there is nothing to draw")
    return np.asarray(20 * np.log10(np.maximum(magnitude / top, 1e-300)))


class _Frame:
    """Axes of the pictures: voxel edges in m, or counted."""

    def __init__(
        self, grid: Grid | None, shape: tuple[int, ...], antennas: Any
    ) -> None:
        centers = [np.arange(n) for n in shape] if grid is None else list(grid.axes)
        self.unit = "voxels" if grid is None else "m"
        self.edges = [_edges(np.asarray(c, float)) for c in centers]
        self.limits = [(e[0], e[-1]) for e in self.edges]
        self.antennas = None
        if antennas is not None:
            self.antennas = np.atleast_2d(np.asarray(antennas, float))
            self.limits = [
                (min(a, p.min() - 0.03 * (b - a)), max(b, p.max() + 0.03 * (b - a)))
                for (a, b), p in zip(self.limits, self.antennas.T, strict=True)
            ]

    def length(self, axis: int) -> float:
        low, high = self.limits[axis]
        return float(high - low)

    def draw(
        self, panel: Any, db: Floats, plane: tuple[int, int, int], db_range: float
    ) -> Any:
        across, up, along = plane
        shown = panel.pcolormesh(
            self.edges[across],
            self.edges[up],
            db.max(axis=along).T,
            vmin=-db_range,
            vmax=0,
            cmap=_COLORS,
            rasterized=True,
        )
        if self.antennas is not None:
            panel.plot(
                self.antennas[:, across],
                self.antennas[:, up],
                linestyle="none",
                marker="v",
                markersize=4.5,
                markerfacecolor="#b8c4cc",
                markeredgecolor="black",
                markeredgewidth=0.5,
            )
        panel.set(
            aspect="equal",
            facecolor="black",
            xlim=self.limits[across],
            ylim=self.limits[up],
            xlabel=f"{'xyz'[across]} ({self.unit})",
            ylabel=f"{'xyz'[up]} ({self.unit})",
        )
        panel.set_title(f"largest along {'xyz'[along]}", fontsize=8, color="0.35")
        panel.locator_params(axis="x", nbins=5)
        panel.tick_params(labelsize=8)
        return shown


def _edges(centers: Floats) -> Floats:
    if centers.size == 1:
        return np.array([centers[0] - 0.5e-3, centers[0] + 0.5e-3])
    middle = (centers[1:] + centers[:-1]) / 2
    first, last = 2 * centers[0] - middle[0], 2 * centers[-1] - middle[-1]
    return np.concatenate([[first], middle, [last]])


def _circle(
    panel: Any,
    plane: tuple[int, int, int],
    frame: _Frame,
    truth: Any,
    diameter: float | None,
) -> None:
    if truth is None:
        return
    from matplotlib.patches import Circle

    longest = max(frame.length(axis) for axis in range(3))
    radius = longest / 40 if diameter is None else diameter / 2
    for point in np.atleast_2d(np.asarray(truth, float)):
        center = (point[plane[0]], point[plane[1]])
        panel.add_patch(
            Circle(center, radius, fill=False, edgecolor=_MARK, linewidth=1.2)
        )
