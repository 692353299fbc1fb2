"""Turbo-VBI: Gamma-distributed precisions and a support with structure."""

from __future__ import annotations

import math
from typing import Any

from sparsesolve import checks
from sparsesolve.backends import Array, array_namespace
from sparsesolve.priors.supported import SupportedPrior


class TurboVBI(SupportedPrior):
    """Entries xₙ ~ N(0, 1/ρₙ), precisions ρₙ ~ Gamma(a, b) if on, Gamma(a', b') if off.

    Which entries are on is a hidden support with structure of its own: nothing,
    runs along an axis, or any model that passes messages. What neighbours say about an
    entry then counts like data.

    Parameters
    ----------
    support : "independent", "markov" or a `Support`
        The model of the bits: `supports.IndependentSupport()` (the default),
        `supports.MarkovChain()` for entries in runs, or an object of one's own.
    shapes : tuple of two floats
        Gamma shapes (a, a') > 0 of entries on and off. The default of 1 has heavy
        tails, so that neither law fixes the variance of its entries.
    rates : tuple of two floats, optional
        Gamma rates (b, b') > 0, in squared units of the unknown, b/a > b'/a'. Learned
        by default, from where the data leave them (Notes).
    tied_axes : int or tuple of int, optional
        Axes along which entries share one precision, such as that of snapshots.

    Raises
    ------
    TypeError, ValueError
        `support` is no model, a shape or rate not above zero, the rates in the wrong
        order, `tied_axes` no integers; `bind`: the unknown has no such axes.

    Notes
    -----
    Results are very sensitive to (b, b'), and to where one starts: a spike narrower
    than the noise holds on to entries, and a support model believes at the start what
    all entries say alike. Hence the first 20 updates are those of `SBL`, which knows of
    no support (fewer if it settles). Then b'/a' starts at the variance with which the
    data would know an entry by themselves, seen in the ratio of posterior variance and
    shrinkage, so that it follows the noise, learned or known; b/a at Σγ²/Σγ of
    the variances found. Both are learned by EM, b'/a' under a prior (b'/a')^(-N/50):
    many entries in a wide spike explain noise as well as the noise variance does, which
    has to be preferred. So b'/a' shrinks slowly, like an annealing, until
    1/50 of that data-only variance: below, nothing tells apart.

    Unlike the paper's q(x) q(ρ) q(s), the factors are q(x) q(ρ, s), with the exact
    posterior of all bits under the support model: a tighter bound, without the fixed
    points at which ⟨ρ⟩ and an entry's bit confirm each other, and without digamma
    functions. With M = |μ|² + posterior variance (half of it if real),

        log odds of M:  a log b - log Γ(a) + log Γ(a+1) - (a+1) log(b+M), less the same
        with a', b' (a + ½ if real); 1/γ = π (a+1)/(b+M) + (1-π) (a'+1)/(b'+M).

    Hyperparameters: "variance" γ, "probability" π that an entry is on, "moment" M,
    "slab" b/a, "spike" b'/a', those of the support model; "degrees" and "updates".

    References
    ----------
    Liu, Liu, Lian, Lau and Zhao, "Robust recovery of structured sparse signals with
    uncertain sensing matrix: a turbo-VBI approach", IEEE Trans. Wireless Communications
    19(5), 2020.

    Examples
    --------
    >>> import numpy as np, sparsesolve as ss
    >>> rng = np.random.default_rng(0)
    >>> a = rng.standard_normal((20, 40))
    >>> x = np.zeros(40)
    >>> x[9:14] = 2.0, -1.0, 0.5, 1.5, -2.0
    >>> y = a @ x + 0.01 * rng.standard_normal(20)
    >>> problem = ss.Problem(ss.LeastSquares(a, y), ss.priors.TurboVBI("markov"))
    >>> solution = ss.solve(problem, ss.VariationalEM())
    >>> np.flatnonzero(solution.posterior.hyper["probability"] > 0.5)
    array([ 9, 10, 11, 12, 13])
    """

    # Entries that are off have a variance each and explain noise better than the noise
    # variance does, which has to be preferred. At 0.1 the spike narrows before a
    # learned noise has followed (twice the true one); at 0.01 it explains half of it.
    pull = 0.02

    def __init__(
        self,
        support: Any = "independent",
        *,
        shapes: tuple[float, float] = (1.0, 1.0),
        rates: tuple[float, float] | None = None,
        tied_axes: int | tuple[int, ...] | None = None,
    ) -> None:
        self.shapes = pair("shapes", shapes)
        scales = None
        if rates is not None:
            on, off = pair("rates", rates)
            scales = on / self.shapes[0], off / self.shapes[1]
            if scales[0] <= scales[1]:
                raise ValueError(
                    f"rates is {rates} with shapes {self.shapes}; wanted the larger "
                    "rate/shape, the variance of entries that are on, first"
                )
        super().__init__(support, scales, tied_axes)

    def _log_likelihood(
        self, moment: Array, scale: Array, degrees: float, *, on: bool
    ) -> Array:
        xp, a = array_namespace(moment), self._shape(on)
        # log b^a/(b + M)^(a+d), by ratios, so that nothing cancels where b is large
        terms = a * xp.log1p(moment / (a * scale)) + degrees * xp.log(
            a * scale + moment
        )
        return math.lgamma(a + degrees) - math.lgamma(a) - terms

    def _precision(
        self, moment: Array, scale: Array, degrees: float, *, on: bool
    ) -> Array:
        a = self._shape(on)
        return (a + degrees) / (a * scale + moment)

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
        xp = array_namespace(moment)
        precision = self._precision(moment, scale, degrees, on=on)
        total = xp.sum(weight, axis=axes, keepdims=True)
        left = xp.maximum(total - pull / self._shape(on), xp.zeros_like(total))
        return left / xp.sum(weight * precision, axis=axes, keepdims=True)

    def _shape(self, on: bool) -> float:
        return self.shapes[0 if on else 1]


def pair(name: str, values: Any) -> tuple[float, float]:
    """Return two positive numbers, the first of entries on, the second of those off."""
    if not isinstance(values, (tuple, list)) or len(values) != 2:
        raise TypeError(f"{name} is {values!r}; wanted two numbers, of on and of off")
    first, second = (checks.positive_number(name, value) for value in values)
    return first, second
