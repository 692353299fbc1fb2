"""The moments of a posterior under a Kronecker operator, computed when asked for."""

from __future__ import annotations

import math
from functools import cached_property
from typing import Any

import numpy as np

from sparsesolve.backends import Array, abs_squared, as_dtype, scalar, to_numpy
from sparsesolve.mode_products import mode_product
from sparsesolve.operators.kronecker import mode_order
from sparsesolve.separable import Separable, along


class KroneckerMoments:
    """Moments that are computed, and kept, once they are asked for."""

    def __init__(self, engine: Any, z: Array, spectra: Any, noise: Any) -> None:
        self.engine, self.z, self.spectra = engine, z, tuple(spectra)
        self.n = len(engine.sizes)
        self.leaves = z, self.spectra
        self.noise_variance = noise

    @cached_property
    def noise(self) -> Array:
        """s², ready to meet the entries."""
        return self.engine.per_entry(self.noise_variance)

    @cached_property
    def root_power(self) -> Array:
        """√P, with length 1 along identities of equal variances."""
        real = self.engine.real
        return Separable(as_dtype(s, real) for s, _, _ in self.spectra).full()

    @cached_property
    def total(self) -> Array:
        """D = s² + P."""
        return self.noise + self.root_power**2

    @cached_property
    def mean(self) -> Array:
        whitened = self.whitened
        for k, (_, _, root) in enumerate(self.spectra):
            whitened = whitened * along(self._real(root), k, self.n)
        return whitened

    @cached_property
    def whitened(self) -> Array:
        """μ/√γ."""
        return self._expand(self._weighted(), lambda v: v)

    @cached_property
    def whitened_power(self) -> Array:
        return abs_squared(self.whitened)

    @cached_property
    def shrinkage(self) -> Array:
        power = self.root_power**2 / self.total
        return self._full(self._expand(power, abs_squared))

    @cached_property
    def variance(self) -> Array:
        # 1 - shrinkage without cancelling where the data say much
        slack = self._expand(self.noise / self.total, abs_squared) + self._unseen()
        gamma = Separable(self._real(root) ** 2 for _, _, root in self.spectra).full()
        return self._full(gamma * slack)

    @cached_property
    def evidence(self) -> Any:
        xp, engine = self.engine.xp, self.engine
        log_det = self._sum(xp.log(self.total)) + self._unreached * xp.log(self._s2)
        quadratic = (
            self._sum(abs_squared(self.z) / self.total) + self._outside / self._s2
        )
        circle = math.log(math.pi if engine.is_complex else 2 * math.pi)
        cost = engine.n_data * circle + log_det + quadratic
        return scalar(cost * (-1.0 if engine.is_complex else -0.5))

    @cached_property
    def misfit(self) -> Any:
        inside = self._sum(abs_squared(self.z) * (self.noise / self.total) ** 2)
        return scalar(inside + self._outside)

    @cached_property
    def freedom(self) -> Any:
        # not n_data less what is explained: single precision would leave nothing of it
        return scalar(self._sum(self.noise / self.total) + self._unreached)

    def marginals(self, axis: int, n_axes: int) -> tuple[Array, Array]:
        """Return whitened power and shrinkage summed over all axes but one.

        The other axes' V have orthonormal columns, so they need not be applied.
        """
        xp, k = self.engine.xp, axis % n_axes
        (_, v, _), weighted = self.spectra[k], self._weighted()
        power = self.root_power**2 / self.total
        if v is not None:
            weighted = mode_product(xp, weighted, self._cast(v), k, self.n)
        found = self._sum_others(abs_squared(weighted), k)
        expected = self._sum_others(power, k)
        if v is not None:
            rows = self._real(abs_squared(v))
            expected = (rows @ expected[..., None])[..., 0]
        return found, expected

    @property
    def unsure(self) -> Any:
        """Along which axes more entries are left than half as many as the data have.

        Booleans, (*batch, axes). Fewer would be the only sparse explanation (Donoho and
        Elad, PNAS 100(5), 2003).
        """
        sizes = zip(self.engine.out, self.engine.sizes, self.spectra, strict=True)
        return np.stack(
            [
                np.sum(to_numpy(root) > 0, axis=-1) > (m / 2 if m < n else n)
                for m, n, (_, _, root) in sizes
            ],
            axis=-1,
        )

    @cached_property
    def _s2(self) -> Array:
        xp = self.engine.xp
        flat = xp.reshape(self.noise, self.noise.shape[: self.noise.ndim - self.n])
        return as_dtype(flat, xp.float64)

    @cached_property
    def _outside(self) -> Array:
        """Energy of the data that no x reaches."""
        xp, engine = self.engine.xp, self.engine
        if self._unreached == 0:
            return xp.zeros_like(engine.energy)
        inside = xp.sum(abs_squared(self.z), axis=engine.axes(self.z), dtype=xp.float64)
        return xp.clip(engine.energy - inside, 0, None)

    @property
    def _unreached(self) -> float:
        n_batch = len(self.engine.batch)
        return float(self.engine.n_data - math.prod(self.z.shape[n_batch:]))

    def _unseen(self) -> Any:
        """1 - ⊗ Σ|Vₖ|², the share of each variance that no data reach.

        Factor by factor, each complement taken in double precision: of the product,
        single precision would leave nothing where it is close to one.
        """
        xp = self.engine.xp
        seen: Any = 1.0
        unseen: Any = 0.0
        for k, (_, v, _) in enumerate(self.spectra):
            if v is not None:
                share = xp.sum(abs_squared(v), axis=-1)
                rest = self._real(xp.clip(1 - share, 0, None))
                unseen = unseen + seen * along(rest, k, self.n)
                seen = seen * along(self._real(share), k, self.n)
        return unseen

    def _weighted(self) -> Array:
        return self.z * (self.root_power / self.total)

    def _expand(self, values: Array, act: Any) -> Array:
        """Multiply all modes by `act` of V."""
        shapes = [
            (n, n) if v is None else tuple(v.shape[-2:])
            for n, (_, v, _) in zip(self.engine.sizes, self.spectra, strict=True)
        ]
        for k in mode_order(shapes):
            v = self.spectra[k][1]
            if v is not None:
                matrix = as_dtype(act(v), values.dtype)
                values = mode_product(self.engine.xp, values, matrix, k, self.n)
        return values

    def _sum(self, values: Array) -> Array:
        """Sum over all data entries, shared ones as often as they stand for."""
        xp, engine = self.engine.xp, self.engine
        n_batch = len(engine.batch)
        times = math.prod(self.z.shape[n_batch:]) / math.prod(
            values.shape[values.ndim - self.n :]
        )
        return times * xp.sum(values, axis=engine.axes(values), dtype=xp.float64)

    def _sum_others(self, values: Array, k: int) -> Array:
        n_batch = values.ndim - self.n
        others = tuple(n_batch + j for j in range(self.n) if j != k)
        times = math.prod(
            self.z.shape[len(self.engine.batch) + j] / values.shape[n_batch + j]
            for j in range(self.n)
            if j != k
        )
        return times * self.engine.xp.sum(values, axis=others)

    def _full(self, values: Array) -> Array:
        shape = (*self.engine.batch, *self.engine.sizes)
        return self.engine.xp.broadcast_to(values, shape)

    def _real(self, values: Array) -> Array:
        return as_dtype(values, self.engine.real)

    def _cast(self, values: Array) -> Array:
        return as_dtype(values, self.engine.dtype)
