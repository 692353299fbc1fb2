"""What priors share whose entries are on or off: two variances and a support."""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import Any, ClassVar, Self

import numpy as np

from sparsesolve.backends import (
    Array,
    Shape,
    abs_squared,
    array_namespace,
    to_numpy,
)
from sparsesolve.priors.fitted_variances import everywhere, integers, own_axes
from sparsesolve.priors.hierarchical import HierarchicalPrior
from sparsesolve.priors.supports import sigmoid, support_model

_WARM_UP = 20
_SETTLED = 1e-3
_LEAST_VARIANCE = 1e-7
_LEAST_SPIKE = 0.02
_WIDEST_SPIKE = 0.1


class SupportedPrior(HierarchicalPrior):
    """Entries whose variance is drawn from one of two laws, as a bit says.

    q(x) q(variances, bits) is fitted by variational EM. The first updates are those of
    `SBL` ("mm"), from which the scales of both laws are read; from then on the free
    energy ``log_evidence + log_prior_bound`` never falls. Subclasses say what the two
    laws are. A learned spike has the prior spike^(-`pull` N).
    """

    pull: ClassVar[float] = 0.0

    def __init__(
        self,
        support: Any,
        scales: tuple[float, float] | None,
        tied_axes: int | tuple[int, ...] | None,
    ) -> None:
        self.support = support_model(support)
        self.tied_axes = integers("tied_axes", tied_axes)
        self.scales = scales

    def bind(self, x_shape: Shape) -> Self:
        new = super().bind(x_shape)
        new.tied_axes = own_axes("tied_axes", self.tied_axes, x_shape)
        self.support.check(x_shape, new.tied_axes)
        return new

    def init_hyper(self, shape: Shape, dtype: Any, scale: Array) -> dict[str, Array]:
        n = self._n_axes(len(shape))
        tied = self._tied(len(shape))
        untied = tuple(1 if axis in tied else k for axis, k in enumerate(shape))
        gamma = everywhere(untied, dtype, scale)
        one = everywhere((*shape[: len(shape) - n], *(1,) * n), dtype, scale)
        xp = array_namespace(gamma)
        copies = math.prod(shape[axis] for axis in tied)
        degrees = copies * (1.0 if np.dtype(dtype).kind == "c" else 0.5)
        return {
            "variance": gamma,
            "moment": degrees * gamma,
            "probability": xp.full_like(gamma, 0.5),
            "spike": one,
            "slab": one,
            "degrees": xp.full_like(one, degrees),
            "updates": xp.zeros_like(one),
            **self.support.start(one),
        }

    def variance(self, hyper: dict[str, Array]) -> Array:
        return hyper["variance"]

    def update_hyper(
        self, hyper: dict[str, Array], posterior: Any, part: str
    ) -> dict[str, Array]:
        degrees = _number(hyper["degrees"])
        power = abs_squared(posterior.mean) + posterior.variance
        moment = degrees * self._mean(power)
        new = self._fitted({**hyper, "moment": moment}, posterior)
        xp, warm = array_namespace(moment), hyper["updates"] < _WARM_UP
        if not bool(xp.any(warm)):
            return new
        first = self._warmed({**hyper, "moment": moment}, posterior)
        return {name: xp.where(warm, first[name], v) for name, v in new.items()}

    def ready(self, hyper: dict[str, Array]) -> Any:
        """Whether the variances are no longer those of `SBL`."""
        updates = hyper["updates"]
        n_batch = updates.ndim - self._n_axes(updates.ndim)
        return to_numpy(updates).reshape(updates.shape[:n_batch]) > _WARM_UP

    def log_prior_bound(self, hyper: dict[str, Array]) -> Array:
        """Return what the free energy adds to the evidence under `variance`.

        With d degrees of freedom an entry (1 if complex, ½ if real, times the tied
        ones), its second moment M, γ = 1/⟨1/variance⟩ and the log-likelihoods L of M
        under both laws, Σ (d log γ + M/γ + L_off) + log Σ p(s) exp(s (L_on - L_off)),
        and of a learned spike -`pull` N log(spike). It is 0 while the variances are
        those of `SBL`.
        """
        gamma, moment, degrees = hyper["variance"], hyper["moment"], hyper["degrees"]
        xp, n = array_namespace(gamma), self._n_axes(gamma.ndim)
        off = self._log_likelihood(moment, hyper["spike"], _number(degrees), on=False)
        terms = degrees * xp.log(gamma) + moment / gamma + off
        axes = tuple(range(gamma.ndim - n, gamma.ndim))
        message = self._message(hyper)
        inferred = self.support.infer(message, hyper, n)
        bound = xp.sum(terms, axis=axes) + inferred.log_partition
        if self.scales is None:
            pull = self._pull(message)
            bound = bound - pull * xp.sum(xp.log(hyper["spike"]), axis=axes)
        warm = xp.sum(hyper["updates"], axis=axes) <= _WARM_UP
        return xp.where(warm, xp.zeros_like(bound), bound)

    def _warmed(self, hyper: dict[str, Array], posterior: Any) -> dict[str, Array]:
        """Fit every variance by itself; `updates` says when that is enough."""
        gamma = hyper["variance"]
        xp, axes = array_namespace(gamma), self._own_axes(gamma.ndim)
        found = self._mean(posterior.whitened_power)
        expected = self._mean(posterior.shrinkage)
        ratio = found / xp.where(expected > 0, expected, xp.ones_like(expected))
        new = xp.where(expected > 0, gamma * xp.sqrt(ratio), gamma)
        mean = xp.mean(new, axis=axes, keepdims=True)
        new = xp.where(mean > 0, xp.maximum(new, _LEAST_VARIANCE * mean), gamma)
        # in units of the largest: squares would leave the range of single precision
        unit = xp.max(new, axis=axes, keepdims=True)
        change = xp.sum(((new - gamma) / unit) ** 2, axis=axes, keepdims=True)
        size = xp.sum((new / unit) ** 2, axis=axes, keepdims=True)
        done = change <= _SETTLED**2 * size
        updates = xp.where(done, _WARM_UP, hyper["updates"] + 1)
        return {**hyper, "variance": new, "updates": updates}

    def _fitted(self, hyper: dict[str, Array], posterior: Any) -> dict[str, Array]:
        """Infer the bits, fit what is learned, and infer them anew."""
        gamma, moment = hyper["variance"], hyper["moment"]
        xp, n = array_namespace(gamma), self._n_axes(gamma.ndim)
        degrees = _number(hyper["degrees"])
        level = self._level(gamma, posterior)
        fresh = hyper["updates"] <= _WARM_UP
        first, slab = self._scales(hyper, level)
        spike = first
        hyper = {**hyper, "spike": spike, "slab": slab}
        inferred = self.support.infer(self._message(hyper), hyper, n)
        on = sigmoid(inferred.log_odds)
        if self.scales is None:
            slab = self._refitted(on, moment, slab, degrees, on=True)
            best = self._refitted(1 - on, moment, spike, degrees, on=False)
            least = xp.minimum(spike, _LEAST_SPIKE * level)
            # at first all that is off still has the tiny variances of SBL
            spike = xp.where(fresh, first, xp.maximum(best, least))
            slab = xp.maximum(slab, spike)
        learnt = self.support.learn(inferred.counts, hyper)
        hyper = {**hyper, "spike": spike, "slab": slab, **learnt}
        on = sigmoid(self.support.infer(self._message(hyper), hyper, n).log_odds)
        precision = on * self._precision(moment, slab, degrees, on=True)
        precision += (1 - on) * self._precision(moment, spike, degrees, on=False)
        return {
            **hyper,
            "variance": 1 / precision,
            "probability": on,
            "updates": xp.full_like(hyper["updates"], _WARM_UP + 1),
        }

    def _scales(self, hyper: dict[str, Array], level: Array) -> tuple[Array, Array]:
        """Return the variances of both laws; from those of `SBL` when it has ended."""
        gamma = hyper["variance"]
        xp, axes = array_namespace(gamma), self._own_axes(gamma.ndim)
        if self.scales is not None:
            given = (xp.full_like(level, scale) for scale in self.scales)
            slab, spike = given
            return spike, slab
        share = gamma / xp.sum(gamma, axis=axes, keepdims=True)
        slab = xp.sum(gamma * share, axis=axes, keepdims=True)
        spike = xp.minimum(level, _WIDEST_SPIKE * slab)
        fresh = hyper["updates"] <= _WARM_UP
        return (
            xp.where(fresh, spike, hyper["spike"]),
            xp.where(fresh, slab, hyper["slab"]),
        )

    def _level(self, gamma: Array, posterior: Any) -> Array:
        """Return the variance with which the data alone would know an entry.

        Its inverse, the mean of Aᴴ S⁻¹ A's diagonal over 1 - shrinkage: the noise in
        the unknown's units, and what the other entries leave uncertain.
        """
        xp = array_namespace(gamma)
        variance = xp.maximum(posterior.variance, xp.finfo(gamma.dtype).eps * gamma)
        known = posterior.shrinkage / variance
        axes = self._own_axes(known.ndim)
        mean = xp.mean(known, axis=axes, keepdims=True)
        largest = xp.max(gamma, axis=axes, keepdims=True)
        return xp.where(mean * largest > 0, 1 / xp.where(mean > 0, mean, 1), largest)

    def _refitted(
        self, weight: Array, moment: Array, scale: Array, degrees: float, *, on: bool
    ) -> Array:
        """Return the scale at which the expected log-likelihood is highest."""
        xp, axes = array_namespace(moment), self._own_axes(moment.ndim)
        count = xp.sum(weight, axis=axes, keepdims=True)
        pull = 0.0 if on else self._pull(moment)
        fit = self._fit(weight, moment, scale, degrees, axes, on=on, pull=pull)
        return xp.where(count > xp.finfo(count.dtype).eps, fit, scale)

    def _pull(self, moment: Array) -> float:
        """Return c of the spike's prior, spike^-c."""
        count = math.prod(moment.shape[axis] for axis in self._own_axes(moment.ndim))
        return self.pull * float(count)

    def _message(self, hyper: dict[str, Array]) -> Array:
        """Return the log-likelihood ratio of on to off for each entry."""
        moment, degrees = hyper["moment"], _number(hyper["degrees"])
        on = self._log_likelihood(moment, hyper["slab"], degrees, on=True)
        return on - self._log_likelihood(moment, hyper["spike"], degrees, on=False)

    @abstractmethod
    def _log_likelihood(
        self, moment: Array, scale: Array, degrees: float, *, on: bool
    ) -> Array:
        """Return log of the mean of ρᵈ exp(-ρ M) over a law's precisions ρ."""

    @abstractmethod
    def _precision(
        self, moment: Array, scale: Array, degrees: float, *, on: bool
    ) -> Array:
        """Return the mean of ρ under that law and the moment M."""

    @abstractmethod
    def _fit(
        self,
        weight: Array,
        moment: Array,
        scale: Array,
        degrees: float,
        axes: tuple[int, ...],
        *,
        on: bool,
        pull: float,
    ) -> Array:
        """Return the scale that suits entries of those weights best (one EM step).

        Under a prior scale^-pull.
        """

    def _n_axes(self, ndim: int) -> int:
        """Number of axes of one unknown, in an array of `ndim`."""
        return ndim if self.x_shape is None else len(self.x_shape)

    def _own_axes(self, ndim: int) -> tuple[int, ...]:
        """Axes of one unknown in an array of `ndim`, batch axes first."""
        return tuple(range(ndim - self._n_axes(ndim), ndim))

    def _tied(self, ndim: int) -> tuple[int, ...]:
        n = self._n_axes(ndim)
        return tuple(sorted({ndim - n + axis % n for axis in self.tied_axes}))

    def _mean(self, values: Array) -> Array:
        """Return the mean along tied axes, which stay with length one."""
        tied = self._tied(values.ndim)
        if not tied:
            return values
        return array_namespace(values).mean(values, axis=tied, keepdims=True)


def _number(degrees: Array) -> float:
    """Return the degrees of freedom, the same in every problem."""
    return float(to_numpy(degrees).reshape(-1)[0])
