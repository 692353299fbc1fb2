"""Each operator against a dense matrix written without the code under test."""

import itertools
import os
import re
import subprocess
import sys
import types
from collections.abc import Callable
from typing import Any

import cases
import numpy as np
import pylops
import pytest
import scipy.linalg
import scipy.sparse
import scipy.sparse.linalg

import sparsesolve as ss
from sparsesolve.backends import dtype_of, to_device, to_numpy
from sparsesolve.operators import bridges
from sparsesolve.operators.adjoint_test import adjoint_mismatch
from sparsesolve.operators.base import Adjoint, Operator
from sparsesolve.operators.kronecker import mode_order

ops = ss.operators
random = cases.random


def differences(n: int) -> np.ndarray:
    """Forward differences with a last row of zeros."""
    d = np.zeros((n, n))
    for i in range(n - 1):
        d[i, i], d[i, i + 1] = -1, 1
    return d


def gradient(shape: tuple[int, ...], axes: tuple[int, ...]) -> np.ndarray:
    rows = []
    for axis in axes:
        factors = [np.eye(n) for n in shape]
        factors[axis] = differences(shape[axis])
        rows.append(kron(*factors))
    return np.concatenate(rows)


def kron(*factors: np.ndarray) -> np.ndarray:
    out = np.ones((1, 1))
    for a in factors:
        out = np.kron(out, a)
    return out


