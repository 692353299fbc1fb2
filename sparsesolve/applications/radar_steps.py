"""From raw to usable data: the steps before imaging, each a plain function.

Each takes a scan, returns another, and adds one sentence to ``scan.steps``. Their order
is mask, subtract, delay, calibrate (`radar_calibration`) and range gate (`radar_gate`);
a step out of turn warns.
"""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import Any

import numpy as np

from sparsesolve import checks
from sparsesolve.operators.grid import Floats
from sparsesolve.operators.near_field_arguments import channel_pairs
from sparsesolve.scan import RadarScan

__all__ = [
    "both_masks",
    "mask_channels",
    "measured_alike",
    "record_step",
    "remove_delay",
    "subtract",
]

_ORDER = "mask", "subtract", "delay", "calibrate", "range gate"

MAX_DELAY = 1e-6
"""Longest plausible delay of an antenna and its cable, s: 200 m of coaxial cable."""


def record_step(
    before: RadarScan, after: RadarScan, sentence: str, *, stacklevel: int = 3
) -> RadarScan:
    """Return `after` with the steps of `before` and one more.

    Parameters
    ----------
    before, after : RadarScan
    sentence : str
        Starts with the step's name (mask, subtract, delay, calibrate or range gate)
        and a colon.
    stacklevel : int
        Of the warning: 3 is who called the function that calls this one.

    Warns
    -----
    UserWarning
        A step that belongs behind this one was done already.
    """
    name = sentence.partition(":")[0]
    done = {step.partition(":")[0] for step in before.steps}
    late = [other for other in _ORDER[_ORDER.index(name) + 1 :] if other in done]
    if late:
        warnings.warn(
            f"{name} comes after {' and '.join(late)}, which it can no longer help; "
            f"the order is {', '.join(_ORDER)}",
            stacklevel=stacklevel,
        )
    return replace(after, steps=(*before.steps, sentence))


def mask_channels(
    scan: RadarScan,
    *,
    tx: Any = (),
    rx: Any = (),
    channels: Any = (),
    freq: Any = (),
    dead: bool = True,
    outliers_db: float | None = None,
) -> RadarScan:
    """Return the scan without the entries that are not to be used.

    Nothing is cut out: ``scan.mask`` is False there, and data there are 0.

    Parameters
    ----------
    scan : RadarScan
    tx, rx, freq : sequences of int
        Transmitters, receivers and frequencies to leave out, counted from zero.
    channels : (n, 2) sequence of int
        Pairs (transmitter, receiver) to leave out.
    dead : bool
        Whether to leave out entries that are NaN or infinite (of data that were left
        in their file), and channels that are zero at all frequencies.
    outliers_db : float, optional
        Leave out channels whose mean power is farther than this from the median of
        all, in dB. By default none: coupling makes neighbours 40 dB stronger than
        others before it is subtracted; 20 is a start afterwards.

    Raises
    ------
    ValueError
        An index is not among the scan's, or nothing would be left.
    """
    checks.instance("scan", scan, RadarScan)
    scan = scan.in_convention()
    data = np.asarray(scan.data)
    pairs = channel_pairs(scan.channels, len(scan.tx), len(scan.rx))
    flat = data.reshape(len(data), -1)
    before = np.ones(flat.shape, bool)
    if scan.mask is not None:
        before = scan.mask.reshape(flat.shape)
    use, notes = before.copy(), []
    for name, column, chosen in (("tx", 0, tx), ("rx", 1, rx)):
        indices = _indices(name, chosen, len(getattr(scan, name)))
        use[:, np.isin(pairs[:, column], indices)] = False
        notes += _note(name, indices)
    listed = _listed(channels, pairs)
    use[:, listed] = False
    notes += _note("pair", [f"{t}-{r}" for t, r in pairs[listed].tolist()])
    indices = _indices("freq", freq, len(data))
    use[indices] = False
    notes += _note("frequency", indices)
    if dead:
        finite = np.isfinite(flat)
        notes += _note("entries not finite:", [int(np.sum(use & ~finite))], zero=False)
        use &= finite
        silent = ~np.any(np.where(use, flat, 0), axis=0) & use.any(axis=0)
        use[:, silent] = False
        notes += _note("channels dead:", [int(silent.sum())], zero=False)
    if outliers_db is not None:
        far = _outlying(flat, use, checks.positive_number("outliers_db", outliers_db))
        use[:, far] = False
        notes += _note("channels out of line:", [int(far.sum())], zero=False)
    if not use.any():
        raise ValueError(
            f"mask_channels would leave out all {use.size} entries "
            f"({'; '.join(notes)}); wanted some to be left"
        )
    clean = np.where(use, flat, data.dtype.type(0)).reshape(data.shape)
    masked = replace(scan, data=clean, mask=use.reshape(data.shape))
    n = int(before.sum() - use.sum())
    return record_step(
        scan,
        masked,
        f"mask: left out {n} of {int(before.sum())} entries"
        + (f" ({'; '.join(notes)})" if notes else ""),
    )


