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
from sparsesolve.separable import Separable
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
    (snapshots), and neither the prior's variances nor the weights differ between the
    snapshots, they share one factorisation, and only that something becomes a matrix.

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
        A, self.front, self.back = without_snapshots(problem)
        self.batch, self.core = problem.batch_shape, A.in_shape
        y, weights = problem.loss.y, problem.loss.weights
        xp = self.xp = array_namespace(y)
        self.device, self.place = y.device, device_of(y)
        self.is_complex = problem.x_dtype.kind == "c"
        self.dtype = native_dtype(xp, problem.x_dtype)
        self.real = native_dtype(xp, real_dtype(problem.x_dtype))
        double = xp.complex128 if self.is_complex else xp.float64
        self._check_memory(A, weights is not None)

        images = _unit_images(A, xp, problem.x_dtype, self.place)
        y = self._rows(y)
        if weights is not None:
            weights = _distinct(xp.astype(self._rows(weights)[..., 0, :], xp.float64))
        if A.takes_real:
            # Re and Im are real data of half the variance each: weights of two.
            twice = xp.full((A.shape[0],), 2.0, dtype=xp.float64, device=self.device)
            weights = twice if weights is None else 2 * weights
            images, y = _parts_beside(images), _parts_beside(y)
            weights = xp.concat([weights, weights], axis=-1)
        y = xp.matrix_transpose(xp.astype(y, double))
        self._set_data(xp.astype(conj(images), double), y, weights)
        m, n = A.shape
        self.note = f"dense, Cholesky of order {min(m, n)} at most for each posterior"

    def _set_data(self, adjoint: Array, y: Array, weights: Array | None) -> None:
        """Whiten, measure and compress: white noise and min(M, N) rows remain."""
        xp, (m, columns) = self.xp, y.shape[-2:]
        n_rows, log_weights = self._full(float(m)), self._full(0.0)
        if weights is not None:
            used = weights > 0
            n_rows = self._full(xp.sum(xp.astype(used, xp.float64), axis=-1))
            logs = xp.log(xp.where(used, weights, xp.ones_like(weights)))
            log_weights = self._full(xp.sum(logs, axis=-1))
            root = xp.sqrt(weights)
            adjoint, y = adjoint * root[..., None, :], y * root[..., :, None]
        energy = power(y, 2)
        self.n_data = scalar(n_rows * columns)
        rows = xp.maximum(n_rows, self._full(1.0))
        self.power = scalar(energy / (rows * columns))
        self.gain = scalar(self._full(power(adjoint, 2)) / rows)
        self.outside = energy * 0
        if adjoint.shape[-2] < m:
            q, r = xp.linalg.qr(hermitian(adjoint))
            inside = xp.matmul(hermitian(q), y)
            self.outside = power(y - xp.matmul(q, inside), 2)
            adjoint, y = hermitian(r), inside
        self.adjoint, self.y = adjoint, y
        self.n_rows, self.log_weights = n_rows, log_weights

    def restored(self, leaves: Any, noise: Any) -> Moments:
        """Return the moments that gave these `leaves`."""
        return Moments(*leaves)

    def moments(self, variance: Any, noise: Any, warm: Any = None) -> Moments:
        """Return the moments for prior variances that broadcast to the unknown.

        `noise` is the noise variance of an entry of weight 1, of batch shape. `warm`,
        the leaves of moments before, is for engines that iterate.
        """
        xp, (rows, columns) = self.xp, self.y.shape[-2:]
        gamma, s2 = self._gamma(variance), self._full(noise)
        factor, kept = self._factor(gamma, s2)
        u, residual = factor.solve(self.y)
        misfit = power(residual, 2) + self.outside
        circle = math.log(math.pi if self.is_complex else 2 * math.pi)
        log_det = factor.log_det + (self.n_rows - rows) * xp.log(s2)
        log_det = log_det + circle * self.n_rows - self.log_weights
        cost = columns * log_det + misfit / s2 + power(u, 2)
        u = _spread(u, kept, 0.0, -2)
        slack = _spread(factor.slack, kept, 1.0, -1)
        shrinkage = _spread(factor.shrinkage, kept, 0.0, -1)
        freedom = columns * (self.n_rows - xp.sum(shrinkage, axis=-1))
        return Moments(
            mean=self._unknown(xp.sqrt(gamma)[..., None] * u, self.dtype),
            variance=self._unknown((gamma * slack)[..., None], self.real),
            whitened_power=self._unknown(abs_squared(u), self.real),
            shrinkage=self._unknown(shrinkage[..., None], self.real),
            evidence=scalar(cost * (-1.0 if self.is_complex else -0.5)),
            misfit=scalar(misfit),
            freedom=scalar(freedom),
        )

    def deviations(
        self, variance: Any, noise: Any, rng: np.random.Generator, n: int
    ) -> Array:
        """Return `n` draws of x - μ: prior draws less their own posterior means."""
        xp = self.xp
        gamma, s2 = self._gamma(variance), self._full(noise)
        factor, kept = self._factor(gamma, s2)
        root = xp.sqrt(gamma if kept is None else xp.take(gamma, kept[0], axis=-1))
        s = xp.sqrt(s2)[..., None, None]
        draws = []
        for _ in range(n):
            x = self._normal(rng, (*root.shape, self.y.shape[-1]))
            data = xp.matmul(hermitian(factor.adjoint), x)
            data = data + s * self._normal(rng, tuple(self.y.shape))
            x = root[..., None] * (x - factor.solve(data)[0])
            draws.append(self._unknown(_spread(x, kept, 0.0, -2), self.dtype))
        return xp.stack(draws)

    def _factor(
        self, gamma: Array, s2: Array
    ) -> tuple[Wide | Tall, tuple[Array, Array] | None]:
        """Factorise with the columns whose variance is above zero in some problem.

        Also return where these columns are, and where each column went; None for all.
        """
        xp, adjoint = self.xp, self.adjoint
        above = np.any(to_numpy(gamma > 0).reshape(-1, gamma.shape[-1]), axis=0)
        above[0] |= not above.any()
        kept = None
        if not above.all():
            places = np.where(above, np.cumsum(above) - 1, above.sum())
            here = to_device(np.flatnonzero(above), self.place)
            kept = here, to_device(places, self.place)
            adjoint = xp.take(adjoint, here, axis=-2)
            gamma = xp.take(gamma, here, axis=-1)
        return factorisation(adjoint * xp.sqrt(gamma)[..., None], s2), kept

    def _rows(self, x: Array) -> Array:
        """Return (*batch, snapshots, entries) of an unknown or of data."""
        xp, first = self.xp, len(self.batch)
        front, last = first + len(self.front), x.ndim - len(self.back)
        axes = (*range(front), *range(last, x.ndim), *range(front, last))
        n = math.prod(x.shape[front:last])
        return xp.reshape(xp.permute_dims(x, axes), (*self.batch, -1, n))

    def _unknown(self, x: Array, dtype: Any) -> Array:
        """Return (*batch, entries, columns) as an unknown; one column serves all."""
        xp = self.xp
        n = math.prod(self.front) * math.prod(self.back)
        rows = xp.matrix_transpose(xp.astype(x, dtype))
        rows = xp.broadcast_to(rows, (*self.batch, n, rows.shape[-1]))
        x = xp.reshape(rows, (*self.batch, *self.front, *self.back, *self.core))
        front, last = len(self.batch) + len(self.front), x.ndim - len(self.core)
        axes = (*range(front), *range(last, x.ndim), *range(front, last))
        return xp.permute_dims(x, axes)

    def _gamma(self, variance: Any) -> Array:
        """Return prior variances as (*batch, entries)."""
        if isinstance(variance, Separable):
            variance = variance.full()
        ones = (1,) * len(self.front), (1,) * len(self.back)
        full = self.xp.broadcast_to(
            variance, (*self.batch, *ones[0], *self.core, *ones[1])
        )
        return self._rows(self.xp.astype(full, self.xp.float64))[..., 0, :]

    def _full(self, value: Any) -> Array:
        """Return a number or an array as a double-precision array of batch shape."""
        xp = self.xp
        if not is_array(value):
            return xp.full(self.batch, value, dtype=xp.float64, device=self.device)
        return xp.broadcast_to(xp.astype(value, xp.float64), self.batch)

    def _normal(self, rng: np.random.Generator, shape: Shape) -> Array:
        """Draw standard normal numbers, E|.|² = 1."""
        if not self.is_complex:
            return to_device(rng.standard_normal(shape), self.place)
        draw = rng.standard_normal((*shape, 2)) @ np.array([1, 1j]) / math.sqrt(2)
        return to_device(draw, self.place)

    def _check_memory(self, A: Operator, weighted: bool) -> None:
        m, n = A.shape
        problems = math.prod(self.batch)
        matrices = 2 + (problems if weighted else 0)
        entries = matrices * m * n + 3 * problems * min(m, n) * (m + n)
        memory.enough(
            f"VariationalEM with the dense matrix of {A!r}",
            entries * (16 if self.is_complex else 8),
            "a smaller unknown, fewer data or a smaller batch would fit",
        )


