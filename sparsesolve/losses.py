"""Losses f(Ax): how far the model is from the data."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from functools import cached_property, reduce
from operator import mul
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from sparsesolve import checks
from sparsesolve.backends import (
    Array,
    Shape,
    abs_squared,
    array_namespace,
    describe,
    device_of,
    dtype_of,
    expand,
    fresh_copy,
    is_array,
    moved_copy,
    native_dtype,
    norm,
    real_dtype,
    scalar,
)
from sparsesolve.operators.base import DType
from sparsesolve.operators.bridges import as_operator
from sparsesolve.operators.kronecker import Kronecker

if TYPE_CHECKING:
    from sparsesolve.normal_form import NormalForm


class Loss(ABC):
    """A function f of z = Ax, kept apart from A so that solvers can split them.

    Parameters
    ----------
    A : Operator, or anything `as_operator` takes
        A 2-D array, a SciPy sparse matrix, a SciPy or PyLops linear operator.
    y : array, shape ``(*batch, *A.out_shape)``
        Data. Leading axes beyond ``A.out_shape`` are independent problems.

    Attributes
    ----------
    smooth : bool
        `gradient` exists and is Lipschitz with constant `curvature`.
    finite : bool
        The value is finite everywhere: not a constraint.
    curvature : float
        Lipschitz constant of the gradient of f with respect to z.
    """

    smooth = True
    finite = True
    curvature: float = 1.0

    def __init__(self, A: Any, y: Array) -> None:
        self.A = as_operator(A)
        checks.finite("y", y)
        checks.trailing_shape(
            f"the data y of {self.A!r}", y, self.A.out_shape, _unlike_rows(self.A, y)
        )
        checks.same_device(f"{self.A!r}", y, self.A.device)
        self.y = _cast(y, _data_dtype(self.A.out_dtype, dtype_of(y)))
        _refuse_extremes(self.y)
        self.notes = _cast_note(dtype_of(y), dtype_of(self.y))

    @property
    def batch_shape(self) -> Shape:
        """Shape of the batch of independent problems; () for one."""
        return tuple(self.y.shape[: self.y.ndim - len(self.A.out_shape)])

    @property
    def n_data(self) -> Any:
        """Number of data entries of one problem; of batch shape where they differ."""
        return math.prod(self.A.out_shape)

    @abstractmethod
    def value(self, z: Array) -> Array:
        """Return f(z), batch shape."""

    @abstractmethod
    def prox(self, z: Array, step: Any) -> Array:
        """Return argmin_u f(u) + ‖u - z‖² / (2 step)."""

    def gradient(self, z: Array) -> Array:
        """Return ∇f(z), of the data's shape."""
        raise TypeError(f"{type(self).__name__} has no gradient; use ADMM, PrimalDual")

    def majorise(self, z: Array) -> LeastSquares:
        """Return a weighted least-squares loss, equal at `z` = Ax, never below."""
        raise TypeError(f"{type(self).__name__} offers no majoriser")

    def majorise_and_value(self, z: Array) -> tuple[LeastSquares, Array]:
        """Return the majoriser at `z` and f(z); together where that is cheaper."""
        return self.majorise(z), self.value(z)

    def majorise_and_value_in(
        self, form: NormalForm, x: Array
    ) -> tuple[LeastSquares, Array] | None:
        """Return the same at the image of a factor `x` of a product, not forming it.

        `form` is the normal form of this loss (of its majoriser, if it is not smooth)
        in that factor. None where the image is needed.
        """
        return None

    def misfit(self, z: Array) -> Array:
        """Return ‖z - y‖₂, batch shape: what the discrepancy principle compares."""
        return norm(z - self.y, len(self.A.out_shape))

    def partial(self, block: str, x: dict[str, Array]) -> Self:
        """Return the loss in one block of the unknown, the others held fixed."""
        operator, offset = self.A.partial(block, x)
        new = fresh_copy(self)
        new.A = operator
        if not isinstance(offset, float) or offset:  # a product leaves the data alone
            new.y = self.y - offset
        return new

    def to(self, device: str) -> Self:
        """Return a copy whose arrays live on `device`."""
        return moved_copy(self, device)

    def total(self, terms: Array) -> Array:
        """Sum over one problem's data axes: batch shape."""
        n = len(self.A.out_shape)
        axes = tuple(range(terms.ndim - n, terms.ndim))
        return array_namespace(terms).sum(terms, axis=axes)

    def expand(self, value: Any) -> Any:
        """Let a per-problem value broadcast over the data axes."""
        return expand(value, len(self.A.out_shape))

    def __repr__(self) -> str:
        return describe(self)


