"""Other people's files: each writes the same scan in its own way, and is read back."""

import h5py
import numpy as np
import pytest
import scipy.io

from sparsesolve.io import Field, load
from sparsesolve.lazy import LazyArray

K, T, R = 5, 3, 4


@pytest.fixture
def truth(rng):
    shape = (K, T, R)
    data = rng.standard_normal(shape) + 1j * rng.standard_normal(shape)
    return {
        "data": data,
        "freq": np.linspace(4, 16, K) * 1e9,
        "tx": rng.uniform(-0.1, 0.1, (T, 3)),
        "rx": rng.uniform(-0.1, 0.1, (R, 3)),
    }


def read(path, mapping, **options):
    return load(path, kind="near_field_mimo", mapping=mapping, **options)


def agrees(scan, truth, rtol=1e-12):
    for name, value in truth.items():
        found = np.asarray(getattr(scan, name))
        assert found.shape == value.shape
        np.testing.assert_allclose(found, value, rtol=rtol)


def refused(path, mapping, *words, error=ValueError, **options):
    with pytest.raises(error) as caught:
        read(path, mapping, **options)
    text = str(caught.value)
    for word in words:
        assert word in text, text
    assert "\n" not in text


# ---------------------------------------------------------------- HDF5


@pytest.fixture
def lab(truth, tmp_path):
    """A laboratory's file: real and imaginary parts, mV, GHz, mm, (freq, rx, tx)."""
    path = tmp_path / "lab.h5"
    with h5py.File(path, "w") as file:
        file["scan/re"] = truth["data"].real.transpose(0, 2, 1) * 1e3
        file["scan/im"] = truth["data"].imag.transpose(0, 2, 1) * 1e3
        file["f"] = truth["freq"][:, None] / 1e9
        file["tx_mm"] = truth["tx"].T * 1e3
        for axis, name in enumerate("xyz"):
            file[f"rx/{name}"] = truth["rx"][:, axis] * 1e2
        file["c"] = [2.2e8]
        file["note"] = "calibrated on Monday"
    return path


@pytest.fixture
def lab_map():
    return {
        "data": Field(
            "/scan/re", imag="/scan/im", axes=("freq", "rx", "tx"), unit="mV"
        ),
        "freq": Field("/f", unit="GHz"),
        "tx": Field("tx_mm", axes=("xyz", "tx"), unit="mm"),
        "rx": tuple(Field(f"rx/{name}", unit="cm") for name in "xyz"),
        "speed": Field("c"),
    }


@pytest.mark.parametrize("lazy_bytes", [0, 2**28])
def test_laboratory_file(lab, lab_map, truth, lazy_bytes):
    scan = read(lab, lab_map, lazy_bytes=lazy_bytes)
    assert isinstance(scan.data, LazyArray) == (lazy_bytes == 0)
    assert (scan.sign, scan.speed) == (-1, 2.2e8)
    agrees(scan, truth)
    np.testing.assert_allclose(scan.data[1:3, 2], truth["data"][1:3, 2], rtol=1e-12)


@pytest.mark.parametrize("lazy_bytes", [0, 2**28])
def test_other_sign_and_constants(lab, lab_map, truth, lazy_bytes):
    constants = {"sign": 1, "speed": 2e8, "noise": 0.5, "rx": truth["rx"].tolist()}
    scan = read(lab, lab_map | constants, lazy_bytes=lazy_bytes)
    assert (scan.sign, scan.speed, scan.noise) == (-1, 2e8, 0.5)
    agrees(scan, {**truth, "data": truth["data"].conj()})


def test_stacked_positions_with_a_constant(lab, lab_map, truth):
    flat = (Field("rx/x", unit="cm"), 0.3, Field("rx/z", unit="cm"))
    scan = read(lab, {**lab_map, "rx": flat})
    np.testing.assert_allclose(scan.rx[:, 0], truth["rx"][:, 0])
    np.testing.assert_array_equal(scan.rx[:, 1], 0.3)


def test_scale_and_offset_come_before_the_unit(tmp_path, truth, lab_map, lab):
    with h5py.File(lab, "r+") as file:
        file["counts"] = np.arange(K, dtype="u2")
    scan = read(
        lab, {**lab_map, "freq": Field("counts", scale=3, offset=4, unit="GHz")}
    )
    np.testing.assert_allclose(scan.freq, truth["freq"])


