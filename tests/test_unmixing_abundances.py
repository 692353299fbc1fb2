"""Exact constrained least squares and sparse unmixing against other references."""

import itertools

import numpy as np
import pytest
import scipy.optimize

import sparsesolve as ss
from sparsesolve.applications.unmixing_abundances import fclsu, nnls
from sparsesolve.applications.unmixing_reduction import ReducedData
from sparsesolve.applications.unmixing_sunsal import clsunsal, sunsal, sunsal_tv
from sparsesolve.cube import HyperspectralCube
from sparsesolve.linalg import regularized_inverse
from sparsesolve.operators import Dense, Gradient
from sparsesolve.operators.blocks import LeftMultiply, RightMultiply
from sparsesolve.priors import GroupL2, NonNegative, Term
from sparsesolve.simplex_least_squares import (
    fcls_matrix,
    nnls_matrix,
    nonnegative_least_squares,
    simplex_least_squares,
)


def scene(rng, k, bands=30, n=40, noise=0.1):
    E = rng.random((k, bands))
    Y = rng.dirichlet(np.full(k, 0.4), n) @ E + noise * rng.normal(size=(n, bands))
    return Y, E


def kkt(gram, rhs, x, *, total):
    """Largest violation of the optimality conditions, relative to the terms in them."""
    gradient = x @ gram - rhs
    scale = (np.abs(x) @ np.abs(gram)).max(axis=1) + np.abs(rhs).max(axis=1)
    if total:
        gradient = gradient - np.sum(gradient * x, axis=1, keepdims=True)
        assert np.abs(x.sum(axis=1) - 1).max() < 1e-12
    assert x.min() >= 0
    wrong = np.where(x > 0, np.abs(gradient), np.maximum(-gradient, 0))
    return np.max(wrong / scale[:, None])


def brute_force(Y, E, *, total):
    """The best feasible least-squares solution over all supports."""
    k = len(E)
    best, values = np.zeros((len(Y), k)), np.full(len(Y), np.inf)
    if not total:
        values = np.sum(Y**2, axis=1)
    for size in range(1, k + 1):
        for support in map(list, itertools.combinations(range(k), size)):
            M = E[support]
            if total:  # the first abundance is one minus the others
                D = (M[1:] - M[0]).T
                rest = np.linalg.lstsq(D, (Y - M[0]).T, rcond=None)[0].T
                a = np.hstack([1 - rest.sum(axis=1, keepdims=True), rest])
            else:
                a = np.linalg.lstsq(M.T, Y.T, rcond=None)[0].T
            value = np.sum((a @ M - Y) ** 2, axis=1)
            better = (a.min(axis=1) >= 0) & (value < values)
            values[better] = value[better]
            best[better] = 0
            best[np.ix_(better, support)] = a[better]
    return best


@pytest.mark.parametrize("k", [1, 2, 3, 5, 7])
@pytest.mark.parametrize(
    ("solve", "total"), [(fcls_matrix, True), (nnls_matrix, False)]
)
def test_equals_the_best_of_all_supports(rng, k, solve, total):
    Y, E = scene(rng, k)
    expected = brute_force(Y, E, total=total)
    np.testing.assert_allclose(solve(Y, E), expected, atol=1e-11)


def test_equals_a_quadratic_program(rng):
    Y, E = scene(rng, 6, n=5)
    found = fcls_matrix(Y, E)
    for y, a in zip(Y, found, strict=True):
        program = scipy.optimize.minimize(
            lambda x, y=y: np.sum((x @ E - y) ** 2),
            np.full(6, 1 / 6),
            jac=lambda x, y=y: 2 * (E @ (x @ E - y)),
            bounds=[(0, None)] * 6,
            constraints={"type": "eq", "fun": lambda x: x.sum() - 1},
            method="SLSQP",
            options={"ftol": 1e-14, "maxiter": 300},
        )
        np.testing.assert_allclose(a, program.x, atol=1e-5)
        assert np.sum((a @ E - y) ** 2) <= program.fun + 1e-12


def test_nnls_equals_scipy(rng):
    Y, E = scene(rng, 12, bands=20)
    expected = [scipy.optimize.nnls(E.T, y)[0] for y in Y]
    np.testing.assert_allclose(nnls_matrix(Y, E), expected, atol=1e-10)


