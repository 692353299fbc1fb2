"""Kirchhoff migration, noise and its level, regularised forms, grids behind arrays."""

import re
import sys
from dataclasses import replace

import numpy as np
import pytest
import scipy.ndimage
from conftest import ROOT

import sparsesolve as ss
from sparsesolve.applications import radar, radar_direct, radar_warm_start
from sparsesolve.operators import Grid, NearFieldMIMO
from sparsesolve.priors import TotalVariation

GRID = Grid.box((0, 0, 0.4), (0.1, 0.1, 0.1), (0.025, 0.025, 0.02))


def scan_of(points=((0.01, -0.02, 0.39),), *, n_freq=7, noise=None, seed=0, **changes):
    """Echoes of unit points between voxels, by the formula, with noise if stated."""
    rng = np.random.default_rng(seed)
    tx, rx = radar.reference_array()
    values = {"tx": tx[::3], "rx": rx[::3], "freq": np.linspace(4e9, 10e9, n_freq)}
    values |= changes
    tx, rx, freq = values["tx"], values["rx"], values["freq"]
    k = 2 * np.pi * freq[:, None, None] / 299792458
    data = 0
    for point in points:
        out = np.linalg.norm(tx - point, axis=1)[:, None]
        back = np.linalg.norm(rx - point, axis=1)
        data = data + np.exp(-1j * k * (out + back)) / (4 * np.pi * out * back)
    if noise is not None:
        draw = rng.standard_normal((2, *data.shape)) * noise / np.sqrt(2)
        data = data + draw[0] + 1j * draw[1]
    values.setdefault("data", data)
    return ss.RadarScan(**values, noise=noise)


def as_channels(scan, pairs):
    pairs = np.array(pairs)
    data = scan.data[:, pairs[:, 0], pairs[:, 1]]
    return replace(scan, data=data, channels=pairs)


# Kirchhoff


def migrated(scan, point, tx_normals, rx_normals):
    """The sum of the definition, datum by datum."""
    pairs = scan.channels
    if pairs is None:
        pairs = [(t, r) for t in range(len(scan.tx)) for r in range(len(scan.rx))]
    data = scan.data.reshape(scan.freq.size, -1)
    total = 0
    for f, row in zip(scan.freq, data, strict=True):
        k = 2 * np.pi * f / scan.speed
        for (t, r), y in zip(pairs, row, strict=True):
            out, back = point - scan.tx[t], point - scan.rx[r]
            a, b = np.linalg.norm(out), np.linalg.norm(back)
            slopes = (tx_normals[t] @ out / a) * (rx_normals[r] @ back / b)
            factor = (1 + 1j * k * a) * (1 + 1j * k * b)
            total += 4 * slopes * factor * np.exp(1j * k * (a + b)) * y
    return total


@pytest.mark.parametrize("freq", [np.linspace(4e9, 10e9, 5), [4e9, 4.1e9, 7e9, 7.1e9]])
@pytest.mark.parametrize("listed", [False, True])
def test_kirchhoff_is_its_sum(monkeypatch, freq, listed):
    monkeypatch.setattr(radar_direct, "_TILE_ENTRIES", 300)
    scan = scan_of(freq=np.array(freq))
    if listed:
        scan = as_channels(scan, [[0, 1], [3, 0], [2, 4], [0, 0]])
    image = radar.kirchhoff(scan, GRID)
    z = np.array([0.0, 0, 1])
    for index in ((0, 0, 0), (3, 1, 4)):
        normals = [z] * 5
        wanted = migrated(scan, GRID.points[index], normals, normals)
        assert image[index] == pytest.approx(wanted, rel=1e-10)


def test_kirchhoff_does_not_mind_the_orientation_of_everything():
    turn = np.linalg.qr(np.random.default_rng(1).standard_normal((3, 3)))[0]
    scan = scan_of(((0, 0, 0.4),))
    # a cube about the target, whose voxels the turn maps onto other places
    image = radar.kirchhoff(scan, Grid([0.0], [0.0], [0.4]))
    point = turn @ [0, 0, 0.4]
    turned = replace(scan, tx=scan.tx @ turn.T, rx=scan.rx @ turn.T)
    again = radar.kirchhoff(turned, Grid(*point[:, None]))
    np.testing.assert_allclose(again, image, rtol=1e-9)


