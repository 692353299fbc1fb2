"""The generated scene is what it says it is: physics, structure, noise, bad bands."""

import numpy as np
import pytest

import sparsesolve as ss
from sparsesolve import metrics
from sparsesolve.applications.unmixing_materials import MATERIALS
from sparsesolve.applications.unmixing_scene import unmixing_scene

SIZE = {"rows": 40, "cols": 50}


@pytest.fixture(scope="module")
def scene():
    return unmixing_scene(3, **SIZE)


def reflectance(scene):
    return scene.cube.data * scene.cube.scale


def test_the_seed_decides_everything(scene):
    again, other = unmixing_scene(3, **SIZE), unmixing_scene(4, **SIZE)
    np.testing.assert_array_equal(scene.cube.data, again.cube.data)
    np.testing.assert_array_equal(scene.abundances, again.abundances)
    np.testing.assert_array_equal(scene.bad_bands, again.bad_bands)
    assert np.abs(scene.abundances - other.abundances).max() > 0.5


def test_the_cube_is_a_usual_file_with_a_place_on_the_map(scene):
    cube = scene.cube
    assert cube.shape == (40, 50, 210)
    assert cube.data.dtype == np.int16
    assert (cube.scale, cube.quantity, cube.crs) == (1e-4, "reflectance", "EPSG:32611")
    assert (cube.wavelengths[0], cube.wavelengths[-1]) == (400, 2500)
    np.testing.assert_allclose(cube.fwhm, 2100 / 209)
    assert cube.transform[0] == -cube.transform[4] > 0
    assert scene.endmembers.shape == (4, 210)


def test_it_survives_a_file(scene, tmp_path):
    ss.save(tmp_path / "scene.h5", scene.cube)
    cube = ss.load(tmp_path / "scene.h5").read()
    np.testing.assert_array_equal(cube.data, scene.cube.data)
    np.testing.assert_array_equal(cube.valid, scene.cube.valid)
    np.testing.assert_array_equal(cube.good_bands, scene.cube.good_bands)
    assert cube.transform == scene.cube.transform


def test_shares_sum_to_one_and_every_material_has_pure_and_mixed_pixels(scene):
    a = scene.abundances
    np.testing.assert_allclose(a.sum(axis=2), 1)
    assert a.min() >= 0
    assert np.all(np.sum(a > 0.98, axis=(0, 1)) >= 5)
    assert np.all(np.sum((a > 0.1) & (a < 0.9), axis=(0, 1)) >= 20)


def test_neighbours_are_alike(scene):
    a = scene.abundances
    near = np.sqrt(np.mean((a[1:] - a[:-1]) ** 2))
    rng = np.random.default_rng(0)
    shuffled = rng.permutation(a.reshape(-1, 4)).reshape(a.shape)
    far = np.sqrt(np.mean((shuffled[1:] - shuffled[:-1]) ** 2))
    assert near < 0.5 * far


def test_without_noise_and_variability_it_is_a_linear_mixture():
    flat = unmixing_scene(
        1, **SIZE, noise=0, variability=0, relief=0, noisy_bands=0, dead_pixels=0
    )
    good = flat.cube.good_bands
    exact = flat.abundances @ flat.endmembers
    error = np.abs(reflectance(flat) - exact)[..., good]
    assert error.max() <= 0.5e-4 * (1 + 1e-9)
    assert flat.cube.valid.all()
    np.testing.assert_array_equal(flat.bad_bands, ~good)


def test_the_data_are_off_the_model_by_more_than_the_noise(scene):
    good = ~scene.bad_bands
    spectra = reflectance(scene)[scene.cube.valid][:, good]
    endmembers = scene.endmembers[:, good]
    best = np.linalg.lstsq(endmembers.T, spectra.T, rcond=None)[0].T
    exact = unmixing_scene(3, **SIZE, variability=0, relief=0)
    linear = reflectance(exact)[exact.cube.valid][:, good]
    fit = np.linalg.lstsq(endmembers.T, linear.T, rcond=None)[0].T
    off = metrics.reconstruction_error(spectra, endmembers, best).overall
    noise = metrics.reconstruction_error(linear, endmembers, fit).overall
    assert 0.0015 < noise < 0.003
    assert off > 1.5 * noise


