"""Checks of what users write: operators, priors and solvers.

Each raises AssertionError with the measured mismatch, and returns what it measured.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from sparsesolve.backends import (
    Array,
    Shape,
    array_namespace,
    device_of,
    dtype_of,
    real_dtype,
    scalar,
    to_device,
    to_numpy,
)
from sparsesolve.loop import solve
from sparsesolve.operators.adjoint_test import adjoint_mismatch
from sparsesolve.operators.base import Operator
from sparsesolve.priors.base import Prior
from sparsesolve.problem import Problem
from sparsesolve.solvers.base import Solver


def check_operator(
    A: Operator, *, seed: int = 0, tol: float | None = None
) -> dict[str, float]:
    """Check that an operator keeps the contract.

    Adjoint, linearity, shapes, dtype and batch axes, on seeded random arrays of the
    operator's dtype (float64 where it takes any) and device.

    Parameters
    ----------
    A : Operator
        What you wrote.
    seed : int
        Seed of the random arrays.
    tol : float, optional
        Largest relative mismatch allowed; by default 50·√n rounding errors.

    Returns
    -------
    dict of str to float
        Relative mismatches: ``linearity``, ``adjoint``, ``batch``.

    Raises
    ------
    AssertionError
        Says which law is broken and by how much.
    """
    rng = np.random.default_rng(seed)
    dtype = np.dtype("float64") if A.in_dtype is None else A.in_dtype
    if A.in_dtype is None:
        _check_precision_kept(A, rng)
    eps = float(np.finfo(dtype).eps)
    tol = 50 * math.sqrt(max(A.shape)) * eps if tol is None else tol
    device = A.device or "numpy"
    x, z = (_random(rng, A.in_shape, dtype, device) for _ in range(2))
    before = np.array(to_numpy(x))
    y = A.forward(x)
    _require(tuple(y.shape) == A.out_shape, f"{A!r}: forward gave shape {y.shape}")
    _require(device_of(y) == device, f"{A!r}: forward moved x to {device_of(y)}")
    same = real_dtype(dtype_of(y)) == real_dtype(dtype)
    _require(same, f"{A!r}: forward turned {dtype} into {dtype_of(y)}")
    _require(np.array_equal(before, to_numpy(x)), f"{A!r}: forward changed its input")
    back = A.adjoint(y)
    _require(tuple(back.shape) == A.in_shape, f"{A!r}: adjoint gave shape {back.shape}")
    found = {
        "linearity": _mismatch(A.forward(2 * x + 3 * z), 2 * y + 3 * A.forward(z)),
        "adjoint": adjoint_mismatch(A, seed=seed),
        "batch": max(
            _batch_mismatch(A.forward, x, z), _batch_mismatch(A.adjoint, y, y)
        ),
    }
    explanation = {
        "adjoint": "<A x, y> and <x, Aᴴ y> differ: forward and adjoint do not belong "
        "together (a missing conjugate, scale or flip?)",
        "linearity": "A(2x + 3z) and 2 A x + 3 A z differ: the operator is not linear",
        "batch": "applied to a batch it differs from one by one; use the trailing axes",
    }
    for law, value in found.items():
        _require(
            value <= tol,
            f"{A!r}: relative {law} mismatch {value:.2e} > {tol:.2e}: "
            f"{explanation[law]}",
        )
    return found


def check_prior(
    prior: Prior,
    x_shape: Shape,
    *,
    dtype: str = "float64",
    device: str = "numpy",
    step: float = 0.7,
    seed: int = 0,
) -> dict[str, float]:
    """Check that a proximal prior keeps the contract.

    The prox must beat 0, its argument, nearby and random candidates; be firmly
    non-expansive if the prior is convex; agree with `prox_warm` and, on a batch, with
    one by one; and keep dtype and input.

    Parameters
    ----------
    prior : Prior
        What you wrote.
    x_shape : tuple of int
        Shape of one unknown to try it on.
    dtype, device : str
        Dtype and device of the arrays it is tried on.
    step : float
        Step of the prox.
    seed : int
        Seed of the random arrays.

    Returns
    -------
    dict of str to float
        ``optimality``: how much a candidate is better than the prox (negative: none
        is); ``expansion``: by how much firm non-expansiveness fails (negative: it
        holds); ``batch``: relative mismatch.

    Raises
    ------
    AssertionError
        Says which law is broken and by how much.
    """
    rng = np.random.default_rng(seed)
    prior = prior.bind(x_shape)
    v, w = (2 * _random(rng, x_shape, np.dtype(dtype), device) for _ in range(2))
    tol = 1e3 * float(np.finfo(dtype).eps)
    before = np.array(to_numpy(v))
    p, _ = prior.prox_warm(v, step, None)
    _require(np.array_equal(before, to_numpy(v)), f"{prior!r}: prox changed its input")
    _require(dtype_of(p) == np.dtype(dtype), f"{prior!r}: prox gave {dtype_of(p)}")
    _require(tuple(p.shape) == tuple(x_shape), f"{prior!r}: prox gave shape {p.shape}")
    found = {"batch": _batch_mismatch(lambda a: prior.prox(a, step), v, w)}
    if prior.has_value:
        found["optimality"] = _advantage(prior, v, p, step, rng)
    if prior.convex and prior.has_value:
        found["expansion"] = _expansion(prior, v, p, step, rng)
    loose = max(tol, prior.tol**0.5)
    for law, value in found.items():
        _require(
            value <= loose, f"{prior!r}: {law} is violated by {value:.2e} > {loose:.1e}"
        )
    return found


def check_solver(
    solver: Solver, problem: Problem, *, max_iter: int = 2000, tol: float | None = None
) -> dict[str, float]:
    """Check that a solver keeps the contract on a problem it should solve.

    It must converge, leave `x0` untouched, give the same answer twice, and continue
    from a checkpoint bit for bit.

    Parameters
    ----------
    solver : Solver
        What you wrote.
    problem : Problem
        A problem that meets its needs.
    max_iter, tol
        As in `sparsesolve.solve`.

    Returns
    -------
    dict of str to float
        ``n_iter`` and ``residual`` of the converged solve.

    Raises
    ------
    AssertionError
        Says which law is broken.
    """
    name = type(solver).__name__
    rng = np.random.default_rng(0)
    x0 = problem.random(rng)
    before = _snapshot(x0)
    full = solve(problem, solver, x0=x0, max_iter=max_iter, tol=tol)
    _require(_equal(before, x0), f"{name} changed x0")
    _require(full.converged, f"{name} did not converge: {full.message}")
    again = solve(problem, solver, x0=x0, max_iter=max_iter, tol=tol)
    _require(_equal(full.x, again.x), f"{name} gives another answer the second time")
    n_iter = int(np.max(full.n_iter))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "checkpoint.h5"
        half = max(1, n_iter // 2)
        solve(problem, solver, x0=x0, max_iter=half, tol=tol, checkpoint=path)
        rest = solve(problem, solver, max_iter=max_iter, tol=tol, resume=path)
    _require(
        _equal(full.x, rest.x) and int(np.max(rest.n_iter)) == n_iter,
        f"{name} does not continue bit for bit from a checkpoint: its state must hold "
        "all that a step changes",
    )
    residual = float(np.max(full.history["residual"][-1]))
    return {"n_iter": float(n_iter), "residual": residual}


def _check_precision_kept(A: Operator, rng: np.random.Generator) -> None:
    for name in ("float32", "complex64"):
        x = _random(rng, A.in_shape, np.dtype(name), A.device or "numpy")
        y = A.forward(x)
        for what, out in (("forward", y), ("adjoint", A.adjoint(y))):
            _require(
                real_dtype(dtype_of(out)) == np.float32,
                f"{A!r}: {what} turned {name} into {dtype_of(out)}; convert the arrays "
                "it keeps to the dtype of x, or set in_dtype and out_dtype",
            )


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise AssertionError(message)


def _random(
    rng: np.random.Generator, shape: Shape, dtype: np.dtype[Any], device: str
) -> Array:
    x = rng.standard_normal(shape)
    if dtype.kind == "c":
        x = x + 1j * rng.standard_normal(shape)
    return to_device(x.astype(dtype), device)


def _mismatch(a: Array, b: Array) -> float:
    a, b = to_numpy(a), to_numpy(b)
    return float(np.linalg.norm(a - b)) / max(float(np.linalg.norm(b)), 1e-300)


def _batch_mismatch(function: Any, a: Array, b: Array) -> float:
    xp = array_namespace(a)
    both = function(xp.stack([a, b]))
    return max(
        _mismatch(both[0, ...], function(a)), _mismatch(both[1, ...], function(b))
    )


def _inner(a: Array, b: Array) -> float:
    return float(np.real(np.vdot(to_numpy(a), to_numpy(b))))


def _advantage(
    prior: Prior, v: Array, p: Array, step: float, rng: np.random.Generator
) -> float:
    """How much the best candidate's objective lies below the prox's, relatively."""

    def objective(x: Array) -> float:
        return float(scalar(prior.value(x))) + _inner(x - v, x - v) / (2 * step)

    best = objective(p)
    _require(math.isfinite(best), f"{prior!r}: the prox is not in the prior's domain")
    candidates = [v, v * 0, 0.5 * v, *_with_single_changes(v, p, rng)]
    for size in (1e-3, 1e-2, 1e-1, 1.0):
        for _ in range(8):
            noise = _random(rng, tuple(v.shape), dtype_of(v), device_of(v))
            candidates += [p + size * noise, prior.prox(v + size * noise, step)]
    gain = max(best - objective(c) for c in candidates)
    return gain / max(abs(best), 1.0)


def _with_single_changes(
    v: Array, p: Array, rng: np.random.Generator
) -> Iterator[Array]:
    """`p` with one entry zeroed, kept as in `v`, or halfway: wrong thresholds show."""
    point, argument = to_numpy(p), to_numpy(v).reshape(-1)
    for index in rng.permutation(point.size)[:60]:
        for value in (0.0, argument[index], 0.5 * argument[index]):
            changed = np.array(point)
            changed.reshape(-1)[index] = value
            yield to_device(changed, device_of(p))


def _expansion(
    prior: Prior, v: Array, p: Array, step: float, rng: np.random.Generator
) -> float:
    """By how much ‖p - q‖² exceeds ⟨p - q, v - w⟩ at worst, over ‖v - w‖²."""
    worst = -math.inf
    for size in (1e-2, 1e-1, 1.0):
        for _ in range(20):
            noise = _random(rng, tuple(v.shape), dtype_of(v), device_of(v))
            change = p - prior.prox(v + size * noise, step)
            excess = _inner(change, change) + size * _inner(change, noise)
            worst = max(worst, excess / (size**2 * _inner(noise, noise)))
    return worst


def _snapshot(x: Any) -> Any:
    if isinstance(x, dict):
        return {name: np.array(to_numpy(a)) for name, a in x.items()}
    return np.array(to_numpy(x))


def _equal(a: Any, b: Any) -> bool:
    if isinstance(a, dict):
        return all(_equal(a[name], b[name]) for name in a)
    return np.array_equal(to_numpy(a), to_numpy(b))
