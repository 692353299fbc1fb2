"""Calibration of a scan by the echo of a known target."""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import Any

import numpy as np

from sparsesolve import checks
from sparsesolve.applications.radar_steps import (
    both_masks,
    measured_alike,
    record_step,
)
from sparsesolve.operators.grid import Floats, metres
from sparsesolve.operators.near_field_arguments import channel_pairs
from sparsesolve.scan import RadarScan

__all__ = ["calibrate"]


def calibrate(
    scan: RadarScan,
    reference: RadarScan,
    position: Any,
    *,
    reflectivity: float = 1.0,
    weakest: float = 0.05,
) -> RadarScan:
    r"""Return the scan divided by what a known point target shows of the instrument.

    Each datum of the reference over its model
    ``a exp(-jk(R_t + R_r)) / (4π R_t R_r)`` is the complex factor of that channel at
    that frequency: antennas, cables and electronics together.

    Parameters
    ----------
    scan, reference : RadarScan
        Measured by the same antennas at the same frequencies, the reference with a
        small sphere or a wire end alone, both after the same steps (background
        subtracted).
    position : (3,) array_like, m
        Where the reference target was.
    reflectivity : float
        Its amplitude a, which makes the unit of the images.
    weakest : float
        Factors below this share of their median are noise: those data are masked. So
        are those where the reference is below three times its noise, if known.

    Returns
    -------
    RadarScan
        Its noise, if known, is the root mean square over the data; it is no longer the
        same for all of them.

    Raises
    ------
    ValueError
        The two were not measured alike, the position is an antenna's or looks like
        mm, or the reference is too weak at nine of ten data.

    Warns
    -----
    UserWarning
        The two did not go through the same subtraction and delays.
    """
    measured_alike(scan, reference)
    place = metres("position", position)
    if place.shape != (3,):
        raise ValueError(f"position has shape {place.shape}; wanted (3,), x, y, z in m")
    checks.positive_number("weakest", weakest)
    scan, reference = scan.in_convention().read(), reference.in_convention().read()
    _warn_of_other_steps(scan, reference)
    model = checks.positive_number("reflectivity", reflectivity) * _echo(scan, place)
    mask = both_masks(scan.mask, reference.mask)
    valid = np.ones(model.shape, bool) if mask is None else mask
    level = np.where(valid, np.abs(np.where(valid, reference.data, 0) / model), 0)
    strong = valid & (level >= weakest * float(np.median(level[valid]))) & (level > 0)
    if reference.noise is not None:
        strong &= level * np.abs(model) >= 3 * reference.noise
    weak = int(valid.sum() - strong.sum())
    if weak > 0.9 * valid.sum():
        raise ValueError(
            f"reference is too weak at {weak} of {int(valid.sum())} data to calibrate "
            "with; wanted a scan of one target, its background subtracted"
        )
    factor = np.where(strong, np.where(strong, reference.data, 0) / model, 1)
    data = np.where(strong, scan.data, 0) / factor
    noise = None
    if scan.noise is not None:
        noise = scan.noise * float(np.sqrt(np.mean(np.abs(factor[strong]) ** -2.0)))
    calibrated = replace(
        scan, data=data.astype(scan.data.dtype), mask=strong, noise=noise
    )
    where = ", ".join(f"{value:g}" for value in place)
    return record_step(
        scan,
        calibrated,
        f"calibrate: divided by a target of reflectivity {reflectivity:g} at ({where}) "
        f"m, {weak} of {int(valid.sum())} entries left out where it is weak",
    )


def _echo(scan: RadarScan, place: Floats) -> Any:
    """Return what a point of amplitude 1 gives, like the data but complex128."""
    out = np.linalg.norm(scan.tx - place, axis=1)
    back = np.linalg.norm(scan.rx - place, axis=1)
    if min(out.min(), back.min()) < 1e-6:
        raise ValueError(
            f"position {place.tolist()} m is that of an antenna; wanted the target's"
        )
    t, r = channel_pairs(scan.channels, len(out), len(back)).T
    wavenumber = 2 * np.pi * scan.freq[:, None] / scan.speed
    echo = np.exp(-1j * wavenumber * (out[t] + back[r])) / (
        4 * np.pi * out[t] * back[r]
    )
    return echo.reshape(scan.data.shape)


def _warn_of_other_steps(scan: RadarScan, reference: RadarScan) -> None:
    for name in ("subtract", "delay"):
        ours, theirs = (
            [step for step in one.steps if step.startswith(f"{name}:")]
            for one in (scan, reference)
        )
        if len(ours) != len(theirs) or (name == "delay" and ours != theirs):
            warnings.warn(
                f"scan and reference differ in the step {name} ({len(ours)} and "
                f"{len(theirs)} times), so the calibration does not fit; do the same "
                "to both",
                stacklevel=3,
            )