class LeastSquares(Loss):
    """½ Σ w |Ax - y|² + constant.

    Parameters
    ----------
    A, y
        See `Loss`.
    weights : array broadcastable to `y`, or tuple of such arrays, real, >= 0, optional
        1/variance of each entry; 0 leaves an entry out. All ones by default. A tuple
        stands for the product of its arrays (rows times columns, for instance), which
        is not formed unless it is asked for.
    constant : float or array of batch shape
        Added to the value, so that a majoriser touches what it majorises.
    """

    def __init__(
        self, A: Any, y: Array, weights: Any = None, *, constant: Any = 0.0
    ) -> None:
        factors = () if weights is None else _checked_weights(weights, y)
        super().__init__(A, y if weights is None else _without_ignored(y, factors))
        self._set(factors, constant)

    @classmethod
    def like(cls, loss: Loss, factors: tuple[Array, ...], constant: Any) -> Self:
        """Return the weighted least squares of another loss's model and data.

        The checks were made when that loss was: this one is for majorisers, which
        are made in every iteration.
        """
        new = cls.__new__(cls)
        new.A, new.y, new.notes = loss.A, loss.y, loss.notes
        new._set(factors, constant)
        return new

    def _set(self, factors: tuple[Array, ...], constant: Any) -> None:
        real = real_dtype(dtype_of(self.y))
        self.factors = tuple(_cast(w, real) for w in factors)
        self.constant = constant
        self.curvature = math.prod(_largest(w) for w in self.factors)

    @property
    def weights(self) -> Array | None:
        """The weights as one array of the data's shape; None if all are one."""
        if not self.factors:
            return None
        xp = array_namespace(self.y)
        return xp.broadcast_to(reduce(mul, self.factors), self.y.shape)

    def value(self, z: Array) -> Array:
        return 0.5 * self.total(self._weighted(abs_squared(z - self.y))) + self.constant

    def majorise_and_value_in(
        self, form: NormalForm, x: Array
    ) -> tuple[LeastSquares, Array] | None:
        if form.left not in self._data_powers:
            self._data_powers[form.left] = form.data_powers(self.y)
        powers = form.residual_powers(x, self._data_powers[form.left])
        if powers is None:
            return None
        scaled = powers if form.scale is None else form.scale * powers
        return self, 0.5 * self.total(scaled) + self.constant

    @cached_property
    def _data_powers(self) -> dict[bool, Array]:
        """Powers of the data, by the side of a normal form, filled when needed."""
        return {}

    def gradient(self, z: Array) -> Array:
        return self._weighted(z - self.y)

    def prox(self, z: Array, step: Any) -> Array:
        scale = self._weighted(self.expand(step))
        return (z + scale * self.y) / (1 + scale)

    def misfit(self, z: Array) -> Array:
        """Return ‖z - y‖₂ over the entries of positive weight, batch shape."""
        weights = self.weights
        if weights is None:
            return super().misfit(z)
        xp = array_namespace(z)
        used = xp.astype(weights > 0, weights.dtype)
        return xp.sqrt(self.total(used * abs_squared(z - self.y)))

    @property
    def n_data(self) -> Any:
        """Number of entries of positive weight, batch shape."""
        weights = self.weights
        if weights is None:
            return super().n_data
        xp = array_namespace(weights)
        used = scalar(self.total(xp.astype(weights > 0, weights.dtype)))
        return used if is_array(used) else round(used)

    def _weighted(self, terms: Any) -> Any:
        return reduce(mul, self.factors, terms)


