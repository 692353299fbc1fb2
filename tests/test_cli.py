"""The command line: what it writes, what it says, and its exit codes."""

import csv
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace

import h5py
import numpy as np
import pytest

import sparsesolve as ss
from sparsesolve import cli
from sparsesolve.applications import radar, radar_demo, radar_weight, results
from sparsesolve.operators import Grid, NearFieldMIMO

COMMANDS = [
    [],
    ["demo"],
    ["demo", "radar"],
    ["demo", "unmixing"],
    ["reconstruct"],
    ["unmix"],
    ["info"],
    ["list"],
    ["data"],
    ["data", "list"],
    ["data", "find"],
]
VOLUME = ["--grid=-0.05:0.05,-0.05:0.05,0.35:0.45"]


@pytest.fixture
def scan_file(tmp_path):
    """A point at (20, -20, 400) mm seen by a few antennas."""
    tx, rx = radar.reference_array()
    freq = np.linspace(4e9, 12e9, 7)
    point = Grid([0.02], [-0.02], [0.4])
    A = NearFieldMIMO(tx[::4], rx[::4], freq, point)
    data = A(np.ones((1, 1, 1), "complex64"))
    path = tmp_path / "bench.h5"
    ss.save(path, ss.RadarScan(data=data, freq=freq, tx=tx[::4], rx=rx[::4]))
    return path


def image(scan_file, out, *more):
    options = [*VOLUME, "--spacing", "0.02", *more]
    return cli.main(["reconstruct", str(scan_file), "--out", str(out), *options])


def small_solution():
    return ss.Solution(
        x=np.ones(2),
        status=ss.Status.CONVERGED,
        message="converged",
        n_iter=1,
        seconds=0.1,
        choices={"lam": "1, given"},
    )


def one_line(capsys):
    """What went to standard error, which must be one line."""
    text = capsys.readouterr().err
    assert text.count("\n") == 1
    assert text.startswith("sparsesolve: ")
    return text


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_help_shows_an_example(command, capsys):
    assert cli.main([*command, "--help"]) == 0
    assert "Example" in capsys.readouterr().out


