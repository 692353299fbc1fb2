"""ADMM's iteration in few passes where columns share a real matrix.

What `ADMM` does in general takes a dozen passes over arrays of the unknown's size, each
into fresh memory. With least squares of ``LeftMultiply`` and a prior of entries, as in
sparse unmixing, two products and three passes remain, into memory that is used again.
"""

from __future__ import annotations

import math
import sys
from typing import Any, NamedTuple

import numpy as np

from sparsesolve.backends import Array, scalar
from sparsesolve.losses import LeastSquares
from sparsesolve.operators.blocks import LeftMultiply
from sparsesolve.priors.base import Prior
from sparsesolve.priors.bounds import Box, NonNegative
from sparsesolve.priors.l1 import L1
from sparsesolve.priors.tilted import Tilted
from sparsesolve.singular_form import SingularForm

# From so many unknowns the compiled passes are worth loading Numba.
_COMPILED = 1 << 14


class Entrywise(NamedTuple):
    """The prior shift Σ x + threshold Σ |x| on lower <= x <= upper."""

    shift: float
    threshold: float
    lower: float
    upper: float


class Advance(NamedTuple):
    """What an iteration leaves; see the fields of ADMM's state."""

    u: Array
    v: Array
    d: Array
    sizes: tuple[float, float, float, float]
    """‖u - v‖, max(‖u‖, ‖v‖), ‖v - v_old‖ and ‖d‖."""
    misfit: float
    prior: float
    """Value of the prior at v."""


class ColumnStep:
    """One iteration: x-update by singular vectors, prox, multipliers and all norms.

    Parameters
    ----------
    form : SingularForm
        Of the loss's `LeftMultiply`.
    rule : Entrywise
        The prior.
    y : (L, n) array
        Data.
    """

    def __init__(self, form: SingularForm, rule: Entrywise, y: Array) -> None:
        self.rule, self.dtype = rule, y.dtype
        self.d = np.ascontiguousarray(np.reshape(form.d, -1), y.dtype)
        self.powers = np.square(self.d.astype(np.float64))
        basis = form.from_model(np.eye(self.d.size, dtype=y.dtype))
        self.basis = np.ascontiguousarray(basis)
        self.basis_adjoint = np.ascontiguousarray(basis.T)
        self.y = np.ascontiguousarray(form.to_data(y))
        outside = y - form.from_data(self.y)
        self.unexplained = float(np.einsum("ij,ij->", outside, outside, dtype=float))
        self.spare = _Spare()

    def advance(self, v: Array, d: Array, rho: float, relaxation: float) -> Advance:
        from sparsesolve.solvers import admm_kernels

        v, d = np.ascontiguousarray(v), np.ascontiguousarray(d)
        u, new, multiplier = (self.spare.take(v.shape, v.dtype) for _ in range(3))
        # Read for the last time before the multipliers are written.
        same = self.y.shape == v.shape
        c = multiplier if same else self.spare.take(self.y.shape, v.dtype)
        np.subtract(v, d, out=new)
        np.matmul(self.basis_adjoint, new, out=c)
        power = self.powers + rho
        gain = (self.d / power).astype(self.dtype)
        factor = (rho / power).astype(self.dtype)
        squares = admm_kernels.correct(c, self.y, self.d, gain, factor)
        np.matmul(self.basis, c, out=u)
        shift, threshold, lower, upper = self.rule
        numbers = relaxation, shift / rho, threshold / rho, lower, upper
        rule = tuple(self.dtype.type(a) for a in numbers)
        sums = admm_kernels.split(v, d, rule, u, new, multiplier)
        gap, size, copy, change, dual = map(math.sqrt, sums[:5])
        return Advance(
            u,
            new,
            multiplier,
            (gap, max(size, copy), change, dual),
            math.sqrt(squares + self.unexplained),
            shift * sums[5] + threshold * sums[6],
        )


def column_step(problem: Any, inverse: Any) -> ColumnStep | None:
    """Return the iteration for `problem`, or None where it is not of that kind.

    `inverse` is the exact inverse of its operator, or whatever ADMM uses.
    """
    loss, prior = problem.loss, entrywise(problem.prior)
    plain = isinstance(loss, LeastSquares) and not loss.factors
    if prior is None or not plain or not isinstance(inverse, SingularForm):
        return None
    A, y = loss.A, loss.y
    large = problem.device == "numpy" and math.prod(problem.x_shape) >= _COMPILED
    if not large or not isinstance(A, LeftMultiply) or A.m.ndim != 2 or y.ndim != 2:
        return None
    if y.dtype.kind != "f" or A.m.dtype != y.dtype:
        return None
    return ColumnStep(inverse, prior, y)


def entrywise(prior: Prior) -> Entrywise | None:
    """Return a real prior of entries in the form of `Entrywise`, or None."""
    if isinstance(prior, NonNegative):
        return Entrywise(0.0, 0.0, 0.0, math.inf)
    if isinstance(prior, Box):
        bounds = prior.lower, prior.upper
        known = all(isinstance(bound, float) for bound in bounds)
        return Entrywise(0.0, 0.0, *bounds) if known else None
    lam = scalar(prior.lam)
    if not isinstance(lam, float):
        return None
    if isinstance(prior, L1) and prior.weights is None:
        return Entrywise(0.0, lam, -math.inf, math.inf)
    if isinstance(prior, Tilted) and prior.costs is None:
        within = entrywise(prior.within)
        return None if within is None else within._replace(shift=within.shift + lam)
    return None


class _Spare:
    """Arrays that nobody holds any more, to be used again.

    Fresh memory costs more than what is computed in it, as its pages must be cleared.
    An array that a state, a view or a user still refers to is never handed out.
    """

    def __init__(self) -> None:
        self.arrays: list[Array] = []

    def take(self, shape: tuple[int, ...], dtype: Any) -> Array:
        """Return an array of arbitrary content."""
        for array in self.arrays:
            # Held by the list, by the loop's name and as the argument alone.
            unused = sys.getrefcount(array) == 3
            if unused and array.shape == shape and array.dtype == dtype:
                return array
        array = np.empty(shape, dtype)
        self.arrays.append(array)
        return array
