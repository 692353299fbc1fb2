"""Metrics of unmixing against brute force over all assignments."""

import itertools
import math

import numpy as np
import pytest

import sparsesolve as ss
from sparsesolve import metrics
from sparsesolve.backends import to_device


def angle(a, b):
    """The definition, in extended precision."""
    a, b = a.astype(np.longdouble), b.astype(np.longdouble)
    return float(np.arccos(a @ b / np.sqrt((a @ a) * (b @ b))))


@pytest.mark.parametrize("extra", [0, 2])
@pytest.mark.parametrize("seed", range(5))
def test_matching_is_the_best_of_all_assignments(seed, extra):
    rng = np.random.default_rng(seed)
    found, truth = rng.random((4 + extra, 6)), rng.random((4, 6))
    sums = {
        p: sum(angle(found[i], t) for i, t in zip(p, truth, strict=True))
        for p in itertools.permutations(range(4 + extra), 4)
    }
    best = min(sums, key=sums.get)
    assert metrics.match_endmembers(found, truth).tolist() == list(best)
    assert metrics.spectral_angle(found, truth) == pytest.approx(sums[best] / 4)
    each = [angle(found[i], t) for i, t in zip(best, truth, strict=True)]
    np.testing.assert_allclose(metrics.spectral_angles(found, truth), each)


def test_one_found_spectrum_is_never_taken_twice():
    truth = np.array([[1.0, 0.0], [0.9, 0.1]])
    found = np.array([[0.95, 0.05], [0.0, 1.0]])
    assert metrics.match_endmembers(found, truth).tolist() == [0, 1]


def test_a_permutation_and_any_units_are_undone(rng):
    truth, order = rng.random((5, 30)), rng.permutation(5)
    found = truth[order] * rng.uniform(1e-3, 1e4, (5, 1))
    match = metrics.match_endmembers(found, truth)
    np.testing.assert_array_equal(order[match], np.arange(5))
    assert metrics.spectral_angle(found, truth) < 1e-15
    a = rng.dirichlet(np.ones(5), (4, 3))
    assert metrics.abundance_rmse(a[..., order], a, order=match) == 0
    assert metrics.abundance_rmse(a[..., order], a) == 0


@pytest.mark.parametrize("small", [1e-3, 1e-9, 1e-13])
def test_small_angles_keep_their_digits(small):
    truth = np.array([[1.0, 0.0]])
    found = np.array([[math.cos(small), math.sin(small)]])
    assert metrics.spectral_angle(found, truth) == pytest.approx(small, rel=1e-6)


def test_angles_know_their_extremes():
    truth = np.array([[1.0, 0.0]])
    assert metrics.spectral_angle(np.array([[0, 3.0]]), truth) == pytest.approx(
        math.pi / 2
    )
    assert metrics.spectral_angle(-truth, truth) == pytest.approx(math.pi)
    assert metrics.spectral_angle(1e-200 * truth, 1e200 * truth) == 0


def test_bands_that_are_nan_in_either_are_left_out(rng):
    found, truth = rng.random((3, 8)), rng.random((3, 8))
    kept = [0, 2, 3, 5, 6, 7]
    wanted = metrics.spectral_angle(found[:, kept], truth[:, kept])
    found[:, 1] = np.nan
    truth[2, 4] = np.nan
    assert metrics.spectral_angle(found, truth) == pytest.approx(wanted, rel=1e-14)


@pytest.mark.parametrize("shape", [(6,), (3, 2)])
def test_abundance_errors_are_those_of_the_best_assignment(rng, shape):
    found, truth = rng.random((*shape, 4)), rng.random((*shape, 3))
    errors = {
        p: np.sqrt(np.mean((found[..., list(p)] - truth) ** 2))
        for p in itertools.permutations(range(4), 3)
    }
    assert metrics.abundance_rmse(found, truth) == pytest.approx(min(errors.values()))
    best = min(errors, key=errors.get)
    assert metrics.match_abundances(found, truth).tolist() == list(best)
    for order, error in errors.items():
        assert metrics.abundance_rmse(found, truth, order=order) == pytest.approx(error)
    worst = max(errors, key=errors.get)
    a = found[..., list(worst)]
    sre = 10 * math.log10(np.sum(truth**2) / np.sum((a - truth) ** 2))
    found_sre = metrics.signal_to_reconstruction_error(found, truth, order=worst)
    assert found_sre == pytest.approx(sre)
    assert metrics.signal_to_reconstruction_error(found, truth) > sre


def test_invalid_pixels_count_nowhere(rng):
    found, truth = rng.random((2, 4, 5, 3))
    keep = np.ones((4, 5), bool)
    keep[0, 1] = keep[3, 2] = False
    order = [2, 0, 1]
    wanted = metrics.abundance_rmse(found[keep], truth[keep], order=order)
    found[0, 1, 2] = np.nan
    truth[3, 2] = np.nan
    assert metrics.abundance_rmse(found, truth, order=order) == pytest.approx(wanted)


