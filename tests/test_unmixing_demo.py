"""What an unmixing leaves in its folder, and the demonstration."""

import dataclasses

import numpy as np
import pytest
import scipy.io

import sparsesolve as ss
from sparsesolve.applications import unmixing, unmixing_demo, unmixing_folder
from sparsesolve.applications.unmixing_truth import (
    UnmixingTruth,
    read_truth,
    save_truth,
)

pytest.importorskip("matplotlib")


@pytest.fixture(scope="module")
def scene():
    return unmixing.unmixing_scene(rows=20, cols=24)


@pytest.fixture(scope="module")
def truth(scene):
    return UnmixingTruth(scene.names, scene.endmembers, scene.abundances)


@pytest.fixture(autouse=True)
def _no_rendering(monkeypatch):
    """Pictures are put together but not rendered, which takes most of the time."""
    monkeypatch.setattr("sparsesolve.plot.save", lambda figure, path: path.touch())


def quiet(line):
    """Take a line and do nothing."""


# ----------------------------------------------------------------------- truths


@pytest.mark.parametrize("turned", [False, True])
def test_a_truth_in_matlab_is_read_column_after_column(tmp_path, scene, truth, turned):
    flat = np.stack([truth.abundances[:, :, k].ravel(order="F") for k in range(4)])
    spectra = truth.endmembers if turned else truth.endmembers.T
    names = np.array(["1-veg", "2-soil", "3-water", "4-road"], object)[:, None]
    path = tmp_path / "truth.mat"
    scipy.io.savemat(path, {"M": spectra, "A": flat, "cood": names})
    found = read_truth(path, scene.cube)
    assert found.names == ("veg", "soil", "water", "road")
    np.testing.assert_array_equal(found.abundances, truth.abundances)
    np.testing.assert_array_equal(found.endmembers, truth.endmembers)


def test_a_truth_survives_its_file(tmp_path, scene, truth):
    save_truth(tmp_path / "truth.npz", truth)
    found = read_truth(tmp_path / "truth.npz", scene.cube)
    assert found.names == truth.names
    np.testing.assert_array_equal(found.abundances, truth.abundances)
    np.testing.assert_array_equal(found.endmembers, truth.endmembers)


@pytest.mark.parametrize(
    ("held", "message"),
    [
        ({"X": np.ones(3)}, "holds X; wanted GT and S_GT"),
        ({"M": np.ones((9, 2)), "A": np.ones((2, 480))}, r"wanted \(K, 210\)"),
        ({"M": np.ones((210, 2)), "A": np.ones((2, 9))}, r"\(20, 24, 2\), or \(2, 480"),
    ],
)
def test_what_is_no_truth_of_the_cube_is_refused(tmp_path, scene, held, message):
    scipy.io.savemat(tmp_path / "no.mat", held)
    with pytest.raises(ValueError, match=message):
        read_truth(tmp_path / "no.mat", scene.cube)


def test_the_public_truths_fit_their_scenes(hsi_folder):
    for name, most in (("samson", 0.005), ("jasper_ridge", 0.009)):
        path = hsi_folder / f"{name}.mat"
        cube = ss.load(path, kind="hyperspectral")
        truth = read_truth(path, cube)
        assert truth.names[-1] == {"samson": "water", "jasper_ridge": "road"}[name]
        pixels = cube.spectra()
        pixels /= np.linalg.norm(pixels, axis=1, keepdims=True)
        unit = truth.endmembers / np.linalg.norm(truth.endmembers, axis=1)[:, None]
        model = truth.abundances.reshape(len(pixels), -1) @ unit
        assert np.sqrt(np.mean((pixels - model) ** 2)) < most


# ---------------------------------------------------------------------- folders


def test_the_row_says_what_the_metrics_say(tmp_path, scene, truth):
    found, row = unmixing_folder.unmix_into(
        tmp_path,
        "a",
        scene.cube,
        4,
        normalize="l2",
        truth=truth,
        bad_bands=scene.bad_bands,
        say=quiet,
    )
    order = ss.metrics.match_endmembers(found.endmembers, truth.endmembers)
    sad = ss.metrics.spectral_angle(found.endmembers, truth.endmembers)
    assert row["sad"] == pytest.approx(sad)
    assert row["sad"] < 0.06
    pixels = found.abundances[scene.cube.valid][:, order]
    error = pixels - truth.abundances[scene.cube.valid]
    assert row["rmse"] == pytest.approx(np.sqrt(np.mean(error**2)))
    assert (row["bands_screened"], row["band_f1"]) == (8, 1.0)
    assert np.isfinite(row["guide_correlation"])
    kept = scene.cube.good_bands & ~found.flagged
    Y = (scene.cube.data * 1e-4)[scene.cube.valid][:, kept]
    unit = found.endmembers[:, kept]
    unit = unit / np.linalg.norm(unit, axis=1, keepdims=True)
    model = np.linalg.norm(Y, axis=1)[:, None] * (
        found.abundances[scene.cube.valid] @ unit
    )
    assert row["error"] == pytest.approx(np.sqrt(np.mean((Y - model) ** 2)))
    stored = ss.load(tmp_path / "a_unmixing.h5")
    np.testing.assert_array_equal(stored.abundances, found.abundances)


def test_maps_have_the_names_and_the_place_of_the_scene(tmp_path, scene, truth):
    pytest.importorskip("spectral")
    found, _ = unmixing_folder.unmix_into(
        tmp_path, "a", scene.cube, 5, method="vca", truth=truth, say=quiet
    )
    header = (tmp_path / "a_abundances.hdr").read_text()
    (line,) = [line for line in header.splitlines() if line.startswith("band names")]
    names = line.partition("{")[2].rstrip("}").split(", ")
    assert set(scene.names) < set(names)
    order = ss.metrics.match_endmembers(found.endmembers, truth.endmembers)
    assert [names[row] for row in order] == list(scene.names)
    maps = ss.load(tmp_path / "a_abundances.hdr")
    assert maps.transform == scene.cube.transform
    valid = scene.cube.valid
    np.testing.assert_allclose(maps.data[valid], found.abundances[valid], atol=1e-6)


