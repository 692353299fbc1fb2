"""The near-field products do not depend on how many threads share the work."""

import numba
import numpy as np
import pytest

from sparsesolve.kernels import claim, njit, prange
from sparsesolve.operators import Grid, NearFieldMIMO, near_field


@njit(parallel=True)
def count(counter, n_jobs, done):
    for _ in prange(len(counter)):
        job = claim(counter)
        while job < n_jobs:
            done[job] += 1
            job = claim(counter)


@pytest.mark.parametrize("n_threads", [1, 2, 7])
def test_every_job_is_claimed_once(n_threads):
    done = np.zeros(10_000, np.int64)
    count(np.zeros(n_threads, np.int64), len(done), done)
    assert (done == 1).all()


@pytest.fixture
def threads():
    """Set the number of threads, and put it back."""
    before = numba.get_num_threads()
    if numba.config.NUMBA_NUM_THREADS < 2:
        pytest.skip("Numba has one thread on this machine")
    yield numba.set_num_threads
    numba.set_num_threads(before)


@pytest.mark.parametrize("tables", [2**28, 0], ids=["tables", "computed"])
@pytest.mark.parametrize("n_antennas", [5, 40], ids=["one block", "blocks"])
def test_threads_change_no_bit(n_antennas, tables, threads, rng, monkeypatch):
    monkeypatch.setattr(near_field, "_LARGEST_TABLES", tables)
    grid = Grid(np.arange(15) / 50, np.arange(320) / 500, [0.3])
    places = rng.uniform(-0.2, 0.2, (n_antennas, 3)) * [1, 1, 0]
    # unequal steps: three runs of frequencies
    freq = 1e9 * np.array([4, 5, 6, 7, 8, 9, 12, 15.5])
    A = NearFieldMIMO(places, places, freq, grid, dtype="complex128")
    x = rng.standard_normal((2, *A.in_shape)) + 1j * rng.standard_normal(A.in_shape)
    threads(2)
    y = A.forward(x)
    images = [A.adjoint(y) for _ in range(5)]
    threads(1)
    assert np.array_equal(A.forward(x), y)
    for image in images:
        assert np.array_equal(A.adjoint(y), image)
    plain = A._plain_forward(x.reshape(2, -1)).reshape(y.shape)
    np.testing.assert_allclose(y, plain, atol=1e-12 * abs(plain).max())


@pytest.mark.parametrize("n_voxels", [1, 63, 512, 4096, 4097, 30625, 10**6])
@pytest.mark.parametrize(("tiles", "most"), [(1, 72), (4, 72), (4, 16), (4, 3)])
def test_groups_are_of_whole_tiles(n_voxels, tiles, most):
    from sparsesolve.operators import near_field_compiled as compiled

    cuts = compiled._cuts(n_voxels, tiles, most)
    sizes = np.diff(cuts)
    assert (cuts[0], cuts[-1]) == (0, n_voxels)
    assert (sizes > 0).all()
    assert len(sizes) <= most
    if n_voxels > 4096 and most >= 16:
        needed = -(-sizes // 512)
        assert needed.sum() == -(-n_voxels // 512)
        assert needed[-1] <= -(-needed[0] // 4)
