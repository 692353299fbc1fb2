"""Variational EM: inference under hierarchical priors, with error bars."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from sparsesolve import checks
from sparsesolve.backends import (
    Array,
    abs_squared,
    array_namespace,
    device_of,
    expand,
    is_array,
    norm,
    scalar,
    to_device,
    to_numpy,
    where,
)
from sparsesolve.solvers.base import (
    ARRAY_UNKNOWN,
    HIERARCHICAL_PRIOR,
    LEAST_SQUARES,
    Need,
    Solver,
)
from sparsesolve.solvers.dense_engine import DenseEngine
from sparsesolve.solvers.posterior import Moments, Posterior

_FIRST_NOISE = 0.1
_SETTLED = 1e-3
_ENGINES = ("auto", "dense")

_LINEAR = Need(
    "an operator that keeps imaginary parts",
    lambda problem: not problem.A.gives_real,
    "make the unknown real with A.real()",
)


class _Plan(NamedTuple):
    engine: DenseEngine
    floor: Any
    choices: dict[str, str]


class State(NamedTuple):
    """State of `VariationalEM`."""

    x: Array
    """Posterior mean under `hyper` and `noise`: the answer if stopped now."""
    hyper: dict[str, Array]
    """The prior's hyperparameters."""
    noise: Any
    """Noise variance of an entry of weight 1."""
    variance: Array
    """Posterior variance of each entry."""
    whitened_power: Array
    """|μ|²/γ."""
    shrinkage: Array
    """γ diag(Aᴴ S⁻¹ A)."""
    evidence: Any
    """log p(y | hyper, noise)."""
    misfit: Any
    """Σ w |y - Aμ|²."""
    freedom: Any
    """Data entries minus the sum of `shrinkage`."""
    settled: Any
    """Whether elimination was tried and refused; NumPy booleans of batch shape."""
    residual: Any
    """Relative change of hyperparameters and noise; 1 where entries were removed."""
    metrics: dict[str, Any]
    """``evidence``, ``noise_variance`` and ``effective_parameters``, Σ shrinkage."""


@dataclass(frozen=True)
class VariationalEM(Solver):
    """Type-II maximum likelihood: least squares + a hierarchical prior such as SBL.

    Alternates between the Gaussian posterior of the unknown and updates of its prior
    variances and of the noise variance, each from a fresh posterior, so that updates
    which never lower the evidence p(y | hyper, noise) do so also together.

    Parameters
    ----------
    noise_variance : float or array of batch shape, optional
        Variance of the noise of a data entry of weight 1, E|n|², in the squared units
        of the data; that of another entry is this divided by its weight. Learned by
        default, which needs data that the model cannot fit entirely.
    engine : "auto" or "dense"
        Where posteriors come from; for now "dense", which "auto" picks, is the only one.
    elimination : bool
        Once the variances have settled to 1e-3, remove what the evidence does not bear:
        a candidate of the prior is taken if it costs less than log(data entries) nats
        (half of it for real unknowns), and the rest is fitted again. What is left are
        the entries for which there is evidence. Needs ``tol <= 1e-3``.
    noise_floor : float
        A learned noise variance stays above this fraction of the data's mean power;
        1e-8 is -80 dB, where single precision ends.

    Raises
    ------
    MemoryError
        The dense matrix and its factorisation would not fit.
    ValueError
        Nothing can be learned: an operator or (with learned noise) data of zero.

    Notes
    -----
    A start `x0` is only used for its mean power, the scale of the first variances; by
    default that is what the data suggest. Per iteration one posterior for each part of
    the prior and one for the noise; see `DenseEngine` for their cost. Batches have
    their own hyperparameters, noise and status each.

    The noise variance s² is updated by the longer of two steps that both never lower
    the evidence: EM, s² + (misfit - s² freedom)/n (Tipping 2001, eq. 19 in its EM form),
    and convex bounding, (s² misfit / freedom)^½.

    References
    ----------
    Tipping, "Sparse Bayesian learning and the relevance vector machine", JMLR 1, 2001.
    """

    noise_variance: Any = None
    engine: str = "auto"
    elimination: bool = True
    noise_floor: float = 1e-8

    needs = (ARRAY_UNKNOWN, LEAST_SQUARES, HIERARCHICAL_PRIOR, _LINEAR)
    default_tol = {"float32": 1e-4, "float64": 1e-5}

    def __post_init__(self) -> None:
        if self.engine not in _ENGINES:
            raise ValueError(f"engine is {self.engine!r}; wanted one of {_ENGINES}")
        checks.positive("noise_floor", self.noise_floor)
        if self.noise_variance is not None:
            given = checks.positive("noise_variance", self.noise_variance)
            object.__setattr__(self, "noise_variance", given)

    def prepare(self, problem: Any) -> _Plan:
        self._check_noise(problem)
        engine = DenseEngine(problem)
        if _any(engine.gain == 0):
            raise ValueError(f"{problem.A!r} is zero; there is nothing to infer")
        if self.noise_variance is None and _any(engine.power == 0):
            raise ValueError("y is zero, from which no noise can be learned; give "
                             "VariationalEM a noise_variance")
        choices = {"engine": engine.note}
        if self.noise_variance is None:
            choices["noise"] = (
                f"learned, from {_FIRST_NOISE:g} of the data's mean power on and never "
                f"below {self.noise_floor:g} of it"
            )
        return _Plan(engine, self.noise_floor * engine.power, choices)

    def init(
        self, problem: Any, plan: _Plan, x0: Any, rng: np.random.Generator
    ) -> State:
        engine, xp = plan.engine, array_namespace(problem.loss.y)
        noise, scale = self.noise_variance, (1 - _FIRST_NOISE) * engine.power
        if noise is None:
            noise = _FIRST_NOISE * engine.power
        scale = where(scale > 0, scale, noise) / engine.gain
        if x0 is not None:
            n = len(problem.x_shape)
            mean = xp.mean(abs_squared(x0), axis=tuple(range(x0.ndim - n, x0.ndim)))
            scale = where(mean > 0, mean, scale)
        ...
