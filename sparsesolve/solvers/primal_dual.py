"""Primal-dual hybrid gradient: only A, Aᴴ and proxes, no linear systems."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np

from sparsesolve.backends import Array, expand, norm, scalar, where
from sparsesolve.priors.base import Prior, Zero
from sparsesolve.solvers.base import ARRAY_UNKNOWN, PROXIMAL_PRIOR, Solver
from sparsesolve.solvers.scaling import natural_scale

_MARGIN = 0.99


class _Plan(NamedTuple):
    prior: Prior
    """The prior that the primal prox handles."""
    duals: tuple[Any, ...]
    """Pairs (function with a prox, operator or None); the loss first."""
    norms: tuple[float, ...]
    tau: Any
    """First primal step."""
    multiplier_scale: Any
    """Least size that the residual of x's multipliers is compared with, times 1e3."""
    adapt: bool
    choices: dict[str, str]


class State(NamedTuple):
    """State of `PrimalDual`; tuples hold one entry a dual block, the loss first."""

    x: Array
    """The answer if stopped now."""
    images: tuple[Array, ...]
    """K_j x."""
    u: tuple[Array, ...]
    """Dual variables."""
    pull: Array
    """Σ K_jᴴ u_j."""
    tau: Any
    """Primal step; the dual ones are margin / (tau · blocks · ‖K_j‖²)."""
    k: int
    """Iterations done, which time the balancing."""
    warm: Any
    """Warm start of the primal prox."""
    warm_duals: tuple[Any, ...]
    """Warm starts of the dual proxes."""
    residual: Any
    """Larger of the relative primal and dual residuals."""
    metrics: dict[str, Any]
    """``misfit``, ``primal``, ``dual`` and, where it has a value, ``objective``."""


@dataclass(frozen=True)
class PrimalDual(Solver):
    """Any loss + a sum of priors, each on x or K x: cheap iterations, nothing solved.

    minimise g(x) + f(Ax) + Σ p_i(K_i x), where g is the first prior on x itself. An
    iteration costs one application of each operator and of its adjoint; there are no
    inner iterations and no penalty to choose.

    Parameters
    ----------
    adapt : bool
        Balance relative primal and dual residuals by the ratio of the steps at
        iterations 10, 20, 40, ... (after Goldstein et al., "Adaptive primal-dual
        splitting methods", 2015); ever rarer, so that convergence is kept. Never for
        a denoiser.

    References
    ----------
    Chambolle and Pock, J. Math. Imaging and Vision 40, 2011, algorithm 1.
    """

    adapt: bool = True

    needs = (ARRAY_UNKNOWN, PROXIMAL_PRIOR)
    default_tol: ClassVar[dict[str, float]] = {"float32": 1e-4, "float64": 1e-5}

    def prepare(self, problem: Any) -> _Plan:
        terms = list(problem.terms)
        primal = next((i for i, (_, K) in enumerate(terms) if K is None), None)
        prior = Zero().bind(problem.x_shape) if primal is None else terms.pop(primal)[0]
        duals = ((problem.loss, problem.A), *terms)
        norms = tuple(1.0 if K is None else K.norm() or 1.0 for _, K in duals)
        x_scale, scale = natural_scale(problem)
        frozen = any(getattr(p, "ignores_step", False) for p, _ in problem.terms)
        choices = {"tau": "first ‖x‖/‖Aᴴu‖ of typical x and u, then balanced"}
        return _Plan(
            prior,
            duals,
            norms,
            x_scale / scale,
            scale,
            self.adapt and not frozen,
            choices,
        )

    def init(
        self, problem: Any, plan: _Plan, x0: Any, rng: np.random.Generator
    ) -> State:
        x = problem.zeros() if x0 is None else x0
        images = tuple(x if K is None else K.forward(x) for _, K in plan.duals)
        u = tuple(a * 0 for a in images)
        warm = (None,) * len(plan.duals)
        return State(x, images, u, x * 0, plan.tau, 0, None, warm, math.inf, {})

    def step(self, problem: Any, plan: _Plan, state: State) -> State:
        n = len(problem.x_shape)
        v = state.x - expand(state.tau, n) * state.pull
        x, warm = plan.prior.prox_warm(v, state.tau, state.warm)
        images = tuple(x if K is None else K.forward(x) for _, K in plan.duals)
        u, warm_duals, dual_squares = [], [], []
        for j, image in enumerate(images):
            sigma = _MARGIN / (state.tau * len(images) * plan.norms[j] ** 2)
            new, w, gap = _dual_step(problem, plan, state, j, image, sigma)
            u.append(new)
            warm_duals.append(w)
            dual_squares.append((gap / plan.norms[j]) ** 2)
        pulls = [
            a if K is None else K.adjoint(a)
            for (_, K), a in zip(plan.duals, u, strict=True)
        ]
        pull = sum(pulls[1:], start=pulls[0])
        primal = scalar(
            norm((state.x - x) / expand(state.tau, n) - (state.pull - pull), n)
        )
        # The pulls cancel at the solution where x is free: each is compared with.
        size = sum(scalar(norm(a, n)) ** 2 for a in pulls) ** 0.5
        floor = 1e-3 * plan.multiplier_scale
        primal = _ratio(primal, where(size > floor, size, floor))
        reaches = zip(images, plan.norms, strict=True)
        reach = sum((_size(problem, a) / s) ** 2 for a, s in reaches) ** 0.5
        dual = _ratio(sum(dual_squares) ** 0.5, reach)
        k = state.k + 1
        tau = _balanced(plan, state, k, primal, dual)
        row = {
            "misfit": scalar(problem.loss.misfit(images[0])),
            "primal": primal,
            "dual": dual,
        }
        if problem.prior.has_value:
            row["objective"] = _objective(problem, x, images[0])
        residual = where(primal > dual, primal, dual)
        return State(
            x,
            images,
            tuple(u),
            pull,
            tau,
            k,
            warm,
            tuple(warm_duals),
            residual,
            row,
        )


