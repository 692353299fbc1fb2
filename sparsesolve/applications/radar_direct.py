"""Direct images of a scan: sums over the data that nothing has to be chosen for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sparsesolve import checks
from sparsesolve.applications.radar_grid import check_scene, warn_if_behind
from sparsesolve.backends import Array
from sparsesolve.operators.grid import Grid
from sparsesolve.operators.near_field import NearFieldMIMO
from sparsesolve.scan import RadarScan

__all__ = ["back_projection", "kirchhoff", "usable_data"]

Complexes = NDArray[np.complex128]
Floats = NDArray[np.float64]

# Numbers of one table of a tile, 16 MiB: a few of them are alive at once.
_TILE_ENTRIES = 1 << 20
# How far antennas may leave their common plane, of the array's size.
_FLATNESS = 1e-3


def back_projection(scan: RadarScan, grid: Grid) -> Array:
    """Return Σ e^{jk(R_t + R_r)} y over all data: complex, of shape ``grid.shape``.

    The delay-and-sum image. It needs no choice and hides nothing, sidelobes included.
    """
    warn_if_behind(scan, grid)
    scan = scan.read()
    A = NearFieldMIMO.from_scan(scan, grid, spreading=False)
    return A.H(usable_data(scan))


def kirchhoff(scan: RadarScan, grid: Grid, *, normals: Any = None) -> Array:
    """Return the Kirchhoff migration of a scan: complex, of shape ``grid.shape``.

    ``x_v = Σ 4 (∂R_t/∂n) (∂R_r/∂n) (1 + jkR_t) (1 + jkR_r) e^{jk(R_t + R_r)} y`` over
    all data, the boundary integral of the wave equation for both ways: beside the
    phases it undoes the spreading of waves and weighs obliquity.

    Parameters
    ----------
    scan : RadarScan
    grid : Grid
        Voxels in front of the array.
    normals : (3,), (n, 3) or a pair of such, optional
        Where antennas face: one direction for all, one for each of n antennas that
        are both transmitters and receivers, or a pair for transmitters and for
        receivers. Of any length > 0. By default the normal of the plane that holds
        all antennas, on either side of it.

    Returns
    -------
    complex array of shape ``grid.shape``
        In the precision of the data.

    Raises
    ------
    ValueError
        The antennas have no common plane and `normals` is not given, or does not fit.

    Notes
    -----
    Per voxel, frequency and pair of antennas one product, in double precision and in
    tiles of 16 MiB a table.

    References
    ----------
    Zhuge and Yarovoy, "Three-dimensional near-field MIMO array imaging using range
    migration techniques", IEEE Trans. Image Process. 21 (2012) 3026-3033.
    """
    check_scene(scan, grid)
    scan = scan.in_convention()
    facing = _facing(scan, normals)
    warn_if_behind(scan, grid)
    scan = scan.read()
    data = usable_data(scan).astype(np.complex128)
    places = np.arange(np.prod(grid.shape))
    if grid.region is not None:
        places = np.flatnonzero(grid.region)
    points = grid.points.reshape(-1, 3)
    image = np.zeros(len(points), scan.data.dtype)
    n_pairs = 0 if scan.channels is None else len(scan.channels)
    tile = max(1, _TILE_ENTRIES // (len(scan.tx) + len(scan.rx) + n_pairs))
    for first in range(0, places.size, tile):
        part = places[first : first + tile]
        image[part] = _focus(scan, data, points[part], facing)
    return image.reshape(grid.shape)


def usable_data(scan: RadarScan) -> Array:
    """Return the data of a scan in memory, zeros where they are not to be used."""
    return scan.data if scan.mask is None else np.where(scan.mask, scan.data, 0)


def _focus(
    scan: RadarScan, data: Complexes, points: Floats, facing: tuple[Floats, Floats]
) -> Complexes:
    """Return the voxels of one tile."""
    total = np.zeros(len(points), np.complex128)
    waves = zip(
        data,
        _fields(scan.tx, facing[0], points, scan),
        _fields(scan.rx, facing[1], points, scan),
        strict=True,
    )
    for y, out, back in waves:
        if scan.channels is None:
            total += np.einsum("tv,tv->v", out, y @ back)
        else:
            tx, rx = scan.channels.T
            total += y @ (out[tx] * back[rx])
    return 4 * total


def _fields(
    antennas: Floats, normals: Floats, points: Floats, scan: RadarScan
) -> Iterator[Complexes]:
    """Yield (∂R/∂n) (1 + jkR) e^{jkR} of every frequency, (antennas, points)."""
    offsets = points - antennas[:, None, :]
    distance = np.linalg.norm(offsets, axis=-1)
    slope = np.einsum("avx,ax->av", offsets, normals) / distance
    numbers = 2 * np.pi * scan.freq / scan.speed
    wave = np.exp(1j * numbers[0] * distance)
    change, increment = None, 0.0
    for i, k in enumerate(numbers):
        if i:
            by = float(k - numbers[i - 1])
            if change is None or abs(by - increment) > 1e-12 * k:
                change, increment = np.exp(1j * by * distance), by
            wave = wave * change
        yield slope * (1 + 1j * k * distance) * wave


def _facing(scan: RadarScan, normals: Any) -> tuple[Floats, Floats]:
    """Return unit directions of the transmitters and of the receivers, (n, 3) each."""
    n_tx, n_rx = len(scan.tx), len(scan.rx)
    if normals is None:
        normal = _plane_normal(np.concatenate([scan.tx, scan.rx]))
        return np.tile(normal, (n_tx, 1)), np.tile(normal, (n_rx, 1))
    # a pair of lists of directions, unlike three floats or rows of three
    pair = isinstance(normals, (tuple, list)) and len(normals) == 2
    first, second = normals if pair else (normals, normals)
    return _directions("tx", first, n_tx), _directions("rx", second, n_rx)


def _directions(which: str, values: Any, n: int) -> Floats:
    directions = np.asarray(values, dtype=np.float64)
    if directions.shape not in ((3,), (n, 3)):
        raise ValueError(
            f"normals has shape {directions.shape} for {which}; wanted (3,) or ({n}, "
            "3), one direction per antenna, or a pair of such for tx and rx"
        )
    checks.finite("normals", directions)
    lengths = np.linalg.norm(directions, axis=-1, keepdims=True)
    if not lengths.all():
        raise ValueError("normals has a direction of length 0; wanted vectors != 0")
    return np.broadcast_to(directions / lengths, (n, 3))


def _plane_normal(antennas: Floats) -> Floats:
    """Return the unit normal of the plane that holds all antennas."""
    _, sizes, axes = np.linalg.svd(antennas - antennas.mean(axis=0))
    flat = len(antennas) > 2 and sizes[2] <= _FLATNESS * sizes[0]
    if not flat or sizes[1] <= _FLATNESS * sizes[0]:
        found = "lie on a line" if flat else "have no common plane"
        raise ValueError(
            f"the antennas {found}, so that where they face is unknown; give normals, "
            "one direction per antenna, or take back_projection"
        )
    normal: Floats = axes[2]
    return normal
