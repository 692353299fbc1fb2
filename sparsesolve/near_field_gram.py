"""AAᴴ of the near-field radar, from the waves of its antennas."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sparsesolve import memory
from sparsesolve.backends import (
    Array,
    array_namespace,
    native_dtype,
    real_dtype,
    to_device,
    to_numpy,
)
from sparsesolve.gram_inverse import DataGram, data_gram
from sparsesolve.gram_parts import DataPart, symmetric_parts
from sparsesolve.near_field_symmetry import fundamental, symmetries
from sparsesolve.operators.near_field import NearFieldMIMO
from sparsesolve.operators.near_field_waves import equally_spaced, wave_table

_FORMAT = 2
_TILE = 1024
# Operations that the prediction counts for a datum at a voxel, and for the waves of an
# antenna there: what they take, at the rate that it assumes.
_PRODUCT = 200.0
_WAVE = 1e4


@data_gram.register
def near_field_gram(A: NearFieldMIMO) -> DataGram | None:
    """Return how G = AAᴴ is formed: tile by tile of voxels, half of it.

    The rows of a tile are products of a transmitter's and a receiver's wave, in the
    precision of A; a Hermitian rank-k update adds them to G. Costs 4 (data)² voxels
    operations, and in memory G and a tile. Where array and grid are symmetric about a
    plane, G falls into two parts and half of the voxels do (`near_field_symmetry`): a
    quarter of the operations, and a sixteenth with two planes.
    """
    valid = np.ones(A.shape[0], bool)
    if A.mask is not None:
        valid = np.broadcast_to(to_numpy(A.mask), A.out_shape).reshape(-1)
    m = int(valid.sum())
    region = A.grid.region
    n_voxels = math.prod(A.in_shape) if region is None else int(region.sum())
    if m >= n_voxels:
        return None
    dtype = np.dtype(A.in_dtype)
    # at most eight parts, which the memory there is may not hold either
    hopeless = m**2 // 8 * dtype.itemsize > memory.available_bytes()
    turns, images = ([np.eye(3, dtype=int)], []) if hopeless else symmetries(A)
    first, counts = fundamental(A.grid, turns)
    parts: tuple[DataPart, ...] = ()
    if images or A.mask is not None:
        parts = tuple(symmetric_parts(images, valid))
    squares = sum(part.size**2 for part in parts) or m**2
    # rows of one tile twice, as frequencies are gathered into one array, and those of
    # a part with what they are summed from
    rows = 2 * A.shape[0] + 3 * max((part.size for part in parts), default=0)
    tile = rows * min(_TILE, first.size)
    return DataGram(
        size=m,
        dtype=dtype,
        form=partial(_form, A, first, np.sqrt(counts), parts),
        operations=first.size
        * (
            4.0 * squares
            + (_PRODUCT + 8 * len(turns)) * A.shape[0]
            + _WAVE * (A.tx.shape[0] + A.rx.shape[0])
        ),
        application=16.0 * A.shape[0] * n_voxels,
        needed_bytes=(squares + tile) * dtype.itemsize + 16 * first.size,
        key=_key(A),
        parts=parts,
    )


def _form(
    A: NearFieldMIMO,
    voxels: NDArray[np.int64],
    weights: NDArray[np.float64],
    parts: tuple[DataPart, ...],
) -> Any:
    """Return G, or that of each part, from some voxels with weights of their waves."""
    device = A.device or "numpy"
    G: list[Array] = [None] * max(1, len(parts))
    for first in range(0, len(voxels), _TILE):
        tile = slice(first, first + _TILE)
        places = np.unravel_index(voxels[tile], A.in_shape)
        lines = zip(A.grid.axes, places, strict=True)
        part = to_device(np.stack([axis[i] for axis, i in lines], axis=-1), device)
        xp = array_namespace(part)
        rows = xp.concat(list(_rows(A, part)), axis=0)
        if np.any(weights != 1):
            real = weights[tile].astype(real_dtype(A.in_dtype))
            rows = rows * to_device(real, device)
        for i in range(len(G)):
            mine = parts[i].combined(rows, 0) if parts else rows
            G[i] = _updated(G[i], mine)
    return tuple(G) if parts else G[0]


def _updated(G: Array, rows: Array) -> Array:
    """Return G + rows rowsᴴ; its lower triangle at least. The old G is lost."""
    if not isinstance(rows, np.ndarray):
        xp = array_namespace(rows)
        product = xp.matmul(rows, xp.conj(xp.matrix_transpose(rows)))
        return product if G is None else G + product
    from scipy.linalg import get_blas_funcs

    herk = get_blas_funcs("herk", (rows,))
    G = np.zeros((len(rows), len(rows)), rows.dtype) if G is None else G
    # Read column by column, rows are their own transpose: no copy. The upper triangle
    # of conj(G) is the lower one of G read row by row.
    return herk(1.0, rows.T, beta=1.0, c=G.T, trans=2, lower=0, overwrite_c=1).T


def _rows(A: NearFieldMIMO, points: Array) -> Iterator[Array]:
    """Yield the matrix of A frequency by frequency, (channels, voxels)."""
    xp = array_namespace(points)
    step, runs = equally_spaced(to_numpy(A.freq))
    per_hertz = A.sign * 2 * math.pi / A.speed
    dtype = native_dtype(xp, A.in_dtype)

    def waves(hertz: float, spreading: bool) -> tuple[Array, Array]:
        # Double precision, so that steps from wave to wave add no error.
        k, double = per_hertz * hertz, np.complex128
        return (
            wave_table(A.tx, points, k, spreading, double),
            wave_table(A.rx, points, k, spreading, double),
        )

    step_tx, step_rx = waves(step, False)
    for first, length in runs:
        tx, rx = waves(float(A.freq[first]), A.spreading)
        for k in range(first, first + length):
            rows = _products(A, xp.astype(tx, dtype), xp.astype(rx, dtype))
            yield rows if A.calibration is None else rows * _gains(A, k)
            tx, rx = tx * step_tx, rx * step_rx


def _products(A: NearFieldMIMO, tx: Array, rx: Array) -> Array:
    xp = array_namespace(tx)
    if A.full:
        return xp.reshape(tx[:, None, :] * rx[None, :, :], (-1, tx.shape[1]))
    tx = xp.take(tx, A.channels[:, 0], axis=0)
    return tx * xp.take(rx, A.channels[:, 1], axis=0)


def _gains(A: NearFieldMIMO, k: int) -> Array:
    """The calibration at one frequency, (channels, 1)."""
    xp = array_namespace(A.calibration)
    whole = xp.broadcast_to(A.calibration, A.out_shape)
    return xp.reshape(whole[k, ...], (-1, 1))


def _key(A: NearFieldMIMO) -> str:
    """SHA-256 of all that determines A."""
    digest = hashlib.sha256()
    plain = (_FORMAT, A.device, str(A.in_dtype), A.sign, A.speed, A.spreading)
    digest.update(repr((*plain, A.out_shape)).encode())
    arrays = {
        "tx": A.tx,
        "rx": A.rx,
        "freq": A.freq,
        "channels": A.channels,
        "mask": A.mask,
        "calibration": A.calibration,
        "region": A.grid.region,
        **{f"axis {i}": axis for i, axis in enumerate(A.grid.axes)},
    }
    for name, array in arrays.items():
        if array is None:
            continue
        host = np.ascontiguousarray(to_numpy(array))
        digest.update(f"{name} {host.dtype.str} {host.shape}".encode())
        digest.update(host.reshape(-1).view(np.uint8).data)
    return digest.hexdigest()
