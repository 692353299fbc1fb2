"""Endmember extraction: exact on simplices, equivariant, sensible on real scenes."""

import itertools

import numpy as np
import pytest
import scipy.io

from sparsesolve.applications.unmixing_minimum_volume import sisal
from sparsesolve.applications.unmixing_pure_pixels import nfindr, spa
from sparsesolve.applications.unmixing_vca import vca


def vca_0(spectra, count, **options):
    return vca(spectra, count, rng=0, **options)


PURE = {"vca": vca_0, "spa": spa, "nfindr": nfindr}
ALL = PURE | {"sisal": sisal}


def matched(found, truth):
    """Return found in the order of truth, by brute force over the distances."""
    orders = itertools.permutations(range(len(truth)))
    return min((found[list(o)] for o in orders), key=lambda f: np.sum((f - truth) ** 2))


def spectral_angle(found, truth):
    unit = [e / np.linalg.norm(e, axis=1, keepdims=True) for e in (found, truth)]
    cosine = np.sum(matched(*unit) * unit[1], axis=1)
    return float(np.mean(np.arccos(np.minimum(cosine, 1))))


def mixed(rng, count, n=2000, bands=50, pure=True):
    """Simplex data with pure pixels hidden in it, or with none purer than 0.8."""
    endmembers = rng.random((count, bands))
    shares = rng.dirichlet(np.ones(count), 8 * n)
    # A quarter of the pixels lie on each facet, which makes the simplex unique.
    shares[np.arange(2 * n), rng.integers(count, size=2 * n)] = 0
    shares /= shares.sum(axis=1, keepdims=True)
    shares = rng.permutation(shares[shares.max(axis=1) < 0.8])[:n]
    where = rng.choice(n, count, replace=False)
    if pure:
        shares[where] = np.eye(count)
    return shares @ endmembers, endmembers, where


@pytest.mark.parametrize("count", [2, 3, 5, 8])
@pytest.mark.parametrize("name", PURE)
def test_pure_pixels_are_recovered(rng, name, count):
    spectra, _, where = mixed(rng, count, n=500)
    found, index = PURE[name](spectra, count, return_index=True)
    assert sorted(index) == sorted(where)
    np.testing.assert_allclose(found, spectra[index], atol=1e-8)
    np.testing.assert_array_equal(found, PURE[name](spectra, count))


@pytest.mark.parametrize("snr", [-10, 200])
def test_both_projections_of_vca_recover_pure_pixels(rng, snr):
    spectra, truth, where = mixed(rng, 4)
    found, index = vca(spectra, 4, rng=1, snr=snr, return_index=True)
    assert sorted(index) == sorted(where)
    np.testing.assert_allclose(matched(found, truth), truth, atol=1e-8)


def test_vca_at_high_snr_ignores_brightness(rng):
    spectra, _, where = mixed(rng, 4)
    shaded = spectra * rng.uniform(0.2, 1, (len(spectra), 1))
    index = vca(shaded, 4, rng=0, return_index=True)[1]
    assert sorted(index) == sorted(where)
    below = vca(shaded, 4, rng=0, snr=0, return_index=True)[1]
    assert sorted(below) != sorted(where)


@pytest.mark.parametrize(("noise", "linear"), [(1e-4, True), (1.0, False)])
def test_vca_chooses_its_projection_by_the_noise(rng, noise, linear):
    spectra, _, _ = mixed(rng, 4)
    spectra += noise * rng.standard_normal(spectra.shape)
    chosen = vca(spectra, 4, rng=0)
    for snr, same in ((200, linear), (-50, not linear)):
        assert np.array_equal(vca(spectra, 4, rng=0, snr=snr), chosen) == same


def test_vca_survives_dead_pixels(rng):
    spectra, truth, _ = mixed(rng, 3)
    spectra[::7] = 0
    present = [e for e in truth if np.min(np.abs(spectra - e).sum(axis=1)) < 1e-9]
    found = vca(spectra, 3, rng=0, snr=200)
    for endmember in present:
        assert np.min(np.abs(found - endmember).max(axis=1)) < 1e-8


def test_vca_repeats_with_its_seed(rng):
    spectra = rng.random((400, 20))
    first = vca(spectra, 5, rng=3)
    np.testing.assert_array_equal(first, vca(spectra, 5, rng=np.random.default_rng(3)))
    others = [vca(spectra, 5, rng=seed) for seed in range(4, 8)]
    assert not all(np.array_equal(first, other) for other in others)


def test_nfindr_cannot_be_enlarged_by_one_exchange(rng):
    spectra = rng.random((60, 5))
    index = nfindr(spectra, 4, return_index=True)[1]
    right = np.linalg.svd(spectra)[2][:4]
    flat = spectra @ right.T
    flat = (flat - flat.mean(axis=0)) @ np.linalg.svd(flat - flat.mean(axis=0))[2].T
    points = np.column_stack([flat[:, :3], np.ones(60)])

    def volume(rows):
        return abs(np.linalg.det(points[rows]))

    best = volume(index)
    start = volume(spa(spectra, 4, return_index=True)[1])
    assert best >= start
    for j, other in itertools.product(range(4), range(60)):
        trial = index.copy()
        trial[j] = other
        assert volume(trial) <= best * (1 + 1e-5)


@pytest.mark.parametrize("count", [3, 4, 6])
def test_sisal_needs_no_pure_pixels(rng, count):
    spectra, truth, _ = mixed(rng, count, pure=False)
    found = matched(sisal(spectra, count), truth)
    assert np.abs(found - truth).max() < 1e-3
    # Pure-pixel methods must fail here, or the test says nothing.
    assert np.abs(matched(nfindr(spectra, count), truth) - truth).max() > 0.05


