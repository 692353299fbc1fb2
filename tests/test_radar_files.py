"""Scans from instruments' files: Touchstone, positions in CSV, IEEE DataPort, .npz."""

import sys

import h5py
import numpy as np
import pytest
import scipy.io

import sparsesolve as ss
from sparsesolve.applications import radar

FREQ = np.linspace(2e9, 4e9, 5)
RASTER = np.array([(x, y, 0.0) for x in (-0.1, 0.0, 0.1) for y in (-0.05, 0.05)])


def random_s(rng, n_ports, n_freq=5):
    shape = (n_freq, n_ports, n_ports)
    return rng.standard_normal(shape) + 1j * rng.standard_normal(shape)


def write_touchstone(path, s, freq=FREQ, unit="GHz"):
    """Write S (n_freq, to, from) as the format's version 1 has it, by hand."""
    factor = {"Hz": 1, "MHz": 1e6, "GHz": 1e9}[unit]
    lines = ["! written by a test", f"# {unit} S RI R 50"]
    for f, matrix in zip(freq, s, strict=True):
        # two ports are the exception: column by column
        rows = [matrix.T.reshape(1, -1)[0]] if len(matrix) == 2 else list(matrix)
        for i, row in enumerate(rows):
            start = f"{f / factor:.12g} " if i == 0 else ""
            lines.append(start + " ".join(f"{v.real:.9g} {v.imag:.9g}" for v in row))
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture
def raster(rng, tmp_path):
    """Six .s1p files and what they hold, (n_freq, 6)."""
    pytest.importorskip("skrf")
    s = [random_s(rng, 1) for _ in RASTER]
    files = [
        write_touchstone(tmp_path / f"p{i}.s1p", values) for i, values in enumerate(s)
    ]
    return files, np.concatenate(s, axis=2)[:, 0]


# Touchstone: the three ways to measure


def test_one_antenna_on_a_raster(raster):
    files, s = raster
    single = radar.from_touchstone(files, RASTER)
    assert single.data.dtype == np.complex64
    np.testing.assert_allclose(single.data, s, rtol=1e-6)
    scan = radar.from_touchstone(
        files, RASTER, noise=0.1, speed=2e8, dtype="complex128"
    )
    np.testing.assert_allclose(scan.data, s, rtol=1e-6)
    np.testing.assert_allclose(scan.freq, FREQ)
    np.testing.assert_array_equal(scan.tx, RASTER)
    np.testing.assert_array_equal(scan.rx, RASTER)
    np.testing.assert_array_equal(
        scan.channels, np.repeat(np.arange(6), 2).reshape(-1, 2)
    )
    assert (scan.sign, scan.noise, scan.speed) == (-1, 0.1, 2e8)


def test_a_transmitter_and_a_receiver_moved_apart(rng, tmp_path):
    pytest.importorskip("skrf")
    tx, rx = RASTER[:2], RASTER[2:5]
    pairs = [(t, r) for t in range(2) for r in range(3)]
    s = [random_s(rng, 2) for _ in pairs]
    files = [
        write_touchstone(tmp_path / f"pair{i}.s2p", v, unit="MHz")
        for i, v in enumerate(s)
    ]
    places = np.array([(tx[t], rx[r]) for t, r in pairs])
    scan = radar.from_touchstone(files, places, "S21", dtype="complex128")
    np.testing.assert_array_equal(scan.tx, tx)
    np.testing.assert_array_equal(scan.rx, rx)
    np.testing.assert_array_equal(scan.channels, pairs)
    # received at the second port, sent from the first
    np.testing.assert_allclose(scan.data, np.stack([v[:, 1, 0] for v in s], 1))
    both = radar.from_touchstone(files, places)
    assert both.data.shape == (5, 12)
    assert len(both.tx) == len(both.rx) == 5


