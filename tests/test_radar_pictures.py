"""Pictures of arrays, point spreads and residuals show the numbers they should."""

import math

import numpy as np
import pytest

import sparsesolve as ss
from sparsesolve import metrics, plot
from sparsesolve.applications import radar
from sparsesolve.operators import NearFieldMIMO

GRID = ss.Grid.box((0, 0, 0.5), 0.2, 0.05)


@pytest.fixture
def scan():
    return radar.simulate_scan(0, n_targets=1, n_freq=3).scan


def raster(n, **changes):
    """A monostatic raster of n x n positions, of which each hears itself."""
    side = np.linspace(-0.1, 0.1, n)
    places = np.stack([*np.meshgrid(side, side), np.zeros((n, n))], -1).reshape(-1, 3)
    channels = np.repeat(np.arange(n * n)[:, None], 2, axis=1)
    data = np.ones((2, n * n), "complex64")
    values = {"freq": [4e9, 5e9], "tx": places, "rx": places, "channels": channels}
    return ss.RadarScan(**({"data": data} | values | changes))


def lines(panel):
    return {line.get_label(): line for line in panel.lines}


def test_antennas_scene_and_targets_are_where_they_are(scan):
    figure = plot.array(scan, GRID, (0.02, 0.03, 0.45))
    plan, side = figure.axes
    for panel, (across, up) in ((plan, (0, 1)), (side, (0, 2))):
        drawn = lines(panel)
        for label, points in (
            ("12 × transmitter", scan.tx),
            ("13 × receiver", scan.rx),
            ("target", np.array([[0.02, 0.03, 0.45]])),
        ):
            np.testing.assert_array_equal(
                drawn[label].get_xydata(), points[:, [across, up]]
            )
        (box,) = panel.patches
        low = [GRID.axes[a][0] for a in (across, up)]
        np.testing.assert_allclose(box.get_xy(), low)
        np.testing.assert_allclose((box.get_width(), box.get_height()), 0.2)
        assert panel.get_aspect() == 1
        assert panel.get_xlabel() == "x (m)"
        low, high = panel.get_ylim()
        assert low < 0 < high
    assert side.get_ylabel() == "z (m)"
    assert side.get_ylim()[1] > 0.6
    markers = {line.get_marker() for line in plan.lines}
    assert markers == {"^", "o", "x"}
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == [
        "scene",
        "12 × transmitter",
        "13 × receiver",
        "target",
    ]


def test_a_place_that_transmits_and_receives_has_its_own_marker(scan):
    both = ss.RadarScan(scan.data[:, :4, :4], scan.freq, scan.tx[:4], scan.tx[1:5])
    panel = plot.array(both).axes[0]
    assert {label: len(line.get_xdata()) for label, line in lines(panel).items()} == {
        "1 × transmitter": 1,
        "1 × receiver": 1,
        "3 × transmitter and receiver": 3,
    }
    assert not panel.patches


def test_many_positions_are_dots_that_do_not_merge():
    figure = plot.array(raster(101), GRID)
    figure.canvas.draw()
    panel = figure.axes[0]
    (line,) = panel.lines
    ends = panel.transData.transform([[0, 0], [0.002, 0]])
    apart = 72 / figure.dpi * (ends[1] - ends[0])[0]
    assert 0.5 < line.get_markersize() < 0.8 * apart
    assert figure.legends[0].get_lines()[0].get_markersize() > 4


def test_nothing_overlaps(scan, tmp_path):
    """Labels, titles, legends and bars of every picture keep apart."""
    problem = radar.imaging_problem(scan, GRID)
    x = np.ones(GRID.shape, "complex64")
    for figure in (
        plot.array(scan, GRID),
        plot.residuals(problem, x),
        plot.point_spread(radar.point_spread(scan, (0, 0, 0.5))),
    ):
        figure.canvas.draw()
        renderer = figure.canvas.get_renderer()
        boxes = [ax.get_tightbbox(renderer) for ax in figure.axes]
        boxes += [legend.get_window_extent(renderer) for legend in figure.legends]
        for i, a in enumerate(boxes):
            for b in boxes[:i]:
                assert min(a.x1, b.x1) - max(a.x0, b.x0) < 2 or (
                    min(a.y1, b.y1) - max(a.y0, b.y0) < 2
                )
            assert a.x0 > -1
            assert a.x1 < figure.bbox.x1 + 1


def test_cuts_carry_their_widths_and_sidelobes(scan):
    spread = radar.point_spread(scan, (0, 0, 0.5))
    figure = plot.point_spread(spread, db_range=30)
    assert len(figure.axes) == 3
    for panel, cut in zip(figure.axes, spread.cuts, strict=True):
        curve = panel.lines[0]
        np.testing.assert_allclose(curve.get_xdata(), 1e3 * cut.positions)
        np.testing.assert_allclose(curve.get_ydata(), cut.level)
        assert panel.get_xlabel() == f"{cut.axis} (mm)"
        assert panel.get_ylim()[0] == -30
    flat, deep = figure.axes[0], figure.axes[2]
    assert flat.get_title() == (
        f"−3 dB width {1e3 * spread.widths[0]:.3g} mm\nno sidelobe in the cut"
    )
    level = f"sidelobe −{-spread.sidelobes[2]:.1f} dB"
    assert deep.get_title().endswith(level)
    assert deep.lines[-1].get_ydata()[0] == spread.sidelobes[2]


