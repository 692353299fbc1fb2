"""Regularised least squares in the domain of the data, by the matrix AAᴴ.

With fewer data than unknowns the minimiser of ‖Ax − u‖² + rho ‖x − w‖² needs a system
of the size of the data only. An operator that can form its AAᴴ says so by `data_gram`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import singledispatch
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np

from sparsesolve import gram_cache, memory
from sparsesolve.backends import (
    Array,
    array_namespace,
    conj,
    device_of,
    dtype_of,
    is_array,
    real_dtype,
    to_device,
    to_numpy,
)
from sparsesolve.gram_parts import DataPart
from sparsesolve.operators.base import Operator

# One core's rate in single precision, of matrix products as of the near-field kernels
# (35 to 70 GFLOP/s measured). A constant and not the clock: a resumed solve must choose
# as the first one did.
_SINGLE_RATE = 5e10
# Steps of a solve to a relative residual of 1e-6, warm-started in ADMM on the reference
# radar: 19 to 39 measured.
_CG_STEPS = 25
# ADMM changes rho after iterations 5, 10, 20, 40, 80.
_FACTORS = 6
# What is formed within a second is not worth a file.
_KEPT_FROM_SECONDS = 1.0

Factor = tuple[Callable[[Array], Array], float]


@dataclass(frozen=True)
class DataGram:
    """How an operator forms G = AAᴴ, and what that costs.

    Parameters
    ----------
    size : int
        Rows of G: valid data of one problem.
    dtype : numpy.dtype
        Of G.
    form : callable
        ``form()`` returns G, (size, size), on the operator's device; only its lower
        triangle is read. With `parts`, a tuple of one such matrix for each.
    operations, application : float
        Predicted real operations to form G, and to apply A and Aᴴ once.
    needed_bytes : int
        Memory of G and of the work to form it.
    key : str
        Hash of all that determines G, its dtype and device included.
    parts : tuple of DataPart, optional
        Combinations of the data that G does not mix, where there are such, or where
        some data take no part: A x is always zero there, and G has no such rows.
    """

    size: int
    dtype: np.dtype[Any]
    form: Callable[[], Array]
    operations: float
    application: float
    needed_bytes: int
    key: str
    parts: tuple[DataPart, ...] = ()

    @property
    def sizes(self) -> tuple[int, ...]:
        """Orders of the matrices."""
        return tuple(part.size for part in self.parts) or (self.size,)

    @property
    def rate(self) -> float:
        """Operations a second that the predictions assume."""
        single = self.dtype in (np.float32, np.complex64)
        return _SINGLE_RATE if single else _SINGLE_RATE / 2

    @property
    def seconds(self) -> float:
        """Predicted time to form G."""
        return self.operations / self.rate

    @property
    def set_up_seconds(self) -> float:
        """Predicted time to form G and the Cholesky factors of one run of ADMM."""
        cubes = sum(m**3 for m in self.sizes)
        return self.seconds + _FACTORS * 4 / 3 * cubes / self.rate

    @property
    def exact_seconds(self) -> float:
        """Predicted time of one exact solve."""
        return (self.application + 8 * sum(m**2 for m in self.sizes)) / self.rate

    @property
    def cg_seconds(self) -> float:
        """Predicted time of one solve by conjugate gradients."""
        return _CG_STEPS * self.application / self.rate

    @property
    def break_even(self) -> int:
        """Solves from which on the set-up is repaid."""
        return math.ceil(self.set_up_seconds / (self.cg_seconds - self.exact_seconds))


@singledispatch
def data_gram(A: Operator) -> DataGram | None:
    """Return how `A` forms AAᴴ; None if it cannot, or has as many data as unknowns.

    Register a function for the type of an operator of your own to teach it.
    """
    return None


# Solves that share an operator, as those of a path do, share its G.
_FORMED: WeakKeyDictionary[Operator, tuple[Array, ...]] = WeakKeyDictionary()


class GramInverse:
    """z = (G + rho I)⁻¹ (u − Aw), x = w + Aᴴz and Ax = u − rho z, with G = AAᴴ.

    G is formed once for an operator. A new rho costs a Cholesky factor; a solve, one
    application of A and one of Aᴴ. An eigendecomposition of G would serve every rho
    but takes as long as 34 factors or more (measured at 1560 data), and ADMM
    changes rho some five times.

    Where rho is lost in the rounding errors of G, so that there is no factor, the
    smallest of a few larger ones takes its place.

    Parameters
    ----------
    A : Operator
    gram : DataGram
        Nothing is computed before `set_up` or the first `solve`.
    """

    def __init__(self, A: Operator, gram: DataGram) -> None:
        self.A, self.gram = A, gram
        self._in_no_part = _in_no_part(gram.parts)
        self._factors: dict[float, tuple[Factor, ...]] = {}
        self.method = _in_words(gram)

    @property
    def needed_bytes(self) -> int:
        """Predicted memory of G, one factor, and the work to form them."""
        squares = sum(m**2 for m in self.gram.sizes)
        return self.gram.needed_bytes + self.gram.dtype.itemsize * squares

    def drawback(self, n_solves: int) -> str:
        """Say why conjugate gradients are better for so many solves; "" if exact is.

        Depends on sizes alone, and on the memory there is.
        """
        gram, available = self.gram, memory.available_bytes()
        exact = gram.set_up_seconds + n_solves * gram.exact_seconds
        iterative = n_solves * gram.cg_seconds
        size = f"{self.needed_bytes / 2**30:.2g} GiB"
        if self.needed_bytes > available:
            return f" (exact would take {size}, {available / 2**30:.2g} are available)"
        if exact <= iterative:
            return ""
        return (
            f" (predicted {iterative:.2g} s for {n_solves} solves; exact would take "
            f"{gram.set_up_seconds:.2g} s to set up, {size})"
        )

    def set_up(self) -> None:
        """Form G, or read it from the cache.

        Raises
        ------
        MemoryError
            It would not fit.
        """
        if self.A in _FORMED:
            return
        memory.enough(
            f"AAᴴ of {self.A!r}", self.needed_bytes, "take conjugate gradients"
        )
        gram = self.gram
        kept = _kept(gram)
        if kept is not None:
            device = self.A.device or "numpy"
            _FORMED[self.A] = tuple(to_device(matrix, device) for matrix in kept)
            return
        found = gram.form()
        _FORMED[self.A] = found if gram.parts else (found,)
        # parts that are kept together: some of them would be of no use
        together = sum(m**2 for m in gram.sizes) * gram.dtype.itemsize
        if gram.seconds >= _KEPT_FROM_SECONDS and together <= gram_cache.LIMIT:
            for key, matrix in zip(_keys(gram), _FORMED[self.A], strict=True):
                gram_cache.write(key, to_numpy(matrix))

    def solve(
        self, w: Array, u: Array, rho: Any, warm: Any = None
    ) -> tuple[Array, Array, Any]:
        A, n = self.A, len(self.A.out_shape)
        xp = array_namespace(w, u)
        misfit = u - A.forward(w)
        batch = misfit.shape[: misfit.ndim - n]
        rows = xp.reshape(misfit, (math.prod(batch), A.shape[0]))
        given = to_numpy(rho) if is_array(rho) else rho
        penalties = np.broadcast_to(given, batch).astype(float).reshape(-1).tolist()
        self._factors = {value: self._factor(value) for value in penalties}
        chosen = [self._factors[value] for value in penalties]
        z, scaled = self._solved(rows, chosen)
        image = u - xp.reshape(scaled, misfit.shape)
        if self._in_no_part is not None:
            unused = to_device(self._in_no_part, device_of(z))
            unused = xp.reshape(unused, A.out_shape)
            image = xp.where(unused, xp.zeros_like(image), image)
        return w + A.adjoint(xp.reshape(z, misfit.shape)), image, warm

    def _solved(
        self, rows: Array, chosen: list[tuple[Factor, ...]]
    ) -> tuple[Array, Array]:
        """Return z = (G + rho I)⁻¹ rows and rho z, with the rho that was used."""
        parts = self.gram.parts or (None,)
        solved, scaled = [], []
        for k, part in enumerate(parts):
            mine = rows if part is None else part.combined(rows, -1)
            z, product = _each(mine, [factors[k] for factors in chosen])
            if part is not None:
                z, product = map(part.spread, (z, product))
            solved.append(z)
            scaled.append(product)
        return sum(solved[1:], start=solved[0]), sum(scaled[1:], start=scaled[0])

    def _factor(self, rho: float) -> tuple[Factor, ...]:
        if rho in self._factors:
            return self._factors[rho]
        self.set_up()
        return tuple(
            _cholesky(G, rho) if isinstance(G, np.ndarray) else _inverted(G, rho)
            for G in _FORMED[self.A]
        )


def _each(rows: Array, factors: list[Factor]) -> tuple[Array, Array]:
    """Return (G + rho I)⁻¹ r for each row r by its own factor, and rho times that."""
    xp = array_namespace(rows)
    z = xp.stack([inverse(rows[i, :]) for i, (inverse, _) in enumerate(factors)])
    used = np.array([rho for _, rho in factors]).astype(real_dtype(dtype_of(z)))
    return z, to_device(used[:, None], device_of(z)) * z


def _in_no_part(parts: tuple[DataPart, ...]) -> np.ndarray[Any, Any] | None:
    """Return where A x is always zero; None for nowhere."""
    if not parts:
        return None
    unused = np.ones(parts[0].n_data, bool)
    for part in parts:
        unused[part.members] = False
    return unused if unused.any() else None


def _keys(gram: DataGram) -> list[str]:
    n = len(gram.sizes)
    return [gram.key] if n == 1 else [f"{gram.key}-{i}" for i in range(n)]


def _kept(gram: DataGram) -> list[Array] | None:
    """Return the matrices that are in the cache; None unless all are."""
    found = []
    for key, size in zip(_keys(gram), gram.sizes, strict=True):
        matrix = gram_cache.read(key, size, gram.dtype)
        if matrix is None:
            return None
        found.append(matrix)
    return found


def _cholesky(G: np.ndarray[Any, Any], rho: float) -> Factor:
    """Return r ↦ (G + rho I)⁻¹ r and the rho that it holds for."""
    from scipy.linalg import get_blas_funcs, get_lapack_funcs

    potrf, trsv = get_lapack_funcs("potrf", (G,)), get_blas_funcs("trsv", (G,))
    m = len(G)
    noise = float(np.finfo(G.dtype).eps * np.max(np.diagonal(G).real))
    raised = rho
    most = rho + m * float(np.max(np.diagonal(G).real))
    while math.isfinite(most) and (raised == rho or raised < most):
        shifted = np.array(G)
        shifted.reshape(-1)[:: m + 1] += raised
        # Read column by column, the lower triangle of G is the upper one of its
        # conjugate, which needs no copy.
        factor, failed = potrf(shifted.T, lower=0, clean=0, overwrite_a=1)
        if not failed:
            break
        raised = rho + max(4 * (raised - rho), noise)
    else:
        raise np.linalg.LinAlgError("AAᴴ has no Cholesky factor; is A finite?")

    def inverse(r: Array) -> Array:
        # Two triangular solves of one vector are 3 to 4 times faster than potrs.
        half = trsv(factor, np.conj(r), lower=0, trans=2)
        return np.conj(trsv(factor, half, lower=0))

    return inverse, raised


def _inverted(G: Array, rho: float) -> Factor:
    """Do the same where the array library has no triangular solve."""
    xp = array_namespace(G)
    below = xp.tril(G, k=-1)
    full = xp.tril(G) + xp.matrix_transpose(conj(below))
    eye = xp.eye(G.shape[0], dtype=G.dtype, device=G.device)
    matrix = xp.linalg.inv(full + rho * eye)
    return lambda r: xp.matmul(matrix, r), rho


def _in_words(gram: DataGram) -> str:
    set_up = f"predicted {gram.set_up_seconds:.2g} s to set up"
    if all(gram_cache.holds(key) for key in _keys(gram)):
        set_up = "kept in the cache"
    sizes = gram.sizes
    apart = f", {len(sizes)} parts of at most {max(sizes)}" if len(sizes) > 1 else ""
    return (
        f"exact, by Cholesky factors of the {gram.size} x {gram.size} matrix AAᴴ + rho "
        f"I{apart}: {set_up}, {gram.exact_seconds:.2g} s a solve, where conjugate "
        f"gradients take {gram.cg_seconds:.2g} s; repaid after {gram.break_even} solves"
    )
