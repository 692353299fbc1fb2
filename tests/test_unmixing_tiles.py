"""Scenes larger than memory: a sample finds endmembers, tiles give abundances."""

import dataclasses
import errno
import os
import signal
import sys
import tracemalloc

import h5py
import numpy as np
import pytest

import sparsesolve as ss
from sparsesolve import atomic
from sparsesolve.applications import unmixing_fit, unmixing_tiles
from sparsesolve.applications.unmixing import (
    Unmixing,
    fclsu,
    unmix,
    unmix_file,
    unmixing_scene,
)
from sparsesolve.applications.unmixing_fit import METHODS
from sparsesolve.applications.unmixing_run import find_materials
from sparsesolve.hdf5 import stamp
from sparsesolve.lazy import LazyArray
from sparsesolve.solvers.alternating import AlternatingMinimization

ROWS, COLS, BANDS, K = 24, 20, 40, 3
FIELDS = "endmembers", "abundances", "band_weights", "guide", "flagged"
DRAWN = {"sample": 200, "method": "nfindr"}
# A row of the image as float64, so that tiles of any number of rows can be asked for.
ROW = COLS * BANDS * 8


def make_cube(dtype=np.float32, **more):
    """A scene of 480 pixels, one invalid and NaN, one zero, one bad band."""
    rng = np.random.default_rng(1)
    spectra = unmixing_scene(rows=16, cols=16, n_bands=BANDS).endmembers[:K]
    shares = rng.dirichlet(0.4 * np.ones(K), (ROWS, COLS))
    data = shares @ spectra + 2e-3 * rng.standard_normal((ROWS, COLS, BANDS))
    data = np.maximum(data, 0).astype(dtype)
    valid = np.ones((ROWS, COLS), bool)
    valid[3, 4] = False
    data[3, 4] = np.nan
    data[7, 2] = 0
    good = np.ones(BANDS, bool)
    good[11] = False
    data[..., 11] = np.nan
    return ss.HyperspectralCube(
        data, np.linspace(400, 2500, BANDS), valid=valid, good_bands=good, **more
    )


@pytest.fixture(scope="module")
def cube():
    return make_cube()


@pytest.fixture
def lazy(cube, tmp_path):
    ss.save(tmp_path / "cube.h5", cube)
    found = ss.load(tmp_path / "cube.h5", lazy_bytes=0)
    assert isinstance(found.data, LazyArray)
    return found


@pytest.fixture
def out(tmp_path):
    return tmp_path / "maps.h5"


def same(found, wanted, tol=0.0):
    for name in FIELDS:
        one, other = (np.asarray(getattr(item, name)) for item in (found, wanted))
        assert one.dtype == other.dtype, name
        np.testing.assert_allclose(one, other, rtol=0, atol=tol, err_msg=name)
    assert found.choices == wanted.choices
    assert (found.method, found.normalize) == (wanted.method, wanted.normalize)


def part_of(out):
    return out.with_name(f"{out.name}.part")


# ------------------------------------------------------------------- a sample


@pytest.mark.parametrize("sample", [200, 10_000])
def test_in_the_file_as_in_memory(cube, lazy, sample):
    same(unmix(lazy, K, sample=sample), unmix(cube, K, sample=sample))


def test_a_sample_finds_what_all_pixels_find(cube):
    whole = unmix(cube, K, normalize="l2")
    some = unmix(cube, K, normalize="l2", sample=200)
    order = ss.metrics.match_endmembers(some.endmembers, whole.endmembers)
    np.testing.assert_allclose(
        some.endmembers[order], whole.endmembers, rtol=0, atol=0.02
    )
    assert "sample" not in whole.choices
    assert some.choices["sample"].startswith("200 of 479 valid pixels")
    assert np.array_equal(np.isnan(some.guide), np.isnan(whole.guide))


def test_seed_is_all_there_is_to_a_run(cube):
    first, again, other = (
        unmix(cube, K, method="vca", sample=100, rng=seed) for seed in (5, 5, 6)
    )
    same(first, again)
    assert not np.array_equal(first.endmembers, other.endmembers, equal_nan=True)


