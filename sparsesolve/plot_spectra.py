"""Pictures over the bands: spectra of endmembers, and weights of bands.

They are part of `sparsesolve.plot`, where users find them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sparsesolve import checks
from sparsesolve.backends import Array, to_numpy
from sparsesolve.metrics import match_endmembers, spectral_angles
from sparsesolve.plot_frame import Floats, new_figure, plain
from sparsesolve.plot_maps import labels
from sparsesolve.spectral_metrics import real_values

__all__ = ["band_weights", "endmembers"]

_COLORS = (
    *("#2f6fb0", "#c1502e", "#3a8a4d", "#8a5fb5", "#c99a1d"),
    *("#1d9aa0", "#c2559d", "#7a5a3c", "#6b7785", "#93a81c"),
)
_STYLES = ("-", "--", "-.", ":")
_FLAGGED = "#c1502e"
_GAP = 4.0
"""A step between bands of so many usual ones is a gap, as bands were left out there."""


def endmembers(
    found: Array,
    wavelengths: Array | None = None,
    truth: Array | None = None,
    names: Sequence[str] | None = None,
    good_bands: Array | None = None,
    *,
    quantity: str = "value",
) -> Any:
    """Draw spectra, and against them the true ones with the angle between both.

    Parameters
    ----------
    found : (K_found, bands) array
        NaN are gaps.
    wavelengths : (bands,) array, nm, optional
        Without them the axis counts bands. A step of four usual ones is a gap too.
    truth : (K, bands) array, optional
        Dashed. The found spectra are matched (`metrics.match_endmembers`), scaled to
        the true ones by least squares, which no angle notices, and named like them;
        unmatched ones are left out.
    names : K str, optional
        Of the true endmembers where there is a truth.
    good_bands : (bands,) bool array, optional
        The others are gaps, and do not count in the angles.
    quantity : str
        Name of the vertical axis.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    TypeError, ValueError
        No spectra of real numbers, or arguments that do not fit them.
    """
    spectra = _spectra("found", found)
    bands = spectra.shape[1]
    good = _flags("good_bands", good_bands, bands)
    spectra = spectra if good is None else np.where(good, spectra, np.nan)
    target = None
    says = quantity
    if truth is not None:
        target = _spectra("truth", truth)
        order = match_endmembers(spectra, target)
        angles = spectral_angles(spectra, target)
        spectra = _scaled(spectra[order], target)
        target = target if good is None else np.where(good, target, np.nan)
        says = f"{quantity}, found scaled to true"
    titles = labels(names, len(spectra))
    figure = new_figure((8.6, 3.8))
    panel = figure.subplots()
    axis = band_axis(wavelengths, bands)
    if target is not None:
        titles = [
            f"{title}, SAD {angle:.4f}"
            for title, angle in zip(titles, angles, strict=True)
        ]
        figure.suptitle(f"mean SAD {angles.mean():.4f} rad", fontsize=10)
    draw_spectra(panel, spectra, axis, titles)
    if target is not None:
        for k, spectrum in enumerate(target):
            style = {"linestyle": (0, (4, 2)), "linewidth": 1.1, "alpha": 0.75}
            panel.plot(*_with_gaps(axis, spectrum), color=color(k), **style)
        panel.plot([], [], color="0.3", linestyle=(0, (4, 2)), label="truth")
    panel.set(ylabel=says, xlabel=axis_name(wavelengths))
    figure.legend(loc="outside right upper", fontsize=8, frameon=False)
    return figure


def band_weights(
    weights: Array,
    wavelengths: Array | None = None,
    flagged: Array | None = None,
) -> Any:
    """Draw the weight that each band had in the fit.

    Parameters
    ----------
    weights : (bands,) array
        NaN are gaps. From a ratio of 100 on the axis is logarithmic.
    wavelengths : (bands,) array, nm, optional
        Without them the axis counts bands.
    flagged : (bands,) bool array, optional
        Bands to shade, such as those that the screening found to be noise.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    TypeError, ValueError
        No real numbers, only NaN, or arguments that do not fit the weights.
    """
    values = real_values("weights", weights)
    if values.ndim != 1 or np.isnan(values).all():
        raise ValueError(
            f"weights has shape {values.shape} and {int(np.isnan(values).sum())} NaN; "
            "wanted (bands,), some of them numbers"
        )
    marks = _flags("flagged", flagged, values.size)
    axis = band_axis(wavelengths, values.size)
    figure = new_figure((8.6, 3.0))
    panel = figure.subplots()
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    panel.set_yscale("log" if 0 < 100 * low < high else "linear")
    panel.plot(
        *_with_gaps(axis, values),
        color=_COLORS[0],
        marker="o" if values.size <= 250 else "",
        markersize=2.5,
        linewidth=0.9,
    )
    if marks is not None and marks.any():
        half = float(np.median(np.abs(np.diff(axis)))) / 2 if axis.size > 1 else 0.5
        count = int(marks.sum())
        for i, center in enumerate(axis[marks]):
            says = None if i else f"{count} flagged {'band' if count == 1 else 'bands'}"
            panel.axvspan(
                center - half,
                center + half,
                color=_FLAGGED,
                alpha=0.25,
                linewidth=0,
                label=says,
            )
        figure.legend(loc="outside upper right", fontsize=8, frameon=False)
    panel.set(ylabel="weight of the band", xlabel=axis_name(wavelengths))
    plain(panel)
    return figure


def draw_spectra(
    panel: Any, spectra: Floats, axis: Floats, titles: Sequence[str]
) -> None:
    """Draw a line a spectrum in the colours that its maps are titled in."""
    for k, (spectrum, title) in enumerate(zip(spectra, titles, strict=True)):
        panel.plot(
            *_with_gaps(axis, spectrum),
            color=color(k),
            linestyle=_STYLES[(k // len(_COLORS)) % len(_STYLES)],
            linewidth=1.4,
            label=title,
        )
    low = float(np.nanmin(spectra))
    panel.set_ylim(bottom=min(0, 1.05 * low))
    plain(panel)


def color(k: int) -> str:
    """Return the colour of endmember k."""
    return _COLORS[k % len(_COLORS)]


def band_axis(wavelengths: Array | None, bands: int) -> Floats:
    """Return the wavelengths, or else the bands' numbers."""
    if wavelengths is None:
        return np.arange(bands, dtype=np.float64)
    axis = real_values("wavelengths", wavelengths)
    if axis.shape != (bands,):
        raise ValueError(f"wavelengths has shape {axis.shape}; wanted ({bands},)")
    checks.finite("wavelengths", axis)
    return axis


