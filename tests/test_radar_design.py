"""Design rules, and the point spread that an array really has."""

import math

import numpy as np
import pytest

import sparsesolve as ss
from sparsesolve import memory
from sparsesolve.applications import radar
from sparsesolve.scan import LIGHT

TX, RX = radar.reference_array()


def frequencies(n):
    return np.linspace(4e9, 16e9, n)


def scan(n_freq=15, **changes):
    data = np.zeros((n_freq, len(TX), len(RX)), "complex64")
    values = {"data": data, "freq": frequencies(n_freq), "tx": TX, "rx": RX}
    return ss.RadarScan(**(values | changes))


# rules of thumb


def test_range_cell_and_ambiguity_of_equal_steps():
    assert radar.range_cell(frequencies(15)) == pytest.approx(LIGHT / 24e9)
    assert radar.ambiguity(frequencies(15)) == pytest.approx(LIGHT / (2 * 12e9 / 14))
    assert radar.ambiguity(frequencies(2), 1e8) == pytest.approx(1e8 / 24e9)
    assert radar.range_cell([5e9]) == radar.ambiguity([5e9]) == math.inf
    # positions that went through float32
    rounded = frequencies(40).astype("float32")
    assert radar.ambiguity(rounded) == pytest.approx(LIGHT / (2 * 12e9 / 39))


@pytest.mark.parametrize(
    ("gigahertz", "step"),
    [([4, 6, 9], 1), ([4, 6, 8, 16], 2), ([4, 5, 6.0001], 1), ([4, 4.5, 7], 0.5)],
)
def test_ambiguity_of_unequal_steps_is_where_echoes_repeat(gigahertz, step):
    freq = 1e9 * np.array(gigahertz)
    found = radar.ambiguity(freq)
    assert found == pytest.approx(LIGHT / (2e9 * step), rel=1e-3)
    # the response over range is whole there, and nowhere nearer beyond the main lobe
    ranges = np.linspace(0, found, 4001)
    response = np.abs(np.exp(4j * np.pi * np.outer(ranges, freq) / LIGHT).mean(axis=1))
    assert response[-1] > 0.99
    rises = 1 + int(np.argmax(np.diff(response) > 0))
    assert response[rises : int(0.95 * 4001)].max() < 0.99


def test_logarithmic_frequencies_repeat_nowhere():
    assert radar.ambiguity(np.geomspace(1e9, 7.3e9, 12)) == math.inf


def test_cross_range_along_each_axis():
    x, y, z = radar.cross_range(0.03, TX, RX, 0.5)
    assert (x, y) == pytest.approx((0.025, 0.025))
    assert z == math.inf
    line = [[-0.1, 0, 0], [0.1, 0, 0]]
    x, y, _ = radar.cross_range(0.03, line, [[0, 0, 0]], 1.0)
    assert x == pytest.approx(0.15)
    assert y == math.inf
    # as near as this a quarter of the wavelength is all there is
    assert radar.cross_range(0.03, TX, RX, 0.01)[0] == 0.03 / 4


# a design


def test_the_reference_study():
    plan = radar.design(TX, RX, frequencies(15), grid=radar.reference_grid())
    assert (plan.n_freq, plan.n_channels) == (15, 156)
    assert (plan.n_data, plan.n_voxels) == (2340, 30625)
    assert plan.ratio == 2340 / 30625
    assert plan.ambiguity == pytest.approx(LIGHT / (2 * 12e9 / 14))
    assert plan.distance == pytest.approx(0.5)
    assert plan.wavelength == pytest.approx(LIGHT / 10e9)
    assert plan.cross_range[0] == pytest.approx(plan.wavelength * 0.5 / 0.6)
    A = ss.operators.NearFieldMIMO(TX, RX, frequencies(15), radar.reference_grid())
    assert plan.needed_bytes == A.needed_bytes
    assert plan.needed_bytes == radar.memory_needed(scan(), radar.reference_grid())
    # 0.35 m to the far corner's 0.684 m is more than the 0.175 m of 15 frequencies
    (remark,) = plan.remarks
    assert "spans 333.7 mm of range but echoes repeat after 174.9 mm" in remark
    finer = radar.design(TX, RX, frequencies(40), grid=radar.reference_grid())
    assert finer.remarks == ()
    text = repr(plan)
    assert "range cell      12.49 mm\n" in text
    assert "M/N = 7.64 %" in text
    assert text.splitlines()[-1] == f"! {remark}"


