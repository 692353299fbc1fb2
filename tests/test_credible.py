"""Credible intervals against scipy's distributions, integration and simulation."""

from statistics import NormalDist

import numpy as np
import pytest
from cases import COMPLEX, LIBRARIES, random
from scipy import special, stats

from sparsesolve import credible
from sparsesolve.backends import device_of, dtype_of, to_device, to_numpy
from sparsesolve.solution import PosteriorSummary

LEVELS = (0.5, 0.9, 0.999)


def summary(mean, variance):
    return PosteriorSummary(mean, variance, 0.0, 1.0, {})


def rice_below(x, centre):
    """P(|z| < x) of z ~ CN(centre, 2) with a large centre, by summing the density."""
    edges = np.linspace(-12.0, x - centre, 4001)
    t = (edges[1:] + edges[:-1]) / 2
    r = centre + t
    density = r * np.exp(-0.5 * t**2) * special.ive(0, r * centre)
    return np.sum(density) * (edges[1] - edges[0])


# Real and imaginary parts.


def test_a_real_entry_has_the_interval_of_a_normal_variable():
    mean, variance = random((7,), "float64"), random((7,), "float64", 1) ** 2
    for level in LEVELS:
        low, high = summary(mean, variance).interval(level)
        wanted = stats.norm.interval(level, mean, np.sqrt(variance))
        np.testing.assert_allclose((low, high), wanted, rtol=1e-12, atol=1e-14)
        radius = summary(mean, variance).radius(level)
        np.testing.assert_allclose(radius, (high - low) / 2, rtol=1e-12)


@pytest.mark.parametrize("of", ["real", "imag"])
def test_a_part_of_a_complex_entry_has_half_its_variance(of):
    mean, variance = random((7,), "complex128"), random((7,), "float64", 1) ** 2
    found = summary(mean, variance).interval(0.8, of=of)
    wanted = stats.norm.interval(0.8, getattr(mean, of), np.sqrt(variance / 2))
    np.testing.assert_allclose(found, wanted, rtol=1e-12, atol=1e-14)


# Magnitudes.


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("size", [0.0, 1e-9, 0.3, 2.0, 9.0, 60.0, 99.0])
def test_magnitudes_have_the_quantiles_that_scipy_gives(level, size):
    """Of a folded normal variable, and of Rice's distribution."""
    tails, variance = (0.5 - level / 2, 0.5 + level / 2), np.array([0.7])
    std = np.sqrt(0.7)
    found = credible.magnitude(np.array([-size]), variance, level)
    wanted = stats.foldnorm.ppf(tails, size / std, scale=std)
    np.testing.assert_allclose(np.concatenate(found), wanted, rtol=1e-6)
    part = np.sqrt(0.35)
    found = credible.magnitude(np.array([size * np.exp(2j)]), variance, level)
    wanted = stats.rice.ppf(tails, size / part, scale=part)
    np.testing.assert_allclose(np.concatenate(found), wanted, rtol=1e-6)


@pytest.mark.parametrize("centre", [99.0, 101.0, 1e3, 2e4])
@pytest.mark.parametrize("q", [0.005, 0.3, 0.95])
def test_large_magnitudes_have_the_exact_quantiles(centre, q):
    """On both sides of where the approximation begins."""
    level, place = abs(1 - 2 * q), int(q > 0.5)
    found = credible.magnitude(np.array([centre + 0j]), np.array([2.0]), level)
    assert rice_below(found[place][0], centre) == pytest.approx(q, abs=2e-5)
    found = credible.magnitude(np.array([centre]), np.array([1.0]), level)
    exact = centre + NormalDist().inv_cdf(q)
    assert found[place][0] == pytest.approx(exact, rel=1e-9, abs=1e-7)


def test_extremes_of_magnitude_stay_finite_and_in_order():
    mean = np.array([0.0, 1e-300, 1.0, 1e150, 1.0], complex)
    variance = np.array([1.0, 1.0, 1e-300, 1e-300, 1e200])
    for values in (mean, mean.real.copy()):
        low, high = credible.magnitude(values, variance, 0.9)
        assert np.all(np.isfinite(low) & np.isfinite(high))
        assert np.all((low >= 0) & (low <= high))
        assert np.all(low[[2, 3]] <= values.real[[2, 3]] * (1 + 1e-12))