@pytest.mark.parametrize("k", [1, 4, 8, 20, 50])
def test_optimality_conditions(rng, k):
    Y, E = scene(rng, k, n=400)
    gram, rhs = E @ E.T, Y @ E.T
    for x in (simplex_least_squares(gram, rhs), fcls_matrix(Y, E)):
        assert kkt(gram, rhs, x, total=True) < 1e-12
    for x in (nonnegative_least_squares(gram, rhs), nnls_matrix(Y, E)):
        assert kkt(gram, rhs, x, total=False) < 1e-12


@pytest.mark.parametrize("apart", [0.0, 1e-12, 1e-9, 1e-7, 1e-4])
@pytest.mark.parametrize("bands", [3, 10])
def test_duplicated_and_dependent_endmembers(rng, apart, bands):
    E = rng.random((5, bands))
    twins = E + apart * rng.normal(size=E.shape)
    E = np.vstack([E, twins, rng.dirichlet(np.ones(5), 3) @ E])
    Y = rng.random((500, bands))
    gram, rhs = E @ E.T, Y @ E.T
    assert kkt(gram, rhs, fcls_matrix(Y, E), total=True) < 1e-10
    assert kkt(gram, rhs, nnls_matrix(Y, E), total=False) < 1e-10


def test_all_endmembers_equal():
    np.testing.assert_allclose(fcls_matrix(np.eye(3), np.ones((4, 3))).sum(axis=1), 1)


def test_more_endmembers_than_bands_are_unique_on_the_simplex(rng):
    # A triangle in the plane has a singular Gram matrix, but one answer.
    E = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    truth = rng.dirichlet(np.ones(3), 50)
    np.testing.assert_allclose(fcls_matrix(truth @ E, E), truth, atol=1e-13)


def test_what_a_common_spectrum_hides_is_found(rng):
    # Endmembers that differ by a millionth of what they share: their plain Gram
    # matrix keeps four digits of the differences.
    E = 1 + 1e-6 * rng.random((4, 50))
    truth = rng.dirichlet(np.ones(4), 20)
    np.testing.assert_allclose(fcls_matrix(truth @ E, E), truth, atol=1e-8)


def test_permuting_pixels_and_endmembers(rng):
    Y, E = scene(rng, 6)
    rows, cols = rng.permutation(len(Y)), rng.permutation(6)
    for solve in (fcls_matrix, nnls_matrix):
        expected = solve(Y, E)[rows][:, cols]
        np.testing.assert_allclose(solve(Y[rows], E[cols]), expected, atol=1e-12)


def test_scaling_data_and_endmembers(rng):
    Y, E = scene(rng, 5)
    for c in (1e-8, 1e8):
        np.testing.assert_allclose(fcls_matrix(c * Y, c * E), fcls_matrix(Y, E))
        np.testing.assert_allclose(nnls_matrix(c * Y, E), c * nnls_matrix(Y, E))


def test_together_equals_one_by_one_over_blocks_and_threads(rng):
    Y, E = scene(rng, 5, bands=8, n=1500)
    for solve in (fcls_matrix, nnls_matrix):
        alone = np.vstack([solve(y[None], E) for y in Y[::50]])
        np.testing.assert_allclose(solve(Y, E)[::50], alone, atol=1e-12)


def test_weights_leave_bands_out(rng):
    Y, E = scene(rng, 4)
    w = np.ones(30)
    w[::3] = 0
    for solve in (fcls_matrix, nnls_matrix):
        expected = solve(Y[:, w > 0], E[:, w > 0])
        np.testing.assert_allclose(solve(Y, E, w), expected, atol=1e-12)


def test_float32_stays_and_is_computed_in_double(rng):
    Y, E = scene(rng, 5)
    single = fcls_matrix(Y.astype(np.float32), E.astype(np.float32))
    assert single.dtype == np.float32
    exact = fcls_matrix(
        Y.astype(np.float32).astype(float), E.astype(np.float32).astype(float)
    )
    np.testing.assert_allclose(single, exact, atol=1e-7)


