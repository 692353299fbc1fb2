"""Total variation in one, two or three dimensions, to a duality-gap tolerance."""

from __future__ import annotations

import math
import warnings
from typing import Any, Self

import numpy as np

from sparsesolve import checks
from sparsesolve.backends import (
    Array,
    Shape,
    abs_squared,
    array_namespace,
    device_of,
    dtype_of,
    expand,
    is_complex,
    real_dtype,
    to_device,
    to_numpy,
)
from sparsesolve.priors.base import Prior, real_like


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
        do not matter. ‖x - x*‖ <= sqrt(2·tol·value): 1e-4 keeps the error near 1 % of
        the change that the prox makes, about what an outer iteration notices; at
        least four dual steps are made per call, so that errors of warm-started calls
        go on falling below it. Arrays of float32 in other libraries than NumPy stop
        where rounding keeps the gap from falling.
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
        return self.lam * self.total(self._norms(gradient(x, n), n), x)

    def prox(self, v: Array, step: Any) -> Array:
        return self.prox_warm(v, step, None)[0]

    def prox_warm(self, v: Array, step: Any, warm: Any) -> tuple[Array, Any]:
        """Return the prox and its dual, of shape (*batch, axes, *shape of unknown)."""
        n = self.item_axes(v)
        _check_axes(n)
        if n == 1 and not is_complex(v):
            return self._lines(v, step), warm
        if warm is None:
            xp = array_namespace(v)
            warm = xp.zeros_like(gradient(v, n))
        if device_of(v) == "numpy":
            return self._volumes(v, step, warm)
        return self._plain(v, step, warm)

    def _norms(self, g: Array, n: int) -> Array:
        """Norms of vectors along the axis of `g` that precedes its last `n` axes."""
        xp = array_namespace(g)
        if self.isotropic:
            return xp.sqrt(xp.sum(abs_squared(g), axis=-n - 1))
        return xp.sum(xp.abs(g), axis=-n - 1)

    def _lines(self, v: Array, step: Any) -> Array:
        from sparsesolve.priors import tv_kernels

        rows = to_numpy(v).reshape(-1, v.shape[-1])
        weights = self._weights(step, v.shape[:-1])
        centre, scale = _normalisation(rows)
        x = np.empty(rows.shape)
        tv_kernels.denoise_lines((rows - centre) / scale, weights / scale[:, 0], x)
        x = _restored(x, rows, centre, scale)
        return to_device(x.reshape(v.shape), device_of(v))

    def _volumes(self, v: Array, step: Any, warm: Array) -> tuple[Array, Array]:
        n = self.item_axes(v)
        shape = v.shape[v.ndim - n :]
        rows, duals = v.reshape(-1, *shape), warm.reshape(-1, n, *shape).copy()
        weights = self._weights(step, v.shape[: v.ndim - n])
        x = np.empty_like(rows)
        for i, row in enumerate(rows):
            x[i] = self._volume(row, weights[i], duals[i])
        return x.reshape(v.shape), duals.reshape(warm.shape)

    def _volume(self, v: Array, w: float, dual: Array) -> Array:
        """Return the prox of one array, `dual` updated in place."""
        from sparsesolve.priors import tv_kernels

        centre, scale = _normalisation(v[None])
        if not np.isfinite(scale).all() or (v == v.flat[0]).all():
            return v
        centred = np.ascontiguousarray((v - centre[0]) / scale[0])
        planes = (v.shape[0], -1) if v.ndim > 1 else (1, -1)
        flat = centred.view(np.float64).reshape(planes)
        s = 2 if is_complex(v) else 1
        # The row axis is the kernel's last; volumes alone have its middle one.
        axes = [[2], [0, 2], [0, 1, 2]][v.ndim - 1]
        P = np.zeros((3, *flat.shape), np.float32)
        P[axes] = dual.view(real_dtype(v.dtype)).reshape(v.ndim, *flat.shape)
        x = np.empty_like(flat)
        for precision in (np.float32, np.float64):
            P = P.astype(precision)
            done, n_steps = tv_kernels.ascend(
                flat, flat.astype(precision), w / scale.item(), P, v.shape[-1] * s, s,
                self.isotropic, self.tol, self.max_iter, x,
            )  # fmt: skip
            if done or n_steps == self.max_iter:
                break
        if not done:
            self._warn()
        dual[...] = P[axes].astype(real_dtype(v.dtype)).view(v.dtype).reshape(dual.shape)
        return _restored(x.view(centred.dtype).reshape(v.shape), v, centre, scale)

    def _plain(self, v: Array, step: Any, p: Array) -> tuple[Array, Array]:
        """Run the kernel's iteration in the array API, a batch in lockstep."""
        xp = array_namespace(v)
        n = self.item_axes(v)
        items = tuple(range(-n, 0))
        eps = float(np.finfo(dtype_of(v)).eps)

        def total(terms: Array) -> Array:
            return xp.sum(terms, axis=items, keepdims=True)

        size = math.prod(v.shape[v.ndim - n :])
        centre = total(v) / size
        scale = xp.sqrt(total(abs_squared(v - centre)) / size)
        scale = xp.where(scale > eps * xp.abs(centre), scale, xp.ones_like(scale))
        z = (v - centre) / scale
        w = self.weight(v, step) / scale
        n_axes = sum(length > 1 for length in v.shape[v.ndim - n :])
        c = xp.expand_dims(1 / (4 * max(n_axes, 1) * w), axis=-n - 1)
        y, t, check = p, xp.zeros_like(scale), min(4, self.max_iter)
        for k in range(1, self.max_iter + 1):
            new = self._project(y + c * gradient(z - w * adjoint(y, n), n), n)
            uphill = inner(y - new, new - p, n + 1)
            y = new + xp.expand_dims(t / (t + 5), axis=-n - 1) * (new - p)
            p, t = new, xp.where(expand(uphill, n) > 0, xp.zeros_like(t), t + 1)
            if k < check:
                continue
            x = z - w * adjoint(p, n)
            g = gradient(x, n)
            ...
