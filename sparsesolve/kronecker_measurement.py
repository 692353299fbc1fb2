"""A measurement through a Kronecker dictionary: factors, data, perhaps the truth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sparsesolve import checks
from sparsesolve.backends import Array, Shape, is_array, to_numpy
from sparsesolve.operators import Identity, Kronecker, Mask, kron
from sparsesolve.operators.base import Operator
from sparsesolve.schema import column


@dataclass(frozen=True, eq=False, repr=False)
class KroneckerMeasurement:
    """Data y = (A₁ ⊗ A₂ ⊗ ... ⊗ A_I) x + noise, all arrays of their natural shape.

    Integers become float64. If any of `factors` and `y` is complex or double, so are
    the data; real factors of complex data stay real, which is faster.

    Parameters
    ----------
    factors : sequence of (M_i, N_i) arrays
        The dictionary of each mode, one atom a column.
    y : (M_1, ..., M_I) or (M_1, ..., M_I, n_snapshots) array
        Data; snapshots share the support of x, each with values of its own. NaN is
        allowed where `mask` is False.
    noise_variance : float or None
        Of an entry of `y`, in its squared unit: E|n|² of a complex one. None: unknown.
    x : (N_1, ..., N_I) or (N_1, ..., N_I, n_snapshots) array or None
        The true coefficients, in a simulation.
    synthesis : sequence of (P_i, N_i) arrays or None
        Steering matrices that lead from coefficients to the channel.
    channel : (P_1, ..., P_I) or (P_1, ..., P_I, n_snapshots) array or None
        The true channel, which need not be of the grid of `synthesis`.
    mask : (M_1, ..., M_I) bool array or None
        True where measured; None: everywhere.

    Raises
    ------
    ValueError, TypeError
        One sentence that names the argument, what it is and what was wanted.

    Examples
    --------
    >>> import numpy as np
    >>> KroneckerMeasurement([np.ones((3, 4)), np.ones((2, 5))], np.ones((3, 2)))
    KroneckerMeasurement(y (3, 2) float64, x (4, 5), noise unknown)
    """

    factors: tuple[Array, ...] = field(
        metadata=column("1", "measurement atom", many=True)
    )
    y: Array = field(
        metadata=column("1 V", "mode*", "mode* snapshot", missing="mask"),
    )
    noise_variance: float | None = field(default=None, metadata=column("1 V^2", ""))
    x: Array | None = field(
        default=None, metadata=column("1", "mode*", "mode* snapshot")
    )
    synthesis: tuple[Array, ...] | None = field(
        default=None, metadata=column("1", "place atom", many=True)
    )
    channel: Array | None = field(
        default=None, metadata=column("1", "mode*", "mode* snapshot")
    )
    mask: Array | None = field(default=None, metadata=column("1", "mode*"))

    def __post_init__(self) -> None:
        factors = _matrices("factors", self.factors)
        sizes = tuple(a.shape[1] for a in factors)
        y = _numbers("y", self.y)
        dtype = np.result_type(y, *factors)
        measured = tuple(a.shape[0] for a in factors)
        snapshots = _snapshots(y.shape, factors)
        mask = _mask(self.mask, measured)
        _finite_where(y, mask)
        synthesis = None
        if self.synthesis is not None:
            synthesis = _matrices("synthesis", self.synthesis)
            if tuple(a.shape[1] for a in synthesis) != sizes:
                raise ValueError(
                    f"synthesis has matrices of {_names(a.shape for a in synthesis)}; "
                    f"wanted one a factor, with {_names(sizes)} columns as factors have"
                )
        noise = self.noise_variance
        clean = {
            "factors": factors,
            "y": y.astype(dtype, copy=False),
            "noise_variance": None
            if noise is None
            else checks.positive_number("noise_variance", noise),
            "x": _truth("x", self.x, sizes + snapshots, dtype),
            "synthesis": synthesis,
            "channel": _channel(self.channel, synthesis, snapshots, dtype),
            "mask": mask,
        }
        for name, value in clean.items():
            object.__setattr__(self, name, value)

    @property
    def snapshots(self) -> int | None:
        """Number of snapshots; None if `y` has no axis of them."""
        return None if self.y.ndim == len(self.factors) else int(self.y.shape[-1])

    @property
    def operator(self) -> Operator:
        """The map from x to `data`: `Kronecker`, ``Mask @ Kronecker`` with a mask.

        With snapshots it is the Kronecker product of that with their `Identity`.
        """
        A: Operator = Kronecker(*self.factors)
        if self.mask is not None:
            A = Mask(self.mask) @ A
        return A if self.snapshots is None else kron(A, Identity((self.snapshots,)))

    @property
    def data(self) -> Array:
        """What was measured: `y`, or with a mask its measured entries in a row."""
        return self.y if self.mask is None else self.y[self.mask]

    def in_convention(self) -> KroneckerMeasurement:
        """Return the measurement as it is: there is one convention."""
        return self

    def __repr__(self) -> str:
        sizes = tuple(a.shape[1] for a in self.factors)
        parts = [f"y {self.y.shape} {self.y.dtype}", f"x {sizes}"]
        if self.snapshots is not None:
            parts.append(f"{self.snapshots} snapshots")
        if self.mask is not None:
            parts.append(f"{int(self.mask.sum())} of {self.mask.size} measured")
        noise = self.noise_variance
        parts.append(
            "noise unknown" if noise is None else f"noise variance {noise:.3g}"
        )
        if self.x is not None or self.channel is not None:
            parts.append("with truth")
        return f"{type(self).__name__}({', '.join(parts)})"


def _numbers(name: str, value: Any) -> NDArray[Any]:
    """Return a floating-point array of at least one entry; NaN passes."""
    array: NDArray[Any] = to_numpy(value) if is_array(value) else np.asarray(value)
    if array.dtype.kind not in "iufc":
        raise TypeError(f"{name} holds {array.dtype} entries; wanted numbers")
    if array.size == 0:
        raise ValueError(f"{name} is empty (shape {array.shape})")
    dtype = array.dtype if array.dtype.kind in "fc" else np.dtype(np.float64)
    return array.astype(dtype, copy=False)


def _matrices(name: str, values: Any) -> tuple[NDArray[Any], ...]:
    if is_array(values) or not isinstance(values, Sequence) or isinstance(values, str):
        found = type(values).__name__
        raise TypeError(f"{name} is a {found}; wanted a tuple of matrices, one a mode")
    if not values:
        raise ValueError(f"{name} is empty; wanted at least one matrix")
    matrices = tuple(_numbers(f"{name}[{k}]", a) for k, a in enumerate(values))
    for k, a in enumerate(matrices):
        if a.ndim != 2:
            raise ValueError(
                f"{name}[{k}] has shape {a.shape}; wanted a matrix, one atom a column"
            )
        checks.finite(f"{name}[{k}]", a)
    return matrices


def _snapshots(found: Shape, factors: tuple[NDArray[Any], ...]) -> Shape:
    """Return the shape of y behind the modes: () or (n_snapshots,)."""
    wanted = tuple(a.shape[0] for a in factors)
    if found[: len(wanted)] == wanted and len(found) <= len(wanted) + 1:
        return found[len(wanted) :]
    modes = found[: len(factors)] if len(found) <= len(factors) + 1 else found
    hint = checks.swapped(found, wanted)
    hint = hint or checks.unlike_rows([a.shape for a in factors], modes)
    raise ValueError(
        f"y has shape {found}; wanted {wanted}, the rows of factors, or that with one "
        f"more last axis of snapshots{hint}"
    )


def _mask(value: Any, wanted: Shape) -> NDArray[np.bool_] | None:
    if value is None:
        return None
    mask: NDArray[Any] = to_numpy(value) if is_array(value) else np.asarray(value)
    if mask.shape != wanted:
        raise ValueError(
            f"mask has shape {mask.shape}; wanted {wanted}, that of y without snapshots"
            f"{checks.swapped(mask.shape, wanted)}"
        )
    if mask.dtype.kind not in "biuf" or not np.all((mask == 0) | (mask == 1)):
        raise TypeError("mask has entries other than True and False (or 1 and 0)")
    if not np.any(mask):
        raise ValueError("mask is False everywhere; wanted at least one entry to use")
    return mask.astype(bool, copy=False)


def _finite_where(y: NDArray[Any], mask: NDArray[np.bool_] | None) -> None:
    bad = ~np.isfinite(y)
    if mask is not None:
        bad = bad & mask.reshape(mask.shape + (1,) * (y.ndim - mask.ndim))
    if np.any(bad):
        said = checks.unusable("y", bad)
        raise ValueError(f"{said}; clean them or exclude them with mask=")


def _truth(
    name: str, value: Any, wanted: Shape, dtype: np.dtype[Any]
) -> NDArray[Any] | None:
    if value is None:
        return None
    truth = _numbers(name, value)
    checks.finite(name, truth)
    if truth.shape != wanted:
        raise ValueError(
            f"{name} has shape {truth.shape}; wanted {wanted}, as the other arrays say"
            f"{checks.swapped(truth.shape, wanted)}"
        )
    return truth.astype(np.result_type(truth, dtype), copy=False)


def _channel(
    value: Any,
    synthesis: tuple[NDArray[Any], ...] | None,
    snapshots: Shape,
    dtype: np.dtype[Any],
) -> NDArray[Any] | None:
    if value is not None and synthesis is None:
        raise ValueError(
            "channel is given without synthesis, the matrices that lead from x to it"
        )
    places = tuple(a.shape[0] for a in synthesis or ())
    return _truth("channel", value, places + snapshots, dtype)


def _names(values: Any) -> str:
    return ", ".join(str(value) for value in values)
