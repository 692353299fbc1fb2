"""Archetypal analysis: its operator, the projection on a hull, and the solver."""

import dataclasses
import itertools

import numpy as np
import pytest
import scipy.optimize
from cases import random

import sparsesolve as ss
from sparsesolve import hull_kernels
from sparsesolve.applications import unmixing_archetypes
from sparsesolve.applications.unmixing import archetypal_analysis
from sparsesolve.applications.unmixing_archetypes import archetype_problem
from sparsesolve.operators import Archetypes
from sparsesolve.priors import NonNegative, Simplex
from sparsesolve.solution import Status
from sparsesolve.solvers import ArchetypeDescent

D, P, K, N = 3, 8, 2, 5


# The operator


@pytest.mark.parametrize("dtype", ["float64", "complex128"])
def test_partials_against_dense_matrices(dtype):
    X = random((D, P), dtype)
    A = Archetypes(X, K, N)
    x = {"B": random((P, K), dtype, 1), "A": random((K, N), dtype, 2)}
    np.testing.assert_allclose(A(x), X @ x["B"] @ x["A"], rtol=1e-12)
    for block, dense in (
        ("A", np.kron(X @ x["B"], np.eye(N))),
        ("B", np.kron(X, x["A"].T)),
    ):
        partial, offset = A.partial(block, x)
        assert offset == 0.0
        np.testing.assert_allclose(
            partial(x[block]).ravel(), dense @ x[block].ravel(), rtol=1e-11
        )
        y = random((D, N), dtype, 3)
        np.testing.assert_allclose(
            partial.adjoint(y).ravel(), dense.conj().T @ y.ravel(), rtol=1e-11
        )
        ss.testing.check_operator(partial)


def test_names_and_shapes_of_the_blocks():
    A = Archetypes(np.ones((D, P)), K, N, left="S", right="C")
    assert A.in_shape == {"S": (P, K), "C": (K, N)}
    assert A.out_shape == (D, N)
    assert Archetypes(np.ones((D, P), "float32"), K, N).in_dtype == np.float32


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Archetypes(np.ones(3), 2, 5), "points has shape"),
        (lambda: Archetypes(np.full((2, 3), np.nan), 2, 5), "points"),
        (lambda: Archetypes(np.ones((2, 3)), 0, 5), "n_archetypes is 0"),
        (lambda: Archetypes(np.ones((2, 3)), 2, 1.5), "n_data is 1.5"),
        (lambda: Archetypes(np.ones((2, 3)), 2, 5, left="A"), "both blocks"),
        (lambda: Archetypes(np.ones((2, 3)), 2, 5).partial("C", {}), "no block 'C'"),
        (lambda: ArchetypeDescent(passes=0), "passes is 0"),
    ],
)
def test_bad_input_is_one_sentence(make, message):
    with pytest.raises((ValueError, TypeError), match=message) as caught:
        make()
    assert "\n" not in str(caught.value)


# The projection on the hull


def projected(points, z, start=0, tol=1e-10):
    capacity = points.shape[1] + 2
    support, shares = np.zeros(capacity, np.int64), np.zeros(capacity)
    support[0], shares[0] = start, 1.0
    m = hull_kernels.project(points, z, support, shares, 1, tol)
    assert shares[:m].min() > 0
    assert shares[:m].sum() == pytest.approx(1, abs=1e-12)
    assert len(set(support[:m].tolist())) == m
    return shares[:m] @ points[support[:m]], m


def nearest(points, z):
    """The projection as a non-negative least squares with a heavy row of sum one."""
    heavy = 1e5
    design = np.vstack([points.T, heavy * np.ones(len(points))])
    shares, _ = scipy.optimize.nnls(design, np.append(z, heavy), maxiter=10000)
    return shares @ points / shares.sum()


@pytest.mark.parametrize("d", [1, 2, 5])
def test_the_projection_is_the_nearest_point(d):
    rng = np.random.default_rng(d)
    points = rng.standard_normal((40, d))
    for scale in (0.2, 1.0, 3.0, 30.0):
        for start in (0, 17):
            z = scale * rng.standard_normal(d)
            found, m = projected(points, z, start)
            assert m <= d + 1
            np.testing.assert_allclose(found, nearest(points, z), atol=1e-6)
            # Optimality: no point lies further along the gap than the nearest one.
            gap = z - found
            assert (points @ gap).max() <= found @ gap + 1e-9


