"""Losses: gradients, proxes and majorisers against finite differences and search."""

import numpy as np
import pytest
import scipy.optimize
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
        "weighted by factors": ss.LeastSquares(
            A, y, (weights[:, :1], weights[:1], 2 * weights[1])
        ),
        "L21": ss.L21(A, y),
        "L21 weighted": ss.L21(A, y, weights=weights[0]),
        "L21 of columns": ss.L21(A, y, axis=-2, weights=weights[:, 0]),
        "Huber": ss.Huber(A, y, 0.6),
    }
    if np.dtype(dtype).kind == "f":
        made["Logistic"] = ss.Logistic(A, np.sign(y))
    return made


ROBUST = ("L21", "L21 weighted", "L21 of columns", "Huber")
SMOOTH = ("LeastSquares", "weighted", "weighted by factors", "Huber", "Logistic")
NAMES = (*SMOOTH, "NoiseBall", *ROBUST[:3])


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


@pytest.mark.parametrize("name", ROBUST)
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
        one = _one(batch, i)
        np.testing.assert_allclose(values[i], one.value(z[i]), rtol=1e-12)
        np.testing.assert_allclose(proxes[i], one.prox(z[i], step), rtol=1e-12)


def _one(loss, i):
    """The loss of problem `i` of a batch, made anew."""
    if isinstance(loss, ss.LeastSquares):
        return ss.LeastSquares(loss.A, loss.y[i], loss.factors or None)
    if isinstance(loss, ss.L21):
        weights = None if loss.weights is None else loss.weights.reshape(-1)
        return ss.L21(loss.A, loss.y[i], axis=loss.axis, weights=weights)
    extra = {"NoiseBall": (0.8,), "Huber": (0.6,)}.get(type(loss).__name__, ())
    return type(loss)(loss.A, loss.y[i], *extra)


# Weights as factors


def test_factors_of_weights_are_their_product():
    rng = np.random.default_rng(2)
    rows, columns = rng.uniform(0.5, 2, (4, 1)), rng.uniform(0.5, 2, 3)
    A, y = ss.operators.Identity(SHAPE), random((2, *SHAPE), "complex64", 1)
    split = ss.LeastSquares(A, y, (rows, columns))
    whole = ss.LeastSquares(A, y, rows * columns)
    z = random((2, *SHAPE), "complex64", 3)
    for f in ("value", "gradient", "misfit"):
        found, wanted = getattr(split, f)(z), getattr(whole, f)(z)
        assert found.dtype == wanted.dtype
        np.testing.assert_allclose(found, wanted, rtol=1e-5)
    np.testing.assert_allclose(split.prox(z, 0.3), whole.prox(z, 0.3), rtol=1e-5)
    np.testing.assert_allclose(split.weights, whole.weights, rtol=1e-6)
    # Bounds of the factors bound the product, if not as tightly as it bounds itself.
    assert split.curvature == pytest.approx(rows.max() * columns.max(), rel=1e-6)
    assert ss.LeastSquares(A, y).weights is None


def test_a_factor_of_zero_leaves_its_entries_out_nan_and_all():
    y = random(SHAPE, "float64", 1)
    y[1], y[:, 2] = np.nan, np.inf
    rows, columns = np.ones((4, 1)), np.ones((1, 3))
    rows[1], columns[0, 2] = 0, 0
    loss = ss.LeastSquares(ss.operators.Identity(SHAPE), y, (rows, columns))
    kept = y[[0, 2, 3], :2]
    assert loss.n_data == 6
    assert loss.value(np.zeros(SHAPE)) == pytest.approx(np.sum(kept**2) / 2)
    assert loss.misfit(np.zeros(SHAPE)) == pytest.approx(np.linalg.norm(kept))


def test_a_constant_lifts_the_value_only():
    A, y = ss.operators.Identity(SHAPE), random(SHAPE, "float64", 1)
    lifted, plain = ss.LeastSquares(A, y, constant=2.5), ss.LeastSquares(A, y)
    z = random(SHAPE, "float64", 2)
    assert lifted.value(z) == pytest.approx(float(plain.value(z)) + 2.5)
    np.testing.assert_array_equal(lifted.gradient(z), plain.gradient(z))


# Robust rows


@pytest.mark.parametrize("axis", [-1, -2])
@pytest.mark.parametrize("shape", [(5, 7), (3, 30000)])
@pytest.mark.parametrize("dtype", ["float32", "float64", "complex64"])
def test_l21_sums_weighted_norms_of_rows_small_or_large(dtype, shape, axis):
    A, y = ss.operators.Identity(shape), random((2, *shape), dtype, 1)
    z = random((2, *shape), dtype, 2)
    w = np.random.default_rng(3).uniform(0.2, 3, shape[axis])
    along = w if axis == -1 else w[:, None]
    r2 = np.abs(z.astype("complex128") - y) ** 2
    for weights, scale in ((None, 1.0), (w, along)):
        loss = ss.L21(A, y, axis=axis, weights=weights)
        norms = np.sqrt(np.sum(scale * r2, axis=axis))
        found = loss.value(z)
        assert found.dtype == z.real.dtype
        rtol = 1e-4 if dtype != "float64" else 1e-12
        np.testing.assert_allclose(found, norms.sum(axis=-1), rtol=rtol)
        above, value = loss.majorise_and_value(z)
        np.testing.assert_allclose(value, found, rtol=rtol)
        np.testing.assert_allclose(above.value(z), found, rtol=rtol)
        want = np.expand_dims(1 / norms, axis) * scale * np.ones(z.shape)
        np.testing.assert_allclose(above.weights, want, rtol=rtol)
        for strided in (np.asfortranarray(z), np.repeat(z, 2, axis=-1)[..., ::2]):
            np.testing.assert_allclose(loss.value(strided), found, rtol=rtol)


