"""Greedy pursuits against textbook loops that solve dense least squares."""

from functools import reduce

import numpy as np
import pytest
from cases import LIBRARIES, OPERATORS, random

import sparsesolve as ss
from sparsesolve.backends import device_of, to_numpy
from sparsesolve.solvers import IHT, OMP, CoSaMP, KroneckerOMP
from sparsesolve.solvers.atoms import Atoms

DTYPES = ("float32", "float64", "complex64", "complex128")
TOL = {"float32": 2e-4, "complex64": 2e-4, "float64": 1e-11, "complex128": 1e-11}


def sensing(dtype="float64", seed=0, m=40, n=70, k=5, noise=0.1):
    """A dictionary of unequal norms, a k-sparse unknown, noisy data."""
    scale = 10.0 ** np.random.default_rng(seed).uniform(-1, 1, n)
    a = random((m, n), dtype, seed) * scale.astype(np.empty(0, dtype).real.dtype)
    support = np.sort(np.random.default_rng(seed + 50).choice(n, k, replace=False))
    x = np.zeros(n, dtype)
    x[support] = (random((k,), dtype, seed + 1) + 2) / np.linalg.norm(
        a[:, support], axis=0
    )
    y = a @ x + noise * random((m,), dtype, seed + 2)
    return a, x, y.astype(dtype)


def kronecker(dtype="float64", seed=0, shapes=((8, 9), (7, 8), (6, 7)), k=2, noise=0.1):
    factors = [random(shape, dtype, seed + i) for i, shape in enumerate(shapes)]
    rng = np.random.default_rng(seed + 50)
    sets = [np.sort(rng.choice(n, k, replace=False)) for _, n in shapes]
    x = np.zeros([n for _, n in shapes], dtype)
    x[np.ix_(*sets)] = random((k,) * len(shapes), dtype, seed + 9) + 3
    A = ss.operators.Kronecker(*factors)
    return A, x, A(x) + noise * random(A.out_shape, dtype, seed + 10)


def iterates(problem, solver, **options):
    """x after each iteration."""
    seen = []
    options = {"tol": 0, "callback": lambda p: seen.append(p.state.x)} | options
    solution = ss.solve(problem, solver, **options)
    return solution, seen


def fitted(a, y, support):
    x = np.zeros(a.shape[1], np.result_type(a, y))
    x[support] = np.linalg.lstsq(a[:, support], y, rcond=None)[0]
    return x


def textbook_omp(a, y, k):
    norms, support = np.linalg.norm(a, axis=0), []
    x = np.zeros(a.shape[1], a.dtype)
    for _ in range(k):
        pull = np.abs(a.conj().T @ (y - a @ x)) / norms
        support.append(int(np.argmax(pull)))
        x = fitted(a, y, support)
        yield x


def textbook_cosamp(a, y, k, refit, n_iter):
    norms = np.linalg.norm(a, axis=0)
    d, z = a / norms, np.zeros(a.shape[1], a.dtype)
    for _ in range(n_iter):
        pull = np.abs(d.conj().T @ (y - d @ z))
        merged = np.union1d(np.argsort(-pull)[: 2 * k], np.flatnonzero(z))
        b = fitted(d, y, merged)
        kept = np.argsort(-np.abs(b))[:k]
        z = np.zeros_like(b)
        z[kept] = b[kept]
        z = fitted(d, y, kept) if refit else z
        yield z / norms


def textbook_iht(a, y, k, n_iter):
    def top(v):
        return np.where(np.abs(v) >= np.sort(np.abs(v))[-k], v, 0)

    x = np.zeros(a.shape[1], a.dtype)
    on = top(a.conj().T @ y) != 0
    for _ in range(n_iter):
        g = a.conj().T @ (y - a @ x)
        inside = np.where(on, g, 0)
        step = np.linalg.norm(inside) ** 2 / np.linalg.norm(a @ inside) ** 2
        new = top(x + step * g)
        while ((new != 0) != on).any():
            d = new - x
            if step <= np.linalg.norm(d) ** 2 / np.linalg.norm(a @ d) ** 2:
                break
            step /= 2
            new = top(x + step * g)
        x, on = new, new != 0
        yield x


