"""The steps before imaging: what each does to data that are known exactly."""

import warnings
from dataclasses import replace

import numpy as np
import pytest

import sparsesolve as ss
from sparsesolve.applications import radar
from sparsesolve.lazy import LazyArray

FREQ = np.linspace(2e9, 6e9, 41)
TARGET = np.array([0.02, -0.03, 0.6])
TX = np.array([(x, 0.1, 0.0) for x in (-0.15, -0.05, 0.05, 0.15)])
RX = np.array([(x, -0.1, 0.0) for x in (-0.1, 0.0, 0.1)])


def echo(place, tx=TX, rx=RX, freq=FREQ, speed=299792458.0):
    """Return what a point of amplitude one gives, (n_freq, n_tx, n_rx)."""
    out = np.linalg.norm(tx - place, axis=1)[:, None]
    back = np.linalg.norm(rx - place, axis=1)[None, :]
    k = 2 * np.pi * freq[:, None, None] / speed
    return np.exp(-1j * k * (out + back)) / (4 * np.pi * out * back)


def scan_of(data, **changes):
    given = {"data": data, "freq": FREQ, "tx": TX, "rx": RX}
    return ss.RadarScan(**{**given, **changes})


def channel_list(scan, pairs):
    pairs = np.asarray(pairs)
    mask = None if scan.mask is None else scan.mask[:, pairs[:, 0], pairs[:, 1]]
    data = scan.data[:, pairs[:, 0], pairs[:, 1]]
    return replace(scan, data=data, mask=mask, channels=pairs)


@pytest.fixture
def scan():
    return scan_of(echo(TARGET))


# what was done is recorded


def test_steps_are_kept_in_order_and_in_files(scan, tmp_path):
    done = radar.mask_channels(scan, tx=[1], freq=[0, 3])
    done = radar.subtract(done, scan_of(0.5 * scan.data))
    done = radar.remove_delay(done, tx=1e-9)
    done = radar.calibrate(done, replace(done, data=2 * done.data), TARGET)
    done = radar.range_gate(done, 0.3, 0.9)
    names = [step.partition(":")[0] for step in done.steps]
    assert names == ["mask", "subtract", "delay", "calibrate", "range gate"]
    assert "after mask, subtract, delay, calibrate, range gate)" in repr(done)
    assert "tx 1; frequency 0, 3" in done.steps[0]
    path = tmp_path / "scan.h5"
    ss.save(path, done)
    assert ss.load(path).steps == done.steps
    ss.save(path, scan)
    assert ss.load(path).steps == ()


def test_steps_out_of_turn_warn(scan):
    gated = radar.range_gate(scan, 0.3, 0.9)
    with pytest.warns(UserWarning, match="subtract comes after range gate") as caught:
        radar.subtract(gated, scan_of(0.5 * scan.data))
    assert caught[0].filename == __file__
    with pytest.warns(UserWarning, match="mask comes after delay and range gate"):
        radar.mask_channels(radar.range_gate(radar.remove_delay(scan), 0.3, 0.9))


def test_data_left_in_their_file_and_the_other_sign(scan, tmp_path):
    path = tmp_path / "scan.h5"
    ss.save(path, replace(scan, data=scan.data.conj(), sign=1))
    lazy = ss.load(path, lazy_bytes=0)
    assert isinstance(lazy.data, LazyArray)
    steps = {
        "mask": lambda s: radar.mask_channels(s, rx=[2]),
        "subtract": lambda s: radar.subtract(s, scan_of(scan.data / 2)),
        "delay": lambda s: radar.remove_delay(s, rx=[0, 1e-10, 2e-10]),
        "calibrate": lambda s: radar.calibrate(s, scan_of(2 * scan.data), TARGET),
        "gate": lambda s: radar.range_gate(s, 0.4, 0.8),
    }
    for step in steps.values():
        found, wanted = step(lazy), step(scan)
        assert found.sign == -1
        np.testing.assert_array_equal(found.data, wanted.data)


@pytest.mark.parametrize("dtype", ["complex64", "complex128"])
def test_precision_is_kept(scan, dtype):
    one = replace(scan, data=scan.data.astype(dtype))
    for found in (
        radar.mask_channels(one, tx=[0]),
        radar.subtract(one, one),
        radar.remove_delay(one, tx=1e-9, rx_phase=0.1),
        radar.calibrate(one, one, TARGET),
        radar.range_gate(one, 0.4, 0.8),
    ):
        assert found.data.dtype == dtype


