"""Pictures show the numbers they should, and are written whole or not at all."""

import matplotlib
import numpy as np
import pytest

import sparsesolve as ss
from sparsesolve import plot
from sparsesolve.backends import to_device
from sparsesolve.operators import Grid

GRID = Grid([-0.01, 0.0, 0.01, 0.02], [0.0, 0.005], [0.1, 0.11, 0.13])


@pytest.fixture
def image():
    x = np.zeros(GRID.shape, "complex64")
    x[0, 1, 2], x[3, 0, 1], x[2, 0, 0] = 2j, -1, 1e-5
    return x


def panels(figure):
    """The axes that hold a projection: every subfigure ends with its colour bar."""
    return [ax for row in figure.subfigs for ax in row.axes[:-1]]


def projections(figure):
    return [ax.collections[0].get_array() for ax in panels(figure)]


def test_projections_are_maxima_in_decibels(image):
    figure = plot.volume(image, GRID)
    seen = projections(figure)
    db = 20 * np.log10(np.maximum(np.abs(image).astype(float) / 2, 1e-300))
    for found, wanted in zip(
        seen, (db.max(axis=2).T, db.max(axis=1).T, db.max(axis=0).T), strict=True
    ):
        np.testing.assert_allclose(found, wanted, atol=1e-4)
    mesh = panels(figure)[0].collections[0]
    assert (mesh.norm.vmin, mesh.norm.vmax) == (-40, 0)


def test_axes_are_in_metres_with_voxel_edges_and_equal_aspect(image):
    top, front, side = panels(plot.volume(image, GRID))
    assert [ax.get_xlabel() for ax in (top, front, side)] == [
        "x (m)",
        "x (m)",
        "y (m)",
    ]
    assert [ax.get_ylabel() for ax in (top, front, side)] == [
        "y (m)",
        "z (m)",
        "z (m)",
    ]
    np.testing.assert_allclose(top.get_xlim(), (-0.015, 0.025))
    np.testing.assert_allclose(top.get_ylim(), (-0.0025, 0.0075))
    np.testing.assert_allclose(front.get_ylim(), (0.095, 0.14))
    assert all(ax.get_aspect() == 1 for ax in (top, front, side))


def test_without_a_grid_the_axes_count_voxels(image):
    assert panels(plot.volume(image))[0].get_xlabel() == "x (voxels)"


def test_a_plane_is_one_picture(image):
    plane = Grid(GRID.axes[0], [0.0], GRID.axes[2])
    (panel,) = panels(plot.volume(image[:, :1], plane))
    assert (panel.get_xlabel(), panel.get_ylabel()) == ("x (m)", "z (m)")
    wanted = plot.volume(image[:, :1] + 0, None)
    assert len(panels(wanted)) == 1
    assert len(panels(plot.volume(np.ones((4, 1, 1))))) == 3


def test_slices_go_through_the_peak_or_a_point(image):
    figure = plot.slices(image, GRID)
    db = 20 * np.log10(np.maximum(np.abs(image).astype(float) / 2, 1e-300))
    # the largest voxel is (0, 1, 2)
    wanted = db[:, :, 2].T, db[:, 1, :].T, db[0, :, :].T
    for found, exact in zip(projections(figure), wanted, strict=True):
        np.testing.assert_allclose(found, exact, atol=1e-4)
    titles = [panel.get_title() for panel in panels(figure)]
    assert titles == ["z = 0.13 m", "y = 0.005 m", "x = -0.01 m"]
    front = panels(figure)[1]
    assert [line.get_xdata()[0] for line in front.lines[:1]] == [-0.01]
    assert front.lines[1].get_ydata()[0] == 0.13
    # 4 mm beside the voxel (3, 0, 1), in a non-uniform axis
    elsewhere = plot.slices(image, GRID, (0.016, -0.002, 0.114))
    np.testing.assert_allclose(projections(elsewhere)[2], db[3].T, atol=1e-4)
    counted = plot.slices(image, point=(3, 0, 1))
    assert panels(counted)[0].get_title() == "z = 1"
    np.testing.assert_allclose(projections(counted)[0], db[:, :, 1].T, atol=1e-4)


def test_truth_is_circled_and_antennas_fit_in(image):
    figure = plot.volume(
        image,
        GRID,
        truth=[[0.0, 0.005, 0.11]],
        truth_diameter=0.004,
        antennas=[[-0.1, 0.0, 0.0]],
    )
    front = panels(figure)[1]
    (circle,) = front.patches
    np.testing.assert_allclose(circle.center, (0, 0.11))
    assert circle.radius == pytest.approx(0.002)
    assert front.get_xlim()[0] < -0.1
    assert front.get_ylim()[0] < 0
    np.testing.assert_allclose(front.lines[0].get_xydata(), [[-0.1, 0]])


