"""Every example is short, runs as a person runs it, and says what it should."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parent.parent / "examples"
NEEDS = {
    "compressed_sensing_pylops": "pylops",
    "deblur_image": "skimage",
    "radar_from_touchstone": "skrf",
}
# What follows the folder on the command line: a smaller problem of the same kind.
SMALL = {"radar_monostatic_scan": ["13"], "irs_channel_estimation": ["1"]}
SAYS = {
    "your_own_operator": "30, 42, 110, 160",
    "your_own_prior": "PrimalDual: error 0.",
    "your_own_solver": "check_solver",
    "compressed_sensing_pylops": "spectral lines found: True",
    "deblur_image": "non-local means",
    "matrix_factorisation": "angle to each true endmember",
    "error_bars": "learned, 0.3 true",
    "hdf5_mapping": "the same after saving: True",
    "radar_breast_phantom": "0.5 of lam_max",
    "radar_simulated": "magnitude-l1+tv  PSNR",
    "radar_from_touchstone": "subtract: minus a reference scan",
    "radar_monostatic_scan": "20 iterations",
    "interrupt_and_resume": "equal bit for bit: True",
    "irs_channel_estimation": "12 dB  OMP            median NMSE 0.0",
    "missing_pilots": "three quarters of the pilots: NMSE 0.0",
    "unmixing_jasper": "SAD 0.0",
    "unmixing_outlier_bands": "screening: F1 1.00",
    "unmixing_with_library": "eight that are absent: 0.",
}


def test_every_example_is_listed():
    assert sorted(p.stem for p in FOLDER.glob("*.py")) == sorted(SAYS)


@pytest.mark.parametrize("name", SAYS)
def test_it_is_at_most_forty_lines(name):
    text = (FOLDER / f"{name}.py").read_text(encoding="utf-8")
    assert text.count("\n") <= 40


@pytest.mark.parametrize("name", SAYS)
def test_it_runs(name, tmp_path, request):
    if name in NEEDS:
        pytest.importorskip(NEEDS[name])
    if name == "radar_breast_phantom":
        request.getfixturevalue("merit_folder")
    if name == "unmixing_jasper":
        request.getfixturevalue("hsi_folder")
    assert SAYS[name] in printed(name, tmp_path, *SMALL.get(name, []))


def test_a_phantom_without_a_known_tumour_is_only_looked_at(tmp_path, merit_folder):
    text = printed("radar_breast_phantom", tmp_path, "B10E_P3")
    assert "side_energy_db" in text
    assert "error_mm" not in text
    assert (tmp_path / "radar_breast_phantom.png").stat().st_size > 10_000


def printed(name, folder, *arguments):
    """Return what an example prints, run as a program whose warnings are errors."""
    script = str(FOLDER / f"{name}.py")
    run = subprocess.run(
        [sys.executable, "-W", "error", script, str(folder), *arguments],
        cwd=folder,
        env={**os.environ, "MPLBACKEND": "Agg"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert run.returncode == 0, run.stderr
    return run.stdout