@pytest.mark.parametrize("given", ["array", "csv"])
def test_an_array_behind_one_analyser(rng, tmp_path, given):
    pytest.importorskip("skrf")
    s = random_s(rng, 4)
    path = write_touchstone(tmp_path / "array.s4p", s, unit="Hz")
    positions = RASTER[:4]
    if given == "csv":
        positions = tmp_path / "positions.csv"
        np.savetxt(positions, RASTER[:4], delimiter=",", header="x,y,z", comments="")
    scan = radar.from_touchstone(path, positions)
    assert scan.data.shape == (5, 12)
    for (t, r), column in zip(scan.channels, scan.data.T, strict=True):
        i = np.flatnonzero((RASTER == scan.tx[t]).all(1))[0]
        j = np.flatnonzero((RASTER == scan.rx[r]).all(1))[0]
        assert i != j
        np.testing.assert_allclose(column, s[:, j, i], rtol=1e-6)
    some = radar.from_touchstone(path, RASTER[:4], [(0, 1), (3, 2), (2, 2)])
    wanted = np.stack([s[:, 1, 0], s[:, 2, 3], s[:, 2, 2]], 1)
    np.testing.assert_allclose(some.data, wanted, rtol=1e-6)
    assert (len(some.tx), len(some.rx)) == (3, 2)
    names = radar.from_touchstone(path, RASTER[:4], ["s21", "S3_4", "s3,3"])
    np.testing.assert_allclose(names.data, wanted, rtol=1e-6)


def test_the_reflection_of_a_two_port_raster(rng, tmp_path):
    pytest.importorskip("skrf")
    s = [random_s(rng, 2) for _ in RASTER]
    files = [write_touchstone(tmp_path / f"{i}.s2p", v) for i, v in enumerate(s)]
    scan = radar.from_touchstone(files, RASTER, "s22")
    np.testing.assert_allclose(
        scan.data, np.stack([v[:, 1, 1] for v in s], 1), rtol=1e-6
    )
    with pytest.raises(
        ValueError, match=r"S21 of 0\.s2p and S12 of 0\.s2p.*same place"
    ):
        radar.from_touchstone(files, RASTER)


def test_only_complex_precisions(raster):
    with pytest.raises(TypeError, match="dtype is 'float32'; wanted complex64"):
        radar.from_touchstone(*raster[:1], RASTER, dtype="float32")


def test_missing_values_are_masked(raster):
    files, s = raster
    lines = files[2].read_text().splitlines()
    files[2].write_text("\n".join([*lines[:3], "2.5 nan nan", *lines[4:]]))
    scan = radar.from_touchstone(files, RASTER)
    assert np.argwhere(~scan.mask).tolist() == [[1, 2]]
    np.testing.assert_allclose(scan.data[scan.mask], s[scan.mask], rtol=1e-6)


# Touchstone: what is refused


def refused(message, *args, error=ValueError):
    with pytest.raises(error, match=message) as caught:
        radar.from_touchstone(*args)
    assert "\n" not in str(caught.value)


def test_positions_must_fit_the_files(raster, tmp_path):
    files, _ = raster
    refused("positions has 5 rows for 6 files; wanted one a file", files, RASTER[:5])
    shorter = tmp_path / "shorter.csv"
    np.savetxt(shorter, RASTER[:5], delimiter=",")
    refused("positions has 5 rows for 6 files; wanted one a file", files, shorter)
    refused("positions reaches 100, which looks like mm", files, RASTER * 1e3)
    refused("is it transposed", files, RASTER.T)
    refused("2 places a file for 1 ports", files[0], RASTER[:2])
    same = RASTER.copy()
    same[4] = same[1]
    refused(r"S11 of p1\.s1p and S11 of p4\.s1p were measured", files, same)
    refused(
        "all antennas of tx and rx stand at one point", files[:1], np.zeros((1, 1, 3))
    )
    refused(
        "positions.csv does not exist", files, tmp_path / "positions.csv", error=OSError
    )


def test_sweeps_must_be_the_same(raster, rng):
    files, _ = raster
    other = FREQ.copy()
    other[3] += 1e6
    write_touchstone(files[4], random_s(rng, 1), other)
    refused(
        r"p4\.s1p and .*p0\.s1p differ in frequency 3: 3\.501e\+09 and 3\.5e\+09",
        files,
        RASTER,
    )
    write_touchstone(files[4], random_s(rng, 1, 4), FREQ[:4])
    refused(r"p4\.s1p has 4 frequencies and .*p0\.s1p has 5", files, RASTER)
    write_touchstone(files[4].with_suffix(".s2p"), random_s(rng, 2))
    files[4] = files[4].with_suffix(".s2p")
    refused(r"p4\.s2p has 2 ports and .*p0\.s1p has 1", files, RASTER)


