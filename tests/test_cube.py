"""The hyperspectral cube: its checks, its maps, and its way through HDF5."""

import h5py
import numpy as np
import pytest
import scipy.io

import sparsesolve as ss
from sparsesolve.lazy import LazyArray

NM = [450.0, 550.0, 650.0, 850.0]


def refused(words, error=ValueError, **fields):
    with pytest.raises(error) as caught:
        ss.HyperspectralCube(**fields)
    text = str(caught.value)
    for word in words:
        assert word in text, text
    assert "\n" not in text


@pytest.fixture
def data(rng):
    return rng.integers(1, 10_000, (3, 5, 4)).astype(np.uint16)


@pytest.fixture
def holed(data):
    """A cube with two invalid pixels and a bad band."""
    valid = np.ones((3, 5), bool)
    valid[0, 1] = valid[2, 4] = False
    return ss.HyperspectralCube(
        data,
        NM,
        fwhm=[10, 11, 12, 13],
        good_bands=[1, 0, 1, 1],
        valid=valid,
        scale=1e-4,
        offset=-0.01,
        quantity="reflectance",
        crs="EPSG:32633",
        transform=(30, 0, 5e5, 0, -30, 4e6),
        steps=("measured: on Monday",),
    )


def test_spectra_are_physical_values_of_valid_pixels_in_good_bands(holed, data):
    rows = []
    for row in range(3):
        for col in range(5):
            if (row, col) not in [(0, 1), (2, 4)]:
                rows.append([data[row, col, b] * 1e-4 - 0.01 for b in (0, 2, 3)])
    found = holed.spectra()
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, rows, rtol=1e-14)
    assert (holed.n_valid, holed.n_good) == (13, 3)


def test_rows_of_spectra_stream_the_cube(holed):
    tiles = list(holed.tiles(nbytes=8 * 5 * 4))
    assert [(t.start, t.stop) for t in tiles] == [(0, 1), (1, 2), (2, 3)]
    parts = [holed.spectra(rows=t) for t in tiles]
    assert [len(p) for p in parts] == [4, 5, 4]
    np.testing.assert_array_equal(np.concatenate(parts), holed.spectra())
    assert holed.spectra(rows=slice(2, 2)).shape == (0, 3)
    np.testing.assert_array_equal(holed.spectra(rows=slice(-1, None)), parts[2])


def test_float32_stays_float32(data):
    cube = ss.HyperspectralCube(data.astype(np.float32), scale=1e-4, offset=0.5)
    assert cube.spectra().dtype == np.float32
    assert cube.spectra(np.float64).dtype == np.float64
    big_endian = ss.HyperspectralCube(data.astype(">f4"))
    assert big_endian.spectra().dtype == np.float32
    with pytest.raises(TypeError, match="float32 or float64"):
        cube.spectra(np.int32)


def test_maps_and_bands_go_back_to_where_they_came_from(holed):
    spectra = holed.spectra()
    image = holed.to_bands(holed.to_map(spectra))
    assert image.shape == (3, 5, 4)
    np.testing.assert_array_equal(image[holed.valid][:, holed.good_bands], spectra)
    assert np.all(np.isnan(image[~holed.valid]))
    assert np.all(np.isnan(image[..., 1]))
    flags = holed.to_map(np.arange(13), fill=-1)
    assert flags.dtype == np.arange(1).dtype
    assert (flags == -1).sum() == 2
    assert holed.to_map(np.arange(13)).dtype == np.float64
    with pytest.raises(ValueError, match=r"\(15, 3\); wanted \(13"):
        holed.to_map(np.ones((15, 3)))
    with pytest.raises(ValueError, match=r"\(4,\); wanted \(\.\.\., 3\)"):
        holed.to_bands(np.ones(4))


def test_one_line_says_what_it_is(holed):
    assert repr(holed) == (
        "HyperspectralCube(3 x 5 x 4 uint16, 450 to 850 nm, 86.7 % valid, 3 good bands)"
    )


