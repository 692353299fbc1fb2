"""Block and pattern-coupled SBL: evidence, known cases, recovery of clusters."""

import numpy as np
import pytest
from cases import LIBRARIES, random
from oracles.pattern_coupled_sbl import pattern_coupled_sbl, with_neighbours

import sparsesolve as ss
from sparsesolve.backends import dtype_of, to_device, to_numpy

BOTH = ("float64", "complex128")
LABELS = np.array([4, 4, -2, 9, 9, 9, 4, 0, -2, 0, 0, 0])
PRIORS = {
    "labels": lambda: ss.priors.BlockSBL(LABELS),
    "size": lambda: ss.priors.BlockSBL(size=5),
    "weakly coupled": lambda: ss.priors.PatternCoupledSBL(0.25),
    "coupled": lambda: ss.priors.PatternCoupledSBL(),
}


def problem_of(a, y, prior):
    A = a if isinstance(a, ss.operators.Operator) else ss.operators.Dense(a)
    return ss.Problem(ss.LeastSquares(A, y), prior)


def engine_of(problem, noise):
    return ss.VariationalEM(noise_variance=noise).prepare(problem).engine


def evidence_of(problem, engine, hyper, noise):
    return float(engine.moments(problem.prior.variance(hyper), noise).evidence)


def starts(prior, shape, seed=5):
    """Hyperparameters of all sizes."""
    flat = prior.init_hyper(shape, np.float64, np.array(1.0))
    rng = np.random.default_rng(seed)
    return {k: v * rng.gamma(0.5, 2.0, v.shape) + 0.01 for k, v in flat.items()}


def slopes(problem, hyper, noise, h=1e-5):
    """Slopes of the evidence along the logarithm of each hyperparameter."""
    ((name, v),), engine = hyper.items(), engine_of(problem, noise)
    found = np.zeros(v.shape)
    for k in np.ndindex(v.shape):
        step = np.ones(v.shape)
        step[k] = np.exp(h)
        up, down = (
            evidence_of(problem, engine, {name: w}, noise) for w in (v * step, v / step)
        )
        found[k] = (up - down) / (2 * h)
    return found


# Updates.


@pytest.mark.parametrize("dtype", BOTH)
@pytest.mark.parametrize("name", [*PRIORS, "em"])
@pytest.mark.parametrize("m", [8, 20])
def test_the_evidence_never_falls(dtype, name, m):
    prior = ss.priors.BlockSBL(LABELS, update="em") if name == "em" else PRIORS[name]()
    a, y = random((m, 12), dtype), random((m,), dtype, seed=1)
    y[:4] += a[:4, 5]
    solver = ss.VariationalEM(elimination=False)
    solution = ss.solve(problem_of(a, y, prior), solver, max_iter=50, tol=0)
    evidence = solution.history["evidence"]
    assert np.diff(evidence).min() > -1e-9
    assert evidence[-1] > evidence[0] + 1


@pytest.mark.parametrize("dtype", BOTH)
@pytest.mark.parametrize("axes", [None, 1, (0, 1)])
def test_one_coupled_step_from_anywhere_raises_the_evidence(dtype, axes):
    """In two dimensions, from starts of all sizes, some of them zero."""
    A = ss.operators.Kronecker(random((3, 4), dtype), random((4, 5), dtype, seed=1))
    for seed in range(10):
        prior = ss.priors.PatternCoupledSBL(0.7, axes)
        y = 2 * random((3, 4), dtype, seed=seed)
        problem = problem_of(1.0 * A, y, prior)
        hyper = starts(problem.prior, (4, 5), seed)
        hyper["own_variance"][seed % 4, 1:4] = 0
        engine = engine_of(problem, 0.1)
        now = engine.moments(problem.prior.variance(hyper), 0.1)
        new = problem.prior.update_hyper(hyper, now, "own_variance")
        assert evidence_of(problem, engine, new, 0.1) > float(now.evidence)
        np.testing.assert_array_equal(new["own_variance"][seed % 4, 1:4], 0)