def test_a_distance_instead_of_a_grid():
    pairs = [[0, 0], [3, 4]]
    plan = radar.design(
        TX, RX, frequencies(5), distance=1.0, channels=pairs, speed=LIGHT / 2
    )
    assert plan.n_data == 10
    assert plan.n_voxels is plan.ratio is plan.needed_bytes is None
    assert plan.range_cell == pytest.approx(LIGHT / 48e9)
    assert plan.cross_range[1] == pytest.approx(LIGHT / 20e9 / 0.6)
    assert "voxels" not in repr(plan)


def remarks(grid, tx=TX, rx=RX):
    return " / ".join(radar.design(tx, rx, frequencies(60), grid=grid).remarks)


def test_remarks_on_voxels_and_places():
    fine = {"extent": 0.1, "spacing": 0.006}
    assert remarks(ss.Grid.box((0, 0, 0.5), **fine)) == ""
    coarse = remarks(ss.Grid.box((0, 0, 0.5), 0.1, (0.006, 0.02, 0.007)))
    assert "voxels of 20 mm along y" in coarse
    assert "voxels of 7 mm along z are coarser than half a resolution" in coarse
    assert "along x" not in coarse
    assert "lies behind the array, 500 mm" in remarks(ss.Grid.box((0, 0, -0.5), **fine))
    assert "both sides" in remarks(ss.Grid.box((0.31, 0, 0), **fine))
    # an array in a plane of constant x may look either way, but not both
    turned = TX[:, ::-1], RX[:, ::-1]
    assert "plane" not in remarks(ss.Grid.box((-0.5, 0, 0), **fine), *turned)
    assert "both sides" in remarks(ss.Grid.box((0, 0, 0.31), **fine), *turned)
    line = np.stack([np.linspace(-0.1, 0.1, 8), np.zeros(8), np.zeros(8)], axis=1)
    assert "plane" not in remarks(ss.Grid.box((0, 0, 0.1), **fine), line, line)
    assert "plane" not in remarks(
        ss.Grid.box((0, 0, 0.2), **fine), [[0, 0, 0]], [[0, 0, 0]]
    )


def test_voxels_of_the_region_count_and_memory_that_lacks_is_a_remark(monkeypatch):
    grid = radar.reference_grid().within(0.1, (0, 0, 0.5))
    plan = radar.design(TX, RX, frequencies(40), grid=grid)
    assert plan.n_voxels == int(grid.region.sum()) < 30625
    monkeypatch.setattr("sparsesolve.memory.available_bytes", lambda: 1000)
    plan = radar.design(TX, RX, frequencies(40), grid=grid)
    assert plan.needed_bytes is None
    assert "GiB are available" in plan.remarks[-1]
    assert "operator" not in repr(plan).splitlines()[-2]
    with pytest.raises(MemoryError, match="GiB are available"):
        radar.memory_needed(scan(), grid)


# the point spread


def test_the_point_spread_of_the_reference_study():
    spread = radar.point_spread(scan(), (0, 0, 0.5))
    x, y, z = spread.widths
    assert x == pytest.approx(0.030, abs=0.0005)
    assert y == pytest.approx(x, rel=1e-3)
    assert z == pytest.approx(0.0105, abs=0.0003)
    assert spread.sidelobes[2] == pytest.approx(-13.3, abs=0.1)
    assert f"z {1e3 * z:.3g} mm, sidelobe {spread.sidelobes[2]:.1f} dB" in repr(spread)
    cut = spread.cuts[2]
    assert cut.axis == "z"
    assert cut.integrated < -8
    # the same by the sum written out
    at = cut.positions[::37]
    k = 2 * np.pi * frequencies(15) / LIGHT

    def delays(z):
        far_tx, far_rx = (np.linalg.norm(a - [0, 0, z], axis=1) for a in (TX, RX))
        return far_tx[:, None] + far_rx

    sums = [np.exp(1j * k[:, None, None] * (delays(z) - delays(0.5))).sum() for z in at]
    wanted = 20 * np.log10(np.abs(sums) / (15 * 12 * 13))
    np.testing.assert_allclose(cut.level[::37], wanted, atol=0.02)


