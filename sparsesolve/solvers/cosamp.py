"""Compressive sampling matching pursuit: many atoms in, the smallest out."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from sparsesolve.backends import Array, scalar
from sparsesolve.priors.top_k import TopK
from sparsesolve.solvers.atoms import LINEAR_ATOMS, TOP_K, Atoms
from sparsesolve.solvers.base import ARRAY_UNKNOWN, LEAST_SQUARES, Solver
from sparsesolve.solvers.growing_basis import spread


class State(NamedTuple):
    """State of `CoSaMP`; M counts real and imaginary parts if the unknown is real."""

    x: Array
    """The best so far, at most k entries that are not 0."""
    rest: Array
    """(*batch, M): weighted data less A x."""
    residual: Any
    """Relative change ‖x⁺ - x‖/‖x⁺‖; 0 once the misfit no longer falls."""
    metrics: dict[str, Any]
    """``loss``, ``objective`` and ``atoms``."""


@dataclass(frozen=True)
class CoSaMP(Solver):
    """Compressive sampling matching pursuit: least squares + TopK(k).

    The 2k columns of A that correlate most with what is left of the data, |⟨a, r⟩|/‖a‖,
    join the support; the data are fitted by least squares on these 3k at the most; the
    k largest of the fit stay. A wrong atom can leave again, which `OMP` does not allow.
    It ends where the misfit no longer falls (as subspace pursuit does, Dai and
    Milenkovic, 2009), so that it never goes round in circles.

    Columns need not have equal norms: the method is that of the columns divided by
    them, in choosing and in pruning. Duplicated columns share an entry and zero columns
    get none, as the least squares are those of least norm. Weights of the loss, complex
    unknowns, and real ones under complex data are seen to; problems of a batch go side
    by side.

    Parameters
    ----------
    refit : bool
        Fit the data again on the k that stay, a variation the paper names: the
        minimiser of the stated problem on that support, and more accurate under noise.
        False keeps the pruned entries as they are, the algorithm to the letter.

    Notes
    -----
    One step costs one Aᴴ, 3k columns of A and their singular values, O(M k²). Columns'
    norms cost N applications of A once where it is neither `Dense` nor `Kronecker`,
    nor one of them masked, scaled or restricted to a real unknown.

    It needs about 3k columns that are nearly orthogonal, thus several times more data
    than 3k; with fewer, `OMP` is the better choice.

    References
    ----------
    Needell and Tropp, "CoSaMP: iterative signal recovery from incomplete and
    inaccurate samples", Appl. Comput. Harmon. Anal. 26(3), 2009, algorithm 1.

    Examples
    --------
    >>> import numpy as np, sparsesolve as ss
    >>> A = np.random.default_rng(0).standard_normal((20, 40))
    >>> y = A[:, 7] - 2 * A[:, 30]
    >>> problem = ss.Problem(ss.LeastSquares(A, y), ss.priors.TopK(2))
    >>> x = ss.solve(problem, ss.solvers.CoSaMP()).x
    >>> np.flatnonzero(x)
    array([ 7, 30])
    """

    refit: bool = True

    needs = (ARRAY_UNKNOWN, LEAST_SQUARES, TOP_K, LINEAR_ATOMS)

    def __post_init__(self) -> None:
        if not isinstance(self.refit, bool):
            raise TypeError(f"refit is {self.refit!r}; wanted True or False")

    def prepare(self, problem: Any) -> Atoms:
        return Atoms(problem)

    def init(
        self, problem: Any, plan: Atoms, x0: Any, rng: np.random.Generator
    ) -> State:
        start = problem.zeros() if x0 is None else problem.prior.prox(x0, 1.0)
        x = plan.xp.reshape(start, (plan.batch, *problem.x_shape))
        rest = plan.data - plan.image(x)
        return _state(problem, plan, plan.xp.reshape(x, (plan.batch, -1)), rest, None)

    def step(self, problem: Any, plan: Atoms, state: State) -> State:
        xp, k = plan.xp, problem.prior.k
        old = xp.reshape(state.x, (plan.batch, -1))
        before = xp.reshape(state.rest, (plan.batch, -1))
        scores = plan.scores(plan.correlations(before))
        entering = TopK(2 * k).bind(scores.shape[1:]).prox(scores, 1.0) > 0
        x, rest = self._fit(plan, entering | (old != 0), k)

        better = _size(plan, rest) < _size(plan, before) * (1 - plan.negligible)
        x, rest = (
            xp.where(better[:, None], new, was)
            for new, was in ((x, old), (rest, before))
        )
        change = _size(plan, x - old)
        length = _size(plan, x)
        going = better & (_size(plan, rest) > plan.negligible * plan.size)
        relative = change / xp.where(length > 0, length, xp.ones_like(length))
        residual = xp.where(going, relative, xp.zeros_like(relative))
        return _state(problem, plan, x, rest, residual)

    def _fit(self, plan: Atoms, chosen: Array, k: int) -> tuple[Array, Array]:
        """Fit the data on the columns `chosen`, (B, N), and keep the k largest."""
        xp = plan.xp
        n = min(3 * k, chosen.shape[-1])
        order = xp.argsort(xp.astype(~chosen, xp.int8), axis=-1, stable=True)[:, :n]
        used = xp.take_along_axis(chosen, order, axis=-1)
        norms = xp.take_along_axis(
            xp.broadcast_to(plan.norms, chosen.shape), order, axis=-1
        )
        scale = xp.where(used & (norms > 0), norms, xp.ones_like(norms))
        columns = plan.columns(order) / xp.astype(scale, plan.dtype)[:, :, None]
        columns = _where(xp, used & (norms > 0), columns)
        fit = TopK(k).bind((n,)).prox(_least_squares(plan, columns), 1.0)
        columns = _where(xp, fit != 0, columns)
        if self.refit:
            fit = xp.where(fit != 0, _least_squares(plan, columns), xp.zeros_like(fit))
        rest = plan.data - xp.matmul(fit[:, None, :], columns)[:, 0, :]
        place = xp.cumulative_sum(xp.astype(chosen, xp.int64), axis=-1)
        place = xp.where(chosen, place, xp.zeros_like(place))
        return spread(fit / xp.astype(scale, plan.dtype), place), rest


def _where(xp: Any, kept: Array, columns: Array) -> Array:
    """Zero the columns (B, c, M) that are not `kept`, (B, c)."""
    return xp.where(kept[:, :, None], columns, xp.zeros_like(columns))


def _least_squares(plan: Atoms, columns: Array) -> Array:
    """Return the least-squares coefficients of least norm: columns (B, c, M)."""
    xp = plan.xp
    inverse = xp.linalg.pinv(columns, rtol=plan.negligible)
    return xp.matmul(plan.data[:, None, :], inverse)[:, 0, :]


def _size(plan: Atoms, z: Array) -> Array:
    return plan.xp.linalg.vector_norm(z, axis=-1)


def _state(
    problem: Any, plan: Atoms, x: Array, rest: Array, residual: Array | None
) -> State:
    """Return the state of x, (B, N); `residual` is None before the first step."""
    xp, batch = plan.xp, problem.batch_shape
    loss = xp.reshape(_size(plan, rest) ** 2, batch) / 2 + problem.loss.constant
    atoms = xp.sum(xp.astype(x != 0, xp.int64), axis=-1)
    return State(
        xp.reshape(x, (*batch, *problem.x_shape)),
        xp.reshape(rest, (*batch, -1)),
        math.inf if residual is None else scalar(xp.reshape(residual, batch)),
        {
            "loss": scalar(loss),
            "objective": scalar(loss),
            "atoms": scalar(xp.reshape(atoms, batch)),
        },
    )
