"""The posterior under a Kronecker operator and separable variances."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from sparsesolve.backends import (
    Array,
    Shape,
    abs_squared,
    array_namespace,
    as_dtype,
    device_of,
    is_array,
    native_dtype,
    real_dtype,
    scalar,
    to_device,
    to_numpy,
)
from sparsesolve.mode_products import kronecker_parts, mode_product
from sparsesolve.operators.kronecker import mode_order
from sparsesolve.separable import Separable
from sparsesolve.solvers.dense_engine import first_variance
from sparsesolve.solvers.kronecker_compiled import CompiledMoments, compiled_moments
from sparsesolve.solvers.kronecker_moments import KroneckerMoments
from sparsesolve.solvers.posterior import hermitian

# Uᴴ, singular values and V of one factor (None for an identity), roots of variances.
_Spectrum = tuple[Array | None, Array, Array | None, Array]


class KroneckerEngine:
    """Posterior moments and draws, without ever forming the matrix or a covariance.

    With thin singular value decompositions Aₖ Γₖ^½ = Uₖ Sₖ Vₖᴴ, P the outer product of
    the squared singular values, Z = Y ×ₖ Uₖᴴ and D = s² + P, everything follows by
    products along one axis after the other: the mean is (√P Z/D) ×ₖ Γₖ^½ Vₖ, the
    shrinkage (P/D) ×ₖ |Vₖ|². Nothing is divided by a variance.

    Parameters
    ----------
    problem : Problem
        An operator that is a Kronecker product of matrices and identities (snapshots),
        a LeastSquares loss without weights, and a prior of separable variances.

    Attributes
    ----------
    power, gain, n_data, note
        As of `DenseEngine`.

    Notes
    -----
    For factors Mₖ x Nₖ, rₖ = min(Mₖ, Nₖ): the decompositions cost Σ Mₖ Nₖ rₖ, one for a
    factor whose variances have changed, the rest O(max(M, N) Σ max(Mₖ, Nₖ)), with
    memory O(M + N). Decompositions are in double precision, the rest is in that of
    the data.
    """

    def __init__(self, problem: Any) -> None:
        parts = kronecker_parts(problem.A)
        if parts is None:
            raise TypeError(
                f"{problem.A!r} is no Kronecker product of matrices and identities; "
                'use VariationalEM(engine="auto")'
            )
        if not isinstance(first_variance(problem), Separable):
            raise TypeError(
                f"prior is {problem.prior!r}, whose variances are not separable; use "
                'VariationalEM(engine="auto")'
            )
        if problem.loss.weights is not None:
            raise TypeError(
                "weights of single data entries leave no Kronecker structure; use "
                'VariationalEM(engine="auto")'
            )
        y = problem.loss.y
        xp = self.xp = array_namespace(y)
        self.batch, self.y, self.place = problem.batch_shape, y, device_of(y)
        self.is_complex = problem.x_dtype.kind == "c"
        self.dtype = native_dtype(xp, problem.x_dtype)
        self.real = native_dtype(xp, real_dtype(problem.x_dtype))
        self.double = xp.complex128 if self.is_complex else xp.float64
        self.matrices = tuple(
            None if isinstance(a, int) else xp.astype(a, self.double) for a in parts
        )
        self.sizes = tuple(a if isinstance(a, int) else a.shape[1] for a in parts)
        self.out = tuple(a if isinstance(a, int) else a.shape[0] for a in parts)
        self.out_lengths = np.array(self.out)
        self.n_data = float(math.prod(self.out))
        self.energy = xp.sum(abs_squared(y), axis=self.axes(y), dtype=xp.float64)
        self.power = scalar(self.energy / self.n_data)
        gains = (
            1.0 if a is None else float(xp.sum(abs_squared(a))) / a.shape[0]
            for a in self.matrices
        )
        self.gain = math.prod(gains)
        whole = self.place == "numpy" and not self.batch and self.dtype == self.double
        self.compiled = whole and all(a is not None for a in self.matrices)
        self.kind = CompiledMoments if self.compiled else KroneckerMoments
        if self.compiled:
            from sparsesolve.solvers import kronecker_kernels

            self.kernels, self.flat = kronecker_kernels, y.reshape(-1)
        self._known: list[tuple[Array, _Spectrum] | None] = [None] * len(parts)
        self._last: KroneckerMoments | None = None
        shapes = " x ".join(
            f"{m}x{n}" for m, n in zip(self.out, self.sizes, strict=True)
        )
        self.note = f"Kronecker, singular values of the factors {shapes}"

    def moments(
        self, variance: Separable, noise: Any, warm: Any = None
    ) -> KroneckerMoments:
        """Return the moments; `noise` is of batch shape, `warm` not needed here."""
        spectra = [self.spectrum(k, g) for k, g in enumerate(variance.factors)]
        if self.compiled:
            self._last = compiled_moments(self, spectra, noise)
            return self._last
        z = self._project(self.y, [s[0] for s in spectra])
        self._last = self.kind(self, z, tuple(s[1:] for s in spectra), noise)
        return self._last

    def restored(self, leaves: Any, noise: Any) -> KroneckerMoments:
        """Return the moments that gave these `leaves`."""
        z, spectra = leaves
        if self._last is not None and self._last.z is z:
            return self._last
        return self.kind(self, z, spectra, noise)

    def deviations(
        self, variance: Separable, noise: Any, rng: np.random.Generator, n: int
    ) -> Array:
        """Return `n` draws of x - μ: prior draws less their own posterior means."""
        xp = self.xp
        spectra = [self.spectrum(k, g) for k, g in enumerate(variance.factors)]
        root = xp.sqrt(variance.full())
        s = xp.sqrt(self.per_entry(noise))
        draws = []
        for _ in range(n):
            x = root * self.normal(rng, (*self.batch, *self.sizes))
            data = self.forward(x) + s * self.normal(rng, (*self.batch, *self.out))
            z = self._project(data, [s[0] for s in spectra])
            parts = tuple(part[1:] for part in spectra)
            draws.append(x - self.kind(self, z, parts, noise).mean)
        return xp.stack(draws)

    def forward(self, x: Array) -> Array:
        """Apply the operator."""
        for k, a in enumerate(self.matrices):
            if a is not None:
                x = mode_product(
                    self.xp, x, as_dtype(a, self.dtype), k, len(self.sizes)
                )
        return x

    def _project(self, y: Array, bases: list[Array | None]) -> Array:
        """Return Y ×ₖ Uₖᴴ, the modes in the order that costs least."""
        if self.compiled:
            rows = tuple(uh for uh in bases if uh is not None)
            z = self.kernels.multiply(y.reshape(-1), rows, self.out_lengths)
            return z.reshape([len(uh) for uh in rows])
        xp, n = self.xp, len(self.sizes)
        places = [k for k, uh in enumerate(bases) if uh is not None]
        matrices = [as_dtype(uh, self.dtype) for uh in bases if uh is not None]
        for i in mode_order([tuple(uh.shape[-2:]) for uh in matrices]):
            y = mode_product(xp, y, matrices[i], places[i], n)
        return y

    def spectrum(self, k: int, g: Array) -> _Spectrum:
        """Return Uᴴ, singular values, V and the roots of the variances of one factor.

        Uᴴ and V are None for an identity. The last one is remembered: updates of the
        variances go factor by factor.
        """
        known = self._known[k]
        if known is not None and known[0] is g:
            return known[1]
        found = self._decompose(self.matrices[k], g)
        self._known[k] = g, found
        return found

    def _decompose(self, a: Array | None, g: Array) -> _Spectrum:
        xp = self.xp
        if a is not None and self.compiled:
            shared = g.size == 1 < a.shape[1]
            g = np.repeat(g, a.shape[1]) if shared else g
            uh, s, v, root = self.kernels.decompose(a, g)
            return uh, s, v, root
        root = xp.sqrt(g)
        if a is None:
            return None, root, None, root
        root = xp.broadcast_to(root, (*g.shape[:-1], a.shape[1]))
        kept = None if self.batch else np.flatnonzero(to_numpy(root))
        if kept is None or kept.size in (0, root.shape[-1]):
            scaled = a * as_dtype(root, self.double)[..., None, :]
            u, s, vh = xp.linalg.svd(scaled, full_matrices=False)
            v = hermitian(vh)
            # row by row, as a checkpoint brings it back: the same sums, bit for bit
            v = xp.reshape(xp.reshape(v, (-1,)), v.shape)
            return hermitian(u), s, v, root
        here = to_device(kept, self.place)
        scaled = xp.take(a, here, axis=1) * as_dtype(xp.take(root, here), self.double)
        u, s, vh = xp.linalg.svd(scaled, full_matrices=False)
        rows = np.full(root.shape[-1], kept.size)
        rows[kept] = np.arange(kept.size)
        v = hermitian(vh)
        padded = xp.concat([v, xp.zeros_like(v[:1, :])])
        return (
            hermitian(u),
            s,
            xp.take(padded, to_device(rows, self.place), axis=0),
            root,
        )

    def axes(self, x: Array) -> tuple[int, ...]:
        """Return the axes of one problem."""
        return tuple(range(x.ndim - len(self.sizes), x.ndim))

    def per_entry(self, value: Any) -> Array:
        """Let a number or an array of batch shape meet the entries of a problem."""
        if not is_array(value):
            value = to_device(np.asarray(value, np.float64), self.place)
        value = self.xp.reshape(value, (*value.shape, *(1,) * len(self.sizes)))
        return as_dtype(value, self.real)

    def normal(self, rng: np.random.Generator, shape: Shape) -> Array:
        """Draw standard normal numbers, E|.|² = 1."""
        draw = rng.standard_normal(shape)
        if self.is_complex:
            draw = (draw + 1j * rng.standard_normal(shape)) / math.sqrt(2)
        return self.xp.astype(to_device(draw, self.place), self.dtype)