def test_one_based_unsigned_channels(tmp_path, truth):
    pairs = np.asarray([[1, 1], [3, 4], [2, 3]], "u1")
    path = tmp_path / "channels.h5"
    with h5py.File(path, "w") as file:
        file["pairs"] = pairs
        file["S"] = np.stack([truth["data"][:, t - 1, r - 1] for t, r in pairs])
        for name in ("freq", "tx", "rx"):
            file[name] = truth[name]
    mapping = {name: Field(name) for name in ("freq", "tx", "rx")}
    mapping["data"] = Field("S", axes=("channel", "freq"))
    mapping["channels"] = Field("pairs", offset=-1)
    scan = read(path, mapping)
    np.testing.assert_array_equal(scan.channels, [[0, 0], [2, 3], [1, 2]])
    np.testing.assert_array_equal(scan.data[:, 1], truth["data"][:, 2, 3])
    refused(path, {**mapping, "channels": Field("pairs")}, str(path), "one-based")


def test_single_precision_stays_single(tmp_path, truth):
    path = tmp_path / "single.h5"
    with h5py.File(path, "w") as file:
        file["re"] = truth["data"].real.astype("f4")
        file["im"] = truth["data"].imag.astype("f4")
    positions = {name: truth[name] for name in ("freq", "tx", "rx")}
    data = Field("re", imag="im", unit="mV", scale=np.float64(2), offset=1)
    scan = read(path, {"data": data, **positions})
    assert scan.data.dtype == np.complex64
    expected = (2 * truth["data"] + 1) * 1e-3
    np.testing.assert_allclose(scan.data, expected, rtol=1e-5)


@pytest.mark.parametrize("fill", [np.nan, -999.0])
@pytest.mark.parametrize("lazy_bytes", [0, 2**28])
def test_fill_value_becomes_a_mask(lab, lab_map, truth, fill, lazy_bytes):
    with h5py.File(lab, "r+") as file:
        file["scan/im"][2, 3, 1] = fill
        file["scan/re"][4, 0, 2] = fill
        file["ok"] = np.ones((K, T, R), "u1")
        file["ok"][0, 0, 0] = 0
    field = Field(
        "/scan/re", imag="/scan/im", axes=("freq", "rx", "tx"), unit="mV", fill=fill
    )
    expected = np.ones((K, T, R), bool)
    expected[2, 1, 3] = expected[4, 2, 0] = False
    scan = read(lab, {**lab_map, "data": field}, lazy_bytes=lazy_bytes)
    np.testing.assert_array_equal(scan.mask, expected)
    data = np.asarray(scan.data)
    np.testing.assert_array_equal(data[~expected], 0)
    np.testing.assert_allclose(data[expected], truth["data"][expected])
    expected[0, 0, 0] = False
    both = {**lab_map, "data": field, "mask": Field("ok")}
    np.testing.assert_array_equal(read(lab, both, lazy_bytes=lazy_bytes).mask, expected)


def test_fill_value_where_all_is_needed(lab, lab_map):
    with h5py.File(lab, "r+") as file:
        file["tx_mm"][1, 2] = -1
        file["rx/y"][0] = np.nan
    tx = Field("tx_mm", axes=("xyz", "tx"), unit="mm", fill=-1)
    refused(
        lab, {**lab_map, "tx": tx}, "'tx_mm' holds its fill value -1", "tx is needed"
    )
    rx = (Field("rx/x"), Field("rx/y", fill=np.nan), 0.0)
    refused(lab, {**lab_map, "rx": rx}, "'rx/y' holds its fill value nan")


def test_fill_value_that_never_occurs(lab, lab_map):
    data = Field("/scan/re", imag="/scan/im", axes=("freq", "rx", "tx"), fill=-999)
    assert read(lab, {**lab_map, "data": data}).mask is None


@pytest.mark.parametrize("names", [("real", "imag"), ("r", "i"), ("re", "im")])
def test_compound_complex(tmp_path, truth, names):
    path = tmp_path / "compound.h5"
    pairs = np.empty((K, T, R), [(names[0], "f8"), (names[1], "f8")])
    pairs[names[0]], pairs[names[1]] = truth["data"].real, truth["data"].imag
    with h5py.File(path, "w") as file:
        file["S"] = pairs
    rest = {name: truth[name] for name in ("freq", "tx", "rx")}
    agrees(read(path, {"data": Field("S"), **rest}), truth)


# ---------------------------------------------------------------- MATLAB and .npz


def matlab_order(truth):
    """Measured values as (rx, tx, freq), in units of the instrument."""
    return truth["data"].transpose(2, 1, 0) * 1e3


@pytest.fixture
def v5(truth, tmp_path):
    path = tmp_path / "v5.mat"
    array = {
        side: {
            axis: truth[name][:, [i]] * 1e3 for i, axis in enumerate(("X", "Z", "Y"))
        }
        for side, name in (("Transmitter", "tx"), ("Receiver", "rx"))
    }
    scipy.io.savemat(
        path,
        {
            "EMData": {"Values": matlab_order(truth), "Name": "target"},
            "MIMOArray": array,
            "OperateFreq": truth["freq"][None] / 1e9,
        },
    )
    return path