def test_kirchhoff_takes_normals_of_any_length_and_all_forms():
    scan = scan_of()
    plain = radar.kirchhoff(scan, GRID)
    z = np.array([0.0, 0, 3])
    n_tx, n_rx = len(scan.tx), len(scan.rx)
    pair = (np.tile(z, (n_tx, 1)), z)
    for normals in (z, [0, 0, 1], pair, (z, np.tile(z, (n_rx, 1)))):
        again = radar.kirchhoff(scan, GRID, normals=normals)
        np.testing.assert_allclose(again, plain, rtol=1e-9)
    rng = np.random.default_rng(3)
    tilted = [rng.standard_normal((n, 3)) for n in (n_tx, n_rx)]
    units = [n / np.linalg.norm(n, axis=1)[:, None] for n in tilted]
    image = radar.kirchhoff(scan, GRID, normals=tuple(tilted))
    wanted = migrated(scan, GRID.points[1, 2, 3], *units)
    assert image[1, 2, 3] == pytest.approx(wanted, rel=1e-9)


def test_kirchhoff_minds_sign_mask_region_and_precision():
    scan = scan_of()
    plain = radar.kirchhoff(scan, GRID)
    conjugate = replace(scan, data=scan.data.conj(), sign=1)
    np.testing.assert_allclose(radar.kirchhoff(conjugate, GRID), plain)
    mask = np.random.default_rng(0).random(scan.data.shape) < 0.8
    holes = replace(scan, data=np.where(mask, scan.data, np.nan), mask=mask)
    zeros = replace(scan, data=np.where(mask, scan.data, 0))
    np.testing.assert_allclose(
        radar.kirchhoff(holes, GRID), radar.kirchhoff(zeros, GRID)
    )
    ball = GRID.within(0.05, (0, 0, 0.4))
    cut = radar.kirchhoff(scan, ball)
    np.testing.assert_allclose(cut, np.where(ball.region, plain, 0))
    single = replace(scan, data=scan.data.astype("complex64"))
    assert radar.kirchhoff(single, GRID).dtype == np.complex64


def test_kirchhoff_refuses_arrays_whose_direction_it_cannot_know():
    rng = np.random.default_rng(0)
    scan = scan_of(tx=rng.uniform(-0.1, 0.1, (4, 3)))
    with pytest.raises(ValueError, match=r"no common plane.*give normals"):
        radar.kirchhoff(scan, GRID)
    line = np.linspace(-0.1, 0.1, 5)[:, None] * [1.0, 1, 0]
    with pytest.raises(ValueError, match=r"lie on a line.*give normals"):
        radar.kirchhoff(scan_of(tx=line[:4], rx=line), GRID)
    with pytest.raises(ValueError, match=r"normals has shape \(2, 2\) for tx"):
        radar.kirchhoff(scan, GRID, normals=np.eye(2))
    with pytest.raises(ValueError, match="direction of length 0"):
        radar.kirchhoff(scan, GRID, normals=(0.0, 0.0, 0.0))


def test_kirchhoff_peaks_at_the_target():
    target = GRID.points[1, 3, 2]
    image = radar.kirchhoff(scan_of((target,), n_freq=15), GRID)
    np.testing.assert_allclose(ss.metrics.peak_position(image, GRID), target)


# grids behind the array


@pytest.mark.parametrize(
    ("z", "message"), [(-0.4, "behind the array"), (0.02, "both sides")]
)
def test_a_grid_behind_the_array_is_said(z, message):
    scan, grid = scan_of(), Grid.box((0.1, 0, z), 0.06, 0.015)
    grid = grid.within(0.04, (0.1, 0, z))
    for image in (radar.kirchhoff, radar.back_projection, radar.imaging_problem):
        with pytest.warns(RuntimeWarning, match=message) as caught:
            image(scan, grid)
        assert caught[0].filename == __file__
    with pytest.warns(RuntimeWarning, match=message):
        radar.scene_grid(scan, center=(0.1, 0, z), extent=0.06, spacing=0.02)


# noise


def test_noise_from_repeats_is_the_noise():
    scans = [scan_of(noise=3e-2, seed=i, n_freq=20) for i in range(4)]
    assert radar.noise_from_repeats(scans) == pytest.approx(3e-2, rel=0.05)
    mask = np.ones(scans[0].data.shape, bool)
    mask[:, 0] = False
    data = np.where(mask, scans[1].data, np.nan)
    scans[1] = replace(scans[1], data=data, mask=mask)
    scans[2] = replace(scans[2], data=scans[2].data.conj(), sign=1)
    assert radar.noise_from_repeats(scans) == pytest.approx(3e-2, rel=0.05)