def test_a_cut_that_is_too_short_says_so(scan):
    spread = radar.point_spread(scan, (0, 0, 0.5), extent=0.001)
    assert spread.widths == (math.inf,) * 3
    title = plot.point_spread(spread).axes[0].get_title()
    assert title.startswith("wider than the cut")


def test_residuals_of_all_pairs_are_a_map(scan):
    problem = radar.imaging_problem(scan, GRID)
    x = np.zeros(GRID.shape, "complex64")
    x[2, 2, 2] = 0.3
    frequency, channel = metrics.residual_shares(problem, x)
    left, right, bar = plot.residuals(problem, x).axes
    np.testing.assert_allclose(left.lines[0].get_xdata(), scan.freq / 1e9)
    np.testing.assert_allclose(left.lines[0].get_ydata(), frequency)
    np.testing.assert_allclose(right.images[0].get_array(), channel)
    assert channel.shape == (12, 13)
    assert right.get_xlabel() == "receiver"
    assert bar.get_ylabel() == "‖Ax − y‖ / ‖y‖"
    # nothing explained is a share of one
    left = plot.residuals(problem, 0 * x).axes[0]
    np.testing.assert_allclose(left.lines[0].get_ydata(), 1)
    assert left.get_ylim()[1] > 1


def test_residuals_of_a_list_are_sorted_and_the_worst_are_named(scan):
    channels = [[0, 1], [2, 2], [5, 0], [1, 1], [7, 12], [3, 3], [4, 4]]
    A = NearFieldMIMO(scan.tx, scan.rx, scan.freq, GRID, channels=channels)
    x = np.zeros(GRID.shape, "complex64")
    x[1, 2, 3] = 1
    y = A(x)
    y[:, 4] *= 5
    y[:, 2] *= 2
    weights = np.ones(y.shape, "float32")
    weights[:, 0] = 0
    problem = ss.Problem(ss.LeastSquares(A, y, weights), None)
    right = plot.residuals(problem, x).axes[1]
    np.testing.assert_allclose(
        right.lines[0].get_ydata(), [0.8, 0.5, 0, 0, 0, 0], atol=1e-6
    )
    (text,) = right.texts
    assert text.get_text().startswith("largest (tx→rx from zero): 7→12, 5→0, ")
    assert "0→1" not in text.get_text()


def test_residuals_of_a_raster_are_a_map_of_places():
    scan = raster(5)
    A = NearFieldMIMO.from_scan(scan, GRID)
    x = np.zeros(GRID.shape, "complex64")
    x[2, 2, 2] = 1
    y = A(x)
    y[:, 7] *= 100
    problem = ss.Problem(ss.LeastSquares(A, y), None)
    _, right, bar = plot.residuals(problem, x).axes
    (dots,) = right.collections
    np.testing.assert_allclose(dots.get_offsets(), scan.tx[:, :2])
    wanted = np.where(np.arange(25) == 7, 0.99, 0)
    np.testing.assert_allclose(dots.get_array(), wanted, atol=1e-5)
    assert bar.get_ylabel() == "‖Ax − y‖ / ‖y‖"


def test_one_bad_channel_does_not_take_all_colours(scan):
    A = NearFieldMIMO.from_scan(scan, GRID)
    x = np.zeros(GRID.shape, "complex64")
    x[2, 2, 2] = 1
    y = A(x) / 1.2
    y[:, 3, 4] /= 50
    image = plot.residuals(ss.Problem(ss.LeastSquares(A, y), None), x).axes[1].images[0]
    assert image.get_array().max() > 40
    assert image.norm.vmax < 2
    assert image.colorbar.extend == "max"


def test_measured_scan(merit_folder):
    scan = radar.read_merit(merit_folder, "B0_P3_p000")
    (line,) = plot.array(scan).axes[0].lines
    assert line.get_label() == "24 × transmitter and receiver"
    grid = ss.Grid.box((0, 0, 0.03), 0.04, 0.01)
    problem = radar.imaging_problem(scan, grid, spreading=False)
    left, right = plot.residuals(problem, problem.zeros()).axes
    assert len(left.lines[0].get_xdata()) == 76
    assert len(right.lines[0].get_xdata()) == 96


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda s: plot.array(s, truth=[1, 2]), ValueError, "truth has shape"),
        (lambda s: plot.array(s, truth=[0, 0, np.nan]), ValueError, "truth has 1 NaN"),
        (
            lambda s: plot.point_spread(radar.point_spread(s, (0, 0, 0.5)), db_range=0),
            ValueError,
            "db_range is 0",
        ),
        (
            lambda s: plot.residuals(
                ss.Problem(
                    ss.LeastSquares(ss.operators.Identity((2, 3)), np.ones((2, 3)))
                ),
                np.ones((2, 3)),
            ),
            TypeError,
            "wanted a NearFieldMIMO",
        ),
        (
            lambda s: plot.residuals(radar.imaging_problem(s, GRID), np.ones((2, 3))),
            ValueError,
            "got an array of shape",
        ),
    ],
)
def test_bad_input_is_one_sentence(scan, call, error, message):
    with pytest.raises(error, match=message):
        call(scan)
