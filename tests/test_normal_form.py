"""Least squares in one factor of a product, in Gram form, against dense solves."""

import itertools

import numpy as np
import pytest
from cases import random

import sparsesolve as ss
from sparsesolve.backends import dtype_of, to_device, to_numpy
from sparsesolve.normal_form import normal_form
from sparsesolve.operators.blocks import LeftMultiply, RightMultiply
from sparsesolve.priors import (
    L1,
    Box,
    GuidedLp,
    NonNegative,
    Simplex,
    SoftSimplex,
    Tilted,
)

L, K, N = 9, 4, 7
SIDES = ("left", "right")
WEIGHTS = ("none", "rows", "columns", "both", "all four")


def known(side, dtype="float64"):
    """The factor that is known, and the operator of the other."""
    if side == "left":
        return LeftMultiply(random((L, K), dtype), N)
    return RightMultiply(random((K, N), dtype), L)


def factors(kind, dtype="float64"):
    rng = np.random.default_rng(3)
    r = rng.uniform(0.2, 3, (L, 1)).astype(dtype)
    c = rng.uniform(0.2, 3, (1, N)).astype(dtype)
    return {
        "none": None,
        "rows": r,
        "columns": c,
        "both": (r, c),
        "all four": (r, c, 2 * r, c[0]),  # a factor (N,) is one of columns
    }[kind]


def a_loss(side, kind="none", dtype="float64"):
    data = random((L, N), dtype, 1) + 0.5
    real = "float32" if dtype in ("float32", "complex64") else "float64"
    return ss.LeastSquares(
        known(side, dtype), data.astype(dtype), factors(kind, real), constant=0.0
    )


def shape(side):
    return (K, N) if side == "left" else (L, K)


@pytest.mark.parametrize("dtype", ["float64", "complex128"])
@pytest.mark.parametrize("kind", WEIGHTS)
@pytest.mark.parametrize("side", SIDES)
def test_the_gradient_is_that_of_the_loss(side, kind, dtype):
    loss = a_loss(side, kind, dtype)
    form = normal_form(loss)
    x, d = random(shape(side), dtype, 4), random(shape(side), dtype, 5)
    direct = loss.A.adjoint(loss.gradient(loss.A.forward(x)))
    np.testing.assert_allclose(form.gradient(x), direct, rtol=1e-11, atol=1e-11)
    h = 1e-6
    rise = [loss.value(loss.A.forward(x + s * h * d)) for s in (1, -1)]
    slope = (rise[0] - rise[1]) / (2 * h)
    assert slope == pytest.approx(np.vdot(form.gradient(x), d).real, rel=1e-6)


@pytest.mark.parametrize("kind", WEIGHTS)
@pytest.mark.parametrize("side", SIDES)
def test_the_curvature_bounds_the_hessian_and_is_reached_where_one_scale_is(side, kind):
    loss = a_loss(side, kind)
    n = int(np.prod(shape(side)))
    units = np.eye(n).reshape(n, *shape(side))
    images = loss.A.forward(units)
    weights = 1.0 if loss.weights is None else loss.weights
    hessian = np.einsum("ipq,jpq->ij", images, weights * images)
    # The Hessian has a block s_n G for each column (row), so this is no bound only.
    largest = np.linalg.eigvalsh(hessian)[-1]
    assert normal_form(loss).lipschitz() == pytest.approx(largest, rel=1e-10)


def best(G, b, total=None):
    """min x'Gx/2 - b'x over x >= 0 (of that sum): the best of all supports."""
    k, found = len(b), (np.inf, None)
    for size in range(0 if total is None else 1, k + 1):
        for support in itertools.combinations(range(k), size):
            s = list(support)
            x = np.zeros(k)
            if total is None:
                x[s] = np.linalg.solve(G[np.ix_(s, s)], b[s])
            else:
                system = np.ones((size + 1, size + 1))
                system[:size, :size] = G[np.ix_(s, s)]
                system[size, size] = 0
                x[s] = np.linalg.solve(system, np.append(b[s], total))[:size]
            if x.min() >= -1e-12:
                found = min(found, (x @ G @ x / 2 - b @ x, tuple(x)))
    return np.array(found[1])


