"""Cubes from ENVI, GeoTIFF and MATLAB files, and maps that overlay them."""

import sys

import numpy as np
import pytest
import scipy.io

import sparsesolve as ss
from sparsesolve import cli
from sparsesolve.cube_maps import save_envi, save_geotiff
from sparsesolve.cube_mat import from_mat

spectral = pytest.importorskip("spectral.io.envi", reason="needs sparsesolve[envi]")
rasterio = pytest.importorskip("rasterio", reason="needs sparsesolve[geotiff]")

ROWS, COLS, BANDS = 4, 6, 5
NM = np.array([450.0, 550.0, 650.0, 850.0, 1000.0])
NORTH_UP = (30.0, 0.0, 5e5, 0.0, -20.0, 4e6)
TURNED = (24.0, 18.0, 5e5, 12.0, -16.0, 4e6)


@pytest.fixture
def data(rng):
    return rng.integers(1, 9000, (ROWS, COLS, BANDS)).astype(np.int16)


def write(path, data, interleave="bsq", byteorder="little", **fields):
    """Write an ENVI file by the spectral package."""
    metadata = {key.replace("_", " "): value for key, value in fields.items()}
    spectral.save_image(
        str(path),
        data,
        interleave=interleave,
        byteorder=byteorder,
        metadata=metadata,
        dtype=data.dtype,
        force=True,
    )
    return path


def refused(path, *words, error=ValueError, **options):
    with pytest.raises(error) as caught:
        ss.load(path, **options)
    text = str(caught.value)
    for word in words:
        assert word in text, text
    assert "\n" not in text


# ---------------------------------------------------------------------- ENVI


@pytest.mark.parametrize("interleave", ["bsq", "bil", "bip"])
@pytest.mark.parametrize("byteorder", ["little", "big"])
@pytest.mark.parametrize("lazy_bytes", [0, 2**28])
def test_every_interleave_and_byte_order(
    data, tmp_path, interleave, byteorder, lazy_bytes
):
    path = write(tmp_path / "a.hdr", data, interleave, byteorder, wavelength=list(NM))
    cube = ss.load(path, lazy_bytes=lazy_bytes)
    np.testing.assert_array_equal(cube.data, data)
    np.testing.assert_array_equal(cube.spectra(), data.reshape(-1, BANDS))
    assert isinstance(cube.data, np.memmap) == (lazy_bytes == 0)
    assert not isinstance(cube.read().data, np.memmap)
    again = ss.load(tmp_path / "a.img")
    np.testing.assert_array_equal(again.data, data)


def test_a_header_is_read_whole(data, tmp_path):
    data[0, 1] = -999
    data[1, 2, 3] = -999
    data[2, 2, 4] = -999  # in a bad band
    data[3, 3] = 0
    path = write(
        tmp_path / "a.hdr",
        data,
        wavelength=list(NM / 1e3),
        wavelength_units="Micrometers",
        fwhm=[0.01] * BANDS,
        bbl=[1, 1, 1, 1, 0],
        data_ignore_value=-999,
        reflectance_scale_factor=10000,
    )
    cube = ss.load(path)
    np.testing.assert_allclose(cube.wavelengths, NM, rtol=1e-14)
    np.testing.assert_allclose(cube.fwhm, 10.0, rtol=1e-14)
    assert cube.good_bands.tolist() == [True] * 4 + [False]
    assert np.argwhere(~cube.valid).tolist() == [[0, 1], [1, 2], [3, 3]]
    assert (cube.scale, cube.offset, cube.quantity) == (1e-4, 0.0, "reflectance")
    np.testing.assert_allclose(
        cube.spectra(), data[cube.valid][:, :4] / 1e4, rtol=1e-14
    )
    assert [step.split(":")[0] for step in cube.steps] == ["dead pixels", "no-data"]
    assert "2 pixels" in cube.steps[0]
    assert "1 pixels" in cube.steps[1]


def test_bands_filled_whole_are_left_out_and_pixels_kept(data, tmp_path):
    real = data.astype(np.float32)
    real[..., 1] = -9999.25  # water vapour, filled
    real[..., 2] = 0
    real[..., 3] = np.nan
    real[0, 0] = np.nan
    path = write(tmp_path / "a.hdr", real, data_ignore_value=-9999.25)
    cube = ss.load(path)
    assert cube.good_bands.tolist() == [True, False, False, False, True]
    assert np.argwhere(~cube.valid).tolist() == [[0, 0]]
    assert any("bands 1, 2, 3 (from 0)" in step for step in cube.steps)
    assert cube.spectra().dtype == np.float32


