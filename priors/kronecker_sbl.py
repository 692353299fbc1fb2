"""Sparse Bayesian learning of unknowns with a Kronecker-structured support."""

from __future__ import annotations

import math
from typing import Any, Self

import numpy as np

from sparsesolve import checks
from sparsesolve.backends import (
    Array,
    Shape,
    abs_squared,
    array_namespace,
    device_of,
    native_dtype,
    real_dtype,
    to_device,
    to_numpy,
)
from sparsesolve.priors.fitted_variances import integers, own_axes, removal_loss
from sparsesolve.priors.hierarchical import HierarchicalPrior
from sparsesolve.separable import Separable

_UPDATES = ("mm", "mackay", "am", "svd")
_NEGLIGIBLE = 1e-10
_SINGLES = 16
_INNER_TOL = 1e-5
_SPREAD = 2.0
_MOST_SWEEPS = 1000


class KroneckerSBL(HierarchicalPrior):
    """Entries xₙ ~ N(0, γₙ), γ = γ₁ ⊗ γ₂ ⊗ ... ⊗ γᵢ, one factor an axis.

    The support is then a product of one index set an axis. With a `Kronecker` operator
    nothing of the size of its matrix is ever formed.

    Parameters
    ----------
    update : "mm", "mackay", "am" or "svd"
        How the factors follow from the posterior. With bₖ and lₖ the whitened power
        |μ|²/γ and the shrinkage summed over all axes but k, and d = |μ|² + variance:

        * "mm", γₖ ← γₖ √(bₖ/lₖ), factor by factor with a fresh posterior each (the
          default: never lowers the evidence, converges fast);
        * "mackay", γₖ ← γₖ bₖ/lₖ (two to three times fewer iterations, no guarantee);
        * "am", the published alternating minimisation of Σ log γ + d/γ (never lowers
          the evidence, but creeps: ten to a hundred times more iterations);
        * "svd", the published rank-one fit of d by leading singular vectors (fast, no
          guarantee, and its fixed points are not those of the evidence).
    prune : float or sequence of float
        Entries of a factor below `prune` times its largest become zero in every
        update, one number for all axes or one each. None by default: a small entry of
        one factor may carry a whole slab of the unknown, so that `VariationalEM` asks
        the evidence instead.
    tied_axes : int or tuple of int, optional
        Axes along which all entries share their variance, such as snapshots.

    Raises
    ------
    TypeError, ValueError
        `update` is none of the four, `prune` not in [0, 1), `tied_axes` no integers;
        `bind`: the unknown has no such axes or no others, or `prune` not one number
        for each.

    Notes
    -----
    Hyperparameters: ``{"factor_k": γₖ}`` of shape (*batch, Nₖ) for each axis k that is
    not tied. Their scales are arbitrary; after "am" and "svd" all but the last have
    unit Euclidean norm.

    The published settings are ``prune=1e-2`` for "am" and 1e-3 for "svd" with
    ``VariationalEM(noise_variance=..., elimination=False)``, ``tol=1e-4``,
    ``max_iter=150`` and ``x0`` of ones.

    References
    ----------
    He and Joseph, "Bayesian algorithms for Kronecker-structured sparse vector
    recovery", arXiv:2307.14719 (am, svd); Wipf and Nagarajan, NIPS 2007 (mm); MacKay,
    Neural Computation 4, 1992.

    Examples
    --------
    >>> import numpy as np, sparsesolve as ss
    >>> rng = np.random.default_rng(0)
    >>> A = ss.operators.Kronecker(*rng.standard_normal((2, 8, 12)))
    >>> x = np.zeros((12, 12))
    >>> x[np.ix_([2, 7], [1, 5])] = rng.standard_normal((2, 2))
    >>> y = A(x) + 0.01 * rng.standard_normal((8, 8))
    >>> problem = ss.Problem(ss.LeastSquares(A, y), ss.priors.KroneckerSBL())
    >>> solution = ss.solve(problem, ss.VariationalEM())
    >>> [np.flatnonzero(solution.x.any(axis)).tolist() for axis in (1, 0)]
    [[2, 7], [1, 5]]
    """

    def __init__(
        self,
        *,
        update: str = "mm",
        prune: Any = 0.0,
        tied_axes: int | tuple[int, ...] | None = None,
    ) -> None:
        if update not in _UPDATES:
            raise ValueError(f"update is {update!r}; wanted one of {_UPDATES}")
        levels = np.atleast_1d(checks.real_array("prune", np.asarray(prune)))
        if levels.ndim != 1 or not np.all((levels >= 0) & (levels < 1)):
            raise ValueError(f"prune is {prune!r}; wanted numbers from 0 to below 1")
        self.update, self.tied_axes = update, integers("tied_axes", tied_axes)
        self.prune = tuple(levels.tolist())

    def bind(self, x_shape: Shape) -> Self:
        new = super().bind(x_shape)
        new.tied_axes = own_axes("tied_axes", self.tied_axes, x_shape)
        if not new._axes:
            raise ValueError(f"tied_axes is {self.tied_axes}; all axes are tied")
        if len(self.prune) not in (1, len(new._axes)):
            raise ValueError(
                f"prune has {len(self.prune)} numbers; wanted one, or one for each of "
                f"the axes {new._axes} that are not tied"
            )
        return new

    @property
    def parts(self) -> tuple[str, ...]:  # type: ignore[override]
        pruning = ("support",) if any(self.prune) else ()
        if self.update in ("am", "svd") or self.x_shape is None:
            return (*pruning, "variance")
        return (*pruning, *map(_name, self._axes))

    @property
    def _axes(self) -> tuple[int, ...]:
        n = len(self.x_shape or ())
        return tuple(k for k in range(n) if k not in self.tied_axes)

    def init_hyper(self, shape: Shape, dtype: Any, scale: Array) -> dict[str, Array]:
        xp, n = array_namespace(scale), len(self.x_shape or ())
        real, batch = native_dtype(xp, real_dtype(dtype)), shape[: len(shape) - n]
        hyper = {
            _name(k): xp.ones(
                (*batch, shape[len(batch) + k]), dtype=real, device=scale.device
            )
            for k in self._axes
        }
        last = _name(self._axes[-1])
        hyper[last] = hyper[last] * scale[..., None]
        return hyper

    def variance(self, hyper: dict[str, Array]) -> Separable:
        if not self.tied_axes:
            return Separable(hyper.values())
        some = next(iter(hyper.values()))
        one = array_namespace(some).ones_like(some[..., :1])
        n = len(self.x_shape or ())
        return Separable(hyper.get(_name(k), one) for k in range(n))

    def update_hyper(
        self, hyper: dict[str, Array], posterior: Any, part: str
    ) -> dict[str, Array]:
        if part == "support":
            return self._pruned(hyper)
        if part == "variance":
            power = self._second_moments(posterior)
            fit = _itakura_saito if self.update == "am" else _leading_singular
            return dict(zip(hyper, fit(power, list(hyper.values())), strict=True))
        k, n = int(part.removeprefix("factor_")), len(self.x_shape or ())
        found, expected = posterior.marginals(k - n, n)
        new = _rescaled(hyper[part], found, expected, self.update)
        return hyper | {part: new}

    def _second_moments(self, posterior: Any) -> Array:
        """|μ|² + variance, averaged over tied axes, which are dropped."""
        power = abs_squared(posterior.mean) + posterior.variance
        first = power.ndim - len(self.x_shape or ())
        tied = tuple(first + k for k in self.tied_axes)
        return array_namespace(power).mean(power, axis=tied) if tied else power

    def _pruned(self, hyper: dict[str, Array]) -> dict[str, Array]:
        """Return `hyper` without small entries; the same object if there are none."""
        levels = self.prune * (len(hyper) if len(self.prune) == 1 else 1)
        pruned = dict(hyper)
        for (name, g), level in zip(hyper.items(), levels, strict=True):
            xp = array_namespace(g)
            small = (g < level * xp.max(g, axis=-1, keepdims=True)) & (g > 0)
            if bool(xp.any(small)):
                pruned[name] = xp.where(small, xp.zeros_like(g), g)
        same = all(pruned[name] is g for name, g in hyper.items())
        return hyper if same else pruned

    def restart(
        self, hyper: dict[str, Array], posterior: Any, rngs: Any
    ) -> tuple[dict[str, Array], Any]:
        """Draw one factor anew where it has not become sparse: see `unsure`."""
        draws = {name: np.zeros(g.shape) for name, g in hyper.items()}
        shape = (*rngs.shape, len(self.x_shape or ()))
        unsure = np.broadcast_to(posterior.unsure, shape)
        for index in np.ndindex(rngs.shape):
            names = [_name(k) for k in self._axes if unsure[index][k]]
            if names:
                draw = draws[names[int(rngs[index].integers(len(names)))]]
                draw[index] = np.exp(
                    _SPREAD * rngs[index].standard_normal(draw.shape[-1])
                )
        there = np.any([np.any(draw > 0, axis=-1) for draw in draws.values()], axis=0)
        return {name: _redrawn(g, draws[name]) for name, g in hyper.items()}, there

    def candidates(
        self, hyper: dict[str, Array], posterior: Any
    ) -> list[dict[str, Array]]:
        """Return removals of the least useful half of all slabs, a quarter, ..., one.

        Then of single slabs, the least useful first. A slab is one entry of a factor;
        its use is estimated by the sum of what removing each of its entries of the
        unknown alone would cost. The most useful slab of an axis
        is never removed.
        """
        xp = array_namespace(posterior.mean)
        cost = removal_loss(posterior.whitened_power, posterior.shrinkage)
        names, sizes, costs = list(hyper), [], []
        n, first = len(self.x_shape or ()), cost.ndim - len(self.x_shape or ())
        for name, g in hyper.items():
            k = int(name.removeprefix("factor_"))
            others = tuple(first + j for j in range(n) if j != k)
            slab = to_numpy(xp.sum(cost, axis=others) if others else cost)
            alive = to_numpy(g) > 0
            slab = np.where(alive, slab, np.inf)
            best = np.argmax(np.where(alive, slab, -np.inf), axis=-1)
            np.put_along_axis(slab, best[..., None], np.inf, -1)
            costs.append(slab)
            sizes.append(g.shape[-1])
        flat = np.concatenate(costs, axis=-1)
        rank = np.argsort(np.argsort(flat, axis=-1), axis=-1)
        count = np.sum(np.isfinite(flat), axis=-1, keepdims=True)
        most = int(np.max(count, initial=0))
        halves = max(most.bit_length() - 1, min(most, 1))
        removed = [
            rank < np.minimum(count, np.maximum(1, count // 2**j))
            for j in range(1, halves + 1)
        ]
        removed += [(rank == j) & (j < count) for j in range(1, min(most, _SINGLES))]
        cuts = np.cumsum(sizes)[:-1]
        return [
            {
                name: _without(hyper[name], gone)
                for name, gone in zip(names, np.split(mask, cuts, axis=-1), strict=True)
            }
            for mask in removed
        ]


def _name(k: int) -> str:
    return f"factor_{k}"


def _redrawn(g: Array, draw: Any) -> Array:
    """Return `draw` in units of the largest entry, `g` where it is zero."""
    xp = array_namespace(g)
    draw = xp.astype(to_device(draw, device_of(g)), g.dtype)
    return xp.where(draw > 0, draw * xp.max(g, axis=-1, keepdims=True), g)


def _without(g: Array, gone: Any) -> Array:
    if not gone.any():
        return g
    xp = array_namespace(g)
    return xp.where(to_device(gone, device_of(g)), xp.zeros_like(g), g)


def _rescaled(g: Array, found: Array, expected: Array, update: str) -> Array:
    xp = array_namespace(g)
    seen = expected > 0
    ratio = found / xp.where(seen, expected, 1.0)
    vanishing = (expected < _NEGLIGIBLE) & (found <= expected)
    factor = xp.sqrt(ratio) if update == "mm" else ratio
    return xp.where(seen, g * xp.where(vanishing, 0.0, factor), g)


def _itakura_saito(power: Array, factors: list[Array]) -> list[Array]:
    """Minimise Σ log γ + d/γ over separable γ by sweeps over its factors.

    It is convex in the factors' logarithms, so that the sweeps reach the one minimum.
    """
    xp, n = array_namespace(power), len(factors)
    counts = [
        xp.sum(xp.astype(g > 0, g.dtype), axis=-1, keepdims=True) for g in factors
    ]
    shares = [count / math.prod(counts) for count in counts]
    inverses = [_inverse(xp, g) for g in factors]
    for _ in range(_MOST_SWEEPS):
        new, tails = list(factors), _tails(xp, power, inverses)
        for k in range(n):
            new[k] = shares[k] * _contracted(xp, tails[k], inverses[:k])
            inverses[k] = _inverse(xp, new[k])
        done = _near(xp, new, factors)
        factors = new
        if done:
            break
    return _normalised(xp, factors)


def _tails(xp: Any, power: Array, weights: list[Array]) -> list[Array]:
    """For each axis, sum over all axes behind it, each weighted."""
    batch = weights[0].shape[:-1]
    tails = [power]
    for w in reversed(weights[1:]):
        rows = xp.reshape(tails[-1], (*batch, -1, w.shape[-1]))
        tails.append(xp.matmul(rows, w[..., None]))
    return tails[::-1]


def _contracted(xp: Any, power: Array, weights: list[Array]) -> Array:
    """Sum over the axes of `weights`, which come first; one axis is left."""
    batch = power.shape[: power.ndim - 2]
    for w in weights:
        batch = w.shape[:-1]
        rows = xp.reshape(power, (*batch, w.shape[-1], -1))
        power = xp.matmul(w[..., None, :], rows)
    return xp.reshape(power, (*batch, -1))


def _inverse(xp: Any, g: Array) -> Array:
    there = g > 0
    return xp.where(there, 1 / xp.where(there, g, 1.0), 0.0)


def _near(xp: Any, new: list[Array], old: list[Array]) -> bool:
    """Whether the outer products have come as close as published."""
    pairs = zip(new, old, strict=True)
    sums = [xp.sum(xp.stack([a * a, a * b, b * b]), axis=-1) for a, b in pairs]
    products = math.prod(sums)
    gap = products[0, ...] + products[2, ...] - 2 * products[1, ...]
    return bool(xp.all(gap <= _INNER_TOL**2 * products[2, ...]))


def _normalised(xp: Any, factors: list[Array]) -> list[Array]:
    """Give all factors but the last unit norm."""
    *rest, last = factors
    out = []
    for g in rest:
        size = xp.sqrt(xp.sum(g * g, axis=-1, keepdims=True))
        size = xp.where(size > 0, size, 1.0)
        out.append(g / size)
        last = last * size
    return [*out, last]


def _leading_singular(power: Array, factors: list[Array]) -> list[Array]:
    """Fit d by an outer product: leading singular vectors of each unfolding."""
    xp, n = array_namespace(power), len(factors)
    rest, found = power, []
    for g in factors[:-1]:
        rows = xp.reshape(rest, (*rest.shape[: rest.ndim - n], g.shape[-1], -1))
        gram = xp.matmul(rows, xp.matrix_transpose(rows))
        left = xp.abs(xp.linalg.eigh(gram)[1][..., -1])
        found.append(left)
        n -= 1
        shape = (*rest.shape[: rest.ndim - n - 1], *rest.shape[rest.ndim - n :])
        rest = xp.reshape(xp.matmul(left[..., None, :], rows), shape)
    return [*found, rest]