def reference(loss, side, *, total=None, soft=None, costs=0.0):
    """The minimiser column by column (row by row), from weighted normal equations."""
    w = np.ones((L, N)) if loss.weights is None else loss.weights
    y, m = loss.y, loss.A.m
    if side == "right":
        w, y, m = w.T, y.T, m.T
        costs = costs if np.ndim(costs) == 0 else costs.T
    costs = np.broadcast_to(costs, (K, y.shape[1]))
    x = np.empty((K, y.shape[1]))
    for n in range(y.shape[1]):
        G = m.T @ (w[:, [n]] * m)
        b = m.T @ (w[:, n] * y[:, n]) - costs[:, n]
        if soft is not None:
            G, b = G + soft[0], b + soft[0] * soft[1]
        x[:, n] = best(G, b, total)
    return x if side == "left" else x.T


def axis(side):
    return 0 if side == "left" else -1


@pytest.mark.parametrize("kind", WEIGHTS)
@pytest.mark.parametrize("side", SIDES)
def test_the_minimiser_on_the_cone_and_on_the_simplex(side, kind):
    loss = a_loss(side, kind)
    form, costs = normal_form(loss), random(shape(side), "float64", 6)
    cases = [
        (NonNegative(), {}),
        (Simplex(axis=axis(side)), {"total": 1.0}),
        (Simplex(axis=axis(side), total=2.5), {"total": 2.5}),
        (Tilted(0.7, NonNegative(), costs), {"costs": 0.7 * costs}),
        (Tilted(0.7, NonNegative()), {"costs": 0.7}),
        (
            Tilted(0.7, Simplex(axis=axis(side), total=2.5), costs),
            {"costs": 0.7 * costs, "total": 2.5},
        ),
        (
            Tilted(0.3, Tilted(2.0, NonNegative()), costs),
            {"costs": 2.0 + 0.3 * costs},
        ),
    ]
    for prior, options in cases:
        found = form.minimise(prior.bind(shape(side)))
        wanted = reference(loss, side, **options)
        np.testing.assert_allclose(found, wanted, atol=1e-9, err_msg=repr(prior))


@pytest.mark.parametrize("side", SIDES)
def test_the_minimiser_on_the_softened_simplex(side):
    # Weights that leave one Gram matrix to all columns: of the rows for A on the right.
    loss = a_loss(side, "rows" if side == "left" else "columns")
    prior = SoftSimplex(3.0, axis=axis(side), total=1.5)
    found = normal_form(loss).minimise(prior.bind(shape(side)))
    wanted = reference(loss, side, soft=(3.0, 1.5))
    np.testing.assert_allclose(found, wanted, atol=1e-9)
    costs = random(shape(side), "float64", 6)
    tilted = Tilted(0.4, prior, costs).bind(shape(side))
    found = normal_form(loss).minimise(tilted)
    wanted = reference(loss, side, soft=(3.0, 1.5), costs=0.4 * costs)
    np.testing.assert_allclose(found, wanted, atol=1e-9)


@pytest.mark.parametrize("side", SIDES)
def test_a_softened_simplex_weighted_like_the_data_has_a_minimiser(side):
    """Found where the gradient of the whole sum is 0 on the support, >= 0 off it."""
    loss, along = a_loss(side, "both"), axis(side)
    scale = loss.factors[1 if side == "left" else 0]
    prior = SoftSimplex(3.0, axis=along, total=1.5, weights=scale).bind(shape(side))
    form = normal_form(loss)
    x = form.minimise(prior)
    excess = x.sum(axis=along, keepdims=True) - 1.5
    gradient = form.gradient(x) + 3.0 * scale * excess
    on = x > 0
    assert on.any()
    assert not on.all()
    assert np.abs(gradient[on]).max() < 1e-9
    assert gradient[~on].min() > -1e-9


