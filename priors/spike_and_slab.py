"""Spike and slab: two Gaussian laws and a support with structure."""

from __future__ import annotations

from typing import Any

from sparsesolve.backends import Array, array_namespace
from sparsesolve.priors.supported import SupportedPrior
from sparsesolve.priors.turbo_vbi import pair


class SpikeAndSlab(SupportedPrior):
    """Entries xₙ ~ N(0, slab) if on, N(0, spike) if off, circular if complex.

    The support, both variances and the support's parameters are inferred from the data.
    All entries that are on share one variance: a good model where they have one, unlike
    `TurboVBI`, which fits each.

    Parameters
    ----------
    support : "independent", "markov" or a `Support`
        The model of the bits: `supports.IndependentSupport()` (the default),
        `supports.MarkovChain()` for entries in runs, or an object of one's own.
    variances : tuple of two floats, optional
        The variances (slab, spike) > 0, the larger first, in squared units of the
        unknown. Learned by default: the spike from the variance with which the data
        alone would know an entry down to 1/50 of it; see `TurboVBI`.
    tied_axes : int or tuple of int, optional
        Axes along which entries are on or off together, such as that of snapshots.

    Raises
    ------
    TypeError, ValueError
        `support` is no model, a variance not above zero, the slab not the larger,
        `tied_axes` no integers; `bind`: the unknown has no such axes.

    Notes
    -----
    q(x) q(s): with M = |μ|² + posterior variance (half of it if real), the log-odds of
    an entry from M are log(spike/slab) + M (1/spike - 1/slab), with ½ log if real, and
    1/γ = π/slab + (1-π)/spike. The spike's slow shrinking is the annealing of
    Ročková and George, learned instead of scheduled.

    Hyperparameters: "variance" γ, "probability" π that an entry is on, "moment" M,
    "slab", "spike", those of the support model; "degrees" and "updates".

    References
    ----------
    George and McCulloch, "Variable selection via Gibbs sampling", JASA 88(423), 1993;
    Ročková and George, "EMVS: the EM approach to Bayesian variable selection", JASA
    109(506), 2014.

    Examples
    --------
    >>> import numpy as np, sparsesolve as ss
    >>> rng = np.random.default_rng(0)
    >>> a = rng.standard_normal((20, 40))
    >>> x = np.zeros(40)
    >>> x[[3, 17]] = 2.0, -1.0
    >>> y = a @ x + 0.01 * rng.standard_normal(20)
    >>> problem = ss.Problem(ss.LeastSquares(a, y), ss.priors.SpikeAndSlab())
    >>> solution = ss.solve(problem, ss.VariationalEM())
    >>> np.flatnonzero(solution.posterior.hyper["probability"] > 0.5)
    array([ 3, 17])
    """

    def __init__(
        self,
        support: Any = "independent",
        *,
        variances: tuple[float, float] | None = None,
        tied_axes: int | tuple[int, ...] | None = None,
    ) -> None:
        scales = None if variances is None else pair("variances", variances)
        if scales is not None and scales[0] <= scales[1]:
            raise ValueError(
                f"variances is {variances}; wanted that of entries on, the larger, "
                "first"
            )
        super().__init__(support, scales, tied_axes)

    def _log_likelihood(
        self, moment: Array, scale: Array, degrees: float, *, on: bool
    ) -> Array:
        return -degrees * array_namespace(moment).log(scale) - moment / scale

    def _precision(
        self, moment: Array, scale: Array, degrees: float, *, on: bool
    ) -> Array:
        return array_namespace(moment).zeros_like(moment) + 1 / scale

    def _fit(
        self,
        weight: Array,
        moment: Array,
        scale: Array,
        degrees: float,
        axes: tuple[int, ...],
        *,
        on: bool,
        pull: float,
    ) -> Array:
        xp = array_namespace(moment)
        total = xp.sum(weight * moment, axis=axes, keepdims=True)
        count = xp.sum(weight, axis=axes, keepdims=True)
        return total / (degrees * count + pull)