def test_help_loads_nothing_heavy():
    code = (
        "import sys; from sparsesolve.cli import main; main(['reconstruct', '-h']); "
        "heavy = {'numba', 'scipy', 'matplotlib', 'h5py', 'torch'} & set(sys.modules); "
        "assert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_list_names_every_kind_with_needs_and_reference(capsys):
    assert cli.main(["list"]) == 0
    text = capsys.readouterr().out
    for name in ("NearFieldMIMO", "Kronecker", "TotalVariation", "SBL", "ADMM"):
        assert f"\n{name}\n" in text
    assert "needs: " in text
    assert "reference: Beck and Teboulle" in text
    assert "is: convex, separable" in text
    assert max(map(len, text.splitlines())) <= 88


def test_data_list_and_find(capsys, tmp_path, monkeypatch):
    assert cli.main(["data", "list"]) == 0
    assert "merit" in capsys.readouterr().out
    assert cli.main(["data", "find", "merits"]) == 2
    assert "did you mean 'merit'" in one_line(capsys)


def test_data_find_prints_the_place(capsys, merit_folder, monkeypatch):
    monkeypatch.setenv("SPARSESOLVE_DATA", str(merit_folder.parents[1]))
    assert cli.main(["data", "find", "merit"]) == 0
    assert capsys.readouterr().out.strip() == str(merit_folder)


def test_reconstruct_writes_solution_picture_and_metrics(scan_file, tmp_path, capsys):
    out = tmp_path / "images" / "deep"
    assert image(scan_file, out) == 0
    assert sorted(p.name for p in out.iterdir()) == [
        "bench.png",
        "bench_convergence.png",
        "bench_l1.h5",
        "bench_residuals.png",
        "bench_slices.png",
        "metrics.csv",
    ]
    assert (out / "bench.png").read_bytes().startswith(b"\x89PNG")
    solution = ss.load(out / "bench_l1.h5")
    assert solution.x.shape == (6, 6, 6)
    assert "best on 25% held-out data" in solution.choices["lam"]
    assert "checkpoint" not in solution.choices
    with (out / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    images = [row["image"] for row in rows]
    assert images == ["back-projection", "magnitude-l1", "magnitude-l1, restored"]
    grid = Grid.box((0, 0, 0.4), 0.1, 0.02)
    wanted = radar.describe_image(solution.x, grid)
    found = [float(rows[1][f"peak_{axis}_mm"]) for axis in "xyz"]
    np.testing.assert_allclose(found, [wanted[f"peak_{axis}_mm"] for axis in "xyz"])
    assert np.linalg.norm(np.array(found) - [20, -20, 400]) < 18
    seen = capsys.readouterr()
    assert "magnitude-l1" in seen.out
    assert "best on 25% held-out data" in seen.err


def test_a_second_run_replaces_its_rows_and_keeps_others(tmp_path):
    path = tmp_path / "metrics.csv"
    results.add_rows(path, [{"scan": "old", "image": "x", "a": 1.0}])
    for value in (1.25, float("-inf")):
        results.add_rows(path, [{"scan": "new", "image": "x", "b": value}])
    assert path.read_text() == "scan,image,a,b\nold,x,1,\nnew,x,,-inf\n"


def test_options_reach_the_model(scan_file, tmp_path, capsys):
    options = ["--lam", "2.5", "--speed", "2e8", "--max-iter", "2", "--no-spreading"]
    assert image(scan_file, tmp_path, *options) == 0
    solution = ss.load(tmp_path / "bench_l1.h5")
    assert solution.choices["lam"] == "2.5, given"
    assert solution.choices["speed"] == "2e+08 m/s"
    assert solution.n_iter == 2
    scan, grid = ss.load(scan_file), Grid.box((0, 0, 0.4), 0.1, 0.02)
    wanted = radar.reconstruct(
        replace(scan, speed=2e8), grid, lam=2.5, max_iter=2, spreading=False
    )
    np.testing.assert_array_equal(solution.x, wanted.x)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--lam", "huge"], "lam is 'huge'; wanted a number"),
        (["--lam", "-1"], "lam is -1"),
        (["--lam", "1e9"], "zero everywhere: lam 1e+09 is not below lam_max"),
        (["--lam", "discrepancy"], "needs a scan whose noise is known"),
        (["--prior", "l7"], "'l7' is not"),
        (["--spacing", "x"], "not a valid float"),
        (["--spacing", "-1"], "spacing > 0"),
        (["--speed", "0"], "speed is 0"),
        (["--colour", "red"], "No such option"),
        (["--lam", "1", "--resume", "absent.h5"], "absent.h5 does not exist"),
        (["--resume", "absent.h5"], "resume needs the weight that was begun with"),
        (["--grid=-0.04:0.04,-0.04:0.04,0:0.08"], "inside the voxel"),
        (["--grid", "0.1:0.2"], "--grid is '0.1:0.2'; wanted X0:X1,Y0:Y1,Z0:Z1"),
        (["--grid", "0.2:0.1,0:1,0:1"], "lower ends first"),
        (["--grid", "a:b,0:1,0:1"], "wanted X0:X1"),
        (["--form", "noise-ball"], "needs the noise"),
        (["--noise", "1", "--snr", "20"], "give one of the two"),
    ],
)
def test_bad_options_end_in_one_line(scan_file, tmp_path, capfd, options, message):
    out = tmp_path / "out"
    assert image(scan_file, out, *options) == 2
    last = capfd.readouterr().err.splitlines()[-1]
    assert message in last
    assert not out.exists() or not any(
        p.suffix in (".png", ".csv") or p.name == "bench_l1.h5" for p in out.iterdir()
    )


