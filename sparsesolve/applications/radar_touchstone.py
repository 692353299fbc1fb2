"""Scans from Touchstone files, as network analysers write them."""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sparsesolve.applications.radar_csv import read_positions
from sparsesolve.hdf5 import require_file
from sparsesolve.operators.grid import Floats, metres
from sparsesolve.operators.near_field import LIGHT
from sparsesolve.scan import RadarScan

__all__ = ["from_touchstone"]

_PARAMETER = re.compile(r"s(\d)(\d)|s(\d+)[_,](\d+)", re.IGNORECASE)


def from_touchstone(
    files: str | Path | Sequence[str | Path],
    positions: Any,
    channels: Any = None,
    *,
    speed: float = LIGHT,
    noise: float | None = None,
    dtype: Any = "complex64",
) -> RadarScan:
    """Read a scan from Touchstone files (.s1p, .s2p, ..., .ts).

    Every file holds the S-parameters of its ports, and every port stood somewhere; that
    is all that distinguishes one antenna on a raster, two that move, and an array
    behind one many-port analyser.

    Parameters
    ----------
    files : path or sequence of paths
        In the order of `positions`.
    positions : array_like, m, or path
        Where the ports stood: ``(n_files, 3)``, one place a file, for the single
        antenna of a raster; ``(n_ports, 3)`` for one file; ``(n_files, n_ports, 3)``
        for all else. A path is read by `read_positions`.
    channels : str, sequence of str, or (n, 2) sequence of int, optional
        What to take of each file: parameters such as ``"S21"`` (received at port 2,
        sent from port 1), or pairs (sending port, receiving port) counted from zero.
        By default S11 of single-port files, and of others all transmissions between
        different ports.
    speed : float, m/s
        Wave speed in the medium; by default in vacuum.
    noise : float, optional
        Standard deviation of a complex datum, if known.
    dtype : complex64 or complex128
        Of the data: single precision is 140 dB below each of them, and what images are
        then computed in.

    Returns
    -------
    RadarScan
        Data (n_freq, n_channels), file by file; a transmitter for each
        place that sends and a receiver for each that receives, in the order of the
        files. Entries that are NaN in a file are masked. The sign is -1, the network
        analyser's.

    Raises
    ------
    ImportError
        scikit-rf is not installed.
    OSError, ValueError
        A file is missing, foreign or truncated; the files differ in their frequencies
        or ports; positions do not fit; two channels are between the same places.

    Warns
    -----
    UserWarning
        The files are in alphabetical order where numbers in their names are not.

    Examples
    --------
    One antenna moved over a raster, S11 in a file a position:

    >>> from sparsesolve.applications import radar
    >>> files = [f"raster/{i:04d}.s1p" for i in range(441)]
    >>> scan = radar.from_touchstone(files, "positions.csv")  # doctest: +SKIP

    A transmitter and a receiver moved apart, six columns in the file of positions:

    >>> files = [f"pair{i}.s2p" for i in range(156)]
    >>> scan = radar.from_touchstone(files, "pairs.csv", "S21")  # doctest: +SKIP

    An array of eight antennas behind an eight-port analyser:

    >>> scan = radar.from_touchstone("array.s8p", "array.csv")  # doctest: +SKIP
    """
    if np.dtype(dtype) not in (np.complex64, np.complex128):
        raise TypeError(f"dtype is {dtype!r}; wanted complex64 or complex128")
    listed = [files] if isinstance(files, (str, Path)) else files
    paths = [require_file(path) for path in listed]
    if not paths:
        raise ValueError("files is empty; wanted at least one Touchstone file")
    _refuse_twins(paths)
    _warn_of_alphabet(paths)
    if isinstance(positions, (str, Path)):
        positions = read_positions(positions)
    points = metres("positions", positions)
    _fits(points, len(paths))
    freq, first = _read(paths[0])
    n_ports = first.shape[1]
    pairs = _pairs(channels, n_ports)
    places = _places(points, len(paths), n_ports)
    tx, senders = _distinct(places[:, pairs[:, 0]])
    rx, receivers = _distinct(places[:, pairs[:, 1]])
    indices = np.stack([senders, receivers], axis=1)
    _refuse_repeats(indices, paths, pairs)
    data = np.empty((len(freq), len(paths), len(pairs)), dtype)
    for i, path in enumerate(paths):
        hertz, s = (freq, first) if i == 0 else _read(path)
        _same_sweep(paths[0], freq, n_ports, path, hertz, s.shape[1])
        data[:, i] = s[:, pairs[:, 1], pairs[:, 0]]
    flat = data.reshape(len(freq), -1)
    measured = np.isfinite(flat)
    return RadarScan(
        data=flat if measured.all() else np.where(measured, flat, flat.dtype.type(0)),
        freq=freq,
        tx=tx,
        rx=rx,
        channels=indices,
        mask=None if measured.all() else measured,
        speed=speed,
        noise=noise,
    )


def _read(path: Path) -> tuple[Floats, NDArray[np.complex128]]:
    """Return frequencies (n,) in Hz and S-parameters (n, to port, from port)."""
    try:
        # Not skrf.Network, which tries to unpickle a file before it reads it.
        from skrf.io.touchstone import Touchstone
    except ImportError as error:
        raise ImportError(
            "reading Touchstone files needs scikit-rf: pip install "
            "sparsesolve[touchstone]"
        ) from error
    try:
        found = Touchstone(str(path))
        freq, s = map(np.asarray, found.get_sparameter_arrays())
    # Damaged files make scikit-rf raise errors of half a dozen types.
    except Exception as error:
        raise ValueError(
            f"{path} cannot be read as a Touchstone file: truncated, damaged or of "
            f"another format ({' '.join(str(error).split())})"
        ) from error
    if freq.size == 0:
        raise ValueError(f"{path} holds no S-parameters; wanted a Touchstone file")
    promised = getattr(found, "frequency_nb", None)
    if promised is not None and promised != freq.size:
        raise ValueError(
            f"{path} promises {promised} frequencies and holds {freq.size}; it is "
            "truncated: export it again"
        )
    return freq, s