def test_every_valid_pixel_is_drawn_alike_often():
    from sparsesolve.applications.unmixing_sample import draw_sample

    small = ss.HyperspectralCube(np.random.default_rng(0).random((4, 5, 3)))
    rng = np.random.default_rng(0)
    hits = sum(
        draw_sample(
            small,
            2,
            normalize=None,
            screen=False,
            size=5,
            rng=rng,
            nbytes=100,
            progress=False,
        ).used.astype(int)
        for _ in range(500)
    )
    assert hits.sum() == 5 * 500
    # 125 expected, with a standard deviation of 10
    assert np.all(np.abs(hits - 125) < 50)


# ------------------------------------------------------------------- tiles


@pytest.mark.parametrize("normalize", [None, "l2"])
@pytest.mark.parametrize("rows", [1, 7, 100])
def test_tiles_of_any_size_equal_fclsu_of_all(cube, out, rows, normalize):
    settings = DRAWN | {"normalize": normalize, "screen": False}
    found = unmix_file(cube, K, out, tile_bytes=rows * ROW, **settings)
    same(found, unmix(cube, K, **settings), 1e-6)
    there = np.isfinite(found.guide)
    spectra, good = np.nan_to_num(cube.data[there]), cube.good_bands
    endmembers = found.endmembers[:, good]
    if normalize == "l2":
        spectra = spectra / np.linalg.norm(spectra, axis=1, keepdims=True)
        rng = np.random.default_rng(0)
        more = {"start": None, "progress": False}
        fit = find_materials(cube, K, rng=rng, **settings, **more)[1]
        parallel = ss.metrics.spectral_angles(fit.model.endmembers, endmembers)
        assert parallel.max() < 1e-3
        endmembers = fit.model.endmembers
    wanted = fclsu(spectra[:, good], endmembers)
    np.testing.assert_allclose(found.abundances[there], wanted, rtol=0, atol=1e-5)
    there[3, 4] = there[7, 2] = True
    assert there.all()


def test_band_weights_of_the_robust_fit_are_used_on_tiles(cube):
    found = unmix(cube, K, sample=200)
    weights = found.band_weights
    assert weights[cube.good_bands].max() > 1.5 * weights[cube.good_bands].min()
    wanted = fclsu(cube, found.endmembers, weights=weights)
    there = np.isfinite(found.guide)
    np.testing.assert_allclose(
        found.abundances[there], wanted[there], rtol=0, atol=1e-5
    )


def test_invalid_and_dead_pixels_are_nan(lazy, out):
    found = unmix_file(lazy, K, out, sample=200, method="spa", tile_bytes=5 * ROW)
    dead = np.isnan(found.abundances)
    assert np.array_equal(np.argwhere(dead.all(axis=-1)), [[3, 4], [7, 2]])
    assert np.array_equal(dead.any(axis=-1), dead.all(axis=-1))
    assert np.array_equal(np.isnan(found.guide), dead.any(axis=-1))
    assert np.isnan(found.endmembers[:, 11]).all()


def test_a_tile_without_any_valid_pixel(cube, out):
    valid = cube.valid.copy()
    valid[4:8] = False
    hole = dataclasses.replace(cube, valid=valid)
    found = unmix_file(hole, K, out, sample=200, method="spa", tile_bytes=2 * ROW)
    assert np.isnan(found.abundances[4:8]).all()
    assert np.isfinite(found.abundances[8:]).all()


@pytest.mark.parametrize("method", sorted(set(METHODS) - {"data-guided-nmf"}))
def test_every_method_tiles(cube, method):
    found = unmix(cube, K, method=method, sample=200)
    there = np.isfinite(found.guide)
    assert there.sum() == ROWS * COLS - 2
    shares = found.abundances[there]
    assert shares.min() >= 0
    np.testing.assert_allclose(shares.sum(axis=1), 1, atol=1e-5)
    penalised = method in ("nmf", "l1/2-nmf", "l2,1-nmf")
    assert ("abundances" in found.choices) == penalised


