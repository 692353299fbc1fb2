"""Abundances of known endmembers, exactly and for all pixels at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sparsesolve.applications.unmixing_spectra import endmember_matrix, pixel_matrix
from sparsesolve.backends import Array, to_numpy
from sparsesolve.cube import HyperspectralCube
from sparsesolve.simplex_least_squares import fcls_matrix, nnls_matrix

__all__ = ["fclsu", "nnls", "on_good_bands", "on_map"]

Floats = NDArray[np.floating[Any]]


def fclsu(spectra: Any, endmembers: Array, *, weights: Array | None = None) -> Floats:
    """Fully constrained least squares: minimise ‖E'a − y‖² over a >= 0, Σ a = 1.

    Parameters
    ----------
    spectra : HyperspectralCube, or array (n_pixels, bands) or (rows, cols, bands)
        Of a cube the valid pixels and the good bands, in physical units.
    endmembers : (K, bands) array
        Spectra in the units of the data. For a cube on all its bands, where those of
        bad bands are not looked at and may be NaN, or on its good bands alone.
    weights : (bands,) array, optional
        Non-negative weights of the squared residuals, on the bands of `endmembers`;
        default 1.

    Returns
    -------
    (rows, cols, K) or (n_pixels, K) array
        Abundances, exactly 0 off each pixel's support; NaN at a cube's invalid pixels.
        float32 if the data are, but computed in float64. With unit-norm pixels and
        endmembers they are shares of the unit-norm spectrum, not area fractions.

    Raises
    ------
    TypeError, ValueError
        No real numbers, NaN, shapes that do not fit, a negative weight, an endmember
        that is zero everywhere.

    Notes
    -----
    Solved by active sets on the K x K Gram matrix, `simplex_least_squares`: the
    optimality conditions hold to rounding. Most of the time goes into the product of
    spectra and endmembers, 2 bands K flops a pixel.

    References
    ----------
    Heinz and Chang, *Fully constrained least squares linear spectral mixture analysis
    method for material quantification in hyperspectral imagery*, 2001,
    doi:10.1109/36.911111.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsesolve.applications.unmixing import fclsu
    >>> endmembers = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 1.0]])
    >>> fclsu(np.array([[0.25, 0.75, 0.75], [2.0, 0.0, 0.0]]), endmembers)
    array([[0.25, 0.75],
           [1.  , 0.  ]])
    """
    return _abundances(fcls_matrix, spectra, endmembers, weights)


def nnls(spectra: Any, endmembers: Array, *, weights: Array | None = None) -> Floats:
    """Non-negative least squares: minimise ‖E'a − y‖² over a >= 0.

    What does not sum to one takes up changes of brightness (shade, slope) and light
    that no endmember explains. Parameters, returns and errors are those of `fclsu`.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsesolve.applications.unmixing import nnls
    >>> nnls(np.array([[0.5, -1.0]]), np.eye(2))
    array([[0.5, 0. ]])
    """
    return _abundances(nnls_matrix, spectra, endmembers, weights)


def _abundances(
    solve: Callable[..., Floats], spectra: Any, endmembers: Array, weights: Any
) -> Floats:
    E = on_good_bands(spectra, endmembers)
    w = None if weights is None else on_good_bands(spectra, weights)
    if not isinstance(spectra, HyperspectralCube):
        Y = pixel_matrix(spectra)
        return on_map(spectra, solve(Y, endmember_matrix(E, Y.shape[1]), w))
    E = endmember_matrix(E, spectra.n_good)
    # Block by block of rows: a large cube's spectra never are in memory at once.
    blocks = (spectra.spectra(rows=rows) for rows in spectra.tiles())
    parts = [solve(block, E, w) for block in blocks if len(block)]
    return on_map(spectra, np.concatenate(parts))


def on_good_bands(spectra: Any, values: Array) -> Any:
    """Return `values`, bands last, on the bands that `pixel_matrix` takes.

    Of a cube the good ones, unless they are on these already; of an array all.
    """
    array = to_numpy(values)
    if not isinstance(spectra, HyperspectralCube):
        return array
    if array.ndim == 0 or array.shape[-1] != spectra.shape[-1]:
        return array
    return array[..., spectra.good_bands]


def on_map(spectra: Any, values: Floats) -> Floats:
    """Return a row for each row of `pixel_matrix(spectra)` in the data's own shape.

    (rows, cols, ...) for a cube, with NaN at invalid pixels, and for an array
    (rows, cols, bands); as it is for a matrix.
    """
    if isinstance(spectra, HyperspectralCube):
        placed: Floats = spectra.to_map(values)
        return placed
    return values.reshape(*np.shape(spectra)[:-1], *values.shape[1:])
