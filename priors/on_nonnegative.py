"""A prior of unknowns that are non-negative besides."""

from __future__ import annotations

from typing import Any, Self

from sparsesolve.backends import Array, Shape, array_namespace, fresh_copy
from sparsesolve.priors.base import Prior
from sparsesolve.priors.bounds import NonNegative


class OnNonNegative(Prior):
    """prior(x) on the real arrays with x >= 0, as one prior with an exact prox.

    ``OnNonNegative(GroupL2(lam, 1))`` is the non-negative group lasso: a row is absent
    as a whole, exactly 0, and the others are non-negative. A sum of the two would be
    split by a solver, and hold both only to its tolerance.

    Parameters
    ----------
    prior : Prior
        A prior that never falls when an entry of a non-negative array grows
        (``increasing``) and whose prox keeps non-negative arrays so.

    Raises
    ------
    TypeError
        The prior has no prox, or is not of that kind.

    Notes
    -----
    The prox is the prior's own of max(v, 0). Where v is negative, 0 is the nearest
    allowed entry and costs least, so that the minimiser is 0 there; for it the negative
    entries of v might as well be 0, and of a non-negative array the prior's own prox is
    non-negative.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsesolve.priors import GroupL2, OnNonNegative
    >>> OnNonNegative(GroupL2(1.0, 0)).prox(np.array([3.0, 4.0, -9.0]), 1.0)
    array([2.4, 3.2, 0. ])
    """

    keeps_nonnegative = True
    increasing = True
    real_only = True

    def __init__(self, prior: Prior) -> None:
        if not (prior.has_prox and prior.increasing and prior.keeps_nonnegative):
            raise TypeError(
                f"OnNonNegative got {prior!r}; wanted a prior with a prox that grows "
                "with the entries of non-negative arrays, such as GroupL2 or L1"
            )
        self.prior = prior
        self.convex, self.separable = prior.convex, prior.separable
        self.has_value, self.tol = prior.has_value, prior.tol

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
        inside = NonNegative()
        if self.x_shape is not None:
            inside = inside.bind(self.x_shape)
        return self.prior.value(x) + inside.value(x)

    def prox(self, v: Array, step: Any) -> Array:
        return self.prox_warm(v, step, None)[0]

    def prox_warm(self, v: Array, step: Any, warm: Any) -> tuple[Array, Any]:
        self.refuse_complex(v)
        return self.prior.prox_warm(array_namespace(v).clip(v, min=0.0), step, warm)

    def critical_lam(self, gradient: Array) -> Array:
        """Return that of the prior, with the entries that pull upwards alone."""
        return self.prior.critical_lam(
            array_namespace(gradient).clip(gradient, max=0.0)
        )