def test_several_volumes_have_a_row_each(image):
    figure = plot.volumes({"one": image, "two": 5 * image}, GRID, title="both")
    assert len(panels(figure)) == 6
    np.testing.assert_allclose(
        projections(figure)[0], projections(figure)[3], atol=1e-4
    )


@pytest.mark.parametrize("library", ["array_api_strict", "torch:cpu"])
def test_any_library(image, library):
    pytest.importorskip(library.partition(":")[0])
    assert len(panels(plot.volume(to_device(image, library), GRID))) == 3


def test_no_global_state_is_touched(image):
    import matplotlib.pyplot as plt

    before = dict(matplotlib.rcParams)
    plot.volume(image, GRID)
    assert plt.get_fignums() == []
    assert dict(matplotlib.rcParams) == before


def solution(**history):
    return ss.Solution(
        x=np.ones(2),
        status=ss.Status.CONVERGED,
        message="converged",
        n_iter=3,
        seconds=0.1,
        history={k: np.array(v) for k, v in history.items()},
    )


def test_convergence_shows_residual_and_objective():
    figure = plot.convergence(
        solution(residual=[1.0, 0.1, 0.0], objective=[9.0, 4.0, 3.0], loss=[1.0, 1, 1])
    )
    residual, objective, loss = figure.axes
    np.testing.assert_allclose(loss.lines[0].get_ydata(), 1)
    np.testing.assert_allclose(residual.lines[0].get_ydata(), [1, 0.1, np.nan])
    np.testing.assert_allclose(objective.lines[0].get_ydata(), [9, 4, 3])
    assert residual.get_yscale() == "log"
    assert objective.get_yscale() == "linear"
    steep = plot.convergence(solution(residual=[1.0, 0.1], objective=[99.0, 4.0]))
    assert steep.axes[1].get_yscale() == "log"
    assert len(plot.convergence(solution(residual=[1.0])).axes) == 1
    admm = plot.convergence(solution(residual=[1.0], misfit=[2.0], objective=[2.0]))
    assert [ax.get_ylabel() for ax in admm.axes][2] == "misfit ‖Ax − y‖"
    negative = plot.convergence(solution(residual=[1.0], objective=[-2.0]))
    assert negative.axes[1].get_yscale() == "linear"


def test_files_are_whole_or_absent(image, tmp_path, monkeypatch):
    path = tmp_path / "image.png"
    plot.save(plot.volume(image, GRID, title="a title"), path, dpi=40)
    assert path.read_bytes().startswith(b"\x89PNG")
    before = path.read_bytes()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match=r"cannot write .*the disk is full"):
        plot.save(plot.volume(2 * image, GRID), path, dpi=50)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["image.png"]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: plot.volume(x[0], GRID), "wanted a volume"),
        (lambda x: plot.volume(x.transpose(1, 0, 2), GRID), "axes swapped"),
        (lambda x: plot.volume(0 * x), "zero everywhere"),
        (lambda x: plot.volume(x * np.nan), "NaN"),
        (lambda x: plot.volume(x, GRID, db_range=-3), "db_range is -3"),
        (lambda x: plot.volumes({}, GRID), "no image"),
        (lambda x: plot.volume(x, GRID, truth=[1, 2]), "truth has shape"),
        (lambda x: plot.volume(x, GRID, antennas=[[np.nan] * 3]), "antennas has 3 NaN"),
        (lambda x: plot.slices(x[0], GRID), "wanted a volume"),
        (lambda x: plot.slices(x * 0, GRID), "zero everywhere"),
        (lambda x: plot.slices(x, GRID, db_range=0), "db_range is 0"),
        (lambda x: plot.slices(x, GRID, (0, 0, 0.2)), "point has z = 0.2 m"),
        (lambda x: plot.slices(x, GRID, (0, 0)), "point has shape"),
        (lambda x: plot.slices(x, GRID, (0, 0, np.inf)), "point has 1 NaN"),
        (lambda x: plot.convergence(solution()), "no history"),
    ],
)
def test_bad_input_is_one_sentence(image, call, message):
    with pytest.raises(ValueError, match=message):
        call(image)


def test_truth_is_seen_on_the_picture():
    x = np.zeros((9, 9, 9))
    x[4, 4, 4] = 1.0
    grid = Grid.box((0, 0, 0.5), 0.08, 0.01)
    figure = plot.volume(x, grid, truth=(0.0, 0.0, 0.5), truth_diameter=0.04)
    figure.canvas.draw()
    seen = np.asarray(figure.canvas.buffer_rgba())[..., :3].astype(int)
    wanted = np.array([0x35, 0xD0, 0xFF])
    assert (np.abs(seen - wanted).sum(axis=-1) < 30).sum() > 50