def axis_name(wavelengths: Array | None) -> str:
    """Return what `band_axis` is called."""
    return "band" if wavelengths is None else "wavelength (nm)"


def _with_gaps(axis: Floats, values: Floats) -> tuple[Floats, Floats]:
    """Break the line where bands were left out of the file."""
    step = np.abs(np.diff(axis))
    if step.size == 0:
        return axis, values
    jumps = np.flatnonzero(step > _GAP * np.median(step)) + 1
    return np.insert(axis, jumps, np.nan), np.insert(values, jumps, np.nan)


def _scaled(found: Floats, truth: Floats) -> Floats:
    """Return each found spectrum times the factor that brings it nearest to the truth.

    On the bands that the angle is taken on too.
    """
    used = ~(np.isnan(found).any(axis=0) | np.isnan(truth).any(axis=0))
    a, b = found[:, used], truth[:, used]
    factor = np.sum(a * b, axis=1) / np.sum(a * a, axis=1)
    return np.asarray(factor[:, None] * found)


def _spectra(name: str, value: Array) -> Floats:
    array = real_values(name, value)
    if array.ndim != 2 or np.isnan(array).all():
        raise ValueError(
            f"{name} has shape {array.shape} and {int(np.isnan(array).sum())} NaN; "
            "wanted (K, bands), a spectrum a row"
        )
    return array


def _flags(name: str, value: Array | None, bands: int) -> NDArray[np.bool_] | None:
    if value is None:
        return None
    array = to_numpy(value)
    if array.dtype != bool or array.shape != (bands,):
        raise ValueError(
            f"{name} is {array.dtype} of shape {array.shape}; wanted ({bands},) bool"
        )
    return array
