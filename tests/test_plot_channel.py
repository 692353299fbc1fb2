"""Pictures of channels and sparse estimates: they draw what they say, or refuse."""

from dataclasses import replace

import numpy as np
import pytest

import sparsesolve as ss
from sparsesolve.solution import PosteriorSummary


@pytest.fixture
def rng():
    return np.random.default_rng(3)


@pytest.fixture
def measurement(rng):
    factors = [rng.standard_normal((3, 4)) + 0j, rng.standard_normal((2, 5)) + 0j]
    x = np.zeros((4, 5), complex)
    x[1, 2], x[3, 2] = 2, 1j
    return ss.KroneckerMeasurement(
        factors,
        ss.operators.Kronecker(*factors)(x),
        x=x,
        synthesis=factors,
        channel=ss.operators.Kronecker(*factors)(x),
    )


def solved(x, variance=None):
    posterior = None
    if variance is not None:
        posterior = PosteriorSummary(x, variance, 1.0, 0.1, {})
    return ss.Solution(
        x=x,
        status=ss.Status.CONVERGED,
        message="",
        n_iter=1,
        seconds=0.0,
        posterior=posterior,
    )


def drawn(panel):
    return {line.get_label(): line.get_xydata() for line in panel.lines}


def test_coefficients_show_the_largest_entry_its_interval_and_the_truth(measurement):
    x = np.zeros((4, 5), complex)
    x[1, 2], x[1, 3], x[3, 2] = 2.2, -3.0, 0.9j
    variance = np.where(x != 0, 0.04, 0.0)
    variance[1, 3] = 0.09
    figure = ss.plot.coefficients(
        solved(x, variance), measurement, level=0.8, names=["angle", "delay"], title="t"
    )
    above, beside, below, _ = figure.axes
    points = drawn(above)
    np.testing.assert_allclose(points["estimate"], [[1, 3.0], [3, 0.9]])
    np.testing.assert_allclose(points["eliminated"], [[0, 0], [2, 0]])
    np.testing.assert_allclose(points["truth"], [[1, 2.0], [3, 1.0]])
    np.testing.assert_allclose(drawn(beside)["truth"], [[2, 2.0]])
    wanted = solved(x, variance).posterior.interval(0.8, of="abs")
    (bars,) = above.collections
    ends = [segment[:, 1] for segment in bars.get_segments()]
    np.testing.assert_allclose(ends[0], [end[1, 3] for end in wanted])
    (std,) = below.lines
    np.testing.assert_allclose(std.get_xydata(), [[1, 0.3], [3, 0.2]])
    assert below.get_xlabel() == "angle"
    texts = [text.get_text() for text in figure.legends[0].get_texts()]
    assert "80% interval, given the fitted variances" in texts


def test_coefficients_without_posterior_truth_or_with_snapshots(measurement, rng):
    x = rng.standard_normal((4, 5, 3))
    several = replace(
        measurement, y=np.ones((3, 2, 3)), x=None, synthesis=None, channel=None
    )
    panels = ss.plot.coefficients(solved(x), several).axes
    assert len(panels) == 2
    points = drawn(panels[1])
    assert set(points) == {"estimate"}
    np.testing.assert_allclose(points["estimate"][:, 1], np.abs(x).max(axis=(0, 2)))


@pytest.mark.parametrize("std", [0.5, np.linspace(0.1, 2.0, 20)])
def test_coefficients_leave_room_above_what_they_show(measurement, std):
    x = np.ones((4, 5), complex)
    x[3, :] = 0.5
    variance = np.broadcast_to(std, 20).reshape(4, 5) ** 2
    figure = ss.plot.coefficients(solved(x, variance), measurement)
    for row in (figure.axes[:2], figure.axes[2:]):
        shown = [line.get_ydata().max() for panel in row for line in panel.lines]
        for bars in (c for panel in row for c in panel.collections):
            shown += [end[1] for segment in bars.get_segments() for end in segment]
        low, high = row[0].get_ylim()
        assert row[1].get_ylim() == (low, high)
        assert low == 0
        assert 1.05 * max(shown) < high < 1.2 * max(shown)


def test_coefficients_of_which_none_is_left_can_be_drawn(measurement):
    figure = ss.plot.coefficients(
        solved(np.zeros((4, 5)), np.zeros((4, 5))), replace(measurement, x=None)
    )
    assert {panel.get_ylim() for panel in figure.axes} == {(0.0, 1.0)}


def test_coefficients_refuse_what_does_not_fit(measurement):
    with pytest.raises(ValueError, match=r"x of shape \(5, 4\); .* axes swapped"):
        ss.plot.coefficients(solved(np.ones((5, 4))), measurement)
    with pytest.raises(ValueError, match="names has 1 names; wanted 2, one a mode"):
        ss.plot.coefficients(solved(np.ones((4, 5))), measurement, names=["a"])