@pytest.mark.parametrize("dtype", BOTH)
@pytest.mark.parametrize("name", PRIORS)
def test_shares_are_the_gradient(dtype, name):
    """The update √(found / expected) stands still where the evidence does."""
    a, y, noise = random((8, 12), dtype), 2 * random((8,), dtype, seed=1), 0.3
    problem = problem_of(a, y, PRIORS[name]())
    hyper = starts(problem.prior, (12,))
    ((key, old),) = hyper.items()
    now = engine_of(problem, noise).moments(problem.prior.variance(hyper), noise)
    new = problem.prior.update_hyper(hyper, now, key)[key]
    slope = slopes(problem, hyper, noise)
    sizes = np.unique(LABELS, return_counts=True)[1]
    inside = np.abs(slope) > 1e-6
    np.testing.assert_array_equal((new > old)[inside], (slope > 0)[inside])
    degrees = 1.0 if dtype == "complex128" else 0.5
    if name == "labels":
        group = np.unique(LABELS, return_inverse=True)[1]
        found, expected = (
            np.bincount(group, weights=v) / sizes
            for v in (now.whitened_power, now.shrinkage)
        )
        np.testing.assert_allclose(
            degrees * sizes * (found - expected), slope, atol=1e-6
        )
        np.testing.assert_allclose(new, old * np.sqrt(found / expected))
    if name == "coupled":
        gamma = with_neighbours(old, 1.0)
        found = old * with_neighbours(now.whitened_power / gamma, 1.0)
        expected = old * with_neighbours(now.shrinkage / gamma, 1.0)
        np.testing.assert_allclose(degrees * (found - expected), slope, atol=1e-6)
        np.testing.assert_allclose(new, old * np.sqrt(found / expected))


@pytest.mark.parametrize("name", ["labels", "weakly coupled", "coupled"])
def test_fixed_points_are_stationary(name):
    """What is left has no slope; what has gone would not come back."""
    a, y, noise = random((8, 12), "float64"), random((8,), "float64", seed=1), 0.1
    y = y + 2 * a[:, 3:6].sum(1)
    problem = problem_of(a, y, PRIORS[name]())
    solver = ss.VariationalEM(noise_variance=noise, elimination=False)
    solution = ss.solve(problem, solver, max_iter=1500, tol=1e-8)
    ((key, v),) = solution.state.hyper.items()
    assert 0 < np.count_nonzero(v > 1e-6) < v.size
    np.testing.assert_allclose(slopes(problem, {key: v}, noise), 0, atol=1e-5)
    engine = engine_of(problem, noise)
    here = evidence_of(problem, engine, {key: v}, noise)
    for k in np.flatnonzero(v <= 1e-6):
        more = v + 1e-4 * (np.arange(v.size) == k)
        assert evidence_of(problem, engine, {key: more}, noise) < here + 1e-6


# Known cases.


def same_solve(one, two):
    np.testing.assert_array_equal(one.x, two.x)
    assert one.n_iter == two.n_iter
    np.testing.assert_array_equal(one.history["evidence"], two.history["evidence"])


@pytest.mark.parametrize("dtype", BOTH)
@pytest.mark.parametrize("update", ["mm", "mackay", "em"])
def test_blocks_of_one_entry_are_sbl(dtype, update):
    a, y = random((9, 14), dtype), random((9,), dtype, seed=1)
    y = y + 3 * a[:, 2]
    plain = ss.solve(problem_of(a, y, ss.priors.SBL(update=update)), max_iter=80)
    block = ss.priors.BlockSBL(size=1, update=update)
    same_solve(ss.solve(problem_of(a, y, block), max_iter=80), plain)


@pytest.mark.parametrize("dtype", BOTH)
def test_no_coupling_is_sbl(dtype):
    a, y = random((9, 14), dtype), random((9,), dtype, seed=1)
    y = y + 3 * a[:, 2]
    plain = ss.solve(problem_of(a, y, ss.priors.SBL()))
    assert np.count_nonzero(plain.x) < 9
    same_solve(ss.solve(problem_of(a, y, ss.priors.PatternCoupledSBL(0.0))), plain)


