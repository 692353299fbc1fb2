"""RadarScan: what it refuses, and in which words."""

import dataclasses

import numpy as np
import pytest

from sparsesolve.scan import RadarScan


def parts(rng, n_freq=5, n_tx=3, n_rx=4, dtype="complex64"):
    shape = (n_freq, n_tx, n_rx)
    data = rng.standard_normal(shape) + 1j * rng.standard_normal(shape)
    return {
        "data": data.astype(dtype),
        "freq": np.linspace(4e9, 16e9, n_freq),
        "tx": rng.uniform(-0.15, 0.15, (n_tx, 3)),
        "rx": rng.uniform(-0.15, 0.15, (n_rx, 3)),
    }


@pytest.fixture
def good(rng):
    return parts(rng)


def refused(good, message, error=ValueError, **changes):
    with pytest.raises(error) as caught:
        RadarScan(**{**good, **changes})
    text = str(caught.value)
    assert message in text
    assert "\n" not in text


def test_keeps_what_it_was_given(good):
    scan = RadarScan(**good, noise=np.float32(0.5))
    assert scan.data is good["data"]
    assert scan.data.dtype == np.complex64
    assert (scan.sign, scan.speed, type(scan.noise)) == (-1, 299792458.0, float)
    assert "3 tx, 4 rx" in repr(scan)
    with pytest.raises(dataclasses.FrozenInstanceError):
        scan.speed = 1.0


def test_channel_list(good):
    pairs = [(0, 0), (2, 3), (1, 2)]
    data = np.stack([good["data"][:, t, r] for t, r in pairs], axis=1)
    scan = RadarScan(**{**good, "data": data}, channels=pairs)
    assert scan.channels.dtype == np.int64
    assert scan.data.shape == (5, 3)


@pytest.mark.parametrize(
    ("order", "message"),
    [((0, 2, 1), "are the axes swapped?"), ((2, 1, 0), "are the axes swapped?")],
)
def test_swapped_axes(good, order, message):
    refused(good, message, data=good["data"].transpose(order))


def test_wrong_shapes(good):
    refused(good, "(5, 3, 3); wanted (n_freq, n_tx, n_rx)", data=good["data"][:, :, :3])
    flat = good["data"].reshape(5, 12)
    refused(good, "channel list needs channels=", data=flat)
    refused(good, "wanted (n_freq, n_channels) = (5, 2)", channels=[(0, 0), (0, 1)])
    refused(good, "wanted (n_freq,)", freq=good["freq"][:, None])
    refused(good, "is it transposed?", rx=good["rx"].T)
    refused(good, "wanted (n, 3) in m", rx=good["rx"][:, :2])
    refused(good, "mask has shape (5, 4, 3)", mask=np.ones((5, 4, 3), bool))


def test_empty(good):
    refused(good, "freq is empty", freq=[])
    refused(good, "tx is empty", tx=np.zeros((0, 3)))
    refused(good, "channels is empty", channels=np.zeros((0, 2), int))


def test_not_finite(good):
    data = good["data"].copy()
    data[2, 1, 0] = np.nan
    refused(good, "1 NaN or infinite entries of 60, the first at (2, 1, 0)", data=data)
    usable = np.isfinite(data)
    assert RadarScan(**{**good, "data": data}, mask=usable).mask is usable
    refused(good, "freq has 1 NaN", freq=[1e9, 2e9, 3e9, 4e9, np.inf])


def test_real_data_and_text(good):
    refused(good, "data holds float32 entries", TypeError, data=good["data"].real)
    refused(good, "tx holds <U1 entries", TypeError, tx=np.full((3, 3), "a"))


@pytest.mark.parametrize("unit", [1e9, 1e6])
def test_frequencies_in_gigahertz(good, unit):
    refused(good, "it looks like GHz or MHz", freq=good["freq"] / unit)


def test_sound_is_no_gigahertz(good):
    scan = RadarScan(**{**good, "freq": good["freq"] / 4e5}, speed=343.0)
    assert scan.freq[0] == 1e4


def test_frequency_order(good):
    refused(good, "not positive and increasing", freq=good["freq"][::-1])
    refused(good, "not positive and increasing", freq=[0, 1e9, 2e9, 3e9, 4e9])
    refused(good, "not positive and increasing", freq=[1e9, 1e9, 2e9, 3e9, 4e9])


def test_positions_in_millimetres(good):
    refused(good, "look like mm or cm", tx=good["tx"] * 1e3, rx=good["rx"] * 1e3)


def test_large_arrays_are_possible(good, monkeypatch):
    monkeypatch.setattr("sparsesolve.scan.MAX_SPAN", 1e3)
    RadarScan(**{**good, "tx": good["tx"] * 1e3})


def test_coincident_antennas(good):
    tx = good["tx"].copy()
    tx[2] = tx[0] + 1e-9
    refused(good, "tx[2] stands where another antenna of tx does", tx=tx)
    RadarScan(**{**good, "rx": np.concatenate([good["tx"], good["rx"][:1]])})


def test_channels(good):
    def wrong(message, pairs):
        refused(good, message, data=good["data"][:, 0, : len(pairs)], channels=pairs)

    wrong("one-based: subtract 1", [(1, 1), (3, 4)])
    wrong("from 0 to 4 for 3 transmitters", [(0, 4), (1, 1)])
    wrong("from -1 to 1", [(0, -1), (1, 1)])
    wrong("channels[2] repeats the pair [0, 1]", [(0, 1), (1, 1), (0, 1)])
    wrong("fractions", [(0, 0.5), (1, 1)])
    wrong("(3,); wanted (n_channels, 2)", [0, 1, 2])
    with pytest.raises(ValueError, match="from 0 to 4") as caught:
        RadarScan(**{**good, "data": good["data"][:, 0, :2]}, channels=[(0, 4), (1, 1)])
    assert "one-based" not in str(caught.value)


def test_mask_values(good):
    refused(good, "False everywhere", mask=np.zeros((5, 3, 4), bool))
    refused(good, "other than True and False", TypeError, mask=np.full((5, 3, 4), 2))
    assert RadarScan(**good, mask=np.ones((5, 3, 4), np.uint8)).mask.dtype == bool


def test_numbers(good):
    refused(good, "wanted -1 (e^-jkR) or +1", sign=0)
    refused(good, "speed is 0", speed=0.0)
    refused(good, "noise is -1", noise=-1.0)
    refused(good, "noise is 'low'", TypeError, noise="low")


def test_convention(good):
    scan = RadarScan(**good, sign=1)
    ours = scan.in_convention()
    assert ours.sign == -1
    np.testing.assert_array_equal(ours.data, good["data"].conj())
    assert ours.in_convention() is ours


def test_torch_arrays(good):
    torch = pytest.importorskip("torch")
    scan = RadarScan(**{**good, "data": torch.as_tensor(good["data"])})
    assert type(scan.data) is np.ndarray
    np.testing.assert_array_equal(scan.data, good["data"])
