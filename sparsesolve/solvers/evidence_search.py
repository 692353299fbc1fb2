"""What the evidence says about hyperparameters: removals, merits, changes."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from sparsesolve.backends import (
    Array,
    array_namespace,
    device_of,
    expand,
    is_array,
    to_device,
    to_numpy,
    where,
)
from sparsesolve.separable import Separable
from sparsesolve.solvers.proximal_gradient import relative_change


def eliminated(
    problem: Any,
    plan: Any,
    hyper: dict[str, Array],
    noise: Any,
    now: Any,
    wanted: Any,
) -> tuple[dict[str, Array], Any, Any]:
    """Return the first candidates that the evidence bears, and where it did."""
    prior, taken = problem.prior, np.zeros_like(wanted)
    if not wanted.any():
        return hyper, now, taken
    needed = _score(prior, hyper, now) - _allowed(problem, plan, hyper)
    for candidate in prior.candidates(hyper, now):
        trial = plan.engine.moments(prior.variance(candidate), noise, now.leaves)
        smaller = change(problem, candidate, hyper) > 0
        good = wanted & ~taken & smaller & (_score(prior, candidate, trial) >= needed)
        if good.any():
            hyper = merged(good, candidate, hyper)
            kept = merged(good, trial.leaves, now.leaves)
            now = plan.engine.restored(kept, noise)
            taken = taken | good
        if (taken | ~wanted).all():
            break
    return hyper, now, taken


def _allowed(problem: Any, plan: Any, hyper: dict[str, Array]) -> Any:
    """Return what a hyperparameter has to bring, in nats."""
    problems = math.prod(problem.batch_shape)
    n_hyper = sum(math.prod(v.shape) for v in hyper.values()) / problems
    degrees = 1.0 if problem.x_dtype.kind == "c" else 0.5
    return degrees * np.log(host(plan.engine.n_data)) + 0.5 * np.log(n_hyper)


def promising(problem: Any, plan: Any, trial: Any, state: Any) -> Any:
    """Whether a young fit already beats another by what one hyperparameter costs."""
    scores = (
        _score(problem.prior, s.hyper, plan.engine.restored(s.moments, s.noise))
        for s in (trial, state)
    )
    return next(scores) > next(scores) + _allowed(problem, plan, state.hyper)


def merit(problem: Any, plan: Any, state: Any) -> Any:
    """Return the score less what its hyperparameters have to bring."""
    now = plan.engine.restored(state.moments, state.noise)
    allowed = in_use(problem, state.hyper) * _allowed(problem, plan, state.hyper)
    return _score(problem.prior, state.hyper, now) - allowed


def in_use(problem: Any, hyper: dict[str, Array]) -> Any:
    """Return the number of hyperparameters above zero, of batch shape."""
    n_batch, count = len(problem.batch_shape), 0
    for values in hyper.values():
        there = host(values) > 0
        count = count + there.sum(axis=tuple(range(n_batch, there.ndim)))
    return count


def _score(prior: Any, hyper: dict[str, Array], now: Any) -> Any:
    return host(now.evidence) + host(prior.log_prior_bound(hyper))


def change(problem: Any, new: dict[str, Array], old: dict[str, Array]) -> Any:
    """Return the relative change of the prior variances, of batch shape."""
    after, before = problem.prior.variance(new), problem.prior.variance(old)
    if isinstance(after, Separable):
        return host(after.change(before))
    xp, n_axes = array_namespace(after), after.ndim - len(problem.batch_shape)
    # squares of variances leave the range of single precision
    after, before = (xp.astype(v, xp.float64) for v in (after, before))
    return host(relative_change(after, before, n_axes))


def merged(taken: Any, a: Any, b: Any) -> Any:
    """`_pick` every array of two trees."""
    if isinstance(a, tuple):
        return tuple(merged(taken, x, y) for x, y in zip(a, b, strict=True))
    if isinstance(a, dict):
        return {name: merged(taken, a[name], b[name]) for name in a}
    return a if a is None else pick(taken, a, b)


def pick(taken: Any, a: Any, b: Any) -> Any:
    """Return `a` for the problems that are `taken`, `b` for the others."""
    if not taken.ndim:
        return a if taken else b
    mask = to_device(taken, device_of(a))
    return where(expand(mask, a.ndim - taken.ndim), a, b)


def host(value: Any) -> Any:
    """Return a number or an array of batch shape as a NumPy array."""
    return np.asarray(to_numpy(value) if is_array(value) else value)
