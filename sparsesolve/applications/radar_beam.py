"""The restoring beam: a sparse image at the resolution that its array can claim."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sparsesolve import checks
from sparsesolve.applications.radar_grid import check_scene
from sparsesolve.applications.radar_point_spread import point_spread
from sparsesolve.backends import (
    Array,
    array_namespace,
    device_of,
    dtype_of,
    real_dtype,
    to_device,
)
from sparsesolve.mode_products import mode_product
from sparsesolve.operators.grid import Grid, metres
from sparsesolve.scan import RadarScan

__all__ = ["restore", "restoring_beam"]

_SHARE = 0.5
# An array's own beam may be wider than a small grid, but not by so much.
_WIDEST = 10.0


def restoring_beam(scan: RadarScan, grid: Grid) -> tuple[float, float, float]:
    """Return the widths along x, y and z, m, of the beam that `restore` takes.

    Half of the array's widths at the middle of the grid, 3 dB below the peak (see
    `point_spread`): sparse images tell apart what lies closer than the array's own
    resolution. 0 for an axis along which the array resolves nothing.

    Raises
    ------
    ValueError
        The middle of the grid lies at an antenna.
    """
    check_scene(scan, grid)
    middle = [(float(axis[0]) + float(axis[-1])) / 2 for axis in grid.axes]
    x, y, z = (
        _SHARE * width if math.isfinite(width) else 0.0
        for width in point_spread(scan, middle).widths
    )
    return x, y, z


def restore(x: Array, scan: RadarScan, grid: Grid, *, width: Any = None) -> Array:
    """Return the magnitudes of a sparse image, convolved with a restoring beam.

    A sparse image puts what lies between voxels, and bodies whose echoes interfere, on
    single voxels: sharper than the data can tell. A beam of about the array's
    resolution shows what they do tell, as the last step of CLEAN has done since 1974.
    Phases are random from voxel to voxel, so it is magnitudes that are convolved.
    Direct images have the array's resolution already and gain nothing.

    Parameters
    ----------
    x : (*batch, *grid.shape) array
        Such as ``solution.x``; complex or real, NumPy or CuPy.
    scan : RadarScan
        Only its array, frequencies, speed and mask count, not its data.
    grid : Grid
    width : float or three floats, m, optional
        Widths of the Gaussian beam along x, y and z, 3 dB below its peak; 0 for none.
        By default those of `restoring_beam`, half of the array's own.

    Returns
    -------
    (*batch, *grid.shape) real array
        In the precision of `x`, with its sum of magnitudes, apart from what falls
        outside ``grid.region``, where it is zero. A lone voxel of magnitude 1 gets
        lower: magnitudes become those per beam.

    Raises
    ------
    ValueError
        `x` does not fit the grid or is not finite, a width is negative or looks like
        mm, or the middle of the grid lies at an antenna, where `width` must be given.

    References
    ----------
    Högbom, "Aperture synthesis with a non-regular distribution of interferometer
    baselines", Astronomy and Astrophysics Supplement 15, 1974.
    """
    check_scene(scan, grid)
    checks.finite("x", x)
    if dtype_of(x).kind not in "fc":
        raise TypeError(f"x has dtype {dtype_of(x)}; wanted real or complex numbers")
    checks.trailing_shape("x", x, grid.shape)
    widths = _given(restoring_beam(scan, grid) if width is None else width, grid)
    xp, place, real = array_namespace(x), device_of(x), real_dtype(dtype_of(x))
    image = xp.abs(x)
    for k, (axis, size) in enumerate(zip(grid.axes, widths, strict=True)):
        if size > 0:
            beam = to_device(_beam(axis, size).astype(real), place)
            image = mode_product(xp, image, beam, k, 3)
    if grid.region is None:
        return image
    return xp.where(to_device(grid.region, place), image, xp.zeros_like(image))


def _given(width: Any, grid: Grid) -> NDArray[np.float64]:
    widths = metres("width", width)
    if widths.shape not in ((), (3,)) or np.any(widths < 0):
        raise ValueError(f"width is {width!r}; wanted one or three lengths >= 0 in m")
    reach = max(float(np.ptp(axis)) for axis in grid.axes)
    if reach and float(np.max(widths)) > _WIDEST * reach:
        raise ValueError(
            f"width is {width!r}, many times the grid's {reach:g} m; wanted m, not mm"
        )
    return np.broadcast_to(widths, (3,))


def _beam(axis: NDArray[np.float64], width: float) -> NDArray[np.float64]:
    """Return the matrix that spreads each voxel along an axis; its columns sum to 1."""
    sigma = width / (2 * math.sqrt(math.log(2)))
    with np.errstate(over="ignore"):  # a beam that is narrow beyond all measure
        beam = np.exp(-(((axis[:, None] - axis) / sigma) ** 2) / 2)
    return np.asarray(beam / beam.sum(axis=0))
