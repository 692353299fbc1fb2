"""`unmix` from a cube to endmembers and maps: scenes with truths, units, bad input."""

import numpy as np
import pytest
import scipy.io

import sparsesolve as ss
from sparsesolve.applications.unmixing import fclsu, unmix, unmixing_scene
from sparsesolve.applications.unmixing_run import METHODS
from sparsesolve.metrics import abundance_rmse, match_endmembers, spectral_angle

ROWS, COLS, BANDS, K = 14, 12, 40, 3


def mixture(seed=0, noise=0.001):
    """Smooth spectra, mixed linearly, with nearly pure pixels: (data, E, A)."""
    rng = np.random.default_rng(seed)
    x = np.linspace(0, 1, BANDS)
    E = np.stack([0.2 + 0.6 * x, 0.7 - 0.4 * x**2, 0.3 + 0.3 * np.sin(5 * x) ** 2])
    A = rng.dirichlet(0.3 * np.ones(K), (ROWS, COLS))
    return A @ E + noise * rng.standard_normal((ROWS, COLS, BANDS)), E, A


@pytest.fixture(scope="module")
def generated():
    return unmixing_scene(rows=24, cols=24)


@pytest.fixture(scope="module")
def unmixed(generated):
    return unmix(generated.cube, 4, normalize="l2")


# Every method


@pytest.mark.parametrize("normalize", [None, "l2"])
@pytest.mark.parametrize("method", METHODS)
def test_every_method_finds_an_easy_mixture(method, normalize):
    data, E, A = mixture()
    found = unmix(data, K, method=method, normalize=normalize)
    assert found.endmembers.shape == (K, BANDS)
    assert found.abundances.shape == (ROWS, COLS, K)
    assert found.band_weights.shape == found.flagged.shape == (BANDS,)
    assert found.guide.shape == (ROWS, COLS)
    assert (found.method, found.normalize) == (method, normalize)
    assert repr(method) in repr(found)
    assert found.abundances.min() >= 0
    np.testing.assert_allclose(found.abundances.sum(axis=2), 1, atol=1e-9)
    assert found.band_weights[~found.flagged].mean() == pytest.approx(1)
    np.testing.assert_array_equal(found.band_weights[found.flagged], 0)
    assert spectral_angle(found.endmembers, E) < 0.06
    # Endmembers come back in the data's units, normalised or not.
    matched = found.endmembers[match_endmembers(found.endmembers, E)]
    sizes = np.linalg.norm(matched, axis=1) / np.linalg.norm(E, axis=1)
    np.testing.assert_allclose(sizes, 1, atol=0.1)
    if normalize is None:
        truth = A
        assert "normalize" not in found.choices
    else:
        norms = np.linalg.norm(E, axis=1)
        truth = A * norms / (A @ norms)[..., None]  # shares of the unit-norm spectrum
        assert "no area fractions" in found.choices["normalize"]
    # SPA begins at the longest pixel: of unit-norm ones any will do, pure or not.
    blind = method == "spa" and normalize is not None
    assert abundance_rmse(found.abundances, truth) < (0.15 if blind else 0.05)
    factorises = method in METHODS[:5]
    assert (found.solution is not None) == factorises
    assert ("lam" in found.choices) == (
        method in ("robust", "l1/2-nmf", "data-guided-nmf")
    )


def test_methods_differ_in_the_parts_that_are_switched_off():
    data = mixture(noise=0.02)[0]
    found = {word: unmix(data, K, method=word, screen=False) for word in METHODS[:5]}
    for word in ("nmf", "l1/2-nmf", "data-guided-nmf"):
        np.testing.assert_array_equal(found[word].band_weights, np.ones(BANDS))
    for word in ("robust", "l2,1-nmf"):
        assert np.ptp(found[word].band_weights) > 0.01
    np.testing.assert_array_equal(found["nmf"].guide, 0)
    np.testing.assert_array_equal(found["l2,1-nmf"].guide, 0)
    np.testing.assert_array_equal(found["l1/2-nmf"].guide, 0.5)
    for word in ("robust", "data-guided-nmf"):
        assert 0.3 < np.ptp(found[word].guide) <= 0.75


def test_the_abundances_of_robust_are_weighted_fclsu_of_its_endmembers():
    data = mixture(noise=0.02)[0]
    found = unmix(data, K)
    again = fclsu(data, found.endmembers, weights=found.band_weights)
    np.testing.assert_allclose(found.abundances, again, atol=1e-9)


# The generated scene