@pytest.mark.parametrize("where", [{"grid": GRID}, {"beyond": 0.6}])
def test_noise_from_empty_delays_is_the_noise(where):
    scan = scan_of(noise=3e-3, n_freq=201)
    found = radar.noise_from_empty_delays(scan, **where)
    assert found == pytest.approx(3e-3, rel=0.05)
    listed = as_channels(scan, [[0, 1], [3, 2], [1, 1], [2, 4]])
    found = radar.noise_from_empty_delays(listed, **where)
    assert found == pytest.approx(3e-3, rel=0.15)
    silent = scan_of(n_freq=201)
    peak = np.abs(silent.data).max()
    assert radar.noise_from_empty_delays(silent, **where) < 2e-3 * peak


def test_noise_from_empty_delays_leaves_masked_channels_out():
    scan = scan_of(noise=3e-3, n_freq=201)
    mask = np.ones(scan.data.shape, bool)
    mask[5, 0] = False
    holes = replace(scan, data=np.where(mask, scan.data, np.nan), mask=mask)
    found = radar.noise_from_empty_delays(holes, grid=GRID)
    assert found == pytest.approx(3e-3, rel=0.05)


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        ({}, {}, "either grid or beyond"),
        ({}, {"grid": GRID, "beyond": 1.0}, "either grid or beyond"),
        ({}, {"beyond": -1.0}, "beyond is -1"),
        ({}, {"beyond": 0.6}, "no delay is empty"),
        ({"freq": np.array([4e9, 5e9, 7e9, 8e9, 9e9, 10e9])}, {"beyond": 1}, "equally"),
        ({"n_freq": 3}, {"grid": GRID}, "at least 6"),
    ],
)
def test_noise_from_empty_delays_says_what_it_lacks(change, options, message):
    with pytest.raises(ValueError, match=message):
        radar.noise_from_empty_delays(scan_of(**change), **options)


def test_noise_from_repeats_says_what_it_lacks():
    scan = scan_of()
    with pytest.raises(ValueError, match="at least two sweeps"):
        radar.noise_from_repeats([scan])
    with pytest.raises(ValueError, match="have shapes"):
        radar.noise_from_repeats([scan, scan_of(n_freq=4)])
    half = np.zeros(scan.data.shape, bool)
    half[:3] = True
    with pytest.raises(ValueError, match="no entry that is valid"):
        radar.noise_from_repeats([replace(scan, mask=m) for m in (half, ~half)])


# the level of the data


def test_off_grid_error_is_what_neighbours_leave():
    """One voxel a cell: the best of eight columns by the operator itself."""
    scan = scan_of()
    A = NearFieldMIMO.from_scan(scan, GRID)
    rng = np.random.default_rng(5)
    shares = []
    for _ in range(60):
        corner = [int(rng.integers(n - 1)) for n in GRID.shape]
        low = np.array([a[i] for a, i in zip(GRID.axes, corner, strict=True)])
        place = low + rng.random(3) * GRID.spacing
        echo = scan_of((place,)).data.ravel()
        units = np.zeros((8, *GRID.shape), complex)
        for n, offset in enumerate(np.ndindex(2, 2, 2)):
            units[(n, *np.add(corner, offset))] = 1
        columns = A(units).reshape(8, -1).T
        residual = echo - columns @ np.linalg.lstsq(columns, echo)[0]
        shares.append(np.sum(np.abs(residual) ** 2) / np.sum(np.abs(echo) ** 2))
    wanted = np.sqrt(np.mean(shares))
    assert radar.off_grid_error(scan, GRID) == pytest.approx(wanted, rel=0.2)


def test_off_grid_error_falls_with_the_voxels():
    scan = scan_of()
    errors = [
        radar.off_grid_error(scan, Grid.box((0, 0, 0.4), 0.1, d))
        for d in (0.025, 0.0125, 0.00625)
    ]
    assert errors[0] > 4 * errors[1] > 16 * errors[2]
    flat = Grid([0.0, 0.01], [0.0], [0.4])
    assert 0 < radar.off_grid_error(scan, flat.within(1.0)) < 0.2
    # one voxel has no room between centres
    alone = radar.off_grid_error(scan, Grid([0.0], [0.0], [0.4]))
    assert alone == pytest.approx(0, abs=1e-12)
    many = scan_of(n_freq=300)
    assert radar.off_grid_error(many, GRID) == pytest.approx(
        radar.off_grid_error(as_channels(many, np.argwhere(np.ones((4, 5)))), GRID)
    )


