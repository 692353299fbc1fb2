"""Numbers that say how good an unmixing is, whatever the order of its endmembers.

They are part of `sparsesolve.metrics`, where users find them. All work on the host in
double precision. NaN is no-data, as in the maps and spectra that leave a cube with
invalid pixels and bad bands, and is left out; infinite entries are refused.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sparsesolve.backends import Array, to_numpy
from sparsesolve.priors.guides import sparseness

__all__ = [
    "BandDetection",
    "abundance_rmse",
    "band_detection",
    "guide_correlation",
    "match_abundances",
    "match_endmembers",
    "purity",
    "signal_to_reconstruction_error",
    "spectral_angle",
    "spectral_angles",
]

Floats = NDArray[np.float64]
Order = NDArray[np.intp]


class BandDetection(NamedTuple):
    """How well bad bands were found; each number is from 0 to 1, the higher the better.

    Attributes
    ----------
    precision : float
        Share of the flagged bands that are bad; 1 where none is flagged.
    recall : float
        Share of the bad bands that are flagged; 1 where none is bad.
    f1 : float
        Harmonic mean of both; 1 where nothing is bad and nothing flagged.
    """

    precision: float
    recall: float
    f1: float


def match_endmembers(found: Array, truth: Array) -> Order:
    """Return `order` such that ``found[order]`` is the best match of `truth`.

    The assignment with the least sum of spectral angles among all of them (Hungarian
    method); a nearest neighbour may be taken twice, this never.

    Parameters
    ----------
    found : (K_found, bands) array
        May have more rows than `truth`; then the ones that match worst are left out.
    truth : (K, bands) array
        Bands that are NaN in a spectrum of either are left out. Units do not matter.

    Returns
    -------
    (K,) integer array
        Of different rows of `found`. Abundances follow as ``abundances[..., order]``.

    Raises
    ------
    TypeError, ValueError
        No real numbers, other shapes, fewer rows than `truth`, no band without NaN, or
        a spectrum that is zero everywhere, which has no angle.

    Examples
    --------
    >>> import numpy as np
    >>> truth = np.array([[1.0, 0.0, 0.2], [0.0, 1.0, 0.3]])
    >>> match_endmembers(5 * truth[::-1], truth).tolist()
    [1, 0]
    """
    return _assign(_angles(*_spectra(found, truth)))


def match_abundances(found: Array, truth: Array) -> Order:
    """Return `order` such that ``found[..., order]`` has the least error to `truth`.

    For where spectra are not at hand: published tables match by `match_endmembers`.
    Parameters and errors as of `abundance_rmse`.
    """
    return _least_error(*_shares(found, truth))


def spectral_angles(found: Array, truth: Array) -> Floats:
    """Return the angle between each true endmember and its match, (K,) rad.

    arccos of ⟨m, t⟩/(‖m‖‖t‖), computed so that small angles keep all their digits.
    Parameters and errors as of `match_endmembers`.
    """
    angles = _angles(*_spectra(found, truth))
    return np.asarray(angles[_assign(angles), np.arange(angles.shape[1])])


def spectral_angle(found: Array, truth: Array) -> float:
    """Return the mean of `spectral_angles` (SAD) over the true endmembers, rad.

    Parameters and errors as of `match_endmembers`.
    """
    return float(np.mean(spectral_angles(found, truth)))


def abundance_rmse(found: Array, truth: Array, *, order: Array | None = None) -> float:
    """Return the root mean square error over all abundances of all valid pixels.

    Parameters
    ----------
    found : (rows, cols, K_found) or (n_pixels, K_found) array
        May have more endmembers than `truth`; then unmatched ones do not count.
    truth : (rows, cols, K) or (n_pixels, K) array
        Pixels that are NaN in either are left out.
    order : (K,) integer array, optional
        Which of the found endmembers stand for the true ones. Published tables match
        the spectra: ``order=match_endmembers(found_spectra, true_spectra)``. Of a
        spectral library, whose columns are known: ``numpy.arange(K)``. None: the
        assignment with the smallest error (`match_abundances`), which is never above
        the other two and so flatters a method whose spectra match badly.

    Raises
    ------
    TypeError, ValueError
        No real numbers, shapes that do not fit each other, fewer endmembers than
        `truth`, no valid pixel, or an order that is not K different columns.

    Notes
    -----
    An error of 0.3 to 0.5 where the maps look right usually is another order of the
    pixels: truths that come from MATLAB run column after column.
    """
    estimate, target = _matched(found, truth, order)
    return float(np.sqrt(np.mean((estimate - target) ** 2)))


def signal_to_reconstruction_error(
    found: Array, truth: Array, *, order: Array | None = None
) -> float:
    """Return 10 log10(Σ truth² / Σ (found - truth)²) of abundances (SRE), dB.

    Parameters and errors as of `abundance_rmse`; also a truth that is zero everywhere.

    References
    ----------
    Iordache, Bioucas-Dias and Plaza, "Sparse unmixing of hyperspectral data", IEEE
    Trans. Geosci. Remote Sens. 49 (2011) 2014-2039, section IV.
    """
    estimate, target = _matched(found, truth, order)
    if not target.any():
        raise ValueError("truth is zero everywhere; wanted something to compare with")
    error = float(np.sum((estimate - target) ** 2))
    if error == 0:
        return math.inf
    return 10 * math.log10(float(np.sum(target**2)) / error)


def band_detection(found_bad: Array, true_bad: Array) -> BandDetection:
    """Return precision, recall and F1 of bands flagged as bad.

    Parameters
    ----------
    found_bad, true_bad : (bands,) bool arrays
        True: a bad band; of a cube ``~cube.good_bands``.

    Raises
    ------
    TypeError, ValueError
        Not one flag a band each.
    """
    found, true = _flags("found_bad", found_bad), _flags("true_bad", true_bad)
    if found.shape != true.shape:
        raise ValueError(
            f"found_bad has {found.size} bands; wanted {true.size} like true_bad"
        )
    hits = int(np.sum(found & true))
    flagged, bad = int(np.sum(found)), int(np.sum(true))
    return BandDetection(
        hits / flagged if flagged else 1.0,
        hits / bad if bad else 1.0,
        2 * hits / (flagged + bad) if flagged + bad else 1.0,
    )


def purity(abundances: Array) -> Floats:
    """Return how pure each pixel is: 0 for equal shares, 1 for a single endmember.

    (√K - ‖a‖₁/‖a‖₂) / (√K - 1), which does not depend on the scale of a: the
    `sparsesolve.priors.sparseness` along the endmembers.

    Parameters
    ----------
    abundances : (rows, cols, K) or (n_pixels, K) array, K >= 2

    Returns
    -------
    (rows, cols) or (n_pixels,) array
        NaN where an abundance is NaN or all are zero.

    References
    ----------
    Hoyer, "Non-negative matrix factorization with sparseness constraints", J. Mach.
    Learn. Res. 5 (2004) 1457-1469, section 3.1.
    """
    a = _abundances("abundances", abundances)
    if a.shape[-1] == 1:
        raise ValueError("abundances are of one endmember; wanted at least two")
    present = (a != 0).any(axis=-1)
    return np.asarray(np.where(present, sparseness(a, axis=-1), np.nan))


def guide_correlation(found: Array, truth: Array) -> float:
    """Return the correlation of a guidance map with the true one, from -1 to 1.

    Parameters
    ----------
    found, truth : arrays of one shape
        Such as a learnt guide and `purity` of the true abundances. Pixels that are NaN
        in either are left out.

    Returns
    -------
    float
        Pearson's coefficient; NaN where one of the two is constant.

    Raises
    ------
    TypeError, ValueError
        No real numbers, two shapes, or fewer than two valid pixels.
    """
    a, b = real_values("found", found), real_values("truth", truth)
    if a.shape != b.shape:
        raise ValueError(f"found has shape {a.shape}; wanted {b.shape} like truth")
    used = ~(np.isnan(a) | np.isnan(b))
    if np.sum(used) < 2:
        raise ValueError("found and truth share fewer than two pixels without NaN")
    a, b = a[used], b[used]
    if np.ptp(a) == 0 or np.ptp(b) == 0:
        return math.nan
    return float(np.corrcoef(a, b)[0, 1])


def real_values(name: str, value: Any) -> Floats:
    """Return an array in double precision, refused unless it is real; NaN may be."""
    if isinstance(value, np.ma.MaskedArray):
        raise TypeError(f"{name} is a masked array; pass value.filled(numpy.nan)")
    array = to_numpy(value)
    if array.dtype.kind not in "iuf":
        raise TypeError(f"{name} holds {array.dtype} entries; wanted real numbers")
    if array.size == 0:
        raise ValueError(f"{name} is empty (shape {array.shape})")
    if np.isinf(array).any():
        raise ValueError(f"{name} has {int(np.isinf(array).sum())} infinite entries")
    return array.astype(np.float64, copy=False)


def _spectra(found: Array, truth: Array) -> tuple[Floats, Floats]:
    """Return both on their common bands, each spectrum of length one."""
    pair = []
    for name, value in (("found", found), ("truth", truth)):
        spectra = real_values(name, value)
        if spectra.ndim not in (1, 2):
            raise ValueError(
                f"{name} has shape {spectra.shape}; wanted (K, bands), a spectrum a "
                "row, or one spectrum (bands,)"
            )
        spectra = np.atleast_2d(spectra)
        pair.append(spectra)
    a, b = pair
    if a.shape[1] != b.shape[1]:
        hint = "; is found transposed?" if a.shape[0] == b.shape[1] else ""
        raise ValueError(
            f"found has {a.shape[1]} bands; wanted {b.shape[1]} like truth{hint}"
        )
    _enough(len(a), len(b))
    used = ~(np.isnan(a).any(axis=0) | np.isnan(b).any(axis=0))
    if not used.any():
        raise ValueError("found and truth share no band without NaN")
    return _unit("found", a[:, used]), _unit("truth", b[:, used])


def _unit(name: str, spectra: Floats) -> Floats:
    top = np.abs(spectra).max(axis=1, keepdims=True)
    empty = np.flatnonzero(top == 0)
    if empty.size:
        raise ValueError(f"{name}[{empty[0]}] is zero in every band; it has no angle")
    # Squares of spectra near 1e-200 would vanish.
    scaled = spectra / top
    return np.asarray(scaled / np.linalg.norm(scaled, axis=1, keepdims=True))


def _angles(found: Floats, truth: Floats) -> Floats:
    """Angles between unit vectors, (K_found, K): arccos alone loses half the digits."""
    a, b = found[:, None], truth[None]
    apart, along = np.linalg.norm(a - b, axis=2), np.linalg.norm(a + b, axis=2)
    return np.asarray(2 * np.arctan2(apart, along))


def _assign(cost: Floats) -> Order:
    """Return the row of each column, all different, with the least total cost."""
    from scipy.optimize import linear_sum_assignment

    columns, rows = linear_sum_assignment(cost.T)
    order = np.empty(len(columns), np.intp)
    order[columns] = rows
    return order


def _matched(found: Array, truth: Array, order: Array | None) -> tuple[Floats, Floats]:
    """Return valid pixels of both, (n, K), endmembers in the order of the truth."""
    a, b = _shares(found, truth)
    if order is None:
        return a[:, _least_error(a, b)], b
    return a[:, _columns(order, a.shape[1], b.shape[1])], b


def _shares(found: Array, truth: Array) -> tuple[Floats, Floats]:
    """Return valid pixels of both, (n, K_found) and (n, K)."""
    a, b = _abundances("found", found), _abundances("truth", truth)
    if a.shape[:-1] != b.shape[:-1]:
        raise ValueError(
            f"found has pixels {a.shape[:-1]}; wanted {b.shape[:-1]} like truth, which "
            f"is {b.shape}"
        )
    _enough(a.shape[-1], b.shape[-1])
    valid = ~(np.isnan(a).any(axis=-1) | np.isnan(b).any(axis=-1))
    if not valid.any():
        raise ValueError("found and truth share no pixel without NaN")
    return a[valid], b[valid]


def _least_error(a: Floats, b: Floats) -> Order:
    power = np.sum(a**2, axis=0)[:, None] + np.sum(b**2, axis=0)
    return _assign(power - 2 * a.T @ b)


def _columns(order: Array, available: int, wanted: int) -> Order:
    columns = to_numpy(order)
    good = columns.shape == (wanted,) and columns.dtype.kind in "iu"
    if good:
        inside = (columns >= 0) & (columns < available)
        good = bool(inside.all()) and len(np.unique(columns)) == wanted
    if not good:
        raise ValueError(
            f"order is {columns.tolist()}; wanted {wanted} different integers from 0 "
            f"to {available - 1}, as from match_endmembers"
        )
    return columns.astype(np.intp)


def _enough(found: int, truth: int) -> None:
    if found < truth:
        raise ValueError(
            f"found has {found} endmembers; wanted at least {truth}, those of truth"
        )


def _abundances(name: str, value: Array) -> Floats:
    array = real_values(name, value)
    if array.ndim not in (2, 3):
        raise ValueError(
            f"{name} has shape {array.shape}; wanted (rows, cols, K) or (n_pixels, K)"
        )
    return array


def _flags(name: str, value: Array) -> NDArray[np.bool_]:
    array = to_numpy(value)
    if array.dtype != bool or array.ndim != 1:
        raise TypeError(
            f"{name} is {array.dtype} of shape {array.shape}; wanted (bands,) bool"
        )
    return array
