"""Total variation in one, two or three dimensions, to a duality-gap tolerance."""

from __future__ import annotations

import warnings
from typing import Any, Self

import numpy as np

from sparsesolve import checks
from sparsesolve.backends import (
    Array,
    Shape,
    array_namespace,
    device_of,
    is_array,
    is_complex,
    to_device,
    to_numpy,
)
from sparsesolve.priors import tv_dual
from sparsesolve.priors.base import Prior


class TotalVariation(Prior):
    """lam · Σ |∇x|, with forward differences along every axis of one unknown.

    The prox is computed by accelerated projected gradient on the dual, in at most
    `max_iter` steps, until duality gap <= `tol` · (value of the prox problem). Real
    one-dimensional arrays are solved exactly in linear time, on the host. Complex
    differences count by their modulus. Use `prox_warm` in loops, as solvers do: the
    dual of the last call makes the next one cheap.

    Parameters
    ----------
    lam : float or array of batch shape, default 1
        Regularisation weight.
    isotropic : bool, default True
        At each entry take the Euclidean norm over the axes; else the sum.
    tol : float, default 1e-4
        Relative duality gap. Its scale is ‖x - v‖²/2 + lam·step·TV(x) itself, so that
        weak regularisation is solved as well as strong one, and offset and units of x
        do not matter. ‖x - x*‖ <= √(2·tol·value), while the prox itself changes v by at
        most √(2·value): 1e-4 is an error of 1 % of that. At least four dual steps are
        made per call, so that errors of warm-started calls go on falling. Arrays of
        float32 in other libraries than NumPy stop where rounding keeps the gap up.
    max_iter : int, default 2000
        Most dual steps of one call; a warning says if they did not suffice.

    Raises
    ------
    ValueError
        `lam` or `tol` is not positive, `max_iter` not a positive integer; an unknown
        has no axes or more than three.

    Notes
    -----
    Constants cost nothing, so TV of magnitudes alone is no prior for a complex
    unknown: |x| constant with free phases costs nothing and fits most data. Add a
    little ``Magnitude(L1(lam))``.

    References
    ----------
    Beck & Teboulle, *Fast gradient-based algorithms for constrained total variation
    image denoising and deblurring problems*, 2009, doi:10.1109/TIP.2009.2028250;
    Johnson, *A dynamic programming algorithm for the fused lasso and L0-segmentation*,
    2013, doi:10.1080/10618600.2012.681238.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsesolve.priors import TotalVariation
    >>> TotalVariation(1.0).prox(np.array([0.0, 0.0, 6.0, 6.0]), 1.0)
    array([0.5, 0.5, 5.5, 5.5])
    """

    keeps_nonnegative = True

    def __init__(
        self,
        lam: Any = 1.0,
        *,
        isotropic: bool = True,
        tol: float = 1e-4,
        max_iter: int = 2000,
    ) -> None:
        self.lam = checks.positive("lam", lam)
        self.isotropic = bool(isotropic)
        self.tol = checks.positive("tol", tol)
        self.max_iter = checks.positive_int("max_iter", max_iter)

    def bind(self, x_shape: Shape) -> Self:
        _check_axes(len(x_shape))
        return super().bind(x_shape)

    def value(self, x: Array) -> Array:
        n = self.item_axes(x)
        g = tv_dual.gradient(x, n)
        norms = tv_dual.lengths(g, n, self.isotropic)
        return self.lam * self.total(array_namespace(x).sum(norms, axis=-n - 1), x)

    def prox(self, v: Array, step: Any) -> Array:
        return self.prox_warm(v, step, None)[0]

    def prox_warm(self, v: Array, step: Any, warm: Any) -> tuple[Array, Any]:
        """Return the prox and its dual, of shape (*batch, axes, *shape of unknown)."""
        n = self.item_axes(v)
        _check_axes(n)
        if n == 1 and not is_complex(v):
            return self._lines(v, step), warm
        how = tv_dual.Settings(self.isotropic, self.tol)
        if device_of(v) == "numpy":
            x, warm, done = self._volumes(v, step, warm, how)
        else:
            if warm is None:
                warm = array_namespace(v).zeros_like(tv_dual.gradient(v, n))
            dual = tv_dual.PlainDual(v, self.weight(v, step), warm, n, how)
            done = tv_dual.ascend(dual, self.max_iter)
            x, warm = dual.result()
        if not done:
            warnings.warn(
                f"{self!r} stopped its prox at max_iter with a duality gap above tol",
                RuntimeWarning,
                stacklevel=2,
            )
        return x, warm

    def _lines(self, v: Array, step: Any) -> Array:
        from sparsesolve.priors import tv_compiled

        rows = to_numpy(v)
        weights = self._weights(step, rows.shape[:-1])
        x = tv_compiled.lines(rows.reshape(-1, rows.shape[-1]), weights)
        return to_device(x.reshape(rows.shape), device_of(v))

    def _volumes(
        self, v: Array, step: Any, warm: Any, how: tv_dual.Settings
    ) -> tuple[Array, Array, bool]:
        from sparsesolve.priors import tv_compiled

        n = self.item_axes(v)
        batch, shape = v.shape[: v.ndim - n], v.shape[v.ndim - n :]
        rows = v.reshape(-1, *shape)
        x, p = np.empty_like(rows), np.empty((len(rows), n, *shape), v.dtype)
        starts = None if warm is None else warm.reshape(p.shape)
        done = True
        for i, w in enumerate(self._weights(step, batch).tolist()):
            if starts is None:
                start = tv_compiled.cold_start(rows[i], w, how, self.max_iter)
            else:
                start = starts[i]
            dual = tv_compiled.CompiledDual(rows[i], w, start, how)
            done &= tv_dual.ascend(dual, self.max_iter)
            x[i], p[i] = dual.result()
        return x.reshape(v.shape), p.reshape(*batch, n, *shape), done

    def _weights(self, step: Any, batch: Shape) -> Array:
        """Return lam·step for every array of a batch, flat, on the host."""
        lam, step = (to_numpy(a) if is_array(a) else a for a in (self.lam, step))
        return np.broadcast_to(np.asarray(lam * step, np.float64), batch).ravel()


def _check_axes(n: int) -> None:
    if not 1 <= n <= 3:
        raise ValueError(
            f"TotalVariation got an unknown of {n} axes; wanted 1 to 3 (leading axes "
            "are a batch once `bind` has told the shape of one unknown)"
        )
