"""Kronecker posteriors of one problem in NumPy, by compiled kernels."""

from __future__ import annotations

import math
from functools import cached_property
from typing import Any

import numpy as np

from sparsesolve.backends import Array
from sparsesolve.solvers.kronecker_moments import KroneckerMoments


def compiled_moments(engine: Any, spectra: Any, noise: Any) -> CompiledMoments:
    """Return the moments for these spectra, their data and weights in one call."""
    bases, values, _, _ = zip(*spectra, strict=True)
    z, passed = engine.kernels.projected(
        engine.flat, bases, engine.out_lengths, values, float(noise)
    )
    z = z.reshape([s.size for s in values])
    now = CompiledMoments(engine, z, tuple(s[1:] for s in spectra), noise)
    now._passed = passed
    return now


class CompiledMoments(KroneckerMoments):
    """The same moments, their arrays and sums made in one pass."""

    @cached_property
    def _passed(self) -> Any:
        values = tuple(s for s, _, _ in self.spectra)
        return self.engine.kernels.weights(
            self.z.reshape(-1), values, float(self.noise_variance)
        )

    @cached_property
    def mean(self) -> Array:
        roots = tuple(root for _, _, root in self.spectra)
        whitened = self.whitened.reshape(-1)
        scaled = self.engine.kernels.scaled(whitened, roots)
        return scaled.reshape(self.engine.sizes)

    @cached_property
    def whitened(self) -> Array:
        bases = tuple(v for _, v, _ in self.spectra)
        sizes = np.array(self.z.shape)
        flat = self.engine.kernels.multiply(self._passed[0], bases, sizes)
        return flat.reshape(self.engine.sizes)

    @cached_property
    def evidence(self) -> float:
        engine, s2 = self.engine, float(self.noise_variance)
        logs = engine.kernels.sum_of_logs(tuple(s for s, _, _ in self.spectra), s2)
        quadratic = self._passed[2][0]
        circle = math.log(math.pi if engine.is_complex else 2 * math.pi)
        cost = engine.n_data * circle + logs + self._unreached * math.log(s2)
        cost = cost + quadratic + float(self._outside) / s2
        return float(cost * (-1.0 if engine.is_complex else -0.5))

    @cached_property
    def misfit(self) -> float:
        return float(self._passed[2][1] + self._outside)

    @cached_property
    def freedom(self) -> float:
        return float(self._unreached + self._passed[2][2])

    @cached_property
    def _outside(self) -> Any:
        if self._unreached == 0:
            return 0.0
        return max(float(self.engine.energy) - self._passed[2][3], 0.0)

    def marginals(self, axis: int, n_axes: int) -> tuple[Array, Array]:
        k = axis % n_axes
        weighted, share, _ = self._passed
        before = math.prod(self.z.shape[:k])
        v = self.spectra[k][1]
        found, expected = self.engine.kernels.marginals(weighted, share, v, before)
        return found, expected
