"""Pure pixels without random numbers: SPA and N-FINDR."""

from __future__ import annotations

from typing import Any, Literal, overload

import numpy as np

from sparsesolve.applications.unmixing_spectra import (
    Floats,
    endmember_count,
    pixel_matrix,
    second_moment,
)
from sparsesolve.applications.unmixing_subspace import leading_directions
from sparsesolve.applications.unmixing_vca import Indices

__all__ = ["nfindr", "spa"]

# A replacement must enlarge the simplex by more than rounding, or two pixels that are
# the same could take turns.
_GAIN = 1e-6


@overload
def spa(
    spectra: Any, n_endmembers: int, *, return_index: Literal[False] = False
) -> Floats: ...


@overload
def spa(
    spectra: Any, n_endmembers: int, *, return_index: Literal[True]
) -> tuple[Floats, Indices]: ...


def spa(
    spectra: Any, n_endmembers: int, *, return_index: bool = False
) -> Floats | tuple[Floats, Indices]:
    """Return the purest pixels, found by the successive projection algorithm.

    Again and again it takes the pixel of largest norm, and projects all onto the
    orthogonal complement of it, inside the K dimensions of most energy.

    Parameters
    ----------
    spectra : HyperspectralCube, or array (n_pixels, bands) or (rows, cols, bands)
        See `pixel_matrix`.
    n_endmembers : int
        K, at most the rank of the spectra.
    return_index : bool
        Whether to return the pixels' row numbers too.

    Returns
    -------
    endmembers : (K, bands) array
        The pixels' spectra, projected on the K dimensions, which averages noise out.
    index : (K,) array
        Which pixels they are, rows of `pixel_matrix(spectra)`; if `return_index`.

    Raises
    ------
    TypeError, ValueError
        Unusable spectra, or K out of range.

    Notes
    -----
    M. C. U. Araújo et al., Chemometr. Intell. Lab. Syst. 57 (2001) 65; its robustness:
    N. Gillis and S. A. Vavasis, IEEE TPAMI 36 (2014) 698. Deterministic; prefers bright
    pixels, so a bright outlier is found first.

    Examples
    --------
    >>> import numpy as np
    >>> spectra = np.array([[4.0, 0, 0], [1, 1, 0], [0, 3, 1], [2, 1, 0]])
    >>> spa(spectra, 2, return_index=True)[1]
    array([0, 2])
    """
    pixels = pixel_matrix(spectra)
    coordinates, basis = _in_subspace(pixels, n_endmembers, 1)
    index = _successive(coordinates)
    endmembers = coordinates[index] @ basis
    return (endmembers, index) if return_index else endmembers


@overload
def nfindr(
    spectra: Any, n_endmembers: int, *, return_index: Literal[False] = False
) -> Floats: ...


@overload
def nfindr(
    spectra: Any, n_endmembers: int, *, return_index: Literal[True]
) -> tuple[Floats, Indices]: ...


def nfindr(
    spectra: Any, n_endmembers: int, *, return_index: bool = False
) -> Floats | tuple[Floats, Indices]:
    """Return the pixels that span the simplex of largest volume (N-FINDR).

    From the pixels of `spa` on, each vertex in turn moves to the pixel that enlarges
    the volume most, until none does: a local maximum. The volume is that of the K - 1
    principal components.

    Parameters
    ----------
    spectra : HyperspectralCube, or array (n_pixels, bands) or (rows, cols, bands)
        See `pixel_matrix`.
    n_endmembers : int
        K >= 2, at most the rank of the spectra.
    return_index : bool
        Whether to return the pixels' row numbers too.

    Returns
    -------
    endmembers : (K, bands) array
        The pixels' spectra, projected on the K dimensions of most energy.
    index : (K,) array
        Which pixels they are, rows of `pixel_matrix(spectra)`; if `return_index`.

    Raises
    ------
    TypeError, ValueError
        Unusable spectra, or K out of range.

    Notes
    -----
    M. E. Winter, Proc. SPIE 3753 (1999) 266. The volume is linear in each vertex: a
    pixel's barycentric coordinate is the factor by which it would enlarge it, so a step
    costs one product of n_pixels × K.

    Examples
    --------
    >>> import numpy as np
    >>> spectra = np.array([[4.0, 0, 0], [1, 1, 0], [0, 3, 1], [2, 1, 0]])
    >>> nfindr(spectra, 2, return_index=True)[1]
    array([0, 2])
    """
    pixels = pixel_matrix(spectra)
    coordinates, basis = _in_subspace(pixels, n_endmembers, 2)
    index = _largest_simplex(_affine(coordinates), _successive(coordinates))
    endmembers = coordinates[index] @ basis
    return (endmembers, index) if return_index else endmembers


def _in_subspace(pixels: Floats, n_endmembers: Any, least: int) -> tuple[Floats, ...]:
    """Return coordinates (n_pixels, K) in the leading subspace, and its basis."""
    moment = second_moment(pixels)
    count = endmember_count(n_endmembers, pixels, least=least, moment=moment)
    basis = leading_directions(moment, count)[1].astype(pixels.dtype)
    return pixels @ basis.T, basis


def _successive(coordinates: Floats) -> Indices:
    left = coordinates.copy()
    index = np.zeros(left.shape[1], np.intp)
    for i in range(len(index)):
        norms = np.einsum("nk,nk->n", left, left)
        index[i] = np.argmax(norms)
        direction = left[index[i]] / np.sqrt(norms[index[i]])
        left -= np.outer(left @ direction, direction)
    return index


def _affine(coordinates: Floats) -> Floats:
    """Return the K - 1 principal components and a one, (n_pixels, K)."""
    centred = coordinates - coordinates.mean(axis=0)
    basis = leading_directions(second_moment(centred), coordinates.shape[1] - 1)[1]
    components = centred @ basis.T.astype(centred.dtype)
    return np.hstack([components, np.ones_like(components[:, :1])])


def _largest_simplex(points: Floats, index: Indices) -> Indices:
    index = index.copy()
    moved = True
    while moved:
        moved = False
        for j in range(len(index)):
            # Barycentric coordinates of all pixels belonging to vertex j.
            factor = np.abs(points @ np.linalg.pinv(points[index])[:, j])
            best = np.argmax(factor)
            if factor[best] > 1 + _GAIN:
                index[j] = best
                moved = True
    return index
