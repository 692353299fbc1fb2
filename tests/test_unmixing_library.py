"""Spectral libraries: resampling against quadrature, files, refusals."""

import numpy as np
import pytest
import scipy.io

from sparsesolve.applications.unmixing_library import SpectralLibrary, resample
from sparsesolve.applications.unmixing_library_files import load_library
from sparsesolve.applications.unmixing_sunsal import sunsal
from sparsesolve.cube import HyperspectralCube

FINE = np.arange(400.0, 1000.5, 1.0)


def cube_on(wavelengths, fwhm=None, **more):
    return HyperspectralCube(
        np.ones((1, 2, len(wavelengths))), np.asarray(wavelengths), fwhm, **more
    )


def smooth(w):
    return 0.5 + 0.2 * np.sin(w / 40) + 0.1 * np.exp(-(((w - 700) / 15) ** 2))


def test_resampling_equals_quadrature():
    library = SpectralLibrary(smooth(FINE)[None], FINE, fwhm=1.0)
    centres, width = np.array([480.0, 690.3, 712.0, 900.0]), 12.0
    found = resample(library, cube_on(centres, np.full(4, width)))
    sigma = np.sqrt(width**2 - 1) / 2.3548200450309493
    w = np.linspace(400, 1000, 600001)
    for centre, value in zip(centres, found.spectra[0], strict=True):
        # The response is cut at four standard deviations.
        inside = np.abs(w - centre) <= 4 * sigma
        weights = np.exp(-0.5 * ((w[inside] - centre) / sigma) ** 2)
        linear = np.interp(w[inside], FINE, smooth(FINE))
        assert value == pytest.approx(weights @ linear / weights.sum(), abs=1e-6)
    np.testing.assert_array_equal(found.wavelengths, centres)
    np.testing.assert_array_equal(found.fwhm, np.full(4, width))


def test_linear_spectra_stay_linear_up_to_the_ends():
    spectra = np.array([2 * FINE + 1, np.full(FINE.size, 0.3)])
    centres = np.array([400.0, 400.5, 405.0, 700.0, 999.0, 1000.0])
    found = resample(SpectralLibrary(spectra, FINE), cube_on(centres, np.full(6, 20.0)))
    np.testing.assert_allclose(found.spectra[0], 2 * centres + 1, rtol=1e-12)
    np.testing.assert_allclose(found.spectra[1], 0.3, rtol=1e-12)


def test_on_the_same_bands_nothing_changes(rng):
    centres = np.sort(400 + 500 * rng.random(30))
    spectra = rng.random((4, 30))
    found = resample(SpectralLibrary(spectra, centres), cube_on(centres))
    np.testing.assert_allclose(found.spectra, spectra, rtol=1e-12)


def test_the_order_of_bands_is_free(rng):
    library = SpectralLibrary(rng.random((3, FINE.size)), FINE)
    mixed = rng.permutation(FINE.size)
    other = SpectralLibrary(library.spectra[:, mixed], FINE[mixed])
    centres = np.array([800.0, 500.0, 650.0])
    cube = cube_on(centres, np.full(3, 10.0))
    first, second = resample(library, cube), resample(other, cube)
    np.testing.assert_allclose(first.spectra, second.spectra)
    ordered = resample(library, cube_on(np.sort(centres), np.full(3, 10.0)))
    np.testing.assert_allclose(first.spectra, ordered.spectra[:, [2, 0, 1]])


def test_only_good_bands_must_be_covered():
    library = SpectralLibrary(smooth(FINE)[None], FINE)
    centres = [350.0, 500.0, 700.0, 1200.0]
    with pytest.raises(
        ValueError, match=r"400 to 1000 nm.*2 good bands.*350 to 1200 nm"
    ):
        resample(library, cube_on(centres, np.full(4, 10.0)))
    cube = cube_on(
        centres, np.full(4, 10.0), good_bands=np.array([False, True, True, False])
    )
    found = resample(library, cube)
    np.testing.assert_array_equal(found.wavelengths, [500.0, 700.0])
    assert cube.spectra().shape[1] == found.spectra.shape[1]


