"""Posteriors by conjugate gradients and probing, against the dense ones."""

import warnings

import numpy as np
import pytest
from cases import COMPLEX, LIBRARIES, REAL, random

import sparsesolve as ss
from sparsesolve import memory
from sparsesolve.backends import device_of, dtype_of, to_device, to_numpy
from sparsesolve.conjugate_gradients import ConvergenceWarning, normal_cg
from sparsesolve.separable import Separable
from sparsesolve.solvers import cg_engine, cg_moments, engines, missing_engine
from sparsesolve.solvers.cg_engine import ConjugateGradientEngine
from sparsesolve.solvers.dense_engine import DenseEngine
from sparsesolve.solvers.missing_engine import MissingDataEngine
from sparsesolve.solvers.stochastic_lanczos import trace_log

BOTH = ("float64", "complex128")
EXACT = "mean", "whitened_power", "misfit"
MASK = np.random.default_rng(0).random((4, 5, 3)) > 0.25
NOISE = 0.3
ops = ss.operators


def factors(dtype):
    return tuple(
        random(shape, dtype, k) for k, shape in enumerate([(4, 6), (5, 5), (3, 4)])
    )


def masked(dtype="float64", batch=(), device="numpy", mask=MASK):
    """A small Kronecker problem with a fifth of the data missing, and its variances."""
    A = ops.Mask(to_device(mask, device)) @ ops.Kronecker(
        *(to_device(a, device) for a in factors(dtype))
    )
    y = to_device(random((*batch, int(mask.sum())), dtype, 9), device)
    problem = ss.Problem(ss.LeastSquares(A, y), ss.priors.KroneckerSBL())
    rng = np.random.default_rng(3)
    gamma = [
        rng.random((*batch, n)) * (rng.random((*batch, n)) > 0.3) for n in (6, 5, 4)
    ]
    real = np.empty(0, dtype).real.dtype
    return problem, Separable(to_device(g.astype(real), device) for g in gamma)


def sensing(dtype="float64", batch=(), weighted=False):
    """A random matrix and variances of a few large and many small entries."""
    rng, real = np.random.default_rng(4), dtype == "real unknown"
    a = random((20, 36), "complex128" if real else dtype, 1)
    A = ops.Dense(a).real() if real else ops.Dense(a)
    y = random((*batch, 20), a.dtype.name, 2)
    weights = None
    if weighted:
        weights = rng.uniform(0.5, 2, (*batch, 20)) * (rng.random((*batch, 20)) > 0.2)
    problem = ss.Problem(ss.LeastSquares(A, y, weights), ss.priors.SBL())
    return problem, rng.random((*batch, 36)) ** 4


def gap(found, wanted, name):
    """Largest difference of one moment, over the largest value."""
    one, two = (np.asarray(getattr(now, name)) for now in (found, wanted))
    assert one.shape == two.shape
    return np.max(np.abs(one - two)) / np.max(np.abs(two))


# What they are made of.


def test_a_preconditioner_changes_the_count_not_the_answer():
    d, b = np.logspace(0, 5, 80), random((2, 80), "complex128")
    x, plain = normal_cg(lambda x: d * x, b, 0 * b, tol=1e-9, n_axes=1)
    near = 3 / (d * np.random.default_rng(0).uniform(0.9, 1.1, 80))
    z, n_iter = normal_cg(
        lambda x: d * x, b, 0 * b, tol=1e-9, n_axes=1, precondition=lambda r: near * r
    )
    assert n_iter < plain / 5
    for found in (x, z):
        np.testing.assert_allclose(d * found, b, atol=1e-8)


@pytest.mark.parametrize("dtype", BOTH)
def test_probing_with_all_unit_vectors_gives_the_determinant(dtype):
    a = random((2, 12, 9), dtype)
    a = a.conj().swapaxes(1, 2) @ a + 0.1 * np.eye(9)
    probes = np.broadcast_to(3 * np.eye(9, dtype=dtype), (2, 9, 9))
    found = trace_log(lambda x: np.einsum("bij,bkj->bki", a, x), probes, 1)
    np.testing.assert_allclose(found, np.linalg.slogdet(a)[1], rtol=1e-10)
    zero = trace_log(lambda x: 5 * x, 0 * probes, 1)
    np.testing.assert_array_equal(zero, 0)


# The moments.


