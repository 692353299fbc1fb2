"""The laws every operator keeps, over the table of instances."""

import math
from typing import Any

import cases
import numpy as np
import pytest

import sparsesolve as ss
from sparsesolve.backends import device_of, dtype_of, real_dtype, to_device, to_numpy
from sparsesolve.operators.adjoint_test import adjoint_mismatch


def _instances(*, libraries: tuple[str, ...] = cases.LIBRARIES) -> Any:
    rows = [
        pytest.param(name, dtype, library, id=f"{name}-{dtype}-{library}")
        for name, case in cases.OPERATORS.items()
        for dtype in case.dtypes
        for library in case.libraries
        if library in libraries
    ]
    return pytest.mark.parametrize(("name", "dtype", "library"), rows)


every_instance = _instances()
numpy_instance = _instances(libraries=("numpy",))


def make(name: str, dtype: str, library: str) -> Any:
    if library.startswith("torch"):
        pytest.importorskip("torch")
    A = cases.OPERATORS[name].make(dtype)
    return A if library == "numpy" else A.to(library)


def data_dtype(A: Any, dtype: str) -> str:
    return str(dtype if A.out_dtype is None else A.out_dtype)


def tol(dtype: str) -> float:
    return 200 * float(np.finfo(dtype).eps)


def near(found: Any, wanted: Any, dtype: str) -> None:
    """Agree to rounding, relative to the largest entry."""
    found, wanted = to_numpy(found), to_numpy(wanted)
    assert found.shape == wanted.shape
    scale = max(float(np.abs(wanted).max(initial=0.0)), 1.0)
    assert np.abs(found - wanted).max(initial=0.0) <= tol(dtype) * scale


def matrix(A: Any, dtype: str) -> np.ndarray:
    """The dense matrix, column by column from unit vectors."""
    m, n = A.shape
    units = to_device(
        np.eye(n, dtype=dtype).reshape(n, *A.in_shape), A.device or "numpy"
    )
    return to_numpy(A.forward(units)).reshape(n, m).T


@every_instance
def test_adjoint(name: str, dtype: str, library: str) -> None:
    A = make(name, dtype, library)
    assert adjoint_mismatch(A) <= tol(dtype)
    assert adjoint_mismatch(A.H, seed=1) <= tol(dtype)
    assert A.H.H is A


@every_instance
def test_keeps_shape_dtype_library_and_input(
    name: str, dtype: str, library: str
) -> None:
    A = make(name, dtype, library)
    for operator, kind, gives in (
        (A, dtype, data_dtype(A, dtype)),
        (A.H, data_dtype(A, dtype), dtype),
    ):
        for batch in ((), (2,), (3, 2)):
            host = cases.random((*batch, *operator.in_shape), kind)
            x = to_device(host.copy(), library)
            y = operator(x)
            assert tuple(y.shape) == (*batch, *operator.out_shape)
            assert dtype_of(y) == np.dtype(gives)
            assert device_of(y) == library
            assert np.array_equal(to_numpy(x), host)


@every_instance
def test_linear_and_batch_is_loop(name: str, dtype: str, library: str) -> None:
    A = make(name, dtype, library)
    for operator, kind in ((A, dtype), (A.H, data_dtype(A, dtype))):
        host = cases.random((3, 2, *operator.in_shape), kind)
        image = to_numpy(operator.forward(to_device(host, library)))
        for i, j in np.ndindex(3, 2):
            one = operator.forward(to_device(host[i, j], library))
            near(one, image[i, j], dtype)
        combined = operator.forward(to_device(3 * host[0] - host[1], library))
        near(combined, 3 * image[0] - image[1], dtype)


@every_instance
def test_gram_and_norm(name: str, dtype: str, library: str) -> None:
    A = make(name, dtype, library)
    x = to_device(cases.random((2, *A.in_shape), dtype), library)
    wanted = A.adjoint(A.forward(x))
    near(A.gram(x), wanted, dtype)
    dense = matrix(A, dtype)
    if A.takes_real:
        dense = np.concatenate([dense.real, dense.imag])
    true = np.linalg.norm(dense.astype(np.result_type(dense, np.float64)), 2)
    assert (1 - tol(dtype)) * true <= A.norm() <= 1.03 * true
    assert A.H.norm() == A.norm()
    assert isinstance(A.norm(), float)


@every_instance
def test_matmul_natural_flat_and_columns(name: str, dtype: str, library: str) -> None:
    A = make(name, dtype, library)
    n, dense = A.shape[1], matrix(A, dtype)
    x = cases.random(A.in_shape, dtype)
    natural = A @ to_device(x, library)
    assert tuple(natural.shape) == A.out_shape
    near(natural, (dense @ x.reshape(-1)).reshape(A.out_shape), dtype)
    near(A @ to_device(x.reshape(-1), library), dense @ x.reshape(-1), dtype)
    columns = cases.random((n, n + 1), dtype)
    near(A @ to_device(columns, library), dense @ columns, dtype)