class NoiseBall(Loss):
    """The indicator of ‖Ax - y‖₂ <= radius: the data within their noise.

    Parameters
    ----------
    A, y
        See `Loss`.
    radius : float or array of batch shape
        In the units of `y`; for n complex samples of standard deviation s, s·√n.
    """

    smooth = False
    finite = False

    def __init__(self, A: Any, y: Array, radius: Any) -> None:
        super().__init__(A, y)
        self.radius = checks.positive("radius", radius)
        if is_array(self.radius) and tuple(self.radius.shape) != self.batch_shape:
            raise ValueError(
                f"radius has shape {tuple(self.radius.shape)}; wanted a number or the "
                f"batch shape {self.batch_shape}"
            )

    def value(self, z: Array) -> Array:
        """Return 0 inside the ball (with √eps of tolerance) and infinity outside."""
        xp = array_namespace(z)
        tolerance = 1 + math.sqrt(float(xp.finfo(z.dtype).eps))
        misfit = self.misfit(z)
        return xp.where(
            misfit <= self.radius * tolerance, misfit * 0, misfit * 0 + 1e999
        )

    def prox(self, z: Array, step: Any) -> Array:
        xp = array_namespace(z)
        residual = z - self.y
        size = norm(residual, len(self.A.out_shape))
        safe = xp.where(size > self.radius, size, size * 0 + self.radius)
        return self.y + residual * self.expand(self.radius / safe)


def _unlike_rows(A: Any, y: Array) -> str:
    if not isinstance(A, Kronecker):
        return ""
    found = tuple(y.shape)[-len(A.factors) :]
    return checks.unlike_rows([tuple(a.shape) for a in A.factors], found)


def _data_dtype(operator: DType, found: np.dtype[Any]) -> np.dtype[Any]:
    """The operator's precision, but never a real dtype for complex data."""
    if operator is None:
        return found if found.kind in "fc" else np.dtype("float64")
    if found.kind == "c" and operator.kind == "f":
        return np.result_type(operator, np.complex64)
    return operator


def _refuse_extremes(y: Array) -> None:
    """Refuse data whose squares, which every norm needs, leave the range of numbers."""
    xp = array_namespace(y)
    info = np.finfo(dtype_of(y))
    top = float(xp.max(xp.abs(y)))
    low = float(np.sqrt(info.smallest_normal / info.eps))
    high = float(np.sqrt(info.max * info.eps))
    if top and not low < top < high:
        raise ValueError(
            f"y has {top:.3g} as its largest magnitude, whose square {dtype_of(y)} "
            "cannot hold to its precision; scale the data, or use double precision"
        )


def _cast(y: Array, dtype: np.dtype[Any]) -> Array:
    if dtype_of(y) == dtype:
        return y
    xp = array_namespace(y)
    return xp.astype(y, native_dtype(xp, dtype))


def _cast_note(found: np.dtype[Any], used: np.dtype[Any]) -> dict[str, str]:
    if found == used:
        return {}
    return {"dtype": f"data cast once from {found} to {used}, what the operator takes"}


def _largest(weights: Array) -> float:
    return float(array_namespace(weights).max(weights))


def _without_ignored(y: Array, factors: tuple[Array, ...]) -> Array:
    """Zero the entries of weight 0, where missing data may be NaN."""
    xp = array_namespace(y)
    for weights in factors:
        y = xp.where(weights == 0, xp.zeros_like(y), y)
    return y


def _checked_weights(weights: Any, y: Array) -> tuple[Array, ...]:
    """Return the factors of the weights, each broadcastable to `y`."""
    if not is_array(y):
        raise TypeError(f"y is a {type(y).__name__}; wanted an array")
    factors = weights if isinstance(weights, tuple) else (weights,)
    for w in factors:
        checks.finite("weights", w)
        checks.same_device("y", w, device_of(y))
        xp = array_namespace(w)
        if bool(xp.any(w < 0)) or not bool(xp.any(w > 0)):
            raise ValueError("weights must be >= 0 with at least one > 0")
        try:
            xp.broadcast_to(w, y.shape)
        except (ValueError, RuntimeError):
            raise ValueError(
                f"weights of shape {tuple(w.shape)} do not broadcast to the data's "
                f"shape {tuple(y.shape)}"
            ) from None
    return factors