def test_the_projection_of_points_and_of_degenerate_hulls():
    rng = np.random.default_rng(0)
    points = rng.standard_normal((20, 3))
    for i in range(20):
        np.testing.assert_allclose(
            projected(points, points[i])[0], points[i], atol=1e-6
        )
    flat = points * [1, 1, 0]  # in a plane
    z = np.array([0.1, 0.2, 5.0])
    np.testing.assert_allclose(projected(flat, z)[0], nearest(flat, z), atol=1e-5)
    twice = np.concatenate([points, points])
    z = 4 * points[3]
    np.testing.assert_allclose(projected(twice, z)[0], nearest(points, z), atol=1e-6)
    one, m = projected(np.ones((6, 3)), z)
    assert m == 1
    np.testing.assert_array_equal(one, np.ones(3))


def test_rows_are_improved_to_the_best_in_the_hull_one_after_the_other():
    rng = np.random.default_rng(3)
    points, k = rng.standard_normal((15, 2)), 3
    shares = rng.dirichlet(np.ones(k), 30)
    data = rng.standard_normal((30, 2))
    moment, cross = shares.T @ shares, shares.T @ data
    z = points[:k].copy()
    support, weights = np.zeros((k, 4), np.int64), np.zeros((k, 4))
    support[:, 0], weights[:, 0] = np.arange(k), 1.0
    sizes = np.ones(k, np.int64)

    def objective(z):
        return np.trace(z.T @ moment @ z) / 2 - np.trace(cross.T @ z)

    # After one pass the last row is exact: the projection of its free minimiser.
    once = [a.copy() for a in (z, support, weights, sizes)]
    hull_kernels.improve(points, moment, cross, *once, 1, 1e-14)
    free = (cross[-1] - moment[-1, :-1] @ once[0][:-1]) / moment[-1, -1]
    np.testing.assert_allclose(once[0][-1], nearest(points, free), atol=1e-6)
    values = [objective(z)]
    for _ in range(200):
        hull_kernels.improve(
            points, moment, cross, z, support, weights, sizes, 1, 1e-14
        )
        values.append(objective(z))
    assert all(b <= a + 1e-12 for a, b in itertools.pairwise(values))
    # The joint problem is convex: brute force over shares of all points.
    best = scipy.optimize.minimize(
        lambda b: objective(b.reshape(k, 15) @ points),
        np.full(k * 15, 1 / 15),
        bounds=[(0, 1)] * (k * 15),
        constraints=[
            {"type": "eq", "fun": lambda b, i=i: b.reshape(k, 15)[i].sum() - 1}
            for i in range(k)
        ],
        options={"ftol": 1e-13, "maxiter": 500},
    )
    assert values[-1] == pytest.approx(best.fun, abs=1e-7)


# The solver


def corners_and_points(seed=0, n=80, noise=0.0):
    """Mixtures of three corners of a plane in four dimensions, corners among them."""
    rng = np.random.default_rng(seed)
    corners = rng.random((4, 3)) * 2
    y = corners @ rng.dirichlet(np.ones(3), n).T
    y[:, :3] = corners
    return corners, y + noise * rng.standard_normal(y.shape)


def problem_of(y, k=3, weights=None):
    loss = ss.LeastSquares(Archetypes(y, k, y.shape[1]), y, weights)
    return ss.Problem(loss, {"B": Simplex(), "A": Simplex()})


def test_corners_of_a_simplex_are_recovered():
    corners, y = corners_and_points()
    for seed in range(4):
        found = ss.solve(problem_of(y), ArchetypeDescent(), seed=seed, tol=1e-12)
        archetypes = y @ found.x["B"]
        gaps = np.linalg.norm(archetypes[:, :, None] - corners[:, None], axis=0)
        assert gaps.min(axis=1).max() < 1e-5
        assert gaps.min(axis=0).max() < 1e-5
        np.testing.assert_allclose(archetypes @ found.x["A"], y, atol=1e-5)


@pytest.mark.parametrize("passes", [1, 3])
def test_the_objective_falls_and_is_the_problems(passes):
    y = corners_and_points(noise=0.2)[1]
    w = np.random.default_rng(1).uniform(0.1, 3, (1, 80))
    problem = problem_of(y, weights=w)
    found = ss.solve(problem, ArchetypeDescent(passes=passes), tol=0, max_iter=60)
    history = np.array(found.history["objective"])
    assert np.all(np.diff(history) <= 1e-10 * history[0])
    assert history[-1] < 0.95 * history[0]
    x = found.x
    for block in ("A", "B"):
        assert x[block].min() >= 0
        np.testing.assert_allclose(x[block].sum(axis=0), 1, atol=1e-10)
    residual = y - found.state.archetypes.T @ x["A"]
    direct = np.sum(w * residual**2) / 2
    np.testing.assert_allclose(found.state.archetypes.T, y @ x["B"], atol=1e-10)
    assert problem.loss.value(problem.A(x)) == pytest.approx(direct, rel=1e-10)
    assert history[-1] == pytest.approx(direct, rel=1e-9)


