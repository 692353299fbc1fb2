"""Files of our own: exact round trips, and nothing half-written whatever happens."""

import errno
import json
import os
import signal
import subprocess
import sys
import threading
from collections import namedtuple
from types import SimpleNamespace

import h5py
import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparsesolve import atomic, schema
from sparsesolve.io import atomic_h5, load, open_h5, save, stamp
from sparsesolve.lazy import LazyArray
from sparsesolve.scan import RadarScan
from sparsesolve.solution import Solution, Status
from sparsesolve.tree_io import read_tree, write_tree

SHAPE = (6, 3, 4)


def make_scan(rng, **changes):
    data = rng.standard_normal(SHAPE) + 1j * rng.standard_normal(SHAPE)
    given = {
        "data": data.astype("complex64"),
        "freq": np.linspace(4e9, 16e9, SHAPE[0]),
        "tx": rng.uniform(-0.1, 0.1, (SHAPE[1], 3)),
        "rx": rng.uniform(-0.1, 0.1, (SHAPE[2], 3)),
    }
    return RadarScan(**{**given, **changes})


@pytest.fixture
def scan(rng):
    return make_scan(rng)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "file.h5"


def sentence(caught, *words):
    text = str(caught.value)
    for word in words:
        assert word in text, text
    assert "\n" not in text


# ---------------------------------------------------------------- round trips

TEXT = st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]))
PLAIN = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False),
    st.complex_numbers(allow_nan=False),
    TEXT,
)
SIDES = hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3)
DTYPES = ["?", "i1", "u2", "i8", "f2", "f4", "f8", ">f8", "c8", "c16"]
ARRAYS = st.one_of(
    hnp.arrays(st.sampled_from(DTYPES), SIDES),
    hnp.arrays("U5", SIDES, elements=TEXT.filter(lambda text: len(text) <= 5)),
)
SCALARS = st.sampled_from(
    [
        np.float32(1.5),
        np.int8(-3),
        np.complex64(1 + 2j),
        np.bool_(True),
        np.str_("\u03c1"),
    ]
)
TREES = st.recursive(
    st.one_of(PLAIN, ARRAYS, SCALARS),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.lists(inner, max_size=3).map(tuple),
        st.dictionaries(st.text(max_size=4), inner, max_size=3),
    ),
    max_leaves=8,
)


def same(a, b):
    assert type(a) is type(b)
    if isinstance(a, dict):
        assert list(a) == list(b)
        for key in a:
            same(a[key], b[key])
    elif isinstance(a, (list, tuple)):
        assert len(a) == len(b)
        for x, y in zip(a, b, strict=True):
            same(x, y)
    elif isinstance(a, (np.ndarray, np.generic)):
        assert a.dtype == b.dtype
        assert a.shape == b.shape
        assert np.asarray(b).flags.c_contiguous
        assert np.asarray(a).tobytes() == np.asarray(b).tobytes()
    else:
        assert a == b


@given(tree=TREES)
def test_tree_round_trip(tree, tmp_path_factory):
    path = tmp_path_factory.mktemp("tree") / "tree.h5"
    with atomic_h5(path) as file:
        write_tree(file, "tree", tree)
    with open_h5(path) as file:
        same(tree, read_tree(file, "tree"))


def test_named_tuples_become_dicts_in_order(path):
    State = namedtuple("State", "x residual inner")
    state = State(np.ones(2, "f4"), 0.5, [State(1, None, "a")])
    with atomic_h5(path) as file:
        write_tree(file, "state", state)
    with open_h5(path) as file:
        back = read_tree(file, "state")
    assert list(back) == ["x", "residual", "inner"]
    assert back["inner"] == [{"x": 1, "residual": None, "inner": "a"}]


