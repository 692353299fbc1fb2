"""Gaussian posteriors from a dense matrix, by QR factorisations.

For y = A x + n with x ~ N(0, Γ), n ~ N(0, s²I) and B = A Γ^½, the covariance of the
data is S = s²I + B Bᴴ. One QR factorisation of B beside s times the identity gives all
that is wanted of S without forming it: squaring B would lose half the digits, which
single precision does not have. Nothing is divided by a variance, so they may be zero.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from sparsesolve import memory
from sparsesolve.backends import (
    Array,
    Shape,
    abs_squared,
    array_namespace,
    conj,
    device_of,
    dtype_of,
    expand,
    is_array,
    native_dtype,
    real_dtype,
    scalar,
    to_device,
    to_numpy,
    where,
)
from sparsesolve.operators.base import Operator
from sparsesolve.operators.diagonal import Identity
from sparsesolve.operators.kronecker import KroneckerOperators

_BLOCK = 2**22


class Moments(NamedTuple):
    """What a posterior engine offers; the first five are for hierarchical priors."""

    mean: Array
    """Posterior mean μ, of the unknown's shape."""
    variance: Array
    """Posterior variance γ (1 - shrinkage)."""
    whitened_power: Array
    """|μ|²/γ, without dividing by γ."""
    shrinkage: Array
    """γ diag(Aᴴ S⁻¹ A), in [0, 1]."""
    evidence: Any
    """log p(y | hyper), batch shape."""
    misfit: Any
    """‖y - Aμ‖², weighted, batch shape."""
    freedom: Any
    """Data entries minus the sum of `shrinkage`: s² tr S⁻¹, batch shape."""


class DenseEngine:
    """The posterior of a least-squares problem under given prior variances.

    An operator that is a Kronecker product with `Identity` factors in front or behind
    (snapshots, made by ``kron``) is taken apart: only the rest becomes a matrix, and
    where the variances are tied over the snapshots and the weights do not differ
    between them, all snapshots share one factorisation.

    Parameters
    ----------
    problem : Problem
        One array unknown, a LeastSquares loss, a hierarchical prior.

    Raises
    ------
    MemoryError
        The matrix and one factorisation would not fit, predicted before allocation.

    Notes
    -----
    For M data entries and N unknowns that are not yet zero, one posterior costs about
    4 r² (M + N) operations, r = min(M, N), for each problem of a batch; where N < M
    the data are first compressed, once, to N entries.
    """

    def __init__(self, problem: Any) -> None:
        core, self.front, self.back = _without_snapshots(problem.A)
        self.core_in, self.core_out = core.in_shape, core.out_shape
        self.batch = problem.batch_shape
        y, weights = problem.loss.y, problem.loss.weights
        self.xp = array_namespace(y)
        self.complex = problem.x_dtype.kind == "c"
        self.shared = self._is_shared(problem)
        self._check_memory(core, weights is not None, problem.x_dtype.itemsize)

        rows = _unit_images(core, self.xp, problem.x_dtype, device_of(y))
        data = self._columns(y)
        scale = None if weights is None else self._row_scale(weights)
        if core.takes_real:
            # Re and Im as two real data of half the noise each: rescaled to s² again
            half = math.sqrt(2)
            rows, data = (self._split(half * v, axis=-1) for v in (rows, data))
            scale = None if scale is None else self.xp.concat([scale, scale], axis=-1)
        self._set_system(conj(rows), data, scale)
        self.log_jacobian += self.n_rows * math.log(2) if core.takes_real else 0.0

    def _is_shared(self, problem: Any) -> bool:
        """Whether variances and weights are the same for all snapshots."""
        prior, xp = problem.prior, self.xp
        real = native_dtype(xp, real_dtype(problem.x_dtype))
        one = xp.ones(self.batch, dtype=real, device=problem.loss.y.device)
        shape = (*self.batch, *problem.x_shape)
        gamma = prior.variance(prior.init_hyper(shape, problem.x_dtype, one))
        if not is_array(gamma):
            raise TypeError(
                f"{prior!r} has structured variances; the dense engine takes an array"
            )
        after = gamma.shape[len(gamma.shape) - len(self.back) :] if self.back else ()
        start = len(self.batch)
        tied = {1}.issuperset((*gamma.shape[start : start + len(self.front)], *after))
        weights = problem.loss.weights
        if not tied or weights is None:
            return tied
        by_snapshot = self._flat(weights, self.core_out)
        return bool(xp.all(by_snapshot == by_snapshot[..., :1, :]))