@every_instance
def test_real_operator_acts_on_parts(name: str, dtype: str, library: str) -> None:
    A = make(name, dtype, library)
    if A.takes_real or (A.out_dtype is not None and A.out_dtype.kind == "c"):
        return
    kind = cases.complex_of(dtype)
    for operator in (A, A.H):
        z = cases.random((2, *operator.in_shape), kind)
        real = operator(to_device(z.real.astype(real_dtype(kind)), library))
        imag = operator(to_device(z.imag.astype(real_dtype(kind)), library))
        found = operator(to_device(z, library))
        assert dtype_of(found) == np.dtype(kind)
        near(found, to_numpy(real) + 1j * to_numpy(imag), dtype)


@every_instance
def test_algebra_is_dense_algebra(name: str, dtype: str, library: str) -> None:
    A = make(name, dtype, library)
    dense = matrix(A, dtype)

    def same(B: Any, wanted: np.ndarray) -> None:
        assert B.shape == wanted.shape
        near(matrix(B, dtype), wanted, dtype)
        assert adjoint_mismatch(B) <= tol(dtype)

    same(A + A, 2 * dense)
    same(A - 3.0 * A, -2 * dense)
    same(-A, -dense)
    same(np.float64(0.5) * A, 0.5 * dense)
    if np.dtype(dtype).kind == "c":
        same((1 - 2j) * A, (1 - 2j) * dense)
    gram = A.H @ A
    adjoint = dense.conj().T
    same(gram, (adjoint @ dense).real if A.takes_real else adjoint @ dense)
    same(ss.operators.vstack(A, A, A), np.concatenate([dense] * 3))
    same(ss.operators.hstack(A, A), np.concatenate([dense] * 2, axis=1))
    zero = np.zeros_like(dense)
    same(ss.operators.block_diag(A, A), np.block([[dense, zero], [zero, dense]]))
    if A.takes_real:
        return
    small = cases.random((2, 3), dtype)
    D = ss.operators.Dense(to_device(small, library))
    same(ss.operators.kron(D, A), np.kron(small, dense))
    same(ss.operators.kron(A, D), np.kron(dense, small))


@numpy_instance
def test_bridges_round_trip(name: str, dtype: str, library: str) -> None:
    A = make(name, dtype, library)
    if A.in_dtype is None and real_dtype(dtype) == np.float32:
        return  # the bridges of an operator of any precision are double
    dense = matrix(A, dtype)
    x, y = (
        cases.random((math.prod(shape),), kind)
        for shape, kind in (
            (A.in_shape, dtype),
            (A.out_shape, data_dtype(A, dtype)),
        )
    )
    back = dense.conj().T @ y
    for foreign in (A.to_scipy(), A.to_pylops()):
        assert foreign.shape == dense.shape
        near(foreign.matvec(x), dense @ x, dtype)
        near(foreign.rmatvec(y), back.real if A.takes_real else back, dtype)
        near(
            foreign.matmat(np.stack([x, 2 * x], 1)),
            dense @ np.stack([x, 2 * x], 1),
            dtype,
        )
    again = ss.operators.as_operator(A.to_pylops())
    assert (again.in_shape, again.out_shape) == (A.in_shape, A.out_shape)
    assert again.takes_real == A.takes_real
    natural = x.reshape(A.in_shape)
    near(again(natural), A(natural), dtype)
    assert adjoint_mismatch(again) <= tol(dtype)


@every_instance
def test_wrong_input_is_refused(name: str, dtype: str, library: str) -> None:
    A = make(name, dtype, library)
    for operator, kind in ((A, dtype), (A.H, data_dtype(A, dtype))):
        shape = operator.in_shape
        longer = cases.random((*shape[:-1], shape[-1] + 1), kind)
        with pytest.raises(ValueError, match="wanted"):
            operator(to_device(longer, library))
        if len(set(shape)) > 1:
            turned = cases.random(shape[::-1], kind)
            if turned.shape != shape:
                with pytest.raises(ValueError, match="are the axes swapped"):
                    operator(to_device(turned, library))
        with pytest.raises(TypeError, match="floating point"):
            operator(to_device(np.ones(shape, dtype="int64"), library))
    if A.in_dtype is not None:
        other = {"4": "float64", "8": "float32"}[str(real_dtype(dtype).itemsize)]
        with pytest.raises(TypeError, match="convert one of the two"):
            A(to_device(np.ones(A.in_shape, dtype=other), library))
    if A.takes_real:
        with pytest.raises(TypeError, match="takes a real unknown"):
            A(to_device(np.ones(A.in_shape, cases.complex_of(dtype)), library))


@every_instance
def test_device_is_checked_and_changed(name: str, dtype: str, library: str) -> None:
    A = make(name, dtype, library)
    x = cases.random(A.in_shape, dtype)
    if A.device is None:
        return
    assert A.device == library
    elsewhere = "array_api_strict" if library == "numpy" else "numpy"
    with pytest.raises(TypeError, match="move one of the two"):
        A(to_device(x, elsewhere))
    if elsewhere in cases.OPERATORS[name].libraries:
        A.norm()
        moved = A.to(elsewhere)
        assert (moved.device, A.device) == (elsewhere, library)
        near(moved(to_device(x, elsewhere)), A(to_device(x, library)), dtype)
