"""Where posteriors come from: the engine that a problem's structure and size allow."""

from __future__ import annotations

from typing import Any

from sparsesolve.mode_products import kronecker_parts
from sparsesolve.operators.base import Operator
from sparsesolve.operators.dense import Dense
from sparsesolve.separable import Separable
from sparsesolve.solvers.cg_engine import ConjugateGradientEngine
from sparsesolve.solvers.dense_engine import (
    DenseEngine,
    first_variance,
    without_snapshots,
)
from sparsesolve.solvers.kronecker_engine import KroneckerEngine
from sparsesolve.solvers.missing_engine import MissingDataEngine, masked_parts

ENGINES = "auto", "kronecker", "dense", "cg"

_SMALL = 1000
# Up to here a dense posterior takes no longer than one with missing data, and is exact.
_QUICK = 2e9


def posterior_engine(name: str, problem: Any, probes: int) -> tuple[Any, str]:
    """Return the posterior engine called `name`, and why if it was chosen here.

    Parameters
    ----------
    name : str
        One of `ENGINES`. "auto" takes "kronecker" for separable variances under a
        Kronecker product of matrices and identities without weights; with entries
        missing only from 2e9 operations of a dense posterior on. Else "dense" for at
        most 1000 data or unknowns (of one snapshot) and for a matrix, if memory
        suffices; else "cg".
    probes : int
        Random vectors of the engines that need them.

    Raises
    ------
    TypeError, MemoryError
        As the engines do; "auto" never for want of structure.
    """
    if name == "kronecker":
        return _kronecker(problem, probes), ""
    if name == "dense":
        return DenseEngine(problem), ""
    if name == "cg":
        return ConjugateGradientEngine(problem, probes), ""
    separable = isinstance(first_variance(problem), Separable)
    core = without_snapshots(problem)[0]
    structured = separable and problem.loss.weights is None and masked_parts(problem.A)
    whole = structured and kronecker_parts(problem.A) is not None
    if whole or (structured and _operations(core) > _QUICK):
        return _kronecker(problem, probes), "as operator and variances are separable"
    if not isinstance(core, Dense) and min(core.shape) > _SMALL:
        why = f"as there are more than {_SMALL} data and unknowns, and no matrix"
        return ConjugateGradientEngine(problem, probes), why
    try:
        small = f"with at most {_SMALL} data or unknowns"
        matrix = "as the operator is a matrix"
        return DenseEngine(problem), matrix if isinstance(core, Dense) else small
    except MemoryError:
        why = "as a dense factorisation would not fit into memory"
        return ConjugateGradientEngine(problem, probes), why


def _operations(core: Operator) -> float:
    """Of one dense posterior."""
    return 4.0 * min(core.shape) ** 2 * max(core.shape)


def _kronecker(problem: Any, probes: int) -> KroneckerEngine | MissingDataEngine:
    missing = kronecker_parts(problem.A) is None and masked_parts(problem.A)
    return MissingDataEngine(problem, probes) if missing else KroneckerEngine(problem)
