"""Facts about single priors that the laws cannot know."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys

import numpy as np
import pytest
from cases import COMPLEX, REAL, random

from sparsesolve.priors import (
    L1,
    Box,
    Denoiser,
    ElasticNet,
    GroupL2,
    L1Ball,
    L2Ball,
    Lp,
    Magnitude,
    NonNegative,
    Simplex,
    SquaredL2,
    TopK,
    TotalVariation,
)
from sparsesolve.priors.l1 import soft_threshold


def power(x, p):
    return (np.abs(x) > 0).astype(float) if p == 0 else np.abs(x) ** p


@pytest.mark.parametrize("p", [0, 0.5, 2 / 3])
@pytest.mark.parametrize("w", [0.01, 0.3, 1.0, 7.0])
def test_lp_finds_the_global_minimum_among_all_magnitudes(p, w):
    v = np.concatenate([np.linspace(0, 8, 801), [40.0, 1e3]])
    x = Lp(2 * w, p).prox(v, 0.5)
    best = w * power(x, p) + (x - v) ** 2 / 2
    for t in np.linspace(0, 1.2, 6001):
        assert (best <= w * power(t * v, p) + (t * v - v) ** 2 / 2 + 1e-12).all()


@pytest.mark.parametrize("p", [0, 0.5, 2 / 3])
def test_lp_of_a_complex_number_among_magnitudes_and_phases(p):
    v = np.array([0.9 - 1.7j])
    x = Lp(0.8, p).prox(v, 1.0)
    best = 0.8 * power(x, p) + np.abs(x - v) ** 2 / 2
    sizes, phases = np.linspace(0, 3, 601), np.linspace(0, 2 * np.pi, 361)
    z = sizes[:, None] * np.exp(1j * phases)
    assert (best <= 0.8 * power(z, p) + np.abs(z - v) ** 2 / 2 + 1e-12).all()


@pytest.mark.parametrize(
    ("p", "threshold", "jump"),
    [
        (0, np.sqrt(2 * 0.6), np.sqrt(2 * 0.6)),
        (0.5, 54 ** (1 / 3) / 4 * (2 * 0.6) ** (2 / 3), 0.6 ** (2 / 3)),
        (2 / 3, 2 / 3 * (3 * (2 * 0.6) ** 3) ** 0.25, (2 * 0.6 / 3) ** 0.75),
    ],
)
def test_lp_jumps_where_two_minimisers_tie(p, threshold, jump):
    below, above = Lp(0.6, p).prox(threshold * np.array([1 - 1e-9, 1 + 1e-9]), 1.0)
    assert below == 0
    np.testing.assert_allclose(above, jump, rtol=1e-4)
    # Both minimise: the published thresholds are those of the tie.
    values = [0.6 * power(x, p) + (x - threshold) ** 2 / 2 for x in (0.0, jump)]
    np.testing.assert_allclose(values[0], values[1], rtol=1e-12)


def test_lp_keeps_nothing_at_the_very_tie():
    assert not Lp(2.0, 0).prox(np.array([2.0, -2.0]), 1.0).any()


@pytest.mark.parametrize("dtype", REAL + COMPLEX)
def test_top_k_beats_every_support(dtype):
    v = random((6,), dtype, 3)
    x = TopK(2).prox(v, 1.0)
    assert np.count_nonzero(x) == 2
    for support in itertools.combinations(range(6), 2):
        other = np.zeros_like(v)
        other[list(support)] = v[list(support)]
        assert np.sum(np.abs(x - v) ** 2) <= np.sum(np.abs(other - v) ** 2)


def test_top_k_breaks_ties_in_order_and_keeps_few_entries():
    v = np.array([1.0, -2.0, 2.0, 2.0, 1.0])
    np.testing.assert_array_equal(TopK(2).prox(v, 1.0), [0, -2, 2, 0, 0])
    np.testing.assert_array_equal(TopK(9).prox(v, 1.0), v)


@pytest.mark.parametrize("seed", range(5))
def test_simplex_and_l1_ball_beat_a_grid(seed):
    v = 1.5 * random((3,), "float64", seed)
    t = np.linspace(0, 1, 201)
    a, b = np.meshgrid(t, t)
    grid = np.stack([a, b, 1 - a - b])[:, a + b <= 1].T
    nearest = np.min(np.sum((grid - v) ** 2, axis=1))
    x = Simplex().prox(v, 1.0)
    assert np.sum((x - v) ** 2) <= nearest + 1e-12
    np.testing.assert_allclose(x.sum(), 1, rtol=1e-14)
    ball = np.concatenate([grid * s for s in itertools.product((1, -1), repeat=3)])
    x = L1Ball(1.0).prox(v, 1.0)
    assert np.sum((x - v) ** 2) <= np.min(np.sum((ball - v) ** 2, axis=1)) + 1e-12


def test_simplex_axis_names_an_axis_of_the_unknown():
    v = random((5, 3, 4), "float64")
    columns = Simplex(axis=0).bind((3, 4)).prox(v, 1.0)
    np.testing.assert_allclose(columns.sum(axis=1), 1)
    rows = Simplex(axis=1, total=3).bind((3, 4)).prox(v, 1.0)
    np.testing.assert_allclose(rows.sum(axis=2), 3)


def test_long_float32_sums_stay_exact():
    v = np.abs(random((1_000_000,), "float32"))
    x = L1Ball(1000.0).prox(v, 1.0)
    np.testing.assert_allclose(np.sum(x, dtype=np.float64), 1000, rtol=1e-4)
    np.testing.assert_allclose(
        Simplex().prox(v, 1.0), Simplex().prox(v.astype(np.float64), 1.0), atol=1e-6
    )


def test_balls_leave_their_inside_alone():
    v = random((4, 3), "complex128")
    np.testing.assert_array_equal(L1Ball(100.0).prox(v, 1.0), v)
    np.testing.assert_array_equal(L2Ball(100.0).prox(v, 1.0), v)
    radii = np.array([0.5, 50.0])
    batch = L2Ball(radii).bind((4, 3)).prox(np.stack([v, v]), 1.0)
    np.testing.assert_allclose(np.linalg.norm(batch[0]), 0.5)
    np.testing.assert_array_equal(batch[1], v)


def test_group_l2_is_the_same_by_labels_and_by_axes():
    v, weights = random((4, 3), "complex128"), np.array([1.0, 2.0, 0.5])
    by_axis = GroupL2(0.8, 0, weights[None]).bind((4, 3))
    labels = np.broadcast_to([30, 40, 50], (4, 3)).copy()
    by_label = GroupL2(0.8, labels, weights).bind((4, 3))
    np.testing.assert_allclose(by_axis.prox(v, 0.7), by_label.prox(v, 0.7))
    np.testing.assert_allclose(by_axis.value(v), by_label.value(v))
    np.testing.assert_allclose(by_axis.critical_lam(v), by_label.critical_lam(v))


def test_group_l2_norms_of_uneven_groups():
    labels = np.array([5, -1, 5, 8, 5, 8])
    v = np.array([1.0, -7, 2, 3, 2, 4])
    prior = GroupL2(1.0, labels)
    np.testing.assert_allclose(prior.norms(v), [7, 3, 5])
    np.testing.assert_allclose(prior.value(v), 15)
    factors = prior.factors(prior.norms(v), 4.0)
    np.testing.assert_allclose(factors, [3 / 7, 0, 1 / 5])
    scaled = prior.scale(v, factors)
    np.testing.assert_allclose(scaled, [0, -3, 0, 0.6, 0, 0.8])
    np.testing.assert_array_equal(prior.prox(v, 4.0), scaled)


def test_infinite_weights_pin_and_zero_weights_free_an_entry():
    weights = np.array([0.0, np.inf, 1.0])
    for dtype in REAL + COMPLEX:
        v = np.array([3, 4, 5], dtype)
        np.testing.assert_allclose(L1(2.0, weights).prox(v, 1.0), [3, 0, 3])
        np.testing.assert_allclose(SquaredL2(1.5, weights).prox(v, 1.0), [3, 0, 2])
        assert L1(2.0, weights).value(v) == np.inf
        assert L1(2.0, weights).value(np.array([3, 0, 5], dtype)) == 10
    g = np.array([0.0, 9.0, 2.0])
    assert L1(1.0, weights).critical_lam(g) == 2
    assert L1(1.0, weights).critical_lam(g + 1) == np.inf


@pytest.mark.parametrize("dtype", REAL + COMPLEX)
@pytest.mark.parametrize("threshold", ["number", "array", "batch"])
def test_the_compiled_threshold_is_the_plain_one(dtype, threshold):
    v = random((4, 5000), dtype)
    v[0, 0], v[2, 2] = 0, np.nan
    real = v.real.dtype
    t = {
        "number": 0.7,
        "array": np.abs(random(v.shape, str(real), 1)),
        "batch": np.array([[0.1], [0.5], [0.0], [np.inf]], real),
    }[threshold]
    cut = [slice(i, i + 500) for i in range(0, 5000, 500)]
    pieces = [soft_threshold(v[:, c], t[:, c] if np.size(t) > 9 else t) for c in cut]
    compiled = soft_threshold(v, t)
    assert compiled.dtype == dtype
    finite = np.isfinite(v)
    plain = np.concatenate(pieces, axis=1)
    np.testing.assert_allclose(
        compiled[finite], plain[finite], atol=10 * np.finfo(dtype).eps
    )
    assert np.isnan(compiled[2, 2])


def test_the_compiled_threshold_does_not_underflow():
    v = np.full(20_000, 3e-25 - 4e-25j, np.complex64)
    np.testing.assert_allclose(soft_threshold(v, 1e-25), v * 0.8, rtol=1e-5)


def test_a_denoiser_sees_one_image_at_a_time_and_may_change_it():
    seen = []

    def fn(x, sigma):
        seen.append((x.shape, sigma))
        x += 1
        return x.astype(np.float64)

    v = random((2, 3, 4, 5), "float32")
    before = v.copy()
    x = Denoiser(fn, 0.2).bind((4, 5)).prox(v, 123.0)
    assert seen == [((4, 5), 0.2)] * 6
    np.testing.assert_array_equal(v, before)
    np.testing.assert_array_equal(x, v + 1)
    assert x.dtype == np.float32


def test_magnitude_cuts_a_denoiser_at_zero_and_keeps_phases_and_zeros():
    v = np.array([3 + 4j, 0.3j, 0, -2])
    x = Magnitude(Denoiser(lambda m, sigma: m - 1, 0.2)).prox(v, 1.0)
    np.testing.assert_allclose(x, [(3 + 4j) * 0.8, 0, 0, -1])
    raised = Magnitude(Denoiser(lambda m, sigma: m + 1, 0.2)).prox(v, 1.0)
    np.testing.assert_allclose(raised, [(3 + 4j) * 1.2, 1.3j, 0, -3])


def test_magnitude_forwards_what_solvers_ask_for():
    assert not Magnitude(TotalVariation(1.0)).convex
    assert Magnitude(L1(1.0)).convex
    assert not Magnitude(Lp(1.0, 0.5)).convex
    denoiser = Magnitude(Denoiser(lambda m, sigma: m, 0.2))
    assert denoiser.ignores_step
    assert not denoiser.has_value
    assert not denoiser.real_only
    v = random((6, 5), "complex128")
    prior = Magnitude(TotalVariation(0.3, tol=1e-9)).bind((6, 5))
    _, warm = prior.prox_warm(v, 1.0, None)
    assert warm.shape == (2, 6, 5)


def test_tv_of_magnitudes_does_not_see_phases():
    phases = np.exp(1j * random((8, 8), "float64"))
    assert Magnitude(TotalVariation(1.0)).value(phases) < 1e-12
    assert TotalVariation(1.0).value(phases) > 1


def test_pyproximal_agrees_where_it_is_right():
    pyproximal = pytest.importorskip("pyproximal")
    v, z = random((40,), "float64"), random((40,), "complex128")
    for peer, prior in (
        (pyproximal.L1(0.7), L1(0.7)),
        (pyproximal.L2(sigma=0.7), SquaredL2(0.7)),
        (pyproximal.Simplex(40, 1.0), Simplex()),
        (pyproximal.L1Ball(40, 2.0), L1Ball(2.0)),
        (pyproximal.EuclideanBall(0.0, 1.5), L2Ball(1.5)),
        (pyproximal.Box(-0.3, 0.6), Box(-0.3, 0.6)),
    ):
        mine = prior.prox(v, 0.9)
        np.testing.assert_allclose(mine, peer.prox(v.copy(), 0.9), atol=1e-5)
    np.testing.assert_allclose(
        L1(0.7).prox(z, 0.9), pyproximal.L1(0.7).prox(z.copy(), 0.9)
    )
    groups = pyproximal.L21(4, 0.7).prox(v.copy(), 0.9)
    np.testing.assert_allclose(
        GroupL2(0.7, 0).prox(v.reshape(4, 10), 0.9).ravel(), groups
    )


BAD = [
    (lambda: L1(0.0), "lam is 0"),
    (lambda: L1(np.nan), "lam is nan"),
    (lambda: L1("much"), "lam is 'much'"),
    (lambda: L1(np.array([1.0, -1.0])), "lam has entries that are not"),
    (lambda: L1(1.0, np.array([1.0, -1.0])), "weights has entries that are not"),
    (lambda: L1(1.0, np.array([1.0, np.nan])), "weights has entries that are not"),
    (lambda: L1(1.0, 2.0), "weights is a float"),
    (lambda: L1(1.0, np.ones((3, 4))).bind((4, 3)), "are the axes swapped"),
    (lambda: SquaredL2(-1.0), "lam is -1"),
    (lambda: SquaredL2(1.0, np.ones(3)).bind((4,)), "SquaredL2's weights"),
    (lambda: ElasticNet(1.0, 0.0), "ratio is 0"),
    (lambda: ElasticNet(1.0, 1.5), "ratio is 1.5"),
    (lambda: GroupL2(1.0, np.array([0.0, 1.0])), "wanted integer labels"),
    (lambda: GroupL2(1.0, "rows"), "groups is 'rows'"),
    (lambda: GroupL2(1.0, ()), "groups is ()"),
    (lambda: GroupL2(1.0, np.array([0, 1])).bind((3,)), "GroupL2's groups"),
    (lambda: GroupL2(1.0, 2).bind((3, 4)), "groups is (2,)"),
    (lambda: GroupL2(1.0, np.array([0, 1]), np.ones(3)), "weights has shape (3,)"),
    (lambda: GroupL2(1.0, 0, np.ones(4)).bind((3, 4)), "weights has shape (4,)"),
    (lambda: TotalVariation(1.0, tol=0.0), "tol is 0"),
    (lambda: TotalVariation(1.0, max_iter=0), "max_iter is 0"),
    (lambda: TotalVariation(1.0).bind((2, 2, 2, 2)), "an unknown of 4 axes"),
    (lambda: TotalVariation(1.0).prox(np.ones((2,) * 4), 1.0), "an unknown of 4 axes"),
    (lambda: Lp(1.0, 0.3), "p is 0.3"),
    (lambda: Lp(1.0, 1), "for p = 1 use L1"),
    (lambda: Box(1.0, 0.0), "lower <= upper"),
    (lambda: Box(np.nan, 0.0), "lower <= upper"),
    (lambda: Box(0.0, np.ones(3)).bind((4,)), "Box's bound"),
    (lambda: Simplex(total=-1), "total is -1"),
    (lambda: Simplex(axis=2).bind((3, 4)), "axis is 2"),
    (lambda: L1Ball(0.0), "radius is 0"),
    (lambda: L2Ball(np.inf), "radius is inf"),
    (lambda: TopK(0), "k is 0"),
    (lambda: TopK(1.5), "k is 1.5"),
    (lambda: Denoiser("bm3d", 0.1), "fn is 'bm3d'"),
    (lambda: Denoiser(lambda x, s: x, 0.0), "sigma is 0"),
    (lambda: Denoiser(lambda x, s: x[1:], 1.0).prox(np.ones(3), 1.0), "returned shape"),
    (lambda: Denoiser(lambda x, s: None, 1.0).prox(np.ones(3), 1.0), "a NoneType"),
    (lambda: Magnitude(Box(-2.0, -1.0)), "keeps non-negative arrays"),
    (lambda: Magnitude(L1(1.0) + L1(1.0)), "Magnitude(p) + Magnitude(q)"),
    (lambda: Lp(1.0, 0).majorise(np.ones(3)), "offers no majoriser"),
    (lambda: L1(1.0, np.ones(3)).kernel(), "offers no scalar kernel"),
    (lambda: NonNegative().with_lam(1.0), "has no lam to set"),
    (lambda: Denoiser(lambda x, s: x, 1.0).value(np.ones(3)), "has no value"),
]


@pytest.mark.parametrize(("make", "message"), BAD)
def test_bad_input_is_refused_in_one_sentence(make, message):
    with pytest.raises((TypeError, ValueError)) as error:
        make()
    text = str(error.value)
    assert message in text
    assert "\n" not in text


@pytest.mark.parametrize(
    "prior", [NonNegative(), Box(0, 1), Simplex(), Denoiser(lambda x, s: x, 1.0)]
)
def test_what_makes_no_sense_for_complex_unknowns_says_so(prior):
    assert prior.real_only
    with pytest.raises(TypeError, match=r"real unknowns.*Magnitude"):
        prior.prox(np.ones(3, complex), 1.0)


def python(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=110,
    )


def test_a_cold_start_says_what_it_waits_for_and_the_next_process_does_not(tmp_path):
    code = (
        "import numpy as np, sparsesolve as ss\n"
        "print(ss.priors.L1(1.0).prox(np.full(20000, 3 + 4j), 1.0)[0])\n"
    )
    first = python(code, NUMBA_CACHE_DIR=str(tmp_path))
    assert first.returncode == 0, first.stderr
    lines = first.stderr.splitlines()
    assert lines == [
        "sparsesolve: compiling priors.pointwise_kernels.shrink_complex "
        "(first use on this machine; cached afterwards)"
    ]
    second = python(code, NUMBA_CACHE_DIR=str(tmp_path))
    assert (second.returncode, second.stderr) == (0, "")
    assert first.stdout == second.stdout


def test_priors_are_made_without_loading_numba():
    code = (
        "import sys, numpy as np, sparsesolve as ss\n"
        "p = ss.priors\n"
        "p.Magnitude(p.TotalVariation(1.0)), p.Lp(1.0, 0.5), p.Simplex()\n"
        "p.L1(1.0).prox(np.ones(100), 1.0)\n"
        "assert 'numba' not in sys.modules\n"
    )
    done = python(code)
    assert done.returncode == 0, done.stderr
