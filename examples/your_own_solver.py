"""A solver of your own: settings, a state, three functions; the loop is the library's.

Proximal gradient descent without momentum: progress, stopping, history, Ctrl-C and
checkpoints come for nothing.
"""

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

import sparsesolve as ss
from sparsesolve.solvers import Solver
from sparsesolve.solvers.base import ARRAY_UNKNOWN, ONE_PROX, SMOOTH_LOSS


class State(NamedTuple):
    """All that a step changes."""

    x: Any  # the answer if stopped now
    residual: float  # what tol is compared with
    metrics: dict  # a row of history


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
        change = float(np.linalg.norm(x - state.x) / max(np.linalg.norm(x), 1e-30))
        return State(x, change, {"objective": float(problem.value(x))})


rng = np.random.default_rng(0)
A = ss.operators.Dense(rng.standard_normal((50, 80)))
loss = ss.LeastSquares(A, rng.standard_normal(50))
problem = ss.Problem(loss, ss.priors.L1(3.0))
print("check_solver:", ss.testing.check_solver(ForwardBackward(), problem))
print(ss.solve(problem, ForwardBackward()))
print(ss.solve(problem, ss.ProximalGradient()))
