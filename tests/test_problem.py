"""Problem: what it checks, binds and offers."""

import numpy as np
import pytest
from cases import random

import sparsesolve as ss

A = ss.operators.Dense(random((5, 4), "float64"))
Y = random((5,), "float64", 1)


def test_value_is_loss_plus_prior():
    x = random((4,), "float64", 2)
    problem = ss.Problem(ss.LeastSquares(A, Y), ss.priors.L1(0.3))
    by_hand = 0.5 * np.sum((A(x) - Y) ** 2) + 0.3 * np.sum(np.abs(x))
    assert problem.value(x) == pytest.approx(by_hand)


def test_lam_max_is_where_zero_becomes_the_solution():
    problem = ss.Problem(ss.LeastSquares(A, Y), ss.priors.L1(1.0))
    top = problem.lam_max()
    above = ss.solve(problem.with_lam(1.001 * top), ss.ProximalGradient(), tol=1e-12)
    below = ss.solve(problem.with_lam(0.98 * top), ss.ProximalGradient(), tol=1e-12)
    assert not above.x.any()
    assert below.x.any()


def test_lam_max_of_a_batch_has_batch_shape():
    batch = np.stack([Y, 2 * Y])
    lam = ss.Problem(ss.LeastSquares(A, batch), ss.priors.L1(1.0)).lam_max()
    np.testing.assert_allclose(lam, lam[0] * np.array([1, 2]))


def test_sum_keeps_the_ratio_of_its_terms():
    prior = ss.priors.L1(2.0) + ss.priors.TotalVariation(1.0)
    problem = ss.Problem(ss.LeastSquares(A, Y), prior).with_lam(6.0)
    assert [t.lam for t in problem.prior.terms] == [6.0, 3.0]


def test_partial_holds_the_other_block_fixed():
    product = ss.operators.Product("M", "A", shape=(4, 2, 3))
    x = {"M": random((4, 2), "float64"), "A": random((2, 3), "float64", 1)}
    y = random((4, 3), "float64", 2)
    priors = {"M": ss.priors.NonNegative(), "A": ss.priors.L1(0.5)}
    problem = ss.Problem(ss.LeastSquares(product, y), priors)
    sub = problem.partial("A", x)
    assert sub.x_shape == (2, 3)
    assert sub.value(x["A"]) == pytest.approx(
        float(0.5 * np.sum((x["M"] @ x["A"] - y) ** 2) + 0.5 * np.abs(x["A"]).sum())
    )


def test_to_moves_everything():
    pytest.importorskip("array_api_strict")
    prior = ss.priors.Box(np.zeros(4), np.ones(4))
    problem = ss.Problem(ss.LeastSquares(A, Y), prior).to("array_api_strict")
    assert problem.device == "array_api_strict"
    solution = ss.solve(problem, ss.ProximalGradient(), max_iter=5)
    assert type(solution.x).__module__.startswith("array_api_strict")


def test_repr_is_one_line():
    problem = ss.Problem(ss.LeastSquares(A, np.stack([Y, Y])), ss.priors.L1(0.3))
    assert "\n" not in repr(problem)
    assert "batch (2,)" in repr(problem)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: ss.Problem(A), TypeError, "loss is a Dense"),
        (lambda: ss.Problem(ss.LeastSquares(A, Y), 3), TypeError, "prior is a int"),
        (
            lambda: ss.Problem(ss.LeastSquares(A, Y), {"M": ss.priors.L1(1.0)}),
            TypeError,
            "wanted one prior",
        ),
        (
            lambda: ss.Problem(
                ss.LeastSquares(
                    ss.operators.Product("M", "A", shape=(5, 2, 3)), np.ones((5, 3))
                ),
                {"B": ss.priors.L1(1.0)},
            ),
            KeyError,
            "the blocks are",
        ),
        (
            lambda: ss.Problem(
                ss.LeastSquares(A, np.stack([Y, Y])), ss.priors.L1(np.ones(3))
            ),
            ValueError,
            "has shape .3,.; wanted a number",
        ),
        (
            lambda: ss.Problem(ss.LeastSquares(A, Y.astype("float32")[:4])),
            ValueError,
            "wanted",
        ),
        (
            lambda: ss.Problem(ss.NoiseBall(A, Y, 1.0), ss.priors.L1(1.0)).lam_max(),
            TypeError,
            "no gradient",
        ),
        (
            lambda: ss.solve(ss.Problem(ss.LeastSquares(A, Y)), x0=np.ones(5)),
            ValueError,
            "x0 has shape",
        ),
        (
            lambda: ss.solve(ss.Problem(ss.LeastSquares(A, Y)), x0=np.full(4, np.inf)),
            ValueError,
            "x0 has 4 NaN",
        ),
        (
            lambda: ss.solve(ss.Problem(ss.LeastSquares(A, Y)), max_iter=0),
            ValueError,
            "max_iter is 0",
        ),
        (
            lambda: ss.solve(ss.Problem(ss.LeastSquares(A, Y)), tol=-1),
            ValueError,
            "tol is -1",
        ),
    ],
)
def test_bad_input_is_one_sentence(make, error, message):
    with pytest.raises(error, match=message) as caught:
        make()
    assert "\n" not in str(caught.value)