class Estimate:
    """Stands in for a ChannelEstimate: an interval 0.2 wide."""

    def __init__(self, measurement, channel, posterior=True):
        self.measurement, self.channel = measurement, channel
        self.posterior = posterior or None

    def channel_interval(self, level=0.9):
        magnitude = np.abs(self.channel)
        return magnitude - level, magnitude + level


def test_channel_shows_truth_estimate_and_half_width(measurement):
    found = 1.1 * measurement.channel
    figure = ss.plot.channel(Estimate(measurement, found), level=0.5, title="t")
    images = [panel.images[0] for panel in figure.axes if panel.images]
    for image, wanted in zip(images, (measurement.channel, found), strict=False):
        np.testing.assert_allclose(image.get_array(), np.abs(wanted))
        assert image.get_clim() == (0, np.abs(found).max())
    np.testing.assert_allclose(images[2].get_array(), 0.5 * np.ones((3, 2)))
    assert figure.axes[2].get_title() == "half the 50% interval of |h|"


def test_channel_of_a_point_estimate_without_truth_and_of_snapshots(measurement):
    alone = replace(measurement, x=None, channel=None)
    figure = ss.plot.channel(Estimate(alone, measurement.channel, posterior=False))
    assert len([panel for panel in figure.axes if panel.images]) == 1
    several = replace(alone, y=np.ones((3, 2, 4)))
    found = np.arange(24.0).reshape(3, 2, 4)
    figure = ss.plot.channel(Estimate(several, found, posterior=False))
    np.testing.assert_array_equal(figure.axes[0].images[0].get_array(), found[..., 0])
    with pytest.raises(ValueError, match="estimate has no channel"):
        ss.plot.channel(Estimate(alone, None))


def curve(figure, panel=0, method=0):
    """Centre, lower and upper end of the bars of one curve."""
    bars = figure.axes[panel].containers[method]
    segments = np.array(bars[2][0].get_segments())
    return bars[0].get_ydata(), segments[:, 0, 1], segments[:, 1, 1]


def test_quartiles_against_snr():
    trials = np.array([[1.0, 2, 3, 4, 50], [0.1, 0.2, np.nan, 0.3, np.nan]])
    results = {"NMSE": {"a": trials, "b": trials / 2}, "SER": {"a": trials / 100}}
    figure = ss.plot.against_snr([0, 10], results, title="two")
    centre, low, high = curve(figure)
    np.testing.assert_allclose(centre, [3, 0.2])
    np.testing.assert_allclose(low, [2, 0.15])
    np.testing.assert_allclose(high, [4, 0.25])
    np.testing.assert_allclose(curve(figure, 0, 1)[0], [1.5, 0.1])
    np.testing.assert_allclose(curve(figure, 1)[0], [0.03, 0.002])
    assert [p.get_ylabel() for p in figure.axes] == ["NMSE (median)", "SER (median)"]


def test_means_and_their_standard_error_against_snr():
    trials = np.array([[1.0, 2, 3, 6, 3], [2.0, 2, np.nan, 2, 2], [4.0, 0, 0, 0, 0]])
    figure = ss.plot.against_snr(
        [0, 5, 10], {"NMSE": {"a": trials}}, spread="standard_error"
    )
    centre, low, high = curve(figure)
    error = np.std(trials[0], ddof=1) / 5**0.5
    np.testing.assert_allclose(centre, [3, 2, 0.8])
    np.testing.assert_allclose(high - centre, [error, 0, 0.8])
    np.testing.assert_allclose(low[0], 3 - error)
    assert low[2] > 0  # nothing below the axis


def test_errors_of_zero_leave_a_gap():
    figure = ss.plot.against_snr([0, 9], {"SER": {"a": [[0.1, 0.1], [0, 0]]}})
    line = figure.axes[0].containers[0][0]
    np.testing.assert_array_equal(line.get_ydata(), [0.1, np.nan])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"snr_db": [[0, 1]]}, r"snr_db has shape \(1, 2\)"),
        ({"spread": "range"}, "spread is 'range'; wanted one of"),
        ({"results": {}}, "results holds a quantity without methods"),
        ({"results": {"NMSE": {}}}, "results holds a quantity without methods"),
        ({"results": {"NMSE": {"a": [1, 2]}}}, r"\['NMSE'\]\['a'\] has shape \(2,\)"),
        ({"results": {"N": {"a": np.ones((3, 2))}}}, r"wanted \(2, n_trials\)"),
        ({"results": {"N": {"a": -np.ones((2, 2))}}}, "has negative or infinite"),
        ({"results": {"N": {"a": [[1], [np.nan]]}}}, "every trial is missing"),
    ],
)
def test_bad_results_are_refused(change, message):
    given = {"snr_db": [0, 1], "results": {"N": {"a": np.ones((2, 3))}}, **change}
    snr_db, results = given.pop("snr_db"), given.pop("results")
    with pytest.raises(ValueError, match=message):
        ss.plot.against_snr(snr_db, results, **given)
