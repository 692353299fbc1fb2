"""Use an installed sparsesolve: every public name, and a small problem solved."""

import importlib
import sys
from pathlib import Path

import numpy as np

import sparsesolve as ss

PACKAGES = ("", ".operators", ".priors", ".solvers", ".applications", ".datasets")


def check_that_it_is_the_installed_one() -> None:
    home = Path(ss.__file__).resolve()
    if not home.is_relative_to(Path(sys.prefix).resolve()):
        raise SystemExit(f"imported {home}, which is not in {sys.prefix}")
    if not (home.parent / "py.typed").is_file():
        raise SystemExit("py.typed was not shipped")


def load_every_public_name() -> None:
    for package in PACKAGES:
        module = importlib.import_module(f"sparsesolve{package}")
        for name in getattr(module, "__all__", []):
            getattr(module, name)


def solve_something() -> None:
    rng = np.random.default_rng(0)
    truth = np.zeros(60)
    truth[[7, 20, 41]] = 1.0, -2.0, 1.5
    A = ss.operators.Dense(rng.standard_normal((40, 60)) / np.sqrt(40))
    loss = ss.LeastSquares(A, A(truth))
    problem = ss.Problem(loss=loss, prior=ss.priors.L1(lam=1e-4))
    solution = ss.solve(problem, progress=False)
    error = np.linalg.norm(solution.x - truth) / np.linalg.norm(truth)
    if not error < 1e-2:
        raise SystemExit(f"the installed wheel misses a sparse vector by {error:.1e}")
    print(solution)


if __name__ == "__main__":
    check_that_it_is_the_installed_one()
    load_every_public_name()
    solve_something()
