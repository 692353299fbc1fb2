"""Guided sparsity, tilted and softened sets: against brute force and dense solves."""

import itertools

import numpy as np
import pytest
import scipy.optimize
import scipy.sparse
from cases import random

import sparsesolve as ss
from sparsesolve.priors import (
    L1,
    GuidedLp,
    Lp,
    NonNegative,
    Simplex,
    SoftSimplex,
    SparsenessGuide,
    Tilted,
    guided_lp,
)
from sparsesolve.priors.guides import sparseness

PS = (0.05, 0.25, 0.5, 0.75, 0.99, 1.0)


def penalty(a, p, floor):
    """|a|^p, below the floor its tangent there, moved so that 0 costs nothing."""
    a = np.abs(a)
    line = floor**p + p * floor ** (p - 1) * (a - floor)
    return np.where(a > floor, np.maximum(a, 1e-300) ** p, line) - (1 - p) * floor**p


def cost(a, v, w, p, floor):
    return (a - v) ** 2 / 2 + w * penalty(a, p, floor)


def best_on_a_grid(v, w, p, floor):
    """The global minimum over [0, v], from a grid refined around its best points."""
    grid = np.concatenate([np.linspace(0, v, 4001), np.linspace(0, min(floor, v), 401)])
    order = np.argsort(cost(grid, v, w, p, floor))[:5]
    step = v / 4000
    fine = [np.linspace(max(grid[i] - step, 0), grid[i] + step, 4001) for i in order]
    values = np.concatenate([grid, *fine])
    return float(cost(values, v, w, p, floor).min())


@pytest.mark.parametrize("floor", [1e-6, 1e-2, 0.5])
@pytest.mark.parametrize("p", PS)
def test_the_prox_is_the_global_minimum(p, floor):
    sizes, ws = (1e-3, 0.3, 0.9, 1.5, 4.0), (1e-3, 0.2, 0.7, 3.0)
    for v, w in itertools.product(sizes, ws):
        found = float(GuidedLp(w / 0.5, 1 - p, floor=floor).prox(np.array([v]), 0.5)[0])
        best = best_on_a_grid(v, w, p, floor)
        assert cost(found, v, w, p, floor) <= best + 1e-12 * max(1, best), (v, w)


@pytest.mark.parametrize("p", [0.25, 0.5, 0.75])
def test_the_prox_around_its_threshold(p):
    """Of |.|^p the jump is at v* = (2 - p)/2 · (2 w (1 - p))^(1/(2 - p)) / (1 - p)."""
    w = 0.7
    jump = (2 * w * (1 - p)) ** (1 / (2 - p))
    edge = jump * (2 - p) / (2 * (1 - p))
    prior = GuidedLp(w, 1 - p, floor=1e-30)
    below, above = prior.prox(edge * np.array([1 - 1e-6, 1 + 1e-6]), 1.0)
    assert below == 0
    assert above == pytest.approx(jump, rel=1e-4)


@pytest.mark.parametrize("p", [0.05, 0.25, 0.5, 0.75, 0.99])
def test_above_the_floor_the_prox_is_stationary(p):
    """Down to the jump, where Newton's steps have the longest way."""
    w = 0.7
    edge = (2 * w * (1 - p)) ** (1 / (2 - p)) * (2 - p) / (2 * (1 - p))
    v = edge * np.array([1 + 1e-6, 1.01, 1.5, 20.0])
    a = GuidedLp(w, 1 - p, floor=1e-30).prox(v, 1.0)
    assert a.min() > 0
    np.testing.assert_allclose(a + w * p * a ** (p - 1), v, rtol=1e-13)


def test_of_two_equal_minimisers_the_smaller_is_taken():
    """p = 1/2, w = 1: at v = 3/2 the minimisers 0 and 1 tie."""
    p, w, v = 0.5, 1.0, 1.5
    prior = GuidedLp(w, 0.5, floor=2.0**-40)
    assert cost(0.0, v, w, p, 2.0**-40) == pytest.approx(cost(1.0, v, w, p, 2.0**-40))
    assert prior.prox(np.array([v + 1e-5]), 1.0)[0] == pytest.approx(1.0, abs=1e-4)
    assert prior.prox(np.array([v - 1e-5]), 1.0)[0] < 1e-12
    assert prior.prox(np.array([0.0]), 1.0)[0] == 0


