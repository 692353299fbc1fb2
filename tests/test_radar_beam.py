"""The restoring beam: its width, its sum, its default and what it refuses."""

import itertools
import math

import numpy as np
import pytest

import sparsesolve as ss
from sparsesolve import metrics
from sparsesolve.applications import radar
from sparsesolve.operators import Grid

MM = 1e-3


def scan(n_freq=9, **changes):
    tx, rx = radar.reference_array()
    values = {"tx": tx, "rx": rx, "freq": np.linspace(4e9, 16e9, n_freq)} | changes
    shape = (values["freq"].size, len(values["tx"]), len(values["rx"]))
    return ss.RadarScan(data=np.zeros(shape, complex), **values)


def test_a_lone_voxel_becomes_the_beam():
    grid = Grid.box((0, 0, 0.5), (20 * MM, 16 * MM, 24 * MM), (MM, MM, MM))
    x = np.zeros(grid.shape, complex)
    x[10, 8, 12] = 3j
    widths = (6 * MM, 4 * MM, 5 * MM)
    image = radar.restore(x, scan(), grid, width=widths)
    assert image.dtype == np.float64
    assert metrics.peak_position(image, grid) == pytest.approx((0, 0, 0.5), abs=1e-9)
    lines = image[:, 8, 12], image[10, :, 12], image[10, 8, :]
    for line, axis, width in zip(lines, grid.axes, widths, strict=True):
        assert metrics.peak_width(line, axis) == pytest.approx(width, rel=0.03)
    assert image.sum() == pytest.approx(3)


def test_it_is_the_sum_over_voxels_on_any_axes():
    rng = np.random.default_rng(0)
    grid = Grid([0.0, 0.01, 0.03], [0.0, 0.02], [0.3, 0.31, 0.33, 0.37])
    x = rng.standard_normal(grid.shape) + 1j * rng.standard_normal(grid.shape)
    widths = np.array([0.02, 0.01, 0.03])
    sigma = widths / 2 / math.sqrt(math.log(2))
    wanted = np.zeros(grid.shape)
    for source in itertools.product(*map(range, grid.shape)):
        away = (grid.points - grid.points[source]) / sigma
        beam = np.exp(-np.sum(away**2, axis=-1) / 2)
        wanted += abs(x[source]) * beam / beam.sum()
    found = radar.restore(x, scan(), grid, width=widths)
    np.testing.assert_allclose(found, wanted, rtol=1e-12)


def test_by_default_it_is_half_as_wide_as_the_arrays_own():
    grid = Grid.box((0.02, 0, 0.5), (0.1, 0.1, 0.08), (0.01, 0.01, 0.005))
    x = np.random.default_rng(1).standard_normal(grid.shape)
    widths = np.array(radar.point_spread(scan(), (0.02, 0, 0.5)).widths)
    assert np.all(np.isfinite(widths))
    half = radar.restore(x, scan(), grid, width=widths / 2)
    np.testing.assert_array_equal(radar.restore(x, scan(), grid), half)
    assert radar.restoring_beam(scan(), grid) == pytest.approx(widths / 2)


def test_an_axis_that_is_not_resolved_gets_no_beam():
    along_x = np.array([[x, 0.0, 0.0] for x in np.linspace(-0.1, 0.1, 9)])
    single = scan(freq=np.array([1e10]), tx=along_x, rx=along_x)
    widths = radar.point_spread(single, (0, 0, 0.5)).widths
    assert math.isinf(widths[1])
    grid = Grid.box((0, 0, 0.5), (0.1, 0.1, 0.0), (0.01, 0.01, 0.01))
    x = np.zeros(grid.shape)
    assert radar.restoring_beam(single, grid)[1] == 0
    x[5, 5, 0] = 1
    image = radar.restore(x, single, grid)
    assert np.count_nonzero(image.sum(axis=(0, 2))) == 1
    assert np.count_nonzero(image.sum(axis=(1, 2))) > 1


def test_batches_precision_and_region():
    grid = Grid.box((0, 0, 0.5), (0.1, 0.1, 0.1), (0.02, 0.02, 0.02))
    grid = grid.within(0.04, (0, 0, 0.5))
    rng = np.random.default_rng(2)
    x = rng.standard_normal((3, *grid.shape)).astype("complex64")
    found = radar.restore(x, scan(), grid, width=0.03)
    assert found.dtype == np.float32
    assert not np.any(found[:, ~grid.region])
    one = radar.restore(x[1], scan(), grid, width=0.03)
    np.testing.assert_allclose(found[1], one, rtol=1e-6)


def test_width_zero_gives_the_magnitudes():
    grid = Grid.box((0, 0, 0.5), (0.1, 0.1, 0.1), (0.05, 0.05, 0.05))
    x = np.arange(27.0).reshape(3, 3, 3) * 1j
    for width in (0, 1e-300):
        image = radar.restore(x, scan(), grid, width=width)
        np.testing.assert_array_equal(image, abs(x))


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"x": np.ones((2, 2, 2))}, ValueError, r"x got an array of shape \(2, 2, 2\)"),
        ({"x": np.full((3, 3, 3), np.nan)}, ValueError, "x has 27"),
        ({"x": np.ones((3, 3, 3), int)}, TypeError, "x has dtype int64"),
        ({"width": True}, TypeError, "width is True; wanted lengths"),
        ({"width": -0.01}, ValueError, "width is -0.01; wanted"),
        ({"width": (0.01, 0.01)}, ValueError, "one or three lengths"),
        ({"width": 25.0}, ValueError, "looks like mm"),
        ({"width": (0.01, 5, 0.01)}, ValueError, "the grid's 0.1 m; wanted m, not mm"),
    ],
)
def test_bad_input(changes, error, message):
    grid = Grid.box((0, 0, 0.5), (0.1, 0.1, 0.1), (0.05, 0.05, 0.05))
    values = {"x": np.ones((3, 3, 3)), "width": 0.01} | changes
    with pytest.raises(error, match=message):
        radar.restore(values["x"], scan(), grid, width=values["width"])


def test_bodies_of_random_phase_come_closer_to_the_truth():
    simulation = radar.simulate_scan(7, scene="plates", n_freq=10, snr_db=30)
    grid = Grid.box((0, 0, 0.5), (0.3, 0.3, 0.3), (0.025, 0.025, 0.0125))
    truth = simulation.truth(grid)
    x = radar.reconstruct(simulation.scan, grid, max_iter=60, progress=False).x
    before, after = (
        metrics.psnr(image, truth, scale="fit")
        for image in (x, radar.restore(x, simulation.scan, grid))
    )
    assert after > before
