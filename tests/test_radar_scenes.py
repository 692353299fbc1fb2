"""Simulated scenes: off the voxels, seeded, with an array that is not as stated."""

import cmath
import math
import warnings

import numpy as np
import pytest

import sparsesolve as ss
from sparsesolve.applications import radar, radar_echoes

GRID = radar.reference_grid()
BODIES = [name for name in radar.SCENES if name != "points"]


def scene(name, seed=0, **options):
    return radar.simulate_scan(seed, scene=name, n_freq=1, **options)


def few_scatterers(n=3):
    rng = np.random.default_rng(7)
    positions = rng.uniform(-0.1, 0.1, (n, 3)) + np.array([0, 0, 0.4])
    return positions, rng.standard_normal(n) + 1j * rng.standard_normal(n)


def explicit(positions, amplitudes, tx, rx, freq, speed, gains):
    """The formula of `simulate` in plain loops."""
    data = np.zeros((len(freq), len(tx), len(rx)), complex)
    for k, t, r in np.ndindex(*data.shape):
        for point, amplitude in zip(positions, amplitudes, strict=True):
            out, back = math.dist(tx[t], point), math.dist(rx[r], point)
            turns = freq[k] * (out + back) / speed
            wave = cmath.exp(-2j * math.pi * turns) / (4 * math.pi * out * back)
            data[k, t, r] += gains[0][t] * gains[1][r] * amplitude * wave
    return data


# families


@pytest.mark.parametrize("name", BODIES)
@pytest.mark.parametrize("seed", range(3))
def test_bodies_fill_the_volume_off_the_voxels(name, seed):
    simulation = scene(name, seed)
    positions, magnitudes = simulation.positions, np.abs(simulation.amplitudes)
    assert 200 < len(positions) < 10_000
    assert np.all(np.abs(positions - (0, 0, 0.5)) <= 0.1)
    assert np.ptp(positions[:, :2], axis=0).max() > 0.04
    voxels = (positions - GRID.points[0, 0, 0]) / GRID.spacing
    off = np.abs(voxels - np.rint(voxels))
    assert 0.125 < off.min() < 0.14
    assert 0.36 < off.max() < 0.375
    _, count = np.unique(np.rint(voxels), axis=0, return_counts=True)
    assert count.max() == 8  # a grid twice finer
    assert magnitudes.min() > 0
    assert 0.5 <= magnitudes.max() <= 1 + 1e-12


@pytest.mark.parametrize("name", BODIES)
def test_phases_are_uniform_and_independent_of_place(name):
    phasor = scene(name).amplitudes
    phasor /= np.abs(phasor)
    bound = 4 / np.sqrt(phasor.size)
    assert abs(np.mean(phasor)) < bound
    assert abs(np.mean(phasor**2)) < bound
    assert abs(np.mean(phasor[1:] * phasor[:-1].conj())) < bound


@pytest.mark.parametrize("name", radar.SCENES)
def test_a_seed_is_a_scene(name):
    first, again, other = scene(name), scene(name), scene(name, seed=1)
    np.testing.assert_array_equal(first.positions, again.positions)
    np.testing.assert_array_equal(first.amplitudes, again.amplitudes)
    np.testing.assert_array_equal(first.scan.data, again.scan.data)
    assert not np.array_equal(first.amplitudes[:5], other.amplitudes[:5])


def test_points_stay_the_draw_that_published_figures_rest_on():
    simulation = scene("points")
    rng = np.random.default_rng(0)
    positions = rng.uniform(-0.1, 0.1, (5, 3)) + np.array([0, 0, 0.5])
    phase = rng.uniform(0, 2 * np.pi, 5)
    np.testing.assert_array_equal(simulation.positions, positions)
    wanted = rng.uniform(0.5, 1, 5) * np.exp(1j * phase)
    np.testing.assert_array_equal(simulation.amplitudes, wanted)
    draw = rng.standard_normal((2, 1, 12, 13)) / np.sqrt(2)
    added = simulation.scan.data - scene("points", snr_db=None).scan.data
    noise = simulation.scan.noise * (draw[0] + 1j * draw[1])
    np.testing.assert_allclose(added, noise, atol=1e-5 * np.abs(noise).max())


