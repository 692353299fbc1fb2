"""Weights of priors: check, precision, arithmetic in which infinity times 0 is 0."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from sparsesolve.backends import (
    Array,
    array_namespace,
    dtype_of,
    is_array,
    native_dtype,
    real_dtype,
)

if TYPE_CHECKING:
    from sparsesolve.priors.base import Prior


def checked(weights: Any) -> Any:
    """Return `weights` if None or an array of non-negative numbers, or infinity."""
    if weights is None:
        return None
    if not is_array(weights):
        raise TypeError(f"weights is a {type(weights).__name__}; wanted an array")
    if not bool(array_namespace(weights).all(weights >= 0)):
        raise ValueError("weights has entries that are not numbers >= 0")
    return weights


def times(terms: Array, weights: Any) -> Array:
    """Return weights · terms for non-negative terms; an infinite weight leaves 0."""
    if weights is None:
        return terms
    xp = array_namespace(terms)
    weights = real_like(weights, terms)
    return xp.where(terms > 0, weights, xp.zeros_like(weights)) * terms


def quotient(a: Array, b: Array) -> Array:
    """Return a / b for non-negative arrays, with a / 0 infinite but 0 / 0 = 0."""
    xp = array_namespace(a, b)
    at_zero = xp.where(a > 0, xp.full_like(a, xp.inf), xp.zeros_like(a))
    return xp.where(b > 0, a / xp.where(b > 0, b, xp.ones_like(b)), at_zero)


def shrink_factors(sizes: Array, threshold: Any) -> Array:
    """Return max(0, 1 - threshold / size), by which a soft threshold multiplies."""
    xp = array_namespace(sizes)
    zero = xp.zeros_like(sizes)
    kept = sizes > threshold
    finite = xp.where(kept, sizes - threshold, zero)
    return finite / xp.where(kept, sizes, xp.ones_like(sizes))


def bound_like(new: Prior, old: Prior) -> Prior:
    """Return `new`, bound to the unknown that `old` is bound to, if it is."""
    return new if old.x_shape is None else new.bind(old.x_shape)


def real_like(value: Any, x: Array) -> Any:
    """Return a real array `value` in the precision of `x`, a number as a Python one."""
    if not is_array(value):
        return value.item() if isinstance(value, np.generic) else value
    xp = array_namespace(value)
    return xp.astype(value, native_dtype(xp, real_dtype(dtype_of(x))), copy=False)
