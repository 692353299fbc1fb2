"""Band noise, bad bands, and the dimension of the signal."""

import numpy as np
import pytest
import scipy.io

from sparsesolve.applications.unmixing_dimension import elbow, hfc, hysime
from sparsesolve.applications.unmixing_noise import band_noise, screen_bands
from sparsesolve.applications.unmixing_subspace import (
    affine_subspace,
    signal_subspace,
)


def scene(rng, n=3000, bands=40, count=3, noise=0.0):
    """Mixed spectra with noise (a number, or one a band), with contrast everywhere."""
    pure = rng.uniform(0.7, 1, (count, bands)) * np.geomspace(0.2, 1, count)[:, None]
    clean = rng.dirichlet(np.ones(count), n) @ pure
    return clean + noise * rng.standard_normal((n, bands))


@pytest.fixture(scope="module")
def scenes(data_folder):
    """Samson and Jasper Ridge as (n_pixels, bands)."""
    names = ("samson", "jasper_ridge")
    files = [scipy.io.loadmat(data_folder / "hsi" / f"{name}.mat") for name in names]
    return {n: f["Y"].T.astype(float) for n, f in zip(names, files, strict=True)}


def corrupt(spectra, kind, share, seed):
    """Return spectra with a share of the bands spoilt, and which those are."""
    rng = np.random.default_rng(seed)
    n, bands = spectra.shape
    bad = np.zeros(bands, bool)
    size = round(share * bands)
    start = rng.integers(bands)
    neighbours = (start + np.arange(size)) % bands
    bad[neighbours if seed % 2 else rng.choice(bands, size, replace=False)] = True
    spoilt = spectra.copy()
    draws = rng.standard_normal((n, size))
    spoilt[:, bad] = {
        "noise": lambda: spectra.mean() + spectra.std() * draws,
        "other_pixels": lambda: spectra[rng.permutation(n)][:, bad],
        "drift": lambda: np.cumsum(draws, axis=0),
        "common_drift": lambda: np.cumsum(draws[:, :1], axis=0) + 1e-3 * draws,
        "large": lambda: 1e6 * draws,
        "constant": lambda: rng.random(size),
    }[kind]()
    return spoilt, bad


def test_band_noise_equals_least_squares_of_each_band(rng):
    spectra = scene(rng, 200, 12, noise=0.01 * np.arange(1, 13))
    wanted = np.zeros(12)
    for b in range(12):
        others = np.column_stack([np.delete(spectra, b, axis=1), np.ones(200)])
        left = spectra[:, b] - others @ np.linalg.lstsq(others, spectra[:, b])[0]
        # The library counts the intercept and the 12 bands as degrees of freedom.
        wanted[b] = np.sqrt(left @ left / 200 * 199 / (199 - 12))
    np.testing.assert_allclose(band_noise(spectra), wanted, rtol=1e-5)


def test_band_noise_finds_the_noise_that_was_added(rng):
    noise = np.geomspace(1e-3, 1e-2, 100)
    found = band_noise(scene(rng, 5000, 100, noise=noise))
    np.testing.assert_allclose(found, noise, rtol=0.15)


def test_band_noise_scales_and_permutes_with_the_bands(rng):
    spectra = scene(rng, noise=0.02)
    order = rng.permutation(40)
    wanted = band_noise(spectra)
    np.testing.assert_allclose(band_noise(7 * spectra), 7 * wanted, rtol=1e-6)
    np.testing.assert_allclose(band_noise(spectra[:, order]), wanted[order], rtol=1e-6)
    np.testing.assert_allclose(band_noise(spectra.reshape(50, 60, 40)), wanted)
    assert band_noise(spectra.astype(np.float32)).dtype == np.float32


def test_bands_corrupted_alike_explain_each_other_unless_left_out(rng):
    spectra = scene(rng, noise=0.01)
    good = np.arange(40) < 36
    spectra[:, ~good] = spectra[rng.permutation(3000)][:, ~good]
    left_out = band_noise(spectra, good_bands=good)[~good]
    assert np.all(band_noise(spectra)[~good] < 0.5 * left_out)
    np.testing.assert_allclose(left_out, spectra[:, ~good].std(axis=0), rtol=0.05)


