"""Alternating direction method of multipliers, for sums of priors and any loss."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np

from sparsesolve import checks
from sparsesolve.backends import (
    Array,
    expand,
    norm,
    scalar,
    to_device,
    where,
)
from sparsesolve.linalg import METHODS, normal_cg, regularized_inverse
from sparsesolve.losses import LeastSquares
from sparsesolve.solvers.admm_columns import ColumnStep, column_step
from sparsesolve.solvers.base import ARRAY_UNKNOWN, PROXIMAL_PRIOR, Solver
from sparsesolve.solvers.scaling import natural_scale


class _Plan(NamedTuple):
    terms: tuple[Any, ...]
    inverse: Any
    """Solves the x-update where every term is on x itself; None otherwise."""
    split_loss: bool
    frozen: bool
    relaxation: float
    norms: tuple[float, ...]
    """Size of each term's operator, the split loss's last."""
    x_scale: Any
    """Typical ‖x‖."""
    multiplier_scale: Any
    """Typical ‖Aᴴu‖ of multipliers u."""
    columns: ColumnStep | None
    """The iteration in few passes; None where it is done in general."""
    choices: dict[str, str]


class State(NamedTuple):
    """State of `ADMM`; tuples hold one entry a term, the split loss last."""

    x: Array
    """The answer if stopped now: the first prior's own copy, sparse or feasible."""
    u: Array
    """Consensus variable, minimiser of the quadratic sub-problem."""
    v: tuple[Array, ...]
    """Copies of K_i u that the proxes act on."""
    d: tuple[Array, ...]
    """Scaled multipliers."""
    rho: tuple[Any, ...]
    """Penalties, one a term."""
    warm: tuple[Any, ...]
    """The proxes' warm starts."""
    inner: Any
    """The quadratic sub-problem's warm start."""
    k: int
    """Iterations done, which time the penalty updates."""
    residual: Any
    """Larger of the relative primal and dual residuals."""
    metrics: dict[str, Any]
    """``misfit``, ``primal``, ``dual`` and, where it has a value, ``objective``."""


