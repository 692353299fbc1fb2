"""What `RadarScan.check` notices, and that it leaves good scans in peace."""

import warnings
from dataclasses import replace

import numpy as np
import pytest

import sparsesolve as ss
from sparsesolve.applications import radar
from sparsesolve.scan_check import check_scan


def quiet(scan, grid=None):
    """Return a check that must not warn."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = scan.check(grid)
    assert found.message == ""
    return found


def noticed(scan, message, grid=None):
    with pytest.warns(UserWarning, match=message) as caught:
        found = scan.check(grid)
    assert len(caught) == 1
    assert caught[0].filename == __file__
    assert found.message in str(caught[0].message)
    assert "\n" not in found.message
    return found


def conjugated(scan):
    return replace(scan, data=scan.data.conj())


def scaled(scan, factor):
    return replace(scan, tx=scan.tx * factor, rx=scan.rx * factor)


@pytest.fixture(scope="module")
def scan():
    return radar.simulate_scan(0).scan


@pytest.mark.parametrize("scene", ["points", "plates"])
def test_a_right_scan_is_left_in_peace(scene):
    scan = radar.simulate_scan(1, scene=scene).scan
    found = quiet(scan)
    assert found.range_cell == pytest.approx(0.0125, rel=0.01)
    assert found.ambiguity == pytest.approx(0.175, rel=0.01)
    stated, other = found.table[:2]
    assert (stated.sign, other.sign, stated.scale) == (1, -1, 1)
    assert stated.focus_db > other.focus_db + 9
    # what data without order reach
    assert abs(other.above_chance_db) < 3
    assert "stated" in str(found)
    assert "nothing looks wrong" in str(found)
    # e+ in memory is the same scan
    assert quiet(replace(conjugated(scan), sign=1)).table == found.table


def test_focus_is_that_of_the_direct_sum():
    """Against delay-and-sum at the point itself, between the check's voxels."""
    rng = np.random.default_rng(0)
    directions = rng.standard_normal((20, 3))
    around = 0.1 * directions / np.linalg.norm(directions, axis=1)[:, None]
    tx, rx, place = around[:10], around[10:], np.array([0.01, 0.02, 0.0])
    freq = np.linspace(2e9, 6e9, 9)
    scan = radar.simulate([place], [1j], tx, rx, freq)
    y = scan.data - scan.data.mean(axis=(1, 2), keepdims=True)
    path = np.linalg.norm(tx - place, axis=1)[:, None] + np.linalg.norm(
        rx - place, axis=1
    )
    back = np.exp(2j * np.pi * freq[:, None, None] * path / scan.speed)
    for sign, data in ((1, y), (-1, y.conj())):
        power = abs(np.sum(back * data)) ** 2 / (y.size * np.sum(abs(y) ** 2))
        trial = next(t for t in quiet(scan).table if (t.sign, t.scale) == (sign, 1))
        if sign == 1:
            top = 10 * np.log10(power)
            assert top - 2 < trial.focus_db < top + 0.1
        else:
            assert 10 * np.log10(power) - 1 < trial.focus_db < -10


def test_a_wrong_sign(scan):
    found = noticed(conjugated(scan), "1. dB better with the other sign of the phase")
    assert "conjugate the data" in found.message
    assert "positions" not in found.message


@pytest.mark.parametrize(
    ("factor", "message"),
    [
        (10, r"positions x 0\.1 \(are they, freq or speed in another unit"),
        (39.37, r"positions x 0\.0254 \(are they in inches, or freq or speed"),
        (0.1, r"positions x 10 \(are they, freq"),
        (0.01, "spans 0.003 m, 0.16 of the shortest wavelength, and resolves nothing"),
    ],
)
def test_positions_in_another_unit(scan, factor, message):
    found = noticed(scaled(scan, factor), message)
    assert "other sign" not in found.message


