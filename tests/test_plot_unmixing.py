"""Pictures of hyperspectral images show the numbers they should."""

import dataclasses
from types import SimpleNamespace

import h5py
import matplotlib
import numpy as np
import pytest

import sparsesolve as ss
from sparsesolve import metrics, plot
from sparsesolve.backends import to_device
from sparsesolve.lazy import LazyArray

BANDS = 12
NM = np.linspace(400, 950, BANDS)  # 400, 450, ..., 950


@pytest.fixture
def cube(rng):
    valid = np.ones((5, 8), bool)
    valid[1, 2] = False
    data = rng.integers(0, 9000, (5, 8, BANDS)).astype("uint16")
    good = np.ones(BANDS, bool)
    good[3] = False
    return ss.HyperspectralCube(
        data, NM, good_bands=good, valid=valid, scale=1e-4, quantity="reflectance"
    )


@pytest.fixture
def scene(rng):
    """True endmembers and abundances, and found ones: others, permuted and scaled."""
    endmembers, maps = rng.random((3, BANDS)), rng.dirichlet(np.ones(3), (5, 8))
    order = [1, 2, 0]
    found = (endmembers + 0.05 * rng.random((3, BANDS)))[order] * 7
    return SimpleNamespace(
        endmembers=endmembers,
        abundances=maps,
        found=SimpleNamespace(
            endmembers=found,
            abundances=maps[..., order] + 0.05 * rng.standard_normal((5, 8, 3)),
        ),
        match=[2, 0, 1],
    )


def images(figure):
    """Every picture that is drawn, without the colour bars."""
    return [ax.images[0].get_array() for ax in figure.axes if ax.images]


def left_in_file(folder, cube):
    with h5py.File(folder / "cube.h5", "w") as file:
        file["data"] = cube.data
    return dataclasses.replace(cube, data=LazyArray(folder / "cube.h5", ("data",)))


def stretched(cube, bands):
    seen = cube.data[cube.valid][:, bands]
    low, high = np.percentile(seen, (2, 98), axis=0)
    return np.clip((cube.data[..., bands] - low) / (high - low), 0, 1)


def test_colours_are_the_nearest_good_bands_stretched(cube):
    figure = plot.rgb(cube)
    (seen,) = images(figure)
    # 640 → 650 nm; 550 nm is bad, and 500 nm as far as 600 nm: the first; 460 → 450 nm
    assert figure.axes[0].get_title() == "red 650, green 500, blue 450 nm"
    wanted = stretched(cube, [5, 2, 1])
    np.testing.assert_allclose(seen[cube.valid][:, :3], wanted[cube.valid], atol=1e-6)
    np.testing.assert_array_equal(seen[..., 3], cube.valid)
    assert figure.axes[0].get_aspect() == 1


def test_colours_are_false_where_the_visible_is_not_covered(cube):
    unknown = dataclasses.replace(cube, wavelengths=None)
    figure = plot.rgb(unknown)
    good = np.flatnonzero(cube.good_bands)
    bands = [good[9], good[5], good[1]]
    assert figure.axes[0].get_title() == "false colours: band 10, band 6, band 1"
    np.testing.assert_allclose(
        images(figure)[0][cube.valid][:, :3],
        stretched(cube, bands)[cube.valid],
        atol=1e-6,
    )
    infrared = dataclasses.replace(cube, wavelengths=NM[::-1] + 1000)
    # by wavelength: the file runs from the longest to the shortest
    title = plot.rgb(infrared).axes[0].get_title()
    assert title == "false colours: 1900 nm, 1650 nm, 1450 nm"
    no_blue = cube.good_bands & (NM > 520)
    title = plot.rgb(dataclasses.replace(cube, good_bands=no_blue)).axes[0].get_title()
    assert title.startswith("false colours")


def test_a_cube_left_in_its_file_and_constant_bands_have_a_picture(cube, tmp_path):
    cube.data[...] = 7
    lazy = left_in_file(tmp_path, cube)
    np.testing.assert_array_equal(images(plot.rgb(lazy))[0][cube.valid][:, :3], 0)


def test_nan_that_a_file_holds_in_valid_pixels_are_grey(cube, tmp_path):
    data = cube.data.astype(float)
    data[~cube.valid] = np.nan
    lazy = left_in_file(tmp_path, dataclasses.replace(cube, data=data))
    lazy = dataclasses.replace(lazy, valid=np.ones_like(cube.valid))
    np.testing.assert_array_equal(images(plot.rgb(lazy))[0][..., 3], cube.valid)
    with pytest.raises(ValueError, match="NaN in every valid pixel"):
        plot.rgb(dataclasses.replace(lazy, valid=~cube.valid))


def test_abundances_share_one_scale_and_have_square_pixels(scene):
    maps = scene.abundances.copy()
    maps[0, 0] = np.nan
    figure = plot.abundances(maps, ["soil", "tree", "water"])
    for k, seen in enumerate(images(figure)):
        np.testing.assert_array_equal(seen.filled(np.nan), maps[:, :, k])
    panels = [ax for ax in figure.axes if ax.images]
    assert [ax.get_title() for ax in panels] == ["soil", "tree", "water"]
    assert all(ax.get_aspect() == 1 for ax in panels)
    assert {(ax.images[0].norm.vmin, ax.images[0].norm.vmax) for ax in panels} == {
        (0, 1)
    }
    (bar,) = [ax for ax in figure.axes if ax.get_ylabel() == "abundance"]
    assert bar.get_ylim() == (0, 1)


