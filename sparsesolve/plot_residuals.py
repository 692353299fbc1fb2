"""Picture of what a radar model leaves unexplained, by frequency and by channel.

It is part of `sparsesolve.plot`, where users find it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from sparsesolve.backends import Array
from sparsesolve.metrics import residual_shares
from sparsesolve.operators.near_field import NearFieldMIMO
from sparsesolve.plot_frame import Floats, new_figure, plain

if TYPE_CHECKING:
    from sparsesolve.problem import Problem

__all__ = ["residuals"]

_CURVE, _COLORS = "#2f6fb0", "viridis"
_SHARE = "‖Ax − y‖ / ‖y‖"


def residuals(problem: Problem, x: Array) -> Any:
    """Draw ‖Ax - y‖/‖y‖ over the frequencies and over the channels.

    A frequency or channel far above the others points at interference, a broken
    antenna or a wrong position; a level near 1 everywhere at a wrong speed or sign.

    Parameters
    ----------
    problem : Problem
        Of a `NearFieldMIMO`, such as `sparsesolve.applications.radar.imaging_problem`.
    x : array of the grid's shape
        The image, such as ``solution.x``.

    Returns
    -------
    matplotlib.figure.Figure
        Channels are a map (transmitter, receiver); of a channel list, a map of the
        positions where each transmitter receives its own echo, otherwise a sorted curve
        whose highest channels are named.
    """
    if not isinstance(problem.A, NearFieldMIMO):
        raise TypeError(f"problem is on {problem.A!r}; wanted a NearFieldMIMO")
    A = problem.A
    per_frequency, per_channel = residual_shares(problem, x)
    figure = new_figure((10.4, 3.6))
    left, right = figure.subplots(1, 2, gridspec_kw={"width_ratios": (1.25, 1)})
    left.plot(
        A.freq / 1e9,
        per_frequency,
        color=_CURVE,
        marker="o" if A.freq.size <= 100 else "",
        markersize=3.5,
        linewidth=1.0,
    )
    left.set(xlabel="frequency (GHz)", ylabel=_SHARE, ylim=(0, _top(per_frequency)))
    left.set_title("per frequency", fontsize=9, color="0.35")
    plain(left)
    if per_channel.ndim == 2:
        _channel_map(figure, right, per_channel)
    elif np.array_equal(A.tx[A.channels[:, 0]], A.rx[A.channels[:, 1]]):
        _position_map(figure, right, A.tx[A.channels[:, 0]], per_channel)
    else:
        _sorted_channels(right, A.channels, per_channel)
    right.set_title("per channel", fontsize=9, color="0.35")
    return figure


def _channel_map(figure: Any, panel: Any, share: Floats) -> None:
    image = panel.imshow(share, **_colors(share), origin="lower", aspect="equal")
    panel.set(xlabel="receiver", ylabel="transmitter", facecolor="0.8")
    _whole_ticks(panel)
    _bar(figure, panel, image, share)


def _position_map(figure: Any, panel: Any, places: Floats, share: Floats) -> None:
    """Map the channels of antennas that hear their own echo to where they stand."""
    across, up = sorted(np.argsort(np.ptp(places, axis=0))[1:].tolist())
    image = panel.scatter(
        places[:, across],
        places[:, up],
        c=share,
        s=max(4.0, 9000 / len(share)) if len(share) > 40 else 60.0,
        marker="s",
        linewidths=0,
        **_colors(share),
        rasterized=True,
    )
    panel.set(aspect="equal", xlabel=f"{'xyz'[across]} (m)", ylabel=f"{'xyz'[up]} (m)")
    panel.tick_params(labelsize=8)
    _bar(figure, panel, image, share)


def _sorted_channels(panel: Any, channels: Array, share: Floats) -> None:
    order = np.argsort(np.nan_to_num(share, nan=-1.0))[::-1]
    order = order[np.isfinite(share[order])]
    panel.plot(
        np.arange(1, len(order) + 1),
        share[order],
        color=_CURVE,
        marker="o" if len(order) <= 200 else "",
        markersize=3,
        linewidth=1.0,
    )
    worst = ", ".join(f"{t}→{r}" for t, r in channels[order[:5]].tolist())
    panel.text(
        0.98,
        0.04,
        f"largest (tx→rx from zero): {worst}",
        transform=panel.transAxes,
        ha="right",
        fontsize=8,
    )
    panel.set(xlabel="channel, sorted", ylabel=_SHARE, ylim=(0, _top(share)))
    _whole_ticks(panel)
    plain(panel)


def _top(share: Floats) -> float:
    """Upper end of an axis: 1, where nothing is explained, if the shares near it."""
    largest = 1.05 * float(np.nanmax(share))
    return max(largest, 1.0) if largest > 0.5 else largest or 1.0


def _colors(share: Floats) -> dict[str, Any]:
    """Range of a map's colours, of which single outliers do not take the most."""
    typical = float(np.nanquantile(share, 0.99))
    return {"cmap": _COLORS, "vmin": 0, "vmax": _top(np.minimum(share, 1.5 * typical))}


def _whole_ticks(panel: Any) -> None:
    from matplotlib.ticker import MaxNLocator

    panel.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    if panel.get_ylabel() == "transmitter":
        panel.yaxis.set_major_locator(MaxNLocator(6, integer=True))
    panel.tick_params(labelsize=8)


def _bar(figure: Any, panel: Any, image: Any, share: Floats) -> None:
    beyond = bool(np.nanmax(share) > image.norm.vmax)
    bar = figure.colorbar(
        image, ax=panel, pad=0.02, aspect=22, extend="max" if beyond else "neither"
    )
    bar.set_label(_SHARE, fontsize=9)
    bar.ax.tick_params(labelsize=8)
    bar.outline.set_visible(False)