def test_few_frequencies_show_their_ambiguity_as_a_sidelobe():
    cuts = radar.point_spread(scan(5), (0, 0, 0.5)).cuts
    assert -3 < cuts[2].sidelobe < 0
    distance = cuts[2].positions[np.argmax(cuts[2].level[cuts[2].positions < 0.48])]
    assert 0.5 - distance == pytest.approx(radar.ambiguity(frequencies(5)), rel=0.1)


def test_what_is_left_out_does_not_count():
    mask = np.zeros((15, 12, 13), bool)
    mask[:, ::2, ::3] = True
    masked = radar.point_spread(scan(mask=mask), (0.02, 0, 0.5), extent=0.1)
    fewer = ss.RadarScan(
        np.zeros((15, 30), "complex64"),
        frequencies(15),
        TX[::2],
        RX[::3],
        channels=[[t, r] for t in range(6) for r in range(5)],
    )
    listed = radar.point_spread(fewer, (0.02, 0, 0.5), extent=(0.1, 0.1, 0.1))
    for a, b in zip(masked.cuts, listed.cuts, strict=True):
        assert a.width == pytest.approx(b.width, rel=1e-3)
        assert a.positions[-1] - a.positions[0] == pytest.approx(0.1)


def test_an_axis_that_is_not_resolved_has_no_width():
    pair = {"tx": [[-0.1, 0, 0]], "rx": [[0.1, 0, 0]]}
    one = scan(data=np.ones((1, 1, 1), "complex64"), freq=[5e9], **pair)
    # a single datum knows its phase alone
    assert radar.point_spread(one, (0, 0, 0.5)).widths == (math.inf,) * 3
    # a bandwidth resolves z; along x and y nothing varies to first order
    band = scan(data=np.ones((15, 1, 1), "complex64"), **pair)
    x, _, z = radar.point_spread(band, (0, 0, 0.5)).widths
    assert z == pytest.approx(0.0108, abs=0.0005)
    assert x > 5 * z
    assert radar.point_spread(band, (0, 0, 0.5)).sidelobes[0] == -math.inf


