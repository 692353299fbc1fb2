"""Groups of entries that share a label: sums over each, and back to the entries."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from sparsesolve.backends import (
    Array,
    array_namespace,
    dtype_of,
    is_array,
    moved,
    to_numpy,
)


class GroupIndex(NamedTuple):
    """Where the entries of the groups are, in an array whose item axes are flat.

    A table for each size of group: sums over its rows are exact and need neither
    padding nor a scatter, which the array API lacks.
    """

    tables: list[Array]
    """Members of the groups of one size, (groups, size); one array for each size."""
    order: Array
    """Places of the groups, sorted by label, among the rows of all tables."""
    group: Array
    """Number of the group of each entry."""
    sizes: Array
    """Number of entries of each group."""

    def sums(self, values: Array) -> Array:
        """Return sums over the groups, (*batch, groups), of (*batch, entries)."""
        xp, batch = array_namespace(values), values.shape[:-1]
        sums = []
        for table in self.tables:
            members = xp.take(values, xp.reshape(table, (-1,)), axis=-1)
            sums.append(xp.sum(xp.reshape(members, (*batch, *table.shape)), axis=-1))
        return xp.take(xp.concat(sums, axis=-1), self.order, axis=-1)

    def spread(self, values: Array) -> Array:
        """Give each entry the value of its group."""
        return array_namespace(values).take(values, self.group, axis=-1)


def group_index(labels: Array, device: str) -> GroupIndex:
    """Return where entries of equal label are, as arrays on `device`."""
    flat = to_numpy(labels).reshape(-1)
    _, group, sizes = np.unique(flat, return_inverse=True, return_counts=True)
    members = np.argsort(group, kind="stable")
    starts = np.cumsum(sizes) - sizes
    tables, rows = [], []
    for size in np.unique(sizes):
        same = np.flatnonzero(sizes == size)
        tables.append(members[starts[same, None] + np.arange(size)])
        rows.append(same)
    order = np.argsort(np.concatenate(rows))
    return moved(GroupIndex(tables, order, group.reshape(-1), sizes), device)


def labels_or_axes(groups: Any) -> Any:
    """Return an integer array as it is, axes as a tuple."""
    if is_array(groups):
        if dtype_of(groups).kind not in "iu":
            raise TypeError(f"groups has dtype {groups.dtype}; wanted integer labels")
        return groups
    axes = groups if isinstance(groups, tuple) else (groups,)
    if not axes or not all(type(axis) is int for axis in axes):
        raise TypeError(
            f"groups is {groups!r}; wanted an array of integer labels, an axis or a "
            "tuple of axes"
        )
    return axes
