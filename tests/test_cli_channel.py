"""Channels on the command line: what is written, what is said, and exit codes."""

import csv
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest

import sparsesolve as ss
from sparsesolve import cli
from sparsesolve.applications import channel, channel_demo, channel_report

SMALL = channel.IRSUplink(n_mobile=3, n_base=6, n_irs=16, n_atoms=6, n_adjacent=2)


@pytest.fixture(scope="module")
def measurement():
    return channel.simulate(np.random.default_rng(4), 20.0, SMALL)


@pytest.fixture
def file(measurement, tmp_path):
    path = tmp_path / "uplink.h5"
    ss.save(path, measurement)
    return path


@pytest.fixture
def unrendered(monkeypatch):
    """Pictures are drawn but not written, which takes most of the time."""
    monkeypatch.setattr(ss.plot, "save", lambda figure, path: None)


def reconstruct(file, out, *more):
    return cli.main(["reconstruct", str(file), "--out", str(out), *more])


def rows_in(folder):
    with (folder / "metrics.csv").open() as file:
        return list(csv.DictReader(file))


def test_reconstruct_writes_solution_pictures_and_a_line(file, tmp_path, capsys):
    out = tmp_path / "new" / "folder"
    assert reconstruct(file, out) == 0
    assert sorted(p.name for p in out.iterdir()) == [
        "metrics.csv",
        "uplink_kronecker-sbl.h5",
        "uplink_kronecker-sbl.png",
        "uplink_kronecker-sbl_channel.png",
        "uplink_kronecker-sbl_convergence.png",
    ]
    measurement = ss.load(file)
    wanted = channel.estimate(measurement)
    found = ss.load(out / "uplink_kronecker-sbl.h5")
    np.testing.assert_allclose(found.x, wanted.x, atol=1e-12)
    assert "checkpoint" not in found.choices
    (row,) = rows_in(out)
    assert row["measurement"] == "uplink"
    assert row["estimate"] == "kronecker-sbl"
    assert float(row["nmse"]) == pytest.approx(wanted.nmse, rel=1e-5)
    assert float(row["support"]) == pytest.approx(
        channel.support_recovery(wanted.x, measurement.x), rel=1e-5
    )
    assert float(row["noise_variance"]) == pytest.approx(
        measurement.noise_variance, rel=1e-5
    )
    evidence = wanted.posterior.log_evidence
    assert float(row["log_evidence"]) == pytest.approx(evidence, rel=1e-5)
    assert int(row["n_iter"]) == wanted.solution.n_iter
    seen = capsys.readouterr()
    assert "kronecker-sbl" in seen.out
    assert "engine: Kronecker" in seen.err


@pytest.mark.usefixtures("unrendered")
def test_every_prior_leaves_a_line_of_its_own(file, tmp_path, capsys):
    for prior in channel_report.PRIORS:
        assert reconstruct(file, tmp_path, "--prior", prior) == 0
    rows = {row["estimate"]: row for row in rows_in(tmp_path)}
    assert list(rows) == ["kronecker-sbl", "sbl", "l1"]
    for prior in ("kronecker-sbl", "sbl"):
        assert float(rows[prior]["nmse"]) < 0.01
    assert rows["l1"]["log_evidence"] == ""
    assert "the largest of 20 weights from lam_max down" in capsys.readouterr().err
    solution = ss.load(tmp_path / "uplink_l1.h5")
    assert solution.posterior is None
    measurement = ss.load(file)
    misfit = np.linalg.norm(measurement.operator(solution.x) - measurement.y)
    level = (measurement.y.size * measurement.noise_variance) ** 0.5
    assert 0.7 * level < misfit <= level


@pytest.mark.usefixtures("unrendered")
def test_options_reach_the_solver(file, tmp_path, capsys):
    options = ["--noise-variance", "1e-3", "--max-iter", "3", "--tol", "0"]
    assert reconstruct(file, tmp_path, *options) == 0
    assert float(rows_in(tmp_path)[0]["noise_variance"]) == 1e-3
    assert ss.load(tmp_path / "uplink_kronecker-sbl.h5").n_iter == 3
    assert (tmp_path / "uplink_kronecker-sbl.checkpoint.h5").exists()
    assert reconstruct(file, tmp_path, "--prior", "l1", "--lam", "0.01") == 0
    assert ss.load(tmp_path / "uplink_l1.h5").choices["lam"] == "0.01, given"


