"""Endmembers as archetypes: mixtures of pixels of which all pixels are mixtures."""

from __future__ import annotations

from typing import Any

import numpy as np

from sparsesolve import checks
from sparsesolve.applications.unmixing_spectra import (
    Floats,
    endmember_count,
    pixel_matrix,
)
from sparsesolve.applications.unmixing_subspace import signal_subspace
from sparsesolve.backends import Array
from sparsesolve.loop import solve
from sparsesolve.losses import LeastSquares
from sparsesolve.operators.archetypes import Archetypes
from sparsesolve.priors.simplex import Simplex
from sparsesolve.problem import Problem
from sparsesolve.solution import Status
from sparsesolve.solvers.archetype_descent import ArchetypeDescent

__all__ = ["archetypal_analysis", "archetype_problem"]

# Starts are told apart after so many iterations on so many pixels; the best of them
# are finished on all. Twelve starts of 60 iterations found the same answers.
_SHORT, _SAMPLE, _KEPT = 25, 3000, 3
_LONG, _LONG_TOL, _SHORT_TOL = 400, 1e-7, 1e-4


def archetypal_analysis(
    spectra: Any,
    n_endmembers: int,
    *,
    weights: Array | None = None,
    dimensions: int = 10,
    starts: int = 8,
    rng: int | np.random.Generator = 0,
) -> Floats:
    """Return the endmembers of archetypal analysis, the best of several starts.

    min Σ_n w_n ‖y_n - Σ_k a_nk z_k‖² with a_n on the simplex and z_k in the convex hull
    of the pixels, in the leading subspace of the weighted spectra. Unlike pure-pixel
    methods it averages over noise, and unlike minimum-volume ones it stays within what
    was measured.

    Parameters
    ----------
    spectra : HyperspectralCube, or array (n_pixels, bands) or (rows, cols, bands)
    n_endmembers : int
        K.
    weights : (n_pixels,) array, optional
        Positive weights w of the squared residuals; default 1. Spectra that were
        divided by their norms want those norms: the noise of dark pixels was amplified.
    dimensions : int
        Size of the subspace, or K if that is larger, at most the pixels and the bands;
        8 to 15 gave the same endmembers on the scenes that were tried.
    starts : int
        Random starts; the one of lowest objective wins.
    rng : int or numpy.random.Generator
        Of the starts.

    Returns
    -------
    (K, bands) array
        Of the spectra's precision; not negative where the spectra are not.

    Raises
    ------
    TypeError, ValueError
        The spectra are no finite real numbers, `n_endmembers` exceeds the pixels, the
        bands or the rank, a weight is not positive.
    KeyboardInterrupt
        Ctrl-C, as a run that was cut short cannot be compared with the others.

    References
    ----------
    Cutler & Breiman, *Archetypal analysis*, 1994, doi:10.1080/00401706.1994.10485840;
    Rasti et al., *Hyperspectral unmixing: HySUPP*, 2024 (in unmixing).

    Examples
    --------
    >>> import numpy as np
    >>> from sparsesolve.applications.unmixing import archetypal_analysis
    >>> shares = np.random.default_rng(0).dirichlet(0.3 * np.ones(3), 200)
    >>> found = archetypal_analysis(shares @ np.eye(3, 5), 3)
    >>> found.shape
    (3, 5)
    """
    Y = pixel_matrix(spectra)
    k = endmember_count(n_endmembers, Y)
    w = _weights(weights, len(Y))
    size = checks.positive_int("dimensions", dimensions)
    starts = checks.positive_int("starts", starts)
    rng = np.random.default_rng(rng)
    basis = signal_subspace(Y, min(max(size, k), *Y.shape), weights=w)
    points = np.ascontiguousarray((Y @ basis.T).T)
    some = np.arange(len(Y))
    if len(Y) > _SAMPLE:
        some = np.sort(rng.choice(len(Y), _SAMPLE, replace=False))
    seeds = rng.integers(2**31, size=starts)
    sample = archetype_problem(points[:, some], k, w[some])
    runs = [_solve(sample, int(s), None, _SHORT, _SHORT_TOL) for s in seeds]
    runs.sort(key=_objective)
    whole = archetype_problem(points, k, w)
    finished = []
    for run in runs[:_KEPT]:
        shares = np.zeros((len(Y), k), Y.dtype)
        shares[some] = run.x["B"]
        start = {"B": shares, "A": np.full((k, len(Y)), 1 / k, Y.dtype)}
        finished.append(_solve(whole, 0, start, _LONG, _LONG_TOL))
    best = min(finished, key=_objective)
    found = np.asarray((points @ best.x["B"]).T @ basis)
    found = np.maximum(found, 0) if Y.min() >= 0 else found
    return np.asarray(found)


def archetype_problem(points: Array, n_archetypes: int, weights: Array) -> Problem:
    """Return archetypal analysis as a problem, for `ArchetypeDescent`.

    Parameters
    ----------
    points : (dimensions, n_pixels) array
    n_archetypes : int
    weights : (n_pixels,) array
        Positive.
    """
    model = Archetypes(points, n_archetypes, points.shape[1])
    loss = LeastSquares(model, points, weights[None, :])
    return Problem(loss, {"B": Simplex(), "A": Simplex()})


def _solve(problem: Problem, seed: int, x0: Any, max_iter: int, tol: float) -> Any:
    found = solve(
        problem,
        ArchetypeDescent(),
        x0=x0,
        seed=seed,
        max_iter=max_iter,
        tol=tol,
        progress=False,
    )
    if found.status is Status.INTERRUPTED:
        raise KeyboardInterrupt("interrupted while archetypes were looked for")
    return found


def _objective(solution: Any) -> float:
    return float(solution.history["objective"][-1])


def _weights(weights: Array | None, n: int) -> Floats:
    if weights is None:
        return np.ones(n)
    w = np.asarray(weights, np.float64)
    if w.shape != (n,):
        raise ValueError(f"weights has shape {w.shape}; wanted ({n},), one a pixel")
    checks.finite("weights", w)
    if not np.all(w > 0):
        raise ValueError("weights has entries that are not positive")
    return np.asarray(w / w.mean())