@pytest.mark.parametrize(("decibel", "bound"), [(40, 0.01), (30, 0.03)])
def test_sisal_stands_noise(rng, decibel, bound):
    spectra, truth, _ = mixed(rng, 4, n=4000, pure=False)
    level = np.sqrt(np.mean(spectra**2) / 10 ** (decibel / 10))
    noisy = spectra + level * rng.standard_normal(spectra.shape)
    assert spectral_angle(sisal(noisy, 4), truth) < bound
    # Told of no noise it wraps itself around the outermost pixels.
    tight = spectral_angle(sisal(noisy, 4, noise=0), truth)
    assert tight > 1.5 * spectral_angle(sisal(noisy, 4), truth)


def test_sisal_stands_at_a_minimum(rng):
    """Moving any vertex must not lower volume plus penalty (written out anew)."""
    spectra, _, _ = mixed(rng, 3, n=800, bands=6, pure=False)
    spectra += 0.01 * rng.standard_normal(spectra.shape)
    found = sisal(spectra, 3, noise=0.01)
    mean = spectra.mean(axis=0)
    axes = np.linalg.svd(spectra - mean)[2][:2]
    pixels = np.column_stack([(spectra - mean) @ axes.T, np.ones(800)])
    start = np.column_stack([(found - mean) @ axes.T, np.ones(3)])
    rows = np.linalg.inv(start)
    s = 0.01 * np.linalg.norm(rows[:2], axis=0)

    def objective(vertices):
        shares = pixels @ np.linalg.inv(vertices)
        outside = np.logaddexp(0, -shares / (s / 4)) * (s / 4)
        price = np.mean(outside, axis=0) @ (1 / (0.44 * s))
        return price + np.log(abs(np.linalg.det(vertices)))

    best = objective(start)
    for _ in range(200):
        move = np.zeros((3, 3))
        move[:, :2] = rng.standard_normal((3, 2))
        assert objective(start + 0.02 * move) > best - 1e-6


@pytest.mark.parametrize("name", ALL)
def test_order_of_bands_and_pixels_and_scale_do_not_matter(rng, name):
    extract = ALL[name]
    spectra, _, _ = mixed(rng, 4)
    spectra += 1e-3 * rng.standard_normal(spectra.shape)
    wanted = extract(spectra, 4)
    bands = rng.permutation(50)
    pixels = rng.permutation(len(spectra))
    found = matched(extract(spectra[:, bands], 4), wanted[:, bands])
    np.testing.assert_allclose(found, wanted[:, bands], atol=1e-6)
    np.testing.assert_allclose(
        matched(extract(spectra[pixels], 4), wanted), wanted, atol=1e-6
    )
    found = extract(1e4 * spectra, 4)
    np.testing.assert_allclose(matched(found / 1e4, wanted), wanted, atol=1e-6)


@pytest.mark.parametrize("name", ALL)
def test_float32_and_cubes(rng, name):
    spectra, _, _ = mixed(rng, 3)
    wanted = ALL[name](spectra, 3)
    found = ALL[name](spectra.astype(np.float32), 3)
    assert found.dtype == np.float32
    np.testing.assert_allclose(matched(found, wanted), wanted, atol=2e-3)
    cube = spectra.reshape(40, 50, 50)
    before = cube.copy()
    np.testing.assert_array_equal(ALL[name](cube, 3), wanted)
    np.testing.assert_array_equal(cube, before)


@pytest.mark.parametrize("name", ALL)
def test_what_has_no_endmembers_is_refused(rng, name):
    extract = ALL[name]
    spectra = rng.random((30, 5))
    for flat in (np.zeros((30, 5)), np.ones((30, 5))):
        with pytest.raises(ValueError, match="have rank"):
            extract(flat, 2)
    with pytest.raises(ValueError, match="there are 30 pixels of 5 bands"):
        extract(spectra, 6)
    with pytest.raises(ValueError, match="n_endmembers is 0"):
        extract(spectra, 0)
    with pytest.raises(ValueError, match=r"have rank 3 .*wanted no more"):
        extract(rng.random((30, 3)) @ rng.random((3, 10)), 4)
    spectra[3, 2] = np.nan
    with pytest.raises(ValueError, match="1 NaN or infinite"):
        extract(spectra, 2)


def test_options_are_checked(rng):
    spectra = rng.random((30, 5))
    for extract in (vca_0, nfindr, sisal):
        with pytest.raises(ValueError, match="n_endmembers is 1; wanted at least 2"):
            extract(spectra, 1)
    assert spa(spectra, 1).shape == (1, 5)
    for snr in ("high", float("nan")):
        with pytest.raises(TypeError, match="wanted a number of decibels"):
            vca(spectra, 2, rng=0, snr=snr)
    with pytest.raises(ValueError, match="noise is -1"):
        sisal(spectra, 2, noise=-1)


def test_samson_as_published(data_folder):
    """VCA's angle on unit-norm pixels: 0.082 for the pixels, 0.068 projected."""
    file = scipy.io.loadmat(data_folder / "hsi" / "samson.mat")
    spectra, truth = file["Y"].T.astype(float), file["GT"]
    spectra /= np.linalg.norm(spectra, axis=1, keepdims=True)
    runs = [vca(spectra, 3, rng=seed, return_index=True) for seed in range(10)]
    of_pixels = [spectral_angle(spectra[index], truth) for _, index in runs]
    projected = [spectral_angle(found, truth) for found, _ in runs]
    assert np.mean(of_pixels) == pytest.approx(0.082, abs=0.006)
    assert np.mean(projected) == pytest.approx(0.068, abs=0.006)
    assert spectral_angle(nfindr(spectra, 3), truth) < 0.09
    assert spectral_angle(sisal(spectra, 3), truth) < 0.16
