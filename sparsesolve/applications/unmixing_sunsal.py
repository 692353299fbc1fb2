"""Sparse unmixing with a spectral library: SUnSAL and its relatives, as problems."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sparsesolve.applications.unmixing_reduction import ReducedData
from sparsesolve.cube import HyperspectralCube
from sparsesolve.loop import solve
from sparsesolve.operators import Gradient, Reshape
from sparsesolve.operators.blocks import LeftMultiply
from sparsesolve.priors import (
    GroupL2,
    NonNegative,
    OnNonNegative,
    Simplex,
    Term,
    Tilted,
)
from sparsesolve.priors.base import Prior
from sparsesolve.problem import Problem
from sparsesolve.solution import Solution
from sparsesolve.solvers import ADMM, Solver

__all__ = ["LibraryUnmixing", "clsunsal", "sunsal", "sunsal_tv"]

Floats = NDArray[np.floating[Any]]


@dataclass(frozen=True, eq=False, repr=False)
class LibraryUnmixing:
    """What unmixing with a library returns.

    Attributes
    ----------
    abundances : (rows, cols, K) or (n_pixels, K) array
        One map for each spectrum of the library; NaN at a cube's invalid pixels.
    names : tuple of str
        Names of the library's spectra; () if it was a plain array.
    solution : Solution
        Of `sparsesolve.solve`; ``solution.choices`` says what was chosen and why.
        Its `x` holds a column for each pixel. The ``objective`` of its history is
        whole; its ``misfit`` lacks what no abundances can explain.
    """

    abundances: Floats
    names: tuple[str, ...]
    solution: Solution

    def __repr__(self) -> str:
        shape = " x ".join(map(str, self.abundances.shape))
        return f"LibraryUnmixing(abundances {shape}, {self.solution!r})"


def sunsal(
    spectra: Any,
    library: Any,
    *,
    lam: float | None = None,
    sum_to_one: bool = False,
    solver: Solver | None = None,
    max_iter: int = 1000,
    tol: float | None = None,
    progress: bool | None = None,
) -> LibraryUnmixing:
    """Sparse unmixing: minimise ½‖XE − Y‖² + lam Σ|x| over X >= 0.

    Parameters
    ----------
    spectra : HyperspectralCube, or array (n_pixels, bands) or (rows, cols, bands)
        Of a cube the valid pixels and the good bands, in physical units.
    library : SpectralLibrary, or (K, bands) array
        In the units of the data. A library is resampled to a cube that has
        wavelengths unless it is on them already; a plain array is as the endmembers
        of `fclsu`.
    lam : float, optional
        Weight of the ℓ1 norm, in squared units of the data. By default that at which
        its bias of the abundances is a tenth of their error by noise: both follow from
        the supports and residuals of non-negative least squares, and no truth is
        needed (`ReducedData.harmless_weight`). Non-negativity does most of the work;
        the universal threshold σ √(2 ln K) ‖e‖ would be about ten times as much, and
        its bias the larger error.
    sum_to_one : bool
        Abundances of a pixel sum to one. Since they are non-negative, their ℓ1 norm is
        1 then whatever they are, so that `lam` must be left out: the minimiser is that
        of `fclsu`, which finds it exactly and faster.
    solver : Solver, optional
        By default `ActiveSet`, which is exact. ``ADMM()``, the paper's, and any
        other stop at `tol`.
    max_iter, tol, progress
        As of `sparsesolve.solve`.

    Returns
    -------
    LibraryUnmixing

    Raises
    ------
    TypeError, ValueError
        No real numbers, NaN, shapes that do not fit, a library that does not cover the
        cube, `lam` beside `sum_to_one`.

    Notes
    -----
    The library is factored once, Eᵀ = U S Vᵀ, and the data are reduced to UᵀY, which
    changes the objective by a constant; the bands are not seen any more. The ℓ1 norm
    of non-negative abundances is linear, so that this is non-negative least squares
    with lam taken off the right-hand side, which `ActiveSet` solves. `ADMM` takes 4 K²
    flops a pixel and iteration, and hundreds of iterations.

    References
    ----------
    Bioucas-Dias and Figueiredo, *Alternating direction algorithms for constrained
    sparse regression: application to hyperspectral unmixing*, 2010,
    doi:10.1109/WHISPERS.2010.5594963.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsesolve.applications.unmixing import sunsal
    >>> found = sunsal(np.array([[1.0, 0.2, 0.0]]), np.eye(3), lam=0.25)
    >>> found.abundances.round(3)
    array([[0.75, 0.  , 0.  ]])
    """
    data = ReducedData(spectra, library)
    prior = _of_a_pixel(data, lam, sum_to_one)
    operator = LeftMultiply(data.factor, data.n_pixels)
    problem = Problem(data.loss(operator), prior)
    return _solved(data, problem, solver, max_iter, tol, progress)


def sunsal_tv(
    spectra: Any,
    library: Any,
    *,
    lam: float | None = None,
    lam_tv: float | None = None,
    sum_to_one: bool = False,
    max_iter: int = 1000,
    tol: float | None = None,
    progress: bool | None = None,
) -> LibraryUnmixing:
    """Sparse unmixing of maps that are smooth but for edges.

    Minimise ½‖XE − Y‖² + lam Σ|x| + lam_tv Σ_k TV(x_k) over X >= 0, with the isotropic
    total variation of each abundance map. Invalid pixels of a cube are filled from
    their neighbours while it is solved, and NaN in the result.

    Parameters
    ----------
    spectra : HyperspectralCube or (rows, cols, bands) array
    library, lam, max_iter, tol, progress
        As of `sunsal`.
    lam_tv : float, optional
        Weight of the total variation; by default that of the ℓ1 norm in `sunsal`.
    sum_to_one : bool
        As of `sunsal`: instead of the ℓ1 norm.

    Returns
    -------
    LibraryUnmixing

    Raises
    ------
    TypeError, ValueError
        As of `sunsal`; spectra without rows and columns.

    References
    ----------
    Iordache, Bioucas-Dias and Plaza, *Total variation spatial regularization for sparse
    hyperspectral unmixing*, 2012, doi:10.1109/TGRS.2012.2191590.
    """
    size = np.shape(spectra)[:2] if np.ndim(spectra) == 3 else None
    size = spectra.shape[:2] if isinstance(spectra, HyperspectralCube) else size
    if size is None:
        raise ValueError(
            f"spectra has shape {np.shape(spectra)}; wanted (rows, cols, bands), as "
            "total variation needs neighbours"
        )
    data = ReducedData(spectra, library)
    prior = _of_a_pixel(data, lam, sum_to_one)
    lam_tv = data.weight("lam_tv", lam_tv)
    n, shape = math.prod(size), (data.factor.shape[1], *size)
    operator = LeftMultiply(data.factor, n) @ Reshape(shape, (shape[0], n))
    edges = Term(GroupL2(lam_tv, groups=0), Gradient(shape, axes=(1, 2)))
    seen = None
    if isinstance(spectra, HyperspectralCube) and not spectra.valid.all():
        seen = spectra.valid.reshape(-1)
    problem = Problem(data.loss(operator, seen), prior + edges)
    return _solved(data, problem, ADMM(), max_iter, tol, progress)


def clsunsal(
    spectra: Any,
    library: Any,
    *,
    lam: float | None = None,
    max_iter: int = 1000,
    tol: float | None = None,
    progress: bool | None = None,
) -> LibraryUnmixing:
    """Collaborative sparse unmixing: few spectra for all pixels together.

    Minimise ½‖XE − Y‖² + lam Σ_k ‖x_k‖₂ over X >= 0, with ‖x_k‖₂ over all pixels: a
    spectrum of the library is present somewhere, or nowhere at all.

    Parameters
    ----------
    spectra, library, max_iter, tol, progress
        As of `sunsal`.
    lam : float, optional
        By default that of `sunsal` times √N for N pixels: spread evenly over them, the
        group norm then pulls as hard on each.

    Returns
    -------
    LibraryUnmixing
        Abundances are non-negative, and maps of spectra that are absent exactly 0.

    Raises
    ------
    TypeError, ValueError
        As of `sunsal`.

    References
    ----------
    Iordache, Bioucas-Dias and Plaza, *Collaborative sparse regression for hyperspectral
    unmixing*, 2014, doi:10.1109/TGRS.2013.2240001.
    """
    data = ReducedData(spectra, library)
    n = data.n_pixels
    lam = data.weight("lam", lam, math.sqrt(n))
    prior = OnNonNegative(GroupL2(lam, groups=1))
    problem = Problem(data.loss(LeftMultiply(data.factor, n)), prior)
    return _solved(data, problem, ADMM(), max_iter, tol, progress)


def _of_a_pixel(data: ReducedData, lam: float | None, sum_to_one: bool) -> Prior:
    if not sum_to_one:
        return Tilted(data.weight("lam", lam), NonNegative())
    if lam is None:
        return Simplex(axis=0)
    raise ValueError(
        f"lam is {lam:g} beside sum_to_one=True, under which the ℓ1 norm is always 1; "
        "leave lam out"
    )


def _solved(
    data: ReducedData,
    problem: Problem,
    solver: Solver | None,
    max_iter: int,
    tol: float | None,
    progress: bool | None,
) -> LibraryUnmixing:
    problem.choices.update(data.choices)
    solution = solve(problem, solver, max_iter=max_iter, tol=tol, progress=progress)
    return LibraryUnmixing(data.on_map(solution.x), data.names, solution)
