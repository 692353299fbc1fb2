"""Near-field radar: from a scan to an image and the numbers that describe it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from sparsesolve import checks, metrics
from sparsesolve.backends import Array, real_dtype
from sparsesolve.loop import solve
from sparsesolve.losses import LeastSquares
from sparsesolve.operators.grid import Grid
from sparsesolve.operators.near_field import NearFieldMIMO
from sparsesolve.paths import path
from sparsesolve.priors import L1, Magnitude, Prior
from sparsesolve.problem import Problem
from sparsesolve.scan import RadarScan
from sparsesolve.solution import Solution, Status
from sparsesolve.solvers.base import Solver

__all__ = [
    "back_projection",
    "describe_image",
    "imaging_problem",
    "reconstruct",
]

LAM_SHARE = 0.5
"""Share of lam_max that is taken where the noise says nothing: at measured scans the
model's own error, multiple reflections and an unknown medium, outweighs the receiver's
noise many times, so that fitting down to the noise would fit clutter."""

_RULES = "share", "discrepancy", "held_out"
# From lam_max to a thousandth of it, each 0.6 of the one before.
_N_LAMS = 15


def back_projection(scan: RadarScan, grid: Grid) -> Array:
    """Return Σ e^{jk(R_t + R_r)} y over all data: complex, of shape ``grid.shape``.

    The delay-and-sum image. It needs no choice and hides nothing, sidelobes included.
    """
    scan = scan.read()
    A = NearFieldMIMO.from_scan(scan, grid, spreading=False)
    return A.H(_data(scan))


def imaging_problem(
    scan: RadarScan, grid: Grid, prior: str | Prior = "l1", *, spreading: bool = True
) -> Problem:
    """Return the problem whose solution is the image of a scan.

    Parameters
    ----------
    scan : RadarScan
    grid : Grid
    prior : "l1" or Prior
        ``"l1"`` is the sum of magnitudes, which leaves each voxel its own phase.
    spreading : bool
        Whether the model has the waves' 1/(4π R_t R_r). False where amplitudes tell
        little of distances, in lossy media and next to the antennas: voxels there
        would otherwise draw all energy.
    """
    scan = scan.read()
    A = NearFieldMIMO.from_scan(scan, grid, spreading=spreading)
    weights = None
    if scan.mask is not None:
        weights = scan.mask.astype(real_dtype(scan.data.dtype))
    return Problem(LeastSquares(A, _data(scan), weights), _prior(prior))


def reconstruct(
    scan: RadarScan,
    grid: Grid,
    prior: str | Prior = "l1",
    *,
    lam: float | str | None = None,
    spreading: bool = True,
    solver: Solver | None = None,
    max_iter: int = 300,
    tol: float | None = 3e-4,
    seed: int = 0,
    checkpoint: str | Path | None = None,
    resume: str | Path | None = None,
    progress: bool | None = None,
) -> Solution:
    """Image a scan: ½‖Ax - y‖² + lam Σ|x|, or another prior.

    Parameters
    ----------
    scan, grid, prior, spreading
        See `imaging_problem`.
    lam : float, "share", "discrepancy" or "held_out", optional
        A weight, or the rule that chooses it: half of lam_max; the largest weight
        whose misfit is within the scan's noise; the one that best predicts receivers
        (or channels) left out. By default the discrepancy where ``scan.noise`` is
        known, otherwise the share.
    solver, max_iter, tol, seed, progress
        See `sparsesolve.solve`; of each weight where a rule tries several. Below a
        relative change of 3e-4 peaks move by a voxel at most.
    checkpoint, resume
        See `sparsesolve.solve`; used where lam is a number or the share, as nothing is
        kept while several weights are tried.

    Returns
    -------
    Solution
        ``choices`` says how lam was chosen and on which grid x lies.

    Raises
    ------
    ValueError
        The rule for lam is unknown or lacks what it needs.
    KeyboardInterrupt
        Interrupted while a rule was trying weights, of which nothing is kept.
    """
    problem = imaging_problem(scan, grid, prior, spreading=spreading)
    if lam is None:
        lam = "share" if scan.noise is None else "discrepancy"
    common: dict[str, Any] = {
        "max_iter": max_iter,
        "tol": tol,
        "seed": seed,
        "progress": progress,
    }
    if lam in ("discrepancy", "held_out"):
        if resume is not None:
            raise ValueError(
                f"resume needs the weight that was begun with; lam is the rule {lam!r}"
            )
        solution = _best_of_path(problem, str(lam), scan.noise, solver, common)
        why = solution.choices["lam"]
    else:
        weight, why = _weight(problem, lam)
        solution = solve(
            problem.with_lam(weight),
            solver,
            checkpoint=checkpoint,
            resume=resume,
            **common,
        )
    noted = {"lam": why, "grid": repr(grid), "speed": f"{scan.speed:.6g} m/s"}
    return replace(solution, choices={**solution.choices, **noted})


def describe_image(
    x: Array, grid: Grid, *, target: Any = None, radius: float = 0.015
) -> dict[str, float]:
    """Return the numbers of an image: peak, side energy, entropy, contrast.

    Parameters
    ----------
    x : array of shape ``grid.shape``
    grid : Grid
    target : (3,) or (n, 3) array_like, m, optional
        Where the truth is; adds the peak's distance from the nearest target and the
        energy away from all targets.
    radius : float, m
        Side energy lies farther than this from the peak, off-target energy farther
        than this from every target.
    """
    peak = metrics.peak_position(x, grid)
    row = {
        f"peak_{axis}_mm": 1e3 * float(value)
        for axis, value in zip("xyz", peak, strict=True)
    }
    row["side_energy_db"] = metrics.side_energy(x, grid, radius=radius)
    if target is not None:
        away = np.linalg.norm(peak - np.atleast_2d(np.asarray(target)), axis=1)
        row["error_mm"] = 1e3 * float(away.min())
        row["off_target_db"] = metrics.side_energy(
            x, grid, center=target, radius=radius
        )
    row["entropy"] = metrics.entropy(x)
    row["contrast"] = metrics.contrast(x)
    row["voxels_used"] = int(np.count_nonzero(x))
    return row


def _data(scan: RadarScan) -> Array:
    """Return the data with zeros where they are not to be used."""
    return scan.data if scan.mask is None else np.where(scan.mask, scan.data, 0)


def _prior(prior: str | Prior) -> Any:
    if isinstance(prior, Prior):
        return prior
    if prior != "l1":
        raise ValueError(f"prior is {prior!r}; wanted 'l1' or a Prior such as L1(1.0)")
    return Magnitude(L1(1.0))


def _weight(problem: Problem, lam: float | str) -> tuple[float, str]:
    """Return a weight that needs no solve, and why it is taken."""
    if lam == "share":
        # The four digits that are shown: the same on every machine, and to be repeated.
        weight = float(f"{LAM_SHARE * problem.lam_max():.4g}")
        return weight, f"{weight:g}, {LAM_SHARE:g} of lam_max"
    if isinstance(lam, str):
        raise ValueError(f"lam is {lam!r}; wanted a number > 0 or one of {_RULES}")
    weight = checks.positive("lam", lam)
    return weight, f"{weight:.4g}, given"


def _best_of_path(
    problem: Problem,
    rule: str,
    noise: float | None,
    solver: Solver | None,
    common: dict[str, Any],
) -> Solution:
    if rule == "discrepancy" and noise is None:
        raise ValueError(
            "lam='discrepancy' needs a scan whose noise is known; wanted scan.noise, "
            "or lam='share', 'held_out' or a number"
        )
    found = path(
        problem,
        choose=rule,
        noise=noise,
        # the data's last axis holds receivers, or channels
        axis=-1 if rule == "held_out" else None,
        n_lams=_N_LAMS,
        solver=solver,
        **common,
    )
    last = found.best or found.solutions[-1]
    if last.status is Status.INTERRUPTED or found.best is None:
        raise KeyboardInterrupt(
            "interrupted while lam was being chosen, of which nothing is kept; give "
            "lam as a number or as 'share' to have a state to go on from"
        )
    return last
