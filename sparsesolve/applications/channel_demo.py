"""The demonstration of channel estimation: a simulated uplink through a file."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from sparsesolve import checks
from sparsesolve.applications.channel_estimate import ChannelEstimate
from sparsesolve.applications.channel_noise import along_factors
from sparsesolve.applications.channel_report import add_line, describe, estimate_into
from sparsesolve.applications.channel_scene import IRSUplink, simulate
from sparsesolve.applications.results import output_folder
from sparsesolve.io import load, save
from sparsesolve.kronecker_measurement import KroneckerMeasurement
from sparsesolve.loop import solve
from sparsesolve.losses import LeastSquares
from sparsesolve.metrics import symbol_error_rate
from sparsesolve.priors import TopK
from sparsesolve.problem import Problem
from sparsesolve.solution import Solution, Status
from sparsesolve.solvers import OMP
from sparsesolve.stopping import Discrepancy

__all__ = ["SNR_DB", "run"]

SNR_DB = 5.0
"""Signal-to-noise ratio of the demonstration, dB."""


def run(
    out: str | Path,
    *,
    seed: int = 0,
    geometry: IRSUplink | None = None,
    say: Callable[[str], None] = print,
    progress: bool | None = None,
) -> list[dict[str, Any]]:
    """Estimate a simulated channel in four ways; return the table.

    Everything goes through a file: the measurement is written to HDF5 and read back.

    Parameters
    ----------
    out : path
        Folder for uplink.h5 (measurement), what `channel_report.estimate_into` writes
        of ``kronecker-sbl`` and ``l1``, and metrics.csv.
    seed : int
        Of the simulation.
    geometry : IRSUplink, optional
        By default the one that published figures are for.
    say : callable
        Takes one line of text at a time.
    progress : bool, optional
        See `sparsesolve.solve`.
    """
    folder = output_folder(out)
    save(folder / "uplink.h5", simulate(np.random.default_rng(seed), SNR_DB, geometry))
    measurement = load(folder / "uplink.h5", kind="kronecker")
    say(f"uplink: by way of a reflecting surface, {SNR_DB:g} dB; {measurement!r}")
    rows = []
    for prior in ("kronecker-sbl", "l1"):
        estimate, row = estimate_into(
            folder, "uplink", measurement, prior=prior, progress=progress
        )
        rows.append(_row(estimate, prior, row["seconds"]))
    for label, method in (("omp", _omp), ("least squares", _least_squares)):
        started = time.perf_counter()
        found = method(measurement, progress)
        channel = along_factors(measurement.synthesis, found.x)
        estimate = ChannelEstimate(found.x, channel, found, measurement)
        rows.append(_row(estimate, label, time.perf_counter() - started))
    add_line(folder, *rows)
    return rows


def _row(estimate: ChannelEstimate, label: str, seconds: float) -> dict[str, Any]:
    measurement = estimate.measurement
    return {
        "measurement": "uplink",
        **describe(estimate, label, seconds=seconds),
        "symbol_errors": symbol_error_rate(
            estimate.channel, measurement.channel, _noise(measurement)
        ),
    }


def _noise(measurement: KroneckerMeasurement) -> float:
    return checks.positive_number("noise_variance", measurement.noise_variance)


def _omp(measurement: KroneckerMeasurement, progress: bool | None) -> Solution:
    """Add atoms until the misfit is at the noise, or half the data are used up."""
    most = measurement.data.size // 2
    problem = Problem(LeastSquares(measurement.operator, measurement.data), TopK(most))
    stop = Discrepancy(_noise(measurement) ** 0.5)
    return solve(problem, OMP(), max_iter=most, stop=stop, progress=progress)


def _least_squares(
    measurement: KroneckerMeasurement, progress: bool | None
) -> Solution:
    """Fit with the least norm: the pseudo-inverse of a product is that of the parts."""
    inverses = [np.linalg.pinv(a) for a in measurement.factors]
    x = along_factors(inverses, measurement.data)
    return Solution(
        x=x, status=Status.CONVERGED, message="exact", n_iter=0, seconds=0.0
    )
