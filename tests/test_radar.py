"""From a scan to an image: importer, subtraction, imaging, simulated and measured."""

import re
from dataclasses import replace

import numpy as np
import pytest

import sparsesolve as ss
from sparsesolve.applications import radar, radar_weight
from sparsesolve.applications.merit import _read_table
from sparsesolve.applications.radar_demo import phantom_grid
from sparsesolve.operators import Grid, NearFieldMIMO

GRID = Grid.box((0, 0, 0.5), (0.2, 0.2, 0.2), (0.02, 0.02, 0.01))


def small_scan(seed=0, **changes):
    """Two points at voxel centres, a few channels, no noise."""
    tx, rx = radar.reference_array()
    freq = np.linspace(4e9, 12e9, 9)
    A = NearFieldMIMO(tx[::3], rx[::3], freq, GRID)
    x = np.zeros(GRID.shape, "complex64")
    x[2, 3, 5], x[8, 6, 14] = 1.0, 0.7j
    values = {"data": A(x), "freq": freq, "tx": tx[::3], "rx": rx[::3], **changes}
    return ss.RadarScan(**values)


def noise_like(scan, rng):
    """Complex noise of unit power, in the shape of the data."""
    return rng.normal(scale=0.5**0.5, size=(*scan.data.shape, 2)) @ [1, 1j]


# the importer


def write_folder(folder, data="1+2i,3-4i\n-0.5i,1e-3+2e-4i\n"):
    (folder / "A_p000.csv").write_text(data)
    (folder / "frequencies.csv").write_text("1.5e+09\n1.6e+09\n")
    (folder / "antenna_locations.csv").write_text("0,0,0.1\n0.1,0,0\n0,0.1,0\n")
    (folder / "channel_names.csv").write_text("1,2\n2,3\n")


def test_importer_reads_a_folder(tmp_path):
    write_folder(tmp_path)
    scan = radar.read_merit(tmp_path, "A_p000", permittivity=4)
    np.testing.assert_allclose(scan.data, [[1 + 2j, 3 - 4j], [-0.5j, 1e-3 + 2e-4j]])
    assert scan.data.dtype == np.complex64
    np.testing.assert_array_equal(scan.freq, [1.5e9, 1.6e9])
    np.testing.assert_array_equal(scan.channels, [[0, 1], [1, 2]])
    np.testing.assert_array_equal(scan.tx, [[0, 0, 0.1], [0.1, 0, 0], [0, 0.1, 0]])
    assert scan.speed == pytest.approx(299792458 / 2)
    assert scan.sign == -1


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("1+2i,3\n4i,__import__('os')\n", r"row 2, column 2 is \"__import__"),
        ("1+2i,3\n4i\n", r"rows of \[1, 2\] cells"),
        ("1+2i\n4i\n", r"data has shape \(2, 1\)"),
        ("1,2\n", r"data has shape \(1, 2\)"),
        ("nan+1i,1\n1,1\n", "data has 1 NaN"),
    ],
)
def test_damaged_files_are_one_sentence(tmp_path, data, message):
    write_folder(tmp_path, data)
    with pytest.raises(ValueError, match=message):
        radar.read_merit(tmp_path, "A_p000")


def test_a_missing_scan_lists_those_that_exist(tmp_path):
    write_folder(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"no scan 'B_p000'.*A_p000"):
        radar.read_merit(tmp_path, "B_p000")
    with pytest.raises(ValueError, match=r"permittivity is 0\.5"):
        radar.read_merit(tmp_path, "A_p000", permittivity=0.5)


def test_importer_reads_the_published_files(merit_folder):
    scan = radar.read_merit(merit_folder, "B0_P3_p000")
    assert scan.data.shape == (76, 96)
    assert scan.data[0, 0] == np.complex64(-0.025697 - 0.0043991j)
    assert (scan.freq[0], scan.freq[-1]) == (1.5e9, 4.5e9)
    radii = np.linalg.norm(scan.tx, axis=1)
    np.testing.assert_allclose(radii, 0.07, atol=0.001)
    assert scan.channels[0].tolist() == [0, 1]
    table = _read_table(merit_folder / "frequencies.csv")
    np.testing.assert_array_equal(table[:, 0].real, scan.freq)


# subtraction