def test_the_end_is_stationary_in_both_blocks():
    y = corners_and_points(seed=3, noise=0.2)[1]
    w = np.random.default_rng(1).uniform(0.1, 3, (1, 80))
    problem = problem_of(y, weights=w)
    x = ss.solve(problem, ArchetypeDescent(), tol=1e-13, max_iter=3000).x
    r = w * (y @ x["B"] @ x["A"] - y)
    for gradient, block in (
        (y.T @ r @ x["A"].T, "B"),
        ((y @ x["B"]).T @ r, "A"),
    ):
        gap = np.sum(x[block] * (gradient - gradient.min(axis=0)))
        assert gap < 1e-4 * np.sum(w * y**2), block


def test_weights_of_whole_numbers_repeat_the_data():
    y = corners_and_points(noise=0.2, n=30)[1]
    w = np.random.default_rng(1).integers(1, 4, 30)
    again = np.repeat(np.arange(30), w)
    x0 = {"B": np.eye(30)[:, :3], "A": np.full((3, 30), 1 / 3)}
    one = ss.solve(problem_of(y, weights=1.0 * w), ArchetypeDescent(), x0=x0, tol=1e-10)
    loss = ss.LeastSquares(Archetypes(y, 3, len(again)), y[:, again])
    problem = ss.Problem(loss, {"B": Simplex(), "A": Simplex()})
    start = {"B": x0["B"], "A": x0["A"][:, again]}
    other = ss.solve(problem, ArchetypeDescent(), x0=start, tol=1e-10)
    np.testing.assert_allclose(y @ one.x["B"], y @ other.x["B"], atol=1e-6)
    np.testing.assert_allclose(
        one.history["objective"][-1], other.history["objective"][-1], rtol=1e-9
    )


def test_a_resumed_run_is_the_uninterrupted_one(tmp_path):
    problem = problem_of(corners_and_points(noise=0.2)[1])
    whole = ss.solve(problem, ArchetypeDescent(), seed=5, tol=0, max_iter=14)
    ss.testing.check_solver(ArchetypeDescent(), problem)
    path = tmp_path / "half.h5"
    ss.solve(problem, ArchetypeDescent(), seed=5, tol=0, max_iter=7, checkpoint=path)
    rest = ss.solve(
        problem, ArchetypeDescent(), seed=5, tol=0, max_iter=14, resume=path
    )
    for block in ("A", "B"):
        np.testing.assert_array_equal(rest.x[block], whole.x[block])


def test_single_precision_stays():
    y = corners_and_points(noise=0.05)[1]
    wide = ss.solve(problem_of(y), ArchetypeDescent(), seed=1, tol=1e-9)
    narrow = ss.solve(problem_of(y.astype("f4")), ArchetypeDescent(), seed=1, tol=1e-9)
    assert narrow.x["A"].dtype == narrow.x["B"].dtype == np.float32
    np.testing.assert_allclose(y @ narrow.x["B"], y @ wide.x["B"], atol=1e-3)


def test_starts_are_spread_over_different_points():
    y = np.repeat(np.eye(3), 50, axis=1)
    for seed in range(5):
        start = ss.solve(problem_of(y), ArchetypeDescent(), seed=seed, max_iter=1)
        chosen = y @ start.x["B"]
        np.testing.assert_allclose(np.sort(chosen, axis=1), np.sort(np.eye(3), axis=1))


def test_unsuitable_problems_and_starts_are_refused():
    y = corners_and_points()[1]
    model = Archetypes(y, 3, 80)
    both = {"B": Simplex(), "A": Simplex()}
    product = ss.operators.Product("B", "A", shape=(4, 3, 80))
    full = np.random.default_rng(0).uniform(1, 2, y.shape)
    for loss, priors in (
        (ss.LeastSquares(model, y), both | {"A": NonNegative()}),
        (ss.LeastSquares(model, y), both | {"B": Simplex(total=2.0)}),
        (ss.LeastSquares(model, y), both | {"B": Simplex(axis=1)}),
        (ss.LeastSquares(model, y, full), both),
        (ss.LeastSquares(product, y), both),
        (ss.L21(model, y), both),
    ):
        with pytest.raises((ValueError, TypeError), match="Archetypes"):
            ss.solve(ss.Problem(loss, priors), ArchetypeDescent())
    with pytest.raises(ValueError, match="2 different"):
        ss.solve(problem_of(np.repeat(np.eye(2), 9, axis=1)), ArchetypeDescent())
    x0 = {"B": np.zeros((80, 3)), "A": np.ones((3, 80)) / 3}
    with pytest.raises(ValueError, match=r"x0\['B'\]"):
        ss.solve(problem_of(y), ArchetypeDescent(), x0=x0)


# The application


