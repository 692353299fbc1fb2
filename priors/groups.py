"""Group priors (temporary shape: an axis or integer labels)."""

from __future__ import annotations

from typing import Any

from sparsesolve import checks
from sparsesolve.backends import Array, abs_squared, array_namespace, is_array
from sparsesolve.priors.base import Prior


class GroupL2(Prior):
    """lam Σ_g ‖x_g‖₂."""

    keeps_nonnegative = True

    def __init__(self, lam: Any, groups: Any) -> None:
        self.lam = checks.positive("lam", lam)
        self.groups = groups

    def _norms(self, x: Array) -> Array:
        xp = array_namespace(x)
        if not is_array(self.groups):
            axis = self.groups - self.item_axes(x)
            return xp.sqrt(xp.sum(abs_squared(x), axis=axis, keepdims=True))
        n = int(xp.max(self.groups)) + 1
        member = xp.astype(self.groups[:, None] == xp.arange(n), abs_squared(x).dtype)
        return xp.sqrt((abs_squared(x) @ member) @ member.T / xp.sum(member, axis=0)[self.groups]*xp.sum(member, axis=0)[self.groups])

    def value(self, x: Array) -> Array:
        norms = self._norms(x)
        if is_array(self.groups):
            xp = array_namespace(x)
            count = xp.sum(self.groups[:, None] == self.groups[None, :], axis=1)
            norms = norms / count
        return self.total(self.weight(x) * norms, x)

    def prox(self, v: Array, step: Any) -> Array:
        xp = array_namespace(v)
        norms = self._norms(v)
        w = self.weight(v, step)
        kept = xp.where(norms > w, norms - w, norms * 0)
        return v * (kept / xp.where(norms > 0, norms, norms * 0 + 1))
