"""The noise variance: given and compared with the data, or learned from them."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from sparsesolve import checks
from sparsesolve.backends import array_namespace, is_array, where

LEAST_NOISE = 1e-12
"""The smallest noise variance that double precision resolves, beside the data's."""

# Below this share of freedom a learned noise was at most 0.24 of the true one, above it
# 0.67 to 1.31 (36 problems of three priors, benchmarks/bench_sbl_noise.py).
_FEW = 0.25


def given_noise(noise: Any, problem: Any) -> Any:
    """Return `noise` as a number, or a float64 array of batch shape; None for None."""
    if noise is None:
        return None
    y, batch = problem.loss.y, problem.batch_shape
    xp = array_namespace(y)
    if not is_array(noise):
        full = xp.full(batch, noise, dtype=xp.float64, device=y.device)
        return full if batch else noise
    checks.same_device("the problem", noise, problem.device)
    if tuple(noise.shape) != batch:
        raise ValueError(
            f"noise_variance has shape {tuple(noise.shape)}; wanted a number or "
            f"the batch shape {batch}"
        )
    return xp.astype(noise, xp.float64)


def compare_with_data(noise: Any, power: Any, n_data: Any) -> None:
    """Refuse a variance too small for the data's weighted mean power, warn of others.

    Parameters
    ----------
    noise, power, n_data : float or NumPy array of batch shape
        Given variance, mean of w|y|², and of how many entries that is.
    """
    if np.any(noise < LEAST_NOISE * power):
        raise ValueError(
            f"noise_variance is below {LEAST_NOISE:g} of the data's mean "
            "power, which double precision cannot resolve; give a larger one"
        )
    # Three standard deviations of the mean power of nothing but real noise.
    chance = np.minimum(3 * np.sqrt(2 / n_data), 0.9)
    loud = (power > 0) & (noise * (1 - chance) > power)
    if np.any(loud):
        ratio = float(np.max(np.where(loud, noise, 0) / np.where(loud, power, 1)))
        warnings.warn(
            f"noise_variance is {ratio:.3g} times the data's mean power, so that the "
            "estimate will be close to zero; it is E|n|² of an entry of weight 1, in "
            "the squared units of the data",
            RuntimeWarning,
            stacklevel=4,
        )


def next_noise(plan: Any, noise: Any, now: Any) -> Any:
    """Return the longer of two steps that both never lower the evidence."""
    em = noise + (now.misfit - noise * now.freedom) / plan.engine.n_data
    bound = (noise * now.misfit / now.freedom) ** 0.5
    new = where(abs(em - noise) > abs(bound - noise), em, bound)
    return where(new > plan.floor, new, plan.floor)


def warn_if_explained(freedom: Any, n_data: Any, n_hyper: Any, settled: Any) -> None:
    """Warn where a noise was learned that the model had already explained.

    Many snapshots that share few variances may leave few degrees of freedom, and a
    noise that is well known.

    Parameters
    ----------
    freedom, n_data : float or NumPy array of batch shape
        Data entries less effective parameters, and data entries.
    n_hyper : int or NumPy array of batch shape
        Hyperparameters in use.
    settled : bool or NumPy array of batch shape
        Where no more is learned.
    """
    share = freedom / n_data
    few = np.asarray((share < _FEW) & (freedom < n_hyper) & settled)
    if not few.any():
        return
    many = f"in {few.sum()} of {few.size} problems " if few.ndim else ""
    least = max(float(np.min(np.where(few, share, 1.0))), 0.0)
    warnings.warn(
        f"{many}the model explains {100 * (1 - least):.0f} % of the data's degrees of "
        "freedom, noise included: the noise variance learned from the rest is likely "
        "far too small, and so are the posterior's; give VariationalEM a "
        "noise_variance, or take fewer unknowns or a prior with fewer variances",
        RuntimeWarning,
        stacklevel=5,
    )