def convolution(h: np.ndarray, shape: tuple[int, int], periodic: bool) -> np.ndarray:
    out = np.zeros((*shape, *shape), dtype=h.dtype)
    centre = [k // 2 for k in h.shape]
    for i in np.ndindex(shape):
        for k in np.ndindex(h.shape):
            j = tuple(a - (b - c) for a, b, c in zip(i, k, centre, strict=True))
            if periodic:
                j = tuple(a % n for a, n in zip(j, shape, strict=True))
            if all(0 <= a < n for a, n in zip(j, shape, strict=True)):
                out[(*i, *j)] += h[k]
    n = shape[0] * shape[1]
    return out.reshape(n, n)


def dft(n: int) -> np.ndarray:
    k = np.arange(n)
    return np.exp(-2j * np.pi * np.outer(k, k) / n) / np.sqrt(n)


def forward_difference_zero_end(n: int) -> np.ndarray:
    """PyLops' centred first derivative with its edges left zero."""
    d = np.zeros((n, n))
    for i in range(1, n - 1):
        d[i, i - 1], d[i, i + 1] = -0.5, 0.5
    return d


MATRICES: dict[str, Callable[[str], np.ndarray]] = {
    "Dense": lambda t: random((5, 7), t),
    "Dense, tall": lambda t: random((6, 4), t),
    "Diagonal": lambda t: np.diag(random((3, 4), t).reshape(-1)),
    "Identity": lambda t: np.eye(6),
    "Kronecker": lambda t: kron(
        random((4, 3), t), random((2, 6), t, 1), random((3, 5), t, 2)
    ),
    "Kronecker, narrow": lambda t: kron(
        random((3, 3), t), random((6, 4), t, 1), random((2, 2), t, 2)
    ),
    "Gradient": lambda t: gradient((3, 4, 2), (0, 1, 2)),
    "Gradient, some axes": lambda t: gradient((3, 1, 4), (2, 1)),
    "Mask": lambda t: np.eye(15)[random((3, 5), "float64", 3).reshape(-1) > -0.2],
    "Convolution": lambda t: convolution(random((3, 4), t), (6, 5), True),
    "Convolution, zero": lambda t: convolution(random((4, 3), t), (3, 5), False),
    "Fourier": lambda t: kron(dft(3), np.eye(4), dft(2)),
    "real unknown": lambda t: random((4, 6), cases.complex_of(t)),
    "scaled": lambda t: -2 * random((3, 4), t),
    "sum": lambda t: np.diag(random((5,), t)) - np.eye(5),
    "sum, real unknown": lambda t: dft(5) + random((5, 5), t),
    "composition": lambda t: (
        gradient((4, 3), (0, 1)) @ convolution(random((3, 2), t), (4, 3), True)
    ),
    "composition, real first": lambda t: dft(4) @ random((4, 6), t).real,
    "vstack": lambda t: np.concatenate(
        [gradient((3, 4), (0, 1)), np.diag(random((3, 4), t).reshape(-1))]
    ),
    "hstack": lambda t: np.concatenate([random((4, 3), t), np.eye(4)], axis=1),
    "block_diag": lambda t: scipy.linalg.block_diag(
        np.kron(random((2, 3), t), random((3, 4), t)), np.eye(8)
    ),
    "kron": lambda t: np.kron(gradient((3, 2), (0, 1)), random((2, 4), t)),
    "left multiply": lambda t: np.kron(random((5, 2), t), np.eye(3)),
    "right multiply": lambda t: np.kron(np.eye(3), random((2, 5), t).T),
    "sparse": lambda t: random((5, 4), t),
    "pylops": lambda t: np.kron(forward_difference_zero_end(5), np.eye(4)),
}


@pytest.mark.parametrize(
    ("name", "dtype"),
    [(name, t) for name in MATRICES for t in cases.OPERATORS[name].dtypes],
)
def test_equals_its_dense_matrix(name: str, dtype: str) -> None:
    A, wanted = cases.OPERATORS[name].make(dtype), MATRICES[name](dtype)
    assert A.shape == wanted.shape
    gives = str(A.out_dtype or dtype)
    x, y = random((2, *A.in_shape), dtype), random((2, *A.out_shape), gives)
    back = y.reshape(2, -1) @ wanted.conj()
    tol = 200 * np.finfo(dtype).eps
    np.testing.assert_allclose(
        A(x).reshape(2, -1), x.reshape(2, -1) @ wanted.T, rtol=tol, atol=tol
    )
    np.testing.assert_allclose(
        A.H(y).reshape(2, -1),
        back.real if A.takes_real else back,
        rtol=tol,
        atol=tol,
    )


# --- What is refused, and how ---------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda: ops.Dense([[1.0]]), TypeError, "a is a list; wanted a 2-D array"),
        (lambda: ops.Dense(np.ones(3)), ValueError, "shape (3,); wanted a 2-D array"),
        (lambda: ops.Dense(np.ones((2, 2), int)), TypeError, "int64 numbers; wanted"),
        (lambda: ops.Dense(np.ones((0, 2))), ValueError, "a is empty"),
        (lambda: ops.Dense(np.full((2, 2), np.nan)), ValueError, "a has 4 NaN"),
        (lambda: ops.Diagonal(np.array([1, np.inf])), ValueError, "d has 1 NaN"),
        (lambda: ops.Diagonal(np.array([1, 2])), TypeError, "d got int64"),
        (lambda: ops.Identity((2, 0)), ValueError, "shape is 0; wanted an integer"),
        (lambda: ops.Kronecker(), ValueError, "no factors"),
        (
            lambda: ops.Kronecker(np.eye(2), np.ones(2)),
            ValueError,
            "factor 1 has shape (2,)",
        ),
        (
            lambda: ops.Kronecker(np.eye(2), np.eye(2, dtype="float32")),
            TypeError,
            "cannot be combined",
        ),
        (lambda: ops.Gradient((3, 4), axes=(2,)), ValueError, "wanted distinct axes"),
        (lambda: ops.Gradient((3, 4), axes=(0, -2)), ValueError, "wanted distinct"),
        (lambda: ops.Gradient((3, 4), axes=()), ValueError, "wanted distinct axes"),
        (lambda: ops.Mask([True]), TypeError, "mask is a list; wanted an array"),
        (lambda: ops.Mask(np.ones(3)), TypeError, "mask is a float64 array; wanted"),
        (lambda: ops.Mask(np.zeros((2, 3), bool)), ValueError, "keeps no entry"),
        (
            lambda: ops.Fourier((3,), dtype="float32"),
            ValueError,
            "wanted 'complex64' or 'complex128'",
        ),
        (
            lambda: ops.Convolution(np.ones(3), (4, 4)),
            ValueError,
            "wanted as many axes as (4, 4)",
        ),
        (lambda: ops.Convolution(np.ones(5), (4,)), ValueError, "boundary='zero'"),
        (
            lambda: ops.Convolution(np.ones(3), (4,), "reflect"),
            ValueError,
            "wanted 'periodic' or 'zero'",
        ),
        (lambda: ops.vstack(), ValueError, "vstack got no operators"),
        (
            lambda: ops.vstack(ops.Identity(3), np.eye(3)),
            TypeError,
            "vstack got a ndarray; wrap it with as_operator",
        ),
        (
            lambda: ops.vstack(ops.Identity(3), ops.Identity(4)),
            ValueError,
            "operators of one in_shape; got (3,), (4,)",
        ),
        (
            lambda: ops.hstack(ops.Identity(3), ops.Dense(np.ones((4, 3)))),
            ValueError,
            "operators of one out_shape",
        ),
        (
            lambda: ops.hstack(ops.Identity(3), S=ops.Identity(3)),
            TypeError,
            "positional and named",
        ),
        (
            lambda: ops.hstack(L=ops.Fourier(3).real(), S=ops.Identity(3)),
            TypeError,
            "put .real() on all or none",
        ),
        (
            lambda: ops.kron(ops.Identity(2), ops.Fourier(3).real()),
            TypeError,
            "take .real() of the product",
        ),
        (lambda: ops.Dense(np.eye(2)).real(), TypeError, "its unknown is real already"),
        (
            lambda: ops.Dense(np.ones((2, 3))) @ ops.Dense(np.ones((2, 3))),
            ValueError,
            "the first takes shape (3,), the second gives (2,)",
        ),
        (
            lambda: ops.Identity((2, 3)) @ ops.Identity((3, 2)),
            ValueError,
            "are the axes swapped?",
        ),
        (
            lambda: ops.Identity(2) + ops.Identity(3),
            ValueError,
            "their shapes differ",
        ),
        (lambda: ops.Identity(2) + 1, TypeError, "cannot add a int"),
        (lambda: ops.Identity(2) * "2", TypeError, "factor is '2'; wanted a number"),
        (
            lambda: ops.Fourier(3).real() @ ops.Fourier(3),
            TypeError,
            "takes a real unknown",
        ),
        (lambda: 1j * ops.Fourier(3).real().H, TypeError, "its factor must be real"),
        (
            lambda: ops.Fourier(3).real().H + ops.Identity(3),
            TypeError,
            "keep only the real part",
        ),
        (
            lambda: ops.Dense(np.eye(2)) + ops.Dense(np.eye(2, dtype="float32")),
            TypeError,
            "float64, float32 cannot be combined",
        ),
        (lambda: ops.Identity(2).partial("M", {}), TypeError, "there is no block 'M'"),
        (lambda: ops.as_operator("A"), TypeError, "cannot make an operator of a str"),
        (
            lambda: ops.as_operator(scipy.sparse.eye_array(3, dtype=int)),
            TypeError,
            "wanted floating point",
        ),
        (
            lambda: ops.as_operator(scipy.sparse.eye_array(3)).to("array_api_strict"),
            TypeError,
            "works on NumPy arrays and cannot go to array_api_strict",
        ),
        (
            lambda: ops.Dense(np.eye(2)).to("array_api_strict").to_scipy(),
            TypeError,
            "move it first, with .to('numpy')",
        ),
        (
            lambda: ops.Product("M", "M", shape=(2, 2, 2)),
            ValueError,
            "both blocks are named 'M'",
        ),
        (
            lambda: ops.Product("M", "A", shape=(2, 2)),
            ValueError,
            "wanted three sizes (L, K, N)",
        ),
    ],
)
def test_bad_construction(make: Any, error: Any, words: str) -> None:
    with pytest.raises(error, match=re.escape(words)) as caught:
        make()
    assert "\n" not in str(caught.value)


