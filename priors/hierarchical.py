"""The contract of priors whose variances are inferred."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, Self

from sparsesolve.backends import Array, Shape, describe, fresh_copy, moved_copy


class HierarchicalPrior(ABC):
    """A Gaussian prior whose variances are themselves unknown (type II).

    It never sees the operator or the data. The hyperparameters `hyper` are a dict of
    arrays. The solver calls `update_hyper` once for each of `parts`, each time with a
    fresh `posterior` that offers

    ``mean``
        Posterior mean μ, of the unknown's shape.
    ``variance``
        Posterior variance, real, of that shape.
    ``whitened_power``
        |μ|²/γ, computed without dividing by γ.
    ``shrinkage``
        γ·diag(Aᴴ S⁻¹ A), in [0, 1], computed without cancellation: MacKay updates
        from second moments alone lose all digits in float32.
    ``evidence``
        log p(y | hyper), batch shape.
    ``marginals(axis, n_axes)``
        Whitened power and shrinkage summed over all of the unknown's `n_axes` axes but
        one; cheaper than those where variances are separable.
    ``unsure``
        Along which axes too many entries are left to be the only sparse explanation:
        NumPy booleans, (*batch, axes), or False.

    Attributes
    ----------
    parts : tuple of str
        Names of the hyperparameter groups, updated in this order.
    """

    hierarchical = True
    has_value = False
    has_prox = False
    convex = False
    parts: tuple[str, ...] = ("variance",)
    lam: Any = None
    x_shape: Shape | None = None

    @abstractmethod
    def init_hyper(self, shape: Shape, dtype: Any, scale: Array) -> dict[str, Array]:
        """Return starting hyperparameters.

        `shape` is the unknown's, batch axes included; `dtype` its dtype; `scale` an
        array of batch shape, a first guess of the mean variance of one entry.
        """

    @abstractmethod
    def variance(self, hyper: dict[str, Array]) -> Any:
        """Return the prior variances γ: an array that broadcasts to the unknown.

        Or a `Separable`, an outer product of one factor an axis.
        """

    @abstractmethod
    def update_hyper(
        self, hyper: dict[str, Array], posterior: Any, part: str
    ) -> dict[str, Array]:
        """Return `hyper` with `part` updated from the posterior."""

    def log_prior_bound(self, hyper: dict[str, Array]) -> Any:
        """Return log p(hyper) or a lower bound of it; 0 for a flat prior."""
        return 0.0

    def ready(self, hyper: dict[str, Array]) -> Any:
        """Whether the fit may end here; of batch shape. False while it warms up."""
        return True

    def candidates(
        self, hyper: dict[str, Array], posterior: Any
    ) -> list[dict[str, Array]]:
        """Return reduced hyperparameters, in the order to be tried.

        The solver takes the first that the evidence bears.
        """
        return []

    def restart(
        self, hyper: dict[str, Array], posterior: Any, rngs: Any
    ) -> tuple[dict[str, Array], Any]:
        """Return another start, and where the fit found may be a poor local one.

        `rngs` is an object array of a generator for each problem of the batch, the
        place NumPy booleans of that shape, or False. The solver fits from there and
        keeps what the evidence prefers.
        """
        return hyper, False

    def with_lam(self, lam: Any) -> Self:
        """Refuse: the data set the weight of a hierarchical prior."""
        raise TypeError(f"{self!r} has no lam: its hyperparameters are inferred")

    def critical_lam(self, gradient: Array) -> Array:
        """Refuse: there is no lam."""
        return self.with_lam(None)

    def bind(self, x_shape: Shape) -> Self:
        """Return a copy that knows the shape of one unknown."""
        new = fresh_copy(self)
        object.__setattr__(new, "x_shape", tuple(x_shape))
        return new

    def to(self, device: str) -> Self:
        """Return a copy whose arrays live on `device`."""
        return moved_copy(self, device)

    def __repr__(self) -> str:
        return describe(self)
