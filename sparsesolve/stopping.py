"""Stopping rules for `sparsesolve.solve(stop=...)` beside its tolerance.

A rule is any callable that takes a `Progress` and returns whether to stop: a bool,
or a boolean array of batch shape to stop problems one by one. Its attribute
``status``, if it has one, says why.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from sparsesolve import checks
from sparsesolve.backends import Array, is_array, to_numpy
from sparsesolve.solution import Status


class Progress(NamedTuple):
    """What a stopping rule or a callback may look at, after each iteration."""

    problem: Any
    state: Any
    n_iter: int
    """Iterations done."""
    seconds: float
    history: list[dict[str, Any]]
    """One row an iteration so far."""


@dataclass(frozen=True)
class Discrepancy:
    """Stop where the misfit ‖Ax - y‖ falls to the noise level.

    Costs one application of A every `every` iterations.

    Parameters
    ----------
    noise : float
        Standard deviation of the noise of one data entry (complex: E|n|² = noise²),
        in the units of the data.
    tau : float
        Safety factor on ``noise * sqrt(n_data)``; 1 by default.
    every : int
        Look only every so many iterations.
    """

    noise: Any
    tau: float = 1.0
    every: int = 1
    status = Status.DISCREPANCY

    def __post_init__(self) -> None:
        checks.positive("noise", self.noise)
        checks.positive_number("tau", self.tau)
        checks.positive_int("every", self.every)

    def __call__(self, progress: Progress) -> Any:
        if progress.n_iter % self.every:
            return False
        loss = progress.problem.loss
        misfit = loss.misfit(loss.A.forward(progress.state.x))
        n_data = to_numpy(loss.n_data) if is_array(loss.n_data) else loss.n_data
        noise = to_numpy(self.noise) if is_array(self.noise) else self.noise
        return to_numpy(misfit) <= self.tau * noise * np.sqrt(n_data)


@dataclass(frozen=True)
class Stall:
    """Stop where the residual has not improved by `factor` in `window` iterations.

    Parameters
    ----------
    window : int
        Iterations to look back.
    factor : float
        The best residual of the window must be below `factor` times the best before.
    """

    window: int = 100
    factor: float = 0.99
    status = Status.STALLED

    def __post_init__(self) -> None:
        checks.positive_int("window", self.window)
        checks.positive_number("factor", self.factor)

    def __call__(self, progress: Progress) -> Any:
        if progress.n_iter % self.window or progress.n_iter < 2 * self.window:
            return False
        rows = [row["residual"] for row in progress.history]
        new, old = rows[-self.window :], rows[-2 * self.window : -self.window]
        return np.min(new, axis=0) >= self.factor * np.min(old, axis=0)


@dataclass(frozen=True)
class TimeBudget:
    """Stop after so many seconds of wall-clock time, those before a resume included."""

    seconds: float
    status = Status.TIME

    def __post_init__(self) -> None:
        checks.positive_number("seconds", self.seconds)

    def __call__(self, progress: Progress) -> bool:
        return progress.seconds >= self.seconds


def as_rules(stop: Array) -> tuple[Any, ...]:
    """Return `stop`, a rule or a sequence of rules, as a tuple of callables."""
    rules = tuple(stop) if isinstance(stop, (tuple, list)) else (stop,)
    for rule in rules:
        if isinstance(rule, type) or not callable(rule):
            raise TypeError(f"stop has {rule!r}; wanted a callable taking a Progress")
    return rules