def test_pictures_of_an_earlier_run_do_not_stay(tmp_path, scene):
    unmixing_folder.unmix_into(tmp_path, "a", scene.cube, 4, say=quiet)
    only = {"a_guide.png", "a_convergence.png"}
    assert only <= {path.name for path in tmp_path.iterdir()}
    unmixing_folder.unmix_into(tmp_path, "a", scene.cube, 4, method="vca", say=quiet)
    assert not only & {path.name for path in tmp_path.iterdir()}


def test_a_map_that_envi_cannot_hold_costs_only_that_file(tmp_path, scene):
    said = []
    sheared = (4.0, 1.0, 0.0, 0.0, -4.0, 0.0)
    cube = dataclasses.replace(scene.cube, transform=sheared)
    unmixing_folder.unmix_into(tmp_path, "a", cube, 3, method="spa", say=said.append)
    assert said[0].startswith("no ENVI file of the abundances: ")
    assert not (tmp_path / "a_abundances.hdr").exists()
    assert (tmp_path / "a_unmixing.h5").exists()


def test_a_truth_of_more_endmembers_is_refused_before_the_work(tmp_path, scene, truth):
    with pytest.raises(ValueError, match="n_endmembers is 3, but the truth has 4"):
        unmixing_folder.unmix_into(tmp_path, "a", scene.cube, 3, truth=truth)
    assert not list(tmp_path.iterdir())


def test_the_elbow_is_that_of_the_screened_spectra(tmp_path, scene):
    rows = unmixing_folder.elbow_into(tmp_path, "a", scene.cube)
    good = ~scene.bad_bands
    pixels = (scene.cube.data * 1e-4)[scene.cube.valid][:, good]
    values = np.linalg.svd(pixels, compute_uv=False) ** 2
    wanted = [np.sqrt(values[k:].sum() / pixels.size) for k in range(1, 21)]
    np.testing.assert_allclose([row["error"] for row in rows], wanted, rtol=1e-6)
    assert sum(row["estimate"] == "HFC" for row in rows) == 1
    assert (tmp_path / "a_elbow.png").exists()


# ------------------------------------------------------------------------- demo


def small(seed):
    return unmixing.unmixing_scene(seed, rows=20, cols=20)


def absent(name):
    raise FileNotFoundError(f"data set {name!r} was not found; get it from somewhere")


def test_the_demo_without_real_scenes_says_where_to_get_them(tmp_path, monkeypatch):
    monkeypatch.setattr(unmixing_demo, "unmixing_scene", small)
    monkeypatch.setattr("sparsesolve.data.find", absent)
    said = []
    rows = unmixing_demo.run(tmp_path / "out", seed=3, say=said.append)
    assert "samson: skipped, data set 'samson' was not found; get it" in said[0]
    assert [row["scene"] for row in rows] == ["generated"]
    assert rows[0]["band_f1"] >= 0.9
    cube = ss.load(tmp_path / "out" / "generated.h5", kind="hyperspectral")
    np.testing.assert_array_equal(cube.data, small(3).cube.data)
    read_truth(tmp_path / "out" / "generated_truth.npz", cube)


def test_the_demo_unmixes_what_is_found(tmp_path, monkeypatch):
    """Stand-ins of the real scenes, as MATLAB files in their own layout."""
    scene = small(1)
    cube = scene.cube
    data = np.where(cube.valid[:, :, None], cube.data, 0)[:, :, cube.good_bands]
    flat = data.transpose(1, 0, 2).reshape(-1, cube.n_good).T
    shares = scene.abundances.transpose(1, 0, 2).reshape(-1, 4).T
    spectra = scene.endmembers[:, cube.good_bands].T
    place = tmp_path / "scene.mat"
    held = {"Y": flat, "nRow": 20, "nCol": 20, "maxValue": 10000}
    scipy.io.savemat(place, {**held, "M": spectra, "A": shares})
    monkeypatch.setattr(unmixing_demo, "unmixing_scene", small)
    monkeypatch.setattr("sparsesolve.data.find", lambda name: place)
    rows = unmixing_demo.run(tmp_path / "out", say=quiet)
    assert [row["scene"] for row in rows] == ["generated", "samson", "jasper_ridge"]
    assert all(row["sad"] < 0.1 and row["rmse"] < 0.15 for row in rows)
    assert rows[1]["sad"] == rows[2]["sad"]
    assert len((tmp_path / "out" / "metrics.csv").read_text().splitlines()) == 4


# ------------------------------------------------------------------ the picture


def test_the_elbow_picture_shows_errors_and_estimate():
    errors = np.array([0.1, 0.02, 0.003, 0.0])
    panel = ss.plot.elbow(errors, 3).axes[0]
    curve, mark = panel.lines
    np.testing.assert_array_equal(curve.get_xdata(), [1, 2, 3, 4])
    np.testing.assert_array_equal(curve.get_ydata(), [0.1, 0.02, 0.003, np.nan])
    assert list(mark.get_xdata()) == [3, 3]
    assert panel.get_yscale() == "log"
    assert panel.get_legend().get_texts()[0].get_text() == "HFC: 3"
    for wrong in (np.zeros(3), np.ones((2, 2))):
        with pytest.raises(ValueError, match=r"wanted \(n,\), from unmixing.elbow"):
            ss.plot.elbow(wrong)
