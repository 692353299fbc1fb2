"""How far endmembers and abundances are from the spectra that they should explain.

Part of `sparsesolve.metrics`, where users find it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sparsesolve.backends import Array
from sparsesolve.cube import HyperspectralCube
from sparsesolve.spectral_metrics import real_values

__all__ = ["ReconstructionError", "reconstruction_error"]

Floats = NDArray[np.float64]

# Pixels of an array that are taken at once, so that few temporaries stand beside it.
_BLOCK = 8192


class ReconstructionError(NamedTuple):
    """Root mean square of spectra minus abundances times endmembers, in their unit.

    Attributes
    ----------
    per_pixel : (rows, cols) or (n_pixels,) array
        NaN where a pixel is invalid.
    overall : float
        Over all bands of all valid pixels.
    """

    per_pixel: Floats
    overall: float


def reconstruction_error(
    spectra: Any, endmembers: Array, abundances: Array
) -> ReconstructionError:
    """Return how far Σ_k a_k m_k is from each spectrum, and from all of them.

    It is small for any endmembers that are many or extreme enough, so that it finds
    pixels that the model does not explain, and never proves an unmixing right.

    Parameters
    ----------
    spectra : HyperspectralCube, or array (rows, cols, bands) or (n_pixels, bands)
        Of a cube the valid pixels in physical units, read in blocks of rows. Of an
        unmixing with normalised pixels: those pixels.
    endmembers : (K, bands) array
        On all bands of the spectra (of a cube, on its good bands will do). Bands that
        are NaN in one of them are left out, as bad bands are.
    abundances : (rows, cols, K) or (n_pixels, K) array
        As the spectra are; of a cube (rows, cols, K). Pixels that are NaN there or in a
        band of an array are left out.

    Raises
    ------
    TypeError, ValueError
        No real numbers, shapes that do not fit each other, or nothing left to compare.

    Examples
    --------
    >>> import numpy as np
    >>> endmembers = np.array([[1.0, 0.0], [0.0, 1.0]])
    >>> spectra = np.array([[0.5, 0.5], [0.0, 1.2]])
    >>> error = reconstruction_error(spectra, endmembers, [[0.5, 0.5], [0, 1]])
    >>> [round(float(e), 4) for e in error.per_pixel], round(error.overall, 4)
    ([0.0, 0.1414], 0.1)
    """
    if isinstance(spectra, HyperspectralCube):
        place, bands = spectra.shape[:2], spectra.shape[2]
        good, valid = spectra.good_bands, spectra.valid.reshape(-1)
    else:
        spectra = real_values("spectra", spectra)
        if spectra.ndim not in (2, 3):
            raise ValueError(
                f"spectra has shape {spectra.shape}; wanted (rows, cols, bands) or "
                "(n_pixels, bands)"
            )
        place, bands = spectra.shape[:-1], spectra.shape[-1]
        good, valid = np.ones(bands, bool), np.ones(math.prod(place), bool)
    sources = _sources(endmembers, good)
    used = ~np.isnan(sources).any(axis=0)
    if not used.any():
        raise ValueError("endmembers share no good band without NaN")
    shares = real_values("abundances", abundances)
    if shares.shape != (*place, len(sources)):
        raise ValueError(
            f"abundances has shape {shares.shape}; wanted {(*place, len(sources))}, a "
            "share of each endmember for each pixel"
        )
    shares = shares.reshape(-1, len(sources))[valid]
    power, done = np.empty(len(shares)), 0
    for block in _blocks(spectra):
        now = slice(done, done + len(block))
        error = block[:, used] - shares[now] @ sources[:, used]
        power[now] = np.mean(error.astype(np.float64) ** 2, axis=1)
        done += len(block)
    if np.isnan(power).all():
        raise ValueError("spectra and abundances share no pixel without NaN")
    per_pixel = np.full(math.prod(place), np.nan)
    per_pixel[valid] = np.sqrt(power)
    overall = math.sqrt(float(np.nanmean(power)))
    return ReconstructionError(per_pixel.reshape(place), overall)


def _sources(endmembers: Array, good: NDArray[np.bool_]) -> Floats:
    """Return the endmembers on the good bands."""
    array = real_values("endmembers", endmembers)
    n_good = int(np.count_nonzero(good))
    if array.ndim == 2 and array.shape[1] == len(good):
        return array[:, good]
    if array.ndim == 2 and array.shape[1] == n_good:
        return array
    raise ValueError(
        f"endmembers has shape {array.shape}; wanted (K, {len(good)}), a spectrum a row"
        " on the bands of the spectra"
    )


def _blocks(spectra: HyperspectralCube | Floats) -> Iterator[Floats]:
    if isinstance(spectra, HyperspectralCube):
        for rows in spectra.tiles():
            yield spectra.spectra(rows=rows)
        return
    matrix = spectra.reshape(-1, spectra.shape[-1])
    for first in range(0, len(matrix), _BLOCK):
        yield matrix[first : first + _BLOCK]
