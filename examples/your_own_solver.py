"""Settings, a state and three functions; Ctrl-C and checkpoints come for free."""

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

import sparsesolve as ss
from sparsesolve.solvers.base import ARRAY_UNKNOWN, ONE_PROX, SMOOTH_LOSS, Solver


class State(NamedTuple):  # noqa: D101
    x: Any  # the answer if stopped now
    residual: float  # what tol is compared with
    metrics: dict[str, float]  # a row of history


@dataclass(frozen=True)
class ForwardBackward(Solver):
    """x <- prox(x - step Aᴴ∇f(Ax)), without momentum."""

    needs = (ARRAY_UNKNOWN, SMOOTH_LOSS, ONE_PROX)

    def prepare(self, problem):
        return 1.0 / (problem.A.norm() ** 2 * problem.loss.curvature)  # the step

    def init(self, problem, plan, x0, rng):
        return State(problem.zeros() if x0 is None else x0, math.inf, {})

    def step(self, problem, plan, state):
        gradient = problem.A.adjoint(problem.loss.gradient(problem.A.forward(state.x)))
        x = problem.prior.prox(state.x - plan * gradient, plan)
        change = np.linalg.norm(x - state.x) / max(np.linalg.norm(x), 1e-30)
        return State(x, change, {"objective": problem.value(x)})


a, y = np.split(np.random.default_rng(0).standard_normal((50, 81)), [80], axis=1)
problem = ss.Problem(ss.LeastSquares(a, y[:, 0]), ss.priors.L1(3.0))
print("check_solver:", ss.testing.check_solver(ForwardBackward(), problem))