@pytest.mark.parametrize("dtype", BOTH)
@pytest.mark.parametrize("batch", [(), (2,)])
def test_missing_data_as_the_dense_engine(dtype, batch):
    problem, gamma = masked(dtype, batch)
    noise = np.array([0.3, 0.02]) if batch else 0.3
    engine, dense = MissingDataEngine(problem, probes=2000), DenseEngine(problem)
    for name in ("power", "gain", "n_data"):
        np.testing.assert_allclose(getattr(engine, name), getattr(dense, name))
    found, wanted = (e.moments(gamma, noise) for e in (engine, dense))
    for name in EXACT:
        assert gap(found, wanted, name) < 1e-8
    for name in ("shrinkage", "variance", "freedom"):
        assert 0 < gap(found, wanted, name) < 0.03
    assert np.max(np.abs(found.evidence - wanted.evidence)) < 0.2
    assert np.all((found.shrinkage >= 0) & (found.shrinkage <= 1))
    for axis in (-3, -2, -1):
        one, two = (now.marginals(axis, 3) for now in (found, wanted))
        np.testing.assert_allclose(one[0], two[0], atol=1e-8)
        np.testing.assert_allclose(one[1], two[1], rtol=0.01, atol=1e-3)


@pytest.mark.parametrize("dtype", BOTH)
def test_with_nothing_missing_all_is_exact(dtype):
    problem, gamma = masked(dtype, mask=np.ones((4, 5, 3), bool))
    found, wanted = (
        e(problem).moments(gamma, NOISE) for e in (MissingDataEngine, DenseEngine)
    )
    for name in (*EXACT, "shrinkage", "variance", "freedom", "evidence"):
        assert gap(found, wanted, name) < 1e-10


def test_missing_data_of_snapshots():
    """Tied along snapshots, in front and behind, of one mask."""
    part = ops.Mask(MASK) @ ops.Kronecker(*factors("float64"))
    A = ops.kron(part, ops.Identity((2,)))
    y = random(A.out_shape, "float64", 5)
    prior = ss.priors.KroneckerSBL(tied_axes=-1)
    problem = ss.Problem(ss.LeastSquares(A, y), prior)
    gamma = Separable([*masked()[1].factors, np.ones(1)])
    found, wanted = (
        e.moments(gamma, NOISE)
        for e in (MissingDataEngine(problem, 2000), DenseEngine(problem))
    )
    for name in EXACT:
        assert gap(found, wanted, name) < 1e-8
    assert gap(found, wanted, "variance") < 0.03
    assert abs(found.evidence - wanted.evidence) < 0.4


@pytest.mark.parametrize("dtype", [*BOTH, "real unknown"])
@pytest.mark.parametrize("batch", [(), (2,)])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("most", [6, 100])
def test_any_operator_as_the_dense_engine(dtype, batch, weighted, most, monkeypatch):
    """With few leading entries by probing, with all of them exactly."""
    monkeypatch.setattr(cg_engine, "_LEADING", most)
    monkeypatch.setattr(cg_moments, "_LEADING_SHARE", 0.1)
    problem, gamma = sensing(dtype, batch, weighted)
    probes = 2000 if most == 6 else 4
    engine, dense = ConjugateGradientEngine(problem, probes), DenseEngine(problem)
    np.testing.assert_allclose(engine.power, dense.power)
    np.testing.assert_allclose(engine.n_data, dense.n_data)
    np.testing.assert_allclose(engine.gain, dense.gain, rtol=3 / probes**0.5)
    found, wanted = (e.moments(gamma, NOISE) for e in (engine, dense))
    for name in EXACT:
        assert gap(found, wanted, name) < 1e-7
    tol = 0.08 if most == 6 else 1e-10
    for name in ("shrinkage", "variance", "freedom"):
        assert gap(found, wanted, name) < tol
    allowed = 0.5 if most == 6 else 1e-9
    assert np.max(np.abs(found.evidence - wanted.evidence)) < allowed
    one, two = (now.marginals(-1, 1) for now in (found, wanted))
    np.testing.assert_allclose(one[1], two[1], atol=tol)


