"""Robust, guided-sparsity unmixing as a problem, and its published special cases."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from sparsesolve import checks
from sparsesolve.applications.unmixing_guides import LARGEST
from sparsesolve.applications.unmixing_spectra import Floats, pixel_matrix
from sparsesolve.backends import Array
from sparsesolve.loop import solve
from sparsesolve.losses import LeastSquares, Loss
from sparsesolve.operators.blocks import Product
from sparsesolve.priors.base import Prior
from sparsesolve.priors.bounds import NonNegative
from sparsesolve.priors.guided_lp import GuidedLp
from sparsesolve.priors.guides import SparsenessGuide
from sparsesolve.priors.simplex import Simplex, SoftSimplex
from sparsesolve.problem import Problem
from sparsesolve.robust import L21
from sparsesolve.simplex_least_squares import fcls_matrix, nnls_matrix
from sparsesolve.solution import Solution
from sparsesolve.solvers.alternating import AlternatingMinimization

__all__ = ["Factorisation", "factorise"]

LOSSES = "l21", "frobenius"
SUMS = "exact", "augmented", "normalised", "free"

# Measured on Samson and Jasper Ridge: from 1.5 to 3 the endmembers are within a tenth.
SPARSITY = 2.0
# Of a pixel's mean square: how strongly augmentation holds the sum of its abundances.
_AUGMENTATION = 1.0


@dataclass(frozen=True)
class Factorisation:
    """What `factorise` returns; K endmembers, N pixels, L bands.

    Attributes
    ----------
    endmembers : (K, L) array
    abundances : (N, K) array
        Those of the minimiser, with its sparsity.
    band_weights : (L,) array
        1/‖residual of the band‖, of mean one; all one for the Frobenius loss.
    guide : (N,) array
        The guide map in use at the end.
    solution : Solution
        With the blocks ``M (L, K)`` and ``A (K, N)``, history and choices.
    """

    endmembers: Floats
    abundances: Floats
    band_weights: Floats
    guide: Floats
    solution: Solution


def factorise(
    pixels: Any,
    start: Array,
    *,
    loss: str = "l21",
    sparsity: float = SPARSITY,
    guide: Any = None,
    pixel_weights: Array | None = None,
    sum_to_one: str = "exact",
    max_iter: int = 100,
    tol: float = 1e-4,
    progress: bool | None = None,
) -> Factorisation:
    """Minimise the robust guided model, from given endmembers.

    Σ_l ‖Y_l - M_l A‖_w + lam Σ_kn w_n A_kn^(1 - h_n) with M >= 0, bands l, pixels n,
    endmembers k. Both terms are majorised, and each block is minimised exactly. From
    parts switched off follow NMF (Frobenius loss, no sparsity, free sums), ℓ1/2-NMF
    (Frobenius, guide 1/2), data-guided NMF (Frobenius, a guide from the data) and
    ℓ2,1-NMF (no sparsity, free sums).

    Parameters
    ----------
    pixels : HyperspectralCube, or array (N, L) or (rows, cols, L)
        Spectra; of a cube the valid pixels and the good bands.
    start : (K, L) array
        Endmembers to begin with, negative entries cut to 0; the minimum that is found
        depends on them.
    loss : "l21" or "frobenius"
        ℓ2,1, a band that is off pulls with bounded force; or half the squared
        Frobenius norm.
    sparsity : float
        c in lam = c · (misfit of the start) / (weights of the pixels), set once, so
        that it means the same in every scene and unit; 0 for none.
    guide : float, (N,) array, or SparsenessGuide; optional
        h, see `GuidedLp`. By default learnt from the abundances' sparseness and cut at
        3/4.
    pixel_weights : (N,) array, optional
        Positive weights w of the squared residuals; default 1.
    sum_to_one : "exact", "augmented", "normalised" or "free"
        The simplex; a penalty on the sum (the augmented row of FCLS); abundances
        divided by their sum at the end; or nothing.
    max_iter : int
        Sweeps at most.
    tol : float
        Relative change of endmembers or abundances in a sweep at which to stop.
    progress : bool, optional
        As of `sparsesolve.solve`.

    Returns
    -------
    Factorisation

    Raises
    ------
    TypeError, ValueError
        An unknown word, no real numbers, NaN, shapes that do not fit, weights that are
        not positive, an endmember without positive entries.

    Notes
    -----
    4 K N L flops a sweep, and memory for three arrays of N L numbers. The objective
    never rises but where the guide is learnt anew (every fifth sweep).

    References
    ----------
    Zhu, Wang, Fan, Xiang & Pan, *Effective spectral unmixing via robust representation
    and learning-based sparsity*, 2014, arXiv:1409.0685; Qian, Jia, Zhou & Robles-Kelly,
    *Hyperspectral unmixing via L1/2 sparsity-constrained nonnegative matrix
    factorization*, 2011, doi:10.1109/TGRS.2011.2144605.
    """
    _check_word("loss", loss, LOSSES)
    _check_word("sum_to_one", sum_to_one, SUMS)
    pixels = pixel_matrix(pixels, "pixels")
    start = np.asarray(start)
    _check_start(start, pixels.shape[1])
    w = _checked_weights(pixel_weights, len(pixels))
    sparsity = checks.positive_number("sparsity", sparsity, zero=True)
    M, A = _first_blocks(pixels, start, sum_to_one)
    misfit = _misfit(pixels, M, A, loss, w)
    lam = sparsity * float(misfit.value(M @ A)) / _total(w, len(pixels))
    if guide is None:
        guide = SparsenessGuide(start=0.5, largest=LARGEST)
    within = _set(sum_to_one, misfit, M, A, w)
    prior: Prior = within
    if lam > 0:
        prior = GuidedLp(lam, guide, weights=w, within=within)
    problem = Problem(misfit, {"M": NonNegative(), "A": prior})
    if lam > 0:
        note = f"{lam:.3g} = {sparsity:g} times the first misfit a pixel"
        problem.choices["lam"] = note
    solver = AlternatingMinimization(order=("A", "M"))
    found = solve(
        problem,
        solver,
        x0={"M": M, "A": A},
        max_iter=max_iter,
        tol=tol,
        progress=progress,
    )
    return _factorisation(problem, found, sum_to_one)


def _factorisation(
    problem: Problem, solution: Solution, sum_to_one: str
) -> Factorisation:
    A = solution.x["A"].T
    if sum_to_one == "normalised":
        total = A.sum(axis=1, keepdims=True)
        A = A / np.where(total > 0, total, 1)
    weights = np.ones(problem.loss.y.shape[0], A.dtype)
    if isinstance(problem.loss, L21):
        weights = solution.state.weights[0].reshape(-1)
    prior = problem.prior["A"]
    guide: Any = 0.0
    if isinstance(prior, GuidedLp):
        guide = prior.given(solution.state.learnt.get("A", {})).map
    n = len(A)
    return Factorisation(
        endmembers=np.ascontiguousarray(solution.x["M"].T),
        abundances=np.ascontiguousarray(A),
        band_weights=weights / weights.mean(),
        guide=np.broadcast_to(np.reshape(guide, -1), (n,)).astype(A.dtype),
        solution=solution,
    )


def _first_blocks(
    pixels: Floats, start: Floats, sum_to_one: str
) -> tuple[Floats, Floats]:
    solve_for = fcls_matrix if sum_to_one in ("exact", "augmented") else nnls_matrix
    start = np.maximum(start, 0).astype(pixels.dtype)
    A = solve_for(pixels, start)
    return np.ascontiguousarray(start.T), np.ascontiguousarray(A.T)


def _misfit(
    pixels: Floats, M: Floats, A: Floats, loss: str, weights: Array | None
) -> Any:
    product = Product("M", "A", shape=(M.shape[0], M.shape[1], A.shape[1]))
    Y = np.ascontiguousarray(pixels.T)
    if loss == "l21":
        return L21(product, Y, weights=weights)
    return LeastSquares(product, Y, None if weights is None else weights[None, :])


def _set(
    sum_to_one: str, misfit: Loss, M: Floats, A: Floats, weights: Array | None
) -> Prior:
    if sum_to_one == "exact":
        return Simplex()
    if sum_to_one != "augmented":
        return NonNegative()
    u = np.ones((len(M), 1))
    if not misfit.smooth:
        u = misfit.majorise(M @ A).factors[0]
    lam = _AUGMENTATION * float(np.mean(np.sum(u * M**2, axis=0)))
    return SoftSimplex(lam, weights=weights)


def _check_start(start: Floats, bands: int) -> None:
    if start.ndim != 2 or start.shape[1] != bands:
        raise ValueError(
            f"start has shape {start.shape}; wanted (K, {bands}), a spectrum a row on "
            "the bands of the pixels"
        )
    checks.finite("start", start)
    empty = np.flatnonzero(~(start > 0).any(axis=1))
    if empty.size:
        raise ValueError(
            f"start[{empty[0]}] has no entry above 0; wanted endmembers as of spectra "
            "that are not negative"
        )


def _checked_weights(weights: Array | None, n: int) -> Array | None:
    if weights is None:
        return None
    w = np.asarray(weights)
    if w.shape != (n,):
        raise ValueError(
            f"pixel_weights has shape {w.shape}; wanted ({n},), one a pixel"
        )
    return w


def _total(weights: Array | None, n: int) -> float:
    return float(n if weights is None else np.sum(weights))


def _check_word(name: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise ValueError(f"{name} is {value!r}; wanted one of {', '.join(known)}")