def test_exponent_one_is_l1_and_a_half_is_lp():
    v = random((5, 7), "float64", 1) * 2
    np.testing.assert_allclose(
        GuidedLp(0.4, 0.0).prox(v, 0.9), L1(0.4).prox(v, 0.9), atol=1e-14
    )
    assert GuidedLp(0.4, 0.0).value(v) == pytest.approx(float(L1(0.4).value(v)))
    tiny, half = GuidedLp(0.4, 0.5, floor=1e-14), Lp(0.4, 0.5)
    np.testing.assert_allclose(tiny.prox(v, 0.9), half.prox(v, 0.9), atol=1e-7)
    assert tiny.value(v) == pytest.approx(float(half.value(v)), rel=1e-6)


def test_the_value_by_hand():
    x = np.array([[0.0, 1e-3, 0.04, 4.0], [-0.25, 0.02, 1.0, -9.0]])
    h = np.array([0.0, 0.5, 0.5, 0.75])
    w = np.array([1.0, 2.0, 3.0, 0.5])
    found = GuidedLp(0.3, h, weights=w, floor=0.01).value(x)
    # Below the floor the line from 0 of the slope at it, p floor^(p-1); above the power
    # less (1-p) floor^p, how far the tangent at the floor is from 0 at 0.
    lines = np.array([[0, 5e-3, 0, 0], [0, 0, 0, 0]])
    powers = np.array([[0, 0, 0.2, 4**0.25], [0.25, 0.02**0.5, 1, 9**0.25]])
    lift = h * 0.01 ** (1 - h)
    terms = np.where(np.abs(x) > 0.01, powers - lift, lines)
    assert found == pytest.approx(0.3 * np.sum(w * terms), rel=1e-12)


@pytest.mark.parametrize("h", [0.0, 0.5, 0.9])
def test_zero_costs_nothing_and_the_value_is_continuous_at_the_floor(h):
    prior = GuidedLp(1.0, h, floor=0.1)
    assert float(prior.value(np.zeros(3))) == pytest.approx(0, abs=1e-15)
    left, right = (float(prior.value(np.array([0.1 + d]))) for d in (-1e-9, 1e-9))
    slope = (1 - h) * 0.1**-h
    assert (right - left) / 2e-9 == pytest.approx(slope, rel=1e-6)


@pytest.mark.parametrize("dtype", ["float64", "complex128"])
def test_the_majoriser_touches_and_is_above(dtype):
    h = np.array([0.0, 0.5, 0.75])
    prior = GuidedLp(0.8, h, weights=np.array([1.0, 2.0, 0.5]), floor=0.05).bind((4, 3))
    x = random((4, 3), dtype, 3)
    x[0] = 0
    above = prior.majorise(x)
    lift = prior.value(x) - above.value(x)
    for seed in range(50):
        other = random((4, 3), dtype, seed) * 10.0 ** (seed % 4 - 2)
        assert above.value(other) + lift >= prior.value(other) - 1e-12
    # Along its slope it touches to second order: any other slope would cross.
    near = x * (1 + 1e-5)
    assert above.value(near) + lift - prior.value(near) < 1e-8


def test_on_a_set_it_has_a_majoriser_that_is_tilted_and_no_prox():
    prior = GuidedLp(0.5, 0.5, within=Simplex(), floor=1e-3).bind((3, 4))
    assert (prior.has_prox, prior.real_only, prior.separable) == (False, True, False)
    with pytest.raises(TypeError, match="AlternatingMinimization"):
        prior.prox(np.ones((3, 4)), 1.0)
    x = np.random.default_rng(0).dirichlet(np.ones(3), 4).T
    above = prior.majorise(x)
    assert isinstance(above, Tilted)
    slopes = 0.5 * np.maximum(x, 1e-3) ** -0.5
    np.testing.assert_allclose(above.prices(x), 0.5 * slopes, rtol=1e-12)
    lift = prior.value(x) - above.value(x)
    for seed in range(20):
        other = np.random.default_rng(seed).dirichlet(np.ones(3), 4).T
        assert above.value(other) + lift >= prior.value(other) - 1e-12
    assert prior.value(x + 0.1) == np.inf
    assert prior.value(x) == pytest.approx(
        float(GuidedLp(0.5, 0.5, floor=1e-3).value(x))
    )


def test_weights_are_lams_of_their_own():
    v = random((2, 3), "float64", 4) * 3
    w, h = np.array([0.5, 1.0, 4.0]), np.array([0.2, 0.5, 0.7])
    found = GuidedLp(0.6, h, weights=w).prox(v, 0.7)
    for n in range(3):
        one = GuidedLp(0.6 * w[n], h[n]).prox(v[:, n], 0.7)
        np.testing.assert_allclose(found[:, n], one, rtol=1e-12)


