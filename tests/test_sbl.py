"""Sparse Bayesian learning against brute-force posteriors and known answers."""

import numpy as np
import pytest
from cases import COMPLEX, LIBRARIES, REAL, random

import sparsesolve as ss
from sparsesolve import memory
from sparsesolve.backends import device_of, dtype_of, to_device, to_numpy
from sparsesolve.solvers.posterior import Moments

BOTH = ("float64", "complex128")
SHAPES = ((6, 11), (11, 6), (7, 7))


def problem_of(a, y, prior=None, **options):
    loss = ss.LeastSquares(ss.operators.Dense(a), y, **options)
    return ss.Problem(loss, prior or ss.priors.SBL())


def moments_of(problem, gamma, noise):
    """What the engine says about given variances."""
    plan = ss.VariationalEM(noise_variance=noise).prepare(problem)
    return plan.engine.moments(gamma, noise)


def brute(a, y, gamma, noise_cov):
    """Moments by the textbook, from explicit N x N and M x M matrices."""
    ah = a.conj().T
    cov = noise_cov + a @ np.diag(gamma) @ ah
    inverse = np.linalg.inv(cov)
    mean = gamma * (ah @ inverse @ y)
    posterior = np.diag(gamma) - np.diag(gamma) @ ah @ inverse @ a @ np.diag(gamma)
    shrinkage = gamma * np.real(np.diag(ah @ inverse @ a))
    white = np.sqrt(gamma) * (ah @ inverse @ y)
    k, circle = (1.0, np.pi) if np.iscomplexobj(a) else (0.5, 2 * np.pi)
    quadratic = np.real(y.conj() @ inverse @ y)
    log_det = np.linalg.slogdet(cov)[1]
    return Moments(
        mean=mean,
        variance=np.real(np.diag(posterior)),
        whitened_power=np.abs(white) ** 2,
        shrinkage=shrinkage,
        evidence=-k * (len(y) * np.log(circle) + log_det + quadratic),
        misfit=np.linalg.norm(y - a @ mean) ** 2,
        freedom=len(y) - shrinkage.sum(),
    )


def assert_same(found, wanted, rtol=1e-9):
    for name in Moments._fields:
        one, two = getattr(found, name), getattr(wanted, name)
        scale = np.max(np.abs(two))
        np.testing.assert_allclose(one, two, rtol=rtol, atol=rtol * scale, err_msg=name)


