"""The checks of what users write must find what is wrong, and say by how much."""

import math
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import pytest
from cases import PROBLEMS, random

import sparsesolve as ss
from sparsesolve.testing import check_operator, check_prior, check_solver


class Broken(ss.operators.Operator):
    """Multiplication by a complex diagonal, with one fault."""

    def __init__(self, fault):
        self.fault = fault
        self.d = random((6,), "complex128")
        self.in_shape = self.out_shape = (6,)
        self.in_dtype = self.out_dtype = np.dtype("complex128")

    def forward(self, x):
        if self.fault == "shift":
            return self.d * x + 1e-3
        if self.fault == "dtype":
            return (self.d * x).astype("complex64")
        if self.fault == "in place":
            x *= self.d
            return x
        if self.fault == "first of batch" and x.ndim > 1:
            return self.d * x[:1] + 0 * x
        return self.d * x

    def adjoint(self, y):
        if self.fault == "missing conjugate":
            return self.d * y
        if self.fault == "scale":
            return 1.001 * np.conj(self.d) * y
        return np.conj(self.d) * y


def test_a_right_operator_passes_and_is_measured():
    found = check_operator(Broken("none"))
    assert set(found) == {"adjoint", "linearity", "batch"}
    assert max(found.values()) < 1e-14


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("missing conjugate", r"adjoint mismatch \d\.\d+e"),
        ("scale", r"adjoint mismatch \d\.\d+e-04"),
        ("shift", "linear"),
        ("dtype", "complex128 into complex64"),
        ("in place", "changed its input"),
        ("first of batch", "batch"),
    ],
)
def test_a_fault_of_an_operator_is_found(fault, message):
    with pytest.raises(AssertionError, match=message):
        check_operator(Broken(fault))


class Widening(ss.operators.Operator):
    """Multiplication by float64 numbers, whatever comes."""

    def __init__(self):
        self.d = np.arange(1.0, 7.0)
        self.in_shape = self.out_shape = (6,)

    def forward(self, x):
        return self.d * x

    adjoint = forward


def test_an_operator_that_widens_single_precision_is_found():
    with pytest.raises(AssertionError, match="turned float32 into float64"):
        check_operator(Widening())


class Threshold(ss.priors.Prior):
    """lam times the number of non-zeros, thresholded at `c` times √(lam step)."""

    separable = True
    convex = False

    def __init__(self, c, fault="none"):
        self.lam, self.c, self.fault = 1.0, c, fault

    def value(self, x):
        return self.total((x != 0) * self.lam, x)

    def prox(self, v, step):
        kept = np.abs(v) > self.c * math.sqrt(self.lam * step)
        if self.fault == "in place":
            v[~kept] = 0
            return v
        if self.fault == "double":
            return np.asarray(v * kept, "float64")
        return v * kept


def test_the_right_hard_threshold_passes():
    check_prior(Threshold(math.sqrt(2)), (40,))


@pytest.mark.parametrize("c", [1.0, 2.0])
def test_a_wrong_hard_threshold_is_found(c):
    """√lam where √(2 lam) is right, as two well-known libraries have it."""
    with pytest.raises(AssertionError, match="optimality"):
        check_prior(Threshold(c), (40,))


def test_faults_beside_the_mathematics_are_found():
    with pytest.raises(AssertionError, match="changed its input"):
        check_prior(Threshold(math.sqrt(2), "in place"), (40,))
    with pytest.raises(AssertionError, match="float64"):
        check_prior(Threshold(math.sqrt(2), "double"), (40,), dtype="float32")


def test_a_prior_that_wrongly_claims_to_be_convex_is_found():
    prior = Threshold(math.sqrt(2))
    prior.convex = True
    with pytest.raises(AssertionError, match="expansion"):
        check_prior(prior, (40,))


class State(NamedTuple):
    x: Any
    residual: float
    metrics: dict[str, float]


@dataclass(frozen=True)
class Descent(ss.solvers.Solver):
    """Gradient descent with one fault."""

    fault: str = "none"
    _hidden: list[int] = field(default_factory=list, compare=False, repr=False)

    def prepare(self, problem):
        self._hidden.clear()
        return 1 / problem.A.norm() ** 2

    def init(self, problem, plan, x0, rng):
        return State(x0, math.inf, {})

    def step(self, problem, plan, state):
        self._hidden.append(0)
        gradient = problem.A.adjoint(problem.loss.gradient(problem.A(state.x)))
        if self.fault == "hidden state":
            plan = plan / (1 + 0.5 / len(self._hidden))
        x = problem.prior.prox(state.x - plan * gradient, plan)
        change = float(np.linalg.norm(x - state.x) / np.linalg.norm(x))
        if self.fault == "changes x0":
            state.x[...] = x
        if self.fault == "slow":
            change = 1.0
        return State(x, change, {})


def test_a_right_solver_passes():
    found = check_solver(Descent(), PROBLEMS["lasso"]("float64"), tol=1e-3)
    assert found["residual"] < 1e-3


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("hidden state", "bit for bit"),
        ("changes x0", "changed x0"),
        ("slow", "did not converge"),
    ],
)
def test_a_fault_of_a_solver_is_found(fault, message):
    with pytest.raises(AssertionError, match=message):
        check_solver(Descent(fault), PROBLEMS["lasso"]("float64"), tol=1e-3)