@pytest.mark.parametrize("step", [1e-3, 0.4, 1.0, 3.0, 100.0])
def test_the_prox_of_weighted_rows_by_search_along_its_curve(step):
    """min_u ‖√w (u - y)‖ + ‖u - z‖²/(2 step): by SciPy, and where rows go to zero."""
    rng = np.random.default_rng(4)
    y, z = rng.standard_normal((2, 3, 5))
    z[2] = y[2] + 1e-3
    w = np.array([0.1, 0.5, 1.0, 2.0, 9.0])
    found = ss.L21(ss.operators.Identity((3, 5)), y, weights=w).prox(z, step)
    for row in range(3):
        r = z[row] - y[row]
        if np.linalg.norm(r / np.sqrt(w)) <= step:  # the dual norm
            np.testing.assert_allclose(found[row], y[row], atol=1e-9)
            continue
        best = scipy.optimize.minimize(
            lambda u, r=r: (
                np.sqrt(np.sum(w * u**2)) + np.sum((u - r) ** 2) / (2 * step)
            ),
            r,
            jac=lambda u, r=r: w * u / np.sqrt(np.sum(w * u**2)) + (u - r) / step,
            method="BFGS",
            options={"gtol": 1e-10},
        ).x
        np.testing.assert_allclose(found[row], y[row] + best, atol=1e-6)


def test_equal_weights_are_a_scale_and_one_is_none():
    A, y = ss.operators.Identity(SHAPE), random(SHAPE, "float64", 1)
    z = random(SHAPE, "float64", 2) * 2
    plain = ss.L21(A, y)
    ones = ss.L21(A, y, weights=np.ones(3))
    fours = ss.L21(A, y, weights=np.full(3, 4.0))
    np.testing.assert_allclose(ones.prox(z, 0.7), plain.prox(z, 0.7), atol=1e-12)
    assert fours.value(z) == pytest.approx(2 * float(plain.value(z)))
    np.testing.assert_allclose(fours.prox(z, 0.7), plain.prox(z, 1.4), atol=1e-12)


@pytest.mark.parametrize("weighted", [False, True])
def test_a_row_that_fits_exactly_keeps_a_finite_weight(weighted):
    A, y = ss.operators.Identity(SHAPE), random(SHAPE, "float64", 1)
    loss = ss.L21(A, y, weights=np.array([1.0, 2.0, 0.5]) if weighted else None)
    z = y.copy()
    z[1:] += 1
    above = loss.majorise(z)
    typical = np.sqrt(np.mean(np.sum((loss.weights if weighted else 1) * y**2, 1)))
    assert above.factors[0][0, 0] == pytest.approx(1e6 / typical)
    assert above.value(z) == pytest.approx(float(loss.value(z)), rel=1e-12)
    for size in (1e-9, 1e-7, 1e-3, 1.0):
        other = z + size * random(SHAPE, "float64", 5)
        assert above.value(other) >= loss.value(other) - 1e-6 * typical


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
        (lambda A: ss.L21(A, np.ones((2, 3)), weights=np.ones(2)), "weights has shape"),
        (
            lambda A: ss.L21(A, np.ones((2, 3)), weights=np.array([1.0, 0, 1])),
            "weights has entries",
        ),
        (
            lambda A: ss.L21(A, np.ones((2, 3)), weights=np.array([1, np.nan, 1])),
            "weights",
        ),
        (
            lambda A: ss.LeastSquares(
                A, np.ones((2, 3)), (np.ones((2, 1)), -np.ones(3))
            ),
            "weights must be >= 0",
        ),
        (
            lambda A: ss.LeastSquares(A, np.ones((2, 3)), (np.ones(3), np.ones(2))),
            "weights of shape",
        ),
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


def test_a_loss_shows_its_weights_as_shapes():
    loss = ss.LeastSquares(
        ss.operators.Identity((2, 3)), np.ones((2, 3)), (np.ones((2, 1)), np.ones(3))
    )
    assert "factors=(array(2, 1), array(3,))" in repr(loss)
    assert "\n" not in repr(loss)


def test_what_is_not_finite_is_counted_and_found():
    A, data = ss.operators.Identity((2, 3)), np.ones((2, 3))
    bad = data.copy()
    bad[1, ::2] = np.nan, np.inf
    found = r"2 NaN or infinite entries of 6, the first at \(1, 0\)"
    with pytest.raises(ValueError, match=f"^y has {found}; clean it"):
        ss.LeastSquares(A, bad)
    with pytest.raises(ValueError, match=f"^weights has {found}$"):
        ss.LeastSquares(A, data, bad)


def test_a_factor_that_is_transposed_is_named():
    A = ss.operators.Kronecker(np.ones((3, 7)), np.ones((5, 2)))
    ss.LeastSquares(A, np.ones((4, 3, 5)))
    with pytest.raises(
        ValueError, match=r"wanted \(3, 5\), .*; factors\[1\] "
    ) as caught:
        ss.LeastSquares(A, np.ones((4, 3, 2)))
    said = "has 5 rows where axis 1 of y has 2, which is its number of columns"
    assert str(caught.value).endswith(f"{said}: is it transposed?")
    with pytest.raises(ValueError, match=r"factors\[0\] has 3 rows where axis 0 .* 6$"):
        ss.LeastSquares(A, np.ones((6, 5)))