def variances(n, seed=5):
    rng = np.random.default_rng(seed)
    gamma = rng.gamma(0.5, 2.0, n)
    gamma[rng.choice(n, n // 3, replace=False)] = 0.0
    return gamma


def sparse(m, n, k, dtype="float64", snr=30.0, seed=0):
    """A seeded sparse problem: matrix, truth, data, noise standard deviation."""
    rng = np.random.default_rng([seed, m, n])
    a = random((m, n), dtype, seed=seed + 1)
    x = np.zeros(n, dtype)
    where = rng.choice(n, k, replace=False)
    x[where] = random((k,), dtype, seed=seed + 2)
    x[where] += 0.5 * x[where] / np.abs(x[where])
    y = a @ x
    noise = 10 ** (-snr / 20) * np.sqrt(np.mean(np.abs(y) ** 2))
    return a, x, y + noise * random((m,), dtype, seed=seed + 3), noise


# The posterior.


@pytest.mark.parametrize("dtype", BOTH)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("gamma", ["all", "some", "few", "none"])
def test_moments_match_brute_force(dtype, shape, gamma):
    a, y = random(shape, dtype), random(shape[:1], dtype, seed=1)
    some = variances(shape[1])
    few = some * (np.arange(shape[1]) == np.argmax(some))
    gamma = {"all": some + 0.1, "some": some, "few": few, "none": 0 * some}[gamma]
    found = moments_of(problem_of(a, y), gamma, 0.3)
    assert_same(found, brute(a, y, gamma, 0.3 * np.eye(shape[0])))


@pytest.mark.parametrize("dtype", BOTH)
@pytest.mark.parametrize("shape", SHAPES)
def test_weights_are_inverse_relative_variances(dtype, shape):
    """A weight of zero is an entry that was not measured."""
    a, y = random(shape, dtype), random(shape[:1], dtype, seed=1)
    weights = np.random.default_rng(2).uniform(0.5, 2, shape[0])
    weights[2], gamma = 0.0, variances(shape[1])
    y[2] = np.nan
    found = moments_of(problem_of(a, y, weights=weights), gamma, 0.3)
    used = weights > 0
    wanted = brute(a[used], y[used], gamma, np.diag(0.3 / weights[used]))
    residual = (y - a @ wanted.mean)[used]
    misfit = np.sum(weights[used] * np.abs(residual) ** 2)
    assert_same(found, wanted._replace(misfit=misfit))


@pytest.mark.parametrize("weighted", [False, True])
def test_a_real_unknown_under_complex_data(weighted):
    a, y = random((5, 8), "complex128"), random((5,), "complex128", seed=1)
    weights = np.random.default_rng(2).uniform(0.5, 2, 5) if weighted else None
    loss = ss.LeastSquares(ss.operators.Dense(a).real(), y, weights)
    gamma = variances(8)
    found = moments_of(ss.Problem(loss, ss.priors.SBL()), gamma, 0.3)
    stacked = np.concatenate([a.real, a.imag]), np.concatenate([y.real, y.imag])
    w = np.ones(5) if weights is None else weights
    half = np.diag(0.15 / np.concatenate([w, w]))
    wanted = brute(*stacked, gamma, half)
    misfit = np.sum(2 * w * np.abs(y - a @ wanted.mean) ** 2)
    assert_same(found, wanted._replace(misfit=misfit))
    assert found.mean.dtype == np.float64


@pytest.mark.parametrize("dtype", BOTH)
def test_draws_have_the_posterior_moments(dtype):
    a, _, y, noise = sparse(6, 4, 4, dtype, snr=5)
    solver = ss.VariationalEM(noise_variance=noise**2, elimination=False)
    posterior = ss.solve(problem_of(a, y), solver, max_iter=3, tol=0).posterior
    n = 4000
    draws = posterior.sample(np.random.default_rng(0), n)
    gamma = posterior.hyper["variance"]
    inverse = np.linalg.inv(noise**2 * np.eye(6) + (a * gamma) @ a.conj().T)
    gain = np.diag(gamma) @ a.conj().T
    cov = np.diag(gamma) - gain @ inverse @ gain.conj().T
    size = np.sqrt(np.real(np.diag(cov)))
    errors = draws - posterior.mean
    np.testing.assert_array_less(np.abs(errors.mean(0)), 5 * size / np.sqrt(n))
    found = np.einsum("ki,kj->ij", errors, errors.conj()) / n
    assert np.all(np.abs(found - cov) < 7 * np.outer(size, size) / np.sqrt(n))


@pytest.mark.parametrize("dtype", BOTH)
def test_the_posterior_is_calibrated(dtype):
    """With x drawn from the prior, errors have the variance that is claimed."""
    m, n, trials = 12, 20, 150
    gamma, noise = variances(n) + 0.05, 0.2
    a = random((m, n), dtype)
    x = np.sqrt(gamma) * random((trials, n), dtype, seed=1)
    y = x @ a.T + np.sqrt(noise) * random((trials, m), dtype, seed=2)
    solver = ss.VariationalEM(noise_variance=noise)
    problem = problem_of(a, y)
    plan = solver.prepare(problem)
    now = plan.engine.moments(np.broadcast_to(gamma, (trials, n)), noise)
    error = np.abs(x - now.mean)
    ratio = np.mean(error**2 / now.variance)
    assert ratio == pytest.approx(1, abs=5 * np.sqrt(2 / (trials * n)))
    state = solver.init(problem, plan, None, np.random.default_rng(0))
    state = state._replace(x=now.mean, moments=now.leaves)
    for level in (0.5, 0.9):
        radius = solver.posterior(problem, plan, state).radius(level)
        inside = np.mean(error <= radius)
        assert inside == pytest.approx(level, abs=5 * 0.5 / np.sqrt(trials * n))


# The updates.


@pytest.mark.parametrize("dtype", BOTH)
@pytest.mark.parametrize("update", ["em", "mm"])
@pytest.mark.parametrize("known", [False, True])
@pytest.mark.parametrize("shape", [(15, 30), (30, 15)])
def test_the_evidence_never_falls(dtype, update, known, shape):
    a, _, y, noise = sparse(*shape, 4, dtype, snr=15)
    solver = ss.VariationalEM(
        noise_variance=noise**2 if known else None, elimination=False
    )
    problem = problem_of(a, y, ss.priors.SBL(update=update))
    evidence = ss.solve(problem, solver, max_iter=150, tol=0).history["evidence"]
    assert np.diff(evidence).min() > -1e-8
    assert evidence[-1] > evidence[0] + 1


@pytest.mark.parametrize("dtype", BOTH)
def test_each_update_maximises_its_bound(dtype):
    """EM and MM: the bound is below the evidence, touches it, and is maximal."""
    a, y, noise, n = random((6, 9), dtype), random((6,), dtype, seed=1), 0.3, 9
    problem, rng = problem_of(a, y), np.random.default_rng(3)
    old = variances(n) + 0.1
    now = moments_of(problem, old, noise)
    power = np.abs(now.mean) ** 2
    bounds = {
        "em": lambda g: -np.sum(np.log(g) + (power + now.variance) / g),
        "mm": lambda g: -np.sum(now.shrinkage * g / old + power / g),
    }
    scale = 1.0 if dtype == "complex128" else 0.5
    for update, bound in bounds.items():
        prior = ss.priors.SBL(update=update).bind((n,))
        new = prior.update_hyper({"variance": old}, now, "variance")["variance"]
        for _ in range(50):
            g = old * np.exp(rng.normal(0, rng.choice([0.01, 1.0]), n))
            gain = moments_of(problem, g, noise).evidence - now.evidence
            assert scale * (bound(g) - bound(old)) <= gain + 1e-10
            assert bound(g) <= bound(new) + 1e-12
            assert bound(new * g / old) <= bound(new) + 1e-12


@pytest.mark.parametrize("dtype", BOTH)
def test_whitened_power_minus_shrinkage_is_the_gradient(dtype):
    a, y = random((6, 9), dtype), random((6,), dtype, seed=1)
    gamma, noise, h = variances(9) + 0.1, 0.3, 1e-5
    problem = problem_of(a, y)
    now = moments_of(problem, gamma, noise)
    scale = 1.0 if dtype == "complex128" else 0.5
    for k in range(9):
        factor = np.exp(h * (np.arange(9) == k))
        up = moments_of(problem, gamma * factor, noise).evidence
        down = moments_of(problem, gamma / factor, noise).evidence
        slope = scale * (now.whitened_power - now.shrinkage)[k]
        assert (up - down) / (2 * h) == pytest.approx(slope, abs=1e-7)


@pytest.mark.parametrize("dtype", BOTH)
@pytest.mark.parametrize("update", ["em", "mm", "mackay"])
def test_orthonormal_columns_have_a_closed_form(dtype, update):
    """γ = max(0, |Aᴴy|² - s²)."""
    a = np.linalg.qr(random((8, 8), dtype))[0]
    y, noise = 2 * random((8,), dtype, seed=1), 0.7
    solver = ss.VariationalEM(noise_variance=noise, elimination=False)
    problem = problem_of(a, y, ss.priors.SBL(update=update))
    solution = ss.solve(problem, solver, max_iter=3000, tol=1e-11)
    wanted = np.maximum(0, np.abs(a.conj().T @ y) ** 2 - noise)
    assert 0 < np.count_nonzero(wanted) < 8
    found = solution.state.hyper["variance"]
    # EM only creeps to a variance of zero: like 1/k.
    atol = 2e-3 if update == "em" else 1e-8
    np.testing.assert_allclose(found, wanted, rtol=1e-7, atol=atol)


@pytest.mark.parametrize("dtype", BOTH)
def test_learned_noise_is_stationary(dtype):
    """The slope of the evidence along the noise variance ends at zero."""
    a, _, y, noise = sparse(30, 12, 3, dtype, snr=15)
    solution = ss.solve(problem_of(a, y), max_iter=500, tol=1e-10)
    gamma, s2 = solution.state.hyper["variance"], solution.posterior.noise_variance
    assert s2 == pytest.approx(noise**2, rel=0.5)
    eye, h = np.eye(30), 1e-5
    up, down = (brute(a, y, gamma, s2 * f * eye) for f in (np.exp(h), np.exp(-h)))
    assert abs(up.evidence - down.evidence) / (2 * h) < 1e-5
    wanted = brute(a, y, gamma, s2 * eye)
    np.testing.assert_allclose(solution.x, wanted.mean, atol=1e-10)
    assert solution.posterior.log_evidence == pytest.approx(wanted.evidence)


def test_noise_stays_above_its_floor():
    a, x, _, _ = sparse(10, 30, 2)
    y = a @ x
    solution = ss.solve(problem_of(a, y), ss.VariationalEM(noise_floor=1e-6))
    floor = 1e-6 * np.mean(y**2)
    assert solution.posterior.noise_variance == pytest.approx(floor, rel=1e-12)
    np.testing.assert_allclose(solution.x, x, atol=1e-2)


@pytest.mark.parametrize("dtype", BOTH)
def test_candidates_are_ranked_by_what_they_cost(dtype):
    """The predicted cost of removing one entry is the true one."""
    a, y = random((6, 9), dtype), random((6,), dtype, seed=1)
    gamma, noise = variances(9), 0.3
    problem = problem_of(a, y)
    now = moments_of(problem, gamma, noise)
    kept = np.flatnonzero(gamma)
    costs = {}
    for k in kept:
        without = np.where(np.arange(9) == k, 0, gamma)
        costs[k] = now.evidence - moments_of(problem, without, noise).evidence
    candidates = problem.prior.candidates({"variance": gamma}, now)
    assert [
        np.count_nonzero(gamma) - np.count_nonzero(c["variance"]) for c in candidates
    ] == [3, 1, 1]
    order = sorted(kept, key=costs.get)
    for candidate in candidates:
        gone = set(kept) - set(np.flatnonzero(candidate["variance"]))
        assert gone == set(order[: len(gone)])


@pytest.mark.parametrize("dtype", BOTH)
def test_elimination_leaves_what_the_evidence_bears(dtype):
    a, x, y, noise = sparse(30, 60, 4, dtype, snr=20)
    problem = problem_of(a, y)
    solver = ss.VariationalEM(noise_variance=noise**2)
    solution = ss.solve(problem, solver)
    assert solution.converged
    gamma = solution.state.hyper["variance"]
    assert set(np.flatnonzero(gamma)) == set(np.flatnonzero(x))
    full = ss.VariationalEM(noise_variance=noise**2, elimination=False)
    full = ss.solve(problem, full).state.hyper["variance"]
    assert np.count_nonzero(gamma) < np.count_nonzero(full)
    allowed = np.log(30) * (1.0 if dtype == "complex128" else 0.5) + np.log(60) / 2
    for k in np.flatnonzero(gamma):
        without = np.where(np.arange(60) == k, 0, gamma)
        reduced = moments_of(problem, without, noise**2).evidence
        cost = solution.posterior.log_evidence - reduced
        assert cost > allowed


# The solver.


@pytest.mark.parametrize("device", LIBRARIES)
@pytest.mark.parametrize("dtype", REAL + COMPLEX)
def test_every_library_and_precision(device, dtype):
    if device.startswith("torch"):
        pytest.importorskip("torch")
    double = "complex128" if dtype in COMPLEX else "float64"
    a, _, y, _ = sparse(20, 30, 3, double)
    wanted = ss.solve(problem_of(a, y), max_iter=40, tol=0)
    moved = (to_device(v.astype(dtype), device) for v in (a, y))
    problem = problem_of(*moved)
    found = ss.solve(problem, max_iter=40, tol=0)
    single = dtype in ("float32", "complex64")
    for name in ("mean", "variance", "shrinkage", "whitened_power"):
        one, two = (getattr(Moments(*s.state.moments), name) for s in (found, wanted))
        assert device_of(one) == device
        real = np.dtype(dtype).type(0).real.dtype
        assert dtype_of(one) == (dtype if name == "mean" else real)
        atol = (2e-4 if single else 1e-9) * np.abs(two).max()
        np.testing.assert_allclose(to_numpy(one), two, rtol=0, atol=atol)
    draws = found.posterior.sample(np.random.default_rng(0), 2)
    assert device_of(draws) == device
    assert draws.shape == (2, 30)


@pytest.mark.parametrize("dtype", ["float32", "complex64"])
def test_single_precision_survives_high_signal_to_noise(dtype):
    double = "complex128" if dtype == "complex64" else "float64"
    a, x, y, noise = sparse(40, 80, 5, double, snr=70)
    solution = ss.solve(problem_of(a.astype(dtype), y.astype(dtype)))
    assert solution.converged
    assert set(np.flatnonzero(solution.x)) == set(np.flatnonzero(x))
    assert np.linalg.norm(solution.x - x) < 1e-3 * np.linalg.norm(x)
    assert solution.posterior.noise_variance == pytest.approx(noise**2, rel=0.5)


def test_scaling_the_data_scales_the_answer():
    a, _, y, _ = sparse(20, 30, 3)
    one, two = (ss.solve(problem_of(a, c * y), max_iter=60, tol=0) for c in (1, 1e-3))
    np.testing.assert_allclose(1e3 * two.x, one.x, rtol=1e-8, atol=1e-10)
    noise = one.posterior.noise_variance, two.posterior.noise_variance
    assert 1e6 * noise[1] == pytest.approx(noise[0])


@pytest.mark.parametrize("device", LIBRARIES)
@pytest.mark.parametrize("dtype", BOTH)
def test_a_batch_is_a_loop(device, dtype):
    if device.startswith("torch"):
        pytest.importorskip("torch")
    a = random((18, 25), dtype)
    truth = random((2, 2, 25), dtype, seed=1) * (random((2, 2, 25), "float64") > 1.2)
    noise = np.array([[0.05, 0.3], [0.01, 1e-3]])[..., None]
    y = truth @ a.T + noise * random((2, 2, 18), dtype, seed=2)
    made = problem_of(to_device(a, device), to_device(y, device))
    batch = ss.solve(made, max_iter=250)
    assert len(np.unique(batch.n_iter)) > 1
    for index in np.ndindex(2, 2):
        one = ss.solve(problem_of(a, y[index]), max_iter=250)
        assert batch.status[index] == one.status
        assert batch.n_iter[index] == one.n_iter
        x = to_numpy(batch.x)[index]
        np.testing.assert_allclose(x, one.x, rtol=1e-7, atol=1e-9)
        found = to_numpy(batch.posterior.noise_variance)[index]
        assert found == pytest.approx(one.posterior.noise_variance)
        evidence = to_numpy(batch.posterior.log_evidence)[index]
        assert evidence == pytest.approx(one.posterior.log_evidence)


def test_known_noise_may_differ_between_problems_and_weights_too():
    a, y = random((9, 12), "float64"), random((3, 9), "float64", seed=1)
    noise = np.array([0.1, 1.0, 0.02])
    weights = np.random.default_rng(2).uniform(0.5, 2, (3, 9))
    weights[1, 4] = 0
    solver = ss.VariationalEM(noise_variance=noise)
    batch = ss.solve(problem_of(a, y, weights=weights), solver, max_iter=20)
    for k in range(3):
        solver = ss.VariationalEM(noise_variance=noise[k])
        problem = problem_of(a, y[k], weights=weights[k])
        one = ss.solve(problem, solver, max_iter=20)
        np.testing.assert_allclose(batch.x[k], one.x, atol=1e-10)
        assert batch.posterior.log_evidence[k] == pytest.approx(
            one.posterior.log_evidence
        )


def test_resume_equals_an_uninterrupted_run(tmp_path):
    a = random((18, 25), "complex128")
    y = random((2, 18), "complex128", seed=1)
    problem, path = problem_of(a, y), tmp_path / "sbl.h5"
    whole = ss.solve(problem, max_iter=30, tol=1e-4)
    ss.solve(problem, max_iter=11, tol=1e-4, checkpoint=path)
    rest = ss.solve(problem, max_iter=30, tol=1e-4, resume=path)
    np.testing.assert_array_equal(rest.x, whole.x)
    np.testing.assert_array_equal(rest.history["evidence"], whole.history["evidence"])
    np.testing.assert_array_equal(rest.n_iter, whole.n_iter)
    radius = rest.posterior.radius(0.9)
    np.testing.assert_array_equal(radius, whole.posterior.radius(0.9))


def test_it_finds_the_support_and_beats_ridge():
    errors, ridge = [], []
    for seed in range(3):
        a, x, y, _ = sparse(40, 80, 5, snr=25, seed=seed)
        solution = ss.solve(problem_of(a, y))
        found = set(np.flatnonzero(solution.x))
        assert found >= set(np.flatnonzero(x))
        assert len(found) <= 6
        errors.append(np.linalg.norm(solution.x - x))
        lams = np.geomspace(1e-3, 1e3, 30)
        fits = [np.linalg.solve(a.T @ a + c * np.eye(80), a.T @ y) for c in lams]
        ridge.append(min(np.linalg.norm(fit - x) for fit in fits))
    assert max(np.divide(errors, ridge)) < 0.2


def test_it_agrees_with_scikit_learn():
    linear_model = pytest.importorskip("sklearn.linear_model")
    a, _, y, _ = sparse(60, 20, 4, snr=15)
    flat = dict.fromkeys(("alpha_1", "alpha_2", "lambda_1", "lambda_2"), 1e-12)
    peer = linear_model.ARDRegression(
        fit_intercept=False, tol=1e-8, max_iter=1000, threshold_lambda=1e10, **flat
    )
    peer.fit(a, y)
    solution = ss.solve(problem_of(a, y), ss.VariationalEM(elimination=False), tol=1e-8)
    np.testing.assert_allclose(solution.x, peer.coef_, atol=1e-4)
    noise = solution.posterior.noise_variance
    assert noise == pytest.approx(1 / peer.alpha_, rel=1e-4)


# Snapshots that share a support.


def snapshots(back, dtype="complex128", length=4):
    """A, prior and data of MMV problems with the snapshots behind or in front."""
    dense = ss.operators.Dense(random((10, 16), dtype))
    eye = ss.operators.Identity((length,))
    A = ss.operators.kron(dense, eye) if back else ss.operators.kron(eye, dense)
    rng = np.random.default_rng(4)
    x = random((16, length), dtype, seed=1) * (rng.random((16, 1)) < 0.2)
    y = dense.a @ x + 0.05 * random((10, length), dtype, seed=2)
    prior = ss.priors.SBL(tied_axes=1 if back else 0)
    return A, prior, (y if back else y.T), dense.a


@pytest.mark.parametrize("dtype", BOTH)
@pytest.mark.parametrize("back", [False, True])
def test_snapshots_share_one_factorisation(dtype, back):
    A, prior, y, a = snapshots(back, dtype)
    problem = ss.Problem(ss.LeastSquares(A, y), prior)
    gamma, noise = variances(16), 0.2
    tied = gamma[:, None] if back else gamma[None, :]
    found = moments_of(problem, tied, noise)
    singles = [
        brute(a, column, gamma, noise * np.eye(10)) for column in (y.T if back else y)
    ]
    for name in Moments._fields[:4]:
        wanted = np.stack([getattr(one, name) for one in singles])
        wanted = wanted.T if back else wanted
        np.testing.assert_allclose(getattr(found, name), wanted, atol=1e-9)
    for name in Moments._fields[4:]:
        wanted = sum(getattr(one, name) for one in singles)
        assert getattr(found, name) == pytest.approx(wanted)
    engine = ss.VariationalEM().prepare(problem).engine
    assert engine.adjoint.shape == (16, 10)


@pytest.mark.parametrize("why", ["weights", "no kron"])
def test_snapshots_without_common_structure_are_still_right(why):
    A, prior, y, a = snapshots(back=True, dtype="float64")
    gamma, noise, weights = variances(16), 0.2, None
    if why == "weights":
        weights = np.random.default_rng(2).uniform(0.5, 2, y.shape)
    else:
        A = 1.0 * A
    problem = ss.Problem(ss.LeastSquares(A, y, weights), prior)
    found = moments_of(problem, gamma[:, None], noise)
    cov = noise * np.eye(40)
    if weights is not None:
        cov = cov / weights.reshape(-1)[:, None]
    whole = np.kron(a, np.eye(4))
    wanted = brute(whole, y.reshape(-1), np.repeat(gamma, 4), cov)
    np.testing.assert_allclose(found.mean.reshape(-1), wanted.mean, atol=1e-9)
    assert found.evidence == pytest.approx(wanted.evidence)


def test_many_snapshots_find_what_one_cannot():
    """Eight active rows of sixteen, ten data each: only together are they found."""
    rng = np.random.default_rng(0)
    a = rng.standard_normal((10, 16))
    x = np.zeros((16, 30))
    x[:8] = rng.standard_normal((8, 30))
    y = a @ x + 0.01 * rng.standard_normal((10, 30))
    A = ss.operators.kron(ss.operators.Dense(a), ss.operators.Identity((30,)))
    together = ss.solve(ss.Problem(ss.LeastSquares(A, y), ss.priors.SBL(tied_axes=1)))
    rows = np.flatnonzero(together.state.hyper["variance"][:, 0])
    np.testing.assert_array_equal(rows, np.arange(8))
    with pytest.warns(RuntimeWarning, match="explains 80 % of the data's degrees"):
        alone = ss.solve(problem_of(a, y.T.copy()))
    error = np.linalg.norm(together.x - x), np.linalg.norm(alone.x.T - x)
    assert error[0] < 0.05 * error[1]


@pytest.mark.parametrize("dtype", BOTH)
def test_trivial_ties_change_nothing(dtype):
    A, prior, y, a = snapshots(back=True, dtype=dtype, length=1)
    tied = ss.solve(ss.Problem(ss.LeastSquares(A, y), prior), max_iter=30, tol=0)
    plain = ss.solve(problem_of(a, y[:, 0]), max_iter=30, tol=0)
    np.testing.assert_allclose(tied.x[:, 0], plain.x, atol=1e-12)
    assert tied.posterior.log_evidence == pytest.approx(plain.posterior.log_evidence)


def test_tied_groups_and_a_batch_of_snapshots():
    """Ties without snapshots are groups; a batch of MMV problems is a loop."""
    A, prior, y, _ = snapshots(back=False, dtype="float64")
    two = np.stack([y, y[:, ::-1].copy()])
    batch = ss.solve(ss.Problem(ss.LeastSquares(A, two), prior), max_iter=25, tol=0)
    for k in range(2):
        one = ss.solve(
            ss.Problem(ss.LeastSquares(A, two[k]), prior), max_iter=25, tol=0
        )
        np.testing.assert_allclose(batch.x[k], one.x, atol=1e-9)
    groups = ss.operators.Kronecker(random((9, 6), "float64"), np.eye(2) + 0.1)
    y = random((9, 2), "float64", seed=1)
    problem = ss.Problem(ss.LeastSquares(groups, y), ss.priors.SBL(tied_axes=-1))
    solution = ss.solve(problem, max_iter=50, tol=0)
    gamma = solution.state.hyper["variance"]
    assert gamma.shape == (6, 1)
    assert np.all((solution.x != 0) == (gamma > 0))


# What is refused, and small print.


def test_a_start_only_sets_the_scale_and_is_untouched():
    a, _, y, noise = sparse(20, 30, 3)
    x0 = random((30,), "float64", seed=9)
    kept = x0.copy()
    solver = ss.VariationalEM(noise_variance=noise**2)
    problem = problem_of(a, y)
    solution = ss.solve(problem, solver, x0=x0)
    np.testing.assert_array_equal(x0, kept)
    state = solver.init(problem, solver.prepare(problem), x0, np.random.default_rng(0))
    np.testing.assert_allclose(state.hyper["variance"], np.mean(x0**2))
    default = ss.solve(problem, solver, x0=0 * x0)
    np.testing.assert_allclose(solution.x, default.x, atol=1e-3)


def test_what_the_data_do_not_reach_stays_uncertain():
    a, y = random((12, 6), "float64"), random((12,), "float64", seed=1)
    a[:, 2] = 0
    posterior = ss.solve(problem_of(a, y)).posterior
    first = posterior.hyper["variance"][2]
    assert posterior.variance[2] == first > 0
    assert posterior.radius(0.95)[2] == pytest.approx(1.96 * np.sqrt(first), rel=1e-3)


GOOD = random((4, 6), "float64"), random((4,), "float64", seed=1)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: ss.priors.SBL(update="emm"), ValueError, "update is 'emm'"),
        (lambda: ss.priors.SBL(tied_axes=(0.5,)), TypeError, "tied_axes"),
        (lambda: ss.priors.SBL(tied_axes=1).bind((4,)), ValueError, "tied_axes"),
        (lambda: ss.priors.SBL(tied_axes=True), TypeError, "tied_axes is True"),
        (lambda: ss.priors.SBL(tied_axes=(0, True)), TypeError, "tied_axes is"),
        (lambda: ss.VariationalEM(noise_variance=True), TypeError, "_variance is True"),
        (
            lambda: ss.VariationalEM(noise_variance=np.ones(2, bool)),
            TypeError,
            "noise_variance is array",
        ),
        (lambda: ss.VariationalEM(noise_floor=True), TypeError, "noise_floor is True"),
        (lambda: ss.VariationalEM(noise_floor=np.True_), TypeError, "noise_floor is"),
        (lambda: ss.VariationalEM(engine="lu"), ValueError, "engine is 'lu'"),
        (lambda: ss.VariationalEM(noise_variance=-1.0), ValueError, "noise_variance"),
        (lambda: ss.VariationalEM(noise_floor=0.0), ValueError, "noise_floor"),
    ],
)
def test_bad_settings_are_refused(make, error, message):
    with pytest.raises(error, match=message):
        make()