def subtract(scan: RadarScan, reference: RadarScan) -> RadarScan:
    """Return the scan minus a reference: an empty scene, or the object rotated.

    What both hold, coupling between antennas and a rotationally symmetric skin,
    disappears. A rotated object leaves a negative copy of its targets, turned by the
    same angle, in the difference.

    Parameters
    ----------
    scan, reference : RadarScan
        Measured by the same antennas at the same frequencies.

    Returns
    -------
    RadarScan
        Entries valid in both; the two noises, if known, added in quadrature.

    Raises
    ------
    ValueError
        The two were not measured alike; the sentence names what differs.
    """
    measured_alike(scan, reference)
    scan, reference = scan.in_convention().read(), reference.in_convention().read()
    noise = None
    if scan.noise is not None and reference.noise is not None:
        noise = float(np.hypot(scan.noise, reference.noise))
    mask = both_masks(scan.mask, reference.mask)
    difference = replace(scan, data=scan.data - reference.data, mask=mask, noise=noise)
    used = scan.data.size if mask is None else int(mask.sum())
    return record_step(
        scan, difference, f"subtract: minus a reference scan, {used} entries in both"
    )


def remove_delay(
    scan: RadarScan,
    *,
    tx: Any = 0.0,
    rx: Any = 0.0,
    tx_phase: Any = 0.0,
    rx_phase: Any = 0.0,
) -> RadarScan:
    r"""Return the scan as if measured at the antennas' phase centres.

    ``y[k, t, r] * exp(j 2π f_k (τ_t + τ_r) - j (φ_t + φ_r))``

    Parameters
    ----------
    scan : RadarScan
    tx, rx : float or (n_tx,) and (n_rx,) array_like, s
        Delay τ of each transmitter and receiver, with its cable and its part of the
        electronics; one number for all.
    tx_phase, rx_phase : float or (n_tx,) and (n_rx,) array_like, rad
        Constant phase φ that each adds, in the convention e^{+jωt} of the instrument.

    Raises
    ------
    ValueError
        An array of another length, a delay above a microsecond (which looks like ns,
        ps or m), or a phase of more than a turn (which looks like degrees).
    """
    checks.instance("scan", scan, RadarScan)
    scan = scan.in_convention().read()
    delays = _per_antenna("tx", tx, len(scan.tx)), _per_antenna("rx", rx, len(scan.rx))
    for name, delay in zip(("tx", "rx"), delays, strict=True):
        if np.abs(delay).max() > MAX_DELAY:
            raise ValueError(
                f"{name} has a delay of {delay[np.argmax(np.abs(delay))]:g} s, which "
                "looks like ns, ps or m; wanted s, such as 1.5e-9"
            )
    phases = (
        _per_antenna("tx_phase", tx_phase, len(scan.tx)),
        _per_antenna("rx_phase", rx_phase, len(scan.rx)),
    )
    for name, phase in zip(("tx_phase", "rx_phase"), phases, strict=True):
        if np.abs(phase).max() > 2 * np.pi * (1 + 1e-9):
            raise ValueError(
                f"{name} goes to {phase[np.argmax(np.abs(phase))]:g}, more than a turn "
                "of 2π, which looks like degrees; wanted rad, as numpy.deg2rad gives"
            )
    pairs = channel_pairs(scan.channels, len(scan.tx), len(scan.rx)).T
    delay = delays[0][pairs[0]] + delays[1][pairs[1]]
    turn = phases[0][pairs[0]] + phases[1][pairs[1]]
    factor = np.exp(1j * (2 * np.pi * scan.freq[:, None] * delay - turn))
    data = scan.data * factor.reshape(scan.data.shape).astype(scan.data.dtype)
    low, high = 1e9 * delay.min(), 1e9 * delay.max()
    said = f"delay: took {low:.6g} to {high:.6g} ns off the channels"
    if turn.any():
        said += f", and phases of {turn.min():.4g} to {turn.max():.4g} rad"
    return record_step(scan, replace(scan, data=data), said)


