"""Image metrics against values computed by hand."""

import math

import numpy as np
import pytest

import sparsesolve as ss
from sparsesolve import metrics
from sparsesolve.backends import to_device
from sparsesolve.operators import Grid

GRID = Grid([0.0, 0.01, 0.02], [0.0, 0.01], [0.1, 0.12])


def test_psnr_of_the_three_scales():
    truth = np.array([0.0, 2.0, 1.0, 1.0])
    x = np.array([0.0, 8.0, 2.0, 2.0])
    # made equal at the maximum: errors 0, 0, 0.5, 0.5
    assert metrics.psnr(x, truth) == pytest.approx(10 * math.log10(4 / 0.125))
    c = (16 + 2 + 2) / (64 + 4 + 4)
    error = ((c * x - truth) ** 2).mean()
    wanted = 10 * math.log10(4 / error)
    assert metrics.psnr(x, truth, scale="fit") == pytest.approx(wanted)
    wanted = 10 * math.log10(4 / (38 / 4))
    assert metrics.psnr(x, truth, scale="none") == pytest.approx(wanted)


def test_the_fitted_scale_is_the_best(rng):
    x, truth = rng.standard_normal((2, 5, 4))
    best = metrics.psnr(x, truth, scale="fit")
    assert all(
        metrics.psnr(c * x, truth, scale="none") <= best + 1e-9
        for c in np.linspace(-3, 3, 601)
    )
    assert metrics.psnr(7 * x, truth, scale="fit") == pytest.approx(best)


def test_a_perfect_image_is_infinitely_good():
    truth = np.array([1.0, 0.5])
    assert metrics.psnr(3 * truth, truth, scale="fit") == math.inf
    assert metrics.nmse(3 * truth, truth) == -math.inf
    assert metrics.nmse(0 * truth, truth) == 0


def test_nmse_is_the_relative_error():
    assert metrics.nmse(
        np.array([1.0, 1.0]), np.array([1.0, 0.0]), scale="none"
    ) == pytest.approx(0)
    assert metrics.nmse(np.array([1.0, 1.0]), np.array([1.0, 0.0])) == pytest.approx(
        10 * math.log10(0.5)
    )


def test_phases_do_not_count():
    truth = np.array([1.0, 0.5, 0.25])
    x = truth * np.exp(1j * np.array([0.3, 2.0, -1.0]))
    assert metrics.nmse(x, truth) < -150
    assert metrics.psnr(x.astype("complex64"), truth) > 120


@pytest.mark.parametrize("library", ["array_api_strict", "torch:cpu"])
def test_any_library(library):
    pytest.importorskip(library.partition(":")[0])
    x = to_device(np.array([1.0, 2.0, 4.0]), library)
    assert metrics.contrast(x) == pytest.approx(metrics.contrast(np.array([1.0, 2, 4])))


def test_entropy_and_contrast_of_known_images():
    flat, point = np.full(8, 3.0), np.eye(1, 8, 2)
    assert metrics.entropy(flat) == pytest.approx(math.log(8))
    assert metrics.entropy(point) == 0
    assert metrics.contrast(flat) == 0
    assert metrics.contrast(point) == pytest.approx(math.sqrt(7))


def test_peak_and_side_energy():
    x = np.zeros(GRID.shape, complex)
    x[1, 1, 0], x[2, 1, 0], x[0, 0, 1] = 3j, 1, 2
    np.testing.assert_allclose(metrics.peak_position(x, GRID), [0.01, 0.01, 0.1])
    side = metrics.side_energy(x, GRID, radius=0.012)
    assert side == pytest.approx(10 * math.log10(4 / 10))
    side = metrics.side_energy(x, GRID, center=[0, 0, 0.12], radius=0.001)
    assert side == pytest.approx(10 * math.log10(10 / 4))
    targets = [[0, 0, 0.12], [0.01, 0.01, 0.1]]
    side = metrics.side_energy(x, GRID, center=targets, radius=0.001)
    assert side == pytest.approx(10 * math.log10(1 / 13))
    assert metrics.side_energy(x, GRID, radius=1.0) == -math.inf
    assert metrics.side_energy(x, GRID, center=[1, 1, 1]) == math.inf


