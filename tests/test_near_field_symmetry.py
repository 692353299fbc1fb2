"""Symmetries of arrays and grids: which are found, and the parts of AAᴴ."""

import tracemalloc
from functools import partial

import numpy as np
import pytest

from sparsesolve import gram_cache, gram_inverse, memory, near_field_gram
from sparsesolve.backends import to_device, to_numpy
from sparsesolve.gram_inverse import data_gram
from sparsesolve.gram_parts import symmetric_parts
from sparsesolve.linalg import exact_inverse, regularized_inverse
from sparsesolve.near_field_symmetry import symmetries
from sparsesolve.operators import Grid, NearFieldMIMO

FREQ = np.array([2e9, 4e9, 7e9])
SIDE = np.array([-0.05, -0.02, 0.0, 0.02, 0.05])  # symmetric, not uniform
DEPTH = np.array([0.2, 0.23, 0.31])
CUBE = Grid(SIDE, SIDE, DEPTH)
OBLONG = Grid(SIDE, np.linspace(-0.03, 0.03, 4), DEPTH)
ALONG_X = np.array([[x, 0.0, 0.0] for x in (-0.1, -0.04, 0.04, 0.1)])
ALONG_Y = ALONG_X[:, [1, 0, 2]]
DIAGONAL = np.array([[x, x, 0.0] for x in (-0.1, 0.0, 0.1)])
OTHER = DIAGONAL * (1, -1, 1)
ALL_SIDES = np.concatenate([ALONG_X[::3], ALONG_Y[::3]])
ODD = np.array([[0.01, 0.02, 0.0], [-0.07, 0.03, 0.01]])
PAIRS = [[0, 0], [3, 3], [1, 2], [2, 1]]


@pytest.fixture(autouse=True)
def _no_cache(monkeypatch):
    monkeypatch.setenv("SPARSESOLVE_CACHE", "off")


def radar(tx=ALONG_X, rx=ALONG_Y, grid=CUBE, dtype="complex128", **options):
    return NearFieldMIMO(tx, rx, FREQ, grid, dtype=dtype, **options)


def symmetric_field(seed, axes):
    """Random numbers for each voxel, the same for each and its mirror images."""
    field = np.random.default_rng(seed).standard_normal(CUBE.shape)
    return sum(np.flip(field, axis) for axis in axes) + field


def mask(*wrong):
    found = np.ones((3, 4, 4), bool)
    found[1, [0, 3], :] = False
    for index in wrong:
        found[index] = not found[index]
    return found


REGION = symmetric_field(0, [(0,), (1,), (0, 1)]) > -1
HALF = symmetric_field(1, [(0,)]) > -0.5
GAINS = np.array([2 + 1j, 0.5, 0.5, 2 + 1j])
CASES = {
    "cross": (radar, (12, 12, 12, 12)),
    "oblong grid": (partial(radar, grid=OBLONG), (12, 12, 12, 12)),
    "diagonal cross": (partial(radar, DIAGONAL, OTHER), (12, 6, 3, 6)),
    "a square, whose turns do not all commute": (
        partial(radar, np.concatenate([DIAGONAL[::2], OTHER[::2]]), ALL_SIDES),
        (12, 12, 12, 12),
    ),
    "diagonal cross, oblong grid": (
        partial(radar, DIAGONAL, OTHER, OBLONG),
        (15, 12),
    ),
    "one line, whose plane moves only voxels": (
        partial(radar, ALONG_X, ALONG_X[[0, 3]]),
        (12, 12),
    ),
    "a slice": (partial(radar, grid=Grid(SIDE, [0.0], np.linspace(0.2, 0.3, 11))), 4),
    "pairs": (partial(radar, ALONG_X, ALONG_X, channels=PAIRS), (6, 6)),
    "region": (partial(radar, grid=Grid(*CUBE.axes, region=REGION)), 4),
    "half a region": (partial(radar, grid=Grid(*CUBE.axes, region=HALF)), (24, 24)),
    "mask": (partial(radar, mask=mask()), 4),
    "mask of one side": (
        partial(radar, mask=mask((2, 0, 0), (2, 0, 3))),
        2,
    ),
    "calibration": (partial(radar, calibration=GAINS[:, None]), 4),
    "sign, speed, no spreading": (
        partial(radar, sign=1, speed=2e8, spreading=False),
        4,
    ),
}
NONE = {
    "odd array": partial(radar, ODD, ODD),
    "odd grid": partial(radar, grid=Grid(SIDE + 0.001, SIDE - 0.002, DEPTH)),
    "uneven axes": partial(
        radar, grid=Grid([-0.05, -0.01, 0.0, 0.01], SIDE + 0.001, DEPTH)
    ),
    "two antennas at one place": partial(
        radar, np.concatenate([ALONG_X, ALONG_X[:1]]), np.array([[0.0, 0.1, 0.0]])
    ),
    "odd pairs": partial(radar, channels=[[0, 0], [1, 0], [2, 2]]),
    "mask": partial(radar, mask=mask((0, 0, 1))),
    "calibration": partial(
        radar, calibration=1 + np.arange(16).reshape(4, 4) * (1 + 1j)
    ),
}