def test_nmf_of_tiles_are_the_abundances_of_its_minimiser(cube):
    """Without sparsity the last A step is NNLS: all pixels drawn but one agree."""
    tiled = unmix(cube, K, method="nmf", sample=478)
    whole = unmix(cube, K, method="nmf")
    assert "NNLS" in tiled.choices["abundances"]
    there = np.isfinite(whole.guide)
    order = ss.metrics.match_endmembers(tiled.endmembers, whole.endmembers)
    gap = np.abs(tiled.abundances[..., order] - whole.abundances)[there]
    assert gap.mean() < 0.01


def test_neighbours_are_needed_whole(cube):
    with pytest.raises(ValueError, match="compares every pixel with its neighbours"):
        unmix(cube, K, method="data-guided-nmf", sample=200)


def test_the_guide_is_the_sparseness_of_the_abundances(cube):
    for sample in (200, 10_000):
        found = unmix(cube, K, sample=sample)
        a = found.abundances
        root = np.sqrt(K)
        norm = np.sqrt(np.sum(a**2, axis=-1))
        hoyer = (root - a.sum(axis=-1) / norm) / (root - 1)
        np.testing.assert_allclose(found.guide, np.minimum(hoyer, 0.75), atol=1e-5)
    assert np.all(unmix(cube, K, method="vca").guide[5:7] == 0)
    half = unmix(cube, K, method="l1/2-nmf", sample=200).guide
    assert set(half[np.isfinite(half)]) == {0.5}


# ------------------------------------------------------------------- files


def test_the_file_is_an_unmixing(cube, out, tmp_path):
    place = (30.0, 0.0, 5e5, 0.0, -30.0, 4e6)
    there = dataclasses.replace(cube, crs="EPSG:32610", transform=place)
    found = unmix_file(there, K, out, sample=200)
    again = ss.load(out)
    assert isinstance(again, Unmixing)
    same(again, found)
    assert (again.crs, again.transform) == ("EPSG:32610", place)
    assert np.array_equal(again.wavelengths, cube.wavelengths)
    assert found.solution is not None
    assert again.solution is None
    assert not part_of(out).exists()
    found.save(tmp_path / "copy.h5")
    same(ss.load(tmp_path / "copy.h5"), found)
    large = ss.load(out, lazy_bytes=0)
    assert isinstance(large.abundances, LazyArray)
    assert repr(large) == repr(found)


def test_a_path_will_do_and_small_scenes_are_done_at_once(cube, tmp_path, out):
    ss.save(tmp_path / "cube.h5", cube)
    found = unmix_file(str(tmp_path / "cube.h5"), K, out, method="data-guided-nmf")
    same(found, unmix(cube, K, method="data-guided-nmf"))


def test_memory_maps_stay_in_their_file(cube, out, tmp_path, monkeypatch):
    np.asarray(cube.data).tofile(tmp_path / "cube.raw")
    mapped = np.memmap(tmp_path / "cube.raw", np.float32, "r", shape=cube.shape)
    there = dataclasses.replace(cube, data=mapped)
    with pytest.raises(ValueError, match="the file of the cube"):
        unmix_file(there, K, tmp_path / "cube.raw", **DRAWN)
    with monkeypatch.context() as patch:
        interrupted(patch, crash)
        with pytest.raises(RuntimeError):
            unmix_file(there, K, out, **SETTINGS)
    os.utime(tmp_path / "cube.raw", ns=(1, 1))
    with pytest.raises(ValueError, match="another cube"):
        unmix_file(there, K, out, **SETTINGS)
    found = unmix_file(there, K, out, resume=False, **SETTINGS)
    same(found, unmix(cube, K, **DRAWN), 1e-6)


