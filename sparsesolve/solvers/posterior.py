"""Gaussian posteriors: their moments, their factorisation, and what a user gets.

For y = A x + n with x ~ N(0, Γ), n ~ N(0, s²I) and B = A Γ^½, the covariance of the
data is S = s²I + B Bᴴ. Nothing is divided by a variance γ, so they may be zero.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from sparsesolve import checks
from sparsesolve.backends import Array, abs_squared, array_namespace, conj, is_complex
from sparsesolve.solution import PosteriorSummary


class Moments(NamedTuple):
    """What a posterior engine offers; hierarchical priors see the first five.

    An engine may have a class of its own with these attributes and methods, which
    computes them when they are asked for; ``leaves`` are the arrays that a state keeps
    of it, and ``restored(leaves, noise)`` of the engine takes them up again.
    """

    mean: Array
    """Posterior mean μ, of the unknown's shape."""
    variance: Array
    """Posterior variance γ (1 - shrinkage), of that shape."""
    whitened_power: Array
    """|μ|²/γ, computed without dividing by γ."""
    shrinkage: Array
    """γ diag(Aᴴ S⁻¹ A), in [0, 1]."""
    evidence: Any
    """log p(y | variances), batch shape."""
    misfit: Any
    """Σ w |y - Aμ|², batch shape."""
    freedom: Any
    """Data entries minus the sum of `shrinkage`, batch shape."""

    @property
    def unsure(self) -> bool:
        """Of no axis is it known whether its entries are the only explanation."""
        return False

    @property
    def leaves(self) -> tuple[Any, ...]:
        return tuple(self)

    def marginals(self, axis: int, n_axes: int) -> tuple[Array, Array]:
        """Return whitened power and shrinkage summed over all axes but one.

        `axis` is one of the last `n_axes`, those of one unknown.
        """
        xp, first = array_namespace(self.mean), self.mean.ndim - n_axes
        others = tuple(first + k for k in range(n_axes) if k != axis % n_axes)
        if not others:
            return self.whitened_power, self.shrinkage
        found = xp.sum(self.whitened_power, axis=others)
        return found, xp.sum(self.shrinkage, axis=others)


@dataclass(frozen=True, eq=False, repr=False)
class Posterior(PosteriorSummary):
    """The Gaussian posterior of the unknown, given the fitted variances.

    It is conditional on the learned hyperparameters: their own uncertainty is not in
    it. An entry whose variance was fitted to zero has mean and variance zero; it is
    `eliminated`, and its interval is NaN. Attributes are those of `PosteriorSummary`.
    """

    engine: Any
    prior: Any

    def sample(self, rng: np.random.Generator, n: int = 1) -> Array:
        """Return `n` exact draws of the unknown, on a new first axis.

        Costs one factorisation and one product with A and Aᴴ a draw.
        """
        variance = self.prior.variance(self.hyper)
        n = checks.positive_int("n", n)
        draws = self.engine.deviations(variance, self.noise_variance, rng, n)
        return self.mean + draws

    def __repr__(self) -> str:
        return f"Posterior of x {tuple(self.mean.shape)} under {self.prior!r}"


class Wide:
    """The factorisation where B has more columns than rows: S = C Cᴴ.

    Parameters
    ----------
    adjoint : (..., N, M) array
        Bᴴ.
    s2 : array of the leading shape
        Noise variance.

    Attributes
    ----------
    shrinkage : (..., N) array
        diag(Bᴴ S⁻¹ B).
    slack : (..., N) array
        One minus it.
    log_det : array of the leading shape
        log|S|.
    """

    def __init__(self, adjoint: Array, s2: Array) -> None:
        xp = array_namespace(adjoint)
        self.adjoint, self.s2 = adjoint, s2[..., None, None]
        b = hermitian(adjoint)
        self.root = xp.linalg.cholesky(xp.matmul(b, adjoint) + _diagonal(b, self.s2))
        self.half = xp.linalg.solve(self.root, b)
        self.shrinkage = xp.sum(abs_squared(self.half), axis=-2)
        self.slack = xp.clip(1 - self.shrinkage, 0, None)
        self.log_det = _log_det(self.root)

    def solve(self, y: Array) -> tuple[Array, Array]:
        """Return Bᴴ S⁻¹ y and s² S⁻¹ y for columns `y`, (..., M, C)."""
        xp = array_namespace(y)
        w = xp.linalg.solve(self.root, y)
        residual = self.s2 * xp.linalg.solve(hermitian(self.root), w)
        return xp.matmul(hermitian(self.half), w), residual


class Tall:
    """The factorisation where B has at most as many columns as rows; as `Wide`.

    With G = s²I + BᴴB = C Cᴴ (Woodbury): Bᴴ S⁻¹ = G⁻¹ Bᴴ, I - Bᴴ S⁻¹ B = s² G⁻¹.
    """

    def __init__(self, adjoint: Array, s2: Array) -> None:
        xp, (n, m) = array_namespace(adjoint), adjoint.shape[-2:]
        self.adjoint, self.s2 = adjoint, s2[..., None, None]
        gram = xp.matmul(adjoint, hermitian(adjoint))
        root = xp.linalg.cholesky(gram + _diagonal(adjoint, self.s2))
        eye = _diagonal(adjoint, xp.ones_like(self.s2))
        self.half = xp.linalg.solve(root, eye)
        self.slack = s2[..., None] * xp.sum(abs_squared(self.half), axis=-2)
        # not 1 - slack: what the data do not reach must have exactly zero
        part = conj(self.half) * xp.matmul(self.half, gram)
        part = xp.real(part) if is_complex(part) else part
        self.shrinkage = xp.clip(xp.sum(part, axis=-2), 0, 1)
        self.log_det = _log_det(root) + (m - n) * xp.log(s2)

    def solve(self, y: Array) -> tuple[Array, Array]:
        """Return Bᴴ S⁻¹ y and s² S⁻¹ y for columns `y`, (..., M, C)."""
        xp = array_namespace(y)
        w = xp.matmul(self.half, xp.matmul(self.adjoint, y))
        u = xp.matmul(hermitian(self.half), w)
        return u, y - xp.matmul(hermitian(self.adjoint), u)


def factorisation(adjoint: Array, s2: Array) -> Wide | Tall:
    """Return the cheaper factorisation for Bᴴ, (..., N, M)."""
    n, m = adjoint.shape[-2:]
    return Tall(adjoint, s2) if n <= m else Wide(adjoint, s2)


def hermitian(a: Array) -> Array:
    """Return the conjugate transpose of the last two axes."""
    return conj(array_namespace(a).matrix_transpose(a))


def power(a: Array, n_axes: int) -> Array:
    """Return the sum of |a|² over the last `n_axes` axes."""
    axes = tuple(range(a.ndim - n_axes, a.ndim))
    return array_namespace(a).sum(abs_squared(a), axis=axes)


def _diagonal(a: Array, value: Array) -> Array:
    """Return `value` times identities of the size of the second last axis of `a`."""
    xp, n = array_namespace(a), a.shape[-2]
    return xp.astype(value * xp.eye(n, dtype=value.dtype, device=a.device), a.dtype)


def _log_det(root: Array) -> Array:
    xp = array_namespace(root)
    diagonal = xp.linalg.diagonal(root)
    diagonal = xp.real(diagonal) if is_complex(diagonal) else diagonal
    return 2 * xp.sum(xp.log(diagonal), axis=-1)