def test_factors_and_sums_on_several_devices_are_refused() -> None:
    host, strict = np.eye(2), to_device(np.eye(2), "array_api_strict")
    with pytest.raises(TypeError, match="array_api_strict and numpy"):
        ops.Kronecker(host, strict)
    both = ops.Dense(host) + ops.Dense(strict)
    with pytest.raises(TypeError, match="move it to one device"):
        both(np.ones(2))


# --- Single operators -----------------------------------------------------------------


def test_adjoint_mismatch_sees_wrong_adjoints() -> None:
    class Wrong(Operator):
        def __init__(self, a: Any, back: Any) -> None:
            self.a, self.back = a, back
            self.in_shape, self.out_shape = (a.shape[1],), (a.shape[0],)
            self.in_dtype = self.out_dtype = a.dtype

        def forward(self, x: Any) -> Any:
            return x @ self.a.T

        def adjoint(self, y: Any) -> Any:
            return y @ self.back

    a = random((4, 5), "complex128")
    assert adjoint_mismatch(Wrong(a, a.conj())) < 1e-14
    # Forgetting the conjugate leaves real operators right: imaginary parts must count.
    for back in (a, 1.01 * a.conj(), 1j * a.conj(), np.roll(a.conj(), 1, 0)):
        assert adjoint_mismatch(Wrong(a, back)) > 1e-3
    assert adjoint_mismatch(Wrong(0 * a, a)) > 0.01
    assert adjoint_mismatch(Wrong(0 * a, 0 * a)) == 0.0


