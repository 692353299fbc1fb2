"""Regularised inverses against brute-force dense least squares."""

import warnings
from typing import Any

import cases
import numpy as np
import pytest

import sparsesolve as ss
from sparsesolve.backends import device_of, dtype_of, real_dtype, to_device, to_numpy
from sparsesolve.linalg import (
    ConvergenceWarning,
    SingularForm,
    exact_inverse,
    normal_cg,
    regularized_inverse,
)
from sparsesolve.operators.base import Operator
from sparsesolve.operators.blocks import LeftMultiply, RightMultiply

ops = ss.operators
random = cases.random

METHODS = {
    "Dense": "eigendecomposition of the 5 x 5 Gram matrix",
    "Dense, tall": "eigendecomposition of the 4 x 4 Gram matrix",
    "Diagonal": "closed form of Diagonal",
    "Identity": "closed form of Identity",
    "Kronecker": "singular value decompositions of the factors, 4 x 3 and 2 x 6 and",
    "Kronecker, narrow": "singular value decompositions of the factors, 3 x 3",
    "Mask": "closed form of Mask",
    "Convolution": "division in the Fourier domain",
    "Fourier": "closed form of Fourier",
    "scaled": "eigendecomposition of the 3 x 3 Gram matrix",
    "left multiply": "singular value decomposition of the 5 x 2 factor",
    "right multiply": "singular value decomposition of the 2 x 5 factor",
}
ITERATIVE = "conjugate gradients to a relative residual of"
OTHERS = ("Gradient", "Convolution, zero", "real unknown", "vstack", "kron", "sparse")

every_case = pytest.mark.parametrize(
    ("name", "dtype", "library"),
    [
        pytest.param(name, dtype, library, id=f"{name}-{dtype}-{library}")
        for name in (*METHODS, *OTHERS)
        for dtype in cases.OPERATORS[name].dtypes
        for library in cases.OPERATORS[name].libraries
    ],
)


def dense(A: Any, dtype: str) -> np.ndarray:
    n = A.shape[1]
    units = to_device(
        np.eye(n, dtype=dtype).reshape(n, *A.in_shape), A.device or "numpy"
    )
    matrix = to_numpy(A.forward(units)).reshape(n, -1).T
    return matrix.astype(np.result_type(matrix, np.float64))


def brute_force(A: Any, dtype: str, w: Any, u: Any, rho: float) -> np.ndarray:
    """Minimise ‖Ax − u‖² + rho ‖x − w‖² by dense least squares in double precision."""
    matrix, w, u = dense(A, dtype), to_numpy(w).reshape(-1), to_numpy(u).reshape(-1)
    if A.takes_real:
        matrix = np.concatenate([matrix.real, matrix.imag])
        u = np.concatenate([u.real, u.imag])
    stacked = np.concatenate([matrix, np.sqrt(rho) * np.eye(matrix.shape[1])])
    data = np.concatenate([u, np.sqrt(rho) * w])
    return np.linalg.lstsq(stacked, data, rcond=None)[0].reshape(A.in_shape)


def solved(A: Any, dtype: str, library: str, inverse: Any, rtol: float) -> None:
    gives = str(A.out_dtype or dtype)
    w = to_device(random((3, *A.in_shape), dtype, 1), library)
    u = to_device(random((3, *A.out_shape), gives, 2), library)
    size = np.linalg.norm(dense(A, dtype), 2) ** 2
    per_problem = (size * np.array([0.01, 0.1, 3.0])).astype(real_dtype(dtype))
    for rho in (0.03 * float(size), per_problem):
        x, image, _ = inverse.solve(
            w, u, rho if isinstance(rho, float) else to_device(rho, library)
        )
        assert device_of(x) == device_of(image) == library
        assert dtype_of(x) == np.dtype(dtype)
        assert dtype_of(image) == np.dtype(gives)
        for i, r in enumerate(np.broadcast_to(rho, 3)):
            wanted = brute_force(A, dtype, w[i, ...], u[i, ...], float(r))
            np.testing.assert_allclose(to_numpy(x[i, ...]), wanted, rtol, rtol)
        np.testing.assert_allclose(to_numpy(image), to_numpy(A.forward(x)), rtol, rtol)