@pytest.mark.parametrize("name", ["plates", "letters", "extruded"])
def test_bodies_are_as_many_as_asked_for(name):
    simulation = scene(name, n_targets=3)
    values = np.unique(np.abs(simulation.amplitudes).round(9))
    assert values.size == 3


def test_plates_and_letters_are_flat_and_solids_thick():
    def thickness(name):
        positions = scene(name, n_targets=1).positions
        centered = positions - positions.mean(axis=0)
        normal = np.linalg.svd(centered, full_matrices=False)[2][-1]
        return np.ptp(centered @ normal)

    assert thickness("plates") < 0.011
    assert thickness("letters") < 0.011
    assert 0.015 < thickness("extruded") < 0.041


# echoes


@pytest.mark.parametrize("few", [0, 10**7])
@pytest.mark.parametrize("uneven", [False, True])
def test_echoes_are_the_formula(monkeypatch, few, uneven):
    """By exponentials and by the recurrence, in blocks of two scatterers."""
    monkeypatch.setattr(radar_echoes, "_FEW", few)
    monkeypatch.setattr(radar_echoes, "_ROWS", 2)
    monkeypatch.setattr(radar_echoes, "_BLOCK", 10)
    positions, amplitudes = few_scatterers()
    tx, rx = (a[::4] for a in radar.reference_array())
    freq = np.linspace(2e9, 9e9, 7) + 1e7 * uneven * np.arange(7) ** 2
    wanted = explicit(positions, amplitudes, tx, rx, freq, 2e8, np.ones((2, 4)))
    options = {"speed": 2e8, "dtype": "complex128"}
    scan = radar.simulate(positions, amplitudes, tx, rx, freq, **options)
    atol = 1e-12 * np.abs(wanted).max()
    np.testing.assert_allclose(scan.data, wanted, rtol=0, atol=atol)
    assert scan.noise is None
    assert scan.speed == 2e8
    pairs = np.array([[2, 1], [0, 3], [1, 1]])
    scan = radar.simulate(
        positions, amplitudes, tx, rx, freq, channels=pairs, **options
    )
    wanted = wanted[:, pairs[:, 0], pairs[:, 1]]
    np.testing.assert_allclose(scan.data, wanted, rtol=0, atol=atol)
    np.testing.assert_array_equal(scan.channels, pairs)


def test_the_true_array_makes_the_data_and_the_scan_states_the_nominal(monkeypatch):
    positions, amplitudes = few_scatterers()
    tx, rx = (a[::4] for a in radar.reference_array())
    freq = np.linspace(2e9, 9e9, 3)
    true = []
    draw = radar_echoes._true_array
    monkeypatch.setattr(
        radar_echoes, "_true_array", lambda *args: true.append(draw(*args)) or true[-1]
    )
    scan = radar.simulate(
        positions,
        amplitudes,
        tx,
        rx,
        freq,
        position_error=2e-3,
        speed_error=-0.05,
        gain_error=0.1,
        seed=3,
        dtype="complex128",
    )
    array = true[0]
    gains = (array.tx_gain, array.rx_gain)
    speed = 0.95 * 299_792_458.0
    wanted = explicit(positions, amplitudes, array.tx, array.rx, freq, speed, gains)
    atol = 1e-12 * np.abs(wanted).max()
    np.testing.assert_allclose(scan.data, wanted, rtol=0, atol=atol)
    np.testing.assert_array_equal(scan.tx, tx)
    np.testing.assert_array_equal(scan.rx, rx)
    assert scan.speed == 299_792_458.0
    nominal = explicit(positions, amplitudes, tx, rx, freq, scan.speed, np.ones((2, 4)))
    assert np.linalg.norm(scan.data - nominal) > 0.3 * np.linalg.norm(nominal)


def test_errors_have_the_stated_size_and_follow_the_antenna():
    places = np.random.default_rng(0).uniform(-1, 1, (4000, 3))
    scan = ss.RadarScan(
        np.zeros((1, 4000), "c8"),
        [1e9],
        places,
        places[::-1],
        np.stack([np.arange(4000)] * 2, axis=1),
    )
    true = radar_echoes._true_array(np.random.default_rng(1), scan, 2e-3, 0.03, 0.1)
    np.testing.assert_allclose(np.std(true.tx - places, axis=0), 2e-3, rtol=0.05)
    assert np.sqrt(np.mean(np.abs(true.tx_gain - 1) ** 2)) == pytest.approx(
        0.1, rel=0.05
    )
    assert abs(np.mean((true.tx_gain - 1) ** 2)) < 0.1**2 / 10
    assert true.speed == pytest.approx(1.03 * scan.speed)
    np.testing.assert_array_equal(true.rx[::-1] - places, true.tx - places)
    np.testing.assert_array_equal(true.rx_gain[::-1], true.tx_gain)


