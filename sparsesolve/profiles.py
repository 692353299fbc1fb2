"""Numbers of a peak in one dimension: its width and the sidelobes around it.

They are part of `sparsesolve.metrics`, where users find them.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from sparsesolve import checks
from sparsesolve.backends import Array, to_numpy

__all__ = ["integrated_sidelobe", "peak_sidelobe", "peak_width"]

Floats = NDArray[np.float64]


def peak_width(
    profile: Array, positions: Array, *, drop_db: float = 3.0, peak: int | None = None
) -> float:
    """Return the width of a peak of |profile|, `drop_db` below its top.

    Crossings are interpolated linearly in dB; the unit is that of `positions`.

    Parameters
    ----------
    profile, positions : (n,) arrays
        Positions increase.
    drop_db : float, dB
    peak : int, optional
        Index of the peak; by default the largest one's.

    Raises
    ------
    ValueError
        The peak does not fall by `drop_db` on both sides within the profile.
    """
    db, top = _levels(profile, peak)
    where = _positions_of(db, positions)
    ends = []
    for step in (-1, 1):
        i = top
        while 0 <= i < len(db) and db[i] > -drop_db:
            i += step
        if not 0 <= i < len(db):
            raise ValueError(
                f"the peak does not fall by {drop_db:g} dB within the profile; take a "
                "longer one"
            )
        ends.append(
            np.interp(-drop_db, [db[i], db[i - step]], [where[i], where[i - step]])
        )
    return float(abs(ends[1] - ends[0]))


def peak_sidelobe(profile: Array, *, peak: int | None = None) -> float:
    """Return the level of the largest sidelobe of |profile| below its peak, in dB.

    The main lobe ends at the first minimum on each side of the peak, so the profile
    must be sampled finely. It is -inf where the main lobe fills the profile.

    Parameters
    ----------
    profile : (n,) array
    peak : int, optional
        Index of the peak; by default the largest one's.
    """
    db, top = _levels(profile, peak)
    first, last = _main_lobe(db, top)
    return float(
        max(db[:first].max(initial=-np.inf), db[last + 1 :].max(initial=-np.inf))
    )


def integrated_sidelobe(
    profile: Array, positions: Array, *, peak: int | None = None
) -> float:
    """Return the energy outside the main lobe over that inside, in dB.

    Integrals of |profile|² over `positions`; main lobe and `peak` as in
    `peak_sidelobe`.
    """
    db, top = _levels(profile, peak)
    where = _positions_of(db, positions)
    first, last = _main_lobe(db, top)
    power = 10 ** (db / 10)
    ends = slice(0, first + 1), slice(last, None)
    outside = float(sum(np.trapezoid(power[end], where[end]) for end in ends))
    main = slice(first, last + 1)
    inside = float(np.trapezoid(power[main], where[main]))
    return 10 * math.log10(outside / inside) if outside > 0 else -math.inf


def _levels(profile: Array, peak: int | None) -> tuple[Floats, int]:
    """The profile in dB below its peak, and the peak's index."""
    checks.finite("profile", profile)
    level = np.asarray(np.abs(to_numpy(profile)), np.float64)
    if level.ndim != 1 or not level.any():
        raise ValueError(
            f"profile has shape {level.shape} and {np.count_nonzero(level)} non-zero "
            "entries; wanted one axis with a peak"
        )
    top = int(np.argmax(level)) if peak is None else peak
    around = level[max(top - 1, 0) : top + 2]
    if not 0 <= top < level.size or level[top] < around.max() or level[top] == 0:
        raise ValueError(
            f"peak is {peak}; wanted the index of a maximum among {level.size} entries"
        )
    floor = np.finfo(np.float64).tiny
    return 20 * np.log10(np.maximum(level / level[top], floor)), top


def _positions_of(profile: Floats, positions: Array) -> Floats:
    checks.finite("positions", positions)
    where = np.asarray(to_numpy(positions), dtype=np.float64)
    if where.shape != profile.shape:
        raise ValueError(
            f"profile has shape {profile.shape} and positions {where.shape}; wanted "
            "one axis of equal length"
        )
    if np.any(np.diff(where) <= 0):
        raise ValueError("positions do not increase; sort them, and profile with them")
    return where


def _main_lobe(db: Floats, top: int) -> tuple[int, int]:
    """Indices of the first minimum on each side of the peak, or of the ends."""
    first = last = top
    while first > 0 and db[first - 1] <= db[first]:
        first -= 1
    while last < len(db) - 1 and db[last + 1] <= db[last]:
        last += 1
    return first, last
