"""The posterior under any linear operator, by conjugate gradients and probing."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from sparsesolve import memory
from sparsesolve.backends import (
    Array,
    array_namespace,
    device_of,
    is_array,
    native_dtype,
    real_dtype,
    scalar,
    to_device,
    where,
)
from sparsesolve.separable import Separable
from sparsesolve.solvers.cg_moments import ConjugateGradientMoments
from sparsesolve.solvers.posterior import power
from sparsesolve.solvers.stochastic_lanczos import random_signs

_SEED = 7
_TOL = {"float32": 1e-5, "float64": 1e-9}
_LEADING = 256
_LEADING_ENTRIES = 2**25


class ConjugateGradientEngine:
    """Posterior moments and draws from products with A and Aᴴ alone.

    With B = W^½ A Γ^½ and S = s²I + B Bᴴ, the mean is Γ^½ Bᴴ S⁻¹ y. What needs more
    than products, the diagonal of Bᴴ S⁻¹ B (`shrinkage`), tr S⁻¹ and log|S|, is
    estimated from simulated data d = B e₁ + s e₂ with fixed random signs e:
    |Bᴴ S⁻¹ d|² has the mean `shrinkage`, |e₁ - Bᴴ S⁻¹ d|² one minus it, so that their
    shares estimate both within (0, 1); log|S| follows by Lanczos quadrature. The signs
    being always the same, all is deterministic, and differences between nearby
    variances are far more exact than values.

    Conjugate gradients are preconditioned by the entries of largest variance once
    these hold half of all; when no others are left, nothing is estimated any more.

    Parameters
    ----------
    problem : Problem
        One array unknown, a LeastSquares loss, a hierarchical prior.
    probes : int
        Number of simulated data sets.

    Attributes
    ----------
    power, gain, n_data, note
        As of `DenseEngine`, but `gain` is estimated.

    Raises
    ------
    MemoryError
        The probes would not fit.

    Notes
    -----
    A shrinkage l has a standard error of about 2 l (1 - l) / √probes, √2 less if
    complex. A posterior costs (probes + 1) products with A and Aᴴ for each iteration
    of conjugate gradients and for each Lanczos step. It is computed in the precision
    of the data: in single precision, the condition number of S, about the ratio of
    signal to noise power, has to stay far below 1e7. A real unknown under complex data
    sees them as twice as many real ones.

    References
    ----------
    Bekas, Kokiopoulou and Saad, Applied Numerical Mathematics 57, 2007 (diagonals);
    Papandreou and Yuille, "Efficient variational inference in large-scale Bayesian
    compressed sensing", ICCV Workshops 2011 (perturbed data).
    """

    def __init__(self, problem: Any, probes: int = 32) -> None:
        A, y, weights = problem.A, problem.loss.y, problem.loss.weights
        xp = self.xp = array_namespace(y)
        self.A, self.batch, self.place = A, problem.batch_shape, device_of(y)
        self.device = y.device
        self.stack, self.probes = len(self.batch), probes
        self.is_complex = problem.x_dtype.kind == "c"
        self.dtype = native_dtype(xp, problem.x_dtype)
        self.real = native_dtype(xp, real_dtype(problem.x_dtype))
        self.data_complex = self.is_complex or A.takes_real
        self.data_dtype = y.dtype
        self.double = xp.complex128 if self.data_complex else xp.float64
        self.n_in, self.n_out = len(A.in_shape), len(A.out_shape)
        self.tol = _TOL[real_dtype(problem.x_dtype).name]
        self._check_memory()
        # Re and Im are real data of half the variance each: weights of two.
        self.per_entry = 2.0 if A.takes_real else 1.0
        self._set_weights(weights)
        self.y = self.beside(self.half * y)
        rng = np.random.default_rng(_SEED)
        shapes = (probes, *A.in_shape), (probes, *A.out_shape)
        first, second = (
            random_signs(rng, shape, is_complex, self.place)
            for shape, is_complex in zip(
                shapes, (self.is_complex, self.data_complex), strict=True
            )
        )
        self.unknown_signs = xp.astype(first, self.dtype)
        second = second * math.sqrt(self.per_entry)
        self.data_signs = xp.astype(second, self.data_dtype) * self.beside(self.used)
        rows = where(self.n_data > 0, self.n_data, 1.0)
        self.power = scalar(power(self.y, self.n_out + 1) / rows)
        images = self.beside(self.half) * A.forward(self.unknown_signs)
        gain = xp.mean(power(images, self.n_out), axis=-1) / rows
        self.gain = scalar(xp.broadcast_to(gain, self.batch))
        self._columns: tuple[Any, Array] | None = None
        self._last: ConjugateGradientMoments | None = None
        self.note = (
            f"conjugate gradients to {self.tol:g} and {probes} probes, preconditioned "
            f"by at most {self.most_leading} leading entries"
        )

    def moments(
        self, variance: Any, noise: Any, warm: Any = None
    ) -> ConjugateGradientMoments:
        """Return the moments; `warm`, leaves of moments before, is where CG starts."""
        if isinstance(variance, Separable):
            variance = variance.full()
        shape = (*self.batch, *self.A.in_shape)
        gamma = self.xp.broadcast_to(variance, shape)
        start = (None, None) if warm is None else warm[1:]
        self._last = ConjugateGradientMoments(self, gamma, noise, start)
        return self._last

    def restored(self, leaves: Any, noise: Any) -> ConjugateGradientMoments:
        """Return the moments that gave these `leaves`."""
        if self._last is not None and self._last.__dict__.get("weights") is leaves[1]:
            return self._last
        now = ConjugateGradientMoments(self, leaves[0], noise, leaves[1:])
        now.__dict__["weights"], now.__dict__["draws"] = leaves[1:]
        return now

    def deviations(
        self, variance: Any, noise: Any, rng: np.random.Generator, n: int
    ) -> Array:
        """Return `n` draws of x - μ: prior draws less their own posterior means."""
        now, xp = self.moments(variance, noise), self.xp
        done: list[Array] = []
        while len(done) < n:
            some = min(self.probes, n - len(done))
            e = self._normal(rng, (*self.batch, some, *self.A.in_shape), self.dtype)
            noisy = self._normal(
                rng, (*self.batch, some, *self.A.out_shape), self.data_dtype
            )
            d = now.simulated(e, math.sqrt(self.per_entry) * noisy)
            error = now.root * (e - now.adjoint(now.solve(d, None, self.tol)))
            done += [error[(*(slice(None),) * self.stack, j, ...)] for j in range(some)]
        return xp.stack(done)

    @property
    def most_leading(self) -> int:
        """Number of leading entries whose images fit well into memory."""
        (m, n), problems = self.A.shape, math.prod(self.batch)
        return int(max(1, min(_LEADING, n, _LEADING_ENTRIES // (m * problems))))

    def images(self, kept: Any) -> Array:
        """Return W^½ A of unit vectors, (*batch, r, M), in double precision.

        The last ones are remembered: the leading entries seldom change.
        """
        if self._columns is None or not np.array_equal(self._columns[0], kept):
            xp = self.xp
            units = np.zeros((kept.size, math.prod(self.A.in_shape)))
            units[np.arange(kept.size), kept] = 1
            x = xp.astype(to_device(units, self.place), self.dtype)
            images = self.A.forward(xp.reshape(x, (kept.size, *self.A.in_shape)))
            images = self.beside(self.half) * images
            flat = xp.reshape(images, (*images.shape[: images.ndim - self.n_out], -1))
            self._columns = kept, xp.astype(flat, self.double)
        return self._columns[1]

    def full(self, value: Any, dtype: Any) -> Array:
        """Return a number or an array as an array of batch shape."""
        xp = self.xp
        if not is_array(value):
            return xp.full(self.batch, value, dtype=dtype, device=self.device)
        return xp.broadcast_to(xp.astype(value, dtype), self.batch)

    def _set_weights(self, weights: Any) -> None:
        xp, y_shape = self.xp, self.A.out_shape
        if weights is None:
            weights = xp.ones(y_shape, dtype=self.real, device=self.device)
        weights = xp.broadcast_to(
            weights, xp.broadcast_shapes(tuple(weights.shape), y_shape)
        )
        used = weights > 0
        self.used = xp.astype(used, self.real)
        self.half = xp.astype(xp.sqrt(self.per_entry * weights), self.real)
        double = xp.astype(xp.where(used, self.per_entry * weights, 1.0), xp.float64)
        axes = tuple(range(weights.ndim - self.n_out, weights.ndim))
        count = xp.sum(xp.astype(used, xp.float64), axis=axes)
        self.n_data = scalar(self.per_entry * self.full(count, xp.float64))
        self.log_weights = self.per_entry * xp.sum(xp.log(double), axis=axes)

    def beside(self, values: Array) -> Array:
        """Let data with batch axes, or without, meet a stack of probes."""
        first = values.ndim - self.n_out
        return values[(*(slice(None),) * first, None, ...)]

    def _normal(self, rng: np.random.Generator, shape: Any, dtype: Any) -> Array:
        """Draw standard normal numbers, E|.|² = 1."""
        draw: Any = rng.standard_normal(shape)
        if dtype in (self.xp.complex64, self.xp.complex128):
            draw = (draw + 1j * rng.standard_normal(shape)) / math.sqrt(2)
        return self.xp.astype(to_device(draw, self.place), dtype)

    def _check_memory(self) -> None:
        m, n = self.A.shape
        problems = math.prod(self.batch)
        entries = problems * (self.probes + 1) * (8 * m + 4 * n)
        memory.enough(
            f"VariationalEM with {self.probes} probes of {self.A!r}",
            entries * (16 if self.data_complex else 8),
            "fewer probes, a smaller unknown or a smaller batch would fit",
        )
