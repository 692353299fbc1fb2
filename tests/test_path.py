"""Choosing lam: paths, discrepancy, held-out data."""

import dataclasses
import math

import numpy as np
import pytest
from cases import random

import sparsesolve as ss
import sparsesolve.paths

NOISE = 0.05


def sparse_problem(seed=0):
    rng = np.random.default_rng(seed)
    a = rng.standard_normal((60, 100)) / math.sqrt(60)
    truth = np.zeros(100)
    truth[rng.choice(100, 6, replace=False)] = rng.choice([-1.0, 1.0], 6)
    y = a @ truth + NOISE * rng.standard_normal(60)
    loss = ss.LeastSquares(ss.operators.Dense(a), y)
    return ss.Problem(loss, ss.priors.L1(1.0)), truth


def test_path_is_warm_started_and_equals_cold_solves():
    problem, _ = sparse_problem()
    result = ss.path(problem, n_lams=8, tol=1e-9, max_iter=5000)
    assert result.best is None
    assert result.lams[0] == pytest.approx(problem.lam_max())
    assert np.all(np.diff(result.lams) < 0)
    assert not result.solutions[0].x.any()
    cold = ss.solve(problem.with_lam(result.lams[5]), tol=1e-9, max_iter=5000)
    np.testing.assert_allclose(result.solutions[5].x, cold.x, atol=1e-6)
    warm_iterations = sum(s.n_iter for s in result.solutions)
    cold_iterations = sum(
        ss.solve(problem.with_lam(lam), tol=1e-9, max_iter=5000).n_iter
        for lam in result.lams
    )
    assert warm_iterations < cold_iterations


def test_discrepancy_takes_the_largest_lam_within_the_noise():
    problem, truth = sparse_problem()
    result = ss.path(problem, choose="discrepancy", noise=NOISE)
    level = NOISE * math.sqrt(60)
    assert result.scores[-1] <= level
    assert np.all(result.scores[:-1] > level)
    assert result.lam == result.lams[-1]
    assert "largest" in result.best.choices["lam"]
    assert np.linalg.norm(result.best.x - truth) < 0.5 * np.linalg.norm(truth)


def test_discrepancy_out_of_reach_is_said():
    problem, _ = sparse_problem()
    with pytest.warns(RuntimeWarning, match="above the noise level"):
        result = ss.path(problem, [0.5, 0.4], choose="discrepancy", noise=1e-6)
    assert result.lam == 0.4


@pytest.mark.parametrize("axis", [None, 0])
def test_held_out_data_choose_a_good_lam(axis):
    problem, truth = sparse_problem()
    result = ss.path(problem, choose="held_out", axis=axis, ratio=1e-2)
    errors = [np.linalg.norm(s.x - truth) for s in result.solutions]
    assert np.linalg.norm(result.best.x - truth) < 1.5 * min(errors)
    assert "held-out" in result.best.choices["lam"]
    assert result.best.state is not None


def test_one_standard_error_takes_the_largest_weight_that_predicts_as_well():
    """Against squared errors of held-out entries, added up by hand."""
    from sparsesolve.paths import _held_out

    problem, _ = sparse_problem()
    loss, weights = problem.loss, np.linspace(1, 2, 60)
    weights[:5] = 0
    problem = problem.with_loss(ss.LeastSquares(loss.A, loss.y, weights))
    options = {"choose": "held_out", "fraction": 0.3, "seed": 2}
    plain = ss.path(problem, **options)
    result = ss.path(problem, standard_errors=1.0, **options)
    held = _held_out(problem.loss, None, 0.3, seed=2)
    assert held.sum() == round(0.3 * 55)
    assert not held[:5].any()
    errors = [weights * (loss.A(s.x) - loss.y) ** 2 for s in plain.solutions]
    means = np.array([e[held].mean() for e in errors])
    best = means.argmin()
    error = errors[best][held].std() / np.sqrt(held.sum())
    wanted = next(i for i, m in enumerate(means) if m <= means[best] + error)
    assert wanted < best
    assert (plain.lam, result.lam) == (plain.lams[best], plain.lams[wanted])
    assert (
        "the largest within 1 standard error(s) of the best on 29%"
        in result.best.choices["lam"]
    )
    assert "standard error" not in plain.best.choices["lam"]
    np.testing.assert_array_equal(result.scores, plain.scores)


def test_slices_without_data_are_not_held_out():
    from sparsesolve.paths import _held_out

    A = ss.operators.Identity((4, 10))
    weights = np.zeros((4, 10))
    weights[1:, [2, 7]] = 1.0
    loss = ss.LeastSquares(A, random((4, 10), "float64"), weights)
    for seed in range(5):
        held = _held_out(loss, -1, 0.1, seed=seed)
        assert held.any(axis=0).sum() == 1
        assert held[0, [2, 7]].any()
    most = _held_out(loss, -1, 0.9, seed=0)
    assert most.any(axis=0).sum() == 1
    weights[:, 2] = 0
    loss = ss.LeastSquares(A, loss.y, weights)
    with pytest.raises(ValueError, match="hold out a share of 1 slices"):
        _held_out(loss, -1, 0.1, seed=0)


def test_patience_ends_the_path_after_the_best():
    problem, _ = sparse_problem()
    whole = ss.path(problem, choose="held_out", fraction=0.3)
    best = int(whole.scores.argmin())
    assert 0 < best < 15
    result = ss.path(problem, choose="held_out", fraction=0.3, patience=3)
    assert len(result.lams) == len(result.scores) == best + 4
    assert result.lam == whole.lam


