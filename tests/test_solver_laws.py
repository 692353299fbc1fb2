"""The laws of solvers, over all of `cases.SOLVERS` and the problems each must solve."""

import numpy as np
import pytest
from cases import LIBRARIES, PROBLEMS, SOLVERS

import sparsesolve as ss
from sparsesolve.backends import device_of, dtype_of, to_numpy

OTHER = ("nmf", "factorisation", "bayes")
PAIRS = [(s, p) for s, case in SOLVERS.items() for p in case.iterations]
CONVEX = [(s, p) for s, p in PAIRS if p.split()[-1] not in OTHER]
REAL_ONLY = {"nmf", "robust nmf", "ridge factorisation"}


def solved(solver, problem, dtype="float64", **options):
    case = SOLVERS[solver]
    made = PROBLEMS[problem](dtype)
    options = {"tol": 1e-7, "max_iter": case.iterations[problem]} | options
    return made, ss.solve(made, case.make(), **options)


@pytest.mark.parametrize(("solver", "problem"), PAIRS)
def test_it_converges_within_its_bound(solver, problem):
    _, solution = solved(solver, problem, tol=1e-4)
    assert solution.converged, solution


@pytest.mark.parametrize(("solver", "problem"), CONVEX)
@pytest.mark.parametrize("dtype", ["float64", "complex128"])
def test_two_solvers_agree(solver, problem, dtype):
    """With plain proximal gradient where it applies, else with primal-dual."""
    reference = "ProximalGradient"
    if problem not in SOLVERS[reference].iterations:
        reference = "PrimalDual"
    tol, far = 1e-7, 1e-4
    if problem[:2] in ("tv", "to"):  # the prox of TV has a tolerance of its own
        tol, far = 1e-5, 1e-3 if problem != "tv as a term" else 2e-2
    _, one = solved(solver, problem, dtype, tol=tol, max_iter=2000)
    _, two = solved(reference, problem, dtype, tol=tol, max_iter=2000)
    assert np.linalg.norm(one.x - two.x) <= far * np.linalg.norm(two.x)
    values = [s.history["objective"][-1] for s in (one, two)]
    assert values[0] == pytest.approx(values[1], rel=far / 10)


@pytest.mark.parametrize("solver", [s for s, p in PAIRS if p == "lasso"])
@pytest.mark.parametrize("dtype", ["float64", "complex128"])
def test_lasso_is_optimal(solver, dtype):
    """|Aᴴr| <= lam, and Aᴴr = lam x/|x| on the support."""
    problem, solution = solved(solver, "lasso", dtype, tol=1e-10, max_iter=5000)
    x, lam = solution.x, problem.prior.lam
    pull = problem.A.adjoint(problem.loss.y - problem.A(x))
    on = np.abs(x) > 1e-6
    assert 0 < on.sum() < 30
    assert np.abs(pull).max() <= lam * (1 + 1e-6)
    np.testing.assert_allclose(pull[on], lam * x[on] / np.abs(x[on]), rtol=1e-5)


@pytest.mark.parametrize("solver", [s for s, p in PAIRS if p == "basis pursuit"])
@pytest.mark.parametrize("dtype", ["float64", "complex128"])
def test_basis_pursuit_has_no_duality_gap(solver, dtype):
    """Dual: max Re⟨y, u⟩ - radius ‖u‖ over |Aᴴu| <= 1, at u along the residual."""
    problem, solution = solved(
        solver, "basis pursuit", dtype, tol=1e-9, max_iter=20_000
    )
    loss, x = problem.loss, solution.x
    residual = loss.y - problem.A(x)
    assert np.linalg.norm(residual) <= loss.radius * (1 + 1e-5)
    u = residual / np.abs(problem.A.adjoint(residual)).max()
    dual = np.vdot(loss.y, u).real - loss.radius * np.linalg.norm(u)
    assert np.abs(x).sum() == pytest.approx(dual, rel=1e-4)


@pytest.mark.parametrize(
    ("solver", "problem"), [(s, p) for s, p in PAIRS if s == "AlternatingMinimization"]
)
def test_alternating_costs_never_rise(solver, problem):
    _, solution = solved(solver, problem, tol=0, max_iter=200)
    cost = solution.history["objective"]
    assert np.all(np.diff(cost) <= 1e-12 * cost[:-1])
    assert cost[-1] < 0.9 * cost[0]


def test_plain_proximal_gradient_never_raises_the_cost():
    problem = PROBLEMS["lasso"]("complex128")
    solution = ss.solve(problem, ss.ProximalGradient(momentum=False), tol=1e-8)
    cost = solution.history["objective"]
    assert np.all(np.diff(cost) <= 1e-12 * cost[:-1])