@pytest.mark.parametrize(
    ("dtype", "of"),
    [
        ("float64", "real"),
        ("float64", "abs"),
        ("complex128", "real"),
        ("complex128", "imag"),
        ("complex128", "abs"),
    ],
)
def test_intervals_cover_what_they_say(dtype, of):
    """Half of the misses lie on either side."""
    n, level = 20_000, 0.9
    rng = np.random.default_rng(0)
    mean = 2 * random((n,), dtype, 1)
    variance = rng.gamma(1.0, 2.0, n)
    x = mean + np.sqrt(variance) * random((n,), dtype, 2)
    part = {"real": np.real, "imag": np.imag, "abs": np.abs}[of](x)
    low, high = summary(mean, variance).interval(level, of)
    allowed = 4 * np.sqrt(0.05 * 0.95 / n)
    assert np.mean(part < low) == pytest.approx(0.05, abs=allowed)
    assert np.mean(part > high) == pytest.approx(0.05, abs=allowed)
    inside = np.mean(np.abs(x - mean) <= summary(mean, variance).radius(level))
    assert inside == pytest.approx(level, abs=4 * 0.3 / np.sqrt(n))


# What a user meets.


@pytest.mark.parametrize("device", LIBRARIES)
@pytest.mark.parametrize("dtype", ["float32", "float64", "complex64", "complex128"])
def test_eliminated_entries_have_no_interval_in_any_library(device, dtype):
    if device.startswith("torch"):
        pytest.importorskip("torch")
    real = np.empty(0, dtype).real.dtype
    mean = np.array([[0, 1], [2, 0]], dtype)
    variance = np.array([[0, 0.5], [1, 2]], real)
    posterior = summary(to_device(mean, device), to_device(variance, device))
    wanted = np.array([[True, False], [False, False]])
    np.testing.assert_array_equal(to_numpy(posterior.eliminated), wanted)
    kinds = (None, "real", "abs", *(("imag",) if dtype in COMPLEX else ()))
    ends = [end for of in kinds for end in posterior.interval(0.9, of)]
    for found in (*ends, posterior.radius(0.9)):
        assert device_of(found) == device
        assert dtype_of(found) == real
        np.testing.assert_array_equal(np.isnan(to_numpy(found)), wanted)
    here = summary(mean.astype(np.result_type(dtype, "float64")), variance)
    for found, of in zip(ends[::2], kinds, strict=True):
        low = here.interval(0.9, of)[0]
        np.testing.assert_allclose(to_numpy(found), low, rtol=1e-6)
    np.testing.assert_allclose(to_numpy(posterior.std), np.sqrt(variance), rtol=1e-6)


def test_the_default_is_the_entry_itself_or_the_magnitude_of_a_complex_one():
    variance = np.array([0.5, 2.0])
    for mean, of in (
        (np.array([-3.0, 0.2]), "real"),
        (np.array([-3, 0.2 + 1j]), "abs"),
    ):
        posterior = summary(mean, variance)
        np.testing.assert_array_equal(posterior.interval(), posterior.interval(0.9, of))
    assert summary(np.array([-3.0]), np.ones(1)).interval()[0][0] < -3


@pytest.mark.parametrize("level", [0, 1, 1.5, -0.1, 90, np.nan, "much", None])
def test_a_level_must_be_a_probability(level):
    posterior = summary(np.ones(2), np.ones(2))
    for act in (posterior.interval, posterior.radius):
        with pytest.raises((ValueError, TypeError), match="level is"):
            act(level)


@pytest.mark.parametrize(
    ("mean", "of", "message"),
    [
        (np.ones(2), "imag", "imag.*this one is real"),
        (np.ones(2), "phase", "of is 'phase'"),
        (np.ones(2, complex), "magnitude", "of is 'magnitude'.*this one is complex"),
    ],
)
def test_parts_that_there_are_not_are_refused(mean, of, message):
    with pytest.raises(ValueError, match=message):
        summary(mean, np.ones(2)).interval(0.9, of)
