"""A .vti file holds the volumes where and as VTK's file format says."""

import base64
import struct
import xml.etree.ElementTree as ET

import numpy as np
import pytest

import sparsesolve as ss
from sparsesolve.backends import to_device

GRID = ss.Grid([-0.01, 0.0, 0.01, 0.02], [0.1, 0.15, 0.2], [0.5, 0.5125])


@pytest.fixture
def image(rng):
    real, imag = rng.standard_normal((2, *GRID.shape))
    return (real + 1j * imag).astype("complex64")


def read(path):
    """The header's attributes and each array's values, x fastest."""
    root = ET.parse(path).getroot()
    assert root.attrib["type"] == "ImageData"
    assert root.attrib["byte_order"] == "LittleEndian"
    assert root.attrib["header_type"] == "UInt64"
    arrays = {}
    for item in root.iter("DataArray"):
        assert item.attrib["type"] == "Float32"
        assert item.attrib["format"] == "binary"
        content = base64.b64decode(item.text, validate=True)
        (size,) = struct.unpack_from("<Q", content)
        assert len(content) == 8 + size
        arrays[item.attrib["Name"]] = struct.unpack_from(f"<{size // 4}f", content, 8)
    return root.find("ImageData").attrib, arrays


def test_values_lie_at_their_voxels(tmp_path, image):
    ss.vtk.write_vti(tmp_path / "a.vti", {"scene": image, "real": image.real}, GRID)
    header, arrays = read(tmp_path / "a.vti")
    assert header["WholeExtent"] == "0 3 0 2 0 1"
    origin = [float(n) for n in header["Origin"].split()]
    spacing = [float(n) for n in header["Spacing"].split()]
    np.testing.assert_allclose(origin, [-0.01, 0.1, 0.5])
    np.testing.assert_allclose(spacing, [0.01, 0.05, 0.0125])
    assert list(arrays) == ["scene_magnitude", "scene_phase", "real"]
    nx, ny, nz = GRID.shape
    for i, j, k in np.ndindex(nx, ny, nz):
        place = i + nx * (j + ny * k)
        value = arrays["scene_magnitude"][place] * np.exp(
            1j * arrays["scene_phase"][place]
        )
        assert value == pytest.approx(complex(image[i, j, k]), rel=1e-6)
        assert arrays["real"][place] == image[i, j, k].real
        where = np.add(origin, np.multiply(spacing, (i, j, k)))
        np.testing.assert_allclose(where, GRID.points[i, j, k])


def test_real_and_imaginary_parts(tmp_path, image):
    path = tmp_path / "a.vti"
    ss.vtk.write_vti(str(path), {'1 < "2" & 3': image}, GRID, parts="cartesian")
    _, arrays = read(path)
    values = np.array(arrays['1 < "2" & 3_imag']).reshape(GRID.shape, order="F")
    np.testing.assert_array_equal(values, image.imag)
    assert arrays['1 < "2" & 3_real'][1] == image[1, 0, 0].real


def test_a_plane_has_a_spacing_and_float32_positions_are_uniform(tmp_path):
    axis = np.linspace(0, 0.3, 61).astype("float32")
    grid = ss.Grid(axis, 2 * axis, [0.4])
    ss.vtk.write_vti(tmp_path / "a.vti", {"x": np.ones(grid.shape, int)}, grid)
    header, arrays = read(tmp_path / "a.vti")
    spacing = [float(n) for n in header["Spacing"].split()]
    np.testing.assert_allclose(spacing, [0.005, 0.01, 0.005], rtol=1e-6)
    assert set(arrays["x"]) == {1.0}


@pytest.mark.parametrize("library", ["array_api_strict", "torch:cpu"])
def test_any_library(tmp_path, image, library):
    pytest.importorskip(library.partition(":")[0])
    ss.vtk.write_vti(tmp_path / "a.vti", {"x": to_device(image, library)}, GRID)
    _, arrays = read(tmp_path / "a.vti")
    assert arrays["x_magnitude"][0] == pytest.approx(abs(image[0, 0, 0]))


def test_a_file_is_whole_or_absent(tmp_path, image, monkeypatch):
    path = tmp_path / "a.vti"
    ss.vtk.write_vti(path, {"x": image}, GRID)
    before = path.read_bytes()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match=r"cannot write .*the disk is full"):
        ss.vtk.write_vti(path, {"x": 2 * image}, GRID)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["a.vti"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"path": "a.vtk"}, "ends in .vti"),
        ({"images": {}}, "no image"),
        ({"images": {"x": np.ones((4, 2, 3))}}, "axes swapped"),
        ({"images": {"x": np.ones(())}}, "that of the grid"),
        ({"images": {"x": np.full(GRID.shape, np.nan)}}, "image 'x' has 24 NaN"),
        ({"images": {"x": np.full(GRID.shape, 1e39)}}, "beyond float32"),
        ({"images": {"": np.ones(GRID.shape)}}, "wanted printable text"),
        ({"images": {"a\x00": np.ones(GRID.shape)}}, "wanted printable text"),
        (
            {"images": {"x": np.ones(GRID.shape) + 0j, "x_phase": np.ones(GRID.shape)}},
            "two arrays named 'x_phase'",
        ),
        ({"parts": "real"}, "parts is 'real'"),
        (
            {"grid": ss.Grid(GRID.axes[0], [0.1, 0.15, 0.21], GRID.axes[2])},
            "grid axis y has spacings from 0.05 to 0.06 m",
        ),
    ],
)
def test_bad_input_is_one_sentence_and_no_file(tmp_path, change, message):
    call = {"path": "a.vti", "images": {"x": np.ones(GRID.shape)}, "grid": GRID}
    call |= {"parts": "polar"} | change
    call["path"] = tmp_path / call["path"]
    with pytest.raises(ValueError, match=message):
        ss.vtk.write_vti(**call)
    assert list(tmp_path.iterdir()) == []