@pytest.mark.parametrize("kind", ["missing", "any"])
def test_estimates_are_unbiased(kind, monkeypatch):
    """Over many draws of few probes, errors average out."""
    module, engine = {
        "missing": (missing_engine, MissingDataEngine),
        "any": (cg_engine, ConjugateGradientEngine),
    }[kind]
    problem, gamma = masked() if kind == "missing" else sensing()
    monkeypatch.setattr(cg_engine, "_LEADING", 6)
    wanted = DenseEngine(problem).moments(gamma, NOISE)
    found = {"evidence": [], "freedom": []}
    trials = 60
    for seed in range(trials):
        monkeypatch.setattr(module, "_SEED", seed)
        now = engine(problem, probes=16).moments(gamma, NOISE)
        for name, values in found.items():
            values.append(getattr(now, name) - getattr(wanted, name))
    for values in found.values():
        assert abs(np.mean(values)) < 4 * np.std(values) / trials**0.5


@pytest.mark.parametrize("kind", ["missing", "any"])
def test_differences_of_evidence_are_more_exact_than_evidences(kind, monkeypatch):
    """As the probes are the same: variances that differ by 5 %, over ten draws."""
    problem, gamma = masked() if kind == "missing" else sensing()
    module, engine = {
        "missing": (missing_engine, MissingDataEngine),
        "any": (cg_engine, ConjugateGradientEngine),
    }[kind]
    if kind == "missing":
        near = Separable([gamma.factors[0] * 1.05, *gamma.factors[1:]])
    else:
        near = gamma * (1 + 0.05 * (np.arange(36) % 2))
    monkeypatch.setattr(cg_engine, "_LEADING", 6)
    dense = DenseEngine(problem)
    wanted = [dense.moments(g, NOISE).evidence for g in (gamma, near)]
    errors = []
    for seed in range(10):
        monkeypatch.setattr(module, "_SEED", seed)
        one = engine(problem, probes=16)
        errors.append([one.moments(g, NOISE).evidence for g in (gamma, near)])
    errors = np.array(errors) - wanted
    assert np.std(errors[:, 1] - errors[:, 0]) < 0.1 * np.std(errors[:, 0])


@pytest.mark.parametrize("dtype", BOTH)
@pytest.mark.parametrize("kind", ["missing", "any"])
def test_draws_have_the_posterior_moments(dtype, kind):
    problem, gamma = masked(dtype)
    if kind == "any":
        problem, gamma = sensing(dtype)
    engine = (MissingDataEngine if kind == "missing" else ConjugateGradientEngine)(
        problem
    )
    n = 1500
    draws = engine.deviations(gamma, NOISE, np.random.default_rng(0), n)
    assert draws.shape == (n, *problem.x_shape)
    full = gamma.full() if kind == "missing" else gamma
    units = np.eye(full.size).reshape(-1, *problem.x_shape)
    a = problem.A(units.astype(dtype)).T * np.sqrt(full.ravel())
    inverse = np.linalg.inv(NOISE * np.eye(a.shape[0]) + a @ a.conj().T)
    cov = np.eye(full.size) - a.conj().T @ inverse @ a
    cov *= np.sqrt(np.outer(full, full))
    size = np.sqrt(np.real(np.diag(cov)))
    errors = draws.reshape(n, -1)
    assert np.all(np.abs(errors.mean(0)) <= 5 * size / np.sqrt(n))
    seen = np.einsum("ki,kj->ij", errors, errors.conj()) / n
    assert np.all(np.abs(seen - cov) <= 7 * np.outer(size, size) / np.sqrt(n))


def test_warm_starts_and_leading_entries_shorten_conjugate_gradients(monkeypatch):
    a = random((60, 120), "float64") / 8
    problem = ss.Problem(
        ss.LeastSquares(ops.Dense(a), random((60,), "float64", 1)), ss.priors.SBL()
    )
    gamma = 1e-3 + 100 * (np.arange(120) % 12 == 0)
    counts = []

    def counted(*args, **kwargs):
        x, n_iter = normal_cg(*args, **kwargs)
        counts.append(n_iter)
        return x, n_iter

    monkeypatch.setattr(cg_moments, "normal_cg", counted)

    def count(variance, warm=None):
        counts.clear()
        now = engine.moments(variance, 1e-3, warm)
        assert now.leaves[1].shape == (1, 60)
        return now, sum(counts)

    engine = ConjugateGradientEngine(problem)
    assert engine.most_leading == 120
    led = count(gamma)[1]
    monkeypatch.setattr(cg_engine, "_LEADING", 20)
    few, with_few = count(gamma)
    monkeypatch.setattr(cg_moments, "_LEADING_SHARE", 2.0)
    plain, alone = count(gamma)
    assert led <= 4
    assert with_few < alone / 2
    np.testing.assert_allclose(few.mean, plain.mean, atol=1e-7)
    assert count(gamma * 1.001, plain.leaves)[1] < alone