def test_a_coarser_library_warns():
    coarse = np.arange(400.0, 1001.0, 50.0)
    library = SpectralLibrary(smooth(coarse)[None], coarse)
    with pytest.warns(UserWarning, match="5 times as wide as 3"):
        resample(library, cube_on([500.0, 510.0, 520.0]))


def test_a_cube_without_wavelengths_is_refused():
    library = SpectralLibrary(smooth(FINE)[None], FINE)
    with pytest.raises(ValueError, match="no wavelengths"):
        resample(library, HyperspectralCube(np.ones((1, 1, 3))))


def test_sunsal_resamples_a_library(rng):
    spectra = np.array([smooth(FINE), 1 - FINE / 2000, np.exp(-FINE / 500)])
    library = SpectralLibrary(spectra, FINE, ["soil", "water", "tree"])
    centres = np.arange(420.0, 981.0, 20.0)
    bare = cube_on(centres, np.full(centres.size, 20.0))
    measured = resample(library, bare).spectra
    truth = rng.dirichlet(np.ones(3), (4, 5))
    cube = HyperspectralCube(truth @ measured, centres, bare.fwhm)
    found = sunsal(cube, library, lam=1e-6, tol=1e-9, max_iter=20000)
    np.testing.assert_allclose(found.abundances, truth, atol=1e-3)
    assert found.names == ("soil", "water", "tree")
    again = sunsal(cube, resample(library, cube), lam=1e-6, tol=1e-9, max_iter=20000)
    np.testing.assert_array_equal(again.abundances, found.abundances)


def test_select_by_name_and_number(rng):
    library = SpectralLibrary(rng.random((4, 3)), [500, 600, 700], "a b c d".split())
    chosen = library.select(["d", 0])
    assert chosen.names == ("d", "a") and len(chosen) == 2
    np.testing.assert_array_equal(chosen.spectra, library.spectra[[3, 0]])
    with pytest.raises(ValueError, match="no 'x'; it has a, b"):
        library.select(["x"])
    with pytest.raises(ValueError, match="no row 4"):
        library.select([4])
    assert "500 to 700 nm" in repr(library)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((np.ones(3), [1, 2, 3]), "a spectrum a row|one a row"),
        ((np.ones((3, 2)), [500, 600, 700]), "transposed"),
        ((np.ones((1, 3)), [500, 600, 600]), "distinct"),
        ((np.ones((1, 3)), [0.5, 0.6, 0.7]), "multiply µm by 1000"),
        ((np.full((1, 3), np.nan), [500, 600, 700]), "NaN"),
        ((np.ones((2, 3)), [500, 600, 700], ["a"]), "names has 1"),
        ((np.ones((2, 3)), [500, 600, 700], (), [1, -1, 1]), "widths > 0"),
    ],
)
def test_bad_libraries_are_refused(arguments, words):
    with pytest.raises(ValueError, match=words):
        SpectralLibrary(*arguments)


def braces(values):
    return "{" + ", ".join(f"{v:g}" for v in values) + "}"


def write_sli(folder, spectra, header):
    fields = {
        "samples": spectra.shape[1],
        "lines": spectra.shape[0],
        "bands": 1,
        "header offset": 0,
        "file type": "ENVI Spectral Library",
        "data type": 4,
        "interleave": "bsq",
        "byte order": 0,
    } | header
    lines = "\n".join(f"{name} = {value}" for name, value in fields.items())
    (folder / "library.hdr").write_text(f"ENVI\n{lines}\n")
    spectra.astype("<f4").tofile(folder / "library.sli")
    return folder / "library.sli"


