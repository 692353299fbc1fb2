"""The sparse fused lasso: few entries, and few differences between neighbours."""

from __future__ import annotations

from typing import Any, Self

from sparsesolve import checks
from sparsesolve.backends import Array, Shape, array_namespace
from sparsesolve.priors.base import Prior
from sparsesolve.priors.l1 import soft_threshold
from sparsesolve.priors.total_variation import TotalVariation

# Of an interval that spans a factor of at most 100: to a thousandth.
_BISECTIONS = 13


class FusedLasso(Prior):
    """lam · (‖x‖₁ + tv · Σ |∇x|), with the anisotropic total variation.

    Soft-thresholding after the prox of total variation is the prox of both exactly
    where the latter takes the sum over the axes: a monotone function of each entry
    leaves the signs of all differences, which are its subgradients, valid. With the
    Euclidean norm over the axes it is not, and ``L1 + TotalVariation`` is to be split
    by ADMM.

    Parameters
    ----------
    lam : float or array of batch shape
        Regularisation weight, that of the ℓ1 norm.
    tv : float
        Weight of the total variation over that of the ℓ1 norm.
    tol, max_iter
        Of the prox of total variation, see `TotalVariation`.

    Raises
    ------
    ValueError
        `lam`, `tv` or `tol` is not positive; an unknown has more than three axes.

    References
    ----------
    Tibshirani et al., *Sparsity and smoothness via the fused lasso*, 2005,
    doi:10.1111/j.1467-9868.2005.00490.x; Friedman et al., *Pathwise coordinate
    optimization*, 2007, doi:10.1214/07-AOAS131, proposition 1.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsesolve.priors import FusedLasso
    >>> FusedLasso(1.0, tv=1.0).prox(np.array([0.0, 0.0, 6.0, 6.0]), 1.0)
    array([0. , 0. , 4.5, 4.5])
    """

    keeps_nonnegative = True
    real_only = True

    def __init__(
        self, lam: Any, tv: float, *, tol: float = 1e-4, max_iter: int = 2000
    ) -> None:
        self.tv = checks.positive_number("tv", tv)
        self.lam = checks.positive("lam", lam)
        self.total_variation = TotalVariation(
            self.lam * self.tv, isotropic=False, tol=tol, max_iter=max_iter
        )
        self.tol = self.total_variation.tol

    def __repr__(self) -> str:
        return f"FusedLasso({self.lam!r}, tv={self.tv:g})"

    def with_lam(self, lam: Any) -> Self:
        new = super().with_lam(lam)
        new.total_variation = self.total_variation.with_lam(lam * self.tv)
        return new

    def bind(self, x_shape: Shape) -> Self:
        new = super().bind(x_shape)
        new.total_variation = self.total_variation.bind(x_shape)
        return new

    def value(self, x: Array) -> Array:
        sizes = self.total(array_namespace(x).abs(x), x)
        return self.lam * sizes + self.total_variation.value(x)

    def prox(self, v: Array, step: Any) -> Array:
        return self.prox_warm(v, step, None)[0]

    def prox_warm(self, v: Array, step: Any, warm: Any) -> tuple[Array, Any]:
        """Return the prox and the dual of its total variation."""
        self.refuse_complex(v)
        x, warm = self.total_variation.prox_warm(v, step, warm)
        return soft_threshold(x, self.weight(v, step)), warm

    def critical_lam(self, gradient: Array) -> Array:
        """Return it by bisection, to a thousandth: no closed form is known."""
        xp, n = array_namespace(gradient), self.item_axes(gradient)
        high = self.largest(xp.abs(gradient), gradient)
        # an entry has two neighbours along each axis, which can cancel it
        low = high / (1 + 2 * n * self.tv)
        for _ in range(_BISECTIONS):
            middle = (low * high) ** 0.5
            x = self.with_lam(xp.where(middle > 0, middle, xp.ones_like(middle))).prox(
                gradient, 1.0
            )
            zero = self.largest(xp.abs(x), gradient) == 0
            low, high = xp.where(zero, low, middle), xp.where(zero, middle, high)
        return high
