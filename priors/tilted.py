"""A linear cost on a set."""

from __future__ import annotations

from typing import Any, Self

from sparsesolve import checks
from sparsesolve.backends import Array, Shape, array_namespace
from sparsesolve.priors.base import Prior
from sparsesolve.priors.weights import real_like


class Tilted(Prior):
    """lam · ⟨costs, x⟩ on a set: the prox is the set's own, of v - step·lam·costs.

    ``Tilted(lam, NonNegative())`` is the ℓ1 norm of non-negative unknowns, as
    abundances are; with an array of costs it is what a concave penalty on a set is
    majorised by (`GuidedLp`).

    Parameters
    ----------
    lam : float or array of batch shape
        Regularisation weight.
    within : Prior
        The set, or any real prior that has a prox, such as `NonNegative`, `Simplex`,
        `SoftSimplex`, `Box`.
    costs : array that broadcasts to the unknown, optional
        Price of a unit of each entry, of any sign; default 1.

    Raises
    ------
    TypeError, ValueError
        `lam` is not positive; `within` has no prox or is not for real unknowns; a cost
        is not finite, or they do not broadcast to the unknown.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsesolve.priors import NonNegative, Tilted
    >>> Tilted(1.0, NonNegative()).prox(np.array([3.0, 0.5, -2.0]), 1.0)
    array([2., 0., 0.])
    """

    real_only = True

    def __init__(self, lam: Any, within: Prior, costs: Array | None = None) -> None:
        if not isinstance(within, Prior) or not within.has_prox:
            raise TypeError(f"within is {within!r}; wanted a set with a prox")
        if not within.real_only:
            raise TypeError(
                f"within is {within!r}, for complex unknowns too, which have no linear "
                "cost; wanted one for real unknowns such as NonNegative()"
            )
        if costs is not None:
            checks.finite("costs", costs)
        self.lam = checks.positive("lam", lam)
        self.within, self.costs = within, costs
        self.convex, self.separable = within.convex, within.separable
        rising = costs is None or bool(array_namespace(costs).all(costs >= 0))
        self.keeps_nonnegative = within.keeps_nonnegative
        self.increasing = within.increasing and rising

    def bind(self, x_shape: Shape) -> Self:
        if self.costs is not None:
            checks.broadcasts("costs", tuple(self.costs.shape), tuple(x_shape))
        new = super().bind(x_shape)
        object.__setattr__(new, "within", self.within.bind(x_shape))
        return new

    def value(self, x: Array) -> Array:
        return self.lam * self.total(self._priced(x, x), x) + self.within.value(x)

    def prox(self, v: Array, step: Any) -> Array:
        self.refuse_complex(v)
        return self.within.prox(v - self._priced(self.weight(v, step), v), step)

    def __repr__(self) -> str:
        costs = "" if self.costs is None else f", costs=array{tuple(self.costs.shape)}"
        return f"Tilted(lam={self.lam}, {self.within!r}{costs})"

    def prices(self, x: Array) -> Any:
        """Return lam · costs, broadcastable to `x`."""
        return self._priced(self.weight(x), x)

    def _priced(self, amount: Any, x: Array) -> Any:
        return amount if self.costs is None else amount * real_like(self.costs, x)
