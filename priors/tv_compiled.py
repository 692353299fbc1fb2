"""Total variation of NumPy arrays by the kernels: exact lines, compiled dual."""

from __future__ import annotations

import numpy as np

from sparsesolve.backends import Array, is_complex, real_dtype
from sparsesolve.kernels import get_num_threads
from sparsesolve.priors import tv_kernels
from sparsesolve.priors.tv_dual import (
    Settings,
    ascend,
    n_axes,
    normalised,
    restored,
    rounding,
)


def lines(v: Array, w: Array) -> Array:
    """Exact prox of the real rows of `v`, each with its own weight, in linear time."""
    z, centre, scale = normalised(v.astype(np.float64, copy=False), 1)
    x = np.empty_like(z)
    tv_kernels.denoise_lines(z, w / scale[:, 0], x)
    return restored(x, v, centre, scale, 1)


def cold_start(v: Array, w: float, how: Settings, max_iter: int) -> Array:
    """Return a first dual of an array: that of its means over blocks of 2 per axis.

    A dual that is constant across a coarse face and linear from face to face has the
    coarse divergence; what is constant on blocks has 2^(n-1) times its coarse total
    variation and 2^n times its coarse squares, hence half the weight. From coarse to
    fine two to three times fewer steps are needed than from 0.
    """
    n = v.ndim
    p = np.zeros((n, *v.shape), v.dtype)
    if min(v.shape) < 8:
        return p
    even = tuple(slice(0, length // 2 * 2) for length in v.shape)
    blocks = v[even].reshape([a for length in v.shape for a in (length // 2, 2)])
    coarse = blocks.mean(axis=tuple(range(1, 2 * n, 2)))
    dual = CompiledDual(coarse, w / 2, cold_start(coarse, w / 2, how, max_iter), how)
    ascend(dual, max_iter)
    for axis, faces in enumerate(dual.result()[1]):
        for other in set(range(n)) - {axis}:
            faces = np.repeat(faces, 2, axis=other)
        faces = np.moveaxis(faces, axis, 0)
        fine = np.moveaxis(p[axis][even], axis, 0)
        fine[1::2] = faces
        fine[::2] = faces / 2
        fine[2::2] += faces[:-1] / 2
    return p


class CompiledDual:
    """`PlainDual` of one array by the kernels.

    Steps are taken in float32, at a quarter of the time, until rounding would keep
    the gap above the tolerance; the gap is measured in float64.
    """

    def __init__(self, v: Array, w: float, p: Array, how: Settings) -> None:
        self.v, self.how, n = v, how, v.ndim
        z, self.centre, self.scale = normalised(
            v.astype(np.result_type(v, np.float64)), n
        )
        self.w = w / self.scale.item()
        self.c = 1 / (4 * n_axes(v, n) * self.w)
        self.z = (
            np.ascontiguousarray(z)
            .view(np.float64)
            .reshape(v.shape[0] if n > 1 else 1, -1)
        )
        self.x = np.empty_like(self.z)
        self.per_entry = 2 if is_complex(v) else 1
        self.row = v.shape[-1] * self.per_entry
        # The kernels' axes are planes, rows and entries; only volumes have the second.
        self.rows = ([2], [0, 2], [0, 1, 2])[n - 1]
        axes = [a for a, length in zip(self.rows, v.shape, strict=True) if length > 1]
        self.axes = np.array(axes, np.int64)
        # A slab of planes per thread, if waking the threads at every step is worth it.
        self.n_slabs = min(get_num_threads(), len(self.z), self.z.size >> 19)
        dual = np.zeros((3, *self.z.shape), np.float32)
        p = np.ascontiguousarray(p).view(real_dtype(v.dtype))
        dual[self.rows] = p.reshape(n, *self.z.shape)
        self._use(dual)

    def _use(self, dual: Array) -> None:
        """Go on from `dual`, in its precision."""
        self.p, self.y, self.t = dual, dual.copy(), 0
        self.u = self.z.astype(dual.dtype, copy=False)

    def step(self) -> None:
        """Take one dual step."""
        number, nz = self.u.dtype.type, len(self.u)
        w, c, beta = number(self.w), number(self.c), number(self.t / (self.t + 5))
        args = (self.u, w, c, beta, self.p, self.y, self.axes)
        shape = (self.row, self.per_entry, self.how.isotropic)
        if self.n_slabs > 1:
            downhill = tv_kernels.sweep_slabs(*args, *shape, self.n_slabs)
        else:
            face = np.empty_like(self.u[0])
            tv_kernels.primal(self.u, w, self.y, 0, self.row, self.per_entry, face)
            downhill = tv_kernels.sweep(*args, 0, nz, face, face, *shape)
        self.t = 0 if downhill > 0 else self.t + 1

    def excess(self) -> float:
        """Set `x`; return by what factor the gap is above the tolerance."""
        sums = np.empty((len(self.z), 4))
        measure = tv_kernels.measure_slabs if self.n_slabs > 1 else tv_kernels.measure
        shape = (self.row, self.per_entry, self.how.isotropic)
        measure(self.z, self.w, self.p, self.axes, *shape, self.x, sums)
        tv, product, fit, constant = sums.sum(axis=0)
        gap, value, constant = (
            self.w * (tv - product),
            fit / 2 + self.w * tv,
            constant / 2,
        )
        if constant < gap:
            self.x[...] = 0
            gap, value = constant, value - gap + constant
        allowed = self.how.tol * value
        single, double = (
            rounding(float(np.finfo(dtype).eps), self.w, self.z.size)
            for dtype in (np.float32, np.float64)
        )
        if self.u.dtype == np.float32 and single > allowed:
            self._use(self.p.astype(np.float64))
        return float(gap / max(allowed, double))

    def result(self) -> tuple[Array, Array]:
        """Return the prox and the dual."""
        v = self.v
        x = self.x.view(np.result_type(v, np.float64)).reshape(v.shape)
        p = self.p[self.rows].astype(real_dtype(v.dtype), copy=False)
        p = p.view(v.dtype).reshape(v.ndim, *v.shape)
        return restored(x, v, self.centre, self.scale, v.ndim), p