@pytest.mark.parametrize("share", [0.1, 0.2])
@pytest.mark.parametrize(
    "kind", ["noise", "other_pixels", "drift", "common_drift", "large", "constant"]
)
@pytest.mark.parametrize("name", ["samson", "jasper_ridge"])
def test_bad_bands_of_real_scenes_are_found(scenes, name, kind, share):
    for seed in (0, 1):
        spoilt, bad = corrupt(scenes[name], kind, share, seed)
        flagged = ~screen_bands(spoilt)
        f1 = 2 * np.sum(flagged & bad) / (flagged.sum() + bad.sum())
        assert f1 >= 0.95, f"seed {seed}: F1 {f1:.3f}"


def test_clean_scenes_keep_their_bands(scenes):
    assert screen_bands(scenes["samson"]).all()
    # Its first band correlates with no other by more than 0.43.
    flagged = np.flatnonzero(~screen_bands(scenes["jasper_ridge"]))
    np.testing.assert_array_equal(flagged, [0])


@pytest.mark.parametrize("noise", [0.0, 1e-3, 0.02])
def test_screening_of_generated_scenes_flags_only_the_bad(rng, noise):
    spectra = scene(rng, noise=noise)
    assert screen_bands(spectra).all()
    spoilt, bad = corrupt(spectra, "other_pixels", 0.2, 1)
    np.testing.assert_array_equal(screen_bands(spoilt), ~bad)


def test_screening_does_not_depend_on_units_or_order(rng):
    spectra, bad = corrupt(scene(rng, noise=0.01), "noise", 0.2, 0)
    order = rng.permutation(40)
    scaled = spectra * rng.uniform(0.1, 10, 40)
    np.testing.assert_array_equal(screen_bands(scaled[:, order]), ~bad[order])


def test_screening_limits_are_heeded(rng):
    spectra = scene(rng, noise=0.001)
    spectra[:, 5] += 0.3 * spectra[:, 5].std() * rng.standard_normal(3000)
    assert screen_bands(spectra).all()
    assert np.flatnonzero(~screen_bands(spectra, least_ratio=0.2)).tolist() == [5]
    strict = screen_bands(spectra, least_ratio=0.2, threshold=1e4)
    assert strict.all()


def test_noise_refuses_what_tells_nothing(rng):
    with pytest.raises(ValueError, match="the same in every pixel"):
        band_noise(np.ones((20, 4)))
    with pytest.raises(ValueError, match="the same in every pixel"):
        screen_bands(np.zeros((20, 4)))
    with pytest.raises(ValueError, match="holds one pixel"):
        band_noise(np.ones((1, 4)))
    with pytest.raises(ValueError, match="10 pixels to regress 40 bands"):
        band_noise(scene(rng, 10))
    with pytest.raises(ValueError, match=r"good_bands is int64 \(40,\)"):
        band_noise(scene(rng), good_bands=np.ones(40, np.int64))
    with pytest.raises(ValueError, match="threshold is -1"):
        screen_bands(scene(rng), threshold=-1)


def test_a_constant_band_has_no_noise_and_no_signal(rng):
    spectra = scene(rng, noise=0.01)
    spectra[:, 3] = 0
    assert band_noise(spectra)[3] == 0
    assert np.flatnonzero(~screen_bands(spectra)).tolist() == [3]


@pytest.mark.parametrize("count", [2, 3, 5])
def test_dimension_of_generated_scenes(rng, count):
    spectra = scene(rng, 5000, 60, count, noise=2e-3)
    size, basis = hysime(spectra)
    assert size == count
    np.testing.assert_allclose(basis @ basis.T, np.eye(count), atol=1e-10)
    curve = elbow(spectra)
    assert curve[count - 1] < 1.1 * curve[count]
    assert curve[count - 2] > 1.5 * curve[count - 1]


