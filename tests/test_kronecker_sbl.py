"""Kronecker sparse Bayesian learning against posteriors of explicit matrices."""

from functools import reduce

import numpy as np
import pytest
from cases import COMPLEX, LIBRARIES, REAL, random
from scipy import optimize

import sparsesolve as ss
from sparsesolve.backends import device_of, dtype_of, to_device, to_numpy
from sparsesolve.separable import Separable
from sparsesolve.solvers.kronecker_engine import KroneckerEngine

BOTH = ("float64", "complex128")
UPDATES = ("mm", "mackay", "am", "svd")
# Factors (M, N) wide, tall and square, in every order and number.
SHAPES = {
    "one wide": ((5, 8),),
    "one tall": ((8, 5),),
    "two wide": ((4, 6), (3, 5)),
    "tall and wide": ((6, 3), (3, 4)),
    "two tall": ((5, 4), (6, 3)),
    "three": ((3, 4), (4, 2), (3, 3)),
    "one column, one row": ((4, 1), (1, 3), (3, 4)),
}


def factors_of(shapes, dtype="float64", seed=0):
    return [random(shape, dtype, seed + 10 * k) for k, shape in enumerate(shapes)]


def problem_of(factors, y, **options):
    A = ss.operators.Kronecker(*factors)
    return ss.Problem(ss.LeastSquares(A, y), ss.priors.KroneckerSBL(**options))


def run(factors, y, noise, *, update="mm", max_iter=30, tol=0, prune=0.0, **settings):
    solver = ss.VariationalEM(
        noise_variance=noise, **({"elimination": False, "starts": 0} | settings)
    )
    problem = problem_of(factors, y, update=update, prune=prune)
    return ss.solve(problem, solver, max_iter=max_iter, tol=tol)


