"""A prior of magnitudes, phases left free."""

from __future__ import annotations

from typing import Any, Self

from sparsesolve.backends import Array, Shape, array_namespace, fresh_copy
from sparsesolve.priors.base import Prior
from sparsesolve.priors.denoiser import Denoiser
from sparsesolve.priors.total_variation import TotalVariation
from sparsesolve.priors.weights import bound_like


class Magnitude(Prior):
    """prior(|x|), for unknowns whose phase means nothing, as in radar images.

    For given magnitudes the best phase is that of v, so the prox acts on |v| under
    |x| >= 0 and restores the phase; entries that are 0 stay 0.

    Parameters
    ----------
    prior : Prior
        A prior with a prox that keeps non-negative arrays non-negative, so that it is
        the prox under |x| >= 0 as well; or a `Denoiser`, whose output is cut at 0.

    Raises
    ------
    TypeError
        The prior has no prox, or its prox leaves the non-negative arrays.

    Notes
    -----
    Convex only if the prior is convex and increasing, as L1 is and TV is not. TV of
    magnitudes alone is no prior: |x| constant with free phases costs nothing and fits
    most data. Add a little ``Magnitude(L1(lam))``.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsesolve.priors import L1, Magnitude
    >>> Magnitude(L1(1.0)).prox(np.array([3 + 4j, 0.5j]), 1.0)
    array([2.4+3.2j, 0. +0.j ])
    """

    keeps_nonnegative = True

    def __init__(self, prior: Prior) -> None:
        if not prior.has_prox:
            raise TypeError(
                f"Magnitude needs a prior with a prox; {prior!r} has none (write a sum "
                "as Magnitude(p) + Magnitude(q))"
            )
        if not prior.keeps_nonnegative and not isinstance(prior, Denoiser):
            raise TypeError(
                f"Magnitude needs a prior whose prox keeps non-negative arrays so; "
                f"that of {prior!r} does not"
            )
        self.prior = prior
        self.convex = prior.convex and prior.increasing
        self.increasing = prior.increasing
        self.separable = prior.separable
        self.has_value = prior.has_value
        self.tol = prior.tol
        if isinstance(prior, TotalVariation):
            self.caveat = (
                "constant magnitudes with free phases cost nothing and fit most data; "
                "add a little Magnitude(L1(lam))"
            )
        self.ignores_step = prior.ignores_step

    def __repr__(self) -> str:
        return f"Magnitude({self.prior!r})"

    @property
    def lam(self) -> Any:
        return self.prior.lam

    def with_lam(self, lam: Any) -> Self:
        new = fresh_copy(self)
        new.prior = self.prior.with_lam(lam)
        return new

    def bind(self, x_shape: Shape) -> Self:
        new = super().bind(x_shape)
        new.prior = self.prior.bind(x_shape)
        return new

    def value(self, x: Array) -> Array:
        return self.prior.value(array_namespace(x).abs(x))

    def prox(self, v: Array, step: Any) -> Array:
        return self.prox_warm(v, step, None)[0]

    def prox_warm(self, v: Array, step: Any, warm: Any) -> tuple[Array, Any]:
        xp = array_namespace(v)
        sizes = xp.abs(v)
        new, warm = self.prior.prox_warm(sizes, step, warm)
        present = sizes > 0
        phases = v / xp.where(present, sizes, xp.ones_like(sizes))
        return phases * xp.clip(new, min=0.0), warm

    def critical_lam(self, gradient: Array) -> Array:
        """Return that of the prior at |g|: the best phases are those of -g."""
        return self.prior.critical_lam(array_namespace(gradient).abs(gradient))

    def majorise(self, x: Array) -> Prior:
        """Return the magnitude of the prior's majoriser at |x|."""
        above = self.prior.majorise(array_namespace(x).abs(x))
        return bound_like(Magnitude(above), self)