def test_shapes_of_a_matrix_an_image_and_a_cube(rng):
    Y, E = scene(rng, 3, n=12)
    image = Y.reshape(3, 4, 30)
    flat = fclsu(Y, E)
    assert flat.shape == (12, 3)
    np.testing.assert_array_equal(fclsu(image, E), flat.reshape(3, 4, 3))
    valid, good = np.ones((3, 4), bool), np.ones(30, bool)
    valid[1, 2], good[[0, 7]] = False, False
    holes = image.copy()
    holes[1, 2], holes[:, :, 7] = np.nan, np.nan
    cube = HyperspectralCube(holes, valid=valid, good_bands=good)
    known = np.where(good, E, np.nan)
    found = fclsu(cube, known)
    assert np.isnan(found[1, 2]).all()
    expected = fcls_matrix(Y[:, good], E[:, good])[valid.ravel()]
    np.testing.assert_allclose(found[valid], expected, atol=1e-12)
    np.testing.assert_array_equal(fclsu(cube, E[:, good]), found)
    np.testing.assert_allclose(
        nnls(cube, known)[valid], nnls_matrix(Y[:, good], E[:, good])[valid.ravel()]
    )


def test_the_true_endmembers_of_samson(data_folder):
    file = scipy.io.loadmat(data_folder / "hsi" / "samson.mat")
    Y, E = file["Y"].T.astype(float), file["GT"].astype(float)
    truth = file["S_GT"].reshape(-1, 3, order="F")
    Y /= np.linalg.norm(Y, axis=1, keepdims=True)
    E /= np.linalg.norm(E, axis=1, keepdims=True)
    found = fclsu(Y, E)
    assert kkt(E @ E.T, Y @ E.T, found, total=True) < 1e-12
    # The published floor of this protocol.
    assert np.sqrt(np.mean((found - truth) ** 2)) == pytest.approx(0.0406, abs=2e-4)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda Y, E: (Y, E[:, :-1]), "same bands"),
        (lambda Y, E: (np.where(Y > 0.9, np.nan, Y), E), "Y has .* NaN"),
        (lambda Y, E: (Y, E + np.nan), "E has .* NaN"),
        (lambda Y, E: (Y[0], E), "wanted a real matrix"),
        (lambda Y, E: (Y[:0], E), "Y is empty"),
        (lambda Y, E: (Y, E, -np.ones(30)), "numbers >= 0"),
        (lambda Y, E: (Y, E, np.ones(29)), "one a band"),
        (lambda Y, E: (Y, E, np.zeros(30)), "zero in every band"),
    ],
)
def test_bad_matrices_are_refused(rng, change, words):
    with pytest.raises(ValueError, match=words):
        fcls_matrix(*change(*scene(rng, 3)))


@pytest.mark.parametrize(
    ("gram", "words"),
    [
        (np.ones((2, 3)), "square"),
        (np.eye(3), "for this gram"),
        (np.array([[1.0, 0.5], [0.0, 1.0]]), "not symmetric"),
        (np.array([[1.0, 2.0], [2.0, 1.0]]), "eigenvalue -1"),
    ],
)
def test_bad_grams_are_refused(gram, words):
    with pytest.raises(ValueError, match=words):
        simplex_least_squares(gram, np.ones((4, 2)))


def test_transposed_endmembers_are_refused(rng):
    Y, E = scene(rng, 3)
    with pytest.raises(ValueError, match="transposed"):
        fclsu(Y, E.T)


def test_sunsal_is_nnls_with_a_tilted_right_hand_side(rng):
    Y, E = scene(rng, 20, bands=15, n=30)
    exact = nonnegative_least_squares(E @ E.T, Y @ E.T - 0.2)
    gram, rhs = E @ E.T, Y @ E.T - 0.2
    assert kkt(gram, rhs, exact, total=False) < 1e-12
    found = sunsal(Y, E, lam=0.2, tol=1e-9, max_iter=20000).abundances

    def value(x):
        return 0.5 * np.sum((x @ E - Y) ** 2) + 0.2 * x.sum()

    assert found.min() >= 0
    assert value(found) == pytest.approx(value(exact), rel=1e-6)