@pytest.mark.parametrize(
    ("problem", "solver", "error", "message"),
    [
        (problem_of(GOOD[0], 0 * GOOD[1]), {}, ValueError, "y is zero"),
        (problem_of(0 * GOOD[0], GOOD[1]), {}, ValueError, "nothing to infer"),
        (problem_of(*GOOD), {"noise_variance": np.ones(3)}, ValueError, "batch shape"),
        (problem_of(*GOOD), {"noise_variance": 1e-20}, ValueError, "cannot resolve"),
        (problem_of(*GOOD, ss.priors.L1(1.0)), {}, TypeError, "hierarchical"),
        (
            ss.Problem(ss.Huber(*GOOD, delta=1.0), ss.priors.SBL()),
            {},
            TypeError,
            "LeastSquares",
        ),
        (
            ss.Problem(
                ss.LeastSquares(
                    ss.operators.Dense(GOOD[0] * (1 + 1j)).real().H, GOOD[0][0]
                ),
                ss.priors.SBL(),
            ),
            {},
            TypeError,
            "imaginary",
        ),
    ],
)
def test_bad_problems_are_refused(problem, solver, error, message):
    with pytest.raises(error, match=message):
        ss.solve(problem, ss.VariationalEM(**solver))


def test_memory_is_predicted(monkeypatch):
    monkeypatch.setattr(memory, "available_bytes", lambda: 1000)
    with pytest.raises(MemoryError, match=r"VariationalEM .* GiB"):
        ss.solve(problem_of(*GOOD))