@pytest.mark.parametrize("dtype", ["float32", "complex64"])
def test_single_precision_stays(dtype):
    h, w = np.array([0.0, 0.5, 0.75]), np.array([1.0, 2.0, 0.5])
    prior = GuidedLp(0.8, h, weights=w).bind((4, 3))
    v = random((4, 3), dtype, 3)
    found = prior.prox(v, 0.5)
    assert found.dtype == v.dtype
    wide = prior.prox(v.astype(np.result_type(dtype, "complex128")), 0.5)
    np.testing.assert_allclose(found, wide, atol=1e-5)
    assert prior.value(v).dtype == np.float32
    real = np.abs(v)
    inside = GuidedLp(0.8, h, weights=w, within=NonNegative()).bind((4, 3))
    assert inside.majorise(real).prox(real, 0.5).dtype == np.float32


def test_the_phase_of_complex_entries_stays():
    v = random((5, 3), "complex128", 8) * 3
    found = GuidedLp(0.5, 0.5).prox(v, 0.7)
    np.testing.assert_allclose(np.abs(found), GuidedLp(0.5, 0.5).prox(np.abs(v), 0.7))
    kept = found != 0
    np.testing.assert_allclose(np.angle(found[kept]), np.angle(v[kept]))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: GuidedLp(-1.0), "lam is -1"),
        (lambda: GuidedLp(1.0, 1.0), "guide has 1 to 1"),
        (lambda: GuidedLp(1.0, -0.1), "guide has -0.1"),
        (lambda: GuidedLp(1.0, np.array([0.1, 1.5])), "guide has 0.1 to 1.5"),
        (lambda: GuidedLp(1.0, np.array([0.1, np.nan])), "guide"),
        (lambda: GuidedLp(1.0, "dark"), "guide"),
        (lambda: GuidedLp(1.0, 0.5, floor=0.0), "floor is 0"),
        (lambda: GuidedLp(1.0, weights=np.array([1.0, -1.0])), "weights"),
        (lambda: GuidedLp(1.0, weights=np.array([1.0, np.inf])), "weights"),
        (lambda: GuidedLp(1.0, within=L1(1.0)), "within"),
        (lambda: GuidedLp(1.0, within=3), "within"),
        (lambda: GuidedLp(1.0, np.ones(4) / 2).bind((3, 5)), "guide"),
        (lambda: GuidedLp(1.0, weights=np.ones(4)).bind((3, 5)), "weights"),
        (lambda: GuidedLp(1.0, SparsenessGuide()).bind((5,)), "SparsenessGuide"),
        (
            lambda: GuidedLp(
                1.0, SparsenessGuide(laplacian=scipy.sparse.eye_array(4))
            ).bind((3, 5)),
            "laplacian has shape",
        ),
        (lambda: SparsenessGuide(start=1.0), "start is 1"),
        (lambda: SparsenessGuide(largest=-0.1), "largest is -0.1"),
        (lambda: SparsenessGuide(smoothing=1.0), "laplacian is None"),
        (lambda: SparsenessGuide(smoothing=-1.0), "smoothing is -1"),
        (lambda: Tilted(0.0, Simplex()), "lam is 0"),
        (lambda: Tilted(1.0, L1(1.0)), "real unknowns"),
        (lambda: Tilted(1.0, GuidedLp(1.0, within=Simplex())), "with a prox"),
        (lambda: Tilted(1.0, Simplex(), np.array([np.nan])), "costs"),
        (lambda: Tilted(1.0, Simplex(), np.ones(4)).bind((3, 5)), "costs"),
        (lambda: SoftSimplex(0.0), "lam is 0"),
        (lambda: SoftSimplex(1.0, total=0.0), "total is 0"),
        (lambda: SoftSimplex(1.0, axis=2).bind((3, 4)), "axis is 2"),
    ],
)
def test_bad_input_is_one_sentence(make, message):
    with pytest.raises((ValueError, TypeError), match=message) as caught:
        make()
    assert "\n" not in str(caught.value)


# The compiled sums


