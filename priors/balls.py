"""The ℓ1 and ℓ2 balls."""

from __future__ import annotations

from typing import Any

from sparsesolve import checks
from sparsesolve.backends import Array, array_namespace, expand, norm
from sparsesolve.priors.base import Prior
from sparsesolve.priors.bounds import indicator
from sparsesolve.priors.l1 import soft_threshold
from sparsesolve.priors.simplex import water_level
from sparsesolve.priors.weights import real_like


class L1Ball(Prior):
    """The arrays with Σ |xᵢ| <= radius.

    Parameters
    ----------
    radius : float or array of batch shape
        Positive radius, of the unknown's unit.

    Raises
    ------
    ValueError
        `radius` is not positive.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsesolve.priors import L1Ball
    >>> L1Ball(1.0).prox(np.array([2.0, -1.0]), 1.0)
    array([1., 0.])
    """

    keeps_nonnegative = True
    increasing = True

    def __init__(self, radius: Any) -> None:
        self.radius = checks.positive("radius", radius)

    def value(self, x: Array) -> Array:
        norms = self.total(array_namespace(x).abs(x), x)
        return indicator(norms - self.radius, self.radius)

    def prox(self, v: Array, step: Any) -> Array:
        xp, n = array_namespace(v), self.item_axes(v)
        sizes = xp.reshape(xp.abs(v), (*v.shape[: v.ndim - n], -1))
        level = xp.clip(water_level(sizes, self.radius), min=0.0)
        return soft_threshold(v, expand(level[..., 0], n))


class L2Ball(Prior):
    """The arrays with ‖x‖₂ <= radius.

    Parameters
    ----------
    radius : float or array of batch shape
        Positive radius, of the unknown's unit.

    Raises
    ------
    ValueError
        `radius` is not positive.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsesolve.priors import L2Ball
    >>> L2Ball(1.0).prox(np.array([3.0, -4.0]), 1.0)
    array([ 0.6, -0.8])
    """

    keeps_nonnegative = True
    increasing = True

    def __init__(self, radius: Any) -> None:
        self.radius = checks.positive("radius", radius)

    def value(self, x: Array) -> Array:
        return indicator(norm(x, self.item_axes(x)) - self.radius, self.radius)

    def prox(self, v: Array, step: Any) -> Array:
        xp, n = array_namespace(v), self.item_axes(v)
        norms = norm(v, n)
        radius = real_like(self.radius, v)
        ones = xp.ones_like(norms)
        factors = xp.where(norms > radius, radius / xp.maximum(norms, ones * radius), 1)
        return v * expand(factors, n)