def test_patience_waits_for_the_first_weight_that_leaves_something():
    """Held-out rows that carry most of Aᴴy: the first weights leave 0, all alike."""
    rng = np.random.default_rng(0)
    A, x = rng.normal(size=(40, 10)), np.zeros(10)
    x[2] = 1.0
    A[np.random.default_rng(0).permutation(40)[:4]] *= 10
    problem = ss.Problem(ss.LeastSquares(A, A @ x), ss.priors.L1(1.0))
    options = {"choose": "held_out", "n_lams": 11, "ratio": 2**-10}
    whole = ss.path(problem, **options)
    assert whole.scores[0] == whole.scores[2] > whole.scores[-1]
    result = ss.path(problem, patience=2, **options)
    assert result.lam == whole.lam


def test_the_least_error_is_taken_whatever_its_rounding(monkeypatch):
    """A square by pow may be below the same by a product."""
    value = next(
        v for v in np.random.default_rng(0).uniform(size=100_000) / 2 if v**2 < v * v
    )
    problem, _ = sparse_problem()
    scores = iter([0.9, float(value), 0.95])
    split = sparsesolve.paths._split

    def scored(*args):
        train, _, share = split(*args)
        return train, lambda x: (next(scores), 0.0), share

    monkeypatch.setattr(sparsesolve.paths, "_split", scored)
    result = ss.path(problem, [0.5, 0.4, 0.3], choose="held_out")
    assert result.lam == 0.4


def test_tau_raises_the_level_of_the_discrepancy():
    problem, _ = sparse_problem()
    strict = ss.path(problem, choose="discrepancy", noise=NOISE)
    loose = ss.path(problem, choose="discrepancy", noise=NOISE, tau=3.0)
    assert loose.lam > strict.lam
    assert loose.scores[-1] <= 3 * NOISE * math.sqrt(60)


def test_held_out_data_take_no_part_in_the_fit():
    """Held-out entries that are garbage change the scores, not the fits."""
    problem, _ = sparse_problem()
    loss = problem.loss
    from sparsesolve.paths import _held_out

    held = _held_out(loss, None, 0.1, seed=0)
    y = np.where(held, loss.y + 100.0, loss.y)
    weights = np.linspace(1, 2, 60)
    lams = [0.5, 0.1]
    results = [
        ss.path(
            ss.Problem(ss.LeastSquares(loss.A, data, weights), problem.prior),
            lams,
            choose="held_out",
        )
        for data in (loss.y, y)
    ]
    for one, two in zip(*(r.solutions for r in results), strict=True):
        np.testing.assert_array_equal(one.x, two.x)
    residual = (loss.A(results[0].solutions[1].x) - loss.y) * np.sqrt(weights)
    assert results[0].scores[1] == pytest.approx(np.linalg.norm(residual[held]))
    assert results[1].scores.min() > 100


def test_held_out_channels_leave_whole_slices_out():
    from sparsesolve.paths import _held_out

    A = ss.operators.Identity((4, 10))
    loss = ss.LeastSquares(A, random((4, 10), "float64"))
    held = _held_out(loss, -1, 0.2, seed=3)
    assert held.shape == (4, 10)
    assert held.all(axis=0).sum() == 2
    assert (held.any(axis=0) == held.all(axis=0)).all()


@pytest.mark.parametrize("choose", ["discrepancy", "held_out"])
def test_an_interrupted_path_ends_and_chooses_nothing(choose, monkeypatch):
    problem, _ = sparse_problem()
    whole, calls = ss.paths.solve, []

    def interrupted(*args, **options):
        calls.append(args)
        solution = whole(*args, **options)
        if len(calls) < 3:
            return solution
        return dataclasses.replace(solution, status=ss.Status.INTERRUPTED)

    monkeypatch.setattr(ss.paths, "solve", interrupted)
    result = ss.path(problem, choose=choose, noise=1e-3)
    assert len(calls) == len(result.solutions) == 3
    assert result.best is None
    assert result.solutions[-1].status is ss.Status.INTERRUPTED


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"choose": "magic"}, ValueError, "choose is 'magic'"),
        ({"choose": "discrepancy"}, ValueError, "needs noise"),
        ({"choose": "discrepancy", "noise": -1}, ValueError, "noise is -1"),
        ({"lams": []}, ValueError, "lams is empty"),
        ({"lams": [1.0, 0.0]}, ValueError, "lams is 0"),
        ({"ratio": 2}, ValueError, "ratio is 2"),
        ({"choose": "held_out", "fraction": 1.5}, ValueError, "fraction is 1.5"),
        ({"tau": -1}, ValueError, "tau is -1"),
        ({"noise": -5}, ValueError, "noise is -5"),
        ({"axis": 0}, ValueError, "axis is for"),
        ({"lams": 3.0}, TypeError, "lams is 3.0"),
        ({"choose": "held_out", "axis": 4}, ValueError, "axis is 4"),
        ({"patience": 2}, ValueError, "patience is for choose='held_out'"),
        ({"standard_errors": 1}, ValueError, "standard_errors is for choose='held"),
        ({"choose": "held_out", "standard_errors": -1}, ValueError, "standard_errors"),
        ({"choose": "held_out", "patience": 0}, ValueError, "patience is 0"),
    ],
)
def test_bad_input_is_one_sentence(change, error, message):
    problem, _ = sparse_problem()
    with pytest.raises(error, match=message):
        ss.path(problem, **change)


def test_a_prior_without_lam_or_lam_max_is_refused():
    problem, _ = sparse_problem()
    with pytest.raises(TypeError, match="prior with a lam"):
        ss.path(problem.with_prior(ss.priors.NonNegative()))
    with pytest.raises(TypeError, match="pass lams"):
        ss.path(problem.with_prior(ss.priors.TotalVariation(1.0)))
