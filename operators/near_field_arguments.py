"""Checks of the arguments of `NearFieldMIMO`; each error is one sentence."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sparsesolve import checks
from sparsesolve.backends import Shape
from sparsesolve.operators.grid import Floats, Grid, metres

_LOWEST_HERTZ = 1e6


def antenna_positions(name: str, values: Any) -> Floats:
    """Return (n, 3) positions in m."""
    positions = metres(name, values)
    if positions.ndim != 2 or positions.shape[1] != 3:
        raise ValueError(
            f"{name} has shape {positions.shape}; wanted (n_antennas, 3), one row of "
            f"x, y, z in m per antenna{_transposed(positions)}"
        )
    return positions


def _transposed(positions: Floats) -> str:
    return "; is it transposed?" if positions.shape[:1] == (3,) else ""


def frequencies(values: Any) -> Floats:
    """Return (n,) positive frequencies in Hz."""
    freq = np.array(values, dtype=np.float64)
    checks.finite("freq", freq)
    if freq.ndim != 1:
        raise ValueError(f"freq has shape {freq.shape}; wanted (n_freq,)")
    if np.any(freq <= 0):
        raise ValueError(
            f"freq has entries <= 0, such as {freq.min():g}; wanted Hz > 0"
        )
    if freq.max() < _LOWEST_HERTZ:
        raise ValueError(
            f"freq looks like GHz (it spans {freq.min():g} to {freq.max():g}); wanted "
            "Hz, for instance 1e9 * freq"
        )
    return freq


def channel_pairs(values: Any, n_tx: int, n_rx: int) -> NDArray[np.int64]:
    """Return (n, 2) indices of transmitter and receiver; None means all pairs."""
    if values is None:
        return np.stack(np.divmod(np.arange(n_tx * n_rx), n_rx), axis=1)
    pairs = np.array(values)
    if pairs.ndim != 2 or pairs.shape[1] != 2 or pairs.size == 0:
        raise ValueError(
            f"channels has shape {pairs.shape}; wanted (n_channels, 2), one row of "
            "transmitter and receiver index per channel"
        )
    if pairs.dtype.kind not in "iu":
        raise TypeError(f"channels holds {pairs.dtype}; wanted integers")
    for name, column, n in (("transmitter", 0, n_tx), ("receiver", 1, n_rx)):
        low, high = int(pairs[:, column].min()), int(pairs[:, column].max())
        if low < 0 or high >= n:
            one_based = low >= 1 and high == n
            hint = "; they seem to count from one: subtract 1" if one_based else ""
            raise ValueError(
                f"channels has {name} indices from {low} to {high}; wanted 0 to "
                f"{n - 1}{hint}"
            )
    return pairs.astype(np.int64)


def broadcastable(
    name: str, values: Any, dtype: np.dtype[Any], shape: Shape
) -> NDArray[Any] | None:
    """Return `values` as `dtype`, refused unless finite and broadcasting to `shape`."""
    if values is None:
        return None
    array = np.array(values)
    checks.finite(name, array)
    if dtype.kind == "b" and array.dtype.kind != "b":
        raise TypeError(f"{name} holds {array.dtype}; wanted bool, True where valid")
    try:
        np.broadcast_to(array, shape)
    except ValueError:
        raise ValueError(
            f"{name} has shape {array.shape}; wanted {shape} or a shape that "
            f"broadcasts to it{checks.swapped(array.shape, shape)}"
        ) from None
    if dtype.kind == "b" and not array.any():
        raise ValueError(f"{name} is False everywhere; wanted at least one valid datum")
    return array.astype(dtype)


def refuse_antenna_in_voxel(name: str, positions: Floats, grid: Grid) -> None:
    """Refuse an antenna nearer to a voxel centre than half a voxel's diagonal."""
    reach = 0.5 * float(np.linalg.norm(grid.spacing))
    offsets = [
        np.abs(positions[:, i, None] - axis[None, :])
        for i, axis in enumerate(grid.axes)
    ]
    suspects = np.sqrt(sum(o.min(axis=1) ** 2 for o in offsets)) <= reach
    region = np.ones(grid.shape, bool) if grid.region is None else grid.region
    for i in np.flatnonzero(suspects):
        squared = (offsets[0][i, :, None, None] ** 2 + offsets[1][i, :, None] ** 2) + (
            offsets[2][i] ** 2
        )
        nearest = float(np.sqrt(squared[region].min()))
        if nearest <= reach:
            raise ValueError(
                f"{name} antenna {i} at {tuple(positions[i].tolist())} m is "
                f"{1e3 * nearest:.3g} mm from a voxel centre, inside the voxel, where "
                "the field is infinite; move the grid away or leave the voxel out of "
                "its region (Grid.within)"
            )