def test_ignore_value_is_rounded_as_the_data_are(data, tmp_path):
    real = data.astype(np.float32)
    real[1, 1, 2] = 0.1
    path = write(tmp_path / "a.hdr", real, data_ignore_value=0.1)
    assert np.argwhere(~ss.load(path).valid).tolist() == [[1, 1]]


def test_equal_pixels_are_no_dead_bands(tmp_path):
    image = np.full((2, 3, 4), 7, np.int16)
    image[..., 2] = 0
    cube = ss.load(write(tmp_path / "a.hdr", image))
    assert cube.good_bands.tolist() == [True, True, False, True]
    assert cube.n_valid == 6


@pytest.mark.parametrize(
    ("unit", "values", "wanted", "noted"),
    [
        ("Nanometers", NM, NM, False),
        ("nm", NM, NM, False),
        ("Micrometers", NM / 1e3, NM, False),
        ("um", NM / 1e3, NM, False),
        ("Angstroms", NM * 10, NM, False),
        (None, NM, NM, True),
        ("Unknown", NM / 1e3, NM, True),
        (None, [1, 2, 3, 4, 5], None, True),
        ("Index", [1, 2, 3, 4, 5], None, True),
        ("Wavenumber", 1e7 / NM, None, True),
    ],
)
def test_units_of_wavelengths(data, tmp_path, unit, values, wanted, noted):
    fields = {} if unit is None else {"wavelength_units": unit}
    path = write(tmp_path / "a.hdr", data, wavelength=list(values), **fields)
    cube = ss.load(path)
    if wanted is None:
        assert cube.wavelengths is None
    else:
        np.testing.assert_allclose(cube.wavelengths, wanted, rtol=1e-14)
    assert any(step.startswith("wavelengths:") for step in cube.steps) == noted


@pytest.mark.parametrize(
    ("unit", "values"), [("Nanometers", NM / 1e3), ("Micrometers", NM)]
)
def test_units_that_cannot_be_right_are_warned_of(data, tmp_path, unit, values):
    path = write(
        tmp_path / "a.hdr", data, wavelength=list(values), wavelength_units=unit
    )
    with pytest.warns(UserWarning, match=f"'{unit}' of the file cannot be right"):
        cube = ss.load(path)
    np.testing.assert_allclose(cube.wavelengths, NM, rtol=1e-14)
    assert cube.steps[0].startswith("wavelengths: taken for")


def test_gains_are_the_scale_where_bands_share_them(data, tmp_path):
    path = tmp_path / "a.hdr"
    same = {"data_gain_values": [0.5] * 5, "data_offset_values": [-3.0] * 5}
    cube = ss.load(write(path, data, **same))
    assert (cube.data.dtype, cube.scale, cube.offset) == (np.int16, 0.5, -3.0)
    gains = [0.5, 0.25, 1.0, 2.0, 4.0]
    cube = ss.load(write(path, data, data_gain_values=gains, bbl=[1, 1, 1, 1, 0]))
    assert (cube.data.dtype, cube.scale) == (np.float32, 1.0)
    np.testing.assert_array_equal(cube.data, data * np.array(gains))


@pytest.mark.parametrize(
    ("info", "crs"),
    [
        ("UTM, 1.5, 2.5, 5e5, 4e6, 30, 20, 33, North, WGS-84, units=Meters", 32633),
        ("UTM, 1, 1, 5e5, 4e6, 30, 20, 55, South, WGS-84, units=Meters", 32755),
        ("UTM, 1, 1, 5e5, 4e6, 30, 20, 11, North, North America 1983", 26911),
        ("Geographic Lat/Lon, 1, 1, 7, 50, .001, .002, WGS-84, units=Degrees", 4326),
        ("UTM, 1, 1, 5e5, 4e6, 5, 5, 33, North, WGS-84, rotation=-30", 32633),
    ],
)
def test_map_info_is_read_as_gdal_reads_it(data, tmp_path, info, crs):
    path = write(tmp_path / "a.hdr", data, map_info=info.split(","))
    cube = ss.load(path)
    with rasterio.open(tmp_path / "a.img") as file:
        np.testing.assert_allclose(cube.transform, file.transform[:6], rtol=1e-13)
        assert file.crs == rasterio.CRS.from_string(cube.crs)
    assert cube.crs == f"EPSG:{crs}"