def test_the_level_joins_noise_and_model_error():
    scan = scan_of()
    power = np.mean(np.abs(scan.data) ** 2)
    assert radar.data_level(scan, GRID) is None
    level = radar.data_level(scan, GRID, noise=0.3 * power**0.5, model_error=0)
    assert level.radius == pytest.approx(0.3 * (power * scan.data.size) ** 0.5)
    level = radar.data_level(scan, GRID, snr=20, model_error=0.01)
    assert level.noise**2 == pytest.approx(power / 101)
    assert level.per_datum**2 == pytest.approx(power / 101 + 1e-4)
    own = radar.data_level(replace(scan, noise=0.1), GRID)
    share = radar.off_grid_error(scan, GRID)
    assert own.model_error == pytest.approx(share * (power - 0.01) ** 0.5)
    assert "the scan's" in own.why


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"noise": 0.1, "snr": 20}, "noise and snr say the same"),
        ({"noise": -1}, "noise is -1"),
        ({"snr": np.nan}, "snr is nan"),
        ({"noise": 0.1, "model_error": -1}, "model_error is -1"),
        ({"noise": 50.0}, "not below the data's root mean square"),
        ({"form": "ball"}, "form is 'ball'"),
        ({"form": "noise_ball"}, "needs the noise"),
        ({"form": "noise_ball", "snr": 20, "lam": 1.0}, "has none"),
    ],
)
def test_bad_levels_and_forms_are_one_sentence(options, message):
    with pytest.raises(ValueError, match=message):
        radar.reconstruct(scan_of(), GRID, **options)


# regularised forms


@pytest.mark.parametrize("prior", ["l1", "l1+tv", "tv", "group"])
def test_every_prior_reaches_the_level_and_beats_back_projection(prior):
    scan = scan_of(noise=0.05, points=GRID.points[1:3, 2:4, 2].reshape(-1, 3))
    truth = np.zeros(GRID.shape)
    truth[1:3, 2:4, 2] = 1
    solution = radar.reconstruct(scan, GRID, prior, model_error=0.1)
    A = NearFieldMIMO.from_scan(scan, GRID)
    misfit = np.linalg.norm(A(solution.x) - scan.data)
    level = np.hypot(0.05, 0.1) * scan.data.size**0.5
    assert 0.3 * level < misfit <= 1.001 * level
    first = ss.metrics.psnr(radar.back_projection(scan, GRID), truth, scale="fit")
    assert ss.metrics.psnr(solution.x, truth, scale="fit") > first + 2
    assert "model error 0.1, given" in solution.choices["lam"]


def test_tv_is_not_degenerate():
    """Constant magnitudes with free phases would fit; the little ℓ1 forbids them."""
    scan = scan_of(noise=0.02)
    x = np.abs(radar.reconstruct(scan, GRID, "tv").x)
    target = np.linalg.norm(GRID.points - [0.01, -0.02, 0.39], axis=-1) < 0.04
    assert np.mean(x[~target] ** 2) < 0.01 * np.mean(x[target] ** 2)
    alone = ss.priors.Magnitude(TotalVariation(1.0))
    with pytest.warns(RuntimeWarning, match="constant magnitudes with free phases"):
        radar.imaging_problem(scan, GRID, alone)


def test_l1_and_tv_descends_to_a_point_that_no_neighbour_beats():
    scan = scan_of(noise=0.05)
    problem = radar.imaging_problem(scan, GRID, "l1+tv")
    problem = problem.with_lam(0.05 * problem.lam_max())
    plain = ss.ProximalGradient(momentum=False)
    slow = ss.solve(problem, plain, max_iter=2000, tol=1e-7, progress=False)
    fall = np.diff(slow.history["objective"])
    assert fall.max() <= 1e-5 * slow.history["objective"][0]
    value, rng = problem.value(slow.x), np.random.default_rng(0)
    for size in (1e-4, 1e-3, 1e-2):
        for _ in range(20):
            move = rng.standard_normal((2, *GRID.shape)) * size * np.abs(slow.x).max()
            assert problem.value(slow.x + move[0] + 1j * move[1]) > value * (1 - 1e-6)


