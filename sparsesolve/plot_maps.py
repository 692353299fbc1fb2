"""Pictures of a hyperspectral image: in colours, and maps of what was found in it.

They are part of `sparsesolve.plot`, where users find them. What is invalid or NaN is
grey.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sparsesolve.backends import Array
from sparsesolve.cube import HyperspectralCube
from sparsesolve.metrics import (
    abundance_rmse,
    guide_correlation,
    match_abundances,
)
from sparsesolve.plot_frame import Floats, new_figure
from sparsesolve.spectral_metrics import real_values

__all__ = ["abundances", "error_map", "guide", "rgb"]

_RED_GREEN_BLUE = (640.0, 550.0, 460.0)
_FARTHEST = 50.0
"""nm a band may lie from one of the three colours to stand for it."""

_NO_DATA = "0.82"
_MAPS_PER_ROW = 6
# Inches: the longest side of a map, what a bar takes beside it, and a title above it.
_SIDE, _BAR, _TITLE = 3.0, 0.9, 0.35


def rgb(cube: HyperspectralCube) -> Any:
    """Draw a cube in colours, with the bands that were taken in the title.

    The good bands nearest to 640, 550 and 460 nm are red, green and blue, each
    stretched from its 2nd to its 98th percentile. Where the wavelengths are unknown, or
    one of the three colours has no good band within 50 nm, the colours are false: the
    bands at 5/6, 1/2 and 1/6 of the good ones, by wavelength or else in the order of
    the file.

    Parameters
    ----------
    cube : HyperspectralCube
        Read in blocks of rows. Invalid pixels, and in data left in their file those
        that are NaN in one of the three bands, are grey.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        Every valid pixel is NaN.
    """
    image, says = composite(cube)
    width, height = panel_size(image.shape[:2], 2 * _SIDE)
    figure = new_figure((width + 0.5, height + _TITLE + 0.3))
    panel = figure.subplots()
    panel.imshow(image, interpolation="nearest")
    _frame(panel, says)
    return figure


def abundances(
    maps: Array,
    names: Sequence[str] | None = None,
    truth: Array | None = None,
    *,
    order: Array | None = None,
) -> Any:
    """Draw abundance maps, beneath each the true one if it is known.

    Parameters
    ----------
    maps : (rows, cols, K) array
        NaN is no-data. One scale from 0 to 1 for all.
    names : K str, optional
        Of the true endmembers where there is a truth.
    truth : (rows, cols, K) array, optional
    order : (K,) integer array, optional
        Which found map stands for each true one: ``match_endmembers`` of the spectra.
        None: the assignment with the smallest error, `metrics.match_abundances`.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    TypeError, ValueError
        No maps of real numbers, or names or a truth that do not fit them.
    """
    found = _maps("maps", maps)
    if truth is None:
        if order is not None:
            raise ValueError("order is given without a truth; wanted both or neither")
        rows, says = _rows({"": found}), ""
        titles = labels(names, found.shape[2])
    else:
        target = _maps("truth", truth)
        chosen = match_abundances(found, target) if order is None else order
        error = abundance_rmse(found, target, order=chosen)
        says = f"RMSE {error:.4f} over all abundances"
        found = found[:, :, np.asarray(chosen)]
        rows = _rows({"found": found, "truth": target})
        titles = labels(names, found.shape[2])
    columns = max(row.shape[2] for _, _, row in rows)
    width, height = panel_size(found.shape[:2], _SIDE * min(1, 4.2 / columns))
    size = (columns * (width + 0.1) + _BAR, len(rows) * (height + _TITLE) + 0.4)
    figure = new_figure((max(size[0], 3.6), size[1]))
    panels = figure.subplots(len(rows), columns, squeeze=False)
    for panel in panels.flat:
        panel.set_axis_off()
    for line, (side, first, images) in zip(panels, rows, strict=True):
        for k, panel in enumerate(line[: images.shape[2]]):
            shown = share_map(panel, images[:, :, k], titles[first + k])
        line[0].set_ylabel(side)
    share_bar(figure, shown, list(panels.flat), found)
    if says:
        figure.suptitle(says, fontsize=10)
    return figure


def guide(guide_map: Array, truth: Array | None = None) -> Any:
    """Draw a guidance map, and beside it the one that it should be.

    Parameters
    ----------
    guide_map : (rows, cols) array
        From 0, a mixed pixel, to 1, a pure one.
    truth : (rows, cols) array, optional
        Such as `metrics.purity` of the true abundances; the title then says how both
        correlate.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    TypeError, ValueError
        No maps of real numbers, or two shapes.
    """
    maps = [("guide, 0 mixed to 1 pure", _map("guide_map", guide_map))]
    if truth is not None:
        target = _map("truth", truth)
        correlation = guide_correlation(maps[0][1], target)
        maps[0] = (f"guide, correlation {correlation:.3f}", maps[0][1])
        maps.append(("purity of the truth", target))
    width, height = panel_size(maps[0][1].shape, 1.25 * _SIDE)
    figure = new_figure((len(maps) * (width + 0.4) + _BAR, height + _TITLE + 0.3))
    panels = figure.subplots(1, len(maps), squeeze=False)[0]
    for panel, (says, values) in zip(panels, maps, strict=True):
        shown = share_map(panel, values, says, colors="cividis")
        _frame(panel, says)
    share_bar(figure, shown, list(panels), maps[0][1], "guide")
    return figure


def error_map(error: Array) -> Any:
    """Draw the error of each pixel, with the overall one in the title.

    Colours end at the 99th percentile, so that a few dead pixels do not darken the
    rest.

    Parameters
    ----------
    error : (rows, cols) array
        Root mean squares, ``metrics.reconstruction_error(...).per_pixel``.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    TypeError, ValueError
        No map of real numbers, or only NaN.
    """
    values = _map("error", error)
    if np.isnan(values).all():
        raise ValueError("error is NaN everywhere; there is nothing to draw")
    top = float(np.nanquantile(values, 0.99)) or 1.0
    width, height = panel_size(values.shape, 1.6 * _SIDE)
    figure = new_figure((width + _BAR + 0.4, height + _TITLE + 0.3))
    panel = figure.subplots()
    shown = panel.imshow(
        values, vmin=0, vmax=top, cmap="inferno", interpolation="nearest"
    )
    overall = math.sqrt(float(np.nanmean(values**2)))
    _frame(panel, f"reconstruction error, {overall:.3g} overall (RMS)")
    beyond = bool(np.nanmax(values) > top)
    _bar(figure, shown, [panel], "RMS over the bands", "max" if beyond else "neither")
    return figure


def composite(cube: HyperspectralCube) -> tuple[Floats, str]:
    """Return the image of `rgb`, (rows, cols, 4) from 0 to 1, and the bands' names."""
    bands, says = _color_bands(cube)
    image = np.empty((*cube.shape[:2], 3), np.float32)
    for rows in cube.tiles():
        image[rows] = np.asarray(cube.data[rows])[:, :, bands]
    seen = cube.valid & np.isfinite(image).all(axis=2)
    if not seen.any():
        raise ValueError(f"{says} are NaN in every valid pixel of {cube!r}")
    low, high = np.percentile(image[seen], (2, 98), axis=0)
    span = np.where(high > low, high - low, 1)
    colors = np.zeros((*cube.shape[:2], 4))
    colors[seen, :3] = np.clip((image[seen] - low) / span, 0, 1)
    colors[seen, 3] = 1
    return colors, says