def test_unknown_noise_truth_and_synthesis(measurement, tmp_path, capsys):
    bare = ss.KroneckerMeasurement(measurement.factors, measurement.y)
    ss.save(tmp_path / "bare.h5", bare)
    assert reconstruct(tmp_path / "bare.h5", tmp_path / "out") == 0
    names = sorted(p.name for p in (tmp_path / "out").glob("*.png"))
    assert names == ["bare_kronecker-sbl.png", "bare_kronecker-sbl_convergence.png"]
    (row,) = rows_in(tmp_path / "out")
    assert "nmse" not in row
    ratio = float(row["noise_variance"]) / measurement.noise_variance
    assert 0.5 < ratio < 2  # learned
    assert reconstruct(tmp_path / "bare.h5", tmp_path / "out", "--prior", "l1") == 0
    assert "held-out data" in capsys.readouterr().err


@pytest.mark.usefixtures("unrendered")
def test_missing_pilots_and_snapshots(tmp_path):
    rng = np.random.default_rng(0)
    whole = channel.simulate(rng, 20.0, SMALL, snapshots=3)
    mask = np.ones(whole.y.shape[:-1], bool)
    mask.flat[::5] = False
    y = np.where(mask[..., None], whole.y, np.nan)
    ss.save(tmp_path / "gaps.h5", replace(whole, y=y, mask=mask))
    assert reconstruct(tmp_path / "gaps.h5", tmp_path / "out") == 0
    (row,) = rows_in(tmp_path / "out")
    assert float(row["nmse"]) < 0.05
    hyper = ss.load(tmp_path / "out" / "gaps_kronecker-sbl.h5").posterior.hyper
    assert len(hyper) == 3  # one for each mode: snapshots share them


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--prior", "tv"], "'tv' is not one of 'kronecker-sbl', 'sbl', 'l1'; "),
        (
            ["--prior", "tv"],
            "uplink.h5 is of kind 'kronecker', whose options are --pri",
        ),
        (["--speed", "2e8"], "No such option"),
        (["--speed", "2e8"], "whose options are --prior, --out, --noise-variance, --l"),
        (["--colour", "red"], "No such option"),
        (["--noise-variance", "0"], "noise_variance is 0; wanted a finite number > 0"),
        (["--lam", "1"], "lam is the weight of 'l1'; 'kronecker-sbl' has none"),
        (["--prior", "l1", "--lam", "0"], "lam is 0"),
        (["--prior", "l1", "--resume", "a.h5"], "give lam"),
        (["--max-iter", "0"], "max_iter is 0"),
        (["--tol", "x"], "not a valid float"),
        (["--resume", "absent.h5"], "absent.h5 does not exist"),
    ],
)
def test_bad_options_end_in_one_line(file, tmp_path, capfd, options, message):
    out = tmp_path / "out"
    assert reconstruct(file, out, *options) == 2
    assert message in capfd.readouterr().err.splitlines()[-1]
    assert not out.exists() or not list(out.iterdir())


def test_options_of_channels_are_refused_for_scans(tmp_path, capsys):
    path, places = tmp_path / "scan.h5", [[0.0, 0, 0], [0.1, 0, 0]]
    data = np.ones((2, 2), "complex64")
    ss.save(path, ss.RadarScan.monostatic(data, [4e9, 5e9], places))
    assert reconstruct(path, tmp_path / "out", "--prior", "kronecker-sbl") == 2
    text = capsys.readouterr().err
    assert "'kronecker-sbl' is not one of 'l1', 'tv', 'l1+tv', 'group'; " in text
    assert "is of kind 'near_field_mimo', whose options are" in text
    assert text.count("\n") == 1


def test_files_that_do_not_fit_end_in_one_line(measurement, file, tmp_path, capsys):
    out = tmp_path / "out"

    def refused(path, message):
        assert reconstruct(path, out) == 2
        text = capsys.readouterr().err
        assert text.count("\n") == 1
        assert message in text
        assert not out.exists()

    refused(tmp_path / "absent.h5", "absent.h5 does not exist")
    cut = tmp_path / "cut.h5"
    cut.write_bytes(file.read_bytes()[:4000])
    refused(cut, "is truncated: 4000 bytes")
    np.savez(tmp_path / "other.npz", y=measurement.y)
    refused(tmp_path / "other.npz", "is not an HDF5 file")
    ss.save(tmp_path / "solution.h5", channel.estimate(measurement).solution)
    refused(
        tmp_path / "solution.h5",
        "is of kind 'solution'; wanted 'near_field_mimo' or 'kronecker'",
    )
    assert cli.main(["reconstruct", "--out", str(out)]) == 2
    assert "Missing argument 'FILE'" in capsys.readouterr().err
    assert cli.main(["reconstruct", str(file)]) == 2
    assert "Missing option '--out'" in capsys.readouterr().err