def test_dense_shares_its_matrix_and_gives_columns() -> None:
    a = random((4, 6), "complex64")
    A = ops.Dense(a)
    assert A.a is a
    columns = A.columns([5, 0, 0])
    assert columns.dtype == np.complex64
    np.testing.assert_array_equal(columns, a.T[[5, 0, 0]])
    strict = A.to("array_api_strict").columns(np.array([1, 2]))
    np.testing.assert_array_equal(to_numpy(strict), a.T[[1, 2]])


@pytest.mark.parametrize("library", ["numpy", "array_api_strict"])
def test_kronecker_columns(library: str) -> None:
    factors = [
        random(s, "complex64", i) for i, s in enumerate([(2, 3), (4, 2), (3, 2)])
    ]
    A = ops.Kronecker(*factors).to(library)
    idx = [11, 0, 7]
    found = A.columns(idx)
    assert tuple(found.shape) == (3, 2, 4, 3)
    wanted = kron(*factors)[:, idx].T.reshape(3, 2, 4, 3)
    np.testing.assert_allclose(to_numpy(found), wanted, rtol=1e-5)


def test_kronecker_joins_real_and_complex_factors() -> None:
    a, b = random((2, 3), "float32"), random((3, 3), "complex64")
    A = ops.Kronecker(a, b)
    assert A.in_dtype == np.complex64
    x = random((3, 3), "float32")
    np.testing.assert_allclose(A(x), a @ x @ b.T, rtol=2e-5, atol=1e-5)


def test_kronecker_order_costs_the_fewest_operations() -> None:
    rng = np.random.default_rng(0)
    for _ in range(200):
        shapes = [tuple(rng.integers(1, 9, 2)) for _ in range(rng.integers(1, 5))]

        def cost(order: Any, shapes: Any = shapes) -> int:
            sizes, total = [n for _, n in shapes], 0
            for k in order:
                total += int(np.prod(sizes)) * shapes[k][0]
                sizes[k] = shapes[k][0]
            return total

        best = min(cost(p) for p in itertools.permutations(range(len(shapes))))
        assert cost(mode_order(shapes)) == best


