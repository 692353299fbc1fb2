"""Kronecker orthogonal matching pursuit: one index set an axis."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from sparsesolve.backends import (
    Array,
    abs_squared,
    array_namespace,
    conj,
    native_dtype,
    norm,
    scalar,
)
from sparsesolve.mode_products import kronecker_parts, mode_product
from sparsesolve.operators.kronecker import mode_order
from sparsesolve.priors.kronecker_top_k import KroneckerTopK
from sparsesolve.separable import along
from sparsesolve.solvers.atoms import rounding
from sparsesolve.solvers.base import ARRAY_UNKNOWN, LEAST_SQUARES, Need, Solver
from sparsesolve.solvers.growing_basis import Basis, empty_basis, extended, spread
from sparsesolve.solvers.posterior import hermitian

KRONECKER_TOP_K = Need(
    "the prior KroneckerTopK",
    lambda problem: isinstance(problem.prior, KroneckerTopK),
    "use OMP for TopK",
)
KRONECKER_OPERATOR = Need(
    "a Kronecker product of matrices and identities",
    lambda problem: kronecker_parts(problem.A) is not None,
    "use OMP with TopK, on any operator",
)
NO_WEIGHTS = Need(
    "a loss without weights",
    lambda problem: not problem.loss.factors,
    "use OMP with TopK, or scale the rows of data and factors",
)


class State(NamedTuple):
    """State of `KroneckerOMP`; tuples have one entry an axis that is not free."""

    x: Array
    """Least squares on the product of the sets so far."""
    rows: tuple[Array, ...]
    """(*batch, kᵢ, Mᵢ): an orthonormal basis of the columns chosen."""
    inverse: tuple[Array, ...]
    """(*batch, kᵢ, kᵢ): R⁻¹ of their QR factorisation."""
    place: tuple[Array, ...]
    """(*batch, Nᵢ): 1 + when an index was chosen, 0 if it was not."""
    rest: Array
    """(*batch, M₁, ...): data without what is explained; free axes rotated."""
    residual: Any
    """Relative misfit ‖y - Ax‖/‖y‖; 0 once nothing more is to be chosen."""
    metrics: dict[str, Any]
    """``loss``, ``objective`` and ``atoms``, the size of the product."""


@dataclass(frozen=True)
class KroneckerOMP(Solver):
    """Kronecker OMP: least squares + KroneckerTopK(k₁, ...), one entry an iteration.

    The entry of the correlation tensor R ×₁ A₁ᴴ ×₂ A₂ᴴ ..., over the norms of the
    columns, that is largest among those allowed (an axis whose set is full offers its
    set only) adds its index of each axis to that axis's set; then the data are fitted
    by least squares on the product of the sets, by the pseudo-inverses of the factors'
    chosen columns. It ends where all sets are full, where the misfit falls below
    ``tol`` of the data, or where nothing correlates beyond rounding;
    ``stop=Discrepancy(noise)`` ends it at a noise level.

    A free axis (kᵢ at least its length) is solved by least squares throughout, of
    least norm where its factor is wide, and what counts is the norm of the correlations
    along it: snapshots share their support. Columns that depend on those chosen in
    their axis (duplicates, zeros) do not enter its set. Problems of a batch go side
    by side, each with its own sets.

    Notes
    -----
    A step costs one Aᴴ and products of the data with the bases, O(N) for data not
    longer than the unknown; nothing of the size of the matrix, or of that of the
    chosen columns' product, is formed. A start `x0` gives start sets: in each axis
    the indices whose slices have the largest power.

    One wrong index costs a whole slab, and the first picks see other atoms as noise:
    with incoherent factors and few data, `OMP` on the same operator is more reliable,
    at the cost of as many steps as there are entries.

    References
    ----------
    Caiafa and Cichocki, Neural Computation 25(1), 2013, Kronecker-OMP. They bound the
    size of the product; the bound for each axis is ours, as no set can then starve.

    Examples
    --------
    >>> import numpy as np, sparsesolve as ss
    >>> rng = np.random.default_rng(1)
    >>> A = ss.operators.Kronecker(*rng.standard_normal((2, 8, 12)))
    >>> x = np.zeros((12, 12))
    >>> x[np.ix_([2, 7], [1, 5])] = [[3, 2], [1, -2]]
    >>> problem = ss.Problem(ss.LeastSquares(A, A(x)), ss.priors.KroneckerTopK(2))
    >>> solution = ss.solve(problem, ss.solvers.KroneckerOMP())
    >>> bool(np.allclose(solution.x, x))
    True
    """

    needs = (
        ARRAY_UNKNOWN,
        LEAST_SQUARES,
        NO_WEIGHTS,
        KRONECKER_OPERATOR,
        KRONECKER_TOP_K,
    )

    def prepare(self, problem: Any) -> _Plan:
        return _Plan(problem)

    def init(
        self, problem: Any, plan: _Plan, x0: Any, rng: np.random.Generator
    ) -> State:
        xp = plan.xp
        bases = tuple(
            empty_basis(xp.zeros((plan.batch, m), **plan.options), n, k)
            for m, n, k in plan.sizes
        )
        if x0 is None:
            return _state(problem, plan, bases, None)
        powers = abs_squared(xp.reshape(x0, (plan.batch, *problem.x_shape)))
        for i, axis in enumerate(plan.axes):
            others = tuple(1 + j for j in range(plan.n_axes) if j != axis)
            power = xp.sum(powers, axis=others) if others else powers
            order = xp.argsort(power, axis=-1, descending=True)
            for j in range(plan.sizes[i][2]):
                index = order[:, j]
                given = xp.take_along_axis(power, index[:, None], axis=-1)[:, 0] > 0
                bases, _ = _with_index(plan, bases, i, index, given)
        return _state(problem, plan, bases, None)

    def step(self, problem: Any, plan: _Plan, state: State) -> State:
        bases = tuple(
            Basis(*(plan.flat(leaf) for leaf in leaves))
            for leaves in zip(state.rows, state.inverse, state.place, strict=True)
        )
        scores = plan.scores(plan.flat(state.rest), bases)
        entry = plan.xp.argmax(scores, axis=-1)
        going = plan.xp.max(scores, axis=-1) > plan.negligible
        added = going & ~going
        for i, (_, n, _) in reversed(list(enumerate(plan.sizes))):
            bases, new = _with_index(plan, bases, i, entry % n, going)
            added, entry = added | new, entry // n
        return _state(problem, plan, bases, added)


class _Plan:
    """The problem in flat form, its free axes taken out of it.

    Along a free axis with A = U S Vᴴ the data are multiplied by Uᴴ once, and what is
    found by V S⁻¹ at the end.
    """

    def __init__(self, problem: Any) -> None:
        A, y = problem.A, problem.loss.y
        xp = self.xp = array_namespace(y)
        self.batch_shape = problem.batch_shape
        self.batch = math.prod(self.batch_shape)
        self.n_axes = len(A.in_shape)
        self.negligible = rounding(problem.x_dtype, A.shape[0])
        self.options = {
            "dtype": native_dtype(xp, problem.x_dtype),
            "device": y.device,
        }
        data = xp.astype(self.flat(y), self.options["dtype"])
        self.size = _norm(data)
        self.axes: list[int] = []
        self.matrices: list[Array] = []
        self.sizes: list[tuple[int, int, int]] = []
        self.lifts: dict[int, Array] = {}
        sizes = zip(kronecker_parts(A) or (), problem.prior.k, strict=True)
        for axis, (part, k) in enumerate(sizes):
            n = A.in_shape[axis]
            if k < n:
                a = self._matrix(part)
                self.axes.append(axis)
                self.matrices.append(a)
                self.sizes.append((a.shape[0], n, min(k, a.shape[0])))
            elif not isinstance(part, int):
                rotation, self.lifts[axis] = self._free(self._matrix(part))
                data = mode_product(xp, data, rotation, axis, self.n_axes)
        self.data = data
        self.lost = xp.clip(self.size**2 - _norm(data) ** 2, 0.0, None)
        self.correlators = [hermitian(_normalised(a)) for a in self.matrices]

    def flat(self, a: Array) -> Array:
        """Return one batch axis for those of the problem, one if it has none."""
        shape = a.shape[len(self.batch_shape) :]
        return self.xp.reshape(a, (self.batch, *shape))

    def products(self, z: Array, matrices: Sequence[Array]) -> Array:
        """Multiply each axis that is not free by its matrix, cheapest first."""
        for i in mode_order([tuple(a.shape[-2:]) for a in matrices]):
            z = mode_product(self.xp, z, matrices[i], self.axes[i], self.n_axes)
        return z

    def scores(self, rest: Array, bases: Sequence[Basis]) -> Array:
        """Return what each entry explains of the data: (B, product of the Nᵢ).

        As a share of the data's norm, 0 where a set is full without that index.
        """
        xp = self.xp
        scale = xp.where(self.size > 0, self.size, xp.ones_like(self.size))
        rest = rest / xp.reshape(scale, (self.batch, *(1,) * self.n_axes))
        power = abs_squared(self.products(rest, self.correlators))
        free = tuple(1 + i for i in range(self.n_axes) if i not in self.axes)
        power = xp.sum(power, axis=free) if free else power
        for i, basis in enumerate(bases):
            full = (basis.count == self.sizes[i][2])[:, None]
            allowed = along(~full | (basis.place > 0), i, len(bases))
            power = xp.where(allowed, power, xp.zeros_like(power))
        return xp.sqrt(xp.reshape(power, (self.batch, -1)))

    def _matrix(self, part: Any) -> Array:
        if isinstance(part, int):
            return self.xp.eye(part, **self.options)
        return self.xp.astype(part, self.options["dtype"])

    def _free(self, a: Array) -> tuple[Array, Array]:
        """Return Uᴴ and V S⁻¹ of a factor, zero for singular values that are zero."""
        xp = self.xp
        u, s, vh = xp.linalg.svd(a, full_matrices=False)
        used = s > self.negligible * s[0]
        inverse = xp.where(used, 1 / xp.where(used, s, xp.ones_like(s)), s * 0)
        mask = xp.astype(used, a.dtype)
        return hermitian(u * mask), hermitian(vh) * xp.astype(inverse, a.dtype)


def _normalised(a: Array) -> Array:
    """Return the columns of `a` over their norms; zero columns stay zero."""
    xp = array_namespace(a)
    norms = xp.linalg.vector_norm(a, axis=0)
    return a / xp.astype(xp.where(norms > 0, norms, xp.ones_like(norms)), a.dtype)


def _norm(z: Array) -> Array:
    """Return the norm of each problem's data: (B, ...) to (B,)."""
    return norm(z, z.ndim - 1)


