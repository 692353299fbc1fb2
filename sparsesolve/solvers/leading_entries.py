"""The covariance that the entries of largest prior variance alone give the data."""

from __future__ import annotations

from typing import Any

import numpy as np

from sparsesolve.backends import (
    Array,
    abs_squared,
    array_namespace,
    conj,
    is_complex,
    to_device,
    to_numpy,
)
from sparsesolve.solvers.posterior import hermitian

_LEAST = 1e-13


class LeadingEntries:
    """P = s²I + B Bᴴ of few columns B, by their singular vectors; S is P and a rest.

    As fits are sparse, P soon is nearly S: its inverse makes conjugate gradients short,
    its determinant leaves little to estimate, and without a rest it gives all exactly.

    Parameters
    ----------
    images : (*batch, r, M) array
        The columns as rows, in double precision.
    s2 : (*batch) array
        Noise variance.
    real : bool
        Whether the unknown is real, also where the data are complex: two real numbers
        each, with the inner product Re⟨·,·⟩.
    """

    def __init__(self, images: Array, s2: Array, *, real: bool) -> None:
        xp = array_namespace(images)
        self.real, self.s2 = real, s2[..., None]
        gram = xp.matmul(conj(images), xp.matrix_transpose(images))
        gram = xp.real(gram) if real and is_complex(gram) else gram
        values, self.vectors = xp.linalg.eigh(gram)
        largest = xp.max(values, axis=-1, keepdims=True)
        there = values > _LEAST * largest
        self.values = xp.where(there, values, xp.zeros_like(values))
        inverse = xp.where(there, 1 / xp.sqrt(xp.where(there, values, 1.0)), 0.0)
        basis = xp.matmul(
            xp.astype(xp.matrix_transpose(self.vectors), images.dtype), images
        )
        self.basis = basis * inverse[..., :, None]

    @property
    def log_det(self) -> Array:
        """log|P/s²|."""
        xp = array_namespace(self.values)
        return xp.sum(xp.log1p(self.values / self.s2), axis=-1)

    def inverse(self, u: Array) -> Array:
        """Return s² P⁻¹ u for `u`, (*batch, k, M)."""
        return self._damped(u, self.values / (self.s2 + self.values))

    def root_inverse(self, u: Array) -> Array:
        """Return s P^-½ u."""
        xp = array_namespace(u)
        return self._damped(u, 1 - xp.sqrt(self.s2 / (self.s2 + self.values)))

    def shares(self) -> tuple[Array, Array]:
        """Return diag(Bᴴ P⁻¹ B) and one minus it, (*batch, r)."""
        xp, rows = array_namespace(self.values), abs_squared(self.vectors)
        total = self.s2 + self.values
        found = xp.matmul(rows, (self.values / total)[..., None])[..., 0]
        return found, xp.matmul(rows, (self.s2 / total)[..., None])[..., 0]

    def _damped(self, u: Array, weight: Array) -> Array:
        xp = array_namespace(self.basis)
        wide = xp.astype(u, self.basis.dtype, copy=False)
        c = xp.matmul(wide, hermitian(self.basis))
        if self.real and is_complex(c):
            c = xp.astype(xp.real(c), c.dtype)
        wide = wide - xp.matmul(c * weight[..., None, :], self.basis)
        return xp.astype(wide, u.dtype, copy=False)


def leading(gamma: Array, most: int, share: float) -> tuple[Any, bool] | None:
    """Return which `most` entries lead, sorted, and whether all others are zero.

    Over a batch, (*batch, N), those that lead in some problem; None where they hold
    less than `share` of all variance.
    """
    host = to_numpy(gamma).astype(float)
    rows = host.reshape(-1, host.shape[-1])
    size = rows.sum(axis=1, keepdims=True)
    weight = np.max(rows / np.where(size > 0, size, 1), axis=0)
    order = np.argsort(-weight, kind="stable")[:most]
    kept = np.sort(order[weight[order] > 0])
    if kept.size == 0:
        return None
    whole = kept.size == np.count_nonzero(weight)
    held = rows[:, kept].sum(axis=1) / np.where(size[:, 0] > 0, size[:, 0], np.inf)
    if not whole and np.any((held < share) & (size[:, 0] > 0)):
        return None
    return kept, whole


def spread(values: Array, kept: Any, n: int, fill: float, place: str) -> Array:
    """Put (*batch, r) values at `kept` of `n` places, `fill` elsewhere."""
    xp = array_namespace(values)
    source = np.full(n, kept.size)
    source[kept] = np.arange(kept.size)
    rest = xp.full_like(values[..., :1], fill)
    padded = xp.concat([values, rest], axis=-1)
    return xp.take(padded, to_device(source, place), axis=-1)