def l1_reference(Y, E, lam):
    """Non-negative ℓ1 as non-negative least squares: lam 1'x is linear in x.

    ½‖E'x − y‖² + lam 1'x = ½‖E'x − z‖² + const. for E z = E y − lam 1.
    """
    shift = np.linalg.lstsq(E, np.full(len(E), lam), rcond=None)[0]
    return np.array([scipy.optimize.nnls(E.T, y - shift)[0] for y in Y])


def test_sunsal_equals_a_dense_reference(rng):
    Y, E = scene(rng, 8, bands=25, n=12)
    found = sunsal(Y, E, lam=0.3, tol=1e-10, max_iter=5000)
    expected = l1_reference(Y, E, 0.3)
    np.testing.assert_allclose(found.abundances, expected, atol=1e-6)
    split = sunsal(Y, E, lam=0.3, solver=ss.ADMM(), tol=1e-10, max_iter=5000)
    np.testing.assert_allclose(split.abundances, expected, atol=1e-6)
    value = 0.5 * np.sum((expected @ E - Y) ** 2) + 0.3 * expected.sum()
    assert found.solution.history["objective"][-1] == pytest.approx(value, rel=1e-8)


def test_sunsal_sum_to_one_is_fclsu(rng):
    Y, E = scene(rng, 5, n=20)
    found = sunsal(Y, E, sum_to_one=True, tol=1e-10, max_iter=5000)
    np.testing.assert_allclose(found.abundances, fclsu(Y, E), atol=1e-7)
    with pytest.raises(ValueError, match="always 1"):
        sunsal(Y, E, sum_to_one=True, lam=0.1)


def test_a_library_larger_than_the_bands(rng):
    E = rng.random((40, 12))
    Y = rng.dirichlet(np.ones(3), 6) @ E[:3]
    found = sunsal(Y, E, lam=1e-2, tol=1e-9, max_iter=20000).abundances
    x = found[0]
    gradient = E @ (x @ E - Y[0]) + 1e-2
    assert np.all(np.where(x > 0, np.abs(gradient), np.maximum(-gradient, 0)) < 1e-5)


def test_the_default_weight_needs_no_truth(rng):
    k, sigma = 15, 0.02
    E = rng.random((k, 60))
    truth = np.zeros((400, k))
    truth[:, [2, 7, 11]] = rng.dirichlet(np.ones(3), 400)
    Y = truth @ E + sigma * rng.normal(size=(400, 60))
    data = ReducedData(Y, E)
    noise, lam = data.harmless_weight()
    assert noise == pytest.approx(sigma, rel=0.05)
    # What it promises: on the true support the bias is a tenth of the noise's error.
    H = np.linalg.inv(E[[2, 7, 11]] @ E[[2, 7, 11]].T)
    ratio = lam * np.linalg.norm(H.sum(axis=1)) / (sigma * np.sqrt(np.trace(H)))
    assert 0.05 < ratio < 0.2
    found = sunsal(Y, E)
    assert "a tenth" in found.solution.choices["lam"]
    error = np.sqrt(np.mean((found.abundances - truth) ** 2))
    assert error < 1.01 * np.sqrt(np.mean((nnls(Y, E) - truth) ** 2))
    # In the units of the data squared.
    assert ReducedData(10 * Y, 10 * E).harmless_weight()[1] == pytest.approx(100 * lam)


def test_clsunsal_keeps_few_spectra_and_is_optimal(rng):
    E = rng.normal(size=(10, 200))
    truth = np.zeros((50, 10))
    truth[:, [1, 4]] = rng.dirichlet(np.ones(2), 50)
    Y = truth @ E + 0.01 * rng.normal(size=(50, 200))
    found = clsunsal(Y, E, lam=2.0, tol=1e-9, max_iter=20000)
    x = found.abundances
    present = x.any(axis=0)
    assert list(np.flatnonzero(present)) == [1, 4] and x.min() >= 0
    gradient = (x @ E - Y) @ E.T
    for k in range(10):
        pull = np.maximum(-gradient[:, k], 0)
        if not present[k]:
            assert np.linalg.norm(pull) <= 2
            continue
        slope = gradient[:, k] + 2 * x[:, k] / np.linalg.norm(x[:, k])
        assert np.abs(slope[x[:, k] > 1e-6]).max() < 1e-4
        assert slope.min() > -1e-4