@pytest.mark.parametrize("side", SIDES)
def test_where_no_minimiser_is_known_it_says_so(side):
    form = normal_form(a_loss(side, "both"))
    wrong = Simplex(axis=-1 if side == "left" else 0)
    priors = (wrong, L1(1.0), Box(0.0, 1.0), SoftSimplex(1.0, axis=axis(side)))
    for prior in (*priors, Tilted(1.0, wrong), Tilted(1.0, Box(0.0, 1.0))):
        assert form.minimise(prior.bind(shape(side))) is None, prior
    complex_form = normal_form(a_loss(side, "both", "complex128"))
    assert complex_form.minimise(L1(1.0).bind(shape(side))) is None


@pytest.mark.parametrize("side", SIDES)
def test_columns_of_weight_zero_with_costs_are_left_to_descent(side):
    rows, columns = (np.array(w) for w in factors("both"))
    (columns if side == "left" else rows).flat[0] = 0
    data = random((L, N), "float64", 1)
    form = normal_form(ss.LeastSquares(known(side), data, (rows, columns)))
    assert form.minimise(Tilted(1.0, NonNegative()).bind(shape(side))) is None
    assert form.minimise(NonNegative().bind(shape(side))) is not None


def test_losses_that_have_no_normal_form():
    y = random((L, N), "float64", 1)
    for side in SIDES:
        full = np.random.default_rng(0).uniform(0.5, 2, (L, N))
        assert normal_form(ss.LeastSquares(known(side), y, full)) is None
        assert normal_form(ss.L21(known(side), y)) is None
        assert normal_form(ss.Huber(known(side), y, 1.0)) is None
    assert normal_form(ss.LeastSquares(ss.operators.Identity((L, N)), y)) is None


@pytest.mark.parametrize("kind", ["none", "both"])
@pytest.mark.parametrize("side", SIDES)
def test_descent_never_rises_and_arrives(side, kind):
    loss = a_loss(side, kind)
    form, prior = normal_form(loss), Tilted(0.2, NonNegative()).bind(shape(side))

    def objective(x):
        return float(loss.value(loss.A.forward(x)) + prior.value(x))

    x = np.ones(shape(side))
    values = [objective(x)]
    for _ in range(30):
        x = form.descend(prior, x, 1)
        values.append(objective(x))
    assert all(b <= a + 1e-12 * abs(a) for a, b in itertools.pairwise(values))
    five = form.descend(prior, np.ones(shape(side)), 5)
    assert objective(five) == pytest.approx(values[5], rel=1e-12)
    end = form.descend(prior, x, 5000)
    np.testing.assert_allclose(end, form.minimise(prior), atol=1e-8)


def test_a_model_that_is_zero_is_left_alone():
    loss = ss.LeastSquares(LeftMultiply(np.zeros((L, K)), N), np.ones((L, N)))
    form = normal_form(loss)
    x = np.full((K, N), 0.3)
    np.testing.assert_array_equal(form.descend(NonNegative().bind((K, N)), x, 3), x)


@pytest.mark.parametrize("side", SIDES)
def test_a_batch_has_a_gradient_and_no_exact_minimiser(side):
    m = random((2, L, K) if side == "left" else (2, K, N), "float64")
    A = LeftMultiply(m, N) if side == "left" else RightMultiply(m, L)
    loss = ss.LeastSquares(A, random((2, L, N), "float64", 1), factors("both"))
    form, x = normal_form(loss), random((2, *shape(side)), "float64", 4)
    direct = A.adjoint(loss.gradient(A.forward(x)))
    np.testing.assert_allclose(form.gradient(x), direct, rtol=1e-11, atol=1e-11)
    assert form.minimise(NonNegative().bind(shape(side))) is None