def without_snapshots(problem: Any) -> tuple[Operator, Shape, Shape]:
    """Return the operator of one snapshot, and the snapshots' axes around it.

    All of the operator, and no axes, where variances or weights tell snapshots apart.
    """
    A: Any = problem.A
    front: Shape = ()
    back: Shape = ()
    while isinstance(A, KroneckerOperators):
        if isinstance(A.left, Identity):
            A, front = A.right, (*front, *A.left.in_shape)
        elif isinstance(A.right, Identity):
            A, back = A.left, (*A.right.in_shape, *back)
        else:
            break
    first, shape = len(problem.batch_shape), _variance_shape(problem)
    snapshots = shape[first : first + len(front)] + shape[len(shape) - len(back) :]
    if any(length > 1 for length in snapshots):
        return problem.A, (), ()
    weights = problem.loss.weights
    if weights is not None:
        inner = (slice(None),) * len(A.out_shape)
        one = (..., *(slice(1),) * len(front), *inner, *(slice(1),) * len(back))
        if not bool(array_namespace(weights).all(weights == weights[one])):
            return problem.A, (), ()
    return A, front, back


def first_variance(problem: Any) -> Any:
    """Return the prior's variances of unit scale, which show their structure."""
    prior, y = problem.prior, problem.loss.y
    xp, shape = array_namespace(y), (*problem.batch_shape, *problem.x_shape)
    real = native_dtype(xp, real_dtype(problem.x_dtype))
    one = xp.ones(problem.batch_shape, dtype=real, device=y.device)
    return prior.variance(prior.init_hyper(shape, problem.x_dtype, one))


def _variance_shape(problem: Any) -> Shape:
    """Return the shape of the prior's variances, with the axes of the unknown."""
    variance = first_variance(problem)
    if isinstance(variance, Separable):
        variance = variance.full()
    missing = len(problem.batch_shape) + len(problem.x_shape) - variance.ndim
    return (*(1,) * missing, *variance.shape)


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


def _distinct(weights: Array) -> Array:
    """Return weights (*batch, M) as (M,) if all problems have the same."""
    xp = array_namespace(weights)
    flat = xp.reshape(weights, (-1, weights.shape[-1]))
    return flat[0, :] if bool(xp.all(flat == flat[:1, :])) else weights


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
