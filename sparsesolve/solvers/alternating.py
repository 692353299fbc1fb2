"""Alternating minimisation over named blocks."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from sparsesolve import checks
from sparsesolve.backends import Array, expand, norm, scalar, where
from sparsesolve.linalg import normal_cg, regularized_inverse
from sparsesolve.losses import LeastSquares
from sparsesolve.priors.base import Zero
from sparsesolve.priors.quadratic import SquaredL2
from sparsesolve.solvers.base import (
    BLOCK_UNKNOWN,
    MAJORISABLE_LOSS,
    PROXIMAL_PRIOR,
    Solver,
)
from sparsesolve.solvers.proximal_gradient import ProximalGradient

_PROXIMAL_WEIGHT = 1e-8
_INNER_TOL = 1e-6


class _Plan(NamedTuple):
    choices: dict[str, str]


class State(NamedTuple):
    """State of `AlternatingMinimization`."""

    x: dict[str, Array]
    """The answer if stopped now."""
    residual: Any
    """Largest relative change of a block in the last sweep."""
    metrics: dict[str, Any]
    """``objective``."""


@dataclass(frozen=True)
class AlternatingMinimization(Solver):
    """Blocks in turn, each with the others held fixed; an iteration is one sweep.

    A block of least squares with unweighted `SquaredL2` or no prior is solved exactly
    (`regularized_inverse`, or conjugate gradients if the data are weighted); any other
    takes `inner_steps` proximal gradient steps. A loss without gradient is first
    replaced by its majoriser. None of these raises the objective when priors are
    convex. Starts from uniform random blocks, since zeros are a stationary point of a
    product, scaled so that their image is as large as the data.

    Parameters
    ----------
    order : tuple of str, optional
        Order of the blocks; by default as the operator names them.
    inner_steps : int
        Proximal gradient steps a block and sweep.

    References
    ----------
    Bolte, Sabach and Teboulle, "Proximal alternating linearized minimization",
    Math. Programming 146, 2014; Hunter and Lange, "A tutorial on MM algorithms", 2004.
    """

    order: tuple[str, ...] | None = None
    inner_steps: int = 5

    needs = (BLOCK_UNKNOWN, PROXIMAL_PRIOR, MAJORISABLE_LOSS)

    def __post_init__(self) -> None:
        checks.positive_int("inner_steps", self.inner_steps)

    def prepare(self, problem: Any) -> _Plan:
        blocks = tuple(problem.x_shape)
        order = blocks if self.order is None else self.order
        if not isinstance(order, tuple) or sorted(order) != sorted(blocks):
            raise ValueError(f"order is {self.order}; the blocks are {blocks}")
        for name, prior in problem.prior.items():
            if not prior.has_prox:
                raise TypeError(
                    f"AlternatingMinimization needs one prox a block; {name!r} has "
                    f"{prior!r}"
                )
        return _Plan({})

    def init(
        self, problem: Any, plan: _Plan, x0: Any, rng: np.random.Generator
    ) -> State:
        x = _random_start(problem, rng) if x0 is None else x0
        return State(dict(x), math.inf, {})

    def step(self, problem: Any, plan: _Plan, state: State) -> State:
        x, residual = dict(state.x), None
        for name in self.order or tuple(problem.x_shape):
            new = self._block(problem, name, x)
            n = len(problem.x_shape[name])
            change, size = scalar(norm(new - x[name], n)), scalar(norm(new, n))
            change = change / where(size > 0, size, 1.0)
            x[name] = new
            if residual is not None:
                change = where(change > residual, change, residual)
            residual = change
        row = {}
        if all(p.has_value for p in problem.prior.values()):
            row["objective"] = scalar(problem.value(x))
        return State(x, residual, row)

    def _block(self, problem: Any, name: str, x: dict[str, Array]) -> Array:
        if not problem.loss.smooth:
            loss = problem.loss.majorise(problem.A.forward(x))
            problem = problem.with_loss(loss)
        sub = problem.partial(name, x)
        if _is_quadratic(sub):
            return _exact(sub, x[name])
        inner = ProximalGradient(momentum=False)
        plan = inner.prepare(sub)
        inner_state = inner.init(sub, plan, x[name], np.random.default_rng(0))
        for _ in range(self.inner_steps):
            inner_state = inner.step(sub, plan, inner_state)
        return inner_state.x


def _random_start(problem: Any, rng: np.random.Generator) -> dict[str, Array]:
    """Uniform blocks whose image is as large as the data, in any units."""
    x = problem.random(rng)
    n = len(problem.A.out_shape)
    size = scalar(norm(problem.A.forward(x), n))
    ratio = scalar(norm(problem.loss.y, n)) / where(size > 0, size, 1.0)
    share = where(ratio > 0, ratio, 1.0) ** (1.0 / len(x))
    return {k: expand(share, len(problem.x_shape[k])) * a for k, a in x.items()}


def _is_quadratic(sub: Any) -> bool:
    simple = isinstance(sub.prior, Zero) or (
        isinstance(sub.prior, SquaredL2) and sub.prior.weights is None
    )
    return simple and isinstance(sub.loss, LeastSquares)


def _exact(sub: Any, x: Array) -> Array:
    """Minimise the block; without a prior, stay near `x` in the null space."""
    target, lam = x * 0, sub.prior.lam
    if lam is None:
        target, lam = x, _PROXIMAL_WEIGHT * sub.A.norm() ** 2 * sub.loss.curvature
        lam = lam or 1.0
    if sub.loss.weights is None:
        solved: Array = regularized_inverse(sub.A).solve(target, sub.loss.y, lam)[0]
        return solved
    n, w = len(sub.x_shape), sub.loss.weights
    lam = expand(lam, n)

    def apply(v: Array) -> Array:
        return sub.A.adjoint(w * sub.A.forward(v)) + lam * v

    rhs = sub.A.adjoint(w * sub.loss.y) + lam * target
    return normal_cg(apply, rhs, x, n_axes=n, tol=_INNER_TOL)[0]
