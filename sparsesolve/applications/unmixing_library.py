"""Spectral libraries: named spectra and their resampling to a cube's bands."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from sparsesolve import checks
from sparsesolve.backends import Array
from sparsesolve.cube import HyperspectralCube

__all__ = ["SpectralLibrary", "resample"]

Floats = NDArray[np.float64]

_FWHM = 2 * np.sqrt(2 * np.log(2))
"""Full width at half maximum of a Gaussian over its standard deviation."""
_REACH = 4.0
"""Standard deviations after which a response counts as 0; it is 3e-4 of its peak."""


@dataclass(frozen=True, eq=False)
class SpectralLibrary:
    """Spectra of known materials.

    Parameters
    ----------
    spectra : (n, bands) array
        One spectrum a row: reflectance, or the unit of the data it is used with.
    wavelengths : (bands,) array, nm
        Band centres, positive and distinct, in any order.
    names : sequence of n str, optional
        Names of the materials; by default ``"1"`` to ``"n"``.
    fwhm : (bands,) array or float, nm, optional
        Full widths at half maximum of the bands. Unknown widths are taken to be the
        distances between bands, finer than which a sampling holds nothing.

    Raises
    ------
    TypeError, ValueError
        No real numbers, NaN, shapes that do not fit, wavelengths that repeat or are
        not positive (or look like µm).

    Examples
    --------
    >>> import numpy as np
    >>> from sparsesolve.applications.unmixing import SpectralLibrary
    >>> library = SpectralLibrary(np.eye(2), [550.0, 650.0], ["green", "red"])
    >>> library.select(["red"]).spectra
    array([[0., 1.]])
    """

    spectra: Array
    wavelengths: Any
    names: Sequence[str] = ()
    fwhm: Any = None

    def __post_init__(self) -> None:
        spectra = checks.real_array("spectra", self.spectra).astype(np.float64)
        if spectra.ndim != 2:
            raise ValueError(
                f"spectra has shape {spectra.shape}; wanted (n, bands), one a row"
            )
        n, bands = spectra.shape
        wavelengths = checks.real_array("wavelengths", self.wavelengths).astype(
            np.float64
        )
        if wavelengths.shape != (bands,):
            hint = "; is spectra transposed?" if wavelengths.shape == (n,) else ""
            raise ValueError(
                f"wavelengths has shape {wavelengths.shape}; wanted ({bands},), one a "
                f"column of spectra{hint}"
            )
        if wavelengths.min() <= 0 or np.unique(wavelengths).size < bands:
            raise ValueError("wavelengths are not positive and distinct; wanted nm")
        if wavelengths.max() < 100:
            raise ValueError(
                f"wavelengths end at {wavelengths.max():g}; wanted nm: multiply µm by "
                "1000"
            )
        names = tuple(str(name) for name in self.names)
        names = names or tuple(str(i + 1) for i in range(n))
        if len(names) != n:
            raise ValueError(f"names has {len(names)} entries; wanted {n}, one a row")
        fwhm = None
        if self.fwhm is not None:
            fwhm = checks.real_array("fwhm", self.fwhm).astype(np.float64)
            if fwhm.shape not in ((), (bands,)) or (fwhm <= 0).any():
                raise ValueError(
                    f"fwhm has shape {fwhm.shape}; wanted {bands} widths > 0 in nm"
                )
            fwhm = np.broadcast_to(fwhm, (bands,)).copy()
        for name, value in (
            ("spectra", spectra),
            ("wavelengths", wavelengths),
            ("names", names),
            ("fwhm", fwhm),
        ):
            object.__setattr__(self, name, value)

    def __len__(self) -> int:
        return len(self.names)

    def select(self, chosen: Sequence[str | int]) -> SpectralLibrary:
        """Return the spectra of these names or row numbers, in this order.

        Raises
        ------
        ValueError
            A name or number that the library does not have.
        """
        rows = [self._row(key) for key in chosen]
        names = [self.names[i] for i in rows]
        return SpectralLibrary(self.spectra[rows], self.wavelengths, names, self.fwhm)

    def _row(self, key: str | int) -> int:
        if isinstance(key, str):
            if key in self.names:
                return list(self.names).index(key)
            raise ValueError(f"the library has no {key!r}; it has {self._listing()}")
        row = int(key)
        if not -len(self) <= row < len(self):
            raise ValueError(f"the library has no row {row}; it has {len(self)}")
        return row

    def _listing(self) -> str:
        shown = ", ".join(self.names[:8])
        return shown if len(self) <= 8 else f"{shown} and {len(self) - 8} more"

    def __repr__(self) -> str:
        low, high = self.wavelengths.min(), self.wavelengths.max()
        return (
            f"SpectralLibrary({len(self)} spectra, {self.wavelengths.size} bands, "
            f"{low:g} to {high:g} nm)"
        )


def resample(library: SpectralLibrary, cube: HyperspectralCube) -> SpectralLibrary:
    """Return the library as the cube's instrument would have measured it.

    Each good band of the cube sees the library through a Gaussian of its own full
    width at half maximum, less (in squares) what the library's bands have blurred
    already. Between the library's samples spectra are taken to be linear, for which
    the integrals are exact; a band narrower than the library's is interpolated. Near
    the ends of the library's range responses are cut symmetrically, so that a slope
    shifts nothing.

    Parameters
    ----------
    library : SpectralLibrary
    cube : HyperspectralCube
        With `wavelengths`; where it has no `fwhm`, the distances between its bands.

    Returns
    -------
    SpectralLibrary
        On the good bands of the cube, in their order: as `cube.spectra` gives them.

    Raises
    ------
    ValueError
        The cube has no wavelengths, or a good band lies outside the library's range:
        nothing is extrapolated.

    Warns
    -----
    UserWarning
        The library's bands are more than 1.5 times as wide as the cube's: fine
        features of the cube are missing in it.
    """
    if cube.wavelengths is None:
        raise ValueError(
            "cube has no wavelengths; set them (nm) to resample a library to its bands"
        )
    every = np.asarray(cube.wavelengths, np.float64)
    centres = every[cube.good_bands]
    widths = _widths(every, cube.fwhm)[cube.good_bands]
    order = np.argsort(library.wavelengths)
    samples = library.wavelengths[order]
    blur = np.interp(
        centres, samples, _widths(library.wavelengths, library.fwhm)[order]
    )
    _check_range(samples, centres)
    coarse = blur > 1.5 * widths
    if coarse.any():
        warnings.warn(
            f"the library's bands are up to {np.max(blur / widths):.3g} times as wide "
            f"as {coarse.sum()} of the cube's; it lacks their fine features",
            stacklevel=2,
        )
    sigma = np.sqrt(np.maximum(widths**2 - blur**2, 0.0)) / _FWHM
    weights = _response(samples, np.clip(centres, samples[0], samples[-1]), sigma)
    spectra = library.spectra[:, order] @ weights.T
    return SpectralLibrary(spectra, centres, library.names, widths)


def _check_range(samples: Floats, centres: Floats) -> None:
    # Headers round: a hundredth of the distance between samples is no extrapolation.
    slack = 0.01 * (samples[-1] - samples[0]) / max(samples.size - 1, 1)
    outside = (centres < samples[0] - slack) | (centres > samples[-1] + slack)
    if outside.any():
        lost = centres[outside]
        raise ValueError(
            f"the library covers {samples[0]:g} to {samples[-1]:g} nm, but "
            f"{lost.size} good bands of the cube lie outside it, {lost.min():g} to "
            f"{lost.max():g} nm; wanted a library that covers them, or good_bands "
            "without them"
        )


def _widths(wavelengths: Floats, fwhm: Any) -> Floats:
    """Return full widths at half maximum, by default the distances between bands."""
    if fwhm is not None:
        return np.asarray(fwhm, np.float64)
    if wavelengths.size == 1:
        return np.zeros(1)
    order = np.argsort(wavelengths)
    widths = np.empty(wavelengths.size)
    widths[order] = np.gradient(wavelengths[order])
    return widths


def _response(samples: Floats, centres: Floats, sigma: Floats) -> Floats:
    """Weights (centres, samples) of the Gaussian means of a piecewise linear function.

    On a segment from a to b with Gaussian mass m and first moment f about the centre,
    its ends weigh (b m − f)/(b − a) and (f − a m)/(b − a).
    """
    if samples.size == 1:
        return np.ones((centres.size, 1))
    h = np.minimum(centres - samples[0], samples[-1] - centres)
    h = np.minimum(h, _REACH * sigma)
    spacing = np.interp(centres, samples, np.gradient(samples))
    narrow = h < 1e-3 * spacing
    # Bands without extent are interpolated: any width will do for them here.
    h, s = np.where(narrow, spacing, h)[:, None], np.where(narrow, 1.0, sigma)[:, None]
    a, b = (edge[None, :] - centres[:, None] for edge in (samples[:-1], samples[1:]))
    low, high = np.clip(a, -h, h) / s, np.clip(b, -h, h) / s
    mass = ndtr(high) - ndtr(low)
    first = s * (np.exp(-(low**2) / 2) - np.exp(-(high**2) / 2)) / np.sqrt(2 * np.pi)
    weights = np.zeros((centres.size, samples.size))
    weights[:, :-1] += (b * mass - first) / (b - a)
    weights[:, 1:] += (first - a * mass) / (b - a)
    weights[~narrow] /= weights[~narrow].sum(axis=1, keepdims=True)
    for i in np.flatnonzero(narrow):
        j = int(np.clip(np.searchsorted(samples, centres[i]) - 1, 0, samples.size - 2))
        share = (centres[i] - samples[j]) / (samples[j + 1] - samples[j])
        weights[i] = 0.0
        weights[i, j : j + 2] = 1 - share, share
    return weights
