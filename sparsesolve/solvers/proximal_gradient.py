"""Proximal gradient descent with momentum, restart and backtracking."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np

from sparsesolve import checks
from sparsesolve.backends import (
    Array,
    abs_squared,
    array_namespace,
    dtype_of,
    expand,
    inner,
    norm,
    scalar,
    to_numpy,
    where,
)
from sparsesolve.solvers.base import (
    ARRAY_UNKNOWN,
    ONE_PROX,
    PROXIMAL_PRIOR,
    SMOOTH_LOSS,
    Need,
    Solver,
)
from sparsesolve.solvers.scaling import natural_scale


class _Plan(NamedTuple):
    step: Any
    choices: dict[str, str]


class State(NamedTuple):
    """State of `ProximalGradient`."""

    x: Array
    """The answer if stopped now."""
    Ax: Array
    """A x, kept so that an iteration costs one A and one Aᴴ."""
    z: Array
    """Extrapolated point, where the gradient is taken."""
    Az: Array
    """A z."""
    t: Any
    """Momentum parameter; 1 after a restart."""
    step: Any
    """Step size, which backtracking lowers."""
    warm: Any
    """The prox's warm start."""
    residual: Any
    """Relative length of the last prox-gradient step, ‖x - z‖ / ‖x‖."""
    metrics: dict[str, Any]
    """``loss`` and, where the prior has a value, ``objective``."""


@dataclass(frozen=True)
class ProximalGradient(Solver):
    """FISTA: loss with a gradient + one prior with a prox.

    x⁺ = prox(z - step Aᴴ∇f(Az)), z⁺ = x⁺ + β (x⁺ - x). One A and one Aᴴ an iteration.
    Accelerated rate O(1/k²) for convex priors; for non-convex ones a stationary point.

    Parameters
    ----------
    momentum : bool
        Extrapolate (FISTA); False is plain proximal gradient, which never raises the
        objective.
    restart : bool
        Drop the momentum where it points uphill (O'Donoghue and Candès, "Adaptive
        restart for accelerated gradient schemes", 2015, gradient scheme).
    step_size : float or "normalised", optional
        Fixed step; by default 1/(‖A‖² curvature), which needs ``A.norm()``.
        "normalised", without momentum only: ‖g‖²/(‖Ag‖² curvature) anew in each
        iteration, with g the gradient on the support of x, which is exact line search
        there for least squares; halved where the quadratic bound fails. With TopK it
        is normalised iterative hard thresholding, `IHT`. Costs one more A.
    backtracking : bool
        Estimate the step from one gradient and halve it where the quadratic bound
        fails, instead of computing ``A.norm()``.

    References
    ----------
    Beck and Teboulle, SIAM J. Imaging Sciences 2(1), 2009, algorithm FISTA.
    """

    momentum: bool = True
    restart: bool = True
    step_size: float | Literal["normalised"] | None = None
    backtracking: bool = False

    needs: ClassVar[tuple[Need, ...]] = (
        ARRAY_UNKNOWN,
        SMOOTH_LOSS,
        PROXIMAL_PRIOR,
        ONE_PROX,
    )

    def __post_init__(self) -> None:
        if self.step_size == "normalised":
            if self.momentum:
                raise ValueError(
                    'momentum is True; step_size="normalised" wants momentum=False, as '
                    "its steps may grow"
                )
        elif self.step_size is not None:
            checks.positive_number("step_size", self.step_size)

    def prepare(self, problem: Any) -> _Plan:
        if self.step_size is not None and self.step_size != "normalised":
            return _Plan(float(self.step_size), {})
        if self._searches:
            x, multiplier = natural_scale(problem)
            how = "‖x‖/‖Aᴴ∇f(0)‖ of a typical x at first, halved where too long"
            return _Plan(x / multiplier, {"step": how})
        lipschitz = problem.A.norm() ** 2 * problem.loss.curvature
        step = 1.0 / lipschitz if lipschitz else 1.0
        why = f"{step:.3g} = 1/(‖A‖² curvature), ‖A‖ = {problem.A.norm():.4g} estimated"
        return _Plan(step, {"step": why})

    def init(
        self, problem: Any, plan: _Plan, x0: Any, rng: np.random.Generator
    ) -> State:
        x = problem.zeros() if x0 is None else x0
        image = problem.A.forward(x)
        one = scalar(norm(x, len(problem.x_shape)) * 0 + 1)
        return State(x, image, x, image, one, plan.step * one, None, math.inf, {})

    def step(self, problem: Any, plan: _Plan, state: State) -> State:
        gradient = problem.A.adjoint(problem.loss.gradient(state.Az))
        step, x, image, warm = self._prox_step(problem, state, gradient)
        n = len(problem.x_shape)
        t, beta = self._extrapolation(state, x, n)
        residual = relative_change(x, state.z, n)
        z, Az = x, image
        if beta is not None:
            z = x + expand(beta, n) * (x - state.x)
            Az = image + problem.loss.expand(beta) * (image - state.Ax)
        row = metrics(problem, x, image)
        return State(x, image, z, Az, t, step, warm, residual, row)

    @property
    def _searches(self) -> bool:
        return self.backtracking or self.step_size == "normalised"

    def _prox_step(
        self, problem: Any, state: State, gradient: Array
    ) -> tuple[Any, Array, Array, Any]:
        n, step = len(problem.x_shape), state.step
        if self.step_size == "normalised":
            step = _exact_on_support(problem, state, gradient)
        while True:
            v = state.z - expand(step, n) * gradient
            x, warm = problem.prior.prox_warm(v, step, state.warm)
            image = problem.A.forward(x)
            if not self._searches:
                return step, x, image, warm
            long = _too_long(problem, state, x, image, step)
            if not np.any(to_numpy(long) if problem.batch_shape else long):
                return step, x, image, warm
            step = where(long, 0.5 * step, step)

    def _extrapolation(self, state: State, x: Array, n: int) -> tuple[Any, Any]:
        """Return the next t and the weight of the momentum; None for none."""
        if not self.momentum:
            return state.t, None
        t = state.t
        if self.restart:
            uphill = scalar(inner(state.z - x, x - state.x, n) > 0)
            t = where(uphill, 1.0, t)
        t_next = (1 + (1 + 4 * t * t) ** 0.5) / 2
        return t_next, (t - 1) / t_next


