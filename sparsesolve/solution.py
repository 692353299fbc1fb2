"""What `sparsesolve.solve` returns."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np

from sparsesolve import credible
from sparsesolve.backends import (
    Array,
    array_namespace,
    device_of,
    is_complex,
    to_device,
    to_numpy,
)


class Status(Enum):
    """Why a solve ended; the value is the message for a person."""

    RUNNING = "still running"
    CONVERGED = "converged: the residual fell below tol"
    MAX_ITER = "stopped at max_iter before the residual fell below tol"
    DISCREPANCY = "stopped where the misfit reached the noise level"
    STALLED = "stopped because the residual no longer falls"
    TIME = "stopped at the time budget"
    STOPPED = "stopped by the user's own rule"
    INTERRUPTED = "interrupted; x is the last complete iteration"


@dataclass(frozen=True, repr=False)
class Solution:
    """The answer, how it was reached, and every choice made for the user.

    Attributes
    ----------
    x : array or dict of arrays
        The unknown, batch axes first.
    status : Status, or object array of Status of batch shape
        Why it ended.
    message : str
        One sentence for a person.
    n_iter : int or integer array of batch shape
        Iterations done, those before a resume included.
    seconds : float
        Wall-clock time, that before a resume included.
    history : dict of str to array
        One row an iteration: ``residual`` and the solver's metrics, with batch axes
        behind the first.
    state : NamedTuple or None
        The solver's last state, for resuming.
    choices : dict of str to str
        Every value chosen for the user and why.
    posterior : object or None
        Mean, variance and evidence, from solvers that infer.
    """

    x: Any
    status: Any
    message: str
    n_iter: Any
    seconds: float
    history: dict[str, Array] = field(default_factory=dict)
    state: Any = None
    choices: dict[str, str] = field(default_factory=dict)
    posterior: Any = None

    @property
    def converged(self) -> bool:
        """Whether every problem met its tolerance or its discrepancy."""
        good = (Status.CONVERGED, Status.DISCREPANCY)
        statuses = self.status.flat if isinstance(self.status, np.ndarray) else ()
        return all(s in good for s in statuses or (self.status,))

    def save(self, path: str | Path) -> None:
        """Write the solution to an HDF5 file, atomically; see `sparsesolve.save`."""
        from sparsesolve.io import save

        save(path, self)

    def __repr__(self) -> str:
        x = self.x
        shape = {k: v.shape for k, v in x.items()} if isinstance(x, dict) else x.shape
        n_iter = int(np.max(self.n_iter))
        return (
            f"Solution(x {shape}, {n_iter} iterations in {self.seconds:.3g} s: "
            f"{self.message})"
        )


@dataclass(frozen=True, eq=False, repr=False)
class PosteriorSummary:
    """What is kept of a Gaussian posterior when a solution is saved.

    Attributes
    ----------
    mean, variance : array, shape of the unknown with batch axes
        In the units of the unknown and their square; of a complex entry, E|x - mean|².
    log_evidence : float or array of batch shape
        log p(y | hyper, noise_variance), in nats.
    noise_variance : float or array of batch shape
        Noise variance of an entry of weight 1; of a complex entry, E|n|².
    hyper : dict of str to array
        The prior's hyperparameters.
    """

    mean: Array
    variance: Array
    log_evidence: Any
    noise_variance: Any
    hyper: dict[str, Array]

    @property
    def std(self) -> Array:
        """Posterior standard deviation of each entry."""
        return array_namespace(self.variance).sqrt(self.variance)

    @property
    def eliminated(self) -> Array:
        """Where the prior variance was fitted to zero: the entry is held to be zero.

        Neither its variance of zero nor its interval, NaN, says how sure that is.
        """
        return self.variance == 0

    def radius(self, level: float = 0.95) -> Array:
        """Return the radius r of each entry's disc, P(|x - mean| <= r) = `level`.

        Parameters
        ----------
        level : float
            Probability, in (0, 1).

        Returns
        -------
        real array, shape of the unknown
            Of a real entry half the width of its interval; NaN where eliminated.
        """
        level = credible.probability(level)
        std = self._known_variance() ** 0.5
        if is_complex(self.mean):
            return math.sqrt(-math.log1p(-level)) * std
        return credible.central(level) * std

    def interval(
        self, level: float = 0.9, of: str | None = None
    ) -> tuple[Array, Array]:
        """Return the ends of each entry's central credible interval.

        They are conditional on the learned hyperparameters and noise, whose own
        uncertainty is not in them.

        Parameters
        ----------
        level : float
            Probability, in (0, 1), that the entry is between the ends; half of the
            rest is below, half above.
        of : "real", "imag" or "abs", optional
            Of what: the real or imaginary part, or the magnitude. By default "abs" of
            a complex unknown, "real" of a real one, which is the entry itself.

        Returns
        -------
        low, high : real arrays, shape of the unknown
            NaN where an entry was `eliminated`.

        Raises
        ------
        ValueError
            `level` is no probability, `of` is none of the three, or "imag" of a real
            unknown.

        Notes
        -----
        The magnitude of a complex entry is Rice distributed: 2|x|²/variance is
        non-central χ² of two degrees of freedom. The magnitude of a real entry is a
        folded normal variable.
        """
        whole = is_complex(self.mean)
        of = ("abs" if whole else "real") if of is None else of
        if of not in (*("real", "abs"), *(("imag",) if whole else ())):
            kind = "complex" if whole else "real"
            raise ValueError(
                f"of is {of!r}; wanted 'real', 'imag' or 'abs' of a complex unknown, "
                f"'real' or 'abs' of a real one (this one is {kind})"
            )
        level, variance = credible.probability(level), self._known_variance()
        if of == "abs":
            device = device_of(self.mean)
            found = credible.magnitude(to_numpy(self.mean), to_numpy(variance), level)
            return to_device(found[0], device), to_device(found[1], device)
        xp = array_namespace(self.mean)
        part = getattr(xp, of)(self.mean) if whole else self.mean
        half = credible.central(level) * (variance / (2 if whole else 1)) ** 0.5
        return part - half, part + half

    def sample(self, rng: np.random.Generator, n: int = 1) -> Array:
        """Refuse: draws need the operator and the data, which are not kept."""
        raise TypeError(
            "this posterior is a summary, as files keep it: mean, variance, std and "
            "interval(level) are there, but draws need the operator and the data; "
            "solve the problem again in this process and sample its posterior"
        )

    def _known_variance(self) -> Array:
        xp = array_namespace(self.variance)
        unknown = xp.full_like(self.variance, xp.nan)
        return xp.where(self.eliminated, unknown, self.variance)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(of {self.mean.shape} entries)"
