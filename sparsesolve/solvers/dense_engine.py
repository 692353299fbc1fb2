"""The posterior of a least-squares problem from its operator's dense matrix."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from sparsesolve import memory
from sparsesolve.backends import (
    Array,
    Shape,
    abs_squared,
    array_namespace,
    conj,
    device_of,
    is_array,
    native_dtype,
    real_dtype,
    scalar,
    to_device,
    to_numpy,
)
from sparsesolve.operators.base import Operator
from sparsesolve.operators.diagonal import Identity
from sparsesolve.operators.kronecker import KroneckerOperators
from sparsesolve.solvers.posterior import (
    Moments,
    Tall,
    Wide,
    factorisation,
    hermitian,
    power,
)

_BLOCK = 2**22


class DenseEngine:
    """Posterior moments and draws under given prior variances and noise.

    Where the operator is ``kron`` of something with `Identity` in front or behind
    (snapshots), only that something becomes a matrix; where moreover the variances are
    tied over the snapshots and the weights do not differ between them, all snapshots
    share one factorisation.

    Parameters
    ----------
    problem : Problem
        One array unknown, a LeastSquares loss, a hierarchical prior.

    Attributes
    ----------
    power : float or array of batch shape
        Mean of w|y|² over the data entries of positive weight.
    gain : float or array of batch shape
        Mean over these entries of Σ w|A|², so that unit variances give that power.
    n_data : float or array of batch shape
        Number of these entries; twice that if they are complex and the unknown real.
    note : str
        One line on what is factorised.

    Raises
    ------
    MemoryError
        Matrix and factorisation would not fit; predicted before allocation.

    Notes
    -----
    With M data entries and N variances above zero, a posterior costs about 4 r² q
    operations, r = min(M, N), q = max(M, N), for each problem of a batch. Where A has
    fewer columns than rows, the data are compressed, once, to as many as the columns.
    A real unknown under complex data sees them as twice as many real ones.

    All of it is done in double precision: the condition number of S is about the ratio
    of signal to noise power, which single precision does not hold beyond 60 dB.
    """

    def __init__(self, problem: Any) -> None:
        A, self.front, self.back = _without_snapshots(problem.A)
        self.batch, self.core = problem.batch_shape, A.in_shape
        y, weights = problem.loss.y, problem.loss.weights
        xp = self.xp = array_namespace(y)
        self.is_complex = problem.x_dtype.kind == "c"
        self.dtype = native_dtype(xp, problem.x_dtype)
        self.real = native_dtype(xp, real_dtype(problem.x_dtype))
        self.double = xp.complex128 if self.is_complex else xp.float64
        self.device = y.device
        y = self._rows(y)
        weights = None if weights is None else self._rows(weights)
        self.shared = self._is_shared(problem, weights)
        self.columns = y.shape[-2] if self.shared else 1
        self.lead: Shape = self.batch if self.shared else tuple(y.shape[:-1])
        self._check_memory(A, weights)

        images = _unit_images(A, xp, problem.x_dtype, device_of(y))
        if A.takes_real:
            # Re and Im are real data of half the variance each: weights of two.
            twice = xp.full((A.shape[0],), 2.0, dtype=self.real, device=self.device)
            weights = twice if weights is None else 2 * weights
            images, y = _parts_beside(images), _parts_beside(y)
            weights = xp.concat([weights, weights], axis=-1)
        weights = None if weights is None else xp.astype(weights, xp.float64)
        adjoint = xp.astype(conj(images), self.double)
        self._set_data(adjoint, xp.astype(y, self.double), weights)
        m, n = A.shape
        self.note = f"dense, Cholesky of order {min(m, n)} at most for each posterior"

    def _set_data(self, adjoint: Array, y: Array, weights: Array | None) -> None:
        """Whiten, measure and compress: white noise and min(M, N) rows remain."""
        xp = self.xp
        n_rows, log_weights = self._lead(float(y.shape[-1])), self._lead(0.0)
        if weights is not None:
            weights = self._joined(weights)
            used = weights > 0
            n_rows = self._lead(xp.sum(xp.astype(used, xp.float64), axis=-1))
            logs = xp.log(xp.where(used, weights, xp.ones_like(weights)))
            log_weights = self._lead(xp.sum(logs, axis=-1))
            root = xp.sqrt(weights)
            adjoint = adjoint * root[..., None, :]
            y = y * (root[..., None, :] if self.shared and root.ndim > 1 else root)
        y = xp.matrix_transpose(y) if self.shared else y[..., None]
        self.n_rows, self.log_weights = n_rows, log_weights
        energy = power(y, 2)
        self.n_data = self._per_problem(n_rows * self.columns)
        self.power = self._per_problem(energy) / self.n_data
        size = self._lead(power(adjoint, 2)) * self.columns
        self.gain = self._per_problem(size) / self.n_data
        self.outside = energy * 0
        if adjoint.shape[-2] < adjoint.shape[-1]:
            q, r = xp.linalg.qr(hermitian(adjoint))
            inside = xp.matmul(hermitian(q), y)
            self.outside = power(y - xp.matmul(q, inside), 2)
            adjoint, y = hermitian(r), inside
        self.adjoint, self.y = adjoint, y

    def moments(self, variance: Array, noise: Any) -> Moments:
        """Return the moments for prior variances that broadcast to the unknown.

        `noise` is the noise variance of an entry of weight 1, of batch shape.
        """
        xp = self.xp
        gamma, s2 = self._gamma(variance), self._noise(noise)
        factor, kept = self._factor(gamma, s2)
        u, residual = factor.solve(self.y)
        misfit = power(residual, 2) + self.outside
        extra = self.n_rows - self.y.shape[-2]
        circle = math.pi if self.is_complex else 2 * math.pi
        log_det = factor.log_det + extra * xp.log(s2) - self.log_weights
        log_det = log_det + self.n_rows * math.log(circle)
        cost = self.columns * log_det + misfit / s2 + power(u, 2)
        u = _spread(u, kept, 0.0, -2)
        slack = _spread(factor.slack, kept, 1.0, -1)
        return Moments(
            mean=self._unknown(xp.sqrt(gamma)[..., None] * u),
            variance=self._unknown((gamma * slack)[..., None]),
            whitened_power=self._unknown(abs_squared(u)),
            shrinkage=self._unknown(
                _spread(factor.shrinkage, kept, 0.0, -1)[..., None]
            ),
            evidence=self._per_problem(cost * (-1.0 if self.is_complex else -0.5)),
            misfit=self._per_problem(misfit),
            freedom=self._per_problem((factor.freedom + extra) * self.columns),
        )

    def deviations(
        self, variance: Array, noise: Any, rng: np.random.Generator, n: int
    ) -> Array:
        """Return `n` draws of x - μ: prior draws less their own posterior means."""
        xp = self.xp
        gamma, s2 = self._gamma(variance), self._noise(noise)
        factor, kept = self._factor(gamma, s2)
        root = xp.sqrt(gamma if kept is None else xp.take(gamma, kept[0], axis=-1))
        s = xp.sqrt(factor.s2)
        draws = []
        for _ in range(n):
            x = self._normal(rng, (*root.shape, self.columns))
            noise_draw = s * self._normal(rng, tuple(self.y.shape))
            data = xp.matmul(hermitian(factor.adjoint), x) + noise_draw
            x = root[..., None] * (x - factor.solve(data)[0])
            draws.append(self._unknown(_spread(x, kept, 0.0, -2), self.dtype))
        return xp.stack(draws)

    def _factor(
        self, gamma: Array, s2: Array
    ) -> tuple[Wide | Tall, tuple[Array, Array] | None]:
        """Factorise with the columns whose variance is above zero in some problem."""
        xp, adjoint = self.xp, self.adjoint
        kept = self._kept(gamma)
        if kept is not None:
            adjoint = xp.take(adjoint, kept[0], axis=-2)
            gamma = xp.take(gamma, kept[0], axis=-1)
        return factorisation(adjoint * xp.sqrt(gamma)[..., None], s2), kept

    def _kept(self, gamma: Array) -> tuple[Array, Array] | None:
        """Return where the kept columns are, and where each column went; None: all."""
        above = np.any(to_numpy(gamma > 0).reshape(-1, gamma.shape[-1]), axis=0)
        if above.all():
            return None
        above[0] |= not above.any()
        places = np.where(above, np.cumsum(above) - 1, above.sum())
        device = device_of(gamma)
        return to_device(np.flatnonzero(above), device), to_device(places, device)

    def _rows(self, x: Array) -> Array:
        """Return (*batch, snapshots, entries) of an unknown or of data."""
        xp, first = self.xp, len(self.batch)
        front, last = first + len(self.front), x.ndim - len(self.back)
        axes = (*range(front), *range(last, x.ndim), *range(front, last))
        n = math.prod(x.shape[front:last])
        return xp.reshape(xp.permute_dims(x, axes), (*self.batch, -1, n))

    def _unknown(self, x: Array, dtype: Any) -> Array:
        """Return (*lead, entries, columns) as an unknown; one column serves all."""
        xp, first = self.xp, len(self.batch)
        rows = xp.matrix_transpose(x) if self.shared else x[..., 0]
        n_rows = math.prod(self.front) * math.prod(self.back)
        rows = xp.broadcast_to(rows, (*self.batch, n_rows, rows.shape[-1]))
        x = xp.reshape(rows, (*self.batch, *self.front, *self.back, *self.core))
        front, last = first + len(self.front), x.ndim - len(self.core)
        axes = (*range(front), *range(last, x.ndim), *range(front, last))
        return xp.astype(xp.permute_dims(x, axes), dtype)

    def _gamma(self, variance: Array) -> Array:
        """Return prior variances as (*lead, entries)."""
        front = (1,) * len(self.front) if self.shared else self.front
        back = (1,) * len(self.back) if self.shared else self.back
        shape = (*self.batch, *front, *self.core, *back)
        full = self.xp.broadcast_to(variance, shape)
        rows = self._rows(self.xp.astype(full, self.xp.float64))
        return rows[..., 0, :] if self.shared else rows

    def _noise(self, noise: Any) -> Array:
        """Return noise variances of shape `lead`."""
        if is_array(noise) and not self.shared:
            noise = noise[..., None]
        return self._lead(noise)

    def _lead(self, value: Any) -> Array:
        xp = self.xp
        if not is_array(value):
            return xp.full(self.lead, value, dtype=xp.float64, device=self.device)
        return xp.broadcast_to(xp.astype(value, xp.float64), self.lead)

    def _per_problem(self, value: Array) -> Any:
        return scalar(value if self.shared else self.xp.sum(value, axis=-1))

    def _joined(self, weights: Array) -> Array:
        """Return weights as (M,) if all problems have the same, else (*lead, M)."""
        xp = self.xp
        if weights.ndim == 1:
            return weights
        flat = xp.reshape(weights, (-1, weights.shape[-1]))
        if bool(xp.all(flat == flat[:1, :])):
            return flat[0, :]
        return weights[..., 0, :] if self.shared else weights

    def _is_shared(self, problem: Any, weights: Array | None) -> bool:
        """Whether the variances and the weights are the same for all snapshots."""
        xp, prior = self.xp, problem.prior
        one = xp.ones(self.batch, dtype=self.real, device=self.device)
        shape = (*self.batch, *problem.x_shape)
        gamma = prior.variance(prior.init_hyper(shape, problem.x_dtype, one))
        if not is_array(gamma):
            raise TypeError(
                f"{prior!r} has structured variances; engine='dense' takes an array"
            )
        found = (1,) * (len(shape) - gamma.ndim) + tuple(gamma.shape)
        first, last = len(self.batch), len(shape) - len(self.back)
        snapshots = found[first : first + len(self.front)] + found[last:]
        if any(length != 1 for length in snapshots):
            return False
        return weights is None or bool(xp.all(weights == weights[..., :1, :]))

    def _check_memory(self, A: Operator, weights: Array | None) -> None:
        m, n = A.shape
        small = min(m, n)
        problems = math.prod(self.lead)
        matrices = 1 if weights is None else 1 + problems
        entries = 2 * matrices * m * n + 3 * problems * small * (small + max(m, n))
        memory.enough(
            f"VariationalEM with the dense matrix of {A!r}",
            entries * (16 if self.is_complex else 8),
            "a smaller unknown, fewer data or a smaller batch would fit",
        )

    def _normal(self, rng: np.random.Generator, shape: Shape) -> Array:
        """Draw standard normal numbers, E|.|² = 1, in double precision."""
        if not self.is_complex:
            draw = rng.standard_normal(shape)
        else:
            draw = rng.standard_normal((*shape, 2)) @ np.array([1, 1j]) / math.sqrt(2)
        return to_device(draw, device_of(self.y))


def _without_snapshots(A: Operator) -> tuple[Operator, Shape, Shape]:
    """Return an operator without its outer identity factors, and their shapes."""
    front: Shape = ()
    back: Shape = ()
    while isinstance(A, KroneckerOperators):
        if isinstance(A.left, Identity):
            A, front = A.right, (*front, *A.left.in_shape)
        elif isinstance(A.right, Identity):
            A, back = A.left, (*A.right.in_shape, *back)
        else:
            break
    return A, front, back


def _unit_images(A: Operator, xp: Any, dtype: Any, device: str) -> Array:
    """Return A of all unit vectors, (N, M), a few MiB of unit vectors at a time."""
    m, n = A.shape
    block = max(1, min(n, _BLOCK // n))
    images = []
    for start in range(0, n, block):
        units = np.eye(min(block, n - start), n, k=start, dtype=dtype)
        x = xp.reshape(to_device(units, device), (-1, *A.in_shape))
        images.append(xp.reshape(A.forward(x), (-1, m)))
    return xp.concat(images)


def _parts_beside(a: Array) -> Array:
    """Return real and imaginary parts one behind the other on the last axis."""
    xp = array_namespace(a)
    return xp.concat([xp.real(a), xp.imag(a)], axis=-1)


def _spread(v: Array, kept: Any, fill: float, axis: int) -> Array:
    """Put the kept columns back in their places along `axis`, `fill` elsewhere."""
    if kept is None:
        return v
    xp = array_namespace(v)
    shape = list(v.shape)
    shape[axis] = 1
    rest = xp.full(tuple(shape), fill, dtype=v.dtype, device=v.device)
    return xp.take(xp.concat([v, rest], axis=axis), kept[1], axis=axis)
