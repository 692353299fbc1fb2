"""The radar operator against the explicit formula, physics and bad input."""

import numpy as np
import pytest

import sparsesolve as ss
from sparsesolve import memory
from sparsesolve.applications.radar_simulation import reference_array
from sparsesolve.backends import to_device, to_numpy
from sparsesolve.metrics import peak_width
from sparsesolve.operators import Grid, NearFieldMIMO, near_field

C = 299792458.0
TX = np.array([[-0.1, 0.02, 0.0], [0.1, -0.03, 0.01]])
RX = np.array([[0.0, 0.1, 0.0], [0.02, -0.1, 0.0], [0.07, 0.07, -0.01]])
FREQ = np.linspace(2e9, 9e9, 8)
GRID = Grid([-0.02, 0.0, 0.03], [0.01, 0.05], [0.2, 0.25, 0.3, 0.36])
PAIRS = np.array([[0, 2], [1, 0], [0, 0], [1, 1]])


def complex_noise(shape, dtype="complex128", seed=0):
    rng = np.random.default_rng(seed)
    return (rng.standard_normal(shape) + 1j * rng.standard_normal(shape)).astype(dtype)


def explicit(tx, rx, freq, grid, speed=C, sign=-1, spreading=True):
    """The model written out: (n_freq, n_tx, n_rx, voxels)."""
    points = [
        (x, y, z) for x in grid.axes[0] for y in grid.axes[1] for z in grid.axes[2]
    ]
    A = np.zeros((len(freq), len(tx), len(rx), len(points)), complex)
    for v, p in enumerate(points):
        for t, a in enumerate(tx):
            for r, b in enumerate(rx):
                out, back = np.linalg.norm(a - p), np.linalg.norm(b - p)
                phase = sign * 2 * np.pi * np.asarray(freq) * (out + back) / speed
                A[:, t, r, v] = np.exp(1j * phase)
                if spreading:
                    A[:, t, r, v] /= 4 * np.pi * out * back
    return A


def relative(found, wanted):
    return np.linalg.norm(found - wanted) / np.linalg.norm(wanted)


def study(n_freq=15, grid=None, **options):
    tx, rx = reference_array()
    axes = np.linspace(-0.15, 0.15, 25), np.linspace(0.35, 0.65, 49)
    grid = grid or Grid(axes[0], axes[0], axes[1])
    return NearFieldMIMO(tx, rx, np.linspace(4e9, 16e9, n_freq), grid, **options)


@pytest.mark.parametrize("library", ["numpy", "array_api_strict", "torch:cpu"])
@pytest.mark.parametrize(
    ("dtype", "tolerance"), [("complex64", 2e-6), ("complex128", 1e-13)]
)
def test_equals_the_explicit_formula(library, dtype, tolerance):
    pytest.importorskip(library.partition(":")[0])
    options = {"speed": 2.1e8, "sign": 1, "dtype": dtype}
    A = NearFieldMIMO(TX, RX, FREQ, GRID, **options).to(library)
    M = explicit(TX, RX, FREQ, GRID, speed=2.1e8, sign=1)
    x, y = complex_noise((2, *A.in_shape), dtype), complex_noise(A.out_shape, dtype)
    found = to_numpy(A(to_device(x, library)))
    wanted = np.einsum("ktrv,bv->bktr", M, x.reshape(2, -1))
    assert found.dtype == dtype
    assert relative(found, wanted) < tolerance
    back = to_numpy(A.H(to_device(y, library)))
    wanted = np.einsum("ktrv,ktr->v", M.conj(), y).reshape(A.in_shape)
    assert relative(back, wanted) < tolerance