def test_kron_of_matrices_is_one_kronecker() -> None:
    a, b, c = (random((2, 3), "float64", i) for i in range(3))
    A = ops.kron(ops.kron(ops.Dense(a), ops.Dense(b)), ops.Dense(c))
    assert isinstance(A, ops.Kronecker)
    assert all(f is g for f, g in zip(A.factors, (a, b, c), strict=True))


def test_gradient_of_a_constant_is_zero_and_norms_are_exact() -> None:
    A = ops.Gradient((5, 6, 7))
    assert not A(np.full((5, 6, 7), 3.0)).any()
    assert ops.Gradient((1, 1)).norm() == 0.0
    for exact in (A, ops.Convolution(random((3,), "float64"), (8,))):
        dense = np.stack(
            [exact(e) for e in np.eye(exact.shape[1]).reshape(-1, *exact.in_shape)]
        ).reshape(exact.shape[1], -1)
        assert exact.norm() == pytest.approx(np.linalg.norm(dense, 2), rel=1e-12)


def test_convolution_has_its_origin_in_the_middle() -> None:
    impulse = np.zeros(7)
    impulse[3] = 1.0
    for boundary in ("periodic", "zero"):
        odd = ops.Convolution(np.array([1.0, 2.0, 3.0]), (7,), boundary)
        np.testing.assert_allclose(odd(impulse), [0, 0, 1, 2, 3, 0, 0], atol=1e-15)
        even = ops.Convolution(np.array([1.0, 2.0, 3.0, 4.0]), (7,), boundary)
        np.testing.assert_allclose(even(impulse), [0, 1, 2, 3, 4, 0, 0], atol=1e-15)
    long = ops.Convolution(np.arange(1.0, 10.0), (3,), "zero")
    np.testing.assert_allclose(
        long(np.eye(3)), [[5, 6, 7], [4, 5, 6], [3, 4, 5]], atol=1e-13
    )


def test_lanczos_finds_a_norm_hidden_behind_its_neighbour() -> None:
    """Clustered spectra: too few steps converge to the second singular value."""
    rng = np.random.default_rng(1)
    for seed in range(40):
        n = int(rng.integers(20, 200))
        s = np.sort(rng.uniform(size=n)) ** 2
        s[-1], s[-2] = 1.03, 1.01
        # The start vector is fixed: vary where it points among the singular vectors.
        q = np.linalg.qr(np.random.default_rng(seed).standard_normal((n, n)))[0]
        assert 1.03 <= ops.Dense(s[:, None] * q).norm() <= 1.03 * 1.03


def test_norm_is_cached_and_dropped_when_moved() -> None:
    A = ops.Dense(random((5, 5), "float32"))
    norm = A.norm()
    assert vars(A)["_norm"] == norm
    assert "_norm" not in vars(A.to("array_api_strict"))
    assert ops.Dense(np.zeros((3, 4))).norm() == 0.0


def test_gram_uses_the_cheap_gram_of_its_parts() -> None:
    class Counting(Operator):
        in_shape = out_shape = (3,)
        grams = 0

        def forward(self, x: Any) -> Any:
            raise AssertionError("forward was called")

        adjoint = forward

        def gram(self, x: Any) -> Any:
            type(self).grams += 1
            return 4.0 * x

    inner, x = Counting(), np.arange(3.0)
    np.testing.assert_array_equal((3.0 * inner).gram(x), 36 * x)
    np.testing.assert_array_equal((inner @ ops.Identity(3)).gram(x), 4 * x)
    np.testing.assert_array_equal(ops.vstack(inner, inner).gram(x), 8 * x)
    np.testing.assert_array_equal(
        ops.block_diag(inner, inner).gram(np.arange(6.0)), 4 * np.arange(6.0)
    )
    assert Counting.grams == 6


# --- Real and complex -----------------------------------------------------------------


