"""Coloured noise of a Kronecker covariance, made white."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from sparsesolve import checks
from sparsesolve.backends import Array, array_namespace, conj, dtype_of
from sparsesolve.kronecker_measurement import KroneckerMeasurement
from sparsesolve.operators import Kronecker

__all__ = ["whiten"]

# Asymmetry of a covariance, relative to its largest entry, that rounding may leave.
_ROUNDING = 1e-5


def whiten(
    measurement: KroneckerMeasurement, covariances: Sequence[Array]
) -> KroneckerMeasurement:
    """Return the measurement with noise of variance 1 that is independent everywhere.

    For noise of the covariance R = R_1 ⊗ R_2 ⊗ ... ⊗ R_I with R_i = L_i L_iᴴ, factor
    A_i becomes L_i⁻¹ A_i, and L_i⁻¹ is applied along axis i of the data. Unknown and
    channel stay what they are, and so do their estimates in meaning and unit.

    Parameters
    ----------
    measurement : KroneckerMeasurement
        Complete: it has no mask. Its `noise_variance` is not used.
    covariances : sequence of (M_i, M_i) arrays
        Hermitian and positive definite, one for each factor. Their Kronecker product
        is the whole covariance, level included: to state the level apart, multiply one
        of them by it. An identity for a factor along which the noise is white.

    Returns
    -------
    KroneckerMeasurement
        With ``noise_variance`` 1.

    Raises
    ------
    ValueError, TypeError
        A mask, another number of covariances than of factors, or one that is of
        another shape, not finite, not Hermitian or not positive definite.

    Notes
    -----
    Missing entries leave no Kronecker structure to the noise that is measured, which
    is why a mask is refused.
    """
    if not isinstance(measurement, KroneckerMeasurement):
        raise TypeError(
            f"measurement is a {type(measurement).__name__}; wanted a "
            "KroneckerMeasurement"
        )
    if measurement.mask is not None:
        raise ValueError(
            "measurement has a mask; coloured noise can only be whitened factor by "
            "factor where all entries are measured"
        )
    factors = measurement.factors
    if len(covariances) != len(factors):
        raise ValueError(
            f"covariances has {len(covariances)} matrices; wanted {len(factors)}, one "
            "for each factor"
        )
    roots = [
        _root(f"covariances[{i}]", r, a)
        for i, (r, a) in enumerate(zip(covariances, factors, strict=True))
    ]
    xp = array_namespace(*roots)
    inverses = [xp.linalg.inv(root) for root in roots]
    whitened = tuple(
        _product(xp, inverse, a) for inverse, a in zip(inverses, factors, strict=True)
    )
    return replace(
        measurement,
        factors=whitened,
        y=along_factors(inverses, measurement.y),
        noise_variance=1.0,
    )


def along_factors(matrices: Sequence[Array], x: Array) -> Array:
    """Multiply the first axes of `x` by their matrices; snapshots may come last."""
    xp, operator = array_namespace(x), Kronecker(*matrices)
    if x.ndim == len(matrices):
        return operator(x)
    return xp.moveaxis(operator(xp.moveaxis(x, -1, 0)), 0, -1)


def _root(name: str, covariance: Array, factor: Array) -> Array:
    checks.finite(name, covariance)
    checks.same_precision(name, covariance, dtype_of(factor))
    n = factor.shape[0]
    if tuple(covariance.shape) != (n, n):
        raise ValueError(
            f"{name} has shape {tuple(covariance.shape)}; wanted {(n, n)}, the rows of "
            "its factor"
        )
    xp = array_namespace(covariance, factor)
    skew = xp.max(xp.abs(covariance - conj(covariance.T)))
    if float(skew) > _ROUNDING * float(xp.max(xp.abs(covariance))):
        raise ValueError(f"{name} is not Hermitian; wanted a covariance matrix")
    levels = xp.linalg.eigvalsh(covariance)
    rounding = n * xp.finfo(levels.dtype).eps * float(xp.max(levels))
    if float(xp.min(levels)) <= rounding:
        raise ValueError(
            f"{name} is not positive definite; wanted noise in every direction, for "
            "instance by adding a small multiple of the identity"
        )
    return xp.linalg.cholesky(covariance)


def _product(xp: Any, a: Array, b: Array) -> Array:
    """Return a b, also where only one of the two is complex."""
    dtype = xp.result_type(a, b)
    return xp.matmul(xp.astype(a, dtype), xp.astype(b, dtype))