@pytest.mark.parametrize(("solver", "problem"), PAIRS)
def test_it_keeps_the_contract_of_check_solver(solver, problem):
    case = SOLVERS[solver]
    made = PROBLEMS[problem]("float64")
    found = ss.testing.check_solver(
        case.make(), made, tol=1e-3, max_iter=case.iterations[problem]
    )
    assert found["residual"] < 1e-3


@pytest.mark.parametrize(("solver", "problem"), PAIRS)
@pytest.mark.parametrize("dtype", ["float32", "complex64"])
def test_single_precision_stays_and_agrees_with_double(solver, problem, dtype):
    if problem in REAL_ONLY and dtype == "complex64":
        pytest.skip("non-negative blocks are real")
    double = {"float32": "float64", "complex64": "complex128"}[dtype]
    _, one = solved(solver, problem, dtype, tol=0, max_iter=30)
    _, two = solved(solver, problem, double, tol=0, max_iter=30)
    names = one.x if isinstance(one.x, dict) else {"": None}
    for name in names:
        a, b = (x[name] if name else x for x in (one.x, two.x))
        assert a.dtype == np.dtype(dtype)
        assert np.linalg.norm(a - b) <= 2e-3 * np.linalg.norm(b)


@pytest.mark.parametrize(("solver", "problem"), PAIRS)
@pytest.mark.parametrize("library", [x for x in LIBRARIES if x != "numpy"])
def test_other_array_libraries_give_the_same(solver, problem, library):
    pytest.importorskip(library.split(":")[0])
    made = PROBLEMS[problem]("float64")
    case = SOLVERS[solver]
    x0 = made.random(np.random.default_rng(0))
    here = ss.solve(made, case.make(), x0=x0, tol=0, max_iter=8)
    there = made.to(library)
    x0 = there.random(np.random.default_rng(0))
    away = ss.solve(there, case.make(), x0=x0, tol=0, max_iter=8)
    names = here.x if isinstance(here.x, dict) else {"": None}
    for name in names:
        a, b = (x[name] if name else x for x in (here.x, away.x))
        assert device_of(b) == library
        assert dtype_of(b) == np.float64
        # inner solvers stop at their own tolerances, not at the same iterate
        atol = 1e-5 if problem[:2] in ("tv", "to") else 1e-8
        np.testing.assert_allclose(to_numpy(b), a, rtol=1e-6, atol=atol)


@pytest.mark.parametrize("solver", ["ProximalGradient", "ADMM", "PrimalDual"])
def test_a_batch_with_its_own_lam_is_a_loop(solver):
    one = PROBLEMS["lasso"]("complex128")
    y = np.stack([one.loss.y, 3 * one.loss.y, 0.1 * one.loss.y])
    lam = np.array([0.1, 0.5, 0.02])
    batch = ss.Problem(ss.LeastSquares(one.A, y), ss.priors.L1(lam))
    make = SOLVERS[solver].make
    together = ss.solve(batch, make(), tol=1e-9, max_iter=5000)
    assert together.converged
    assert together.history["residual"].shape[1:] == (3,)
    for i in range(3):
        single = ss.Problem(ss.LeastSquares(one.A, y[i]), ss.priors.L1(lam[i]))
        alone = ss.solve(single, make(), tol=1e-9, max_iter=5000)
        np.testing.assert_allclose(together.x[i], alone.x, atol=1e-7)


def test_plug_and_play_freezes_rho_and_reaches_its_fixed_point():
    """With a linear denoiser the fixed point solves a linear system."""
    problem = PROBLEMS["lasso"]("float64")
    denoiser = ss.priors.Denoiser(lambda x, sigma: 0.8 * x, 0.1)
    plug = problem.with_prior(denoiser)
    solution = ss.solve(plug, ss.ADMM(rho=0.5), tol=1e-10, max_iter=5000)
    assert solution.state.rho == (0.5,)
    # v = 0.8 (x + d) and d = x + d - v: d = v / 4 where x = v; gradient + rho d = 0
    a, y = problem.A.a, problem.loss.y
    exact = np.linalg.solve(a.T @ a + 0.125 * np.eye(60), a.T @ y)
    np.testing.assert_allclose(solution.x, exact, atol=1e-6)


def test_nmf_recovers_an_exact_factorisation():
    rng = np.random.default_rng(0)
    M, A = rng.random((10, 3)), rng.random((3, 30)) * (rng.random((3, 30)) < 0.5)
    product = ss.operators.Product("M", "A", shape=(10, 3, 30))
    nonnegative = {"M": ss.priors.NonNegative(), "A": ss.priors.NonNegative()}
    problem = ss.Problem(ss.LeastSquares(product, M @ A), nonnegative)
    solution = ss.solve(problem, max_iter=5000, tol=1e-7, seed=1)
    fit = np.linalg.norm(solution.x["M"] @ solution.x["A"] - M @ A)
    assert fit < 1e-2 * np.linalg.norm(M @ A)
    assert solution.x["M"].min() >= 0
    assert solution.x["A"].min() >= 0
