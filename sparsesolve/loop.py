"""The one loop: progress, stopping, history, interruption, checkpoints."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from sparsesolve import checks
from sparsesolve.backends import (
    Array,
    array_namespace,
    device_of,
    expand,
    is_array,
    moved,
    real_dtype,
    to_device,
    to_numpy,
)
from sparsesolve.checkpoint import (
    Checkpointer,
    fingerprint,
    in_words,
    read_checkpoint,
)
from sparsesolve.problem import Problem
from sparsesolve.solution import Solution, Status
from sparsesolve.solvers.base import Solver
from sparsesolve.stopping import Progress, as_rules
from sparsesolve.terminal import Bar, Interrupt


def solve(
    problem: Problem,
    solver: Solver | None = None,
    *,
    x0: Any = None,
    max_iter: int = 1000,
    tol: float | None = None,
    stop: Any = (),
    seed: int = 0,
    callback: Callable[[Progress], None] | None = None,
    checkpoint: str | Path | None = None,
    resume: str | Path | None = None,
    progress: bool | None = None,
) -> Solution:
    """Solve a problem; every solver goes through this loop.

    Ctrl-C ends after the current iteration and returns what there is; a second one
    raises. In a batch, a problem that has finished is frozen while the others go on.

    Parameters
    ----------
    problem : Problem
        Loss and prior.
    solver : Solver, optional
        By default the first of VariationalEM, AlternatingMinimization, ActiveSet,
        ProximalGradient, ADMM and KroneckerOMP whose needs the problem meets (ADMM
        first for a denoiser); ``solution.choices`` says which.
    x0 : array or dict of arrays, optional
        Start, of the unknown's shape with batch axes; the solver's own by default.
    max_iter : int
        Iterations in total, those before a resume included.
    tol : float, optional
        Stop where the solver's residual falls below it; 0 never. By default 1e-6 in
        double precision and 1e-4 in single.
    stop : rule or sequence of rules
        Further stopping rules, see `sparsesolve.stopping`.
    seed : int
        Seed of every random number of this solve.
    callback : callable, optional
        Called with a `sparsesolve.stopping.Progress` after each iteration.
    checkpoint : path, optional
        HDF5 file to write the state to, as often as costs below 5 % of the time, and
        at the end.
    resume : path, optional
        Checkpoint to continue from, bit for bit on the same machine, versions and
        threads (a process that compiles a Numba kernel itself may round its last bit
        otherwise than one that finds it cached). If `checkpoint` is not given, it is
        also written on.
    progress : bool, optional
        Show a progress bar on standard error; by default only on a terminal.

    Returns
    -------
    Solution

    Raises
    ------
    TypeError
        The solver lacks something it needs of loss or prior.
    FloatingPointError
        A residual is not finite; the message names the iteration and usual causes.
    """
    if not isinstance(problem, Problem):
        raise TypeError(f"problem is a {type(problem).__name__}; wanted a Problem")
    choices = dict(problem.choices)
    solver = _chosen(problem, choices) if solver is None else _checked(solver, problem)
    if callback is not None and not callable(callback):
        raise TypeError(f"callback is {callback!r}; wanted a callable taking Progress")
    if x0 is not None and resume is not None:
        raise ValueError("x0 and resume exclude each other; a checkpoint has its own x")
    if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
        raise ValueError(f"seed is {seed!r}; wanted an integer >= 0")
    max_iter = checks.positive_int("max_iter", max_iter)
    tol = _tolerance(tol, solver, problem, choices)
    run = _Run(problem, solver, tol, as_rules(stop))
    target = checkpoint or resume
    key = fingerprint(problem, solver, seed) if target else ""
    about = in_words(problem, solver, seed) if target else {}
    record = read_checkpoint(resume, key, about) if resume else None
    keeper = Checkpointer(target, key, about) if target else None
    x0 = None if x0 is None else problem.start(x0)

    plan = solver.prepare(problem)
    choices.update(getattr(plan, "choices", {}))
    state = solver.init(problem, plan, x0, np.random.default_rng([seed, 0]))
    if record is not None:
        if record["n_iter"] > max_iter:
            raise ValueError(
                f"max_iter is {max_iter}, the total, but the checkpoint has "
                f"{record['n_iter']} iterations already"
            )
        state = run.restore(record, state)
    # What overflows is found by its residual and raised with the iteration's number.
    quiet = np.errstate(over="ignore", invalid="ignore")
    with quiet, Interrupt() as interrupt, Bar(progress, max_iter, run.n_iter) as bar:
        while run.n_iter < max_iter and not run.finished:
            state = run.advance(plan, state)
            bar.show(run.history[-1]["residual"])
            if callback is not None:
                callback(run.view(state))
            if interrupt.asked and not run.finished:
                run.end_all(Status.INTERRUPTED)
            elif keeper is not None and keeper.due(time.perf_counter()):
                keeper.write(run.record(state))
    run.end_all(Status.MAX_ITER)
    if keeper is not None:
        keeper.write(run.record(state))
    return run.solution(plan, state, choices, keeper)


class _Run:
    """The bookkeeping of one solve; statuses are per problem in a batch."""

    def __init__(
        self, problem: Problem, solver: Solver, tol: float, rules: tuple[Any, ...]
    ) -> None:
        self.problem, self.solver, self.tol, self.rules = problem, solver, tol, rules
        self.n_iter = 0
        self.history: list[dict[str, Any]] = []
        self.statuses = np.full(problem.batch_shape, Status.RUNNING, object)
        self.counts = np.zeros(problem.batch_shape, int)
        self.finished = False
        self.started = time.perf_counter()

    @property
    def seconds(self) -> float:
        return time.perf_counter() - self.started

    def advance(self, plan: Any, state: Any) -> Any:
        """Take one step, freeze what has finished, keep the row, judge."""
        new = _contiguous(self.solver.step(self.problem, plan, state))
        if self.n_iter and self.problem.batch_shape:
            new = _frozen(new, state, self._running(), self.problem)
        self.n_iter += 1
        residual = _number(new.residual)
        if not np.all(np.isfinite(residual)):
            raise FloatingPointError(
                f"{type(self.solver).__name__}: the residual is not finite at "
                f"iteration {self.n_iter}; usual causes are a step that is too large "
                "(an operator whose norm() is too small or whose adjoint is wrong: "
                "see sparsesolve.testing.check_operator) and overflow in the data's "
                "units"
            )
        row = {"residual": residual}
        for name, value in new.metrics.items():
            row[name] = _number(value)
        self.history.append(row)
        self._judge(new, residual)
        return new

    def _judge(self, state: Any, residual: Any) -> None:
        if self.problem.batch_shape:
            self.counts[self._running()] += 1
        self._end(residual < self.tol, Status.CONVERGED)
        if self.rules:
            view = self.view(state)
            for rule in self.rules:
                self._end(rule(view), getattr(rule, "status", Status.STOPPED))

    def _running(self) -> Any:
        return _where_is(self.statuses, Status.RUNNING)

    def _end(self, where: Any, status: Status) -> None:
        if isinstance(where, (bool, np.bool_)) and not where:
            return
        if np.ndim(where) and np.shape(where) != self.statuses.shape:
            raise ValueError(
                f"a stopping rule gave shape {np.shape(where)}; wanted a bool, or the "
                f"batch shape {self.statuses.shape}"
            )
        ending = self._running() & np.asarray(where, bool)
        if ending.any():
            self.statuses[ending] = status
            self.finished = not self._running().any()

    def end_all(self, status: Status) -> None:
        """Give every problem that is still running this status."""
        self._end(True, status)

    def view(self, state: Any) -> Progress:
        return Progress(self.problem, state, self.n_iter, self.seconds, self.history)

    def record(self, state: Any) -> dict[str, Any]:
        """Return what a checkpoint holds; only what converged counts as done."""
        done = np.isin(self._names(), ["CONVERGED"])
        return {
            "state": moved(state._asdict(), "numpy"),
            "n_iter": self.n_iter,
            "seconds": self.seconds,
            "history": _columns(self.history),
            "done": np.where(done, self._names(), "RUNNING").tolist(),
            "counts": self.counts,
        }

    def _names(self) -> Any:
        return np.array([s.name for s in self.statuses.flat]).reshape(self.counts.shape)

    def restore(self, record: dict[str, Any], template: Any) -> Any:
        """Take up a checkpoint's record; return its state, like `template`.

        A problem that had converged goes on if `tol` is smaller now.
        """
        done = np.array(record["done"]).reshape(self.counts.shape)
        for index in np.ndindex(self.counts.shape):
            self.statuses[index] = Status[str(done[index])]
        reached = _where_is(self.statuses, Status.CONVERGED)
        residual = _number(record["state"]["residual"])
        self.statuses[reached & ~np.asarray(residual < self.tol)] = Status.RUNNING
        self.finished = not self._running().any()
        self.counts = np.array(record["counts"])
        self.n_iter = record["n_iter"]
        self.started -= record["seconds"]
        columns = record["history"]
        self.history = [
            {name: values[i] for name, values in columns.items()}
            for i in range(self.n_iter)
        ]
        state = type(template)(**record["state"])
        device = self.problem.device
        return state if device == "numpy" else moved(state, device)

    def solution(
        self, plan: Any, state: Any, choices: dict[str, str], keeper: Any
    ) -> Solution:
        self._check_finite(state.x)
        statuses = self.statuses if self.problem.batch_shape else self.statuses.item()
        message = _message(self.statuses, self.tol, self.history)
        if keeper is not None:
            choices["checkpoint"] = f"state kept in {keeper.path}"
        return Solution(
            x=state.x,
            status=statuses,
            message=message,
            n_iter=self.counts if self.problem.batch_shape else self.n_iter,
            seconds=self.seconds,
            history=_columns(self.history),
            state=state,
            choices=choices,
            posterior=self.solver.posterior(self.problem, plan, state),
        )

    def _check_finite(self, x: Any) -> None:
        for a in x.values() if isinstance(x, dict) else (x,):
            if not bool(array_namespace(a).all(array_namespace(a).isfinite(a))):
                raise FloatingPointError(
                    f"{type(self.solver).__name__}: x has NaN or infinite entries "
                    f"after {self.n_iter} iterations, although its residual is finite"
                )


def _where_is(statuses: Any, status: Status) -> Any:
    """Boolean array: which problems have this status."""
    return np.array([s is status for s in statuses.flat]).reshape(statuses.shape)


def _number(value: Any) -> Any:
    """A Python float, or a NumPy array of batch shape."""
    if type(value) is float:
        return value
    if not is_array(value):
        return float(value)
    return to_numpy(value) if value.ndim else float(value)


def _contiguous(tree: Any) -> Any:
    """C-contiguous leaves, as a checkpoint brings back: the same sums, bit for bit."""
    if isinstance(tree, np.ndarray):
        return tree if tree.flags.c_contiguous else np.ascontiguousarray(tree)
    if isinstance(tree, tuple):
        leaves = [_contiguous(leaf) for leaf in tree]
        return type(tree)(*leaves) if hasattr(tree, "_fields") else tuple(leaves)
    if isinstance(tree, dict):
        return {name: _contiguous(leaf) for name, leaf in tree.items()}
    return tree


def _columns(history: list[dict[str, Any]]) -> dict[str, Array]:
    names = history[0] if history else {}
    return {name: np.array([row[name] for row in history]) for name in names}


def _frozen(new: Any, old: Any, running: Any, problem: Problem) -> Any:
    """Keep the old leaves of problems that have finished."""
    if running.all():
        return new
    batch = problem.batch_shape
    masks: dict[str, Array] = {}

    def merge(a: Any, b: Any) -> Any:
        if is_array(a) and a.shape[: len(batch)] == batch and is_array(b):
            xp, device = array_namespace(a), device_of(a)
            mask = masks.setdefault(device, to_device(running, device))
            return xp.where(expand(mask, a.ndim - len(batch)), a, b)
        if isinstance(a, dict):
            return {k: merge(a[k], b[k]) if k in b else a[k] for k in a}
        if isinstance(a, tuple) and isinstance(b, tuple) and len(a) == len(b):
            parts = [merge(x, y) for x, y in zip(a, b, strict=True)]
            return type(a)(*parts) if hasattr(a, "_fields") else tuple(parts)
        return a

    return merge(new, old)


def _tolerance(
    tol: float | None, solver: Solver, problem: Problem, choices: dict[str, str]
) -> float:
    if tol is not None:
        return checks.positive_number("tol", tol, zero=True)
    precision = real_dtype(problem.x_dtype).name
    tol = solver.default_tol.get(precision, 1e-4)
    why = f"{tol:g}, {type(solver).__name__}'s default in {precision}"
    priors = problem.prior.values() if problem.is_blocks else [problem.prior]
    accuracy = max(getattr(p, "tol", 0.0) for p in priors)
    if accuracy > tol:
        tol, why = accuracy, f"{accuracy:g}, the accuracy of the prior's own prox"
    choices["tol"] = why
    return tol


def _checked(solver: Any, problem: Problem) -> Solver:
    if not isinstance(solver, Solver):
        hint = f"{solver.__name__}()" if isinstance(solver, type) else "ADMM()"
        raise TypeError(f"solver is {solver!r}; wanted an instance such as {hint}")
    return solver.check(problem)


def _chosen(problem: Problem, choices: dict[str, str]) -> Solver:
    """Return the first solver whose needs the problem meets, and say which."""
    from sparsesolve import solvers

    order = [
        solvers.VariationalEM,
        solvers.ArchetypeDescent,
        solvers.AlternatingMinimization,
        solvers.ActiveSet,
        solvers.ProximalGradient,
        solvers.ADMM,
        solvers.KroneckerOMP,
    ]
    if getattr(problem.prior, "ignores_step", False):
        order.insert(0, solvers.ADMM)
    unmet = []
    for kind in order:
        solver: Solver = kind()
        need = solver.missing(problem)
        if need is None:
            choices["solver"] = f"{kind.__name__}, the first whose needs are met"
            return solver
        unmet.append(f"{kind.__name__} needs {need.what}")
    raise TypeError(f"no solver fits {problem!r}: {'; '.join(unmet)}")


def _message(statuses: Any, tol: float, history: list[dict[str, Any]]) -> str:
    if statuses.ndim:
        found = [s for s in Status if _where_is(statuses, s).any()]
        counts = [f"{int(_where_is(statuses, s).sum())} {s.value}" for s in found]
        return "; ".join(counts)
    residual = history[-1]["residual"] if history else float("nan")
    return f"{statuses.item().value} (residual {residual:.2g}, tol {tol:.2g})"