@pytest.fixture
def v73(truth, tmp_path):
    """The same as MATLAB -v7.3 writes it: reversed axes, compound complex numbers."""
    path = tmp_path / "v73.mat"

    def put(file, name, value):
        stored = np.asarray(value).T
        if np.iscomplexobj(stored):
            pairs = np.empty(stored.shape, [("real", "f8"), ("imag", "f8")])
            pairs["real"], pairs["imag"] = stored.real, stored.imag
            stored = pairs
        file[name] = stored
        file[name].attrs["MATLAB_class"] = np.bytes_("double")

    with h5py.File(path, "w", userblock_size=512) as file:
        put(file, "EMData/Values", matlab_order(truth))
        for side, name in (("Transmitter", "tx"), ("Receiver", "rx")):
            for i, axis in enumerate(("X", "Z", "Y")):
                put(file, f"MIMOArray/{side}/{axis}", truth[name][:, [i]] * 1e3)
        put(file, "OperateFreq", truth["freq"][None] / 1e9)
        file["EMData/Name"] = np.asarray([[116], [103]], "u2")
        file["EMData/Name"].attrs["MATLAB_class"] = np.bytes_("char")
        file["EMData/Nothing"] = np.zeros(2, "u8")
        file["EMData/Nothing"].attrs["MATLAB_class"] = np.bytes_("double")
        file["EMData/Nothing"].attrs["MATLAB_empty"] = np.uint8(1)
    with path.open("r+b") as file:
        file.write(b"MATLAB 7.3 MAT-file, Platform: GLNXA64, HDF5 schema 1.00 .")
    return path


MATLAB_MAP = {
    "data": Field("EMData.Values", axes=("rx", "tx", "freq"), unit="mV"),
    "freq": Field("OperateFreq", unit="GHz"),
    # Range is Y in such files; it is our third axis.
    "tx": tuple(Field(f"MIMOArray.Transmitter.{a}", unit="mm") for a in "XZY"),
    "rx": tuple(Field(f"MIMOArray/Receiver/{a}", unit="mm") for a in "XZY"),
}


@pytest.mark.parametrize("lazy_bytes", [0, 2**28])
@pytest.mark.parametrize("version", ["v5", "v73"])
def test_matlab_versions_read_alike(request, truth, version, lazy_bytes):
    path = request.getfixturevalue(version)
    agrees(read(path, MATLAB_MAP, lazy_bytes=lazy_bytes), truth)
    wrong = {**MATLAB_MAP, "data": Field("EMData.Values", axes=("freq", "tx", "rx"))}
    refused(path, wrong, str(path), "data has shape (4, 3, 5)", "are the axes swapped?")


@pytest.mark.parametrize("version", ["v5", "v73"])
def test_matlab_things_that_are_no_numbers(request, version):
    path = request.getfixturevalue(version)
    text = {**MATLAB_MAP, "data": Field("EMData.Name")}
    refused(path, text, str(path), "'EMData.Name'", "wanted", error=TypeError)
    gone = {**MATLAB_MAP, "data": Field("EMData.Value")}
    refused(path, gone, "Value' is missing; the file has", "EMData/Values")
    struct = {**MATLAB_MAP, "data": Field("EMData")}
    refused(path, struct, "'EMData'", error=(TypeError, ValueError))


def test_matlab_empty(v73):
    nothing = {**MATLAB_MAP, "data": Field("EMData.Nothing")}
    refused(v73, nothing, "'EMData.Nothing' is empty")


def test_npz(truth, tmp_path):
    path = tmp_path / "scan.npz"
    np.savez(path, **{"S/parameters": truth["data"], "f.GHz": truth["freq"] / 1e9})
    mapping = {"data": Field("S/parameters"), "freq": Field("f.GHz", unit="GHz")}
    mapping |= {"tx": truth["tx"], "rx": truth["rx"]}
    agrees(read(path, mapping), truth)
    refused(path, {**mapping, "data": Field("T")}, "'T' is missing", "S/parameters")


def test_npz_with_objects_is_not_unpickled(truth, tmp_path):
    path = tmp_path / "objects.npz"
    np.savez(path, a=np.asarray([{"x": 1}], dtype=object))
    refused(path, {**truth, "data": Field("a")}, "objects")


@pytest.mark.parametrize("version", ["v5", "v73", "lab"])
def test_truncated(request, version, lab_map):
    path = request.getfixturevalue(version)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) * 2 // 3])
    refused(path, lab_map if version == "lab" else MATLAB_MAP, str(path), "truncated")


