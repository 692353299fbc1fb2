"""Turbo-VBI, spike and slab, and the support models that pass them messages."""

import itertools
import math

import numpy as np
import pytest
from cases import COMPLEX, REAL, random
from scipy.integrate import quad
from scipy.optimize import minimize_scalar

import sparsesolve as ss
from sparsesolve.backends import dtype_of, to_device, to_numpy
from sparsesolve.priors.supports import IndependentSupport, MarkovChain, Support

BOTH = ("float64", "complex128")
PRIORS = {"turbo": ss.priors.TurboVBI, "spike": ss.priors.SpikeAndSlab}
SUPPORTS = ("independent", "markov")
LIBRARIES = ("numpy", "array_api_strict", "torch:cpu")


def clustered(dtype="complex128", *, seed=0, n_data=30, n=60, snr=20.0, columns=()):
    """A, x with two runs of five, y and the noise variance."""
    rng = np.random.default_rng(seed)
    a, x = random((n_data, n), dtype, seed=seed), np.zeros((n, *columns), dtype)
    for start in (rng.integers(0, n // 2 - 6), rng.integers(n // 2, n - 6)):
        x[start : start + 5] = random((5, *columns), dtype, seed=start + 100) + 0.2
    y = a @ x
    noise = np.mean(abs(y) ** 2) / 10 ** (snr / 10)
    unit = random(y.shape, dtype, seed=seed + 50)
    return a, x, y + np.sqrt(noise / np.mean(abs(unit) ** 2)) * unit, noise


def problem_of(a, y, prior):
    return ss.Problem(ss.LeastSquares(ss.operators.Dense(a), y), prior)


def parameters_of(model, n_axes=1, **values):
    start = model.start(np.ones((1,) * n_axes))
    return {
        name: np.full_like(v, values.get(name, v.item())) for name, v in start.items()
    }


def enumerated(message, p01, p10):
    """log p(s) + s·message of all supports, and these."""
    supports = np.array(list(itertools.product((0, 1), repeat=len(message))))
    on = p01 / (p01 + p10)
    steps = np.log([[1 - p01, p01], [p10, 1 - p10]])
    logs = np.log([1 - on, on])[supports[:, 0]] + supports @ message
    logs = logs + sum(
        steps[supports[:, k], supports[:, k + 1]] for k in range(len(message) - 1)
    )
    return logs, supports


# Support models.


@pytest.mark.parametrize("n", [1, 2, 5, 10])
@pytest.mark.parametrize(("p01", "p10"), [(0.1, 0.3), (0.9, 0.8), (1e-4, 0.02)])
def test_the_chain_agrees_with_all_supports(n, p01, p10):
    message = 4 * np.random.default_rng(n).standard_normal(n)
    model = MarkovChain(p01, p10)
    found = model.infer(message, parameters_of(model), 1)
    logs, supports = enumerated(message, p01, p10)
    weights = np.exp(logs - logs.max())
    weights /= weights.sum()
    on = weights @ supports
    np.testing.assert_allclose(1 / (1 + np.exp(-found.log_odds)), on, atol=1e-12)
    total = np.logaddexp.reduce(logs)
    assert found.log_partition == pytest.approx(total, rel=1e-12, abs=1e-12)
    for i, j in itertools.product((0, 1), repeat=2):
        pairs = (supports[:, :-1] == i) & (supports[:, 1:] == j)
        count = weights @ pairs.sum(axis=1)
        assert found.counts[f"{i}{j}"].item() == pytest.approx(count, abs=1e-12)
    assert found.counts["starts_on"].item() == pytest.approx(on[0], abs=1e-12)


def test_a_chain_without_memory_is_independent():
    message = 5 * random((3, 40), "float64")
    chain, free = MarkovChain(0.2, 0.8), IndependentSupport(0.2)
    one, two = (m.infer(message, parameters_of(m, 2), 2) for m in (chain, free))
    np.testing.assert_allclose(one.log_odds, two.log_odds, atol=1e-12)
    assert one.log_partition == pytest.approx(two.log_partition, rel=1e-13)


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_chains_side_by_side_and_batches_are_loops(axis):
    messages = 3 * random((2, 4, 6), "float64")
    model = MarkovChain(0.1, 0.3, axis=axis)
    parameters = {
        "p01": np.array([0.1, 0.3])[:, None, None],
        "p10": np.array([0.3, 0.6])[:, None, None],
    }
    whole = model.infer(messages, parameters, 2)
    for k in range(2):
        mine = {name: v[k, 0] for name, v in parameters.items()}
        lines = np.moveaxis(messages[k], axis, -1)
        odds = np.moveaxis(whole.log_odds[k], axis, -1)
        single = [MarkovChain().infer(line, mine, 1) for line in lines]
        np.testing.assert_allclose(odds, [s.log_odds for s in single], atol=1e-12)
        total = sum(s.log_partition for s in single)
        assert whole.log_partition[k] == pytest.approx(total)
        for name, count in whole.counts.items():
            assert count[k].item() == pytest.approx(
                sum(s.counts[name].item() for s in single)
            )


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("model", [MarkovChain(), IndependentSupport()])
def test_extreme_messages_overflow_nowhere(model, dtype):
    message = np.array([1e6, -1e6, 800, -800, 1e30, 0, -1e30, 3], dtype)
    start = model.start(np.ones(1, dtype))
    found = model.infer(message, start, 1)
    assert found.log_odds.dtype == dtype
    for values in (found.log_odds, found.log_partition, *found.counts.values()):
        assert np.all(np.isfinite(values))
    learnt = model.learn(found.counts, start)
    assert all(0 < v.item() < 1 for v in learnt.values())


@pytest.mark.parametrize("model", [MarkovChain(0.4, 0.4), IndependentSupport(0.4)])
def test_learning_never_lowers_the_likelihood_and_finds_the_truth(model):
    rng = np.random.default_rng(0)
    bits, state = [], 0
    for _ in range(4000):
        state = int(rng.random() < (0.05 if state == 0 else 0.8))
        bits.append(state)
    message = 6 * (np.array(bits) - 0.5) + 2 * rng.standard_normal(4000)
    parameters, values = parameters_of(model), []
    for _ in range(30):
        found = model.infer(message, parameters, 1)
        values.append(float(found.log_partition))
        parameters = model.learn(found.counts, parameters)
    assert np.all(np.diff(values) > -1e-9)
    if isinstance(model, MarkovChain):
        assert parameters["p01"].item() == pytest.approx(0.05, rel=0.2)
        assert parameters["p10"].item() == pytest.approx(0.2, rel=0.2)
    else:
        assert parameters["rate"].item() == pytest.approx(np.mean(bits), rel=0.1)


def test_a_short_chain_is_learned_monotonically_too():
    """One entry: all there is to learn is in the stationary start."""
    model, values = MarkovChain(0.3, 0.6), []
    parameters = parameters_of(model)
    for _ in range(20):
        found = model.infer(np.array([2.0]), parameters, 1)
        values.append(float(found.log_partition))
        parameters = model.learn(found.counts, parameters)
    assert np.all(np.diff(values) >= 0)
    assert values[-1] > values[0] + 0.3


@pytest.mark.parametrize("model", [MarkovChain, IndependentSupport])
def test_given_parameters_stay(model):
    fixed = model(learn_parameters=False)
    start = parameters_of(fixed)
    found = fixed.infer(np.ones(7), start, 1)
    assert fixed.learn(found.counts, start) == start


# The laws of an entry, against integration over its precision.


@pytest.mark.parametrize("degrees", [0.5, 1.0, 3.0])
@pytest.mark.parametrize("on", [True, False])
def test_a_gamma_law_by_quadrature(degrees, on):
    prior = ss.priors.TurboVBI(shapes=(1.5, 2.5))
    a, scale, moment = prior.shapes[0 if on else 1], 0.7, 0.9
    b = a * scale

    def integrand(rho, power):
        law = b**a / math.gamma(a) * rho ** (a - 1) * math.exp(-b * rho)
        return law * rho ** (degrees + power) * math.exp(-rho * moment)

    total, first = (quad(integrand, 0, np.inf, args=(k,))[0] for k in (0, 1))
    args = np.array(moment), np.array(scale), degrees
    found = prior._log_likelihood(*args, on=on)
    assert found == pytest.approx(math.log(total), rel=1e-7)
    found = prior._precision(*args, on=on)
    assert found == pytest.approx(first / total, rel=1e-7)


@pytest.mark.parametrize("dtype", BOTH)
@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("which", PRIORS)
def test_the_free_energy_by_its_definition(which, tied, dtype):
    """E log p(x, ρ, s) - E log q(ρ, s), summed over all supports and integrated."""
    chain = MarkovChain(0.2, 0.4, axis=0)
    prior = PRIORS[which](chain, tied_axes=-1 if tied else None)
    shape = (4, 3 if tied else 1)
    prior = prior.bind(shape)
    degrees = (1.0 if dtype == "complex128" else 0.5) * (3 if tied else 1)
    hyper = prior.init_hyper(shape, dtype, np.asarray(1.0))
    rng = np.random.default_rng(1)
    moment = degrees * rng.uniform(0.05, 3, (4, 1))
    hyper |= {"moment": moment, "spike": np.full((1, 1), 0.1)}
    hyper |= {"slab": np.full((1, 1), 1.3), "updates": np.full((1, 1), 99.0)}
    precisions, bounds = [], []
    for on, scale in ((False, 0.1), (True, 1.3)):
        args = moment[:, 0], np.array(scale), degrees
        precisions.append(prior._precision(*args, on=on))
        bounds.append(prior._log_likelihood(*args, on=on))
    logs, supports = enumerated(bounds[1] - bounds[0], 0.2, 0.4)
    weights = np.exp(logs - np.logaddexp.reduce(logs))
    on = weights @ supports
    rho = on * precisions[1] + (1 - on) * precisions[0]
    prior_logs = enumerated(0 * rho, 0.2, 0.4)[0]
    wanted = weights @ (prior_logs - np.log(weights))
    # E log of the law and q(ρ | s) = law · ρᵈ exp(-ρM) / its mean: bound - d⟨log ρ⟩ +
    # M⟨ρ⟩; the d⟨log ρ⟩ is what p(x | ρ) has and N(x; 0, 1/⟨ρ⟩) has not.
    wanted += on @ bounds[1] + (1 - on) @ bounds[0]
    wanted += np.sum(moment[:, 0] * rho - degrees * np.log(rho))
    wanted -= prior.pull * 4 * math.log(0.1)
    found = prior.log_prior_bound({**hyper, "variance": 1 / rho[:, None]})
    assert found == pytest.approx(wanted)


@pytest.mark.parametrize("dtype", BOTH)
def test_the_scale_of_a_law_is_the_best_under_its_prior(dtype):
    """A step of EM goes up, and stays at the maximum that a search finds."""
    rng = np.random.default_rng(2)
    degrees = 1.0 if dtype == "complex128" else 0.5
    moment, weight = rng.gamma(1.0, 0.3, 9), rng.uniform(0.2, 1, 9)
    for which, make in PRIORS.items():
        prior = make()

        def loss(log_scale, prior=prior):
            scale = np.exp(np.atleast_1d(log_scale))
            law = prior._log_likelihood(moment, scale, degrees, on=False)
            return float(0.7 * log_scale - weight @ law)

        best = minimize_scalar(loss, bounds=(-9, 5), options={"xatol": 1e-9}).x
        scale = np.exp([best])
        fit = prior._fit(weight, moment, scale, degrees, (0,), on=False, pull=0.7)
        np.testing.assert_allclose(fit, scale, rtol=1e-5, err_msg=which)


def test_a_wide_spike_is_not_preferred_to_the_noise():
    """Where the data are few, both explain what the support does not."""
    a, x, y, noise = clustered(n_data=60, n=150, seed=3)
    for support in SUPPORTS:
        problem = problem_of(a, y, ss.priors.TurboVBI(support))
        found = ss.solve(problem, ss.VariationalEM(), max_iter=400, tol=1e-4)
        assert found.posterior.noise_variance == pytest.approx(noise, rel=0.4)
        on = found.posterior.hyper["probability"] > 0.5
        np.testing.assert_array_equal(on, x != 0)


@pytest.mark.parametrize("which", PRIORS)
def test_data_of_zero_give_zero_and_leave_the_rest_of_a_batch_alone(which):
    a, _, y, noise = clustered()
    solver = ss.VariationalEM(noise_variance=noise)
    both = ss.solve(problem_of(a, np.stack([y, 0 * y]), PRIORS[which]()), solver)
    one = ss.solve(problem_of(a, y, PRIORS[which]()), solver)
    np.testing.assert_allclose(both.x[0], one.x, atol=1e-10)
    assert not both.x[1].any()


# The free energy never falls.


@pytest.mark.parametrize("dtype", BOTH)
@pytest.mark.parametrize("support", SUPPORTS)
@pytest.mark.parametrize("which", PRIORS)
def test_the_free_energy_never_falls(which, support, dtype):
    a, _, y, noise = clustered(dtype)
    problem = problem_of(a, y, PRIORS[which](support))
    rows = []

    def record(progress):
        hyper = progress.state.hyper
        bound = float(problem.prior.log_prior_bound(hyper))
        phase = hyper["updates"].item()
        rows.append((phase, bound + progress.state.metrics["evidence"]))

    solver = ss.VariationalEM(noise_variance=noise)
    ss.solve(problem, solver, max_iter=70, tol=0, progress=False, callback=record)
    phases, values = np.array(rows).T
    last = phases.max()
    assert np.count_nonzero(phases == last) >= 45
    for there in (phases < last, phases == last):
        values_there = values[there]
        slack = 1e-9 * np.abs(values_there).max()
        assert np.all(np.diff(values_there) > -slack)
        assert values_there[-1] > values_there[0] + 0.1


# Solved problems.


@pytest.mark.parametrize("which", PRIORS)
@pytest.mark.parametrize("dtype", BOTH)
def test_a_chain_finds_runs_better_than_independent_bits(which, dtype):
    errors = {name: [] for name in SUPPORTS}
    right = []
    for seed in range(3):
        a, x, y, noise = clustered(dtype, seed=seed, n_data=26, snr=15)
        for name, found in errors.items():
            problem = problem_of(a, y, PRIORS[which](name))
            solver = ss.VariationalEM(noise_variance=noise)
            solution = ss.solve(problem, solver, max_iter=50, tol=1e-3, progress=False)
            found.append(np.linalg.norm(solution.x - x) / np.linalg.norm(x))
        on = solution.posterior.hyper["probability"] > 0.5
        right.append(np.mean(on == (x != 0)))
    assert np.mean(errors["markov"]) < np.mean(errors["independent"])
    assert np.mean(right) > 0.9


@pytest.mark.parametrize("which", PRIORS)
def test_units_do_not_matter(which):
    a, _, y, noise = clustered("float64")
    wanted = None
    for c_y, c_a in ((1.0, 1.0), (1e-3, 1.0), (1e3, 1e2)):
        problem = problem_of(c_a * a, c_y * y, PRIORS[which]("markov"))
        solver = ss.VariationalEM(noise_variance=c_y**2 * noise)
        solution = ss.solve(problem, solver, max_iter=40, tol=0, progress=False)
        found = solution.x * c_a / c_y, solution.posterior.hyper["probability"]
        wanted = wanted or found
        np.testing.assert_allclose(found[0], wanted[0], atol=1e-6)
        np.testing.assert_allclose(found[1], wanted[1], atol=1e-6)


@pytest.mark.parametrize("device", LIBRARIES)
@pytest.mark.parametrize("dtype", REAL + COMPLEX)
@pytest.mark.parametrize("which", PRIORS)
def test_every_library_and_precision(which, device, dtype):
    if device.startswith("torch"):
        pytest.importorskip("torch")
    if device == "array_api_strict" and dtype in ("float64", "complex64"):
        pytest.skip("slow; the other two dtypes run")
    double = "complex128" if dtype in COMPLEX else "float64"
    a, _, y, noise = clustered(double, n=20, n_data=12)
    solver = ss.VariationalEM(noise_variance=noise)
    prior = PRIORS[which]("markov")
    wanted = ss.solve(problem_of(a, y, prior), solver, max_iter=24, tol=0)
    moved = (to_device(v.astype(dtype), device) for v in (a, y))
    problem = problem_of(*moved, prior)
    found = ss.solve(problem, solver, max_iter=24, tol=0)
    single = dtype in ("float32", "complex64")
    real = np.dtype(dtype).type(0).real.dtype
    assert dtype_of(found.x) == dtype
    assert all(dtype_of(v) == real for v in found.state.hyper.values())
    tol = 5e-3 if single else 1e-9
    for one, two in (
        (found.x, wanted.x),
        (found.state.hyper["probability"], wanted.state.hyper["probability"]),
    ):
        np.testing.assert_allclose(to_numpy(one), two, atol=tol * np.abs(two).max())
    bound = problem.prior.log_prior_bound(found.state.hyper)
    exact = wanted.state.hyper
    assert float(bound) == pytest.approx(
        float(prior.bind((20,)).log_prior_bound(exact)), rel=1e-2 if single else 1e-8
    )


@pytest.mark.parametrize("which", PRIORS)
def test_a_batch_is_a_loop(which):
    a, _, first, _ = clustered("float64", n=40)
    y = np.stack([first, 3 * clustered("float64", n=40, seed=1)[2]])
    prior = PRIORS[which]("markov")
    batch = ss.solve(problem_of(a, y, prior), max_iter=60, tol=1e-3, progress=False)
    for k in range(2):
        one = ss.solve(
            problem_of(a, y[k], prior), max_iter=60, tol=1e-3, progress=False
        )
        assert batch.n_iter[k] == one.n_iter
        np.testing.assert_allclose(batch.x[k], one.x, atol=1e-7)
        odds = batch.posterior.hyper["probability"][k]
        np.testing.assert_allclose(odds, one.posterior.hyper["probability"], atol=1e-6)


@pytest.mark.parametrize("which", PRIORS)
def test_snapshots_share_a_support(which):
    a, x, y, noise = clustered("float64", columns=(6,), n_data=16)
    eye = ss.operators.Identity((6,))
    A = ss.operators.kron(ss.operators.Dense(a), eye)
    chain = MarkovChain(axis=0)
    problem = ss.Problem(ss.LeastSquares(A, y), PRIORS[which](chain, tied_axes=-1))
    solver = ss.VariationalEM(noise_variance=noise)
    solution = ss.solve(problem, solver, max_iter=60, tol=1e-3, progress=False)
    on = solution.posterior.hyper["probability"]
    assert on.shape == (60, 1)
    np.testing.assert_array_equal(on[:, 0] > 0.5, np.any(x != 0, axis=1))


def test_given_scales_stay():
    a, _, y, noise = clustered("float64")
    for prior, wanted in (
        (ss.priors.TurboVBI(shapes=(2.0, 4.0), rates=(3.0, 0.04)), (1.5, 0.01)),
        (ss.priors.SpikeAndSlab(variances=(1.5, 0.01)), (1.5, 0.01)),
    ):
        solver = ss.VariationalEM(noise_variance=noise)
        found = ss.solve(problem_of(a, y, prior), solver, max_iter=30, tol=0)
        hyper = found.posterior.hyper
        assert (hyper["slab"].item(), hyper["spike"].item()) == pytest.approx(wanted)


class Alternating(Support):
    """A model of one's own: only entries of even place can be on."""

    def start(self, like):
        return {}

    def infer(self, message, parameters, n_axes):
        even = np.arange(message.shape[-1]) % 2 == 0
        prior = np.where(even, -1.0, -1e3)
        free = IndependentSupport()
        rate = {"rate": np.full((1,), 0.5)}
        found = free.infer(message + prior, rate, n_axes)
        return found._replace(counts={})

    def learn(self, counts, parameters):
        return {}


def test_a_support_model_of_ones_own():
    a, x, _, _ = clustered("float64")
    x[1::2] = 0
    y = a @ x + 0.05 * random((30,), "float64", seed=7)
    problem = problem_of(a, y, ss.priors.SpikeAndSlab(Alternating()))
    solver = ss.VariationalEM(noise_variance=0.05**2)
    found = ss.solve(problem, solver, max_iter=40, tol=0, progress=False)
    on = found.posterior.hyper["probability"] > 0.5
    np.testing.assert_array_equal(on, x != 0)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: ss.priors.TurboVBI("grid"), ValueError, "support is 'grid'"),
        (lambda: ss.priors.SpikeAndSlab(3), ValueError, "support is 3"),
        (lambda: ss.priors.TurboVBI(shapes=(1.0, 0.0)), ValueError, "shapes"),
        (lambda: ss.priors.TurboVBI(shapes=1.0), TypeError, "two numbers"),
        (lambda: ss.priors.TurboVBI(rates=(1e-3, 1.0)), ValueError, "larger"),
        (lambda: ss.priors.SpikeAndSlab(variances=(1.0, 2.0)), ValueError, "larger"),
        (lambda: ss.priors.SpikeAndSlab(tied_axes=0.5), TypeError, "tied_axes"),
        (lambda: ss.priors.TurboVBI(tied_axes=1).bind((4,)), ValueError, "tied_axes"),
        (
            lambda: ss.priors.TurboVBI("markov", tied_axes=-1).bind((4, 3)),
            ValueError,
            "chain",
        ),
        (
            lambda: ss.priors.TurboVBI(MarkovChain(axis=2)).bind((4,)),
            ValueError,
            "axis is 2",
        ),
        (lambda: MarkovChain(axis=0.5), TypeError, "axis"),
        (lambda: MarkovChain(p01=1.0), ValueError, "p01"),
        (lambda: MarkovChain(p10=0.0), ValueError, "p10"),
        (lambda: IndependentSupport(1.5), ValueError, "rate"),
    ],
)
def test_bad_settings_are_refused(make, error, message):
    with pytest.raises(error, match=message):
        make()


@pytest.mark.parametrize("batch", [(), (2,)])
def test_a_noise_that_the_model_explains_is_said(batch):
    """With a variance each, sixteen unknowns explain ten data to the last."""
    rng = np.random.default_rng(0)
    a, x = rng.standard_normal((10, 16)), np.zeros((*batch, 16))
    x[..., :8] = rng.standard_normal((*batch, 8))
    y = x @ a.T + 0.01 * rng.standard_normal((*batch, 10))
    problem = ss.Problem(ss.LeastSquares(a, y), ss.priors.TurboVBI())
    said = "in 2 of 2 problems the model explains" if batch else "^the model explains"
    with pytest.warns(RuntimeWarning, match=f"{said} 100 % of the data's degrees"):
        ss.solve(problem)
    # given, or not settled, so that it is too early to say: errors if they warn
    ss.solve(problem, ss.VariationalEM(noise_variance=1e-4))
    ss.solve(problem, max_iter=2)