def _fits(points: Floats, n_files: int) -> None:
    if points.ndim not in (2, 3) or points.shape[-1] != 3:
        swapped = "; is it transposed?" if points.shape[:1] == (3,) else ""
        raise ValueError(
            f"positions has shape {points.shape}; wanted (n_files, 3), or (n_files, "
            f"n_ports, 3), in m{swapped}"
        )
    several = n_files > 1 or points.ndim == 3
    if several and len(points) != n_files:
        raise ValueError(
            f"positions has {len(points)} rows for {n_files} files; wanted one a file, "
            "in the same order"
        )


def _places(points: Floats, n_files: int, n_ports: int) -> Floats:
    """Return the place of each port of each file, (n_files, n_ports, 3) m."""
    if points.ndim == 2 and n_files > 1:
        return np.repeat(points[:, None], n_ports, axis=1)
    places = points if points.ndim == 3 else points[None]
    if places.shape[1] != n_ports:
        raise ValueError(
            f"positions has {places.shape[1]} places a file for {n_ports} ports; "
            "wanted one a port"
        )
    return places


def _pairs(channels: Any, n_ports: int) -> NDArray[np.int64]:
    """Return (n, 2) pairs of sending and receiving port."""
    if channels is None:
        ports = range(n_ports)
        chosen = [(t, r) for t in ports for r in ports if t != r or n_ports == 1]
    elif isinstance(channels, str):
        chosen = [_parameter(channels)]
    else:
        chosen = [_parameter(c) if isinstance(c, str) else c for c in channels]
    pairs = np.asarray(chosen)
    if pairs.ndim != 2 or pairs.shape[1] != 2 or pairs.dtype.kind not in "iu":
        raise ValueError(
            f"channels is {channels!r}; wanted parameters such as 'S21', or pairs "
            "(sending port, receiving port) counted from zero"
        )
    outside = pairs[(pairs < 0) | (pairs >= n_ports)]
    if outside.size:
        raise ValueError(
            f"channels asks for port {outside[0] + 1} (from one); the files have "
            f"{n_ports} ports: pairs count from zero, names such as 'S21' from one"
        )
    return pairs.astype(np.int64)


def _parameter(name: str) -> tuple[int, int]:
    found = _PARAMETER.fullmatch(name.strip())
    if found is None:
        raise ValueError(
            f"channels has {name!r}; wanted a parameter such as 'S21' or 'S12_3'"
        )
    to, sender = (int(digits) for digits in found.groups() if digits is not None)
    return sender - 1, to - 1


def _distinct(places: Floats) -> tuple[Floats, NDArray[np.int64]]:
    """Return the different places in order, and which of them each one is."""
    flat = places.reshape(-1, 3)
    _, first, which = np.unique(
        np.round(flat, 6), axis=0, return_index=True, return_inverse=True
    )
    order = np.argsort(first)
    return flat[first[order]], np.argsort(order)[which.reshape(-1)]


def _refuse_twins(paths: list[Path]) -> None:
    seen: set[str] = set()
    for path in paths:
        real = os.path.realpath(path)
        if real in seen:
            raise ValueError(f"files has {path} twice; wanted each file once")
        seen.add(real)


def _refuse_repeats(indices: Any, paths: list[Path], pairs: Any) -> None:
    seen: dict[tuple[int, int], int] = {}
    for i, pair in enumerate(map(tuple, indices.tolist())):
        if pair in seen:
            names = [
                f"S{r + 1}{t + 1} of {paths[n // len(pairs)].name}"
                for n in (seen[pair], i)
                for t, r in [pairs[n % len(pairs)]]
            ]
            raise ValueError(
                f"{names[0]} and {names[1]} were measured between the same places; "
                "wanted each pair of places once: look at positions, or choose channels"
            )
        seen[pair] = i


def _same_sweep(
    first: Path, freq: Floats, n_ports: int, path: Path, hertz: Floats, ports: int
) -> None:
    if ports != n_ports:
        raise ValueError(
            f"{path} has {ports} ports and {first} has {n_ports}; wanted the same"
        )
    if len(hertz) != len(freq):
        raise ValueError(
            f"{path} has {len(hertz)} frequencies and {first} has {len(freq)}; wanted "
            "the same sweep in all files (is one truncated?)"
        )
    other = np.flatnonzero(np.abs(hertz - freq) > 1e-6 * np.abs(freq))
    if other.size:
        i = int(other[0])
        raise ValueError(
            f"{path} and {first} differ in frequency {i}: {hertz[i]:.9g} and "
            f"{freq[i]:.9g} Hz; wanted the same sweep in all files"
        )


def _warn_of_alphabet(paths: list[Path]) -> None:
    """Warn where position 10 would get the file of position 2."""
    names = [str(path) for path in paths]
    natural = [
        [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", name)]
        for name in names
    ]
    shapes = {tuple(type(part) for part in key) for key in natural}
    if len(shapes) == 1 and names == sorted(names) and natural != sorted(natural):
        warnings.warn(
            "files are in alphabetical order, in which 10 comes before 2; check that "
            "positions are in the same order, or sort files by their numbers",
            stacklevel=3,
        )