def _objective(problem: Any, x: Array, image: Array) -> Any:
    """The prior's value, and the loss's unless it is a constraint nearly met."""
    value = problem.prior.value(x)
    return scalar(value + problem.loss.value(image) if problem.loss.finite else value)


def _dual_step(
    problem: Any, plan: _Plan, state: State, j: int, image: Array, sigma: Any
) -> tuple[Array, Any, Any]:
    """Return the new dual block by Moreau's identity, and its residual's norm."""
    function = plan.duals[j][0]
    s = expand(sigma, image.ndim - len(problem.batch_shape))
    point = state.u[j] + s * (2 * image - state.images[j])
    if j == 0:
        near, warm = function.prox(point / s, 1.0 / sigma), None
    else:
        near, warm = function.prox_warm(point / s, 1.0 / sigma, state.warm_duals[j])
    new = point - s * near
    gap = (state.u[j] - new) / s - (state.images[j] - image)
    return new, warm, _size(problem, gap)


def _size(problem: Any, a: Array) -> Any:
    return scalar(norm(a, a.ndim - len(problem.batch_shape)))


def _ratio(a: Any, b: Any) -> Any:
    return a / where(b > 0, b, 1.0)


def _balanced(plan: _Plan, state: State, k: int, primal: Any, dual: Any) -> Any:
    """Lengthen the primal step where its residual is the larger, and conversely."""
    due = k % 10 == 0 and (k // 10).bit_count() == 1
    if not (plan.adapt and due):
        return state.tau
    known = (primal > 0) & (dual > 0)
    factor = where(known, primal / where(known, dual, 1.0), 1.0) ** 0.5
    factor = where(factor > 10.0, 10.0, where(factor < 0.1, 0.1, factor))
    return state.tau * factor