def test_pixel_order_is_said(rng):
    image = rng.random((3, 5, 4))
    rows, columns = [], []
    for row in range(3):
        rows += [image[row, col] for col in range(5)]
    for col in range(5):
        columns += [image[row, col] for row in range(3)]
    for matrix, order in ((rows, "C"), (columns, "F")):
        cube = ss.HyperspectralCube.from_matrix(
            np.array(matrix), (3, 5), order=order, wavelengths=NM, scale=2.0
        )
        np.testing.assert_array_equal(cube.data, image)
        np.testing.assert_array_equal(cube.spectra(), 2 * image.reshape(15, 4))
    with pytest.raises(ValueError, match="column after column, MATLAB"):
        ss.HyperspectralCube.from_matrix(np.array(rows), (3, 5), order="A")
    with pytest.raises(ValueError, match=r"transposed: pass matrix\.T"):
        ss.HyperspectralCube.from_matrix(np.array(rows).T, (3, 5), order="C")


# ------------------------------------------------------------------ refusals


@pytest.mark.parametrize("axis", [0, 1])
def test_axes_are_told_by_the_wavelengths(data, axis):
    turned = np.moveaxis(data, -1, axis)
    order = ("(bands, rows, cols)", "(rows, bands, cols)")[axis]
    refused([order, f"np.moveaxis(data, {axis}, -1)"], data=turned, wavelengths=NM)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        (
            {"wavelengths": [0.45, 0.55, 0.65, 0.85]},
            ["micrometres", "multiply by 1000"],
        ),
        ({"wavelengths": NM[:2]}, ["2 entries", "one a band, 4"]),
        ({"wavelengths": [450, 550, 550, 650]}, ["550 nm twice"]),
        ({"wavelengths": [450, 550, np.nan, 650]}, ["wavelengths", "NaN"]),
        ({"wavelengths": [0, 550, 600, 650]}, ["0 nm", "above 0"]),
        ({"fwhm": [0.01] * 4}, ["fwhm", "micrometres"]),
        ({"fwhm": [10.0] * 3}, ["fwhm has shape (3,)"]),
        ({"valid": np.zeros((3, 5))}, ["valid is False everywhere"]),
        ({"good_bands": np.zeros(4)}, ["good_bands is False everywhere"]),
        ({"valid": np.ones((5, 3))}, ["(5, 3); wanted (3, 5); are the axes swapped?"]),
        ({"scale": 0}, ["scale is 0"]),
        ({"offset": np.inf}, ["offset is inf"]),
        ({"transform": (1, 2, 3)}, ["transform has 3 entries"]),
        ({"transform": (1, 2, 0, 2, 4, 0)}, ["maps all pixels to a line"]),
        ({"data": np.ones((15, 4))}, ["(15, 4)", "from_matrix"]),
        ({"data": np.ones((3, 0, 4))}, ["(3, 0, 4)"]),
    ],
)
def test_bad_fields_are_refused(data, fields, words):
    refused(words, **{"data": data, **fields})


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"data": np.ones((2, 2, 2), complex)}, ["complex128", "real numbers"]),
        ({"good_bands": [1, 2, 1, 1]}, ["good_bands", "True and False"]),
        ({"quantity": 3}, ["quantity is 3"]),
        ({"crs": " "}, ["crs"]),
        ({"offset": [1.0, 2.0]}, ["offset", "one number"]),
        ({"wavelengths": ["a"] * 4}, ["wavelengths", "real numbers"]),
        ({"steps": "measured"}, ["steps", "tuple of sentences"]),
    ],
)
def test_bad_types_are_refused(data, fields, words):
    refused(words, error=TypeError, **{"data": data, **fields})


def test_nan_is_refused_where_it_would_count(data):
    real = data.astype(float)
    real[1, 2, 3] = np.nan
    refused(["1 NaN", "valid="], data=real)
    valid = np.ones((3, 5), bool)
    valid[1, 2] = False
    assert np.all(np.isfinite(ss.HyperspectralCube(real, valid=valid).spectra()))
    kept = ss.HyperspectralCube(real, good_bands=[1, 1, 1, 0])
    assert np.all(np.isfinite(kept.spectra()))


def test_what_real_sensors_have_is_accepted(data):
    overlapping = [450.0, 1000.0, 990.0, 1500.0]
    cube = ss.HyperspectralCube(data.astype(np.int16) - 5000, overlapping)
    assert cube.spectra().min() < 0
    nine = ss.HyperspectralCube(data, transform=(30, 0, 1, 0, -30, 2, 0, 0, 1))
    assert nine.transform == (30, 0, 1, 0, -30, 2)


