"""ℓp with an exponent of its own for every column: guided sparsity."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import numpy as np

from sparsesolve import checks
from sparsesolve.backends import Array, Shape, array_namespace, is_array, is_plain
from sparsesolve.priors import weights as weighting
from sparsesolve.priors.base import Prior
from sparsesolve.priors.guides import SparsenessGuide
from sparsesolve.priors.l1 import L1
from sparsesolve.priors.tilted import Tilted
from sparsesolve.priors.weights import bound_like, real_like

# Newton from the right converges quadratically; near a double root, where the minimiser
# is not taken anyway, linearly.
_NEWTON_STEPS = 30
# From so many entries the compiled sums are worth loading Numba.
_COMPILED = 1 << 13


class GuidedLp(Prior):
    """lam · Σ w_n |x_kn|^(1 - h_n): the guide h says how sparse each column n is.

    h = 0 is the ℓ1 norm, under sum-to-one a constant and so no sparsity at all (a mixed
    pixel); h towards 1 the strongest sparsity (a pure pixel); h = 1/2 everywhere the
    ℓ1/2 norm. Below `floor` the power goes on as its tangent, so that slopes stay
    finite; the value of 0 is 0.

    Parameters
    ----------
    lam : float or array of batch shape, default 1
        Regularisation weight.
    guide : float, array that broadcasts to the unknown, or SparsenessGuide
        The map h, in [0, 1); for an unknown (materials, pixels) an array (pixels,). A
        `SparsenessGuide` is learnt from the unknown itself, by the solver
        `AlternatingMinimization`; until then h is its `start`.
    weights : array that broadcasts to the unknown, optional
        Positive weights w; default 1. Where the data of a column are weighted, weights
        alike keep what the guide means the same in all columns.
    within : Prior, optional
        The set of allowed unknowns, such as `NonNegative`, `Simplex`, `SoftSimplex`.
        The sum has no prox then, but a majoriser.
    floor : float
        Magnitude, of the unknown's unit, below which the power is replaced.

    Raises
    ------
    TypeError, ValueError
        `lam` or `floor` is not positive, h leaves [0, 1), h or the weights do not
        broadcast to the unknown, `within` is no real prior with a prox.

    Notes
    -----
    The prox is the global minimiser: per entry the better of a soft threshold below the
    floor and the larger root of a + w p a^(p-1) = |v| above it (Newton). Where two
    minimisers tie, the smaller is taken.

    References
    ----------
    Zhu, Wang, Fan, Xiang & Pan, *Effective spectral unmixing via robust representation
    and learning-based sparsity*, 2014, arXiv:1409.0685; Marjanovic & Solo, *On ℓq
    optimization and matrix completion*, 2012, doi:10.1109/TSP.2012.2212015 (the prox).

    Examples
    --------
    >>> import numpy as np
    >>> from sparsesolve.priors import GuidedLp
    >>> GuidedLp(1.0, guide=np.array([0.0, 0.5])).prox(np.array([[2.0, 2.0]]), 0.5)
    array([[1.5       , 1.81470389]])
    """

    convex = False
    keeps_nonnegative = True
    increasing = True

    def __init__(
        self,
        lam: Any = 1.0,
        guide: Any = 0.5,
        *,
        weights: Array | None = None,
        within: Prior | None = None,
        floor: float = 1e-4,
    ) -> None:
        self.lam = checks.positive("lam", lam)
        self.floor = checks.positive_number("floor", floor)
        self.weights = weighting.checked(weights)
        if weights is not None:
            checks.finite("weights", weights)
        self.guide = guide if isinstance(guide, SparsenessGuide) else _checked(guide)
        self.learns = isinstance(guide, SparsenessGuide)
        if within is not None:
            Tilted(1.0, within)  # refuses what is no set for real unknowns
        self.within = within
        self.has_prox, self.separable = within is None, within is None
        self.real_only = within is not None
        self.learnt: Mapping[str, Array] = {}

    @property
    def map(self) -> Any:
        """The guide h now in use: a number, or an array."""
        if not self.learns:
            return self.guide
        return self.learnt.get("guide", self.guide.start)

    def bind(self, x_shape: Shape) -> Self:
        guide: Any = self.guide
        if is_array(guide):
            checks.broadcasts("guide", tuple(guide.shape), tuple(x_shape))
        if self.weights is not None:
            checks.broadcasts("weights", tuple(self.weights.shape), tuple(x_shape))
        if self.learns:
            self.guide.check(tuple(x_shape))
        new = super().bind(x_shape)
        if self.within is not None:
            object.__setattr__(new, "within", self.within.bind(x_shape))
        return new

    def learn(self, x: Array) -> dict[str, Array]:
        """Return the guide that the unknown `x` speaks for."""
        return {"guide": self.guide.learn(x)} if self.learns else {}

    def value(self, x: Array) -> Array:
        columns = self._columns(x)
        if columns is None:
            total = self.total(self._terms(x), x)
        else:
            from sparsesolve.priors.guided_kernels import column_value

            total = np.asarray(column_value(x, *columns, self.floor), x.dtype)
        total = self.lam * total
        return total if self.within is None else total + self.within.value(x)

    def prox(self, v: Array, step: Any) -> Array:
        if self.within is not None:
            raise TypeError(
                f"{self!r} has no prox, but a majoriser: use AlternatingMinimization"
            )
        xp = array_namespace(v)
        size, p = xp.abs(v), self._exponent(v)
        w = self._weighted(self.weight(v, step), v)
        zero = size * 0
        floor = zero + self.floor
        low = xp.clip(size - w * p * floor ** (p - 1), min=0.0)
        high = self._larger_root(xp.maximum(size, floor), size, w, p)
        better = self._cost(high, size, w, p) < self._cost(low, size, w, p)
        x = xp.where(better & (high > floor), high, low)
        return v * (x / xp.where(size > 0, size, zero + 1))

    def majorise(self, x: Array) -> Prior:
        """Return the tangent at |x|: a weighted ℓ1 norm, on `within` if it is given."""
        columns = self._columns(x)
        if columns is None:
            slopes = self._slopes(x)
        else:
            from sparsesolve.priors.guided_kernels import column_slopes

            slopes = np.empty_like(x)
            column_slopes(x, *columns, self.floor, slopes)
        if self.within is None:
            return bound_like(L1(self.lam, slopes), self)
        return bound_like(Tilted(self.lam, self.within, slopes), self)

    def __repr__(self) -> str:
        guide: Any = self.guide
        guide = f"array{tuple(guide.shape)}" if is_array(guide) else repr(guide)
        within = "" if self.within is None else f", within={self.within!r}"
        return f"GuidedLp(lam={self.lam}, guide={guide}{within})"

    def _terms(self, x: Array) -> Array:
        """Return w φ(|x|), φ the power with its tangent below the floor."""
        xp = array_namespace(x)
        size, p, floor = xp.abs(x), self._exponent(x), self.floor
        above, at_floor = xp.maximum(size, size * 0 + floor), floor**p
        terms = above**p + p * at_floor * ((size - above) / floor)
        return self._weighted(terms - (1 - p) * at_floor, x)

    def _slopes(self, x: Array) -> Array:
        """Return w φ'(|x|)."""
        xp = array_namespace(x)
        size, p = xp.abs(x), self._exponent(x)
        slopes = p * xp.maximum(size, size * 0 + self.floor) ** (p - 1)
        return self._weighted(slopes, x)

    def _columns(self, x: Array) -> tuple[Array, Array] | None:
        """Return exponents and weights (none: empty) of one large matrix's columns.

        None where other code must do: a small unknown, one that is no real matrix of
        NumPy's, or a guide or weights that differ within a column.
        """
        if not is_plain(x) or x.ndim != 2 or x.size < _COMPILED:
            return None
        if self.item_axes(x) != 2:
            return None
        n = x.shape[1]
        guide = _along_columns(self.map, n)
        given = self.weights is not None
        weights = _along_columns(self.weights, n) if given else np.empty(0)
        return None if guide is None or weights is None else (1 - guide, weights)

    def _weighted(self, terms: Any, x: Array) -> Any:
        if self.weights is None:
            return terms
        return terms * real_like(self.weights, x)

    def _exponent(self, x: Array) -> Array:
        xp = array_namespace(x)
        h = real_like(self.map, x)
        return 1 - h if is_array(h) else xp.abs(x) * 0 + (1 - h)

    def _cost(self, a: Array, size: Array, w: Any, p: Array) -> Array:
        xp = array_namespace(a)
        above = xp.maximum(a, a * 0 + self.floor)
        power = above**p + p * (a * 0 + self.floor) ** (p - 1) * (a - above)
        return (a - size) ** 2 / 2 + w * power

    def _larger_root(self, a: Array, size: Array, w: Any, p: Array) -> Array:
        """Newton's steps to the left for a + w p a^(p-1) = size, where it has a root.

        The left side is convex, with its minimum at (w p (1 - p))^(1 / (2 - p)): steps
        from the right of the root fall towards it and never pass it.
        """
        xp = array_namespace(a)
        least = xp.maximum((w * p * (1 - p)) ** (1 / (2 - p)), a * 0 + self.floor)
        for _ in range(_NEWTON_STEPS):
            excess = a + w * p * a ** (p - 1) - size
            slope = 1 - w * p * (1 - p) * a ** (p - 2)
            usable = slope > 0
            a = a - xp.where(usable, excess, a * 0) / xp.where(usable, slope, a * 0 + 1)
            a = xp.maximum(a, least)
        return a


def _along_columns(value: Any, n: int) -> Any:
    """Return a number or (n,), (1, n) array as float64 (n,); None for other shapes."""
    array = np.asarray(value, np.float64)
    if array.size == 1:
        return np.full(n, array.item())
    return array.reshape(n) if array.shape in ((n,), (1, n)) else None


def _checked(guide: Any) -> Any:
    if not is_array(guide):
        guide = checks.finite_number("guide", guide)
        low, high = guide, guide
    else:
        checks.finite("guide", guide)
        xp = array_namespace(guide)
        low, high = float(xp.min(guide)), float(xp.max(guide))
    if low < 0 or high >= 1:
        raise ValueError(f"guide has {low:g} to {high:g}; wanted h in [0, 1)")
    return guide
