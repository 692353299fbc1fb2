"""How uncertain the entries of a channel are: variances behind a linear map."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sparsesolve.applications.channel_noise import along_factors
from sparsesolve.backends import Array, abs_squared
from sparsesolve.kronecker_measurement import KroneckerMeasurement
from sparsesolve.separable import Separable

__all__ = ["channel_variance"]

Floats = NDArray[np.floating[Any]]

_DRAWS = 400
_AT_ONCE = 50


def channel_variance(
    measurement: KroneckerMeasurement, posterior: Any, synthesis: Sequence[Array]
) -> Floats:
    """Return the posterior variance of each entry of (B_1 ⊗ ... ⊗ B_I) x.

    Exact where the prior variances are separable and no data are missing; else the mean
    square of the deviations of 400 exact draws of x, from a fixed seed, which errs by
    5 % (7 % if all is real).

    Notes
    -----
    With thin singular value decompositions A_k Γ_k^½ = U_k S_k V_kᴴ, C_k = B_k Γ_k^½
    and D = s² + ⊗ S_k², the diagonal of B Σ Bᴴ is
    ⊗ ‖C_k‖² - ⊗ ‖C_k V_k‖² + s² (⊗ |C_k V_k|²) / D, the norms being those of rows.
    """
    variance = posterior.prior.variance(posterior.hyper)
    if measurement.mask is None and isinstance(variance, Separable):
        return _exact(measurement, posterior, variance, synthesis)
    rng = np.random.default_rng(0)
    total: Any = 0.0
    for _ in range(0, _DRAWS, _AT_ONCE):
        for draw in posterior.sample(rng, _AT_ONCE) - posterior.mean:
            total = total + abs_squared(along_factors(synthesis, draw))
    return np.asarray(total / _DRAWS)


def _exact(
    measurement: KroneckerMeasurement,
    posterior: Any,
    variance: Separable,
    synthesis: Sequence[Array],
) -> Floats:
    roots = [np.sqrt(np.asarray(g, np.float64)) for g in variance.factors]
    pairs = list(zip(measurement.factors, synthesis, strict=True))
    if measurement.snapshots is not None:  # an identity, one entry if all are alike
        eye = np.eye(len(roots[-1]))
        pairs.append((eye, eye))
    prior, reached, inside, powers = [], [], [], []
    for (a, b), root in zip(pairs, roots, strict=True):
        _, s, vh = np.linalg.svd(a * root, full_matrices=False)
        seen = np.abs((b * root) @ vh.conj().T) ** 2
        prior.append(np.sum(np.abs(b * root) ** 2, axis=1))
        reached.append(seen.sum(axis=1))
        inside.append(seen)
        powers.append(s**2)
    noise = float(posterior.noise_variance)
    unseen = _outer(prior) - _outer(reached)
    seen = along_factors(inside, noise / (noise + _outer(powers)))
    found = np.maximum(unseen, 0) + seen
    snapshots = measurement.y.shape[len(synthesis) :]
    full = found.shape[: len(synthesis)] + snapshots
    return np.broadcast_to(found, full).astype(posterior.variance.dtype)


def _outer(vectors: Sequence[Floats]) -> Floats:
    return np.asarray(reduce(np.multiply.outer, vectors))
