"""The synthetic problem that Kronecker sparse Bayesian learning is published on."""

from __future__ import annotations

from functools import reduce

import numpy as np

from sparsesolve.kronecker_measurement import KroneckerMeasurement
from sparsesolve.snr import power_ratio

__all__ = ["kronecker_sparse"]

_DATA = (8, 12, 15)
_UNKNOWN = 15
_NONZERO = 3


def kronecker_sparse(seed: int, snr_db: float = 25.0) -> KroneckerMeasurement:
    """Return the published synthetic problem: y = (A₁ ⊗ A₂ ⊗ A₃) x + noise, all real.

    Standard normal matrices of 8, 12 and 15 rows and 15 columns; x the Kronecker
    product of three vectors with 3 standard normal entries each, at random places.

    Parameters
    ----------
    seed : int
        The same problem for the same seed; another `snr_db` only scales its noise.
    snr_db : float, dB
        Mean power of the noiseless data over the noise variance.

    Returns
    -------
    KroneckerMeasurement
        ``y`` (8, 12, 15) and ``x`` (15, 15, 15) with 27 entries that are not zero.

    Raises
    ------
    ValueError, TypeError
        A negative seed, or an SNR that is no finite number from -200 to 200 dB.

    Notes
    -----
    The numbers are drawn in the order: A₁, A₂, A₃; of each vector the places, then the
    values; the noise.

    References
    ----------
    He and Joseph, arXiv 2307.14719.
    """
    if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)) or seed < 0:
        raise ValueError(f"seed is {seed!r}; wanted an integer >= 0")
    snr = power_ratio(snr_db)
    rng = np.random.default_rng(seed)
    factors = tuple(rng.standard_normal((m, _UNKNOWN)) for m in _DATA)
    parts = np.zeros((3, _UNKNOWN))
    for part in parts:
        places = np.sort(rng.choice(_UNKNOWN, _NONZERO, replace=False))
        part[places] = rng.standard_normal(_NONZERO)
    # The product of vectors goes through each factor on its own.
    images = [a @ part for a, part in zip(factors, parts, strict=True)]
    clean = reduce(np.multiply.outer, images)
    noise = float(np.mean(clean**2)) / snr
    y = clean + np.sqrt(noise) * rng.standard_normal(_DATA)
    x = reduce(np.multiply.outer, parts)
    return KroneckerMeasurement(factors, y, noise_variance=noise, x=x)