def test_cuts_stay_before_the_antennas():
    spread = radar.point_spread(scan(), (0, 0, 0.02))
    assert all(np.ptp(cut.positions) <= 2 * 0.9 * 0.02 + 1e-9 for cut in spread.cuts)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: radar.range_cell([4.0, 16.0]), "looks like GHz"),
        (lambda: radar.range_cell([]), "freq is empty"),
        (lambda: radar.range_cell([4e9, np.nan]), "freq has 1 NaN"),
        (lambda: radar.ambiguity([[4e9]]), r"freq has shape \(1, 1\)"),
        (lambda: radar.ambiguity([4e9, 5e9], -1.0), "speed is -1"),
        (lambda: radar.cross_range(0, TX, RX, 1), "wavelength is 0"),
        (lambda: radar.cross_range(0.03, TX.T, RX, 1), "transposed"),
        (lambda: radar.cross_range(0.03, TX, 1e3 * RX, 1), "looks like mm"),
        (lambda: radar.design(TX, RX, frequencies(5)), "grid or a distance"),
        (
            lambda: radar.design(
                TX, RX, frequencies(5), grid=radar.reference_grid(), distance=1
            ),
            "give one of the two",
        ),
        (lambda: radar.design(TX, RX, frequencies(5), distance=0), "distance is 0"),
        (
            lambda: radar.design(TX, RX, frequencies(5), grid=ss.Grid(0, 0, 0)),
            "wanted 1-D",
        ),
        (
            lambda: radar.design(
                TX, RX, frequencies(5), grid=ss.Grid([0.0], [0.0], [0.0])
            ),
            "distance is 0|antenna 6",
        ),
        (lambda: radar.point_spread(scan(), (0, 0)), r"wanted \(3,\)"),
        (lambda: radar.point_spread(scan(), (0, 0, np.nan)), "point has 1 NaN"),
        (lambda: radar.point_spread(scan(), (0, 0, 500)), "looks like mm"),
        (lambda: radar.point_spread(scan(), TX[0]), "point lies at an antenna"),
        (
            lambda: radar.point_spread(scan(), (0, 0, 0.5), extent=(0.1, 0.1, 0)),
            "wanted lengths > 0",
        ),
        (
            lambda: radar.point_spread(scan(), (0, 0, 0.1), extent=0.2),
            "rx antenna 6 .* inside the voxel",
        ),
    ],
)
def test_bad_input_is_one_sentence(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_pairs_of_one_moving_antenna_are_remarked_on():
    side = np.linspace(-0.1, 0.1, 5)
    places = [(x, y, 0.0) for x in side for y in side]
    freq = np.linspace(4e9, 8e9, 5)
    grid = ss.Grid([0.0, 0.01], [0.0], [0.3])
    pairs = [(i, i) for i in range(25)]
    said = radar.design(places, places, freq, grid=grid).remarks
    assert any("channels=[(0, 0), (1, 1), ...]" in remark for remark in said)
    said = radar.design(places, places, freq, grid=grid, channels=pairs).remarks
    assert not any("channels=" in remark for remark in said)


def test_a_volume_too_large_is_refused_before_it_is_laid_out(monkeypatch):
    monkeypatch.setattr(memory, "available_bytes", lambda: 2**24)
    tx, rx = radar.reference_array()
    grid = ss.Grid.box((0, 0, 0.5), 0.3, 0.001)
    with pytest.raises(MemoryError, match="take larger voxels"):
        ss.operators.NearFieldMIMO(tx, rx, [4e9, 5e9], grid)
    with pytest.raises(MemoryError, match="take larger voxels"):
        _ = grid.points


def test_a_grid_too_large_is_refused_before_its_voxels_are_counted():
    scan = radar.simulate_scan(n_freq=2).scan
    grid = ss.Grid.box((0, 0, 2.5), 4, 0.001)
    with pytest.raises(MemoryError, match=r"Grid 4001 x .* GiB are available; take"):
        radar.reconstruct(scan, grid, snr=30)


def test_a_box_of_voxels_in_mm_is_refused():
    with pytest.raises(ValueError, match=r"spacing is 10 m for an extent of .* in mm"):
        ss.Grid.box((0, 0, 0.3), (0.2, 0.2, 0.16), 10)
    assert ss.Grid.box((0, 0, 0.3), (0.2, 0, 0.16), 0.01).shape == (21, 1, 17)


def test_a_spacing_in_mm_is_refused():
    scan = radar.simulate_scan(n_freq=2).scan
    with pytest.raises(ValueError, match=r"spacing is 10 m, more than .* is it in mm"):
        radar.scene_grid(scan, spacing=10)


def test_noise_is_not_told_from_delays_that_a_gate_emptied():
    scan = radar.simulate_scan(n_freq=80).scan
    gated = radar.range_gate(scan, 0.4, 0.7)
    with pytest.raises(ValueError, match="range-gated"):
        radar.noise_from_empty_delays(gated, beyond=0.8)


def test_positions_may_be_separated_by_blanks(tmp_path):
    places = np.array([[0.1, 0.2, 0.0], [-0.1, 0.2, 0.0]])
    np.savetxt(tmp_path / "places.txt", places)
    np.testing.assert_array_equal(radar.read_positions(tmp_path / "places.txt"), places)