def test_real_unknown_of_a_composition() -> None:
    a, b = random((4, 5), "complex128"), random((5, 3), "float64")
    A = ops.Dense(a).real() @ ops.Dense(b)
    assert A.takes_real
    x, y = random((3,), "float64"), random((4,), "complex128")
    np.testing.assert_allclose(A(x), a @ b @ x)
    np.testing.assert_allclose(A.H(y), (b.T @ a.conj().T @ y).real)
    np.testing.assert_allclose((A.H @ A)(x), ((a @ b).conj().T @ a @ b @ x).real)
    assert (A.H @ A).out_dtype == np.float64
    both = ops.vstack(A, ops.Identity(3))
    z = random((7,), "complex128")
    np.testing.assert_allclose(both.H(z), A.H(z[:4]) + z[4:].real)


def test_complex_factor_makes_a_real_operator_complex() -> None:
    a = random((4, 5), "float64")
    A = 2j * ops.Dense(a)
    assert not A.takes_real
    x = random((5,), "complex128")
    np.testing.assert_allclose(A(x), 2j * a @ x)
    assert adjoint_mismatch(A) < 1e-14


# --- Stacks ---------------------------------------------------------------------------


def test_stacks_join_first_axes_or_flatten() -> None:
    I = ops.Identity  # noqa: E741 - as in mathematics
    assert ops.vstack(I((2, 8)), I((2, 8))).out_shape == (4, 8)
    assert ops.vstack(ops.Gradient((2, 8)), I((2, 8))).out_shape == (48,)
    assert ops.hstack(I((2, 8)), I((2, 8))).in_shape == (4, 8)
    assert ops.block_diag(I((2, 8)), I((3, 8))).in_shape == (5, 8)
    assert ops.block_diag(I((2, 8)), I((3, 7))).in_shape == (37,)
    x = np.arange(40.0).reshape(5, 8)
    np.testing.assert_array_equal(
        ops.block_diag(I((2, 8)), 2 * I((3, 8)))(x)[2:], 2 * x[2:]
    )


# --- Named blocks ---------------------------------------------------------------------


@pytest.mark.parametrize("library", cases.LIBRARIES)
@pytest.mark.parametrize("kinds", [("float32",) * 2, ("float64", "complex128")])
def test_product_and_its_parts(library: str, kinds: tuple[str, str]) -> None:
    if library.startswith("torch"):
        pytest.importorskip("torch")
    P = ops.Product("M", "A", shape=(4, 2, 5))
    m, a = random((3, 4, 2), kinds[0]), random((3, 2, 5), kinds[1], 1)
    x = {"M": to_device(m, library), "A": to_device(a, library)}
    image = P(x)
    rtol = 1e-5 if kinds[0] == "float32" else 1e-12
    np.testing.assert_allclose(to_numpy(image), m @ a, rtol=rtol, atol=rtol)
    for name in ("M", "A"):
        A, offset = P.partial(name, {k: v for k, v in x.items() if k != name})
        assert offset == 0.0
        assert (A.in_shape, A.out_shape) == (P.in_shape[name], (4, 5))
        again = A.forward(x[name])
        np.testing.assert_allclose(to_numpy(again), m @ a, rtol=rtol, atol=rtol)
        both = A.adjoint(again), A.gram(x[name])
        np.testing.assert_allclose(*map(to_numpy, both), rtol=100 * rtol, atol=rtol)
        norms = [np.linalg.norm(b, 2) for b in (a if name == "M" else m)]
        assert A.norm() == pytest.approx(max(norms), rel=1e-5)


def test_named_hstack_and_its_parts() -> None:
    a, b = random((6, 4), "complex64"), random((6, 2), "complex64", 1)
    B = ops.hstack(L=ops.Dense(a), S=ops.Dense(b))
    x = {"L": random((3, 4), "complex64"), "S": random((3, 2), "complex64", 1)}
    wanted = x["L"] @ a.T + x["S"] @ b.T
    np.testing.assert_allclose(B(x), wanted, rtol=1e-5, atol=1e-5)
    A, offset = B.partial("S", x)
    np.testing.assert_allclose(A(x["S"]) + offset, wanted, rtol=1e-5, atol=1e-5)
    y = random((6,), "complex64", 2)
    back = B.adjoint(y)
    np.testing.assert_allclose(back["L"], a.conj().T @ y, rtol=1e-5)
    np.testing.assert_allclose(back["S"], b.conj().T @ y, rtol=1e-5)
    alone, nothing = ops.hstack(S=ops.Dense(b)).partial("S", {})
    assert nothing == 0.0
    np.testing.assert_array_equal(alone(x["S"]), x["S"] @ b.T)


