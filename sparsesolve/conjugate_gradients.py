"""Conjugate gradients over a batch of problems."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any

from sparsesolve.backends import (
    Array,
    array_namespace,
    dtype_of,
    expand,
    inner,
    is_array,
    native_dtype,
    real_dtype,
)
from sparsesolve.operators.base import Operator

_ADVICE = "raise max_iter, tol or the weight of the quadratic terms"


class ConvergenceWarning(RuntimeWarning):
    """Conjugate gradients stopped before their tolerance."""


def normal_cg(
    apply: Callable[[Array], Array],
    rhs: Array,
    x0: Array,
    *,
    tol: float = 1e-6,
    max_iter: int = 500,
    n_axes: int | None = None,
    precondition: Callable[[Array], Array] | None = None,
    advice: str = _ADVICE,
) -> tuple[Array, int]:
    """Solve ``apply(x) = rhs`` by conjugate gradients, each problem to its own end.

    Parameters
    ----------
    apply : callable
        A Hermitian positive definite map, such as x ↦ AᴴA x + Σ rhoᵢ KᵢᴴKᵢ x.
    rhs, x0 : (*batch, ...) arrays
        Right-hand side and start; not changed.
    tol : float
        A problem stops at ‖rhs − apply(x)‖ <= tol ‖rhs‖.
    max_iter : int
        Largest number of iterations.
    n_axes : int, optional
        Trailing axes of one problem; by default all, no batch.
    precondition : callable, optional
        A Hermitian positive definite map close to the inverse of `apply`, but for a
        factor. The residual that counts stays the plain one.
    advice : str
        What the warning says to do.

    Returns
    -------
    x : array
        The solutions; problems that have stopped stay as they are.
    n_iter : int
        Iterations of the slowest problem.

    Warns
    -----
    ConvergenceWarning
        Some problem did not reach `tol`.
    """
    n = rhs.ndim if n_axes is None else n_axes
    xp = array_namespace(rhs)
    # At unit scale, squares of small single-precision numbers do not vanish.
    size = xp.max(xp.abs(rhs), axis=tuple(range(rhs.ndim - n, rhs.ndim)), keepdims=True)
    scale = xp.where(size > 0, size, xp.ones_like(size))
    b = rhs / scale
    x = xp.where(size > 0, x0 / scale, xp.zeros_like(x0))
    r = b - apply(x)
    power, goal = inner(r, r, n), tol**2 * inner(b, b, n)
    p, slope = _direction(precondition, r, power, n)
    active, n_iter = power > goal, 0
    while n_iter < max_iter and bool(xp.any(active)):
        q = apply(p)
        curvature = inner(p, q, n)
        active = active & (curvature > 0)
        alpha = expand(_ratio(slope, curvature, active), n)
        x, r = x + alpha * p, r - alpha * q
        new = inner(r, r, n)
        z, steep = _direction(precondition, r, new, n)
        p = z + expand(_ratio(steep, slope, active), n) * p
        power = xp.where(active, new, power)
        slope = xp.where(active, steep, slope)
        active = active & (power > goal)
        n_iter += 1
    _warn_if_short(power, goal, tol, n_iter, advice)
    return x * scale, n_iter


def _direction(
    precondition: Callable[[Array], Array] | None, r: Array, power: Array, n: int
) -> tuple[Array, Array]:
    """Return the preconditioned residual z and Re⟨r, z⟩."""
    if precondition is None:
        return r, power
    z = precondition(r)
    return z, inner(r, z, n)


def per_entry(rho: Any, x: Array, n_axes: int) -> Any:
    """Return `rho` in the precision of `x`, ready to meet `n_axes` axes of an item."""
    if not is_array(rho):
        return float(rho)
    xp = array_namespace(x, rho)
    real = native_dtype(xp, real_dtype(dtype_of(x)))
    return expand(xp.astype(rho, real, copy=False), n_axes)


class NormalEquations:
    """Minimises ‖Ax − u‖² + rho ‖x − w‖² by conjugate gradients, started warm.

    Without a preconditioner: on the reference radar the diagonal of AᴴA + rho I, which
    varies twelvefold over the voxels, takes 10 to 25 % more steps than none, and the
    same equations in the domain of the data up to 30 % more.

    Parameters
    ----------
    A : Operator
    tol, max_iter
        See `normal_cg`.
    why : str
        Why it is used, added to `method`.
    """

    def __init__(self, A: Operator, tol: float, max_iter: int, why: str = "") -> None:
        self.A, self.tol, self.max_iter = A, tol, max_iter
        self.method = (
            f"conjugate gradients to a relative residual of {tol:g}, warm-started{why}"
        )

    def solve(
        self, w: Array, u: Array, rho: Any, warm: Any = None
    ) -> tuple[Array, Array, Any]:
        A, n = self.A, len(self.A.in_shape)
        rho = per_entry(rho, w, n)
        x, _ = normal_cg(
            lambda x: A.gram(x) + rho * x,
            A.adjoint(u) + rho * w,
            w if warm is None else warm,
            tol=self.tol,
            max_iter=self.max_iter,
            n_axes=n,
        )
        return x, A.forward(x), x


def _ratio(a: Array, b: Array, counts: Array) -> Array:
    """Return a / b where it counts, else 0."""
    xp = array_namespace(a)
    quotient = a / xp.where(counts, b, xp.ones_like(b))
    return xp.where(counts, quotient, xp.zeros_like(quotient))


def _warn_if_short(
    power: Array, goal: Array, tol: float, n_iter: int, advice: str
) -> None:
    xp = array_namespace(power)
    short = ~(power <= goal)
    count = int(xp.sum(xp.astype(xp.asarray(short), xp.int64)))
    if count == 0:
        return
    worst = tol * math.sqrt(float(xp.max(_ratio(power, goal, short))))
    many = f"{count} of {math.prod(power.shape)} problems"
    warnings.warn(
        f"conjugate gradients stopped after {n_iter} iterations at a relative "
        f"residual of {worst:.1e} instead of {tol:g} in {many}; {advice}",
        ConvergenceWarning,
        stacklevel=3,
    )