@pytest.mark.parametrize("library", ["array_api_strict", "torch:cpu"])
@pytest.mark.parametrize("side", SIDES)
def test_other_libraries_and_single_precision(side, library):
    pytest.importorskip(library.partition(":")[0])
    for dtype, atol in (("float64", 1e-10), ("float32", 2e-4)):
        here = a_loss(side, "both", dtype)
        there = here.to(library)
        costs = random(shape(side), dtype, 6)
        x = random(shape(side), dtype, 4)
        form, other = normal_form(here), normal_form(there)
        assert form.gradient(x).dtype == dtype
        away = other.gradient(to_device(x, library))
        assert dtype_of(away) == dtype
        np.testing.assert_allclose(to_numpy(away), form.gradient(x), atol=atol)
        assert other.lipschitz() == pytest.approx(form.lipschitz(), rel=1e-4)
        for prior in (
            NonNegative(),
            Tilted(0.3, Simplex(axis=axis(side)), costs),
        ):
            prior = prior.bind(shape(side))
            found = form.minimise(prior)
            assert found.dtype == dtype
            far = other.minimise(prior.to(library))
            assert type(far) is type(away)
            assert dtype_of(far) == dtype
            np.testing.assert_allclose(to_numpy(far), found, atol=atol)
            wide = normal_form(a_loss(side, "both")).minimise(prior)
            np.testing.assert_allclose(found, wide, atol=atol)


def test_a_majorised_guide_is_minimised_exactly_in_one_block():
    loss = a_loss("left", "both")
    x = np.random.default_rng(0).dirichlet(np.ones(K), N).T
    prior = GuidedLp(0.4, 0.5, within=Simplex()).bind((K, N))
    above = prior.majorise(x)
    found = normal_form(loss).minimise(above)
    slopes = 0.4 * 0.5 * np.maximum(x, 1e-4) ** -0.5
    wanted = reference(loss, "left", total=1.0, costs=slopes)
    np.testing.assert_allclose(found, wanted, atol=1e-9)


# Residuals without the image


@pytest.mark.parametrize("dtype", ["float64", "complex128"])
@pytest.mark.parametrize("kind", WEIGHTS)
@pytest.mark.parametrize("side", SIDES)
def test_residual_powers_are_those_of_the_image(side, kind, dtype):
    loss = a_loss(side, kind, dtype)
    form, x = normal_form(loss), random(shape(side), dtype, 4)
    r2 = np.abs(loss.A.forward(x) - loss.y) ** 2
    r, c = factors("both")
    on_rows = {"rows": r, "both": r, "all four": 2 * r**2}.get(kind, 1.0)
    on_columns = {"columns": c, "both": c, "all four": c**2}.get(kind, 1.0)
    inner, along = (on_rows, 0) if side == "left" else (on_columns, 1)
    wanted = np.sum(inner * r2, axis=along, keepdims=True)
    powers = form.residual_powers(x, form.data_powers(loss.y))
    np.testing.assert_allclose(powers, wanted, rtol=1e-12)
    above, value = loss.majorise_and_value_in(form, x)
    assert above is loss
    assert value == pytest.approx(float(loss.value(loss.A.forward(x))), rel=1e-12)
    lifted = ss.LeastSquares(loss.A, loss.y, loss.factors or None, constant=2.5)
    assert lifted.majorise_and_value_in(form, x)[1] == pytest.approx(value + 2.5)


