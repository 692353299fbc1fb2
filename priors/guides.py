"""A guide map that is learnt from the unknown it guides."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from sparsesolve import checks
from sparsesolve.backends import (
    Array,
    Shape,
    array_namespace,
    device_of,
    to_device,
    to_numpy,
)


def sparseness(x: Array, axis: int = -2) -> Array:
    """Return (√K - ‖a‖₁/‖a‖₂) / (√K - 1) along an axis of K entries.

    0 where all entries are equal, 1 where a single one is not 0 (and where all are).

    References
    ----------
    Hoyer, *Non-negative matrix factorization with sparseness constraints*, 2004, JMLR
    5, section 3.1.
    """
    xp = array_namespace(x)
    size = xp.abs(x)
    root = math.sqrt(x.shape[axis])
    if root == 1:
        return xp.sum(size * 0, axis=axis) + 1
    top = xp.max(size, axis=axis, keepdims=True)
    size = size / xp.where(top > 0, top, top + 1)
    euclidean = xp.sqrt(xp.sum(size**2, axis=axis))
    ratio = xp.sum(size, axis=axis) / xp.where(euclidean > 0, euclidean, euclidean + 1)
    return xp.clip((root - ratio) / (root - 1), min=0.0, max=1.0)


@dataclass(frozen=True, eq=False)
class SparsenessGuide:
    """The guide of `GuidedLp` learnt from the columns' own sparseness (Hoyer's).

    Parameters
    ----------
    start : float
        The guide before the first learning; 1/2 is the ℓ1/2 norm.
    laplacian : (n, n) SciPy sparse matrix, optional
        Graph Laplacian of the columns (neighbouring pixels of an image, for instance):
        the guide is smoothed on it, (I + smoothing · L) h = sparseness.
    smoothing : float
        How strongly; 0 leaves each column alone.
    largest : float
        The guide is cut there: exponents below 1/4 gained nothing in unmixing, and
        closer to 0 the penalty hardly depends on the entries any more.

    Raises
    ------
    ValueError
        `start` or `largest` is not in [0, 1), `smoothing` is negative or lacks a
        Laplacian.

    Notes
    -----
    One sum over the unknown; with smoothing one sparse symmetric solve by conjugate
    gradients to 1e-6.
    """

    start: float = 0.5
    laplacian: Any = None
    smoothing: float = 0.0
    largest: float = 0.75

    def __post_init__(self) -> None:
        for name in ("start", "largest"):
            value = checks.positive_number(name, getattr(self, name), zero=True)
            if value >= 1:
                raise ValueError(f"{name} is {value:g}; wanted a guide in [0, 1)")
        smoothing = checks.positive_number("smoothing", self.smoothing, zero=True)
        if smoothing and self.laplacian is None:
            raise ValueError(f"smoothing is {smoothing:g}, but laplacian is None")

    def check(self, x_shape: Shape) -> None:
        """Refuse an unknown that is no matrix, or a Laplacian of another size."""
        if len(x_shape) != 2:
            raise ValueError(
                f"a SparsenessGuide needs an unknown (materials, pixels); it has shape "
                f"{x_shape}"
            )
        n = x_shape[1]
        if self.laplacian is not None and self.laplacian.shape != (n, n):
            raise ValueError(
                f"laplacian has shape {self.laplacian.shape}; wanted ({n}, {n}), one "
                "row a column of the unknown"
            )

    def learn(self, x: Array) -> Array:
        """Return the guide of `x` (..., K, n) as (..., 1, n)."""
        found = sparseness(x)
        if self.smoothing:
            found = self._smooth(found)
        xp = array_namespace(found)
        return xp.clip(found, min=0.0, max=self.largest)[..., None, :]

    def _smooth(self, guide: Array) -> Array:
        from scipy.sparse import eye_array
        from scipy.sparse.linalg import cg

        system = eye_array(guide.shape[-1]) + self.smoothing * self.laplacian
        flat = to_numpy(guide).reshape(-1, guide.shape[-1])
        smooth = [cg(system, row, row, rtol=1e-6)[0] for row in flat]
        found = np.asarray(smooth, flat.dtype).reshape(guide.shape)
        return to_device(found, device_of(guide))
