"""The natural size of steps: unknowns over multipliers, in the problem's own units."""

from __future__ import annotations

import math
from typing import Any

from sparsesolve.backends import norm, scalar, where


def natural_scale(problem: Any) -> tuple[Any, Any]:
    """Return typical ‖x‖ and ‖Aᴴu‖ of unknowns x and multipliers u, batch shape.

    Their ratio is a step, or the inverse of a penalty, with which a solve takes the
    same iterations in any units. x is the best multiple of Aᴴy. Aᴴu is the gradient
    at 0, of a majoriser where the loss has none; for a constraint it is set by the
    prior, lam·√n. Costs about three applications of A; 1 where the data are zero.
    """
    A, loss, n = problem.A, problem.loss, len(problem.x_shape)
    pull = A.adjoint(loss.y)
    size = scalar(norm(pull, n))
    image = scalar(norm(A.forward(pull), len(A.out_shape)))
    known = (size > 0) & (image > 0)
    x = size * (size / where(known, image, 1.0)) ** 2
    if loss.finite:
        smooth = loss if loss.smooth else loss.majorise(loss.y * 0)
        multiplier = scalar(norm(A.adjoint(smooth.gradient(loss.y * 0)), n))
    else:
        lam = getattr(problem.prior, "lam", None)
        multiplier = (1.0 if lam is None else lam) * math.sqrt(math.prod(A.in_shape))
        multiplier = multiplier + size * 0.0
    return where(known, x, 1.0), where(multiplier > 0, multiplier, 1.0)