@pytest.mark.parametrize("library", ["numpy", "array_api_strict"])
def test_channel_list_mask_and_calibration(library):
    pytest.importorskip(library)
    rng = np.random.default_rng(3)
    mask = rng.random((8, 4)) < 0.7
    calibration = complex_noise((8, 4))
    A = NearFieldMIMO(
        TX,
        RX,
        FREQ,
        GRID,
        channels=PAIRS,
        mask=mask,
        calibration=calibration,
        dtype="complex128",
    ).to(library)
    M = explicit(TX, RX, FREQ, GRID)[:, PAIRS[:, 0], PAIRS[:, 1]]
    M = M * np.where(mask, calibration, 0)[..., None]
    x, y = complex_noise(A.in_shape), complex_noise(A.out_shape)
    y[~mask] = np.nan  # never measured, so it must not matter
    assert relative(to_numpy(A(to_device(x, library))), M @ x.reshape(-1)) < 1e-13
    wanted = np.einsum("kcv,kc->v", M.conj(), np.where(mask, y, 0))
    found = to_numpy(A.adjoint(to_device(y, library)))
    assert relative(found.reshape(-1), wanted) < 1e-13


def test_calibration_and_mask_broadcast():
    gain = complex_noise((2, 1))
    A = NearFieldMIMO(TX, RX, FREQ, GRID, calibration=gain, dtype="complex128")
    B = NearFieldMIMO(TX, RX, FREQ, GRID, mask=[True, False, True], dtype="complex128")
    plain = NearFieldMIMO(TX, RX, FREQ, GRID, dtype="complex128")
    x = complex_noise(GRID.shape)
    assert relative(A(x), gain * plain(x)) < 1e-14
    assert relative(B(x), plain(x) * [1, 0, 1]) < 1e-14


@pytest.mark.parametrize(
    "freq",
    [
        [5e9],
        np.array([2e9, 2.5e9, 3e9, 3.5e9, 5e9, 5.5e9, 9e9]),
        np.sort(np.random.default_rng(0).uniform(2e9, 9e9, 9)),
        np.linspace(2e9, 9e9, 150),
        np.linspace(9e9, 2e9, 5),
    ],
    ids=["one", "gaps", "random", "many", "falling"],
)
@pytest.mark.parametrize("library", ["numpy", "array_api_strict"])
def test_any_frequencies(freq, library):
    pytest.importorskip(library)
    M = explicit(TX, RX, freq, GRID)
    x = complex_noise(GRID.shape)
    y = complex_noise((len(freq), 2, 3))
    for dtype, tolerance in (("complex128", 1e-12), ("complex64", 1e-5)):
        A = NearFieldMIMO(TX, RX, freq, GRID, dtype=dtype).to(library)
        found = to_numpy(A(to_device(x.astype(dtype), library)))
        assert relative(found, np.einsum("ktrv,v->ktr", M, x.reshape(-1))) < tolerance
        back = to_numpy(A.H(to_device(y.astype(dtype), library))).reshape(-1)
        assert relative(back, np.einsum("ktrv,ktr->v", M.conj(), y)) < tolerance


def test_equal_steps_share_their_tables():
    few = NearFieldMIMO(TX, RX, np.linspace(2e9, 9e9, 5), GRID)
    many = NearFieldMIMO(TX, RX, np.linspace(2e9, 9e9, 60), GRID)
    odd = NearFieldMIMO(TX, RX, np.geomspace(2e9, 9e9, 60), GRID)
    assert few.needed_bytes == many.needed_bytes < odd.needed_bytes / 5


@pytest.mark.parametrize("library", ["numpy", "array_api_strict"])
def test_a_region_is_the_box_with_zeros_outside(library):
    pytest.importorskip(library)
    region = np.random.default_rng(1).random(GRID.shape) < 0.5
    options = {"channels": PAIRS, "dtype": "complex128"}
    A = NearFieldMIMO(TX, RX, FREQ, Grid(*GRID.axes, region=region), **options).to(
        library
    )
    B = NearFieldMIMO(TX, RX, FREQ, GRID, **options)
    x, y = complex_noise((3, *GRID.shape)), complex_noise((3, *B.out_shape), seed=1)
    assert relative(to_numpy(A(to_device(x, library))), B(x * region)) < 1e-14
    assert relative(to_numpy(A.H(to_device(y, library))), B.H(y) * region) < 1e-14


