"""Variational EM: inference under hierarchical priors, with error bars."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np

from sparsesolve import checks
from sparsesolve.backends import (
    Array,
    abs_squared,
    array_namespace,
    device_of,
    expand,
    is_array,
    native_dtype,
    real_dtype,
    scalar,
    to_device,
    to_numpy,
    where,
)
from sparsesolve.solvers.base import (
    ARRAY_UNKNOWN,
    HIERARCHICAL_PRIOR,
    LEAST_SQUARES,
    Need,
    Solver,
)
from sparsesolve.solvers.dense_engine import DenseEngine
from sparsesolve.solvers.posterior import Moments, Posterior
from sparsesolve.solvers.proximal_gradient import relative_change

_FIRST_NOISE = 0.1
_LEAST_NOISE = 1e-12
_SETTLED = 1e-3
_ENGINES = ("auto", "dense")

_LINEAR = Need(
    "an operator that keeps imaginary parts",
    lambda problem: not problem.A.gives_real,
    "make the unknown real with A.real()",
)


class _Plan(NamedTuple):
    engine: DenseEngine
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
    variance: Array
    """Posterior variance of each entry."""
    whitened_power: Array
    """|μ|²/γ."""
    shrinkage: Array
    """γ diag(Aᴴ S⁻¹ A)."""
    evidence: Any
    """log p(y | hyper, noise)."""
    misfit: Any
    """Σ w |y - Aμ|²."""
    freedom: Any
    """Data entries minus the sum of `shrinkage`."""
    settled: Any
    """Whether elimination was tried and refused; NumPy booleans of batch shape."""
    residual: Any
    """Relative change of hyperparameters and noise; 1 where entries were removed."""
    metrics: dict[str, Any]
    """``evidence``, ``noise_variance`` and ``effective_parameters``, Σ shrinkage."""


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
    engine : "auto" or "dense"
        Where posteriors come from; for now "dense", which "auto" picks, is all.
    elimination : bool
        Once the variances have settled to 1e-3, remove what the evidence does not bear
        and fit the rest again: a candidate of the prior is taken if it costs at most
        ½ log(data entries) + ½ log(hyperparameters) nats (log + ½ log if complex), the
        extended BIC. What is left are the entries for which there is evidence. Switch
        it off for an unknown with many small entries; it needs ``tol <= 1e-3``.
    noise_floor : float
        A learned noise variance stays above this fraction of the data's mean power;
        1e-8 is -80 dB, where single precision ends.

    Raises
    ------
    MemoryError
        The dense matrix and its factorisation would not fit.
    ValueError
        Nothing can be learned: an operator or (with learned noise) data of zero. A
        noise variance below 1e-12 of the data's mean power, or of a wrong shape.

    Notes
    -----
    A start `x0` is only used for its mean power, the scale of the first variances; by
    default that is what the data suggest. Per iteration one posterior for each part of
    the prior and one for the noise; see `DenseEngine` for their cost. Batches have
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

    needs = (ARRAY_UNKNOWN, LEAST_SQUARES, HIERARCHICAL_PRIOR, _LINEAR)
    default_tol: ClassVar[dict[str, float]] = {"float32": 1e-4, "float64": 1e-5}

    def __post_init__(self) -> None:
        if self.engine not in _ENGINES:
            raise ValueError(f"engine is {self.engine!r}; wanted one of {_ENGINES}")
        checks.positive("noise_floor", self.noise_floor)
        if self.noise_variance is not None:
            given = checks.positive("noise_variance", self.noise_variance)
            object.__setattr__(self, "noise_variance", given)

    def prepare(self, problem: Any) -> _Plan:
        noise = self._given_noise(problem)
        engine = DenseEngine(problem)
        if np.any(_host(engine.gain) == 0):
            raise ValueError(f"{problem.A!r} is zero; there is nothing to infer")
        choices = {"engine": engine.note}
        if noise is not None:
            if np.any(_host(noise) < _LEAST_NOISE * _host(engine.power)):
                raise ValueError(
                    f"noise_variance is below {_LEAST_NOISE:g} of the data's mean "
                    "power, which double precision cannot resolve; give a larger one"
                )
            return _Plan(engine, noise, None, choices)
        if np.any(_host(engine.power) == 0):
            raise ValueError(
                "y is zero, from which no noise can be learned; give VariationalEM a "
                "noise_variance"
            )
        choices["noise"] = (
            f"learned, from {_FIRST_NOISE:g} of the data's mean power on and never "
            f"below {self.noise_floor:g} of it"
        )
        floor = self.noise_floor * engine.power
        return _Plan(engine, _FIRST_NOISE * engine.power, floor, choices)

    def _given_noise(self, problem: Any) -> Any:
        """Return the noise variance as a number, or a float64 array of batch shape."""
        noise, y = self.noise_variance, problem.loss.y
        if noise is None:
            return None
        xp, batch = array_namespace(y), problem.batch_shape
        if not is_array(noise):
            full = xp.full(batch, noise, dtype=xp.float64, device=y.device)
            return full if batch else noise
        checks.same_device("the problem", noise, problem.device)
        if tuple(noise.shape) != batch:
            raise ValueError(
                f"noise_variance has shape {tuple(noise.shape)}; wanted a number or "
                f"the batch shape {batch}"
            )
        return xp.astype(noise, xp.float64)

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
        settled = np.zeros(problem.batch_shape, bool)
        return _state(plan, hyper, plan.noise, now, settled, math.inf)

    def step(self, problem: Any, plan: _Plan, state: State) -> State:
        prior, hyper, noise = problem.prior, state.hyper, state.noise
        now = _moments(state)
        for part in prior.parts:
            hyper = prior.update_hyper(hyper, now, part)
            now = plan.engine.moments(prior.variance(hyper), noise)
        residual = _change(hyper, state.hyper, len(problem.batch_shape))
        if plan.floor is not None:
            calm = residual < _SETTLED
            new = _next_noise(plan, noise, now)
            residual = np.maximum(residual, _host(abs(new - noise) / noise))
            if calm.any():
                noise = _pick(calm, new, noise)
                now = plan.engine.moments(prior.variance(hyper), noise)
        settled = np.asarray(_host(state.settled), bool)
        if self.elimination:
            wanted = ~settled & (residual < _SETTLED)
            hyper, now, removed = _eliminated(problem, plan, hyper, noise, now, wanted)
            settled = settled | (wanted & ~removed)
            residual = np.where(removed, 1.0, residual)
        return _state(plan, hyper, noise, now, settled, scalar(residual))

    def posterior(self, problem: Any, plan: _Plan, state: State) -> Posterior:
        return Posterior(
            mean=state.x,
            variance=state.variance,
            evidence=state.evidence,
            noise_variance=state.noise,
            hyper=state.hyper,
            engine=plan.engine,
            prior=problem.prior,
        )


def _eliminated(
    problem: Any,
    plan: _Plan,
    hyper: dict[str, Array],
    noise: Any,
    now: Moments,
    wanted: Any,
) -> tuple[dict[str, Array], Moments, Any]:
    """Return the first candidates that the evidence bears, and where it did."""
    prior, taken = problem.prior, np.zeros_like(wanted)
    if not wanted.any():
        return hyper, now, taken
    n_hyper = sum(math.prod(v.shape) for v in hyper.values()) / wanted.size
    degrees = 1.0 if problem.x_dtype.kind == "c" else 0.5
    allowed = degrees * np.log(_host(plan.engine.n_data)) + 0.5 * np.log(n_hyper)
    needed = _score(prior, hyper, now) - allowed
    for candidate in prior.candidates(hyper, now):
        trial = plan.engine.moments(prior.variance(candidate), noise)
        smaller = _change(candidate, hyper, wanted.ndim) > 0
        good = wanted & ~taken & smaller & (_score(prior, candidate, trial) >= needed)
        if good.any():
            hyper = {k: _pick(good, candidate[k], v) for k, v in hyper.items()}
            now = Moments(*(_pick(good, a, b) for a, b in zip(trial, now, strict=True)))
            taken = taken | good
        if (taken | ~wanted).all():
            break
    return hyper, now, taken


def _next_noise(plan: _Plan, noise: Any, now: Moments) -> Any:
    """Return the longer of two steps that both never lower the evidence."""
    em = noise + (now.misfit - noise * now.freedom) / plan.engine.n_data
    bound = (noise * now.misfit / now.freedom) ** 0.5
    new = where(abs(em - noise) > abs(bound - noise), em, bound)
    return where(new > plan.floor, new, plan.floor)


def _state(
    plan: _Plan,
    hyper: dict[str, Array],
    noise: Any,
    now: Moments,
    settled: Any,
    residual: Any,
) -> State:
    row = {
        "evidence": now.evidence,
        "noise_variance": noise,
        "effective_parameters": plan.engine.n_data - now.freedom,
    }
    return State(
        now.mean,
        hyper,
        noise,
        *now[1:],
        settled=settled,
        residual=residual,
        metrics=row,
    )


def _moments(state: State) -> Moments:
    rest = (getattr(state, name) for name in Moments._fields[1:])
    return Moments(state.x, *rest)


def _score(prior: Any, hyper: dict[str, Array], now: Moments) -> Any:
    return _host(now.evidence) + _host(prior.log_prior_bound(hyper))


def _change(new: dict[str, Array], old: dict[str, Array], n_batch: int) -> Any:
    """Return the largest relative change of a group of hyperparameters."""
    changes = (
        _host(relative_change(v, old[name], v.ndim - n_batch))
        for name, v in new.items()
    )
    return functools.reduce(np.maximum, changes)


def _pick(taken: Any, a: Any, b: Any) -> Any:
    """Return `a` for the problems that are `taken`, `b` for the others."""
    if not taken.ndim:
        return a if taken else b
    mask = to_device(taken, device_of(a))
    return where(expand(mask, a.ndim - taken.ndim), a, b)


def _host(value: Any) -> Any:
    """Return a number or an array of batch shape as a NumPy array."""
    return np.asarray(to_numpy(value) if is_array(value) else value)
