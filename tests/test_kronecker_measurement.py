"""Measurements under a Kronecker dictionary: checks, operator, files of any layout."""

import re
from dataclasses import replace

import h5py
import numpy as np
import pytest

import sparsesolve as ss
from sparsesolve import Field, KroneckerMeasurement


def normal(rng, shape, dtype=np.float64):
    values = rng.standard_normal(shape)
    if np.dtype(dtype).kind == "c":
        values = values + 1j * rng.standard_normal(shape)
    return values.astype(dtype)


def made(rng, dtype=np.float64, **more):
    """Three modes, of which the last has one column."""
    factors = [normal(rng, shape, dtype) for shape in ((3, 4), (5, 2), (2, 1))]
    return KroneckerMeasurement(factors, normal(rng, (3, 5, 2), dtype), **more)


@pytest.fixture
def rng():
    return np.random.default_rng(6)


@pytest.fixture
def full(rng):
    """All that a measurement may have, with four snapshots and a gap."""
    mask = np.ones((3, 5), bool)
    mask[1, 2] = False
    y = normal(rng, (3, 5, 4), complex)
    y[1, 2] = np.nan
    return KroneckerMeasurement(
        [normal(rng, (3, 4), complex), normal(rng, (5, 2))],
        y,
        noise_variance=0.25,
        x=normal(rng, (4, 2, 4), complex),
        synthesis=[normal(rng, (6, 4), complex), normal(rng, (7, 2), complex)],
        channel=normal(rng, (6, 7, 4), complex),
        mask=mask,
    )


def same(found, wanted):
    for name in wanted.__dataclass_fields__:
        a, b = getattr(found, name), getattr(wanted, name)
        pairs = zip(a, b, strict=True) if isinstance(b, tuple) else [(a, b)]
        for one, other in pairs:
            assert np.asarray(one).dtype == np.asarray(other).dtype, name
            np.testing.assert_array_equal(one, other, err_msg=name)


def test_the_operator_is_the_matrix_of_the_definition(rng):
    m = made(rng)
    x = normal(rng, (4, 2, 1))
    H = np.kron(m.factors[0], np.kron(m.factors[1], m.factors[2]))
    np.testing.assert_allclose(m.operator(x).ravel(), H @ x.ravel())
    assert m.data is m.y
    assert m.snapshots is None


def test_mask_and_snapshots_are_in_the_operator_and_the_data(full, rng):
    x = normal(rng, (4, 2, 4), complex)
    clean = np.einsum("am,bn,mnl->abl", *full.factors, x)
    np.testing.assert_allclose(full.operator(x), clean[full.mask])
    assert full.data.shape == (14, 4)
    assert np.isfinite(full.data).all()
    ss.testing.check_operator(full.operator)
    whole = replace(full, y=np.nan_to_num(full.y), mask=None)
    np.testing.assert_allclose(whole.operator(x), clean)
    assert whole.data.shape == (3, 5, 4)


@pytest.mark.parametrize("dtype", ["float32", "float64", "complex64", "complex128"])
def test_precision_is_kept(rng, dtype):
    m = made(rng, dtype, x=normal(rng, (4, 2, 1), dtype))
    assert m.operator(m.x).dtype == m.y.dtype == m.x.dtype == dtype


def test_data_are_complex_where_anything_is(rng):
    m = made(rng)
    odd = replace(m, factors=(m.factors[0] * 1j, *m.factors[1:]))
    assert odd.y.dtype == complex
    np.testing.assert_array_equal(odd.y, m.y)
    odd = replace(m, y=m.y + 1j, x=np.ones((4, 2, 1), int))
    assert odd.x.dtype == complex
    assert {a.dtype for a in odd.factors} == {np.dtype(float)}
    single = made(rng, "float32")
    assert replace(single, y=single.y.astype(complex)).y.dtype == complex
    assert replace(m, y=np.ones((3, 5, 2), int)).y.dtype == float