def test_unknown_format(tmp_path, truth):
    path = tmp_path / "scan.csv"
    path.write_text("1,2\n3,4\n")
    refused(path, truth, str(path), "none of HDF5, MATLAB v5, v7.3 and .npz")
    missing = tmp_path / "no.mat"
    refused(missing, truth, "does not exist", error=FileNotFoundError)


# ---------------------------------------------------------------- wrong mappings


def test_mapping_needs_a_kind_of_record(lab, lab_map):
    with pytest.raises(ValueError, match="mapping needs kind="):
        load(lab, mapping=lab_map)
    with pytest.raises(ValueError, match="did you mean 'near_field_mimo'"):
        load(lab, kind="near_field_mino", mapping=lab_map)
    with pytest.raises(ValueError, match="'solution' is no record"):
        load(lab, kind="solution", mapping=lab_map)


def test_names_in_the_mapping(lab, lab_map):
    refused(lab, {**lab_map, "frequency": 1}, "has 'frequency'", "did you mean 'freq'?")
    del lab_map["tx"], lab_map["data"]
    refused(
        lab,
        lab_map,
        "mapping lacks data, tx",
        "data [1] (freq, tx, rx) or (freq, channel)",
        "freq [Hz] (freq); tx [m] (tx, xyz)",
        "speed [m/s]",
    )


@pytest.mark.parametrize(
    ("name", "given", "words", "error"),
    [
        ("data", "/scan/re", ("wanted Field('/scan/re')",), TypeError),
        (
            "data",
            Field("/scan/r"),
            ("'/scan/r' is missing", "/scan/re (5, 4, 3)"),
            None,
        ),
        ("data", Field("/scan"), ("'/scan' is a group",), None),
        (
            "data",
            Field("/scan/re", imag="/f"),
            ("(5, 4, 3)", "(5, 1)", "the same"),
            None,
        ),
        ("data", Field("note"), ("'note' holds text", "wanted numbers"), TypeError),
        (
            "data",
            Field("/scan/re", axes=("f", "rx", "tx")),
            ("('f', 'rx', 'tx')",),
            None,
        ),
        (
            "data",
            Field("/scan/re", axes=("freq", "channel")),
            ("one name an axis",),
            None,
        ),
        ("data", Field("/scan/re", unit="GHz"), ("'GHz'", "wanted 1", "V"), None),
        ("freq", Field("/f", unit="mm"), ("'mm'", "wanted Hz, kHz, MHz, GHz"), None),
        ("freq", Field("/f", unit="Gc"), ("'Gc'", "known are", "GHz"), None),
        ("freq", Field("/f"), ("looks like GHz",), None),
        ("tx", Field("tx_mm", unit="mm"), ("tx has shape (3, 3)",), None),
        ("speed", Field("/f"), ("shape (5, 1)", "one number for speed"), None),
    ],
)
def test_wrong_fields(lab, lab_map, name, given, words, error):
    if name == "tx":  # square here: swapped axes cannot be seen from the shape
        with h5py.File(lab, "r+") as file:
            del file["tx_mm"]
            file["tx_mm"] = np.zeros((3, 7))
        words = ("tx has shape (3, 7)", "is it transposed?")
    refused(lab, {**lab_map, name: given}, *words, error=error or ValueError)


def test_a_forgotten_imaginary_part_is_named(lab, lab_map):
    with pytest.warns(UserWarning, match="Field takes as imag='/scan/im'"):
        refused(
            lab,
            {**lab_map, "data": Field("/scan/re")},
            *("float64", "wanted complex"),
            error=TypeError,
        )


def test_stated_units_are_not_overlooked(lab, lab_map):
    with h5py.File(lab, "r+") as file:
        file["f"].attrs["units"] = "GHz"
        file["c"].attrs["units"] = np.bytes_("m/s")
    read(lab, lab_map)
    refused(
        lab, {**lab_map, "freq": Field("/f")}, "says that it is in 'GHz'", "unit='GHz'"
    )


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"path": ""}, "the path ''"),
        ({"path": "a", "imag": "/"}, "the path '/'"),
        ({"path": "a", "scale": 0}, "scale is 0"),
        ({"path": "a", "offset": np.inf}, "offset is inf"),
    ],
)
def test_field_settings(settings, words):
    with pytest.raises((TypeError, ValueError)) as caught:
        Field(**settings)
    assert words in str(caught.value)


def test_foreign_links_are_not_followed(lab, lab_map, tmp_path):
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["f"] = np.linspace(4, 16, K)
    with h5py.File(lab, "r+") as file:
        file["out"] = h5py.ExternalLink("other.h5", "/f")
    refused(
        lab, {**lab_map, "freq": Field("out", unit="GHz")}, "wanted data in this file"
    )