def test_a_file_of_other_shapes_is_no_unmixing(cube, out):
    unmix(cube, K, method="spa").save(out)
    with h5py.File(out, "r+") as file:
        del file["guide"]
        file["guide"] = np.zeros((2, 2))
        file["guide"].attrs["units"] = "1"
    with pytest.raises(ValueError, match=r"abundances has shape .* wanted \(2, 2, 3\)"):
        ss.load(out)


# ------------------------------------------------------------------- resume


def interrupted(monkeypatch, stop, after=2):
    """Let something happen while the tile after the first few is computed."""
    real = unmixing_fit.MaterialModel.maps
    calls = []

    def maps(self, spectra):
        calls.append(len(spectra))
        if len(calls) == after + 1:
            stop()
        return real(self, spectra)

    monkeypatch.setattr(unmixing_fit.MaterialModel, "maps", maps)
    return calls


def crash():
    raise RuntimeError("the power is gone")


SETTINGS = DRAWN | {"tile_bytes": 4 * ROW, "progress": False}


def test_interrupted_and_resumed_is_uninterrupted(lazy, out, monkeypatch):
    wanted = unmix(lazy, K, **DRAWN)
    with monkeypatch.context() as patch:
        interrupted(patch, lambda: signal.raise_signal(signal.SIGINT))
        with pytest.raises(KeyboardInterrupt, match=r"12 of 24 rows are kept in .*\.p"):
            unmix_file(lazy, K, out, **SETTINGS)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert not out.exists()
    with pytest.raises(ValueError, match="unmixing_unfinished"):
        ss.load(part_of(out))
    with monkeypatch.context() as patch:
        patch.setattr(unmixing_tiles, "find_materials", None)  # is not done twice
        calls = interrupted(patch, crash, after=1)
        with pytest.raises(RuntimeError, match="power"):
            unmix_file(lazy, K, out, **SETTINGS)
        assert len(calls) == 2
    calls = interrupted(monkeypatch, crash, after=100)
    same(unmix_file(lazy, K, out, **SETTINGS), wanted, 1e-6)
    assert calls == [4 * COLS, 4 * COLS]
    assert not part_of(out).exists()


def test_resumed_with_other_tiles(cube, out, monkeypatch):
    with monkeypatch.context() as patch:
        interrupted(patch, crash)
        with pytest.raises(RuntimeError):
            unmix_file(cube, K, out, **SETTINGS)
    settings = SETTINGS | {"tile_bytes": 5 * ROW}
    same(unmix_file(cube, K, out, **settings), unmix(cube, K, **DRAWN), 1e-6)


def test_foreign_and_stale_working_files_are_refused(cube, lazy, out, monkeypatch):
    with monkeypatch.context() as patch:
        interrupted(patch, crash)
        with pytest.raises(RuntimeError):
            unmix_file(lazy, K, out, **SETTINGS)
    stale = part_of(out).read_bytes()
    others = (
        (lazy, K, {"rng": 1}),
        (lazy, K, {"normalize": "l2"}),
        (lazy, K, {"start": np.ones((K, BANDS))}),
        (lazy, 2, {}),
        (cube, K, {}),
        (dataclasses.replace(lazy, scale=2.0), K, {}),
        (dataclasses.replace(lazy, crs="EPSG:4326"), K, {}),
    )
    for which, count, more in others:
        with pytest.raises(ValueError, match="another cube or other settings"):
            unmix_file(which, count, out, **SETTINGS | more)
    os.utime(lazy.data.path, ns=(1, 1))
    changed = ss.load(lazy.data.path, lazy_bytes=0)
    with pytest.raises(ValueError, match="another cube"):
        unmix_file(changed, K, out, **SETTINGS)
    assert part_of(out).read_bytes() == stale
    assert not out.exists()
    found = unmix_file(changed, K, out, resume=False, **SETTINGS)
    same(found, unmix(cube, K, **DRAWN), 1e-6)


def test_files_in_the_way(cube, out):
    part_of(out).write_bytes(b"somebody's notes")
    with pytest.raises(ValueError, match="not an HDF5 file"):
        unmix_file(cube, K, out, **SETTINGS)
    ss.save(part_of(out), cube)
    with pytest.raises(ValueError, match="in the way and no working file"):
        unmix_file(cube, K, out, **SETTINGS)