def test_coordinate_system_string_wins_and_is_read_whole(data, tmp_path):
    wkt = rasterio.CRS.from_epsg(3035).to_wkt(version="WKT1_ESRI")
    path = write(tmp_path / "a.hdr", data, map_info=["Arbitrary", *"1112345"])
    with path.open("a") as file:
        file.write(f"coordinate system string = {{{wkt}}}\n")
    assert ss.load(path).crs == wkt


@pytest.mark.parametrize("change", [-1, 7])
def test_sizes_that_disagree(data, tmp_path, change):
    path = write(tmp_path / "a.hdr", data)
    binary = tmp_path / "a.img"
    content = binary.read_bytes()
    size = len(content)
    binary.write_bytes(content[:change] if change < 0 else content + b"\0" * change)
    state = "truncated" if change < 0 else "longer"
    refused(path, f"has {size + change} bytes", f"are {size}", state, "a.hdr")


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("bands = 5", "bands = five", ["bands is 'five'", "whole number"]),
        ("samples = 6", "samples = 0", ["samples is '0'"]),
        ("lines = 4\n", "", ["lacks lines"]),
        ("data type = 2", "data type = 77", ["data type is 77"]),
        ("interleave = bsq", "interleave = bsx", ["'bsx'; wanted bsq, bil or bip"]),
        ("byte order = 0", "byte order = 2", ["byte order is 2"]),
        ("ENVI\n", "INVE\n", ["no ENVI header"]),
        ("ENVI\n", "ENVI\nbbl = {1, 1\n", ["closes every brace"]),
        ("ENVI\n", "ENVI\nbbl = {1, 1}\n", ["bbl has 2 entries for 5 bands"]),
        ("ENVI\n", "ENVI\nfwhm = {1}\nwavelength = {1,2,3,4,5}\n", ["fwhm has 1"]),
        ("ENVI\n", "ENVI\nwavelength = {a,b,c,d,e}\n", ["wavelength", "no numbers"]),
        ("ENVI\n", "ENVI\nwavelength = {500,500,3,4,5}\n", ["500 nm twice"]),
        ("ENVI\n", "ENVI\ndata ignore value = none\n", ["data ignore value is 'none'"]),
        ("ENVI\n", "ENVI\nreflectance scale factor = 0\n", ["scale factor is 0"]),
        ("ENVI\n", "ENVI\nmap info = {UTM, 1, 1}\n", ["map info has 3 fields"]),
        ("ENVI\n", "ENVI\nmap info = {UTM,a,b,c,d,e,f}\n", ["map info", "numbers"]),
        ("ENVI Standard", "ENVI Spectral Library", ["spectral library"]),
        ("ENVI\n", "ENVI\ndata file = ../b.img\n", ["'../b.img'", "same folder"]),
        ("ENVI\n", "ENVI\ndata file = /etc/passwd\n", ["same folder"]),
        ("ENVI\n", "ENVI\ndata file = ..\n", ["same folder"]),
        ("ENVI\n", "ENVI\ndata file = c:\\b.img\n", ["same folder"]),
    ],
)
def test_damaged_headers(data, tmp_path, old, new, words):
    path = write(tmp_path / "a.hdr", data)
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    refused(path, "a.hdr", *words)


def test_missing_binary_and_missing_header(data, tmp_path):
    path = write(tmp_path / "a.hdr", data)
    (tmp_path / "a.img").rename(tmp_path / "b.img")
    refused(path, "no binary beside it", "a.img", error=FileNotFoundError)
    refused(tmp_path / "b.img", "not an HDF5 file")
    with path.open("a") as file:
        file.write("data file = b.img\n")
    np.testing.assert_array_equal(ss.load(path).data, data)


