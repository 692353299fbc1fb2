"""Choosing lam: warm-started paths, discrepancy, held-out data."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sparsesolve import checks
from sparsesolve.backends import Array, real_dtype, to_device, to_numpy
from sparsesolve.loop import solve
from sparsesolve.losses import LeastSquares
from sparsesolve.problem import Problem
from sparsesolve.solution import Solution, Status
from sparsesolve.solvers.base import Solver

_RULES = (None, "discrepancy", "held_out")


@dataclass(frozen=True)
class Path:
    """Solutions along decreasing lam, and the one chosen.

    Attributes
    ----------
    lams : (n,) array
        Weights, decreasing.
    solutions : list of Solution
        One for each weight that was tried (states dropped, to save memory).
    scores : (n,) array
        What the choice compared: ‖Ax - y‖ over all data for the discrepancy, weighted
        over the held-out data otherwise; misfit where nothing was chosen.
    best : Solution or None
        The chosen one; None where no choice was asked for, or the path was
        interrupted before there was one.
    lam : float or None
        Its weight.
    """

    lams: Array
    solutions: list[Solution]
    scores: Array
    best: Solution | None = None
    lam: float | None = None

    def __repr__(self) -> str:
        chosen = "none chosen" if self.lam is None else f"chosen lam {self.lam:.3g}"
        span = f"{self.lams[0]:.3g} to {self.lams[-1]:.3g}"
        return f"Path({len(self.lams)} weights from {span}, {chosen})"


def path(
    problem: Problem,
    lams: Sequence[float] | None = None,
    *,
    choose: str | None = None,
    noise: float | None = None,
    tau: float = 1.0,
    axis: int | None = None,
    fraction: float = 0.1,
    standard_errors: float = 0.0,
    patience: int | None = None,
    n_lams: int = 20,
    ratio: float = 1e-3,
    solver: Solver | None = None,
    max_iter: int = 1000,
    tol: float | None = None,
    seed: int = 0,
    progress: bool | None = None,
) -> Path:
    """Solve for decreasing weights, each started from the last, and choose one.

    Parameters
    ----------
    problem : Problem
        One problem (no batch) with a prior that has a ``lam``. In a sum the first
        term's lam runs and the ratios of the others to it are kept.
    lams : sequence of float, optional
        Weights > 0, in any order; by default `n_lams` from ``problem.lam_max()`` down
        to `ratio` times it, evenly spaced in logarithm.
    choose : {None, "discrepancy", "held_out"}
        ``"discrepancy"`` takes the largest lam with
        ‖Ax - y‖ <= tau·noise·√n_data and ends the path there; ``"held_out"`` leaves
        out a random share of the data, takes the lam that predicts them best, and
        solves again with all data.
    noise : float, optional
        Standard deviation of the noise of one data entry, for the discrepancy.
    tau : float
        Safety factor of the discrepancy.
    axis : int, optional
        Axis of the data whose slices (channels, bands) are held out whole, counted
        within ``A.out_shape``; None holds out single entries.
    fraction : float
        Share held out: of the entries or slices with a weight, at least one.
    standard_errors : float
        Takes the largest lam whose mean squared error over the held-out data is within
        so many of its standard errors of the least; 1 is usual where simple solutions
        are wanted (Breiman, Friedman, Olshen & Stone 1984, section 3.4.3).
    patience : int, optional
        Ends the path once so many weights in a row predict the held-out data worse
        than the best before them; by default all are tried.
    n_lams, ratio
        The default path.
    solver, max_iter, tol, progress
        Passed to `sparsesolve.solve`, for each weight.
    seed : int
        Seed of the held-out draw and of the solver.

    Returns
    -------
    Path

    Raises
    ------
    ValueError
        An argument is missing or out of range.

    Warns
    -----
    RuntimeWarning
        No weight of the path reaches the noise level; the smallest is taken.
    """
    _check(problem, choose, noise, tau, axis)
    _check_held_out(choose, standard_errors, patience)
    given = lams is not None
    weights = _weights(problem, lams, n_lams, ratio)
    train, score, share = _split(problem, choose, axis, fraction, seed)
    level = tau * (noise or 0.0) * math.sqrt(problem.loss.n_data)

    def run(which: Problem, x0: Any) -> Solution:
        return solve(
            which,
            solver,
            x0=x0,
            max_iter=max_iter,
            tol=tol,
            seed=seed,
            progress=progress,
        )

    solutions: list[Solution] = []
    scores: list[float] = []
    spreads: list[float] = []
    x0, worse = None, 0
    for lam in weights:
        solution = run(train.with_lam(lam), x0)
        x0 = solution.x
        for found, value in zip((scores, spreads), score(solution.x), strict=True):
            found.append(value)
        solutions.append(replace(solution, state=None))
        if solution.status is Status.INTERRUPTED:
            choose = None
            break
        if choose == "discrepancy" and scores[-1] <= level:
            break
        worse = worse + 1 if scores[-1] > min(scores) else 0
        if patience and worse >= patience:
            break
    result = Path(np.array(weights[: len(scores)]), solutions, np.array(scores))
    source = "the given path" if given else f"{n_lams} weights from lam_max down"
    if choose is None:
        return result
    if choose == "discrepancy":
        return _at_discrepancy(result, level, source)
    squares = np.square(scores)
    least = int(np.argmin(squares))
    enough = squares[least] + standard_errors * spreads[least]
    index = int(np.argmax(squares <= enough))
    lam = weights[index]
    best = run(problem.with_lam(lam), solutions[index].x)
    if best.status is Status.INTERRUPTED:
        return result
    best_of = f"best on {share:.0%} held-out data among {source}"
    if index < least:
        best_of = (
            f"the largest within {standard_errors:g} standard error(s) of the {best_of}"
        )
    why = f"{lam:.4g}, {best_of}"
    return replace(result, best=_noted(best, why), lam=lam)


def _at_discrepancy(result: Path, level: float, source: str) -> Path:
    lam, misfit = float(result.lams[-1]), float(result.scores[-1])
    why = (
        f"{lam:.4g}, the largest of {source} with misfit {misfit:.3g} <= noise level "
        f"{level:.3g}"
    )
    if misfit > level:
        why = (
            f"{lam:.4g}, the smallest of {source}: even there the misfit {misfit:.3g} "
            f"is above the noise level {level:.3g}; if the model itself is off by more "
            "than the noise, its error belongs into that level"
        )
        warnings.warn(f"lam is {why}", RuntimeWarning, stacklevel=3)
    return replace(result, best=_noted(result.solutions[-1], why), lam=lam)


def _noted(solution: Solution, why: str) -> Solution:
    return replace(solution, choices={**solution.choices, "lam": why})


def _check(
    problem: Problem,
    choose: str | None,
    noise: float | None,
    tau: float,
    axis: int | None,
) -> None:
    if not isinstance(problem, Problem):
        raise TypeError(f"problem is a {type(problem).__name__}; wanted a Problem")
    if problem.batch_shape:
        raise ValueError(f"path takes one problem; got a batch {problem.batch_shape}")
    if problem.is_blocks or problem.prior.lam is None:
        raise TypeError(f"path needs a prior with a lam; got {problem.prior!r}")
    if choose not in _RULES:
        raise ValueError(f"choose is {choose!r}; wanted one of {_RULES}")
    checks.positive_number("tau", tau)
    if noise is not None:
        checks.positive_number("noise", noise)
    elif choose == "discrepancy":
        raise ValueError("choose='discrepancy' needs noise, its standard deviation")
    if axis is not None and choose != "held_out":
        raise ValueError(f"axis is for choose='held_out'; choose is {choose!r}")
    if choose == "held_out" and not isinstance(problem.loss, LeastSquares):
        raise TypeError("choose='held_out' needs a LeastSquares loss")


def _check_held_out(
    choose: str | None, standard_errors: float, patience: int | None
) -> None:
    checks.positive_number("standard_errors", standard_errors, zero=True)
    if patience is not None:
        checks.positive_int("patience", patience)
    given = {"standard_errors": standard_errors, "patience": patience}
    for name, value in given.items():
        if value and choose != "held_out":
            raise ValueError(f"{name} is for choose='held_out'; choose is {choose!r}")


def largest_lam(problem: Problem) -> float:
    """Return ``problem.lam_max()``; refuse data to which no weight matters."""
    top = float(problem.lam_max())
    if top == 0:
        raise ValueError("lam_max is 0, as Aᴴy is: x = 0 is the solution for any lam")
    return top


def usable_slices(loss: Any, axis: int | None) -> NDArray[np.intp]:
    """Return the slices of the data along an axis, or the entries, with a weight."""
    shape = loss.A.out_shape
    used = np.ones(shape, bool)
    if loss.weights is not None:
        used = np.broadcast_to(to_numpy(loss.weights) > 0, shape)
    if axis is None:
        return np.flatnonzero(used)
    slices = np.moveaxis(used, axis, 0).reshape(shape[axis], -1)
    return np.flatnonzero(slices.any(axis=1))


def _weights(
    problem: Problem, lams: Sequence[float] | None, n_lams: int, ratio: float
) -> list[float]:
    if lams is not None:
        if not isinstance(lams, Sequence | np.ndarray):
            raise TypeError(f"lams is {lams!r}; wanted a sequence of numbers > 0")
        weights = sorted((checks.positive("lams", lam) for lam in lams), reverse=True)
        if not weights:
            raise ValueError("lams is empty; wanted at least one weight")
        return weights
    checks.positive_int("n_lams", n_lams)
    if not 0 < ratio < 1:
        raise ValueError(f"ratio is {ratio}; wanted a number between 0 and 1")
    top = largest_lam(problem)
    return [float(lam) for lam in np.geomspace(top, ratio * top, n_lams)]


def _split(
    problem: Problem, choose: str | None, axis: int | None, fraction: float, seed: int
) -> tuple[Problem, Any, float]:
    """Return the problem to fit, the score of a solution, and the share held out.

    With the score comes the standard error of its square.
    """
    loss: Any = problem.loss
    if choose != "held_out":
        return problem, lambda x: (float(loss.misfit(loss.A.forward(x))), 0.0), 0.0
    held = _held_out(problem.loss, axis, fraction, seed)
    weights = np.ones(loss.y.shape, real_dtype(problem.x_dtype))
    if loss.weights is not None:
        weights = to_numpy(loss.weights)

    def weighted(mask: Any) -> Any:
        return to_device((weights * mask).astype(weights.dtype), problem.device)

    kept, test = weighted(~held), weighted(held)
    chosen = test > 0

    def score(x: Any) -> tuple[float, float]:
        errors = test * abs(loss.A.forward(x) - loss.y) ** 2
        errors = to_numpy(errors[chosen])
        return math.sqrt(errors.sum()), math.sqrt(errors.size) * float(errors.std())

    share = float(
        np.sum(held & (weights > 0)) / np.sum(np.broadcast_to(weights > 0, held.shape))
    )
    return problem.with_loss(LeastSquares(loss.A, loss.y, kept)), score, share


def _held_out(loss: Any, axis: int | None, fraction: float, seed: int) -> Any:
    """Boolean array of the data's shape: True where held out."""
    if not 0 < fraction < 1:
        raise ValueError(f"fraction is {fraction}; wanted a number between 0 and 1")
    shape = loss.A.out_shape
    rng = np.random.default_rng(seed)
    if axis is not None and not -len(shape) <= axis < len(shape):
        raise ValueError(f"axis is {axis}; the data have shape {shape}")
    usable = usable_slices(loss, axis)
    if usable.size < 2:
        raise ValueError(
            f"cannot hold out a share of {usable.size} slices of data {shape}"
        )
    n = min(usable.size - 1, max(1, round(fraction * usable.size)))
    chosen = np.zeros(math.prod(shape) if axis is None else shape[axis], bool)
    chosen[usable[rng.permutation(usable.size)[:n]]] = True
    if axis is None:
        return chosen.reshape(shape)
    along = [1] * len(shape)
    along[axis] = -1
    return np.broadcast_to(chosen.reshape(along), shape)