def matrix(A):
    units = np.eye(A.shape[1], dtype=A.in_dtype).reshape(-1, *A.in_shape)
    return A.forward(units).reshape(A.shape[1], -1).T.astype("complex128")


def noise(shape, dtype, seed):
    rng = np.random.default_rng(seed)
    return (rng.standard_normal(shape) + 1j * rng.standard_normal(shape)).astype(dtype)


@pytest.mark.parametrize("case", CASES)
def test_the_parts_make_the_whole(case):
    """The combinations are orthonormal, and AAᴴ in them is what is formed."""
    build, wanted = CASES[case]
    A = build()
    M, gram = matrix(A), data_gram(A)
    valid = np.abs(M).sum(axis=1) > 0
    if isinstance(wanted, int):
        assert len(gram.parts) == wanted
    else:
        assert gram.sizes == wanted
    assert sum(gram.sizes) == gram.size == valid.sum()
    U = np.concatenate([part.combined(np.eye(A.shape[0]), 0) for part in gram.parts])
    np.testing.assert_allclose(U @ U.T, np.eye(gram.size), atol=1e-14)
    back = [part.spread(np.eye(part.size)) for part in gram.parts]
    np.testing.assert_allclose(np.concatenate(back), U, atol=1e-15)
    G = U @ M @ M.conj().T @ U.T
    first, scale = 0, np.abs(G).max()
    for size, found in zip(gram.sizes, gram.form(), strict=True):
        rows = slice(first, first + size)
        np.testing.assert_allclose(
            np.tril(found), np.tril(G[rows, rows]), atol=1e-13 * scale
        )
        G[rows, rows] = 0
        first += size
    assert np.abs(G).max() < 1e-13 * scale


@pytest.mark.parametrize("library", ["numpy", "array_api_strict", "torch:cpu"])
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize(("dtype", "rtol"), [("complex64", 1e-4), ("complex128", 1e-9)])
def test_the_inverse_is_that_of_dense_least_squares(case, dtype, rtol, library):
    pytest.importorskip(library.partition(":")[0])
    A = CASES[case][0](dtype=dtype)
    M = matrix(A)
    w, u = noise((2, *A.in_shape), dtype, 1), noise((2, *A.out_shape), dtype, 2)
    u = u * float(np.abs(M).max())
    if A.grid.region is not None:
        w = w * A.grid.region
    rho = float(0.03 * np.linalg.norm(M, 2) ** 2)
    x, image, _ = regularized_inverse(A.to(library), method="exact").solve(
        to_device(w, library), to_device(u, library), rho
    )
    x, image = to_numpy(x).reshape(2, -1), to_numpy(image).reshape(2, -1)
    normal = M.conj().T @ M + rho * np.eye(M.shape[1])
    for i in range(2):
        right = M.conj().T @ u[i].reshape(-1) + rho * w[i].reshape(-1)
        wanted = np.linalg.solve(normal, right)
        assert np.linalg.norm(x[i] - wanted) <= rtol * np.linalg.norm(wanted)
    assert np.linalg.norm(image - x @ M.T) <= rtol * np.linalg.norm(image)