@pytest.mark.parametrize(
    "errors", [{"position_error": 2e-3}, {"speed_error": 0.05}, {"gain_error": 0.1}]
)
def test_errors_leave_scene_and_noise_as_they_are(errors):
    def run(snr_db, errors):
        return radar.simulate_scan(5, n_freq=3, snr_db=snr_db, **errors)

    plain, wrong = run(0, {}), run(0, errors)
    np.testing.assert_array_equal(plain.positions, wrong.positions)
    np.testing.assert_array_equal(plain.amplitudes, wrong.amplitudes)
    draws = [
        (noisy.scan.data - silent.scan.data) / noisy.scan.noise
        for noisy, silent in ((plain, run(None, {})), (wrong, run(None, errors)))
    ]
    np.testing.assert_allclose(*draws, atol=1e-5)
    moved = np.linalg.norm(run(None, errors).scan.data - run(None, {}).scan.data)
    assert moved > 0.05 * np.linalg.norm(run(None, {}).scan.data)


def test_noise_is_circular_and_as_strong_as_stated():
    tx, rx = radar.reference_array()
    freq = np.linspace(4e9, 8e9, 20)
    args = (*few_scatterers(), tx, rx, freq)
    silent = radar.simulate(*args).data
    rms = np.sqrt(np.mean(np.abs(silent) ** 2))
    for options, sigma in (({"noise": 0.3}, 0.3), ({"snr_db": 6}, rms / 10**0.3)):
        scan = radar.simulate(*args, **options)
        added = scan.data - silent
        assert scan.noise == pytest.approx(sigma, rel=1e-5)
        assert np.sqrt(np.mean(np.abs(added) ** 2)) == pytest.approx(sigma, rel=0.05)
        assert abs(np.mean(added**2)) < 0.1 * sigma**2
        other = radar.simulate(*args, **options, seed=1).data
        assert not np.array_equal(other, scan.data)


# the truth


def lone(*places, amplitudes=None):
    grid = ss.Grid.box((0, 0, 0.5), 0.08, (0.01, 0.01, 0.01))
    amplitudes = np.ones(len(places)) if amplitudes is None else np.array(amplitudes)
    return radar.Simulation(None, np.array(places), amplitudes), grid


def test_truth_of_one_scatterer():
    simulation, grid = lone((0.01, -0.02, 0.53))
    wanted = np.zeros((9, 9, 9))
    wanted[5, 2, 7] = 1
    np.testing.assert_allclose(simulation.truth(grid), wanted, atol=1e-6)
    simulation, grid = lone((0.0025, 0, 0.5), amplitudes=[2j])
    image = simulation.truth(grid)
    assert image[4, 4, 4] == pytest.approx(2 * np.sqrt(0.75))
    assert image[5, 4, 4] == pytest.approx(2 * np.sqrt(0.25))
    assert image.dtype == np.float64


def test_opposite_phases_in_a_voxel_do_not_cancel():
    simulation, grid = lone((0, 0, 0.5), (0, 0, 0.5), amplitudes=[1, -1])
    assert simulation.truth(grid)[4, 4, 4] == pytest.approx(np.sqrt(2))


@pytest.mark.parametrize("name", radar.SCENES)
def test_truth_keeps_the_energy_and_its_centre(name):
    simulation = scene(name)
    power = np.abs(simulation.amplitudes) ** 2
    wanted = power @ simulation.positions / power.sum()
    x, y, z = GRID.axes
    uneven = ss.Grid(x, y[[*range(0, 8), 9, *range(10, 25)]], z)
    for grid in (GRID, uneven):
        image = simulation.truth(grid) ** 2
        assert image.sum() == pytest.approx(power.sum(), rel=1e-12)
        centre = np.tensordot(image, grid.points, 3) / image.sum()
        np.testing.assert_allclose(centre, wanted, atol=1e-12)


