"""The one loop: stopping, batches, interruption, checkpoints, resumption."""

import math
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pytest
from cases import random

import sparsesolve as ss
from sparsesolve.io import open_h5
from sparsesolve.stopping import Discrepancy, Stall, TimeBudget
from sparsesolve.tree_io import read_tree

A = ss.operators.Dense(random((20, 30), "float64"))
Y = random((20,), "float64", 1)
PROBLEM = ss.Problem(ss.LeastSquares(A, Y), ss.priors.L1(0.5))


class CountState(NamedTuple):
    x: np.ndarray
    residual: float
    metrics: dict


@dataclass(frozen=True)
class Count(ss.solvers.Solver):
    """Adds one to x; its residual halves, or becomes NaN at `bad`."""

    bad: int = -1
    pause: float = 0.0

    def prepare(self, problem):
        return None

    def init(self, problem, plan, x0, rng):
        return CountState(problem.zeros() if x0 is None else x0, 1.0, {})

    def step(self, problem, plan, state):
        time.sleep(self.pause)
        n = int(state.x[0]) + 1
        residual = math.nan if n == self.bad else state.residual / 2
        return CountState(state.x + 1, residual, {"n": float(n)})


def test_tolerance_max_iter_and_history():
    solution = ss.solve(PROBLEM, Count(), tol=0.1)
    assert solution.status is ss.Status.CONVERGED
    assert solution.n_iter == 4
    np.testing.assert_array_equal(solution.history["n"], [1, 2, 3, 4])
    np.testing.assert_array_equal(solution.history["residual"], 0.5 ** np.arange(1, 5))
    short = ss.solve(PROBLEM, Count(), tol=0, max_iter=3)
    assert short.status is ss.Status.MAX_ITER
    assert not short.converged
    assert "max_iter" in repr(short)
    assert "\n" not in repr(short)


def test_a_residual_that_is_not_finite_is_raised_with_its_iteration():
    with pytest.raises(FloatingPointError, match="iteration 3"):
        ss.solve(PROBLEM, Count(bad=3), tol=0)


def test_a_step_that_is_too_long_is_raised():
    with pytest.raises(FloatingPointError, match="usual causes"):
        ss.solve(PROBLEM, ss.ProximalGradient(step_size=10.0), max_iter=3000)


def test_user_rule_callback_and_time_budget():
    seen = []
    solution = ss.solve(
        PROBLEM, Count(), tol=0, stop=lambda p: p.n_iter == 7, callback=seen.append
    )
    assert solution.status is ss.Status.STOPPED
    assert [p.n_iter for p in seen] == list(range(1, 8))
    timed = ss.solve(PROBLEM, Count(pause=0.01), tol=0, stop=TimeBudget(0.05))
    assert timed.status is ss.Status.TIME
    assert timed.n_iter < 10


def test_discrepancy_stops_at_the_noise_level():
    solution = ss.solve(PROBLEM.with_lam(1e-3), stop=Discrepancy(noise=0.5), tol=0)
    assert solution.status is ss.Status.DISCREPANCY
    misfits = np.linalg.norm(A(solution.x) - Y)
    assert misfits <= 0.5 * math.sqrt(20)


def test_stall_stops_what_no_longer_improves():
    solution = ss.solve(PROBLEM, tol=0, stop=Stall(window=50), max_iter=10_000)
    assert solution.status is ss.Status.STALLED


def test_batch_freezes_what_has_finished_and_equals_the_loop():
    batch = np.stack([Y, 0.2 * Y, 5 * Y])
    lam = np.array([0.5, 0.05, 0.1])
    problem = ss.Problem(ss.LeastSquares(A, batch), ss.priors.L1(lam))
    together = ss.solve(problem, ss.ProximalGradient(), tol=1e-8, max_iter=5000)
    assert together.status.shape == (3,)
    assert len(set(together.n_iter.tolist())) > 1
    for i in range(3):
        one = ss.Problem(ss.LeastSquares(A, batch[i]), ss.priors.L1(lam[i]))
        alone = ss.solve(one, ss.ProximalGradient(), tol=1e-8, max_iter=5000)
        assert alone.n_iter == together.n_iter[i]
        np.testing.assert_allclose(together.x[i], alone.x, rtol=1e-9, atol=1e-11)
    assert "3 converged" in together.message