# mask


def test_masks_by_index(scan):
    found = radar.mask_channels(
        scan, tx=[3], rx=1, channels=[(0, 0), (1, 2)], freq=[40]
    )
    wanted = np.ones(scan.data.shape, bool)
    wanted[:, 3] = wanted[:, :, 1] = wanted[40] = False
    wanted[:, 0, 0] = wanted[:, 1, 2] = False
    np.testing.assert_array_equal(found.mask, wanted)
    np.testing.assert_array_equal(found.data, np.where(wanted, scan.data, 0))
    pairs = [(0, 0), (3, 1), (1, 2)]
    listed = radar.mask_channels(channel_list(scan, pairs), channels=[(3, 1)])
    assert listed.mask.all(axis=0).tolist() == [True, False, True]
    again = radar.mask_channels(found, tx=[3])
    assert "left out 0 of" in again.steps[1]


def test_masks_what_is_dead_or_out_of_line(scan, tmp_path):
    data = scan.data.copy()
    data[:, 2, 1] = 0
    data[:, 0, 2] *= 100
    found = radar.mask_channels(scan_of(data))
    assert np.argwhere(~found.mask.any(axis=0)).tolist() == [[2, 1]]
    assert "channels dead: 1" in found.steps[0]
    found = radar.mask_channels(scan_of(data), outliers_db=20)
    assert np.argwhere(~found.mask.any(axis=0)).tolist() == [[0, 2], [2, 1]]
    assert radar.mask_channels(scan_of(data), dead=False).mask.all()
    data[5, 1, 1] = np.nan
    path = tmp_path / "nan.h5"
    ss.save(path, scan_of(np.nan_to_num(data)))
    import h5py

    with h5py.File(path, "r+") as file:
        file["data"][...] = data
    found = radar.mask_channels(ss.load(path, lazy_bytes=0))
    assert not found.mask[5, 1, 1]
    assert "entries not finite: 1" in found.steps[0]


def test_a_scan_of_zeros_has_nothing_to_leave(scan):
    zeros = replace(scan, data=0 * scan.data)
    with pytest.raises(
        ValueError, match=r"would leave out all 492 .*channels dead: 12"
    ):
        radar.mask_channels(zeros, outliers_db=20)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tx": [4]}, "tx has indices from 4 to 4; wanted 0 to 3"),
        ({"rx": [-1]}, "rx has indices from -1"),
        ({"freq": [0.5]}, "freq is .*wanted whole indices"),
        ({"channels": [(0, 3)]}, r"has the pair \(0, 3\), which the scan has not"),
        ({"channels": [0, 1]}, r"channels has shape \(2,\); wanted \(n, 2\)"),
        ({"tx": range(4)}, "would leave out all 492 entries .tx 0, 1, 2, 3."),
        ({"outliers_db": -3}, "outliers_db is -3"),
    ],
)
def test_masks_that_are_refused(scan, options, message):
    with pytest.raises(ValueError, match=message):
        radar.mask_channels(scan, **options)


# delay


def test_delays_and_phases_are_taken_off(scan, rng):
    tau_t, tau_r = rng.uniform(0, 5e-9, 4), rng.uniform(0, 5e-9, 3)
    phi_t, phi_r = rng.uniform(-3, 3, 4), rng.uniform(-3, 3, 3)
    turn = phi_t[:, None] + phi_r
    delay = tau_t[:, None] + tau_r
    late = np.exp(-2j * np.pi * FREQ[:, None, None] * delay + 1j * turn)
    measured = scan_of(scan.data * late)
    found = radar.remove_delay(
        measured, tx=tau_t, rx=tau_r, tx_phase=phi_t, rx_phase=phi_r
    )
    np.testing.assert_allclose(found.data, scan.data, rtol=1e-9)
    pairs = [(3, 0), (1, 2)]
    found = radar.remove_delay(
        channel_list(measured, pairs),
        tx=tau_t,
        rx=tau_r,
        tx_phase=phi_t,
        rx_phase=phi_r,
    )
    np.testing.assert_allclose(found.data, channel_list(scan, pairs).data, rtol=1e-9)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"tx": 1.5}, ValueError, "tx has a delay of 1.5 s, which looks like ns"),
        ({"rx": [0, 0, 300]}, ValueError, "rx has a delay of 300 s"),
        ({"tx": [0, 1e-9]}, ValueError, r"tx has shape \(2,\); wanted one number or"),
        ({"tx_phase": 90}, ValueError, "tx_phase goes to 90, more than a turn"),
        ({"rx_phase": [0, -45, 10]}, ValueError, "rx_phase goes to -45.*degrees"),
        ({"tx": [0, np.nan, 0, 0]}, ValueError, "tx has 1 NaN"),
        ({"tx": "1 ns"}, TypeError, "tx holds <U4"),
    ],
)
def test_delays_that_are_refused(scan, options, error, message):
    with pytest.raises(error, match=message):
        radar.remove_delay(scan, **options)