@pytest.mark.parametrize("prior", ["l1", "l1+tv"])
def test_the_noise_ball_is_met_and_equals_the_penalised_form(prior):
    scan = scan_of(noise=0.05)
    solution = radar.reconstruct(
        scan, GRID, prior, form="noise_ball", model_error=0.1, max_iter=2000, tol=1e-5
    )
    A = NearFieldMIMO.from_scan(scan, GRID)
    misfit = np.linalg.norm(A(solution.x) - scan.data)
    radius = np.hypot(0.05, 0.1) * scan.data.size**0.5
    assert misfit == pytest.approx(radius, rel=0.01)
    assert solution.choices["epsilon"].startswith(f"{radius:.4g}")
    penalty = radar.imaging_problem(scan, GRID, prior).prior
    # the multiplier of the ball: A's adjoint of the residual on the prior's slope
    gradient = A.H(scan.data - A(solution.x))
    lam = np.vdot(solution.x, gradient).real / penalty.value(solution.x)
    same = radar.reconstruct(scan, GRID, prior, lam=float(lam), tol=1e-6, max_iter=5000)
    assert np.linalg.norm(same.x - solution.x) < 0.05 * np.linalg.norm(solution.x)


@pytest.mark.parametrize("options", [{}, {"form": "noise_ball"}, {"lam": "held_out"}])
def test_masked_data_take_no_part_in_any_form(options):
    scan = scan_of(noise=0.05)
    mask = np.random.default_rng(0).random(scan.data.shape) < 0.8
    images = [
        radar.reconstruct(
            replace(scan, data=np.where(mask, scan.data, hole), mask=mask),
            GRID,
            **options,
        ).x
        for hole in (0, np.nan)
    ]
    np.testing.assert_array_equal(*images)
    A = NearFieldMIMO.from_scan(replace(scan, mask=mask), GRID)
    if "lam" not in options:
        level = radar.data_level(replace(scan, mask=mask), GRID)
        misfit = np.linalg.norm(A(images[0]) - np.where(mask, scan.data, 0))
        assert level.n_data == mask.sum()
        assert misfit <= 1.02 * level.radius


@pytest.mark.parametrize("prior", ["l1", "l1+tv", "group"])
def test_a_working_set_leads_to_the_same_image(prior):
    grid = Grid.box((0, 0, 0.4), (0.2, 0.2, 0.1), (0.02, 0.02, 0.02))
    grid = grid.within(0.12, (0, 0, 0.4))
    scan = scan_of(points=((0.01, -0.02, 0.39), (-0.05, 0.04, 0.42)), noise=0.05)
    problem = radar.imaging_problem(scan, grid, prior)
    lam = 0.8 * problem.lam_max()
    options = {"lam": lam, "tol": 1e-7, "max_iter": 5000, "progress": False}
    quick = radar.reconstruct(scan, grid, prior, **options)
    share = re.search(r"on a working set of ([\d.]+)% of", quick.choices["start"])
    assert 0 < float(share[1]) < 25
    cold = ss.solve(
        problem.with_lam(lam),
        ss.ProximalGradient(backtracking=True),
        tol=1e-7,
        max_iter=5000,
        progress=False,
    )
    assert quick.n_iter < cold.n_iter
    np.testing.assert_allclose(quick.x, cold.x, atol=1e-3 * np.abs(cold.x).max())


def test_images_that_fill_the_grid_need_no_working_set():
    scan = scan_of(noise=0.05)
    top = radar.imaging_problem(scan, GRID).lam_max()
    assert radar.reconstruct(scan, GRID, lam=0.01 * top).choices["start"] == "zeros"
    empty = radar.reconstruct(scan, GRID, lam=2 * top)
    assert empty.choices["start"] == "zeros"
    assert not empty.x.any()


def test_an_interrupt_of_the_working_set_is_passed_on(monkeypatch):
    scan = scan_of(noise=0.05)
    half = replace(
        radar.reconstruct(scan, GRID, max_iter=1), status=ss.Status.INTERRUPTED
    )
    monkeypatch.setattr(radar_warm_start, "solve", lambda *_, **__: half)
    top = radar.imaging_problem(scan, GRID).lam_max()
    with pytest.raises(KeyboardInterrupt, match="first image was being made"):
        radar.reconstruct(scan, GRID, lam=0.8 * top)


# benchmarks


