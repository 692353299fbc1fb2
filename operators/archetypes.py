"""Mixtures of mixtures: the model of archetypal analysis."""

from __future__ import annotations

from typing import Any

from sparsesolve import checks
from sparsesolve.backends import Array, dtype_of
from sparsesolve.operators.base import Operator
from sparsesolve.operators.blocks import (
    BlockMap,
    Blocks,
    LeftMultiply,
    RightMultiply,
    _matmul,
)


class Archetypes(BlockMap):
    """X B A: known points X, archetypes X B among them, mixtures of those.

    With the columns of B and of A on the simplex, archetypes lie in the convex hull of
    the points and the data are mixed from archetypes.

    Parameters
    ----------
    points : (d, P) array
        X, a point a column.
    n_archetypes : int
        K.
    n_data : int
        N, columns of the data.
    left, right : str
        Names of the blocks B (P, K) and A (K, N).

    Raises
    ------
    ValueError
        `points` is no matrix or a number is not positive.

    References
    ----------
    Cutler & Breiman, *Archetypal analysis*, 1994, doi:10.1080/00401706.1994.10485840.

    Examples
    --------
    >>> import numpy as np, sparsesolve as ss
    >>> ss.operators.Archetypes(np.ones((2, 9)), 3, 5)
    Archetypes {'B': (9, 3), 'A': (3, 5)} -> (2, 5)
    """

    def __init__(
        self,
        points: Array,
        n_archetypes: int,
        n_data: int,
        *,
        left: str = "B",
        right: str = "A",
    ) -> None:
        if len(points.shape) != 2:
            raise ValueError(f"points has shape {tuple(points.shape)}; wanted (d, P)")
        checks.finite("points", points)
        if left == right:
            raise ValueError(f"both blocks are named {left!r}; wanted two names")
        k = checks.positive_int("n_archetypes", n_archetypes)
        n = checks.positive_int("n_data", n_data)
        self.points, self.left, self.right = points, left, right
        self.in_shape = {left: (points.shape[1], k), right: (k, n)}
        self.out_shape = (points.shape[0], n)
        self.in_dtype = self.out_dtype = dtype_of(points)

    def forward(self, x: Blocks) -> Array:
        return _matmul(_matmul(self.points, x[self.left]), x[self.right])

    def partial(self, block: str, x: Blocks) -> tuple[Operator, Any]:
        self._check_block(block)
        d, n = self.out_shape
        if block == self.right:
            return LeftMultiply(_matmul(self.points, x[self.left]), n), 0.0
        k = self.in_shape[self.left][1]
        return RightMultiply(x[self.right], d) @ LeftMultiply(self.points, k), 0.0
