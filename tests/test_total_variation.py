"""Total variation against dense algebra, quadratic programs and closed forms."""

from __future__ import annotations

import numpy as np
import pytest
from cases import COMPLEX, REAL, random
from scipy.optimize import lsq_linear

from sparsesolve.backends import to_device, to_numpy
from sparsesolve.priors import TotalVariation, tv_dual

SHAPES = [(17,), (9, 7), (1, 6), (5, 4, 6)]


def differences(shape):
    """One dense matrix of forward differences per axis, without the zero rows."""
    matrices = []
    index = np.arange(np.prod(shape)).reshape(shape)
    for axis in range(len(shape)):
        here = np.delete(index, -1, axis).ravel()
        there = np.delete(index, 0, axis).ravel()
        D = np.zeros((here.size, index.size))
        D[np.arange(here.size), here] = -1
        D[np.arange(here.size), there] = 1
        matrices.append((D, here))
    return matrices


def dense_value(x, isotropic=True):
    squares = np.zeros(x.size)
    total = 0.0
    for D, here in differences(x.shape):
        step = np.abs(D @ x.ravel())
        squares[here] += step**2
        total += step.sum()
    return np.sqrt(squares).sum() if isotropic else total


def dense_gap(v, x, w, p, isotropic):
    """Duality gap of x and the dual p scaled into its ball, and the primal value."""
    v, x = v.astype(np.complex128), x.astype(np.complex128)
    sizes = np.abs(p) ** 2
    norms = np.sqrt(np.sum(sizes, axis=0) if isotropic else sizes)
    p = p.astype(np.complex128) / np.maximum(1, norms)
    back = np.zeros(v.size, complex)
    for (D, here), part in zip(differences(v.shape), p, strict=True):
        back += D.T @ part.ravel()[here]
    primal = np.sum(np.abs(x - v) ** 2) / 2 + w * dense_value(x, isotropic)
    dual = np.sum(np.abs(v) ** 2) - np.sum(np.abs(v.ravel() - w * back) ** 2)
    return primal - dual / 2, primal


