"""A noise variance that is given: its shape, and whether the data can have it."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from sparsesolve import checks
from sparsesolve.backends import array_namespace, is_array

LEAST_NOISE = 1e-12
"""The smallest noise variance that double precision resolves, beside the data's."""


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