def measured_alike(scan: RadarScan, reference: RadarScan) -> None:
    """Refuse two scans of different antennas, frequencies or speeds."""
    checks.instance("scan", scan, RadarScan)
    checks.instance("reference", reference, RadarScan)
    for name in ("freq", "tx", "rx", "channels", "speed"):
        if not _same(getattr(scan, name), getattr(reference, name)):
            raise ValueError(
                f"{name} of the scan and of the reference differ; wanted the same "
                "antennas, frequencies and speed in both"
            )


def _same(one: Any, other: Any) -> bool:
    if one is None or other is None:
        return one is other
    return np.shape(one) == np.shape(other) and bool(np.allclose(one, other, atol=1e-9))


def both_masks(*masks: Any) -> Any:
    """Return the mask of entries that all have; None is a mask of all."""
    known = [mask for mask in masks if mask is not None]
    return np.logical_and.reduce(known) if known else None


def _indices(name: str, chosen: Any, n: int) -> list[int]:
    indices = np.atleast_1d(np.asarray(chosen))
    if indices.size == 0:
        return []
    if indices.ndim != 1 or indices.dtype.kind not in "iu":
        raise ValueError(f"{name} is {chosen!r}; wanted whole indices from zero")
    if indices.min() < 0 or indices.max() >= n:
        raise ValueError(
            f"{name} has indices from {indices.min()} to {indices.max()}; wanted 0 to "
            f"{n - 1}"
        )
    return sorted(set(indices.tolist()))


def _listed(channels: Any, pairs: Any) -> list[int]:
    wanted = np.asarray(channels)
    if wanted.size == 0:
        return []
    if wanted.ndim != 2 or wanted.shape[1] != 2:
        raise ValueError(
            f"channels has shape {wanted.shape}; wanted (n, 2), pairs of transmitter "
            "and receiver"
        )
    column = {tuple(pair): i for i, pair in enumerate(pairs.tolist())}
    for pair in wanted.tolist():
        if tuple(pair) not in column:
            raise ValueError(
                f"channels has the pair {tuple(pair)}, which the scan has not measured"
            )
    return [column[tuple(pair)] for pair in wanted.tolist()]


def _outlying(flat: Any, use: Any, limit_db: float) -> Any:
    counts = use.sum(axis=0)
    power = np.sum(np.abs(np.where(use, flat, 0)) ** 2, axis=0) / np.maximum(counts, 1)
    heard = (counts > 0) & (power > 0)
    if not heard.any():
        return np.zeros(len(counts), bool)
    level = 10 * np.log10(np.where(heard, power, 1))
    return heard & (np.abs(level - np.median(level[heard])) > limit_db)


def _note(what: str, items: list[Any], *, zero: bool = True) -> list[str]:
    """Return what to say of some items: nothing if there are none."""
    if not items or (not zero and items == [0]):
        return []
    more = f" and {len(items) - 8} more" if len(items) > 8 else ""
    return [f"{what} {', '.join(map(str, items[:8]))}{more}"]


def _per_antenna(name: str, value: Any, n: int) -> Floats:
    array = np.asarray(value)
    if array.dtype.kind not in "iuf":
        raise TypeError(f"{name} holds {array.dtype} entries; wanted real numbers")
    if array.shape not in ((), (n,)):
        raise ValueError(
            f"{name} has shape {array.shape}; wanted one number or ({n},), one an "
            "antenna"
        )
    checks.finite(name, array)
    return np.broadcast_to(array.astype(np.float64), (n,))
