"""From a scan to a regularised image, and the numbers that describe one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path as FilePath
from typing import Any

import numpy as np

from sparsesolve import metrics
from sparsesolve.applications.radar_direct import usable_data
from sparsesolve.applications.radar_grid import check_scene, warn_if_behind
from sparsesolve.applications.radar_level import DataLevel, data_level
from sparsesolve.applications.radar_warm_start import warm_start
from sparsesolve.applications.radar_weight import choose_weight, is_searched
from sparsesolve.backends import Array, real_dtype
from sparsesolve.loop import solve
from sparsesolve.losses import LeastSquares, NoiseBall
from sparsesolve.operators.grid import Grid
from sparsesolve.operators.near_field import NearFieldMIMO
from sparsesolve.priors import L1, FusedLasso, GroupL2, Magnitude, Prior
from sparsesolve.problem import Problem
from sparsesolve.scan import RadarScan
from sparsesolve.solution import Solution
from sparsesolve.solvers.base import Solver
from sparsesolve.solvers.proximal_gradient import ProximalGradient

__all__ = ["describe_image", "imaging_problem", "reconstruct"]

TV_SHARE = 0.3
"""Weight of total variation over that of ℓ1 in "l1+tv": of 0.1, 0.3 and 1 the best on
simulated points, plates and letters."""

_TV_MOST = 1.0
"""The same in "tv". At 10, constant magnitudes with free phases, which fit most data,
already win on small grids."""

_FORMS = "penalised", "noise_ball"


def imaging_problem(
    scan: RadarScan,
    grid: Grid,
    prior: str | Prior = "l1",
    *,
    spreading: bool = True,
    radius: float | None = None,
) -> Problem:
    """Return the problem whose solution is the image of a scan.

    Parameters
    ----------
    scan : RadarScan
    grid : Grid
    prior : {"l1", "l1+tv", "tv", "group"} or Prior
        All act on magnitudes and leave each voxel its own phase. ``"l1"``, their sum:
        few voxels. ``"l1+tv"``, with 0.3 of their total variation (`FusedLasso`):
        bodies of even strength. ``"tv"``, with as much total variation as ℓ1, which
        is needed: constant magnitudes with free phases fit most data. ``"group"``,
        the sum of the norms of blocks of 2 x 2 x 2 voxels (`GroupL2` of the complex
        image): few blocks, whose voxels share their fate as those around a target
        between voxels should; the blocks lie where the grid has them.
    spreading : bool
        Whether the model has the waves' 1/(4π R_t R_r). False where amplitudes tell
        little of distances, in lossy media and next to the antennas: voxels there
        would otherwise draw all energy.
    radius : float, optional
        The prior is minimised under ‖Ax - y‖ <= radius, in the unit of the data,
        instead of being added to ½‖Ax - y‖².
    """
    warn_if_behind(scan, grid)
    return _problem(scan.read(), grid, prior, spreading, radius)


def reconstruct(
    scan: RadarScan,
    grid: Grid,
    prior: str | Prior = "l1",
    *,
    form: str = "penalised",
    lam: float | str | None = None,
    noise: float | None = None,
    snr: float | None = None,
    model_error: float | None = None,
    spreading: bool = True,
    solver: Solver | None = None,
    max_iter: int = 500,
    tol: float | None = 1e-4,
    seed: int = 0,
    checkpoint: str | FilePath | None = None,
    resume: str | FilePath | None = None,
    progress: bool | None = None,
) -> Solution:
    """Image a scan: ½‖Ax - y‖² + lam Σ|x|, or another prior or form.

    Parameters
    ----------
    scan, grid, prior, spreading
        See `imaging_problem`.
    form : {"penalised", "noise_ball"}
        ``"noise_ball"`` minimises the prior under ‖Ax - y‖ <= ε instead, with
        ε² = n_data (noise² + model_error²): no lam, but the noise must be known.
    lam : float, "share", "discrepancy" or "held_out", optional
        A weight, or the rule that chooses it: half of lam_max; a weight whose misfit
        is within ε, found by rough solves along decreasing weights, which leave the
        final misfit at 0.4 to 1 of ε; the largest that predicts a tenth of the
        receivers or channels, left out, within one standard error as well as any
        (transmitters where there is one receiver, frequencies where there is one
        channel). By default the discrepancy where the noise is known, otherwise held
        out, or the share where that weight predicts less than a tenth of their
        energy. A prior without a weight, such as a `Denoiser`, takes none.
    noise, snr, model_error : float, optional
        The noise's standard deviation or the signal-to-noise ratio in dB, by default
        ``scan.noise``; and what the model cannot explain, by default predicted from
        the voxels. See `data_level`.
    solver, max_iter, tol, seed, progress
        See `sparsesolve.solve`. At a relative change of 3e-4 peaks no longer move by
        a voxel, but few frequencies need 1e-4 (1 dB on points). While a rule tries
        weights, at most 30 iterations are made for each, or 60 where the prior is not
        convex.
    checkpoint, resume
        See `sparsesolve.solve`. While a rule tries several weights nothing is kept;
        to go on after it, give the weight that it took, as ``choices["lam"]`` says it.

    Returns
    -------
    Solution
        ``choices`` says how lam or ε was chosen and on which grid x lies.

    Raises
    ------
    ValueError
        The rule for lam or the form is unknown or lacks what it needs.
    KeyboardInterrupt
        Interrupted while a rule was trying weights, of which nothing is kept.
    """
    check_scene(scan, grid)
    scan = scan.read()
    if form not in _FORMS:
        raise ValueError(f"form is {form!r}; wanted one of {_FORMS}")
    told = {"noise": noise, "snr": snr, "model_error": model_error}
    common: dict[str, Any] = {"seed": seed, "progress": progress}
    final = {"max_iter": max_iter, "tol": tol, **common}
    final |= {"checkpoint": checkpoint, "resume": resume}
    noted = {"grid": repr(grid), "speed": f"{scan.speed:.6g} m/s"}
    if scan.steps:
        noted["steps"] = "; ".join(scan.steps)
    if form == "noise_ball":
        level = data_level(scan, grid, spreading=spreading, **told)
        radius = _radius(level, lam)
        noted["epsilon"] = f"{radius:.4g}; {level.why}" if level else ""
        problem = imaging_problem(scan, grid, prior, spreading=spreading, radius=radius)
        solution = solve(problem, solver, **final)
        return replace(solution, choices={**solution.choices, **noted})
    problem = imaging_problem(scan, grid, prior, spreading=spreading)
    if problem.prior.lam is None:
        _refuse_weight(problem.prior, lam=lam, **told)
        solution = solve(problem, solver, **final)
        return replace(solution, choices={**solution.choices, **noted})
    level = data_level(scan, grid, spreading=spreading, **told)
    fast = solver is None and problem.prior.has_prox
    if fast:
        # as few iterations as with the step 1/‖A‖², whose norm costs dozens more
        solver = ProximalGradient(backtracking=True)
        noted["solver"] = f"{solver!r}, for one prior with a prox"
    if resume is not None and is_searched(lam):
        raise ValueError(
            f"lam is {lam!r}; resume needs the weight that was begun with, as "
            "choices['lam'] or the message of the interruption says it"
        )
    weight, why, x0 = choose_weight(problem, lam, level, {"solver": solver, **common})
    if x0 is None and fast and resume is None:
        x0, noted["start"] = warm_start(
            problem.with_lam(weight),
            lambda part: _problem(scan, part, prior, spreading).with_lam(weight),
            grid,
            seed=seed,
            progress=progress,
        )
    solution = solve(problem.with_lam(weight), solver, x0=x0, **final)
    noted["lam"] = why
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


def _problem(
    scan: RadarScan,
    grid: Grid,
    prior: str | Prior,
    spreading: bool,
    radius: float | None = None,
) -> Problem:
    A = NearFieldMIMO.from_scan(scan, grid, spreading=spreading)
    chosen, y = _prior(prior, grid), usable_data(scan)
    if radius is not None:
        # masked entries are 0 in the data and in A x: they take no part
        return Problem(NoiseBall(A, y, radius), chosen)
    weights = None
    if scan.mask is not None:
        weights = scan.mask.astype(real_dtype(scan.data.dtype))
    return Problem(LeastSquares(A, y, weights), chosen)


def _prior(prior: str | Prior, grid: Grid) -> Any:
    if isinstance(prior, Prior):
        return prior
    if prior == "l1":
        return Magnitude(L1(1.0))
    if prior in ("l1+tv", "tv"):
        # looser than the prior's own: the prox is the dearest part of an iteration
        share = TV_SHARE if prior == "l1+tv" else _TV_MOST
        return Magnitude(FusedLasso(1.0, tv=share, tol=1e-3))
    if prior == "group":
        i, j, k = np.indices(grid.shape) // 2
        _, ny, nz = grid.shape
        return GroupL2(1.0, (i * ny + j) * nz + k)
    raise ValueError(
        f"prior is {prior!r}; wanted 'l1', 'l1+tv', 'tv', 'group' or a Prior such as "
        "L1(1.0)"
    )


def _refuse_weight(prior: Prior, **given: Any) -> None:
    for name, value in given.items():
        if value is not None:
            raise ValueError(
                f"{name} is {value!r}; {prior!r} has no weight that it could choose: "
                "wanted none, or form='noise_ball'"
            )


def _radius(level: DataLevel | None, lam: float | str | None) -> float:
    if lam is not None:
        raise ValueError(
            f"lam is {lam!r}; form='noise_ball' has none: the noise takes its place"
        )
    if level is None:
        raise ValueError(
            "form='noise_ball' needs the noise; wanted scan.noise, noise or snr"
        )
    return level.radius