@pytest.mark.parametrize("prior", ["tv", "l1+tv", "group"])
def test_every_prior_and_the_noise_ball(scan_file, tmp_path, prior, capsys):
    options = ["--prior", prior, "--form", "noise-ball", "--snr", "30"]
    assert (
        image(scan_file, tmp_path / "out", *options, "--vti", "--max-iter", "20") == 0
    )
    assert "epsilon: " in capsys.readouterr().err
    solution = ss.load(tmp_path / "out" / f"bench_{prior}.h5")
    scan, grid = ss.load(scan_file), Grid.box((0, 0, 0.4), 0.1, 0.02)
    wanted = radar.reconstruct(scan, grid, prior, form="noise_ball", snr=30)
    # the box's middle is rounded otherwise
    assert np.linalg.norm(solution.x - wanted.x) < 0.1 * np.linalg.norm(wanted.x)
    assert (tmp_path / "out" / f"bench_{prior}.vti").stat().st_size > 1000


def test_bad_files_end_in_one_line(scan_file, tmp_path, capsys):
    out = tmp_path / "out"
    assert image(tmp_path / "nothing.h5", out) == 2
    assert "nothing.h5 does not exist" in one_line(capsys)
    (tmp_path / "text.h5").write_text("no")
    assert image(tmp_path / "text.h5", out) == 2
    assert "not an HDF5 file" in one_line(capsys)
    ss.save(tmp_path / "solution.h5", small_solution())
    assert image(tmp_path / "solution.h5", out) == 2
    assert "wanted 'near_field_mimo'" in one_line(capsys)
    assert image(scan_file, scan_file) == 2
    assert "is a file; wanted a folder" in one_line(capsys)
    assert not out.exists()


def test_info_of_our_files_and_others(scan_file, tmp_path, capsys):
    assert cli.main(["info", str(scan_file)]) == 0
    text = capsys.readouterr().out
    assert text.startswith("RadarScan((7, 3, 4) complex64")
    assert "/freq  (7,)  float64  Hz" in text
    ss.save(tmp_path / "solution.h5", small_solution())
    assert cli.main(["info", str(tmp_path / "solution.h5")]) == 0
    assert "lam: " in capsys.readouterr().out
    with h5py.File(tmp_path / "foreign.h5", "w") as file:
        file["a/b"] = np.zeros((2, 3))
    assert cli.main(["info", str(tmp_path / "foreign.h5")]) == 0
    text = capsys.readouterr().out
    assert "foreign" in text
    assert "/a/b  (2, 3)  float64" in text
    assert cli.main(["info", str(tmp_path)]) == 2
    assert "is a folder; wanted a file" in one_line(capsys)


@pytest.fixture
def small_demo(monkeypatch):
    """The demonstration on small volumes, and without the search for lam."""
    simulate, grid = radar.simulate_scan, radar_demo.phantom_grid
    coarse = Grid.box((0, 0, 0.5), 0.2, (0.02, 0.02, 0.01))

    def quiet(seed):
        simulation = simulate(seed, n_targets=1, n_freq=4)
        return replace(simulation, scan=replace(simulation.scan, noise=None))

    monkeypatch.setattr(radar, "simulate_scan", quiet)
    monkeypatch.setattr(radar, "reference_grid", lambda: coarse)
    monkeypatch.setattr(radar_demo, "phantom_grid", lambda: grid(0.005))
    monkeypatch.setattr(radar_weight, "LAM_SHARE", 0.9)  # few voxels, few iterations


def absent(name):
    raise FileNotFoundError(f"data set {name!r} was not found; get it from somewhere")


def test_demo_without_measured_data_says_where_to_get_them(
    small_demo, tmp_path, capsys, monkeypatch
):
    monkeypatch.setattr("sparsesolve.data.find", absent)
    assert cli.main(["demo", "radar", "--out", str(tmp_path), "--seed", "1"]) == 0
    seen = capsys.readouterr()
    assert "measured: skipped, data set 'merit' was not found; get it" in seen.err
    assert len(seen.out.splitlines()) == 5
    names = sorted(p.name for p in tmp_path.iterdir())
    assert names == [
        "metrics.csv",
        "simulated.h5",
        "simulated.png",
        "simulated_convergence.png",
        "simulated_l1.h5",
        "simulated_residuals.png",
        "simulated_slices.png",
    ]
    assert isinstance(ss.load(tmp_path / "simulated.h5"), ss.RadarScan)


