"""Pictures of sparse estimates and channels: coefficients, channels, error curves.

They are part of `sparsesolve.plot`, where users find them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from sparsesolve import checks
from sparsesolve.backends import Array, to_numpy
from sparsesolve.kronecker_measurement import KroneckerMeasurement
from sparsesolve.plot_frame import Floats, new_figure, plain
from sparsesolve.solution import Solution

__all__ = ["against_snr", "channel", "coefficients"]

_FOUND, _TRUE, _GONE = "#2f6fb0", "#c1502e", "0.72"
_COLORS = ("#2f6fb0", "#c1502e", "#3a8a4d", "#8a5aa8", "#b8860b", "#555555")
_MARKERS = "osD^vP"
_SPREADS = ("quartiles", "standard_error")


class Estimated(Protocol):
    """Whatever has a channel, its intervals and the measurement it is from."""

    @property
    def channel(self) -> Array | None: ...

    @property
    def posterior(self) -> Any: ...

    @property
    def measurement(self) -> KroneckerMeasurement: ...

    def channel_interval(self, level: float = 0.9) -> tuple[Array, Array]: ...


def coefficients(
    solution: Solution,
    measurement: KroneckerMeasurement,
    *,
    level: float = 0.9,
    names: Sequence[str] | None = None,
    title: str = "",
) -> Any:
    """Draw |x| along each mode, with its posterior standard deviation and the truth.

    A mode's panel shows for each of its atoms the entry of largest magnitude over the
    other modes and snapshots, and that entry's credible interval; below it is the
    largest standard deviation. Atoms whose entries have all been eliminated, whose
    uncertainty is not known, are grey crosses.

    Parameters
    ----------
    solution : Solution
        Of the measurement's x; without a posterior only |x| is drawn.
    measurement : KroneckerMeasurement
        Its x, if it has one, is drawn too.
    level : float
        Probability of the intervals, in (0, 1); they are conditional on the learned
        hyperparameters.
    names : one str for each mode, optional
    title : str
        Of the whole figure.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        The solution's x is not one of this measurement, names are not one a mode.
    """
    sizes = tuple(a.shape[1] for a in measurement.factors)
    snapshots = measurement.snapshots
    x = np.abs(to_numpy(solution.x))
    wanted = sizes if snapshots is None else (*sizes, snapshots)
    if x.shape != wanted:
        raise ValueError(
            f"solution has x of shape {x.shape}; wanted {wanted}, that of "
            f"{measurement!r}{checks.swapped(x.shape, wanted)}"
        )
    n = len(sizes)
    if names is not None and len(names) != n:
        raise ValueError(f"names has {len(names)} names; wanted {n}, one a mode")
    labels = [f"atom of mode {k}" for k in range(n)] if names is None else list(names)
    posterior = solution.posterior
    rows = 1 if posterior is None else 2
    figure = new_figure((max(3.5 * n, 4.6), 2.8 * rows + 0.3))
    panels = figure.subplots(
        rows, n, squeeze=False, sharex="col", sharey="row", height_ratios=(3, 2)[:rows]
    )
    bounds = None if posterior is None else posterior.interval(level, of="abs")
    for k, label in enumerate(labels):
        _largest(panels[0, k], k, x, bounds, measurement.x)
        if posterior is not None:
            _deviation(panels[1, k], k, posterior)
        panels[-1, k].set_xlabel(label)
        panels[-1, k].locator_params(axis="x", nbins=8, integer=True)
    for row in panels:
        _give_headroom(row)
    panels[0, 0].set_ylabel("largest |x|")
    if posterior is not None:
        panels[1, 0].set_ylabel("largest posterior std")
    handles = dict(zip(*panels[0, 0].get_legend_handles_labels()[::-1], strict=True))
    if "interval" in handles:
        handles[f"{level:.0%} interval, given the fitted variances"] = handles.pop(
            "interval"
        )
    figure.legend(
        handles.values(),
        handles.keys(),
        loc="outside lower center",
        ncols=4,
        fontsize=8,
        frameon=False,
    )
    if title:
        figure.suptitle(title, fontsize=9)
    return figure


def channel(estimate: Estimated, *, level: float = 0.9, title: str = "") -> Any:
    """Draw the magnitudes of a channel: true, estimated, and half its interval's width.

    All axes but the last are put below each other, in their order.

    Parameters
    ----------
    estimate : ChannelEstimate
        From `sparsesolve.applications.channel.estimate`; of snapshots the first is
        drawn. The true channel is drawn where the measurement has it, the interval
        where there is a posterior.
    level : float
        Probability of the interval of the magnitude, in (0, 1).
    title : str

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        The estimate has no channel, as its measurement has no synthesis.
    """
    measurement = estimate.measurement
    if estimate.channel is None:
        raise ValueError(
            "estimate has no channel, as its measurement has no synthesis; draw its x "
            "with coefficients()"
        )
    n = len(measurement.factors)

    def rows(values: Array) -> Floats:
        magnitude = np.abs(to_numpy(values))
        magnitude = magnitude if magnitude.ndim == n else magnitude[..., 0]
        return np.asarray(magnitude.reshape(-1, magnitude.shape[-1]), np.float64)

    images = {"estimated |h|": rows(estimate.channel)}
    if measurement.channel is not None:
        images = {"true |h|": rows(measurement.channel), **images}
    top = max(float(image.max()) for image in images.values())
    width = None
    if estimate.posterior is not None:
        low, high = estimate.channel_interval(level)
        width = rows((high - low) / 2)
    count = len(images) + (width is not None)
    figure = new_figure((2.9 * count + 1.2, 3.6))
    panels = list(np.atleast_1d(figure.subplots(1, count, sharey=True)))
    for panel, (name, image) in zip(panels, images.items(), strict=False):
        shown = _image(panel, image, name, top)
    _bar(figure, shown, panels[: len(images)])
    if width is not None:
        known = width[np.isfinite(width)]
        most = float(known.max()) if known.size else 1.0
        what = f"half the {level:.0%} interval of |h|"
        _bar(figure, _image(panels[-1], width, what, most), panels[-1:])
    panels[0].set_ylabel("row of the other axes")
    for panel in panels:
        panel.set_xlabel("index along the last axis")
        panel.locator_params(nbins=7, integer=True)
    if title:
        figure.suptitle(title, fontsize=9)
    return figure


def against_snr(
    snr_db: Any,
    results: Mapping[str, Mapping[str, Any]],
    *,
    spread: str = "quartiles",
    title: str = "",
) -> Any:
    """Draw error measures of several methods against the signal-to-noise ratio.

    Parameters
    ----------
    snr_db : (n,) array_like, dB
    results : dict of str to dict of str to (n, n_trials) array_like
        A panel for each quantity (``"NMSE"``, ``"SER"``), in it a curve for each
        method, all >= 0. NaN marks trials that are missing.
    spread : {"quartiles", "standard_error"}
        Median, with bars from the lower to the upper quartile, of the trials; or mean,
        with bars of one standard error of it to both sides. Means of errors are often
        those of a few failed trials.
    title : str

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        An array of another shape, negative values, another spread, nothing to draw.
    """
    levels = np.asarray(checks.real_array("snr_db", np.asarray(snr_db)))
    if levels.ndim != 1:
        raise ValueError(f"snr_db has shape {levels.shape}; wanted (n,) in dB")
    if spread not in _SPREADS:
        raise ValueError(f"spread is {spread!r}; wanted one of {_SPREADS}")
    if not results or not all(results.values()):
        raise ValueError("results holds a quantity without methods, or none at all")
    figure = new_figure((4.3 * len(results), 3.6))
    panels = np.atleast_1d(figure.subplots(1, len(results)))
    step = 0.006 * float(np.ptp(levels) or 1.0)
    for panel, (quantity, methods) in zip(panels, results.items(), strict=True):
        for i, (name, trials) in enumerate(methods.items()):
            values = _trials(f"results[{quantity!r}][{name!r}]", trials, len(levels))
            centre, low, high = _SUMMARIES[spread](values)
            # neighbouring methods' bars side by side, not on top of each other
            places = levels + step * (i - (len(methods) - 1) / 2)
            _curve(panel, places, centre, low, high, i, name)
        panel.set_yscale("log")
        says = "median" if spread == "quartiles" else "mean"
        panel.set(xlabel="SNR (dB)", ylabel=f"{quantity} ({says})")
        plain(panel)
    panels[0].legend(fontsize=8, frameon=False)
    bars = {"quartiles": "bars: quartiles", "standard_error": "bars: standard error"}
    figure.suptitle(f"{title + ', ' if title else ''}{bars[spread]}", fontsize=9)
    return figure


def _largest(
    panel: Any, mode: int, x: Floats, bounds: tuple[Array, Array] | None, truth: Any
) -> None:
    place = _peaks(x, mode)
    found = np.take_along_axis(_along(x, mode), place, axis=1)[:, 0]
    atoms = np.arange(len(found))
    gone = np.zeros(len(found), bool)
    if bounds is not None:
        low, high = (
            np.take_along_axis(_along(to_numpy(end), mode), place, axis=1)[:, 0]
            for end in bounds
        )
        gone = np.isnan(low)
        panel.vlines(
            atoms[~gone],
            low[~gone],
            high[~gone],
            color=_FOUND,
            linewidth=1.6,
            label="interval",
        )
    style = {"linestyle": "none", "markersize": 5}
    if truth is not None:
        largest = _along(np.abs(to_numpy(truth)), mode).max(axis=1)
        there = largest > 0
        panel.plot(
            atoms[there],
            largest[there],
            marker="o",
            label="truth",
            **style | {"markersize": 9},
            markerfacecolor="none",
            markeredgecolor=_TRUE,
        )
    panel.plot(
        atoms[~gone], found[~gone], marker=".", color=_FOUND, label="estimate", **style
    )
    if gone.any():
        panel.plot(
            atoms[gone],
            found[gone],
            marker="x",
            color=_GONE,
            label="eliminated",
            clip_on=False,
            **style,
        )
    plain(panel)


def _deviation(panel: Any, mode: int, posterior: Any) -> None:
    std = np.where(to_numpy(posterior.eliminated), np.nan, to_numpy(posterior.std))
    rows = _along(std, mode)
    known = np.isfinite(rows).any(axis=1)
    largest = np.nanmax(rows[known], axis=1)
    panel.plot(np.flatnonzero(known), largest, "_", color=_FOUND, markersize=8)
    plain(panel)


def _give_headroom(row: Any) -> None:
    """Let the panels of a row, whose axis is shared, begin at 0 and show all."""
    top = max(float(panel.dataLim.y1) for panel in row)
    row[0].set_ylim(0, 1.08 * top if 0 < top < np.inf else 1)


def _along(x: NDArray[Any], mode: int) -> NDArray[Any]:
    """Return (N_mode, others)."""
    return np.moveaxis(x, mode, 0).reshape(x.shape[mode], -1)


def _peaks(x: Floats, mode: int) -> NDArray[np.intp]:
    return np.asarray(np.argmax(_along(x, mode), axis=1)[:, None])


def _image(panel: Any, image: Floats, name: str, top: float) -> Any:
    from matplotlib.colors import Normalize

    shown = panel.imshow(
        image,
        norm=Normalize(0, top or 1.0),
        cmap="viridis",
        aspect="auto",
        interpolation="nearest",
    )
    panel.set_title(name, fontsize=9)
    panel.tick_params(labelsize=8)
    return shown


def _bar(figure: Any, shown: Any, panels: list[Any]) -> None:
    bar = figure.colorbar(shown, ax=panels, pad=0.02, aspect=25)
    bar.ax.tick_params(labelsize=8)
    bar.outline.set_visible(False)


def _trials(name: str, values: Any, count: int) -> Floats:
    trials = np.asarray(values, np.float64)
    if trials.ndim != 2 or len(trials) != count or not trials.shape[1]:
        raise ValueError(
            f"{name} has shape {trials.shape}; wanted ({count}, n_trials), a row for "
            "each SNR"
        )
    if np.any(trials < 0) or np.any(np.isinf(trials)):
        raise ValueError(f"{name} has negative or infinite entries; wanted errors >= 0")
    if not np.isfinite(trials).any(axis=1).all():
        raise ValueError(f"{name} has an SNR of which every trial is missing")
    return trials


def _quartiles(trials: Floats) -> tuple[Floats, Floats, Floats]:
    low, centre, high = np.nanquantile(trials, (0.25, 0.5, 0.75), axis=1)
    return centre, low, high


def _standard_error(trials: Floats) -> tuple[Floats, Floats, Floats]:
    counts = np.sum(np.isfinite(trials), axis=1)
    mean = np.nanmean(trials, axis=1)
    squares = np.nansum((trials - mean[:, None]) ** 2, axis=1)
    error = np.sqrt(squares / np.maximum(counts - 1, 1) / counts)
    return mean, mean - error, mean + error


_SUMMARIES = {"quartiles": _quartiles, "standard_error": _standard_error}


def _curve(
    panel: Any,
    places: Floats,
    centre: Floats,
    low: Floats,
    high: Floats,
    i: int,
    name: str,
) -> None:
    # Zero, and a bar that ends below it, have no place on a logarithmic axis.
    shown = np.where(centre > 0, centre, np.nan)
    floor = np.maximum(low, 1e-3 * shown)
    panel.errorbar(
        places,
        shown,
        yerr=(shown - floor, high - shown),
        label=name,
        color=_COLORS[i % len(_COLORS)],
        marker=_MARKERS[i % len(_MARKERS)],
        markersize=4,
        linewidth=1.2,
        capsize=2.5,
    )