# The solver.


@pytest.mark.parametrize(
    "engine, dtype", [("kronecker", "complex128"), ("cg", "float64")]
)
def test_a_kronecker_support_is_recovered_as_by_the_dense_engine(engine, dtype):
    mats = [random(s, dtype, k) for k, s in enumerate([(7, 9), (6, 8), (5, 6)])]
    A = ops.Mask(np.random.default_rng(1).random((7, 6, 5)) > 0.25) @ ops.Kronecker(
        *mats
    )
    x = np.zeros((9, 8, 6), dtype)
    x[np.ix_([1, 6], [0, 5], [2, 4])] = random((2, 2, 2), dtype, 7)
    y = A(x)
    y = y + 0.05 * np.std(y) * random(y.shape, dtype, 8)
    problem = ss.Problem(ss.LeastSquares(A, y), ss.priors.KroneckerSBL())
    dense = ss.solve(problem, ss.VariationalEM(engine="dense", starts=0))
    found = ss.solve(problem, ss.VariationalEM(engine=engine, starts=0))
    assert found.converged
    assert set(np.flatnonzero(found.x)) == set(np.flatnonzero(x))
    np.testing.assert_allclose(found.x, dense.x, atol=2e-3 * np.abs(x).max())
    evidences = found.posterior.log_evidence, dense.posterior.log_evidence
    assert evidences[0] == pytest.approx(evidences[1], abs=1.0)


@pytest.mark.parametrize("engine", ["kronecker", "cg"])
def test_a_batch_is_a_loop(engine):
    problem, _ = masked(batch=(2,))
    solver = ss.VariationalEM(noise_variance=np.array([0.1, 0.4]), engine=engine)
    batch = ss.solve(problem, solver, max_iter=5, tol=0)
    for k in range(2):
        loss = ss.LeastSquares(problem.A, problem.loss.y[k])
        solver = ss.VariationalEM(noise_variance=[0.1, 0.4][k], engine=engine)
        one = ss.solve(
            ss.Problem(loss, ss.priors.KroneckerSBL()), solver, max_iter=5, tol=0
        )
        np.testing.assert_allclose(batch.x[k], one.x, atol=1e-6)
        np.testing.assert_allclose(
            batch.posterior.variance[k], one.posterior.variance, atol=1e-6
        )
        assert batch.posterior.log_evidence[k] == pytest.approx(
            one.posterior.log_evidence, abs=1e-4
        )


@pytest.mark.parametrize("engine", ["kronecker", "cg"])
@pytest.mark.parametrize("batch", [(), (2,)])
def test_resume_equals_an_uninterrupted_run(engine, batch, tmp_path, monkeypatch):
    monkeypatch.setattr(cg_engine, "_LEADING", 10)
    problem, path = masked("complex128", batch)[0], tmp_path / "cg.h5"
    solver = ss.VariationalEM(engine=engine, probes=6)
    whole = ss.solve(problem, solver, max_iter=9)
    ss.solve(problem, solver, max_iter=5, checkpoint=path)
    rest = ss.solve(problem, solver, max_iter=9, resume=path)
    np.testing.assert_array_equal(rest.x, whole.x)
    np.testing.assert_array_equal(rest.history["evidence"], whole.history["evidence"])
    np.testing.assert_array_equal(rest.posterior.variance, whole.posterior.variance)
    assert rest.posterior.sample(np.random.default_rng(0), 2).shape[0] == 2


