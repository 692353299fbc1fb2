"""The picture that tells how many endmembers a scene has.

It is part of `sparsesolve.plot`, where users find it.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from sparsesolve.backends import Array
from sparsesolve.plot_frame import new_figure, plain
from sparsesolve.spectral_metrics import real_values

__all__ = ["elbow"]


def elbow(errors: Array, estimate: int | None = None) -> Any:
    """Draw how the error falls as the subspace grows.

    Where the steep part ends, further dimensions hold noise and the variability within
    materials.

    Parameters
    ----------
    errors : (n,) array
        Of subspaces of 1 to n dimensions, `unmixing.elbow`.
    estimate : int, optional
        A number to mark, such as `unmixing.hfc` gives.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    TypeError, ValueError
        No real numbers above 0, or not a list of them.
    """
    values = real_values("errors", errors)
    # Noise-free spectra leave nothing, which has no place on a logarithmic axis.
    shown = np.where(values > 0, values, np.nan)
    if values.ndim != 1 or np.isnan(shown).all():
        raise ValueError(
            f"errors has shape {values.shape} and {int(np.sum(values > 0))} entries "
            "above 0; wanted (n,), from unmixing.elbow"
        )
    figure = new_figure((6.4, 3.6))
    panel = figure.subplots()
    count = np.arange(1, values.size + 1)
    panel.plot(count, shown, color="#2f6fb0", marker="o", markersize=4, linewidth=1.2)
    panel.set_yscale("log")
    panel.set(xlabel="dimensions of the subspace", ylabel="error left (RMS)")
    panel.xaxis.get_major_locator().set_params(integer=True)
    if estimate is not None:
        line = {"color": "#c1502e", "linestyle": "--", "linewidth": 1.0}
        panel.axvline(estimate, label=f"HFC: {estimate}", **line)
        panel.legend(fontsize=8, frameon=False)
    plain(panel)
    return figure
