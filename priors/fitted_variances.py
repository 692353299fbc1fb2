"""What priors share whose variances are sums of non-negative hyperparameters."""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import Any, Self

import numpy as np

from sparsesolve.backends import (
    Array,
    Shape,
    abs_squared,
    array_namespace,
    native_dtype,
    real_dtype,
    to_numpy,
)
from sparsesolve.priors.hierarchical import HierarchicalPrior

_UPDATES = ("mm", "mackay", "em")
_NEGLIGIBLE = 1e-10


class FittedVariances(HierarchicalPrior):
    """Type-II maximum likelihood of variances γ that are linear in one array v >= 0.

    Every v is updated from its shares of the whitened power and of the shrinkage of
    the entries it feeds; it is removed where the evidence is better off without.
    Subclasses say what feeds what.
    """

    update: str = "mm"

    def __init__(self, tied_axes: int | tuple[int, ...] | None) -> None:
        self.tied_axes = integers("tied_axes", tied_axes)

    def bind(self, x_shape: Shape) -> Self:
        new = super().bind(x_shape)
        new.tied_axes = own_axes("tied_axes", self.tied_axes, x_shape)
        return new

    def update_hyper(
        self, hyper: dict[str, Array], posterior: Any, part: str
    ) -> dict[str, Array]:
        old = hyper[part]
        xp = array_namespace(old)
        found = self._share(hyper, posterior.whitened_power)
        expected = self._share(hyper, posterior.shrinkage)
        seen = expected > 0
        if self.update == "em":
            moment = abs_squared(posterior.mean) + posterior.variance
            new = self._share(hyper, moment)
        else:
            ratio = found / xp.where(seen, expected, xp.ones_like(expected))
            new = old * (xp.sqrt(ratio) if self.update == "mm" else ratio)
        vanishing = (expected < _NEGLIGIBLE) & (found <= expected)
        new = xp.where(vanishing, xp.zeros_like(old), new)
        return {part: xp.where(seen, new, old)}

    def candidates(
        self, hyper: dict[str, Array], posterior: Any
    ) -> list[dict[str, Array]]:
        """Return removals of the least useful half of them, of a quarter, ..., of one.

        They are ranked by the sum of what the removal of each entry's share would cost
        the evidence: exact for one entry, and for entries that the data tell apart.
        """
        ((part, old),) = hyper.items()
        xp = array_namespace(old)
        alive = (old > 0) & (self._share(hyper, posterior.shrinkage) > 0)
        loss = self._loss(hyper, posterior)
        loss = xp.where(alive, loss, xp.full_like(loss, xp.inf))
        batch = old.shape[: old.ndim - self._n_axes(old.ndim)]
        flat = xp.reshape(loss, (*batch, -1))
        rank = xp.reshape(xp.argsort(xp.argsort(flat, axis=-1), axis=-1), old.shape)
        axes = tuple(range(len(batch), old.ndim))
        count = xp.sum(xp.astype(alive, xp.int64), axis=axes, keepdims=True)
        most = int(np.max(to_numpy(count)))
        candidates = []
        for k in range(1, max(1, math.ceil(math.log2(max(1, most)))) + 1):
            removed = xp.minimum(count, xp.clip(count // 2**k, 1, None))
            gone = xp.where(rank < removed, xp.zeros_like(old), old)
            candidates.append({part: gone})
        return candidates

    @abstractmethod
    def _share(self, hyper: dict[str, Array], values: Array) -> Array:
        """Return the mean of `values`, entry by entry, that falls to each v."""

    @abstractmethod
    def _loss(self, hyper: dict[str, Array], posterior: Any) -> Array:
        """Return what the removal of each v costs the evidence, but for a factor."""

    def _n_axes(self, ndim: int) -> int:
        """Number of axes of the hyperparameters of one unknown, of `ndim` in all."""
        return ndim if self.x_shape is None else len(self.x_shape)

    def _tied(self, ndim: int) -> set[int]:
        """Tied axes of an array with `ndim` axes, batch axes first."""
        n = ndim if self.x_shape is None else len(self.x_shape)
        return {ndim - n + axis % n for axis in self.tied_axes}

    def _untied(self, shape: Shape) -> Shape:
        """Return `shape` with length 1 along tied axes."""
        tied = self._tied(len(shape))
        return tuple(1 if axis in tied else n for axis, n in enumerate(shape))

    def _mean(self, values: Array) -> Array:
        """Return the mean along tied axes, which stay with length 1."""
        tied = tuple(sorted(self._tied(values.ndim)))
        if not tied:
            return values
        return array_namespace(values).mean(values, axis=tied, keepdims=True)


def removal_loss(power: Array, shrinkage: Array, share: Any = 1.0) -> Array:
    """Return what the evidence loses where a `share` of one entry's variance goes.

    That is log(1 - fl) + fb/(1 - fl) for a share f, whitened power b and shrinkage l;
    half of it if real. It is negative where the evidence gains.
    """
    xp = array_namespace(shrinkage)
    slack = xp.clip(1 - share * shrinkage, xp.finfo(shrinkage.dtype).eps, 1)
    return xp.log(slack) + share * power / slack


def known_update(update: str) -> str:
    """Return the name of an update rule if it is one."""
    if update not in _UPDATES:
        raise ValueError(f"update is {update!r}; wanted one of {_UPDATES}")
    return update


def everywhere(shape: Shape, dtype: Any, scale: Array) -> Array:
    """Return `scale`, of batch shape, over an array of `shape`, real as `dtype` is."""
    xp = array_namespace(scale)
    scale = scale[(..., *(None,) * (len(shape) - scale.ndim))]
    real = native_dtype(xp, real_dtype(dtype))
    return xp.ones(shape, dtype=real, device=scale.device) * scale


def integers(name: str, axes: Any) -> tuple[int, ...]:
    """Return an integer or some as a tuple; none for None."""
    found = () if axes is None else axes
    if not isinstance(found, (tuple, list)):
        found = np.atleast_1d(found).tolist()
    if any(
        isinstance(axis, bool) or not isinstance(axis, (int, np.integer))
        for axis in found
    ):
        raise TypeError(f"{name} is {axes!r}; wanted integers")
    return tuple(int(axis) for axis in found)


def own_axes(name: str, axes: tuple[int, ...], x_shape: Shape) -> tuple[int, ...]:
    """Return axes of an unknown, sorted and counted from the front."""
    n = len(x_shape)
    if any(not -n <= axis < n for axis in axes):
        raise ValueError(
            f"{name} is {axes}; the unknown of shape {tuple(x_shape)} has axes 0 to "
            f"{n - 1}"
        )
    return tuple(sorted({axis % n for axis in axes}))