# ---------------------------------------------------------------------- HDF5


@pytest.mark.parametrize("lazy_bytes", [0, 2**28])
def test_hdf5_keeps_every_field(holed, tmp_path, lazy_bytes):
    path = tmp_path / "cube.h5"
    ss.save(path, holed)
    found = ss.load(path, kind="hyperspectral", lazy_bytes=lazy_bytes)
    assert isinstance(found.data, LazyArray) == (lazy_bytes == 0)
    np.testing.assert_array_equal(found.spectra(), holed.spectra())
    for name in ("wavelengths", "fwhm", "good_bands", "valid"):
        np.testing.assert_array_equal(getattr(found, name), getattr(holed, name))
    for name in ("scale", "offset", "quantity", "crs", "transform", "steps"):
        assert getattr(found, name) == getattr(holed, name)
    assert isinstance(found.read().data, np.ndarray)
    with h5py.File(path) as file:
        assert file["wavelengths"].attrs["units"] == "nm"


def test_nan_in_a_cube_left_in_its_file_is_found_when_read(data, tmp_path):
    path = tmp_path / "cube.h5"
    ss.save(path, ss.HyperspectralCube(data.astype(float)))
    with h5py.File(path, "r+") as file:
        file["data"][2, 0, 1] = np.nan
    cube = ss.load(path, lazy_bytes=0)
    assert cube.spectra(rows=slice(0, 2)).shape == (10, 4)
    for attempt in (cube.spectra, cube.read):
        with pytest.raises(ValueError, match="rows 0 to 2"):
            attempt()


@pytest.mark.parametrize("lazy_bytes", [0, 2**28])
def test_foreign_files_are_mapped(data, tmp_path, lazy_bytes):
    stored = np.moveaxis(data.astype(float), -1, 0)
    stored[2, 1, 3] = -1
    path = tmp_path / "lab.h5"
    with h5py.File(path, "w") as file:
        file["cube"] = stored
        file["w"] = np.array(NM) / 1e3
        file["w"].attrs["units"] = "um"
    mapping = {
        "data": ss.Field("cube", axes=("band", "row", "col"), fill=-1),
        "wavelengths": ss.Field("w", unit="um"),
        "scale": 1e-4,
    }
    cube = ss.load(path, kind="hyperspectral", mapping=mapping, lazy_bytes=lazy_bytes)
    assert np.argwhere(~cube.valid).tolist() == [[1, 3]]
    np.testing.assert_array_equal(cube.wavelengths, NM)
    wanted = data[cube.valid] * 1e-4
    np.testing.assert_allclose(cube.spectra(), wanted, rtol=1e-14)
    mapping["wavelengths"] = ss.Field("w")
    with pytest.raises(ValueError, match="'um'; wanted nm, or unit='um'"):
        ss.load(path, kind="hyperspectral", mapping=mapping)


def test_matlab_files_are_mapped(data, tmp_path):
    path = tmp_path / "lab.mat"
    scipy.io.savemat(path, {"X": np.moveaxis(data, -1, 1), "w": np.array(NM)[:, None]})
    cube = ss.load(
        path,
        kind="hyperspectral",
        mapping={
            "data": ss.Field("X", axes=("row", "band", "col")),
            "wavelengths": ss.Field("w", unit="nm"),
        },
    )
    np.testing.assert_array_equal(cube.data, data)


def test_a_matrix_of_spectra_is_not_mapped(data, tmp_path):
    path = tmp_path / "lab.mat"
    scipy.io.savemat(path, {"Y": data.reshape(-1, 4).T})
    mapping = {"data": ss.Field("Y", fill=-1)}
    with pytest.raises(ValueError, match=r"\(4, 15\).*from_matrix"):
        ss.load(path, kind="hyperspectral", mapping=mapping)


def test_foreign_hdf5_says_how_to_read_it(data, tmp_path):
    path = tmp_path / "lab.h5"
    with h5py.File(path, "w") as file:
        file["cube"] = data
    with pytest.raises(ValueError, match=r"foreign HDF5.*mapping=.*cube \(3, 5, 4\)"):
        ss.load(path, kind="hyperspectral")