@pytest.mark.parametrize("compression", [None, "gzip"])
def test_large_and_fortran_arrays(path, rng, compression):
    tree = {"a": rng.standard_normal((90, 100)).T, "b": np.zeros(10_000, "c8")}
    with atomic_h5(path) as file:
        write_tree(file, "tree", tree, compression=compression)
    with h5py.File(path) as file:
        assert file["tree/a"].compression == compression
        assert file["tree/a"].chunks is not None
        assert file["tree/a"].attrs["units"] == "1"
        back = read_tree(file, "tree")
    assert back["a"].flags.c_contiguous
    np.testing.assert_array_equal(back["a"], tree["a"])
    np.testing.assert_array_equal(back["b"], tree["b"])


def test_arrays_of_other_libraries(path):
    torch = pytest.importorskip("torch")
    xp = pytest.importorskip("array_api_strict")
    tree = {"t": torch.arange(3.0, requires_grad=True), "s": xp.asarray([1, 2])}
    with atomic_h5(path) as file:
        write_tree(file, "tree", tree)
    with open_h5(path) as file:
        back = read_tree(file, "tree")
    same(back["t"], np.arange(3, dtype="f4"))
    same(back["s"], np.asarray([1, 2]))


@pytest.mark.parametrize(
    ("tree", "words"),
    [
        ({"a": object()}, ("/tree/a is a object", "wanted an array")),
        ({"a": {1: 2}}, ("/tree/a has the key 1", "wanted text keys")),
        (np.asarray([None]), ("/tree holds object", "wanted numbers or text")),
        (np.zeros(2, "M8[s]"), ("/tree holds datetime64[s]",)),
        ("a\x00b", ("/tree has a NUL",)),
        (np.asarray("\ud800"), ("/tree has a NUL or half a surrogate",)),
    ],
)
def test_what_a_tree_cannot_hold(path, tree, words):
    with pytest.raises((TypeError, ValueError)) as caught, atomic_h5(path) as file:
        write_tree(file, "tree", tree)
    sentence(caught, *words)
    assert list(path.parent.iterdir()) == []


@st.composite
def scans(draw):
    n_freq, n_tx, n_rx = (draw(st.integers(1, 4)) for _ in range(3))
    pairs = None
    shape = (n_freq, n_tx, n_rx)
    if draw(st.booleans()):
        every = [(t, r) for t in range(n_tx) for r in range(n_rx)]
        pairs = draw(st.lists(st.sampled_from(every), min_size=1, unique=True))
        shape = (n_freq, len(pairs))
    numbers = {"allow_nan": False, "allow_infinity": False}
    data = draw(
        hnp.arrays(draw(st.sampled_from(["c8", "c16"])), shape, elements=numbers)
    )
    mask = draw(st.none() | hnp.arrays(bool, shape))
    if mask is not None:
        mask.flat[0] = True
    step = draw(st.floats(1e8, 1e10))
    return RadarScan(
        data=data,
        freq=step * np.arange(1, n_freq + 1),
        tx=np.arange(3.0 * n_tx).reshape(n_tx, 3) / 3,
        rx=-np.arange(3.0 * n_rx).reshape(n_rx, 3) / 7,
        channels=pairs,
        mask=mask,
        speed=draw(st.floats(1e8, 3e8)),
        noise=draw(st.none() | st.floats(1e-9, 1.0)),
    )


@given(scan=scans(), lazy_bytes=st.sampled_from([0, 2**28]))
def test_scan_round_trip(scan, lazy_bytes, tmp_path_factory):
    path = tmp_path_factory.mktemp("scan") / "scan.h5"
    save(path, scan)
    back = load(path, kind="near_field_mimo", lazy_bytes=lazy_bytes)
    assert isinstance(back.data, LazyArray) == (lazy_bytes == 0)
    back = back.read()
    for name, value in vars(scan).items():
        same(value, getattr(back, name))