@every_case
def test_minimises_by_the_expected_method(name: str, dtype: str, library: str) -> None:
    if library.startswith("torch"):
        pytest.importorskip("torch")
    A = cases.OPERATORS[name].make(dtype)
    A = A if library == "numpy" else A.to(library)
    single = np.dtype(dtype) in (np.float32, np.complex64)
    rtol = 2e-4 if single else 1e-9
    expected = METHODS.get(name, ITERATIVE)
    for operator in (A, A.H, -3.0 * A):
        inverse = regularized_inverse(operator, tol=1e-6 if single else 1e-12)
        assert (ITERATIVE in inverse.method) == (expected == ITERATIVE)
        if operator is A:
            assert expected in inverse.method
        if not operator.gives_real:
            solved(operator, dtype, library, inverse, rtol)


def test_complex_arrays_under_real_operators() -> None:
    for name in (
        "Dense",
        "Dense, tall",
        "Diagonal",
        "Kronecker",
        "Convolution",
        "Mask",
    ):
        A = cases.OPERATORS[name].make("float64")
        w, u = random(A.in_shape, "complex128"), random(A.out_shape, "complex128", 1)
        x, image, warm = regularized_inverse(A).solve(w, u, 0.3, "kept")
        wanted = brute_force(A, "float64", w, u, 0.3)
        np.testing.assert_allclose(x, wanted, atol=1e-12)
        np.testing.assert_allclose(image, A(x), atol=1e-12)
        assert warm == "kept"


@pytest.mark.parametrize("side", ["left", "right"])
def test_one_matrix_for_each_problem(side: str) -> None:
    m = random((3, 2, 4) if side == "right" else (3, 4, 2), "complex128")
    A = (RightMultiply if side == "right" else LeftMultiply)(m, 5)
    w, u = (
        random((3, *s), "complex128", i)
        for i, s in enumerate([A.in_shape, A.out_shape])
    )
    rho = np.array([0.1, 1.0, 10.0])
    x, image, _ = regularized_inverse(A).solve(w, u, rho)
    for i in range(3):
        one = type(A)(m[i], 5)
        wanted = brute_force(one, "complex128", w[i], u[i], rho[i])
        np.testing.assert_allclose(x[i], wanted, atol=1e-12)
        np.testing.assert_allclose(image[i], one(x[i]), atol=1e-12)


def test_complex_factor_and_zero_factor() -> None:
    a = ops.Dense(random((3, 4), "complex128"))
    w, u = random((4,), "complex128"), random((3,), "complex128", 1)
    A = (1 - 2j) * a
    x, image, _ = regularized_inverse(A).solve(w, u, 0.2)
    np.testing.assert_allclose(x, brute_force(A, "complex128", w, u, 0.2), atol=1e-12)
    np.testing.assert_allclose(image, A(x), atol=1e-12)
    np.testing.assert_allclose(regularized_inverse(0.0 * a).solve(w, u, 0.2)[0], w)


def test_rank_deficient_factor_in_single_precision_with_a_tiny_penalty() -> None:
    """The Gram matrix would lose this: rho is below its rounding error."""
    rng = np.random.default_rng(0)
    m = (rng.standard_normal((40, 2)) @ rng.standard_normal((2, 3))).astype("float32")
    A = LeftMultiply(m, 6)
    rho = 1e-8 * A.norm() ** 2
    w = rng.standard_normal(A.in_shape).astype("float32")
    u = rng.standard_normal(A.out_shape).astype("float32")
    x, _, _ = regularized_inverse(A).solve(w, u, rho)
    assert x.dtype == np.float32
    wanted = brute_force(A, "float32", w, u, rho)
    np.testing.assert_allclose(x, wanted, atol=1e-3 * np.abs(wanted).max())


