"""``sparsesolve unmix`` and ``demo unmixing``: files, words, exit codes."""

import csv
import dataclasses

import h5py
import numpy as np
import pytest
import scipy.io

import sparsesolve as ss
from sparsesolve import cli, cli_unmixing
from sparsesolve.applications import unmixing, unmixing_demo, unmixing_tiles
from sparsesolve.applications.unmixing_run import METHODS

pytest.importorskip("matplotlib")


@pytest.fixture(scope="module")
def scene():
    return unmixing.unmixing_scene(rows=20, cols=20)


@pytest.fixture
def cube_file(tmp_path, scene):
    ss.save(tmp_path / "field.h5", scene.cube)
    return tmp_path / "field.h5"


@pytest.fixture
def _no_rendering(monkeypatch):
    monkeypatch.setattr("sparsesolve.plot.save", lambda figure, path: path.touch())


def unmix(file, out, *options):
    return cli.main(["unmix", str(file), "--out", str(out), *options])


def last_line(capfd):
    text = capfd.readouterr().err
    assert "Traceback" not in text
    return text.splitlines()[-1]


def test_the_words_for_method_are_those_of_unmix():
    assert cli_unmixing.METHODS == METHODS


def test_unmix_writes_maps_pictures_and_a_row(cube_file, tmp_path, scene, capfd):
    out = tmp_path / "maps" / "deep"
    assert unmix(cube_file, out, "-p", "4", "--normalize", "l2", "--seed", "5") == 0
    pictures = ["", "_bands", "_convergence", "_error", "_guide", "_spectra"]
    for name in pictures:
        content = (out / f"field{name}.png").read_bytes()
        assert content.startswith(b"\x89PNG")
        assert len(content) > 5000
    written = {p.name for p in out.iterdir()} - {f"field{n}.png" for n in pictures}
    maps = {f"field_abundances{end}" for end in (".hdr", ".img")}
    assert written - {"field_abundances.tif"} == {
        "field_unmixing.h5",
        "metrics.csv",
        *maps,
    }
    found = ss.load(out / "field_unmixing.h5")
    wanted = unmixing.unmix(scene.cube, 4, normalize="l2", rng=5)
    np.testing.assert_array_equal(found.abundances, wanted.abundances)
    with (out / "metrics.csv").open() as file:
        (row,) = csv.DictReader(file)
    assert (row["scene"], row["method"], row["endmembers"]) == ("field", "robust", "4")
    assert row["bands_screened"] == "8"
    assert 0 < float(row["error"]) < 0.02
    seen = capfd.readouterr()
    assert "field" in seen.out
    assert "shares of the unit-norm spectrum" in seen.err
    assert "bands: 8 of 187 left out" in seen.err
    assert cli.main(["info", str(out / "field_unmixing.h5")]) == 0
    assert capfd.readouterr().out.startswith("Unmixing(4 endmembers, 20 x 20 pixels")


@pytest.mark.usefixtures("_no_rendering")
def test_options_reach_the_method(cube_file, tmp_path, scene, capfd):
    out = tmp_path / "out"
    options = ["--method", "vca", "--seed", "2", "--no-screen"]
    assert unmix(cube_file, out, "-p", "3", *options) == 0
    found = ss.load(out / "field_unmixing.h5")
    wanted = unmixing.unmix(scene.cube, 3, method="vca", rng=2, screen=False)
    np.testing.assert_array_equal(found.endmembers, wanted.endmembers)
    assert not found.flagged.any()
    assert unmix(cube_file, out, "-p", "3", "--method", "spa") == 0
    assert unmix(cube_file, out, "-p", "3", "--method", "spa") == 0
    rows = (out / "metrics.csv").read_text().splitlines()
    assert [row.split(",")[1] for row in rows[1:]] == ["vca", "spa"]


@pytest.mark.usefixtures("_no_rendering")
def test_the_elbow_is_printed_and_drawn(cube_file, tmp_path, capfd):
    assert unmix(cube_file, tmp_path / "out", "--elbow") == 0
    seen = capfd.readouterr()
    assert seen.out.count("HFC") == 1
    assert len(seen.out.splitlines()) == 22
    assert "after which the error hardly falls" in seen.err
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["field_elbow.png"]


