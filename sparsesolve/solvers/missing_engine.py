"""The posterior under a Kronecker operator of which some data are missing."""

from __future__ import annotations

import math
from functools import cached_property
from typing import Any

import numpy as np

from sparsesolve.backends import (
    Array,
    abs_squared,
    array_namespace,
    device_of,
    real_dtype,
    scalar,
    to_device,
)
from sparsesolve.conjugate_gradients import normal_cg
from sparsesolve.losses import LeastSquares
from sparsesolve.mode_products import kronecker_parts, mode_product
from sparsesolve.operators.base import Composition, Operator
from sparsesolve.operators.diagonal import Identity
from sparsesolve.operators.kronecker import KroneckerOperators, kron, mode_order
from sparsesolve.operators.mask import Mask
from sparsesolve.separable import Separable
from sparsesolve.solvers.kronecker_engine import KroneckerEngine
from sparsesolve.solvers.kronecker_moments import KroneckerMoments
from sparsesolve.solvers.posterior import hermitian, power
from sparsesolve.solvers.stochastic_lanczos import random_signs, trace_log

_SEED = 7
_TOL = {"float32": 1e-5, "float64": 1e-10}
_PROBE_TOL = 1e-4
_ADVICE = (
    "the missing data are hardly determined at this noise variance; give a larger "
    "noise_variance or noise_floor"
)


class MissingDataEngine:
    """Posterior moments and draws under ``Mask @ Kronecker`` and separable variances.

    With K = s²I + (A₁Γ₁A₁ᴴ) ⊗ ... the covariance of all data, observed (o) and missing
    (m), and Q = K⁻¹ known by the factors' singular vectors, everything follows from
    the missing data's posterior: their mean t solves Q_mm t = -Q_mo y, their
    covariance is Q_mm⁻¹. The mean is that of the completed data; the shrinkage is that
    of all data less diag(Bᴴ Q_:m Q_mm⁻¹ Q_m: B); log|S| = log|K| + log|Q_mm|. The
    equations are as many as data are missing, and s² Q_mm is close to the identity
    where the signal has far fewer dimensions than the data.

    Parameters
    ----------
    problem : Problem
        As of `KroneckerEngine`, but with masks applied to the products.
    probes : int
        Fixed random vectors from which the share of the missing data is estimated in
        `shrinkage`, `variance`, `freedom` and `evidence`; the mean needs none.

    Attributes
    ----------
    power, gain, n_data, note
        As of `DenseEngine`.

    Notes
    -----
    The share φ of an entry's shrinkage that is lost has a relative error of about
    2 (1 - φ) / √probes (√2 less if complex); with nothing missing all is exact.
    """

    def __init__(self, problem: Any, probes: int = 32) -> None:
        split = masked_parts(problem.A)
        if split is None:
            raise TypeError(
                f"{problem.A!r} is no Kronecker product with entries missing; use "
                'VariationalEM(engine="auto")'
            )
        self.selection, whole = split
        loss = LeastSquares(
            whole, self.selection.adjoint(problem.loss.y), problem.loss.weights
        )
        self.all = KroneckerEngine(problem.with_loss(loss))
        xp, y = self.all.xp, self.all.y
        ones = xp.ones(self.selection.out_shape, dtype=self.all.real, device=y.device)
        self.missing = 1 - self.selection.adjoint(ones)
        self.n_missing = float(xp.sum(self.missing))
        self.n_data = self.all.n_data - self.n_missing
        self.power = scalar(self.all.energy / self.n_data)
        rows = Separable(
            xp.ones((m,), dtype=self.all.real, device=y.device)
            if a is None
            else xp.sum(abs_squared(a), axis=1)
            for a, m in zip(self.all.matrices, self.all.out, strict=True)
        )
        self.gain = float(xp.sum(rows.full() * (1 - self.missing))) / self.n_data
        self.n_axes, first = len(self.all.sizes), len(problem.batch_shape)
        self.stack, self.probes = first, probes
        signs = random_signs(
            np.random.default_rng(_SEED),
            (probes, *self.all.out),
            self.all.is_complex,
            device_of(y),
        )
        shape = (*problem.batch_shape, *signs.shape)
        self.signs = xp.broadcast_to(xp.astype(signs, self.all.dtype), shape)
        self.tol = _TOL[real_dtype(problem.x_dtype).name]
        self._last: MissingDataMoments | None = None
        self.note = (
            f"{self.all.note}; {self.n_missing:g} of {self.all.n_data:g} data are "
            f"missing, their posterior by conjugate gradients and {probes} probes"
        )

    def moments(
        self, variance: Separable, noise: Any, warm: Any = None
    ) -> MissingDataMoments:
        """Return the moments; `warm`, leaves of moments before, is where CG starts."""
        start = (None, None) if warm is None else warm[1:]
        self._last = MissingDataMoments(self, variance.factors, noise, start)
        return self._last

    def restored(self, leaves: Any, noise: Any) -> MissingDataMoments:
        """Return the moments that gave these `leaves`."""
        if self._last is not None and self._last.__dict__.get("filling") is leaves[1]:
            return self._last
        now = MissingDataMoments(self, tuple(leaves[0]), noise, leaves[1:])
        now.__dict__["filling"], now.__dict__["errors"] = leaves[1:]
        return now

    def deviations(
        self, variance: Separable, noise: Any, rng: np.random.Generator, n: int
    ) -> Array:
        """Return `n` draws of x - μ: prior draws less their own posterior means."""
        engine, xp = self.all, self.all.xp
        now = MissingDataMoments(self, variance.factors, noise, (None, None))
        root, s = now.beside(xp.sqrt(variance.full())), now.beside(xp.sqrt(now.s2))
        done: list[Array] = []
        while len(done) < n:
            stack = (*engine.batch, min(self.probes, n - len(done)))
            x = root * engine.normal(rng, (*stack, *engine.sizes))
            data = engine.forward(x) + s * engine.normal(rng, (*stack, *engine.out))
            data = (1 - self.missing) * data
            data = data + now.completion(data, None, stacked=True)
            x = x - root * now.whitened(data)
            index = (slice(None),) * self.stack
            done += [x[(*index, j, ...)] for j in range(stack[-1])]
        return xp.stack(done)