BAD = {
    "no factors": ({"factors": ()}, "factors is empty; wanted at least one"),
    "an array": ({"factors": np.ones((2, 3, 4))}, "factors is a ndarray; wanted a"),
    "a vector": ({"factors": [np.ones(3)]}, r"factors\[0\] has shape \(3,\); wanted a"),
    "empty factor": ({"factors": [np.ones((3, 0))]}, r"factors\[0\] is empty \(sh"),
    "words": ({"factors": [np.array([["a"]])]}, r"factors\[0\] holds <U1 entries"),
    "NaN": ({"factors": [np.full((3, 2), np.nan)]}, r"factors\[0\] has 6 NaN"),
    "swapped y": ({"y": np.ones((5, 3, 2))}, r"y has shape \(5, 3, 2\); wanted \(3, 5"),
    "short y": ({"y": np.ones((3, 5))}, "or that with one more last axis of snap"),
    "empty y": ({"y": np.ones((3, 5, 2, 0))}, "y is empty"),
    "turned factor": (
        {"factors": [np.ones((4, 3)), np.ones((5, 2)), np.ones((2, 1))]},
        r"factors\[0\] has 4 rows where axis 0 of y has 3, which is .* transposed\?$",
    ),
    "other factor": (
        {"factors": [np.ones((3, 4)), np.ones((9, 2)), np.ones((2, 1))]},
        r"factors\[1\] has 9 rows where axis 1 of y has 5$",
    ),
    "noise True": ({"noise_variance": True}, "noise_variance is True; wanted a finite"),
    "bool y": ({"y": np.ones((3, 5, 2), bool)}, "y holds bool entries"),
    "inf in y": (
        {"y": np.full((3, 5, 2), np.inf)},
        r"of 30, the first at \(0, 0, 0\); clean",
    ),
    "noise zero": ({"noise_variance": 0.0}, "noise_variance is 0; wanted a finite"),
    "noise below": ({"noise_variance": -1.0}, "noise_variance is -1"),
    "noise NaN": ({"noise_variance": np.nan}, "noise_variance is nan"),
    "noises": ({"noise_variance": np.ones(2)}, "noise_variance is an array"),
    "x": ({"x": np.ones((2, 4, 1))}, r"x has shape .* axes swapped"),
    "x NaN": ({"x": np.full((4, 2, 1), np.nan)}, "x has 8 NaN"),
    "synthesis": ({"synthesis": [np.ones((9, 4))]}, "synthesis has matrices of"),
    "channel alone": ({"channel": np.ones((3, 5, 2))}, "given without synthesis"),
    "mask": ({"mask": np.ones((5, 3, 2), bool)}, r"mask has shape \(5, 3, 2\)"),
    "all masked": ({"mask": np.zeros((3, 5, 2), bool)}, "mask is False everywhere"),
    "no mask": ({"mask": np.full((3, 5, 2), 0.5)}, "other than True and False"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_refused_by_name(rng, name):
    change, message = BAD[name]
    with pytest.raises((ValueError, TypeError), match=message):
        replace(made(rng), **change)


def test_channel_must_fit_synthesis(full):
    with pytest.raises(ValueError, match=r"channel has shape .*wanted \(6, 7, 4\)"):
        replace(full, channel=full.channel[:5])


def test_nan_is_refused_where_the_mask_says_measured(full):
    other = np.roll(full.mask, 1)
    with pytest.raises(ValueError, match=r"y has 4 NaN .* first at \(1, 2, 0\)"):
        replace(full, mask=other)


def test_repr_is_one_line(full, rng):
    assert repr(full) == (
        "KroneckerMeasurement(y (3, 5, 4) complex128, x (4, 2), 4 snapshots, 14 of 15 "
        "measured, noise variance 0.25, with truth)"
    )
    assert "noise unknown)" in repr(made(rng))


@pytest.mark.parametrize("compression", [None, "gzip"])
def test_a_file_gives_back_the_same(full, rng, tmp_path, compression):
    path = tmp_path / "uplink.h5"
    for measurement in (full, made(rng, "float32")):
        ss.save(path, measurement, compression=compression)
        same(ss.load(path, kind="kronecker"), measurement)
    with h5py.File(path) as file:
        assert sorted(file["factors"]) == ["0", "1", "2"]
        assert file["factors/0"].attrs["units"] == "1"


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (
            lambda f: f.__delitem__("factors"),
            "group 'factors' is missing; the file has",
        ),
        (
            lambda f: f.__delitem__("factors/0"),
            "group 'factors' has 1; wanted datasets",
        ),
        (lambda f: f["factors"].create_group("2"), "'factors/2' is a group"),
        (lambda f: f["factors"].create_group("two"), "has 0, 1, two; wanted datasets"),
        (lambda f: f.__delitem__("y"), "dataset 'y' is missing"),
        (lambda f: f["y"].attrs.modify("units", "m"), "unit 'm'; wanted 1 or V"),
        (lambda f: f["factors/1"].attrs.modify("units", "m"), "'factors/1' has the un"),
        (lambda f: f.attrs.modify("kind", "solution"), "is of kind 'solution'"),
    ],
)
def test_spoilt_files_are_refused(full, tmp_path, spoil, message):
    path = tmp_path / "uplink.h5"
    ss.save(path, full)
    with h5py.File(path, "r+") as file:
        spoil(file)
    with pytest.raises(ValueError, match=message):
        ss.load(path, kind="kronecker")