def test_a_mapped_file_is_written_slab_by_slab(data, tmp_path, monkeypatch):
    cube = ss.load(write(tmp_path / "a.hdr", data), lazy_bytes=0)
    monkeypatch.setattr("sparsesolve.lazy._SLAB", data.nbytes // 3)
    ss.save(tmp_path / "a.h5", cube)
    np.testing.assert_array_equal(ss.load(tmp_path / "a.h5").data, data)


@pytest.mark.parametrize("filled", [0, -9, np.nan])
def test_a_file_without_any_spectrum(tmp_path, filled):
    image = np.full((2, 2, 3), filled, np.float32)
    path = write(tmp_path / "a.hdr", image, data_ignore_value=-9)
    refused(path, "every pixel is zero or no-data")


def test_nan_everywhere_but_never_in_a_whole_band(tmp_path):
    image = np.arange(12, dtype=np.float32).reshape(2, 2, 3) + 1
    image[0, :, 0] = image[1, :, 1] = np.nan
    refused(write(tmp_path / "a.hdr", image), "every pixel holds NaN", "bbl")


def test_a_cube_is_not_what_another_kind_asks_for(data, tmp_path):
    path = write(tmp_path / "a.hdr", data)
    refused(path, "hyperspectral image; wanted 'solution'", kind="solution")


@pytest.mark.parametrize(
    ("module", "extra", "name"),
    [("spectral.io", "envi", "a.hdr"), ("rasterio", "geotiff", "a.tif")],
)
def test_what_is_not_installed_is_said(
    data, tmp_path, monkeypatch, module, extra, name
):
    write(tmp_path / "a.hdr", data)
    save_geotiff(tmp_path / "a.tif", data, ss.HyperspectralCube(data))
    monkeypatch.setitem(sys.modules, module, None)
    command = f"pip install 'sparsesolve[{extra}]'"
    refused(tmp_path / name, command, error=ImportError)


# ------------------------------------------------------------------- GeoTIFF


def tiff(path, data, **options):
    """Write a GeoTIFF by rasterio."""
    profile = {
        "driver": "GTiff",
        "height": ROWS,
        "width": COLS,
        "count": BANDS,
        "dtype": data.dtype,
        "crs": "EPSG:32633",
        "transform": rasterio.Affine(*NORTH_UP),
    }
    return rasterio.open(path, "w", **{**profile, **options})


def test_geotiff_is_read_whole(data, tmp_path):
    data[1, 2, 3] = -999
    data[3, 3] = 0
    path = tmp_path / "a.tif"
    with tiff(path, data, nodata=-999) as file:
        file.write(np.moveaxis(data, -1, 0))
        file.scales, file.offsets = [1e-4] * BANDS, [0.25] * BANDS
        for band in range(BANDS):
            file.update_tags(
                band + 1,
                wavelength=NM[band] / 1e3,
                wavelength_units="Micrometers",
                fwhm=0.01,
            )
    cube = ss.load(path)
    np.testing.assert_array_equal(cube.data, data)
    assert (cube.scale, cube.offset, cube.crs) == (1e-4, 0.25, "EPSG:32633")
    assert cube.transform == NORTH_UP
    assert np.argwhere(~cube.valid).tolist() == [[1, 2], [3, 3]]
    np.testing.assert_allclose(cube.wavelengths, NM, rtol=1e-14)
    np.testing.assert_allclose(cube.fwhm, 10, rtol=1e-14)


def test_geotiff_made_from_envi_by_gdal_keeps_its_wavelengths(data, tmp_path):
    import rasterio.shutil

    fields = {"wavelength": list(NM), "wavelength_units": "Nanometers"}
    write(tmp_path / "a.hdr", data, **fields, map_info=["UTM", *"1111", "5", "5", "33"])
    rasterio.shutil.copy(tmp_path / "a.img", tmp_path / "a.tif", driver="GTiff")
    np.testing.assert_array_equal(ss.load(tmp_path / "a.tif").wavelengths, NM)


@pytest.mark.parametrize(
    "label", ["{nm:g} nm", "B1 {um:g} um", "Band ({um:g} micrometers)", "{nm:g}nm"]
)
def test_wavelengths_in_descriptions_of_bands(data, tmp_path, label):
    path = tmp_path / "a.tif"
    with tiff(path, data) as file:
        file.write(np.moveaxis(data, -1, 0))
        file.descriptions = [label.format(nm=v, um=v / 1e3) for v in NM]
    np.testing.assert_allclose(ss.load(path).wavelengths, NM, rtol=1e-14)


def test_geotiff_imagery_tags_and_unnamed_bands(data, tmp_path):
    path = tmp_path / "a.tif"
    with tiff(path, data) as file:
        file.write(np.moveaxis(data, -1, 0))
    assert ss.load(path).wavelengths is None
    with rasterio.open(path, "r+") as file:
        for band in range(BANDS):
            tags = {"CENTRAL_WAVELENGTH_UM": NM[band] / 1e3, "FWHM_UM": 0.02}
            file.update_tags(band + 1, ns="IMAGERY", **tags)
    cube = ss.load(path)
    np.testing.assert_allclose(cube.wavelengths, NM, rtol=1e-14)
    np.testing.assert_allclose(cube.fwhm, 20, rtol=1e-14)


def test_geotiff_mask_and_scales_that_differ(data, tmp_path):
    path = tmp_path / "a.tif"
    mask = np.full((ROWS, COLS), 255, np.uint8)
    mask[2, 1] = 0
    scales = [1.0, 0.5, 0.25, 2.0, 4.0]
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), tiff(path, data) as file:
        file.write(np.moveaxis(data, -1, 0))
        file.write_mask(mask)
        file.scales = scales
    cube = ss.load(path)
    assert np.argwhere(~cube.valid).tolist() == [[2, 1]]
    np.testing.assert_array_equal(cube.data, (data * scales).astype(np.float32))
    assert (cube.scale, cube.data.dtype) == (1.0, np.float32)