class _Completed(KroneckerMoments):
    """Moments of data whose energy is not the engine's."""

    energy: Array

    @cached_property
    def _outside(self) -> Array:
        if self._unreached == 0:
            return 0 * self.energy
        inside = power(self.z, self.n)
        return array_namespace(self.z).clip(self.energy - inside, 0, None)


class MissingDataMoments:
    """Moments that are computed, and kept, once they are asked for."""

    def __init__(
        self, engine: MissingDataEngine, factors: Any, noise: Any, start: Any
    ) -> None:
        self.engine, self.factors, self.noise = engine, tuple(factors), noise
        self.start, self.n = start, engine.n_axes
        spectra = [engine.all.spectrum(k, g) for k, g in enumerate(self.factors)]
        self.left = [_hermitian(rows) for rows, *_ in spectra]
        self.spectra = tuple(tuple(part[1:]) for part in spectra)
        self.right = [v for _, v, _ in self.spectra]
        any_data = KroneckerMoments(engine.all, engine.all.y, self.spectra, noise)
        self.s2, self.total = any_data.noise, any_data.total
        self.root_power = any_data.root_power

    @property
    def leaves(self) -> tuple[Any, ...]:
        return self.factors, self.filling, self.errors

    @cached_property
    def filling(self) -> Array:
        """Posterior mean of the missing data, zero where there are data."""
        return self.completion(self.engine.all.y, self.start[0])

    @cached_property
    def errors(self) -> Array:
        """Draws of the missing data's posterior, over s and less their mean."""
        engine, xp = self.engine, self.engine.all.xp
        signs = engine.signs
        # s Q^1/2, as s^2 Q is I - U (P/D) U^H
        damping = 1 - self.beside(xp.sqrt(self.s2 / self.total))
        rhs = engine.missing * (signs - self._filtered(signs, damping, stacked=True))
        start = 0 * rhs if self.start[1] is None else self.start[1]
        return self._solve(rhs, start, _PROBE_TOL, stacked=True)

    def completion(
        self, data: Array, start: Array | None, *, stacked: bool = False
    ) -> Array:
        """Return the posterior mean of what is missing in `data`, zero elsewhere."""
        weight = self.root_power**2 / self.total
        weight = self.beside(weight) if stacked else weight
        rhs = self.engine.missing * self._filtered(data, weight, stacked=stacked)
        start = 0 * rhs if start is None else start
        return self._solve(rhs, start, self.engine.tol, stacked=stacked)

    def whitened(self, data: Array) -> Array:
        """Return the posterior mean over √γ from stacked completed data."""
        rows = [_hermitian(u) for u in self.left]
        z = self._modes(data, rows, stacked=True)
        z = z * self.beside(self.root_power / self.total)
        return self._modes(z, self.right, stacked=True)

    def posterior_of(self, data: Array) -> KroneckerMoments:
        """Return the moments of completed `data`, as if all had been measured."""
        z = self._modes(data, [_hermitian(u) for u in self.left], stacked=False)
        now = _Completed(self.engine.all, z, self.spectra, self.noise)
        now.energy = power(data, self.n)
        return now

    @cached_property
    def completed(self) -> KroneckerMoments:
        return self.posterior_of(self.engine.all.y + self.filling)

    @property
    def mean(self) -> Array:
        return self.completed.mean

    @property
    def whitened_power(self) -> Array:
        return self.completed.whitened_power

    @property
    def misfit(self) -> Any:
        return self.completed.misfit

    @property
    def unsure(self) -> Any:
        """As of `KroneckerMoments`."""
        return self.completed.unsure

    @cached_property
    def shrinkage(self) -> Array:
        return self.completed.shrinkage * (1 - self._lost)

    @cached_property
    def variance(self) -> Array:
        gamma = Separable(
            self.engine.all.xp.astype(g, self.engine.all.real) for g in self.factors
        ).full()
        return self.completed.variance + gamma * self.completed.shrinkage * self._lost

    @cached_property
    def freedom(self) -> Any:
        engine, xp = self.engine, self.engine.all.xp
        lost, kept = (power(a, self.n) for a in self._coordinates)
        lost, kept = (xp.mean(a, axis=-1) for a in (lost, kept))
        explained = engine.all.n_data - self.completed.freedom
        return scalar(engine.n_data - explained * (1 - _share(lost, kept)))

    @cached_property
    def evidence(self) -> Any:
        engine, xp = self.engine, self.engine.all.xp
        probes = engine.missing * engine.signs
        missing = trace_log(self._precision, probes, self.n)
        missing = to_device(np.asarray(missing), engine.all.place)
        s2 = xp.astype(self.s2, xp.float64)
        s2 = xp.reshape(s2, s2.shape[: s2.ndim - self.n])
        circle = math.log(math.pi if engine.all.is_complex else 2 * math.pi)
        more = missing - engine.n_missing * (circle + xp.log(s2))
        cost = more * (-1.0 if engine.all.is_complex else -0.5)
        return scalar(self.completed.evidence + cost)

    def marginals(self, axis: int, n_axes: int) -> tuple[Array, Array]:
        """Return whitened power and shrinkage summed over all axes but one."""
        xp, k = self.engine.all.xp, axis % n_axes
        found, expected = self.completed.marginals(axis, n_axes)
        only = [v if j == k else None for j, v in enumerate(self.right)]
        sums = []
        for part in self._coordinates:
            whole = abs_squared(self._modes(part, only, stacked=True))
            first = whole.ndim - self.n
            others = tuple(first + j for j in range(self.n) if j != k)
            rows = xp.sum(whole, axis=others) if others else whole
            sums.append(xp.mean(rows, axis=-2))
        return found, expected * (1 - _share(*sums))

    @cached_property
    def _lost(self) -> Array:
        """The share of each entry's shrinkage that the missing data would bring."""
        xp, axis = self.engine.all.xp, self.engine.stack
        lost, kept = (
            xp.mean(abs_squared(self._modes(a, self.right, stacked=True)), axis=axis)
            for a in self._coordinates
        )
        return _share(lost, kept)

    @cached_property
    def _coordinates(self) -> tuple[Array, Array]:
        """Coordinates of B^H Q d for what is missing and for what is there.

        Their powers' means estimate, along V, what is lost and what is kept.
        """
        xp = self.engine.all.xp
        rows = [_hermitian(u) for u in self.left]
        weight = self.beside(self.root_power / self.total)
        s = self.beside(xp.sqrt(self.s2))
        lost = s * weight * self._modes(self.errors, rows, stacked=True)
        whole = self._modes(self.engine.signs, rows, stacked=True)
        whole = whole * self.beside(self.root_power / xp.sqrt(self.total))
        return lost, whole - lost

    def _precision(self, x: Array, *, stacked: bool = True) -> Array:
        """Multiply by s^2 Q between missing data."""
        damping = self.root_power**2 / self.total
        damping = self.beside(damping) if stacked else damping
        return self.engine.missing * (x - self._filtered(x, damping, stacked=stacked))

    def _filtered(self, x: Array, weight: Array, *, stacked: bool) -> Array:
        """Multiply by U diag(weight) U^H."""
        z = self._modes(x, [_hermitian(u) for u in self.left], stacked=stacked)
        return self._modes(z * weight, self.left, stacked=stacked)

    def _solve(self, rhs: Array, start: Array, tol: float, *, stacked: bool) -> Array:
        return normal_cg(
            lambda x: self._precision(x, stacked=stacked),
            rhs,
            start,
            tol=tol,
            n_axes=self.n,
            advice=_ADVICE,
        )[0]

    def _modes(self, x: Array, matrices: list[Any], *, stacked: bool) -> Array:
        """Multiply every axis by its matrix; None leaves an axis as it is."""
        xp, dtype = self.engine.all.xp, self.engine.all.dtype
        places = [k for k, a in enumerate(matrices) if a is not None]
        for k in mode_order([tuple(matrices[k].shape[-2:]) for k in places]):
            a = xp.astype(matrices[places[k]], dtype)
            a = a[..., None, :, :] if stacked and a.ndim > 2 else a
            x = mode_product(xp, x, a, places[k], self.n)
        return x

    def beside(self, values: Array) -> Array:
        """Let an array with batch axes meet a stack of probes."""
        return values[(*(slice(None),) * (values.ndim - self.n), None, ...)]


def masked_parts(A: Operator) -> tuple[Operator, Operator] | None:
    """Return what selects the data, and the Kronecker product it selects from.

    None if `A` is no such thing.
    """
    if kronecker_parts(A) is not None:
        return Identity(A.out_shape), A
    if isinstance(A, Composition) and isinstance(A.outer, Mask):
        return None if kronecker_parts(A.inner) is None else (A.outer, A.inner)
    if isinstance(A, KroneckerOperators):
        left, right = masked_parts(A.left), masked_parts(A.right)
        if left is not None and right is not None:
            return kron(left[0], right[0]), kron(left[1], right[1])
    return None


def _hermitian(u: Array | None) -> Array | None:
    return None if u is None else hermitian(u)


def _share(lost: Array, kept: Array) -> Array:
    """Return lost / (lost + kept), zero where both are."""
    xp, total = array_namespace(lost), lost + kept
    return lost / xp.where(total > 0, total, xp.ones_like(total))
