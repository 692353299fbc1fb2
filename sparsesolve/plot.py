"""Pictures of volumes, arrays, residuals, convergence, channels and cubes.

Every function returns a `matplotlib.figure.Figure` that belongs to nobody else: no
window opens and no global state changes. `save` writes it. matplotlib loads when a
picture is made.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from sparsesolve import atomic, checks
from sparsesolve.backends import Array
from sparsesolve.operators.grid import Grid
from sparsesolve.plot_channel import against_snr, channel, coefficients
from sparsesolve.plot_dimension import elbow
from sparsesolve.plot_frame import (
    MARK,
    Floats,
    Frame,
    Plane,
    decibels,
    new_figure,
    plain,
    positions,
)
from sparsesolve.plot_maps import abundances, error_map, guide, rgb
from sparsesolve.plot_radar import array, point_spread
from sparsesolve.plot_residuals import residuals
from sparsesolve.plot_spectra import band_weights, endmembers
from sparsesolve.plot_unmixing import unmixing
from sparsesolve.solution import Solution

__all__ = [
    "abundances",
    "against_snr",
    "array",
    "band_weights",
    "channel",
    "coefficients",
    "convergence",
    "elbow",
    "endmembers",
    "error_map",
    "guide",
    "point_spread",
    "residuals",
    "rgb",
    "save",
    "slices",
    "unmixing",
    "volume",
    "volumes",
]

# What a solve may have recorded besides its residual: the name in the history, that of
# the axis, and the colour. The first of each group is drawn.
_CURVES = (
    (("objective", "evidence"), "#c1502e"),
    (("misfit", "loss"), "#3a8a4d"),
)
_CURVE_NAMES = {"misfit": "misfit ‖Ax − y‖", "loss": "loss f(Ax)"}


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
        Real or complex; 0 dB is its own maximum. Where one axis has a single voxel,
        only the plane of the other two is drawn.
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
    levels = {name: decibels(name, x, grid) for name, x in images.items()}
    frame = Frame(grid, next(iter(levels.values())).shape, antennas)
    targets = None if truth is None else positions("truth", truth)

    def projection(panel: Any, db: Floats, plane: Plane) -> tuple[Floats, str]:
        if targets is not None:
            _circle(panel, plane, frame, targets, truth_diameter)
        return db.max(axis=plane[2]), f"largest along {'xyz'[plane[2]]}"

    return frame.figure(levels, db_range, title, projection)


def slices(
    x: Array,
    grid: Grid | None = None,
    point: Any = None,
    *,
    db_range: float = 40.0,
    title: str = "",
) -> Any:
    """Draw three orthogonal slices of |x| through its peak or a point, in dB.

    Parameters
    ----------
    x, grid, db_range, title
        See `volume`; 0 dB is the maximum of the volume, not of the slices.
    point : (3,) array_like, m (voxels without a grid), optional
        Where the slices meet, shown by thin lines: the voxel that holds this point; by
        default the largest one.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        As `volume`; also a point outside the image.
    """
    checks.positive("db_range", db_range)
    db = decibels("", x, grid)
    frame = Frame(grid, db.shape)
    peak = np.unravel_index(int(np.argmax(db)), db.shape)
    voxel = [int(i) for i in peak] if point is None else frame.voxel(point)
    center = [
        float(i if grid is None else grid.axes[axis][i]) for axis, i in enumerate(voxel)
    ]

    def section(panel: Any, db: Floats, plane: Plane) -> tuple[Floats, str]:
        across, up, along = plane
        line = {"color": MARK, "linewidth": 0.6, "alpha": 0.7}
        panel.axvline(center[across], **line)
        panel.axhline(center[up], **line)
        unit = "" if grid is None else " m"
        where = f"{'xyz'[along]} = {center[along]:.4g}{unit}"
        return np.take(db, voxel[along], axis=along), where

    return frame.figure({title: db}, db_range, "", section)


def convergence(solution: Solution) -> Any:
    """Draw what a solution's history has of residual, objective and misfit.

    Parameters
    ----------
    solution : Solution
        Of one problem, with a history. The objective (or evidence) and the misfit
        (or the loss, the data's part of the objective) are drawn where it has them.

    Returns
    -------
    matplotlib.figure.Figure
    """
    history = {name: np.asarray(v) for name, v in solution.history.items()}
    if not history or any(v.ndim != 1 for v in history.values()):
        raise ValueError(
            "solution has no history of a single problem; pick one problem of a batch"
        )
    curves = [("residual", "#2f6fb0")]
    for names, color in _CURVES:
        curves += [(name, color) for name in names if name in history][:1]
    figure = new_figure((0.4 + 4.0 * len(curves), 3.2))
    panels = np.atleast_1d(figure.subplots(1, len(curves)))
    for panel, (name, color) in zip(panels, curves, strict=True):
        _curve(panel, name, history[name], color)
    figure.suptitle(solution.message, fontsize=10)
    return figure


def save(figure: Any, path: str | Path, *, dpi: float = 150) -> None:
    """Write a figure as the ending of `path` says (.png, .pdf, .svg), atomically."""
    place = Path(path)
    content = io.BytesIO()
    figure.savefig(content, format=place.suffix.lstrip(".") or "png", dpi=dpi)
    atomic.write_bytes(place, content.getvalue())


def _curve(panel: Any, name: str, values: Floats, color: str) -> None:
    from matplotlib.ticker import MaxNLocator

    iterations = np.arange(1, len(values) + 1)
    low, high = float(np.min(values)), float(np.max(values))
    log = name == "residual" or 0 < 10 * low < high
    # The zero of a residual that vanished has no place on a logarithmic axis.
    shown = np.where(values > 0, values, np.nan) if log else values
    panel.plot(iterations, shown, color=color, marker="." if len(values) < 9 else "")
    panel.set_yscale("log" if log else "linear")
    panel.set(xlabel="iteration", ylabel=_CURVE_NAMES.get(name, name))
    panel.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    plain(panel)


def _circle(
    panel: Any, plane: Plane, frame: Frame, truth: Floats, diameter: float | None
) -> None:
    from matplotlib.patches import Circle

    longest = max(frame.length(axis) for axis in range(3))
    radius = longest / 40 if diameter is None else diameter / 2
    for point in truth:
        center = (point[plane[0]], point[plane[1]])
        panel.add_patch(
            Circle(center, radius, fill=False, edgecolor=MARK, linewidth=1.2, zorder=3)
        )