def test_width_of_a_known_peak():
    t = np.linspace(-1, 1, 2001)
    profile = np.exp(-((t - 0.1) ** 2) / (2 * 0.05**2))
    # 20 log10 of it falls by 3 dB at sigma·sqrt(0.3 ln 10)
    wanted = 2 * 0.05 * math.sqrt(0.3 * math.log(10))
    assert metrics.peak_width(profile, t) == pytest.approx(wanted, rel=1e-3)
    assert metrics.peak_width(1j * profile, 2 * t) == pytest.approx(
        2 * wanted, rel=1e-3
    )


def test_sidelobes_of_a_sinc():
    # 20 log10 of the largest sidelobe of sin(πt)/(πt), at t = 1.43030
    t = np.linspace(-6, 6, 12001)
    assert metrics.peak_sidelobe(np.sinc(t)) == pytest.approx(-13.2615, abs=1e-3)
    # energy within ±1 by quadrature of the closed form, of all that within ±6
    fine = np.linspace(0, 6, 600001)
    power = np.sinc(fine) ** 2
    main, total = power[fine <= 1].sum(), power.sum()
    wanted = 10 * math.log10((total - main) / main)
    assert metrics.integrated_sidelobe(np.sinc(t), t) == pytest.approx(wanted, abs=0.01)


def test_sidelobes_of_a_listed_profile():
    profile = np.array([3.0, 1.0, 5.0, 10.0, 4.0, 2.0, 2.5, 0.0])
    assert metrics.peak_sidelobe(profile) == pytest.approx(20 * math.log10(0.3))
    # main lobe from 1 to 5; trapezoids of the squares
    main = (1 + 25) / 2 + (25 + 100) / 2 + (100 + 16) / 2 + (16 + 4) / 2
    sides = (9 + 1) / 2 + (4 + 6.25) / 2 + 6.25 / 2
    found = metrics.integrated_sidelobe(1j * profile, np.arange(8))
    assert found == pytest.approx(10 * math.log10(sides / main))
    # around another of its peaks, which is not the largest
    other = metrics.peak_sidelobe(profile, peak=6)
    assert other == pytest.approx(20 * math.log10(10 / 2.5))
    # it falls by 6.02 dB in a step
    width = metrics.peak_width(np.array([1.0, 2, 1, 9]), np.arange(4), peak=1)
    assert width == pytest.approx(2 * 3 / (20 * math.log10(2)))


def test_a_lone_main_lobe_has_no_sidelobes():
    assert metrics.peak_sidelobe(np.array([1.0, 2.0, 1.0])) == -math.inf
    positions = np.arange(3.0)
    assert metrics.integrated_sidelobe(np.array([1.0, 2, 1]), positions) == -math.inf
    assert metrics.integrated_sidelobe(np.ones(1), np.zeros(1)) == -math.inf


@pytest.mark.parametrize("shape", [(17, 12, 14), (20, 1, 15), (40,)])
def test_ssim_is_that_of_scikit_image(rng, shape):
    structural_similarity = pytest.importorskip("skimage.metrics").structural_similarity
    truth = np.abs(rng.standard_normal(shape))
    x = (truth + 0.3 * rng.standard_normal(shape)) * np.exp(1j * rng.random(shape))
    magnitude = np.squeeze(np.abs(x))
    fit = float(np.sum(np.abs(x) * truth) / np.sum(np.abs(x) ** 2))
    scales = {"none": 1.0, "max": truth.max() / magnitude.max(), "fit": fit}
    for scale, c in scales.items():
        wanted = structural_similarity(
            c * magnitude,
            np.squeeze(truth),
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
            data_range=truth.max(),
        )
        assert metrics.ssim(x, truth, scale=scale) == pytest.approx(wanted, rel=1e-10)
        assert wanted < 0.99


def test_ssim_of_the_truth_is_one(rng):
    truth = rng.random((12, 11, 13)).astype("float32")
    assert metrics.ssim(5 * truth, truth) == pytest.approx(1, abs=1e-6)
    assert metrics.ssim(truth, truth, scale="none") == 1
    assert metrics.ssim(0 * truth, truth) < 0.1