def test_blocks_by_axes_are_ties():
    A = ss.operators.Kronecker(random((4, 5), "float64"), random((3, 3), "float64"))
    y = random((4, 3), "float64", seed=1)
    tied = ss.solve(problem_of(A, y, ss.priors.SBL(tied_axes=-1)), max_iter=60)
    for prior in (
        ss.priors.BlockSBL(-1),
        ss.priors.BlockSBL(np.arange(5)[:, None] + np.zeros(3, int)),
        ss.priors.BlockSBL(size=3),
        ss.priors.BlockSBL(size=1, axis=0, tied_axes=1),
    ):
        found = ss.solve(problem_of(A, y, prior), max_iter=60)
        np.testing.assert_allclose(found.x, tied.x, rtol=1e-9, atol=1e-12)
        assert found.n_iter == tied.n_iter


@pytest.mark.parametrize("make", [ss.priors.SBL, ss.priors.PatternCoupledSBL])
def test_one_variance_in_all_is_ridge(make):
    """One block of everything, and entries that share everything with everybody."""
    a, y = random((20, 6), "float64"), random((20,), "float64", seed=1)
    y = y + a @ np.ones(6)
    solution = ss.solve(problem_of(a, y, ss.priors.BlockSBL(size=6)), tol=1e-10)
    (gamma,) = solution.state.hyper["variance"]
    noise = solution.posterior.noise_variance
    ridge = np.linalg.solve(a.T @ a + noise / gamma * np.eye(6), a.T @ y)
    np.testing.assert_allclose(solution.x, ridge)
    tied = make(tied_axes=0).bind((6,))
    assert tied.init_hyper((6,), np.float64, np.array(2.0)).popitem()[1] == [2.0]


def test_variances_are_where_they_are_said_to_be():
    def spread(prior, shape, values):
        return prior.bind(shape).variance({"variance": np.asarray(values, float)})

    found = spread(ss.priors.BlockSBL(LABELS), (12,), [1, 2, 3, 4])
    np.testing.assert_array_equal(found, [3, 3, 1, 4, 4, 4, 3, 2, 1, 2, 2, 2])
    found = spread(ss.priors.BlockSBL(size=(2, 3)), (3, 4), [1, 2, 3, 4])
    np.testing.assert_array_equal(found, [[1, 1, 1, 2], [1, 1, 1, 2], [3, 3, 3, 4]])
    found = spread(ss.priors.BlockSBL(size=2, axis=0), (3, 2), [[1, 2, 3, 4]] * 5)
    np.testing.assert_array_equal(found, [[[1, 2], [1, 2], [3, 4]]] * 5)
    found = spread(ss.priors.BlockSBL(size=2, axis=0, tied_axes=1), (3, 2), [1, 2])
    np.testing.assert_array_equal(found, [[1], [1], [2]])
    found = spread(
        ss.priors.BlockSBL(np.array([[5], [1], [5]]), tied_axes=1), (3, 2), [1, 2]
    )
    np.testing.assert_array_equal(found, [[2], [1], [2]])


def test_neighbours_are_along_axes_and_not_round_the_corner():
    q = np.zeros((2, 3, 4))
    q[0, 0, 1] = q[1, 2, 3] = 1.0
    for axes, tied, cross in (((0, 1), None, 1), (None, None, 1), (1, None, 0)):
        prior = ss.priors.PatternCoupledSBL(0.5, axes, tied_axes=tied).bind((3, 4))
        gamma = prior.variance({"own_variance": q})
        wanted = q.copy()
        wanted[0, 0, [0, 2]] = wanted[1, 2, 2] = 0.5
        wanted[0, 1, 1] = wanted[1, 1, 3] = 0.5 * cross
        np.testing.assert_array_equal(gamma, wanted)
        first = prior.init_hyper((2, 3, 4), np.float64, np.array([1.0, 3.0]))
        mean = np.mean(prior.variance(first), axis=(1, 2))
        np.testing.assert_allclose(mean, [1.0, 3.0])