def test_sunsal_tv_equals_the_primal_dual_solution(rng):
    E = rng.random((3, 12))
    truth = np.kron(
        rng.dirichlet(np.ones(3), (2, 2)).transpose(2, 0, 1), np.ones((3, 3))
    )
    Y = truth.transpose(1, 2, 0) @ E + 0.05 * rng.normal(size=(6, 6, 12))
    found = sunsal_tv(Y, E, lam=0.02, lam_tv=0.05, tol=1e-6, max_iter=5000)
    shape = (6, 6, 3)
    # The same functional, written out on a flat unknown.
    A = Dense(np.kron(np.eye(36), E.T)) @ ss.operators.Reshape(shape, (108,))
    tv = Term(GroupL2(0.05, groups=0), Gradient(shape, axes=(0, 1)))
    prior = ss.priors.L1(0.02) + NonNegative() + tv
    problem = ss.Problem(ss.LeastSquares(A, Y.ravel()), prior)
    other = ss.solve(problem, ss.solvers.PrimalDual(), tol=1e-6, max_iter=20000)
    np.testing.assert_allclose(found.abundances, other.x, atol=1e-4)
    # Smoother than without, and nearer to the truth.
    plain = sunsal(Y, E, lam=0.02).abundances
    errors = [
        np.mean((x - truth.transpose(1, 2, 0)) ** 2) for x in (found.abundances, plain)
    ]
    assert errors[0] < 0.8 * errors[1]


def test_sunsal_tv_fills_invalid_pixels_but_returns_none(rng):
    E = rng.random((3, 10))
    image = np.tile(np.array([0.2, 0.3, 0.5]) @ E, (5, 4, 1))
    valid = np.ones((5, 4), bool)
    valid[2, 1] = False
    image[2, 1] = np.nan
    found = sunsal_tv(HyperspectralCube(image, valid=valid), E, lam=1e-4, lam_tv=1e-2)
    assert np.isnan(found.abundances[2, 1]).all()
    np.testing.assert_allclose(
        found.abundances[valid], np.tile([0.2, 0.3, 0.5], (19, 1)), atol=5e-3
    )
    with pytest.raises(ValueError, match="neighbours"):
        sunsal_tv(image.reshape(-1, 10), E)


def test_float32_data_are_solved_in_float32(rng):
    Y, E = scene(rng, 4)
    found = sunsal(Y.astype(np.float32), E, lam=0.1)
    assert found.abundances.dtype == np.float32
    np.testing.assert_allclose(found.abundances, l1_reference(Y, E, 0.1), atol=5e-3)


@pytest.mark.parametrize("dtype", [np.float64, np.complex128, np.float32])
def test_orthogonal_factors_are_inverted_without_their_data_side(rng, dtype):
    # The branch that reduced data take: singular vectors as the factor has them.
    wide = rng.normal(size=(6, 4)) + 1j * rng.normal(size=(6, 4))
    q = np.linalg.qr(wide if np.dtype(dtype).kind == "c" else wide.real)[0]
    m = (q * np.array([3.0, 1.0, 0.5, 0.01])).astype(dtype)
    w, u = rng.normal(size=(5, 6)).astype(dtype), rng.normal(size=(5, 4)).astype(dtype)
    rho, atol = 0.3, 1e-5 if dtype == np.float32 else 1e-12
    expected = (u @ m.conj().T + rho * w) @ np.linalg.inv(
        m @ m.conj().T + rho * np.eye(6)
    )
    right = regularized_inverse(RightMultiply(m, 5))
    left = regularized_inverse(LeftMultiply(np.ascontiguousarray(m.T), 5))
    for inverse, flip in ((right, lambda a: a), (left, lambda a: a.T)):
        assert inverse.method.startswith("orthogonal vectors")
        x, image, _ = inverse.solve(flip(w), flip(u), rho)
        assert x.dtype == dtype
        np.testing.assert_allclose(flip(x), expected, atol=atol)
        np.testing.assert_allclose(flip(image), expected @ m, atol=atol)
