"""Metrics of sparse recovery and of links, by hand and by drawing symbols."""

import numpy as np
import pytest

import sparsesolve as ss
from sparsesolve import metrics
from sparsesolve.backends import to_device


def test_the_relative_error_counts_phases():
    truth = np.array([1.0, 1j])
    assert metrics.relative_squared_error(truth, truth) == 0
    assert metrics.relative_squared_error(0 * truth, truth) == 1
    assert metrics.relative_squared_error(1j * truth, truth) == pytest.approx(2)
    x, truth2 = np.array([[1.0, 1.0], [3.0, 0.0]]), np.array([[1.0, 0.0], [4.0, 0.0]])
    assert metrics.relative_squared_error(x, truth2) == pytest.approx(2 / 17)
    ratios = metrics.relative_squared_error(x, truth2, axis=0)
    assert ratios == pytest.approx((1 + 1 / 16) / 2)
    assert metrics.relative_squared_error(x.T, truth2.T, axis=-1) == ratios
    with pytest.raises(ValueError, match="truth is zero"):
        metrics.relative_squared_error(x, truth2, axis=1)
    with pytest.raises(ValueError, match="axis is 2; wanted one of the 2"):
        metrics.relative_squared_error(x, truth2, axis=2)
    with pytest.raises(ValueError, match="truth is zero"):
        metrics.relative_squared_error(truth, 0 * truth)
    with pytest.raises(ValueError, match="swapped"):
        metrics.relative_squared_error(np.ones((2, 3)), np.ones((3, 2)))
    with pytest.raises(ValueError, match="1 NaN"):
        metrics.relative_squared_error(np.array([np.nan, 1]), truth)


def test_support_recovery_is_the_index_of_jaccard():
    truth = np.array([[1.0, 0.0, -2.0], [0.0, 0.0, 3.0]])
    found = np.array([[1j, 1e-4, 0.0], [0.5, 0.0, 1.0]])
    assert metrics.support_recovery(found, truth) == pytest.approx(2 / 4)
    assert metrics.support_recovery(found, truth, threshold=0) == pytest.approx(2 / 5)
    assert metrics.support_recovery(truth, 7 * truth) == 1
    assert metrics.support_recovery(0 * truth, truth) == 0
    assert metrics.support_recovery(0 * truth, 0 * truth) == 1
    for bad in (1.0, -0.1, np.nan):
        with pytest.raises(ValueError, match="threshold"):
            metrics.support_recovery(found, truth, threshold=bad)


@pytest.mark.parametrize("ties", [None, -1])
def test_the_support_of_a_solution_is_what_is_probably_on(rng, ties):
    a, x = rng.standard_normal((25, 40)), np.zeros((40, 3))
    x[[4, 5, 30]] = rng.standard_normal((3, 3)) + np.sign(rng.standard_normal((3, 3)))
    y = np.tensordot(a, x, 1) + 0.02 * rng.standard_normal((25, 3))
    A = ss.operators.kron(ss.operators.Dense(a), ss.operators.Identity((3,)))
    loss = ss.LeastSquares(A, y)
    turbo = ss.priors.TurboVBI(tied_axes=ties)
    known = ss.VariationalEM(noise_variance=4e-4)
    found = ss.solve(ss.Problem(loss, turbo), known, max_iter=100)
    assert metrics.support_recovery(found.x, x, threshold=0) < 0.1
    assert metrics.support_recovery(found, x, threshold=0) == 1
    sparse = ss.solve(ss.Problem(loss, ss.priors.SBL()), ss.VariationalEM())
    wanted = metrics.support_recovery(sparse.x, x)
    assert metrics.support_recovery(sparse, x) == wanted


@pytest.mark.parametrize("library", ["array_api_strict", "torch:cpu"])
def test_any_library(library):
    pytest.importorskip(library.partition(":")[0])
    a = to_device(np.array([1.0, 0.0, 2j], np.complex64), library)
    assert metrics.support_recovery(a, a) == 1
    assert metrics.relative_squared_error(a, a) == 0


def test_symbols_of_a_perfect_estimate(rng):
    h = rng.standard_normal((2, 3, 4)) + 1j * rng.standard_normal((2, 3, 4))
    assert metrics.symbol_error_rate(h, h, 1e-3) < 1e-12
    assert metrics.symbol_error_rate(1j * h, h, 1e-9) == pytest.approx(1)
    assert metrics.symbol_error_rate(h, h, 1e12) == pytest.approx(0.75, abs=1e-5)
    assert metrics.symbol_error_rate(0 * h, 0 * h, 1.0) == pytest.approx(0.75)


def test_symbol_errors_by_drawing_them(rng):
    """An explicit link: precode, transmit, add noise, combine, decide by quadrant."""
    h = rng.standard_normal((3, 4)) + 1j * rng.standard_normal((3, 4))
    trusted = h + 0.8 * (rng.standard_normal((3, 4)) + 1j * rng.standard_normal((3, 4)))
    variance, n = 15.0, 200_000
    u, _, vh = np.linalg.svd(trusted.T)  # the receiver sees trusted.T @ sent
    bits = rng.choice((-1, 1), (2, n))
    symbols = (bits[0] + 1j * bits[1]) / np.sqrt(2)
    sent = vh[0].conj()[:, None] * symbols
    noise = rng.standard_normal((2, 4, n)) * np.sqrt(variance / 2)
    received = u[:, 0].conj() @ (h.T @ sent + noise[0] + 1j * noise[1])
    wrong = (np.sign(received.real) != bits[0]) | (np.sign(received.imag) != bits[1])
    rate = metrics.symbol_error_rate(trusted, h, variance)
    assert 0.05 < rate < 0.7
    assert rate == pytest.approx(np.mean(wrong), abs=5e-3)


def test_bad_links():
    h = np.ones((3, 4))
    for bad in (0.0, -1.0, np.nan):
        with pytest.raises(ValueError, match="noise_variance"):
            metrics.symbol_error_rate(h, h, bad)
    with pytest.raises(ValueError, match="swapped"):
        metrics.symbol_error_rate(h, h.T, 1.0)
    with pytest.raises(ValueError, match="n_send, n_receive"):
        metrics.symbol_error_rate(h[0], h[0], 1.0)