def test_demo_images_the_measured_phantoms(
    small_demo, tmp_path, capsys, merit_folder, monkeypatch
):
    monkeypatch.setattr("sparsesolve.data.find", lambda name: merit_folder)
    assert cli.main(["demo", "radar", "--out", str(tmp_path)]) == 0
    rows = capsys.readouterr().out.splitlines()[2:]
    names = [name for name in ("simulated", "B0_P3", "B0_P5") for _ in range(3)]
    assert [row.split()[0] for row in rows] == names
    for name in ("B0_P3", "B0_P5"):
        assert (tmp_path / f"{name}.png").stat().st_size > 10_000
        assert ss.load(tmp_path / f"{name}_l1.h5").x.shape == (29, 29, 15)


def test_an_interrupt_is_130_with_its_message(scan_file, tmp_path, capsys, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt("interrupted while lam was being chosen")

    monkeypatch.setattr(radar, "reconstruct", interrupted)
    assert image(scan_file, tmp_path) == 130
    assert "interrupted while lam" in capsys.readouterr().err.splitlines()[-1]

    def plain(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(radar, "reconstruct", plain)
    assert image(scan_file, tmp_path) == 130
    assert "interrupted; nothing was kept" in capsys.readouterr().err


def ended_by_sigterm(scan_file, checkpoint, **popen):
    """Run until there is a checkpoint, then end it; return what it said."""
    command = [sys.executable, "-m", "sparsesolve.cli", "reconstruct", str(scan_file)]
    command += [*VOLUME, "--spacing", "0.02", "--tol", "0", "--max-iter", "100000000"]
    command += ["--lam", "share", "--out", str(checkpoint.parent)]
    running = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, **popen)
    try:
        # Kernels may have to be compiled first, on a machine with other things to do.
        deadline = time.monotonic() + 180
        while not checkpoint.exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        running.send_signal(signal.SIGTERM)
        _, errors = running.communicate(timeout=60)
    finally:
        running.kill()
    assert running.returncode == 130, errors
    assert "Traceback" not in errors
    return errors.splitlines()[-1]


@pytest.mark.skipif(os.name == "nt", reason="no SIGTERM to catch on Windows")
def test_sigterm_ends_a_job_whose_sigint_is_ignored(scan_file, tmp_path):
    """As of a job that a script starts with "&"."""
    checkpoint = tmp_path / "bench_l1.checkpoint.h5"
    said = ended_by_sigterm(
        scan_file,
        checkpoint,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN),
    )
    assert "ended by SIGTERM at once" in said
    assert checkpoint.exists()


@pytest.mark.skipif(os.name == "nt", reason="no SIGTERM to catch on Windows")
def test_sigterm_keeps_a_checkpoint_that_resumes(scan_file, tmp_path, capsys):
    out = tmp_path / "out"
    checkpoint = out / "bench_l1.checkpoint.h5"
    said = ended_by_sigterm(scan_file, checkpoint)
    again = re.search(f"--lam ([0-9.]+) --resume {checkpoint}", said)
    assert again, said
    assert [p.name for p in out.iterdir()] == [checkpoint.name]
    resume = ("--lam", again[1], "--resume", str(checkpoint), "--max-iter")
    assert image(scan_file, out, *resume, "1") == 2
    assert "max_iter is 1, the total" in capsys.readouterr().err
    assert checkpoint.exists()
    assert image(scan_file, out, *resume, "100000000", "--tol", "10") == 0
    assert not checkpoint.exists()
    assert ss.load(out / "bench_l1.h5").n_iter > 1


def test_text_tables_align_numbers_to_the_right():
    rows = [{"scan": "a", "n": 1.0}, {"scan": "long", "n": -12.25, "m": 3}]
    assert results.text_table(rows, ["scan", "none", "n", "m"]).splitlines() == [
        "scan      n  m",
        "----  -----  -",
        "a         1",
        "long  -12.2  3",
    ]