def test_hfc_is_the_test_of_paired_eigenvalues(rng):
    spectra = scene(rng, 2000, 30, 4, noise=0.02)
    r = np.sort(np.linalg.svd(spectra / np.sqrt(2000))[1] ** 2)
    k = np.sort(np.linalg.eigvalsh(np.cov(spectra.T, bias=True)))
    z = (r - k) / np.sqrt(2 / 2000 * (r**2 + k**2))
    for level, bound in ((1e-2, 2.3263479), (1e-4, 3.7190165)):
        assert hfc(spectra, false_alarm=level) == np.sum(z > bound)


def test_hfc_counts_sources_and_not_noise(rng):
    noise = np.where(np.arange(60) % 6 == 0, 0.5, 5e-3)
    noise = noise * rng.standard_normal((4000, 60))
    assert hfc(noise) == 0
    sources = np.diag([1, 2, 4]) @ (np.eye(3, 60, 1) + np.eye(3, 60, 7))
    pure = np.vstack([np.repeat(sources, 800, axis=0), np.zeros((1600, 60))])
    spectra = 0.05 * pure + noise
    assert hfc(spectra, whiten=True) == 3
    assert hfc(spectra / band_noise(spectra)) == 3


def test_hysime_finds_the_published_size_of_samson(scenes):
    """43 and 18 are what the authors' program finds (no number of endmembers!)."""
    assert hysime(scenes["samson"])[0] == 43
    assert hysime(scenes["jasper_ridge"])[0] == 18


def test_elbow_is_the_error_of_the_truncated_singular_values(rng):
    spectra = scene(rng, 200, 12, noise=0.01)
    u, s, vt = np.linalg.svd(spectra, full_matrices=False)
    rank_3 = (u[:, :3] * s[:3]) @ vt[:3]
    found = elbow(spectra, largest=5)
    assert found.shape == (5,)
    np.testing.assert_allclose(found[2], np.sqrt(np.mean((spectra - rank_3) ** 2)))
    assert elbow(spectra).shape == (12,)


def test_dimension_refuses_what_tells_nothing(rng):
    for function in (hfc, hysime):
        with pytest.raises(ValueError, match="the same in every pixel"):
            function(np.zeros((50, 4)))
    with pytest.raises(ValueError, match="more pixels than bands"):
        hysime(scene(rng, 30))
    with pytest.raises(ValueError, match=r"below 0\.5"):
        hfc(scene(rng), false_alarm=0.5)


def test_weighted_subspace_is_that_of_repeated_pixels(rng):
    spectra = scene(rng, 100, 12, noise=0.05)
    repeats = rng.integers(0, 4, 100)
    repeated = np.repeat(spectra, repeats, axis=0)
    found = signal_subspace(spectra, 4, weights=repeats)
    np.testing.assert_allclose(found, signal_subspace(repeated, 4), atol=1e-9)
    right = np.linalg.svd(repeated)[2][:4]
    np.testing.assert_allclose(found.T @ found, right.T @ right, atol=1e-9)

    mean, basis = affine_subspace(spectra, 3, weights=repeats)
    np.testing.assert_allclose(mean, repeated.mean(axis=0))
    right = np.linalg.svd(repeated - repeated.mean(axis=0))[2][:3]
    np.testing.assert_allclose(basis.T @ basis, right.T @ right, atol=1e-9)


def test_subspace_refuses_sizes_and_weights(rng):
    spectra = scene(rng, 50, 12).astype(np.float32)
    assert signal_subspace(spectra, 2).dtype == np.float32
    with pytest.raises(ValueError, match="size is 13"):
        signal_subspace(spectra, 13)
    with pytest.raises(ValueError, match=r"weights has shape \(12,\)"):
        signal_subspace(spectra, 2, weights=np.ones(12))
    with pytest.raises(ValueError, match="weights has entries"):
        affine_subspace(spectra, 2, weights=-np.ones(50))
    with pytest.raises(ValueError, match="all zero"):
        signal_subspace(spectra, 2, weights=np.zeros(50))
