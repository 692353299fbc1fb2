"""Alternating minimisation over named blocks."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from sparsesolve import checks
from sparsesolve.backends import Array, array_namespace, expand, norm, scalar, where
from sparsesolve.linalg import normal_cg, regularized_inverse
from sparsesolve.losses import LeastSquares
from sparsesolve.normal_form import NormalForm, normal_form
from sparsesolve.priors.base import Zero
from sparsesolve.priors.quadratic import SquaredL2
from sparsesolve.solvers.base import (
    BLOCK_UNKNOWN,
    MAJORISABLE_LOSS,
    PROX_OR_MAJORISER,
    Solver,
)
from sparsesolve.solvers.proximal_gradient import ProximalGradient

_PROXIMAL_WEIGHT = 1e-8
_INNER_TOL = 1e-6


class _Plan(NamedTuple):
    choices: dict[str, str]


class _Form(NamedTuple):
    """The normal form of the loss in the block that a sweep ended with."""

    block: str
    of: NormalForm


class State(NamedTuple):
    """State of `AlternatingMinimization`."""

    x: dict[str, Array]
    """The answer if stopped now."""
    residual: Any
    """Largest relative change of a block in the last sweep, or of what priors learnt
    when they last did."""
    metrics: dict[str, Any]
    """``objective``; ``learnt``, 1 where a prior learnt before this sweep, which may
    raise the objective."""
    weights: tuple[Array, ...]
    """Factors of the weights of the loss's majoriser at `x`; none for a smooth loss."""
    constant: Any
    """Its constant."""
    learnt: dict[str, dict[str, Array]]
    """What priors have learnt from the unknown, by block."""
    drift: float
    """Relative change of that at the last learning; 0 if nothing learns any more."""
    sweep: int
    """Sweeps done."""