def _color_bands(cube: HyperspectralCube) -> tuple[list[int], str]:
    good = np.flatnonzero(cube.good_bands)
    if cube.wavelengths is not None:
        good = good[np.argsort(cube.wavelengths[good])]
        away = np.abs(cube.wavelengths[good] - np.array(_RED_GREEN_BLUE)[:, None])
        bands = good[np.argmin(away, axis=1)].tolist()
        if np.all(away.min(axis=1) <= _FARTHEST) and len(set(bands)) == 3:
            r, g, b = cube.wavelengths[bands]
            return bands, f"red {r:.0f}, green {g:.0f}, blue {b:.0f} nm"
    bands = [int(good[(i * good.size) // 6]) for i in (5, 3, 1)]
    what = [f"band {band}" for band in bands]
    if cube.wavelengths is not None:
        what = [f"{cube.wavelengths[band]:.0f} nm" for band in bands]
    return bands, f"false colours: {', '.join(what)}"


def labels(names: Sequence[str] | None, count: int) -> list[str]:
    """Return a name for each endmember, counted from 1 where there are none."""
    if names is None:
        return [f"endmember {k + 1}" for k in range(count)]
    if isinstance(names, str) or len(names) != count:
        raise ValueError(f"names is {names!r}; wanted {count} names, one an endmember")
    return [str(name) for name in names]


def panel_size(shape: Sequence[int], longest: float) -> tuple[float, float]:
    """Return width and height, inches, of a map whose pixels are squares."""
    rows, cols = shape[:2]
    scale = longest / max(rows, cols)
    # Strips of a line scanner would be thinner than their titles.
    return max(cols * scale, 0.9), max(rows * scale, 0.5)


def share_map(panel: Any, values: Floats, says: str, *, colors: str = "viridis") -> Any:
    """Draw numbers from 0 to 1, or colours, without ticks; return the image."""
    shown = panel.imshow(values, vmin=0, vmax=1, cmap=colors, interpolation="nearest")
    panel.set_axis_on()
    panel.set(xticks=[], yticks=[], facecolor=_NO_DATA)
    panel.spines[:].set_visible(False)
    panel.set_title(says, fontsize=9)
    return shown


def share_bar(
    figure: Any, shown: Any, panels: list[Any], values: Floats, says: str = "abundance"
) -> None:
    """Draw the one bar of maps from 0 to 1, pointed where values lie beyond."""
    low, high = bool(np.nanmin(values) < -1e-3), bool(np.nanmax(values) > 1.001)
    beyond = {(True, True): "both", (True, False): "min", (False, True): "max"}
    _bar(figure, shown, panels, says, beyond.get((low, high), "neither"))


def _rows(sides: dict[str, Floats]) -> list[tuple[str, int, Floats]]:
    """Name, first endmember and maps of each row of panels, found above the truth."""
    count = next(iter(sides.values())).shape[2]
    lines = math.ceil(count / _MAPS_PER_ROW)
    each = math.ceil(count / lines)
    return [
        (side, first, images[:, :, first : first + each])
        for first in range(0, count, each)
        for side, images in sides.items()
    ]


def _frame(panel: Any, says: str) -> None:
    panel.set_title(says, fontsize=9)
    panel.set(facecolor=_NO_DATA)
    panel.tick_params(labelsize=8)
    panel.spines[:].set_visible(False)


def _bar(figure: Any, shown: Any, panels: list[Any], says: str, extend: str) -> None:
    bar = figure.colorbar(shown, ax=panels, pad=0.02, aspect=22, extend=extend)
    bar.set_label(says, fontsize=9)
    bar.ax.tick_params(labelsize=8)
    bar.outline.set_visible(False)


def _map(name: str, value: Array) -> NDArray[np.float64]:
    array = real_values(name, value)
    if array.ndim != 2:
        raise ValueError(f"{name} has shape {array.shape}; wanted a map (rows, cols)")
    return array


def _maps(name: str, value: Array) -> NDArray[np.float64]:
    array = real_values(name, value)
    if array.ndim != 3:
        raise ValueError(f"{name} has shape {array.shape}; wanted (rows, cols, K)")
    if np.isnan(array).all():
        raise ValueError(f"{name} is NaN everywhere; there is nothing to draw")
    return array