def test_many_tiles_and_both_forms_agree(rng):
    # more voxels than a tile, and all pairs listed as channels
    pytest.importorskip("array_api_strict")
    grid = Grid.box((0, 0, 0.4), 0.2, (0.01, 0.01, 0.01))
    pairs = [(t, r) for t in range(2) for r in range(3)]
    A = NearFieldMIMO(TX, RX, FREQ, grid)
    B = NearFieldMIMO(TX, RX, FREQ, grid, channels=pairs)
    x = complex_noise(grid.shape, "complex64")
    y = A(x)
    assert relative(B(x), y.reshape(8, 6)) < 1e-12
    for operator in (A, B):
        strict = operator.to("array_api_strict")
        found = to_numpy(strict(to_device(x, "array_api_strict")))
        assert relative(found.reshape(y.shape), y) < 3e-6
        data = y.reshape(operator.out_shape)
        back = to_numpy(strict.H(to_device(data, "array_api_strict")))
        assert relative(back, operator.H(data)) < 3e-6


def test_the_other_sign_conjugates(rng):
    x = rng.standard_normal(GRID.shape).astype("complex128")
    one = NearFieldMIMO(TX, RX, FREQ, GRID, sign=-1, dtype="complex128")
    other = NearFieldMIMO(TX, RX, FREQ, GRID, sign=1, dtype="complex128")
    assert relative(other(x), one(x).conj()) < 1e-14


def test_without_spreading_the_adjoint_is_back_projection():
    A = NearFieldMIMO(TX, RX, FREQ, GRID, dtype="complex128", spreading=False)
    y = complex_noise(A.out_shape)
    M = explicit(TX, RX, FREQ, GRID, spreading=False)
    wanted = np.einsum("ktrv,ktr->v", M.conj(), y)
    assert relative(A.H(y).reshape(-1), wanted) < 1e-13


@pytest.mark.parametrize(
    ("n_freq", "dtype", "tolerance"),
    [(15, "complex64", 1e-6), (76, "complex128", 1e-13)],
)
def test_adjoint_and_precision_at_the_reference_study(n_freq, dtype, tolerance):
    grid = Grid.box((0, 0, 0.5), 0.2, (0.02, 0.02, 0.01))
    A = study(n_freq, grid, dtype=dtype)
    x, y = complex_noise(A.in_shape, dtype), complex_noise(A.out_shape, dtype, 1)
    image, back = A(x), A.H(y)
    mismatch = abs(np.vdot(image, y) - np.vdot(x, back))
    assert mismatch < tolerance * np.linalg.norm(image) * np.linalg.norm(y)
    if dtype == "complex64":
        exact = study(n_freq, grid, dtype="complex128")
        assert relative(image, exact(x.astype("complex128"))) < 2e-6


def test_point_target_focuses_to_the_published_widths():
    # matched filter at (0, 0, 0.5) m: 30 mm in x, 10.5 mm in z, sidelobes -13.3 dB
    point = Grid([0.0], [0.0], [0.5])
    y = study(15, point)(np.ones((1, 1, 1), "complex64"))
    assert np.unravel_index(np.abs(study(15).H(y)).argmax(), (25, 25, 49)) == (
        12,
        12,
        24,
    )
    x = np.linspace(-0.06, 0.06, 121)
    z = np.linspace(0.44, 0.56, 241)
    cut = np.abs(study(15, Grid(x, [0.0], [0.5])).H(y))[:, 0, 0]
    assert peak_width(cut, x) == pytest.approx(0.030, abs=0.0015)
    cut = np.abs(study(15, Grid([0.0], [0.0], z)).H(y))[0, 0]
    assert peak_width(cut, z) == pytest.approx(0.0105, abs=0.0005)
    away = np.abs(z - 0.5) > 0.014  # beyond the first zero, c/2B = 12.5 mm away
    sidelobe = 20 * np.log10(cut[away].max() / cut.max())
    assert sidelobe == pytest.approx(-13.3, abs=0.7)