BATCH = ss.LeastSquares(A, np.stack([Y, Y, Y]))


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (
            lambda: ss.Problem(
                BATCH, ss.priors.TotalVariation(0.1) + ss.priors.L1(np.ones(2))
            ),
            ValueError,
            "has shape .2,.; wanted a number",
        ),
        (
            lambda: ss.Problem(ss.LeastSquares(A, Y), ss.priors.L1(1.0)).with_lam(
                np.ones(3)
            ),
            ValueError,
            "has shape .3,.; wanted a number",
        ),
        (
            lambda: ss.Problem(
                ss.LeastSquares(A, Y),
                ss.priors.Term(
                    ss.priors.L1(1.0), ss.operators.Dense(np.eye(4, dtype="float32"))
                ),
            ),
            TypeError,
            "computes in float32",
        ),
        (
            lambda: ss.Problem(
                ss.LeastSquares(A, Y.astype(complex)), ss.priors.NonNegative()
            ),
            TypeError,
            "is for real unknowns",
        ),
        (
            lambda: ss.Problem(
                ss.LeastSquares(A, Y.astype(complex)),
                ss.priors.Term(ss.priors.NonNegative(), np.eye(4)),
            ),
            TypeError,
            "is for real unknowns",
        ),
        (
            lambda: ss.Problem(ss.LeastSquares(A, Y), ss.priors.SBL()).lam_max(),
            TypeError,
            "has no lam",
        ),
        (
            lambda: ss.Problem(ss.LeastSquares(A, Y), ss.priors.SBL()).value(
                np.ones(4)
            ),
            TypeError,
            "has no value",
        ),
        (
            lambda: ss.LeastSquares(A, np.ma.masked_array(Y, Y > 0)),
            TypeError,
            "masked array",
        ),
    ],
)
def test_what_does_not_fit_is_refused_at_once(make, error, message):
    with pytest.raises(error, match=message) as caught:
        make()
    assert "\n" not in str(caught.value)


def test_a_term_takes_what_a_loss_takes():
    sparse = pytest.importorskip("scipy.sparse")
    matrix = sparse.csr_array(np.diff(np.eye(4), axis=0))
    term = ss.priors.Term(ss.priors.L1(1.0), matrix)
    problem = ss.Problem(ss.LeastSquares(A, Y), term)
    x = random((4,), "float64", 3)
    by_hand = 0.5 * np.sum((A(x) - Y) ** 2) + np.abs(np.diff(x)).sum()
    assert problem.value(x) == pytest.approx(by_hand)


def test_total_variation_of_magnitudes_alone_is_warned_of():
    tv = ss.priors.Magnitude(ss.priors.TotalVariation(1.0))
    loss = ss.LeastSquares(A, Y.astype(complex))
    with pytest.warns(RuntimeWarning, match="constant magnitudes with free phases"):
        ss.Problem(loss, tv)
    ss.Problem(loss, tv + ss.priors.Magnitude(ss.priors.L1(0.1)))
    ss.Problem(loss, ss.priors.TotalVariation(1.0))


def test_arrays_of_two_libraries_are_refused():
    strict = pytest.importorskip("array_api_strict")
    with pytest.raises(TypeError, match="move one"):
        ss.LeastSquares(A, strict.asarray(Y))
    moved = ss.LeastSquares(A, Y).to("array_api_strict")
    with pytest.raises(TypeError, match="move the prior"):
        ss.Problem(moved, ss.priors.L1(1.0, weights=np.ones(4)))
