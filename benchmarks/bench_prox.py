"""Complex soft threshold and 3-D total variation, beside pyproximal and scikit-image.

Total variation: every method runs as long as it needs for the same relative duality
gap of x, (value - lower bound) / value. x = v - w ∇ᵀp with scikit-image's own feasible
p gives the bound ‖v‖²/2 - ‖x‖²/2. pyproximal's last p is extrapolated and may be
infeasible, so its x is held, in its favour, against the best bound known. Our gap is
computed here too, not taken from the library. On a machine that others share run it
with ``OMP_NUM_THREADS=1``; at this size all of them use one thread. Gaps other than
1e-3 are arguments; at 1e-4, the library's default, scikit-image needs a minute.
"""

import functools
import sys

import numpy as np
import pyproximal
import skimage.restoration
from measure import alternate, machine

import sparsesolve as ss
from sparsesolve.priors import tv_dual

SIZE, NOISE = 64, 0.1


def scene():
    """Boxes of random height, and noise of standard deviation `NOISE`."""
    rng = np.random.default_rng(0)
    v = NOISE * rng.standard_normal((SIZE,) * 3)
    for _ in range(12):
        low = rng.integers(0, SIZE - 8, 3)
        high = low + rng.integers(6, SIZE // 2, 3)
        v[tuple(map(slice, low, high))] += rng.random()
    return v


def value(v, w, x):
    """What the prox minimises, in double precision."""
    g = tv_dual.gradient(x, 3)
    return np.sum((x - v) ** 2) / 2 + w * np.sum(np.sqrt(np.sum(g * g, axis=0)))


def own_gap(v, w, x):
    """Relative duality gap of an x = v - w ∇ᵀp with feasible p."""
    v, x = v.astype(np.float64), x.astype(np.float64).reshape(v.shape)
    primal = value(v, w, x)
    return 1 - (np.sum(v * v) - np.sum(x * x)) / 2 / primal


def gap_to(bound, v, w, x):
    """Relative gap of an x to a lower bound."""
    primal = value(v.astype(np.float64), w, x.astype(np.float64).reshape(v.shape))
    return 1 - bound / primal


def iterations(run, gap, tol):
    """Iterations that bring the gap to tol, to 5 %."""
    n = 10
    while gap(run(n)) > tol:
        n *= 2
    low = n // 2
    while n - low > max(1, 0.05 * n):
        middle = (low + n) // 2
        low, n = (low, middle) if gap(run(middle)) <= tol else (middle, n)
    return n


def pyproximal_tv(v, w, n):
    """Beck and Teboulle's method."""
    return pyproximal.TV(v.shape, niter=n - 1, rtol=0.0).prox(v.ravel(), w)


def skimage_tv(v, w, n):
    """Chambolle's method."""
    return skimage.restoration.denoise_tv_chambolle(v, w, eps=0.0, max_num_iter=n)


def report(name, times, wanted, note=""):
    """One line."""
    ours, theirs, ratio = times
    print(
        f"  {name}: {theirs * 1e3:.1f} ms, ours {ours * 1e3:.2f} ms: {ratio:.1f} times "
        f"faster (wanted >= {wanted}){note}",
        flush=True,
    )


def soft_threshold():
    """10⁶ complex entries."""
    rng = np.random.default_rng(0)
    for dtype in (np.complex128, np.complex64):
        x = rng.standard_normal((2, 10**6)).astype(np.empty(0, dtype).real.dtype)
        v = x[0] + 1j * x[1]
        ours, peer = ss.priors.L1(0.7), pyproximal.L1(0.7)
        print(f"soft threshold of 10⁶ {np.dtype(dtype).name} entries")
        times = alternate(
            functools.partial(ours.prox, v, 1.0), functools.partial(peer.prox, v, 1.0)
        )
        report("pyproximal", times, 5)


def total_variation(dtype, tol, w):
    """The prox from a cold start."""
    v = scene().astype(dtype)
    wide = v.astype(np.float64)
    best = ss.priors.TotalVariation(w, tol=tol / 50, max_iter=20_000).prox(wide, 1.0)
    bound = value(wide, w, best) * (1 - tol / 50)
    prior = ss.priors.TotalVariation(w, tol=tol)
    ours = functools.partial(prior.prox, v, 1.0)
    x, p = prior.prox_warm(v, 1.0, None)
    p = p.astype(np.float64)
    p /= np.maximum(1, np.sqrt(np.sum(p * p, axis=0)))
    dual = np.sum(wide**2) / 2 - np.sum((wide - w * tv_dual.adjoint(p, 3)) ** 2) / 2
    print(
        f"total variation, {SIZE}³ {np.dtype(dtype).name}, weight {w}: "
        f"ours has a relative gap of {gap_to(dual, v, w, x):.1e} (tol {tol:g})"
    )
    for name, run, gap, wanted in (
        ("pyproximal", pyproximal_tv, functools.partial(gap_to, bound, v, w), 20),
        ("scikit-image", skimage_tv, functools.partial(own_gap, v, w), 5),
    ):
        theirs = functools.partial(run, v, w)
        n = iterations(theirs, gap, tol)
        note = f", {n} iterations to {gap(theirs(n)):.1e}"
        times = alternate(ours, functools.partial(theirs, n), repeats=5)
        report(name, times, wanted, note)


if __name__ == "__main__":
    print(machine("numpy", "numba", "pyproximal", "scikit-image"))
    soft_threshold()
    for dtype in (np.float64, np.float32):
        for tol in [float(a) for a in sys.argv[1:]] or [1e-3]:
            total_variation(dtype, tol, NOISE)
