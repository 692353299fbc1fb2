"""Least squares with one factor of a product unknown, in Gram form.

For data Y ≈ M A with M known, ½ Σ r_l c_n |Y - M A|² needs of the data only Mᴴ R Y, and
of the model Mᴴ R M: small matrices on which every further step costs nothing of the
length of the spectra. The same holds for M, with A known.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from sparsesolve.backends import (
    Array,
    abs_squared,
    array_namespace,
    conj,
    device_of,
    dtype_of,
    is_array,
    is_complex,
    is_plain,
    to_device,
    to_numpy,
)
from sparsesolve.losses import LeastSquares
from sparsesolve.operators.blocks import LeftMultiply, RightMultiply
from sparsesolve.priors.base import Prior
from sparsesolve.priors.bounds import NonNegative
from sparsesolve.priors.simplex import Simplex, SoftSimplex
from sparsesolve.priors.tilted import Tilted

# Of the data's power: a residual below it has lost four digits to cancellation, and an
# objective made of such no longer falls to 1e-12 of itself in every iteration.
_LEAST_POWER = 1e-4
# From so many entries and columns of the data, and up to so many rows of the factor,
# the compiled products beat the general one.
_LARGE = 1 << 16
_LONG = 1 << 9
_THIN = 8


@dataclass(frozen=True)
class NormalForm:
    """½⟨x, s∘(Gx)⟩ - ⟨x, s∘b⟩, or with xG for an unknown on the left.

    Attributes
    ----------
    gram : (*batch, K, K) array
        G.
    rhs : array of the unknown's shape
        b.
    scale : array that broadcasts to the unknown, or None
        s, the weights of the pixels (or of the bands), which do not enter G; None: one.
    left : bool
        The known factor stands on the left, the unknown is (K, n).
    inner : array that broadcasts to the data, or None
        The other weights, those that G and b were summed with; None: one.
    """

    gram: Array
    rhs: Array
    scale: Array | None
    left: bool
    inner: Array | None = None

    def gradient(self, x: Array) -> Array:
        """Return s∘(Gx - b)."""
        xp = array_namespace(x)
        product = (
            xp.matmul(self.gram, x) if self.left else xp.matmul(x, self.gram)
        ) - self.rhs
        return product if self.scale is None else self.scale * product

    def data_powers(self, y: Array) -> Array:
        """Return Σ inner |y|² of the data's columns (1, n), or of its rows (n, 1)."""
        squares = abs_squared(y)
        if self.inner is not None:
            squares = self.inner * squares
        axis = -2 if self.left else -1
        return array_namespace(y).sum(squares, axis=axis, keepdims=True)

    def residual_powers(self, x: Array, data_powers: Array) -> Array | None:
        """Return Σ inner |y - model|² of columns (rows), without the model's image.

        It is the power of the data plus ⟨x, Gx - 2b⟩. None where most digits would
        cancel: for single precision, and if a residual is small beside the data.
        """
        xp = array_namespace(x)
        if dtype_of(data_powers) != np.float64:
            return None
        axis = -2 if self.left else -1
        product = xp.matmul(self.gram, x) if self.left else xp.matmul(x, self.gram)
        terms = conj(x) * (product - 2 * self.rhs)
        terms = xp.real(terms) if is_complex(terms) else terms
        powers = data_powers + xp.sum(terms, axis=axis, keepdims=True)
        if bool(xp.any(powers < _LEAST_POWER * data_powers)):
            return None
        return xp.clip(powers, min=0.0)

    def lipschitz(self) -> float:
        """Return the largest curvature."""
        xp = array_namespace(self.gram)
        largest = max(float(xp.max(xp.linalg.eigvalsh(self.gram))), 0.0)
        return largest if self.scale is None else largest * float(xp.max(self.scale))

    def descend(self, prior: Prior, x: Array, n_steps: int) -> Array:
        """Return `x` after proximal gradient steps, none of which raises the sum."""
        step = 1 / (self.lipschitz() or 1.0)
        warm = None
        for _ in range(n_steps):
            x, warm = prior.prox_warm(x - step * self.gradient(x), step, warm)
        return x

    def minimise(self, prior: Prior) -> Array | None:
        """Return the exact minimiser under `prior`, or None where none is known.

        Known for one real matrix on the non-negative cone and on the simplex, exact or
        softened (with weights that are `scale`), with linear costs or without: row by
        row, by active sets, on the host. What travels is of the size of the unknown,
        and every device gets the same minimiser.
        """
        if self.rhs.ndim != 2 or is_complex(self.rhs):
            return None
        prior, costs = _tilt(prior, self.rhs)
        along = prior.axis % 2 if isinstance(prior, (Simplex, SoftSimplex)) else None
        if along not in (None, 0 if self.left else 1):
            return None
        rhs = self.rhs
        if is_array(costs) or costs:
            xp = array_namespace(rhs)
            if self.scale is not None and not bool(xp.all(self.scale > 0)):
                return None
            rhs = rhs - (costs if self.scale is None else costs / self.scale)
        if isinstance(prior, SoftSimplex) and not self._is_scale(prior.weights):
            return None
        return self._by_active_sets(prior, to_numpy(rhs))

    def _is_scale(self, weights: Array | None) -> bool:
        """Whether the weights of a penalty are those of the data, and cancel."""
        if weights is None or self.scale is None:
            return weights is None and self.scale is None
        xp = array_namespace(self.rhs)
        return bool(xp.all(xp.broadcast_to(weights == self.scale, self.rhs.shape)))

    def _by_active_sets(self, prior: Prior, rhs: Any) -> Array | None:
        from sparsesolve import simplex_least_squares as exact

        gram = to_numpy(self.gram)
        rows = np.ascontiguousarray(rhs.T if self.left else rhs)
        if isinstance(prior, Simplex) and prior.sum == 1:
            found = exact.simplex_least_squares(gram, rows)
        elif isinstance(prior, Simplex):
            found = exact.simplex_least_squares(gram, rows / prior.sum) * prior.sum
        elif isinstance(prior, SoftSimplex):
            lam = float(prior.lam)
            found = exact.nonnegative_least_squares(gram + lam, rows + lam * prior.sum)
        elif isinstance(prior, NonNegative):
            found = exact.nonnegative_least_squares(gram, rows)
        else:
            return None
        found = np.ascontiguousarray(found.T if self.left else found, rhs.dtype)
        return to_device(found, device_of(self.rhs))