def test_subtraction_joins_masks_and_noises():
    scan = small_scan(noise=3e-3)
    mask = np.ones(scan.data.shape, bool)
    mask[1, 2, 3] = False
    data = scan.data.copy()
    data[1, 2, 3] = np.nan
    reference = replace(scan, data=0.5 * data, mask=mask, noise=4e-3)
    difference = radar.subtract(scan, reference)
    np.testing.assert_allclose(difference.data[mask], 0.5 * scan.data[mask])
    np.testing.assert_array_equal(difference.mask, mask)
    assert difference.noise == pytest.approx(5e-3)
    assert radar.subtract(scan, replace(scan, noise=None)).noise is None


def test_subtraction_minds_the_sign():
    scan = small_scan()
    other = replace(scan, data=scan.data.conj(), sign=1)
    assert not np.any(radar.subtract(scan, other).data)


@pytest.mark.parametrize(
    "changes",
    [
        {"freq": np.linspace(4e9, 12.1e9, 9)},
        {"speed": 2e8},
        {"tx": radar.reference_array()[0][1::3]},
    ],
)
def test_subtraction_refuses_scans_that_differ(changes):
    scan = small_scan()
    with pytest.raises(ValueError, match=f"{next(iter(changes))} of the scan"):
        radar.subtract(scan, replace(scan, **changes))


# imaging


def test_back_projection_is_delay_and_sum():
    scan = small_scan()
    image = radar.back_projection(scan, GRID)
    point = GRID.points[4, 1, 7]
    out = np.linalg.norm(scan.tx - point, axis=1)[:, None]
    back = np.linalg.norm(scan.rx - point, axis=1)
    delay = (out + back) / scan.speed
    phase = np.exp(2j * np.pi * scan.freq[:, None, None] * delay)
    assert image[4, 1, 7] == pytest.approx(np.sum(phase * scan.data), rel=1e-5)
    assert image.dtype == np.complex64


def test_masked_data_may_be_anything():
    scan = small_scan()
    mask = np.random.default_rng(0).random(scan.data.shape) < 0.8
    holes = replace(scan, data=np.where(mask, scan.data, np.nan), mask=mask)
    zeros = replace(scan, data=np.where(mask, scan.data, 0))
    np.testing.assert_allclose(
        radar.back_projection(holes, GRID),
        radar.back_projection(zeros, GRID),
        rtol=1e-5,
    )
    solution = radar.reconstruct(holes, GRID, lam="share")
    assert np.isfinite(solution.x).all()
    problem = radar.imaging_problem(holes, GRID)
    assert problem.loss.n_data == mask.sum()


def test_l1_finds_the_points_and_meets_its_optimality_conditions():
    scan = small_scan()
    scan = replace(scan, data=scan.data.astype("complex128"))
    solution = radar.reconstruct(scan, GRID, lam=0.3, max_iter=3000, tol=1e-8)
    x = np.abs(solution.x)
    strongest = sorted(np.argsort(x.ravel())[-2:].tolist())
    wanted = [np.ravel_multi_index(i, GRID.shape) for i in ((2, 3, 5), (8, 6, 14))]
    assert strongest == wanted
    A = NearFieldMIMO.from_scan(scan, GRID)
    gradient = A.H(scan.data - A(solution.x))
    used = x > 0
    np.testing.assert_allclose(
        gradient[used], 0.3 * solution.x[used] / x[used], atol=0.3 * 1e-3
    )
    assert np.abs(gradient).max() < 0.3 * (1 + 1e-3)


def test_the_rules_for_lam_are_stated():
    scan = small_scan()
    top = radar.imaging_problem(scan, GRID).lam_max()
    solution = radar.reconstruct(scan, GRID, lam="share")
    shown = f"{0.5 * top:.4g}"
    assert solution.choices["lam"] == f"{shown}, 0.5 of lam_max"
    assert "Grid 11 x 11 x 21" in solution.choices["grid"]
    given = radar.reconstruct(scan, GRID, lam=float(shown))
    np.testing.assert_array_equal(given.x, solution.x)
    assert "given" in given.choices["lam"]


def test_known_noise_means_discrepancy():
    scan = small_scan()
    rng = np.random.default_rng(1)
    noise = 0.2 * np.sqrt(np.mean(np.abs(scan.data) ** 2))
    draw = rng.standard_normal((2, *scan.data.shape)) * noise / np.sqrt(2)
    data = (scan.data + draw[0] + 1j * draw[1]).astype("complex64")
    noisy = replace(scan, data=data, noise=float(noise))
    solution = radar.reconstruct(noisy, GRID, model_error=0)
    A = NearFieldMIMO.from_scan(noisy, GRID)
    misfit = np.linalg.norm(A(solution.x) - data) / np.sqrt(data.size)
    assert 0.7 * noise < misfit <= noise * 1.001
    assert "where the misfit is within" in solution.choices["lam"]


