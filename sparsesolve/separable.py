"""Variances that are an outer product, one factor an axis of the unknown."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from sparsesolve.backends import Array, array_namespace, scalar, to_numpy


class Separable:
    """γ = γ₁ ⊗ γ₂ ⊗ ... ⊗ γₙ, kept as its factors.

    Parameters
    ----------
    factors : sequence of (*batch, Nₖ) arrays
        Real and non-negative, one for each axis of the unknown; ``(*batch, 1)`` where
        all entries along an axis have the same.
    """

    def __init__(self, factors: Any) -> None:
        self.factors = tuple(factors)

    def full(self) -> Array:
        """Return the outer product, ``(*batch, N₁, ..., Nₙ)``."""
        n = len(self.factors)
        return math.prod(
            (along(g, k, n) for k, g in enumerate(self.factors[1:], start=1)),
            start=along(self.factors[0], 0, n),
        )

    def change(self, old: Separable) -> Any:
        """Return ‖γ - old‖ / ‖old‖, batch shape, without forming either.

        The difference is the sum of n outer products, each with one factor's
        difference in it, so that it does not cancel where γ and `old` are close.
        """
        if all(isinstance(g, np.ndarray) and g.ndim == 1 for g in self.factors):
            from sparsesolve.separable_kernels import change

            return change(self.factors, old.factors)
        grams = [_gram(*pair) for pair in zip(self.factors, old.factors, strict=True)]
        n, total = len(grams), np.float64(0.0)
        for i in range(n):
            for k in range(i, n):
                total = total + (1 if i == k else 2) * math.prod(
                    gram[_row(j, i)][_row(j, k)] for j, gram in enumerate(grams)
                )
        size = math.prod(gram[_OLD][_OLD] for gram in grams)
        return scalar(np.sqrt(np.maximum(total, 0) / np.where(size > 0, size, 1)))

    def __repr__(self) -> str:
        return f"Separable{tuple(f.shape[-1] for f in self.factors)}"


def along(factor: Array, axis: int, n_axes: int) -> Array:
    """Let ``(*batch, N)`` broadcast to an array whose `axis` of `n_axes` it is."""
    batch = (slice(None),) * (factor.ndim - 1)
    return factor[
        (*batch, *(None,) * axis, slice(None), *(None,) * (n_axes - axis - 1))
    ]


_NEW, _OLD, _STEP = range(3)


def _gram(new: Array, old: Array) -> Any:
    """Inner products of a factor's new and old values and their difference, (3, 3)."""
    xp = array_namespace(new)
    # squares of variances leave the range of single precision
    new, old = (xp.astype(g, xp.float64) for g in (new, old))
    rows = xp.stack([new, old, new - old], axis=-2)
    gram = to_numpy(rows @ xp.matrix_transpose(rows))
    return np.moveaxis(gram, (-2, -1), (0, 1))


def _row(j: int, i: int) -> int:
    """Which of these factor j has in the i-th outer product.

    That has new factors before its difference and old ones behind it.
    """
    if j == i:
        return _STEP
    return _NEW if j < i else _OLD