@pytest.mark.parametrize("back", [False, True])
@pytest.mark.parametrize("make", [ss.priors.BlockSBL, ss.priors.PatternCoupledSBL])
def test_snapshots_are_data_of_one_support(back, make):
    """Their evidence is that of one problem with all data, their matrix of one."""
    dense, eye = (
        ss.operators.Dense(random((7, 9), "complex128")),
        ss.operators.Identity((4,)),
    )
    A = ss.operators.kron(dense, eye) if back else ss.operators.kron(eye, dense)
    y = random((7, 4) if back else (4, 7), "complex128", seed=1)
    options = (
        {"size": 3, "axis": 0 if back else 1} if make is ss.priors.BlockSBL else {}
    )
    prior = make(tied_axes=1 if back else 0, **options)
    problem = problem_of(A, y, prior)
    assert engine_of(problem, 0.1).adjoint.shape == (9, 7)
    tied = ss.solve(problem, max_iter=40, tol=0)
    whole = ss.solve(problem_of(1.0 * A, y, prior), max_iter=40, tol=0)
    np.testing.assert_allclose(tied.x, whole.x, atol=1e-9)
    assert np.diff(tied.history["evidence"]).min() > -1e-9


# Elimination.


@pytest.mark.parametrize("dtype", BOTH)
@pytest.mark.parametrize("name", PRIORS)
def test_removals_are_ranked_by_evidence(dtype, name):
    """Exactly so where the data tell entries apart: orthonormal columns."""
    a = np.linalg.qr(random((12, 12), dtype))[0]
    problem, noise = problem_of(a, random((12,), dtype, seed=1), PRIORS[name]()), 0.2
    hyper = starts(problem.prior, (12,))
    ((key, v),) = hyper.items()
    engine = engine_of(problem, noise)
    now = engine.moments(problem.prior.variance(hyper), noise)
    without = [
        evidence_of(problem, engine, {key: v * (np.arange(v.size) != k)}, noise)
        for k in range(v.size)
    ]
    best = np.argsort(without)[::-1]
    found = problem.prior.candidates(hyper, now)
    assert len(found) == np.ceil(np.log2(v.size))
    for k, candidate in enumerate(found, start=1):
        gone = np.flatnonzero(candidate[key] == 0)
        np.testing.assert_array_equal(gone, np.sort(best[: max(1, v.size // 2**k)]))


def test_elimination_drops_whole_blocks():
    a, x, y, noise = clustered(40, 15, aligned=True, trials=1)
    prior = ss.priors.BlockSBL(size=5)
    solver = ss.VariationalEM(noise_variance=float(noise[0]))
    solution = ss.solve(problem_of(a, y[0], prior), solver)
    found = (solution.x != 0).reshape(-1, 5)
    np.testing.assert_array_equal(found.any(1), found.all(1))
    np.testing.assert_array_equal(found[:, 0], (x[0] != 0).reshape(-1, 5).any(1))


# Recovery.


def clustered(m, snr, *, aligned=False, trials=10, n=100, clusters=3, length=5):
    """Problems with one matrix and clusters of normal entries, and their noise."""
    rng = np.random.default_rng(m)
    a, x = rng.standard_normal((m, n)) / np.sqrt(m), np.zeros((trials, n))
    for row in x:
        if aligned:
            first = length * rng.choice(n // length, clusters, replace=False)
        else:
            first = 2 * length * rng.choice(n // (2 * length), clusters, replace=False)
            first = first + rng.integers(0, length + 1, clusters)
        row[first[:, None] + np.arange(length)] = rng.standard_normal(
            (clusters, length)
        )
    clean = x @ a.T
    noise = np.mean(clean**2, axis=1) / 10 ** (snr / 10)
    return (
        a,
        x,
        clean + np.sqrt(noise)[:, None] * rng.standard_normal(clean.shape),
        noise,
    )


def error(x, truth):
    """Mean over the problems of the relative squared error."""
    return np.mean(np.sum((x - truth) ** 2, axis=1) / np.sum(truth**2, axis=1))


def recovered(a, y, noise, prior):
    return ss.solve(problem_of(a, y, prior), ss.VariationalEM(noise_variance=noise)).x


def test_blocks_are_recovered_where_sbl_fails():
    a, x, y, noise = clustered(40, 15, aligned=True)
    block = error(recovered(a, y, noise, ss.priors.BlockSBL(size=5)), x)
    assert block < 0.5 * error(recovered(a, y, noise, ss.priors.SBL()), x)


def test_clusters_anywhere_are_recovered():
    """Better than by SBL or by blocks they straddle; as by the published recipe."""
    a, x, y, noise = clustered(40, 20)
    coupled = error(recovered(a, y, noise, ss.priors.PatternCoupledSBL()), x)
    assert coupled < 0.5 * error(recovered(a, y, noise, ss.priors.SBL()), x)
    assert coupled < 0.5 * error(recovered(a, y, noise, ss.priors.BlockSBL(size=5)), x)
    published = [
        pattern_coupled_sbl(a, y[k], noise[k], n_iter=60) for k in range(len(x))
    ]
    assert coupled < 1.25 * error(np.stack(published), x)


def test_units_do_not_matter():
    """The published recipe's rate is in units of the unknown; this has none."""
    a, _, y, noise = clustered(40, 20, trials=2)
    prior = ss.priors.PatternCoupledSBL()
    one, two = (recovered(a, c * y, c**2 * noise, prior) for c in (1.0, 1e-3))
    np.testing.assert_allclose(1e3 * two, one, rtol=1e-7, atol=1e-9)


def test_a_lone_entry_keeps_a_small_rim():
    a = random((20, 40), "float64")
    y = 3 * a[:, 7] + 0.05 * random((20,), "float64", seed=1)
    solution = ss.solve(problem_of(a, y, ss.priors.PatternCoupledSBL(0.5)))
    np.testing.assert_array_equal(np.flatnonzero(solution.x), [6, 7, 8])
    assert np.abs(solution.x[[6, 8]]).max() < 0.1
    assert solution.x[7] == pytest.approx(3, abs=0.1)


# Arrays of all kinds.


@pytest.mark.parametrize("device", LIBRARIES)
@pytest.mark.parametrize("dtype", ["float64", "complex64"])
@pytest.mark.parametrize("name", ["labels", "coupled"])
def test_a_batch_is_a_loop_in_every_library(device, dtype, name):
    if device.startswith("torch"):
        pytest.importorskip("torch")
    a, y = random((8, 12), dtype), random((2, 2, 8), dtype, seed=1)
    prior = PRIORS[name]().to(device)
    problem = problem_of(to_device(a, device), to_device(y, device), prior)
    batch = ss.solve(problem, max_iter=15, tol=0)
    assert dtype_of(batch.x) == dtype
    ((key, v),) = batch.state.hyper.items()
    assert dtype_of(v) == np.empty(0, dtype).real.dtype
    tolerance = 1e-3 if dtype == "complex64" else 1e-9
    for index in np.ndindex(2, 2):
        one = ss.solve(problem_of(a, y[index], PRIORS[name]()), max_iter=15, tol=0)
        x = to_numpy(batch.x)[index]
        np.testing.assert_allclose(x, one.x, rtol=tolerance, atol=tolerance)
        found = to_numpy(v)[index]
        wanted = one.state.hyper[key]
        np.testing.assert_allclose(found, wanted, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", PRIORS)
def test_vanishing_variances_never_give_nan(dtype, name):
    """From zero over the smallest number there is to those that square to it."""
    info = np.finfo(dtype)
    sizes = [0, info.smallest_subnormal, info.tiny, info.tiny**0.5, 1e-6, 1]
    prior = PRIORS[name]().bind((12,))
    ((key, v),) = prior.init_hyper((12,), dtype, np.ones((), dtype)).items()
    a, y = random((8, 12), dtype), random((8,), dtype, seed=1)
    engine = engine_of(problem_of(a, y, prior), 0.1)
    for shift in range(6):
        values = np.resize(np.roll(np.array(sizes, dtype), shift), v.shape)
        hyper = {key: values}
        for _ in range(3):
            now = engine.moments(prior.variance(hyper), 0.1)
            hyper = prior.update_hyper(hyper, now, key)
            assert np.all(np.isfinite(hyper[key]))
            assert np.all(hyper[key] >= 0)
            assert hyper[key].dtype == dtype
            np.testing.assert_array_equal(hyper[key][values == 0], 0)
            for candidate in prior.candidates(hyper, now):
                assert np.all(candidate[key] <= hyper[key])


def test_what_the_data_do_not_reach_keeps_its_variance():
    a, y = random((8, 12), "float64"), random((8,), "float64", seed=1)
    a[:, LABELS == -2] = 0
    a[:, 9:] = 0
    for prior, name, k in (
        (ss.priors.BlockSBL(LABELS), "variance", 0),
        (ss.priors.PatternCoupledSBL(), "own_variance", 11),
    ):
        problem = problem_of(a, y, prior)
        solver = ss.VariationalEM(noise_variance=0.1)
        plan = solver.prepare(problem)
        first = solver.init(problem, plan, None, np.random.default_rng(0)).hyper[name]
        last = ss.solve(problem, solver).state.hyper[name]
        assert last[k] == first[k] > 0


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: ss.priors.BlockSBL(), TypeError, "either groups or a size"),
        (lambda: ss.priors.BlockSBL(LABELS, size=3), TypeError, "either groups or"),
        (lambda: ss.priors.BlockSBL(LABELS, axis=0), TypeError, "axis is 0 without"),
        (lambda: ss.priors.BlockSBL(LABELS / 2), TypeError, "integer labels"),
        (lambda: ss.priors.BlockSBL(0.5), TypeError, "groups is 0.5"),
        (lambda: ss.priors.BlockSBL(size=0), ValueError, "size is 0"),
        (lambda: ss.priors.BlockSBL(size=2.5), TypeError, "size"),
        (lambda: ss.priors.BlockSBL(size=()), ValueError, "one length for each"),
        (lambda: ss.priors.BlockSBL(size=(2, 2), axis=0), ValueError, "one length for"),
        (lambda: ss.priors.BlockSBL(size=2, axis=()), ValueError, "one length for"),
        (lambda: ss.priors.BlockSBL(size=2, axis=0.5), TypeError, "axis is 0.5"),
        (lambda: ss.priors.BlockSBL(size=2, update="svd"), ValueError, "update is"),
        (
            lambda: ss.priors.BlockSBL(LABELS).bind((11,)),
            ValueError,
            "groups has shape",
        ),
        (lambda: ss.priors.BlockSBL(2).bind((3, 4)), ValueError, "groups is"),
        (
            lambda: ss.priors.BlockSBL(size=2, axis=2).bind((3, 4)),
            ValueError,
            "axis is",
        ),
        (lambda: ss.priors.BlockSBL(size=(2, 2)).bind((4,)), ValueError, "axis is"),
        (
            lambda: ss.priors.BlockSBL(size=(2, 2), axis=(0, -2)).bind((3, 4)),
            ValueError,
            "different axes",
        ),
        (
            lambda: ss.priors.BlockSBL(size=2, tied_axes=-1).bind((3, 4)),
            ValueError,
            "none of them among tied_axes",
        ),
        (
            lambda: ss.priors.BlockSBL(np.eye(3, dtype=int), tied_axes=1).bind((3, 3)),
            ValueError,
            "labels that differ",
        ),
        (
            lambda: ss.priors.BlockSBL(size=2).variance({"variance": np.ones(3)}),
            ValueError,
            "call bind",
        ),
        (lambda: ss.priors.PatternCoupledSBL(-0.1), ValueError, "coupling"),
        (lambda: ss.priors.PatternCoupledSBL(np.nan), ValueError, "coupling"),
        (lambda: ss.priors.PatternCoupledSBL(np.ones(3)), TypeError, "coupling"),
        (lambda: ss.priors.PatternCoupledSBL(1.0, 0.5), TypeError, "axes is 0.5"),
        (
            lambda: ss.priors.PatternCoupledSBL(1.0, 2).bind((3, 4)),
            ValueError,
            "axes is",
        ),
        (
            lambda: ss.priors.PatternCoupledSBL(1.0, 1, tied_axes=-1).bind((3, 4)),
            ValueError,
            "none of the tied_axes",
        ),
        (
            lambda: ss.priors.PatternCoupledSBL(tied_axes=2).bind((3, 4)),
            ValueError,
            "tied_axes is",
        ),
    ],
)
def test_bad_settings_are_refused(make, error, message):
    with pytest.raises(error, match=message):
        make()
