"""Gaussian posteriors: their moments, their factorisation, and what a user gets.

For y = A x + n with x ~ N(0, Γ), n ~ N(0, s²I) and B = A Γ^½, the covariance of the
data is S = s²I + B Bᴴ. One QR factorisation of B stacked with s times an identity gives
all that is wanted of S without forming it: squaring B would lose half the digits, which
single precision does not have. Nothing is divided by a variance, so they may be zero.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any, NamedTuple

import numpy as np

from sparsesolve import checks
from sparsesolve.backends import Array, abs_squared, array_namespace, conj, is_complex


class Moments(NamedTuple):
    """What a posterior engine offers; hierarchical priors see the first five."""

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


@dataclass(frozen=True, eq=False)
class Posterior:
    """The Gaussian posterior of the unknown, given the fitted variances.

    Uncertainty of the fitted variances themselves is not in it: an entry whose variance
    was fitted to zero has mean and variance zero.

    Attributes
    ----------
    mean, variance : array, shape of the unknown with batch axes
        In the units of the unknown and their square; of a complex entry, E|x - mean|².
    evidence : float or array of batch shape
        log p(y | hyper, noise_variance), in nats.
    noise_variance : float or array of batch shape
        Noise variance of an entry of weight 1; of a complex entry, E|n|².
    hyper : dict of str to array
        The prior's hyperparameters.
    """

    mean: Array
    variance: Array
    evidence: Any
    noise_variance: Any
    hyper: dict[str, Array]
    engine: Any
    prior: Any

    @property
    def std(self) -> Array:
        """Posterior standard deviation of each entry."""
        return array_namespace(self.variance).sqrt(self.variance)

    def interval(self, level: float = 0.95) -> Array:
        """Return the radius of each entry's credible interval around the mean.

        Parameters
        ----------
        level : float
            Probability, in (0, 1), that ``|x - mean| <= radius``.

        Returns
        -------
        array, shape of the unknown
            Half the width of a real entry's interval; the radius of a complex entry's
            disc.
        """
        if not 0 < checks.positive("level", level) < 1:
            raise ValueError(f"level is {level:g}; wanted a probability below 1")
        if is_complex(self.mean):
            return math.sqrt(-math.log1p(-level)) * self.std
        return NormalDist().inv_cdf(0.5 + 0.5 * level) * self.std

    def sample(self, rng: np.random.Generator, n: int = 1) -> Array:
        """Return `n` exact draws of the unknown, on a new first axis.

        Costs one factorisation and one product with A and Aᴴ a draw.
        """
        variance = self.prior.variance(self.hyper)
        n = checks.positive_int("n", n)
        draws = self.engine.deviations(variance, self.noise_variance, rng, n)
        return self.mean + draws


class Wide:
    """The factorisation where B has more columns than rows.

    [Bᴴ; sI] = [Q₁; Q₂] R has RᴴR = S, so Q₁ = Bᴴ R⁻¹ and Q₂ = s R⁻¹.

    Parameters
    ----------
    adjoint : (..., N, M) array
        Bᴴ.
    s : array of the leading shape
        Standard deviation of the noise.

    Attributes
    ----------
    shrinkage, slack : (..., N) arrays
        diag(Bᴴ S⁻¹ B) and one minus it.
    log_det, freedom : arrays of the leading shape
        log|S| and s² tr S⁻¹.
    """

    def __init__(self, adjoint: Array, s: Array) -> None:
        xp, n = array_namespace(adjoint), adjoint.shape[-2]
        self.adjoint, self.s = adjoint, s[..., None, None]
        q, r = xp.linalg.qr(_over_identity(adjoint, self.s))
        self.upper, self.lower = q[..., :n, :], q[..., n:, :]
        self.shrinkage = xp.sum(abs_squared(self.upper), axis=-1)
        self.slack = xp.clip(1 - self.shrinkage, 0, None)
        self.log_det = _log_det(r)
        self.freedom = power(self.lower, 2)

    def solve(self, y: Array) -> tuple[Array, Array]:
        """Return Bᴴ S⁻¹ y and s² S⁻¹ y for columns `y`, (..., M, C)."""
        xp = array_namespace(y)
        w = xp.matmul(hermitian(self.lower), y) / self.s
        return xp.matmul(self.upper, w), self.s * xp.matmul(self.lower, w)


class Tall:
    """The factorisation where B has at most as many columns as rows; as `Wide`.

    [B; sI] = [Q₁; Q₂] R has RᴴR = s²I + BᴴB, so Q₁ = B R⁻¹ and Q₂ = s R⁻¹. Of `slack`
    and `shrinkage`, and of the strong and weak entries of the solution, each is computed
    by the formula that loses no digits there.
    """

    def __init__(self, adjoint: Array, s: Array) -> None:
        xp, (n, m) = array_namespace(adjoint), adjoint.shape[-2:]
        self.adjoint, self.s = adjoint, s[..., None, None]
        q, r = xp.linalg.qr(_over_identity(hermitian(adjoint), self.s))
        self.upper, self.lower = q[..., :m, :], q[..., m:, :]
        self.slack = xp.clip(xp.sum(abs_squared(self.lower), axis=-1), None, 1)
        # S⁻¹B = B (s²I + BᴴB)⁻¹ = Q₁ Q₂ᴴ / s; both signs are conjugated here
        product = xp.matmul(self.lower, hermitian(self.upper)) / self.s
        terms = (
            xp.real(product * conj(adjoint))
            if is_complex(product)
            else (product * adjoint)
        )
        self._weak = self.slack > 0.5
        direct = xp.clip(xp.sum(terms, axis=-1), 0, None)
        self.shrinkage = xp.where(self._weak, direct, 1 - self.slack)
        self.log_det = _log_det(r) + (m - n) * xp.log(s * s)
        self.freedom = m - n + xp.sum(self.slack, axis=-1)

    def solve(self, y: Array) -> tuple[Array, Array]:
        """Return Bᴴ S⁻¹ y and s² S⁻¹ y for columns `y`, (..., M, C)."""
        xp = array_namespace(y)
        fit = xp.matmul(hermitian(self.upper), y)
        residual = y - xp.matmul(self.upper, fit)
        strong = xp.matmul(self.lower, fit) / self.s
        weak = xp.matmul(self.adjoint, residual) / (self.s * self.s)
        return xp.where(self._weak[..., None], weak, strong), residual


def factorisation(adjoint: Array, s: Array) -> Wide | Tall:
    """Return the cheaper factorisation for Bᴴ, (..., N, M)."""
    n, m = adjoint.shape[-2:]
    return Tall(adjoint, s) if n <= m else Wide(adjoint, s)


def hermitian(a: Array) -> Array:
    """Return the conjugate transpose of the last two axes."""
    return conj(array_namespace(a).matrix_transpose(a))


def power(a: Array, n_axes: int) -> Array:
    """Return the sum of |a|² over the last `n_axes` axes."""
    axes = tuple(range(a.ndim - n_axes, a.ndim))
    return array_namespace(a).sum(abs_squared(a), axis=axes)


def _over_identity(a: Array, s: Array) -> Array:
    """Stack `a` on s times the identity of its last axis."""
    xp, n = array_namespace(a), a.shape[-1]
    eye = s * xp.eye(n, dtype=a.dtype, device=a.device)
    return xp.concat([a, xp.broadcast_to(eye, (*a.shape[:-2], n, n))], axis=-2)


def _log_det(r: Array) -> Array:
    xp = array_namespace(r)
    return 2 * xp.sum(xp.log(xp.abs(xp.linalg.diagonal(r))), axis=-1)
