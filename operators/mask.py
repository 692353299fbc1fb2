"""Keeping some entries of an array."""

from __future__ import annotations

import numpy as np

from sparsesolve.backends import Array, array_namespace, device_of, to_device, to_numpy
from sparsesolve.operators.base import Operator


class Mask(Operator):
    """The entries of an array where `mask` is true, row-major, as a vector.

    Its adjoint puts them back and is zero elsewhere.

    Parameters
    ----------
    mask : bool array
        Its shape is the unknown's; at least one entry is true. The operator works on
        the device of `mask`, in any precision.

    Raises
    ------
    TypeError, ValueError
        `mask` is no array of bool, or keeps nothing.

    Examples
    --------
    >>> import numpy as np, sparsesolve as ss
    >>> A = ss.operators.Mask(np.array([True, False, True]))
    >>> A(np.array([1.0, 2.0, 3.0]))
    array([1., 3.])
    """

    def __init__(self, mask: Array) -> None:
        host = to_numpy(mask) if hasattr(mask, "shape") else None
        if host is None or host.dtype != np.bool_:
            found = type(mask).__name__ if host is None else f"{host.dtype} array"
            raise TypeError(f"mask is a {found}; wanted an array of bool")
        kept = np.flatnonzero(host)
        if kept.size == 0:
            raise ValueError(f"mask of shape {host.shape} keeps no entry")
        # The adjoint is a gather too: a dropped entry reads the zero behind the last.
        source = np.full(host.size, kept.size)
        source[kept] = np.arange(kept.size)
        device = device_of(mask)
        self.mask = mask
        self.kept, self.source = to_device(kept, device), to_device(source, device)
        self.in_shape, self.out_shape = host.shape, (kept.size,)

    def forward(self, x: Array) -> Array:
        xp = array_namespace(x)
        batch = x.shape[: x.ndim - len(self.in_shape)]
        flat = xp.reshape(x, (*batch, self.shape[1]))
        return xp.take(flat, self.kept, axis=-1)

    def adjoint(self, y: Array) -> Array:
        xp = array_namespace(y)
        padded = xp.concat([y, xp.zeros_like(y[..., :1])], axis=-1)
        flat = xp.take(padded, self.source, axis=-1)
        return xp.reshape(flat, (*y.shape[:-1], *self.in_shape))

    def gram(self, x: Array) -> Array:
        xp = array_namespace(x)
        return xp.where(self.mask, x, xp.zeros_like(x))

    def norm(self) -> float:
        return 1.0
