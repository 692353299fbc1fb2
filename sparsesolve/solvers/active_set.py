"""Exact minimisers of least squares on cones and simplices, in one step."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from sparsesolve.backends import Array, array_namespace, norm, scalar
from sparsesolve.losses import LeastSquares
from sparsesolve.normal_form import NormalForm, normal_form
from sparsesolve.operators.blocks import LeftMultiply, RightMultiply
from sparsesolve.priors.base import Prior
from sparsesolve.priors.bounds import NonNegative
from sparsesolve.priors.simplex import Simplex, SoftSimplex
from sparsesolve.priors.tilted import Tilted
from sparsesolve.solvers.base import ARRAY_UNKNOWN, LEAST_SQUARES, Need, Solver


def _is_known(problem: Any) -> bool:
    """Whether `NormalForm.minimise` knows the minimiser, judged without solving."""
    loss = problem.loss
    if not isinstance(loss.A, (LeftMultiply, RightMultiply)) or loss.A.m.ndim != 2:
        return False
    if loss.y.ndim != 2 or loss.factors or problem.x_dtype.kind != "f":
        return False
    prior = _set_of(problem.prior)
    if not isinstance(prior, (Simplex, SoftSimplex)):
        return isinstance(prior, NonNegative)
    return prior.axis % 2 == (0 if isinstance(loss.A, LeftMultiply) else 1)


def _set_of(prior: Prior) -> Prior:
    return _set_of(prior.within) if isinstance(prior, Tilted) else prior


SHARED_MATRIX = Need(
    "one real matrix that all columns share, and NonNegative, Simplex or SoftSimplex "
    "along its side, with a linear cost or without",
    _is_known,
    "use ADMM or ProximalGradient",
)


class State(NamedTuple):
    """State of `ActiveSet`."""

    x: Array
    """The minimiser, after one iteration."""
    residual: Any
    """Relative change of x under a proximal gradient step."""
    metrics: dict[str, Any]
    """``misfit`` and ``objective``."""


@dataclass(frozen=True)
class ActiveSet(Solver):
    """The exact minimiser by active sets, column by column: one iteration.

    For ½‖m X - Y‖² (or X m) over x >= 0 or sums of one, with a linear cost or without:
    non-negative least squares, fully constrained unmixing and sparse unmixing. What
    is done is the work of `sparsesolve.simplex_least_squares`, with the Gram matrix of
    m in double precision, on the host. Entries off the support are exactly 0.

    Cost: 4 K² flops a column and change of its support, K the unknowns of a column;
    `ADMM` takes about as much for an iteration.

    References
    ----------
    Lawson and Hanson, *Solving Least Squares Problems*, 1974, chapter 23.
    """

    needs = (ARRAY_UNKNOWN, LEAST_SQUARES, SHARED_MATRIX)

    def prepare(self, problem: Any) -> NormalForm:
        """Return the normal form, in double precision: it squares the condition."""
        loss = problem.loss
        xp = array_namespace(loss.y)
        m, y = (xp.astype(a, xp.float64, copy=False) for a in (loss.A.m, loss.y))
        n = problem.x_shape[1 if isinstance(loss.A, LeftMultiply) else 0]
        form = normal_form(LeastSquares(type(loss.A)(m, n), y))
        assert form is not None
        return form

    def init(
        self, problem: Any, plan: NormalForm, x0: Any, rng: np.random.Generator
    ) -> State:
        return State(problem.zeros() if x0 is None else x0, math.inf, {})

    def step(self, problem: Any, plan: NormalForm, state: State) -> State:
        if state.metrics:  # found already: nothing is left to do
            return state
        best = plan.minimise(problem.prior)
        step = 1 / (plan.lipschitz() or 1.0)
        moved = problem.prior.prox(best - step * plan.gradient(best), step)
        size = scalar(norm(best))
        residual = scalar(norm(moved - best)) / (size or 1.0)
        xp = array_namespace(best)
        x = xp.astype(best, problem.loss.y.dtype, copy=False)
        image = problem.A.forward(x)
        objective = problem.loss.value(image) + problem.prior.value(x)
        row = {
            "misfit": scalar(problem.loss.misfit(image)),
            "objective": scalar(objective),
        }
        return State(x, residual, row)
