"""What `sparsesolve.solve` returns."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np

from sparsesolve import checks
from sparsesolve.backends import Array, array_namespace, is_complex


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
    evidence : float or array of batch shape
        log p(y | hyper, noise_variance), in nats.
    noise_variance : float or array of batch shape
        Noise variance of an entry of weight 1; of a complex entry, E|n|².
    hyper : dict of str to array
        The prior's hyperparameters.
    """

    mean: Array
    variance: Array
    evidence: Any
    noise_variance: Any
    hyper: dict[str, Array]

    @property
    def std(self) -> Array:
        """Posterior standard deviation of each entry."""
        return array_namespace(self.variance).sqrt(self.variance)

    def interval(self, level: float = 0.95) -> Array:
        """Return the radius of each entry's credible interval around the mean.

        Parameters
        ----------
        level : float
            Probability, in (0, 1), that ``|x - mean| <= radius``.

        Returns
        -------
        array, shape of the unknown
            Half the width of a real entry's interval; the radius of a complex entry's
            disc.
        """
        if not 0 < checks.positive("level", level) < 1:
            raise ValueError(f"level is {level:g}; wanted a probability below 1")
        if is_complex(self.mean):
            return math.sqrt(-math.log1p(-level)) * self.std
        return NormalDist().inv_cdf(0.5 + 0.5 * level) * self.std

    def __repr__(self) -> str:
        return f"{type(self).__name__}(of {self.mean.shape} entries)"