@dataclass(frozen=True)
class AlternatingMinimization(Solver):
    """Blocks in turn, each with the others held fixed; an iteration is one sweep.

    A loss without gradient is replaced by its majoriser at the start of a sweep, and a
    prior without prox by its own at the start of its block. A block is then minimised
    exactly where that is known: least squares with unweighted `SquaredL2` or no prior
    (`regularized_inverse`, or conjugate gradients if the data are weighted), and a
    factor of a `Product` that is non-negative or on the simplex, with linear costs or
    without (active sets). Any other block takes `inner_steps` proximal gradient
    steps, in Gram form for a factor of a `Product`. None of these raises the objective
    when priors are convex or majorised. Starts from uniform random blocks, since zeros
    are a stationary point of a product, scaled so that their image is as large as the
    data.

    Parameters
    ----------
    order : tuple of str, optional
        Order of the blocks; by default as the operator names them.
    inner_steps : int
        Proximal gradient steps a block and sweep.
    learn_every : int
        Sweeps between two refreshes of what a prior learns from the unknown (the map
        of a `GuidedLp`), the first before the first sweep. A refresh changes the
        objective, which falls in between.
    learn_rounds : int
        Refreshes in all; then what was learnt stays, so that the solve can converge.

    References
    ----------
    Bolte, Sabach and Teboulle, "Proximal alternating linearized minimization",
    Math. Programming 146, 2014; Hunter and Lange, "A tutorial on MM algorithms", 2004.
    """

    order: tuple[str, ...] | None = None
    inner_steps: int = 5
    learn_every: int = 5
    learn_rounds: int = 20

    needs = (BLOCK_UNKNOWN, PROX_OR_MAJORISER, MAJORISABLE_LOSS)

    def __post_init__(self) -> None:
        checks.positive_int("inner_steps", self.inner_steps)
        checks.positive_int("learn_every", self.learn_every)
        checks.positive_int("learn_rounds", self.learn_rounds)

    def prepare(self, problem: Any) -> _Plan:
        blocks = tuple(problem.x_shape)
        order = blocks if self.order is None else self.order
        if not isinstance(order, tuple) or sorted(order) != sorted(blocks):
            raise ValueError(f"order is {self.order}; the blocks are {blocks}")
        return _Plan({})

    def init(
        self, problem: Any, plan: _Plan, x0: Any, rng: np.random.Generator
    ) -> State:
        x = _random_start(problem, rng) if x0 is None else dict(x0)
        learns = any(prior.learns for prior in problem.prior.values())
        drift = 1.0 if learns else 0.0
        weights, constant, _ = _touched(problem, x, None)
        return State(x, math.inf, {}, weights, constant, {}, drift, 0)

    def step(self, problem: Any, plan: _Plan, state: State) -> State:
        learnt, drift, row = state.learnt, state.drift, {}
        if self._is_due(problem, state.sweep):
            learnt = _learn(problem, state.x)
            last = state.sweep // self.learn_every == self.learn_rounds - 1
            drift = 0.0 if last else _drift(learnt, state.learnt)
        if learnt:
            row["learnt"] = float(learnt is not state.learnt)
            given = {k: p.given(learnt[k]) for k, p in problem.prior.items()}
            problem = problem.with_prior(given)
        x, residual, form = self._sweep(problem, state)
        weights, constant, loss = _touched(problem, x, form)
        if all(p.has_value for p in problem.prior.values()):
            values = [p.value(x[name]) for name, p in problem.prior.items()]
            row["objective"] = scalar(sum(values, start=loss))
        return State(
            x=x,
            residual=where(residual > drift, residual, drift),
            metrics=row,
            weights=weights,
            constant=constant,
            learnt=learnt,
            drift=drift,
            sweep=state.sweep + 1,
        )

    def _is_due(self, problem: Any, sweep: int) -> bool:
        learns = any(prior.learns for prior in problem.prior.values())
        rounds, rest = divmod(sweep, self.learn_every)
        return learns and not rest and rounds < self.learn_rounds

    def _sweep(
        self, problem: Any, state: State
    ) -> tuple[dict[str, Array], Any, _Form | None]:
        # One majoriser serves all blocks: what lowers it lowers what it touches.
        if not problem.loss.smooth:
            above = LeastSquares.like(problem.loss, state.weights, state.constant)
            problem = problem.with_loss(above)
        x, residual, form = dict(state.x), 0.0, None
        for name in self.order or tuple(problem.x_shape):
            new, form = self._block(problem, name, x)
            n = len(problem.x_shape[name])
            change, size = scalar(norm(new - x[name], n)), scalar(norm(new, n))
            change = change / where(size > 0, size, 1.0)
            x[name] = new
            residual = where(change > residual, change, residual)
        return x, residual, None if form is None else _Form(name, form)

    def _block(
        self, problem: Any, name: str, x: dict[str, Array]
    ) -> tuple[Array, NormalForm | None]:
        sub = problem.partial(name, x)
        if not sub.prior.has_prox:
            sub = sub.with_prior(sub.prior.majorise(x[name]))
        if _is_quadratic(sub):
            return _exact(sub, x[name]), None
        form = normal_form(sub.loss)
        if form is not None:
            best = form.minimise(sub.prior)
            if best is None:
                best = form.descend(sub.prior, x[name], self.inner_steps)
            return best, form
        inner = ProximalGradient(momentum=False)
        plan = inner.prepare(sub)
        inner_state = inner.init(sub, plan, x[name], np.random.default_rng(0))
        for _ in range(self.inner_steps):
            inner_state = inner.step(sub, plan, inner_state)
        return inner_state.x, None


def _touched(
    problem: Any, x: dict[str, Array], form: _Form | None
) -> tuple[tuple[Array, ...], Any, Array]:
    """Return what makes the majoriser at the image of `x`, and the loss there.

    The normal form of the last block knows both already, mostly.
    """
    loss, known = problem.loss, None
    if form is not None:
        known = loss.majorise_and_value_in(form.of, x[form.block])
    if loss.smooth:
        return (), 0.0, known[1] if known else loss.value(problem.A.forward(x))
    above, value = known or loss.majorise_and_value(problem.A.forward(x))
    return above.factors, above.constant, value


def _learn(problem: Any, x: dict[str, Array]) -> dict[str, dict[str, Array]]:
    return {name: prior.learn(x[name]) for name, prior in problem.prior.items()}


def _drift(new: dict[str, dict[str, Array]], old: dict[str, dict[str, Array]]) -> float:
    """Largest change of what was learnt, relative to its largest entry; at first 1."""
    if not old:
        return 1.0
    largest = 0.0
    for block, arrays in new.items():
        for name, value in arrays.items():
            xp = array_namespace(value)
            size = float(xp.max(xp.abs(value)))
            change = float(xp.max(xp.abs(value - old[block][name])))
            largest = max(largest, change / (size or 1.0))
    return largest


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