def _with_index(
    plan: _Plan, bases: tuple[Basis, ...], i: int, index: Array, wanted: Array
) -> tuple[tuple[Basis, ...], Array]:
    """Add an index to the set of one axis, and return where that was possible."""
    xp = plan.xp
    column = xp.matrix_transpose(xp.take(plan.matrices[i], index, axis=1))
    new = extended(bases[i], column, index, wanted, plan.negligible)
    return (*bases[:i], new.basis, *bases[i + 1 :]), new.added


def _state(
    problem: Any, plan: _Plan, bases: tuple[Basis, ...], added: Array | None
) -> State:
    """Return least squares on the product of sets; `added` None before a step."""
    xp, batch = plan.xp, plan.batch_shape
    core = plan.products(plan.data, [conj(b.rows) for b in bases])
    fit = plan.products(core, [xp.matrix_transpose(b.rows) for b in bases])
    rest = plan.data - fit
    x = plan.products(core, [b.inverse for b in bases])
    for axis, lift in plan.lifts.items():
        x = mode_product(xp, x, lift, axis, plan.n_axes)
    for axis, basis in zip(plan.axes, bases, strict=True):
        x = spread(x, basis.place, 1 + axis)
    left = _norm(rest)
    misfit = xp.sqrt(left**2 + plan.lost)
    residual: Any = math.inf
    if added is not None:
        room = added & ~added
        for basis, (_, _, k) in zip(bases, plan.sizes, strict=True):
            room = room | (basis.count < k)
        going = added & room & (left > plan.negligible * plan.size)
        relative = misfit / xp.where(going, plan.size, xp.ones_like(misfit))
        residual = xp.where(going, relative, xp.zeros_like(relative))
        residual = scalar(xp.reshape(residual, batch))
    free = math.prod(n for i, n in enumerate(problem.x_shape) if i not in plan.axes)
    atoms = xp.full((plan.batch,), free, dtype=xp.int64, device=rest.device)
    atoms = math.prod((b.count for b in bases), start=atoms)
    loss = scalar(xp.reshape(misfit**2, batch) / 2 + problem.loss.constant)

    def shaped(a: Array) -> Array:
        return xp.reshape(a, (*batch, *a.shape[1:]))

    leaves = [tuple(map(shaped, basis)) for basis in bases]
    rows, inverse, place = (tuple(leaf[i] for leaf in leaves) for i in range(3))
    row = {"loss": loss, "objective": loss, "atoms": scalar(shaped(atoms))}
    return State(shaped(x), rows, inverse, place, shaped(rest), residual, row)