@dataclass(frozen=True)
class ADMM(Solver):
    """Any loss + a sum of priors, each on x or K x: few iterations, a solve in each.

    minimise f(Ax) + Σ p_i(K_i x) with copies v_i = K_i x. A `LeastSquares` loss
    without weights goes into the x-update; any other gets its own copy v = Ax, so
    that with `NoiseBall` this is C-SALSA. The x-update is exact where
    `regularized_inverse` knows the operator's structure, else conjugate gradients.
    With a `Denoiser` this is plug-and-play ADMM.

    Parameters
    ----------
    rho : float, optional
        First penalty; by default ‖Aᴴu‖/‖x‖ of typical multipliers and unknowns,
        which for least squares is about ‖A‖², adapted afterwards. A denoiser ignores
        it, so there it sets the balance of data and prior: take noise variance /
        sigma² for least squares.
    adapt : bool
        Balance relative primal and dual residuals at iterations 5, 10, 20, 40, ...
        (Wohlberg, "ADMM penalty parameter selection by residual balancing", 2017),
        one rho a term; ever rarer, so that convergence is kept. Never for a denoiser.
    relaxation : float, optional
        Over-relaxation in (0, 2); 1.6 for convex priors (Boyd et al., section 3.4.3),
        1 otherwise.
    inner_tol : float
        Relative residual of conjugate gradients in an x-update that is not exact.
    x_update : "auto", "exact" or "cg"
        How the x-update is solved where every prior is on x itself: exactly, by
        conjugate gradients, or (default) by what is predicted to be faster for 100
        iterations; `regularized_inverse` says more. ``solution.choices`` says which
        and why.

    References
    ----------
    Boyd et al., Foundations and Trends in Machine Learning 3(1), 2011; Afonso,
    Bioucas-Dias and Figueiredo, IEEE Trans. Image Processing 20(3), 2011 (C-SALSA).
    """

    rho: float | None = None
    adapt: bool = True
    relaxation: float | None = None
    inner_tol: float = 1e-6
    x_update: str = "auto"

    needs = (ARRAY_UNKNOWN, PROXIMAL_PRIOR)
    default_tol: ClassVar[dict[str, float]] = {"float32": 1e-4, "float64": 1e-5}

    def __post_init__(self) -> None:
        if self.rho is not None:
            checks.positive_number("rho", self.rho)
        checks.positive_number("inner_tol", self.inner_tol)
        relaxation = 1.0 if self.relaxation is None else self.relaxation
        if checks.positive_number("relaxation", relaxation) >= 2:
            raise ValueError(f"relaxation is {relaxation}; wanted it in (0, 2)")
        if self.x_update not in METHODS:
            raise ValueError(
                f"x_update is {self.x_update!r}; wanted one of {', '.join(METHODS)}"
            )

    def prepare(self, problem: Any) -> _Plan:
        terms = problem.terms
        loss = problem.loss
        split = not (isinstance(loss, LeastSquares) and loss.weights is None)
        inverse: Any = None
        how = "conjugate gradients over all terms"
        if all(K is None for _, K in terms):
            inverse = regularized_inverse(
                problem.A, method=self.x_update, tol=self.inner_tol
            )
            how = inverse.method
        elif self.x_update == "exact":
            raise TypeError(
                f"x_update is 'exact' but {problem.prior!r} acts on K x; wanted "
                "priors on x itself, or x_update='auto'"
            )
        frozen = any(getattr(p, "ignores_step", False) for p, _ in terms)
        relaxation = self.relaxation
        if relaxation is None:
            relaxation = 1.6 if problem.prior.convex and not frozen else 1.0
        return _Plan(
            terms,
            inverse,
            split,
            frozen,
            relaxation,
            _norms(problem, split=split),
            *natural_scale(problem),
            column_step(problem, inverse),
            {"x-update": how},
        )

    def init(
        self, problem: Any, plan: _Plan, x0: Any, rng: np.random.Generator
    ) -> State:
        u = problem.zeros() if x0 is None else x0
        image = problem.A.forward(u)
        v = tuple(u if K is None else K.forward(u) for _, K in plan.terms)
        v = (*v, image) if plan.split_loss else v
        d = tuple(a * 0 for a in v)
        rho = self._first_rho(plan)
        warm = (None,) * len(plan.terms)
        return State(u, u, v, d, rho, warm, None, 0, math.inf, {})

    def step(self, problem: Any, plan: _Plan, state: State) -> State:
        if plan.columns is not None:
            return self._column_step(problem, plan, state)
        u, image, inner = self._x_update(problem, plan, state)
        images = [u if K is None else K.forward(u) for _, K in plan.terms]
        images += [image] if plan.split_loss else []
        v, d, warm = [], [], []
        for i, target in enumerate(images):
            relaxed = plan.relaxation * target + (1 - plan.relaxation) * state.v[i]
            point = relaxed + state.d[i]
            if i < len(plan.terms):
                new, w = plan.terms[i][0].prox_warm(
                    point, 1.0 / state.rho[i], state.warm[i]
                )
                warm.append(w)
            else:
                new = problem.loss.prox(point, 1.0 / state.rho[i])
            v.append(new)
            d.append(point - new)
        sizes = _sizes(problem, images, v, d, state)
        x = next((v[i] for i, (_, K) in enumerate(plan.terms) if K is None), u)
        new = state._replace(x=x, u=u, v=tuple(v), warm=tuple(warm), inner=inner)
        row = _row(problem, plan, image, v)
        return self._judged(problem, plan, new, d, sizes, row)

    def _column_step(self, problem: Any, plan: Any, state: State) -> State:
        """Do `step` by its fast form."""
        u, v, d, sizes, misfit, value = plan.columns.advance(
            state.v[0], state.d[0], state.rho[0], plan.relaxation
        )
        row = {
            "misfit": misfit,
            "objective": misfit**2 / 2 + scalar(problem.loss.constant) + value,
        }
        new = state._replace(x=v, u=u, v=(v,))
        return self._judged(problem, plan, new, [d], [sizes], row)

    def _judged(
        self,
        problem: Any,
        plan: _Plan,
        state: State,
        d: list[Array],
        sizes: list[Any],
        row: dict[str, Any],
    ) -> State:
        """Return the new state with its residuals, penalties and multipliers."""
        primal, dual = _relative(sizes, state.rho, plan)
        k = state.k + 1
        rho, d = self._balanced(problem, plan, state.rho, sizes, k, d)
        return state._replace(
            d=tuple(d),
            rho=rho,
            k=k,
            residual=where(primal > dual, primal, dual),
            metrics=row | {"primal": primal, "dual": dual},
        )

    def _first_rho(self, plan: _Plan) -> tuple[Any, ...]:
        first = plan.multiplier_scale / plan.x_scale
        if self.rho is not None:
            first = first * 0 + self.rho
        rho = tuple(first / size**2 for size in plan.norms)
        if not plan.split_loss:
            return rho
        # C-SALSA's kappa, the ratio of the two, is about twice the mean diagonal.
        return (*rho[:-1], 0.5 * rho[-1])

    def _x_update(self, problem: Any, plan: _Plan, state: State) -> tuple[Any, ...]:
        n = len(problem.x_shape)
        targets = [v - d for v, d in zip(state.v, state.d, strict=True)]
        m = len(plan.terms)
        weights, data_weight, data = state.rho[:m], 1.0, problem.loss.y
        if plan.split_loss:
            data_weight, data = state.rho[m], targets[m]
        if plan.inverse is not None:
            total = sum(weights[1:], start=weights[0])
            mean = targets[0]
            if m > 1:
                shares = [expand(w / total, n) for w in weights]
                mean = sum(s * t for s, t in zip(shares, targets[:m], strict=True))
            solved: tuple[Any, ...] = plan.inverse.solve(
                mean, data, total / data_weight, state.inner
            )
            return solved
        scales = [w / data_weight for w in weights]

        def apply(x: Array) -> Array:
            out = problem.A.gram(x)
            for (_, K), s in zip(plan.terms, scales, strict=True):
                out = out + expand(s, n) * (x if K is None else K.gram(x))
            return out

        rhs = problem.A.adjoint(data)
        for (_, K), s, t in zip(plan.terms, scales, targets, strict=False):
            rhs = rhs + expand(s, n) * (t if K is None else K.adjoint(t))
        u, _ = normal_cg(apply, rhs, state.u, n_axes=n, tol=self.inner_tol)
        return u, problem.A.forward(u), None

    def _balanced(
        self, problem: Any, plan: _Plan, rho: Any, sizes: Any, k: int, d: list[Array]
    ) -> tuple[tuple[Any, ...], list[Array]]:
        """Return penalties moved towards equal residuals and multipliers rescaled."""
        due = k % 5 == 0 and (k // 5).bit_count() == 1
        if not self.adapt or plan.frozen or not due:
            return rho, d
        new_rho, new_d = [], []
        for old, (primal, image, change, dual), multiplier in zip(
            rho, sizes, d, strict=True
        ):
            product = change * image
            known = (product > 0) & (dual > 0)
            ratio = primal * dual / where(known, product, 1.0)
            factor = where(known, ratio, 1.0) ** 0.5
            factor = where(factor > 10.0, 10.0, where(factor < 0.1, 0.1, factor))
            new_rho.append(old * factor)
            new_d.append(multiplier / expand(factor, _item_axes(problem, multiplier)))
        return tuple(new_rho), new_d


def _item_axes(problem: Any, a: Array) -> int:
    return int(a.ndim) - len(problem.batch_shape)


def _norms(problem: Any, *, split: bool) -> tuple[float, ...]:
    """‖K‖ of each term; of the loss, the root of the mean diagonal of AᴴA."""
    norms = tuple(1.0 if K is None else K.norm() or 1.0 for _, K in problem.terms)
    return (*norms, _mean_diagonal(problem) ** 0.5) if split else norms


def _mean_diagonal(problem: Any) -> float:
    """Hutchinson's estimate of trace(AᴴA)/n from one vector of fixed random signs."""
    signs = np.random.default_rng(0).choice([-1.0, 1.0], problem.A.in_shape)
    image = problem.A.forward(to_device(signs.astype(problem.x_dtype), problem.device))
    return float(norm(image)) ** 2 / int(signs.size) or 1.0


def _sizes(
    problem: Any, images: list[Array], v: list[Array], d: list[Array], state: State
) -> list[tuple[Any, ...]]:
    """Return ‖Ku - v‖, max(‖Ku‖, ‖v‖), ‖v - v_old‖ and ‖d‖ for each term."""
    rows = []
    for image, new, multiplier, old in zip(images, v, d, state.v, strict=True):
        n = _item_axes(problem, new)
        a, b = scalar(norm(image, n)), scalar(norm(new, n))
        rows.append(
            (
                scalar(norm(image - new, n)),
                where(a > b, a, b),
                scalar(norm(new - old, n)),
                scalar(norm(multiplier, n)),
            )
        )
    return rows


def _relative(sizes: list[Any], rho: Any, plan: _Plan) -> tuple[Any, Any]:
    """Return relative primal and dual residuals over all terms, in the units of x.

    Multipliers may vanish (an inactive constraint), so changes are compared with at
    least a thousandth of their natural scale.
    """
    rows = list(zip(sizes, rho, plan.norms, strict=True))
    primal = sum((r / c) ** 2 for (r, _, _, _), _, c in rows) ** 0.5
    image = sum((a / c) ** 2 for (_, a, _, _), _, c in rows) ** 0.5
    change = sum((p * c * s) ** 2 for (_, _, s, _), p, c in rows) ** 0.5
    dual = sum((p * c * m) ** 2 for (_, _, _, m), p, c in rows) ** 0.5
    floor = 1e-3 * plan.multiplier_scale
    against = where(dual > floor, dual, floor)
    return (
        primal / where(image > 0, image, 1.0),
        change / where(against > 0, against, 1.0),
    )


def _row(problem: Any, plan: _Plan, image: Array, v: list[Array]) -> dict[str, Any]:
    row = {"misfit": scalar(problem.loss.misfit(image))}
    if problem.prior.has_value:
        values = [p.value(a) for (p, _), a in zip(plan.terms, v, strict=False)]
        prior = sum(values[1:], start=values[0])
        fit = problem.loss.value(v[-1] if plan.split_loss else image)
        row["objective"] = scalar(fit + prior)
    return row