@pytest.fixture
def benchmarks(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    yield
    for name in ("bench_radar_scenes", "bench_merit", "measure"):
        sys.modules.pop(name, None)


def test_the_benchmark_of_scenes_runs(benchmarks, monkeypatch, capsys):
    import bench_radar_scenes

    imagers = [name for name in bench_radar_scenes.IMAGERS if "tv" not in name]
    monkeypatch.setattr(bench_radar_scenes, "IMAGERS", imagers)
    monkeypatch.setattr(bench_radar_scenes, "PRIORS", ("l1",))
    bench_radar_scenes.main(["--quick"])
    lines = capsys.readouterr().out.splitlines()
    margins = {line[:17].strip(): float(line[17:].split()[9]) for line in lines[-4:]}
    assert list(margins) == ["back-projection", "Kirchhoff", "l1", "l1, restored"]
    assert margins["l1"] > 2
    assert margins["l1, restored"] > 2


def test_the_benchmark_of_phantoms_runs(benchmarks, merit_folder, capsys):
    import bench_merit

    bench_merit.main(["--quick"])
    medians = capsys.readouterr().out.splitlines()[-1].split()
    error, error_l1, side, side_l1 = map(float, medians[1:])
    assert error_l1 < error + 4
    assert side_l1 < side - 8


# What is no scan or no grid


@pytest.mark.parametrize(
    "image",
    [
        radar.back_projection,
        radar.kirchhoff,
        radar.estimate_speed,
        radar.imaging_problem,
        radar.reconstruct,
        radar.restoring_beam,
        lambda scan, grid: radar.restore(np.ones(GRID.shape), scan, grid),
        radar.data_level,
        radar.off_grid_error,
        radar.memory_needed,
    ],
)
def test_a_simulation_or_a_swap_is_said(image):
    simulation = radar.simulate_scan(n_freq=3)
    with pytest.raises(TypeError, match=r"scan is a Simulation.*RadarScan \(its scan"):
        image(simulation, GRID)
    with pytest.raises(TypeError, match=r"scan is a Grid; wanted a RadarScan$"):
        image(GRID, simulation.scan)
    with pytest.raises(TypeError, match="scan is a Simulation"):
        radar.scene_grid(simulation)
    with pytest.raises(TypeError, match="grid is a tuple; wanted a Grid"):
        image(simulation.scan, (5, 5, 5))


@pytest.mark.parametrize(
    "step",
    [
        radar.mask_channels,
        radar.remove_delay,
        lambda scan: radar.range_gate(scan, 0.1, 1.0),
        lambda scan: radar.subtract(scan, scan.scan),
        lambda scan: radar.calibrate(scan, scan.scan, (0.0, 0.0, 0.5)),
        lambda scan: radar.noise_from_empty_delays(scan, grid=GRID),
        lambda scan: radar.point_spread(scan, (0.0, 0.0, 0.5)),
    ],
)
def test_a_step_says_that_a_simulation_is_no_scan(step):
    with pytest.raises(TypeError, match=r"scan is a Simulation.*RadarScan \(its scan"):
        step(radar.simulate_scan(n_freq=3))


def test_a_simulation_among_scans_is_named():
    simulation = radar.simulate_scan(n_freq=3)
    scan = simulation.scan
    with pytest.raises(TypeError, match="reference is a Simulation"):
        radar.subtract(scan, simulation)
    with pytest.raises(TypeError, match=r"scans\[1\] is a Simulation"):
        radar.noise_from_repeats([scan, simulation])


def test_a_denoiser_images_too():
    """Plug-and-play on magnitudes has no weight: none is chosen, none may be given."""
    scan = scan_of()
    smooth = ss.priors.Denoiser(
        lambda x, sigma: scipy.ndimage.gaussian_filter(x, sigma), 0.5
    )
    prior = ss.priors.Magnitude(smooth)
    solution = radar.reconstruct(scan, GRID, prior, max_iter=30)
    assert "lam" not in solution.choices
    explained = NearFieldMIMO.from_scan(scan, GRID)(solution.x)
    assert np.vdot(explained, scan.data).real > 0.1 * np.linalg.norm(scan.data) ** 2
    for given in ({"lam": 1.0}, {"noise": 1e-3}, {"snr": 20}):
        with pytest.raises(ValueError, match="has no weight that it could choose"):
            radar.reconstruct(scan, GRID, prior, **given)