def image(shape, dtype, seed=0):
    """Steps and noise."""
    v = random(shape, dtype, seed) / 3
    v[..., shape[-1] // 2 :] += 1
    return v


@pytest.mark.parametrize("isotropic", [True, False])
@pytest.mark.parametrize("dtype", REAL + COMPLEX)
@pytest.mark.parametrize("shape", SHAPES)
def test_the_value_is_the_dense_one(shape, dtype, isotropic):
    x = image(shape, dtype)
    value = TotalVariation(2.0, isotropic=isotropic).value(x)
    np.testing.assert_allclose(value, 2 * dense_value(x, isotropic), rtol=1e-5)


@pytest.mark.parametrize("library", ["numpy", "torch:cpu"])
@pytest.mark.parametrize("isotropic", [True, False])
@pytest.mark.parametrize("dtype", ["float32", "float64", "complex128"])
@pytest.mark.parametrize("shape", SHAPES[1:])
@pytest.mark.parametrize("w", [0.02, 0.4])
def test_the_duality_gap_is_below_tol(shape, dtype, isotropic, library, w):
    pytest.importorskip(library.partition(":")[0])
    v = image(shape, dtype)
    for tol in (1e-3, 1e-5):
        prior = TotalVariation(w, isotropic=isotropic, tol=tol)
        x, p = prior.prox_warm(to_device(v, library), 1.0, None)
        gap, value = dense_gap(v, to_numpy(x), w, to_numpy(p), isotropic)
        # float32 results are rounded where the certificate is computed exactly.
        floor = 4e-6 * (1 + w) if dtype == "float32" else 1e-12
        assert gap <= tol * value + floor * v.size


@pytest.mark.parametrize("n", [1, 2, 3, 40])
@pytest.mark.parametrize("w", [0.01, 0.3, 2.0, 100.0])
def test_a_line_is_the_quadratic_programs(n, w):
    v = image((n,), "float64", n)
    x = TotalVariation(w).prox(v, 1.0)
    if n == 1:
        np.testing.assert_array_equal(x, v)
        return
    ((D, _),) = differences((n,))
    p = lsq_linear(w * D.T, v, (-1, 1), tol=1e-15, max_iter=1000).x
    np.testing.assert_allclose(x, v - w * D.T @ p, atol=1e-7)


@pytest.mark.parametrize("dtype", REAL)
def test_a_long_line_meets_the_optimality_conditions(dtype):
    w, n = 3.0, 20_000
    v = random((n,), dtype) + np.repeat(random((20,), dtype, 1), n // 20) * 3
    x = TotalVariation(w).prox(v, 1.0).astype(np.float64)
    # x = v - w Dᵀp with |p| <= 1 and p = sign(Dx) at every jump.
    p = np.cumsum(x - v) / w
    slack = 1e-9 if dtype == "float64" else 2e-3
    assert abs(p[-1]) < slack
    assert np.abs(p).max() <= 1 + slack
    jumps = np.flatnonzero(np.abs(np.diff(x)) > 1e-5)
    assert jumps.size > 50
    np.testing.assert_allclose(p[jumps], np.sign(np.diff(x)[jumps]), atol=slack)


def test_lines_of_a_batch_have_weights_of_their_own():
    v = random((3, 30), "float64")
    prior = TotalVariation(np.array([0.1, 0.5, 2.0])).bind((30,))
    together = prior.prox(v, np.array([1.0, 2.0, 3.0]))
    for row, w, x in zip(v, (0.1, 1.0, 6.0), together, strict=True):
        np.testing.assert_allclose(x, TotalVariation(w).prox(row, 1.0), atol=1e-12)


def test_anisotropic_images_are_the_quadratic_programs():
    v, w = image((5, 6), "float64"), 0.3
    stacked = np.concatenate([D for D, _ in differences(v.shape)])
    p = lsq_linear(w * stacked.T, v.ravel(), (-1, 1), tol=1e-15, max_iter=2000).x
    exact = v - w * (stacked.T @ p).reshape(v.shape)
    anisotropic = TotalVariation(w, isotropic=False, tol=1e-12, max_iter=20_000)
    np.testing.assert_allclose(anisotropic.prox(v, 1.0), exact, atol=1e-5)
    assert np.abs(TotalVariation(w, tol=1e-9).prox(v, 1.0) - exact).max() > 1e-3


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_volume_that_varies_along_one_axis_is_a_line(axis):
    line = image((12,), "float64")
    shape = [4, 4, 4]
    shape[axis] = 12
    v = np.broadcast_to(line.reshape(-1, *(1,) * (2 - axis)), shape)
    x = TotalVariation(0.2, tol=1e-11, max_iter=20_000).prox(v, 1.0)
    exact = TotalVariation(0.2).prox(line, 1.0).reshape(-1, *(1,) * (2 - axis))
    np.testing.assert_allclose(x, np.broadcast_to(exact, shape), atol=1e-4)


@pytest.mark.parametrize("shape", [(30,), (6, 8)])
@pytest.mark.parametrize("isotropic", [True, False])
def test_a_real_image_times_a_phase_is_denoised_as_the_real_one(shape, isotropic):
    v, phase = image(shape, "float64"), np.exp(0.9j)
    prior = TotalVariation(0.2, isotropic=isotropic, tol=1e-11, max_iter=20_000)
    x = prior.prox(v * phase, 1.0)
    np.testing.assert_allclose(x, prior.prox(v, 1.0) * phase, atol=1e-4)


def test_complex_differences_count_by_their_modulus():
    # Denoising real and imaginary parts apart would be another prior.
    v = image((8, 8), "complex128")
    prior = TotalVariation(0.3, tol=1e-9)
    apart = prior.prox(v.real, 1.0) + 1j * prior.prox(v.imag, 1.0)
    assert np.abs(prior.prox(v, 1.0) - apart).max() > 1e-2


@pytest.mark.parametrize("dtype", REAL + COMPLEX)
@pytest.mark.parametrize("shape", SHAPES)
def test_strong_weights_leave_the_mean(shape, dtype):
    v = image(shape, dtype)
    x = TotalVariation(1e4, tol=1e-6).prox(v, 1.0)
    np.testing.assert_allclose(x, np.broadcast_to(v.mean(), shape), atol=2e-3)


@pytest.mark.parametrize("library", ["numpy", "torch:cpu"])
@pytest.mark.parametrize("shape", SHAPES)
def test_offset_and_unit_do_not_matter(shape, library):
    pytest.importorskip(library.partition(":")[0])
    v = image(shape, "float64")
    prior = TotalVariation(0.2, tol=1e-6)

    def prox(a, step):
        return to_numpy(prior.prox(to_device(a, library), step))

    x = prox(v, 1.0)
    np.testing.assert_allclose(prox(v + 1e4, 1.0) - 1e4, x, atol=1e-6)
    for unit in (1e-30, 1e30):
        np.testing.assert_allclose(prox(v * unit, unit) / unit, x, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("library", ["numpy", "array_api_strict", "torch:cpu"])
@pytest.mark.parametrize("dtype", REAL + COMPLEX)
@pytest.mark.parametrize("shape", [(6,), (4, 5), (1, 1), (2, 1, 3)])
def test_constants_stay(shape, dtype, library):
    pytest.importorskip(library.partition(":")[0])
    v = np.full(shape, 0.1, dtype)
    x = TotalVariation(3.0).prox(to_device(v, library), 1.0)
    np.testing.assert_allclose(to_numpy(x), v, rtol=1e-6)


def steps_counted(monkeypatch):
    from sparsesolve.priors import tv_compiled

    count = [0]
    step = tv_compiled.CompiledDual.step

    def counted(self):
        count[0] += 1
        step(self)

    monkeypatch.setattr(tv_compiled.CompiledDual, "step", counted)
    return count


def test_a_warm_start_takes_fewer_steps(monkeypatch):
    count = steps_counted(monkeypatch)
    v = image((20, 20), "float64")
    prior = TotalVariation(0.2, tol=1e-5)
    _, warm = prior.prox_warm(v, 1.0, None)
    cold = count[0]
    nearby = v + random(v.shape, "float64", 3) / 1000
    count[0] = 0
    x, _ = prior.prox_warm(nearby, 1.0, warm)
    assert count[0] < cold / 3
    np.testing.assert_allclose(x, prior.prox(nearby, 1.0), atol=1e-2)


def test_repeated_warm_calls_go_on_converging():
    v = image((12, 12), "float64")
    prior = TotalVariation(0.2, tol=1e-2)
    exact = TotalVariation(0.2, tol=1e-10, max_iter=20_000).prox(v, 1.0)
    first, warm = prior.prox_warm(v, 1.0, None)
    for _ in range(200):
        x, warm = prior.prox_warm(v, 1.0, warm)
    assert np.abs(x - exact).max() < np.abs(first - exact).max() / 30


def test_too_few_steps_are_said():
    v = image((12, 12), "float64")
    with pytest.warns(RuntimeWarning, match="stopped its prox at max_iter"):
        TotalVariation(0.5, max_iter=3).prox(v, 1.0)
    with pytest.warns(RuntimeWarning, match="stopped its prox at max_iter"):
        TotalVariation(0.5, max_iter=3).prox(to_device(v, "array_api_strict"), 1.0)


@pytest.mark.parametrize("library", ["array_api_strict", "torch:cpu"])
@pytest.mark.parametrize("shape", [(6,), (5, 4)])
def test_nan_ends_the_iteration(shape, library):
    pytest.importorskip(library.partition(":")[0])
    v = image(shape, "float64")
    v[(1,) * v.ndim] = np.nan
    assert np.isnan(
        to_numpy(TotalVariation(0.5).prox(to_device(v, library), 1.0))
    ).any()


@pytest.mark.parametrize("isotropic", [True, False])
@pytest.mark.parametrize("dtype", ["float64", "complex128"])
@pytest.mark.parametrize("shape", [(5, 6), (1, 7), (7, 1), (4, 3, 5), (3, 1, 1500)])
def test_the_kernel_takes_the_steps_of_the_plain_version(shape, dtype, isotropic):
    from sparsesolve.priors.tv_compiled import CompiledDual

    v, n = image(shape, dtype), len(shape)
    how = tv_dual.Settings(isotropic, 1e-3)
    start = np.zeros((n, *shape), dtype)
    plain = tv_dual.PlainDual(v, 0.3, start, n, how)
    serial, parallel = (CompiledDual(v, 0.3, start, how) for _ in range(2))
    parallel.n_slabs = min(3, len(parallel.z))
    for dual in (serial, parallel):
        dual._use(dual.p.astype(np.float64))
    for _ in range(30):
        for dual in (plain, serial, parallel):
            dual.step()
    excess = plain.excess()
    x, p = plain.result()
    for dual in (serial, parallel):
        np.testing.assert_allclose(dual.excess(), excess, rtol=1e-9, atol=1e-9)
        found, q = dual.result()
        np.testing.assert_allclose(found, x, atol=1e-12)
        np.testing.assert_allclose(q, p, atol=1e-10)


def test_steps_in_float32_end_where_their_rounding_would_show():
    from sparsesolve.priors.tv_compiled import CompiledDual

    v = image((16, 16), "float64")
    for tol, precision in ((1e-4, np.float32), (1e-9, np.float64)):
        dual = CompiledDual(v, 0.3, np.zeros((2, 16, 16)), tv_dual.Settings(True, tol))
        assert tv_dual.ascend(dual, 20_000)
        assert dual.u.dtype == precision
        gap, value = dense_gap(v, dual.result()[0], 0.3, dual.result()[1], True)
        assert gap <= tol * value


def test_peers_agree():
    restoration = pytest.importorskip("skimage.restoration")
    v = image((12, 10), "float64")
    theirs = restoration.denoise_tv_chambolle(v, 0.2, eps=0, max_num_iter=20_000)
    mine = TotalVariation(0.2, tol=1e-9).prox(v, 1.0)
    np.testing.assert_allclose(mine, theirs, atol=1e-3)
