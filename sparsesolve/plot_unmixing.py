"""One picture of a whole unmixing: the scene, its maps and its spectra.

It is part of `sparsesolve.plot`, where users find it.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from sparsesolve.backends import Array
from sparsesolve.cube import HyperspectralCube
from sparsesolve.plot_frame import new_figure
from sparsesolve.plot_maps import composite, labels, panel_size, share_bar, share_map
from sparsesolve.plot_spectra import axis_name, band_axis, color, draw_spectra
from sparsesolve.spectral_metrics import real_values

__all__ = ["unmixing"]

_MAPS_PER_ROW = 4
_SIDE, _SPECTRA, _TITLE = 2.5, 2.9, 0.45


class Unmixed(Protocol):
    """Whatever has endmembers (K, bands) and abundances (rows, cols, K)."""

    @property
    def endmembers(self) -> Array: ...

    @property
    def abundances(self) -> Array: ...


def unmixing(
    cube: HyperspectralCube,
    result: Unmixed,
    names: Sequence[str] | None = None,
    *,
    title: str = "",
) -> Any:
    """Draw the cube in colours, the abundance maps and the endmembers' spectra.

    A map's title has the colour of its spectrum.

    Parameters
    ----------
    cube : HyperspectralCube
        That was unmixed; bad bands are gaps in the spectra.
    result : Unmixing
        From `sparsesolve.applications.unmixing.unmix`, or anything that has its
        ``endmembers (K, bands)`` and ``abundances (rows, cols, K)``; NaN is no-data.
    names : K str, optional
    title : str
        Of the whole figure.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        The result is not one of this cube, or there are not K names.
    """
    maps = real_values("abundances", result.abundances)
    spectra = real_values("endmembers", result.endmembers)
    count, bands = len(spectra), cube.shape[2]
    if maps.shape != (*cube.shape[:2], count) or spectra.shape != (count, bands):
        raise ValueError(
            f"result has abundances {maps.shape} and endmembers {spectra.shape}; "
            f"wanted those of {cube!r}"
        )
    titles = labels(names, count)
    columns = 1 + min(count, _MAPS_PER_ROW)
    lines = -(-count // _MAPS_PER_ROW)
    width, height = panel_size(cube.shape, _SIDE)
    tall = lines * (height + _TITLE)
    figure = new_figure((max(columns * width + 1.2, 7.0), tall + _SPECTRA))
    above, below = figure.subfigures(2, 1, height_ratios=(tall, _SPECTRA))
    panels = above.subplots(lines, columns, squeeze=False)
    for panel in panels.flat:
        panel.set_axis_off()
    image, says = composite(cube)
    share_map(panels[0, 0], image, textwrap.fill(says, round(14 * width)))
    panels[0, 0].title.set(fontsize=7, color="0.35")
    for k, name in enumerate(titles):
        panel = panels[k // _MAPS_PER_ROW, 1 + k % _MAPS_PER_ROW]
        shown = share_map(panel, maps[:, :, k], name)
        panel.title.set_color(color(k))
    share_bar(above, shown, list(panels.flat), maps)
    panel = below.subplots()
    axis = band_axis(cube.wavelengths, bands)
    draw_spectra(panel, np.where(cube.good_bands, spectra, np.nan), axis, titles)
    panel.set(
        xlabel=axis_name(cube.wavelengths),
        ylabel="value" if cube.quantity == "unknown" else cube.quantity,
    )
    below.legend(loc="outside right upper", fontsize=8, frameon=False)
    if title:
        figure.suptitle(title, fontsize=11)
    return figure
