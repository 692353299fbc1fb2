"""AAᴴ of the near-field radar, from the waves of its antennas."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np

from sparsesolve.backends import (
    Array,
    array_namespace,
    native_dtype,
    to_device,
    to_numpy,
)
from sparsesolve.gram_inverse import DataGram, data_gram
from sparsesolve.operators.near_field import NearFieldMIMO
from sparsesolve.operators.near_field_waves import equally_spaced, wave_table

_FORMAT = 1
_TILE = 1024


@data_gram.register
def near_field_gram(A: NearFieldMIMO) -> DataGram | None:
    """Return how G = AAᴴ is formed: tile by tile of voxels, half of it.

    The rows of a tile are products of a transmitter's and a receiver's wave, in the
    precision of A; a Hermitian rank-k update adds them to G. Costs 4 (data)² voxels
    operations, and in memory G and a tile.
    """
    valid = None
    if A.mask is not None:
        valid = np.broadcast_to(to_numpy(A.mask), A.out_shape).reshape(-1)
    m = A.shape[0] if valid is None else int(valid.sum())
    region = A.grid.region
    n_voxels = math.prod(A.in_shape) if region is None else int(region.sum())
    if m >= n_voxels:
        return None
    dtype = np.dtype(A.in_dtype)
    # rows of one tile twice, as frequencies are gathered into one array
    tile = 2 * A.shape[0] * min(_TILE, n_voxels)
    return DataGram(
        size=m,
        dtype=dtype,
        form=partial(_form, A, valid),
        operations=4.0 * m**2 * n_voxels,
        application=16.0 * A.shape[0] * n_voxels,
        needed_bytes=(m**2 + tile) * dtype.itemsize,
        key=_key(A),
        valid=valid,
    )


def _form(A: NearFieldMIMO, valid: Any) -> Array:
    device = A.device or "numpy"
    points = A.grid.points.reshape(-1, 3)
    if A.grid.region is not None:
        points = points[np.ravel(A.grid.region)]
    places = None if valid is None else to_device(np.flatnonzero(valid), device)
    G: Array = None
    for first in range(0, len(points), _TILE):
        part = to_device(np.array(points[first : first + _TILE]), device)
        xp = array_namespace(part)
        rows = xp.concat(list(_rows(A, part)), axis=0)
        if places is not None:
            rows = xp.take(rows, places, axis=0)
        G = _updated(G, rows)
    return G


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