def test_files_must_be_touchstone(raster, tmp_path):
    files, _ = raster
    text = files[3].read_text()
    files[3].write_text(text[: text.rindex(" ")] + "\n")
    refused(r"p3\.s1p cannot be read as a Touchstone file: truncated", files, RASTER)
    files[3].write_bytes(bytes(range(256)))
    refused(r"p3\.s1p cannot be read", files, RASTER)
    files[3].write_text("# GHz S RI R 50\n")
    refused(r"p3\.s1p holds no S-parameters", files, RASTER)
    files[3] = tmp_path / "p33.s1p"
    refused(r"p33\.s1p does not exist", files, RASTER, error=FileNotFoundError)
    foreign = tmp_path / "positions.txt"
    foreign.write_text("0 0 0\n")
    refused("positions.txt cannot be read", foreign, RASTER[:1])
    refused(r"p1\.s1p twice", [*files[:2], files[1]], RASTER[:3])
    refused("files is empty", [], RASTER[:0])


def test_a_truncated_file_of_version_two(tmp_path):
    pytest.importorskip("skrf")
    path = tmp_path / "two.ts"
    path.write_text(
        "[Version] 2.0\n# GHz S RI R 50\n[Number of Ports] 1\n"
        "[Number of Frequencies] 3\n[Network Data]\n2 0.1 0.2\n3 0.1 0.3\n"
    )
    refused("promises 3 frequencies and holds 2", path, RASTER[:1])


@pytest.mark.parametrize(
    ("channels", "message"),
    [
        ("S22", "asks for port 2 .from one.; the files have 1 ports"),
        ("R11", "'R11'; wanted a parameter such as 'S21'"),
        ([(0, 1)], "asks for port 2"),
        (["S10"], "asks for port 0"),
        ([0, 0], "wanted parameters such as 'S21', or pairs"),
        ([(0, 0), (0, 0)], "were measured between the same places"),
    ],
)
def test_channels_are_checked(raster, channels, message):
    refused(message, raster[0], RASTER, channels)


def test_alphabetical_order_warns(raster, tmp_path):
    files, _ = raster
    names = [tmp_path / f"q{i}.s1p" for i in (1, 10, 11, 2, 3, 4)]
    for path, name in zip(files, names, strict=True):
        path.rename(name)
    with pytest.warns(UserWarning, match="10 comes before 2"):
        radar.from_touchstone(names, RASTER)
    radar.from_touchstone(sorted(names, key=lambda p: int(p.stem[1:])), RASTER)


def test_without_scikit_rf(raster, monkeypatch):
    monkeypatch.setitem(sys.modules, "skrf.io.touchstone", None)
    refused(
        r"pip install sparsesolve\[touchstone\]", *raster[:1], RASTER, error=ImportError
    )


# positions


def test_positions_of_many_antennas(tmp_path):
    path = tmp_path / "p.csv"
    path.write_text("# pairs\ntx;ty;tz;rx;ry;rz\n0;0;0;0,1;0;0\n".replace(",", "."))
    np.testing.assert_array_equal(
        radar.read_positions(path), [[[0, 0, 0], [0.1, 0, 0]]]
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x,y,z\n0,0,0\n0,zero,0\n", "line 3 has 'zero'; wanted a number"),
        ("0,0,0\n0,nan,0\n", "line 2 has 'nan'"),
        ("0,0\n0,1\n", r"rows of \[2\] cells"),
        ("0,0,0\n0,1\n", r"rows of \[2, 3\] cells"),
        ("x,y,z\n", r"rows of \[\] cells"),
        (b"\xff\xfe\x00", "is not text"),
    ],
)
def test_bad_positions(tmp_path, text, message):
    path = tmp_path / "p.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ValueError, match=message):
        radar.read_positions(path)


# IEEE DataPort


@pytest.fixture
def truth(rng):
    data = rng.standard_normal((7, 4, 3)) + 1j * rng.standard_normal((7, 4, 3))
    return {
        "data": data,
        "freq": np.linspace(4e9, 16e9, 7),
        "tx": rng.uniform(-0.1, 0.1, (4, 3)),
        "rx": rng.uniform(-0.1, 0.1, (3, 3)),
    }


def parts(truth, hertz, order="XZY"):
    """Return the file's variables: receivers x transmitters x frequencies, Y range."""
    found = {
        "EMData.Values": truth["data"].transpose(2, 1, 0),
        "OperateFreq": truth["freq"][None] / hertz,
    }
    for side, name in (("Transmitter", "tx"), ("Receiver", "rx")):
        for i, axis in enumerate(order):
            found[f"MIMOArray.{side}.{axis}"] = truth[name][:, [i]]
    return found