def normal_form(loss: Any) -> NormalForm | None:
    """Return the normal form of a loss, or None where it has none.

    It has one if it is `LeastSquares` of a factor of a `Product`, unweighted or with
    weights that are a product of rows and columns.
    """
    if not isinstance(loss, LeastSquares):
        return None
    A, split = loss.A, _rows_and_columns(loss.factors)
    if split is None or not isinstance(A, (LeftMultiply, RightMultiply)):
        return None
    rows, columns = split
    xp, m = array_namespace(loss.y), A.m
    if dtype_of(m) != dtype_of(loss.y):
        return None
    if isinstance(A, LeftMultiply):
        weighted = conj(xp.matrix_transpose(m if rows is None else rows * m))
        gram, rhs = xp.matmul(weighted, m), _from_left(weighted, loss.y)
        return NormalForm(gram, rhs, columns, left=True, inner=rows)
    weighted = conj(xp.matrix_transpose(m if columns is None else columns * m))
    gram, rhs = xp.matmul(m, weighted), _from_right(loss.y, weighted)
    return NormalForm(gram, rhs, rows, left=False, inner=columns)


def _from_left(thin: Array, y: Array) -> Array:
    """Return ``thin @ y``."""
    if not _suits_kernels(y, thin.shape[-2]):
        return array_namespace(y).matmul(thin, y)
    from sparsesolve.thin_kernels import from_left

    out = np.empty((thin.shape[0], y.shape[1]))
    from_left(np.ascontiguousarray(thin), y, out)
    return out


def _from_right(y: Array, thin: Array) -> Array:
    """Return ``y @ thin``."""
    if not _suits_kernels(y, thin.shape[-1]):
        return array_namespace(y).matmul(y, thin)
    from sparsesolve.thin_kernels import from_right

    out = np.empty((y.shape[0], thin.shape[1]))
    from_right(y, np.ascontiguousarray(thin.T), out)
    return out


def _suits_kernels(y: Array, k: int) -> bool:
    """Whether compiled products of `y` with k rows or columns beat the general one."""
    if not is_plain(y) or y.dtype != np.float64 or y.ndim != 2 or k > _THIN:
        return False
    return bool(y.size >= _LARGE and y.shape[1] >= _LONG)


def _rows_and_columns(factors: tuple[Array, ...]) -> tuple[Any, Any] | None:
    """Return the weights of rows (L, 1) and of columns (1, N), None for all one."""
    rows: Any = None
    columns: Any = None
    for w in factors:
        shape = (1, 1, *w.shape)[-2:]
        if shape[1] == 1:
            rows = w if rows is None else rows * w
        elif shape[0] == 1:
            columns = w if columns is None else columns * w
        else:
            return None
    return rows, columns


def _tilt(prior: Prior, x: Array) -> tuple[Prior, Any]:
    """Return the set of a tilted prior and the costs on it, in the precision of `x`."""
    if isinstance(prior, Tilted):
        within, costs = _tilt(prior.within, x)
        return within, costs + prior.prices(x)
    return prior, 0.0