def textbook_kronecker_omp(factors, y, sizes):
    """Explicit Kronecker matrices, correlations entry by entry; snapshots last."""
    whole = reduce(np.kron, [f / np.linalg.norm(f, axis=0) for f in factors])
    shape = [f.shape[1] for f in factors]
    data = y.reshape(whole.shape[0], -1)
    sets = [[] for _ in factors]
    rest = data
    while any(len(s) < k for s, k in zip(sets, sizes, strict=True)):
        pull = np.linalg.norm(whole.conj().T @ rest, axis=1).reshape(shape)
        for axis, (s, k) in enumerate(zip(sets, sizes, strict=True)):
            if len(s) == k:
                out = np.setdiff1d(np.arange(shape[axis]), s)
                pull[(slice(None),) * axis + (out,)] = -1
        entry = np.unravel_index(np.argmax(pull), shape)
        for s, i in zip(sets, entry, strict=True):
            if int(i) not in s:
                s.append(int(i))
        matrix = reduce(np.kron, [f[:, s] for f, s in zip(factors, sets, strict=True)])
        core = np.linalg.lstsq(matrix, data, rcond=None)[0]
        rest = data - matrix @ core
        x = np.zeros((*shape, data.shape[1]), y.dtype)
        x[np.ix_(*sets)] = core.reshape([*map(len, sets), -1])
        yield x.reshape((*shape, *y.shape[len(shape) :]))


def agree(found, wanted, dtype):
    found, wanted = list(found), list(wanted)
    assert len(found) == len(wanted)
    for one, two in zip(found, wanted, strict=True):
        assert one.dtype == np.dtype(dtype)
        np.testing.assert_array_equal(one != 0, two != 0)
        assert np.linalg.norm(one - two) <= TOL[dtype] * np.linalg.norm(two)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("seed", range(3))
def test_omp_is_the_textbook_loop(dtype, seed):
    a, _, y = sensing(dtype, seed, noise=1.0)
    problem = ss.Problem(ss.LeastSquares(a, y), ss.priors.TopK(12))
    solution, found = iterates(problem, OMP(), max_iter=12)
    agree(found, textbook_omp(a, y, 12), dtype)
    np.testing.assert_array_equal(solution.history["atoms"], np.arange(1, 13))
    misfit = [0.5 * np.linalg.norm(y - a @ x) ** 2 for x in found]
    np.testing.assert_allclose(solution.history["loss"], misfit, rtol=20 * TOL[dtype])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("seed", range(3))
def test_kronecker_omp_is_the_textbook_loop(dtype, seed):
    A, _, y = kronecker(dtype, seed, noise=1.0)
    problem = ss.Problem(ss.LeastSquares(A, y), ss.priors.KroneckerTopK(3, 2, 4))
    wanted = list(textbook_kronecker_omp(A.factors, y, (3, 2, 4)))
    _, found = iterates(problem, KroneckerOMP(), max_iter=len(wanted))
    agree(found, wanted, dtype)
    assert len(wanted) > 3


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("refit", [True, False])
def test_cosamp_is_the_textbook_loop_until_the_misfit_no_longer_falls(dtype, refit):
    a, _, y = sensing(dtype, 3, noise=0.8 if refit else 0.4)
    problem = ss.Problem(ss.LeastSquares(a, y), ss.priors.TopK(5))
    solution, found = iterates(problem, CoSaMP(refit=refit), tol=1e-30, max_iter=30)
    n = len(found)
    wanted = list(textbook_cosamp(a, y, 5, refit, n))
    assert n >= 3
    assert solution.converged
    agree(found[:-1], wanted[:-1], dtype)
    misfit = [np.linalg.norm(y - a @ x) for x in wanted]
    assert misfit[-1] >= misfit[-2] * (1 - TOL[dtype])
    np.testing.assert_array_equal(found[-1], found[-2])


@pytest.mark.parametrize("dtype", ["float64", "complex128"])
@pytest.mark.parametrize("seed", range(3))
def test_iht_is_the_textbook_loop_and_proximal_gradient(dtype, seed):
    a = random((40, 70), dtype, seed)
    x = np.zeros(70, dtype)
    x[[3, 30, 31, 60]] = random((4,), dtype, seed + 1) + 2
    y = a @ x + 0.3 * random((40,), dtype, seed + 2)
    problem = ss.Problem(ss.LeastSquares(a, y), ss.priors.TopK(4))
    solution, found = iterates(problem, IHT(), max_iter=15)
    agree(found, textbook_iht(a, y, 4, 15), dtype)
    loss = solution.history["loss"]
    assert np.all(np.diff(loss) <= 1e-12 * loss[:-1])
    same = ss.ProximalGradient(momentum=False, step_size="normalised")
    np.testing.assert_array_equal(
        iterates(problem, same, max_iter=15)[1][-1], found[-1]
    )


