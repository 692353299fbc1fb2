"""Moments by conjugate gradients and probing, computed when they are asked for."""

from __future__ import annotations

import math
from functools import cached_property
from typing import Any, cast

from sparsesolve.backends import (
    Array,
    abs_squared,
    expand,
    inner,
    scalar,
    to_device,
)
from sparsesolve.conjugate_gradients import normal_cg
from sparsesolve.solvers.leading_entries import LeadingEntries, leading, spread
from sparsesolve.solvers.posterior import Moments, power
from sparsesolve.solvers.stochastic_lanczos import trace_log

_PROBE_TOL = 1e-4
_MAX_ITER = 2000
_LEADING_SHARE = 0.5
_ADVICE = (
    "the noise variance is small beside what so many prior variances explain; give "
    'VariationalEM a larger noise_variance or noise_floor, or engine="dense"'
)


class ConjugateGradientMoments:
    """Moments that are computed, and kept, once they are asked for."""

    def __init__(self, engine: Any, gamma: Array, noise: Any, start: Any) -> None:
        xp = engine.xp
        self.engine, self.gamma, self.start = engine, gamma, start
        self.s2 = engine.full(noise, xp.float64)
        root = xp.astype(xp.sqrt(gamma), engine.real)
        self.root = root[(*(slice(None),) * engine.stack, None, ...)]
        self.noise = xp.astype(self.s2, engine.real)[..., None]

    @property
    def leaves(self) -> tuple[Any, ...]:
        return self.gamma, self.weights, self.draws

    @cached_property
    def weights(self) -> Array:
        """S⁻¹ y, (*batch, 1, ...)."""
        return self.solve(self.engine.y, self.start[0], self.engine.tol)

    @cached_property
    def draws(self) -> Array:
        """S⁻¹ of the simulated data."""
        data = self.simulated(self.engine.unknown_signs, self.engine.data_signs)
        return self.solve(data, self.start[1], _PROBE_TOL)

    @cached_property
    def whitened(self) -> Array:
        return self.adjoint(self.weights)

    @cached_property
    def mean(self) -> Array:
        return self._first(self.root * self.whitened)

    @cached_property
    def whitened_power(self) -> Array:
        return self._first(abs_squared(self.whitened))

    @property
    def shrinkage(self) -> Array:
        return self._shares[0]

    @cached_property
    def variance(self) -> Array:
        return self.gamma * self._shares[1]

    @cached_property
    def misfit(self) -> Any:
        residual = power(self.weights, self.engine.n_out)[..., 0]
        return scalar(self.s2**2 * self._double(residual))

    @cached_property
    def freedom(self) -> Any:
        engine, xp = self.engine, self.engine.xp
        if self._is_whole:
            axes = tuple(range(engine.stack, self.shrinkage.ndim))
            explained = xp.sum(self._double(self.shrinkage), axis=axes)
            return scalar(engine.n_data - explained)
        return scalar(
            self.s2 * xp.mean(self._double(power(self.draws, engine.n_out)), axis=-1)
        )

    @cached_property
    def evidence(self) -> Any:
        engine, xp = self.engine, self.engine.xp
        quadratic = self._double(inner(engine.y, self.weights, engine.n_out)[..., 0])
        log_det = engine.n_data * xp.log(self.s2)
        if self._leading is not None:
            log_det = log_det + self._leading[0].log_det
        if not self._is_whole:
            shape = (*engine.batch, *engine.data_signs.shape[-1 - engine.n_out :])
            signs = xp.broadcast_to(engine.data_signs, shape)
            rest = trace_log(self._reduced, signs, engine.n_out)
            log_det = log_det + to_device(rest, engine.place)
        circle = math.log(math.pi if engine.is_complex else 2 * math.pi)
        cost = engine.n_data * circle + log_det - engine.log_weights + quadratic
        return scalar(cost * (-1.0 if engine.is_complex else -0.5))

    @property
    def unsure(self) -> bool:
        """Of no axis is it known whether its entries are the only explanation."""
        return False

    def marginals(self, axis: int, n_axes: int) -> tuple[Array, Array]:
        """Return whitened power and shrinkage summed over all axes but one."""
        return Moments.marginals(cast(Any, self), axis, n_axes)

    def adjoint(self, u: Array) -> Array:
        """Return Bᴴ u."""
        engine = self.engine
        return self.root * engine.A.adjoint(engine.beside(engine.half) * u)

    def simulated(self, e: Array, noise: Array) -> Array:
        """Return data of a whitened unknown and noise of unit variances."""
        s = expand(self.engine.xp.sqrt(self.noise), self.engine.n_out)
        return self._forward(e) + s * self.engine.beside(self.engine.used) * noise

    def solve(self, data: Array, start: Array | None, tol: float) -> Array:
        """Return S⁻¹ of stacked data."""
        precondition = None if self._leading is None else self._precondition
        return normal_cg(
            self._covariance,
            data,
            0 * data if start is None else start,
            tol=tol,
            max_iter=_MAX_ITER,
            n_axes=self.engine.n_out,
            precondition=precondition,
            advice=_ADVICE,
        )[0]

    @cached_property
    def _leading(self) -> tuple[LeadingEntries, Any, bool] | None:
        engine, xp = self.engine, self.engine.xp
        gamma = xp.reshape(self.gamma, (*engine.batch, -1))
        found = leading(gamma, engine.most_leading, _LEADING_SHARE)
        if found is None:
            return None
        kept, whole = found
        root = xp.sqrt(xp.take(gamma, to_device(kept, engine.place), axis=-1))
        images = engine.images(kept) * self._double(root)[..., None]
        few = LeadingEntries(images, self.s2, real=not engine.is_complex)
        return few, kept, whole

    @property
    def _is_whole(self) -> bool:
        return self._leading is not None and self._leading[2]

    @cached_property
    def _shares(self) -> tuple[Array, Array]:
        """The shrinkage and one minus it."""
        engine, xp = self.engine, self.engine.xp
        if self._leading is not None and self._leading[2]:
            few, kept, _ = self._leading
            n = math.prod(engine.A.in_shape)
            shape = (*engine.batch, *engine.A.in_shape)
            found, slack = (
                xp.astype(spread(v, kept, n, fill, engine.place), engine.real)
                for v, fill in zip(few.shares(), (0.0, 1.0), strict=True)
            )
            return xp.reshape(found, shape), xp.reshape(slack, shape)
        mean = self.adjoint(self.draws)
        found = xp.mean(abs_squared(mean), axis=engine.stack)
        slack = xp.mean(abs_squared(engine.unknown_signs - mean), axis=engine.stack)
        total = found + slack
        return found / total, slack / total

    def _forward(self, x: Array) -> Array:
        engine = self.engine
        return engine.beside(engine.half) * engine.A.forward(self.root * x)

    def _covariance(self, u: Array) -> Array:
        s2 = expand(self.noise, self.engine.n_out)
        return s2 * u + self._forward(self.adjoint(u))

    def _precondition(self, u: Array) -> Array:
        assert self._leading is not None
        return self._on_rows(self._leading[0].inverse, u)

    def _reduced(self, u: Array) -> Array:
        """Multiply by S/s² between two square roots of the preconditioner."""
        s2 = expand(self.noise, self.engine.n_out)
        if self._leading is None:
            return self._covariance(u) / s2
        root = self._leading[0].root_inverse
        return self._on_rows(root, self._covariance(self._on_rows(root, u)) / s2)

    def _on_rows(self, act: Any, u: Array) -> Array:
        xp = self.engine.xp
        rows = xp.reshape(u, (*u.shape[: u.ndim - self.engine.n_out], -1))
        return xp.reshape(act(rows), u.shape)

    def _first(self, x: Array) -> Array:
        return x[(*(slice(None),) * self.engine.stack, 0, ...)]

    def _double(self, x: Array) -> Array:
        return self.engine.xp.astype(x, self.engine.xp.float64, copy=False)
