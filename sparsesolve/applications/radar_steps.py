"""From raw to usable data: the steps before imaging, each a plain function."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from sparsesolve.scan import RadarScan

__all__ = ["subtract"]


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
    for name in ("freq", "tx", "rx", "channels", "speed"):
        if not _same(getattr(scan, name), getattr(reference, name)):
            raise ValueError(
                f"{name} of the scan and of the reference differ; wanted the same "
                "antennas, frequencies and speed in both"
            )
    scan, reference = scan.in_convention().read(), reference.in_convention().read()
    masks = [m for m in (scan.mask, reference.mask) if m is not None]
    noise = None
    if scan.noise is not None and reference.noise is not None:
        noise = float(np.hypot(scan.noise, reference.noise))
    return replace(
        scan,
        data=scan.data - reference.data,
        mask=np.logical_and.reduce(masks) if masks else None,
        noise=noise,
    )


def _same(one: Any, other: Any) -> bool:
    if one is None or other is None:
        return one is other
    return np.shape(one) == np.shape(other) and bool(np.allclose(one, other, atol=1e-9))