def test_proximal_gradient_with_top_k_is_hard_thresholding_of_fixed_step():
    a, _, y = sensing("complex128")
    problem = ss.Problem(ss.LeastSquares(a, y), ss.priors.TopK(5))
    solution, found = iterates(
        problem, ss.ProximalGradient(momentum=False), max_iter=10
    )
    x, step = np.zeros(70, complex), 1 / problem.A.norm() ** 2
    for one in found:
        v = x + step * a.conj().T @ (y - a @ x)
        x = np.where(np.abs(v) >= np.sort(np.abs(v))[-5], v, 0)
        np.testing.assert_allclose(one, x, atol=1e-12)
    assert solution.history["loss"][-1] < solution.history["loss"][0]


def test_normalised_steps_reach_the_optimum_of_a_convex_problem_too():
    a = random((30, 50), "float64")
    loss = ss.LeastSquares(a, random((30,), "float64", 1))
    problem = ss.Problem(loss, ss.priors.L1(2.0))
    best = ss.solve(problem, tol=1e-8, max_iter=5000)
    solver = ss.ProximalGradient(momentum=False, step_size="normalised")
    solution = ss.solve(problem, solver, tol=1e-8, max_iter=5000)
    np.testing.assert_allclose(solution.x, best.x, atol=1e-5)
    fixed = ss.solve(
        problem, ss.ProximalGradient(momentum=False), tol=1e-8, max_iter=5000
    )
    assert solution.n_iter < fixed.n_iter


def test_pylops_omp_chooses_the_same():
    pylops = pytest.importorskip("pylops")
    A, x, y = kronecker("complex128", 4)
    found, *_ = pylops.optimization.sparsity.omp(
        pylops.MatrixMult(reduce(np.kron, A.factors), dtype="complex128"),
        y.reshape(-1),
        niter_outer=8,
        niter_inner=200,
        sigma=1e-10,
        normalizecols=True,
    )
    problem = ss.Problem(ss.LeastSquares(A, y), ss.priors.TopK(8))
    solution = ss.solve(problem, OMP())
    np.testing.assert_allclose(solution.x.reshape(-1), found, atol=1e-6)
    np.testing.assert_array_equal(solution.x != 0, x != 0)


def test_scikit_learn_omp_chooses_the_same():
    linear = pytest.importorskip("sklearn.linear_model")
    a, _, y = sensing(noise=1.0)
    a = a / np.linalg.norm(a, axis=0)
    problem = ss.Problem(ss.LeastSquares(a, y), ss.priors.TopK(9))
    found = linear.orthogonal_mp(a, y, n_nonzero_coefs=9)
    np.testing.assert_allclose(ss.solve(problem, OMP()).x, found, atol=1e-10)


SOLVERS = [OMP(), CoSaMP(), IHT()]
ALL = [*SOLVERS, KroneckerOMP()]


def easy(solver, dtype="float64", noise=0.0, k=None, seed=1):
    """A problem that `solver` solves, and its truth; columns alike for IHT."""
    if isinstance(solver, KroneckerOMP):
        A, x, y = kronecker(dtype, 3, noise=noise)
        loss, prior = ss.LeastSquares(A, y), ss.priors.KroneckerTopK(k or 2)
        return ss.Problem(loss, prior), x
    a, x, y = sensing(dtype, seed, noise=noise)
    if isinstance(solver, IHT):
        norms = np.linalg.norm(a, axis=0)
        a, x = a / norms, x * norms
    return ss.Problem(ss.LeastSquares(a, y), ss.priors.TopK(k or 5)), x


@pytest.mark.parametrize("solver", ALL, ids=repr)
@pytest.mark.parametrize("dtype", DTYPES)
def test_exact_recovery_without_noise(solver, dtype):
    problem, x = easy(solver, dtype)
    solution = ss.solve(problem, solver)
    assert solution.converged
    assert solution.x.dtype == np.dtype(dtype)
    tol = 1e-3 if dtype in ("float32", "complex64") else 1e-5
    assert np.linalg.norm(solution.x - x) <= tol * np.linalg.norm(x)


@pytest.mark.parametrize("solver", [OMP(), KroneckerOMP()], ids=repr)
@pytest.mark.parametrize("dtype", DTYPES)
def test_it_stops_at_rounding_before_all_atoms_are_taken(solver, dtype):
    problem, x = easy(solver, dtype, k=4 if isinstance(solver, KroneckerOMP) else 20)
    solution, seen = iterates(problem, solver, tol=0, max_iter=25)
    np.testing.assert_array_equal(solution.x != 0, x != 0)
    assert solution.history["residual"][-1] == 0
    np.testing.assert_array_equal(seen[-1], seen[-2])


