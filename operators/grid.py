"""The voxel grid on which an image of space is formed."""

from __future__ import annotations

import math
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sparsesolve import checks, memory
from sparsesolve.backends import Array, Shape

Floats = NDArray[np.float64]
_LARGEST_METRES = 20.0


def metres(name: str, values: Any) -> Floats:
    """Return `values` as float64, refused if empty, not finite or plainly in mm."""
    if checks.is_boolean(values):
        raise TypeError(f"{name} is {values!r}; wanted lengths in m")
    array = np.array(values, dtype=np.float64)
    checks.finite(name, array)
    largest = float(np.max(np.abs(array)))
    if largest > _LARGEST_METRES:
        raise ValueError(
            f"{name} reaches {largest:g}, which looks like mm; wanted m (divide by "
            "1000)"
        )
    return array


class Grid:
    """Rectilinear voxel grid: the centres are all combinations of three axes.

    Parameters
    ----------
    x, y, z : array_like, 1-D, m
        Strictly increasing voxel centres along each axis, uniform or not. An axis of
        one value makes an image of a plane.
    region : array_like of bool, shape (nx, ny, nz), optional
        Voxels that may be non-zero. The others are zero in every image and cost
        nothing. By default the whole box.

    Raises
    ------
    ValueError
        An axis is empty, not 1-D, not finite, not increasing, or looks like mm.

    Examples
    --------
    >>> import sparsesolve as ss
    >>> ss.Grid.box(center=(0, 0, 0.5), extent=(0.3, 0.3, 0.3), spacing=0.0125)
    Grid 25 x 25 x 25, x -0.15..0.15 m, y -0.15..0.15 m, z 0.35..0.65 m
    """

    def __init__(self, x: Any, y: Any, z: Any, *, region: Any = None) -> None:
        self.axes = tuple(
            _axis(name, v) for name, v in zip("xyz", (x, y, z), strict=True)
        )
        self.region: Array = None if region is None else _region(region, self.shape)

    @classmethod
    def box(cls, center: Any, extent: Any, spacing: Any) -> Grid:
        """Return a uniform grid whose outermost voxel centres span a box.

        Parameters
        ----------
        center : three floats, m
        extent : float or three floats, m
            Distance between the first and the last voxel centre of each axis, rounded
            to whole voxels.
        spacing : float or three floats, m
            Distance between neighbouring voxel centres.
        """
        middle = np.broadcast_to(metres("center", center), (3,))
        sides = np.broadcast_to(metres("extent", extent), (3,))
        steps = np.broadcast_to(metres("spacing", spacing), (3,))
        if np.any(steps <= 0) or np.any(sides < 0):
            raise ValueError(
                f"extent is {extent} and spacing {spacing}; wanted an extent >= 0 and "
                "a spacing > 0"
            )
        if np.any((sides > 0) & (steps > 10 * sides)):
            raise ValueError(
                f"spacing is {spacing} m for an extent of {extent} m; is it in mm? "
                "wanted m, at most the extent"
            )
        half = np.rint(sides / steps) / 2
        return cls(
            *(
                m + s * np.linspace(-h, h, int(2 * h) + 1)
                for m, s, h in zip(middle, steps, half, strict=True)
            )
        )

    def within(self, radius: float, center: Any = (0.0, 0.0, 0.0)) -> Grid:
        """Return the same grid with its region cut to a ball, all in m."""
        distance = np.linalg.norm(self.points - metres("center", center), axis=-1)
        inside = distance <= checks.positive("radius", radius)
        if self.region is not None:
            inside &= self.region
        return Grid(*self.axes, region=inside)

    @property
    def shape(self) -> Shape:
        """Voxels along x, y and z."""
        return tuple(axis.size for axis in self.axes)

    @property
    def points(self) -> Floats:
        """Voxel centres, shape ``(nx, ny, nz, 3)``, m."""
        return self._points

    @cached_property
    def _points(self) -> Floats:
        # with the work of making them
        memory.enough(repr(self), 64 * math.prod(self.shape), "take larger voxels")
        points = np.stack(np.meshgrid(*self.axes, indexing="ij"), axis=-1)
        points.flags.writeable = False
        return points

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Smallest distance between voxels along each axis, m; 0 for one voxel."""
        x, y, z = (
            float(np.min(np.diff(axis))) if axis.size > 1 else 0.0 for axis in self.axes
        )
        return x, y, z

    def __repr__(self) -> str:
        size = " x ".join(str(n) for n in self.shape)
        spans = ", ".join(
            f"{name} {axis[0]:g}..{axis[-1]:g} m"
            for name, axis in zip("xyz", self.axes, strict=True)
        )
        some = "" if self.region is None else f", {int(self.region.sum())} voxels of it"
        return f"Grid {size}, {spans}{some}"


def _axis(name: str, values: Any) -> Floats:
    axis = metres(f"grid axis {name}", values)
    if axis.ndim != 1:
        raise ValueError(f"grid axis {name} has shape {axis.shape}; wanted 1-D")
    if np.any(np.diff(axis) <= 0):
        raise ValueError(f"grid axis {name} is not strictly increasing; sort it")
    axis.flags.writeable = False
    return axis


def _region(region: Any, shape: Shape) -> NDArray[np.bool_]:
    chosen = np.array(region)
    if chosen.dtype != np.bool_ or chosen.shape != shape:
        raise ValueError(
            f"region is {chosen.dtype} of shape {chosen.shape}; wanted bool of shape "
            f"{shape}{checks.swapped(chosen.shape, shape)}"
        )
    if not chosen.any():
        raise ValueError("region holds no voxel of the grid")
    chosen.flags.writeable = False
    return chosen