def test_the_generated_scene_is_unmixed(generated, unmixed):
    assert (
        spectral_angle(unmixed.endmembers[:, _good(generated)], _truth(generated))
        < 0.12
    )
    valid = generated.cube.valid
    norms = np.linalg.norm(_truth(generated), axis=1)
    shares = generated.abundances * norms
    shares = shares / shares.sum(axis=2, keepdims=True)
    assert abundance_rmse(unmixed.abundances[valid], shares[valid]) < 0.12


def _good(scene):
    return scene.cube.good_bands


def _truth(scene):
    return scene.endmembers[:, _good(scene)]


def test_bad_bands_and_invalid_pixels_leave_as_no_data(generated, unmixed):
    good, valid = generated.cube.good_bands, generated.cube.valid
    assert not good.all()
    assert not valid.all()
    assert np.isnan(unmixed.endmembers[:, ~good]).all()
    assert np.isfinite(unmixed.endmembers[:, good]).all()
    for values in (unmixed.abundances, unmixed.guide):
        assert np.isnan(values[~valid]).all()
        assert np.isfinite(values[valid]).all()
    assert not unmixed.flagged[~good].any()
    np.testing.assert_array_equal(unmixed.band_weights[~good], 0)
    assert unmixed.band_weights[good & ~unmixed.flagged].mean() == pytest.approx(1)


def test_noisy_bands_are_screened_out_and_bridged(generated, unmixed):
    flagged, good = unmixed.flagged, generated.cube.good_bands
    noisy = generated.bad_bands & good
    assert noisy.sum() == 8
    np.testing.assert_array_equal(flagged, noisy)
    assert unmixed.choices["bands"].startswith("8 of 187")
    E = unmixed.endmembers
    for band in np.flatnonzero(flagged):
        around = np.flatnonzero(good & ~flagged)
        left = around[around < band].max(initial=-1)
        right = around[around > band].min(initial=len(flagged))
        if left < 0 or right == len(flagged):
            continue
        low = np.minimum(E[:, left], E[:, right]) - 1e-12
        high = np.maximum(E[:, left], E[:, right]) + 1e-12
        assert np.all((E[:, band] >= low) & (E[:, band] <= high))


def test_what_invalid_pixels_and_bad_bands_hold_does_not_matter(generated, unmixed):
    cube = generated.cube
    other = cube.data.copy()
    other[~cube.valid] = 12345
    other[:, :, ~cube.good_bands] = -7
    changed = ss.HyperspectralCube(
        other,
        cube.wavelengths,
        good_bands=cube.good_bands,
        valid=cube.valid,
        scale=cube.scale,
    )
    again = unmix(changed, 4, normalize="l2")
    np.testing.assert_array_equal(again.endmembers, unmixed.endmembers)
    np.testing.assert_array_equal(again.abundances, unmixed.abundances)


# Symmetries and units


@pytest.mark.parametrize("normalize", [None, "l2"])
def test_integers_with_a_scale_are_what_they_stand_for(normalize):
    data = mixture()[0]
    counts = np.round(data * 1e4).astype("uint16")
    scaled = ss.HyperspectralCube(counts, scale=1e-4)
    one = unmix(counts * 1e-4, K, normalize=normalize)
    other = unmix(scaled, K, normalize=normalize)
    np.testing.assert_allclose(other.endmembers, one.endmembers, rtol=1e-6)
    raw = unmix(counts, K, normalize=normalize)
    np.testing.assert_allclose(raw.endmembers, 1e4 * one.endmembers, rtol=1e-4)
    np.testing.assert_allclose(raw.abundances, one.abundances, atol=1e-4)


def test_l2_takes_the_brightness_out_of_the_pixels():
    data = mixture()[0]
    light = np.random.default_rng(3).uniform(0.3, 2.0, (ROWS, COLS, 1))
    even = unmix(data, K, normalize="l2")
    shaded = unmix(data * light, K, normalize="l2")
    assert spectral_angle(shaded.endmembers, even.endmembers) < 0.01
    order = match_endmembers(shaded.endmembers, even.endmembers)
    np.testing.assert_allclose(
        shaded.abundances[..., order], even.abundances, atol=0.05
    )


def test_seeds_repeat_and_hardly_matter():
    data = mixture()[0]
    one, again = unmix(data, K, rng=7), unmix(data, K, rng=np.random.default_rng(7))
    np.testing.assert_array_equal(one.endmembers, again.endmembers)
    other = unmix(data, K, rng=8)
    assert spectral_angle(one.endmembers, other.endmembers) < 1e-3


