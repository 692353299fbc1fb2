"""What pictures of space share: the figure, the decibels, the axes in metres."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sparsesolve import checks
from sparsesolve.backends import Array, to_numpy
from sparsesolve.operators.grid import Grid

Floats = NDArray[np.float64]
Plane = tuple[int, int, int]

PLANES: tuple[Plane, ...] = ((0, 1, 2), (0, 2, 1), (1, 2, 0))
"""Axes across and up of each picture of a volume, and the one that is left out."""

MARK = "#35d0ff"
"""Colour of what is drawn on top of an image."""

_COLORS = "inferno"
# Inches: a figure's width, what labels and colour bar take of it, and what a row needs
# above and below its pictures.
_WIDTH, _LABELS, _ROW_EXTRA = 10.4, 2.5, 0.95
_TALLEST, _NARROWEST = 6.0, 5.2


def new_figure(size: tuple[float, float]) -> Any:
    """Return a figure of a size in inches that no window or global state knows."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def plain(panel: Any) -> None:
    """Leave a panel of curves its lower and left axis and a faint grid."""
    panel.spines[["top", "right"]].set_visible(False)
    panel.grid(alpha=0.3)
    panel.tick_params(which="both", labelsize=8)


def decibels(name: str, x: Array, grid: Grid | None) -> Floats:
    """Return a volume in dB below its maximum, refused if there is none to draw."""
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


def positions(name: str, values: Any) -> Floats:
    """Return points as (n, 3), refused unless they are positions."""
    points = np.atleast_2d(np.asarray(values, dtype=np.float64))
    if points.ndim != 2 or points.shape[1] != 3:
        raise ValueError(
            f"{name} has shape {np.shape(values)}; wanted (3,) or (n, 3), positions "
            "in m"
        )
    checks.finite(name, points)
    return points


class Frame:
    """Axes of the pictures: voxel edges in m, or counted."""

    def __init__(
        self, grid: Grid | None, shape: tuple[int, ...], antennas: Any = None
    ) -> None:
        centers = [np.arange(n) for n in shape] if grid is None else list(grid.axes)
        self.unit = "voxels" if grid is None else "m"
        self.edges = [_edges(np.asarray(c, float)) for c in centers]
        self.limits = [(float(e[0]), float(e[-1])) for e in self.edges]
        # An image of a plane is seen from one side only.
        flat = [n == 1 for n in shape]
        seen = [p for p in PLANES if not flat[p[0]] and not flat[p[1]]]
        self.planes = seen or list(PLANES)
        self.antennas = None
        if antennas is not None:
            self.antennas = positions("antennas", antennas)
            self.limits = [
                (min(a, p.min() - 0.03 * (b - a)), max(b, p.max() + 0.03 * (b - a)))
                for (a, b), p in zip(self.limits, self.antennas.T, strict=True)
            ]

    def length(self, axis: int) -> float:
        """Return the length of an axis of the pictures."""
        low, high = self.limits[axis]
        return high - low

    def voxel(self, point: Any) -> tuple[int, int, int]:
        """Return the indices of the voxel that a point lies in."""
        (place,) = positions("point", point)
        x, y, z = (
            int(np.searchsorted(edges, p, side="right")) - 1
            for edges, p in zip(self.edges, place, strict=True)
        )
        for name, i, edges, p in zip("xyz", (x, y, z), self.edges, place, strict=True):
            if not 0 <= i < len(edges) - 1:
                raise ValueError(
                    f"point has {name} = {p:g} {self.unit}; wanted a point of the "
                    f"image, {name} {edges[0]:g} to {edges[-1]:g} {self.unit}"
                )
        return x, y, z

    def figure(
        self,
        levels: Mapping[str, Floats],
        db_range: float,
        title: str,
        picture: Callable[[Any, Floats, Plane], tuple[Floats, str]],
    ) -> Any:
        """Return a figure with a row of planes for each volume.

        `picture(panel, db, plane)` returns the picture (across, up) in dB and its
        title, and may draw on the panel.
        """
        widths = [self.length(across) for across, _, _ in self.planes]
        tallest = max(self.length(up) for _, up, _ in self.planes)
        height = min((_WIDTH - _LABELS) * tallest / sum(widths), _TALLEST)
        width = max(height * sum(widths) / tallest + _LABELS, _NARROWEST)
        rows_height = (height + _ROW_EXTRA) * len(levels)
        figure = new_figure((width, rows_height + (0.35 if title else 0.0)))
        rows = np.atleast_1d(figure.subfigures(len(levels), 1))
        for row, (name, db) in zip(rows, levels.items(), strict=True):
            row.suptitle(name, x=0.012, ha="left", fontsize=11, fontweight="bold")
            panels = np.atleast_1d(
                row.subplots(1, len(widths), gridspec_kw={"width_ratios": widths})
            )
            for panel, plane in zip(panels, self.planes, strict=True):
                image, says = picture(panel, db, plane)
                shown = self._draw(panel, image, plane, db_range)
                panel.set_title(says, fontsize=8, color="0.35")
            bar = row.colorbar(shown, ax=list(panels), shrink=0.9, pad=0.01, aspect=22)
            bar.set_label("level relative to the maximum (dB)", fontsize=9)
            bar.ax.tick_params(labelsize=8)
            bar.outline.set_visible(False)
        if title:
            figure.suptitle(title, fontsize=13)
        return figure

    def _draw(self, panel: Any, image: Floats, plane: Plane, db_range: float) -> Any:
        across, up, _ = plane
        shown = panel.pcolormesh(
            self.edges[across],
            self.edges[up],
            image.T,
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
        panel.locator_params(axis="x", nbins=5)
        panel.tick_params(labelsize=8)
        return shown


def _edges(centers: Floats) -> Floats:
    if centers.size == 1:
        return np.array([centers[0] - 0.5e-3, centers[0] + 0.5e-3])
    middle = (centers[1:] + centers[:-1]) / 2
    first, last = 2 * centers[0] - middle[0], 2 * centers[-1] - middle[-1]
    return np.concatenate([[first], middle, [last]])
