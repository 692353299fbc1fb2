"""Orthogonal matching pursuit: one atom a step, least squares on those chosen."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from sparsesolve.backends import Array, scalar
from sparsesolve.solvers.atoms import LINEAR_ATOMS, TOP_K, Atoms
from sparsesolve.solvers.base import ARRAY_UNKNOWN, LEAST_SQUARES, Solver
from sparsesolve.solvers.growing_basis import Basis, empty_basis, extended, spread


class State(NamedTuple):
    """State of `OMP`; M counts real and imaginary parts if the unknown is real."""

    x: Array
    """Least squares on the atoms chosen so far."""
    rows: Array
    """(*batch, k, M): an orthonormal basis of the atoms, zero beyond them."""
    inverse: Array
    """(*batch, k, k): R⁻¹ of the atoms' QR factorisation."""
    place: Array
    """(*batch, N): 1 + when a column was chosen, 0 if it was not."""
    coefficients: Array
    """(*batch, k): the entries of x, in the order in which atoms were chosen."""
    rest: Array
    """(*batch, M): weighted data without what the atoms explain."""
    residual: Any
    """Relative misfit ‖y - Ax‖/‖y‖; 0 once nothing more is to be chosen."""
    metrics: dict[str, Any]
    """``loss``, ``objective`` and ``atoms``."""


@dataclass(frozen=True)
class OMP(Solver):
    """Orthogonal matching pursuit: least squares + TopK(k), one atom an iteration.

    The column of A that correlates most with what is left of the data, |⟨a, r⟩|/‖a‖,
    joins the support; then the data are fitted by least squares on the support. It
    ends at k atoms, where the misfit falls below ``tol`` of the data, or where no
    column correlates beyond rounding; ``stop=Discrepancy(noise)`` ends it at a noise
    level. Where columns agree (duplicates) the first one is taken, and zero columns
    never are.

    Columns need not have equal norms: correlations are divided by them. Weights of the
    loss, complex unknowns, and real ones under complex data are seen to; problems of a
    batch go side by side, each with its own atoms.

    Parameters
    ----------
    normalise : bool
        Divide correlations by the norms of the columns. False takes the norms as
        equal, and spares their computation: N applications of A where A is neither
        `Dense` nor `Kronecker`, nor one of them masked, scaled or restricted to a real
        unknown.

    Notes
    -----
    One step costs one Aᴴ, one column of A and O(M k): a QR factorisation of the atoms
    grows by Gram-Schmidt, done twice, and R⁻¹ by a column. Memory is k (M + k) for each
    problem. A start `x0` is a start support: its k largest entries (those that are not
    0) are atoms from the beginning.

    References
    ----------
    Pati, Rezaiifar and Krishnaprasad, Asilomar 1993; Tropp and Gilbert, IEEE Trans.
    Inf. Theory 53(12), 2007, algorithm 3.

    Examples
    --------
    >>> import numpy as np, sparsesolve as ss
    >>> A = np.random.default_rng(0).standard_normal((20, 40))
    >>> y = A[:, 7] - 2 * A[:, 30]
    >>> problem = ss.Problem(ss.LeastSquares(A, y), ss.priors.TopK(2))
    >>> x = ss.solve(problem, ss.solvers.OMP()).x
    >>> np.flatnonzero(x)
    array([ 7, 30])
    """

    normalise: bool = True

    needs = (ARRAY_UNKNOWN, LEAST_SQUARES, TOP_K, LINEAR_ATOMS)

    def __post_init__(self) -> None:
        if not isinstance(self.normalise, bool):
            raise TypeError(f"normalise is {self.normalise!r}; wanted True or False")

    def prepare(self, problem: Any) -> Atoms:
        return Atoms(problem, normalise=self.normalise)

    def init(
        self, problem: Any, plan: Atoms, x0: Any, rng: np.random.Generator
    ) -> State:
        xp, data, n = plan.xp, plan.data, problem.A.shape[1]
        k = min(problem.prior.k, n, data.shape[-1])
        basis = empty_basis(data, n, k)
        fit = _Fit(basis, basis.rows[:, :, 0], data)
        if x0 is not None:
            sizes = xp.abs(xp.reshape(x0, (plan.batch, n)))
            order = xp.argsort(sizes, axis=-1, descending=True)
            for i in range(k):
                index = order[:, i]
                given = xp.take_along_axis(sizes, index[:, None], axis=-1)[:, 0] > 0
                fit, _ = _with_atom(plan, fit, index, given)
        return _state(problem, plan, fit, None)

    def step(self, problem: Any, plan: Atoms, state: State) -> State:
        xp, fit = plan.xp, _fit(plan, state)
        correlations = plan.correlations(fit.rest)
        scores = plan.scores(correlations)
        scores = xp.where(fit.basis.place > 0, xp.zeros_like(scores), scores)
        index = xp.argmax(scores, axis=-1)
        fit, added = _with_atom(plan, fit, index, _unexplained(plan, fit.rest))
        return _state(problem, plan, fit, added)


class _Fit(NamedTuple):
    """Least squares on the atoms, in flat arrays."""

    basis: Basis
    coefficients: Array
    rest: Array


def _with_atom(
    plan: Atoms, fit: _Fit, index: Array, wanted: Array
) -> tuple[_Fit, Array]:
    """Add the column `index` where it is `wanted` and explains something.

    It also returns where that was so.
    """
    xp = plan.xp
    column = plan.columns(index[:, None])[:, 0, :]
    new = extended(fit.basis, column, index, wanted, plan.negligible)
    pull = xp.vecdot(new.direction, fit.rest)[:, None]
    coefficients = fit.coefficients + pull * new.weights
    rest = fit.rest - pull * new.direction
    return _Fit(new.basis, coefficients, rest), new.added


def _unexplained(plan: Atoms, rest: Array) -> Array:
    """Where more than rounding is left of the data, (B,)."""
    misfit = plan.xp.linalg.vector_norm(rest, axis=-1)
    return misfit > plan.negligible * plan.size


def _fit(plan: Atoms, state: State) -> _Fit:
    def flat(a: Array) -> Array:
        return plan.xp.reshape(a, (plan.batch, *a.shape[len(plan.batch_shape) :]))

    basis = Basis(flat(state.rows), flat(state.inverse), flat(state.place))
    return _Fit(basis, flat(state.coefficients), flat(state.rest))


def _state(problem: Any, plan: Atoms, fit: _Fit, added: Array | None) -> State:
    """Return the state of a fit; `added` is None before the first step."""
    xp, batch = plan.xp, problem.batch_shape
    basis = fit.basis
    x = spread(fit.coefficients, basis.place)
    misfit = xp.linalg.vector_norm(fit.rest, axis=-1)
    residual: Any = math.inf
    if added is not None:
        going = added & (basis.count < basis.rows.shape[1])
        going = going & _unexplained(plan, fit.rest)
        relative = misfit / xp.where(going, plan.size, xp.ones_like(misfit))
        residual = xp.where(going, relative, xp.zeros_like(relative))
        residual = scalar(xp.reshape(residual, batch))
    loss = scalar(xp.reshape(misfit**2, batch) / 2 + problem.loss.constant)
    atoms = scalar(xp.reshape(basis.count, batch))

    def shaped(a: Array) -> Array:
        return xp.reshape(a, (*batch, *a.shape[1:]))

    return State(
        xp.reshape(x, (*batch, *problem.x_shape)),
        shaped(basis.rows),
        shaped(basis.inverse),
        shaped(basis.place),
        shaped(fit.coefficients),
        shaped(fit.rest),
        residual,
        {"loss": loss, "objective": loss, "atoms": atoms},
    )
