"""Normalised iterative hard thresholding: a name for settings of `ProximalGradient`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from sparsesolve.solvers.atoms import TOP_K
from sparsesolve.solvers.base import ARRAY_UNKNOWN, LEAST_SQUARES, Need
from sparsesolve.solvers.proximal_gradient import ProximalGradient


@dataclass(frozen=True)
class IHT(ProximalGradient):
    """Normalised iterative hard thresholding: least squares + TopK(k).

    The `ProximalGradient` of TopK(k) without momentum is iterative hard thresholding,
    x⁺ = the k largest entries of x - step Aᴴ(Ax - y). These are its settings with
    ``step_size="normalised"``, which is exact line search on the current support. The
    misfit never rises.

    Unlike `OMP` and `CoSaMP` it needs no columns of A, only A and Aᴴ, and it compares
    entries of the unknown as they are: where columns have very different norms, scale
    them.

    References
    ----------
    Blumensath and Davies, "Normalized iterative hard thresholding: guaranteed stability
    and performance", IEEE J. Sel. Topics Signal Process. 4(2), 2010, algorithm 1 with
    c → 0 and κ = 2.

    Examples
    --------
    >>> import numpy as np, sparsesolve as ss
    >>> A = np.random.default_rng(0).standard_normal((20, 40))
    >>> y = A[:, 7] - 2 * A[:, 30]
    >>> problem = ss.Problem(ss.LeastSquares(A, y), ss.priors.TopK(2))
    >>> np.flatnonzero(ss.solve(problem, ss.solvers.IHT()).x)
    array([ 7, 30])
    """

    momentum: bool = False
    step_size: float | Literal["normalised"] | None = "normalised"

    needs: ClassVar[tuple[Need, ...]] = (ARRAY_UNKNOWN, LEAST_SQUARES, TOP_K)