def test_range_is_ambiguous_after_half_a_wavelength_of_the_step():
    # a single antenna pair cannot tell ranges that differ by c/(2 Δf)
    one = np.array([[0.0, 0.0, 0.0]])
    freq = np.linspace(4e9, 6e9, 11)
    alias = C / (2 * 2e8)
    z = 0.5 + np.array([0.0, 0.3 * alias, alias])
    A = NearFieldMIMO(
        one, one, freq, Grid([0.0], [0.0], z), dtype="complex128", spreading=False
    )
    focus = np.abs(A.gram(np.array([[[1, 0, 0]]], "complex128")))[0, 0]
    assert focus[2] == pytest.approx(focus[0], rel=1e-9)
    assert focus[1] < 0.5 * focus[0]


def test_batches_are_independent_and_empty_ones_allowed():
    A = NearFieldMIMO(TX, RX, FREQ, GRID)
    x = complex_noise((2, 3, *GRID.shape), "complex64")
    assert relative(A(x)[1, 2], A(x[1, 2])) < 1e-6
    assert A(x[:0]).shape == (0, 3, *A.out_shape)


def test_from_scan_takes_everything_from_the_scan():
    mask = np.ones((8, 4), bool)
    mask[2, 1] = False
    scan = ss.RadarScan(
        data=complex_noise((8, 4), "complex64"),
        freq=FREQ,
        tx=TX,
        rx=RX,
        channels=PAIRS,
        mask=mask,
        speed=2e8,
    )
    A = NearFieldMIMO.from_scan(scan, GRID)
    B = NearFieldMIMO(TX, RX, FREQ, GRID, channels=PAIRS, mask=mask, speed=2e8)
    x = complex_noise(GRID.shape, "complex64")
    assert A.out_dtype == np.complex64
    np.testing.assert_array_equal(A(x), B(x))


def build(**changes):
    values = {"tx": TX, "rx": RX, "freq": FREQ, "grid": GRID, **changes}
    positional = [values.pop(name) for name in ("tx", "rx", "freq", "grid")]
    return NearFieldMIMO(*positional, **values)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"freq": FREQ / 1e9}, "freq looks like GHz.*wanted Hz"),
        ({"freq": [-1e9, 1e9]}, "freq has entries <= 0"),
        ({"freq": [1e9, np.nan]}, "freq has 1 NaN"),
        ({"freq": []}, "freq is empty"),
        ({"freq": [[1e9]]}, r"freq has shape \(1, 1\)"),
        ({"tx": 1e3 * TX}, "tx reaches 100, which looks like mm"),
        ({"rx": RX[:, :2]}, r"rx has shape \(3, 2\).*\(n_antennas, 3\)"),
        ({"tx": TX[:1].T @ np.ones((1, 2))}, "transposed"),
        ({"tx": [[0, 0, np.inf]]}, "tx has 1 NaN or infinite"),
        ({"rx": np.zeros((0, 3))}, "rx is empty"),
        ({"tx": [[0.0, 0.05, 0.251]]}, "tx antenna 0 at .* inside the voxel"),
        ({"grid": "box"}, "grid is a str; wanted sparsesolve.Grid"),
        ({"speed": 0}, "speed is 0; wanted"),
        ({"speed": -3e8}, "speed is"),
        ({"sign": 2}, "sign is 2; wanted -1 or 1"),
        ({"dtype": "float32"}, "dtype is 'float32'"),
        ({"channels": [[1, 1], [2, 3]]}, "count from one"),
        ({"channels": [[0, 3]]}, "receiver indices from 3 to 3; wanted 0 to 2"),
        ({"channels": [[0.0, 1.0]]}, "channels holds float64"),
        ({"channels": [0, 1]}, r"channels has shape \(2,\)"),
        ({"mask": np.ones((3, 2, 8), bool)}, "mask has shape .* axes swapped"),
        ({"mask": np.ones(3)}, "mask holds float64; wanted bool"),
        ({"mask": [False]}, "mask is False everywhere"),
        ({"calibration": [1, np.nan, 1]}, "calibration has 1 NaN"),
        (
            {"calibration": np.ones(4)},
            r"calibration has shape \(4,\); wanted \(8, 2, 3\)",
        ),
    ],
)
def test_bad_input_is_one_sentence(changes, message):
    with pytest.raises((ValueError, TypeError), match=message) as caught:
        build(**changes)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("axes", "message"),
    [
        (([-150, 150], [0], [0.3]), "grid axis x reaches 150, which looks like mm"),
        (([0], [], [0.3]), "grid axis y is empty"),
        (([0], [0], [0.3, np.nan]), "grid axis z has 1 NaN"),
        (([0, 0], [0], [0.3]), "grid axis x is not strictly increasing"),
        (([0], [0.2, 0.1], [0.3]), "grid axis y is not strictly increasing"),
        (([0], [[0.1]], [0.3]), r"grid axis y has shape \(1, 1\)"),
    ],
)
def test_bad_grids_are_refused(axes, message):
    with pytest.raises(ValueError, match=message):
        Grid(*axes)