def test_other_sign_is_conjugated_on_reading(path, rng):
    scan = make_scan(rng, sign=1)
    save(path, scan)
    with h5py.File(path) as file:
        assert file["sign"][()] == 1
        np.testing.assert_array_equal(file["data"][...], scan.data)
    for lazy_bytes in (0, 2**28):
        back = load(path, lazy_bytes=lazy_bytes)
        assert back.sign == -1
        np.testing.assert_array_equal(np.asarray(back.data), scan.data.conj())


def test_file_describes_itself(path, scan):
    save(path, scan)
    with h5py.File(path) as file:
        assert file.attrs["sparsesolve_schema"] == 1
        assert file.attrs["kind"] == "near_field_mimo"
        units = {name: dataset.attrs["units"] for name, dataset in file.items()}
        assert file["data"].id.get_type().get_class() == h5py.h5t.COMPOUND
    lengths = {"freq": "Hz", "tx": "m", "rx": "m", "speed": "m/s"}
    assert units == {"data": "1", "sign": "1", **lengths}


def make_solution(**changes):
    State = namedtuple("State", "x residual")
    given = {
        "x": {"M": np.ones((2, 3), "c8"), "A": np.zeros(4, "f4")},
        "status": Status.CONVERGED,
        "message": "all is well: |x| \u2264 1",
        "n_iter": 12,
        "seconds": 0.25,
        "history": {"residual": np.asarray([1.0, 0.1]), "value": np.asarray([3, 2.0])},
        "state": State(np.ones(3, "f4"), np.float32(0.5)),
        "choices": {"lam": "0.1 (discrepancy)", "sign": "-1"},
    }
    return Solution(**{**given, **changes})


def test_solution_round_trip(path):
    solution = make_solution()
    solution.save(path)
    back = load(path)
    assert isinstance(back, Solution)
    for name in ("x", "status", "message", "n_iter", "seconds", "history", "choices"):
        same(getattr(solution, name), getattr(back, name))
    same(back.state, solution.state._asdict())
    assert back.converged
    assert back.posterior is None


def test_solution_of_a_batch_with_posterior(path):
    status = np.asarray([[Status.CONVERGED], [Status.TIME]], dtype=object)
    posterior = SimpleNamespace(mean=np.ones(2), variance=np.ones(2), solve=print)
    save(
        path,
        make_solution(
            x=np.ones((2, 1, 3)),
            status=status,
            n_iter=np.asarray([[3], [4]]),
            posterior=posterior,
        ),
        compression="gzip",
    )
    back = load(path)
    assert back.status.dtype == object
    assert back.status.tolist() == status.tolist()
    assert not back.converged
    np.testing.assert_allclose(back.posterior.radius(0.95), 1.959964 * np.ones(2))
    assert back.posterior.log_evidence is None
    same(back.posterior.variance, np.ones(2))


# ---------------------------------------------------------------- lazy arrays


def test_lazy_indexing_equals_numpy(path, scan):
    save(path, scan)
    lazy = load(path, lazy_bytes=0).data
    assert (lazy.shape, lazy.ndim, len(lazy)) == (SHAPE, 3, SHAPE[0])
    assert (lazy.size, lazy.nbytes) == (scan.data.size, scan.data.nbytes)
    for key in (
        0, -1, slice(1, 4), (slice(None), 1), (..., 2), (2, ..., slice(None, None, 2)),
        (1, 2, 3), slice(4, 2), (slice(-3, None), 0, slice(1, 3)), ...,
    ):  # fmt: skip
        expected = scan.data[key]
        found = lazy[key]
        assert found.shape == expected.shape
        assert found.dtype == expected.dtype
        np.testing.assert_array_equal(found, expected)
    assert np.asarray(lazy, dtype="c16").dtype == np.complex128
    assert [row.shape for row in lazy] == [SHAPE[1:]] * SHAPE[0]


@pytest.mark.parametrize("key", [6, -7, [0, 1], slice(None, None, -1), (0, 0, 0, 0)])
def test_lazy_indices_that_are_refused(path, scan, key):
    save(path, scan)
    with pytest.raises(IndexError) as caught:
        load(path, lazy_bytes=0).data[key]
    sentence(caught)