def test_single_precision_stays():
    op = ss.operators.Dense(random((20, 30), "float32"))
    problem = ss.Problem(ss.LeastSquares(op, Y.astype("float32")), ss.priors.L1(0.5))
    for solver in (ss.ProximalGradient(), ss.ADMM(), ss.PrimalDual()):
        solution = ss.solve(problem, solver, max_iter=20)
        for name, leaf in solution.state._asdict().items():
            for a in leaf if isinstance(leaf, tuple) else (leaf,):
                if isinstance(a, np.ndarray):
                    assert a.dtype == np.float32, (type(solver).__name__, name)


def test_default_solver_is_said():
    def pick(problem):
        return ss.solve(problem, max_iter=1).choices["solver"].split(",")[0]

    assert pick(PROBLEM) == "ProximalGradient"
    assert pick(ss.Problem(ss.NoiseBall(A, Y, 0.1), ss.priors.L1(1.0))) == "ADMM"
    two = ss.priors.L1(1.0) + ss.priors.NonNegative()
    assert pick(PROBLEM.with_prior(two)) == "ADMM"
    denoiser = ss.priors.Denoiser(lambda x, sigma: 0.9 * x, 0.1)
    assert pick(PROBLEM.with_prior(denoiser)) == "ADMM"
    assert pick(PROBLEM.with_prior(ss.priors.SBL())) == "VariationalEM"
    product = ss.operators.Product("M", "A", shape=(4, 2, 3))
    blocks = ss.Problem(ss.LeastSquares(product, np.ones((4, 3))))
    assert pick(blocks) == "AlternatingMinimization"


@pytest.mark.parametrize(
    ("problem", "solver", "message"),
    [
        (
            ss.Problem(ss.NoiseBall(A, Y, 1.0), ss.priors.L1(1.0)),
            ss.ProximalGradient(),
            "ProximalGradient needs a loss with a gradient",
        ),
        (
            PROBLEM.with_prior(ss.priors.L1(1.0) + ss.priors.NonNegative()),
            ss.ProximalGradient(),
            "use ADMM or PrimalDual",
        ),
        (PROBLEM.with_prior(ss.priors.SBL()), ss.ADMM(), "use VariationalEM"),
        (
            PROBLEM.with_prior(ss.priors.SBL()),
            ss.solvers.OMP(),
            "OMP needs the prior TopK; .*: use VariationalEM, .* such as SBL$",
        ),
        (
            PROBLEM.with_prior(ss.priors.TurboVBI()),
            ss.AlternatingMinimization(),
            "use VariationalEM, .* such as TurboVBI$",
        ),
        (PROBLEM, ss.VariationalEM(), "hierarchical"),
        (PROBLEM, ss.AlternatingMinimization(), "named blocks"),
    ],
)
def test_a_solver_refuses_by_name_what_it_lacks(problem, solver, message):
    with pytest.raises(TypeError, match=message):
        ss.solve(problem, solver)


def test_ctrl_c_returns_what_there_is():
    def interrupt(progress):
        if progress.n_iter == 5:
            os.kill(os.getpid(), signal.SIGINT)

    solution = ss.solve(PROBLEM, Count(), tol=0, callback=interrupt)
    assert solution.status is ss.Status.INTERRUPTED
    assert solution.n_iter in (5, 6)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_second_ctrl_c_raises():
    def interrupt(progress):
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        ss.solve(PROBLEM, Count(), tol=0, callback=interrupt)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_resume_refuses_another_problem(tmp_path):
    path = tmp_path / "state.h5"
    ss.solve(PROBLEM, max_iter=3, checkpoint=path)
    with pytest.raises(ValueError, match="another problem"):
        ss.solve(PROBLEM.with_lam(0.7), max_iter=6, resume=path)
    with pytest.raises(ValueError, match="another problem"):
        ss.solve(PROBLEM, ss.ProximalGradient(restart=False), resume=path)


def test_resume_says_whose_the_checkpoint_is(tmp_path):
    path = tmp_path / "state.h5"
    inferred = PROBLEM.with_prior(ss.priors.SBL())
    ss.solve(inferred, max_iter=3, checkpoint=path)
    said = "its prior is SBL, here it is L1, its solver is VariationalEM, here it is "
    with pytest.raises(ValueError, match=said + "ProximalGradient; solve without"):
        ss.solve(PROBLEM, ss.ProximalGradient(), resume=path)
    with pytest.raises(ValueError, match="seed: its seed is 0, here it is 1; solve"):
        ss.solve(inferred, resume=path, seed=1)
    ss.solve(PROBLEM, max_iter=3, checkpoint=path)
    with pytest.raises(ValueError, match="its prior is L1, here it is SBL"):
        ss.solve(inferred, resume=path)
    with pytest.raises(ValueError, match=r"is L1\(lam=.*, here it is L1\(lam=0.7"):
        ss.solve(PROBLEM.with_lam(0.7), resume=path)