def test_a_perfect_reconstruction_is_infinitely_good(rng):
    truth = rng.random((7, 3))
    assert metrics.signal_to_reconstruction_error(truth, truth) == math.inf
    half = metrics.signal_to_reconstruction_error(
        0.5 * truth, truth, order=np.arange(3)
    )
    assert half == pytest.approx(20 * math.log10(2))


def test_reconstruction_error_is_the_misfit(rng):
    endmembers, a = rng.random((3, 7)), rng.random((4, 5, 3))
    error = 0.1 * rng.standard_normal((4, 5, 7))
    per_pixel, overall = metrics.reconstruction_error(
        a @ endmembers + error, endmembers, a
    )
    np.testing.assert_allclose(per_pixel, np.sqrt(np.mean(error**2, axis=2)))
    assert overall == pytest.approx(np.sqrt(np.mean(error**2)))
    flat = metrics.reconstruction_error(
        (a @ endmembers + error).reshape(20, 7), endmembers, a.reshape(20, 3)
    )
    np.testing.assert_array_equal(flat.per_pixel, per_pixel.reshape(-1))
    a[2, 3] = np.nan
    gap = metrics.reconstruction_error(a @ endmembers, endmembers, a)
    assert np.isnan(gap.per_pixel).sum() == 1
    assert gap.overall < 1e-15


def test_reconstruction_error_of_a_cube_is_physical(rng, monkeypatch):
    endmembers, a = rng.random((2, 5)), rng.random((4, 3, 2))
    error = 0.1 * rng.standard_normal((4, 3, 5))
    good = np.array([True, True, False, True, True])
    valid = np.ones((4, 3), bool)
    valid[1, 2] = False
    cube = ss.HyperspectralCube(
        (a @ endmembers + error - 3) / 0.25,
        good_bands=good,
        valid=valid,
        scale=0.25,
        offset=3,
    )
    # one row after the other, as those of a cube larger than memory
    monkeypatch.setattr(
        ss.HyperspectralCube, "tiles", lambda self: (slice(i, i + 1) for i in range(4))
    )
    wanted = np.sqrt(np.mean(error[:, :, good] ** 2, axis=2))
    wanted[1, 2] = np.nan
    for known in (endmembers, endmembers[:, good], np.where(good, endmembers, np.nan)):
        per_pixel, overall = metrics.reconstruction_error(cube, known, a)
        np.testing.assert_allclose(per_pixel, wanted)
        assert overall == pytest.approx(np.sqrt(np.nanmean(wanted**2)))


def test_band_detection_counts():
    found = np.array([1, 1, 1, 0, 0, 0, 0], bool)
    true = np.array([1, 1, 0, 1, 1, 1, 0], bool)
    precision, recall, f1 = metrics.band_detection(found, true)
    assert (precision, recall) == pytest.approx((2 / 3, 2 / 5))
    assert f1 == pytest.approx(2 / (3 / 2 + 5 / 2))
    none = np.zeros(7, bool)
    assert metrics.band_detection(none, none) == (1, 1, 1)
    assert metrics.band_detection(found, none) == (0, 1, 0)
    assert metrics.band_detection(none, true) == (1, 0, 0)


def test_purity_is_0_for_equal_shares_and_1_for_one_endmember():
    a = np.array([[1 / 3] * 3, [0, 2, 0], [0.5, 0.5, 0], [0, 0, 0], [np.nan, 0, 1]])
    wanted = [0, 1, (math.sqrt(3) - math.sqrt(2)) / (math.sqrt(3) - 1), np.nan, np.nan]
    np.testing.assert_allclose(metrics.purity(a), wanted, atol=1e-15)
    assert metrics.purity(a.reshape(1, 5, 3)).shape == (1, 5)


def test_guide_correlation_is_pearsons(rng):
    a, b = rng.random((2, 6, 5))
    c, d = a - a.mean(), b - b.mean()
    wanted = np.sum(c * d) / np.sqrt(np.sum(c * c) * np.sum(d * d))
    assert metrics.guide_correlation(a, b) == pytest.approx(wanted)
    assert metrics.guide_correlation(a, 2 - 3 * a) == pytest.approx(-1)
    assert math.isnan(metrics.guide_correlation(a, np.ones((6, 5))))
    x = a.copy()
    x[2, 2] = np.nan
    keep = ~np.isnan(x)
    assert metrics.guide_correlation(x, b) == pytest.approx(
        metrics.guide_correlation(a[keep], b[keep])
    )


@pytest.mark.parametrize("library", ["array_api_strict", "torch:cpu"])
def test_any_library(rng, library):
    pytest.importorskip(library.partition(":")[0])
    found, truth = rng.random((2, 3, 4))
    moved = [to_device(x, library) for x in (found, truth)]
    wanted = metrics.spectral_angle(found, truth)
    assert metrics.spectral_angle(*moved) == pytest.approx(wanted)


