"""Dead pixels, no-data and constant bands of a cube that was read from a file."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sparsesolve.cube import TILE_BYTES

Flags = NDArray[np.bool_]

_NAMED_BANDS = 8


def screen(
    data: Any, good: Flags, valid: Flags, ignore: NDArray[np.float64]
) -> tuple[Flags, Flags, tuple[str, ...]]:
    """Find what holds no measurement.

    First pixels that are zero or no-data in every good band, which are dead; then,
    among the others, bands that hold one value everywhere, which are not good (water
    vapour bands are often filled whole); then pixels with no-data left in a good band.

    Parameters
    ----------
    data : (rows, cols, bands) array
        May be left in its file; read twice, in blocks of 64 MiB.
    good : (bands,) bool array
        Bands that the file calls good; the others are not looked at.
    valid : (rows, cols) bool array
        Pixels that the file calls valid.
    ignore : (bands,) float array
        No-data value of each band beside NaN and infinity; NaN: none.

    Returns
    -------
    good, valid : bool arrays
        As given, with the findings set to False.
    steps : tuple of str
        What was found, a sentence each.

    Raises
    ------
    ValueError
        Every pixel is zero or no-data.
    """
    good, valid, steps = good.copy(), valid.copy(), []
    dead, holes = np.zeros_like(valid), False
    low, high = np.full(good.size, np.inf), np.full(good.size, -np.inf)
    for rows, block, gaps in _blocks(data, good, ignore):
        there = block != 0 if gaps is None else (block != 0) & ~gaps
        dead[rows] = valid[rows] & ~np.any(there, axis=-1)
        kept = valid[rows] & ~dead[rows]
        if not np.any(kept):
            continue
        least, most = _range(block, gaps, kept)
        low[good], high[good] = (
            np.minimum(low[good], least),
            np.maximum(high[good], most),
        )
        holes |= gaps is not None
    valid &= ~dead
    if np.any(dead):
        steps.append(
            f"dead pixels: {int(dead.sum())} pixels are zero or no-data in every good "
            "band; marked invalid"
        )
    if not np.any(valid):
        raise ValueError("every pixel is zero or no-data; wanted at least one spectrum")
    flat = good & (low >= high)
    if np.all(flat[good]):  # equal pixels, not dead bands
        flat = good & ((low == 0) & (high == 0) | (low > high))
    if np.any(flat):
        good &= ~flat
        steps.append(
            f"constant bands: bands {_listing(flat)} hold one value everywhere; marked "
            "not good"
        )
    holed = np.zeros_like(valid)
    for rows, _, gaps in _blocks(data, good, ignore) if holes else ():
        if gaps is not None:
            holed[rows] = valid[rows] & np.any(gaps, axis=-1)
    if np.any(holed):
        valid &= ~holed
        steps.append(
            f"no-data: {int(holed.sum())} pixels hold NaN or the ignore value in a "
            "good band; marked invalid"
        )
    if not np.any(valid):
        raise ValueError(
            "every pixel holds NaN or the ignore value in some good band; mark those "
            "bands as bad (bbl in an ENVI header)"
        )
    return good, valid, tuple(steps)


def _blocks(
    data: Any, good: Flags, ignore: NDArray[np.float64]
) -> Iterator[tuple[slice, NDArray[Any], Flags | None]]:
    """Yield rows, their entries in good bands, and where those hold no-data, if any."""
    rows, cols, bands = data.shape
    step = max(1, TILE_BYTES // (8 * cols * bands))
    for first in range(0, rows, step):
        window = slice(first, min(first + step, rows))
        block = np.asarray(data[window])
        block = block if np.all(good) else block[..., good]
        yield window, block, _gaps(block, ignore[good])


def _gaps(block: NDArray[Any], ignore: NDArray[np.float64]) -> Flags | None:
    """Return where a block holds no-data; None if nowhere."""
    real = block.dtype.kind == "f"
    found = ~np.isfinite(block) if real else None
    if not np.all(np.isnan(ignore)):
        # A value printed in a header has to be rounded as the data are.
        with np.errstate(invalid="ignore", over="ignore"):
            stored = ignore.astype(block.dtype)
        same = (block == stored) if real else (block == stored) & (stored == ignore)
        found = same if found is None else found | same
    return found if found is not None and np.any(found) else None


def _range(
    block: NDArray[Any], gaps: Flags | None, kept: Flags
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return least and largest entry of each band among the pixels kept."""
    pixels = block.reshape(-1, block.shape[-1])
    whole = bool(np.all(kept))
    pixels = pixels if whole else pixels[kept.reshape(-1)]
    if gaps is None:
        return pixels.min(axis=0), pixels.max(axis=0)
    without = gaps.reshape(pixels.shape) if whole else gaps[kept]
    return (
        np.where(without, np.inf, pixels).min(axis=0),
        np.where(without, -np.inf, pixels).max(axis=0),
    )


def _listing(flags: Flags) -> str:
    numbers = [str(i) for i in np.flatnonzero(flags)]
    more = len(numbers) - _NAMED_BANDS
    tail = f" and {more} more" if more > 0 else ""
    return f"{', '.join(numbers[:_NAMED_BANDS])}{tail} (from 0)"
