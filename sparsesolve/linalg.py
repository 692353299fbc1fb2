"""Regularised least squares by the structure of the operator.

The minimiser of ‖Ax − u‖² + rho ‖x − w‖² is the inner step of ADMM and of alternating
methods. `regularized_inverse` finds the cheapest way to it: exactly where the operator
has singular vectors that are cheap to apply, or a Gram matrix that repays its cost;
else by warm-started conjugate gradients.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce, singledispatch
from typing import Any, Protocol

import numpy as np

from sparsesolve.backends import (
    Array,
    abs_squared,
    array_namespace,
    conj,
    device_of,
    dtype_of,
    is_complex,
    native_dtype,
    real_dtype,
    to_device,
)
from sparsesolve.conjugate_gradients import (
    ConvergenceWarning,
    NormalEquations,
    normal_cg,
    per_entry,
)
from sparsesolve.gram_inverse import GramInverse, data_gram
from sparsesolve.near_field_gram import near_field_gram
from sparsesolve.operators.base import Adjoint, Operator, Scaled
from sparsesolve.operators.blocks import LeftMultiply, RightMultiply
from sparsesolve.operators.dense import Dense
from sparsesolve.operators.diagonal import Diagonal, Identity
from sparsesolve.operators.fourier import Convolution, Fourier
from sparsesolve.operators.kronecker import Kronecker
from sparsesolve.operators.mask import Mask
from sparsesolve.singular_form import SingularForm

__all__ = [
    "METHODS",
    "ConvergenceWarning",
    "GramInverse",
    "RegularizedInverse",
    "SingularForm",
    "data_gram",
    "exact_inverse",
    "near_field_gram",
    "normal_cg",
    "regularized_inverse",
]

METHODS = "auto", "exact", "cg"


class RegularizedInverse(Protocol):
    """What `regularized_inverse` returns.

    Attributes
    ----------
    method : str
        How it solves, in words.
    """

    @property
    def method(self) -> str: ...

    def solve(
        self, w: Array, u: Array, rho: Any, warm: Any = None
    ) -> tuple[Array, Array, Any]:
        """Return ``(x, Ax, warm)``, x the minimiser of ‖Ax − u‖² + rho ‖x − w‖².

        Parameters
        ----------
        w : (*batch, *A.in_shape) array
        u : (*batch, *A.out_shape) array
        rho : float or array of batch shape, > 0
            Below about ‖A‖² times the rounding error of the arrays' precision, what
            it adds is lost in rounding.
        warm : optional
            What the last call returned; not changed.
        """
        ...


def regularized_inverse(
    A: Operator,
    *,
    method: str = "auto",
    n_solves: int = 100,
    tol: float = 1e-6,
    max_iter: int = 500,
) -> RegularizedInverse:
    """Return an object that minimises ‖Ax − u‖² + rho ‖x − w‖² for any w, u, rho.

    Parameters
    ----------
    A : Operator
    method : "auto", "exact" or "cg"
        "exact" is what `exact_inverse` knows for the operator's type, its set-up paid
        here. "auto" takes it, too, but conjugate gradients ("cg") where the set-up is
        that of a `GramInverse` and they are predicted to be faster, or where its
        memory is not there. The prediction looks at sizes, not at a clock or at what
        is in the cache, so that a resumed solve makes the same choice.
    n_solves : int
        Solves that "auto" expects; 100 is a usual run of ADMM.
    tol : float
        Relative residual of the conjugate gradients.
    max_iter : int
        Their largest number of iterations in one solve; a `ConvergenceWarning` says
        when it was not enough.

    Returns
    -------
    RegularizedInverse
        With `method`, what was chosen and why, and
        ``solve(w, u, rho, warm) -> (x, Ax, warm)``.

    Raises
    ------
    ValueError
        The method is unknown.
    TypeError
        "exact" for an operator that has no exact inverse.
    MemoryError
        "exact" would not fit.
    """
    if method not in METHODS:
        raise ValueError(f"method is {method!r}; wanted one of {', '.join(METHODS)}")
    exact = None if method == "cg" else exact_inverse(A)
    if exact is None and method == "exact":
        raise TypeError(
            f"no exact inverse is known for {A!r}; take method 'auto' or 'cg'"
        )
    if exact is None:
        return NormalEquations(A, tol, max_iter)
    form: Any = exact
    while isinstance(form, _ScaledInverse):
        form = form.inner
    if not isinstance(form, GramInverse):
        return exact
    why = form.drawback(n_solves) if method == "auto" else ""
    if why:
        return NormalEquations(A, tol, max_iter, why)
    form.set_up()
    return exact


@singledispatch
def exact_inverse(A: Operator) -> RegularizedInverse | None:
    """Return an exact `RegularizedInverse` of `A`, or None if none is cheap.

    That of an operator with a `data_gram` is a `GramInverse`. Register a function for
    the type of an operator of your own to teach it another.
    """
    gram = data_gram(A)
    return None if gram is None else GramInverse(A, gram)


def _same(x: Array) -> Array:
    return x


@exact_inverse.register(Fourier)
@exact_inverse.register(Identity)
@exact_inverse.register(Mask)
def _orthonormal_rows(A: Operator) -> RegularizedInverse:
    method = f"closed form of {type(A).__name__}"
    return SingularForm(
        A.forward, A.adjoint, _same, _same, 1.0, len(A.out_shape), method
    )


@exact_inverse.register
def _(A: Diagonal) -> RegularizedInverse:
    method = "closed form of Diagonal"
    return SingularForm(_same, _same, _same, _same, A.d, A.d.ndim, method)


@exact_inverse.register
def _(A: Convolution) -> RegularizedInverse | None:
    if A.boundary != "periodic":
        return None
    return SingularForm(
        A.spectrum,
        A.image,
        A.spectrum,
        A.image,
        A.transfer,
        len(A.in_shape),
        "division in the Fourier domain",
        real=not is_complex(A.kernel),
    )


@exact_inverse.register
def _(A: Kronecker) -> RegularizedInverse:
    left, values, right = zip(*(_svd(a) for a in A.factors), strict=True)
    U, V = Kronecker(*left), Kronecker(*right)
    n = len(values)
    xp = array_namespace(*values)
    shaped = (
        xp.reshape(s, (1,) * k + (-1,) + (1,) * (n - 1 - k))
        for k, s in enumerate(values)
    )
    d = reduce(lambda a, b: a * b, shaped)
    sizes = " and ".join(f"{a.shape[0]} x {a.shape[1]}" for a in A.factors)
    method = f"singular value decompositions of the factors, {sizes}"
    return SingularForm(V.adjoint, V.forward, U.adjoint, U.forward, d, n, method)


@exact_inverse.register
def _(A: LeftMultiply) -> RegularizedInverse | None:
    v, s, u = _sides(_adjoint_matrix(A.m))
    V = LeftMultiply(v, A.in_shape[1])
    U = None if u is None else LeftMultiply(u, A.in_shape[1])
    to_data, from_data = (_same, _same) if U is None else (U.adjoint, U.forward)
    d = s[..., :, None]
    return SingularForm(V.adjoint, V.forward, to_data, from_data, d, 2, _how(A.m, u))


@exact_inverse.register
def _(A: RightMultiply) -> RegularizedInverse | None:
    u, s, v = _sides(A.m)
    U = RightMultiply(u, A.in_shape[0])
    V = None if v is None else RightMultiply(v, A.in_shape[0])
    to_data, from_data = (_same, _same) if V is None else (V.forward, V.adjoint)
    d = s[..., None, :]
    return SingularForm(U.forward, U.adjoint, to_data, from_data, d, 2, _how(A.m, v))


def _sides(m: Array) -> tuple[Array, Array, Array | None]:
    """Singular value decomposition of X ↦ X m; V is None where it is the identity.

    That is so where the columns of m are orthogonal, as in a problem whose data were
    reduced to its singular vectors: half of the products are saved.
    """
    xp = array_namespace(m)
    wide = _double(m)
    lengths = xp.sqrt(xp.sum(abs_squared(wide), axis=-2))
    if bool(xp.all(lengths > 0)):
        u = wide / lengths[..., None, :]
        cosines = xp.matmul(_adjoint_matrix(u), u)
        eye = xp.eye(m.shape[-1], dtype=cosines.dtype)
        rounding = 8 * m.shape[-2] ** 0.5 * float(xp.finfo(m.dtype).eps)
        if bool(xp.all(xp.abs(cosines - to_device(eye, device_of(m))) < rounding)):
            return _precision_of(m, u), _precision_of(m, lengths), None
    return _svd(m)


def _how(m: Array, data_side: Array | None) -> str:
    if data_side is None:
        return f"orthogonal vectors of the {_size(m)} factor"
    return f"singular value decomposition of the {_size(m)} factor"


class _DenseInverse:
    """One eigendecomposition of the smaller Gram matrix, then free in rho.

    With AAᴴ = Q diag(s) Qᴴ: z = Q (s + rho)⁻¹ Qᴴ (u − Aw), x = w + Aᴴz and
    Ax = u − rho z. With AᴴA = Q diag(s) Qᴴ: x = Q (s + rho)⁻¹ Qᴴ (Aᴴu + rho w).
    """

    def __init__(self, A: Dense) -> None:
        xp = array_namespace(A.a)
        m, n = A.shape
        self.A, self.wide = A, m < n
        # In single precision the small eigenvalues would be all rounding error.
        a = _double(A.a)
        h = _adjoint_matrix(a)
        values, vectors = _eigh(xp.matmul(a, h) if self.wide else xp.matmul(h, a))
        values = xp.where(values > 0, values, xp.zeros_like(values))
        self.values = _precision_of(A.a, values)
        self.basis = Dense(_precision_of(A.a, vectors))
        self.method = (
            f"eigendecomposition of the {min(m, n)} x {min(m, n)} Gram matrix of {A!r}"
        )

    def solve(
        self, w: Array, u: Array, rho: Any, warm: Any = None
    ) -> tuple[Array, Array, Any]:
        A, Q = self.A, self.basis
        rho = per_entry(rho, w, 1)
        if self.wide:
            z = Q.forward(Q.adjoint(u - A.forward(w)) / (self.values + rho))
            return w + A.adjoint(z), u - rho * z, warm
        x = Q.forward(Q.adjoint(A.adjoint(u) + rho * w) / (self.values + rho))
        return x, A.forward(x), warm


exact_inverse.register(Dense)(_DenseInverse)


@exact_inverse.register
def _(A: Adjoint) -> RegularizedInverse | None:
    if isinstance(A.inner, Dense):
        return _DenseInverse(Dense(_adjoint_matrix(A.inner.a)))
    if isinstance(A.inner, Scaled):
        return exact_inverse(Scaled(A.inner.factor.conjugate(), A.inner.inner.H))
    form = exact_inverse(A.inner)
    return form.adjoint() if isinstance(form, SingularForm) else None


@dataclass(frozen=True)
class _ScaledInverse:
    """‖cAx − u‖² + rho ‖x − w‖² is |c|² times that of u/c and rho/|c|²."""

    factor: complex
    inner: RegularizedInverse

    @property
    def method(self) -> str:
        return self.inner.method

    def solve(
        self, w: Array, u: Array, rho: Any, warm: Any = None
    ) -> tuple[Array, Array, Any]:
        rho = rho / abs(self.factor) ** 2
        x, image, warm = self.inner.solve(w, u / self.factor, rho, warm)
        return x, image * self.factor, warm


@exact_inverse.register
def _(A: Scaled) -> RegularizedInverse | None:
    form = exact_inverse(A.inner)
    return _ScaledInverse(A.factor, form) if form is not None and A.factor else None


def _svd(a: Array) -> tuple[Array, Array, Array]:
    """Thin ``U, s, V`` with a = U diag(s) Vᴴ, computed in double precision."""
    u, s, vh = array_namespace(a).linalg.svd(_double(a), full_matrices=False)
    v = _adjoint_matrix(vh)
    return _precision_of(a, u), _precision_of(a, s), _precision_of(a, v)


def _eigh(a: Array) -> tuple[Array, Array]:
    if not isinstance(a, np.ndarray):
        values, vectors = array_namespace(a).linalg.eigh(a)
        return values, vectors
    import scipy.linalg

    values, vectors = scipy.linalg.eigh(a, overwrite_a=True, driver="evd")
    return values, vectors


def _adjoint_matrix(a: Array) -> Array:
    return array_namespace(a).matrix_transpose(conj(a))


def _double(a: Array) -> Array:
    xp = array_namespace(a)
    return xp.astype(a, xp.complex128 if is_complex(a) else xp.float64, copy=False)


def _precision_of(a: Array, x: Array) -> Array:
    """Cast `x` to the precision of `a`, real or complex as it is."""
    xp, dtype = array_namespace(x), real_dtype(dtype_of(a))
    if is_complex(x):
        dtype = np.result_type(dtype, np.complex64)
    return xp.astype(x, native_dtype(xp, dtype), copy=False)


def _size(a: Array) -> str:
    return f"{a.shape[-2]} x {a.shape[-1]}"
