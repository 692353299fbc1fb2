"""The solver contract: frozen settings, what they need, and three functions."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np

from sparsesolve.losses import LeastSquares, Loss
from sparsesolve.priors.hierarchical import HierarchicalPrior


@dataclass(frozen=True)
class Need:
    """One thing a solver needs of a problem: its name, the test, the way out."""

    what: str
    test: Callable[[Any], bool]
    hint: str


def _proximal(problem: Any) -> bool:
    prior = problem.prior
    if problem.is_blocks:
        return all(_is_given(p) and p.has_prox for p in prior.values())
    return _is_given(prior) and all(
        _is_given(p) and p.has_prox for p, _ in problem.terms
    )


def _is_given(prior: Any) -> bool:
    """Whether the prior is all there: neither inferred nor learnt on the way."""
    return not prior.hierarchical and not prior.learns


def _majorisable(problem: Any) -> bool:
    priors = problem.prior.values() if problem.is_blocks else [problem.prior]
    return all(not p.hierarchical and (p.has_prox or p.has_majoriser) for p in priors)


ARRAY_UNKNOWN = Need(
    "an unknown that is one array",
    lambda problem: not problem.is_blocks,
    "use AlternatingMinimization, or problem.partial(block, x)",
)
BLOCK_UNKNOWN = Need(
    "an unknown of named blocks",
    lambda problem: problem.is_blocks,
    "use ProximalGradient or ADMM for one array",
)
SMOOTH_LOSS = Need(
    "a loss with a gradient",
    lambda problem: problem.loss.smooth,
    "use ADMM or PrimalDual",
)
MAJORISABLE_LOSS = Need(
    "a loss with a gradient or a majoriser",
    lambda problem: (
        problem.loss.smooth or type(problem.loss).majorise is not Loss.majorise
    ),
    "use LeastSquares, Huber or L21",
)
LEAST_SQUARES = Need(
    "a LeastSquares loss",
    lambda problem: isinstance(problem.loss, LeastSquares),
    "use a proximal prior with ADMM or PrimalDual",
)
PROXIMAL_PRIOR = Need(
    "a prior with a prox",
    _proximal,
    "use VariationalEM for a hierarchical prior, AlternatingMinimization for one that "
    "learns or has only a majoriser",
)
PROX_OR_MAJORISER = Need(
    "priors with a prox or a majoriser, one a block",
    _majorisable,
    "use one prior a block, not a sum",
)
ONE_PROX = Need(
    "one prior with a prox, not a sum or a Term",
    lambda problem: not problem.prior.hierarchical and problem.prior.has_prox,
    "use ADMM or PrimalDual, which split sums",
)
HIERARCHICAL_PRIOR = Need(
    "a hierarchical prior such as SBL",
    lambda problem: isinstance(problem.prior, HierarchicalPrior),
    "use ProximalGradient or ADMM for a proximal prior",
)


@dataclass(frozen=True)
class Solver(ABC):
    """Frozen settings and three functions; `sparsesolve.solve` owns the loop.

    A new solver is a frozen dataclass with `needs`, `prepare`, `init` and `step`. Its
    state is a NamedTuple with at least ``x`` (the answer if stopped now),
    ``residual`` (what ``tol`` is compared with; a float, or an array of batch shape)
    and ``metrics`` (a dict of numbers, one row of history). Leaves of a state are
    arrays, numbers, strings, None, and tuples or dicts of them. In a batch, every
    array whose leading axes are the batch shape belongs to the problems one by one:
    the loop freezes those that have finished. A solver prints nothing, reads no clock
    and draws random numbers only from ``default_rng([seed, iteration])``, where it
    keeps both in its state.
    """

    needs: ClassVar[tuple[Need, ...]] = ()
    default_tol: ClassVar[dict[str, float]] = {"float32": 1e-4, "float64": 1e-6}

    @abstractmethod
    def prepare(self, problem: Any) -> Any:
        """Return the plan: factorisations and norms; rebuilt, never saved.

        A plan may have ``choices``, a dict of what was chosen for the user and why.
        """

    @abstractmethod
    def init(self, problem: Any, plan: Any, x0: Any, rng: np.random.Generator) -> Any:
        """Return the first state; `x0` is checked, or None for the solver's own."""

    @abstractmethod
    def step(self, problem: Any, plan: Any, state: Any) -> Any:
        """Return the next state; never changes the old one."""

    def posterior(self, problem: Any, plan: Any, state: Any) -> Any:
        """Return the posterior of a solver that infers; None of one that minimises."""
        return None

    def missing(self, problem: Any) -> Need | None:
        """Return the first need that `problem` does not meet, or None."""
        return next((need for need in self.needs if not need.test(problem)), None)

    def check(self, problem: Any) -> Self:
        """Refuse, by name and before any work, a problem that lacks what is needed.

        Raises
        ------
        TypeError
            Names the solver, what it needs, and what to use instead.
        """
        need = self.missing(problem)
        if need is not None:
            raise TypeError(
                f"{type(self).__name__} needs {need.what}; got {problem!r}: "
                f"{self._way_out(need, problem)}"
            )
        return self

    def _way_out(self, need: Need, problem: Any) -> str:
        inferred = isinstance(problem.prior, HierarchicalPrior)
        if not inferred or HIERARCHICAL_PRIOR in self.needs:
            return need.hint
        return (
            "use VariationalEM, with a LeastSquares loss, for a prior with "
            f"hyperparameters such as {type(problem.prior).__name__}"
        )
