"""Steering matrices, and the Kronecker factors of a channel through a surface."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sparsesolve import checks
from sparsesolve.backends import to_numpy

__all__ = ["cascaded_steering", "cosine_grid", "irs_factors", "steering_matrix"]

Complexes = NDArray[np.complexfloating[Any, Any]]
Floats = NDArray[np.float64]

# Columns of unit norm whose inner product is closer to one than this are one atom.
_SAME = 1e-9


def cosine_grid(n_atoms: int) -> Floats:
    """Return `n_atoms` equidistant cosines from -1 on, ``(n_atoms,)``; 1 is left out.

    At half-wave spacing the steering vectors of -1 and 1 are the same.
    """
    n_atoms = checks.positive_int("n_atoms", n_atoms)
    return np.asarray(-1 + 2 * np.arange(n_atoms) / n_atoms)


def steering_matrix(
    n_antennas: int, cosines: Any, *, spacing: float = 0.5
) -> NDArray[np.complex128]:
    """Return the steering vectors of a uniform linear array, one a column.

    ``a[n, k] = exp(j 2π spacing n cosines[k]) / √n_antennas``

    Parameters
    ----------
    n_antennas : int
    cosines : (n_atoms,) array_like, -1 to 1
        Of the angle between direction and array.
    spacing : float, wavelengths
        Distance of neighbouring antennas.

    Returns
    -------
    (n_antennas, n_atoms) complex array
        Columns of unit norm.

    Raises
    ------
    ValueError, TypeError
        One sentence that names the argument, what it is and what was wanted.

    Examples
    --------
    >>> steering_matrix(2, [0.0, 1.0]).round(3)
    array([[ 0.707+0.j,  0.707+0.j],
           [ 0.707+0.j, -0.707+0.j]])
    """
    n_antennas = checks.positive_int("n_antennas", n_antennas)
    spacing = checks.positive_number("spacing", spacing)
    directions = np.asarray(checks.real_array("cosines", np.asarray(cosines)))
    if directions.ndim != 1 or np.abs(directions).max() > 1:
        raise ValueError(
            f"cosines has shape {directions.shape} and magnitudes up to "
            f"{np.abs(directions).max():g}; wanted one axis, and -1 to 1"
        )
    phase = 2j * np.pi * spacing * np.outer(np.arange(n_antennas), directions)
    return np.asarray(np.exp(phase) / np.sqrt(n_antennas))


def cascaded_steering(arrival: Any, departure: Any) -> Complexes:
    """Return what a surface does between two directions, one pair a column.

    The column of a pair is ``arrival[:, p] * conj(departure[:, q])``. Columns that
    repeat an earlier one up to a factor are left out: no measurement tells them apart.
    On a `cosine_grid` at half-wave spacing n of the n² are left, as only the difference
    of two cosines counts.

    Parameters
    ----------
    arrival, departure : (n_elements, n_atoms) arrays
        Steering matrices of the surface, towards the sender and the receiver.

    Returns
    -------
    (n_elements, n_different) complex array

    Raises
    ------
    ValueError, TypeError
        No matrices, other numbers of elements, or a pair that is zero everywhere.
    """
    p, q = _matrix("arrival", arrival), _matrix("departure", departure)
    _same_length("departure", q, "arrival", p)
    pairs = (p[:, :, None] * q[:, None, :].conj()).reshape(len(p), -1)
    norms = np.linalg.norm(pairs, axis=0)
    if not norms.all():
        raise ValueError("arrival and departure have a pair whose product is zero")
    unit = pairs / norms
    alike = np.abs(unit.conj().T @ unit) > 1 - _SAME
    return np.asarray(pairs[:, ~np.triu(alike, 1).any(axis=0)])


def irs_factors(
    mobile: Any, cascade: Any, base: Any, pilots: Any, patterns: Any
) -> tuple[tuple[Complexes, ...], tuple[Complexes, ...]]:
    """Return the Kronecker factors of an uplink through a reflecting surface.

    With pattern k, data[k, t, b] = Σ_m pilots[m, t] channel[k, m, b] + noise.

    Parameters
    ----------
    mobile : (n_mobile, N_2) array
        Steering matrix of the mobile station.
    cascade : (n_elements, N_1) array
        What the surface does between two directions, see `cascaded_steering`.
    base : (n_base, N_3) array
        Steering matrix of the base station.
    pilots : (n_mobile, n_pilots) array
        What the mobile station's antennas send, one column a time.
    patterns : (n_elements, n_patterns) array
        Reflection coefficients of the surface, one column a pattern.

    Returns
    -------
    factors : three matrices
        (n_patterns, N_1), (n_pilots, N_2) and (n_base, N_3): patternsᵀ cascade,
        pilotsᵀ conj(mobile) and base. They map x, (N_1, N_2, N_3), to the data.
    synthesis : three matrices
        The same without pilots: they map x to the channel (n_patterns, n_mobile,
        n_base).

    Raises
    ------
    ValueError, TypeError
        An argument is no finite matrix, or numbers of antennas or elements differ.
    """
    A, C, B = (
        _matrix(name, a)
        for name, a in (("mobile", mobile), ("cascade", cascade), ("base", base))
    )
    X, W = _matrix("pilots", pilots), _matrix("patterns", patterns)
    _same_length("pilots", X, "mobile", A)
    _same_length("patterns", W, "cascade", C)
    surface, sent = W.T @ C, A.conj()
    return (surface, X.T @ sent, B), (surface, sent, B)


def _matrix(name: str, value: Any) -> Complexes:
    array = to_numpy(value) if hasattr(value, "shape") else np.asarray(value)
    checks.finite(name, array)
    if array.ndim != 2:
        raise ValueError(f"{name} has shape {array.shape}; wanted a matrix")
    single = array.dtype in (np.float32, np.complex64)
    return np.asarray(array, np.complex64 if single else np.complex128)


def _same_length(name: str, a: Complexes, other: str, b: Complexes) -> None:
    if len(a) == len(b):
        return
    swapped = "; are the axes swapped?" if a.shape[1] == len(b) else ""
    raise ValueError(
        f"{name} has {len(a)} rows and {other} {len(b)}; wanted as many, one for each "
        f"antenna or element{swapped}"
    )