def test_millimetres_and_centimetres_that_are_small_enough_to_pass():
    a = np.linspace(-7.5e-3, 7.5e-3, 12)
    tx, rx = np.stack([a, -a, 0 * a], 1), np.stack([a, a + 1e-3, 0 * a], 1)
    places = [[1e-3, 2e-3, 0.02], [-3e-3, 0, 0.025]]
    scan = radar.simulate(places, [1, 1j], tx, rx, np.linspace(75e9, 110e9, 12))
    quiet(scan)
    noticed(scaled(scan, 1e3), r"positions x 0\.001 \(are they in mm, or freq")
    noticed(scaled(scan, 1e2), r"positions x 0\.01 \(are they in cm, or freq")


def test_gigahertz_and_millimetres_are_refused_before():
    scan = radar.simulate_scan(0).scan
    with pytest.raises(ValueError, match="looks like GHz"):
        replace(scan, freq=scan.freq / 1e9)
    with pytest.raises(ValueError, match="look like mm or cm"):
        scaled(scan, 1e3)


def test_measured_scans(merit_folder):
    scans = [radar.read_merit(merit_folder, f"B0_P3_{t}") for t in ("p000", "p036")]
    difference = radar.subtract(*scans)
    found = quiet(difference)
    assert 9 < found.table[0].focus_db - found.table[1].focus_db < 15
    noticed(conjugated(difference), "with the other sign")
    quiet(scans[0])
    noticed(scaled(difference, 10), r"positions x 0\.1")


POINTS = np.array([(0.02, -0.05, 0.31), (0.1, 0.08, 0.35), (-0.12, 0.03, 0.28)])


def moved(places, targets=POINTS, snr_db=20.0):
    """Scan three points by one antenna that is moved."""
    channels = np.repeat(np.arange(len(places))[:, None], 2, axis=1)
    return radar.simulate(
        targets,
        [1, 0.7j, -0.8],
        places,
        places,
        np.linspace(8e9, 12e9, 21),
        channels=channels,
        snr_db=snr_db,
    )


def raster(n):
    side = np.linspace(-0.15, 0.15, n)
    x, y = np.meshgrid(side, side)
    return np.stack([x, y, 0 * x], -1).reshape(-1, 3)


def test_a_raster_with_the_antenna_s_own_reflection():
    scan = moved(raster(17))
    own = 30 * np.abs(scan.data).max() * np.exp(1j * np.arange(21) ** 2)
    raw = replace(scan, data=(scan.data + own[:, None]).astype("complex64"))
    quiet(raw)
    noticed(conjugated(raw), "with the other sign")


def test_an_array_in_any_plane_and_a_line():
    turn = np.linalg.qr(np.random.default_rng(0).standard_normal((3, 3)))[0]
    scan = moved(raster(13) @ turn + 1.0, POINTS @ turn + 1.0)
    quiet(scan)
    noticed(conjugated(scan), "with the other sign")
    line = np.stack([np.linspace(-0.3, 0.3, 61), np.zeros(61), np.zeros(61)], 1)
    scan = moved(line, POINTS * (1, 0, 1))
    quiet(scan)
    noticed(conjugated(scan), "with the other sign")


@pytest.mark.parametrize("side", [1, -1])
def test_a_curved_panel_may_look_either_way(side):
    places = raster(13)
    places[:, 2] = 0.2 * np.sum(places[:, :2] ** 2, axis=1)
    scan = moved(places, POINTS * (1, 1, side))
    found = quiet(scan)
    assert found.table[0].focus_db > found.table[1].focus_db + 6
    noticed(conjugated(scan), "with the other sign")


def test_noise_is_not_complained_about(scan, rng):
    noise = rng.standard_normal((2, *scan.data.shape))
    quiet(replace(scan, data=(noise[0] + 1j * noise[1]).astype("complex64")))


def test_few_channels_and_one_frequency(scan):
    few = replace(scan, data=scan.data[:, :1, :2], tx=scan.tx[:1], rx=scan.rx[:2])
    assert quiet(few).table == ()
    one = replace(scan, data=scan.data[:1], freq=scan.freq[:1])
    found = quiet(one)
    assert (found.range_cell, found.ambiguity) == (np.inf, np.inf)


