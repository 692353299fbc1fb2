"""Variational EM: inference under hierarchical priors, with error bars."""

from __future__ import annotations

import math
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, ClassVar, NamedTuple

import numpy as np

from sparsesolve import checks
from sparsesolve.backends import (
    Array,
    abs_squared,
    array_namespace,
    native_dtype,
    real_dtype,
    scalar,
    where,
)
from sparsesolve.priors.hierarchical import HierarchicalPrior
from sparsesolve.solvers.base import (
    ARRAY_UNKNOWN,
    HIERARCHICAL_PRIOR,
    LEAST_SQUARES,
    Need,
    Solver,
)
from sparsesolve.solvers.engines import ENGINES, posterior_engine
from sparsesolve.solvers.evidence_search import (
    change,
    eliminated,
    host,
    in_use,
    merged,
    merit,
    pick,
    promising,
)
from sparsesolve.solvers.noise import (
    LEAST_NOISE,
    compare_with_data,
    given_noise,
    next_noise,
    warn_if_explained,
)
from sparsesolve.solvers.posterior import Posterior

_FIRST_NOISE = 0.1
_SETTLED = 1e-3
_TRIAL = 200
_GLANCE = 30
_FITTED = "hyper", "noise", "moments", "settled"

_LINEAR = Need(
    "an operator that keeps imaginary parts",
    lambda problem: not problem.A.gives_real,
    "make the unknown real with A.real()",
)


class _Plan(NamedTuple):
    engine: Any
    prior: Any
    noise: Any
    floor: Any
    choices: dict[str, str]


class State(NamedTuple):
    """State of `VariationalEM`."""

    x: Array
    """Posterior mean under `hyper` and `noise`: the answer if stopped now."""
    hyper: dict[str, Array]
    """The prior's hyperparameters."""
    noise: Any
    """Noise variance of an entry of weight 1."""
    moments: tuple[Any, ...]
    """The posterior, as its engine keeps it."""
    settled: Any
    """Whether elimination was tried and refused; NumPy booleans of batch shape."""
    tries: Any
    """Further starts that were tried; NumPy integers of batch shape."""
    seed: int
    """Of the further starts."""
    residual: Any
    """Relative change of hyperparameters and noise; 1 where entries were removed."""
    metrics: dict[str, Any]
    """``evidence``, ``noise_variance`` and ``effective_parameters``, Σ shrinkage.

    ``free_energy``, evidence plus `log_prior_bound`, of a prior that has one.
    """


