"""Active sets as a solver, and ADMM's fast form against its general one."""

import math

import numpy as np
import pytest
import scipy.optimize

import sparsesolve as ss
from sparsesolve.operators.blocks import LeftMultiply, RightMultiply
from sparsesolve.priors import L1, Box, GroupL2, NonNegative, Simplex, Tilted
from sparsesolve.solvers import ADMM, ActiveSet

N = 5000
PRIORS = {
    "L1": L1(0.3),
    "NonNegative": NonNegative(),
    "Box": Box(-0.2, 0.4),
    "Tilted": Tilted(0.2, NonNegative()),
    "Tilted, Box": Tilted(0.2, Tilted(0.1, Box(-math.inf, 0.5))),
}


def problem(prior, dtype="float64", *, rows=12, n=N):
    rng = np.random.default_rng(3)
    m = rng.random((rows, 5))
    y = m @ rng.normal(0.2, 0.5, (5, n)) + 0.1 * rng.normal(size=(rows, n))
    loss = ss.LeastSquares(
        LeftMultiply(m.astype(dtype), n), y.astype(dtype), constant=2.0
    )
    return ss.Problem(loss, prior)


class General(ADMM):
    """ADMM without its fast form."""

    def prepare(self, problem):
        return super().prepare(problem)._replace(columns=None)


@pytest.mark.parametrize("rows", [12, 3])
@pytest.mark.parametrize("prior", PRIORS)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_the_fast_form_of_admm_is_the_general_one(prior, dtype, rows):
    made = problem(PRIORS[prior], dtype, rows=rows)
    assert ADMM().prepare(made).columns is not None
    fast, general = (
        ss.solve(made, solver, max_iter=25, tol=0) for solver in (ADMM(), General())
    )
    eps = 1e-12 if dtype == "float64" else 2e-4
    scale = np.abs(general.x).max()
    for name in ("x", "u"):
        a, b = getattr(fast.state, name), getattr(general.state, name)
        assert a.dtype == dtype
        np.testing.assert_allclose(a, b, atol=eps * scale)
    np.testing.assert_allclose(fast.state.d[0], general.state.d[0], atol=10 * eps)
    assert fast.state.rho[0] == pytest.approx(general.state.rho[0], rel=100 * eps)
    assert fast.history.keys() == general.history.keys()
    for name, values in fast.history.items():
        np.testing.assert_allclose(values, general.history[name], rtol=100 * eps)


def test_states_of_the_fast_form_are_never_written_to_again():
    made, kept = problem(PRIORS["Tilted"]), []

    def keep(progress):
        s = progress.state
        views = (s.x[1:], s.u, s.d[0])
        kept.append((views, [a.copy() for a in views]))

    ss.solve(made, ADMM(), max_iter=8, tol=0, callback=keep)
    for arrays, copies in kept:
        for a, b in zip(arrays, copies, strict=True):
            np.testing.assert_array_equal(a, b)


def test_the_fast_form_resumes_bit_for_bit(tmp_path):
    made, path = problem(PRIORS["Tilted"]), tmp_path / "state.h5"
    whole = ss.solve(made, ADMM(), max_iter=12, tol=0)
    ss.solve(made, ADMM(), max_iter=7, tol=0, checkpoint=path)
    resumed = ss.solve(made, ADMM(), max_iter=12, tol=0, resume=path)
    np.testing.assert_array_equal(resumed.x, whole.x)
    np.testing.assert_array_equal(
        resumed.history["objective"], whole.history["objective"]
    )


@pytest.mark.parametrize(
    "prior", [L1(0.3, np.ones((5, N))), GroupL2(0.3, 0), L1(0.3) + NonNegative()]
)
def test_other_priors_take_the_general_form(prior):
    assert ADMM().prepare(problem(prior)).columns is None


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("tilt", [0.0, 0.3])
def test_active_sets_equal_scipy(side, tilt):
    rng = np.random.default_rng(0)
    m, y = rng.random((9, 5)), rng.normal(0.5, 1, (9, 7))
    prior = Tilted(tilt, NonNegative()) if tilt else NonNegative()
    A = LeftMultiply(m, 7) if side == "left" else RightMultiply(m.T.copy(), 7)
    loss = ss.LeastSquares(A, y if side == "left" else y.T.copy())
    found = ss.solve(ss.Problem(loss, prior))
    assert "ActiveSet" in found.choices["solver"]
    assert found.converged and found.n_iter == 1
    # tilt 1'x = <m' p, x> moves the data by -p
    shift = np.linalg.lstsq(m.T, np.full(5, tilt), rcond=None)[0]
    x = np.array([scipy.optimize.nnls(m, c - shift)[0] for c in y.T]).T
    np.testing.assert_allclose(found.x if side == "left" else found.x.T, x, atol=1e-9)
    value = 0.5 * np.sum((m @ x - y) ** 2) + tilt * x.sum()
    assert found.history["objective"][0] == pytest.approx(value, rel=1e-10)


def test_active_sets_do_not_change_a_minimiser():
    made = problem(Simplex(), n=30)
    once = ss.solve(made, ActiveSet(), tol=0, max_iter=1)
    again = ss.solve(made, ActiveSet(), tol=0, max_iter=3)
    np.testing.assert_array_equal(once.x, again.x)
    np.testing.assert_allclose(once.x.sum(axis=0), 1, rtol=1e-12)


def test_single_precision_data_are_solved_through_a_double_gram_matrix():
    rng = np.random.default_rng(0)
    m = (1 + 1e-3 * rng.random((20, 4))).astype("float32")
    y = (m @ rng.random((4, 10))).astype("float32")
    loss = ss.LeastSquares(LeftMultiply(m, 10), y)
    found = ss.solve(ss.Problem(loss, NonNegative()), ActiveSet())
    assert found.x.dtype == np.float32
    x = np.array(
        [scipy.optimize.nnls(m.astype(float), c)[0] for c in y.T.astype(float)]
    )
    np.testing.assert_allclose(found.x, x.T, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    "prior", [Simplex(axis=1), L1(0.1), GroupL2(0.1, 0), Box(0.0, 1.0)]
)
def test_active_sets_refuse_what_they_cannot_minimise(prior):
    with pytest.raises(TypeError, match="ActiveSet needs one real matrix"):
        ss.solve(problem(prior, n=20), ActiveSet())


def test_active_sets_refuse_weights_and_batches():
    made = problem(NonNegative(), n=20)
    y = made.loss.y
    weighted = ss.LeastSquares(made.A, y, np.ones((1, 20)))
    batch = ss.LeastSquares(made.A, np.stack([y, y]))
    for loss in (weighted, batch):
        with pytest.raises(TypeError, match="ActiveSet needs one real matrix"):
            ss.solve(ss.Problem(loss, NonNegative()), ActiveSet())


def test_a_prior_on_nonnegative_unknowns():
    with pytest.raises(TypeError, match="OnNonNegative got"):
        ss.priors.OnNonNegative(Simplex())
    made = problem(ss.priors.OnNonNegative(GroupL2(1.0, 1)), n=20)
    top = made.lam_max()
    zero = ss.solve(made.with_lam(1.001 * top), ADMM(), tol=1e-8)
    some = ss.solve(made.with_lam(0.99 * top), ADMM(), tol=1e-8)
    assert not zero.x.any()
    assert some.x.min() >= 0
    assert 0 < np.count_nonzero(some.x.any(axis=1)) < 5