def test_help_shows_the_options_of_each_kind(capsys):
    assert cli.main(["reconstruct", "--help"]) == 0
    text = capsys.readouterr().out
    radar, kronecker = text.split("Of kind kronecker:")
    assert "--grid" in radar
    assert "--grid" not in kronecker
    assert "--noise-variance" in kronecker


def test_info_of_a_measurement(file, capsys):
    assert cli.main(["info", str(file)]) == 0
    text = capsys.readouterr().out
    assert text.startswith("KroneckerMeasurement(y (6, 3, 6) complex128, x (6, 6, 6)")
    assert "/factors/0  (6, 6)  complex128  1" in text


def test_a_full_disk_leaves_nothing_half_written(file, tmp_path, monkeypatch, capsys):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(channel_report, "save", full)
    assert reconstruct(file, tmp_path / "out") == 2
    assert "No space left" in capsys.readouterr().err
    left = {p.name for p in (tmp_path / "out").iterdir()}
    assert "metrics.csv" not in left
    assert "uplink_kronecker-sbl.h5" not in left
    assert "uplink_kronecker-sbl.checkpoint.h5" in left  # to go on from


def test_an_interrupted_search_of_lam_says_so(file, tmp_path, monkeypatch, capsys):
    def stopped(problem, **options):
        return ss.path(problem, **options | {"choose": None, "noise": None})

    monkeypatch.setattr(channel_report, "path", stopped)
    assert reconstruct(file, tmp_path / "out", "--prior", "l1") == 130
    assert "interrupted while lam was being chosen" in capsys.readouterr().err
    assert not list((tmp_path / "out").iterdir())


@pytest.mark.skipif(os.name == "nt", reason="no SIGTERM to catch on Windows")
def test_sigterm_keeps_a_checkpoint_that_resumes(file, tmp_path, capsys):
    out = tmp_path / "out"
    command = [sys.executable, "-m", "sparsesolve.cli", "reconstruct", str(file)]
    checkpoint = out / "uplink_kronecker-sbl.checkpoint.h5"
    running = subprocess.Popen(
        [*command, "--out", str(out), "--tol", "0", "--max-iter", "100000000"],
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        deadline = time.monotonic() + 120
        while not checkpoint.exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        running.send_signal(signal.SIGTERM)
        _, errors = running.communicate(timeout=60)
    finally:
        running.kill()
    assert running.returncode == 130, errors
    assert f"--resume {checkpoint}" in errors.splitlines()[-1]
    assert "Traceback" not in errors
    assert [p.name for p in out.iterdir()] == [checkpoint.name]
    more = ["--resume", str(checkpoint), "--max-iter", "100000000", "--tol", "10"]
    assert reconstruct(file, out, *more) == 0
    assert not checkpoint.exists()


def test_the_demo_goes_through_a_file(tmp_path, capsys, monkeypatch):
    simulate = channel.simulate

    def small(rng, snr_db, geometry):
        return simulate(rng, snr_db, SMALL)

    monkeypatch.setattr(channel_demo, "simulate", small)
    assert cli.main(["demo", "channel", "--out", str(tmp_path), "--seed", "1"]) == 0
    seen = capsys.readouterr()
    assert len(seen.out.splitlines()) == 6
    measurement = ss.load(tmp_path / "uplink.h5", kind="kronecker")
    again = simulate(np.random.default_rng(1), channel_demo.SNR_DB, SMALL)
    np.testing.assert_array_equal(measurement.y, again.y)
    rows = {row["estimate"]: row for row in rows_in(tmp_path)}
    assert list(rows) == ["kronecker-sbl", "l1", "omp", "least squares"]
    H = np.kron(np.kron(*again.factors[:2]), again.factors[2])
    B = np.kron(np.kron(*again.synthesis[:2]), again.synthesis[2])
    exact = B @ np.linalg.pinv(H) @ again.y.ravel()
    wanted = channel.relative_squared_error(exact, again.channel.ravel())
    assert float(rows["least squares"]["nmse"]) == pytest.approx(wanted, rel=1e-5)
    assert (tmp_path / "uplink_kronecker-sbl_channel.png").exists()
