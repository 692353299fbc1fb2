"""The exact inverse by AAᴴ against dense least squares, its cache and its choice."""

import os

import h5py
import numpy as np
import pytest

import sparsesolve as ss
from sparsesolve import gram_cache, gram_inverse, memory, near_field_gram
from sparsesolve.backends import device_of, dtype_of, to_device, to_numpy
from sparsesolve.gram_inverse import DataGram, data_gram
from sparsesolve.linalg import exact_inverse, regularized_inverse
from sparsesolve.operators import Grid, NearFieldMIMO
from sparsesolve.operators.base import Operator
from sparsesolve.priors import L1, Magnitude
from sparsesolve.solvers import ADMM

TX = np.array([[-0.1, 0.02, 0.0], [0.1, -0.03, 0.01], [0.03, 0.08, 0.0]])
RX = np.array([[0.0, 0.1, 0.0], [0.02, -0.1, 0.0]])
FREQ = np.array([2e9, 4e9, 6e9, 9e9])
AXES = (np.linspace(-0.04, 0.05, 5), np.linspace(-0.05, 0.04, 4), [0.2, 0.25, 0.32])
PAIRS = [[0, 1], [2, 0], [1, 1]]


def noise(shape, dtype="complex128", seed=0):
    rng = np.random.default_rng(seed)
    return (rng.standard_normal(shape) + 1j * rng.standard_normal(shape)).astype(dtype)


MASK = noise((4, 3, 2), seed=5).real > -0.3
GAIN = noise((3, 1), seed=6)
REGION = noise((5, 4, 3), seed=7).real > -0.6
VARIANTS = {
    "full": {},
    "sign, speed, spreading": {"sign": 1, "speed": 2e8, "spreading": False},
    "channels": {"channels": PAIRS},
    "mask": {"mask": MASK},
    "mask of channels": {"channels": PAIRS, "mask": [True, False, True]},
    "calibration": {"calibration": GAIN},
    "region": {"grid": Grid(*AXES, region=REGION)},
}


def radar(dtype="complex128", *, tx=TX, rx=RX, freq=FREQ, grid=None, **options):
    return NearFieldMIMO(tx, rx, freq, grid or Grid(*AXES), dtype=dtype, **options)


def matrix(A):
    """The dense matrix of an operator, column by column, in double precision."""
    units = np.eye(A.shape[1], dtype=A.in_dtype).reshape(-1, *A.in_shape)
    return A.forward(units).reshape(A.shape[1], -1).T.astype("complex128")


def brute_force(M, w, u, rho):
    """Minimise ‖Mx − u‖² + rho ‖x − w‖² by dense least squares."""
    stacked = np.concatenate([M, np.sqrt(rho) * np.eye(M.shape[1])])
    data = np.concatenate([u.reshape(-1), np.sqrt(rho) * w.reshape(-1)])
    return np.linalg.lstsq(stacked, data, rcond=None)[0]


def relative(found, wanted):
    return np.linalg.norm(found - wanted) / np.linalg.norm(wanted)


