"""The ℓp quasi-norms whose prox has a closed form."""

from __future__ import annotations

import math
from typing import Any

from sparsesolve import checks
from sparsesolve.backends import Array, array_namespace, is_array
from sparsesolve.priors import weights as weighting
from sparsesolve.priors.base import Prior
from sparsesolve.priors.l1 import L1


class Lp(Prior):
    """lam · Σ |xᵢ|^p for p = 0 (the number of non-zeros), 1/2 or 2/3. Not convex.

    The prox is the global minimiser, in closed form. With w = lam·step it is 0 up to
    |v| = √(2w), (3/2) w^(2/3) or 2 (2w/3)^(3/4); at the threshold itself, where two
    minimisers tie, the one that is 0.

    Parameters
    ----------
    lam : float or array of batch shape
        Regularisation weight.
    p : {0, 0.5, 2/3}
        The exponent. For p = 1 there is `L1`, for p = 2 `SquaredL2`.

    Raises
    ------
    ValueError
        `lam` is not positive, or there is no closed form for `p`.

    References
    ----------
    Xu, Chang, Xu & Zhang, *L1/2 regularization: a thresholding representation theory*,
    2012, doi:10.1109/TNNLS.2012.2197412; Cao, Sun & Xu, *Fast image deconvolution
    using closed-form thresholding formulas of Lq (q = 1/2, 2/3) regularization*, 2013,
    doi:10.1016/j.jvcir.2012.10.006.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsesolve.priors import Lp
    >>> Lp(1.0, p=0).prox(np.array([1.5, -1.0]), 1.0)
    array([ 1.5, -0. ])
    """

    convex = False
    separable = True
    keeps_nonnegative = True
    increasing = True

    def __init__(self, lam: Any, p: float) -> None:
        self.lam = checks.positive("lam", lam)
        p = checks.positive("p", p, zero=True)
        closed = [q for q in (0.0, 0.5, 2 / 3) if math.isclose(p, q)]
        if not closed:
            raise ValueError(
                f"p is {p:g}; wanted 0, 0.5 or 2/3, whose prox has a closed form (for "
                "p = 1 use L1, for p = 2 SquaredL2)"
            )
        self.p = closed[0]

    def value(self, x: Array) -> Array:
        xp = array_namespace(x)
        sizes = xp.abs(x)
        powers = xp.astype(sizes > 0, sizes.dtype) if self.p == 0 else sizes**self.p
        return self.lam * self.total(powers, x)

    def prox(self, v: Array, step: Any) -> Array:
        xp = array_namespace(v)
        w = self.weight(v, step)
        if self.p == 0:
            threshold = (2 * w) ** 0.5
        elif self.p == 0.5:
            threshold = 1.5 * w ** (2 / 3)
        else:
            threshold = 2 * (2 * w / 3) ** 0.75
        sizes = xp.abs(v)
        kept = sizes > threshold
        s = threshold / xp.where(kept, sizes, xp.ones_like(sizes))
        s = xp.where(kept, s, xp.ones_like(sizes))
        factors = xp.ones_like(sizes) if self.p == 0 else self._factors(s)
        return v * xp.where(kept, factors, xp.zeros_like(sizes))

    def _factors(self, s: Array) -> Array:
        """Return x / v for threshold / |v| = s <= 1.

        Written in s, the formulas have no constants left and nothing overflows.
        """
        xp = array_namespace(s)
        if self.p == 0.5:
            angle = xp.acos(xp.sqrt(s**3 / 2))
            return 2 / 3 * (1 + xp.cos(2 / 3 * (math.pi - angle)))
        # x = y³ with q = y / |v|^(1/3) a root of q⁴ - q + (s/2)^(4/3); a² is the root
        # of its resolvent cubic, and q the larger root of q² - a q + (a² - 1/a)/2.
        d = xp.sqrt(0.25 - 4 / 27 * s**4)
        c = (0.5 + d) ** (1 / 3)
        a = xp.sqrt(c + (4 / 27 * s**4) ** (1 / 3) / c)
        return ((a + xp.sqrt(2 / a - a * a)) / 2) ** 3

    def majorise(self, x: Array) -> Prior:
        """Return the tangent at |x|, p |x|^(p-1) · |z|; entries that are 0 stay 0.

        The number of non-zeros (p = 0) has none but the constant, and offers none.
        """
        if self.p == 0:
            return super().majorise(x)
        xp = array_namespace(x)
        sizes = xp.abs(x)
        ones = xp.ones_like(sizes)
        slopes = self.p * xp.where(sizes > 0, sizes, ones) ** (self.p - 1)
        slopes = xp.where(sizes > 0, slopes, xp.full_like(sizes, xp.inf))
        return weighting.bound_like(L1(self.lam, slopes), self)

    def kernel(self) -> Any:
        if is_array(self.lam):
            return super().kernel()
        from sparsesolve.priors import pointwise_kernels

        return pointwise_kernels.power, (self.lam, self.p)
