"""A measured radar scan: the arrays of a near-field MIMO measurement, checked."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from sparsesolve import checks
from sparsesolve.backends import Array, Shape, to_numpy
from sparsesolve.lazy import LazyArray
from sparsesolve.schema import column

if TYPE_CHECKING:
    from sparsesolve.operators.grid import Grid
    from sparsesolve.scan_check import ScanCheck

LIGHT = 299_792_458.0
"""Speed of light in vacuum, m/s."""

MAX_SPAN = 20.0
"""Largest plausible array, m: beyond it the positions are taken for millimetres."""

MAX_WAVELENGTH = 100.0
"""Longest plausible wavelength, m: beyond it `freq` is taken for GHz, MHz or kHz."""


@dataclass(frozen=True, eq=False, repr=False)
class RadarScan:
    """A frequency-stepped scan of transmitters and receivers.

    Parameters
    ----------
    data : (n_freq, n_tx, n_rx) or (n_freq, n_channels) complex array
        Transmission, S-parameter or volt. complex64 stays complex64. May be a
        `LazyArray` left in its file, whose entries are checked by `read`.
    freq : (n_freq,) array, Hz
        Increasing; any spacing.
    tx, rx : (n_tx, 3) and (n_rx, 3) arrays, m
        Antenna positions. A transmitter may stand where a receiver does.
    channels : (n_channels, 2) integer array or None
        Zero-based (tx index, rx index) of each column of `data`; None: all pairs.
    mask : bool array like `data`, or None
        True where an entry is to be used; the others may be anything, NaN included.
    sign : -1 or +1
        -1: an outgoing wave is e^{-jkR}, as a network analyser has it and as the
        library computes. `load` returns scans of sign -1, see `in_convention`.
    speed : float, m/s
        Wave speed in the medium; the default is vacuum.
    noise : float or None
        Standard deviation of a complex entry of `data`, in its unit.
    steps : tuple of str
        What was done to the data since they were measured, a sentence a step, in
        order; the functions of `sparsesolve.applications.radar` add theirs.

    Raises
    ------
    ValueError, TypeError
        One sentence that names the argument, what it is and what was wanted.
    """

    data: Array = field(
        metadata=column(
            "1 V", "freq tx rx", "freq channel", missing="mask", may_stay_in_file=True
        )
    )
    freq: Array = field(metadata=column("Hz", "freq"))
    tx: Array = field(metadata=column("m", "tx xyz"))
    rx: Array = field(metadata=column("m", "rx xyz"))
    channels: Array | None = field(default=None, metadata=column("1", "channel pair"))
    mask: Array | None = field(
        default=None, metadata=column("1", "freq tx rx", "freq channel")
    )
    sign: int = field(default=-1, metadata=column("1", ""))
    speed: float = field(default=LIGHT, metadata=column("m/s", ""))
    noise: float | None = field(default=None, metadata=column("1 V", ""))
    steps: tuple[str, ...] = field(default=(), metadata=column("1", "step"))

    def __post_init__(self) -> None:
        for name in ("sign", "speed", "noise"):
            if np.ndim(getattr(self, name)) > 0:
                raise ValueError(f"{name} is an array; wanted one number")
        if self.sign not in (-1, 1):
            raise ValueError(
                f"sign is {self.sign!r}; wanted -1 (e^-jkR) or +1 (e^+jkR)"
            )
        speed = checks.positive("speed", self.speed)
        if speed < 10:
            raise ValueError(
                f"speed is {speed:g} m/s, which looks like m/ns or a share of the "
                "speed of light; wanted m/s"
            )
        freq = _frequencies(self.freq, speed)
        tx, rx = _positions("tx", self.tx), _positions("rx", self.rx)
        _plausible_places(np.concatenate([tx, rx]))
        channels = _channels(self.channels, len(tx), len(rx))
        pairs = (len(tx), len(rx)) if channels is None else (len(channels),)
        data = _data(self.data, (len(freq), *pairs))
        mask = _mask(self.mask, data)
        _finite_where(data, mask)
        noise = None if self.noise is None else checks.positive("noise", self.noise)
        sign, steps = int(self.sign), checks.sentences("steps", self.steps)
        clean = (data, freq, tx, rx, channels, mask, sign, speed, noise, steps)
        for item, value in zip(dataclasses.fields(self), clean, strict=True):
            object.__setattr__(self, item.name, value)

    @classmethod
    def monostatic(
        cls,
        data: Array,
        freq: Array,
        positions: Array,
        *,
        mask: Array | None = None,
        sign: int = -1,
        speed: float = LIGHT,
        noise: float | None = None,
        steps: tuple[str, ...] = (),
    ) -> RadarScan:
        """Return the scan of one antenna that is moved from place to place.

        Each position is a transmitter and its own receiver: a raster of reflection
        measurements (S11), or a synthetic aperture.

        Parameters
        ----------
        data : (n_freq, n_positions) complex array
        freq : (n_freq,) array, Hz
        positions : (n_positions, 3) array, m
        mask, sign, speed, noise, steps
            As of `RadarScan`.

        Raises
        ------
        ValueError, TypeError
            One sentence that names the argument, what it is and what was wanted.

        Examples
        --------
        >>> import numpy as np
        >>> positions = [[x, y, 0.0] for x in (-0.1, 0, 0.1) for y in (-0.1, 0, 0.1)]
        >>> RadarScan.monostatic(np.ones((2, 9), "complex64"), [4e9, 5e9], positions)
        RadarScan((2, 9) complex64, 4 to 5 GHz, 9 tx, 9 rx, speed 2.99792e+08 m/s)
        """
        places = _positions("positions", np.asarray(positions))
        return cls(
            data=data,
            freq=freq,
            tx=places,
            rx=places,
            channels=np.repeat(np.arange(len(places))[:, None], 2, axis=1),
            mask=mask,
            sign=sign,
            speed=speed,
            noise=noise,
            steps=steps,
        )

    def in_convention(self) -> RadarScan:
        """Return the scan with sign -1, its data conjugated if need be."""
        if self.sign == -1:
            return self
        lazy = isinstance(self.data, LazyArray)
        data = self.data.then(np.conj) if lazy else np.conj(self.data)
        return dataclasses.replace(self, data=data, sign=-1)

    def read(self) -> RadarScan:
        """Return the scan with its data in memory and checked for NaN.

        Raises
        ------
        ValueError
            The data hold NaN or infinite entries that `mask` does not exclude, or the
            file has changed since it was opened.
        """
        return dataclasses.replace(self, data=np.asarray(self.data))

    def check(self, grid: Grid | None = None) -> ScanCheck:
        """Image the scan coarsely in several ways, and warn if another fits better.

        See `sparsesolve.scan_check.check_scan`, which this calls.
        """
        from sparsesolve.scan_check import check_scan

        return check_scan(self, grid)

    def __repr__(self) -> str:
        shape = ", ".join(str(n) for n in self.data.shape)
        low, high = self.freq[0] / 1e9, self.freq[-1] / 1e9
        names = ", ".join(step.partition(":")[0] for step in self.steps)
        done = f", after {names}" if names else ""
        return (
            f"RadarScan(({shape}) {self.data.dtype}, {low:g} to {high:g} GHz, "
            f"{len(self.tx)} tx, {len(self.rx)} rx, speed {self.speed:g} m/s{done})"
        )


def _frequencies(value: Array, speed: float) -> np.ndarray[Any, Any]:
    freq = checks.real_array("freq", value).astype(np.float64, copy=False)
    if freq.ndim != 1:
        raise ValueError(f"freq has shape {freq.shape}; wanted (n_freq,) in Hz")
    if freq[0] <= 0 or np.any(np.diff(freq) <= 0):
        raise ValueError(
            f"freq runs from {freq[0]:g} to {freq[-1]:g} Hz and is not positive and "
            "increasing throughout; sort it, and the first axis of data with it"
        )
    if speed / freq[-1] > MAX_WAVELENGTH:
        raise ValueError(
            f"freq goes up to {freq[-1]:g}, a wavelength of {speed / freq[-1]:.3g} m; "
            "it looks like GHz or MHz: wanted Hz"
        )
    return freq


def _positions(name: str, value: Array) -> np.ndarray[Any, Any]:
    points = checks.real_array(name, value).astype(np.float64, copy=False)
    if points.ndim != 2 or points.shape[1] != 3:
        swapped = "; is it transposed?" if points.shape[:1] == (3,) else ""
        raise ValueError(
            f"{name} has shape {points.shape}; wanted (n, 3) in m{swapped}"
        )
    # A micrometre is far below any antenna's size and far above rounding.
    places, first = np.unique(np.round(points, 6), axis=0, return_index=True)
    if len(places) < len(points):
        twin = min(set(range(len(points))) - set(first.tolist()))
        raise ValueError(
            f"{name}[{twin}] stands where another antenna of {name} does, at "
            f"{points[twin].tolist()} m; wanted different positions"
        )
    return points


def _plausible_places(points: np.ndarray[Any, Any]) -> None:
    span = float(np.max(np.ptp(points, axis=0)))
    if span < 1e-6:
        raise ValueError(
            f"all antennas of tx and rx stand at one point, {points[0].tolist()} m, "
            "from which no image can be formed; wanted their positions in m"
        )
    if span > MAX_SPAN:
        raise ValueError(
            f"tx and rx span {span:g} m; they look like mm or cm: wanted m (for an "
            "array that really is so large, raise sparsesolve.scan.MAX_SPAN)"
        )


def _channels(value: Array | None, n_tx: int, n_rx: int) -> np.ndarray[Any, Any] | None:
    if value is None:
        return None
    pairs = checks.real_array("channels", value).astype(np.float64, copy=False)
    if pairs.ndim != 2 or pairs.shape[1] != 2:
        raise ValueError(
            f"channels has shape {pairs.shape}; wanted (n_channels, 2), a pair a row"
        )
    whole = pairs.astype(np.int64)
    if np.any(whole != pairs):
        raise ValueError("channels has fractions; wanted whole indices from zero")
    if np.any(whole < 0) or np.any(whole >= (n_tx, n_rx)):
        one_based = whole.min() >= 1 and np.all(whole <= (n_tx, n_rx))
        raise ValueError(
            f"channels has indices from {whole.min()} to {whole.max()} for {n_tx} "
            f"transmitters and {n_rx} receivers; wanted indices from zero"
            + ("; they look one-based: subtract 1" if one_based else "")
        )
    found, first = np.unique(whole, axis=0, return_index=True)
    if len(found) < len(whole):
        twin = min(set(range(len(whole))) - set(first.tolist()))
        raise ValueError(
            f"channels[{twin}] repeats the pair {whole[twin].tolist()}; wanted each "
            "once (average repeated measurements)"
        )
    return whole


def _data(value: Array, wanted: Shape) -> Array:
    data = value if isinstance(value, LazyArray) else to_numpy(value)
    if data.dtype.kind != "c":
        raise TypeError(f"data holds {data.dtype} entries; wanted complex numbers")
    if data.shape == wanted:
        return data
    layout = "(n_freq, n_tx, n_rx)" if len(wanted) == 3 else "(n_freq, n_channels)"
    hint = checks.swapped(data.shape, wanted) if data.ndim == len(wanted) else ""
    if data.ndim == 2 and len(wanted) == 3:
        hint = "; a channel list needs channels="
    raise ValueError(
        f"data has shape {data.shape}; wanted {layout} = {wanted}, as freq, tx, rx and "
        f"channels say{hint}"
    )


def _mask(value: Array | None, data: Array) -> np.ndarray[Any, Any] | None:
    if value is None:
        return None
    mask = to_numpy(value)
    if mask.shape != data.shape:
        raise ValueError(
            f"mask has shape {mask.shape}; wanted {data.shape} like data"
            f"{checks.swapped(mask.shape, data.shape)}"
        )
    if mask.dtype.kind not in "biuf" or not np.all((mask == 0) | (mask == 1)):
        raise TypeError("mask has entries other than True and False (or 1 and 0)")
    if not np.any(mask):
        raise ValueError("mask is False everywhere; wanted at least one entry to use")
    return mask.astype(bool, copy=False)


def _finite_where(data: Array, mask: np.ndarray[Any, Any] | None) -> None:
    if isinstance(data, LazyArray):
        return
    bad = ~np.isfinite(data) if mask is None else ~np.isfinite(data) & mask
    if np.any(bad):
        said = checks.unusable("data", bad)
        raise ValueError(f"{said}; clean them or exclude them with mask=")