def with_noise(scan, rng, level):
    """Return the scan with noise so many times its root mean square, which is known."""
    noise = level * np.sqrt(np.mean(np.abs(scan.data) ** 2))
    data = scan.data + noise * noise_like(scan, rng)
    return replace(scan, data=data.astype(scan.data.dtype)), noise


def chosen(solution):
    return float(solution.choices["lam"].partition(",")[0])


def predicted(solution):
    """Return what the choice says of receivers left out, a share."""
    said = re.search(r"predicts (-?[\d.]+)% of receivers", solution.choices["lam"])
    return float(said[1]) / 100


def test_receivers_left_out_choose_where_the_noise_is_unknown(rng):
    """By a path of the same weights; near the weight of the known noise."""
    noisy, noise = with_noise(small_scan(), rng, 0.3)
    held = radar.reconstruct(noisy, GRID)
    found = ss.path(
        radar.imaging_problem(noisy, GRID),
        choose="held_out",
        axis=-1,
        standard_errors=1.0,
        n_lams=11,
        ratio=2.0**-10,
        solver=ss.solvers.ProximalGradient(backtracking=True),
        max_iter=30,
        tol=3e-3,
    )
    index = list(found.lams).index(found.lam)
    assert index < found.scores.argmin()
    assert "best on 20% held-out data" in held.choices["lam"]
    assert chosen(held) == float(f"{found.lam:.4g}")
    share = 1 - (found.scores[index] / found.scores[0]) ** 2
    assert predicted(held) == pytest.approx(share, abs=1e-3)
    again = radar.reconstruct(noisy, GRID, lam="held_out")
    np.testing.assert_array_equal(again.x, held.x)
    known = radar.reconstruct(noisy, GRID, noise=noise, model_error=0)
    assert 0.2 < chosen(held) / chosen(known) < 5


@pytest.mark.parametrize(("level", "least"), [(1.75, 0.05), (1e3, 0.0)])
def test_a_share_is_taken_where_receivers_cannot_be_predicted(
    rng, level, least, monkeypatch
):
    """Some of them can be, or nothing at all, after which the search ends early."""
    paths = []

    def watched(*args, **options):
        paths.append(ss.path(*args, **options))
        return paths[-1]

    monkeypatch.setattr(radar_weight, "path", watched)
    noisy, _ = with_noise(small_scan(), rng, level)
    solution = radar.reconstruct(noisy, GRID)
    assert "0.5 of lam_max, as " in solution.choices["lam"]
    assert least <= predicted(solution) < 0.1
    assert solution.x.any()
    assert len(paths[0].lams) < 11
    same = radar.reconstruct(noisy, GRID, lam="share")
    np.testing.assert_array_equal(solution.x, same.x)


@pytest.mark.parametrize("seed", range(6))
def test_an_image_by_default_is_never_empty(seed):
    """Few data, of which a standard error may reach up to lam_max."""
    rng = np.random.default_rng(seed)
    scan = small_scan()
    few = replace(
        scan, rx=scan.rx[:3], freq=scan.freq[:1], data=scan.data[:1, :, :3].copy()
    )
    solution = radar.reconstruct(with_noise(few, rng, 0.5)[0], GRID)
    assert solution.x.any()


def test_a_weight_is_resumed_by_what_the_choice_says(tmp_path, rng):
    noisy, _ = with_noise(small_scan(), rng, 0.1)
    path, options = tmp_path / "state.h5", {"tol": 0}
    for lam in (None, 0.123456):
        options["lam"] = lam
        whole = radar.reconstruct(noisy, GRID, max_iter=12, **options)
        begun = radar.reconstruct(noisy, GRID, max_iter=4, checkpoint=path, **options)
        options["lam"] = chosen(begun)
        again = radar.reconstruct(noisy, GRID, max_iter=12, resume=path, **options)
        np.testing.assert_array_equal(again.x, whole.x)


