"""Sparse Bayesian learning: Gaussian entries whose variances are fitted."""

from __future__ import annotations

from typing import Any

from sparsesolve.backends import Array, Shape
from sparsesolve.priors.fitted_variances import (
    FittedVariances,
    everywhere,
    known_update,
    removal_loss,
)


class SBL(FittedVariances):
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
        super().__init__(tied_axes)
        self.update = known_update(update)

    def init_hyper(self, shape: Shape, dtype: Any, scale: Array) -> dict[str, Array]:
        return {"variance": everywhere(self._untied(shape), dtype, scale)}

    def variance(self, hyper: dict[str, Array]) -> Array:
        return hyper["variance"]

    def _share(self, hyper: dict[str, Array], values: Array) -> Array:
        return self._mean(values)

    def _loss(self, hyper: dict[str, Array], posterior: Any) -> Array:
        return self._mean(removal_loss(posterior.whitened_power, posterior.shrinkage))