@pytest.mark.parametrize("method", METHODS)
def test_single_precision_stays(method):
    data = mixture()[0].astype("float32")
    found = unmix(data, K, method=method, normalize="l2")
    for name in ("endmembers", "abundances", "band_weights", "guide"):
        assert getattr(found, name).dtype == np.float32, name
    wide = unmix(data.astype("float64"), K, method=method, normalize="l2")
    assert spectral_angle(found.endmembers, wide.endmembers) < 0.01


def test_endmembers_to_begin_with_are_taken_in_the_cubes_units():
    data, E, _ = mixture()
    for normalize in (None, "l2"):
        found = unmix(data, K, method="nmf", normalize=normalize, start=E[[2, 0, 1]])
        order = match_endmembers(found.endmembers, E)
        np.testing.assert_array_equal(order, [1, 2, 0])
        assert spectral_angle(found.endmembers, E) < 0.02


def test_one_endmember_is_the_scene():
    data = mixture()[0]
    found = unmix(data, 1)
    np.testing.assert_array_equal(found.abundances, 1)
    mean = data.mean(axis=(0, 1))
    assert spectral_angle(found.endmembers, mean[None]) < 0.05


# What is odd in a scene


@pytest.mark.parametrize("fill", [0, -1, -9999])
def test_dead_pixels_are_left_out_and_said(fill):
    data, E, _ = mixture()
    data[0, :3] = fill
    for normalize in (None, "l2"):
        found = unmix(data, K, normalize=normalize)
        assert np.isnan(found.abundances[0, :3]).all()
        assert np.isfinite(found.abundances).sum() == (ROWS * COLS - 3) * K
        assert found.choices["pixels"].startswith("3 are positive in no band")
        assert spectral_angle(found.endmembers, E) < 0.03


@pytest.mark.parametrize("screen", [True, False])
def test_a_band_of_zeros_does_no_harm(screen):
    data, E, _ = mixture()
    data[:, :, 5] = 0
    found = unmix(data, K, screen=screen)
    assert found.flagged[5] == screen
    rest = np.arange(BANDS) != 5
    assert spectral_angle(found.endmembers[:, rest], E[:, rest]) < 0.03
    if screen:
        # Bridged from its neighbours: nobody knows what is there.
        np.testing.assert_allclose(
            found.endmembers[:, 5], found.endmembers[:, [4, 6]].mean(axis=1)
        )
    else:
        np.testing.assert_allclose(found.endmembers[:, 5], 0, atol=1e-9)


def test_a_negative_band_is_left_out_and_said():
    data, E, _ = mixture()
    data[:, :, 5] *= -1
    with pytest.warns(UserWarning, match="good bands 5 are negative on average"):
        found = unmix(data, K)
    assert found.flagged[5]
    assert found.band_weights[5] == 0
    rest = np.arange(BANDS) != 5
    assert spectral_angle(found.endmembers[:, rest], E[:, rest]) < 0.03


def test_a_band_left_out_that_fits_after_all_is_fitted():
    # All materials alike in one band: nothing but noise varies there.
    data = mixture()[0]
    rng = np.random.default_rng(4)
    data[:, :, 9] = 0.9 + 0.001 * rng.standard_normal((ROWS, COLS))
    found = unmix(data, K)
    assert found.flagged[9]
    np.testing.assert_allclose(found.endmembers[:, 9], 0.9, atol=0.01)


def test_too_few_pixels_are_not_screened_and_it_is_said():
    data = mixture()[0][:4, :4]
    found = unmix(data, K)
    assert not found.flagged.any()
    assert "16 pixels are too few" in found.choices["bands"]


def test_screening_can_be_switched_off():
    data = mixture()[0]
    data[:, :, 9] = np.random.default_rng(1).random((ROWS, COLS))
    assert unmix(data, K).flagged[9]
    found = unmix(data, K, screen=False)
    assert not found.flagged.any()
    assert "bands" not in found.choices
    # Unscreened, the loss still gives it the least weight.
    assert found.band_weights.argmin() == 9


