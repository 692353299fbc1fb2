"""Near-field multistatic radar: from an image of space to an array's measurement."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from sparsesolve import checks, memory
from sparsesolve.backends import (
    Array,
    array_namespace,
    dtype_of,
    to_device,
    to_numpy,
)
from sparsesolve.operators.base import Operator
from sparsesolve.operators.grid import Grid
from sparsesolve.operators.near_field_arguments import (
    antenna_positions,
    broadcastable,
    channel_pairs,
    frequencies,
    refuse_antenna_in_voxel,
)
from sparsesolve.operators.near_field_waves import (
    Antennas,
    Blocks,
    Run,
    blocks_of,
    distinct,
    equally_spaced,
    wave_table,
)

if TYPE_CHECKING:
    from sparsesolve.scan import RadarScan

LIGHT = 299792458.0
# Beyond this size a table costs more to read than waves to compute.
_LARGEST_TABLES = 2**28
# Waves that the array-API form holds at a time.
_TILE_WAVES = 2**17


class NearFieldMIMO(Operator):
    r"""First-order scattering measured by transmitters and receivers in the near field.

    ``y[k, t, r] = Σ_v exp(sign j 2π f_k (R_tv + R_rv) / speed) / (4π R_tv R_rv) x_v``

    with R the distances from antennas to voxel centres: scalar waves, isotropic
    antennas, a homogeneous medium, no multiple scattering.

    Parameters
    ----------
    tx, rx : (n_tx, 3) and (n_rx, 3) array_like, m
        Antenna positions.
    freq : (n_freq,) array_like, Hz
        Frequencies. Equally spaced ones share a wave table (64 at most) and are
        several times faster than others, which need one each.
    grid : Grid
        Voxels; `in_shape` is ``grid.shape``.
    channels : (n_channels, 2) array_like of int, optional
        Pairs (transmitter, receiver) that were measured, counted from zero. Data then
        have shape ``(n_freq, n_channels)``, otherwise ``(n_freq, n_tx, n_rx)``.
    speed : float, m/s
        Wave speed in the medium; by default in vacuum.
    sign : -1 or 1
        Sign of the phase; -1 belongs to the time factor e^{+jωt} of network analysers.
    mask : array_like of bool, broadcastable to `out_shape`, optional
        True where data are valid. Others are zero in A x and ignored by the adjoint.
    calibration : array_like of complex, broadcastable to `out_shape`, optional
        Factor that the instrument puts on each datum.
    dtype : complex dtype
        complex64 (default: measurements seldom hold more) or complex128. Phases are
        formed in float64 either way.
    spreading : bool
        False leaves out 1/(4π R_t R_r), which makes the adjoint the classical
        back-projection.

    Raises
    ------
    ValueError
        Shapes do not fit, a value is not finite, a unit looks wrong (GHz, mm), or an
        antenna lies inside a voxel, where the model is infinite.
    MemoryError
        The image and its waves would not fit.

    Notes
    -----
    A[k, (t, r), v] is a wave of t times a wave of r, so tables are kept per antenna and
    not per channel, one for an antenna that both transmits and receives; a run of
    equally spaced frequencies needs its first wave and the change per step. Where the
    tables would be larger than 256 MiB (large apertures, many unequal frequencies) the
    waves are computed as they are needed. An application costs about 5 real
    operations per voxel, channel and frequency. Changing the sign of the phase
    conjugates A.

    A monostatic raster or synthetic aperture, which transmits and receives at one
    place after the other, has ``tx = rx = positions`` and
    ``channels = [(0, 0), (1, 1), ...]``.

    References
    ----------
    Zhuge and Yarovoy, "Three-dimensional near-field MIMO array imaging using range
    migration techniques", IEEE Trans. Image Process. 21 (2012) 3026-3033.
    """

    def __init__(
        self,
        tx: Any,
        rx: Any,
        freq: Any,
        grid: Grid,
        *,
        channels: Any = None,
        speed: float = LIGHT,
        sign: int = -1,
        mask: Any = None,
        calibration: Any = None,
        dtype: Any = "complex64",
        spreading: bool = True,
    ) -> None:
        if not isinstance(grid, Grid):
            raise TypeError(f"grid is a {type(grid).__name__}; wanted sparsesolve.Grid")
        if sign not in (-1, 1):
            raise ValueError(f"sign is {sign!r}; wanted -1 or 1")
        if np.dtype(dtype) not in (np.complex64, np.complex128):
            raise TypeError(f"dtype is {dtype!r}; wanted complex64 or complex128")
        self.grid, self.sign, self.spreading = grid, int(sign), bool(spreading)
        self.speed = checks.positive("speed", speed)
        self.tx, self.rx = antenna_positions("tx", tx), antenna_positions("rx", rx)
        if grid.region is None:
            self._require_memory(64 * math.prod(grid.shape))
        refuse_antenna_in_voxel("tx", self.tx, grid)
        refuse_antenna_in_voxel("rx", self.rx, grid)
        self.freq = frequencies(freq)
        n_tx, n_rx = len(self.tx), len(self.rx)
        self.full = channels is None
        self.channels = channel_pairs(channels, n_tx, n_rx)
        per_frequency = (n_tx, n_rx) if self.full else (len(self.channels),)
        self.in_shape, self.out_shape = grid.shape, (self.freq.size, *per_frequency)
        self.in_dtype = self.out_dtype = np.dtype(dtype)
        self.mask = broadcastable("mask", mask, np.dtype(bool), self.out_shape)
        self.calibration = broadcastable(
            "calibration", calibration, self.out_dtype, self.out_shape
        )
        self._require_memory(self.needed_bytes)

    def _require_memory(self, needed: int) -> None:
        memory.enough(
            f"NearFieldMIMO on {self.grid!r}",
            needed,
            "take larger voxels, a smaller region (Grid.within), fewer or equally "
            "spaced frequencies, or complex64",
        )

    @classmethod
    def from_scan(
        cls, scan: RadarScan, grid: Grid, *, spreading: bool = True
    ) -> NearFieldMIMO:
        """Return the operator of a scan, in the precision of its data."""
        return cls(
            scan.tx,
            scan.rx,
            scan.freq,
            grid,
            channels=scan.channels,
            speed=scan.speed,
            sign=scan.sign,
            mask=scan.mask,
            dtype=dtype_of(scan.data),
            spreading=spreading,
        )

    @property
    def needed_bytes(self) -> int:
        """Predicted size of the wave tables and of the work to form them, bytes.

        Where the tables would be larger than 256 MiB there are none: NumPy arrays are
        then measured with waves that are computed as they are needed.
        """
        work = 16 * np.dtype(np.complex128).itemsize  # of one antenna; a few images
        return self._n_voxels * work + (self._table_bytes if self._tabulated else 0)

    def forward(self, x: Array) -> Array:
        xp = array_namespace(x)
        batch = x.shape[: x.ndim - 3]
        image = xp.reshape(x, (math.prod(batch), math.prod(self.in_shape)))
        if self.grid.region is not None:
            image = xp.take(image, self._voxels, axis=-1)
        numpy = isinstance(x, np.ndarray)
        y = self._kernel_forward(image) if numpy else self._plain_forward(image)
        y = xp.reshape(y, (*batch, *self.out_shape))
        if self.calibration is not None:
            y = y * self.calibration
        return y if self.mask is None else xp.where(self.mask, y, xp.zeros_like(y))

    def adjoint(self, y: Array) -> Array:
        xp = array_namespace(y)
        if self.mask is not None:
            y = xp.where(self.mask, y, xp.zeros_like(y))
        if self.calibration is not None:
            y = y * xp.conj(self.calibration)
        batch = y.shape[: y.ndim - len(self.out_shape)]
        data = xp.reshape(y, (math.prod(batch), self.out_shape[0], -1))
        numpy = isinstance(y, np.ndarray)
        image = self._kernel_adjoint(data) if numpy else self._plain_adjoint(data)
        if self.grid.region is not None:
            image = xp.concat((image, xp.zeros_like(image[:, :1])), axis=-1)
            image = xp.take(image, self._places, axis=-1)
        return xp.reshape(image, (*batch, *self.in_shape))

    def _kernel_forward(self, x: Array) -> Array:
        from sparsesolve.operators import near_field_compiled as compiled

        # voxels may be real
        x = np.ascontiguousarray(x, np.result_type(x.dtype, np.complex64))
        y = np.empty((len(x), len(self.freq), len(self.channels)), x.dtype)
        for run, waves in self._runs:
            compiled.forward(x, waves, self._blocks, run, y)
        return y

    def _kernel_adjoint(self, y: Array) -> Array:
        from sparsesolve.operators import near_field_compiled as compiled

        y = np.asarray(y, np.result_type(y.dtype, np.complex64))

        def image(run: Run, waves: tuple[Any, ...]) -> Array:
            return compiled.adjoint(y, waves, self._blocks, run, self._n_voxels)

        x = image(*self._runs[0])
        for other in self._runs[1:]:
            x += image(*other)
        return x

    def _plain_forward(self, x: Array) -> Array:
        """Return data (batch, n_freq, channels...) of voxels (batch, voxels)."""
        xp = array_namespace(x)
        y: Array = 0.0
        for tile in self._tiles():
            part = x[:, tile]
            y = y + xp.stack(
                [self._measure(w, part) for w in self._waves(tile)], axis=1
            )
        return y

    def _plain_adjoint(self, y: Array) -> Array:
        """Return voxels (batch, voxels) of data (batch, n_freq, all channels)."""
        xp = array_namespace(y)
        image = []
        for tile in self._tiles():
            part: Array = 0.0
            for k, waves in enumerate(self._waves(tile)):
                part = part + self._focus(waves, y[:, k, :])
            image.append(part)
        return xp.concat(image, axis=-1)

    def _measure(self, waves: Array, x: Array) -> Array:
        xp = array_namespace(x)
        if not self.full:
            return xp.matmul(x, xp.matrix_transpose(self._channel_waves(waves)))
        tx, rx = self._sides(waves)
        return xp.matmul(x[:, None, :] * tx, xp.matrix_transpose(rx))

    def _focus(self, waves: Array, y: Array) -> Array:
        xp = array_namespace(y)
        if not self.full:
            return xp.matmul(y, xp.conj(self._channel_waves(waves)))
        y = xp.reshape(y, (y.shape[0], *self.out_shape[1:]))
        tx, rx = self._sides(waves)
        return xp.sum(xp.conj(tx) * xp.matmul(y, xp.conj(rx)), axis=1)

    def _sides(self, waves: Array) -> tuple[Array, Array]:
        """Waves of transmitters and of receivers, of those of all antennas."""
        xp = array_namespace(waves)
        one, other = (self._here(i) for i in self._antennas[1:])
        return xp.take(waves, one, axis=0), xp.take(waves, other, axis=0)

    def _channel_waves(self, waves: Array) -> Array:
        xp = array_namespace(waves)
        tx, rx = self._sides(waves)
        tx = xp.take(tx, self.channels[:, 0], axis=0)
        return tx * xp.take(rx, self.channels[:, 1], axis=0)

    def _tiles(self) -> list[slice]:
        n, size = self._n_voxels, max(16, _TILE_WAVES // len(self._antennas.positions))
        return [slice(i, min(i + size, n)) for i in range(0, n, size)]

    def _waves(self, tile: slice) -> Iterator[Array]:
        """Yield the waves of every frequency in order, for the voxels of a tile."""
        if self._tabulated:
            step, starts = self._tables
            step, starts = step[:, tile], [start[:, tile] for start in starts]
        else:
            step, starts = self._tabulate(tile)
        for run, start in zip(self._spacing[1], starts, strict=True):
            waves = start
            yield waves
            for _ in range(run.length - 1):
                waves = waves * step
                yield waves

    # What follows depends on the device, or is cheap: `to` drops it.

    @property
    def _bytes(self) -> int:
        return np.dtype(self.in_dtype).itemsize

    @cached_property
    def _spacing(self) -> tuple[float, tuple[Run, ...]]:
        return equally_spaced(to_numpy(self.freq))

    @cached_property
    def _voxels(self) -> Array:
        """Indices of the region's voxels in the flattened box."""
        return self._here(np.flatnonzero(self.grid.region))

    @cached_property
    def _places(self) -> Array:
        """Where each voxel of the box lies in the region; after its end if outside."""
        region = np.ravel(self.grid.region)
        return self._here(np.where(region, np.cumsum(region) - 1, region.sum()))

    @property
    def _n_voxels(self) -> int:
        region = self.grid.region
        return math.prod(self.in_shape) if region is None else int(region.sum())

    @property
    def _table_bytes(self) -> int:
        n_tables = len(self._spacing[1]) + 1
        return self._n_voxels * len(self._antennas.positions) * n_tables * self._bytes

    @property
    def _tabulated(self) -> bool:
        """Whether waves are looked up: the tables are of a reasonable size."""
        return self._table_bytes <= _LARGEST_TABLES

    @cached_property
    def _antennas(self) -> Antennas:
        return distinct(to_numpy(self.tx), to_numpy(self.rx))

    @cached_property
    def _blocks(self) -> Blocks:
        channels = to_numpy(self.channels)
        of_tx, of_rx = self._antennas[1:]
        antennas = np.stack([of_tx[channels[:, 0]], of_rx[channels[:, 1]]], axis=1)
        return blocks_of(channels, antennas)

    @cached_property
    def _points(self) -> Array:
        """Centres of the voxels that may be non-zero, (3, voxels), on the host."""
        region = self.grid.region
        points = self.grid.points.reshape(-1, 3)
        points = points if region is None else points[to_numpy(region).ravel()]
        return np.ascontiguousarray(points.T)

    @cached_property
    def _tables(self) -> tuple[Array, list[Array]]:
        """The waves' change per frequency step, and the first wave of every run."""
        return self._tabulate(slice(None))

    @cached_property
    def _runs(self) -> list[tuple[Run, tuple[Any, ...]]]:
        """The runs of frequencies, each with what the kernels need of the waves."""
        step, runs = self._spacing
        turns, freq = self.sign / self.speed, to_numpy(self.freq)
        none = np.empty((1, 0), self.in_dtype)
        found = []
        for i, run in enumerate(runs):
            change = turns * step if run.length > 1 else 0.0
            wave = np.array([turns * freq[run.first], change, self.spreading])
            tables, points = (none, none), self._points
            if self._tabulated:
                changes, starts = self._tables
                tables = (starts[i], changes)
            found.append((run, (*tables, points, self._antennas.positions, wave)))
        return found

    def _tabulate(self, tile: slice) -> tuple[Array, list[Array]]:
        points = self._here(np.array(self._points.T[tile]))
        antennas = self._here(self._antennas.positions)
        per_hertz = self.sign * 2 * math.pi / self.speed
        step, runs = self._spacing
        freq = to_numpy(self.freq)

        def waves(hertz: float, spreading: bool) -> Array:
            k = per_hertz * hertz
            return wave_table(antennas, points, k, spreading, self.in_dtype)

        return waves(step, False), [
            waves(float(freq[run.first]), self.spreading) for run in runs
        ]

    def _here(self, array: Array) -> Array:
        return to_device(array, self.device or "numpy")