def test_noise_has_the_stated_level_and_the_brightness_too():
    quiet = {"variability": 0, "relief": 0, "dead_pixels": 0}
    noisy = unmixing_scene(2, **SIZE, noise=0.004, **quiet)
    clean = unmixing_scene(2, **SIZE, noise=0, noisy_bands=0, **quiet)
    level = (reflectance(noisy) - noisy.abundances @ noisy.endmembers).std(axis=(0, 1))
    middle = ~noisy.bad_bands & (np.abs(noisy.cube.wavelengths - 1200) < 500)
    np.testing.assert_allclose(level[middle], 0.004, rtol=0.1)
    assert level[0] > 0.008 < level[-1]
    assert np.all(level[noisy.bad_bands] > 0.07)
    assert np.all(level[~noisy.bad_bands] < 0.02)
    hilly = unmixing_scene(
        2, **SIZE, noise=0, noisy_bands=0, **{**quiet, "relief": 0.1}
    )
    ratio = reflectance(hilly)[..., 40] / reflectance(clean)[..., 40]
    assert 0.08 < ratio.std() < 0.105


def test_vapour_is_marked_and_other_noisy_bands_are_not(scene):
    nm, good = scene.cube.wavelengths, scene.cube.good_bands
    assert not good[np.abs(nm - 1390) < 30].any()
    assert not good[np.abs(nm - 1880) < 60].any()
    assert good[nm < 1300].all()
    assert np.sum(scene.bad_bands & good) == 8
    assert scene.bad_bands[~good].all()


def test_dead_pixels_hold_no_data(scene):
    dead = ~scene.cube.valid
    assert dead.sum() == 5
    assert np.all(scene.cube.data[dead] == -9999)
    assert scene.cube.data[scene.cube.valid][:, ~scene.bad_bands].min() > -500
    assert np.isfinite(scene.abundances).all()


@pytest.mark.parametrize("change", [-1.0, 0.0, 1.0])
def test_spectra_have_the_features_of_their_material(change):
    def at(name, nm):
        return float(MATERIALS[name](np.array([float(nm)]), np.array([change]))[0])

    nm = np.linspace(400, 2500, 500)
    for name, material in MATERIALS.items():
        spectrum = material(nm, np.array([change]))
        assert 0 < spectrum.min() < spectrum.max() < 0.7, name
    assert at("vegetation", 850) > 5 * at("vegetation", 670)  # the red edge
    assert at("vegetation", 550) > 1.5 * at("vegetation", 480)  # the green peak
    assert at("vegetation", 1450) < 0.6 * at("vegetation", 1650)  # liquid water
    assert at("soil", 800) > at("soil", 650) > at("soil", 500) > at("soil", 420)
    clay = (at("soil", 2140) + at("soil", 2270)) / 2
    assert at("soil", 2207) < 0.95 * clay
    assert at("water", 560) > 4 * at("water", 900) > 0
    assert at("water", 2000) < 0.01
    carbonate = (at("concrete", 2260) + at("concrete", 2420)) / 2
    assert at("concrete", 2338) < 0.95 * carbonate
    assert at("concrete", 600) > 2 * at("soil", 480)


def test_endmembers_are_the_usual_surfaces_and_can_be_told_apart(scene):
    for name, spectrum in zip(scene.names, scene.endmembers, strict=True):
        usual = MATERIALS[name](scene.cube.wavelengths, np.zeros(1))
        np.testing.assert_array_equal(spectrum, usual)
    for k, spectrum in enumerate(scene.endmembers):
        others = np.delete(scene.endmembers, k, axis=0)
        nearest = min(metrics.spectral_angle(o[None], spectrum[None]) for o in others)
        assert nearest > 0.15


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"rows": 15}, "rows is 15; wanted at least 16"),
        ({"cols": 2}, "cols is 2"),
        ({"rows": 20.5}, "rows is 20.5"),
        ({"n_bands": 10}, "n_bands is 10"),
        ({"noise": -1}, "noise is -1"),
        ({"noise": 0.2}, "noise is 0.2; wanted 0 to 0.1"),
        ({"variability": 5}, "variability is 5"),
        ({"relief": 0.5}, "relief is 0.5"),
        ({"noisy_bands": 1000}, "noisy_bands is 1000; wanted 0 to 93"),
        ({"dead_pixels": -1}, "dead_pixels is -1"),
        ({"dead_pixels": 1.5}, "dead_pixels is 1.5; wanted an integer"),
    ],
)
def test_bad_input_is_one_sentence(arguments, message):
    with pytest.raises((ValueError, TypeError), match=message):
        unmixing_scene(**arguments)