def test_truth_peaks_where_the_strongest_point_is():
    simulation = scene("points")
    strongest = np.argmax(np.abs(simulation.amplitudes))
    peak = ss.metrics.peak_position(simulation.truth(GRID), GRID)
    assert np.all(np.abs(peak - simulation.positions).min(axis=0) < GRID.spacing)
    alone = radar.Simulation(
        simulation.scan,
        simulation.positions[strongest, None],
        simulation.amplitudes[strongest, None],
    )
    peak = ss.metrics.peak_position(alone.truth(GRID), GRID)
    nearest = np.abs(peak - alone.positions[0]) <= np.array(GRID.spacing) / 2
    assert nearest.all()


def test_scatterers_outside_are_left_out_with_a_warning():
    places = ((0, 0, 0.5), (0.0449, 0, 0.5), (0.0451, 0, 0.5), (0, 0, 0.4))
    simulation, grid = lone(*places)
    with pytest.warns(UserWarning, match="50 % of the scene's power lies outside"):
        image = simulation.truth(grid)
    assert np.sum(image**2) == pytest.approx(2)
    assert image[8, 4, 4] == pytest.approx(1)
    half = ss.Grid(*grid.axes, region=grid.points[..., 0] < 0.035)
    with pytest.warns(UserWarning, match="75 %"):
        image = simulation.truth(half)
    assert np.sum(image**2) == pytest.approx(1)
    simulation, _ = lone((0, 0, 0.5), (0, 0, 0.4), amplitudes=[1, 0.09])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        simulation.truth(grid)


def test_a_grid_of_one_voxel_across_has_no_truth():
    simulation, _ = lone((0, 0, 0.5))
    with pytest.raises(ValueError, match="one voxel along z"):
        simulation.truth(ss.Grid([0, 1], [0, 1], [0.5]))


# bad input


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"scene": "cubes"}, "'cubes'; wanted one of points, plates, letters, extr"),
        ({"n_targets": 0}, "n_targets is 0"),
        ({"scene": "plates", "n_targets": 1.5}, r"n_targets is 1\.5"),
        ({"n_freq": 0}, "n_freq is 0"),
        ({"snr_db": math.inf}, "snr_db is inf; wanted a finite number"),
        ({"snr_db": "20"}, "snr_db is '20'"),
        ({"speed_error": [0.1]}, r"speed_error is \[0\.1\]"),
        ({"position_error": -1e-3}, r"position_error is -0\.001; wanted .* >= 0"),
        ({"gain_error": -0.1}, r"gain_error is -0\.1"),
        ({"speed_error": -1}, r"speed_error is -1; wanted a finite number > -1"),
    ],
)
def test_bad_settings_are_one_sentence(options, message):
    with pytest.raises(ValueError, match=message):
        radar.simulate_scan(**options)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"positions": np.zeros((3, 2))}, r"positions has shape \(3, 2\)"),
        ({"positions": np.full((3, 3), 400.0)}, "looks like mm"),
        ({"amplitudes": np.ones(2)}, r"amplitudes has shape \(2,\); wanted \(3,\)"),
        ({"amplitudes": np.array([1, np.nan, 1])}, "amplitudes has 1 NaN"),
        ({"amplitudes": np.zeros(3), "snr_db": 10}, "amplitudes is zero everywhere"),
        ({"freq": [4.0, 5.0]}, "looks like GHz"),
        ({"channels": [[0, 13]]}, "receiver indices"),
        ({"snr_db": 10, "noise": 1.0}, "wanted one of them"),
        ({"noise": -1.0}, "noise is -1"),
        ({"tx": np.array([[0.0, 0, 0], few_scatterers()[0][1]])}, r"\[1\].*tx\[1\]"),
    ],
)
def test_bad_arrays_are_one_sentence(changes, message):
    positions, amplitudes = few_scatterers()
    tx, rx = radar.reference_array()
    values = {"positions": positions, "amplitudes": amplitudes, "tx": tx, "rx": rx}
    with pytest.raises(ValueError, match=message):
        radar.simulate(**{**values, "freq": [4e9, 5e9], **changes})


def test_data_are_complex():
    args = (*few_scatterers(), *radar.reference_array(), [4e9])
    assert radar.simulate(*args).data.dtype == np.complex64
    with pytest.raises(TypeError, match="dtype is float32; wanted complex64"):
        radar.simulate(*args, dtype="float32")