@dataclass(frozen=True)
class VariationalEM(Solver):
    """Type-II maximum likelihood: least squares + a hierarchical prior such as SBL.

    Alternates between the Gaussian posterior of the unknown and updates of its prior
    variances and of the noise variance, each from a fresh posterior, so that updates
    which never lower the evidence p(y | hyper, noise) do so also together.

    Parameters
    ----------
    noise_variance : float or array of batch shape, optional
        Variance of the noise of a data entry of weight 1, E|n|², in the squared units
        of the data; that of another entry is this divided by its weight. Learned by
        default, which needs data that the model cannot fit entirely.
    engine : "auto", "kronecker", "dense" or "cg"
        Where posteriors come from. By default "kronecker" for a Kronecker product of
        matrices and identities with separable variances and without weights, also with
        entries missing (`Mask`) unless a dense posterior is as quick; else "dense" for
        at most 1000 data or unknowns and for matrices, if memory suffices; else "cg",
        products with the operator.
    elimination : bool
        Once the variances have settled to 1e-3, remove what the evidence does not bear
        and fit the rest again: a candidate of the prior is taken if it costs at most
        ½ log(data entries) + ½ log(hyperparameters) nats (log + ½ log if complex), the
        extended BIC. What is left are the entries for which there is evidence. Switch
        it off for an unknown with many small entries; it needs ``tol <= 1e-3``.
    noise_floor : float
        A learned noise variance stays above this fraction of the data's mean power;
        1e-8 is -80 dB, where single precision ends. From 1e-12 to below 1.
    starts : int
        At most so many further starts once all is settled, where the prior says that
        the fit may be a poor local one (`HierarchicalPrior.restart`; `KroneckerSBL`
        does): each is fitted to its end, and taken if its evidence is better after the
        penalty of `elimination` for each hyperparameter. Needs `elimination`.
    probes : int
        Number of fixed random vectors from which variances, evidence and noise are
        estimated by "cg", and by "kronecker" with entries missing; errors fall as
        1/√probes. Means are as exact as without.

    Raises
    ------
    MemoryError
        The dense matrix and its factorisation would not fit.
    ValueError
        Nothing can be learned: an operator, all weights or (with learned noise) data of
        zero. A noise variance below 1e-12 of the data's mean power, or of a wrong
        shape.

    Warns
    -----
    RuntimeWarning
        A given noise variance is above the data's mean power, beyond chance; or one
        was learned from less than a quarter of the data's degrees of freedom, and
        fewer than hyperparameters: the model explains the noise.

    Notes
    -----
    A start `x0` is only used for its mean power, the scale of the first variances; by
    default that is what the data suggest. Per iteration one posterior for each part of
    the prior and one for the noise; see the engine for its cost. Batches have
    their own hyperparameters, noise and status each.

    The noise variance s² is updated by the longer of two steps that both never lower
    the evidence: EM, s² + (misfit - s² freedom)/n, and convex bounding, the root of
    s² misfit / freedom; but only in iterations in which the variances change by less
    than 1e-3: a noise that follows earlier drops together with variances that have not
    yet grown sparse, and the model then explains the noise.

    References
    ----------
    Tipping, "Sparse Bayesian learning and the relevance vector machine", JMLR 1, 2001;
    Chen and Chen, Biometrika 95(3), 2008 (extended BIC, γ = ½).
    """

    noise_variance: Any = None
    engine: str = "auto"
    elimination: bool = True
    noise_floor: float = 1e-8
    starts: int = 10
    probes: int = 32

    needs = (ARRAY_UNKNOWN, LEAST_SQUARES, HIERARCHICAL_PRIOR, _LINEAR)
    default_tol: ClassVar[dict[str, float]] = {"float32": 1e-4, "float64": 1e-5}

    def __post_init__(self) -> None:
        if self.engine not in ENGINES:
            raise ValueError(f"engine is {self.engine!r}; wanted one of {ENGINES}")
        checks.positive_int("probes", self.probes)
        floor = checks.positive_number("noise_floor", self.noise_floor)
        if not LEAST_NOISE <= floor < 1:
            raise ValueError(
                f"noise_floor is {floor:g}; wanted a fraction of the data's power from "
                f"{LEAST_NOISE:g} to below 1"
            )
        if self.starts != 0 and (type(self.starts) is not int or self.starts < 0):
            raise ValueError(f"starts is {self.starts!r}; wanted an integer >= 0")
        if self.noise_variance is not None:
            given = checks.positive("noise_variance", self.noise_variance)
            object.__setattr__(self, "noise_variance", given)

    def prepare(self, problem: Any) -> _Plan:
        noise = given_noise(self.noise_variance, problem)
        engine, why = posterior_engine(self.engine, problem, self.probes)
        if np.any(host(engine.n_data) == 0):
            raise ValueError("all weights of a problem are zero; it has no data")
        if np.any(host(engine.gain) == 0):
            raise ValueError(f"{problem.A!r} is zero; there is nothing to infer")
        choices = {"engine": f"{engine.note}; {why}" if why else engine.note}
        if noise is not None:
            compare_with_data(host(noise), host(engine.power), host(engine.n_data))
            return _Plan(engine, problem.prior, noise, None, choices)
        if np.any(host(engine.power) == 0):
            raise ValueError(
                "y is zero, from which no noise can be learned; give VariationalEM a "
                "noise_variance"
            )
        choices["noise"] = (
            f"learned, from {_FIRST_NOISE:g} of the data's mean power on and never "
            f"below {self.noise_floor:g} of it"
        )
        floor = self.noise_floor * engine.power
        noise = _FIRST_NOISE * engine.power
        return _Plan(engine, problem.prior, noise, floor, choices)

    def init(
        self, problem: Any, plan: _Plan, x0: Any, rng: np.random.Generator
    ) -> State:
        engine, xp = plan.engine, array_namespace(problem.loss.y)
        power = where(engine.power > 0, engine.power, plan.noise)
        scale = (1 - _FIRST_NOISE) * power / engine.gain
        if x0 is not None:
            axes = tuple(range(x0.ndim - len(problem.x_shape), x0.ndim))
            mean = scalar(xp.mean(abs_squared(x0), axis=axes))
            scale = where(mean > 0, mean, scale)
        real = native_dtype(xp, real_dtype(problem.x_dtype))
        scale = xp.asarray(scale, dtype=real, device=problem.loss.y.device)
        shape = (*problem.batch_shape, *problem.x_shape)
        hyper = problem.prior.init_hyper(shape, problem.x_dtype, scale)
        now = plan.engine.moments(problem.prior.variance(hyper), plan.noise)
        none = np.zeros(problem.batch_shape, int)
        first = SimpleNamespace(tries=none, seed=int(rng.integers(2**31)))
        return _state(plan, hyper, plan.noise, now, none > 0, math.inf, first)

    def step(self, problem: Any, plan: _Plan, state: State) -> State:
        new = self._iterate(problem, plan, state)
        wanted = np.asarray(host(new.settled)) & (host(new.tries) < self.starts)
        return self._restarted(problem, plan, new, wanted) if wanted.any() else new

    def _iterate(self, problem: Any, plan: _Plan, state: State) -> State:
        prior, hyper, noise = problem.prior, state.hyper, state.noise
        now = plan.engine.restored(state.moments, noise)
        for part in prior.parts:
            new = prior.update_hyper(hyper, now, part)
            if new is not hyper:
                hyper = new
                now = plan.engine.moments(prior.variance(hyper), noise, now.leaves)
        residual = change(problem, hyper, state.hyper)
        residual = np.where(prior.ready(hyper), residual, np.maximum(residual, 1))
        if plan.floor is not None:
            calm = residual < _SETTLED
            new = next_noise(plan, noise, now)
            residual = np.maximum(residual, host(abs(new - noise) / noise))
            if calm.any():
                noise = pick(calm, new, noise)
                now = plan.engine.moments(prior.variance(hyper), noise, now.leaves)
        settled = np.asarray(host(state.settled), bool)
        if self.elimination:
            wanted = ~settled & (residual < _SETTLED)
            hyper, now, removed = eliminated(problem, plan, hyper, noise, now, wanted)
            settled = settled | (wanted & ~removed)
            residual = np.where(removed, 1.0, residual)
        return _state(plan, hyper, noise, now, settled, scalar(residual), state)

    def _restarted(self, problem: Any, plan: _Plan, state: State, wanted: Any) -> State:
        """Fit once more from another start; keep what the evidence prefers."""
        tries = np.asarray(host(state.tries))
        now = plan.engine.restored(state.moments, state.noise)
        rngs = _generators(state.seed, tries)
        start, there = problem.prior.restart(state.hyper, now, rngs)
        there = wanted & there
        tries = np.where(there, tries + 1, np.where(wanted, self.starts, tries))
        if not there.any():
            return state._replace(tries=tries)
        trial = self._trial(problem, plan, state, start, there)
        better = there & (merit(problem, plan, trial) > merit(problem, plan, state))
        going_on = better | (there & (tries < self.starts))
        residual = scalar(np.where(going_on, 1.0, host(state.residual)))
        return _either(plan, better, trial, state, residual)._replace(tries=tries)

    def _trial(
        self,
        problem: Any,
        plan: _Plan,
        state: State,
        start: dict[str, Array],
        running: Any,
    ) -> State:
        """Fit from `start` where `running`, each problem of a batch to its own end."""
        first = plan.engine.moments(problem.prior.variance(start), state.noise)
        fresh = np.zeros_like(running)
        trial = _state(plan, start, state.noise, first, fresh, math.inf, state)
        for count in range(_TRIAL):
            new = self._iterate(problem, plan, trial)
            going_on = running.all()
            trial = new if going_on else _either(plan, running, new, trial, math.inf)
            if count == _GLANCE:
                running = running & promising(problem, plan, trial, state)
            running = running & ~np.asarray(trial.settled)
            if not running.any():
                break
        return trial

    def posterior(self, problem: Any, plan: _Plan, state: State) -> Posterior:
        now = plan.engine.restored(state.moments, state.noise)
        if plan.floor is not None:
            warn_if_explained(
                host(now.freedom),
                host(plan.engine.n_data),
                in_use(problem, state.hyper),
                # before that, variances that will still go explain the noise
                np.asarray(host(state.residual)) < _SETTLED,
            )
        return Posterior(
            mean=state.x,
            variance=now.variance,
            log_evidence=now.evidence,
            noise_variance=state.noise,
            hyper=state.hyper,
            engine=plan.engine,
            prior=problem.prior,
        )