def test_a_geotiff_that_memory_cannot_hold_is_refused(data, tmp_path, monkeypatch):
    path = tmp_path / "large.tif"
    save_geotiff(path, data, ss.HyperspectralCube(data))
    real = np.empty

    def empty(shape, *arguments, **settings):
        if shape == data.shape:
            raise MemoryError
        return real(shape, *arguments, **settings)

    monkeypatch.setattr(np, "empty", empty)
    with pytest.raises(ValueError, match=r"large\.tif holds .* convert it to ENVI"):
        ss.load(path)


def test_geotiff_without_georeference_and_truncated(data, tmp_path):
    path = tmp_path / "a.tif"
    save_geotiff(path, data, ss.HyperspectralCube(data))
    cube = ss.load(path)
    assert cube.crs is None
    assert cube.transform is None
    with tiff(path, data) as file:
        file.write(np.moveaxis(data, -1, 0))
    content = path.read_bytes()
    for size in (20, len(content) - data.nbytes // 2, len(content) - 1):
        path.write_bytes(content[:size])
        refused(path, "a.tif", "truncated")


# -------------------------------------------------------------------- MATLAB


def test_public_scenes_keep_their_pixel_order(data_folder):
    """The truth of each scene fits its unit-norm pixels only in the right order."""
    folder = data_folder / "hsi"
    if not folder.is_dir():
        pytest.skip(f"no scenes: {folder} is absent")
    samson, jasper = (
        ss.load(folder / name, kind="hyperspectral")
        for name in ("samson.mat", "jasper_ridge.mat")
    )
    assert (samson.shape, jasper.shape) == ((95, 95, 156), (100, 100, 198))
    assert (samson.n_valid, samson.n_good) == (9025, 156)
    assert (jasper.n_valid, jasper.n_good) == (10000, 198)
    assert jasper.data.dtype == np.uint16
    assert jasper.scale == 1 / 5000
    assert samson.wavelengths[[0, -1]].tolist() == [401, 889]
    # SlectBands runs from 4 to 219 of 224 bands.
    edges = 380 + np.array([3, 218]) * (2500 - 380) / 223
    np.testing.assert_allclose(jasper.wavelengths[[0, -1]], edges)
    truth = scipy.io.loadmat(folder / "samson.mat")
    maps, spectra = truth["S_GT"], truth["GT"]
    jasper_truth = scipy.io.loadmat(folder / "jasper_ridge.mat")
    jasper_maps = jasper_truth["A"].T.reshape(100, 100, 4, order="F")
    for cube, abundances, endmembers, most in (
        (samson, maps, spectra, 0.005),
        (jasper, jasper_maps, jasper_truth["M"].T, 0.009),
    ):
        pixels = cube.data / np.linalg.norm(cube.data.astype(float), axis=2)[..., None]
        model = abundances @ (
            endmembers / np.linalg.norm(endmembers, axis=1, keepdims=True)
        )
        assert np.sqrt(np.mean((pixels - model) ** 2)) < most
        turned = np.swapaxes(pixels, 0, 1)
        assert np.sqrt(np.mean((turned - model) ** 2)) > 2 * most


def test_matlab_cube_of_three_axes(data, tmp_path):
    path = tmp_path / "a.mat"
    scipy.io.savemat(path, {"scene": data, "label": "field", "w": NM})
    cube = ss.load(path, kind="hyperspectral")
    np.testing.assert_array_equal(cube.data, data)
    refused(path, "not an HDF5 file", "kind=")
    turned = {"X": data, "Z": data}
    scipy.io.savemat(path, turned)
    refused(path, "no variable Y", "X (4, 6, 5)", "data=...", kind="hyperspectral")
    np.testing.assert_array_equal(from_mat(path, data="Z").data, data)


def test_bands_that_the_sensor_of_a_known_scene_lacks(tmp_path):
    path = tmp_path / "jasper.mat"
    image = np.ones((100, 100, 198), np.uint8)
    scipy.io.savemat(path, {"Y": image, "SlectBands": np.arange(100, 298)})
    with pytest.raises(ValueError, match="SlectBands has 100 to 297; wanted bands of"):
        ss.load(path, kind="hyperspectral")


@pytest.mark.parametrize("order", ["C", "F"])
def test_matrix_in_matlab_needs_its_order(data, tmp_path, order):
    matrix = np.moveaxis(data, -1, 0).reshape(BANDS, -1, order=order)
    path = tmp_path / "a.mat"
    scipy.io.savemat(path, {"Y": matrix})
    refused(path, "no nRow and nCol", "order='F' or 'C'", kind="hyperspectral")
    cube = from_mat(path, shape=(ROWS, COLS), order=order, wavelengths=NM)
    np.testing.assert_array_equal(cube.data, data)
    with pytest.raises(ValueError, match="shape needs order="):
        from_mat(path, shape=(ROWS, COLS))
    with pytest.raises(ValueError, match=r"4 x 5; wanted \(bands, 20\)"):
        from_mat(path, shape=(4, 5), order=order)


def test_matlab_7_3(data, tmp_path):
    import h5py

    path = tmp_path / "a.mat"
    with h5py.File(path, "w", userblock_size=512) as file:
        file["Y"] = np.moveaxis(data, -1, 0).reshape(BANDS, -1, order="F").T
        file["nRow"], file["nCol"] = [[ROWS]], [[COLS]]
    with path.open("r+b") as raw:
        raw.write(b"MATLAB 7.3 MAT-file")
    np.testing.assert_array_equal(ss.load(path, kind="hyperspectral").data, data)


# ------------------------------------------------------- maps over the cube


@pytest.fixture
def maps(rng):
    return rng.random((ROWS, COLS, 3))


@pytest.mark.parametrize("transform", [NORTH_UP, TURNED])
@pytest.mark.parametrize("crs", ["EPSG:32633", "EPSG:4326", "EPSG:3035", "wkt"])
@pytest.mark.parametrize("suffix", [".img", ".tif"])
def test_maps_overlay_the_cube(data, maps, tmp_path, transform, crs, suffix):
    if crs == "wkt":
        crs = rasterio.CRS.from_epsg(32755).to_wkt()
    valid = np.ones((ROWS, COLS), bool)
    valid[1, 2] = False
    cube = ss.HyperspectralCube(data, valid=valid, crs=crs, transform=transform)
    maps[0, 0, 1] = np.nan
    path, names = tmp_path / f"a{suffix}", ["soil", "tree", "water"]
    (save_envi if suffix == ".img" else save_geotiff)(path, maps, cube, names=names)
    with rasterio.open(path) as file:
        found = np.moveaxis(file.read(masked=True), 0, -1)
        np.testing.assert_allclose(file.transform[:6], transform, rtol=1e-13)
        assert file.crs == rasterio.CRS.from_string(crs)
        assert file.descriptions == tuple(names)
        assert file.dtypes == ("float32",) * 3
    gaps = np.ma.getmaskarray(found)
    assert sorted(set(map(tuple, np.argwhere(gaps)[:, :2].tolist()))) == [
        (0, 0),
        (1, 2),
    ]
    assert gaps.sum() == 4
    np.testing.assert_array_equal(found.data[~gaps], maps.astype(np.float32)[~gaps])


def test_maps_of_a_file_overlay_that_file(data, maps, tmp_path):
    """From an ENVI file to ENVI maps, the place is copied to the last digit."""
    info = "UTM, 1.5, 2.5, 5e5, 4e6, 30, 20, 33, North, WGS-84, units=Meters"
    cube = ss.load(write(tmp_path / "in.hdr", data, map_info=info.split(",")))
    header = save_envi(tmp_path / "out", maps[..., 0], cube)
    assert header == tmp_path / "out.hdr"
    back = ss.load(header)
    assert (back.transform, back.crs) == (cube.transform, cube.crs)
    np.testing.assert_array_equal(back.data[..., 0], maps[..., 0].astype(np.float32))


@pytest.mark.parametrize("save", [save_envi, save_geotiff])
def test_bad_maps_leave_nothing(data, maps, tmp_path, save):
    cube = ss.HyperspectralCube(data, crs="EPSG:0", transform=NORTH_UP)
    plain = ss.HyperspectralCube(data)
    for given, over, names, words in (
        (maps[:2], plain, None, r"\(2, 6, 3\); wanted \(4, 6, K\)"),
        (maps, plain, ["a"], "wanted 3 names"),
        (maps, cube, None, "crs is 'EPSG:0'"),
    ):
        with pytest.raises(ValueError, match=words):
            save(tmp_path / "a.img", given, over, names=names)
    with pytest.raises(TypeError, match="real numbers"):
        save(tmp_path / "a.img", maps * 1j, plain)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(OSError, match="does not exist"):
        save(tmp_path / "none" / "a.img", maps, plain)


def test_what_an_envi_header_cannot_hold(data, maps, tmp_path):
    plain = ss.HyperspectralCube(data)
    mirrored = ss.HyperspectralCube(data, transform=(1, 0, 0, 0, 1, 0))
    with pytest.raises(ValueError, match="mirrors or shears"):
        save_envi(tmp_path / "a.img", maps, mirrored)
    with pytest.raises(ValueError, match="names has 'a, b'"):
        save_envi(tmp_path / "a.img", maps, plain, names=["a, b", "c", "d"])
    with pytest.raises(ValueError, match="description has"):
        save_envi(tmp_path / "a.img", maps, plain, description="}\nbands = 9")
    maps[0, 0, 0] = -9999
    with pytest.raises(ValueError, match="stands for no-data"):
        save_envi(tmp_path / "a.img", maps, plain)
    assert list(tmp_path.iterdir()) == []


def test_header_and_binary_appear_together(data, maps, tmp_path, monkeypatch):
    cube = ss.HyperspectralCube(data)
    save_envi(tmp_path / "a.img", maps, cube)
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    assert sorted(before) == ["a.hdr", "a.img"]
    calls = []

    def full(handle):
        calls.append(handle)
        if len(calls) == 2:  # the header; the binary is on the disk by then
            raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="disk is full"):
        save_envi(tmp_path / "a.img", maps + 1, cube)
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before


