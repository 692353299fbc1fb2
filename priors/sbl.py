"""Sparse Bayesian learning: Gaussian entries whose variances are fitted."""

from __future__ import annotations

import math
from typing import Any, Self

import numpy as np

from sparsesolve.backends import (
    Array,
    Shape,
    abs_squared,
    array_namespace,
    native_dtype,
    real_dtype,
    to_numpy,
)
from sparsesolve.priors.hierarchical import HierarchicalPrior

_UPDATES = ("mm", "mackay", "em")
_NEGLIGIBLE = 1e-10


class SBL(HierarchicalPrior):
    """Each entry xₙ ~ N(0, γₙ), circular if complex, with unknown variances γ >= 0.

    The solver raises the evidence p(y | γ); at its maxima most variances, and with
    them their entries, are zero. Nothing has to be chosen.

    Parameters
    ----------
    update : "mm", "mackay" or "em"
        How the variances are updated, with b = |μ|²/γ the whitened power of an entry
        and l its shrinkage:

        * "mm", γ ← γ √(b/l), majorisation-minimisation or convex bounding (the
          default: never lowers the evidence and converges fast);
        * "mackay", γ ← γ b/l (two to three times fewer iterations, no guarantee);
        * "em", γ ← |μ|² + posterior variance (never lowers the evidence, but creeps
          where l is small: often ten to a hundred times more iterations).
    tied_axes : int or tuple of int, optional
        Axes of one unknown along which the variances are equal: the axis of snapshots
        that share a support (multiple measurement vectors), or of the members of a
        group. None by default.

    Raises
    ------
    TypeError, ValueError
        `update` is none of the three, `tied_axes` no integers; `bind`: the unknown has
        no such axes.

    Notes
    -----
    Hyperparameters: ``{"variance": γ}``, of the unknown's shape with batch axes, one
    entry along tied axes. A variance whose entry the data do not reach (l = 0) stays as
    it is; one that shrinks and has l < 1e-10, so that the evidence would not notice,
    becomes zero.

    References
    ----------
    Tipping, JMLR 1, 2001, eqs. 16 (MacKay) and 18 (EM); Wipf and Nagarajan, "A new view
    of automatic relevance determination", NIPS 2007 (convex bounding); Wipf and Rao,
    IEEE Trans. Signal Processing 55(7), 2007 (snapshots).

    Examples
    --------
    >>> import numpy as np, sparsesolve as ss
    >>> rng = np.random.default_rng(0)
    >>> a = rng.standard_normal((20, 40))
    >>> x = np.zeros(40)
    >>> x[[3, 17]] = 2.0, -1.0
    >>> y = a @ x + 0.01 * rng.standard_normal(20)
    >>> problem = ss.Problem(ss.LeastSquares(a, y), ss.priors.SBL())
    >>> solution = ss.solve(problem, ss.VariationalEM())
    >>> np.flatnonzero(solution.x)
    array([ 3, 17])
    """

    def __init__(
        self, *, update: str = "mm", tied_axes: int | tuple[int, ...] | None = None
    ) -> None:
        if update not in _UPDATES:
            raise ValueError(f"update is {update!r}; wanted one of {_UPDATES}")
        axes = () if tied_axes is None else np.atleast_1d(tied_axes).tolist()
        if any(not isinstance(axis, int) for axis in axes):
            raise TypeError(f"tied_axes is {tied_axes!r}; wanted integers")
        self.update, self.tied_axes = update, tuple(axes)

    def bind(self, x_shape: Shape) -> Self:
        n = len(x_shape)
        if any(not -n <= axis < n for axis in self.tied_axes):
            raise ValueError(
                f"tied_axes is {self.tied_axes}; the unknown of shape {tuple(x_shape)} "
                f"has axes 0 to {n - 1}"
            )
        new = super().bind(x_shape)
        new.tied_axes = tuple(sorted({axis % n for axis in self.tied_axes}))
        return new

    def init_hyper(self, shape: Shape, dtype: Any, scale: Array) -> dict[str, Array]:
        xp = array_namespace(scale)
        tied = self._tied(len(shape))
        shape = tuple(1 if axis in tied else n for axis, n in enumerate(shape))
        scale = scale[(..., *(None,) * (len(shape) - scale.ndim))]
        ones = xp.ones(
            shape, dtype=native_dtype(xp, real_dtype(dtype)), device=scale.device
        )
        return {"variance": ones * scale}

    def variance(self, hyper: dict[str, Array]) -> Array:
        return hyper["variance"]

    def update_hyper(
        self, hyper: dict[str, Array], posterior: Any, part: str
    ) -> dict[str, Array]:
        xp, gamma = array_namespace(hyper["variance"]), hyper["variance"]
        found = self._mean(posterior.whitened_power)
        expected = self._mean(posterior.shrinkage)
        seen = expected > 0
        if self.update == "em":
            new = self._mean(abs_squared(posterior.mean) + posterior.variance)
        else:
            ratio = found / xp.where(seen, expected, xp.ones_like(expected))
            new = gamma * (xp.sqrt(ratio) if self.update == "mm" else ratio)
        vanishing = (expected < _NEGLIGIBLE) & (found <= expected)
        new = xp.where(vanishing, xp.zeros_like(gamma), new)
        return {"variance": xp.where(seen, new, gamma)}

    def candidates(  # ranked by what the posterior says
        self, hyper: dict[str, Array], posterior: Any
    ) -> list[dict[str, Array]]:
        """Return removals of the least useful half of the entries, a quarter, ..., one.

        Removing one entry changes the evidence by -log(1-l) - b/(1-l) (complex; half of
        it if real), exactly; they are ranked by the sum of that over tied entries.
        """
        gamma = hyper["variance"]
        xp = array_namespace(gamma)
        eps = xp.finfo(gamma.dtype).eps
        slack = xp.clip(1 - posterior.shrinkage, eps, 1)
        loss = self._mean(xp.log(slack) + posterior.whitened_power / slack)
        alive = (gamma > 0) & (self._mean(posterior.shrinkage) > 0)
        loss = xp.where(alive, loss, xp.full_like(loss, xp.inf))
        n_axes = gamma.ndim if self.x_shape is None else len(self.x_shape)
        batch = gamma.shape[: gamma.ndim - n_axes]
        flat = xp.reshape(loss, (*batch, -1))
        rank = xp.reshape(xp.argsort(xp.argsort(flat, axis=-1), axis=-1), gamma.shape)
        axes = tuple(range(len(batch), gamma.ndim))
        count = xp.sum(xp.astype(alive, xp.int64), axis=axes, keepdims=True)
        most = int(np.max(to_numpy(count)))
        candidates = []
        for k in range(1, max(1, math.ceil(math.log2(max(1, most)))) + 1):
            removed = xp.minimum(count, xp.clip(count // 2**k, 1, None))
            gone = xp.where(rank < removed, xp.zeros_like(gamma), gamma)
            candidates.append({"variance": gone})
        return candidates

    def _tied(self, ndim: int) -> set[int]:
        """Tied axes of an array with `ndim` axes, batch axes first."""
        n = ndim if self.x_shape is None else len(self.x_shape)
        return {ndim - n + axis % n for axis in self.tied_axes}

    def _mean(self, values: Array) -> Array:
        tied = tuple(sorted(self._tied(values.ndim)))
        if not tied:
            return values
        return array_namespace(values).mean(values, axis=tied, keepdims=True)