def test_bad_regions_and_boxes_are_refused():
    with pytest.raises(ValueError, match="region is float64"):
        Grid([0], [0], [0.1, 0.2], region=np.ones((1, 1, 2)))
    with pytest.raises(ValueError, match="region holds no voxel"):
        Grid([0], [0], [0.1]).within(0.05)
    with pytest.raises(ValueError, match="spacing > 0"):
        Grid.box((0, 0, 1), 0.1, 0)


def test_grid_box_and_its_parts():
    grid = Grid.box((0, 0.1, 0.5), (0.3, 0.2, 0), (0.0125, 0.1, 0.01))
    assert grid.shape == (25, 3, 1)
    np.testing.assert_allclose(grid.axes[0], np.linspace(-0.15, 0.15, 25), atol=1e-15)
    np.testing.assert_allclose(grid.axes[1], [0, 0.1, 0.2], atol=1e-15)
    np.testing.assert_allclose(grid.points[24, 2, 0], [0.15, 0.2, 0.5])
    np.testing.assert_allclose(grid.spacing, [0.0125, 0.1, 0])
    ball = grid.within(0.1, (0, 0.1, 0.5))
    assert ball.region.sum() == 17 + 2
    assert ball.within(0.01, (0, 0.1, 0.5)).region.sum() == 1


def test_an_antenna_is_allowed_where_the_region_is_not():
    near = [[0.0, 0.05, 0.251]]
    grid = Grid(*GRID.axes, region=GRID.points[..., 2] > 0.28)
    NearFieldMIMO(near, RX, FREQ, grid)


def test_too_much_memory_is_refused_before_it_is_taken(monkeypatch):
    monkeypatch.setattr(memory, "available_bytes", lambda: 2**27)
    side = np.linspace(-0.2, 0.2, 100)
    with pytest.raises(MemoryError, match=r"needs about .* GiB but 0.125 GiB are") as e:
        NearFieldMIMO(TX, RX, FREQ, Grid(side, side, side + 0.5))
    assert "larger voxels" in str(e.value)


def test_memory_is_asked_of_the_system():
    assert 2**20 < memory.available_bytes() < 2**50


@pytest.mark.parametrize("n_freq", [1, 2, 4, 5, 6, 9, 10, 13])
@pytest.mark.parametrize("tables", [2**28, 0], ids=["tables", "computed"])
def test_any_number_of_frequencies(n_freq, tables, monkeypatch):
    # five at a time, the rest one by one; waves looked up or computed
    monkeypatch.setattr(near_field, "_LARGEST_TABLES", tables)
    freq = 2e9 + 0.7e9 * np.arange(n_freq)
    M = explicit(TX, RX, freq, GRID, sign=1, spreading=n_freq % 2 == 0)
    x, y = complex_noise((2, *GRID.shape)), complex_noise((2, n_freq, 2, 3), seed=1)
    options = {"sign": 1, "spreading": n_freq % 2 == 0, "dtype": "complex128"}
    A = NearFieldMIMO(TX, RX, freq, GRID, **options)
    wanted = np.einsum("ktrv,bv->bktr", M, x.reshape(2, -1))
    assert relative(A(x), wanted) < 1e-13
    wanted = np.einsum("ktrv,bktr->bv", M.conj(), y).reshape(x.shape)
    assert relative(A.H(y), wanted) < 1e-13