def test_dense_eigenvalues_are_right_in_single_precision() -> None:
    """Eigenvalues of a single-precision Gram matrix would be off by more than rho."""
    q = np.linalg.qr(random((8, 8), "float64"))[0]
    s = np.array([1e3, 1, 1, 1, 1, 1, 1, 1])
    for shape in ((8, 8), (8, 12)):
        right = np.linalg.qr(random((12, 12), "float64", 1))[0][:8, : shape[1]]
        a = (q * s) @ np.linalg.qr(right.T)[0].T
        A = ops.Dense(a.astype("float32"))
        values = regularized_inverse(A).values
        true = np.linalg.svd(A.a.astype("float64"), compute_uv=False) ** 2
        np.testing.assert_allclose(np.sort(values), np.sort(true), rtol=1e-6)


def test_an_operator_of_ones_own_can_register_its_inverse() -> None:
    class Doubling(Operator):
        in_shape = out_shape = (3,)

        def forward(self, x: Any) -> Any:
            return 2 * x

        adjoint = forward

    A, w, u = Doubling(), np.ones(3), np.arange(3.0)
    assert ITERATIVE in regularized_inverse(A).method
    before = regularized_inverse(A, tol=1e-12).solve(w, u, 0.5)[0]

    @exact_inverse.register
    def _(A: Doubling) -> Any:
        same = lambda x: x  # noqa: E731
        return SingularForm(same, same, same, same, 2.0, 1, "halving")

    inverse = regularized_inverse(A)
    assert inverse.method == "halving"
    np.testing.assert_allclose(inverse.solve(w, u, 0.5)[0], before)
    np.testing.assert_allclose(regularized_inverse(A.H).solve(w, u, 0.5)[0], before)


# --- Conjugate gradients --------------------------------------------------------------


def spd(n: int, dtype: str, batch: tuple[int, ...] = ()) -> np.ndarray:
    a = random((*batch, n, n), dtype)
    return a @ np.swapaxes(a.conj(), -1, -2) + np.eye(n, dtype=dtype)


@pytest.mark.parametrize("library", cases.LIBRARIES)
@pytest.mark.parametrize("dtype", cases.REAL + cases.COMPLEX)
def test_cg_solves_every_problem_of_a_batch(dtype: str, library: str) -> None:
    if library.startswith("torch"):
        pytest.importorskip("torch")
    host = spd(6, dtype, (2, 3))
    a, b = to_device(host, library), to_device(random((2, 3, 6), dtype, 1), library)
    single = real_dtype(dtype) == np.float32
    x, n_iter = normal_cg(
        lambda x: (a @ x[..., None])[..., 0],
        b,
        b * 0,
        tol=1e-5 if single else 1e-12,
        n_axes=1,
    )
    wanted = np.linalg.solve(host.astype("complex128"), to_numpy(b)[..., None])[..., 0]
    np.testing.assert_allclose(to_numpy(x), wanted, atol=1e-3 if single else 1e-10)
    assert dtype_of(x) == np.dtype(dtype)
    assert isinstance(n_iter, int) and 0 < n_iter <= 12


def test_cg_stops_each_problem_by_itself() -> None:
    easy, hard = np.ones(50), np.linspace(1, 1e3, 50)
    diagonals, b = np.stack([easy, hard]), random((2, 50), "float64")

    def apply(x: Any) -> Any:
        return diagonals * x

    together, n_iter = normal_cg(apply, b, 0 * b, tol=1e-8, n_axes=1)
    alone, n_alone = normal_cg(lambda x: easy * x, b[0], 0 * b[0], tol=1e-8)
    assert n_alone == 1 < n_iter
    np.testing.assert_array_equal(together[0], alone)
    residual = np.linalg.norm(b - apply(together), axis=1)
    assert (residual <= 1.1e-8 * np.linalg.norm(b, axis=1)).all()