def test_resume_refuses_a_checkpoint_that_says_nothing_of_itself(tmp_path):
    h5py = pytest.importorskip("h5py")
    path = tmp_path / "state.h5"
    ss.solve(PROBLEM, max_iter=3, checkpoint=path)
    with h5py.File(path, "r+") as file:
        del file["about"]
    with pytest.raises(ValueError, match="another problem, solver or seed; solve"):
        ss.solve(PROBLEM.with_lam(0.7), resume=path)
    assert ss.solve(PROBLEM, max_iter=4, tol=0, resume=path).n_iter == 4


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"solver": ss.ADMM}, TypeError, r"wanted an instance such as ADMM\(\)"),
        ({"solver": "admm"}, TypeError, "solver is 'admm'"),
        ({"stop": Stall}, TypeError, "wanted a callable"),
        ({"stop": 3}, TypeError, "stop has 3"),
        ({"stop": lambda p: np.ones(2, bool)}, ValueError, r"gave shape \(2,\)"),
        ({"callback": 3}, TypeError, "callback is 3"),
        ({"seed": -1}, ValueError, "seed is -1"),
        ({"seed": None}, ValueError, "seed is None"),
        ({"tol": np.ones(2)}, TypeError, "tol is an array"),
        ({"tol": float("nan")}, ValueError, "tol is nan"),
        ({"max_iter": 2.5}, ValueError, "max_iter is 2.5"),
        ({"x0": np.zeros(30), "resume": "a.h5"}, ValueError, "exclude each other"),
    ],
)
def test_a_wrong_option_is_one_sentence(options, error, message):
    with pytest.raises(error, match=message) as caught:
        ss.solve(PROBLEM, **options)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ss.ADMM(rho=0), "rho is 0"),
        (lambda: ss.ADMM(rho=np.ones(3)), "rho is an array"),
        (lambda: ss.ADMM(relaxation=2.5), "relaxation is 2.5"),
        (lambda: ss.ProximalGradient(step_size=-1), "step_size is -1"),
        (lambda: ss.ProximalGradient(step_size="1"), "step_size is '1'"),
        (lambda: ss.AlternatingMinimization(inner_steps=0), "inner_steps is 0"),
        (lambda: TimeBudget(-1), "seconds is -1"),
        (lambda: Discrepancy(noise=0), "noise is 0"),
        (lambda: ss.priors.L1("0.5"), "lam is '0.5'"),
        (lambda: ss.priors.L1(np.array([1j, 2])), "lam is array"),
    ],
)
def test_a_wrong_setting_is_one_sentence(make, message):
    with pytest.raises((TypeError, ValueError), match=message):
        make()


def test_resume_with_a_smaller_tolerance_or_another_rule_goes_on(tmp_path):
    path = tmp_path / "state.h5"
    loose = ss.solve(PROBLEM, tol=1e-3, checkpoint=path)
    tight = ss.solve(PROBLEM, tol=1e-8, resume=path)
    assert loose.n_iter < tight.n_iter
    assert tight.converged
    assert tight.seconds > loose.seconds
    np.testing.assert_array_equal(tight.x, ss.solve(PROBLEM, tol=1e-8).x)
    again = ss.solve(PROBLEM, tol=1e-8, resume=path)
    assert again.n_iter == tight.n_iter
    early = ss.solve(PROBLEM, tol=1e-8, stop=Discrepancy(2.0), checkpoint=path)
    assert early.status is ss.Status.DISCREPANCY
    late = ss.solve(PROBLEM, tol=1e-8, resume=path)
    assert late.n_iter == tight.n_iter


def test_default_tolerance_is_no_smaller_than_the_priors_own():
    problem = PROBLEM.with_prior(ss.priors.TotalVariation(0.1, tol=1e-3))
    assert ss.solve(problem, max_iter=1).choices["tol"].startswith("0.001")
    assert ss.solve(PROBLEM, max_iter=1).choices["tol"].startswith("1e-06")


