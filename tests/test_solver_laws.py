"""The laws of solvers, over all of `cases.SOLVERS` and the problems each must solve."""

import numpy as np
import pytest
from cases import LIBRARIES, PROBLEMS, SOLVERS

import sparsesolve as ss
from sparsesolve.backends import device_of, dtype_of, to_numpy

OTHER = ("nmf", "factorisation", "bayes", "terms")
PAIRS = [(s, p) for s, case in SOLVERS.items() for p in case.iterations]
CONVEX = [(s, p) for s, p in PAIRS if p.split()[-1] not in OTHER]
REAL_ONLY = {
    "nmf",
    "robust nmf",
    "guided nmf",
    "archetypes nmf",
    "ridge factorisation",
    "unmixing",
}


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
    if problem in REAL_ONLY and dtype == "complex128":
        pytest.skip("non-negative unknowns are real")
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


@pytest.mark.parametrize("solver", [s for s, p in PAIRS if p == "lasso"])
def test_default_tolerance_means_nearly_optimal(solver):
    """The residual that is compared with tol holds the dual side, too."""
    problem = PROBLEMS["lasso"]("float64")
    solution = ss.solve(problem, SOLVERS[solver].make())
    assert solution.converged
    pull = problem.A.adjoint(problem.loss.y - problem.A(solution.x))
    assert np.abs(pull).max() <= problem.prior.lam * (1 + 2e-3)


def test_small_changes_under_a_large_penalty_are_not_convergence():
    """With a large rho each step is short: only the dual residual tells."""
    problem = PROBLEMS["lasso"]("float64")
    solution = ss.solve(problem, ss.ADMM(rho=1e4, adapt=False), tol=1e-2, max_iter=100)
    assert not solution.converged
    assert solution.history["primal"][-1] < 1e-2


def test_ridge_factorisation_is_stationary():
    problem, solution = solved(
        "AlternatingMinimization", "ridge factorisation", tol=1e-11, max_iter=5000
    )
    M, A, lam = solution.x["M"], solution.x["A"], 0.1
    residual = M @ A - problem.loss.y
    assert np.abs(residual @ A.T + lam * M).max() < 1e-8
    assert np.abs(M.T @ residual + lam * A).max() < 1e-8


def test_weights_of_a_block_prior_are_not_forgotten():
    weights = np.ones((8, 2))
    weights[0] = 100.0
    priors = {"M": ss.priors.SquaredL2(0.1, weights), "A": ss.priors.SquaredL2(0.1)}
    problem = PROBLEMS["ridge factorisation"]("float64").with_prior(priors)
    solution = ss.solve(problem, tol=1e-10, max_iter=20_000)
    M, A = solution.x["M"], solution.x["A"]
    residual = M @ A - problem.loss.y
    assert np.abs(residual @ A.T + 0.1 * weights * M).max() < 1e-4
    assert np.all(np.diff(solution.history["objective"]) <= 1e-12)


def test_robust_regression_in_two_blocks_reaches_the_optimum():
    """Convex: alternating with re-weighted rows agrees with ADMM on the whole."""
    rng = np.random.default_rng(0)
    B, C = rng.standard_normal((2, 30, 4))
    truth = rng.standard_normal((8, 3))
    y = np.concatenate([B, C], axis=1) @ truth
    y[:5] += 20 * rng.standard_normal((5, 3))
    stacked = ss.operators.Dense(np.concatenate([B, C], axis=1))
    eye = ss.operators.Identity((3,))
    whole = ss.Problem(ss.L21(ss.operators.kron(stacked, eye), y))
    best = ss.solve(whole, ss.ADMM(), tol=1e-8, max_iter=5000)
    parts = {
        n: ss.operators.kron(ss.operators.Dense(m), eye)
        for n, m in (("B", B), ("C", C))
    }
    blocks = ss.Problem(ss.L21(ss.operators.hstack(**parts), y))
    solution = ss.solve(blocks, tol=1e-9, max_iter=5000)
    value = float(whole.loss.value(whole.A(best.x)))
    assert solution.history["objective"][-1] == pytest.approx(value, rel=1e-5)


UNITS = [1e-9, 1.0, 1e9]


