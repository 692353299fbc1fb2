"""Subspaces that hold the signal of spectra, and coordinates in them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sparsesolve import checks
from sparsesolve.applications.unmixing_spectra import (
    Floats,
    pixel_matrix,
    second_moment,
)
from sparsesolve.backends import Array

__all__ = ["affine_subspace", "signal_subspace"]

Doubles = NDArray[np.float64]


def signal_subspace(spectra: Any, size: int, *, weights: Array | None = None) -> Floats:
    """Return the linear subspace that holds most of the spectra's energy.

    It minimises Σ_n w_n ‖y_n - y_n VᵀV‖² over V with orthonormal rows.

    Parameters
    ----------
    spectra : HyperspectralCube, or array (n_pixels, bands) or (rows, cols, bands)
        See `pixel_matrix`.
    size : int
        Its dimension, at most the number of bands.
    weights : (n_pixels,) array, optional
        w, at least zero. With spectra scaled to unit norm, their former norms keep
        the noise of dark pixels out.

    Returns
    -------
    (size, bands) array
        V, the direction of most energy first, each with a positive sum (or largest
        entry), so that the signs do not hang on the linear algebra library.

    Raises
    ------
    TypeError, ValueError
        Unusable spectra, weights of another length or below zero, or a size that
        exceeds the bands.
    """
    pixels = pixel_matrix(spectra)
    size = _checked_size(size, pixels)
    moment = second_moment(pixels, _checked_weights(weights, pixels))
    return leading_directions(moment, size)[1].astype(pixels.dtype)


def affine_subspace(
    spectra: Any, size: int, *, weights: Array | None = None
) -> tuple[Floats, Floats]:
    """Return the affine subspace nearest to the spectra (principal components).

    Parameters
    ----------
    spectra, size, weights
        As for `signal_subspace`; K endmembers span an affine subspace of size K - 1.

    Returns
    -------
    mean : (bands,) array
        The weighted mean spectrum.
    basis : (size, bands) array
        Orthonormal rows, the direction of largest variance first.

    Raises
    ------
    TypeError, ValueError
        As for `signal_subspace`.
    """
    pixels = pixel_matrix(spectra)
    size = _checked_size(size, pixels)
    w = _checked_weights(weights, pixels)
    share = np.ones(len(pixels)) if w is None else w.astype(np.float64)
    mean = share @ pixels / share.sum()
    basis = leading_directions(second_moment(pixels, w, centre=mean), size)[1]
    return mean.astype(pixels.dtype), basis.astype(pixels.dtype)


def leading_directions(moment: Doubles, size: int) -> tuple[Doubles, Doubles]:
    """Return all eigenvalues, falling, and the first `size` eigenvectors as rows."""
    values, vectors = np.linalg.eigh(moment)
    basis = vectors[:, ::-1][:, :size].T
    # A direction across the bands may sum to rounding: its largest entry decides then.
    sums = basis.sum(axis=1)
    peaks = basis[np.arange(size), np.abs(basis).argmax(axis=1)]
    signs = np.where(np.abs(sums) > 1e-6, sums, peaks)
    return np.maximum(values[::-1], 0), basis * np.where(signs < 0, -1, 1)[:, None]


def _checked_size(size: Any, pixels: Floats) -> int:
    count = checks.positive_int("size", size)
    if count > pixels.shape[1]:
        raise ValueError(
            f"size is {count}, but the spectra have {pixels.shape[1]} bands; wanted no "
            "more than that"
        )
    return count


def _checked_weights(weights: Any, pixels: Floats) -> Floats | None:
    if weights is None:
        return None
    w: Floats = np.asarray(weights, pixels.dtype)
    if w.shape != pixels.shape[:1]:
        raise ValueError(
            f"weights has shape {w.shape}; wanted ({len(pixels)},), one a pixel"
        )
    checks.positive("weights", w, zero=True)
    if not w.any():
        raise ValueError("weights are all zero; wanted some above zero")
    return w
