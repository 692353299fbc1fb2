"""Bridges to and from PyLops, SciPy's linear operators, sparse and dense matrices."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable
from typing import Any

import numpy as np

from sparsesolve.backends import Array, Shape, conj, is_array, is_complex, real_dtype
from sparsesolve.operators.base import Operator
from sparsesolve.operators.blocks import BlockMap
from sparsesolve.operators.dense import Dense, on_parts


class Foreign(Operator):
    """An operator of another library, on NumPy arrays; made by `as_operator`.

    Parameters
    ----------
    name : str
        What to call it.
    matmat, rmatmat : callable
        Apply it, and its adjoint, to the columns of a matrix.
    in_shape, out_shape : tuple of int
        Natural shapes; the other library sees row-major vectors.
    dtype : numpy.dtype
        Of its entries. If real, complex arrays are given to it as two real ones.
    takes_real : bool
        It is linear in real arrays only: the unknown is real although `dtype` is not.
    """

    def __init__(
        self,
        name: str,
        matmat: Callable[[Any], Any],
        rmatmat: Callable[[Any], Any],
        *,
        in_shape: Shape,
        out_shape: Shape,
        dtype: np.dtype[Any],
        takes_real: bool = False,
    ) -> None:
        if dtype.kind not in "fc":
            raise TypeError(
                f"{name} has entries of {dtype}; wanted floating point, for instance "
                "its .astype('float64')"
            )
        self.name, self.matmat, self.rmatmat = name, matmat, rmatmat
        self.in_shape, self.out_shape = in_shape, out_shape
        self.in_dtype = real_dtype(dtype) if takes_real else dtype
        self.out_dtype, self.real_entries = dtype, dtype.kind == "f"
        self.host = np.empty(0)  # so that every operator that holds it is on "numpy"

    def forward(self, x: Array) -> Array:
        if self.real_entries and is_complex(x):
            return on_parts(self.forward, x)
        columns = x.reshape(-1, self.shape[1]).T.astype(self.in_dtype, copy=False)
        y = np.asarray(self.matmat(columns)).T.astype(self.out_dtype, copy=False)
        return y.reshape(*x.shape[: x.ndim - len(self.in_shape)], *self.out_shape)

    def adjoint(self, y: Array) -> Array:
        if self.real_entries and is_complex(y):
            return on_parts(self.adjoint, y)
        columns = y.reshape(-1, self.shape[0]).T.astype(self.out_dtype, copy=False)
        x = self._model(np.asarray(self.rmatmat(columns)).T)
        x = x.astype(self.in_dtype, copy=False)
        return x.reshape(*y.shape[: y.ndim - len(self.out_shape)], *self.in_shape)

    def to(self, device: str) -> Operator:
        if device not in ("numpy", "cpu"):
            raise TypeError(f"{self!r} works on NumPy arrays and cannot go to {device}")
        return self

    def __repr__(self) -> str:
        return f"{self.name} {self.in_shape} -> {self.out_shape}"


def as_operator(obj: Any) -> Operator | BlockMap:
    """Return `obj` as an operator.

    Parameters
    ----------
    obj : Operator, BlockMap, array, sparse matrix, or linear operator
        Ours come back as they are. A two-dimensional array becomes a `Dense`. SciPy's
        sparse matrices and linear operators, and PyLops operators, are wrapped: they
        work on NumPy arrays only, batches as columns of a matrix. A PyLops operator's
        `dims` and `dimsd` become the natural shapes; if its `clinear` is false, the
        unknown is real. A matrix maps vectors: for an image compose it with
        ``Reshape(image_shape, (n,))``.

    Returns
    -------
    Operator or BlockMap

    Raises
    ------
    TypeError
        `obj` is something else, or has integer entries.
    """
    if isinstance(obj, (Operator, BlockMap)):
        return obj
    if is_array(obj):
        return Dense(obj)
    name = type(obj).__name__
    modules = {base.__module__.split(".", 1)[0] for base in type(obj).__mro__}
    if "scipy" in modules and hasattr(obj, "tocsr"):
        return Foreign(
            name,
            lambda x: obj @ x,
            lambda y: conj(obj.T @ conj(y)),
            in_shape=(obj.shape[1],),
            out_shape=(obj.shape[0],),
            dtype=obj.dtype,
        )
    if "pylops" in modules:
        return Foreign(
            f"pylops.{name}",
            obj.matmat,
            obj.rmatmat,
            in_shape=tuple(int(n) for n in obj.dims),
            out_shape=tuple(int(n) for n in obj.dimsd),
            dtype=np.dtype(obj.dtype),
            takes_real=not obj.clinear,
        )
    if "scipy" in modules and hasattr(obj, "rmatmat"):
        return Foreign(
            name,
            obj.matmat,
            obj.rmatmat,
            in_shape=(obj.shape[1],),
            out_shape=(obj.shape[0],),
            dtype=np.dtype(obj.dtype),
        )
    raise TypeError(
        f"cannot make an operator of a {name}; wanted an Operator, a 2-D array, a "
        "SciPy sparse matrix or LinearOperator, or a PyLops operator; a class of your "
        "own is to subclass sparsesolve.operators.Operator"
    )


def to_scipy(A: Operator) -> Any:
    """Return a ``scipy.sparse.linalg.LinearOperator`` on flat row-major vectors.

    Vectors are converted to the precision of `A`, float64 if it takes any.

    Raises
    ------
    TypeError
        `A` is not on NumPy arrays.
    """
    if A.device not in (None, "numpy"):
        raise TypeError(f"{A!r} is on {A.device}; move it first, with .to('numpy')")
    from scipy.sparse.linalg import LinearOperator

    dtype = A.out_dtype or np.dtype("float64")
    real, full = real_dtype(dtype), np.result_type(real_dtype(dtype), np.complex64)

    def flat(apply: Callable[[Any], Any], shape: Shape) -> Callable[[Any], Any]:
        def columns(x: Any) -> Any:
            kind = full if np.iscomplexobj(x) else real
            batch = np.asarray(x, kind).reshape(x.shape[0], -1).T
            y = apply(np.ascontiguousarray(batch).reshape(-1, *shape))
            return y.reshape(batch.shape[0], -1).T.reshape(-1, *x.shape[1:])

        return columns

    def forward(x: Any) -> Any:
        A.check_input(x)
        return A.forward(x)

    apply, back = flat(forward, A.in_shape), flat(A.adjoint, A.out_shape)
    return LinearOperator(
        A.shape, matvec=apply, rmatvec=back, matmat=apply, rmatmat=back, dtype=dtype
    )


def to_pylops(A: Operator) -> Any:
    """Return a ``pylops.LinearOperator`` with ``dims = A.in_shape``.

    Raises
    ------
    TypeError
        `A` is not on NumPy arrays.
    """
    pylops = _import_pylops()
    return pylops.LinearOperator(
        Op=to_scipy(A),
        dims=A.in_shape,
        dimsd=A.out_shape,
        clinear=not A.takes_real,
        name=type(A).__name__,
    )


def _import_pylops() -> Any:
    # PyLops fails to import where cupy is installed and finds no driver.
    if importlib.util.find_spec("cupy") is not None:
        cupy = importlib.import_module("cupy")
        if not cupy.cuda.is_available():
            os.environ.setdefault("CUPY_PYLOPS", "0")
    return importlib.import_module("pylops")