def test_refused_before_any_work(cube, lazy, out, monkeypatch):
    monkeypatch.setattr(unmixing_tiles, "find_materials", None)
    with pytest.raises(OSError, match="does not exist or is read-only"):
        unmix_file(cube, K, out.parent / "no" / "maps.h5")
    with pytest.raises(IsADirectoryError, match="it is a folder"):
        unmix_file(cube, K, out.parent)
    for source in (lazy, lazy.data.path):
        with pytest.raises(ValueError, match="the file of the cube"):
            unmix_file(source, K, lazy.data.path)
    with pytest.raises(TypeError, match="wanted an integer"):
        unmix_file(cube, K, out, rng=np.random.default_rng(0))
    with pytest.raises(ValueError, match="method is 'magic'"):
        unmix_file(cube, K, out, method="magic")
    assert list(out.parent.iterdir()) == [lazy.data.path]


def test_interrupted_before_there_are_endmembers(cube, out, monkeypatch):
    real = AlternatingMinimization.step

    def step(*args):
        signal.raise_signal(signal.SIGINT)
        return real(*args)

    monkeypatch.setattr(AlternatingMinimization, "step", step)
    with pytest.raises(KeyboardInterrupt, match="while endmembers were looked for"):
        unmix_file(cube, K, out, sample=200)
    assert list(out.parent.iterdir()) == []


def test_disk_full_between_tiles(cube, out, monkeypatch):
    wanted = unmix(cube, K, **DRAWN)
    real = atomic.os.write

    def full(*args):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        interrupted(patch, lambda: patch.setattr(atomic.os, "write", full))
        with pytest.raises(OSError, match="the disk is full") as caught:
            unmix_file(cube, K, out, **SETTINGS)
    assert atomic.os.write is real
    assert str(part_of(out)) in str(caught.value)
    assert not out.exists()
    calls = interrupted(monkeypatch, crash, after=100)
    same(unmix_file(cube, K, out, **SETTINGS), wanted, 1e-6)
    assert len(calls) == 4


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no file-size limit")
def test_full_disk_for_real_is_found_before_the_first_tile(out, monkeypatch):
    """All maps take their space at once: 1.3 MB here."""
    resource = pytest.importorskip("resource")
    wide = ss.HyperspectralCube(np.random.default_rng(0).random((200, 200, 6)))
    calls = interrupted(monkeypatch, crash)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (900_000, hard))
    try:
        with pytest.raises(OSError, match="it would exceed the largest allowed file"):
            unmix_file(wide, 4, out, method="spa", sample=500)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert calls == []
    assert list(out.parent.iterdir()) == []


def test_progress_is_shown(cube, out, capsys):
    unmix_file(cube, K, out, **SETTINGS | {"progress": True})
    shown = capsys.readouterr().err
    assert "sample" in shown
    assert "abundances" in shown
    assert "24/24" in shown


# ------------------------------------------------------------------- memory


@pytest.mark.parametrize("normalize", [None, "l2"])
def test_memory_does_not_grow_with_the_cube(tmp_path, out, normalize):
    """A cube of 23 MiB in float32, 46 MiB in float64."""
    block = np.random.default_rng(0).random((10, 200, 50), np.float32)
    with h5py.File(tmp_path / "cube.h5", "w") as file:
        stamp(file, "hyperspectral")
        data = file.create_dataset(
            "data", (600, 200, 50), np.float32, chunks=block.shape
        )
        data.attrs["units"] = "1"
        for first in range(0, 600, 10):
            data[first : first + 10] = block
    cube = ss.load(tmp_path / "cube.h5", lazy_bytes=0)
    settings = {"method": "spa", "normalize": normalize, "sample": 500}
    tracemalloc.start()
    unmix_file(cube, 4, out, tile_bytes=2**22, **settings)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 14 * 2**20