def _generators(seed: int, tries: Any) -> Any:
    """Return one for each problem, the same alone as in a batch."""
    found = np.empty(tries.shape, object)
    for index in np.ndindex(tries.shape):
        found[index] = np.random.default_rng([seed, int(tries[index])])
    return found


def _either(plan: _Plan, taken: Any, a: State, b: State, residual: Any) -> State:
    """Return the fit `a` for the problems that are `taken`, `b` for the others."""
    hyper, noise, moments, settled = (
        merged(taken, getattr(a, name), getattr(b, name)) for name in _FITTED
    )
    now = plan.engine.restored(moments, noise)
    return _state(plan, hyper, noise, now, settled, residual, b)


def _state(
    plan: _Plan,
    hyper: dict[str, Array],
    noise: Any,
    now: Any,
    settled: Any,
    residual: Any,
    before: Any,
) -> State:
    row = {
        "evidence": now.evidence,
        "noise_variance": noise,
        "effective_parameters": plan.engine.n_data - now.freedom,
    }
    if type(plan.prior).log_prior_bound is not HierarchicalPrior.log_prior_bound:
        row["free_energy"] = now.evidence + plan.prior.log_prior_bound(hyper)
    return State(
        now.mean,
        hyper,
        noise,
        now.leaves,
        settled=settled,
        tries=before.tries,
        seed=before.seed,
        residual=residual,
        metrics=row,
    )
