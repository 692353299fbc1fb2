"""Pattern-coupled sparse Bayesian learning: neighbours lend each other variance."""

from __future__ import annotations

import functools
import operator
from collections.abc import Iterator
from typing import Any, Self

from sparsesolve import checks
from sparsesolve.backends import Array, Shape, array_namespace
from sparsesolve.priors.fitted_variances import (
    FittedVariances,
    everywhere,
    integers,
    own_axes,
    removal_loss,
)


class PatternCoupledSBL(FittedVariances):
    """Entries xₙ ~ N(0, γₙ), circular if complex, with coupled variances γ = C q.

    C adds to each entry's own variance q >= 0 `coupling` times those of its neighbours,
    so that non-zeros in clusters support each other. Where clusters are and how long,
    need not be known; they may straddle any partition into blocks.

    Parameters
    ----------
    coupling : float
        Weight β >= 0 of each neighbour; 0 is `SBL`. The default of 1 lets the variance
        of a neighbour count as much as an entry's own; where many non-zeros stand
        alone, less is better, and `SBL` best.
    axes : int or tuple of int, optional
        Axes of one unknown along which entries have neighbours, two for each axis but
        at its ends; by default all that are not tied.
    tied_axes : int or tuple of int, optional
        Axes along which the variances are equal, such as that of snapshots.

    Raises
    ------
    TypeError, ValueError
        `coupling` is no finite number >= 0, or axes are no integers; `bind`: the
        unknown has no such axes, or one of `axes` is tied.

    Notes
    -----
    Hyperparameters: ``{"own_variance": q}``, of the unknown's shape with batch axes,
    one entry along tied axes. With b = |μ|²/γ the whitened power and l the shrinkage of
    the entries,

        q ← q √(Cᵀ(b/γ) / Cᵀ(l/γ)),

    which never lowers the evidence: its bound by a tangent of log|S| (Wipf and
    Nagarajan, 2007) and by Jensen's inequality for 1/(C q), the bound of Itakura-Saito
    non-negative matrix factorisation, is highest there. It is computed as
    √(Σₙ fₙb / Σₙ fₙl) with the shares fₙ = Cₙₖqₖ/γₙ, which cannot overflow.

    The neighbours of a non-zero entry of q always have a variance above zero: an
    estimate is sparse up to a rim of that width, where it is small but not zero.
    Elimination removes entries of q, by the loss of evidence of each share alone.

    References
    ----------
    Fang, Shen, Li and Wang, "Pattern-coupled sparse Bayesian learning for recovery of
    block-sparse signals", IEEE Trans. Signal Processing 63(2), 2015 (couples inverse
    variances instead); He and Joseph, arXiv 2307.14719 (γ = C q, by least squares);
    Févotte and Idier, Neural Computation 23(9), 2011 (the multiplicative bound).

    Examples
    --------
    >>> import numpy as np, sparsesolve as ss
    >>> rng = np.random.default_rng(0)
    >>> a = rng.standard_normal((20, 40))
    >>> x = np.zeros(40)
    >>> x[9:14] = 2.0, -1.0, 0.5, 1.5, -2.0
    >>> y = a @ x + 0.01 * rng.standard_normal(20)
    >>> problem = ss.Problem(ss.LeastSquares(a, y), ss.priors.PatternCoupledSBL())
    >>> solution = ss.solve(problem, ss.VariationalEM())
    >>> np.flatnonzero(abs(solution.x) > 0.1)
    array([ 9, 10, 11, 12, 13])
    """

    parts = ("own_variance",)

    def __init__(
        self,
        coupling: float = 1.0,
        axes: int | tuple[int, ...] | None = None,
        *,
        tied_axes: int | tuple[int, ...] | None = None,
    ) -> None:
        super().__init__(tied_axes)
        self.coupling = checks.positive_number("coupling", coupling, zero=True)
        self.axes = None if axes is None else integers("axes", axes)

    def bind(self, x_shape: Shape) -> Self:
        new = super().bind(x_shape)
        if self.axes is None:
            free = set(range(len(x_shape))) - set(new.tied_axes)
            new.axes = tuple(sorted(free))
            return new
        new.axes = own_axes("axes", self.axes, x_shape)
        if set(new.axes) & set(new.tied_axes):
            raise ValueError(
                f"axes is {self.axes}; wanted none of the tied_axes {self.tied_axes}"
            )
        return new

    def init_hyper(self, shape: Shape, dtype: Any, scale: Array) -> dict[str, Array]:
        """Return q = scale / C 1, whose variances have the mean `scale`."""
        flat = everywhere(self._untied(shape), dtype, scale)
        ones = array_namespace(scale).ones_like(flat)
        return {"own_variance": flat / self._coupled(ones)}

    def variance(self, hyper: dict[str, Array]) -> Array:
        return self._coupled(hyper["own_variance"])

    def _share(self, hyper: dict[str, Array], values: Array) -> Array:
        shares = self._shares(hyper, self._mean(values))
        return functools.reduce(operator.add, (share * v for share, v in shares))

    def _loss(self, hyper: dict[str, Array], posterior: Any) -> Array:
        shares = self._shares(hyper, posterior.whitened_power, posterior.shrinkage)
        losses = (self._mean(removal_loss(v[1], v[2], v[0])) for v in shares)
        return functools.reduce(operator.add, losses)

    def _shares(
        self, hyper: dict[str, Array], *arrays: Array
    ) -> Iterator[tuple[Array, ...]]:
        """Yield Cₙₖqₖ/γₙ for all k, and `arrays` at n: n = k and each neighbour."""
        own = hyper["own_variance"]
        gamma = self._coupled(own)
        yield _fraction(own, gamma), *arrays
        if not self.coupling:
            return
        lent = self.coupling * own
        for axis in self._along(own.ndim):
            sides = (_neighbours(a, axis) for a in (gamma, *arrays))
            for whole, *there in zip(*sides, strict=True):
                yield _fraction(lent, whole), *there

    def _coupled(self, q: Array) -> Array:
        """Return C q."""
        gamma = q
        for axis in self._along(q.ndim):
            before, after = _neighbours(q, axis)
            gamma = gamma + self.coupling * (before + after)
        return gamma

    def _along(self, ndim: int) -> list[int]:
        """Axes of neighbours of an array with `ndim` axes, batch axes first."""
        n = ndim if self.x_shape is None else len(self.x_shape)
        axes = range(n) if self.axes is None else self.axes
        found = {ndim - n + axis % n for axis in axes}
        return sorted(found - self._tied(ndim))


def _fraction(part: Array, whole: Array) -> Array:
    """Return part / whole; zero where both are."""
    xp = array_namespace(whole)
    return part / xp.where(whole > 0, whole, xp.ones_like(whole))


def _neighbours(x: Array, axis: int) -> tuple[Array, Array]:
    """Return what is before and after each entry along `axis`, zero beyond the ends."""
    xp, axes = array_namespace(x), (slice(None),) * axis
    edge = xp.zeros_like(x[(*axes, slice(0, 1), ...)])
    before = xp.concat([edge, x[(*axes, slice(0, -1), ...)]], axis=axis)
    after = xp.concat([x[(*axes, slice(1, None), ...)], edge], axis=axis)
    return before, after