@pytest.mark.usefixtures("_no_rendering")
def test_a_library_finds_what_is_there(cube_file, tmp_path, scene, capfd):
    nm = np.arange(390.0, 2512.0, 5.0)
    spectra = [np.interp(nm, scene.cube.wavelengths, e) for e in scene.endmembers]
    spectra += [0.3 + 0.2 * np.sin(nm / (60 + 25 * k) + k) for k in range(6)]
    names = np.array([*scene.names, *(f"other {k}, sp" for k in range(6))], object)
    path = tmp_path / "library.mat"
    scipy.io.savemat(path, {"spectra": spectra, "wavelengths": nm, "names": names})
    out = tmp_path / "out"
    assert unmix(cube_file, out, "--library", str(path)) == 0
    seen = capfd.readouterr()
    assert "lam: " in seen.err
    assert "sunsal" in seen.out
    maps = ss.load(out / "field_abundances.hdr").data
    valid = scene.cube.valid
    mean = maps[valid].mean(axis=0)
    assert mean[:4].sum() > 10 * mean[4:].sum()
    assert "other 0  sp" in (out / "field_abundances.hdr").read_text()
    assert ss.load(out / "field_sunsal.h5").x.shape == (10, valid.sum())
    assert {"field.png", "field_error.png"} <= {p.name for p in out.iterdir()}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "-p, the number of endmembers, is missing; to find it, run sparsesolve"),
        (["-p", "0"], "n_endmembers is 0; wanted an integer >= 1"),
        (["-p", "x"], "'x' is not a valid integer"),
        (["-p", "500"], "n_endmembers is 500, but there are 395 pixels of 187 bands"),
        (["-p", "3", "--elbow"], "are three tasks; give one of them"),
        (["-p", "3", "--method", "magic"], "'magic' is not one of"),
        (["-p", "3", "--normalize", "l3"], "'l3' is not one of"),
        (["--elbow", "--truth", "a.mat"], "--truth is compared with what -p finds"),
        (["-p", "3", "--truth", "absent.mat"], "absent.mat does not exist"),
        (["--library", "absent.sli"], "absent.sli does not exist"),
    ],
)
def test_bad_options_end_in_one_line(cube_file, tmp_path, capfd, options, message):
    out = tmp_path / "out"
    assert unmix(cube_file, out, *options) == 2
    assert message in last_line(capfd)
    assert not out.exists() or not list(out.iterdir())


def _mat(folder, data):
    scipy.io.savemat(folder / "scene.mat", {"Y": data})
    return folder / "scene.mat"


def _foreign(folder):
    with h5py.File(folder / "foreign.h5", "w") as file:
        file["a/b"] = np.zeros((2, 3))
    return folder / "foreign.h5"


def _text(folder):
    (folder / "text.h5").write_text("no")
    return folder / "text.h5"


def _solution(folder):
    solution = ss.Solution(np.ones(2), ss.Status.CONVERGED, "converged", 1, 0.1)
    ss.save(folder / "solution.h5", solution)
    return folder / "solution.h5"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda folder: folder / "absent.h5", "absent.h5 does not exist"),
        (lambda folder: folder, "is a folder; wanted a file"),
        (_text, "not an HDF5 file"),
        (_foreign, "is a foreign HDF5 file"),
        (_solution, "wanted 'hyperspectral'"),
        (lambda f: _mat(f, np.full((5, 6, 7), np.nan)), "zero or no-data"),
        (lambda f: _mat(f, np.ones((5, 6, 7))), "the spectra have rank 1"),
        (lambda f: _mat(f, np.ones((5, 6))), "no nRow"),
    ],
)
def test_bad_files_end_in_one_line(tmp_path, capfd, make, message):
    out = tmp_path / "out"
    assert unmix(make(tmp_path), out, "-p", "3") == 2
    assert message in last_line(capfd)
    assert not out.exists() or not list(out.iterdir())


def test_envi_files_that_do_not_fit_their_header(tmp_path, scene, capfd):
    pytest.importorskip("spectral")
    whole = dataclasses.replace(scene.cube, good_bands=None)
    unmixing.save_envi(tmp_path / "a.hdr", scene.cube.data * 1e-4, whole)
    content = (tmp_path / "a.img").read_bytes()
    (tmp_path / "a.img").write_bytes(content[: len(content) // 2])
    assert unmix(tmp_path / "a.hdr", tmp_path / "out", "-p", "3") == 2
    assert "it is truncated, or another header belongs to it" in last_line(capfd)
    (tmp_path / "a.img").write_bytes(content)
    header = (tmp_path / "a.hdr").read_text().replace("lines = 20", "lines = 21")
    (tmp_path / "a.hdr").write_text(header)
    assert unmix(tmp_path / "a.hdr", tmp_path / "out", "-p", "3") == 2
    assert "but 21 lines x 20 samples x 210 bands" in last_line(capfd)
    assert not (tmp_path / "out").exists()


def test_an_interrupt_is_130_and_leaves_nothing(
    cube_file, tmp_path, capfd, monkeypatch
):
    def interrupted(*_, **__):
        raise KeyboardInterrupt("interrupted while endmembers were looked for")

    monkeypatch.setattr(unmixing_tiles, "find_materials", interrupted)
    assert unmix(cube_file, tmp_path / "out", "-p", "3") == 130
    assert "interrupted while endmembers" in last_line(capfd)
    assert not list((tmp_path / "out").iterdir())


@pytest.mark.usefixtures("_no_rendering")
def test_the_demo_prints_its_table(tmp_path, monkeypatch, capfd, scene):
    def absent(name):
        raise FileNotFoundError(f"data set {name!r} was not found")

    monkeypatch.setattr(unmixing_demo, "unmixing_scene", lambda seed: scene)
    monkeypatch.setattr("sparsesolve.data.find", absent)
    assert cli.main(["demo", "unmixing", "--out", str(tmp_path / "out")]) == 0
    seen = capfd.readouterr()
    assert seen.out.splitlines()[2].startswith("generated  robust  l2")
    assert "jasper_ridge: skipped, data set 'jasper_ridge' was not found" in seen.err
    assert "sad: mean angle to the true spectra" in seen.err