def variances(shapes, seed=5, zeros=True):
    """Random factors of the variances, a third of each zero."""
    rng = np.random.default_rng(seed)
    found = []
    for _, n in shapes:
        g = rng.gamma(0.7, 2.0, n) + 0.05
        if zeros:
            g[rng.choice(n, n // 3, replace=False)] = 0.0
        found.append(g)
    return found


def outer(vectors):
    return reduce(np.multiply.outer, vectors)


def hyper_of(gammas):
    return {f"factor_{k}": g for k, g in enumerate(gammas)}


def moments_of(problem, gammas, noise):
    return KroneckerEngine(problem).moments(Separable(gammas), noise)


def brute(factors, y, gammas, noise):
    """All moments, from the matrices that are never to be formed."""
    H, g = reduce(np.kron, factors), outer(gammas).ravel()
    inverse = np.linalg.inv(noise * np.eye(len(H)) + (H * g) @ H.conj().T)
    u = H.conj().T @ inverse @ y.ravel()
    mean, shape = g * u, [a.shape[1] for a in factors]
    cov = np.diag(g) - (g[:, None] * H.conj().T) @ inverse @ (H * g)
    k, circle = (1.0, np.pi) if np.iscomplexobj(H) else (0.5, 2 * np.pi)
    quadratic = np.real(y.ravel().conj() @ inverse @ y.ravel())
    log_det = np.linalg.slogdet(inverse)[1]
    shrinkage = g * np.real(np.diag(H.conj().T @ inverse @ H))
    return {
        "mean": mean.reshape(shape),
        "variance": np.real(np.diag(cov)).reshape(shape),
        "whitened_power": (np.abs(u) ** 2 * g).reshape(shape),
        "shrinkage": shrinkage.reshape(shape),
        "evidence": -k * (y.size * np.log(circle) - log_det + quadratic),
        "misfit": np.linalg.norm(y.ravel() - H @ mean) ** 2,
        "freedom": y.size - shrinkage.sum(),
        "covariance": cov,
    }


NAMES = (
    "mean",
    "variance",
    "whitened_power",
    "shrinkage",
    "evidence",
    "misfit",
    "freedom",
)


def draw(seed, snr_db):
    """The published problem, its random numbers in the published order."""
    rng = np.random.default_rng(seed)
    factors = [rng.standard_normal((m, 15)) for m in (8, 12, 15)]
    parts = np.zeros((3, 15))
    for part in parts:
        places = np.sort(rng.choice(15, 3, replace=False))
        part[places] = rng.standard_normal(3)
    x = outer(parts)
    clean = ss.operators.Kronecker(*factors)(x)
    noise = np.mean(clean**2) / 10 ** (snr_db / 10)
    y = clean + np.sqrt(noise) * rng.standard_normal(clean.size).reshape(clean.shape)
    return factors, x, y, noise


def small(dtype="float64", snr_db=25.0, seed=0):
    """Two by two terms of a product: factors, truth, data, noise variance."""
    factors = factors_of(((7, 10), (8, 12)), dtype, seed)
    x = np.zeros((10, 12), dtype)
    values = random((2, 2), dtype, seed + 1)
    x[np.ix_([2, 7], [1, 5])] = values + 0.5 * values / np.abs(values)
    clean = ss.operators.Kronecker(*factors)(x)
    noise = np.mean(np.abs(clean) ** 2) * 10 ** (-snr_db / 10)
    y = clean + np.sqrt(noise) * random((7, 8), dtype, seed + 2)
    return factors, x, y, noise


def nmse(found, x):
    return np.linalg.norm(found - x) ** 2 / np.linalg.norm(x) ** 2


def oracle_nmse(factors, x, y):
    """Least squares on the true support."""
    kept = [np.flatnonzero(np.moveaxis(x, k, 0).any((1, 2))) for k in range(3)]
    H = reduce(np.kron, [a[:, k] for a, k in zip(factors, kept, strict=True)])
    fit = np.zeros_like(x)
    fit[np.ix_(*kept)] = np.linalg.lstsq(H, y.ravel(), rcond=None)[0].reshape(
        [len(k) for k in kept]
    )
    return nmse(fit, x)


# The posterior.


@pytest.mark.parametrize("dtype", BOTH)
@pytest.mark.parametrize("shapes", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize("zeros", [False, True])
def test_moments_match_explicit_matrices(dtype, shapes, zeros):
    factors, gammas = factors_of(shapes, dtype), variances(shapes, zeros=zeros)
    y = random(tuple(m for m, _ in shapes), dtype, 3)
    found = moments_of(problem_of(factors, y), gammas, 0.3)
    wanted = brute(factors, y, gammas, 0.3)
    for name in NAMES:
        one, two = getattr(found, name), wanted[name]
        np.testing.assert_allclose(
            one, two, rtol=1e-11, atol=1e-12 * np.max(np.abs(two)), err_msg=name
        )
    for k in range(len(shapes)):
        others = tuple(j for j in range(len(shapes)) if j != k)
        for one, name in zip(found.marginals(k, len(shapes)), NAMES[2:4], strict=True):
            np.testing.assert_allclose(one, wanted[name].sum(others), atol=1e-11)
    H = reduce(np.kron, factors)
    residual = np.linalg.norm(y.ravel() - H @ wanted["mean"].ravel()) ** 2
    g = outer(gammas)
    spread = wanted["variance"][g > 0] / g[g > 0]
    em = (residual + 0.3 * np.sum(1 - spread)) / y.size
    structured = 0.3 + (found.misfit - 0.3 * found.freedom) / y.size
    assert structured == pytest.approx(em, rel=1e-12)


def test_variances_below_the_noise_do_not_cancel():
    """Posterior variances of strong entries are far below their prior variances."""
    shapes = ((6, 4), (5, 3))
    factors, gammas = factors_of(shapes), variances(shapes, zeros=False)
    y = random((6, 5), "float64", 3)
    for dtype, rtol in (("float64", 1e-5), ("float32", 1e-4)):
        cast = [a.astype(dtype) for a in factors]
        problem = problem_of(cast, y.astype(dtype))
        found = moments_of(problem, [g.astype(dtype) for g in gammas], 1e-9)
        H = reduce(np.kron, factors)
        exact = 1e-9 * np.diag(np.linalg.inv(H.T @ H)).reshape(4, 3)
        np.testing.assert_allclose(found.variance, exact, rtol=rtol)


def test_single_precision_keeps_what_little_is_unknown_and_unexplained():
    """Nearly all of a leading variance is seen, nearly all of the data explained."""
    factors = [a.astype("float32") for a in factors_of(((4, 6), (3, 5)))]
    y = random((4, 3), "float32", 3)
    for least, noise in ((1e-6, 1e-9), (1.0, 1e-7)):
        gammas = [np.full(n, least, "float32") for n in (6, 5)]
        gammas[0][[1, 4]], gammas[1][2] = 1.0, 2.0
        problem = problem_of(factors, y)
        single = moments_of(problem, gammas, noise)
        wide = [a.astype("float64") for a in factors]
        double = moments_of(problem_of(wide, y.astype("float64")), gammas, noise)
        np.testing.assert_allclose(single.variance, double.variance, rtol=1e-5)
        assert single.freedom == pytest.approx(double.freedom, rel=1e-5)


def test_the_posterior_does_not_depend_on_the_order_of_the_modes():
    shapes = SHAPES["three"]
    factors, gammas = factors_of(shapes, "complex128"), variances(shapes)
    y, order = random((3, 4, 3), "complex128", 3), (2, 0, 1)
    found = moments_of(problem_of(factors, y), gammas, 0.3)
    swapped = moments_of(
        problem_of([factors[k] for k in order], y.transpose(order)),
        [gammas[k] for k in order],
        0.3,
    )
    for name in NAMES[:4]:
        one, two = getattr(swapped, name), getattr(found, name)
        np.testing.assert_allclose(one, two.transpose(order), atol=1e-14)
    for name in NAMES[4:]:
        assert getattr(swapped, name) == pytest.approx(getattr(found, name), rel=1e-13)


@pytest.mark.parametrize("dtype", BOTH)
def test_marginals_are_the_gradient_of_the_evidence(dtype):
    shapes, h = SHAPES["three"], 1e-5
    factors, gammas = factors_of(shapes, dtype), variances(shapes, zeros=False)
    y = random((3, 4, 3), dtype, 3)
    now = moments_of(problem_of(factors, y), gammas, 0.3)
    scale = 1.0 if dtype == "complex128" else 0.5
    for k, g in enumerate(gammas):
        found, expected = now.marginals(k, 3)
        for i in range(len(g)):
            step = np.exp(h * (np.arange(len(g)) == i))
            up, down = (
                brute(factors, y, [*gammas[:k], new, *gammas[k + 1 :]], 0.3)["evidence"]
                for new in (g * step, g / step)
            )
            slope = scale * (found - expected)[i]
            assert (up - down) / (2 * h) == pytest.approx(slope, abs=1e-6)


def test_scales_of_factors_and_rotations_of_data_do_not_matter():
    shapes = SHAPES["three"]
    factors, gammas = factors_of(shapes, "complex128"), variances(shapes)
    y = random((3, 4, 3), "complex128", 3)
    wanted = moments_of(problem_of(factors, y), gammas, 0.3)
    scales = (1e3, 1e-5, 1e2)
    scaled = [c * g for c, g in zip(scales, gammas, strict=True)]
    turned = [np.linalg.qr(random((m, m), "complex128", 7))[0] for m, _ in shapes]
    rows = [q @ a for q, a in zip(turned, factors, strict=True)]
    for found in (
        moments_of(problem_of(factors, y), scaled, 0.3),
        moments_of(problem_of(rows, ss.operators.Kronecker(*turned)(y)), gammas, 0.3),
    ):
        for name in NAMES:
            np.testing.assert_allclose(
                getattr(found, name), getattr(wanted, name), rtol=1e-11, atol=1e-12
            )


@pytest.mark.parametrize("device", LIBRARIES)
@pytest.mark.parametrize("dtype", REAL + COMPLEX)
def test_moments_in_every_library_and_precision(device, dtype):
    if device.startswith("torch"):
        pytest.importorskip("torch")
    shapes, real = SHAPES["three"], np.empty(0, dtype).real.dtype
    factors, gammas = factors_of(shapes, dtype), variances(shapes)
    y = random((3, 4, 3), dtype, 3)
    problem = problem_of([to_device(a, device) for a in factors], to_device(y, device))
    found = moments_of(
        problem, [to_device(g.astype(real), device) for g in gammas], 0.3
    )
    double = "complex128" if dtype in COMPLEX else "float64"
    exact = [a.astype(double) for a in (*factors, y)]
    gammas = [g.astype(real).astype(float) for g in gammas]
    wanted = brute(exact[:3], exact[3], gammas, 0.3)
    rtol = 1e-5 if real == np.float32 else 1e-12
    for name in NAMES[:4]:
        one, two = getattr(found, name), wanted[name]
        assert device_of(one) == device
        assert dtype_of(one) == (dtype if name == "mean" else real)
        np.testing.assert_allclose(to_numpy(one), two, atol=rtol * np.abs(two).max())
    for name in NAMES[4:]:
        one = np.asarray(to_numpy(getattr(found, name)))
        assert one == pytest.approx(wanted[name], rel=10 * rtol)


# Samples and calibration.


@pytest.mark.parametrize("dtype", BOTH)
def test_draws_have_the_posterior_mean_and_covariance(dtype):
    factors, _, y, noise = small(dtype, snr_db=5)
    factors, y = [factors[0][:, :3], factors[1][:, :4]], y / 2
    posterior = run(factors, y, noise, max_iter=2).posterior
    n = 1000
    draws = posterior.sample(np.random.default_rng(0), n).reshape(n, -1)
    gammas = [posterior.hyper[f"factor_{k}"] for k in range(2)]
    wanted = brute(factors, y, gammas, noise)
    size = np.sqrt(np.diag(wanted["covariance"]).real)
    errors = draws - wanted["mean"].ravel()
    assert np.all(np.abs(errors.mean(0)) < 5 * size / np.sqrt(n))
    found = np.einsum("ki,kj->ij", errors, errors.conj()) / n
    far = np.abs(found - wanted["covariance"])
    assert np.all(far < 7 * np.outer(size, size) / np.sqrt(n))
    off_diagonal = wanted["covariance"] - np.diag(size**2)
    assert np.abs(off_diagonal).max() > 0.1 * size.max() ** 2


@pytest.mark.parametrize("dtype", BOTH)
def test_the_posterior_is_calibrated_where_the_prior_is_true(dtype):
    """Errors have the variance, and intervals the coverage, that are claimed."""
    shapes, trials, noise = ((6, 8), (5, 6)), 200, 0.2
    factors, gammas = factors_of(shapes, dtype), variances(shapes, zeros=False)
    truth = np.sqrt(outer(gammas)) * random((trials, 8, 6), dtype, 3)
    A = ss.operators.Kronecker(*factors)
    y = A(truth) + np.sqrt(noise) * random((trials, 6, 5), dtype, 4)
    problem, solver = problem_of(factors, y), ss.VariationalEM(noise_variance=noise)
    plan = solver.prepare(problem)
    tiled = [np.tile(g, (trials, 1)) for g in gammas]
    now = plan.engine.moments(Separable(tiled), np.full(trials, noise))
    state = solver.init(problem, plan, None, np.random.default_rng(0))
    state = state._replace(x=now.mean, moments=now.leaves, hyper=hyper_of(tiled))
    posterior = solver.posterior(problem, plan, state)
    ratio = np.mean(np.abs(truth - now.mean) ** 2 / now.variance)
    # entries of one trial are correlated: about M of them are independent
    independent = trials * 30
    assert ratio == pytest.approx(1, abs=5 * np.sqrt(2 / independent))
    kinds = ("real", "abs") if dtype == "float64" else ("real", "imag", "abs")
    for of in kinds:
        part = {"real": np.real, "imag": np.imag, "abs": np.abs}[of](truth)
        low, high = posterior.interval(0.9, of)
        inside = np.mean((part >= low) & (part <= high))
        assert inside == pytest.approx(0.9, abs=5 * 0.3 / np.sqrt(independent))


# The updates.


@pytest.mark.parametrize("dtype", BOTH)
@pytest.mark.parametrize("update", ["mm", "am"])
@pytest.mark.parametrize("known", [False, True])
def test_the_evidence_never_falls(dtype, update, known):
    factors, _, y, noise = small(dtype, snr_db=15)
    solution = run(factors, y, noise if known else None, update=update, max_iter=60)
    evidence = solution.history["evidence"]
    assert np.diff(evidence).min() > -1e-8
    assert evidence[-1] > evidence[0] + 1


@pytest.mark.parametrize("dtype", BOTH)
def test_am_reaches_the_one_minimum_of_its_convex_cost(dtype):
    """Σ log γ + d/γ over separable γ, by BFGS in log γ from random starts."""
    shapes = SHAPES["three"]
    factors, gammas = factors_of(shapes, dtype), variances(shapes, zeros=False)
    y = random((3, 4, 3), dtype, 3)
    problem = problem_of(factors, y, update="am")
    now = moments_of(problem, gammas, 0.3)
    d = np.abs(now.mean) ** 2 + now.variance
    cuts = np.cumsum([n for _, n in shapes])

    def cost(u):
        g = outer([np.exp(part) for part in np.split(u, cuts[:-1])])
        slope = 1 - d / g
        rest = [slope.sum(tuple({0, 1, 2} - {k})) for k in range(3)]
        return np.sum(np.log(g) + d / g), np.concatenate(rest)

    new = problem.prior.update_hyper(hyper_of(gammas), now, "variance")
    found = cost(np.log(np.concatenate(list(new.values()))))[0]
    for seed in range(3):
        start = 2 * np.random.default_rng(seed).standard_normal(cuts[-1])
        best = optimize.minimize(cost, start, jac=True, method="BFGS", tol=1e-9).fun
        assert found == pytest.approx(best, abs=1e-8)
    for g in list(new.values())[:-1]:
        assert np.linalg.norm(g) == pytest.approx(1)


def test_svd_fits_by_leading_singular_vectors():
    shapes = SHAPES["three"]
    factors, gammas = factors_of(shapes), variances(shapes)
    y = random((3, 4, 3), "float64", 3)
    problem = problem_of(factors, y, update="svd")
    now = moments_of(problem, gammas, 0.3)
    u, s, v = np.linalg.svd((now.mean**2 + now.variance).reshape(4, 6))
    rest = s[0] * np.abs(v[0]).reshape(2, 3)
    wanted = [np.abs(u[:, 0])]
    u, s, v = np.linalg.svd(rest)
    wanted += [np.abs(u[:, 0]), s[0] * np.abs(v[0])]
    found = problem.prior.update_hyper(hyper_of(gammas), now, "variance")
    for one, two in zip(found.values(), wanted, strict=True):
        np.testing.assert_allclose(one, two, atol=1e-12)


@pytest.mark.parametrize("dtype", BOTH)
@pytest.mark.parametrize(
    ("update", "plain"), [("am", "em"), ("mm", "mm"), ("mackay", "mackay")]
)
@pytest.mark.parametrize("shape", [(12, 20), (20, 12)])
def test_one_factor_is_plain_sparse_bayesian_learning(dtype, update, plain, shape):
    """The same iterates."""
    a, y = random(shape, dtype), random(shape[:1], dtype, 1)
    prior, options = ss.priors.SBL(update=plain), {"max_iter": 15, "tol": 0}
    for noise in (0.2, None):
        settings = {"noise_variance": noise, "elimination": False}
        dense = ss.solve(
            ss.Problem(ss.LeastSquares(a, y), prior),
            ss.VariationalEM(**settings),
            **options,
        )
        found = run([a], y, noise, update=update, max_iter=15)
        np.testing.assert_allclose(found.x, dense.x, atol=1e-9)
        np.testing.assert_allclose(
            found.state.hyper["factor_0"], dense.state.hyper["variance"], atol=1e-9
        )
        for name in ("evidence", "noise_variance", "effective_parameters"):
            rows = [s.history[name] for s in (found, dense)]
            np.testing.assert_allclose(*rows, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("update", ["mm", "mackay", "am"])
def test_permuted_modes_give_the_same_answer(update):
    """Sweeps in another order end at the same place; full updates go the same way."""
    factors, x, y, noise = small()
    order = (1, 0)
    options = {"update": update, "max_iter": 60 if update == "am" else 150}
    one = run(factors, y, noise, **options)
    two = run([factors[k] for k in order], y.transpose(order), noise, **options)
    scale = np.abs(x).max()
    np.testing.assert_allclose(two.x.T, one.x, atol=1e-6 * scale)
    evidence = [s.posterior.log_evidence for s in (one, two)]
    assert evidence[0] == pytest.approx(evidence[1], abs=1e-4)


@pytest.mark.parametrize("update", UPDATES)
@pytest.mark.parametrize("noise", ["known", "learned"])
def test_units_of_the_data_do_not_matter(update, noise):
    factors, _, y, s2 = small("complex128")
    c = 1e-3
    one, two = (
        run(
            factors,
            f * y,
            f**2 * s2 if noise == "known" else None,
            update=update,
            max_iter=12,
        )
        for f in (1.0, c)
    )
    # am stops its inner sweeps at an absolute tolerance relative to the variances
    np.testing.assert_allclose(two.x / c, one.x, atol=1e-9)
    gain = one.posterior.log_evidence - two.posterior.log_evidence
    assert gain == pytest.approx(2 * y.size * np.log(c), rel=1e-9)


def test_the_end_is_a_stationary_point_of_the_evidence():
    """Along the noise variance, and along every variance that is not zero."""
    factors, _, y, noise = small(snr_db=15)
    solution = run(factors, y, None, max_iter=400, tol=1e-10)
    gammas = [solution.state.hyper[f"factor_{k}"] for k in range(2)]
    s2, h = solution.posterior.noise_variance, 1e-4
    assert s2 == pytest.approx(noise, rel=0.5)
    wanted = brute(factors, y, gammas, s2)
    np.testing.assert_allclose(solution.x, wanted["mean"], atol=1e-10)
    assert solution.posterior.log_evidence == pytest.approx(wanted["evidence"])
    up, down = (brute(factors, y, gammas, s2 * f) for f in (np.exp(h), np.exp(-h)))
    assert abs(up["evidence"] - down["evidence"]) / (2 * h) < 1e-4
    for k, g in enumerate(gammas):
        for i in np.flatnonzero(g > 1e-6 * g.max()):
            step = np.exp(h * (np.arange(len(g)) == i))
            both = (
                brute(factors, y, [new if j == k else gammas[j] for j in range(2)], s2)
                for new in (g * step, g / step)
            )
            up, down = (b["evidence"] for b in both)
            assert abs(up - down) / (2 * h) < 1e-4


@pytest.mark.parametrize(
    ("update", "dtype"),
    [
        ("mm", "float32"),
        ("mackay", "complex64"),
        ("svd", "float64"),
        ("am", "float32"),
    ],
)
def test_underflowing_variances_never_give_nan(update, dtype):
    factors, x, y, noise = small("complex128" if dtype == "complex64" else "float64")
    factors, y = [a.astype(dtype) for a in factors], y.astype(dtype)
    max_iter = 100 if update == "am" else 1000
    solution = run(factors, y, noise, update=update, max_iter=max_iter)
    assert np.all(np.isfinite(solution.history["evidence"]))
    for values in (solution.x, solution.posterior.variance, solution.posterior.mean):
        assert np.all(np.isfinite(values))
    assert np.all(solution.posterior.variance >= 0)
    assert nmse(solution.x, x) < 0.1
    low, high = solution.posterior.interval(0.9)
    gone = solution.posterior.eliminated
    np.testing.assert_array_equal(np.isnan(low), gone)
    np.testing.assert_array_equal(np.isnan(high), gone)
    draws = solution.posterior.sample(np.random.default_rng(0), 2)
    assert np.all(np.isfinite(draws))


# The published figures.

PUBLISHED = [
    (25, 0, "svd", 8.792103e-5),
    (25, 0, "am", 4.534593e-3),
    (25, 1, "svd", 2.883523e-4),
    (25, 1, "am", 2.883669e-4),
    (25, 2, "svd", 1.212688e-4),
    (25, 2, "am", 1.230223e-4),
    (10, 0, "svd", 1.649083e-3),
    (10, 0, "am", 2.766784e-2),
    (10, 1, "svd", 5.740625e-3),
]


@pytest.mark.parametrize(("snr_db", "seed", "update", "wanted"), PUBLISHED)
def test_published_settings_reproduce_the_authors_figures(snr_db, seed, update, wanted):
    factors, x, y, noise = draw(seed, snr_db)
    prune = {"am": 1e-2, "svd": 1e-3}[update]
    prior = ss.priors.KroneckerSBL(update=update, prune=prune)
    loss = ss.LeastSquares(ss.operators.Kronecker(*factors), y)
    solver = ss.VariationalEM(noise_variance=noise, elimination=False)
    options = {"x0": np.ones(x.shape), "tol": 1e-4, "max_iter": 150}
    solution = ss.solve(ss.Problem(loss, prior), solver, **options)
    assert nmse(solution.x, x) == pytest.approx(wanted, rel=1e-6)


# The search by the evidence.


def test_another_start_saves_a_collapsed_factor():
    factors, x, y, _ = draw(25, 25)
    once = ss.solve(problem_of(factors, y), ss.VariationalEM(starts=0))
    assert nmse(once.x, x) > 0.1
    solution = ss.solve(problem_of(factors, y))
    assert nmse(solution.x, x) <= 20 * oracle_nmse(factors, x, y)
    assert solution.posterior.log_evidence > once.posterior.log_evidence


@pytest.mark.parametrize("dtype", BOTH)
@pytest.mark.parametrize("update", ["mm", "mackay"])
def test_elimination_leaves_the_exact_support(dtype, update):
    factors, x, y, noise = small(dtype, snr_db=40)
    for known in (None, noise):
        solution = run(
            factors,
            y,
            known,
            update=update,
            max_iter=300,
            tol=1e-5,
            elimination=True,
        )
        assert solution.converged
        np.testing.assert_array_equal(solution.x != 0, x != 0)
        np.testing.assert_array_equal(solution.posterior.eliminated, x == 0)
        assert nmse(solution.x, x) < 2e-4
    everything = run(factors, y, noise, update=update, max_iter=300)
    assert np.count_nonzero(everything.x) >= np.count_nonzero(x)


@pytest.mark.parametrize("dtype", BOTH)
def test_candidates_remove_the_slabs_of_least_use_first(dtype):
    shapes = ((4, 5), (4, 6))
    factors, gammas = factors_of(shapes, dtype), variances(shapes)
    y = 3 * random((4, 4), dtype, 3)
    problem = problem_of(factors, y)
    now = moments_of(problem, gammas, 0.3)
    wanted = brute(factors, y, gammas, 0.3)
    slack = 1 - wanted["shrinkage"]
    cost = np.log(slack) + wanted["whitened_power"] / slack
    uses = {
        (k, i): cost.sum(1 - k)[i]
        for k, g in enumerate(gammas)
        for i in np.flatnonzero(g)
    }
    best = {k: max((s for s in uses if s[0] == k), key=uses.get) for k in range(2)}
    order = sorted((s for s in uses if s not in best.values()), key=uses.get)
    removed = []
    for candidate in problem.prior.candidates(hyper_of(gammas), now):
        gone = [s for s in uses if candidate[f"factor_{s[0]}"][s[1]] == 0]
        removed.append(sorted(gone, key=uses.get))
    many = [gone for gone in removed if len(gone) > 1]
    assert many == [order[: len(order) // 2]]
    single = [gone[0] for gone in removed if len(gone) == 1]
    assert list(dict.fromkeys(single)) == order


# Precisions, libraries, batches.


@pytest.mark.parametrize("device", LIBRARIES)
@pytest.mark.parametrize(
    ("update", "dtype"),
    [
        *(("mm", dtype) for dtype in REAL + COMPLEX),
        ("mackay", "complex64"),
        ("am", "complex128"),
        ("am", "float32"),
        ("svd", "complex64"),
        ("svd", "float64"),
    ],
)
def test_every_library_and_precision(device, dtype, update):
    if device.startswith("torch"):
        pytest.importorskip("torch")
    double = "complex128" if dtype in COMPLEX else "float64"
    factors, _, y, _ = small(double)
    wanted = run(factors, y, None, update=update, max_iter=6)
    moved = [to_device(v.astype(dtype), device) for v in (*factors, y)]
    found = run(moved[:2], moved[2], None, update=update, max_iter=6)
    single = dtype in ("float32", "complex64")
    for name in ("mean", "variance"):
        one, two = (getattr(s.posterior, name) for s in (found, wanted))
        assert device_of(one) == device
        real = np.empty(0, dtype).real.dtype
        assert dtype_of(one) == (dtype if name == "mean" else real)
        atol = (1e-3 if single else 1e-9) * np.abs(two).max()
        np.testing.assert_allclose(to_numpy(one), two, rtol=0, atol=atol)
    draws = found.posterior.sample(np.random.default_rng(0), 2)
    assert device_of(draws) == device
    assert dtype_of(draws) == dtype
    assert draws.shape == (2, 10, 12)


@pytest.mark.parametrize("dtype", ["float32", "complex64"])
@pytest.mark.parametrize("snr_db", [25, 40])
def test_single_precision_is_as_good_as_double(dtype, snr_db):
    double = "complex128" if dtype == "complex64" else "float64"
    factors, x, y, noise = small(double, snr_db)
    exact = ss.solve(problem_of(factors, y))
    cast = [a.astype(dtype) for a in factors]
    solution = ss.solve(problem_of(cast, y.astype(dtype)))
    assert solution.converged
    np.testing.assert_array_equal(solution.x != 0, exact.x != 0)
    far = np.linalg.norm(solution.x - exact.x) / np.linalg.norm(exact.x - x)
    assert far < 0.02
    noises = [s.posterior.noise_variance for s in (solution, exact)]
    assert noises[0] == pytest.approx(noises[1], rel=0.01)
    assert noises[0] == pytest.approx(noise, rel=0.5)
    np.testing.assert_allclose(
        solution.posterior.variance, exact.posterior.variance, rtol=0.02
    )


@pytest.mark.parametrize("device", LIBRARIES)
@pytest.mark.parametrize(
    ("update", "dtype"),
    [
        ("mm", "complex128"),
        ("mackay", "float64"),
        ("am", "float64"),
        ("svd", "float64"),
    ],
)
def test_a_batch_is_a_loop(device, dtype, update):
    if device.startswith("torch"):
        pytest.importorskip("torch")
    factors, _, y, _ = small(dtype)
    other = small(dtype, seed=3)[2]
    y = np.stack([y, 1e-2 * other, y + random(y.shape, dtype, 9)])
    settings = {"elimination": update in ("mm", "mackay")}
    options = {"update": update, "max_iter": 20, "tol": 3e-3, **settings}
    moved = [to_device(v, device) for v in (*factors, y)]
    batch = run(moved[:2], moved[2], None, **options)
    for k in range(3):
        one = run(factors, y[k], None, **options)
        assert batch.status[k] == one.status
        assert batch.n_iter[k] == one.n_iter
        # the inner sweeps of am end together for all
        rtol, scale = 1e-5 if update == "am" else 1e-8, np.abs(one.x).max()
        np.testing.assert_allclose(to_numpy(batch.x)[k], one.x, atol=rtol * scale)
        for name in ("variance", "log_evidence", "noise_variance"):
            found = to_numpy(getattr(batch.posterior, name))[k]
            two = getattr(one.posterior, name)
            np.testing.assert_allclose(found, two, rtol=10 * rtol, atol=rtol * scale**2)


def test_a_batch_is_a_loop_with_further_starts_too():
    """Only the first problem needs any."""
    factors, _, hard, _ = draw(25, 25)
    easy = ss.operators.Kronecker(*factors)(draw(3, 25)[1])
    y = np.stack([hard, easy + 0.05 * random(easy.shape, easy.dtype, 3)])
    solver = ss.VariationalEM(starts=3)
    batch = ss.solve(problem_of(factors, y), solver)
    once = ss.solve(problem_of(factors, y), ss.VariationalEM(starts=0))
    gain = batch.posterior.log_evidence - once.posterior.log_evidence
    assert (gain > 1).tolist() == [True, False]
    for k, v in enumerate(y):
        one = ss.solve(problem_of(factors, v), solver)
        assert (batch.n_iter[k], batch.status[k]) == (one.n_iter, one.status)
        scale = np.abs(one.x).max()
        np.testing.assert_allclose(batch.x[k], one.x, atol=1e-8 * scale)


def test_a_batch_has_its_own_noise_variances():
    factors, _, y, noise = small()
    y, noises = np.stack([y, 3 * y]), np.array([noise, 4 * noise])
    batch = run(factors, y, noises)
    for k in range(2):
        one = run(factors, y[k], noises[k])
        np.testing.assert_allclose(batch.x[k], one.x, atol=1e-10)


# Snapshots.


def snapshots(back, dtype="complex128", length=4):
    """Problem of snapshots that share a support, its factors and data."""
    factors, x, _, _ = small(dtype)
    eye = ss.operators.Identity((length,))
    A = ss.operators.Kronecker(*factors)
    truth = x * random((length, 1, 1), dtype, 5)
    y = A(truth) + 0.3 * random((length, 7, 8), dtype, 6)
    if back:
        y = np.moveaxis(y, 0, -1)
    whole = ss.operators.kron(A, eye) if back else ss.operators.kron(eye, A)
    prior = ss.priors.KroneckerSBL(tied_axes=-1 if back else 0)
    return ss.Problem(ss.LeastSquares(whole, y), prior), factors


@pytest.mark.parametrize("dtype", BOTH)
@pytest.mark.parametrize("back", [False, True])
def test_the_cost_of_snapshots_is_the_sum_of_single_costs(dtype, back):
    problem, factors = snapshots(back, dtype)
    gammas, noise = variances(((7, 10), (8, 12))), 0.2
    one, place = np.ones(1), -1 if back else 0
    found = moments_of(problem, [*gammas, one] if back else [one, *gammas], noise)
    ys = np.moveaxis(problem.loss.y, place, 0)
    singles = [brute(factors, y, gammas, noise) for y in ys]
    for name in NAMES[:4]:
        wanted = np.stack([single[name] for single in singles], axis=place)
        np.testing.assert_allclose(getattr(found, name), wanted, atol=1e-10)
    for name in NAMES[4:]:
        wanted = sum(single[name] for single in singles)
        assert getattr(found, name) == pytest.approx(wanted, rel=1e-11)
    for k in range(2):
        power, expected = found.marginals(k + (not back), 3)
        for rows, name in ((power, NAMES[2]), (expected, NAMES[3])):
            wanted = sum(single[name].sum(1 - k) for single in singles)
            np.testing.assert_allclose(rows, wanted, atol=1e-9)


@pytest.mark.parametrize("update", UPDATES)
@pytest.mark.parametrize("back", [False, True])
def test_equal_snapshots_behave_like_one_of_less_noise(update, back):
    """L copies of the data say what one says under 1/L of the noise variance."""
    factors, _, y, noise = small()
    copies, eye = np.stack([y] * 3, axis=-1 if back else 0), ss.operators.Identity((3,))
    A = ss.operators.Kronecker(*factors)
    whole = ss.operators.kron(A, eye) if back else ss.operators.kron(eye, A)
    prior = ss.priors.KroneckerSBL(update=update, tied_axes=-1 if back else 0)
    problem = ss.Problem(ss.LeastSquares(whole, copies), prior)
    solver = ss.VariationalEM(noise_variance=noise, elimination=False)
    tied = ss.solve(problem, solver, max_iter=20, tol=0)
    single = run(factors, y, noise, update=update, max_iter=20)
    for k in range(3):
        x = tied.x[..., k] if back else tied.x[k]
        np.testing.assert_allclose(x, single.x, atol=1e-9)
    evidence = 3 * single.history["evidence"]
    np.testing.assert_allclose(tied.history["evidence"], evidence, rtol=1e-9)
    names = [n for n in ("factor_0", "factor_1", "factor_2") if n in tied.state.hyper]
    found = outer([tied.state.hyper[n] for n in names])
    wanted = outer([single.state.hyper[f"factor_{k}"] for k in range(2)])
    np.testing.assert_allclose(found, wanted, atol=1e-9 * wanted.max())


def test_a_factor_of_equal_variances_and_an_untied_identity():
    factors, _, y, _ = small()
    gammas, noise = variances(((7, 10), (8, 12))), 0.2
    A = ss.operators.Kronecker(*factors)
    tied = ss.Problem(ss.LeastSquares(A, y), ss.priors.KroneckerSBL(tied_axes=1))
    found = moments_of(tied, [gammas[0], np.ones(1)], noise)
    wanted = brute(factors, y, [gammas[0], np.ones(12)], noise)
    for name in NAMES:
        np.testing.assert_allclose(getattr(found, name), wanted[name], atol=1e-9)
    whole = ss.operators.kron(A, ss.operators.Identity((3,)))
    ys = np.stack([y, -y, 2 * y], axis=-1)
    free = ss.Problem(ss.LeastSquares(whole, ys), ss.priors.KroneckerSBL())
    scales = np.array([0.5, 0.0, 2.0])
    found = moments_of(free, [*gammas, scales], noise)
    wanted = brute([*factors, np.eye(3)], ys, [*gammas, scales], noise)
    for name in NAMES:
        np.testing.assert_allclose(getattr(found, name), wanted[name], atol=1e-9)


def test_snapshots_tied_beat_snapshots_alone():
    problem, factors = snapshots(back=False, dtype="float64", length=6)
    y = problem.loss.y
    noisy = y + 2 * random(y.shape, "float64", 8)
    truth = small()[1] * random((6, 1, 1), "float64", 5)
    loss = ss.LeastSquares(problem.A, noisy)
    tied = ss.solve(ss.Problem(loss, problem.prior), ss.VariationalEM(starts=0))
    np.testing.assert_array_equal(tied.x.any(0), small()[1] != 0)
    alone = run(factors, noisy, None, max_iter=80, tol=1e-3, elimination=True)
    assert nmse(tied.x, truth) < 0.8 * nmse(alone.x, truth)


# Separable variances.


@pytest.mark.parametrize("device", LIBRARIES)
@pytest.mark.parametrize("batch", [(), (2,)])
@pytest.mark.parametrize("n_axes", [1, 2, 3, 4])
def test_the_change_of_an_outer_product_is_that_of_the_full_array(
    device, batch, n_axes
):
    if device.startswith("torch"):
        pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    old = [rng.gamma(1.0, 1.0, (*batch, n)) for n in (5, 1, 4, 3)[:n_axes]]
    for size in (1e-12, 1e-6, 1.0):
        steps = [size * rng.standard_normal(f.shape) for f in old]
        new = [f * np.exp(s) for f, s in zip(old, steps, strict=True)]
        there = [Separable([to_device(f, device) for f in v]) for v in (new, old)]
        found = there[0].change(there[1])
        found = to_numpy(found) if batch else found
        gaps = [np.expm1(s) * f for f, s in zip(old, steps, strict=True)]
        difference = 0.0
        for k in range(n_axes):
            terms = [*new[:k], gaps[k], *old[k + 1 :]]
            difference = difference + Separable(terms).full()
        axes = tuple(range(len(batch), len(batch) + n_axes))
        wanted = np.sqrt(
            np.sum(difference**2, axis=axes)
            / np.sum(Separable(old).full() ** 2, axis=axes)
        )
        # new and old themselves are rounded to 1e-16 of their size
        np.testing.assert_allclose(found, wanted, rtol=1e-9, atol=1e-15)
        full = Separable(new).full()
        if size > 1e-7:
            plain = np.sqrt(
                np.sum((full - Separable(old).full()) ** 2, axis=axes)
                / np.sum(Separable(old).full() ** 2, axis=axes)
            )
            np.testing.assert_allclose(found, plain, rtol=1e-8)
        assert full.shape == (*batch, *(f.shape[-1] for f in old))


def test_the_change_of_rescaled_factors_and_of_zeros():
    """What leaves the product as it is, is no change."""
    old = [np.array([1.0, 0.0, 2.0]), np.array([3.0, 5.0])]
    same = Separable([4 * old[0], old[1] / 4])
    assert same.change(Separable(old)) < 1e-7
    gone = Separable([0 * old[0], old[1]])
    assert gone.change(Separable(old)) == pytest.approx(1)
    assert gone.change(gone) == 0


@pytest.mark.parametrize("batch", [(), (2,)])
@pytest.mark.parametrize("unit", [1e-25, 1e25])
def test_the_change_of_single_precision_factors_of_any_unit(batch, unit):
    rng = np.random.default_rng(3)
    old = [rng.gamma(1.0, 1.0, (*batch, n)) for n in (5, 4)]
    new = [g * rng.uniform(0.9, 1.1, g.shape) for g in old]
    small = [[(unit * g).astype("float32") for g in gammas] for gammas in (new, old)]
    found = Separable(small[0]).change(Separable(small[1]))
    wanted = Separable(new).change(Separable(old))
    np.testing.assert_allclose(found, wanted, rtol=1e-5)


# Resuming.


@pytest.mark.parametrize("n_back", [0, 3])
def test_resume_equals_an_uninterrupted_run(tmp_path, n_back):
    """Also with identities in the operator, and amid further starts."""
    factors, _, y, _ = small(snr_db=5)
    A, prior = ss.operators.Kronecker(*factors), ss.priors.KroneckerSBL()
    if n_back:
        A = ss.operators.kron(A, ss.operators.Identity((n_back,)))
        prior = ss.priors.KroneckerSBL(tied_axes=-1)
        y = y[..., None] + random((7, 8, n_back), "float64", 7)
    problem, path = ss.Problem(ss.LeastSquares(A, y), prior), tmp_path / "state.h5"
    solver = ss.VariationalEM(starts=3)
    whole = ss.solve(problem, solver, tol=1e-3, max_iter=200)
    for half in (3, whole.n_iter - 2):
        ss.solve(problem, solver, tol=1e-3, max_iter=half, checkpoint=path)
        rest = ss.solve(problem, solver, tol=1e-3, max_iter=200, resume=path)
        np.testing.assert_array_equal(rest.x, whole.x)
        evidence = [s.history["evidence"] for s in (rest, whole)]
        np.testing.assert_array_equal(*evidence)
        assert rest.n_iter == whole.n_iter
        for one, two in zip(
            rest.posterior.interval(), whole.posterior.interval(), strict=True
        ):
            np.testing.assert_array_equal(one, two)
        draws = [s.posterior.sample(np.random.default_rng(0)) for s in (rest, whole)]
        np.testing.assert_array_equal(*draws)


def test_nothing_of_the_size_of_the_matrix_is_kept():
    factors, _, y, _ = draw(0, 25)
    solution = run(factors, y, None, max_iter=2)

    def entries(tree):
        if isinstance(tree, dict):
            return max((entries(v) for v in tree.values()), default=0)
        if isinstance(tree, tuple):
            return max((entries(v) for v in tree), default=0)
        return np.size(tree) if tree is not None else 0

    assert entries(tuple(solution.state)) == 15**3


# Bad input, and small print.

FACTORS = factors_of(((4, 6), (3, 5)))
Y = random((4, 3), "float64", 3)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: ss.priors.KroneckerSBL(update="em"), ValueError, "update is 'em'"),
        (lambda: ss.priors.KroneckerSBL(prune=1.0), ValueError, "prune is 1.0"),
        (lambda: ss.priors.KroneckerSBL(prune=-0.1), ValueError, "prune is -0.1"),
        (lambda: ss.priors.KroneckerSBL(prune=np.nan), ValueError, "prune"),
        (lambda: ss.priors.KroneckerSBL(tied_axes=0.5), TypeError, "tied_axes is 0.5"),
        (lambda: problem_of(FACTORS, Y, tied_axes=2), ValueError, "tied_axes"),
        (lambda: problem_of(FACTORS, Y, tied_axes=(0, 1)), ValueError, "tied_axes"),
        (lambda: problem_of(FACTORS, Y, prune=(0.1,) * 3), ValueError, "prune has 3"),
        (lambda: problem_of([], Y), ValueError, "no factors"),
        (lambda: problem_of([FACTORS[0], np.zeros((3, 0))], Y), ValueError, "factor 1"),
        (lambda: problem_of([FACTORS[0], np.zeros((0, 3))], Y), ValueError, "factor 1"),
        (lambda: problem_of([FACTORS[0], np.zeros(3)], Y), ValueError, "factor 1"),
        (lambda: problem_of([np.nan * FACTORS[0]], Y), ValueError, "factor 0 has 24"),
        (lambda: problem_of(FACTORS, Y.T), ValueError, r"wanted \(4, 3\).*swapped"),
        (lambda: problem_of(FACTORS, Y.ravel()), ValueError, r"wanted \(4, 3\)"),
        (lambda: problem_of(FACTORS, np.nan * Y), ValueError, "y has 12 NaN"),
        (lambda: problem_of(FACTORS, Y / 0.0 + 1j), ValueError, "y has 12 NaN"),
    ],
)
@pytest.mark.filterwarnings("ignore:divide by zero")
@pytest.mark.filterwarnings("ignore:invalid value")
def test_bad_settings_and_data_are_refused(make, error, message):
    with pytest.raises(error, match=message):
        make()


@pytest.mark.parametrize("value", [0, 0.0, -1.0, np.nan, np.inf, 1e-30, "low", 1j])
def test_a_noise_variance_must_be_a_usable_number(value):
    with pytest.raises((ValueError, TypeError), match="noise_variance is"):
        ss.solve(problem_of(FACTORS, Y), ss.VariationalEM(noise_variance=value))


@pytest.mark.parametrize("value", [np.array([0.1, -1.0]), np.array([0.1, np.nan])])
def test_noise_variances_of_a_batch_too(value):
    with pytest.raises(ValueError, match="noise_variance has entries"):
        ss.solve(
            problem_of(FACTORS, np.stack([Y, Y])),
            ss.VariationalEM(noise_variance=value),
        )


@pytest.mark.parametrize("update", UPDATES)
def test_zero_data_are_refused_or_give_zero(update):
    problem = problem_of(FACTORS, 0 * Y, update=update)
    with pytest.raises(ValueError, match="y is zero"):
        ss.solve(problem)
    options = {"update": update, "max_iter": 30}
    solution = run(FACTORS, 0 * Y, 0.1, **options)
    assert not solution.x.any()
    assert np.all(np.isfinite(solution.posterior.variance))
    both = run(FACTORS, np.stack([0 * Y, Y]), 0.1, **options)
    assert not both.x[0].any()
    alone = run(FACTORS, Y, 0.1, **options)
    np.testing.assert_allclose(both.x[1], alone.x, atol=1e-5)


def test_a_factor_of_zero_is_refused():
    with pytest.raises(ValueError, match="nothing to infer"):
        ss.solve(problem_of([0 * FACTORS[0], FACTORS[1]], Y))


@pytest.mark.parametrize(
    ("engine", "prior", "A", "weights", "message"),
    [
        (
            "kronecker",
            "KroneckerSBL",
            ss.operators.Gradient((2, 6)),
            None,
            "is no Kronecker product",
        ),
        (
            "kronecker",
            "KroneckerSBL",
            ss.operators.Kronecker(*FACTORS),
            np.arange(1.0, 13).reshape(4, 3),
            "weights",
        ),
        ("kronecker", "SBL", ss.operators.Kronecker(*FACTORS), None, "prior.*SBL"),
    ],
)
def test_what_has_no_kronecker_structure_is_refused(engine, prior, A, weights, message):
    y = random(A.out_shape, "float64", 3)
    problem = ss.Problem(ss.LeastSquares(A, y, weights), getattr(ss.priors, prior)())
    with pytest.raises(TypeError, match=message):
        ss.solve(problem, ss.VariationalEM(engine=engine))


@pytest.mark.parametrize("masked", [False, True])
def test_without_kronecker_structure_the_dense_engine_takes_over(masked):
    weights = np.random.default_rng(2).uniform(0.5, 2, Y.shape)
    A = ss.operators.Kronecker(*FACTORS)
    if masked:
        weights = (weights > 1.0).astype(float)
    loss = ss.LeastSquares(A, Y, weights)
    solver = ss.VariationalEM(noise_variance=0.1, elimination=False)
    solution = ss.solve(
        ss.Problem(loss, ss.priors.KroneckerSBL()), solver, max_iter=20, tol=0
    )
    gammas = [solution.state.hyper[f"factor_{k}"] for k in range(2)]
    H, g = reduce(np.kron, FACTORS), outer(gammas).ravel()
    used = weights.ravel() > 0
    H, w = H[used], weights.ravel()[used]
    inverse = np.linalg.inv(np.diag(0.1 / w) + (H * g) @ H.T)
    mean = g * (H.T @ inverse @ Y.ravel()[used])
    np.testing.assert_allclose(solution.x.ravel(), mean, atol=1e-9)
    assert np.all(np.diff(solution.history["evidence"]) > -1e-9)


@pytest.mark.parametrize("engine", ["dense", "kronecker"])
@pytest.mark.parametrize("update", UPDATES)
def test_both_engines_give_the_same_iterates(engine, update):
    factors, _, y, noise = small("complex128")
    wanted = run(factors, y, noise, update=update, max_iter=15)
    found = run(factors, y, noise, update=update, max_iter=15, engine=engine)
    np.testing.assert_allclose(found.x, wanted.x, atol=1e-8)
    rows = [s.history["evidence"] for s in (found, wanted)]
    np.testing.assert_allclose(*rows, rtol=1e-9)
    variance = [s.posterior.variance for s in (found, wanted)]
    np.testing.assert_allclose(*variance, atol=1e-9)


@pytest.mark.parametrize("update", UPDATES)
@pytest.mark.parametrize("case", ["duplicated", "zero column", "one column", "tall"])
def test_unusual_factors_give_a_right_posterior(case, update):
    a, b = FACTORS
    a = a.copy()
    if case == "duplicated":
        a[:, 3] = a[:, 1]
    if case == "zero column":
        a[:, 2] = 0
    if case == "one column":
        a = a[:, :1].copy()
    if case == "tall":
        a, b = random((8, 3), "float64", 1), random((7, 4), "float64", 2)
    y = random((len(a), len(b)), "float64", 3)
    solution = run([a, b], y, 0.1, update=update, max_iter=40)
    gammas = [solution.state.hyper[f"factor_{k}"] for k in range(2)]
    wanted = brute([a, b], y, gammas, 0.1)
    for name, value in (
        ("mean", solution.x),
        ("variance", solution.posterior.variance),
        ("evidence", solution.posterior.log_evidence),
    ):
        np.testing.assert_allclose(value, wanted[name], rtol=1e-9, atol=1e-9)
    if case == "duplicated":
        np.testing.assert_allclose(solution.x[1], solution.x[3], atol=1e-9)


def test_complex_data_make_a_complex_unknown():
    """Under real factors both parts share variances; A.real() is for a real one."""
    factors, _, y, noise = small()
    two = y + 1j * np.roll(y, 1, axis=0)
    solution = run(factors, two, noise, max_iter=10)
    assert solution.x.dtype == np.complex128
    gammas = [solution.state.hyper[f"factor_{k}"] for k in range(2)]
    H, g = reduce(np.kron, factors), outer(gammas).ravel()
    gain = (g[:, None] * H.T) @ np.linalg.inv(noise * np.eye(56) + (H * g) @ H.T)
    np.testing.assert_allclose(solution.x.ravel(), gain @ two.ravel(), atol=1e-10)
    with pytest.raises(TypeError, match="not complex; its unknown is real already"):
        ss.operators.Kronecker(*factors).real()


def test_a_real_unknown_under_complex_factors():
    factors, x, _, _ = small("complex128")
    A = ss.operators.Kronecker(*factors).real()
    truth = x.real.copy()
    y = A(truth) + 0.05 * random((7, 8), "complex128", 4)
    solution = ss.solve(ss.Problem(ss.LeastSquares(A, y), ss.priors.KroneckerSBL()))
    assert solution.x.dtype == np.float64
    np.testing.assert_array_equal(solution.x != 0, truth != 0)
    assert nmse(solution.x, truth) < 1e-3
    assert solution.posterior.noise_variance == pytest.approx(0.05**2, rel=0.5)


def test_data_and_starts_are_not_changed():
    factors, _, y, _ = small()
    kept = [v.copy() for v in (*factors, y)]
    run(factors, y, None, max_iter=3)
    for before, after in zip(kept, (*factors, y), strict=True):
        np.testing.assert_array_equal(before, after)