GUIDES_OF_COLUMNS = {
    "number": 0.5,
    "none": 0.0,
    "columns": "(n,)",
    "row": "(1, n)",
}


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("guide", GUIDES_OF_COLUMNS)
def test_compiled_sums_are_those_of_arrays(guide, weighted, dtype, monkeypatch):
    n, rng = 3000, np.random.default_rng(2)
    x = random((3, n), dtype, 5)
    x[:, :50], x[0] = 0, x[0] * 1e-4
    x[1, 60] = 1e-4
    h = GUIDES_OF_COLUMNS[guide]
    if isinstance(h, str):
        h = rng.choice([0.0, 0.3, 0.5, 0.75, 0.99], n)
        h = h[None] if guide == "row" else h
    w = rng.uniform(0.2, 3, n) if weighted else None
    prior = GuidedLp(0.7, h, weights=w).bind(x.shape)
    assert prior._columns(x) is not None
    value, above = prior.value(x), prior.majorise(x)
    monkeypatch.setattr(guided_lp, "_COMPILED", x.size + 1)
    assert prior._columns(x) is None
    rtol = 1e-13 if dtype == "float64" else 2e-5
    assert value.dtype == prior.value(x).dtype == dtype
    assert value == pytest.approx(float(prior.value(x)), rel=rtol)
    wanted = prior.majorise(x)
    assert above.weights.dtype == dtype
    np.testing.assert_allclose(above.weights, wanted.weights, rtol=rtol)


def test_where_columns_do_not_share_an_exponent_or_a_weight_arrays_do_the_sums():
    x = random((3, 3000), "float64", 5)
    full = np.random.default_rng(0).uniform(0.1, 0.8, x.shape)
    assert GuidedLp(1.0, full)._columns(x) is None
    assert GuidedLp(1.0, full[:, :1])._columns(x) is None
    assert GuidedLp(1.0, 0.5, weights=full)._columns(x) is None
    assert GuidedLp(1.0, 0.5)._columns(x[:, ::2]) is None
    assert GuidedLp(1.0, 0.5)._columns(x + 0j) is None
    assert GuidedLp(1.0, 0.5).bind((3000,))._columns(x) is None  # a batch of three
    by_hand = penalty(x, 1 - full, 1e-4).sum()
    assert GuidedLp(1.0, full).value(x) == pytest.approx(by_hand, rel=1e-12)


def test_nan_shows_in_the_compiled_sums():
    x = random((3, 3000), "float64", 5)
    x[1, 7] = np.nan
    prior = GuidedLp(1.0, 0.5)
    assert np.isnan(prior.value(x))
    with pytest.raises(ValueError, match="NaN"):
        GuidedLp(1.0, 0.5, within=NonNegative()).majorise(x)


# What is learnt


def test_sparseness_is_hoyers():
    x = np.array([[1.0, 2.0, 0.0, 3.0], [1.0, 0.0, 0.0, 4.0], [1.0, 0.0, 0.0, 0.0]])
    by_hand = (np.sqrt(3) - 7 / 5) / (np.sqrt(3) - 1)
    np.testing.assert_allclose(sparseness(x), [0, 1, 1, by_hand], atol=1e-15)
    np.testing.assert_allclose(sparseness(-1e-200 * x), sparseness(x), atol=1e-15)
    np.testing.assert_allclose(sparseness(x.T, axis=-1), sparseness(x), atol=1e-15)
    np.testing.assert_array_equal(sparseness(np.ones((1, 4))), np.ones(4))
    assert sparseness(x.astype("float32")).dtype == np.float32


def test_the_guide_is_learnt_cut_and_smoothed_on_the_graph():
    rng = np.random.default_rng(1)
    x = rng.dirichlet(0.3 * np.ones(4), 12).T
    plain = SparsenessGuide(largest=0.6).learn(x)
    assert plain.shape == (1, 12)
    np.testing.assert_allclose(plain[0], np.minimum(sparseness(x), 0.6), atol=1e-15)
    L = np.diag(np.r_[1, 2 * np.ones(10), 1]) - np.eye(12, k=1) - np.eye(12, k=-1)
    guide = SparsenessGuide(
        laplacian=scipy.sparse.csr_array(L), smoothing=0.8, largest=0.95
    )
    dense = np.linalg.solve(np.eye(12) + 0.8 * L, sparseness(x))
    assert np.ptp(dense) < 0.8 * np.ptp(sparseness(x))
    np.testing.assert_allclose(guide.learn(x)[0], np.minimum(dense, 0.95), atol=1e-5)
    assert guide.learn(x.astype("float32")).dtype == np.float32
    off = SparsenessGuide(laplacian=scipy.sparse.csr_array(L), largest=0.95)
    np.testing.assert_array_equal(off.learn(x)[0], np.minimum(sparseness(x), 0.95))


def test_a_learning_prior_uses_its_start_and_then_what_it_was_given():
    x = np.random.default_rng(2).dirichlet(np.ones(3), 5).T
    prior = GuidedLp(0.7, SparsenessGuide(start=0.25, largest=0.9)).bind((3, 5))
    assert prior.learns
    assert prior.value(x) == GuidedLp(0.7, 0.25).value(x)
    learnt = prior.learn(x)
    h = np.minimum(sparseness(x), 0.9)
    np.testing.assert_array_equal(learnt["guide"], h[None])
    given = prior.given(learnt)
    assert given.value(x) == pytest.approx(float(GuidedLp(0.7, h).value(x)))
    assert prior.map == 0.25  # priors are immutable
    fixed = GuidedLp(0.7, h)
    assert not fixed.learns
    assert fixed.learn(x) == {}