def test_a_dataset_in_place_of_the_group_is_refused(full, tmp_path):
    path = tmp_path / "uplink.h5"
    ss.save(path, full)
    with h5py.File(path, "r+") as file:
        del file["factors"]
        file["factors"] = np.ones((2, 3, 4))
    with pytest.raises(ValueError, match="group 'factors' is a dataset"):
        ss.load(path)


def test_a_truncated_file_is_refused(full, tmp_path):
    path = tmp_path / "uplink.h5"
    ss.save(path, full)
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(ValueError, match="is truncated: 3000 bytes"):
        ss.load(path)


@pytest.fixture
def foreign(full, tmp_path):
    """Somebody's HDF5: parts apart, modes the other way round, volts in mV."""
    path = tmp_path / "lab.h5"
    y = np.transpose(full.y, (2, 1, 0))
    with h5py.File(path, "w") as file:
        file["A1/re"], file["A1/im"] = full.factors[0].real, full.factors[0].imag
        file["A2"] = full.factors[1].T
        file["y_re"], file["y_im"] = 1e3 * y.real, 1e3 * y.imag
        file["used"] = full.mask.astype("u1")
        file["sigma2"] = 1e6 * full.noise_variance
        file["steering"] = full.synthesis[0]
    return path


def mapped(path, **change):
    return ss.load(path, kind="kronecker", mapping={**MAPPING, **change})


MAPPING = {
    "factors": [
        Field("/A1/re", imag="/A1/im"),
        Field("/A2", axes=("atom", "measurement")),
    ],
    "y": Field(
        "/y_re",
        imag="/y_im",
        axes=("snapshot", "mode1", "mode0"),
        unit="mV",
        fill=np.nan,
    ),
    "noise_variance": Field("/sigma2", unit="mV^2"),
}


def test_a_foreign_file_is_mapped(foreign, full):
    found = mapped(foreign)
    for k in (0, 1):
        np.testing.assert_array_equal(found.factors[k], full.factors[k])
    np.testing.assert_array_equal(found.mask, full.mask)
    np.testing.assert_allclose(found.data, full.data, rtol=1e-15)
    assert found.noise_variance == pytest.approx(0.25)
    other = mapped(foreign, mask=Field("/used"))
    np.testing.assert_array_equal(other.mask, full.mask)


def test_factors_may_be_arrays_of_ones_own(foreign, full):
    found = mapped(foreign, factors=(MAPPING["factors"][0], full.factors[1]))
    np.testing.assert_array_equal(found.factors[1], full.factors[1])