ONE, TWO = np.ones((1, 3)), np.eye(2, 3)
FLAG = np.zeros(3, bool)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: metrics.match_endmembers(ONE, TWO), ValueError, "found has 1 endm"),
        (lambda: metrics.match_endmembers(TWO.T, ONE), ValueError, "transposed"),
        (
            lambda: metrics.match_endmembers(TWO[None], ONE),
            ValueError,
            "wanted .K, ban",
        ),
        (lambda: metrics.match_endmembers(0 * TWO, ONE), ValueError, r"found\[0\] is"),
        (lambda: metrics.match_endmembers(TWO / 0.0, ONE), ValueError, "infinite"),
        (lambda: metrics.match_endmembers(np.nan * TWO, ONE), ValueError, "no band"),
        (lambda: metrics.spectral_angle(1j * TWO, TWO), TypeError, "complex128"),
        (lambda: metrics.spectral_angle(TWO[:0], TWO), ValueError, "found is empty"),
        (
            lambda: metrics.spectral_angle(np.ma.masked_less(TWO, 0), TWO),
            TypeError,
            "masked",
        ),
        (lambda: metrics.abundance_rmse(TWO, ONE), ValueError, r"pixels \(2,\)"),
        (lambda: metrics.abundance_rmse(ONE[:, :2], ONE), ValueError, "at least 3"),
        (lambda: metrics.abundance_rmse(ONE[0], ONE[0]), ValueError, "rows, cols, K"),
        (lambda: metrics.abundance_rmse(np.nan * ONE, ONE), ValueError, "no pixel"),
        *(
            (
                lambda order=order: metrics.abundance_rmse(TWO, TWO, order=order),
                ValueError,
                "order is .*3 different integers from 0 to 2",
            )
            for order in ([0, 1], [0, 0, 1], [0, 1, 3], [-1, 0, 1], [0.0, 1.0, 2.0])
        ),
        (
            lambda: metrics.signal_to_reconstruction_error(ONE, 0 * ONE),
            ValueError,
            "truth is zero",
        ),
        (lambda: metrics.band_detection(FLAG, FLAG[:2]), ValueError, "wanted 2 like"),
        (lambda: metrics.band_detection([0, 1], [0, 1]), TypeError, "bool"),
        (lambda: metrics.purity(ONE[:, :1]), ValueError, "one endmember"),
        (lambda: metrics.guide_correlation(ONE, TWO), ValueError, "like truth"),
        (lambda: metrics.guide_correlation(np.nan * ONE, ONE), ValueError, "fewer tha"),
        (
            lambda: metrics.reconstruction_error(ONE[0], ONE, ONE),
            ValueError,
            "spectra has shape",
        ),
        (
            lambda: metrics.reconstruction_error(TWO, ONE[:, :2], ONE),
            ValueError,
            r"wanted \(K, 3\)",
        ),
        (
            lambda: metrics.reconstruction_error(TWO, ONE, TWO),
            ValueError,
            r"wanted \(2, 1\)",
        ),
        (
            lambda: metrics.reconstruction_error(TWO, np.nan * ONE, np.ones((2, 1))),
            ValueError,
            "no good band",
        ),
        (
            lambda: metrics.reconstruction_error(TWO, ONE, np.full((2, 1), np.nan)),
            ValueError,
            "no pixel",
        ),
        (lambda: metrics.reconstruction_error(FLAG, ONE, ONE), TypeError, "bool"),
        (lambda: metrics.reconstruction_error(TWO[:0], ONE, ONE), ValueError, "empty"),
    ],
)
def test_bad_input_is_one_sentence(call, error, message):
    with np.errstate(all="ignore"), pytest.raises(error, match=message):
        call()


def test_the_samson_truth_in_the_wrong_pixel_order_is_seen(data_folder):
    from scipy.io import loadmat

    scene = loadmat(data_folder / "hsi" / "samson.mat")
    spectra = scene["Y"].T
    a = scene["S_GT"].transpose(1, 0, 2).reshape(-1, 3)
    unit = spectra / np.linalg.norm(spectra, axis=1, keepdims=True)
    endmembers = scene["GT"] / np.linalg.norm(scene["GT"], axis=1, keepdims=True)
    right = metrics.reconstruction_error(unit, endmembers, a)
    wrong = metrics.reconstruction_error(unit, endmembers, scene["S_GT"].reshape(-1, 3))
    assert right.overall < 0.005 < 0.03 < wrong.overall


def test_one_spectrum_may_come_without_an_axis_of_its_own():
    a, b = np.array([1.0, 0.0, 0.0]), np.array([1.0, 1.0, 0.0])
    assert metrics.spectral_angle(a, b) == pytest.approx(np.pi / 4)