def test_the_noise_level_stops_it():
    a, x, y = sensing(seed=1, noise=0.1)
    problem = ss.Problem(ss.LeastSquares(a, y), ss.priors.TopK(30))
    rule = ss.stopping.Discrepancy(0.1, tau=1.2)
    solution = ss.solve(problem, OMP(), stop=rule)
    assert solution.status is ss.Status.DISCREPANCY
    np.testing.assert_array_equal(solution.x != 0, x != 0)
    A, x, y = kronecker(seed=3, noise=0.1)
    problem = ss.Problem(ss.LeastSquares(A, y), ss.priors.KroneckerTopK(5))
    solution = ss.solve(problem, KroneckerOMP(), stop=rule)
    assert solution.status is ss.Status.DISCREPANCY
    np.testing.assert_array_equal(solution.x != 0, x != 0)


@pytest.mark.parametrize("solver", ALL, ids=repr)
@pytest.mark.parametrize("dtype", ["float64", "complex128"])
def test_a_batch_is_a_loop(solver, dtype):
    one, _ = easy(solver, dtype, noise=0.05)
    y = one.loss.y
    other = random(y.shape, dtype, 77)
    stack = np.stack([y, 0 * y, other, 1000 * y + other, other[::-1], y])
    stack = stack.reshape(2, 3, *y.shape)
    batch = ss.Problem(ss.LeastSquares(one.A, stack), one.prior)
    together = ss.solve(batch, solver, max_iter=40)
    assert together.x.shape == (2, 3, *one.x_shape)
    for i in np.ndindex(2, 3):
        alone = ss.solve(
            ss.Problem(ss.LeastSquares(one.A, stack[i]), one.prior), solver, max_iter=40
        )
        assert together.n_iter[i] == alone.n_iter
        np.testing.assert_array_equal(together.x[i] != 0, alone.x != 0)
        scale = np.abs(alone.x).max()
        np.testing.assert_allclose(together.x[i], alone.x, atol=20 * TOL[dtype] * scale)


@pytest.mark.parametrize("solver", [OMP(), CoSaMP(), CoSaMP(refit=False)], ids=repr)
def test_norms_of_columns_do_not_matter(solver):
    a, _, y = sensing("complex128", 4)
    scale = 10.0 ** np.random.default_rng(0).uniform(-6, 6, 70)
    one = ss.solve(ss.Problem(ss.LeastSquares(a, y), ss.priors.TopK(5)), solver)
    two = ss.solve(ss.Problem(ss.LeastSquares(a * scale, y), ss.priors.TopK(5)), solver)
    np.testing.assert_array_equal(one.x != 0, two.x != 0)
    np.testing.assert_allclose(one.x, two.x * scale, rtol=1e-9)


def test_norms_of_a_factors_columns_do_not_matter():
    A, _, y = kronecker("complex128", 4)
    scales = [
        10.0 ** np.random.default_rng(i).uniform(-6, 6, n)
        for i, n in enumerate((9, 8, 7))
    ]
    scaled = ss.operators.Kronecker(
        *(f * s for f, s in zip(A.factors, scales, strict=True))
    )
    prior = ss.priors.KroneckerTopK(2)
    one = ss.solve(ss.Problem(ss.LeastSquares(A, y), prior), KroneckerOMP())
    two = ss.solve(ss.Problem(ss.LeastSquares(scaled, y), prior), KroneckerOMP())
    factor = np.multiply.outer(np.multiply.outer(*scales[:2]), scales[2])
    np.testing.assert_allclose(one.x, two.x * factor, rtol=1e-9)


@pytest.mark.parametrize("unit", [1e-9, 1e9])
@pytest.mark.parametrize("solver", ALL, ids=repr)
@pytest.mark.parametrize("dtype", ["float64", "complex64"])
def test_units_of_the_data_do_not_matter(solver, unit, dtype):
    problem, _ = easy(solver, dtype, noise=0.1)
    y = (unit * problem.loss.y).astype(dtype)
    one = ss.solve(problem, solver)
    two = ss.solve(ss.Problem(ss.LeastSquares(problem.A, y), problem.prior), solver)
    assert one.n_iter == two.n_iter
    assert np.linalg.norm(two.x / unit - one.x) <= 1e-4 * np.linalg.norm(one.x)


def test_without_normalisation_it_compares_correlations_as_they_are():
    a, _, y = sensing(seed=1, noise=1.0)
    problem = ss.Problem(ss.LeastSquares(a, y), ss.priors.TopK(1))
    x = ss.solve(problem, OMP(normalise=False)).x
    assert np.flatnonzero(x) == [np.argmax(np.abs(a.T @ y))]
    assert np.flatnonzero(x) != np.flatnonzero(ss.solve(problem, OMP()).x)