def test_matlab_and_npz_are_mapped(full, tmp_path):
    from scipy.io import savemat

    arrays = {"A1": full.factors[0], "A2": full.factors[1], "Y": np.nan_to_num(full.y)}
    np.savez(tmp_path / "lab.npz", **arrays)
    savemat(tmp_path / "lab.mat", arrays)
    fields = {"factors": (Field("A1"), Field("A2")), "y": Field("Y")}
    for name in ("lab.npz", "lab.mat"):
        found = ss.load(tmp_path / name, kind="kronecker", mapping=fields)
        np.testing.assert_array_equal(found.y, arrays["Y"])
        np.testing.assert_array_equal(found.factors[1], full.factors[1])


def test_data_of_one_column_keep_their_axes(tmp_path):
    np.savez(
        tmp_path / "a.npz", A=np.ones((4, 3)), B=np.ones((1, 2)), y=np.ones((4, 1))
    )
    fields = {"factors": (Field("A"), Field("B")), "y": Field("y")}
    found = ss.load(tmp_path / "a.npz", kind="kronecker", mapping=fields)
    assert found.y.shape == (4, 1)
    assert found.snapshots is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"factors": Field("/A2")}, "mapping['factors'] is Field(path='/A2'"),
        ({"factors": []}, "mapping['factors'] is []; wanted a tuple with one Field or"),
        ({"factors": ["/A1"]}, "mapping['factors'] is '/A1'; wanted Field('/A1')"),
        ({"factors": [Field("/A3")]}, "dataset '/A3' is missing; the file has /A1/im"),
        (
            {"factors": MAPPING["factors"][:1]},
            "y has shape (3, 5, 4); wanted (3,), the",
        ),
        (
            {"factors": [Field("/A2", axes=("row", "atom"))]},
            "one name an axis, of ('me",
        ),
        (
            {"y": Field("/y_re", imag="/y_im")},
            "y has shape (4, 5, 3); wanted (3, 5), the rows",
        ),
        ({"y": Field("/y_re", unit="m")}, "has the unit 'm'; wanted 1,"),
        (
            {"y": Field("/y_re", axes=("mode0", "mode1"))},
            "has shape (4, 5, 3) and axes",
        ),
        ({"truth": Field("/x")}, "mapping has 'truth'; wanted names among factors, y"),
        (
            {"synthesis": (Field("/steering"),)},
            "synthesis has matrices of (6, 4); want",
        ),
    ],
)
def test_wrong_missing_and_short_mappings_are_refused(foreign, change, message):
    with pytest.raises((ValueError, TypeError), match=re.escape(message)):
        mapped(foreign, **change)


def test_what_is_needed_is_said_with_its_axes(foreign):
    with pytest.raises(
        ValueError, match="mapping lacks factors; the fields are"
    ) as got:
        ss.load(foreign, kind="kronecker", mapping={"y": Field("/y_re")})
    assert "factors [1] several (measurement, atom); y [1] (mode*) or (mode*, snap" in (
        str(got.value)
    )


@pytest.mark.parametrize(
    ("real", "imaginary"),
    [
        ("y_re", "y_im"),
        ("lab/real", "lab/imag"),
        ("Y.R", "Y.I"),
        ("dataRe", "dataIm"),
        ("y", "y_imag"),
        ("Real part", "Imag part"),
    ],
)
def test_an_imaginary_part_that_is_left_out_is_pointed_at(tmp_path, real, imaginary):
    path = tmp_path / "lab.h5"
    fields = {"factors": (np.ones((3, 2)),), "y": Field(real)}
    with h5py.File(path, "w") as file:
        file[real] = np.ones(3)
        file["other"] = np.ones(3)
        file[imaginary] = np.ones(4)
    ss.load(path, kind="kronecker", mapping=fields)  # of another shape: silent
    with h5py.File(path, "r+") as file:
        del file[imaginary]
        file[imaginary] = np.ones(3)
    with pytest.warns(UserWarning, match=re.escape(f"imag={imaginary!r}")):
        ss.load(path, kind="kronecker", mapping=fields)
    fields["y"] = Field(real, imag=imaginary)
    assert ss.load(path, kind="kronecker", mapping=fields).y.dtype == complex
