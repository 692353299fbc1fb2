"""Spectra as a matrix, whatever they came as."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sparsesolve import checks
from sparsesolve.backends import Array
from sparsesolve.cube import HyperspectralCube

__all__ = ["endmember_count", "endmember_matrix", "pixel_matrix", "second_moment"]

Floats = NDArray[np.floating[Any]]

# Pixels that are converted to float64 at once.
_BLOCK = 8192


def pixel_matrix(spectra: Any, name: str = "spectra") -> Floats:
    """Return spectra as a matrix with a pixel a row, checked.

    Parameters
    ----------
    spectra : HyperspectralCube, or array (n_pixels, bands) or (rows, cols, bands)
        Of a cube the valid pixels and the good bands, in physical units.
    name : str
        What to call it in an error.

    Returns
    -------
    (n_pixels, bands) array
        float64; float32 stays float32.

    Raises
    ------
    TypeError, ValueError
        No real numbers, another number of axes, nothing in it, or NaN.
    """
    if isinstance(spectra, HyperspectralCube):
        return spectra.spectra()
    array = checks.real_array(name, spectra)
    if array.ndim not in (2, 3):
        raise ValueError(
            f"{name} has shape {array.shape}; wanted (n_pixels, bands) or (rows, cols, "
            "bands)"
        )
    return array.reshape(-1, array.shape[-1])


def endmember_matrix(endmembers: Array, bands: int) -> Floats:
    """Return endmembers as a checked (K, bands) matrix.

    Raises
    ------
    TypeError, ValueError
        No real numbers, another shape, NaN, or an endmember that is zero everywhere.
    """
    array = checks.real_array("endmembers", endmembers)
    if array.ndim != 2 or array.shape[1] != bands:
        hint = "; is it transposed?" if array.shape[:1] == (bands,) else ""
        raise ValueError(
            f"endmembers has shape {array.shape}; wanted (K, {bands}), a spectrum a "
            f"row on the bands of the data{hint}"
        )
    empty = np.flatnonzero(~array.any(axis=1))
    if empty.size:
        raise ValueError(f"endmembers[{empty[0]}] is zero in every band")
    return array


def endmember_count(
    value: Any, spectra: Floats, *, least: int = 1, moment: Floats | None = None
) -> int:
    """Return the number of endmembers, refused if the spectra cannot have so many.

    Parameters
    ----------
    value : int
        As the user gave it.
    spectra : (n_pixels, bands) array
        From `pixel_matrix`.
    least : int
        2 for methods that look for a simplex, which one endmember has not.
    moment : (bands, bands) array, optional
        `second_moment` of the spectra, where it is at hand.

    Raises
    ------
    ValueError
        It is no integer of at least `least`, or exceeds the pixels, the bands, or the
        rank.
    """
    count = checks.positive_int("n_endmembers", value)
    if count < least:
        raise ValueError(f"n_endmembers is {count}; wanted at least {least}")
    pixels, bands = spectra.shape
    if count > min(pixels, bands):
        raise ValueError(
            f"n_endmembers is {count}, but there are {pixels} pixels of {bands} bands; "
            "wanted no more than either"
        )
    power = np.linalg.eigvalsh(second_moment(spectra) if moment is None else moment)
    # The moment is summed in float64, whatever the spectra are.
    level = power[-1] * max(spectra.shape) * float(np.finfo(np.float64).eps)
    rank = int(np.sum(power > level))
    if count > rank:
        raise ValueError(
            f"n_endmembers is {count}, but the spectra have rank {rank} (all-equal or "
            "repeated spectra?); wanted no more than that"
        )
    return count


def second_moment(
    spectra: Floats,
    weights: Floats | None = None,
    *,
    centre: NDArray[np.float64] | None = None,
) -> NDArray[np.float64]:
    """Return Σ_n w_n (y_n - c)(y_n - c)ᵀ (bands, bands), summed in float64 in blocks.

    Float32 sums would bury the weak directions that tell the endmembers apart.
    """
    bands = spectra.shape[1]
    moment = np.zeros((bands, bands))
    for first in range(0, len(spectra), _BLOCK):
        rows = slice(first, first + _BLOCK)
        block = spectra[rows].astype(np.float64)
        if centre is not None:
            block -= centre
        if weights is not None:
            block *= np.sqrt(weights[rows, None])
        moment += block.T @ block
    return moment
