"""Image metrics against values computed by hand."""

import math

import numpy as np
import pytest

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
    ],
)
def test_bad_input_is_one_sentence(call, message):
    with pytest.raises(ValueError, match=message):
        call()
