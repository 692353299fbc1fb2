"""The wave speed by the sharpness of the image."""

from dataclasses import replace

import numpy as np
import pytest

from sparsesolve.applications import radar
from sparsesolve.applications.radar_demo import phantom_grid
from sparsesolve.operators import Grid

GRID = Grid.box((0, 0, 0.5), (0.2, 0.2, 0.24), 0.02)


@pytest.mark.parametrize("true", [0.9, 0.96, 1.1])
@pytest.mark.parametrize("seed", [0, 1])
def test_a_wrong_speed_is_found_again(seed, true):
    scan = radar.simulate_scan(seed, n_freq=31, snr_db=20).scan
    wrong = replace(scan, speed=scan.speed / true)
    speeds = wrong.speed * np.linspace(0.86, 1.14, 15)
    found = radar.estimate_speed(wrong, GRID, speeds)
    assert found.speed == pytest.approx(scan.speed, rel=0.025)
    assert found.sharpness.shape == speeds.shape
    assert found.sharpness.argmax() == np.abs(speeds - found.speed).argmin()
    assert f"{found.speed:.4g} m/s" in repr(found)


def test_the_parabola_lies_between_the_speeds():
    scan = radar.simulate_scan(0, n_freq=31, snr_db=20).scan
    coarse = scan.speed * np.linspace(0.9, 1.1, 6)
    found = radar.estimate_speed(scan, GRID, coarse).speed
    assert abs(found - scan.speed) < np.abs(coarse - scan.speed).min()


def test_the_measure_has_no_unit():
    scan = radar.simulate_scan(0, n_freq=15).scan
    speeds = scan.speed * np.linspace(0.9, 1.1, 5)
    mask = np.ones(scan.data.shape, bool)
    mask[:, 3] = False
    data = np.where(mask, 1e3 * scan.data, np.nan)
    one = radar.estimate_speed(replace(scan, mask=mask), GRID, speeds)
    other = radar.estimate_speed(replace(scan, mask=mask, data=data), GRID, speeds)
    np.testing.assert_allclose(one.sharpness, other.sharpness, rtol=1e-4)


def test_fine_grids_are_thinned():
    scan = radar.simulate_scan(1, n_freq=31).scan
    fine = Grid.box((0, 0, 0.5), (0.2, 0.2, 0.24), (0.02, 0.02, 0.002))
    speeds = scan.speed * np.linspace(0.9, 1.1, 9)
    found = [radar.estimate_speed(scan, g, speeds).speed for g in (GRID, fine)]
    assert found[1] == pytest.approx(found[0], rel=0.02)


def test_the_end_of_the_curve_is_said():
    scan = radar.simulate_scan(0, n_freq=31).scan
    with pytest.warns(RuntimeWarning, match="the end of the speeds"):
        radar.estimate_speed(scan, GRID, scan.speed * np.array([1.05, 1.1, 1.15]))


def test_measured_phantoms(merit_folder):
    scans = (
        radar.read_merit(merit_folder, f"B0_P3_{turn}") for turn in ("p000", "p036")
    )
    found = radar.estimate_speed(radar.subtract(*scans), phantom_grid(0.004))
    assert 7 < (299792458 / found.speed) ** 2 < 10


@pytest.mark.parametrize(
    ("speeds", "message"),
    [
        ([3e8, 2e8, 1e8], "at least three, increasing"),
        ([2e8, 3e8], "at least three"),
        ([-1.0, 1e8, 2e8], "speeds begins at -1"),
        ([1e8, np.nan, 2e8], "speeds has 1 NaN"),
    ],
)
def test_bad_speeds_are_one_sentence(speeds, message):
    with pytest.raises(ValueError, match=message):
        radar.estimate_speed(radar.simulate_scan(0).scan, GRID, speeds)


def test_silence_has_no_speed():
    scan = radar.simulate_scan(0).scan
    with pytest.raises(ValueError, match="zero everywhere"):
        radar.estimate_speed(replace(scan, data=0 * scan.data), GRID)
