"""The group lasso: whole groups of entries are kept or dropped."""

from __future__ import annotations

from typing import Any, Self

import numpy as np

from sparsesolve import checks
from sparsesolve.backends import (
    Array,
    Shape,
    abs_squared,
    array_namespace,
    device_of,
    expand,
    is_array,
    to_numpy,
)
from sparsesolve.priors import weights as weighting
from sparsesolve.priors.base import Prior
from sparsesolve.priors.group_index import GroupIndex, group_index, labels_or_axes
from sparsesolve.priors.quadratic import SquaredL2
from sparsesolve.priors.weights import real_like


class GroupL2(Prior):
    """lam · Σ_g w_g ‖x_g‖₂ over groups of entries that do not overlap.

    The prox works on norms alone: `scale(v, factors(norms(v), step))`.

    Parameters
    ----------
    lam : float or array of batch shape
        Regularisation weight.
    groups : integer array of the unknown's shape, int or tuple of int
        An array labels the entries: equal labels, of any integers, are one group. An
        axis or a tuple of axes of one unknown says that the entries along these axes
        form one group: ``groups=0`` takes the columns of a matrix.
    weights : array, optional
        Non-negative weights w_g; default 1. One per label, in the order of sorted
        labels; or, for axes, an array of the unknown's shape with length 1 there.

    Raises
    ------
    TypeError, ValueError
        `lam` is not positive or a weight negative; the groups are neither integer
        labels nor axes; they, or the weights, do not fit the unknown.

    Notes
    -----
    Memory and time are linear in the size of the unknown.

    References
    ----------
    Yuan & Lin, *Model selection and estimation in regression with grouped variables*,
    2006, doi:10.1111/j.1467-9868.2005.00532.x.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsesolve.priors import GroupL2
    >>> GroupL2(1.0, np.array([7, 7, 9])).prox(np.array([3.0, 4.0, 0.5]), 1.0)
    array([2.4, 3.2, 0. ])
    """

    keeps_nonnegative = True
    increasing = True

    def __init__(self, lam: Any, groups: Any, weights: Array | None = None) -> None:
        self.lam = checks.positive("lam", lam)
        self.groups = labels_or_axes(groups)
        self.weights = weighting.checked(weights)
        if weights is not None and is_array(self.groups):
            self._check_weights((np.unique(to_numpy(self.groups)).size,))

    def bind(self, x_shape: Shape) -> Self:
        n = len(x_shape)
        if is_array(self.groups):
            checks.trailing_shape("GroupL2's groups", self.groups, tuple(x_shape))
        elif not all(-n <= axis < n for axis in self.groups):
            raise ValueError(
                f"groups is {self.groups}; wanted axes of an unknown that has {n}"
            )
        elif self.weights is not None:
            together = {axis % n for axis in self.groups}
            self._check_weights(
                tuple(1 if i in together else m for i, m in enumerate(x_shape))
            )
        return super().bind(x_shape)

    def _check_weights(self, wanted: Shape) -> None:
        if tuple(self.weights.shape) != wanted:
            raise ValueError(
                f"weights has shape {tuple(self.weights.shape)}; wanted {wanted}, one "
                "weight per group"
            )

    def item_axes(self, x: Array) -> int:
        labelled = is_array(self.groups)
        return self.groups.ndim if labelled else super().item_axes(x)

    def value(self, x: Array) -> Array:
        norms = self.norms(x)
        terms = weighting.times(norms, self.weights)
        axes = tuple(range(-self._norm_axes(norms), 0))
        return self.lam * array_namespace(x).sum(terms, axis=axes)

    def prox(self, v: Array, step: Any) -> Array:
        return self.scale(v, self.factors(self.norms(v), step))

    def norms(self, x: Array) -> Array:
        """Norms of the groups: (*batch, n_groups); for axes `x` with length 1 there."""
        xp, n = array_namespace(x), self.item_axes(x)
        squares = abs_squared(x)
        if not is_array(self.groups):
            axes = tuple(a if a < 0 else a - n for a in self.groups)
            return xp.sqrt(xp.sum(squares, axis=axes, keepdims=True))
        flat = xp.reshape(squares, (*x.shape[: x.ndim - n], -1))
        return xp.sqrt(self._index(x).sums(flat))

    def factors(self, norms: Array, step: Any) -> Array:
        """Return max(0, 1 - lam·step·w_g / norm), by which a group is multiplied."""
        n = self._norm_axes(norms)
        lam, step = real_like(self.lam, norms), real_like(step, norms)
        threshold = expand(lam, n) * expand(step, n)
        if self.weights is not None:
            threshold = threshold * real_like(self.weights, norms)
        return weighting.shrink_factors(norms, threshold)

    def scale(self, x: Array, factors: Array) -> Array:
        """Return `x` with every group multiplied by its factor."""
        if not is_array(self.groups):
            return x * factors
        xp = array_namespace(x)
        return x * xp.reshape(self._index(x).spread(factors), x.shape)

    def critical_lam(self, gradient: Array) -> Array:
        """Return max ‖g_g‖ / w_g."""
        norms = self.norms(gradient)
        if self.weights is not None:
            norms = weighting.quotient(norms, real_like(self.weights, norms))
        axes = tuple(range(-self._norm_axes(norms), 0))
        return array_namespace(norms).max(norms, axis=axes)

    def majorise(self, x: Array) -> Prior:
        """Return (lam / 2) Σ (w_g / ‖x_g‖) ‖z_g‖²; groups that are 0 stay 0."""
        norms = self.norms(x)
        w = array_namespace(x).ones_like(norms)
        w = w if self.weights is None else w * real_like(self.weights, norms)
        ones = array_namespace(x).ones_like(abs_squared(x))
        w = self.scale(ones, weighting.quotient(w, norms))
        return weighting.bound_like(SquaredL2(self.lam, w), self)

    def _norm_axes(self, norms: Array) -> int:
        return 1 if is_array(self.groups) else self.item_axes(norms)

    def _index(self, x: Array) -> GroupIndex:
        cache = self.__dict__.setdefault("_indices", {})
        device = device_of(x)
        if device not in cache:
            cache[device] = group_index(self.groups, device)
        return cache[device]  # type: ignore[no-any-return]
