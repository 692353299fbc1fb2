"""Losses: gradients, proxes and majorisers against finite differences and search."""

import numpy as np
import pytest
from cases import random

import sparsesolve as ss

SHAPE = (4, 3)


def losses(dtype="float64", batch=()):
    A = ss.operators.Identity(SHAPE)
    y = random((*batch, *SHAPE), dtype, 1)
    rng = np.random.default_rng(2)
    weights = rng.uniform(0.5, 2, SHAPE).astype(y.real.dtype)
    made = {
        "LeastSquares": ss.LeastSquares(A, y),
        "weighted": ss.LeastSquares(A, y, weights),
        "NoiseBall": ss.NoiseBall(A, y, 0.8),
        "L21": ss.L21(A, y),
        "Huber": ss.Huber(A, y, 0.6),
    }
    if np.dtype(dtype).kind == "f":
        made["Logistic"] = ss.Logistic(A, np.sign(y))
    return made


NAMES = ("LeastSquares", "weighted", "NoiseBall", "L21", "Huber", "Logistic")
SMOOTH = ("LeastSquares", "weighted", "Huber", "Logistic")


@pytest.mark.parametrize("name", SMOOTH)
@pytest.mark.parametrize("dtype", ["float64", "complex128"])
def test_gradient_is_the_derivative(name, dtype):
    if (name, dtype) == ("Logistic", "complex128"):
        pytest.skip("Logistic is for real labels")
    loss = losses(dtype)[name]
    z, d = random(SHAPE, dtype, 3), random(SHAPE, dtype, 4)
    h = 1e-6
    slope = (loss.value(z + h * d) - loss.value(z - h * d)) / (2 * h)
    assert slope == pytest.approx(np.vdot(loss.gradient(z), d).real, rel=1e-6)


@pytest.mark.parametrize("name", SMOOTH)
def test_curvature_bounds_the_gradient(name):
    loss = losses()[name]
    rng = np.random.default_rng(5)
    ratios = []
    for _ in range(200):
        z, w = rng.standard_normal((2, *SHAPE)) * 3
        change = np.linalg.norm(loss.gradient(z) - loss.gradient(w))
        ratios.append(change / np.linalg.norm(z - w))
    assert 0.2 * loss.curvature < max(ratios) <= loss.curvature * (1 + 1e-9)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", ["float32", "float64", "complex64", "complex128"])
def test_prox_beats_every_candidate(name, dtype):
    if name == "Logistic" and np.dtype(dtype).kind == "c":
        pytest.skip("Logistic is for real labels")
    loss, step = losses(dtype)[name], 0.7
    z = 2 * random(SHAPE, dtype, 6)
    p = loss.prox(z, step)
    assert p.dtype == z.dtype

    def objective(u):
        return float(loss.value(u)) + float(np.sum(np.abs(u - z) ** 2)) / (2 * step)

    best = objective(p)
    assert np.isfinite(best)
    slack = 1e3 * np.finfo(dtype).eps * max(1, abs(best))
    for size in (1e-4, 1e-2, 1.0):
        for seed in range(20):
            for candidate in (
                p + (size * random(SHAPE, dtype, seed)).astype(dtype),
                loss.prox(z + (size * random(SHAPE, dtype, seed)).astype(dtype), step),
            ):
                assert best <= objective(candidate) + slack


@pytest.mark.parametrize("name", ["L21", "Huber"])
def test_majoriser_touches_and_dominates(name):
    loss = losses("complex128")[name]
    z = random(SHAPE, "complex128", 7)
    above = loss.majorise(z)
    assert above.value(z) == pytest.approx(float(loss.value(z)), rel=1e-12)
    for seed in range(50):
        other = 3 * random(SHAPE, "complex128", seed)
        assert above.value(other) >= loss.value(other) - 1e-12


@pytest.mark.parametrize("name", NAMES)
def test_batch_is_a_loop(name):
    batch = losses(batch=(2,))[name]
    z = random((2, *SHAPE), "float64", 8)
    values, proxes = batch.value(z), batch.prox(z, np.array([0.3, 0.9]))
    assert values.shape == (2,)
    for i, step in enumerate((0.3, 0.9)):
        one = type(batch)(batch.A, batch.y[i], *_extra(batch))
        np.testing.assert_allclose(values[i], one.value(z[i]), rtol=1e-12)
        np.testing.assert_allclose(proxes[i], one.prox(z[i], step), rtol=1e-12)


def _extra(loss):
    if isinstance(loss, ss.LeastSquares):
        return () if loss.weights is None else (loss.weights[0],)
    return {"NoiseBall": (0.8,), "Huber": (0.6,)}.get(type(loss).__name__, ())


