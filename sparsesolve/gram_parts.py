"""Parts into which data fall that AAᴴ does not mix, such as even and odd ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from sparsesolve.backends import (
    Array,
    array_namespace,
    device_of,
    dtype_of,
    real_dtype,
    to_device,
)


@dataclass(frozen=True, eq=False)
class DataPart:
    """Orthonormal combinations Σ_g weights[g] y[members[g]] of flat data y.

    Parameters
    ----------
    members : (n_terms, size) array of int
        Data that are combined. No datum is in two combinations.
    weights : (n_terms, size) array of float
    n_data : int
    """

    members: NDArray[np.int64]
    weights: NDArray[np.float64]
    n_data: int

    @property
    def size(self) -> int:
        """Number of combinations."""
        return int(self.members.shape[1])

    def combined(self, y: Array, axis: int) -> Array:
        """Return the combinations of data that lie along an axis, the first or last."""
        xp, place = array_namespace(y), device_of(y)
        real = real_dtype(dtype_of(y))
        total: Array = 0
        for chosen, weights in zip(self.members, self.weights, strict=True):
            rows = xp.take(y, to_device(chosen, place), axis=axis)
            scale = weights.astype(real)
            scale = to_device(scale[:, None] if axis == 0 else scale, place)
            total = total + rows * scale
        return total

    def spread(self, z: Array) -> Array:
        """Return the data (..., n_data) of combinations (..., size): the adjoint."""
        xp, place = array_namespace(z), device_of(z)
        sources, shares = self._sources
        shares = to_device(shares.astype(real_dtype(dtype_of(z))), place)
        z = xp.concat((z, xp.zeros_like(z[..., :1])), axis=-1)
        return xp.take(z, to_device(sources, place), axis=-1) * shares

    @cached_property
    def _sources(self) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """The combination that each datum is in, `size` for none; its weight."""
        sources, shares = np.full(self.n_data, self.size), np.zeros(self.n_data)
        for chosen, weights in zip(self.members, self.weights, strict=True):
            sources[chosen] = np.arange(self.size)
            shares[chosen] += weights
        return sources, shares


def symmetric_parts(
    images: Sequence[NDArray[np.int64]], valid: NDArray[np.bool_]
) -> list[DataPart]:
    """Return the parts that symmetries do not mix, one for each pair of signs.

    Parameters
    ----------
    images : sequence of n arrays (n_data,) of int
        Where each of n commuting symmetries, its own inverse, takes each datum.
    valid : (n_data,) array of bool
        The same for a datum and its images; parts have no others.

    Returns
    -------
    list of DataPart
        At most 2ⁿ: even or odd under each symmetry. Empty ones are left out.
    """
    moved, signs = np.arange(valid.size)[None], np.ones((1, 1), np.int64)
    for image in images:
        moved = np.concatenate([moved, image[moved]])
        signs = np.block([[signs, signs], [signs, -signs]])
    first = np.flatnonzero(valid & np.all(moved >= moved[0], axis=0))
    moved = moved[:, first]
    stays = moved == moved[0]
    parts = []
    for character in signs:
        kept = character @ stays > 0
        if not kept.any():
            continue
        members = moved[:, kept]
        norm = np.sqrt(len(moved) * stays[:, kept].sum(axis=0))
        parts.append(DataPart(members, character[:, None] / norm, valid.size))
    return parts
