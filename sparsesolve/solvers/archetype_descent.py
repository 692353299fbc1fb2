"""Block descent for archetypal analysis."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np

from sparsesolve import checks
from sparsesolve.backends import Array, moved, to_device, to_numpy
from sparsesolve.losses import LeastSquares
from sparsesolve.operators.archetypes import Archetypes
from sparsesolve.priors.simplex import Simplex
from sparsesolve.simplex_least_squares import simplex_least_squares
from sparsesolve.solvers.base import BLOCK_UNKNOWN, Need, Solver

# Slow steps in a row that mean the end: extrapolation has its ups and downs.
_PATIENCE = 4
# Of the data's mean square: how exactly archetypes are projected on the hull.
_PROJECTION_TOL = 1e-9


def _is_archetypal(problem: Any) -> bool:
    if not problem.is_blocks or problem.batch_shape or problem.x_dtype.kind != "f":
        return False
    loss, A = problem.loss, problem.A
    simple = isinstance(loss, LeastSquares) and isinstance(A, Archetypes)
    if not simple or any(w.shape[-2:-1] not in ((), (1,)) for w in loss.factors):
        return False
    sets = problem.prior.values()
    return all(isinstance(p, Simplex) and p.axis % 2 == 0 and p.sum == 1 for p in sets)


ARCHETYPAL = Need(
    "real LeastSquares of Archetypes, unweighted or with weights of the columns, and "
    "Simplex() for both blocks",
    _is_archetypal,
    "use AlternatingMinimization",
)


class _Plan(NamedTuple):
    """All on the host, where the small exact steps are made."""

    points: Array
    """(P, d), a point a row, like the data: float64."""
    data: Array
    """(N, d)."""
    weights: Array
    """(N,), of sum one."""
    power: float
    """Weighted square of the data."""
    scale: float
    """Objective of the problem over the one of the plan."""


class State(NamedTuple):
    """State of `ArchetypeDescent`."""

    x: dict[str, Array]
    """The answer if stopped now: B (P, K) and A (K, N)."""
    residual: float
    """Largest relative fall of the objective in the last four iterations."""
    metrics: dict[str, Any]
    """``objective``."""
    archetypes: Array
    """(K, d), the archetypes."""
    ahead: Array
    """(K, d), the archetypes extrapolated: the next mixtures are theirs."""
    momentum: float
    """Nesterov's t."""
    value: float
    """The objective over the plan's scale; infinite at first."""
    falls: tuple[float, ...]
    """Relative falls of the last iterations."""
    support: Array
    """(K, d + 2), indices of the points that each archetype is mixed from."""
    shares: Array
    """(K, d + 2), their shares."""
    sizes: Array
    """(K,), how many they are."""