def test_receivers_that_are_masked_are_not_left_out():
    scan = small_scan()
    mask = np.zeros(scan.data.shape, bool)
    mask[:, :, [0, 1, 3]] = True
    few = replace(scan, mask=mask, data=np.where(mask, scan.data, 0))
    assert "of receivers left out" in radar.reconstruct(few, GRID).choices["lam"]
    one = replace(scan, mask=mask & (np.cumsum(mask).reshape(mask.shape) == 1))
    assert radar.reconstruct(one, GRID).choices["lam"].endswith("0.5 of lam_max")
    with pytest.raises(ValueError, match="hold out a share of 1 slices"):
        radar.reconstruct(one, GRID, lam="held_out")


def test_a_silent_receiver_left_out_leaves_the_share():
    scan = small_scan()
    data = np.array(scan.data)
    data[:, :, 1:] = 0
    silent = replace(scan, data=data)
    assert "0.5 of lam_max" in radar.reconstruct(silent, GRID).choices["lam"]


@pytest.mark.parametrize("n_rx", [1, 2])
def test_transmitters_are_left_out_where_there_is_one_receiver(n_rx):
    scan = small_scan()
    few = replace(scan, rx=scan.rx[:n_rx], data=scan.data[:, :, :n_rx])
    who = "transmitters" if n_rx == 1 else "receivers"
    assert f"% of {who} left out" in radar.reconstruct(few, GRID).choices["lam"]


def test_a_checkpoint_resumes_to_the_same_image(tmp_path):
    scan, path = small_scan(), tmp_path / "state.h5"
    options = {"lam": "share", "tol": 0}
    whole = radar.reconstruct(scan, GRID, max_iter=20, **options)
    radar.reconstruct(scan, GRID, max_iter=8, checkpoint=path, **options)
    again = radar.reconstruct(scan, GRID, max_iter=20, resume=path, **options)
    np.testing.assert_array_equal(again.x, whole.x)


def test_an_interrupt_while_choosing_lam_is_passed_on(monkeypatch):
    solution = radar.reconstruct(small_scan(), GRID, max_iter=1)
    half = replace(solution, status=ss.Status.INTERRUPTED)
    found = ss.Path(np.ones(1), [half], np.ones(1))
    monkeypatch.setattr(radar_weight, "path", lambda *_, **__: found)
    with pytest.raises(KeyboardInterrupt, match="while lam was being chosen"):
        radar.reconstruct(small_scan(), GRID, lam="held_out")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"lam": "best"}, "lam is 'best'; wanted a number > 0 or one of"),
        ({"lam": -1.0}, "lam is -1"),
        ({"lam": "discrepancy"}, "needs a scan whose noise is known"),
        ({"lam": "held_out", "resume": "x.h5"}, "resume needs the weight"),
        ({"resume": "x.h5"}, "lam is None; resume needs the weight"),
        ({"prior": "ridge"}, "prior is 'ridge'"),
    ],
)
def test_bad_choices_are_one_sentence(options, message):
    with pytest.raises(ValueError, match=message):
        radar.reconstruct(small_scan(), GRID, **options)


def test_a_weight_is_one_number():
    with pytest.raises(TypeError, match=r"lam is an array \(2,\); wanted one number"):
        radar.reconstruct(small_scan(), GRID, lam=np.array([0.1, 0.2]))


def test_a_scan_of_zeros_has_no_weight():
    silent = small_scan(data=np.zeros((9, 4, 5), "complex64"))
    for lam in (None, "share"):
        with pytest.raises(ValueError, match="lam_max is 0"):
            radar.reconstruct(silent, GRID, lam=lam)


# where to look


def test_a_planar_array_looks_forward():
    scan = small_scan()
    grid = radar.scene_grid(scan)
    lows, highs = np.array([(axis[0], axis[-1]) for axis in grid.axes]).T
    np.testing.assert_allclose(lows, [-0.15, -0.15, 0.3], atol=0.006)
    np.testing.assert_allclose(highs, [0.15, 0.15, 0.66], atol=0.006)
    assert 50_000 < np.prod(grid.shape) <= 110_000
    given = radar.scene_grid(scan, center=(0, 0, 0.5), extent=0.1, spacing=0.02)
    assert given.shape == (6, 6, 6)
    with pytest.raises(ValueError, match="center and extent belong together"):
        radar.scene_grid(scan, center=(0, 0, 1))


def test_a_surrounding_array_looks_inwards():
    rng = np.random.default_rng(0)
    direction = rng.standard_normal((20, 3))
    places = 0.1 * direction / np.linalg.norm(direction, axis=1)[:, None] + 0.3
    scan = small_scan(tx=places[:4], rx=places[4:9])
    grid = radar.scene_grid(scan, spacing=0.01)
    distance = np.linalg.norm(grid.points - 0.3, axis=-1)
    np.testing.assert_array_equal(grid.region, distance <= 0.093 + 1e-9)


