"""Exact least squares on the simplex and on the non-negative cone, a row each.

These are the steps that unmixing, archetypal analysis and factorisations repeat for
every pixel; they share the design, hence one small Gram matrix.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sparsesolve import checks
from sparsesolve.backends import Array, to_numpy

__all__ = [
    "fcls_matrix",
    "nnls_matrix",
    "nonnegative_least_squares",
    "simplex_least_squares",
]

Floats = NDArray[np.floating[Any]]

_BLOCK = 1 << 23
"""Bytes of a block of float64 rows: it stays in the cache between two passes."""
_CHUNK = 256
"""Rows that one thread solves in turn, each from the solution of the one before."""


def simplex_least_squares(gram: Array, rhs: Array) -> Floats:
    """Minimise x'Gx/2 - b'x over the simplex {x >= 0, Σ x = 1} for every row b.

    Parameters
    ----------
    gram : (K, K) array
        G, symmetric and positive semi-definite; computed with in float64.
    rhs : (n, K) array
        One right-hand side b a row.

    Returns
    -------
    (n, K) array
        Global minimisers, of the precision of `rhs`; entries off the support are
        exactly 0. Where several points are optimal (equal columns), one of them.

    Raises
    ------
    TypeError, ValueError
        No real numbers, NaN, shapes that do not fit, a matrix that is not symmetric
        or has a negative eigenvalue.

    Notes
    -----
    Active sets, begun at the solution of the row before: about 4 K² flops a row where
    the support stays. On the simplex G + c 11' gives the same minimisers for any c;
    with c of the size of G the factors exist where the columns are affinely
    independent, which is all that uniqueness needs.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsesolve.simplex_least_squares import simplex_least_squares
    >>> simplex_least_squares(np.eye(2), np.array([[0.75, 0.25], [3.0, 0.0]]))
    array([[0.75, 0.25],
           [1.  , 0.  ]])
    """
    return _solved(gram, rhs, total=True)


def nonnegative_least_squares(gram: Array, rhs: Array) -> Floats:
    """Minimise x'Gx/2 - b'x over x >= 0 for every row b.

    Parameters, returns and errors are those of `simplex_least_squares`.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsesolve.simplex_least_squares import nonnegative_least_squares
    >>> nonnegative_least_squares(np.eye(2), np.array([[0.5, -1.0]]))
    array([[0.5, 0. ]])
    """
    return _solved(gram, rhs, total=False)


def fcls_matrix(Y: Array, E: Array, weights: Array | None = None) -> Floats:
    """Fully constrained least squares: ‖E'a - y‖² over the simplex for every row y.

    Parameters
    ----------
    Y : (n_pixels, bands) array
        Spectra, in blocks of which the products with `E` are taken.
    E : (K, bands) array
        Endmembers, in the units of `Y`.
    weights : (bands,) array, optional
        Non-negative weights of the squared residuals; default 1.

    Returns
    -------
    (n_pixels, K) array
        Abundances: float32 if `Y` is, but computed in float64.

    Raises
    ------
    TypeError, ValueError
        No real numbers, NaN, shapes that do not fit, a negative weight.

    Notes
    -----
    Since abundances sum to one, a spectrum that is subtracted from data and
    endmembers alike changes nothing. The mean endmember is: the Gram matrix then
    holds the differences of endmembers, not what they have in common.
    """
    Y, E, w = _checked(Y, E, weights)
    # One weighted centre for all: its product with the rows is a constant per column.
    centre = E.mean(axis=0)
    contrast = E - centre
    weighted = contrast * w
    offset = weighted @ centre
    return _by_blocks(Y, contrast @ weighted.T, weighted, offset, total=True)


def nnls_matrix(Y: Array, E: Array, weights: Array | None = None) -> Floats:
    """Non-negative least squares: ‖E'a - y‖² over a >= 0 for every row y.

    Parameters, returns and errors are those of `fcls_matrix`.
    """
    Y, E, w = _checked(Y, E, weights)
    weighted = E * w
    return _by_blocks(Y, E @ weighted.T, weighted, np.zeros(len(E)), total=False)


def _by_blocks(
    Y: Floats, gram: Floats, weighted: Floats, offset: Floats, *, total: bool
) -> Floats:
    out = np.empty((len(Y), len(gram)), Y.dtype)
    rows = max(_CHUNK, _BLOCK // (8 * Y.shape[1]) // _CHUNK * _CHUNK)
    g = _prepared(gram, total=total)
    for start in range(0, len(Y), rows):
        block = Y[start : start + rows].astype(np.float64, copy=False)
        rhs = block @ weighted.T - offset
        if not np.isfinite(rhs).all():
            checks.finite("Y", Y)
            checks.finite("Y @ E.T", rhs)
        out[start : start + rows] = _kernel(g, rhs, total)
    return out


def _solved(gram: Array, rhs: Array, *, total: bool) -> Floats:
    gram, rhs = _real("gram", gram), _real("rhs", rhs)
    k = gram.shape[0]
    if gram.shape != (k, k):
        raise ValueError(f"gram has shape {gram.shape}; wanted a square matrix")
    if rhs.shape[1] != k:
        raise ValueError(f"rhs has shape {rhs.shape}; wanted (n, {k}) for this gram")
    slack = np.sqrt(np.finfo(gram.dtype).eps) * np.abs(gram).max()
    if np.abs(gram - gram.T).max() > slack:
        raise ValueError("gram is not symmetric; wanted E @ E.T of a (K, bands) E")
    gram = gram.astype(np.float64)
    lowest = np.linalg.eigvalsh(gram)[0]
    if lowest < -slack:
        raise ValueError(
            f"gram has the eigenvalue {lowest:.3g}; wanted none below 0, as of E @ E.T"
        )
    rows = rhs.astype(np.float64, copy=False)
    found = _kernel(_prepared(gram, total=total), rows, total)
    return found.astype(rhs.dtype, copy=False)


def _prepared(gram: Floats, *, total: bool) -> Floats:
    """Return the matrix that the kernel factors: positive definite where it can be."""
    gram = (gram + gram.T) / 2
    if total:
        gram = gram + (np.mean(np.diagonal(gram)) or 1.0)
    return np.ascontiguousarray(gram)


def _kernel(gram: Floats, rhs: Floats, total: bool) -> Floats:
    from sparsesolve import simplex_kernels

    out = np.empty(rhs.shape)
    simplex_kernels.solve_rows(gram, np.ascontiguousarray(rhs), total, _CHUNK, out)
    return out


def _checked(
    Y: Array, E: Array, weights: Array | None
) -> tuple[Floats, Floats, Floats]:
    # NaN in Y shows in its products with E, at a fraction of the cost.
    Y, E = _matrix("Y", Y), _real("E", E).astype(np.float64)
    if Y.shape[1] != E.shape[1]:
        raise ValueError(
            f"Y has shape {Y.shape} and E {E.shape}; wanted (n_pixels, bands) and "
            "(K, bands) of the same bands"
        )
    if weights is None:
        return Y, E, np.ones(E.shape[1])
    w = to_numpy(weights)
    checks.finite("weights", w)
    if w.shape != (E.shape[1],) or w.dtype.kind not in "iuf" or (w < 0).any():
        raise ValueError(
            f"weights has shape {w.shape}; wanted {E.shape[1]} numbers >= 0, one a band"
        )
    if not w.any():
        raise ValueError("weights is zero in every band; wanted some above 0")
    return Y, E, w.astype(np.float64)


def _real(name: str, value: Array) -> Floats:
    array = _matrix(name, value)
    checks.finite(name, array)
    return array


def _matrix(name: str, value: Array) -> Floats:
    """Return a real matrix that is not empty; float32 stays, all else is float64."""
    array = to_numpy(value)
    if array.size == 0:
        raise ValueError(f"{name} is empty (shape {array.shape})")
    if array.ndim != 2 or array.dtype.kind not in "iuf":
        raise ValueError(
            f"{name} is a {array.dtype} array of shape {array.shape}; wanted a real "
            "matrix"
        )
    if array.dtype == np.float32:
        return array
    return array.astype(np.float64, copy=False)