# calibration


def test_calibration_finds_the_instrument(scan, rng):
    instrument = 1 + 0.5 * (
        rng.standard_normal(scan.data.shape) + 1j * rng.standard_normal(scan.data.shape)
    )
    place = np.array([0.0, 0.05, 0.4])
    reference = scan_of(2.5 * echo(place) * instrument, speed=299792458.0)
    found = radar.calibrate(
        scan_of(scan.data * instrument),
        reference,
        place,
        reflectivity=2.5,
        weakest=1e-3,
    )
    good = found.mask
    assert good.mean() > 0.99
    np.testing.assert_allclose(found.data[good], scan.data[good], rtol=1e-9)
    assert "reflectivity 2.5 at (0, 0.05, 0.4) m" in found.steps[0]


def test_calibration_masks_what_is_too_weak(scan):
    reference = echo(TARGET)
    reference[7, 2, 1] *= 0.01
    mask = np.ones(reference.shape, bool)
    mask[0, 0, 0] = False
    found = radar.calibrate(
        replace(scan, noise=0.1), scan_of(reference, mask=mask), TARGET
    )
    assert np.argwhere(~found.mask).tolist() == [[0, 0, 0], [7, 2, 1]]
    np.testing.assert_allclose(found.data[found.mask], scan.data[found.mask])
    assert found.noise == pytest.approx(0.1)
    noise = float(np.abs(reference).max())
    with pytest.raises(ValueError, match="reference is too weak at 492 of 492"):
        radar.calibrate(scan, scan_of(reference, noise=noise), TARGET)
    half = radar.calibrate(replace(scan, noise=0.1), scan_of(echo(TARGET) * 2), TARGET)
    assert half.noise == pytest.approx(0.05)


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ((0, 0, 600), "position reaches 600, which looks like mm"),
        ((0, 0), r"position has shape \(2,\)"),
        (TX[1], "is that of an antenna"),
    ],
)
def test_reference_positions_that_are_refused(scan, place, message):
    with pytest.raises(ValueError, match=message):
        radar.calibrate(scan, scan, place)


def test_calibration_wants_both_after_the_same_steps(scan):
    with pytest.warns(UserWarning, match=r"differ in the step delay \(1 and 0 times\)"):
        radar.calibrate(radar.remove_delay(scan, tx=1e-9), scan, TARGET)
    with pytest.raises(ValueError, match="speed of the scan"):
        radar.calibrate(scan, replace(scan, speed=2e8), TARGET)


# range gate

NEAR_WALL, FAR_WALL = np.array([0.0, 0.0, 0.15]), np.array([0.0, 0.0, 1.4])


@pytest.fixture
def cluttered(scan):
    return scan_of(scan.data + 0.3 * echo(NEAR_WALL) + echo(FAR_WALL))


def distance_db(one, other):
    return 20 * np.log10(np.linalg.norm(one - other) / np.linalg.norm(other))


@pytest.mark.parametrize("listed", [False, True])
def test_the_gate_keeps_the_target_alone(scan, cluttered, listed):
    wall = scan_of(echo(FAR_WALL))
    if listed:
        pairs = [(0, 0), (2, 1), (3, 2)]
        scan, cluttered, wall = (
            channel_list(s, pairs) for s in (scan, cluttered, wall)
        )
    assert distance_db(cluttered.data, scan.data) > 5
    found = radar.range_gate(cluttered, 0.5, 0.8)
    assert distance_db(found.data, scan.data) < -14
    # away from the ends of the band, near which half the gate's kernel is missing
    assert distance_db(found.data[8:-8], scan.data[8:-8]) < -25
    assert found.mask is None
    said = "kept ranges of 0.5 to 0.8 m, tukey window with flanks of 0.0375 m"
    assert said in found.steps[0]
    away = radar.range_gate(cluttered, 1.3, 1.45)
    assert distance_db(away.data[8:-8], wall.data[8:-8]) < -11


