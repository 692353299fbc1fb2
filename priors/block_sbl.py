"""Block sparse Bayesian learning: the entries of a block share one variance."""

from __future__ import annotations

import math
from typing import Any, Self

import numpy as np

from sparsesolve import checks
from sparsesolve.backends import (
    Array,
    Shape,
    array_namespace,
    device_of,
    is_array,
    to_numpy,
)
from sparsesolve.priors.fitted_variances import (
    FittedVariances,
    everywhere,
    integers,
    known_update,
    own_axes,
    removal_loss,
)
from sparsesolve.priors.group_index import GroupIndex, group_index, labels_or_axes


class BlockSBL(FittedVariances):
    """Each entry xₙ ~ N(0, γ_g), circular if complex: one variance for each block g.

    A block is kept or dropped as a whole, on the evidence of all its entries. Blocks
    are given by `groups` as in `GroupL2`, or by their `size`.

    Parameters
    ----------
    groups : integer array of the unknown's shape, int or tuple of int, optional
        An array labels the entries: equal labels, of any integers, are one block; it
        may have length 1 along tied axes. An axis or a tuple of axes of one unknown
        says that the entries along these axes form one block.
    size : int or tuple of int, optional
        Length of blocks of neighbours along `axis`, or lengths along several axes,
        counted from the first entry; the last block of an axis may be shorter.
    axis : int or tuple of int, optional
        Axes of one unknown along which `size` counts, as many as lengths; by default
        the last ones. Along all other axes each entry belongs to another block.
    update : "mm", "mackay" or "em"
        How the variances are updated, as in `SBL`, from means over a block; "mm" by
        default, which never lowers the evidence.
    tied_axes : int or tuple of int, optional
        Axes along which the variances are equal as well, such as that of snapshots.

    Raises
    ------
    TypeError, ValueError
        Neither or both of `groups` and `size` are given, or an `axis` without `size`;
        they are no integers; `update` is none of the three. `bind`: the unknown has no
        such shape or axes; labels differ along a tied axis, or an axis of `size` is
        tied.

    Notes
    -----
    Hyperparameters: ``{"variance": γ}``, batch axes and one for the blocks, in the
    order of sorted labels (row-major for `size`). Entries of a block are independent
    given γ: correlation inside a block is not modelled. Removals of blocks are ranked
    as if the data told their entries apart, and taken only if the evidence itself,
    computed without them, bears it. Memory and time are linear in the unknown's size.

    References
    ----------
    Zhang and Rao, "Sparse signal recovery with temporally correlated source vectors
    using sparse Bayesian learning", IEEE J. Sel. Topics Signal Processing 5(5), 2011,
    with B = I; Wipf and Rao, IEEE Trans. Signal Processing 55(7), 2007.

    Examples
    --------
    >>> import numpy as np, sparsesolve as ss
    >>> rng = np.random.default_rng(0)
    >>> a = rng.standard_normal((20, 40))
    >>> x = np.zeros(40)
    >>> x[8:12] = 2.0, -1.0, 0.5, 1.5
    >>> y = a @ x + 0.01 * rng.standard_normal(20)
    >>> problem = ss.Problem(ss.LeastSquares(a, y), ss.priors.BlockSBL(size=4))
    >>> solution = ss.solve(problem, ss.VariationalEM())
    >>> np.flatnonzero(solution.x)
    array([ 8,  9, 10, 11])
    """

    def __init__(
        self,
        groups: Any = None,
        *,
        size: int | tuple[int, ...] | None = None,
        axis: int | tuple[int, ...] | None = None,
        update: str = "mm",
        tied_axes: int | tuple[int, ...] | None = None,
    ) -> None:
        if (groups is None) == (size is None):
            raise TypeError("BlockSBL takes either groups or a size of blocks")
        if size is None and axis is not None:
            raise TypeError(f"axis is {axis!r} without a size; give the size of blocks")
        super().__init__(tied_axes)
        self.update = known_update(update)
        self.groups = None if groups is None else labels_or_axes(groups)
        self.size = None if size is None else integers("size", size)
        self.axis = None if axis is None else integers("axis", axis)
        if self.size is None:
            return
        checks.shape_tuple("size", self.size)
        along = self.size if self.axis is None else self.axis
        if not self.size or len(along) != len(self.size):
            raise ValueError(
                f"size is {size} and axis {axis}; wanted one length for each axis"
            )

    def bind(self, x_shape: Shape) -> Self:
        new = super().bind(x_shape)
        if self.groups is not None and not is_array(self.groups):
            along = own_axes("groups", self.groups, x_shape)
            new.tied_axes = tuple(sorted({*new.tied_axes, *along}))
        new._labels()
        return new

    def init_hyper(self, shape: Shape, dtype: Any, scale: Array) -> dict[str, Array]:
        n_blocks = self._index(scale).sizes.shape[0]
        n = self._n_unknown_axes()
        wanted = (*shape[: len(shape) - n], n_blocks)
        return {"variance": everywhere(wanted, dtype, scale)}

    def variance(self, hyper: dict[str, Array]) -> Array:
        gamma = hyper["variance"]
        xp = array_namespace(gamma)
        shape = (*gamma.shape[:-1], *self._untied(self.x_shape or ()))
        return xp.reshape(self._index(gamma).spread(gamma), shape)

    def _share(self, hyper: dict[str, Array], values: Array) -> Array:
        return self._sum(values) / self._sizes(values)

    def _loss(self, hyper: dict[str, Array], posterior: Any) -> Array:
        return self._sum(removal_loss(posterior.whitened_power, posterior.shrinkage))

    def _n_axes(self, ndim: int) -> int:
        return 1

    def _n_unknown_axes(self) -> int:
        if self.x_shape is None:
            raise ValueError(
                "BlockSBL does not know the unknown's shape; give it to a Problem, or "
                "call bind"
            )
        return len(self.x_shape)

    def _sum(self, values: Array) -> Array:
        """Return sums over the blocks, means along tied axes."""
        flat = self._mean(values)
        batch = flat.shape[: flat.ndim - self._n_unknown_axes()]
        flat = array_namespace(values).reshape(flat, (*batch, -1))
        return self._index(values).sums(flat)

    def _sizes(self, like: Array) -> Array:
        sizes = self._index(like).sizes
        return array_namespace(like).astype(sizes, like.dtype)

    def _index(self, like: Array) -> GroupIndex:
        cache = self.__dict__.setdefault("_indices", {})
        device = device_of(like)
        if device not in cache:
            cache[device] = group_index(self._labels(), device)
        return cache[device]  # type: ignore[no-any-return]

    def _labels(self) -> np.ndarray[Any, Any]:
        """Return the number of each entry's block, of length 1 along tied axes."""
        n, x_shape = self._n_unknown_axes(), self.x_shape or ()
        shape = self._untied(x_shape)
        if self.size is not None:
            return self._runs(shape, n)
        if not is_array(self.groups):
            return np.arange(math.prod(shape)).reshape(shape)
        labels = to_numpy(self.groups)
        if labels.shape not in (tuple(x_shape), shape):
            raise ValueError(
                f"groups has shape {labels.shape}; wanted {tuple(x_shape)}, the "
                "unknown's"
            )
        first = labels[tuple(slice(k) for k in shape)]
        if np.any(first != labels):
            raise ValueError(
                f"groups has labels that differ along tied_axes {self.tied_axes}; "
                "label all entries along them alike"
            )
        return first

    def _runs(self, shape: Shape, n: int) -> np.ndarray[Any, Any]:
        """Return labels of blocks of `size`, row-major."""
        lengths = self.size or ()
        axes = tuple(range(-len(lengths), 0)) if self.axis is None else self.axis
        along = dict(zip(axes, lengths, strict=True))
        own = own_axes("axis", axes, shape)
        if len(own) < len(axes) or set(own) & set(self.tied_axes):
            raise ValueError(
                f"axis is {axes}; wanted different axes, none of them among tied_axes "
                f"{self.tied_axes}"
            )
        steps = {axis % n: length for axis, length in along.items()}
        places = [np.arange(k) // steps.get(i, 1) for i, k in enumerate(shape)]
        counts = [int(place[-1]) + 1 for place in places]
        return np.ravel_multi_index(tuple(np.ix_(*places)), counts)