def test_an_array_in_another_plane_must_be_told_where_to_look():
    places = radar.reference_array()[0][:, [0, 2, 1]]
    scan = small_scan(tx=places[::3], rx=places[1::2][:5])
    with pytest.raises(ValueError, match="wanted center and extent"):
        radar.scene_grid(scan)


# simulated and measured scans


@pytest.mark.parametrize("seed", [0, 1])
def test_a_simulated_scan_survives_its_file_and_is_imaged(tmp_path, seed):
    simulation = radar.simulate_scan(seed, n_targets=2, n_freq=9)
    ss.save(tmp_path / "scan.h5", simulation.scan)
    scan = ss.load(tmp_path / "scan.h5")
    np.testing.assert_array_equal(scan.data, simulation.scan.data)
    assert scan.noise == simulation.scan.noise
    grid = Grid.box((0, 0, 0.5), 0.2, (0.0125, 0.0125, 0.01))
    first = radar.back_projection(scan, grid)
    solution = radar.reconstruct(scan, grid, lam="share", max_iter=100)
    rows = [
        radar.describe_image(x, grid, target=simulation.positions)
        for x in (first, solution.x)
    ]
    voxel = 1e3 * np.linalg.norm(grid.spacing)
    assert all(row["error_mm"] < voxel for row in rows)
    assert rows[1]["off_target_db"] < rows[0]["off_target_db"] - 15
    assert rows[1]["entropy"] < rows[0]["entropy"]


def test_simulation_matches_the_operator_and_its_noise_level():
    silent = radar.simulate_scan(3, snr_db=200)
    noisy = radar.simulate_scan(3, snr_db=10)
    data = np.zeros_like(silent.scan.data)
    for point, amplitude in zip(silent.positions, silent.amplitudes, strict=True):
        A = NearFieldMIMO.from_scan(silent.scan, Grid(*point[:, None]))
        data += A(np.full((1, 1, 1), amplitude, "complex64"))
    np.testing.assert_allclose(data, silent.scan.data, atol=2e-6 * np.abs(data).max())
    added = noisy.scan.data - silent.scan.data
    assert np.std(added) == pytest.approx(noisy.scan.noise, rel=0.03)
    power = np.mean(np.abs(silent.scan.data) ** 2)
    assert noisy.scan.noise**2 == pytest.approx(power / 10, rel=1e-5)


@pytest.mark.parametrize(
    ("name", "error", "side"), [("B0_P3", 7.9, 7.1), ("B0_P5", 8.3, 7.9)]
)
def test_measured_phantoms_by_back_projection(merit_folder, name, error, side):
    scans = (
        radar.read_merit(merit_folder, f"{name}_{turn}") for turn in ("p000", "p036")
    )
    scan = radar.subtract(*scans)
    center, _ = radar.TUMOURS[name]
    grid = phantom_grid()
    row = radar.describe_image(radar.back_projection(scan, grid), grid, target=center)
    assert row["error_mm"] == pytest.approx(error, abs=0.05)
    assert row["side_energy_db"] == pytest.approx(side, abs=0.1)


def test_the_wrong_sign_loses_the_measured_target(merit_folder):
    scans = (
        radar.read_merit(merit_folder, f"B0_P3_{turn}") for turn in ("p000", "p036")
    )
    scan = radar.subtract(*scans)
    grid = phantom_grid(0.005)
    peaks = [
        np.abs(radar.back_projection(replace(scan, sign=sign), grid)).max()
        for sign in (-1, 1)
    ]
    assert 20 * np.log10(peaks[0] / peaks[1]) > 8


def test_measured_phantom_by_l1(merit_folder):
    scans = (
        radar.read_merit(merit_folder, f"B0_P3_{turn}") for turn in ("p000", "p036")
    )
    scan = radar.subtract(*scans)
    center, _ = radar.TUMOURS["B0_P3"]
    grid = phantom_grid(0.004)
    solution = radar.reconstruct(scan, grid, spreading=False)
    first = radar.describe_image(radar.back_projection(scan, grid), grid, target=center)
    row = radar.describe_image(solution.x, grid, target=center)
    assert row["error_mm"] < first["error_mm"] + 4  # one voxel
    assert row["side_energy_db"] < first["side_energy_db"] - 8