def test_credible_levels_are_probabilities():
    posterior = ss.solve(problem_of(*GOOD), max_iter=2, tol=0).posterior
    for level in (0.0, 1.0, 95):
        with pytest.raises(ValueError, match="level"):
            posterior.interval(level)
        with pytest.raises(ValueError, match="level"):
            posterior.radius(level)


@pytest.mark.parametrize("unit", [1e-14, 1e-10, 1e-6, 1e10])
@pytest.mark.parametrize(
    "prior",
    [
        ss.priors.SBL,
        ss.priors.PatternCoupledSBL,
        ss.priors.TurboVBI,
        ss.priors.SpikeAndSlab,
    ],
)
def test_the_unit_of_the_data_does_not_matter_in_single_precision(prior, unit):
    """Variances go with its square, their squares would leave the range."""
    rng = np.random.default_rng(0)
    x = np.zeros(40)
    x[[3, 17, 30]] = 2.0, -1.0, 1.5
    a = rng.standard_normal((20, 40))
    y = a @ x + 0.01 * rng.standard_normal(20)

    def solved(scale):
        loss = ss.LeastSquares(a.astype("float32"), (scale * y).astype("float32"))
        return ss.solve(ss.Problem(loss, prior()), ss.VariationalEM())

    wanted, found = solved(1.0), solved(unit)
    assert found.x.dtype == "float32"
    np.testing.assert_allclose(found.x / np.float32(unit), wanted.x, atol=5e-3)


