"""The weight of the prior: given, by the noise, by receivers left out, or a share."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from sparsesolve import checks
from sparsesolve.applications.radar_level import DataLevel
from sparsesolve.backends import Array
from sparsesolve.paths import Path, largest_lam, path, usable_slices
from sparsesolve.problem import Problem
from sparsesolve.solution import Solution

__all__ = ["choose_weight", "is_searched"]

LAM_SHARE = 0.5
"""Share of lam_max that is taken where neither the noise nor receivers left out tell a
weight: at breast phantoms, whose medium and multiple reflections the model does not
know, the best weight for those would be lam_max itself, an empty image."""

LEAST_PREDICTED = 0.1
"""Share of the energy of receivers left out that an image must predict, for these to
choose its weight. Simulated scans have 0.92 to 0.99, 0.5 with antennas 2 mm off, breast
phantoms 0.00 (benchmarks/RADAR.md)."""

_SEARCHED = "discrepancy", "held_out"
_RULES = "share", *_SEARCHED
# From lam_max to a thousandth of it, each half of the one before. On the way an image
# need only be good enough to begin the next with; where the prior is not convex, as the
# total variation of magnitudes, a better one leads to a better image in the end (1 dB).
_N_LAMS, _RATIO = 11, 2.0**-10
_ROUGH: dict[str, Any] = {"max_iter": 30, "tol": 3e-3}
_CAREFUL: dict[str, Any] = {"max_iter": 60, "tol": 1e-3}
# Weights that may predict worse before the search ends.
_PATIENCE = 2
# Of the level: what a solve to convergence may add to a rough one's misfit.
_MARGIN = 0.95


_AXES = {
    2: ("frequencies", "channels"),
    3: ("frequencies", "transmitters", "receivers"),
}


def is_searched(lam: Any) -> bool:
    """Return whether several weights are tried to find the one that `lam` asks for."""
    return lam is None or (isinstance(lam, str) and lam in _SEARCHED)


def choose_weight(
    problem: Problem,
    lam: float | str | None,
    level: DataLevel | None,
    rough: dict[str, Any],
) -> tuple[float, str, Array | None]:
    """Return a weight, why it is taken, and an image to begin with, if one was made.

    Parameters
    ----------
    problem : Problem
        Least squares, with any weight.
    lam : float, "share", "discrepancy", "held_out" or None
        As of `sparsesolve.applications.radar.reconstruct`.
    level : DataLevel or None
        None where the noise is unknown.
    rough : dict
        ``solver``, ``seed`` and ``progress`` of the solves along decreasing weights.

    Raises
    ------
    ValueError
        The rule is unknown or lacks what it needs.
    KeyboardInterrupt
        Interrupted, when nothing is kept.
    """
    if not (lam is None or isinstance(lam, str)):
        weight = checks.positive_number("lam", lam)
        return weight, f"{weight!r}, given", None
    if lam == "discrepancy" or (lam is None and level is not None):
        return _at_discrepancy(problem, level, rough)
    if lam is None:
        return _held_out_or_share(problem, rough)
    if lam == "held_out":
        weight, why, x, _ = _held_out(problem, rough)
        return weight, why, x
    if lam == "share":
        return *_share(problem), None
    raise ValueError(f"lam is {lam!r}; wanted a number > 0 or one of {_RULES}")


def _share(problem: Problem) -> tuple[float, str]:
    weight = _shown(LAM_SHARE * largest_lam(problem))
    return weight, f"{weight:g}, {LAM_SHARE:g} of lam_max"


def _at_discrepancy(
    problem: Problem, level: DataLevel | None, rough: dict[str, Any]
) -> tuple[float, str, Array]:
    """Return the weight whose misfit is the level, why, and a rough image."""
    if level is None:
        raise ValueError(
            "lam='discrepancy' needs a scan whose noise is known; wanted scan.noise, "
            "noise or snr, or lam='share', 'held_out' or a number"
        )
    found, best, lam = _path(
        problem, rough, choose="discrepancy", noise=level.per_datum
    )
    if len(found.lams) < 2:  # rounding: the level is a hair below ‖y‖
        return lam, best.choices["lam"], best.x
    weight = _shown(_between(found, _MARGIN * level.radius))
    why = f"{weight:g}, where the misfit is within {level.radius:.3g} ({level.why})"
    return weight, why, best.x


def _held_out_or_share(
    problem: Problem, rough: dict[str, Any]
) -> tuple[float, str, Array | None]:
    """Return what `_held_out` does, or a share where too little can be predicted."""
    if not _divisible(problem.loss):
        return *_share(problem), None
    weight, why, x, predicted = _held_out(problem, rough)
    if predicted >= LEAST_PREDICTED:
        return weight, why, x
    held_out, (weight, share) = why, _share(problem)
    return weight, f"{share}, as held-out data would choose {held_out}", None


def _held_out(
    problem: Problem, rough: dict[str, Any]
) -> tuple[float, str, Array, float]:
    """Return a weight, why, a rough image, and the share of energy that it predicts."""
    axes = _divisible(problem.loss)
    axis = axes[-1] if axes else -1
    found, best, lam = _path(
        problem,
        rough,
        choose="held_out",
        axis=axis,
        standard_errors=1.0,
        patience=_PATIENCE,
    )
    # the first weight leaves (next to) nothing of the image
    first, reached = found.scores[0], found.scores[list(found.lams).index(lam)]
    predicted = 1 - float(reached / first) ** 2 if first else 0.0
    weight, why = _shown(lam), best.choices["lam"].partition(", ")[2]
    names = _AXES[len(problem.A.out_shape)]
    why = f"{weight:g}, {why}, predicts {predicted:.1%} of {names[axis]} left out"
    return weight, why, best.x, predicted


def _divisible(loss: Any) -> list[int]:
    """Return the axes along which the data in use have two slices or more."""
    axes = range(len(loss.A.out_shape))
    return [axis for axis in axes if usable_slices(loss, axis).size > 1]


def _path(
    problem: Problem, rough: dict[str, Any], **options: Any
) -> tuple[Path, Solution, float]:
    """Return the path, its chosen solution and that one's weight."""
    accuracy = _ROUGH if problem.prior.convex else _CAREFUL
    found = path(problem, n_lams=_N_LAMS, ratio=_RATIO, **accuracy, **rough, **options)
    best = found.best
    if best is None or found.lam is None:
        raise KeyboardInterrupt(
            "interrupted while lam was being chosen, of which nothing is kept; give "
            "lam as a number or as 'share' to have a state to go on from"
        )
    return found, best, found.lam


def _shown(weight: Any) -> float:
    """Return the four digits that are shown, so that the weight can be given again."""
    return float(f"{weight:.4g}")


def _between(found: Path, wanted: float) -> float:
    """Return the lam at which the misfit, a power of it, reaches what is wanted."""
    (above, below), (high, low) = np.log(found.scores[-2:]), np.log(found.lams[-2:])
    share = (math.log(wanted) - below) / (above - below) if above > below else 0.0
    return float(np.exp(low + min(max(share, 0.0), 1.0) * (high - low)))
