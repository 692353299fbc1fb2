"""The benchmarks of unmixing run, score as they say, and see what they should."""

import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parent.parent
NAMES = "bench_unmixing", "bench_unmixing_bands", "bench_unmixing_stages"
MODULES = *NAMES, "bench_unmixing_speed", "unmixing_scenes", "unmixing_peers", "measure"


@pytest.fixture(autouse=True)
def benchmarks(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    yield
    for name in MODULES:
        sys.modules.pop(name, None)


def tables(name, capsys):
    """Tables of a script's quick look: title to rows of cells."""
    __import__(name).main(["--quick"])
    return parsed(capsys.readouterr().out)


def parsed(text):
    """Title to rows of cells, the head and the line below it left out."""
    found = {}
    for line in text.splitlines():
        if line.startswith("### "):
            rows = found.setdefault(line[4:], [])
        if line.startswith("| "):
            rows.append([cell.strip() for cell in line[1:-1].split("|")])
    return {title: rows[2:] for title, rows in found.items()}


def number(cell):
    return float(cell.split()[0])


def test_scenes_beside_peers(monkeypatch, capsys):
    import bench_unmixing as script
    import unmixing_peers

    # Whatever is installed beside the library does not belong to its tests.
    monkeypatch.setattr(unmixing_peers, "SLOW", {})
    shown = "default: unmix(cube, K)", "VCA + FCLSU", "true endmembers + FCLSU (floor)"
    methods = {name: script.METHODS[name] for name in shown}
    monkeypatch.setattr(script, "METHODS", methods)
    scene, guide = tables("bench_unmixing", capsys).values()
    errors = {cells[0]: [number(c) for c in cells[1:]] for cells in scene}
    default = errors["default: unmix(cube, K)"]
    assert default[0] < errors["VCA + FCLSU"][0] / 2
    assert default[1] < errors["VCA + FCLSU"][1]
    floor = errors["true endmembers + FCLSU (floor)"]
    assert floor[0] < 1e-6
    assert floor[1] > 0.01
    assert all(cells[2] <= cells[1] + 1e-4 for cells in errors.values())
    assert number(guide[0][1]) > 0.4


def test_methods_that_do_not_run_say_why(capsys):
    import bench_unmixing
    import unmixing_scenes

    def crash(scene, normalize, seed):
        raise AttributeError("no attribute int\nmore of it")

    scene = unmixing_scenes.generated(size=16)
    bench_unmixing.table("title", [scene], None, {"peer": crash})
    says = parsed(capsys.readouterr().out)["title"][0][1]
    assert says == "does not run: AttributeError: no attribute int"


def test_stages(capsys):
    (rows,) = tables("bench_unmixing_stages", capsys).values()
    sad = {cells[0]: number(cells[1]) for cells in rows}
    assert len(sad) == 15
    default = sad["+ ℓ2,1, h learnt: **default**"]
    assert default < sad["+ ℓ2,1, guide off (h = 0)"]
    # At h = 0 the penalty is constant on the simplex.
    assert sad["+ ℓ2,1, guide off (h = 0)"] == sad["+ ℓ2,1, no sparsity"]


def test_bands(monkeypatch, capsys):
    import bench_unmixing_bands as script

    monkeypatch.setattr(script, "CASES", ((0.0, "noise"), (0.2, "garbage")))
    shown = "default", "Frobenius twin without screening"
    methods = {name: script.METHODS[name] for name in shown}
    monkeypatch.setattr(script, "METHODS", methods)
    found, errors = tables("bench_unmixing_bands", capsys).values()
    assert number(found[0][-1]) > 0.9
    ratio = {(cells[0], cells[1]): float(cells[3]) for cells in errors}
    assert ratio["default", "20% garbage"] < 1.3
    assert ratio["Frobenius twin without screening", "20% garbage"] > 1.5


def test_speed(monkeypatch, capsys):
    import bench_unmixing_speed as script

    monkeypatch.setattr(script, "REPEATS", 1)
    # Its own processes would load the library anew.
    monkeypatch.setattr(script, "unmix_big", lambda *_: None)
    rows = tables("bench_unmixing_speed", capsys)
    assert float(rows["FCLSU"][0][4]) < 1e-8
    assert len(rows["SUnSAL: 100 iterations of ADMM, and exactly"]) == 2
    assert len(rows["A sweep of `factorise`"]) == 3


def test_a_cube_goes_through_a_file(tmp_path, capsys):
    import bench_unmixing_speed as script

    path = str(tmp_path / "cube.h5")
    size = "20", "20", "30", "3"
    script.do_task("write", path, *size)
    script.do_task("unmix", path, *size)
    cells = capsys.readouterr().out.split("|")
    assert cells[1].strip() == "20 x 20 x 30, K = 3"
    most, before = map(float, cells[4].split(","))
    assert most >= before > 10


def test_corrupted_bands_hold_what_is_said():
    import unmixing_scenes

    scene = unmixing_scenes.generated()
    clean = scene.cube.data * scene.cube.scale
    top = clean[..., scene.cube.good_bands].max()
    for kind in ("noise", "garbage"):
        found, bad = unmixing_scenes.corrupted(scene, 0.2, kind, 3)
        data = found.cube.data
        assert bad.sum() == round(0.2 * scene.cube.n_good)
        assert not bad[~scene.cube.good_bands].any()
        np.testing.assert_allclose(data[..., ~bad], clean[..., ~bad])
        assert data[..., bad].min() >= 0
        if kind == "garbage":
            assert data[..., bad].max() > 0.95 * top
            continue
        valid = scene.cube.valid
        old, new = clean[valid][:, bad], data[valid][:, bad]
        bright = old.mean(axis=0) > 3 * old.std(axis=0)
        assert bright.any()
        for measure in (np.mean, np.std):
            ratio = measure(new, axis=0)[bright] / measure(old, axis=0)[bright]
            assert abs(ratio - 1).max() < 0.1


def test_scores_do_not_see_the_order_of_endmembers():
    import unmixing_scenes

    scene = unmixing_scenes.generated(size=16)
    sad, rmse, least = unmixing_scenes.score(
        scene, 2 * scene.endmembers[::-1], scene.abundances[..., ::-1]
    )
    assert max(sad, rmse, least) < 1e-9


def test_residual_and_gap_of_fclsu_see_a_small_error(rng):
    import bench_unmixing_speed as speed

    from sparsesolve.applications.unmixing import fclsu

    E = rng.random((3, 20))
    Y = rng.dirichlet(np.full(3, 0.5), 200) @ E + 0.1 * rng.standard_normal((200, 20))
    A = fclsu(Y, E)
    assert speed.residual(Y, E, A) < 1e-12
    assert speed.gap(Y, E, A) < 1e-12
    wrong = 0.999 * A + 0.001 / 3
    assert speed.residual(Y, E, wrong) > 1e-4
    assert speed.gap(Y, E, wrong) > 1e-6