# Tilted and softened sets


def test_tilted_is_the_sets_prox_of_a_moved_point():
    v = random((3, 4), "float64", 5)
    costs = random((3, 4), "float64", 6)
    found = Tilted(0.7, Simplex(), costs).bind((3, 4)).prox(v, 0.4)
    for n in range(4):
        best = scipy.optimize.minimize(
            lambda x, n=n: (
                0.7 * costs[:, n] @ x + np.sum((x - v[:, n]) ** 2) / (2 * 0.4)
            ),
            np.ones(3) / 3,
            jac=lambda x, n=n: 0.7 * costs[:, n] + (x - v[:, n]) / 0.4,
            bounds=[(0, None)] * 3,
            constraints={"type": "eq", "fun": lambda x: x.sum() - 1},
            options={"ftol": 1e-14},
        ).x
        np.testing.assert_allclose(found[:, n], best, atol=1e-6)
    value = Tilted(0.7, Simplex(), costs).value(found)
    assert value == pytest.approx(0.7 * np.sum(costs * found))


def test_tilted_on_the_cone_is_l1_and_without_costs_the_price_is_one():
    v = random((3, 4), "float64", 5)
    tilted = Tilted(0.3, NonNegative())
    np.testing.assert_allclose(
        tilted.prox(v, 0.5), np.maximum(L1(0.3).prox(v, 0.5), 0), atol=1e-15
    )
    assert tilted.value(np.abs(v)) == pytest.approx(0.3 * np.abs(v).sum())
    assert tilted.value(v) == np.inf
    assert tilted.prices(v) == pytest.approx(0.3)
    assert tilted.increasing
    assert not Tilted(0.3, NonNegative(), np.array([-1.0])).increasing
    with pytest.raises(TypeError, match="real unknowns"):
        tilted.prox(v + 0j, 0.5)


@pytest.mark.parametrize("lam", [1e-3, 0.5, 40.0])
def test_the_softened_simplex_is_nnls_with_an_augmented_row(lam):
    """lam/2 (Σx - t)² + ‖x - v‖²/(2 s) over x >= 0, as SciPy's NNLS has it."""
    step, total = 0.7, 1.5
    v = random((4, 17), "float64", 7)
    v[:, 12:] = -np.abs(v[:, 12:])
    v[:, 16] = -9
    found = SoftSimplex(lam, total=total).bind(v.shape).prox(v, step)
    design = np.vstack([np.eye(4) / np.sqrt(step), np.sqrt(lam) * np.ones(4)])
    for n in range(v.shape[1]):
        data = np.append(v[:, n] / np.sqrt(step), np.sqrt(lam) * total)
        best, _ = scipy.optimize.nnls(design, data)
        np.testing.assert_allclose(found[:, n], best, atol=1e-10)


def test_the_softened_simplex_by_value_axis_and_precision():
    prior = SoftSimplex(3.0, axis=-1, total=2.0).bind((2, 3))
    x = np.array([[1.0, 0.5, 0.0], [0.0, 3.0, 1.0]])
    assert prior.value(x) == pytest.approx(1.5 * (0.5**2 + 2.0**2))
    assert prior.value(-x) == np.inf
    v = random((2, 3), "float32", 1)
    found = prior.prox(v, 0.5)
    assert found.dtype == np.float32
    other = SoftSimplex(3.0, total=2.0).bind((3, 2)).prox(v.T, 0.5)
    np.testing.assert_allclose(found, other.T)
    stiff = SoftSimplex(1e9).bind((3, 2)).prox(v.T.astype("f8"), 1.0)
    exact = Simplex().bind((3, 2)).prox(v.T.astype("f8"), 1.0)
    np.testing.assert_allclose(stiff, exact, atol=1e-8)


def test_l1_and_guided_without_sparsity_solve_the_same_problem():
    A, y = random((8, 5), "float64"), random((8,), "float64", 1)
    one, other = (
        ss.solve(
            ss.Problem(ss.LeastSquares(ss.operators.Dense(A), y), prior),
            ss.ProximalGradient(),
            tol=1e-12,
        ).x
        for prior in (L1(0.3), GuidedLp(0.3, 0.0))
    )
    np.testing.assert_allclose(one, other, atol=1e-10)