def test_abundances_stand_above_their_truth(scene):
    found, truth, match = scene.found.abundances, scene.abundances, scene.match
    for order in (None, match):
        figure = plot.abundances(found, None, truth, order=order)
        seen = images(figure)
        for k in range(3):
            np.testing.assert_array_equal(seen[k], found[:, :, match[k]])
            np.testing.assert_array_equal(seen[3 + k], truth[:, :, k])
        error = metrics.abundance_rmse(found, truth, order=match)
        assert f"{error:.4f}" in figure.get_suptitle()
    assert figure.axes[0].get_ylabel() == "found"
    assert figure.axes[3].get_ylabel() == "truth"
    # another order is drawn as it is said
    figure = plot.abundances(found, None, truth, order=[0, 1, 2])
    np.testing.assert_array_equal(images(figure)[0], found[:, :, 0])


def test_many_abundances_wrap(rng):
    maps = rng.random((4, 4, 8))
    figure = plot.abundances(maps)
    np.testing.assert_array_equal(np.stack(images(figure), axis=2), maps)
    titles = [ax.get_title() for ax in figure.axes if ax.images]
    assert titles == [f"endmember {k}" for k in range(1, 9)]
    drawn = images(plot.abundances(maps[..., :7], truth=maps[..., :7]))
    assert len(drawn) == 14


def lines(figure):
    """The lines of the first panel that have points, and their labels."""
    drawn = [line for line in figure.axes[0].lines if np.size(line.get_xdata())]
    return {line.get_label(): line for line in drawn}, drawn


def test_spectra_are_matched_scaled_and_have_their_angle(scene):
    names = ["soil", "tree", "water"]
    found, truth = scene.found.endmembers, scene.endmembers
    figure = plot.endmembers(found, NM, truth, names)
    angles = metrics.spectral_angles(found, truth)
    by_name, drawn = lines(figure)
    for k, name in enumerate(names):
        line = by_name[f"{name}, SAD {angles[k]:.4f}"]
        f, t = found[scene.match[k]], truth[k]
        best = np.linalg.lstsq(f[:, None], t, rcond=None)[0][0] * f
        np.testing.assert_allclose(line.get_ydata(), best)
        np.testing.assert_array_equal(line.get_xdata(), NM)
        np.testing.assert_array_equal(drawn[3 + k].get_ydata(), t)
        assert drawn[3 + k].get_color() == line.get_color()
    assert f"{angles.mean():.4f}" in figure.get_suptitle()
    assert "scaled" in figure.axes[0].get_ylabel()


def test_bad_bands_are_gaps_and_count_in_no_angle(scene, rng):
    good = np.ones(BANDS, bool)
    good[[0, 4]] = False
    found = scene.found.endmembers.copy()
    found[:, ~good] = 1e3 * rng.random((3, 2))
    figure = plot.endmembers(found, NM, scene.endmembers, good_bands=good)
    angle = metrics.spectral_angle(found[:, good], scene.endmembers[:, good])
    assert f"{angle:.4f}" in figure.get_suptitle()
    for line in lines(figure)[1]:
        np.testing.assert_array_equal(np.isnan(line.get_ydata()), ~good)
    plain = plot.endmembers(found, good_bands=good, quantity="reflectance")
    assert plain.axes[0].get_ylabel() == "reflectance"
    assert plain.axes[0].get_xlabel() == "band"


def test_bands_missing_in_the_file_are_a_gap():
    axis = np.array([400, 410, 420, 500, 510, 520.0])
    line = lines(plot.endmembers(np.ones((1, 6)), axis))[1][0]
    np.testing.assert_array_equal(line.get_ydata(), [1, 1, 1, np.nan, 1, 1, 1])
    np.testing.assert_array_equal(line.get_xdata()[:3], axis[:3])
    assert len(lines(plot.endmembers(np.ones((2, 1)), [500.0]))[1]) == 2


def test_guides_are_compared_with_the_truth(rng):
    found, truth = rng.random((2, 5, 8))
    figure = plot.guide(found, truth)
    np.testing.assert_array_equal(images(figure)[0], found)
    np.testing.assert_array_equal(images(figure)[1], truth)
    correlation = metrics.guide_correlation(found, truth)
    assert f"{correlation:.3f}" in figure.axes[0].get_title()
    assert len(images(plot.guide(found))) == 1


