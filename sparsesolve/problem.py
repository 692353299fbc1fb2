"""A problem: a loss and a prior that fit each other."""

from __future__ import annotations

import warnings
from typing import Any, Self

import numpy as np

from sparsesolve import checks
from sparsesolve.backends import (
    Array,
    Shape,
    array_namespace,
    arrays_in,
    device_of,
    dtype_of,
    fresh_copy,
    is_array,
    moved_copy,
    native_dtype,
    to_device,
)
from sparsesolve.losses import Loss
from sparsesolve.priors.base import Prior, Term, Zero, terms_of
from sparsesolve.priors.hierarchical import HierarchicalPrior


class Problem:
    """Minimise or infer ``loss(A x) + prior(x)``.

    Shapes, dtypes and devices are checked here, once.

    Parameters
    ----------
    loss : Loss
        For instance ``LeastSquares(A, y)``.
    prior : Prior, HierarchicalPrior, or dict of block name to Prior, optional
        None for no prior. A dict where the unknown is a dict of named blocks; blocks
        without an entry have no prior.

    Attributes
    ----------
    x_shape : tuple of int, or dict of block name to tuple
        Shape of one unknown, without batch axes.
    x_dtype : numpy.dtype
        Dtype of the unknown: that of the data unless the operator says it is real.
    batch_shape : tuple of int
        Shape of the batch of independent problems; () for one.
    device : str
        Where the data live, as in ``"numpy"``.
    choices : dict of str to str
        What was chosen for the user so far, and why.

    Warns
    -----
    RuntimeWarning
        The prior alone leaves a complex unknown undetermined (TV of magnitudes).
    """

    def __init__(self, loss: Loss, prior: Any = None) -> None:
        if not isinstance(loss, Loss):
            raise TypeError(
                f"loss is a {type(loss).__name__}; wanted a loss such as "
                "sparsesolve.LeastSquares(A, y)"
            )
        self.loss = loss
        self.choices = dict(loss.notes)
        self.x_shape: Any = loss.A.in_shape
        self.x_dtype = _unknown_dtype(loss)
        self.batch_shape = loss.batch_shape
        self.device = device_of(loss.y)
        self.prior = self._bound(prior)
        self._check_prior()

    @property
    def A(self) -> Any:
        """The loss's operator."""
        return self.loss.A

    @property
    def is_blocks(self) -> bool:
        """Whether the unknown is a dict of named blocks."""
        return isinstance(self.x_shape, dict)

    @property
    def terms(self) -> tuple[tuple[Prior, Any], ...]:
        """The prior as pairs (prior with a prox, operator or None)."""
        return tuple(
            (t.prior, self._on_unknown(t.K)) if isinstance(t, Term) else (t, None)
            for t in terms_of(self.prior)
        )

    def value(self, x: Any) -> Array:
        """Return loss(A x) + prior(x), batch shape."""
        priors = self.prior.values() if self.is_blocks else [self.prior]
        for prior in priors:
            if not prior.has_value:
                raise TypeError(f"{prior!r} has no value")
        total = self.loss.value(self.A.forward(x))
        if not self.is_blocks:
            return total + self.prior.value(x)
        return sum((p.value(x[name]) for name, p in self.prior.items()), start=total)

    def zeros(self) -> Any:
        """Return an unknown of zeros, batch axes included."""
        return self._filled(lambda shape: np.zeros(shape, self.x_dtype))

    def random(self, rng: np.random.Generator) -> Any:
        """Return an unknown of uniform random numbers in [0, 1)."""
        return self._filled(lambda shape: np.asarray(rng.random(shape), self.x_dtype))

    def start(self, x0: Any) -> Any:
        """Return a checked copy-on-write start: `x0`, or zeros if it is None."""
        if x0 is None:
            return self.zeros()
        if not self.is_blocks:
            return self._checked("x0", x0, self.x_shape)
        if not isinstance(x0, dict) or set(x0) != set(self.x_shape):
            found = sorted(x0) if isinstance(x0, dict) else type(x0).__name__
            raise ValueError(f"x0 is {found}; wanted blocks {sorted(self.x_shape)}")
        return {
            name: self._checked(f"x0[{name!r}]", x0[name], shape)
            for name, shape in self.x_shape.items()
        }

    def lam_max(self) -> Any:
        """Return the smallest lam for which x = 0 solves the problem.

        Returns
        -------
        float, or array of batch shape
            For a sum of priors an upper bound: the first term's lam, the ratios of
            the others to it kept.

        Raises
        ------
        TypeError
            The loss has no gradient, or the prior no closed form.
        """
        if self.is_blocks:
            raise TypeError("lam_max needs one array unknown, not named blocks")
        zero = self.zeros()
        gradient = self.A.adjoint(self.loss.gradient(self.A.forward(zero)))
        lam = self.prior.critical_lam(gradient)
        return lam if self.batch_shape else float(lam)

    def with_lam(self, lam: Any) -> Self:
        """Return the same problem with the prior's weight set to `lam`."""
        if self.is_blocks:
            raise TypeError("with_lam needs one array unknown; use with_prior")
        return self.with_prior(self.prior.with_lam(lam))

    def with_prior(self, prior: Any) -> Self:
        """Return the same loss under another prior."""
        new = fresh_copy(self)
        new.prior = new._bound(prior)
        new._check_prior()
        return new

    def with_loss(self, loss: Loss) -> Self:
        """Return the same prior under another loss of equal shapes."""
        shapes = (self.x_shape, self.batch_shape)
        if (loss.A.in_shape, loss.batch_shape) != shapes:
            raise ValueError(
                f"loss is on {loss.A!r}, batch {loss.batch_shape}; wanted unknown and "
                f"batch of shapes {shapes}"
            )
        new = fresh_copy(self)
        new.loss = loss
        return new

    def partial(self, block: str, x: dict[str, Array]) -> Problem:
        """Return the problem in one named block, the others held at `x`."""
        if not self.is_blocks or block not in self.x_shape:
            raise KeyError(f"no block {block!r}; the unknown has {self.x_shape}")
        return Problem(self.loss.partial(block, x), self.prior[block])

    def to(self, device: str) -> Self:
        """Return a copy whose arrays live on `device`, such as ``"cupy:0"``."""
        new = moved_copy(self, device)
        new.device = device_of(new.loss.y)
        return new

    def _on_unknown(self, K: Any) -> Any:
        """Return `K` for this unknown: if it is real, the adjoint must be, too."""
        complex_ = K.in_dtype is not None and K.in_dtype.kind == "c"
        return K.real() if complex_ and self.x_dtype.kind == "f" else K

    def _filled(self, make: Any) -> Any:
        def one(shape: Shape) -> Array:
            return to_device(make((*self.batch_shape, *shape)), self.device)

        if not self.is_blocks:
            return one(self.x_shape)
        return {name: one(shape) for name, shape in self.x_shape.items()}

    def _checked(self, name: str, x: Array, shape: Shape) -> Array:
        checks.finite(name, x)
        checks.same_device("the problem", x, self.device)
        wanted = (*self.batch_shape, *shape)
        if tuple(x.shape) != wanted:
            hint = checks.swapped(tuple(x.shape), wanted)
            raise ValueError(
                f"{name} has shape {tuple(x.shape)}; wanted {wanted}{hint}"
            )
        if dtype_of(x).kind == "c" and self.x_dtype.kind == "f":
            raise TypeError(f"{name} is complex but the unknown is real")
        xp = array_namespace(x)
        return xp.astype(x, native_dtype(xp, self.x_dtype), copy=False)

    def _bound(self, prior: Any) -> Any:
        if prior is not None and isinstance(prior, dict) != self.is_blocks:
            wanted = (
                f"a dict of priors for the blocks {list(self.x_shape)}"
                if self.is_blocks
                else "one prior, since the unknown is one array"
            )
            raise TypeError(f"prior is a {type(prior).__name__}; wanted {wanted}")
        if not self.is_blocks:
            return _bind_one(Zero() if prior is None else prior, self.x_shape)
        prior = prior or {}
        unknown = sorted(set(prior) - set(self.x_shape))
        if unknown:
            raise KeyError(
                f"prior names {unknown}; the blocks are {list(self.x_shape)}"
            )
        return {
            name: _bind_one(prior.get(name, Zero()), shape)
            for name, shape in self.x_shape.items()
        }

    def _check_prior(self) -> None:
        priors = self.prior.values() if self.is_blocks else [self.prior]
        for prior in priors:
            for term in terms_of(prior):
                self._check_term(term)
            caveats = [getattr(term, "caveat", "") for term in terms_of(prior)]
            if self.x_dtype.kind == "c" and all(caveats):
                warnings.warn(f"{prior!r}: {caveats[0]}", RuntimeWarning, stacklevel=4)

    def _check_term(self, term: Any) -> None:
        for a in arrays_in(term):
            if a.ndim > 0 and device_of(a) != self.device:
                raise TypeError(
                    f"the prior holds arrays on {device_of(a)}, the data are on "
                    f"{self.device}; move the prior with .to({self.device!r})"
                )
        if self.x_dtype.kind == "c" and getattr(term, "real_only", False):
            raise TypeError(
                f"{term!r} is for real unknowns; this one is {self.x_dtype}: act on "
                "its magnitude with Magnitude(prior), or use A.real()"
            )
        if isinstance(term, Term):
            empty = np.empty(0, self.x_dtype)
            checks.same_precision(repr(term), empty, term.K.in_dtype)
        lam: Any = getattr(term, "lam", None)
        if is_array(lam) and lam.ndim and tuple(lam.shape) != self.batch_shape:
            raise ValueError(
                f"lam of {term!r} has shape {tuple(lam.shape)}; wanted a number or the "
                f"batch shape {self.batch_shape}"
            )

    def __repr__(self) -> str:
        batch = f", batch {self.batch_shape}" if self.batch_shape else ""
        return (
            f"Problem({type(self.loss).__name__} of {self.A!r} + {self.prior!r}, "
            f"{self.x_dtype} on {self.device}{batch})"
        )


def _unknown_dtype(loss: Loss) -> np.dtype[Any]:
    """Real only if the operator says so, or if neither it nor the data are complex."""
    data, operator = dtype_of(loss.y), loss.A.in_dtype
    if operator is None:
        return data
    out = loss.A.out_dtype
    if operator.kind == "f" and out is not None and out.kind == "c":
        return operator
    return np.result_type(operator, data)


def _name(obj: Any) -> str:
    if isinstance(obj, type):
        return f"the class {obj.__name__}"
    return f"a {type(obj).__name__}"


def _bind_one(prior: Any, shape: Shape) -> Any:
    if not isinstance(prior, (Prior, HierarchicalPrior)):
        raise TypeError(
            f"prior is {_name(prior)}; wanted a prior such as "
            "sparsesolve.priors.L1(lam)"
        )
    return prior.bind(shape)