@pytest.mark.parametrize(
    ("unit", "factor"), [("Micrometers", 1e-3), ("Nanometers", 1.0), ("Unknown", 1e-3)]
)
def test_envi_libraries_come_in_nm(tmp_path, rng, unit, factor):
    pytest.importorskip("spectral")
    spectra = rng.random((2, 3))
    path = write_sli(
        tmp_path,
        1e4 * spectra,
        {
            "wavelength units": unit,
            "wavelength": braces(factor * np.array([500, 600, 700])),
            "fwhm": braces(factor * np.array([9, 10, 11])),
            "spectra names": "{ red brick , grass}",
            "reflectance scale factor": 10000,
        },
    )
    for place in (path, path.with_suffix(".hdr")):
        library = load_library(place)
        np.testing.assert_allclose(library.spectra, spectra, rtol=1e-6)
        np.testing.assert_allclose(library.wavelengths, [500, 600, 700])
        np.testing.assert_allclose(library.fwhm, [9, 10, 11])
        assert library.names == ("red brick", "grass")


def test_damaged_envi_libraries_are_refused(tmp_path, rng):
    pytest.importorskip("spectral")
    header = {"wavelength units": "Nanometers", "wavelength": "{500, 600, 700}"}
    path = write_sli(tmp_path, rng.random((2, 3)), header)
    assert load_library(path).fwhm is None
    whole = path.read_bytes()
    for other in (whole[:-4], whole + b"more"):
        path.write_bytes(other)
        with pytest.raises(ValueError, match="size disagree"):
            load_library(path)
    write_sli(tmp_path, rng.random((2, 3)), {})
    with pytest.raises(ValueError, match="no wavelengths"):
        load_library(path)
    write_sli(tmp_path, rng.random((2, 3)), header | {"header offset": 8})
    with pytest.raises(ValueError, match="header offset of 8"):
        load_library(path)
    write_sli(tmp_path, rng.random((2, 3)), header | {"wavelength units": "Index"})
    with pytest.raises(ValueError, match="'Index'"):
        load_library(path)
    write_sli(tmp_path, rng.random((2, 3)), header | {"file type": "ENVI Standard"})
    with pytest.raises(ValueError, match="describes an image"):
        load_library(path)
    path.with_suffix(".hdr").unlink()
    with pytest.raises(FileNotFoundError, match="no header"):
        load_library(path)


def test_the_usgs_library_of_the_unmixing_literature(tmp_path, rng):
    spectra = rng.random((5, 4))
    wavelengths = np.array([0.4, 0.5, 0.6, 0.7])
    head = np.column_stack([wavelengths, np.full(4, 0.01), np.arange(1, 5)])
    names = ["Wavelengths", "Resolution", "Channel", "a", "b", "c", "d", "e"]
    path = tmp_path / "usgs.mat"
    scipy.io.savemat(path, {"datalib": np.hstack([head, spectra.T]), "names": names})
    library = load_library(path)
    np.testing.assert_array_equal(library.spectra, spectra)
    np.testing.assert_allclose(library.wavelengths, 1000 * wavelengths)
    np.testing.assert_allclose(library.fwhm, 10.0)
    assert library.names == tuple("abcde")


def test_named_variables_of_a_mat_file(tmp_path, rng):
    spectra = rng.random((2, 4))
    names = np.array(["soil", "grass"], object)
    path = tmp_path / "library.mat"
    wavelengths = np.array([400.0, 500.0, 600.0, 700.0])
    scipy.io.savemat(
        path, {"spectra": spectra.T, "wavelengths": wavelengths, "names": names}
    )
    library = load_library(path)
    np.testing.assert_array_equal(library.spectra, spectra)
    assert library.names == ("soil", "grass") and library.fwhm is None
    scipy.io.savemat(path, {"spectra": spectra})
    with pytest.raises(ValueError, match=r"no variable wavelengths.*it has spectra"):
        load_library(path)
    scipy.io.savemat(path, {"datalib": spectra[:, :3]})
    with pytest.raises(ValueError, match="3 \\+ n"):
        load_library(path)


def test_other_files_are_refused(tmp_path):
    (tmp_path / "library.txt").write_text("0.1 0.2")
    with pytest.raises(ValueError, match=r"wanted \.sli"):
        load_library(tmp_path / "library.txt")
    with pytest.raises(FileNotFoundError):
        load_library(tmp_path / "absent.mat")