@pytest.mark.parametrize("solver", SOLVERS, ids=repr)
def test_weights_are_rows_scaled_by_their_roots(solver):
    problem, _ = easy(solver, "complex128", noise=0.2)
    a, y = problem.A.a, problem.loss.y
    weights = np.random.default_rng(0).uniform(0.5, 2, y.shape)
    weights[:4] = 0
    missing = y.copy()
    missing[:4] = np.nan
    root = np.sqrt(weights)
    one = ss.solve(
        ss.Problem(ss.LeastSquares(a, missing, weights), problem.prior), solver
    )
    two = ss.solve(
        ss.Problem(ss.LeastSquares(root[:, None] * a, root * y), problem.prior), solver
    )
    np.testing.assert_array_equal(one.x != 0, two.x != 0)
    np.testing.assert_allclose(one.x, two.x, atol=1e-5)


def test_weights_that_differ_in_a_batch():
    a, _, y = sensing("float64", 5, noise=0.5)
    weights = np.random.default_rng(0).uniform(0, 3, (2, 40))
    stack = np.stack([y, y])
    prior = ss.priors.TopK(6)
    together = ss.solve(ss.Problem(ss.LeastSquares(a, stack, weights), prior), OMP())
    for i in range(2):
        alone = ss.solve(ss.Problem(ss.LeastSquares(a, y, weights[i]), prior), OMP())
        np.testing.assert_allclose(together.x[i], alone.x, atol=1e-10)


@pytest.mark.parametrize("solver", [OMP(), CoSaMP()], ids=repr)
def test_a_real_unknown_under_complex_data_is_one_of_stacked_real_data(solver):
    a, x, _ = sensing("complex128", 6, m=25)
    y = a @ x.real + 0.1 * random((25,), "complex128", 8)
    prior = ss.priors.TopK(5)
    A = ss.operators.Dense(a).real()
    one = ss.solve(ss.Problem(ss.LeastSquares(A, y), prior), solver)
    stacked = np.concatenate([a.real, a.imag])
    data = np.concatenate([y.real, y.imag])
    two = ss.solve(ss.Problem(ss.LeastSquares(stacked, data), prior), solver)
    assert one.x.dtype == np.float64
    np.testing.assert_allclose(one.x, two.x, atol=1e-10)


def test_missing_pilots_are_a_masked_kronecker_product():
    A, x, y = kronecker("complex128", 1, noise=0.05)
    mask = np.random.default_rng(3).random(A.out_shape) < 0.7
    masked = ss.operators.Mask(mask) @ A
    problem = ss.Problem(ss.LeastSquares(masked, y[mask]), ss.priors.TopK(8))
    solution = ss.solve(problem, OMP())
    whole = reduce(np.kron, A.factors)[mask.reshape(-1)]
    *_, wanted = textbook_omp(whole, y[mask], 8)
    np.testing.assert_allclose(solution.x.reshape(-1), wanted, atol=1e-10)
    np.testing.assert_array_equal(solution.x != 0, x != 0)


@pytest.mark.parametrize("name", OPERATORS)
@pytest.mark.parametrize("dtype", ["float64", "complex64"])
def test_columns_and_norms_of_every_operator(name, dtype):
    case = OPERATORS[name]
    if dtype not in case.dtypes:
        pytest.skip("not in this dtype")
    A = case.make(dtype)
    data = str(A.out_dtype or np.dtype(dtype))
    weights = np.random.default_rng(0).uniform(0, 2, A.out_shape)
    y = random(A.out_shape, data)
    problem = ss.Problem(ss.LeastSquares(A, y, weights.astype(y.real.dtype)))
    atoms = Atoms(problem)
    n = A.shape[1]
    units = np.eye(n, dtype=problem.x_dtype).reshape(n, *A.in_shape)
    images = (np.sqrt(weights) * A(units)).reshape(n, -1)
    tol = 1e-12 if dtype == "float64" else 1e-5
    size = np.linalg.norm(images)
    np.testing.assert_allclose(
        atoms.norms[0], np.linalg.norm(images, axis=1), atol=tol * size
    )
    if A.takes_real:
        images = np.concatenate([images.real, images.imag], axis=1)
    index = np.arange(n)[None, ::-1]
    columns = atoms.columns(index)[0]
    assert columns.dtype == problem.x_dtype
    np.testing.assert_allclose(columns, images[::-1], atol=tol * size)
    pull = atoms.correlations(atoms.data)[0]
    np.testing.assert_allclose(
        pull,
        images.conj() @ atoms.data[0],
        atol=tol * size * np.linalg.norm(atoms.data),
    )