@pytest.mark.parametrize("engine", ["dense", "cg"])
@pytest.mark.parametrize("noise", [None, 0.1])
def test_a_problem_without_data_is_refused(engine, noise):
    rng = np.random.default_rng(0)
    a, y = rng.standard_normal((20, 40)), rng.standard_normal((2, 20))
    weights = np.ones((2, 20))
    weights[1] = 0
    problem = ss.Problem(ss.LeastSquares(a, y, weights), ss.priors.SBL())
    with pytest.raises(ValueError, match="all weights of a problem are zero"):
        ss.solve(problem, ss.VariationalEM(noise_variance=noise, engine=engine))


@pytest.mark.parametrize("floor", [1e-13, 1.0, 2.0])
def test_a_floor_of_the_noise_that_is_no_fraction(floor):
    with pytest.raises(ValueError, match="noise_floor is"):
        ss.VariationalEM(noise_floor=floor)


def test_axes_may_be_integers_of_numpy():
    assert ss.priors.SBL(tied_axes=np.array([0, -1])).tied_axes == (0, -1)
    assert ss.priors.SBL(tied_axes=(np.int64(1),)).tied_axes == (1,)


def test_a_posterior_from_a_file_says_why_it_has_no_draws(tmp_path):
    solution = ss.solve(problem_of(*GOOD), ss.VariationalEM(noise_variance=0.1))
    solution.save(tmp_path / "solution.h5")
    posterior = ss.load(tmp_path / "solution.h5").posterior
    np.testing.assert_array_equal(posterior.mean, solution.posterior.mean)
    with pytest.raises(TypeError, match=r"interval\(level\) are there, .* solve the"):
        posterior.sample(np.random.default_rng(0), 3)