def test_band_weights_shade_flagged_bands(rng):
    weights = rng.random(BANDS) + 0.5
    weights[2] = np.nan
    flagged = np.zeros(BANDS, bool)
    flagged[[5, 9]] = True
    figure = plot.band_weights(weights, NM, flagged)
    panel = figure.axes[0]
    np.testing.assert_array_equal(panel.lines[0].get_ydata(), weights)
    spans = [(p.get_x(), p.get_width()) for p in panel.patches]
    np.testing.assert_allclose(spans, [(NM[5] - 25, 50), (NM[9] - 25, 50)])
    assert panel.patches[0].get_label() == "2 flagged bands"
    assert panel.get_yscale() == "linear"
    weights[0] = 1e4
    assert plot.band_weights(weights).axes[0].get_yscale() == "log"


def test_the_error_map_is_not_ruled_by_one_pixel(rng):
    error = rng.random((20, 20))
    error[3, 3], error[0, 0] = 1e6, np.nan
    figure = plot.error_map(error)
    np.testing.assert_array_equal(images(figure)[0].filled(np.nan), error)
    assert figure.axes[0].images[0].norm.vmax < 1.01
    overall = np.sqrt(np.nanmean(error**2))
    assert f"{overall:.3g} overall" in figure.axes[0].get_title()
    assert plot.error_map(0 * error).axes[0].images[0].norm.vmax == 1


def test_the_overview_has_scene_maps_and_spectra(cube, scene):
    spectra = np.where(cube.good_bands, scene.endmembers, np.nan)
    result = SimpleNamespace(endmembers=spectra, abundances=scene.abundances)
    figure = plot.unmixing(cube, result, ["soil", "tree", "water"], title="a title")
    assert figure.get_suptitle() == "a title"
    seen = images(figure)
    np.testing.assert_array_equal(seen[0], images(plot.rgb(cube))[0])
    np.testing.assert_array_equal(np.stack(seen[1:4], axis=2), scene.abundances)
    panel = figure.axes[-1]
    assert panel.get_ylabel() == "reflectance"
    for line, spectrum, title in zip(
        panel.lines, spectra, figure.axes[1:4], strict=True
    ):
        np.testing.assert_array_equal(line.get_ydata(), spectrum)
        assert line.get_color() == title.title.get_color()
        assert line.get_label() == title.get_title()
    bare = ss.HyperspectralCube(cube.data)
    wide = SimpleNamespace(
        endmembers=np.tile(scene.endmembers, (2, 1)),
        abundances=np.tile(scene.abundances, (1, 1, 2)),
    )
    figure = plot.unmixing(bare, wide)
    assert len(images(figure)) == 7
    assert figure.axes[-1].get_xlabel() == "band"


@pytest.mark.parametrize("library", ["array_api_strict", "torch:cpu"])
def test_any_library(scene, library):
    pytest.importorskip(library.partition(":")[0])
    maps = to_device(scene.abundances, library)
    np.testing.assert_array_equal(
        images(plot.abundances(maps))[1], scene.abundances[:, :, 1]
    )
    spectra = to_device(scene.endmembers, library)
    drawn = lines(plot.endmembers(spectra))[1]
    np.testing.assert_array_equal(drawn[0].get_ydata(), scene.endmembers[0])


def test_no_global_state_is_touched(cube, scene, tmp_path):
    import matplotlib.pyplot as plt

    before = dict(matplotlib.rcParams)
    figure = plot.unmixing(cube, scene)
    plot.save(figure, tmp_path / "overview.png", dpi=40)
    assert (tmp_path / "overview.png").read_bytes().startswith(b"\x89PNG")
    assert plt.get_fignums() == []
    assert dict(matplotlib.rcParams) == before


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda c, s: plot.abundances(s.abundances[0]), "maps has shape"),
        (lambda c, s: plot.abundances(s.abundances * np.nan), "NaN everywhere"),
        (lambda c, s: plot.abundances(s.abundances, ["a"]), "wanted 3 names"),
        (lambda c, s: plot.abundances(s.abundances, "abc"), "wanted 3 names"),
        (lambda c, s: plot.abundances(s.abundances, order=[0, 1, 2]), "without a tr"),
        (
            lambda c, s: plot.abundances(s.abundances, truth=s.abundances[:3]),
            "like truth",
        ),
        (lambda c, s: plot.endmembers(s.endmembers[0]), "found has shape"),
        (lambda c, s: plot.endmembers(s.endmembers, NM[:3]), "wavelengths has"),
        (
            lambda c, s: plot.endmembers(s.endmembers, good_bands=np.ones(3, bool)),
            "good_bands is bool",
        ),
        (lambda c, s: plot.guide(s.abundances), "guide_map has shape"),
        (lambda c, s: plot.guide(s.abundances[0], s.abundances[1, :3]), "like truth"),
        (lambda c, s: plot.error_map(np.full((2, 2), np.nan)), "NaN everywhere"),
        (lambda c, s: plot.band_weights(np.full(3, np.nan)), "3 NaN"),
        (lambda c, s: plot.band_weights(NM, flagged=NM), "flagged is float64"),
        (
            lambda c, s: plot.unmixing(
                c, SimpleNamespace(endmembers=s.endmembers, abundances=s.abundances[:3])
            ),
            "result has abundances",
        ),
    ],
)
def test_bad_input_is_one_sentence(cube, scene, call, message):
    with pytest.raises(ValueError, match=message):
        call(cube, scene)