def test_lazy_array_keeps_no_file_open(path, scan):
    save(path, scan)
    back = load(path, lazy_bytes=0)
    np.asarray(back.data)
    with h5py.File(path, "r+") as file:  # refused by HDF5 while anyone has it open
        file["data"][...] = 0
    with pytest.raises(ValueError, match="has changed since it was opened") as caught:
        np.asarray(back.data)
    sentence(caught)
    with pytest.raises(ValueError, match="without a copy"):
        np.asarray(load(path, lazy_bytes=0).data, copy=False)


def test_lazy_scan_is_written_slab_by_slab(path, scan, monkeypatch):
    save(path, scan)
    back = load(path, lazy_bytes=0)
    cut = LazyArray.slabs
    rows = []

    def small(self):
        for piece in cut(self, nbytes=2 * self.nbytes // SHAPE[0]):
            rows.append(piece)
            yield piece

    monkeypatch.setattr(LazyArray, "slabs", small)
    save(path, back)  # over the file it is read from
    assert [(r.start, r.stop) for r in rows] == [(0, 2), (2, 4), (4, 6)]
    same(load(path).data, scan.data)


def test_lazy_data_are_checked_when_read(path, scan):
    save(path, scan)
    with h5py.File(path, "r+") as file:
        file["data"][1, 2, 3] = np.nan
    with pytest.raises(ValueError, match="NaN") as caught:
        load(path)
    sentence(caught, str(path), "data", "(1, 2, 3)")
    with pytest.raises(ValueError, match="NaN"):
        load(path, lazy_bytes=0).read()


# ---------------------------------------------------------------- bad files


def test_not_there_or_not_hdf5(tmp_path):
    with pytest.raises(FileNotFoundError, match="does not exist") as caught:
        load(tmp_path / "nothing.h5")
    sentence(caught, "nothing.h5")
    with pytest.raises(IsADirectoryError, match="is a folder") as caught:
        load(tmp_path)
    sentence(caught)
    for content in (b"", b"a,b\n1,2\n"):
        (tmp_path / "text.h5").write_bytes(content)
        with pytest.raises(ValueError, match="is not an HDF5 file") as caught:
            load(tmp_path / "text.h5")
        sentence(caught, "text.h5", f"{len(content)} bytes")


def test_truncated(path, scan):
    save(path, scan)
    whole = path.read_bytes()
    for share in (0.5, 0.9):
        path.write_bytes(whole[: int(share * len(whole))])
        with pytest.raises(ValueError, match="is truncated") as caught:
            load(path)
        sentence(caught, str(path))


def test_damaged_chunk(path, rng):
    with atomic_h5(path) as file:
        stamp(file, "near_field_mimo")
        data = np.zeros(SHAPE, "c8")
        file.create_dataset("data", data=data, chunks=SHAPE, compression="gzip")
        file["data"].attrs["units"] = "1"
        place = file["data"].id.get_chunk_info(0)
    raw = bytearray(path.read_bytes())
    raw[place.byte_offset : place.byte_offset + place.size] = b"x" * place.size
    path.write_bytes(raw)
    with pytest.raises(ValueError, match="cannot be read") as caught:
        load(path)
    sentence(caught, str(path), "'/data'", "damaged")


def test_wrong_kind(path, scan):
    save(path, scan)
    with pytest.raises(ValueError, match="wanted 'solution'") as caught:
        load(path, kind="solution")
    sentence(caught, str(path), "near_field_mimo")
    with h5py.File(path, "r+") as file:
        file.attrs["kind"] = "near_feild_mimo"
    with pytest.raises(ValueError, match="did you mean 'near_field_mimo'") as caught:
        load(path)
    sentence(caught)


def test_checkpoint_is_for_resume(path):
    with atomic_h5(path) as file:
        stamp(file, "checkpoint")
    with pytest.raises(ValueError, match="pass it to solve as resume=") as caught:
        load(path)
    sentence(caught, str(path))


def test_later_schema(path, scan):
    save(path, scan)
    with h5py.File(path, "r+") as file:
        file.attrs["sparsesolve_schema"] = 2
    with pytest.raises(ValueError, match="update sparsesolve") as caught:
        load(path)
    sentence(caught, str(path), "sparsesolve_schema 2")


def test_foreign_without_mapping(path):
    with h5py.File(path, "w") as file:
        file["scan/re"] = np.zeros((4, 3), "f4")
    with pytest.raises(ValueError, match="foreign HDF5 file") as caught:
        load(path)
    sentence(caught, str(path), "/scan/re (4, 3) float32", "mapping=")


@pytest.mark.parametrize(
    ("break_it", "words"),
    [
        (lambda f: f.__delitem__("tx"), ("dataset 'tx' is missing", "/rx (4, 3)")),
        (
            lambda f: f["freq"].attrs.__setitem__("units", "GHz"),
            ("'freq'", "'GHz'", "Hz"),
        ),
        (lambda f: f["tx"].attrs.__delitem__("units"), ("'tx'", "unit ''", "wanted m")),
        (
            lambda f: replace(f, "freq", np.arange(1, 6) * 1e9),
            ("(6, 3, 4)", "(5, 3, 4)"),
        ),
        (lambda f: replace(f, "freq", np.zeros((0,))), ("freq is empty",)),
        (lambda f: replace(f, "freq", h5py.Empty("f8")), ("'freq' is empty",)),
        (lambda f: replace(f, "data", np.zeros(SHAPE)), ("float64", "wanted complex")),
        (lambda f: replace(f, "data", np.zeros((6, 4, 3), "c8")), ("axes swapped?",)),
        (lambda f: replace(f, "tx", "here"), ("tx", "wanted real numbers")),
        (lambda f: replace(f, "sign", 3), ("sign is 3",)),
        (lambda f: replace(f, "speed", [1.0, 2.0]), ("speed",)),
        (lambda f: (f.__delitem__("rx"), f.create_group("rx")), ("'rx' is a group",)),
    ],
)
def test_broken_scan(path, scan, break_it, words):
    save(path, scan)
    with h5py.File(path, "r+") as file:
        break_it(file)
    with pytest.raises((ValueError, TypeError)) as caught:
        load(path)
    sentence(caught, str(path), *words)


def replace(file, name, value):
    units = file[name].attrs["units"]
    del file[name]
    file[name] = value
    file[name].attrs["units"] = units


def test_broken_solution(path):
    save(path, make_solution())
    with h5py.File(path, "r+") as file:
        del file["n_iter"]
    with pytest.raises(ValueError, match="/n_iter is missing") as caught:
        load(path)
    sentence(caught, str(path))
    save(path, make_solution())
    with h5py.File(path, "r+") as file:
        file["status"][...] = "BROKEN"
    with pytest.raises(ValueError, match="has BROKEN") as caught:
        load(path)
    sentence(caught, str(path), "CONVERGED")
    with h5py.File(path, "r+") as file:
        file["seconds"].attrs["type"] = "int128"
    with pytest.raises(ValueError, match="of type 'int128'") as caught:
        load(path)
    sentence(caught, "/seconds")


# ---------------------------------------------------------------- links out of the file


@pytest.fixture
def secret(tmp_path):
    path = tmp_path / "secret.h5"
    with h5py.File(path, "w") as file:
        file["tx"] = np.zeros((3, 3))
        file["tx"].attrs["units"] = "m"
    return path


def test_links_and_outside_data_are_refused(path, scan, secret, tmp_path):
    raw = tmp_path / "raw.bin"
    raw.write_bytes(bytes(72))
    layout = h5py.VirtualLayout((3, 3), "f8")
    layout[...] = h5py.VirtualSource(secret, "tx", (3, 3))

    def external_link(file):
        file["tx"] = h5py.ExternalLink(str(secret), "/tx")

    def soft_to_external(file):
        file["out"] = h5py.ExternalLink(str(secret), "/")
        file["tx"] = h5py.SoftLink("/out/tx")

    def virtual(file):
        file.create_virtual_dataset("tx", layout)

    def outside(file):
        file.create_dataset("tx", (3, 3), "f8", external=[(str(raw), 0, 72)])

    def circle(file):
        file["tx"] = h5py.SoftLink("/tx")

    for trick in (external_link, soft_to_external, virtual, outside, circle):
        save(path, scan)
        with h5py.File(path, "r+") as file:
            del file["tx"]
            trick(file)
        with pytest.raises(ValueError, match="wanted data in this file") as caught:
            load(path)
        sentence(caught, str(path), "'tx'")


def test_soft_links_inside_the_file_are_followed(path, scan):
    save(path, scan)
    with h5py.File(path, "r+") as file:
        file.create_group("a/b")
        file.move("tx", "a/b/tx")
        file["a/c"] = h5py.SoftLink("b")
        file["tx"] = h5py.SoftLink("/a/c/tx")
    same(load(path).tx, scan.tx)


def test_links_in_trees_are_refused(path, secret):
    def outward(file):
        file["x/out"] = h5py.ExternalLink(str(secret), "/tx")

    def circle(file):
        file["x/again"] = file["x"]

    def twice(file):
        file["x/again"] = file["history/residual"]

    for trick in (outward, circle, twice):
        save(path, make_solution())
        with h5py.File(path, "r+") as file:
            trick(file)
        with pytest.raises(ValueError, match="without links") as caught:
            load(path)
        sentence(caught, str(path))


# ---------------------------------------------------------------- writing that fails


def test_what_cannot_be_saved(path, scan):
    with pytest.raises(TypeError, match="a dict cannot be saved") as caught:
        save(path, {})
    sentence(caught, "RadarScan, Solution", "KINDS")
    with pytest.raises(ValueError, match="wanted None or 'gzip'"):
        save(path, scan, compression="lzma")
    assert not path.exists()


def test_a_kind_of_your_own_is_one_entry(path, scan, monkeypatch):
    monkeypatch.setitem(schema.KINDS, "mine", f"{__name__}:OwnScan")
    module = sys.modules[__name__]
    monkeypatch.setattr(module, "OwnScan", OwnScan, raising=False)
    save(path, OwnScan(**vars(scan)))
    assert type(load(path, kind="mine")) is OwnScan


class OwnScan(RadarScan):
    pass


def leftovers(path):
    return sorted(entry.name for entry in path.parent.iterdir())


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, SystemExit])
def test_failure_in_the_middle_keeps_the_old_file(path, scan, error):
    save(path, scan)
    before = path.read_bytes()
    with pytest.raises(error), atomic_h5(path) as file:
        file["data"] = np.zeros(10_000)
        file.flush()
        raise error
    assert path.read_bytes() == before
    assert leftovers(path) == ["file.h5"]