def test_operator_after_a_map_of_blocks() -> None:
    mask = random((4, 5), "float64", 9) > 0
    B = ops.Mask(mask) @ ops.Product("M", "A", shape=(4, 2, 5))
    x = {"M": random((4, 2), "float64"), "A": random((2, 5), "float64", 1)}
    np.testing.assert_allclose(B(x), (x["M"] @ x["A"])[mask])
    A, offset = B.partial("A", x)
    np.testing.assert_allclose(A(x["A"]) + offset, B(x))
    S = ops.Diagonal(np.arange(6.0)) @ ops.hstack(L=ops.Identity(6), S=ops.Identity(6))
    z = {"L": np.ones(6), "S": np.arange(6.0)}
    A, offset = S.partial("L", z)
    np.testing.assert_allclose(
        A(z["L"]) + offset, np.arange(6.0) * (1 + np.arange(6.0))
    )
    assert B.device == "numpy"
    assert B.to("array_api_strict").device == "array_api_strict"
    with pytest.raises(ValueError, match="the first takes shape"):
        ops.Identity((5, 4)) @ ops.Product("M", "A", shape=(4, 2, 5))


def test_blocks_are_checked() -> None:
    P = ops.Product("M", "A", shape=(4, 2, 5))
    good = {"M": np.ones((4, 2)), "A": np.ones((2, 5))}
    P.check_input(good)
    bad: list[tuple[Any, type[Exception], str]] = [
        (np.ones((4, 2)), TypeError, "wanted a dict of blocks"),
        ({"M": good["M"]}, ValueError, "got blocks ['M']; wanted ['A', 'M']"),
        (good | {"B": good["M"]}, ValueError, "got blocks ['A', 'B', 'M']"),
        (good | {"A": np.ones((5, 2))}, ValueError, "block 'A', got an array of shape"),
        (good | {"A": np.ones((5, 2))}, ValueError, "are the axes swapped?"),
        (good | {"A": np.ones((2, 5), "float32")}, TypeError, "convert one of the two"),
        (good | {"A": np.ones((2, 5), int)}, TypeError, "wanted floating point"),
        (
            good | {"A": to_device(good["A"], "array_api_strict")},
            TypeError,
            "move one of the two",
        ),
    ]
    for x, error, words in bad:
        with pytest.raises(error, match=re.escape(words)):
            P(x)
    with pytest.raises(ValueError, match="has no block 'B'"):
        P.partial("B", good)
    with pytest.raises(ValueError, match="has no block 'B'"):
        ops.hstack(L=ops.Identity(2)).partial("B", {"L": np.ones(2)})


# --- Bridges --------------------------------------------------------------------------


def test_as_operator_takes_what_people_have() -> None:
    a = random((4, 6), "complex128")
    x, y = random((2, 6), "complex128"), random((2, 4), "complex128")
    identity = ops.Identity(3)
    assert ops.as_operator(identity) is identity
    product = ops.Product("M", "A", shape=(2, 2, 2))
    assert ops.as_operator(product) is product
    assert ops.as_operator(a).a is a
    for foreign in (
        scipy.sparse.csr_array(a),
        scipy.sparse.csc_matrix(a),
        scipy.sparse.linalg.aslinearoperator(a),
        pylops.MatrixMult(a, dtype=a.dtype),
    ):
        A = ops.as_operator(foreign)
        assert (A.in_shape, A.out_shape, A.device) == ((6,), (4,), "numpy")
        np.testing.assert_allclose(A(x), x @ a.T)
        np.testing.assert_allclose(A.H(y), y @ a.conj())
        with pytest.raises(TypeError, match="is on numpy but got"):
            A(to_device(x, "array_api_strict"))