@pytest.mark.parametrize("case", NONE)
def test_without_symmetry_there_are_no_parts(case):
    A = NONE[case]()
    assert len(symmetries(A)[0]) == 1
    assert len(data_gram(A).sizes) == 1


def test_a_hair_of_asymmetry_counts():
    moved = ALONG_X + np.array([[1e-12, 0, 0], [0, 0, 0], [0, 0, 0], [0, 0, 0]])
    assert len(symmetries(radar())[0]) == 4
    assert len(symmetries(radar(moved))[0]) == 2  # the plane that all of it lies in


def test_two_planes_take_a_sixteenth_of_the_work():
    """Less what is linear in the data: waves, their products and combinations."""
    side, depth = np.linspace(-0.1, 0.1, 20), np.linspace(0.2, 0.4, 20)
    quadratic = []
    for n_planes, (x, y) in enumerate([(1e-3, 2e-3), (0, 1e-3), (0, 0)]):
        gram = data_gram(radar(grid=Grid(side + x, side + y, depth)))
        voxels = 8000 / 2**n_planes
        each = near_field_gram._PRODUCT + 8 * 2**n_planes
        linear = each * gram.size + 8 * near_field_gram._WAVE
        quadratic.append(gram.operations - voxels * linear)
    assert quadratic[0] == pytest.approx(4 * 48**2 * 8000)
    assert quadratic[0] / np.array(quadratic) == pytest.approx([1, 4, 16])


def test_the_words_say_so():
    assert "4 parts of at most 12:" in exact_inverse(radar()).method
    assert "parts" not in exact_inverse(radar(ODD, ODD)).method


def test_parts_of_a_cyclic_shift_by_half():
    """Even and odd under i -> i + 2 of 4: (y0 + y2, y1 + y3)/√2 and differences."""
    even, odd = symmetric_parts([np.array([2, 3, 0, 1])], np.ones(4, bool))
    y = np.array([1.0, 2.0, 5.0, -3.0])
    np.testing.assert_allclose(even.combined(y, -1), np.array([6, -1]) / 2**0.5)
    np.testing.assert_allclose(odd.combined(y, -1), np.array([-4, 5]) / 2**0.5)
    back = even.spread(even.combined(y, -1)) + odd.spread(odd.combined(y, -1))
    np.testing.assert_allclose(back, y)


def test_parts_that_the_cache_cannot_hold_together_are_not_kept(tmp_path, monkeypatch):
    """Each would fit, and push out another: none would be of use."""
    monkeypatch.setenv("SPARSESOLVE_CACHE", str(tmp_path))
    monkeypatch.setattr(gram_inverse, "_KEPT_FROM_SECONDS", 0.0)
    together = 4 * 12**2 * 16
    monkeypatch.setattr(gram_cache, "LIMIT", together - 1)
    regularized_inverse(radar(), method="exact")
    assert not list(tmp_path.rglob("*.h5"))
    monkeypatch.setattr(gram_cache, "LIMIT", 100 * together)
    regularized_inverse(radar(), method="exact")
    assert len(list(tmp_path.rglob("*.h5"))) == 4


def test_no_symmetry_is_looked_for_where_memory_would_not_do(monkeypatch):
    looked = []
    found = near_field_gram.symmetries
    monkeypatch.setattr(
        near_field_gram, "symmetries", lambda A: looked.append(1) or found(A)
    )
    A, eighth = radar(), 48**2 // 8 * 16
    monkeypatch.setattr(memory, "available_bytes", lambda: eighth - 1)
    assert data_gram(A).sizes == (48,)
    assert looked == []
    monkeypatch.setattr(memory, "available_bytes", lambda: eighth)
    assert data_gram(A).sizes == (12, 12, 12, 12)


def test_finding_symmetries_takes_little_more_than_an_index_a_voxel():
    side = np.linspace(-0.1, 0.1, 60)
    A = radar(grid=Grid(side, side, np.linspace(0.2, 0.4, 60)))
    data_gram(radar()).form()  # what is imported first
    tracemalloc.start()
    gram = data_gram(A)
    gram.form()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 3 * 8 * 60**3 + gram.needed_bytes
