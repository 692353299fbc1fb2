"""What the library itself costs: the loop's overhead, and its import."""

import statistics
import subprocess
import sys
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from measure import machine, seconds

import sparsesolve as ss

ITERATIONS = 10_000
FIRST_USE = "ss.Problem, ss.solve, ss.operators.Dense, ss.priors.L1, ss.ADMM"


class State(NamedTuple):
    """Nothing but what the contract asks for."""

    x: Any
    residual: float
    metrics: dict[str, float]


@dataclass(frozen=True)
class Nothing(ss.solvers.Solver):
    """A step that does nothing."""

    def prepare(self, problem):
        return None

    def init(self, problem, plan, x0, rng):
        return State(problem.zeros(), 1.0, {"objective": 0.0})

    def step(self, problem, plan, state):
        return state


def overhead() -> float:
    """Microseconds an iteration, median of five."""
    loss = ss.LeastSquares(ss.operators.Identity((10,)), np.ones(10))
    problem = ss.Problem(loss)

    def run():
        ss.solve(problem, Nothing(), max_iter=ITERATIONS, progress=False)

    run()
    return statistics.median(seconds(run) for _ in range(5)) / ITERATIONS * 1e6


def import_seconds() -> list[float]:
    """Seconds to start Python; to import sparsesolve, too; to touch what solves."""
    command = [sys.executable, "-c"]

    def start(code: str) -> float:
        return seconds(lambda: subprocess.run([*command, code], check=True))

    codes = ("pass", "import sparsesolve", f"import sparsesolve as ss; {FIRST_USE}")
    for code in codes:
        start(code)
    rows = [[start(code) for code in codes] for _ in range(9)]
    return [statistics.median(column) for column in zip(*rows, strict=True)]


if __name__ == "__main__":
    print(machine("numpy"))
    print(f"loop: {overhead():.1f} us an iteration (wanted <= 30)")
    bare, lazy, used = import_seconds()
    print(f"import: {lazy - bare:.3f} s beyond Python's {bare:.3f} s (wanted < 0.3)")
    print(f"import and first use of what a solve needs: {used - bare:.3f} s")