@pytest.mark.parametrize("device", LIBRARIES)
@pytest.mark.parametrize("dtype", REAL + COMPLEX)
@pytest.mark.parametrize("engine", ["kronecker", "cg"])
def test_every_library_and_precision(device, dtype, engine, monkeypatch):
    if device.startswith("torch"):
        pytest.importorskip("torch")
    monkeypatch.setattr(cg_engine, "_LEADING", 10)
    double = "complex128" if dtype in COMPLEX else "float64"
    solver = ss.VariationalEM(noise_variance=NOISE, engine=engine, probes=8)
    (found, gamma), (wanted, gamma_double) = (
        (solver.prepare(p).engine, g)
        for p, g in (masked(dtype, (2,), device), masked(double, (2,)))
    )
    now, exact = found.moments(gamma, NOISE), wanted.moments(gamma_double, NOISE)
    single = dtype in ("float32", "complex64")
    for name in ("mean", "variance", "shrinkage", "whitened_power"):
        one, two = getattr(now, name), getattr(exact, name)
        assert device_of(one) == device
        real = np.dtype(dtype).type(0).real.dtype
        assert dtype_of(one) == (dtype if name == "mean" else real)
        atol = (2e-3 if single else 1e-4) * np.abs(two).max()
        np.testing.assert_allclose(to_numpy(one), two, rtol=0, atol=atol)
    evidence = to_numpy(now.evidence)
    np.testing.assert_allclose(evidence, exact.evidence, rtol=1e-3 if single else 1e-6)
    draws = found.deviations(gamma, NOISE, np.random.default_rng(0), 2)
    assert device_of(draws) == device
    assert dtype_of(draws) == dtype


def test_the_engine_is_chosen_by_structure_size_and_memory(monkeypatch):
    problem = masked()[0]

    def chosen(problem):
        return ss.VariationalEM(noise_variance=NOISE).prepare(problem).choices["engine"]

    assert "at most 1000" in chosen(problem)
    monkeypatch.setattr(engines, "_QUICK", 0)
    assert "60 data are missing" in chosen(problem)
    loss, sbl = problem.loss, ss.priors.SBL()
    assert "at most 1000" in chosen(ss.Problem(loss, sbl))
    weighted = ss.LeastSquares(loss.A, loss.y, np.ones(loss.y.shape))
    assert chosen(ss.Problem(weighted, problem.prior)).startswith("dense")
    square = ops.Kronecker(*random((2, 32, 32), "float64"))
    large = ss.Problem(ss.LeastSquares(square, random((32, 32), "float64")), sbl)
    assert "no matrix" in chosen(large)
    plain = ss.Problem(ss.LeastSquares(random((5, 9), "float64"), np.ones(5)), sbl)
    assert "is a matrix" in chosen(plain)

    def full(what, needed, advice):
        if "dense" in what:
            raise MemoryError(what)

    monkeypatch.setattr(memory, "enough", full)
    assert "fit into memory" in chosen(plain)


def test_errors_name_what_is_wrong(monkeypatch):
    with pytest.raises(ValueError, match="probes"):
        ss.VariationalEM(probes=0)
    with pytest.raises(ValueError, match=r"engine is 'sparse'.*'cg'"):
        ss.VariationalEM(engine="sparse")
    problem, gamma = sensing()
    with pytest.raises(TypeError, match="no Kronecker product with entries missing"):
        MissingDataEngine(
            ss.Problem(
                ss.LeastSquares(ops.Gradient((4, 4)), np.ones((2, 4, 4))),
                ss.priors.SBL(),
            )
        )
    monkeypatch.setattr(memory, "available_bytes", lambda: 1000)
    with pytest.raises(MemoryError, match=r"probes.*fewer probes"):
        ConjugateGradientEngine(problem)
    monkeypatch.undo()
    monkeypatch.setattr(cg_moments, "_MAX_ITER", 2)
    monkeypatch.setattr(cg_engine, "_LEADING", 6)
    monkeypatch.setattr(cg_moments, "_LEADING_SHARE", 2.0)
    engine = ConjugateGradientEngine(problem)
    with pytest.warns(ConvergenceWarning, match='noise_floor, or engine="dense"'):
        assert engine.moments(gamma, 1e-6).mean.shape == (36,)
    zero = ss.LeastSquares(ops.Dense(np.zeros((5, 9))), np.ones(5))
    with pytest.raises(ValueError, match="nothing to infer"):
        ss.VariationalEM(engine="cg").prepare(ss.Problem(zero, ss.priors.SBL()))


def test_variances_of_zero_and_a_large_signal_to_noise_ratio():
    problem, gamma = sensing()
    engine, dense = ConjugateGradientEngine(problem), DenseEngine(problem)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        none = engine.moments(0 * gamma, NOISE)
        assert not none.mean.any()
        assert not none.variance.any()
        np.testing.assert_array_equal(none.shrinkage, 0)
        assert none.evidence == pytest.approx(dense.moments(0 * gamma, NOISE).evidence)
        sharp = engine.moments(gamma, 1e-6)
        wanted = dense.moments(gamma, 1e-6)
    assert gap(sharp, wanted, "mean") < 1e-5
