"""Guide maps from the data: which pixels look like their neighbours."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sparsesolve.applications.unmixing_spectra import Floats

__all__ = ["neighbour_guide", "pixel_laplacian"]

# The largest guide: exponents below 1/4 gained nothing and made the fit less stable.
LARGEST = 0.75


def _pairs(valid: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return the (n_pairs, 2) indices, among valid pixels, of neighbours on the map."""
    index = np.full(valid.shape, -1)
    index[valid] = np.arange(int(valid.sum()))
    below = np.stack([index[:-1].ravel(), index[1:].ravel()], axis=1)
    beside = np.stack([index[:, :-1].ravel(), index[:, 1:].ravel()], axis=1)
    pairs = np.concatenate([below, beside])
    return np.asarray(pairs[(pairs >= 0).all(axis=1)], np.int64)


def pixel_laplacian(valid: NDArray[np.bool_]) -> Any:
    """Return the graph Laplacian of the valid pixels, four neighbours each.

    Parameters
    ----------
    valid : (rows, cols) bool array

    Returns
    -------
    (n_valid, n_valid) SciPy sparse array
        In the C order of the valid pixels.
    """
    from scipy.sparse import coo_array, diags_array

    n = int(valid.sum())
    i, j = _pairs(valid).T
    ends = (np.concatenate([i, j]), np.concatenate([j, i]))
    links = coo_array((np.ones(len(ends[0])), ends), shape=(n, n)).tocsr()
    return diags_array(links.sum(axis=1)) - links


def neighbour_guide(spectra: Floats, valid: NDArray[np.bool_]) -> Floats:
    """Return a guide map that trusts pixels which look like their neighbours.

    The similarity of two neighbours is exp(-angle² / (2 s²)), s the median angle of
    all; a pixel's is the mean over its neighbours, stretched over the image to
    0 to 3/4. Inside a field pixels are pure, at its border mixed: where that is not so
    (measured on Jasper Ridge) the map says nothing about purity.

    Parameters
    ----------
    spectra : (n_valid, bands) array
    valid : (rows, cols) bool array

    Returns
    -------
    (n_valid,) array

    References
    ----------
    Zhu, Wang, Xiang, Fan & Pan, *Structured sparse method for hyperspectral unmixing*,
    2014, doi:10.1016/j.isprsjprs.2013.11.014, in which similarity comes from the data.
    """
    unit = spectra / np.linalg.norm(spectra, axis=1, keepdims=True)
    i, j = _pairs(valid).T
    angles = np.arccos(np.clip(np.sum(unit[i] * unit[j], axis=1), -1, 1))
    usual = float(np.median(angles)) if angles.size else 0.0
    alike = np.exp(-(angles**2) / (2 * (usual or 1.0) ** 2))
    n = len(spectra)
    total = np.bincount(i, alike, n) + np.bincount(j, alike, n)
    count = np.bincount(i, minlength=n) + np.bincount(j, minlength=n)
    mean = total / np.maximum(count, 1)
    span = float(np.ptp(mean))
    return np.asarray(LARGEST * (mean - mean.min()) / (span or 1.0))
