"""The test that every operator must pass: its adjoint is its adjoint."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from sparsesolve.backends import Shape, to_device, to_numpy

if TYPE_CHECKING:
    from sparsesolve.operators.base import DType, Operator


def adjoint_mismatch(A: Operator, *, seed: int = 0) -> float:
    """Return |⟨Ax, y⟩ − ⟨x, Aᴴy⟩| / (‖Ax‖ ‖y‖) for random x and y.

    Of the size of the rounding error, about 1e-15 in double and 1e-6 in single
    precision, if `adjoint` is right; of the size of 1 if it is wrong.

    Parameters
    ----------
    A : Operator
        Tried on its own device, with arrays of its own dtypes: complex ones unless
        they are real; double precision if it takes any.
    seed : int
        Of the random arrays.

    Returns
    -------
    float
        The inner products are summed in double precision. For an operator that takes
        or gives real arrays (`takes_real`, `gives_real`) their real parts count. If
        ‖x‖ ‖Aᴴy‖ is larger it is the divisor, so that A = 0 with another adjoint shows.
    """
    rng = np.random.default_rng(seed)
    device = A.device or "numpy"
    x = _random(A.in_shape, A.in_dtype, rng)
    y = _random(A.out_shape, A.out_dtype, rng)
    image = to_numpy(A.forward(to_device(x, device))).astype("complex128")
    back = to_numpy(A.adjoint(to_device(y, device))).astype("complex128")
    difference = np.vdot(image, y) - np.vdot(x, back)
    if A.takes_real or A.gives_real:
        difference = difference.real
    scale = max(
        np.linalg.norm(image) * np.linalg.norm(y),
        np.linalg.norm(x) * np.linalg.norm(back),
    )
    return float(abs(difference) / scale) if scale > 0 else 0.0


def _random(shape: Shape, dtype: DType, rng: np.random.Generator) -> Any:
    dtype = np.dtype("complex128") if dtype is None else dtype
    x = rng.standard_normal(shape)
    if dtype.kind == "c":
        x = x + 1j * rng.standard_normal(shape)
    return x.astype(dtype)