@pytest.mark.parametrize("solver", SOLVERS, ids=repr)
@pytest.mark.parametrize("dtype", DTYPES)
def test_duplicated_and_zero_columns(solver, dtype):
    a, x, y = sensing(dtype, 1, noise=0.0)
    if isinstance(solver, IHT):
        a = a / np.linalg.norm(a, axis=0)
        y = (a @ np.where(x != 0, 2, 0)).astype(dtype)
    zero = np.zeros((40, 3), dtype)
    both = np.concatenate([zero, a, a, zero], axis=1)
    problem = ss.Problem(ss.LeastSquares(both, y), ss.priors.TopK(10))
    solution = ss.solve(problem, solver, max_iter=2000)
    assert np.isfinite(solution.x).all()
    assert not solution.x[:3].any()
    assert not solution.x[-3:].any()
    assert np.linalg.norm(y - both @ solution.x) <= 2e-3 * np.linalg.norm(y)
    if isinstance(solver, OMP):
        np.testing.assert_array_equal(solution.x[3:73] != 0, x != 0)


@pytest.mark.parametrize("dtype", DTYPES)
def test_duplicated_and_zero_columns_of_a_factor(dtype):
    A, x, y = kronecker(dtype, 3, noise=0.0)
    first = np.concatenate(
        [0 * A.factors[0][:, :2], A.factors[0], A.factors[0]], axis=1
    )
    wide = ss.operators.Kronecker(first, *A.factors[1:])
    problem = ss.Problem(ss.LeastSquares(wide, y), ss.priors.KroneckerTopK(4, 2, 2))
    solution = ss.solve(problem, KroneckerOMP())
    assert solution.converged
    np.testing.assert_allclose(wide(solution.x), y, atol=100 * TOL[dtype])
    np.testing.assert_array_equal(solution.x[2:11] != 0, x != 0)
    assert not solution.x[:2].any()
    assert not solution.x[11:].any()


@pytest.mark.parametrize("solver", ALL, ids=repr)
def test_zero_data_and_a_zero_operator_have_the_solution_zero(solver):
    problem, _ = easy(solver)
    y = problem.loss.y
    nothing = ss.Problem(ss.LeastSquares(problem.A, 0 * y), problem.prior)
    assert not ss.solve(nothing, solver).x.any()
    factors = [0 * f for f in getattr(problem.A, "factors", ())]
    zero = ss.operators.Kronecker(*factors) if factors else 0.0 * problem.A
    solution = ss.solve(ss.Problem(ss.LeastSquares(zero, y), problem.prior), solver)
    assert solution.converged
    assert not solution.x.any()


@pytest.mark.parametrize("solver", SOLVERS, ids=repr)
def test_more_atoms_than_data_or_columns_fit_exactly(solver):
    a = random((6, 9), "float64") / 3
    y = random((6,), "float64", 1)
    problem = ss.Problem(ss.LeastSquares(a, y), ss.priors.TopK(20))
    solution = ss.solve(problem, solver, tol=1e-8, max_iter=20_000)
    np.testing.assert_allclose(a @ solution.x, y, atol=1e-6)
    tall = ss.Problem(
        ss.LeastSquares(a.T, random((9,), "float64", 2)), ss.priors.TopK(6)
    )
    wanted = np.linalg.lstsq(a.T, tall.loss.y, rcond=None)[0]
    solution = ss.solve(tall, solver, tol=1e-8, max_iter=20_000)
    np.testing.assert_allclose(solution.x, wanted, atol=1e-5)


def test_a_start_is_a_start_support():
    a, _, y = sensing(noise=0.5)
    whole = ss.Problem(ss.LeastSquares(a, y), ss.priors.TopK(8))
    half = ss.solve(whole.with_prior(ss.priors.TopK(3)), OMP()).x
    solution = ss.solve(whole, OMP(), x0=half)
    assert solution.n_iter == 5
    np.testing.assert_allclose(solution.x, ss.solve(whole, OMP()).x, atol=1e-12)
    wrong = np.zeros(70)
    wrong[[0, 1]] = 1.0
    assert ss.solve(whole, OMP(), x0=wrong).x[:2].all()
    full = ss.solve(whole, OMP(), x0=np.arange(70.0))
    np.testing.assert_allclose(full.x, fitted(a, y, np.arange(62, 70)), atol=1e-12)


def test_a_start_of_a_batch_has_as_many_atoms_as_each_gives():
    a, _, y = sensing(noise=0.5)
    prior, x0 = ss.priors.TopK(4), np.zeros((3, 70))
    x0[0, [5, 6, 7]] = 1
    x0[1, 5] = 1
    batch = ss.Problem(ss.LeastSquares(a, np.stack([y, y, y])), prior)
    together = ss.solve(batch, OMP(), x0=x0)
    np.testing.assert_array_equal(together.n_iter, [1, 3, 4])
    for i in range(3):
        alone = ss.solve(ss.Problem(ss.LeastSquares(a, y), prior), OMP(), x0=x0[i])
        np.testing.assert_allclose(together.x[i], alone.x, atol=1e-12)