def test_resume_notices_another_operator_of_another_library(tmp_path):
    sparse = pytest.importorskip("scipy.sparse")
    path = tmp_path / "state.h5"

    def problem(scale, kind):
        matrix = scale * A.a
        made = {
            "csr": lambda: sparse.csr_array(matrix),
            "linear operator": lambda: sparse.linalg.aslinearoperator(matrix),
        }[kind]()
        return ss.Problem(ss.LeastSquares(made, Y), ss.priors.L1(0.5))

    for kind in ("csr", "linear operator"):
        ss.solve(problem(1.0, kind), max_iter=3, checkpoint=path)
        ss.solve(problem(1.0, kind), max_iter=6, resume=path)
        with pytest.raises(ValueError, match="another problem"):
            ss.solve(problem(2.0, kind), max_iter=6, resume=path)


def test_a_denoiser_with_other_constants_is_another_problem(tmp_path):
    def plug(factor):
        return PROBLEM.with_prior(ss.priors.Denoiser(lambda x, sigma: factor * x, 0.1))

    path = tmp_path / "state.h5"
    ss.solve(plug(0.9), max_iter=3, checkpoint=path)
    with pytest.raises(ValueError, match="another problem"):
        ss.solve(plug(0.8), max_iter=6, resume=path)


def test_checkpoint_folder_is_checked_before_any_work(tmp_path):
    with pytest.raises(OSError, match="checkpoint folder"):
        ss.solve(PROBLEM, checkpoint=tmp_path / "missing" / "state.h5")


def test_resume_of_a_batch_continues_what_was_open(tmp_path):
    batch = np.stack([Y, 0.2 * Y])
    problem = ss.Problem(ss.LeastSquares(A, batch), ss.priors.L1(0.3))
    full = ss.solve(problem, ss.ProximalGradient(), tol=1e-8, max_iter=5000)
    half = int(full.n_iter.min() + full.n_iter.max()) // 2
    path = tmp_path / "state.h5"
    settings = {"solver": ss.ProximalGradient(), "tol": 1e-8}
    ss.solve(problem, max_iter=half, checkpoint=path, **settings)
    rest = ss.solve(problem, max_iter=5000, resume=path, **settings)
    np.testing.assert_array_equal(full.x, rest.x)
    np.testing.assert_array_equal(full.n_iter, rest.n_iter)
    assert rest.converged


LONG_SOLVE = """
import sys, numpy as np, sparsesolve as ss
rng = np.random.default_rng(0)
A = ss.operators.Dense(rng.standard_normal((40, 60)))
problem = ss.Problem(ss.LeastSquares(A, rng.standard_normal(40)), ss.priors.L1(0.1))
import sparsesolve.checkpoint as checkpoint
checkpoint.Checkpointer.due = lambda self, now: True
solver = ss.ProximalGradient()
resume = sys.argv[2] if len(sys.argv) > 2 else None
target = int(resume) if resume else 10**9
out = ss.solve(problem, solver, tol=0, max_iter=target,
               checkpoint=sys.argv[1], resume=sys.argv[1] if resume else None,
               callback=lambda p: p.n_iter < 99 and print(p.n_iter, flush=True))
np.save(sys.argv[1] + ".npy", out.x)
"""


@pytest.mark.parametrize("signal_number", [signal.SIGKILL, signal.SIGTERM])
def test_last_checkpoint_loads_after_a_kill(tmp_path, signal_number):
    """Writes a checkpoint every iteration, is killed in the middle, continues."""
    path = tmp_path / "state.h5"
    command = [sys.executable, "-c", LONG_SOLVE, str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        for _ in range(20):
            process.stdout.readline()
        process.send_signal(signal_number)
        process.wait()
    with open_h5(path, kind="checkpoint") as file:
        done = read_tree(file, "record")["n_iter"]
    assert done >= 19
    total = str(done + 30)
    subprocess.run([*command, total], check=True, stdout=subprocess.DEVNULL)
    resumed = np.load(f"{path}.npy")
    fresh = tmp_path / "fresh.h5"
    script = LONG_SOLVE.replace("resume=sys.argv[1] if resume else None", "resume=None")
    subprocess.run(
        [sys.executable, "-c", script, str(fresh), total],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    np.testing.assert_array_equal(resumed, np.load(f"{fresh}.npy"))


def test_progress_bar_goes_to_standard_error(capsys):
    ss.solve(PROBLEM, Count(), max_iter=3, progress=True)
    captured = capsys.readouterr()
    assert "residual" in captured.err
    assert captured.out == ""