@pytest.fixture(autouse=True)
def _no_cache(monkeypatch):
    monkeypatch.setenv("SPARSESOLVE_CACHE", "off")


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """A folder of its own, in which even small matrices are kept."""
    monkeypatch.setenv("SPARSESOLVE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(gram_inverse, "_KEPT_FROM_SECONDS", 0.0)
    return tmp_path / "cache" / "gram"


@pytest.fixture
def formed(monkeypatch):
    """A list that grows by one each time a matrix is formed."""
    calls, form = [], near_field_gram._form
    monkeypatch.setattr(
        near_field_gram, "_form", lambda *a: calls.append(1) or form(*a)
    )
    return calls


# --- The solution ---------------------------------------------------------------------


@pytest.mark.parametrize("library", ["numpy", "array_api_strict", "torch:cpu"])
@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize(("dtype", "rtol"), [("complex64", 1e-4), ("complex128", 1e-9)])
def test_equals_dense_least_squares(variant, dtype, rtol, library):
    pytest.importorskip(library.partition(":")[0])
    A = radar(dtype, **VARIANTS[variant])
    M = matrix(A)
    size = np.linalg.norm(M, 2) ** 2
    w, u = noise((3, *A.in_shape), dtype, 1), noise((3, *A.out_shape), dtype, 2)
    u = u * float(np.abs(M).max())
    kept = w.copy(), u.copy()
    inverse = regularized_inverse(A.to(library), method="exact")
    assert "Cholesky" in inverse.method
    each = np.array([0.01, 0.1, 3.0]) * size
    each = each.astype(w.real.dtype)
    for rho in (float(0.03 * size), to_device(each, library)):
        x, image, warm = inverse.solve(
            to_device(w, library), to_device(u, library), rho, "kept"
        )
        assert warm == "kept"
        assert device_of(x) == device_of(image) == library
        assert dtype_of(x) == dtype_of(image) == dtype
        x, image = to_numpy(x).reshape(3, -1), to_numpy(image).reshape(3, -1)
        rhos = [rho] * 3 if isinstance(rho, float) else each.tolist()
        for i, r in enumerate(rhos):
            assert relative(x[i], brute_force(M, w[i], u[i], r)) <= rtol
        assert relative(image, x @ M.T) <= rtol
    np.testing.assert_array_equal(w, kept[0])
    np.testing.assert_array_equal(u, kept[1])


@pytest.mark.parametrize(
    ("dtype", "rtol"), [("complex64", 1e-6), ("complex128", 1e-14)]
)
@pytest.mark.parametrize("variant", ["full", "channels", "mask", "calibration"])
def test_the_matrix_is_that_of_the_operator_over_several_tiles(variant, dtype, rtol):
    """3 tiles of voxels; z from u − Ax = rho z solves (G + rho I) z = u − Aw."""
    x, y, z = (np.linspace(a, b, 13) for a, b in ((-0.1, 0.1), (-0.1, 0), (0.2, 0.3)))
    A = radar(dtype, grid=Grid(x, y, z), **VARIANTS[variant])
    M = matrix(A)
    valid = np.abs(M).sum(axis=1) > 0
    G = M[valid] @ M[valid].conj().T
    gram = data_gram(A)
    assert (
        gram.size
        == len(G)
        == np.broadcast_to(True if A.mask is None else A.mask, A.out_shape).sum()
    )
    assert relative(np.tril(gram.form()), np.tril(G)) <= rtol
    w, u = noise(A.in_shape, dtype, 1), noise(A.out_shape, dtype, 2)
    rho = float(0.1 * np.linalg.norm(G, 2))
    _, image, _ = regularized_inverse(A, method="exact").solve(w, u, rho)
    z = ((u - image) / rho).reshape(-1)[valid]
    wanted = (u - A.forward(w)).reshape(-1)[valid]
    assert relative(G @ z + rho * z, wanted) <= 10 * rtol


def test_two_batch_axes_and_a_new_rho_each_time():
    A = radar()
    M = matrix(A)
    w, u = noise((2, 3, *A.in_shape)), noise((2, 3, *A.out_shape), seed=1)
    inverse = regularized_inverse(A, method="exact")
    for scale in (1.0, 10.0, 1.0):
        rho = scale * np.arange(1.0, 7).reshape(2, 3)
        x, _, _ = inverse.solve(w, u, rho)
        for i in np.ndindex(2, 3):
            wanted = brute_force(M, w[i], u[i], rho[i])
            assert relative(x[i].reshape(-1), wanted) < 1e-9


def test_a_penalty_below_the_rounding_errors_still_fits_the_data():
    """Frequencies next to each other: in single precision G is indefinite."""
    A = radar("complex64", channels=PAIRS, freq=np.linspace(2e9, 2.02e9, 9))
    M = matrix(A)
    w = noise(A.in_shape, "complex64")
    u = A.forward(noise(A.in_shape, "complex64", 1))
    rho = float(1e-10 * np.linalg.norm(M, 2) ** 2)
    G = np.tril(data_gram(A).form())
    G = G + np.tril(G, -1).conj().T
    assert np.linalg.eigvalsh(G.astype("complex128")).min() < -rho
    x, image, _ = regularized_inverse(A, method="exact").solve(w, u, rho)
    assert relative(A.forward(x), u) < 1e-3
    assert relative(image, A.forward(x)) < 1e-3
    least = np.linalg.pinv(M, rcond=1e-3) @ (u - A.forward(w)).reshape(-1)
    assert np.linalg.norm(x - w) < 1.5 * np.linalg.norm(least)


def test_infinite_numbers_are_refused_and_not_tried_for_ever():
    A = radar("complex64", calibration=1e30)
    with (
        np.errstate(all="ignore"),
        pytest.raises(np.linalg.LinAlgError, match="finite"),
    ):
        exact_inverse(A).solve(
            noise(A.in_shape, "complex64"), noise(A.out_shape, "complex64"), 1.0
        )


def test_a_factor_of_the_operator_and_its_adjoint():
    A = radar()
    w, u = noise(A.in_shape), noise(A.out_shape, seed=1)
    twice = (1 - 2j) * (3 * A)
    x, image, _ = regularized_inverse(twice, method="exact").solve(w, u, 0.7)
    assert relative(x.reshape(-1), brute_force(matrix(twice), w, u, 0.7)) < 1e-9
    assert relative(image, twice.forward(x)) < 1e-9
    assert regularized_inverse(A.H).method.startswith("conjugate gradients")


def test_an_operator_of_ones_own_can_offer_its_matrix():
    m = noise((3, 8)).real

    class Rows(Operator):
        in_shape, out_shape = (8,), (3,)

        def forward(self, x):
            return x @ m.T

        def adjoint(self, y):
            return y @ m

    @data_gram.register
    def _(A: Rows) -> DataGram:
        return DataGram(3, m.dtype, lambda: m @ m.T, 72, 96, 144, "rows")

    w, u = np.arange(8.0), np.arange(3.0)
    x, image, _ = regularized_inverse(Rows(), method="exact").solve(w, u, 0.4)
    np.testing.assert_allclose(x, brute_force(m, w, u, 0.4))
    np.testing.assert_allclose(image, m @ x)


# --- The cache ------------------------------------------------------------------------


def test_a_second_run_reads_what_the_first_one_kept(cache, formed):
    w, u = noise((5, 4, 3), "complex64"), noise((4, 3, 2), "complex64", 1)
    fresh = regularized_inverse(radar("complex64"), method="exact")
    assert "s to set up" in fresh.method
    assert len(list(cache.iterdir())) == 1
    again = regularized_inverse(radar("complex64"), method="exact")
    assert "kept in the cache" in again.method
    assert formed == [1]
    for a, b in zip(fresh.solve(w, u, 2.0), again.solve(w, u, 2.0), strict=True):
        np.testing.assert_array_equal(a, b)


def test_solves_with_one_operator_share_its_matrix(formed):
    A = radar()
    for _ in range(3):
        regularized_inverse(A, method="exact").solve(
            noise(A.in_shape), noise(A.out_shape), 1.0
        )
    assert formed == [1]


def test_nothing_is_kept_where_it_is_turned_off_or_not_worth_it(
    cache, monkeypatch, tmp_path
):
    monkeypatch.setattr(gram_inverse, "_KEPT_FROM_SECONDS", 1.0)
    regularized_inverse(radar(), method="exact")
    assert not cache.exists()
    monkeypatch.setattr(gram_inverse, "_KEPT_FROM_SECONDS", 0.0)
    monkeypatch.setattr(gram_cache, "LIMIT", 1000)
    regularized_inverse(radar(), method="exact")
    assert not cache.exists()
    monkeypatch.undo()
    monkeypatch.setenv("SPARSESOLVE_CACHE", "off")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(gram_inverse, "_KEPT_FROM_SECONDS", 0.0)
    regularized_inverse(radar(), method="exact")
    assert not list(tmp_path.rglob("*.h5"))
    monkeypatch.delenv("SPARSESOLVE_CACHE")
    regularized_inverse(radar(), method="exact")
    assert len(list((tmp_path / "sparsesolve" / "gram").glob("*.h5"))) == 1


CHANGES = {
    "tx": {"tx": TX + 1e-9},
    "rx": {"rx": RX[::-1]},
    "freq": {"freq": FREQ + 1.0},
    "axes": {"grid": Grid(AXES[0], AXES[1], [0.2, 0.25, 0.33])},
    "region": {"grid": Grid(*AXES, region=REGION)},
    "channels": {"channels": PAIRS},
    "order of channels": {"channels": PAIRS[::-1]},
    "speed": {"speed": 2.9979e8},
    "sign": {"sign": 1},
    "mask": {"mask": MASK},
    "calibration": {"calibration": GAIN},
    "spreading": {"spreading": False},
    "dtype": {"dtype": "complex64"},
}


def test_every_change_of_the_operator_has_a_key_of_its_own():
    keys = [data_gram(radar(**options)).key for options in CHANGES.values()]
    keys.append(data_gram(radar()).key)
    assert len(set(keys)) == len(CHANGES) + 1
    assert data_gram(radar()).key == keys[-1]
    assert data_gram(radar().to("array_api_strict")).key not in keys


def truncated(path):
    os.truncate(path, path.stat().st_size // 2)


def not_hdf5(path):
    path.write_bytes(b"nothing of ours")


def flipped(path):
    """One bit of the numbers, which only a checksum can tell."""
    with h5py.File(path) as file:
        place = file["matrix"].id.get_chunk_info(0).byte_offset
    content = bytearray(path.read_bytes())
    content[place + 8] ^= 1
    path.write_bytes(content)


def of_another(path):
    with h5py.File(path, "r+") as file:
        file.attrs["key"] = "another"


def of_another_shape(path):
    with h5py.File(path, "r+") as file:
        del file["matrix"]
        file["matrix"] = np.zeros((2, 2))


def empty(path):
    with h5py.File(path, "r+") as file:
        del file["matrix"]


@pytest.mark.parametrize(
    "damage", [truncated, not_hdf5, flipped, of_another, of_another_shape, empty]
)
def test_a_damaged_file_is_formed_again(cache, formed, damage):
    w, u = noise((5, 4, 3)), noise((4, 3, 2), seed=1)
    wanted = regularized_inverse(radar(), method="exact").solve(w, u, 1.0)
    (path,) = cache.iterdir()
    damage(path)
    with pytest.warns(RuntimeWarning, match="formed again"):
        inverse = regularized_inverse(radar(), method="exact")
    for a, b in zip(inverse.solve(w, u, 1.0), wanted, strict=True):
        np.testing.assert_array_equal(a, b)
    assert formed == [1, 1]
    regularized_inverse(radar(), method="exact")
    assert formed == [1, 1]


def test_what_was_unused_for_longest_goes_first(cache, monkeypatch):
    signs = [{"speed": 2e8 + i} for i in range(4)]
    for i, options in enumerate(signs[:3]):
        regularized_inverse(radar(**options), method="exact")
        newest = max(cache.iterdir(), key=lambda path: path.stat().st_mtime_ns)
        os.utime(newest, (i, i))
    regularized_inverse(radar(**signs[0]), method="exact")  # read: used just now
    size = max(path.stat().st_size for path in cache.iterdir())
    monkeypatch.setattr(gram_cache, "LIMIT", 3 * size)
    regularized_inverse(radar(**signs[3]), method="exact")
    left = {path.stem for path in cache.iterdir()}
    assert left == {data_gram(radar(**signs[i])).key for i in (0, 2, 3)}


def test_a_cache_that_cannot_be_written_costs_a_warning_only(monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    monkeypatch.setenv("SPARSESOLVE_CACHE", str(tmp_path / "file"))
    monkeypatch.setattr(gram_inverse, "_KEPT_FROM_SECONDS", 0.0)
    A = radar()
    with pytest.warns(RuntimeWarning, match="not kept.*SPARSESOLVE_CACHE=off"):
        inverse = regularized_inverse(A, method="exact")
    x, image, _ = inverse.solve(noise(A.in_shape), noise(A.out_shape), 1.0)
    assert relative(A.forward(x), image) < 1e-9


# --- The choice -----------------------------------------------------------------------


def large():
    """1560 data: exact is repaid by some 20 solves, and nothing is formed here."""
    tx, rx = ss.applications.radar.reference_array()
    grid = ss.applications.radar.reference_grid()
    freq = np.linspace(4e9, 16e9, 10)
    # a shift, so that there is no symmetry
    return radar(
        "complex64", tx=tx + np.array([0.01, 0, 0]), rx=rx, freq=freq, grid=grid
    )


def test_the_choice_follows_the_predicted_cost(monkeypatch, formed):
    A = large()
    gram = data_gram(A)
    products, waves = near_field_gram._PRODUCT + 8, near_field_gram._WAVE
    each = 4 * 1560**2 + products * 1560 + waves * 25
    assert gram.operations == pytest.approx(30625 * each)
    few = regularized_inverse(A, n_solves=gram.break_even - 1)
    many = exact_inverse(A)
    assert few.method.startswith("conjugate gradients to a relative residual of 1e-06")
    assert f"s for {gram.break_even - 1} solves; exact would take 6." in few.method
    assert f"repaid after {gram.break_even} solves" in many.method
    assert many.drawback(gram.break_even) == ""
    assert formed == []
    monkeypatch.setattr(memory, "available_bytes", lambda: 2**20)
    scarce = regularized_inverse(A)
    assert "exact would take 0.06" in scarce.method
    assert "0.00098 are available" in scarce.method
    with pytest.raises(
        MemoryError, match=r"AAᴴ of NearFieldMIMO.* conjugate gradients"
    ):
        regularized_inverse(A, method="exact")


def test_double_precision_is_predicted_to_take_twice_as_long():
    single, double = data_gram(radar("complex64")), data_gram(radar("complex128"))
    assert double.seconds == pytest.approx(2 * single.seconds)
    assert double.cg_seconds == pytest.approx(2 * single.cg_seconds)


def test_what_cannot_be_exact_is_refused_by_name():
    with pytest.raises(ValueError, match="method is 'best'; wanted one of auto, exact"):
        regularized_inverse(radar(), method="best")
    with pytest.raises(TypeError, match="no exact inverse is known for Gradient"):
        regularized_inverse(ss.operators.Gradient((4, 4)), method="exact")
    tall = radar(freq=np.linspace(2e9, 9e9, 12))
    assert tall.shape[0] > tall.shape[1]
    assert regularized_inverse(tall).method.startswith("conjugate gradients")
    with pytest.raises(TypeError, match="no exact inverse is known for NearFieldMIMO"):
        regularized_inverse(tall, method="exact")
    diagonal = ss.operators.Diagonal(np.ones(3))
    method = regularized_inverse(diagonal, method="cg").method
    assert method.startswith("conjugate gradients")


# --- ADMM -----------------------------------------------------------------------------


def noise_ball():
    A = radar()
    x = np.zeros(A.in_shape, complex)
    x[1, 2, 1], x[3, 0, 2] = 1, 1j
    y = A.forward(x)
    return ss.Problem(ss.NoiseBall(A, y, 0.05 * np.linalg.norm(y)), Magnitude(L1(1.0)))


def test_admm_finds_the_same_image_either_way():
    problem = noise_ball()
    found = {
        how: ss.solve(problem, ADMM(x_update=how), tol=1e-6, max_iter=500)
        for how in ("auto", "exact", "cg")
    }
    assert found["auto"].choices["x-update"].startswith("exact, by Cholesky factors")
    assert found["cg"].choices["x-update"].startswith("conjugate gradients")
    np.testing.assert_array_equal(found["auto"].x, found["exact"].x)
    assert relative(found["cg"].x, found["exact"].x) < 1e-4
    assert problem.loss.misfit(problem.A(found["exact"].x)) < 1.01 * problem.loss.radius


def test_admm_resumes_bit_for_bit_from_a_kept_matrix(tmp_path, cache):
    file = tmp_path / "state.h5"
    whole = ss.solve(noise_ball(), ADMM(), tol=0, max_iter=15)
    ss.solve(noise_ball(), ADMM(), tol=0, max_iter=7, checkpoint=file)
    rest = ss.solve(noise_ball(), ADMM(), tol=0, max_iter=15, resume=file)
    assert "s to set up" in whole.choices["x-update"]
    assert "kept in the cache" in rest.choices["x-update"]
    np.testing.assert_array_equal(rest.x, whole.x)
    with pytest.raises(ValueError, match="another problem, solver or seed"):
        ss.solve(noise_ball(), ADMM(x_update="cg"), max_iter=15, resume=file)


def test_admm_refuses_an_x_update_it_cannot_do():
    with pytest.raises(ValueError, match="x_update is 'fast'; wanted one of auto"):
        ADMM(x_update="fast")
    A = ss.operators.Dense(noise((3, 6)).real)
    prior = L1(1.0) + ss.priors.Term(L1(1.0), ss.operators.Gradient((6,)))
    problem = ss.Problem(ss.LeastSquares(A, np.ones(3)), prior)
    with pytest.raises(TypeError, match=r"x_update is 'exact' but .* acts on K x"):
        ss.solve(problem, ADMM(x_update="exact"))