def metrics(problem: Any, x: Array, image: Array) -> dict[str, Any]:
    """Return the row of history shared by solvers that minimise."""
    loss = problem.loss.value(image)
    if not problem.prior.has_value:
        return {"loss": scalar(loss)}
    return {"loss": scalar(loss), "objective": scalar(loss + problem.prior.value(x))}


def relative_change(x: Array, old: Array, n_axes: int) -> Any:
    """Return ‖x - old‖ / ‖x‖ for each problem; 0 where nothing moved."""
    change, size = scalar(norm(x - old, n_axes)), scalar(norm(x, n_axes))
    return change / where(size > 0, size, 1.0)


def _exact_on_support(problem: Any, state: State, gradient: Array) -> Any:
    """Return ‖g‖²/(‖Ag‖² curvature), g the gradient on the support of z.

    Where z is 0, on that of the prox of a step from there.
    """
    n, xp = len(problem.x_shape), array_namespace(gradient)
    ahead, _ = problem.prior.prox_warm(
        -expand(state.step, n) * gradient, state.step, None
    )
    nothing = scalar(norm(state.z, n)) == 0
    support = where(expand(nothing, n), ahead, state.z) != 0
    g = xp.where(support, gradient, xp.zeros_like(gradient))
    power = scalar(problem.loss.total(abs_squared(problem.A.forward(g))))
    known = power > 0
    step = scalar(inner(g, g, n)) / where(known, power * problem.loss.curvature, 1.0)
    return where(known, step, state.step)


def _too_long(problem: Any, state: State, x: Array, image: Array, step: Any) -> Any:
    """Whether curvature·‖A d‖² > ‖d‖²/step for d = x - z: the quadratic bound fails.

    Differences of the size of rounding errors prove nothing and are let pass.
    """
    d, total = x - state.z, problem.loss.total
    power = scalar(total(abs_squared(image - state.Az)))
    eps = float(np.finfo(dtype_of(x)).eps)
    rounding = (30 * eps) ** 2 * scalar(total(abs_squared(image)))
    size = scalar(inner(d, d, len(problem.x_shape)))
    return problem.loss.curvature * (power - rounding) > size / step * (1 + 1e-6)