@pytest.mark.parametrize("fails_in", ["write", "fsync", "replace"])
@pytest.mark.parametrize(
    ("code", "words"),
    [
        (errno.ENOSPC, "the disk is full"),
        (errno.EROFS, "the file system is read-only"),
        (errno.EIO, "Input/output error"),
    ],
)
def test_operating_system_refuses(path, scan, monkeypatch, fails_in, code, words):
    save(path, scan)
    before = path.read_bytes()

    def refuse(*args):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(atomic.os, fails_in, refuse)
    with pytest.raises(OSError, match=words) as caught:
        save(path, scan)
    monkeypatch.undo()
    assert caught.value.errno == code
    sentence(caught, f"cannot write {path}")
    assert path.read_bytes() == before
    assert leftovers(path) == ["file.h5"]


def test_ctrl_c_for_real(path, scan):
    save(path, scan)
    before = path.read_bytes()
    went_on = []
    with pytest.raises(KeyboardInterrupt), atomic_h5(path) as file:
        signal.raise_signal(signal.SIGINT)
        file["data"] = np.zeros(10_000)
        went_on.append("until HDF5 had let go")
    assert went_on
    with pytest.raises(KeyboardInterrupt), atomic_h5(path) as file:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        went_on.append("although asked twice")
    assert len(went_on) == 1
    assert path.read_bytes() == before
    assert leftovers(path) == ["file.h5"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_handlers_of_others_are_left_alone(path, scan, monkeypatch):
    seen = []
    old = signal.signal(signal.SIGINT, lambda *_: seen.append("interrupted"))
    try:
        with atomic_h5(path) as file:
            signal.raise_signal(signal.SIGINT)
            write_tree(file, "tree", 1)
    finally:
        signal.signal(signal.SIGINT, old)
    assert seen == ["interrupted"]
    with open_h5(path) as file:
        assert read_tree(file, "tree") == 1


def test_writing_from_another_thread(path, scan):
    thread = threading.Thread(target=save, args=(path, scan))
    thread.start()
    thread.join()
    same(load(path).data, scan.data)


def test_ctrl_c_inside_a_write_of_hdf5(path, scan, monkeypatch):
    def interrupt(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(atomic.os, "write", interrupt)
    with pytest.raises(KeyboardInterrupt):
        save(path, scan)
    assert leftovers(path) == []


FULL_DISK = """
import json, resource, sys
import numpy as np
from sparsesolve.io import atomic_h5, load
from sparsesolve.tree_io import write_tree

resource.setrlimit(resource.RLIMIT_FSIZE, (150_000, 150_000))
said = []
for n in (3, 60):  # fails at the closing of the file, and long before it
    try:
        with atomic_h5(sys.argv[1]) as file:
            write_tree(file, "tree", [np.random.random(9000) for _ in range(n)])
    except OSError as error:
        said.append(str(error))
with atomic_h5(sys.argv[1]) as file:
    write_tree(file, "tree", 1)
print(json.dumps(said))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no file-size limit")
def test_full_disk_for_real(path):
    """HDF5 by itself ends the process here with a segmentation fault."""
    pytest.importorskip("resource")
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(path)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    words = f"cannot write {path}: it would exceed the largest allowed file"
    assert json.loads(done.stdout) == [words, words]
    assert leftovers(path) == ["file.h5"]
    with open_h5(path) as file:
        assert read_tree(file, "tree") == 1


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_shield_keeps_the_first_error():
    with atomic._Shield("/dev/full", "r+b") as shield:
        assert shield.write(b"abc") == 3
        first = shield.error
        assert shield.write(b"def") == 3
        assert shield.truncate(5) == 5
        assert shield.error is first
    assert first.errno == errno.ENOSPC


def test_folder_missing_or_not_a_folder(path, scan):
    with pytest.raises(FileNotFoundError, match="create it first") as caught:
        save(path.parent / "no" / "a.h5", scan)
    sentence(caught, "cannot write")
    save(path, scan)
    with pytest.raises(NotADirectoryError, match="not a folder") as caught:
        save(path / "a.h5", scan)
    sentence(caught)
    with pytest.raises(IsADirectoryError, match="is a folder") as caught:
        save(path.parent, scan)
    sentence(caught)
    assert leftovers(path) == ["file.h5"]


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere"
)
def test_read_only_folder(path, scan):
    path.parent.chmod(0o500)
    with pytest.raises(PermissionError, match="no permission") as caught:
        save(path, scan)
    path.parent.chmod(0o700)
    sentence(caught, f"cannot write {path}")
    assert leftovers(path) == []


def test_symbolic_link_stays_one(path, scan):
    real = path.parent / "real.h5"
    save(real, scan)
    path.symlink_to(real)
    save(path, make_solution())
    assert path.is_symlink()
    assert isinstance(load(real), Solution)