def test_foreign_operators_decide_the_device_of_what_holds_them() -> None:
    A = ops.as_operator(scipy.sparse.eye_array(3))
    assert (ops.Identity(3) + 2 * A).device == "numpy"
    with pytest.raises(TypeError, match="cannot go to array_api_strict"):
        (ops.Identity(3) + A).to("array_api_strict")
    assert A.to("numpy") is A
    mixed = A + ops.Diagonal(to_device(np.ones(3), "array_api_strict"))
    with pytest.raises(TypeError, match="array_api_strict and numpy"):
        mixed(np.ones(3))


def test_pylops_shapes_kinds_and_precision() -> None:
    G = ops.as_operator(pylops.Gradient((4, 5), dtype="float32"))
    assert (G.in_shape, G.out_shape) == ((4, 5), (2, 4, 5))
    assert G(random((3, 4, 5), "float32")).dtype == np.float32
    z = random((4, 5), "complex64")
    np.testing.assert_allclose(
        G(z), G(z.real.copy()) + 1j * G(z.imag.copy()), atol=1e-6
    )
    F = ops.as_operator(pylops.signalprocessing.FFT(dims=8, real=True))
    assert (F.in_dtype, F.out_dtype, F.out_shape) == (np.float64, np.complex128, (5,))
    assert adjoint_mismatch(F) < 1e-14
    assert F.H(random((5,), "complex128")).dtype == np.float64


def test_scipy_solver_runs_on_an_operator() -> None:
    a = random((12, 6), "float64")
    x = random((6,), "float64")
    A = ops.Dense(a)
    found = scipy.sparse.linalg.lsqr(A.to_scipy(), a @ x, atol=1e-12, btol=1e-12)[0]
    np.testing.assert_allclose(found, x, rtol=1e-8)
    single = ops.Dense(a.astype("float32")).to_scipy()
    assert single.matvec(x).dtype == np.float32
    real = ops.Dense(a.astype("complex128")).real().to_scipy()
    with pytest.raises(TypeError, match="takes a real unknown"):
        real.matvec(x + 0j)


def test_pylops_is_told_when_cupy_has_no_driver(monkeypatch: Any) -> None:
    available = types.SimpleNamespace(is_available=lambda: False)
    monkeypatch.setitem(
        sys.modules, "cupy", types.SimpleNamespace(cuda=available, __spec__=object())
    )
    monkeypatch.delenv("CUPY_PYLOPS", raising=False)
    assert bridges._import_pylops() is pylops
    assert os.environ["CUPY_PYLOPS"] == "0"
    available.is_available = lambda: True
    monkeypatch.delenv("CUPY_PYLOPS")
    bridges._import_pylops()
    assert "CUPY_PYLOPS" not in os.environ


def test_wrapping_a_scipy_operator_imports_no_heavy_library() -> None:
    program = (
        "import sys, scipy.sparse, sparsesolve as ss; "
        "ss.operators.as_operator(scipy.sparse.eye_array(3)); "
        "print([m for m in ('pylops', 'torch', 'cupy', 'numba') if m in sys.modules])"
    )
    found = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert found.stdout.strip() == "[]"


def test_adjoint_of_an_operator_of_ones_own() -> None:
    """The two methods a new operator writes are enough for everything."""

    class Flip(Operator):
        def __init__(self, n: int) -> None:
            self.in_shape = self.out_shape = (n,)

        def forward(self, x: Any) -> Any:
            return x[..., ::-1]

        adjoint = forward

    A = Flip(4)
    assert isinstance(A.H, Adjoint)
    x = random((4,), "float32")
    np.testing.assert_array_equal((A @ A)(x), x)
    assert 1.0 <= A.norm() <= 1.03
    assert repr(2 * A) == "Scaled (4,) -> (4,)"
    assert dtype_of(A(x)) == np.float32