@pytest.mark.parametrize("solver", ["ADMM", "PrimalDual"])
def test_a_batch_of_noise_balls_in_any_units_is_a_loop(solver):
    one = PROBLEMS["basis pursuit"]("complex128")
    make = SOLVERS[solver].make
    alone = ss.solve(one, make(), tol=1e-6, max_iter=3000)
    y = np.stack([unit * one.loss.y for unit in UNITS])
    radius = one.loss.radius * np.array(UNITS)
    batch = ss.Problem(ss.NoiseBall(one.A, y, radius), one.prior)
    together = ss.solve(batch, make(), tol=1e-6, max_iter=3000)
    assert len(set(together.n_iter.tolist())) == 1
    for x, unit in zip(together.x, UNITS, strict=True):
        np.testing.assert_allclose(x / unit, alone.x, atol=1e-6)


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("scale", [1e-3, 1e3])
def test_units_of_an_operator_in_a_term_do_not_matter(unit, scale):
    """p(cK x) with lam/c is p(K x)."""
    plain = PROBLEMS["tv as a term"]("float64")
    K = scale * ss.operators.Gradient((16, 16))
    prior = ss.priors.Term(ss.priors.GroupL2(unit * 0.02 / scale, 0), K)
    problem = ss.Problem(ss.LeastSquares(plain.A, unit * plain.loss.y), prior)
    for solver in (ss.ADMM(), ss.PrimalDual()):
        one = ss.solve(plain, solver, tol=1e-3)
        two = ss.solve(problem, solver, tol=1e-3)
        assert abs(two.n_iter - one.n_iter) <= 1
        np.testing.assert_allclose(two.x / unit, one.x, atol=1e-4)


@pytest.mark.parametrize("unit", UNITS)
def test_units_of_a_factorisation_do_not_matter(unit):
    plain = PROBLEMS["nmf"]("float64")
    loss = ss.LeastSquares(plain.A, unit * plain.loss.y)
    problem = ss.Problem(loss, plain.prior)
    one, two = ss.solve(plain, tol=1e-6), ss.solve(problem, tol=1e-6)
    assert one.n_iter == two.n_iter
    np.testing.assert_allclose(
        two.x["M"] @ two.x["A"] / unit, one.x["M"] @ one.x["A"], rtol=1e-6
    )


@pytest.mark.parametrize("solver", ["ProximalGradient", "ADMM", "PrimalDual"])
def test_an_operator_that_is_zero_has_the_solution_zero(solver):
    A = ss.operators.Dense(np.zeros((4, 6)))
    for loss in (ss.LeastSquares(A, np.ones(4)), ss.Huber(A, np.ones(4), 0.1)):
        problem = ss.Problem(loss, ss.priors.L1(1.0))
        x0 = np.ones(6)
        solution = ss.solve(problem, SOLVERS[solver].make(), x0=x0, tol=1e-6)
        np.testing.assert_allclose(solution.x, 0, atol=1e-5)


def test_a_block_driven_to_zero_ends_the_solve_well():
    priors = {"M": ss.priors.L1(100.0), "A": ss.priors.L1(100.0)}
    problem = PROBLEMS["nmf"]("float64").with_prior(priors)
    solution = ss.solve(problem)
    assert not solution.x["M"].any()
    assert not solution.x["A"].any()


def test_a_complex_term_on_a_real_unknown_keeps_it_real():
    K = ss.operators.Fourier((12,), dtype="complex128")
    y = np.random.default_rng(0).standard_normal(12)
    loss = ss.LeastSquares(ss.operators.Identity((12,)), y)
    problem = ss.Problem(loss, ss.priors.Term(ss.priors.L1(0.3), K))
    for solver in (ss.ADMM(), ss.PrimalDual()):
        solution = ss.solve(problem, solver, tol=1e-8, max_iter=3000)
        assert solution.x.dtype == np.float64
        size = np.abs(np.fft.fft(y, norm="ortho"))
        shrunk = np.fft.fft(y, norm="ortho") * np.maximum(0, 1 - 0.3 / size)
        exact = np.fft.ifft(shrunk, norm="ortho").real
        np.testing.assert_allclose(solution.x, exact, atol=1e-6)


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
        pytest.skip("non-negative unknowns are real")
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
        atol = 2e-3 if problem[:2] in ("tv", "to") else 1e-8
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
