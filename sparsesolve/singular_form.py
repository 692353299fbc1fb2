"""Regularised least squares in closed form, where singular vectors are cheap."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from sparsesolve.backends import (
    Array,
    abs_squared,
    array_namespace,
    conj,
    is_array,
    is_complex,
)
from sparsesolve.conjugate_gradients import per_entry

Map = Callable[[Array], Array]


@dataclass(frozen=True)
class SingularForm:
    """A = U diag(d) Vᴴ with orthonormal columns in U and V: everything in closed form.

    With c = Vᴴw and e = d̄ (Uᴴu − d c) / (|d|² + rho), x = w + V e and
    Ax = U d (c + e). Rounding errors grow by no more than 1/√rho, where solving with
    the Gram matrix lets them grow by 1/rho.

    Parameters
    ----------
    to_model, from_model, to_data, from_data : callable
        Vᴴ, V, Uᴴ and U, all times one positive number if they share it, as
        unnormalised Fourier transforms do.
    d : array or float
        Singular values, or any numbers with U and V to match.
    n_axes : int
        Axes of one unknown's coefficients.
    method : str
        What it is.
    real : bool
        The callables take real arrays only; complex ones are solved as two.
    """

    to_model: Map
    from_model: Map
    to_data: Map
    from_data: Map
    d: Any
    n_axes: int
    method: str
    real: bool = False

    def solve(
        self, w: Array, u: Array, rho: Any, warm: Any = None
    ) -> tuple[Array, Array, Any]:
        if self.real and (is_complex(w) or is_complex(u)):
            x, image, _ = self.solve(_parts(w), _parts(u), rho)
            return _whole(x), _whole(image), warm
        d = self.d
        conjugate, power = (conj(d), abs_squared(d)) if is_array(d) else (d, d * d)
        rho = per_entry(rho, w, self.n_axes)
        c = self.to_model(w)
        e = (self.to_data(u) - d * c) * (conjugate / (power + rho))
        return w + self.from_model(e), self.from_data(d * (c + e)), warm

    def adjoint(self) -> SingularForm:
        """The form of Aᴴ: U and V change places."""
        return replace(
            self,
            to_model=self.to_data,
            from_model=self.from_data,
            to_data=self.to_model,
            from_data=self.from_model,
            d=conj(self.d) if is_array(self.d) else self.d,
        )


def _parts(x: Array) -> Array:
    xp = array_namespace(x)
    return xp.stack([xp.real(x), xp.imag(x)] if is_complex(x) else [x, x * 0.0])


def _whole(parts: Array) -> Array:
    return parts[0, ...] + 1j * parts[1, ...]
