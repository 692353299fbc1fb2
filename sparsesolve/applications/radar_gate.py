"""The range gate: only echoes whose path has a length of interest are kept."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.linalg import toeplitz

from sparsesolve import checks
from sparsesolve.applications.radar_steps import record_step
from sparsesolve.backends import real_dtype
from sparsesolve.operators.grid import Floats
from sparsesolve.scan import RadarScan

__all__ = ["range_gate"]

_WINDOWS = "tukey", "rectangular"

_FINE = 8
"""Delays looked at per frequency: between two of them no echo hides."""

_COVERED = 0.3
"""Share of the gate's kernel that must lie on measured frequencies for a datum to be
formed: at the ends of the band it is half, in the middle of a gap next to nothing."""


def range_gate(
    scan: RadarScan, near: float, far: float, *, window: str = "tukey"
) -> RadarScan:
    r"""Return the scan with only the echoes between two ranges.

    The range is half the path from the transmitter over the target to the receiver,
    ``(R_t + R_r) / 2``: the distance from a monostatic antenna, and more than the
    target's depth for antennas that stand apart or aside.

    Parameters
    ----------
    scan : RadarScan
        Of equally spaced frequencies.
    near, far : float, m
        Kept in full.
    window : "tukey" or "rectangular"
        What is beyond falls to nothing over one range cell c/2B as half a cosine wave,
        or at once. Sharp edges ring: rectangular is for gates in empty ranges.

    Returns
    -------
    RadarScan
        Its noise, if known, is that which the gate lets through; it is no longer
        independent from one frequency to the next.

    Raises
    ------
    ValueError
        Frequencies are not equally spaced; the gate is narrower than a range cell,
        reaches beyond the unambiguous range c/2Δf, lets everything through or nothing.

    Warns
    -----
    UserWarning
        No echo in the gate stands out, so it may have removed the target.

    Notes
    -----
    Each channel is convolved over frequency with the transform of the window, moved to
    the middle of the gate, and divided by the same convolution of the frequencies that
    were measured. So the ends of the band and masked data do not look like echoes
    fading: exactly for a target in the middle of the gate, nearly so for others. Data
    that too few neighbours support are masked.
    """
    if window not in _WINDOWS:
        raise ValueError(f"window is {window!r}; wanted one of {', '.join(_WINDOWS)}")
    checks.instance("scan", scan, RadarScan)
    scan = scan.in_convention().read()
    gate = _Gate.of(scan, near, far, window)
    flat = scan.data.reshape(len(scan.freq), -1)
    use = np.ones(flat.shape, bool)
    if scan.mask is not None:
        use = scan.mask.reshape(flat.shape)
    measured = np.where(use, flat, flat.dtype.type(0))
    real = real_dtype(flat.dtype)
    kernel = gate.kernel()
    cover = kernel.astype(real) @ use.astype(real)
    formed = use & (cover > _COVERED)
    if not formed.any():
        raise ValueError(
            "the range gate has too few measured frequencies around each datum; wanted "
            "a wider gate, or fewer masked frequencies"
        )
    share = _energy_kept(gate, measured)
    centre = np.exp(2j * math.pi * scan.freq * (gate.near + gate.far) / scan.speed)
    moved = measured * centre[:, None].astype(flat.dtype)
    gated = (
        kernel.astype(flat.dtype) @ moved * centre.conj()[:, None].astype(flat.dtype)
    )
    data = np.where(formed, gated, 0) / np.where(formed, cover, real.type(1))
    noise = scan.noise
    if noise is not None:
        spread = (kernel.astype(real) ** 2 @ use.astype(real))[formed]
        noise *= float(np.sqrt(np.mean(spread / cover[formed] ** 2)))
    gated_scan = replace(
        scan,
        data=data.astype(flat.dtype, copy=False).reshape(scan.data.shape),
        mask=None if formed.all() else formed.reshape(scan.data.shape),
        noise=noise,
    )
    flanks = f"{window} window" + (
        f" with flanks of {gate.flank:.3g} m" if gate.flank else ""
    )
    return record_step(
        scan,
        gated_scan,
        f"range gate: kept ranges of {gate.near:g} to {gate.far:g} m, {flanks}, "
        f"{100 * share:.3g} % of the energy",
    )


@dataclass(frozen=True)
class _Gate:
    near: float  # m
    far: float  # m
    flank: float  # m
    ambiguity: float  # m, the range after which delays repeat
    n_freq: int

    @classmethod
    def of(cls, scan: RadarScan, near: Any, far: Any, window: str) -> _Gate:
        near = checks.positive_number("near", near, zero=True)
        far = checks.positive_number("far", far)
        steps = np.diff(scan.freq)
        if len(steps) < 2 or np.ptp(steps) > 1e-3 * steps.mean():
            raise ValueError(
                f"freq has {len(scan.freq)} frequencies that are not equally spaced; "
                "wanted at least three that are (gate before frequencies are picked)"
            )
        ambiguity = float(scan.speed / (2 * steps.mean()))
        cell = float(scan.speed / (2 * (scan.freq[-1] - scan.freq[0])))
        if far > ambiguity:
            raise ValueError(
                f"far is {far:g} m, beyond the unambiguous range c/2Δf of "
                f"{ambiguity:.4g} m; wanted less (in m), or a finer frequency step"
            )
        if far - near < cell:
            raise ValueError(
                f"the range gate from {near:g} to {far:g} m is narrower than the range "
                f"cell c/2B of {cell:.3g} m and would remove everything; wanted far - "
                "near above it"
            )
        flank = cell if window == "tukey" else 0.0
        if far - near + 2 * flank >= ambiguity:
            raise ValueError(
                f"the range gate from {near:g} to {far:g} m with its flanks lets all "
                f"of the unambiguous {ambiguity:.4g} m through; wanted a narrower one"
            )
        return cls(near, far, flank, ambiguity, len(scan.freq))

    def weights(self, ranges: Floats) -> Floats:
        """Return the window at `ranges`, which repeat after the unambiguous one."""
        middle, half = (self.near + self.far) / 2, (self.far - self.near) / 2
        off = (ranges - middle + self.ambiguity / 2) % self.ambiguity
        beyond = np.abs(off - self.ambiguity / 2) - half
        if self.flank == 0:
            return np.asarray(beyond <= 0, np.float64)
        fall = np.clip(beyond / self.flank, 0, 1)
        return np.asarray((1 + np.cos(math.pi * fall)) / 2)

    def kernel(self) -> Floats:
        """Return the convolution over frequency, with the gate moved to delay zero."""
        n = _FINE * self.n_freq
        window = self.weights(
            (self.near + self.far) / 2 + self.ambiguity * np.arange(n) / n
        )
        # real, as the window is symmetric
        return np.asarray(toeplitz(np.fft.ifft(window).real[: self.n_freq]))


def _energy_kept(gate: _Gate, flat: Any) -> float:
    """Return the share of energy within the gate; refuse or warn if that is none."""
    n = _FINE * gate.n_freq
    taper = np.hanning(gate.n_freq + 2)[1:-1, None].astype(real_dtype(flat.dtype))
    power = np.zeros(n)
    for first in range(0, flat.shape[1], 256):
        echoes = np.fft.ifft(taper * flat[:, first : first + 256], n=n, axis=0)
        power += np.sum(np.abs(echoes) ** 2, axis=1)
    weights = gate.weights(gate.ambiguity * np.arange(n) / n)
    share = float(np.sum(weights * power) / max(power.sum(), np.finfo(float).tiny))
    if share < 1e-9:
        raise ValueError(
            f"the range gate from {gate.near:g} to {gate.far:g} m leaves nothing "
            f"({share:.2g} of the energy); wanted the ranges of the target in m"
        )
    if power[weights > 0.5].max() < 2 * np.median(power):
        strongest = gate.ambiguity * int(np.argmax(power)) / n
        warnings.warn(
            f"no echo between {gate.near:g} and {gate.far:g} m stands out, the "
            f"strongest is at {strongest:.3g} m; the gate may have removed the target",
            stacklevel=4,
        )
    return share