def write_v5(path, values):
    tree = {}
    for name, value in values.items():
        *groups, last = name.split(".")
        node = tree
        for group in groups:
            node = node.setdefault(group, {})
        node[last] = value
    scipy.io.savemat(path, tree)
    return path


def write_v73(path, values):
    with h5py.File(path, "w", userblock_size=512) as file:
        for name, value in values.items():
            stored = value.T
            if np.iscomplexobj(stored):
                pairs = np.empty(stored.shape, [("real", "f8"), ("imag", "f8")])
                pairs["real"], pairs["imag"] = stored.real, stored.imag
                stored = pairs
            place = name.replace(".", "/")
            file[place] = stored
            file[place].attrs["MATLAB_class"] = np.bytes_("double")
    with path.open("r+b") as file:
        file.write(b"MATLAB 7.3 MAT-file, Platform: GLNXA64, HDF5 schema 1.00 .")
    return path


@pytest.mark.parametrize("hertz", [1, 1e6, 1e9])
@pytest.mark.parametrize("write", [write_v5, write_v73])
def test_dataport(truth, tmp_path, write, hertz):
    path = write(tmp_path / "scan.mat", parts(truth, hertz))
    scan = radar.from_dataport(path)
    for name, value in truth.items():
        np.testing.assert_allclose(getattr(scan, name), value, rtol=1e-12)
    other = radar.from_dataport(path, sign=1, range_axis="z", speed=2e8)
    np.testing.assert_allclose(other.data, truth["data"].conj())
    np.testing.assert_allclose(other.tx, truth["tx"][:, [0, 2, 1]])
    assert (other.sign, other.speed) == (-1, 2e8)


def test_dataport_of_other_units(truth, tmp_path):
    values = parts(truth, 1)
    for name in values:
        if name.startswith("MIMO"):
            values[name] = values[name] * 1e3
    path = write_v5(tmp_path / "mm.mat", values)
    with pytest.raises(ValueError, match=r"mm\.mat: tx and rx span .*look like mm"):
        radar.from_dataport(path)
    np.testing.assert_allclose(radar.from_dataport(path, unit="mm").tx, truth["tx"])


def test_dataport_gaps_and_errors(truth, tmp_path):
    values = parts(truth, 1e9)
    values["EMData.Values"][1, 2, 3] = np.nan
    scan = radar.from_dataport(write_v5(tmp_path / "gap.mat", values))
    assert np.argwhere(~scan.mask).tolist() == [[3, 2, 1]]
    for wrong in (1e12, 1e7):
        path = write_v5(
            tmp_path / "f.mat", parts(truth, 1) | {"OperateFreq": truth["freq"] / wrong}
        )
        with pytest.raises(
            ValueError, match=r"OperateFreq goes from .*no radar's band"
        ):
            radar.from_dataport(path)
    del values["MIMOArray.Receiver.Z"]
    with pytest.raises(ValueError, match=r"'MIMOArray\.Receiver\.Z' is missing"):
        radar.from_dataport(write_v5(tmp_path / "less.mat", values))
    with pytest.raises(ValueError, match="range_axis is 'range'"):
        radar.from_dataport(path, range_axis="range")


# by a mapping


def test_npz_of_a_channel_list(truth, tmp_path):
    path = tmp_path / "scan.npz"
    pairs = np.array([[1, 1], [4, 3], [2, 2]])
    picked = truth["data"][:, pairs[:, 0] - 1, pairs[:, 1] - 1]
    np.savez(
        path,
        s=picked.astype("complex64"),
        f=truth["freq"] / 1e9,
        tx_mm=truth["tx"] * 1e3,
        rx_mm=truth["rx"] * 1e3,
        pairs=pairs,
    )
    scan = ss.load(
        path,
        kind="near_field_mimo",
        mapping={
            "data": ss.Field("s"),
            "freq": ss.Field("f", unit="GHz"),
            "tx": ss.Field("tx_mm", unit="mm"),
            "rx": ss.Field("rx_mm", unit="mm"),
            "channels": ss.Field("pairs", offset=-1),
        },
    )
    assert scan.data.dtype == np.complex64
    np.testing.assert_allclose(scan.data, picked, rtol=1e-6)
    np.testing.assert_allclose(scan.freq, truth["freq"])
    np.testing.assert_allclose(scan.rx, truth["rx"])
    np.testing.assert_array_equal(scan.channels, pairs - 1)
