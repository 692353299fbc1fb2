"""An orthonormal basis that grows by a column at a time, for many problems at once."""

from __future__ import annotations

from typing import Any, NamedTuple

from sparsesolve.backends import Array, array_namespace, conj, native_dtype


class Basis(NamedTuple):
    """The columns chosen so far as Q R, in arrays with room for k of them."""

    rows: Array
    """(B, k, M): the orthonormal vectors, zero where there is none yet."""
    inverse: Array
    """(B, k, k): R⁻¹, zero where there is no vector yet."""
    place: Array
    """(B, N): 1 + the position of a column among those chosen, 0 if it is not."""

    @property
    def count(self) -> Array:
        """How many columns are chosen, (B,)."""
        return array_namespace(self.place).max(self.place, axis=-1)


class Extension(NamedTuple):
    """What one more column brings."""

    basis: Basis
    direction: Array
    """(B, M): the new orthonormal vector, zero where none was added."""
    weights: Array
    """(B, k): the new column of R⁻¹: how the coefficients change along it."""
    added: Array
    """(B,): whether the column was added."""


def empty_basis(like: Array, n: int, k: int) -> Basis:
    """Return a basis of none of `n` columns, room for `k`, for data (B, M)."""
    xp, (b, m) = array_namespace(like), like.shape
    options = {"dtype": like.dtype, "device": like.device}
    place = xp.zeros((b, n), dtype=xp.int64, device=like.device)
    return Basis(xp.zeros((b, k, m), **options), xp.zeros((b, k, k), **options), place)


def extended(
    basis: Basis, column: Array, index: Array, wanted: Array, negligible: float
) -> Extension:
    """Add one column to the basis of each problem that wants it: O(M k).

    Gram-Schmidt, done twice, which is enough for orthogonality to rounding (Giraud,
    Langou and Rozložník, 2005). A column that depends on those before is not added.

    Parameters
    ----------
    basis : Basis
        Not changed.
    column : array, shape (B, M)
        The column.
    index : integer array, shape (B,)
        Its number among the N columns.
    wanted : bool array, shape (B,)
        Where to add it, if there is room.
    negligible : float
        A column is dependent if less of its norm than this is new.
    """
    xp = array_namespace(column)
    room, count = basis.rows.shape[1], basis.count
    used = min(int(xp.max(count)) + 1, room)
    q = basis.rows[:, :used, :]
    first, new = _without(q, column)
    second, new = _without(q, new)
    length = xp.linalg.vector_norm(new, axis=-1)
    size = xp.linalg.vector_norm(column, axis=-1)
    added = wanted & (length > negligible * size) & (count < room)
    scale = 1 / xp.where(added, length, xp.ones_like(length))
    scale = xp.where(added, scale, xp.zeros_like(scale))[:, None]
    direction = new * scale

    spot = _equal(count, room) & added[:, None]
    rows = xp.where(spot[:, :, None], direction[:, None, :], basis.rows)
    above = xp.matmul(basis.inverse[:, :, :used], (first + second)[:, :, None])[..., 0]
    weights = xp.astype(spot, column.dtype) - above
    weights = weights * scale
    inverse = xp.where(spot[:, None, :], weights[:, :, None], basis.inverse)
    here = _equal(index, basis.place.shape[-1]) & added[:, None]
    place = xp.where(here, count[:, None] + 1, basis.place)
    return Extension(Basis(rows, inverse, place), direction, weights, added)


def spread(coefficients: Array, place: Array, axis: int = 1) -> Array:
    """Put coefficients of the chosen columns in their places, zero elsewhere.

    `axis` of `coefficients`, (B, ...), numbers the chosen ones; `place` is (B, N).
    """
    xp = array_namespace(coefficients)
    shape = [1] * coefficients.ndim
    shape[0], shape[axis] = place.shape
    nothing = list(coefficients.shape)
    nothing[axis] = 1
    zero = xp.zeros(
        tuple(nothing), dtype=coefficients.dtype, device=coefficients.device
    )
    source = xp.concat([zero, coefficients], axis=axis)
    index = xp.reshape(place, tuple(shape))
    full = list(coefficients.shape)
    full[axis] = place.shape[-1]
    return xp.take_along_axis(source, xp.broadcast_to(index, tuple(full)), axis=axis)


def _without(q: Array, a: Array) -> tuple[Array, Array]:
    """Return the components of `a` along the rows of `q`, and what is left of it."""
    xp = array_namespace(a)
    along = conj(xp.matmul(q, conj(a)[:, :, None])[..., 0])
    return along, a - xp.matmul(along[:, None, :], q)[:, 0, :]


def _equal(number: Array, n: int) -> Any:
    """Return where 0, 1, ..., n - 1 equals `number`: (B,) to (B, n)."""
    xp = array_namespace(number)
    kind = native_dtype(xp, "int64")
    return xp.arange(n, dtype=kind, device=number.device)[None, :] == number[:, None]
