"""At most k entries that are not zero."""

from __future__ import annotations

from typing import Any

import numpy as np

from sparsesolve import checks
from sparsesolve.backends import Array, array_namespace, device_of
from sparsesolve.priors.base import Prior
from sparsesolve.priors.bounds import indicator


class TopK(Prior):
    """The arrays with at most `k` entries that are not 0. Not convex.

    The projection keeps the `k` entries of largest magnitude; of equal ones, those
    that come first.

    Parameters
    ----------
    k : int
        Number of entries of one unknown that may differ from 0.

    Raises
    ------
    ValueError
        `k` is not a positive integer.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsesolve.priors import TopK
    >>> TopK(2).prox(np.array([3.0, -0.5, -4.0]), 1.0)
    array([ 3.,  0., -4.])
    """

    convex = False
    keeps_nonnegative = True
    increasing = True

    def __init__(self, k: int) -> None:
        self.k = checks.positive_int("k", k)

    def value(self, x: Array) -> Array:
        xp = array_namespace(x)
        sizes = xp.abs(x)
        count = self.total(xp.astype(sizes > 0, sizes.dtype), x)
        return indicator(count - self.k, 0.0)

    def prox(self, v: Array, step: Any) -> Array:
        xp, n = array_namespace(v), self.item_axes(v)
        sizes = xp.reshape(xp.abs(v), (*v.shape[: v.ndim - n], -1))
        rank = sizes.shape[-1] - self.k
        if rank <= 0:
            return v
        if device_of(v) == "numpy":
            least = np.partition(sizes, rank, axis=-1)[..., rank, None]
        else:
            least = xp.sort(sizes, axis=-1)[..., rank, None]
        # Written with what is dropped, so that a NaN is never dropped unseen.
        below, ties = sizes < least, sizes == least
        above = xp.astype(~(below | ties), xp.int64)
        room = self.k - xp.sum(above, axis=-1, keepdims=True)
        late = xp.cumulative_sum(xp.astype(ties, xp.int64), axis=-1) > room
        kept = xp.reshape(~(below | (ties & late)), v.shape)
        return xp.where(kept, v, xp.zeros_like(v))