@dataclass(frozen=True)
class ArchetypeDescent(Solver):
    """Archetypal analysis: mixtures exactly, then archetypes one by one exactly.

    Mixtures A are the simplex-constrained least squares of the current archetypes, and
    each archetype the projection on the hull of the points of the one that would suit
    the mixtures best (`passes` rounds over all). Archetypes are extrapolated before
    the mixtures, as Nesterov does, and taken back where the objective would rise: plain
    alternation creeps, and stops far from where it would arrive. Starts from points
    drawn with probability weight times squared distance to the nearest one chosen; of
    an `x0` only B is used, the d + 2 largest shares of each archetype.

    Parameters
    ----------
    passes : int
        Rounds over the archetypes an iteration.

    Notes
    -----
    Of one iteration: K N d flops for the mixtures and, for each entering point,
    2 P d. Local minima are many: start several times and compare objectives.

    References
    ----------
    Cutler & Breiman, *Archetypal analysis*, 1994, doi:10.1080/00401706.1994.10485840;
    Chen, Mairal & Harchaoui, *Fast and robust archetypal analysis for representation
    learning*, 2014, arXiv:1405.6472; Arthur & Vassilvitskii, *k-means++*, 2007 (the
    start).
    """

    passes: int = 3

    needs = (BLOCK_UNKNOWN, ARCHETYPAL)
    default_tol: ClassVar[dict[str, float]] = {"float32": 1e-5, "float64": 1e-7}

    def __post_init__(self) -> None:
        checks.positive_int("passes", self.passes)

    def prepare(self, problem: Any) -> _Plan:
        loss = problem.loss
        points = np.ascontiguousarray(to_numpy(problem.A.points).T, np.float64)
        data = np.ascontiguousarray(to_numpy(loss.y).T, np.float64)
        weights = np.ones(len(data))
        for factor in loss.factors:
            weights = weights * np.asarray(to_numpy(factor), np.float64).reshape(-1)
        total = float(weights.sum())
        weights = weights / total
        power = float(weights @ np.sum(data**2, axis=1))
        return _Plan(points, data, weights, power, total / 2)

    def init(
        self, problem: Any, plan: _Plan, x0: Any, rng: np.random.Generator
    ) -> State:
        rows, k = problem.x_shape[problem.A.left]
        if x0 is None:
            chosen = _spread_out(plan, k, rng)
            start = np.zeros((rows, k))
            start[chosen, np.arange(k)] = 1.0
        else:
            start = np.asarray(to_numpy(x0[problem.A.left]), np.float64)
        capacity = plan.points.shape[1] + 2
        support = np.zeros((k, capacity), np.int64)
        shares, sizes = np.zeros((k, capacity)), np.zeros(k, np.int64)
        for i, column in enumerate(start.T):
            used = np.argsort(-column, kind="stable")[:capacity]
            used = used[column[used] > 0]
            if not used.size:
                raise ValueError(f"x0[{problem.A.left!r}] has no positive entry in {i}")
            support[i, : used.size], sizes[i] = used, used.size
            shares[i, : used.size] = column[used] / column[used].sum()
        z = np.einsum("ki,kid->kd", shares, plan.points[support])
        x = _unknown(problem, start, _mixtures(plan, z))
        falls = (1.0,) * _PATIENCE
        return State(x, 1.0, {}, z, z, 1.0, math.inf, falls, support, shares, sizes)

    def step(self, problem: Any, plan: _Plan, state: State) -> State:
        state = State(*moved(tuple(state), "numpy"))
        new = self._descend(plan, state, state.ahead)
        momentum = state.momentum
        if new.value > state.value:
            new, momentum = self._descend(plan, state, state.archetypes), 1.0
        grown = (1 + math.sqrt(1 + 4 * momentum**2)) / 2
        ahead = new.z + (momentum - 1) / grown * (new.z - state.archetypes)
        fall = 1.0
        if math.isfinite(state.value):
            fall = abs(state.value - new.value) / (new.value or 1.0)
        falls = (*state.falls[1:], fall)
        return State(
            x=_unknown(problem, _shares_of_all(plan, new), new.mixtures),
            residual=max(falls),
            metrics={"objective": plan.scale * new.value},
            archetypes=new.z,
            ahead=ahead,
            momentum=grown,
            value=new.value,
            falls=falls,
            support=new.support,
            shares=new.shares,
            sizes=new.sizes,
        )

    def _descend(self, plan: _Plan, state: State, mixed: Array) -> _Sweep:
        from sparsesolve import hull_kernels

        A = _mixtures(plan, mixed)
        weighted = A * plan.weights[:, None]
        moment, cross = weighted.T @ A, weighted.T @ plan.data
        z = state.archetypes.copy()
        support, shares, sizes = (
            a.copy() for a in (state.support, state.shares, state.sizes)
        )
        hull_kernels.improve(
            plan.points,
            moment,
            cross,
            z,
            support,
            shares,
            sizes,
            self.passes,
            _PROJECTION_TOL * plan.power,
        )
        value = plan.power - 2 * np.sum(cross * z) + np.sum(moment * (z @ z.T))
        return _Sweep(A, z, max(float(value), 0.0), support, shares, sizes)


def _unknown(problem: Any, B: Array, mixtures: Array) -> dict[str, Array]:
    x = {problem.A.left: B, problem.A.right: mixtures.T}
    return {
        name: to_device(np.ascontiguousarray(a, problem.x_dtype), problem.device)
        for name, a in x.items()
    }


def _shares_of_all(plan: _Plan, new: _Sweep) -> Array:
    """Return B (P, K), most of it zero."""
    B = np.zeros((len(plan.points), len(new.z)))
    for k, m in enumerate(new.sizes):
        B[new.support[k, :m], k] = new.shares[k, :m]
    return B


class _Sweep(NamedTuple):
    mixtures: Array
    z: Array
    value: float
    support: Array
    shares: Array
    sizes: Array


def _mixtures(plan: _Plan, z: Array) -> Array:
    return np.asarray(simplex_least_squares(z @ z.T, plan.data @ z.T))


def _spread_out(plan: _Plan, k: int, rng: np.random.Generator) -> Array:
    """Draw k points by weight times squared distance to the nearest drawn before.

    Weights are those of the data where these are the points, else all one.
    """
    points, n = plan.points, len(plan.points)
    weights = plan.weights if n == len(plan.data) else np.full(n, 1 / n)
    chosen = [int(rng.choice(n, p=weights / weights.sum()))]
    nearest = np.full(n, np.inf)
    for _ in range(k - 1):
        away = np.sum((points - points[chosen[-1]]) ** 2, axis=1)
        nearest = np.minimum(nearest, away)
        chance = weights * nearest
        total = float(chance.sum())
        if total == 0:
            raise ValueError(
                f"the points have {len(chosen)} different spectra; wanted {k} or more"
            )
        chosen.append(int(rng.choice(n, p=chance / total)))
    return np.array(chosen)