def test_a_start_gives_kronecker_omp_its_sets():
    A, x, y = kronecker(noise=0.1)
    problem = ss.Problem(ss.LeastSquares(A, y), ss.priors.KroneckerTopK(2))
    solution = ss.solve(problem, KroneckerOMP(), x0=x)
    sets = [np.flatnonzero(x.any(tuple({0, 1, 2} - {i}))) for i in range(3)]
    matrix = reduce(np.kron, [f[:, s] for f, s in zip(A.factors, sets, strict=True)])
    core = np.linalg.lstsq(matrix, y.reshape(-1), rcond=None)[0]
    assert solution.n_iter == 1
    np.testing.assert_allclose(solution.x[np.ix_(*sets)].reshape(-1), core, atol=1e-12)


@pytest.mark.parametrize("solver", ALL, ids=repr)
def test_it_goes_on_from_a_checkpoint_bit_for_bit(solver, tmp_path):
    one, _ = easy(
        solver, "complex128", noise=1.0, k=3 if isinstance(solver, KroneckerOMP) else 7
    )
    y = np.stack([one.loss.y, random(one.loss.y.shape, "complex128", 5)])
    problem = ss.Problem(ss.LeastSquares(one.A, y), one.prior)
    full = ss.solve(problem, solver, max_iter=200)
    half = max(1, int(full.n_iter.max()) // 2)
    assert half < full.n_iter.max()
    path = tmp_path / "checkpoint.h5"
    ss.solve(problem, solver, max_iter=half, checkpoint=path)
    rest = ss.solve(problem, solver, max_iter=200, resume=path)
    np.testing.assert_array_equal(full.x, rest.x)
    np.testing.assert_array_equal(full.n_iter, rest.n_iter)


@pytest.mark.parametrize("solver", ALL, ids=repr)
@pytest.mark.parametrize("library", [x for x in LIBRARIES if x != "numpy"])
def test_other_array_libraries_choose_the_same(solver, library):
    pytest.importorskip(library.split(":")[0])
    one, _ = easy(solver, "complex64", noise=0.1)
    y = np.stack([one.loss.y, random(one.loss.y.shape, "complex64", 5)])
    for data in (one.loss.y, y):
        here = ss.Problem(ss.LeastSquares(one.A, data), one.prior)
        there = here.to(library)
        x, other = (ss.solve(p, solver, max_iter=20).x for p in (here, there))
        assert device_of(other) == library
        np.testing.assert_array_equal(to_numpy(other) != 0, x != 0)
        np.testing.assert_allclose(to_numpy(other), x, atol=1e-3 * np.abs(x).max())


def snapshots(dtype, noise=0.3, n=4):
    """The same sets in all snapshots, values of their own."""
    A, x, _ = kronecker(dtype, 3)
    values = np.where(x != 0, 1, 0)[..., None] * (random((*x.shape, n), dtype, 20) + 1)
    several = ss.operators.kron(A, ss.operators.Identity((n,)))
    y = several(values.astype(dtype)) + noise * random((*A.out_shape, n), dtype, 21)
    return A, several, y.astype(dtype)


@pytest.mark.parametrize("dtype", ["float64", "complex128"])
def test_snapshots_share_their_sets(dtype):
    A, several, y = snapshots(dtype)
    prior = ss.priors.KroneckerTopK(2, 3, 3, 4)
    problem = ss.Problem(ss.LeastSquares(several, y), prior)
    wanted = list(textbook_kronecker_omp(A.factors, y, (2, 3, 3)))
    _, found = iterates(problem, KroneckerOMP(), max_iter=len(wanted))
    agree(found, wanted, dtype)


def test_an_identity_may_be_restricted_too():
    """Two snapshots of four, those with most in them."""
    _, several, y = snapshots("float64")
    y[..., [0, 2]] *= 0.01
    problem = ss.Problem(ss.LeastSquares(several, y), ss.priors.KroneckerTopK(2))
    solution = ss.solve(problem, KroneckerOMP())
    assert not solution.x[..., [0, 2]].any()
    assert solution.x[..., [1, 3]].any()


@pytest.mark.parametrize("shape", [(5, 8), (8, 5)])
def test_a_free_axis_is_solved_by_least_squares_of_least_norm(shape):
    A, _, y = kronecker("complex128", 1, ((7, 9), shape), noise=2.0)
    problem = ss.Problem(ss.LeastSquares(A, y), ss.priors.KroneckerTopK(2, 8))
    solution = ss.solve(problem, KroneckerOMP())
    first = np.flatnonzero(solution.x.any(axis=1))
    assert first.size == 2
    matrix = np.kron(A.factors[0][:, first], A.factors[1])
    core = np.linalg.lstsq(matrix, y.reshape(-1), rcond=None)[0]
    np.testing.assert_allclose(solution.x[first].reshape(-1), core, atol=1e-10)
    misfit = 0.5 * np.linalg.norm(y - A(solution.x)) ** 2
    np.testing.assert_allclose(
        solution.history["loss"][-1], misfit, rtol=1e-9, atol=1e-9
    )


def test_only_free_axes_are_least_squares():
    A, _, y = kronecker("float64", 1, ((7, 5), (6, 8)), noise=1.0)
    problem = ss.Problem(ss.LeastSquares(A, y), ss.priors.KroneckerTopK(8))
    solution = ss.solve(problem, KroneckerOMP())
    wanted = np.linalg.lstsq(np.kron(*A.factors), y.reshape(-1), rcond=None)[0]
    assert solution.converged
    np.testing.assert_allclose(solution.x.reshape(-1), wanted, atol=1e-10)


def test_one_factor_is_orthogonal_matching_pursuit():
    a, _, y = sensing("complex128", 2, noise=1.0)
    one = ss.Problem(ss.LeastSquares(a, y), ss.priors.TopK(7))
    two = ss.Problem(ss.LeastSquares(a, y), ss.priors.KroneckerTopK(7))
    np.testing.assert_allclose(
        ss.solve(one, OMP()).x, ss.solve(two, KroneckerOMP()).x, atol=1e-12
    )


def test_kronecker_top_k_is_a_set():
    prior = ss.priors.KroneckerTopK(2, 1).bind((4, 5))
    x = np.zeros((3, 4, 5), np.complex64)
    x[0, [0, 3], 2] = 1j
    x[1, :3, 2] = 1
    x[2, 0, :2] = 1
    np.testing.assert_array_equal(prior.value(x), [0, np.inf, np.inf])
    assert prior.value(x).dtype == np.float32
    assert ss.priors.KroneckerTopK(3).bind((4, 5)).k == (3, 3)
    with pytest.raises(TypeError, match="KroneckerOMP"):
        prior.prox(x, 1.0)
    with pytest.raises(ValueError, match="no size"):
        ss.priors.KroneckerTopK()
    with pytest.raises(ValueError, match="integer >= 1"):
        ss.priors.KroneckerTopK(2, 0)
    with pytest.raises(ValueError, match="2 axes"):
        ss.priors.KroneckerTopK(1, 2, 3).bind((4, 5))


def test_kronecker_top_k_finds_its_solver_by_itself():
    problem, x = easy(KroneckerOMP())
    solution = ss.solve(problem)
    assert "KroneckerOMP" in solution.choices["solver"]
    np.testing.assert_allclose(solution.x, x, atol=1e-9)


def test_what_they_do_not_take_is_refused_by_name():
    A, _, y = kronecker()
    plain = ss.LeastSquares(A, y)
    top, sets = ss.priors.TopK(3), ss.priors.KroneckerTopK(3)
    for solver in SOLVERS:
        with pytest.raises(TypeError, match="needs the prior TopK"):
            ss.solve(ss.Problem(plain, ss.priors.L1(1.0)), solver)
        with pytest.raises(TypeError, match="needs a LeastSquares loss"):
            ss.solve(ss.Problem(ss.Huber(A, y, 1.0), top), solver)
    with pytest.raises(TypeError, match="needs the prior KroneckerTopK"):
        ss.solve(ss.Problem(plain, top), KroneckerOMP())
    with pytest.raises(TypeError, match="without weights"):
        ss.solve(
            ss.Problem(ss.LeastSquares(A, y, np.ones(y.shape)), sets), KroneckerOMP()
        )
    masked = ss.operators.Mask(y > 0) @ A
    with pytest.raises(TypeError, match="Kronecker product"):
        ss.solve(ss.Problem(ss.LeastSquares(masked, y[y > 0]), sets), KroneckerOMP())
    onto_real = ss.operators.Dense(random((6, 4), "complex128")).real().H
    with pytest.raises(TypeError, match="imaginary parts"):
        ss.solve(ss.Problem(ss.LeastSquares(onto_real, np.ones(4)), top), OMP())
    for wrong in ("yes", 1):
        with pytest.raises(TypeError, match="normalise is"):
            OMP(normalise=wrong)
        with pytest.raises(TypeError, match="refit is"):
            CoSaMP(refit=wrong)
    with pytest.raises(ValueError, match="momentum=False"):
        ss.ProximalGradient(step_size="normalised")
    with pytest.raises(TypeError, match="step_size is 'fast'"):
        ss.ProximalGradient(step_size="fast")