def test_envi_maps_need_rasterio_only_for_rare_coordinates(
    data, maps, tmp_path, monkeypatch
):
    monkeypatch.setitem(sys.modules, "rasterio", None)
    for crs in ("EPSG:32633", "EPSG:4326", 'PROJCS["any"]', None):
        cube = ss.HyperspectralCube(data, crs=crs, transform=NORTH_UP)
        save_envi(tmp_path / "a.img", maps, cube)
        assert ss.load(tmp_path / "a.img").crs == crs
    rare = ss.HyperspectralCube(data, crs="EPSG:3035", transform=NORTH_UP)
    with pytest.raises(ImportError, match=r"sparsesolve\[geotiff\]"):
        save_envi(tmp_path / "b.img", maps, rare)
    assert not list(tmp_path.glob("*b*"))


# -------------------------------------------------------------- command line


def test_info_says_what_a_cube_is(data, tmp_path, capsys):
    data[0, 0] = 0
    write(tmp_path / "a.hdr", data, wavelength=list(NM), wavelength_units="nm")
    cube = ss.load(tmp_path / "a.hdr")
    ss.save(tmp_path / "a.h5", cube)
    save_geotiff(tmp_path / "a.tif", data, cube)
    for name in ("a.hdr", "a.img", "a.h5", "a.tif"):
        assert cli.main(["info", str(tmp_path / name)]) == 0
        out = capsys.readouterr().out
        assert "HyperspectralCube(4 x 6 x 5" in out
        assert "95.8 % valid" in out
        assert ("450 to 1000 nm" in out) == (name != "a.tif")