def scene(seed=0, n=300, noise=0.01):
    rng = np.random.default_rng(seed)
    endmembers = rng.random((3, 20)) + 0.1
    shares = rng.dirichlet(0.4 * np.ones(3), n)
    return endmembers, shares @ endmembers + noise * rng.standard_normal((n, 20))


def test_endmembers_are_found_and_seeds_agree():
    truth, Y = scene()
    found = [archetypal_analysis(Y, 3, rng=seed) for seed in range(3)]
    for one in found:
        assert ss.metrics.spectral_angle(one, truth) < 0.03
        order = ss.metrics.match_endmembers(one, found[0])
        np.testing.assert_allclose(one[order], found[0], atol=2e-3)
    again = archetypal_analysis(Y, 3, rng=np.random.default_rng(0))
    np.testing.assert_array_equal(again, found[0])


def test_permuting_pixels_or_bands_and_scaling_change_nothing_else():
    Y = scene()[1]
    base = archetypal_analysis(Y, 3)
    rng = np.random.default_rng(9)
    pixels, bands = rng.permutation(300), rng.permutation(20)
    w = rng.uniform(0.5, 2, 300)
    weighted = archetypal_analysis(Y, 3, weights=w)
    for found, wanted in (
        (archetypal_analysis(Y[pixels], 3), base),
        (archetypal_analysis(Y[:, bands], 3), base[:, bands]),
        (archetypal_analysis(1000 * Y, 3), 1000 * base),
        (archetypal_analysis(Y[pixels], 3, weights=7 * w[pixels]), weighted),
    ):
        order = ss.metrics.match_endmembers(found, wanted)
        np.testing.assert_allclose(found[order] / wanted, 1, atol=0.02)
    assert np.abs(weighted - base).max() > 1e-4


def test_a_sample_of_many_pixels_starts_and_all_pixels_finish():
    truth, Y = scene(n=4000)
    found = archetypal_analysis(Y.astype("float32"), 3, starts=2)
    assert found.dtype == np.float32
    assert ss.metrics.spectral_angle(found, truth) < 0.03


def test_endmembers_lie_in_the_hull_and_keep_the_sign_of_the_spectra():
    Y = scene(noise=0.0)[1]
    found = archetypal_analysis(Y, 3)
    for z in found:
        np.testing.assert_allclose(nearest(Y, z), z, atol=1e-5)
    assert found.min() >= 0
    assert archetypal_analysis(Y - 1.0, 3).min() < 0


def test_the_problem_is_weighted_by_pixels():
    Y = scene()[1]
    w = np.random.default_rng(0).uniform(0.5, 2, 300)
    problem = archetype_problem(Y.T, 3, w)
    x = {"B": np.eye(300)[:, :3], "A": np.full((3, 300), 1 / 3)}
    residual = Y - Y[:3].mean(axis=0)
    direct = np.sum(w[:, None] * residual**2) / 2
    assert problem.loss.value(problem.A(x)) == pytest.approx(direct)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"n_endmembers": 0}, "n_endmembers is 0"),
        ({"n_endmembers": 301}, "300 pixels of 20 bands"),
        ({"n_endmembers": 21}, "300 pixels of 20 bands"),
        ({"weights": np.ones(5)}, "weights has shape"),
        ({"weights": np.zeros(300)}, "weights has entries"),
        ({"weights": np.full(300, np.nan)}, "weights"),
        ({"dimensions": 0}, "dimensions is 0"),
        ({"starts": 0}, "starts is 0"),
        ({"spectra": np.full((9, 5), np.nan)}, "spectra"),
        ({"spectra": np.ones((9, 5))}, "have rank 1"),
        ({"spectra": np.ones(5)}, "spectra has shape"),
    ],
)
def test_bad_input_of_archetypal_analysis(change, message):
    settings = {"spectra": scene()[1], "n_endmembers": 3} | change
    with pytest.raises((ValueError, TypeError), match=message) as caught:
        archetypal_analysis(**settings)
    assert "\n" not in str(caught.value)


def test_ctrl_c_ends_it_and_not_one_start_after_another(monkeypatch):
    real = unmixing_archetypes.solve
    calls = []

    def interrupted(*arguments, **settings):
        calls.append(settings["seed"])
        found = real(*arguments, **settings)
        return dataclasses.replace(found, status=Status.INTERRUPTED)

    monkeypatch.setattr(unmixing_archetypes, "solve", interrupted)
    with pytest.raises(KeyboardInterrupt, match="archetypes"):
        archetypal_analysis(scene()[1], 3)
    assert len(calls) == 1


def test_the_problem_is_solved_by_block_descent_unless_another_solver_is_named():
    problem = archetype_problem(scene()[1].T, 3, np.ones(300))
    found = ss.solve(problem, max_iter=2, progress=False)
    assert found.choices["solver"].startswith("ArchetypeDescent")