@pytest.mark.parametrize("step", [1e-3, 0.7, 20.0, 1e3, 1e6])
def test_logistic_prox_is_stationary_at_any_step(step):
    z = np.linspace(-30, 30, 601)
    y = np.where(np.arange(601) % 2, 1.0, -1.0)
    loss = ss.Logistic(ss.operators.Identity((601,)), y)
    u = loss.prox(z, step)
    assert np.abs(loss.gradient(u) + (u - z) / step).max() < 1e-9


def test_discrepancy_counts_the_entries_of_each_problem():
    A = ss.operators.Identity((20,))
    weights = np.ones((2, 20))
    weights[1, 5:] = 0
    loss = ss.LeastSquares(A, np.ones((2, 20)), weights)
    np.testing.assert_array_equal(loss.n_data, [20, 5])
    z = np.zeros((2, 20))
    np.testing.assert_allclose(loss.misfit(z), np.sqrt([20, 5]))


def test_missing_data_may_be_nan_where_the_weight_is_zero():
    A = ss.operators.Identity((3,))
    y, weights = np.array([1.0, np.nan, 2.0]), np.array([1.0, 0.0, 1.0])
    loss = ss.LeastSquares(A, y, weights)
    assert loss.value(np.zeros(3)) == 2.5
    assert loss.n_data == 2
    assert loss.misfit(np.array([1.0, 7.0, 0.0])) == 2.0


@pytest.mark.parametrize("size", [1e-20, 1e20])
def test_data_whose_squares_leave_the_range_are_refused(size):
    A = ss.operators.Identity((3,))
    with pytest.raises(ValueError, match="scale the data"):
        ss.LeastSquares(A, np.full(3, size, "complex64"))
    assert ss.LeastSquares(A, np.full(3, size)).y[0] == size
    assert not ss.LeastSquares(A, np.zeros(3, "float32")).y.any()


def test_integer_and_single_precision_data_are_cast_once_and_said():
    A = ss.operators.Dense(np.eye(3))
    loss = ss.LeastSquares(A, np.array([1, 2, 3]))
    assert loss.y.dtype == np.float64
    problem = ss.Problem(ss.LeastSquares(A, np.ones(3, np.complex64)))
    assert problem.loss.y.dtype == np.complex128
    assert problem.x_dtype == np.complex128
    assert "complex64 to complex128" in problem.choices["dtype"]


def test_real_unknown_under_a_complex_operator():
    A = ss.operators.Dense(random((6, 3), "complex128")).real()
    truth = np.array([1.0, -2.0, 0.5])
    problem = ss.Problem(ss.LeastSquares(A, A(truth)))
    assert problem.x_dtype == np.float64
    solution = ss.solve(problem, ss.ProximalGradient(), tol=1e-10)
    assert solution.x.dtype == np.float64
    np.testing.assert_allclose(solution.x, truth, atol=1e-8)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda A: ss.LeastSquares(A, np.array([[1.0, np.nan], [0, 0]])), "1 NaN or"),
        (lambda A: ss.LeastSquares(A, np.ones((3, 2))), "axes swapped"),
        (lambda A: ss.LeastSquares(A, np.ones((0, 2, 3))), "empty"),
        (lambda A: ss.LeastSquares(A, [1.0]), "y is a list"),
        (lambda A: ss.NoiseBall(A, np.ones((2, 3)), -1.0), "radius is -1"),
        (lambda A: ss.NoiseBall(A, np.ones((2, 3)), np.ones(4)), "radius has shape"),
        (lambda A: ss.Huber(A, np.ones((2, 3)), 0), "delta is 0"),
        (lambda A: ss.Logistic(A, np.zeros((2, 3))), "wanted labels"),
        (lambda A: ss.L21(A, np.ones((2, 3)), axis=1), "axis is 1"),
        (
            lambda A: ss.LeastSquares(A, np.ones((2, 3)), -np.ones((2, 3))),
            "weights must be >= 0",
        ),
        (
            lambda A: ss.LeastSquares(A, np.ones((2, 3)), np.ones((3, 2))),
            "weights of shape",
        ),
        (lambda A: ss.LeastSquares("A", np.ones((2, 3))), "str"),
        (lambda A: ss.LeastSquares(A, np.array(["a", "b"])), "wanted numbers"),
    ],
)
def test_bad_input_is_one_sentence(make, message):
    A = ss.operators.Identity((2, 3))
    with pytest.raises((ValueError, TypeError), match=message) as caught:
        make(A)
    assert "\n" not in str(caught.value)
