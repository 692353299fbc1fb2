"""At most so many indices an axis that are not zero."""

from __future__ import annotations

from typing import Any, Self

from sparsesolve import checks
from sparsesolve.backends import Array, Shape, array_namespace
from sparsesolve.priors.base import Prior
from sparsesolve.priors.bounds import indicator


class KroneckerTopK(Prior):
    """The arrays whose support lies in a product of index sets, one an axis.

    Not convex. Along axis i at most kᵢ indices belong to slices that are not 0: the
    Kronecker sparsity of `KroneckerSBL`, with the sizes of the sets given. It has no
    prox, as the nearest such array is found by no known way but trying all sets;
    `KroneckerOMP` solves least squares with it.

    Parameters
    ----------
    *k : int
        Sizes of the sets: one number for each axis of the unknown, or one for all. An
        axis whose size is at least the length (snapshots) is free.

    Raises
    ------
    ValueError
        No size, or one that is not a positive integer; `bind`: the unknown has another
        number of axes.

    References
    ----------
    Caiafa and Cichocki, "Computing sparse representations of multidimensional signals
    using Kronecker bases", Neural Computation 25(1), 2013 (block sparsity).

    Examples
    --------
    >>> import numpy as np
    >>> from sparsesolve.priors import KroneckerTopK
    >>> x = np.zeros((4, 5))
    >>> x[1, [0, 3]] = 1.0
    >>> float(KroneckerTopK(1, 2).value(x)), float(KroneckerTopK(1).value(x))
    (0.0, inf)
    """

    convex = False
    keeps_nonnegative = True
    increasing = True
    has_prox = False

    def __init__(self, *k: int) -> None:
        if not k:
            raise ValueError("KroneckerTopK got no size; wanted one for each axis")
        self.k = tuple(checks.positive_int("k", size) for size in k)

    def bind(self, x_shape: Shape) -> Self:
        new = super().bind(x_shape)
        if len(self.k) not in (1, len(x_shape)):
            raise ValueError(
                f"KroneckerTopK has {len(self.k)} sizes; the unknown of shape "
                f"{tuple(x_shape)} has {len(x_shape)} axes: give one for each, or one"
            )
        if len(self.k) == 1:
            new.k = self.k * len(x_shape)
        return new

    def value(self, x: Array) -> Array:
        xp, n = array_namespace(x), self.item_axes(x)
        sizes = self.k * n if len(self.k) == 1 else self.k
        size = xp.abs(x)
        excess = self.total(size * 0, x)
        for i, k in enumerate(sizes):
            axes = tuple(x.ndim - n + j for j in range(n) if j != i)
            used = xp.max(size, axis=axes) > 0 if axes else size > 0
            count = xp.sum(xp.astype(used, size.dtype), axis=-1)
            excess = xp.maximum(excess, count - k)
        return indicator(excess, 0.0)

    def prox(self, v: Array, step: Any) -> Array:
        raise TypeError(f"{self!r} has no prox; use KroneckerOMP")