def test_a_target_in_the_middle_passes_unchanged():
    """Exactly, edges of the band and masked frequencies included."""
    ranges = 0.65
    pulse = np.exp(-4j * np.pi * FREQ * ranges / 299792458.0)
    data = np.repeat(pulse[:, None], 12, axis=1).reshape(41, 4, 3)
    mask = np.ones(data.shape, bool)
    mask[10:12, 1] = False
    for window in ("tukey", "rectangular"):
        found = radar.range_gate(
            scan_of(np.where(mask, data, np.nan), mask=mask), 0.5, 0.8, window=window
        )
        np.testing.assert_array_equal(found.mask, mask)
        np.testing.assert_allclose(found.data[mask], data[mask], rtol=1e-9)


def test_data_with_too_few_neighbours_are_masked(scan):
    mask = np.ones(scan.data.shape, bool)
    mask[:, 0, 0] = False
    mask[20, 0, 0] = True
    found = radar.range_gate(replace(scan, mask=mask), 0.5, 0.6)
    assert not found.mask[:, 0, 0].any()
    assert found.mask.sum() == mask.sum() - 1
    mask[:] = False
    mask[20] = True
    with pytest.raises(ValueError, match="too few measured frequencies around each"):
        radar.range_gate(replace(scan, mask=mask), 0.5, 0.6)


def test_noise_after_the_gate(scan, rng):
    noise = rng.standard_normal((2, 41, 4, 3))
    noise = 0.7 * (noise[0] + 1j * noise[1]) / np.sqrt(2)
    strong = replace(scan, data=1e3 * scan.data, noise=0.7)
    clean = radar.range_gate(strong, 0.4, 0.8)
    noisy = radar.range_gate(replace(strong, data=strong.data + noise), 0.4, 0.8)
    measured = np.sqrt(np.mean(np.abs(noisy.data - clean.data) ** 2))
    assert clean.noise == pytest.approx(measured, rel=0.1)
    assert clean.noise < 0.6


@pytest.mark.parametrize(
    ("near", "far", "message"),
    [
        (0.5, 1.6, "far is 1.6 m, beyond the unambiguous range c/2Δf of 1.499 m"),
        (500, 800, "far is 800 m, beyond the unambiguous range"),
        (0.5, 0.51, "narrower than the range cell c/2B of 0.0375 m and would remove"),
        (0.8, 0.5, "narrower than the range cell"),
        (0.0, 1.49, "lets all of the unambiguous"),
        (-0.1, 0.5, "near is -0.1"),
    ],
)
def test_gates_that_are_refused(scan, near, far, message):
    with pytest.raises(ValueError, match=message):
        radar.range_gate(scan, near, far)


def test_gates_need_equal_steps_and_a_known_window(scan):
    uneven = replace(scan, freq=np.sort(FREQ + 1e7 * np.sin(np.arange(41))))
    with pytest.raises(ValueError, match="41 frequencies that are not equally spaced"):
        radar.range_gate(uneven, 0.5, 0.8)
    with pytest.raises(ValueError, match="window is 'hann'; wanted one of tukey"):
        radar.range_gate(scan, 0.5, 0.8, window="hann")


def test_a_gate_beside_the_echoes_warns(scan, rng):
    noise = rng.standard_normal((2, 41, 4, 3)) * 1e-3
    noisy = replace(scan, data=scan.data + noise[0] + 1j * noise[1])
    with pytest.warns(
        UserWarning, match="no echo between 1 and 1.2 m stands out, the "
    ):
        radar.range_gate(noisy, 1.0, 1.2)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        radar.range_gate(noisy, 0.5, 0.8)
    with pytest.raises(ValueError, match="leaves nothing"):
        radar.range_gate(replace(scan, data=0 * scan.data), 0.5, 0.8)


def test_gating_on_measured_data(merit_folder):
    scans = [radar.read_merit(merit_folder, f"B0_P3_{t}") for t in ("p000", "p036")]
    difference = radar.subtract(*scans)
    gated = radar.range_gate(difference, 0.02, 0.14)
    assert gated.data.dtype == np.complex64
    kept = np.linalg.norm(gated.data) / np.linalg.norm(difference.data)
    assert 0.5 < kept < 1
