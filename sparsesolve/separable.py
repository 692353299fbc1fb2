"""Variances that are an outer product, one factor an axis of the unknown."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from sparsesolve.backends import (
    Array,
    array_namespace,
    norm,
    scalar,
    to_numpy,
    where,
)

# Below it forming the products takes less time than a few dozen small inner products.
_SMALL = 2**14


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
        """Return ‖γ - old‖ / ‖old‖, of batch shape.

        Where they are large neither is formed: their difference is the sum of n outer
        products, each with one factor's difference in it, so that nothing cancels
        where γ and `old` are close.
        """
        if math.prod(g.shape[-1] for g in self.factors) <= _SMALL:
            return self._full_change(old)
        grams = [_gram(*pair) for pair in zip(self.factors, old.factors, strict=True)]
        n, total = len(grams), np.float64(0.0)
        for i in range(n):
            for k in range(i, n):
                terms = (grams[j][_place(j, i, k)] for j in range(n))
                total = total + (1 if i == k else 2) * math.prod(terms)
        size = math.prod(gram[_OLD, _OLD] for gram in grams)
        return scalar(np.sqrt(np.maximum(total, 0) / np.where(size > 0, size, 1)))

    def _full_change(self, old: Separable) -> Any:
        n, before = len(self.factors), old.full()
        size = norm(before, n)
        ratio = norm(self.full() - before, n) / where(size > 0, size, 1.0)
        return scalar(ratio)

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
    rows = (new, old, new - old)
    gram: dict[tuple[int, int], Any] = {}
    for i, k in ((0, 0), (0, 1), (1, 1), (2, 0), (2, 1), (2, 2)):
        gram[i, k] = gram[k, i] = _inner(rows[i], rows[k])
    return gram


def _inner(a: Array, b: Array) -> Any:
    if a.ndim == 1:
        return float(a @ b)
    return to_numpy(array_namespace(a).sum(a * b, axis=-1))


def _place(j: int, i: int, k: int) -> tuple[int, int]:
    """Which inner product factor j has in that of the i-th and k-th outer products.

    The i-th has new factors before its difference and old ones behind it.
    """
    return _row(j, i), _row(j, k)


def _row(j: int, i: int) -> int:
    if j == i:
        return _STEP
    return _NEW if j < i else _OLD
