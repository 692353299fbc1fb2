"""What endmembers are at bands that were left out of the fit."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sparsesolve.applications.unmixing_fit import Fit
from sparsesolve.applications.unmixing_sample import PixelSample, interpolated
from sparsesolve.applications.unmixing_spectra import Floats
from sparsesolve.backends import Array
from sparsesolve.simplex_least_squares import nonnegative_least_squares

__all__ = ["on_all_bands"]

# Of the usual residual of a kept band: up to so much, a band fits the abundances.
_FITS = 3.0


def on_all_bands(
    sample: PixelSample, fit: Fit, wavelengths: Array | None = None
) -> Floats:
    """Return the endmembers of a fit on all good bands, on the scale of the fit.

    A band that was screened out, but which the abundances explain as well as they do
    others (one in which all materials are alike shows little but noise), gets its
    least-squares endmembers. Any other is interpolated from its neighbours.

    Parameters
    ----------
    wavelengths : (n_good,) array, nm, optional
        Along which to interpolate; by default the bands are taken for evenly spaced.

    Returns
    -------
    (K, n_good) array
    """
    kept, found = sample.kept, fit.model.endmembers
    spectra = np.zeros((len(found), len(kept)), found.dtype)
    spectra[:, kept] = found
    spectra = interpolated(spectra, kept, wavelengths)
    if kept.all():
        return spectra
    explained, refit = _explained(sample, fit)
    bands = np.flatnonzero(~kept)[explained]
    spectra[:, bands] = refit[:, explained]
    return spectra


def _explained(sample: PixelSample, fit: Fit) -> tuple[NDArray[np.bool_], Floats]:
    """Tell which left-out bands fit the abundances, and their endmembers there."""
    A, w = fit.abundances, sample.weights[:, None]
    aside = sample.left_out / sample.norms[:, None]
    refit = nonnegative_least_squares(A.T @ (w * A), (w * aside).T @ A).T
    usual = float(np.median(_residuals(sample.pixels, A, fit.model.endmembers, w)))
    misfits = _residuals(aside, A, refit, w)
    varies = np.ptp(sample.left_out, axis=0) > 0
    return np.asarray((misfits <= _FITS * usual) & varies), refit


def _residuals(pixels: Floats, A: Floats, E: Floats, w: Floats) -> Any:
    """Root mean square of each band's weighted residual."""
    return np.sqrt(np.mean(w * (pixels - A @ E) ** 2, axis=0))
