"""What `sparsesolve.solve` returns."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np

from sparsesolve.backends import Array


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
