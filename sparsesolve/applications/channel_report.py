"""What an estimate from a Kronecker measurement leaves: solution, pictures, a line."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from sparsesolve import checks, metrics, plot
from sparsesolve.applications.channel_estimate import ChannelEstimate, refuse_silence
from sparsesolve.applications.channel_noise import along_factors
from sparsesolve.applications.results import add_rows
from sparsesolve.io import save
from sparsesolve.kronecker_measurement import KroneckerMeasurement
from sparsesolve.loop import solve
from sparsesolve.losses import LeastSquares
from sparsesolve.paths import path
from sparsesolve.priors import L1, SBL, KroneckerSBL, Magnitude
from sparsesolve.problem import Problem
from sparsesolve.solution import Solution, Status
from sparsesolve.solvers import VariationalEM

__all__ = ["COLUMNS", "LEGEND", "PRIORS", "add_line", "describe", "estimate_into"]

COLUMNS = (
    "measurement",
    "estimate",
    "nmse",
    "support",
    "symbol_errors",
    "log_evidence",
    "noise_variance",
    "used",
    "n_iter",
    "seconds",
)

LEGEND = (
    "nmse: of the channel, or of x where no channel is known; support: share of atoms "
    "that estimate and truth have in common, 1 is perfect; symbol errors: rate of QPSK "
    "symbols that are received wrongly; used: entries of x that are not zero"
)

PRIORS = ("kronecker-sbl", "sbl", "l1")
"""Names of the priors, the default first."""


def estimate_into(
    folder: Path,
    name: str,
    measurement: KroneckerMeasurement,
    *,
    prior: str = "kronecker-sbl",
    noise_variance: float | None = None,
    lam: float | None = None,
    max_iter: int = 1000,
    tol: float | None = None,
    resume: str | Path | None = None,
    progress: bool | None = None,
) -> tuple[ChannelEstimate, dict[str, Any]]:
    """Estimate x, and the channel if there is a synthesis; write all that follows.

    NAME_PRIOR.h5 (the solution), NAME_PRIOR.png (|x| and its intervals),
    NAME_PRIOR_convergence.png, with a synthesis NAME_PRIOR_channel.png, and a row of
    metrics.csv in `folder`; while it works, NAME_PRIOR.checkpoint.h5.

    Parameters
    ----------
    folder : path
    name : str
    measurement : KroneckerMeasurement
    prior : {"kronecker-sbl", "sbl", "l1"}
        Variances that are products over the modes; of each entry; or the sum of
        magnitudes, which gives no error bars. Snapshots share their variances.
    noise_variance : float, optional
        E|n|² of an entry; by default the measurement's. Where it is unknown "sbl" and
        "kronecker-sbl" learn it.
    lam : float, optional
        Weight of "l1"; by default the largest whose misfit is at the noise, or where
        that is unknown the one that best predicts data left out.
    max_iter, tol, resume, progress
        As of `sparsesolve.solve`.

    Returns
    -------
    ChannelEstimate, dict
        The row has the names of `COLUMNS`.

    Raises
    ------
    ValueError
        The measurement's y is zero; an unknown prior; `lam` with another prior than
        "l1"; a resumed "l1" without it; `noise_variance` beside it, of which nothing
        would follow.
    KeyboardInterrupt
        Interrupted; the message says where the checkpoint is and how to go on.
    """
    refuse_silence(measurement)
    noise = measurement.noise_variance
    if noise_variance is not None:
        if prior == "l1" and lam is not None:
            raise ValueError("lam is given, so that noise_variance says nothing")
        noise = checks.positive_number("noise_variance", noise_variance)
    checkpoint = folder / f"{name}_{prior}.checkpoint.h5"
    options: dict[str, Any] = {"max_iter": max_iter, "tol": tol, "progress": progress}
    kept: dict[str, Any] = {**options, "checkpoint": checkpoint, "resume": resume}
    started = time.perf_counter()
    problem = Problem(
        LeastSquares(measurement.operator, measurement.data), _prior(measurement, prior)
    )
    if prior == "l1":
        problem, why = _weighted(problem, noise, lam, resume, options)
        found = solve(problem, **kept)
        found = replace(found, choices={**found.choices, "lam": why})
    elif lam is not None:
        raise ValueError(f"lam is the weight of 'l1'; {prior!r} has none")
    else:
        found = solve(problem, VariationalEM(noise_variance=noise), **kept)
    if found.status is Status.INTERRUPTED:
        raise KeyboardInterrupt(
            f"interrupted after {found.n_iter} iterations; the state is in "
            f"{checkpoint}: repeat the command with --resume {checkpoint} to go on"
        )
    # the checkpoint goes once all else is written, and the note of it with it
    choices = {k: v for k, v in found.choices.items() if k != "checkpoint"}
    estimate = _estimate(measurement, replace(found, choices=choices))
    seconds = time.perf_counter() - started
    row = {"measurement": name, **describe(estimate, prior, seconds=seconds)}
    _pictures(folder, f"{name}_{prior}", estimate)
    save(folder / f"{name}_{prior}.h5", estimate.solution)
    add_line(folder, row)
    if found.converged:
        checkpoint.unlink(missing_ok=True)
    return estimate, row


def add_line(folder: Path, *rows: dict[str, Any]) -> None:
    """Add rows to metrics.csv, in place of older ones of the same estimates."""
    add_rows(folder / "metrics.csv", rows, keys=("measurement", "estimate"))


def describe(
    estimate: ChannelEstimate, label: str, *, seconds: float
) -> dict[str, Any]:
    """Return the numbers of an estimate: errors where the truth is known, evidence.

    Parameters
    ----------
    estimate : ChannelEstimate
    label : str
        What the row is called.
    seconds : float
    """
    measurement, solution = estimate.measurement, estimate.solution
    row: dict[str, Any] = {"estimate": label}
    if estimate.nmse is not None:
        row["nmse"] = estimate.nmse
    if measurement.x is not None:
        row["support"] = metrics.support_recovery(solution, measurement.x)
    posterior = solution.posterior
    if posterior is not None:
        row["log_evidence"] = float(posterior.log_evidence)
        row["noise_variance"] = float(posterior.noise_variance)
    row["used"] = int(np.count_nonzero(estimate.x))
    return {**row, "n_iter": int(solution.n_iter), "seconds": seconds}


def _prior(measurement: KroneckerMeasurement, prior: str) -> Any:
    shared = None if measurement.snapshots is None else -1
    if prior == "kronecker-sbl":
        return KroneckerSBL(tied_axes=shared)
    if prior == "sbl":
        return SBL(tied_axes=shared)
    if prior == "l1":
        return Magnitude(L1(1.0))
    raise ValueError(f"prior is {prior!r}; wanted one of {', '.join(PRIORS)}")


def _weighted(
    problem: Problem,
    noise: float | None,
    lam: float | None,
    resume: Any,
    options: dict[str, Any],
) -> tuple[Problem, str]:
    """Return the problem with its weight of l1, and why it is that one."""
    if lam is not None:
        lam = checks.positive_number("lam", lam)
        return problem.with_lam(lam), f"{lam:.4g}, given"
    if resume is not None:
        raise ValueError("resume needs the weight that was begun with; give lam")
    rule = "held_out" if noise is None else "discrepancy"
    std = None if noise is None else noise**0.5
    chosen = path(problem, choose=rule, noise=std, **options)
    if chosen.best is None or chosen.best.status is Status.INTERRUPTED:
        raise KeyboardInterrupt(
            "interrupted while lam was being chosen, of which nothing is kept; give "
            "lam to have a state to go on from"
        )
    return problem.with_lam(chosen.lam), chosen.best.choices["lam"]


def _estimate(measurement: KroneckerMeasurement, found: Solution) -> ChannelEstimate:
    matrices = measurement.synthesis
    channel = None if matrices is None else along_factors(matrices, found.x)
    return ChannelEstimate(found.x, channel, found, measurement)


def _pictures(folder: Path, stem: str, estimate: ChannelEstimate) -> None:
    solution, measurement = estimate.solution, estimate.measurement
    pictures = {
        "": plot.coefficients(solution, measurement, title=repr(measurement)),
        "_convergence": plot.convergence(solution),
    }
    if estimate.channel is not None:
        pictures["_channel"] = plot.channel(estimate)
    for what, picture in pictures.items():
        plot.save(picture, folder / f"{stem}{what}.png")
