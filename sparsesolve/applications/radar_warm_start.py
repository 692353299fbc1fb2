"""A first image from few voxels: those that can be non-zero, found in rounds."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from sparsesolve.backends import Array
from sparsesolve.loop import solve
from sparsesolve.operators.grid import Grid
from sparsesolve.problem import Problem
from sparsesolve.solution import Status
from sparsesolve.solvers.proximal_gradient import ProximalGradient
from sparsesolve.solvers.scaling import natural_scale

__all__ = ["warm_start"]

# Above this share of the voxels, rounds cost more than they save.
_WORTH = 0.25
_ROUNDS = 8
# Of each round, the same whatever the solve that follows: one that is resumed must have
# begun at the same image.
_MAX_ITER, _TOL = 500, 1e-4


def warm_start(
    problem: Problem,
    restricted: Callable[[Grid], Problem],
    grid: Grid,
    *,
    seed: int = 0,
    progress: bool | None = None,
) -> tuple[Array, str]:
    """Return an image that is nearly the solution of `problem`, and how it was made.

    Often at a tenth of the cost. Voxels that a proximal gradient step on the whole
    grid makes non-zero, with their neighbours, join the region in which the problem is
    solved, until a step adds none (a working set). The cost of a solve is that of its
    region. Where the image is not sparse, the rounds end early, and the image is that
    of the last.

    Parameters
    ----------
    problem : Problem
        On the whole grid; its prior has a prox.
    restricted : callable
        Takes a grid with a smaller region and returns the problem there.
    grid : Grid
    seed, progress
        See `sparsesolve.solve`.

    Raises
    ------
    KeyboardInterrupt
        Interrupted, when nothing is kept.
    """
    A, prior = problem.A, problem.prior
    allowed = np.ones(grid.shape, bool) if grid.region is None else grid.region
    region = np.zeros(grid.shape, bool)
    # the norm of A, for a safe step, would cost dozens of applications
    size, multiplier = natural_scale(problem)
    step, solver = size / multiplier, ProximalGradient(backtracking=True)
    x, warm, n_iter = problem.zeros(), None, 0
    for _ in range(_ROUNDS):
        gradient = A.adjoint(problem.loss.gradient(A.forward(x)))
        moved, warm = prior.prox_warm(x - step * gradient, step, warm)
        new = (moved != 0) & ~region
        if not new.any():
            break
        grown = (region | _with_neighbours(new)) & allowed
        if grown.sum() > _WORTH * allowed.sum():
            break
        region = grown
        part = restricted(Grid(*grid.axes, region=region))
        solution = solve(
            part,
            solver,
            x0=x,
            max_iter=_MAX_ITER,
            tol=_TOL,
            seed=seed,
            progress=progress,
        )
        if solution.status is Status.INTERRUPTED:
            raise KeyboardInterrupt(
                "interrupted while a first image was being made, of which nothing is "
                "kept; begin again"
            )
        x, n_iter = solution.x, n_iter + solution.n_iter
    if not n_iter:
        return x, "zeros"
    share = region.sum() / allowed.sum()
    return x, f"{n_iter} iterations on a working set of {share:.1%} of the voxels"


def _with_neighbours(chosen: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the entries and those next to them along each axis."""
    for axis in range(chosen.ndim):
        grown = np.moveaxis(chosen.copy(), axis, 0)
        old = np.moveaxis(chosen, axis, 0)
        grown[1:] |= old[:-1]
        grown[:-1] |= old[1:]
        chosen = np.moveaxis(grown, 0, axis)
    return chosen