@pytest.mark.parametrize("library", ["numpy", "array_api_strict"])
@pytest.mark.parametrize("tables", [2**28, 0], ids=["tables", "computed"])
def test_a_monostatic_raster(library, tables, monkeypatch):
    # each position its own transmitter and receiver, in more blocks than one
    pytest.importorskip(library)
    monkeypatch.setattr(near_field, "_LARGEST_TABLES", tables)
    side = np.linspace(-0.1, 0.1, 7)
    places = np.stack(np.meshgrid(side, side, [0.0]), axis=-1).reshape(-1, 3)
    pairs = np.repeat(np.arange(49), 2).reshape(-1, 2)
    M = explicit(places, places, FREQ, GRID)[:, np.arange(49), np.arange(49)]
    x, y = complex_noise(GRID.shape, "complex64"), complex_noise((8, 49), "complex64")
    A = NearFieldMIMO(places, places, FREQ, GRID, channels=pairs).to(library)
    assert relative(to_numpy(A(to_device(x, library))), M @ x.reshape(-1)) < 2e-6
    wanted = np.einsum("kcv,kc->v", M.conj(), y)
    back = to_numpy(A.adjoint(to_device(y, library))).reshape(-1)
    assert relative(back, wanted) < 2e-6


def test_channels_far_apart_share_blocks_in_any_order():
    rng = np.random.default_rng(4)
    tx, rx = 0.2 * rng.standard_normal((2, 70, 3)) - np.array([0, 0, 1])
    pairs = rng.permutation(70 * 70)[:300]
    pairs = np.stack(np.divmod(pairs, 70), axis=1)
    A = NearFieldMIMO(tx, rx, FREQ, GRID, channels=pairs, dtype="complex128")
    full = NearFieldMIMO(tx, rx, FREQ, GRID, dtype="complex128")
    x, y = complex_noise(GRID.shape), complex_noise(A.out_shape)
    assert relative(A(x), full(x)[:, pairs[:, 0], pairs[:, 1]]) < 1e-13
    spread = np.zeros(full.out_shape, complex)
    spread[:, pairs[:, 0], pairs[:, 1]] = y
    assert relative(A.H(y), full.H(spread)) < 1e-13


def test_an_antenna_that_does_both_has_one_table():
    one = NearFieldMIMO(TX, TX, FREQ, GRID)
    two = NearFieldMIMO(TX, TX + np.array([0, 0, 0.01]), FREQ, GRID)
    assert one.needed_bytes < two.needed_bytes


def test_memory_of_a_large_volume_and_of_the_reference_study():
    side = np.linspace(-0.15, 0.15, 61)
    tx, rx = reference_array()
    large = NearFieldMIMO(
        np.concatenate([tx, tx[:4] + 0.01]),
        rx[:9],
        np.linspace(4e9, 16e9, 11),
        Grid(side, side, side + 0.5),
    )
    assert np.prod(large.out_shape) == 1584
    assert large.needed_bytes < 300e6
    assert study().needed_bytes < 8 * 2340 * 30625 / 20


def test_infinity_in_the_image_is_not_hidden():
    x = np.zeros(GRID.shape, "complex64")
    x[0, 0, 0] = np.nan
    assert not np.isfinite(NearFieldMIMO(TX, RX, FREQ, GRID)(x)).any()


@pytest.mark.parametrize("library", ["numpy", "array_api_strict"])
def test_real_voxels_and_data_are_complex_ones(library):
    A = NearFieldMIMO(TX, RX, FREQ, GRID).to(library)
    x = np.random.default_rng(0).standard_normal(A.in_shape).astype("float32")
    y = np.random.default_rng(1).standard_normal(A.out_shape).astype("float32")
    for product, array in ((A.forward, x), (A.adjoint, y)):
        found = product(to_device(array, library))
        wanted = product(to_device(array.astype("complex64"), library))
        assert to_numpy(found).dtype == "complex64"
        np.testing.assert_allclose(to_numpy(found), to_numpy(wanted), rtol=1e-5)