def test_residual_shares_are_ratios_of_norms(rng):
    y = rng.standard_normal((3, 2, 4)) + 1j * rng.standard_normal((3, 2, 4))
    A = ss.operators.Identity((3, 2, 4))
    x = 0.5 * rng.standard_normal((3, 2, 4)) + 0j
    frequency, channel = metrics.residual_shares(
        ss.Problem(ss.LeastSquares(A, y), None), x
    )
    norm = np.linalg.norm
    np.testing.assert_allclose(
        frequency, [norm(x[k] - y[k]) / norm(y[k]) for k in range(3)]
    )
    np.testing.assert_allclose(channel, norm(x - y, axis=0) / norm(y, axis=0))


def test_masked_entries_have_no_part_in_residual_shares(rng):
    y = rng.standard_normal((3, 4)) + 0j
    weights = np.ones((3, 4))
    weights[1, 2] = weights[:, 0] = 0
    A = ss.operators.Identity((3, 4))
    x = rng.standard_normal((3, 4)) + 0j
    frequency, channel = metrics.residual_shares(
        ss.Problem(ss.LeastSquares(A, y, weights), None), x
    )
    assert np.isnan(channel[0])
    used = [0, 2]
    wanted = np.linalg.norm((x - y)[used, 2]) / np.linalg.norm(y[used, 2])
    assert channel[2] == pytest.approx(wanted)
    used = [1, 3]
    wanted = np.linalg.norm((x - y)[1, used]) / np.linalg.norm(y[1, used])
    assert frequency[1] == pytest.approx(wanted)


def test_residual_shares_need_frequencies_and_one_problem():
    A = ss.operators.Identity((3,))
    for y in (np.ones(3), np.ones((2, 3))):
        with pytest.raises(ValueError, match="one problem with data"):
            metrics.residual_shares(ss.Problem(ss.LeastSquares(A, y)), y)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: metrics.psnr(np.ones((2, 3)), np.ones((3, 2))), "axes swapped"),
        (lambda: metrics.psnr(np.ones(2), np.zeros(2)), "truth is zero everywhere"),
        (lambda: metrics.psnr(np.ones(2), np.ones(2), scale="rms"), "scale is 'rms'"),
        (lambda: metrics.nmse(np.array([np.nan, 1]), np.ones(2)), "x has 1 NaN"),
        (lambda: metrics.entropy(np.zeros(3)), "x is zero everywhere"),
        (lambda: metrics.peak_position(np.ones((3, 2)), GRID), "that of the grid"),
        (
            lambda: metrics.side_energy(np.ones(GRID.shape), GRID, radius=0),
            "radius is 0",
        ),
        (lambda: metrics.peak_width(np.ones(3), np.arange(3)), "does not fall by 3 dB"),
        (lambda: metrics.peak_width(np.ones(3), np.arange(4)), "equal length"),
        (lambda: metrics.peak_width(np.ones(3), np.array([0, 2, 1])), "not increase"),
        (lambda: metrics.peak_width(np.eye(3), np.arange(3)), r"shape \(3, 3\)"),
        (lambda: metrics.peak_sidelobe(np.zeros(3)), "wanted one axis with a peak"),
        (lambda: metrics.peak_sidelobe(np.array([1, np.nan])), "profile has 1 NaN"),
        (lambda: metrics.peak_sidelobe(np.array([1.0, 2]), peak=0), "peak is 0"),
        (lambda: metrics.peak_sidelobe(np.array([1.0, 2]), peak=7), "peak is 7"),
        (lambda: metrics.peak_sidelobe(np.array([])), "profile is empty"),
        (
            lambda: metrics.ssim(np.ones((9, 12)), np.ones((9, 12))),
            r"shape \(9, 12\); wanted 11 voxels",
        ),
        (lambda: metrics.ssim(np.ones(1), np.ones(1)), "wanted 11 voxels"),
        (lambda: metrics.ssim(np.ones((3, 2)), np.ones((2, 3))), "axes swapped"),
    ],
)
def test_bad_input_is_one_sentence(call, message):
    with pytest.raises(ValueError, match=message):
        call()