def test_sound_may_be_checked(scan):
    slow = 343.0 / scan.speed
    sound = replace(scan, freq=scan.freq * slow, speed=343.0)
    assert quiet(sound).table[0].focus_db == pytest.approx(
        quiet(scan).table[0].focus_db, abs=0.01
    )


def test_dead_and_broken_entries(scan, tmp_path):
    data = scan.data.copy()
    data[:, 3, 4] = 0
    noticed(
        replace(scan, data=data), "1 channels are zero throughout, the first of tra"
    )
    quiet(radar.mask_channels(replace(scan, data=data)))
    path = tmp_path / "nan.h5"
    ss.save(path, scan)
    import h5py

    with h5py.File(path, "r+") as file:
        file["data"][2, 3, 4] = np.nan
    noticed(
        ss.load(path, lazy_bytes=0), "1 entries are NaN or infinite and need a mask"
    )


def test_with_a_grid(scan):
    grid = radar.reference_grid()
    found = noticed(scan, "echoes repeat after 0.175 m and the grid is 0.33", grid)
    assert found.table[0].focus_db > found.table[1].focus_db + 9
    fine = radar.simulate_scan(0, n_freq=40).scan
    quiet(fine, grid)
    noticed(conjugated(fine), "with the other sign", grid)
    noticed(scaled(fine, 10), r"positions x 0\.1", grid)


def test_the_function_is_the_method(scan):
    assert check_scan(scan) == scan.check()


# the scan's own new parts


def test_a_monostatic_scan_of_many_positions(tmp_path):
    places = raster(101)
    data = np.ones((5, len(places)), "complex64")
    freq = np.linspace(8e9, 12e9, 5)
    scan = ss.RadarScan.monostatic(
        data, freq, places, noise=0.1, speed=2e8, sign=1, steps=("mask: none",)
    )
    np.testing.assert_array_equal(scan.channels[:, 0], np.arange(10201))
    np.testing.assert_array_equal(scan.channels[:, 0], scan.channels[:, 1])
    np.testing.assert_array_equal(scan.tx, places)
    assert (scan.noise, scan.speed, scan.sign) == (0.1, 2e8, 1)
    assert scan.steps == ("mask: none",)
    with pytest.raises(ValueError, match=r"data has shape \(5, 10201\); wanted"):
        ss.RadarScan.monostatic(data, freq, places[1:])
    twice = np.concatenate([places[:-1], places[:1]])
    with pytest.raises(ValueError, match=r"positions\[10200\] stands where another"):
        ss.RadarScan.monostatic(data, freq, twice)


def test_antennas_at_one_point_are_refused():
    data = np.ones((2, 1, 1), "complex64")
    with pytest.raises(
        ValueError, match="all antennas of tx and rx stand at one point"
    ):
        ss.RadarScan(data, [1e9, 2e9], [[0, 0, 0.1]], [[0, 0, 0.1]])
    ss.RadarScan(data, [1e9, 2e9], [[0, 0, 0.1]], [[0, 0, 0.2]])


@pytest.mark.parametrize("steps", ["mask: one", ("",), (1,), ("two\nlines",)])
def test_steps_that_are_no_sentences(scan, steps):
    with pytest.raises(TypeError, match="wanted a tuple of sentences"):
        replace(scan, steps=steps)


def test_steps_in_files_are_text_of_fixed_length(scan, tmp_path):
    import h5py

    path = tmp_path / "scan.h5"
    ss.save(path, replace(scan, steps=("subtract: ein Gerät — ß", "delay: no")))
    with h5py.File(path) as file:
        kind = h5py.check_string_dtype(file["steps"].dtype)
    assert (kind.encoding, kind.length is not None) == ("utf-8", True)
    assert ss.load(path).steps == ("subtract: ein Gerät — ß", "delay: no")
    with h5py.File(path, "r+") as file:
        del file["steps"]
        file["steps"] = [1.0, 2.0]
        file["steps"].attrs["units"] = "1"
    with pytest.raises(TypeError, match=r"scan\.h5: steps is .*wanted a tuple"):
        ss.load(path)