def loud(factor, weights=None, batch=()):
    """Solve pure noise as if its variance were `factor` times what it is."""
    a, y = random((40, 60), "complex128"), random((*batch, 40), "complex128", seed=3)
    w = np.ones(40) if weights is None else weights
    power = np.mean(w * abs(y) ** 2)
    problem = problem_of(a, y, weights=weights)
    return ss.solve(problem, ss.VariationalEM(noise_variance=factor * power))


@pytest.mark.parametrize("weights", [None, 1e4 * np.linspace(0.5, 2.0, 40)])
@pytest.mark.parametrize("batch", [(), (3,)])
def test_noise_above_the_mean_power_of_the_data_is_pointed_at(weights, batch):
    with pytest.warns(RuntimeWarning, match="times the data's mean power") as caught:
        found = loud(1e6, weights, batch)
    assert not found.x.any()
    assert len(caught) == 1
    assert caught[0].filename.endswith("test_sbl.py")
    loud(1.2, weights, batch)  # as chance has it: silent


def test_missing_data_are_no_power():
    weights = np.ones(40)
    weights[:39] = 0.0
    a, y = random((40, 60), "float64"), np.full(40, np.nan)
    y[39] = 1.0
    problem = problem_of(a, y, weights=weights)
    ss.solve(problem, ss.VariationalEM(noise_variance=1.0))
    with pytest.warns(RuntimeWarning, match="^noise_variance is 20 times"):
        ss.solve(problem, ss.VariationalEM(noise_variance=20.0))
