"""The contract of proximal priors, and their sums."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from functools import reduce
from typing import Any, Self

from sparsesolve import checks
from sparsesolve.backends import (
    Array,
    Shape,
    abs_squared,
    array_namespace,
    describe,
    dtype_of,
    expand,
    fresh_copy,
    is_complex,
    moved_copy,
)
from sparsesolve.priors.weights import real_like


class Prior(ABC):
    """A proximal prior: a function of the unknown with a proximal operator.

    `prox(v, step)` returns argmin_x prior(x) + ‖x - v‖² / (2 step). Real and complex
    arrays of any library; leading axes beyond the bound shape are a batch. Priors are
    immutable and never change their input. `lam` belongs to the prior and `step` to
    the solver; either may have batch shape. An attribute with a leading underscore is
    a cache, dropped by `to`.

    Attributes
    ----------
    convex : bool
        The function is convex.
    separable : bool
        The function is a sum over entries of x.
    keeps_nonnegative : bool
        The prox of a non-negative array is non-negative, so that it is also the prox
        of prior + (x >= 0).
    increasing : bool
        On non-negative arrays the value never falls when an entry grows, so that
        with `convex` the prior of |x| is convex too.
    real_only : bool
        The prior makes no sense for complex unknowns, and refuses them.
    has_value, has_prox : bool
        Whether `value` and `prox` exist: a denoiser has no value, a sum has no prox.
    ignores_step : bool
        The prox does not depend on `step` although it is no projection (a denoiser),
        so that a solver may not change its step to balance residuals.
    learns : bool
        The prior has parameters that a solver refreshes from the unknown (`learn`).
    lam : float or array of batch shape, or None
        Regularisation weight; None where the prior has none (a set, a denoiser).
    x_shape : tuple of int or None
        Shape of one unknown, set by `bind`; None before.
    caveat : str
        Why the prior alone leaves a complex unknown undetermined; a `Problem` whose
        terms all have one warns.
    tol : float
        Relative accuracy of an iterative prox; 0 where it is exact. A solve's default
        tolerance is no smaller.
    """

    hierarchical = False
    convex: bool = True
    separable: bool = False
    keeps_nonnegative: bool = False
    increasing: bool = False
    real_only: bool = False
    has_value: bool = True
    has_prox: bool = True
    ignores_step: bool = False
    learns: bool = False
    lam: Any = None
    x_shape: Shape | None = None
    caveat: str = ""
    tol: float = 0.0

    @abstractmethod
    def value(self, x: Array) -> Array:
        """Return the prior's value, of batch shape; infinite outside a set."""

    @abstractmethod
    def prox(self, v: Array, step: Any) -> Array:
        """Return argmin_x prior(x) + ‖x - v‖² / (2 step), unchecked."""

    def prox_warm(self, v: Array, step: Any, warm: Any) -> tuple[Array, Any]:
        """Return the prox and a warm start for the next call (None to begin).

        Solvers call this one. The warm start holds arrays of the shape of `v` in its
        leading batch axes, or is None.
        """
        return self.prox(v, step), warm

    def bind(self, x_shape: Shape) -> Self:
        """Return a copy that knows the shape of one unknown; axes beyond are batch.

        Raises
        ------
        ValueError
            The prior cannot live on that shape.
        """
        new = fresh_copy(self)
        object.__setattr__(new, "x_shape", tuple(x_shape))
        return new

    def with_lam(self, lam: Any) -> Self:
        """Return a copy with regularisation weight `lam` (a path calls this)."""
        if self.lam is None:
            raise TypeError(f"{self!r} has no lam to set")
        new = fresh_copy(self)
        object.__setattr__(new, "lam", checks.positive("lam", lam))
        return new

    def critical_lam(self, gradient: Array) -> Array:
        """Return the smallest lam at which x = 0 is optimal, batch shape.

        `gradient` is Aᴴ∇f(0), of the unknown's shape.
        """
        raise TypeError(
            f"{self!r} has no closed form for lam_max; pass lams to sparsesolve.path, "
            "for instance abs(A.H(y)).max() * numpy.geomspace(1, 1e-3, 20)"
        )

    def majorise(self, x: Array) -> Prior:
        """Return a simpler prior that touches this one at `x` and is never below.

        Up to a constant, which no minimiser sees.
        """
        raise TypeError(f"{self!r} offers no majoriser")

    @property
    def has_majoriser(self) -> bool:
        """Whether `majorise` exists."""
        return type(self).majorise is not Prior.majorise

    def learn(self, x: Array) -> dict[str, Array]:
        """Return what the prior learns from the unknown `x`: arrays by name.

        A solver keeps them in its state, so that a resumed solve goes on with them.
        """
        return {}

    def given(self, learnt: Mapping[str, Array]) -> Self:
        """Return the prior with what `learn` returned."""
        new = fresh_copy(self)
        object.__setattr__(new, "learnt", dict(learnt))
        return new

    def kernel(self) -> Any:
        """Return ``(scalar_prox, parameters)`` for coordinate descent.

        ``scalar_prox(v, step, parameters)`` is a Numba function of one entry, and
        `parameters` a tuple of floats, `lam` first: a new lam compiles nothing.
        """
        raise TypeError(f"{self!r} offers no scalar kernel")

    def to(self, device: str) -> Self:
        """Return a copy whose arrays live on `device`."""
        return moved_copy(self, device)

    def item_axes(self, x: Array) -> int:
        """Return how many trailing axes of `x` are one unknown."""
        return x.ndim if self.x_shape is None else len(self.x_shape)

    def total(self, terms: Array, x: Array) -> Array:
        """Sum `terms`, shaped as `x`, over one unknown's axes: batch shape."""
        n = self.item_axes(x)
        axes = tuple(range(x.ndim - n, x.ndim))
        return array_namespace(x).sum(terms, axis=axes)

    def largest(self, terms: Array, x: Array) -> Array:
        """Return the largest of `terms`, shaped as `x`, in one unknown: batch shape."""
        n = self.item_axes(x)
        axes = tuple(range(x.ndim - n, x.ndim))
        return array_namespace(x).max(terms, axis=axes)

    def weight(self, x: Array, step: Any = 1.0) -> Any:
        """Return lam·step, broadcastable to `x` and of its precision."""
        n = self.item_axes(x)
        lam, step = real_like(self.lam, x), real_like(step, x)
        return expand(lam, n) * expand(step, n)

    def refuse_complex(self, v: Array) -> None:
        """Raise if `v` is complex; a `real_only` prior's prox begins with this."""
        if is_complex(v):
            raise TypeError(
                f"{self!r} is for real unknowns but got {dtype_of(v)} numbers; wrap "
                "it as Magnitude(prior) to act on the magnitudes"
            )

    def __add__(self, other: Prior) -> Sum:
        if not isinstance(other, Prior):
            raise TypeError(f"cannot add a {type(other).__name__} to {self!r}")
        return Sum((*terms_of(self), *terms_of(other)))

    def __repr__(self) -> str:
        return describe(self)