def test_cg_starts_warm_and_leaves_its_arguments_alone() -> None:
    a, b = spd(20, "float64"), random((20,), "float64", 1)
    x, cold = normal_cg(lambda x: a @ x, b, 0 * b, tol=1e-10)
    start = x + 1e-6 * random((20,), "float64", 2)
    kept = start.copy(), b.copy()
    again, warm = normal_cg(lambda x: a @ x, b, start, tol=1e-10)
    assert warm < cold
    np.testing.assert_allclose(again, x, atol=1e-8)
    np.testing.assert_array_equal(start, kept[0])
    np.testing.assert_array_equal(b, kept[1])
    assert normal_cg(lambda x: a @ x, b, x, tol=1e-9)[1] == 0

    A = ops.Gradient((8, 8))
    w, u = random((8, 8), "float64"), random(A.out_shape, "float64", 1)
    inverse = regularized_inverse(A, tol=1e-10)
    x, _, warm_start = inverse.solve(w, u, 0.1)
    calls = []
    A.gram = lambda x: calls.append(1) or Operator.gram(A, x)  # type: ignore[method-assign]
    inverse.solve(w, u, 0.1, warm_start)
    assert len(calls) == 1  # the residual of the start is all it needs


def test_cg_with_a_zero_right_hand_side_gives_zero() -> None:
    b = np.zeros((2, 4))
    b[1] = 1.0
    diagonal = np.arange(1.0, 5.0)
    x, _ = normal_cg(lambda x: diagonal * x, b, np.ones((2, 4)), tol=1e-12, n_axes=1)
    np.testing.assert_allclose(x, b / diagonal, atol=1e-12)
    assert not x[0].any()


@pytest.mark.parametrize("scale", [1e-25, 1e25])
def test_cg_in_single_precision_at_any_scale(scale: float) -> None:
    """Squares of these numbers are zero or infinite in single precision."""
    a, b = spd(8, "float32"), random((8,), "float32", 1)
    wanted = np.linalg.solve(a.astype("float64"), b)
    b = b * np.float32(scale)
    x, _ = normal_cg(lambda x: a @ x, b, 0 * b, tol=1e-6)
    assert x.dtype == np.float32
    np.testing.assert_allclose(x / np.float32(scale), wanted, atol=1e-3)


def test_cg_says_when_it_did_not_converge() -> None:
    diagonal = np.logspace(0, 8, 60)
    b = np.ones((2, 60))
    b[1] = 0
    with pytest.warns(ConvergenceWarning, match="after 5 iterations") as caught:
        x, _ = normal_cg(
            lambda x: diagonal * x, b, 0 * b, tol=1e-10, max_iter=5, n_axes=1
        )
    message = str(caught[0].message)
    assert "instead of 1e-10 in 1 of 2 problems" in message
    reported = float(message.split("residual of ")[1].split()[0])
    true = np.linalg.norm(b[0] - diagonal * x[0]) / np.linalg.norm(b[0])
    assert reported == pytest.approx(true, rel=0.1)
    assert caught[0].filename == __file__
    with pytest.warns(ConvergenceWarning):
        normal_cg(lambda x: -x, b, 0 * b, n_axes=1)  # not positive definite
    with pytest.warns(ConvergenceWarning):
        normal_cg(lambda x: x * np.nan, b[0], 0 * b[0])
    A = ops.Convolution(random((5,), "float64"), (200,), "zero")
    w, u = random((200,), "float64"), random((200,), "float64", 1)
    with pytest.warns(ConvergenceWarning):
        regularized_inverse(A, tol=1e-12, max_iter=2).solve(w, u, 1e-6)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        regularized_inverse(A, tol=1e-12).solve(w, u, 1e-6)