def with_value(value, where=(1, 1, 3)):
    data = mixture()[0]
    data[where] = value
    return data


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: unmix(with_value(np.nan), K), "data has 1 NaN"),
        (lambda: unmix(with_value(np.inf), K), "data has 1 NaN or infinite"),
        (lambda: unmix(mixture()[0], 0), "n_endmembers is 0"),
        (lambda: unmix(mixture()[0], 2.5), "n_endmembers is 2.5"),
        (lambda: unmix(mixture()[0], BANDS + 1), "168 pixels of 40 bands"),
        (lambda: unmix(mixture()[0][:2, :2], 5), "4 pixels of 40 bands"),
        (lambda: unmix(mixture(noise=0.0)[0], 4), "have rank 3"),
        (lambda: unmix(np.ones((5, 6, 8)), 1), "all spectra are equal"),
        (lambda: unmix(np.ones((5, 6, 8)), 3), "have rank 1"),
        (lambda: unmix(np.zeros((5, 6, 8)), 3), "positive in no band"),
        (lambda: unmix(np.ones((30, 8)), 3), "wanted .rows, cols, bands."),
        (lambda: unmix(mixture()[0] + 0j, K), "complex128"),
        (lambda: unmix("scene.hdr", K), "wanted real numbers"),
        (lambda: unmix(mixture()[0], K, method="magic"), "method is 'magic'; wanted"),
        (lambda: unmix(mixture()[0], K, normalize="l1"), "normalize is 'l1'; wanted"),
        (lambda: unmix(mixture()[0], K, start=np.ones((K, 4))), "start has shape"),
        (lambda: unmix(-mixture()[0], K), "positive in no band"),
        (lambda: unmix(-mixture()[0], K, screen=False), "positive in no band"),
        (
            lambda: unmix(np.ma.masked_less(mixture()[0], 0.2), K),
            "data is a masked array; pass data.data",
        ),
        (
            lambda: unmix(mixture()[0], K, method="vca", start=np.ones((K, BANDS))),
            "method 'vca' begins with nothing",
        ),
        (
            lambda: unmix(mixture()[0], K, start=np.full((K, BANDS), np.nan)),
            "start has 120 NaN",
        ),
        (lambda: unmix(mixture()[0], 1, method="vca"), "n_endmembers is 1"),
        (
            lambda: ss.HyperspectralCube(
                np.moveaxis(mixture()[0], 2, 0), np.linspace(400, 900, BANDS)
            ),
            "looks like .bands, rows, cols.",
        ),
    ],
)
def test_bad_input_is_one_sentence(call, message):
    with pytest.raises((ValueError, TypeError), match=message) as caught:
        call()
    assert "\n" not in str(caught.value)


# Real scenes, on unit-norm pixels and endmembers, Zhu's truths, one seed


def figures(found, E, A):
    order = match_endmembers(found.endmembers, E)
    error = found.abundances[..., order] - A
    return spectral_angle(found.endmembers, E), np.sqrt(np.mean(error**2))


def test_samson(data_folder):
    file = scipy.io.loadmat(data_folder / "hsi" / "samson.mat")
    data = file["Y"].T.reshape(95, 95, 156, order="F")
    found = unmix(data, 3, normalize="l2")
    angle, rmse = figures(found, file["GT"], file["S_GT"])
    assert angle <= 0.028
    assert rmse <= 0.048
    assert not found.flagged.any()
    purity = sparsity_of(file["S_GT"])
    assert np.corrcoef(found.guide.ravel(), purity.ravel())[0, 1] >= 0.85


def test_jasper_ridge(data_folder):
    file = scipy.io.loadmat(data_folder / "hsi" / "jasper_ridge.mat")
    data = file["Y"].T.reshape(100, 100, 198, order="F")
    truth = file["A"].T.reshape(100, 100, 4, order="F")
    found = unmix(data, 4, normalize="l2")
    angle, rmse = figures(found, file["M"].T, truth)
    assert angle <= 0.068
    assert rmse <= 0.085
    assert np.flatnonzero(found.flagged).tolist() == [0]
    guide = np.corrcoef(found.guide.ravel(), sparsity_of(truth).ravel())[0, 1]
    assert guide >= 0.70
    # In digital counts again, as the file has them.
    assert 200 < np.nanmax(found.endmembers) < 6000


def sparsity_of(shares):
    """Hoyer's sparseness of true abundances, the last axis."""
    ratio = shares.sum(axis=-1) / np.linalg.norm(shares, axis=-1)
    root = np.sqrt(shares.shape[-1])
    return (root - ratio) / (root - 1)


@pytest.mark.parametrize("method", ["robust", "nmf", "l1/2-nmf", "l2,1-nmf"])
def test_one_endmember_is_everywhere(method):
    data = mixture()[0]
    found = unmix(data, 1, method=method)
    np.testing.assert_allclose(found.abundances, 1.0, atol=1e-12)
    assert spectral_angle(found.endmembers, data.mean(axis=(0, 1))) < 0.1


def test_a_refinement_that_has_not_converged_says_so(monkeypatch):
    data = mixture()[0]
    assert "refinement" not in unmix(data, K).choices
    from sparsesolve.applications import unmixing_fit

    monkeypatch.setitem(unmixing_fit._MODELS, "robust", {"max_iter": 2})
    assert "max_iter" in unmix(data, K).choices["refinement"]