class Zero(Prior):
    """No prior at all: value 0, prox the identity."""

    separable = True
    keeps_nonnegative = True
    increasing = True

    def value(self, x: Array) -> Array:
        return self.total(abs_squared(x) * 0.0, x)

    def prox(self, v: Array, step: Any) -> Array:
        return v


class Term(Prior):
    """The prior p(Kx): `prior` on the image of a linear operator `K`.

    It has no prox; `ADMM` and `PrimalDual` split it off.

    Parameters
    ----------
    prior : Prior
        A prior with a prox, on arrays of ``K.out_shape``.
    K : Operator, or anything `as_operator` takes
        For instance ``Gradient(shape)``.
    """

    has_prox = False

    def __init__(self, prior: Prior, K: Any) -> None:
        if not prior.has_prox:
            raise TypeError(f"Term needs a prior with a prox; {prior!r} has none")
        from sparsesolve.operators.bridges import as_operator

        self.prior, self.K = prior, as_operator(K)
        self.convex, self.has_value = prior.convex, prior.has_value
        self.tol = prior.tol
        self.ignores_step, self.real_only = prior.ignores_step, prior.real_only

    @property
    def lam(self) -> Any:
        return self.prior.lam

    def with_lam(self, lam: Any) -> Self:
        new = fresh_copy(self)
        new.prior = self.prior.with_lam(lam)
        return new

    def bind(self, x_shape: Shape) -> Self:
        if tuple(x_shape) != self.K.in_shape:
            raise ValueError(
                f"Term's operator {self.K!r} takes shape {self.K.in_shape}; the "
                f"unknown has shape {tuple(x_shape)}"
            )
        new = super().bind(x_shape)
        new.prior = self.prior.bind(self.K.out_shape)
        return new

    def value(self, x: Array) -> Array:
        return self.prior.value(self.K.forward(x))

    def prox(self, v: Array, step: Any) -> Array:
        raise TypeError(f"{self!r} has no prox; use ADMM or PrimalDual")

    def __repr__(self) -> str:
        return f"Term({self.prior!r}, {self.K!r})"


class Sum(Prior):
    """A sum of priors. It has no prox: solvers that can, split it.

    Soft-thresholding after a TV prox is not the prox of TV + ℓ1, so none is offered.
    """

    has_prox = False

    def __init__(self, terms: tuple[Prior, ...]) -> None:
        self.terms = tuple(terms)
        self.convex = all(t.convex for t in terms)
        self.tol = max(t.tol for t in terms)
        self.has_value = all(t.has_value for t in terms)
        self.real_only = any(t.real_only for t in terms)

    @property
    def lam(self) -> Any:
        return next((t.lam for t in self.terms if t.lam is not None), None)

    def with_lam(self, lam: Any) -> Self:
        """Set the first term's lam and keep the ratio of the others to it."""
        if self.lam is None:
            raise TypeError(f"{self!r} has no lam to set")
        factor = checks.positive("lam", lam) / self.lam
        new = fresh_copy(self)
        new.terms = tuple(
            t if t.lam is None else t.with_lam(t.lam * factor) for t in self.terms
        )
        return new

    def bind(self, x_shape: Shape) -> Self:
        new = super().bind(x_shape)
        new.terms = tuple(t.bind(x_shape) for t in self.terms)
        return new

    def value(self, x: Array) -> Array:
        values = [t.value(x) for t in self.terms]
        return sum(values[1:], start=values[0])

    def prox(self, v: Array, step: Any) -> Array:
        raise TypeError(f"{self!r} is a sum and has no prox; use ADMM or PrimalDual")

    def critical_lam(self, gradient: Array) -> Array:
        """Return an upper bound: x = 0 is optimal once any one term makes it so."""
        bounds = []
        for term in self.terms:
            try:
                bound = term.critical_lam(gradient)
            except TypeError:
                continue
            bounds.append(bound * (self.lam / term.lam))
        if not bounds:
            return super().critical_lam(gradient)
        xp = array_namespace(*bounds)
        return reduce(xp.minimum, bounds)

    def __repr__(self) -> str:
        return " + ".join(map(repr, self.terms))


def terms_of(prior: Prior) -> tuple[Prior, ...]:
    """Return the terms of a sum, or the prior alone."""
    return prior.terms if isinstance(prior, Sum) else (prior,)
