"""The simplex, exact and softened, and the water level that projects onto it."""

from __future__ import annotations

from typing import Any, Self

from sparsesolve import checks
from sparsesolve.backends import Array, Shape, array_namespace, expand
from sparsesolve.priors import weights as weighting
from sparsesolve.priors.base import Prior
from sparsesolve.priors.bounds import indicator
from sparsesolve.priors.weights import real_like


class Simplex(Prior):
    """The real arrays with x >= 0 whose sums along one axis are `total`.

    Parameters
    ----------
    axis : int, default 0
        The axis of one unknown along which entries sum to `total`. With the default
        the columns of a matrix do, as abundances of shape (materials, pixels) must.
    total : float, default 1
        What they sum to, of the unknown's unit.

    Raises
    ------
    ValueError
        `total` is not positive, or the unknown has no such axis.

    References
    ----------
    Duchi, Shalev-Shwartz, Singer & Chandra, *Efficient projections onto the l1-ball*,
    2008, doi:10.1145/1390156.1390191. Cost: one sort along the axis.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsesolve.priors import Simplex
    >>> Simplex().prox(np.array([0.75, 0.75, -3.0]), 1.0)
    array([0.5, 0.5, 0. ])
    """

    keeps_nonnegative = True
    real_only = True

    def __init__(self, *, axis: int = 0, total: float = 1.0) -> None:
        self.axis = axis
        self.sum = float(checks.positive("total", total))

    def bind(self, x_shape: Shape) -> Self:
        _check_axis(self.axis, x_shape)
        return super().bind(x_shape)

    def value(self, x: Array) -> Array:
        xp = array_namespace(x)
        sums = xp.sum(x, axis=_axis(self, x), keepdims=True)
        violation = xp.maximum(xp.abs(sums - self.sum), -x)
        return indicator(self.largest(violation, x), self.sum)

    def prox(self, v: Array, step: Any) -> Array:
        self.refuse_complex(v)
        xp = array_namespace(v)
        v = xp.moveaxis(v, _axis(self, v), -1)
        x = xp.clip(v - water_level(v, self.sum), min=0.0)
        return xp.moveaxis(x, -1, _axis(self, v))


class SoftSimplex(Prior):
    """lam/2 · Σ w (Σ x - total)² over sums along one axis, x >= 0: augmentation.

    Minimising it with a least-squares loss is what unmixing calls sum-to-one by
    augmentation, with lam = δ²: the data get a row of δ and the matrix another.

    Parameters
    ----------
    lam : float or array of batch shape
        δ², in the units of the loss over those of the unknown squared.
    axis : int, default 0
        As of `Simplex`.
    weights : array that broadcasts to the unknown, with one entry along `axis`
        Positive weights w of the sums; default 1. Where the data of a column are
        weighted, these should be alike.
    total : float, default 1
        What the entries shall sum to, of the unknown's unit.

    Raises
    ------
    ValueError
        `lam` or `total` is not positive, the unknown has no such axis, or the weights
        do not fit it.

    References
    ----------
    Heinz & Chang, *Fully constrained least squares linear spectral mixture analysis
    method*, 2001, doi:10.1109/36.911111. Cost: one sort along the axis.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsesolve.priors import SoftSimplex
    >>> SoftSimplex(0.5).prox(np.array([1.0, 1.0]), 1.0)
    array([0.75, 0.75])
    """

    keeps_nonnegative = True
    real_only = True

    def __init__(
        self,
        lam: Any,
        *,
        axis: int = 0,
        total: float = 1.0,
        weights: Array | None = None,
    ) -> None:
        self.lam = checks.positive("lam", lam)
        self.weights = weighting.checked(weights)
        self.axis = axis
        self.sum = float(checks.positive("total", total))

    def bind(self, x_shape: Shape) -> Self:
        _check_axis(self.axis, x_shape)
        if self.weights is not None:
            sums = list(x_shape)
            sums[self.axis] = 1
            checks.broadcasts("weights", tuple(self.weights.shape), tuple(sums))
        return super().bind(x_shape)

    def value(self, x: Array) -> Array:
        xp = array_namespace(x)
        sums = xp.sum(x, axis=_axis(self, x), keepdims=True)
        misfit = self.total(weighting.times((sums - self.sum) ** 2, self.weights), x)
        largest = self.largest(xp.abs(x), x)
        return self.lam / 2 * misfit + indicator(self.largest(-x, x), largest)

    def _pull(self, v: Array, step: Any) -> Any:
        pull = self.weight(v, step)
        return pull if self.weights is None else pull * real_like(self.weights, v)

    def prox(self, v: Array, step: Any) -> Array:
        self.refuse_complex(v)
        xp, axis = array_namespace(v), _axis(self, v)
        slack = 1 / self._pull(v, step) + xp.sum(v * 0, axis=axis, keepdims=True)
        slack, v = xp.moveaxis(slack, axis, -1), xp.moveaxis(v, axis, -1)
        level = water_level(v, self.sum, slack)
        return xp.moveaxis(xp.clip(v - level, min=0.0), -1, axis)


def _check_axis(axis: int, x_shape: Shape) -> None:
    if not -len(x_shape) <= axis < len(x_shape):
        raise ValueError(
            f"axis is {axis}; wanted an axis of an unknown of shape {x_shape}"
        )


def _axis(prior: Simplex | SoftSimplex, x: Array) -> int:
    return prior.axis if prior.axis < 0 else prior.axis - prior.item_axes(x)


def water_level(v: Array, total: Any, slack: Any = 0.0) -> Array:
    """Return the t with Σ max(v - t, 0) = total + slack·t over the last axis, kept.

    It is the largest of (v₁ + ... + v_k - total) / (k + slack) over sorted entries;
    where no entry is above t, it is one that is above no entry either. Sums are taken
    in float64: long ones of float32 would lose the answer.
    """
    xp = array_namespace(v)
    sums = xp.cumulative_sum(
        xp.astype(xp.sort(v, axis=-1, descending=True), xp.float64), axis=-1
    )
    count = xp.cumulative_sum(xp.ones_like(sums), axis=-1)
    means = (sums - expand(total, 1)) / (count + slack)
    return real_like(xp.max(means, axis=-1, keepdims=True), v)