@pytest.mark.parametrize("side", SIDES)
def test_residual_powers_are_refused_where_digits_cancel(side):
    A, x = known(side), random(shape(side), "float64", 4)
    exact = A.forward(x)
    for size, trusted in ((0.1, True), (1e-3, False), (0.0, False)):
        y = exact + size * np.abs(exact).max() * random((L, N), "float64", 1)
        loss = ss.LeastSquares(A, y)
        form = normal_form(loss)
        assert (form.residual_powers(x, form.data_powers(y)) is not None) == trusted
        assert (loss.majorise_and_value_in(form, x) is not None) == trusted
    single = a_loss(side, "both", "float32")
    form, x = normal_form(single), random(shape(side), "float32", 4)
    assert form.residual_powers(x, form.data_powers(single.y)) is None


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("side", SIDES)
def test_a_majoriser_of_rows_is_found_without_the_image(side, weighted):
    """Σ‖rows‖ from the right factor's form is that from the image, weights too."""
    axis_ = -2 if side == "left" else -1
    w = np.random.default_rng(3).uniform(0.2, 3, (L, N)[axis_]) if weighted else None
    A, y = known(side), random((L, N), "float64", 1) + 0.5
    loss = ss.L21(A, y, axis=axis_, weights=w)
    above = loss.majorise(A.forward(random(shape(side), "float64", 4)))
    form, x = normal_form(above), random(shape(side), "float64", 5)
    found, value = loss.majorise_and_value_in(form, x)
    wanted, direct = loss.majorise_and_value(A.forward(x))
    assert value == pytest.approx(float(direct), rel=1e-12)
    assert found.constant == pytest.approx(float(wanted.constant), rel=1e-9)
    np.testing.assert_allclose(found.weights, wanted.weights, rtol=1e-11)
    other = ss.L21(A, y, axis=-1 if side == "left" else -2)
    assert other.majorise_and_value_in(form, x) is None


def test_a_single_column_needs_the_image_since_its_weights_look_like_rows():
    A, y = RightMultiply(random((K, 1), "float64"), L), random((L, 1), "float64", 1)
    loss = ss.L21(A, y, weights=np.array([3.0]))
    form = normal_form(loss.majorise(y + 1))
    assert loss.majorise_and_value_in(form, random((L, K), "float64", 2)) is None


@pytest.mark.parametrize("library", ["array_api_strict", "torch:cpu"])
@pytest.mark.parametrize("side", SIDES)
def test_residual_powers_in_other_libraries_and_in_batches(side, library):
    pytest.importorskip(library.partition(":")[0])
    loss = a_loss(side, "both")
    here, x = normal_form(loss), random(shape(side), "float64", 4)
    there, away = normal_form(loss.to(library)), to_device(x, library)
    wanted = here.residual_powers(x, here.data_powers(loss.y))
    powers = there.residual_powers(away, there.data_powers(loss.to(library).y))
    np.testing.assert_allclose(to_numpy(powers), wanted, rtol=1e-12)
    value = loss.to(library).majorise_and_value_in(there, away)[1]
    assert float(value) == pytest.approx(float(loss.value(loss.A.forward(x))))


@pytest.mark.parametrize("k", [1, 3, 4, 8])
@pytest.mark.parametrize("size", [(121, 600), (4, 16385), (3, 30000), (130, 512)])
def test_compiled_thin_products_are_those_of_the_general_one(size, k, monkeypatch):
    from sparsesolve import thin_kernels

    (rows, columns), rng = size, np.random.default_rng(k)
    y = rng.standard_normal(size)
    m, a = rng.standard_normal((rows, k)), rng.standard_normal((k, columns))
    r, c = rng.uniform(0.2, 3, (rows, 1)), rng.uniform(0.2, 3, (1, columns))
    for A, wanted in (
        (LeftMultiply(m, columns), (m * r).T @ y),
        (RightMultiply(a, rows), y @ (a * c).T),
    ):
        loss = ss.LeastSquares(A, y, (r, c))
        form = normal_form(loss)
        scale = np.abs(wanted).max()
        np.testing.assert_allclose(form.rhs, wanted, atol=1e-13 * scale, rtol=1e-12)
        plain = ss.LeastSquares(A, np.asfortranarray(y), (r, c))
        np.testing.assert_allclose(normal_form(plain).rhs, wanted, atol=1e-13 * scale)
    used = []
    for name in ("from_left", "from_right"):
        real = getattr(thin_kernels, name)
        monkeypatch.setattr(
            thin_kernels, name, lambda *a, f=real, n=name: used.append(n) or f(*a)
        )
    normal_form(ss.LeastSquares(LeftMultiply(m, columns), y))
    normal_form(ss.LeastSquares(RightMultiply(a, rows), y))
    assert used == ["from_left", "from_right"]
