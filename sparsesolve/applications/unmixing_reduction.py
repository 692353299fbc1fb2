"""Spectra and a library reduced to what the library can see of them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sparsesolve import checks
from sparsesolve.applications.unmixing_abundances import on_good_bands, on_map
from sparsesolve.applications.unmixing_library import SpectralLibrary, resample
from sparsesolve.applications.unmixing_spectra import endmember_matrix, pixel_matrix
from sparsesolve.backends import Array
from sparsesolve.cube import HyperspectralCube
from sparsesolve.losses import LeastSquares
from sparsesolve.simplex_least_squares import nnls_matrix

__all__ = ["ReducedData", "library_matrix"]

Floats = NDArray[np.floating[Any]]

_SAMPLE = 1000
"""Pixels from which the weights are chosen, spread evenly over all."""


class ReducedData:
    """Spectra on the singular vectors of a library, K numbers for all bands.

    With Eᵀ = U S Vᵀ and a pixel a column, ‖EᵀX − Y‖² = ‖S VᵀX − UᵀY‖² + ‖Y‖² − ‖UᵀY‖²:
    the problem is the same, an iteration does not see the bands, and
    `regularized_inverse` takes the singular vectors as it finds them.

    Attributes
    ----------
    factor : (r, K) array
        S Vᵀ, for r at most K.
    columns : (r, n_pixels) array
        UᵀY.
    constant : float
        Half the squared norm of what no abundances can explain.
    names : tuple of str
        Names of the library's spectra; () for a plain array.
    choices : dict of str to str
        Weights that were chosen, and why.
    """

    def __init__(self, spectra: Any, library: Any) -> None:
        Y = pixel_matrix(spectra)
        E = endmember_matrix(library_matrix(spectra, library), Y.shape[1])
        E = E.astype(np.float64)
        U, s, Vt = np.linalg.svd(E.T, full_matrices=False)
        kept = s > s[0] * max(E.shape) * np.finfo(np.float64).eps
        self.spectra = spectra
        self.names: tuple[str, ...] = ()
        if isinstance(library, SpectralLibrary):
            self.names = tuple(library.names)
        self.factor: Floats = (s[kept, None] * Vt[kept]).astype(Y.dtype)
        self.columns: Floats = U[:, kept].T.astype(Y.dtype) @ Y.T
        power, seen = (
            float(np.einsum("ij,ij->", a, a, dtype=np.float64))
            for a in (Y, self.columns)
        )
        self.constant = max(power - seen, 0.0) / 2
        bands, k = Y.shape[1], len(E)
        self.choices = {
            "data": f"{bands} bands reduced to the {kept.sum()} singular vectors of "
            f"{k} spectra, which changes the objective by a constant"
        }
        self._sample = Y[:: -(-len(Y) // _SAMPLE)].astype(np.float64)
        self._library = E

    @property
    def n_pixels(self) -> int:
        """Number of pixels that have spectra."""
        return int(self.columns.shape[1])

    def loss(self, A: Any, seen: Array | None = None) -> LeastSquares:
        """Return ½‖A x − UᵀY‖² + constant; `seen` marks the pixels that have spectra.

        Pixels without get weight 0.
        """
        y = self.columns
        if seen is None:
            return LeastSquares(A, y, constant=self.constant)
        columns = np.zeros((len(y), seen.size), y.dtype)
        columns[:, seen] = y
        weights = np.tile(seen.astype(y.dtype), (len(y), 1))
        return LeastSquares(A, columns, weights, constant=self.constant)

    def weight(self, name: str, given: float | None, factor: float = 1.0) -> float:
        """Return a weight as given, or `factor` times `harmless_weight`; note which.

        Without noise a millionth of what would make all abundances 0 is taken.
        """
        if given is not None:
            return checks.positive_number(name, given)
        sigma, weight = self.harmless_weight()
        least = 1e-6 * float(np.abs(self._sample @ self._library.T).max())
        value = factor * (max(weight, least) or 1.0)
        self.choices[name] = (
            f"{value:.3g}, at which the bias of abundances is a tenth of their noise "
            f"({sigma:.3g} in the data, from non-negative least squares)"
        )
        return value

    def harmless_weight(self) -> tuple[float, float]:
        """Return the noise of the data and the ℓ1 weight whose bias is a tenth of it.

        On the support P of a pixel, with H = (E_P E_Pᵀ)⁻¹, noise of standard deviation
        σ makes an error of mean square σ² tr H, and lam a bias of length lam ‖H 1‖.
        Supports and σ are those of non-negative least squares; medians over pixels,
        against outliers.
        """
        Y, E = self._sample, self._library
        X = nnls_matrix(Y, E)
        freedom = np.maximum(Y.shape[1] - np.count_nonzero(X, axis=1), 1)
        squares = np.sum((Y - X @ E) ** 2, axis=1)
        sigma = float(np.sqrt(np.median(squares / freedom)))
        supports = [np.flatnonzero(x) for x in X if x.any()]
        ratios = [_error_over_bias(E[support]) for support in supports]
        return sigma, 0.1 * sigma * float(np.median(ratios)) if ratios else 0.0

    def on_map(self, x: Floats) -> Floats:
        """Return unknowns (K, n_pixels) or (K, rows, cols) in the data's shape, K last.

        NaN where a cube has no spectra.
        """
        x = np.ascontiguousarray(np.moveaxis(x, 0, -1))
        if x.ndim == 2:
            return on_map(self.spectra, x)
        if not isinstance(self.spectra, HyperspectralCube):
            return x
        placed: Floats = self.spectra.to_map(x[self.spectra.valid])
        return placed


def _error_over_bias(spectra: Floats) -> float:
    """Return √tr H / ‖H 1‖ for H the inverse Gram matrix of a pixel's spectra."""
    values, vectors = np.linalg.eigh(spectra @ spectra.T)
    # Active sets hold no dependent spectra, but rounding may leave an eigenvalue of 0.
    inverse = 1 / np.maximum(values, 1e-14 * values[-1])
    bias = np.linalg.norm(inverse * vectors.sum(axis=0))
    return float(np.sqrt(inverse.sum()) / bias)


def library_matrix(spectra: Any, library: Any) -> Any:
    """Return the library's spectra on the bands that `pixel_matrix` takes.

    A `SpectralLibrary` is resampled to a cube that has wavelengths, unless it is on
    its good bands already.
    """
    if not isinstance(library, SpectralLibrary):
        return on_good_bands(spectra, library)
    if not isinstance(spectra, HyperspectralCube) or spectra.wavelengths is None:
        return on_good_bands(spectra, library.spectra)
    centres = np.asarray(spectra.wavelengths)[spectra.good_bands]
    same = library.wavelengths.size == centres.size
    if same and np.allclose(library.wavelengths, centres, rtol=0, atol=1e-3):
        return library.spectra
    return resample(library, spectra).spectra
