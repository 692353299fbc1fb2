"""Speed of unmixing: FCLSU beside pysptools, SUnSAL and the sweep beside their floors.

CPU seconds, one thread (``OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1
NUMBA_NUM_THREADS=1``). A floor is what the arithmetic takes at the rate of a product of
two large square matrices, and the arrays that must be touched at the rate of a copy,
one after the other; both rates are measured in the same run. ``--big`` unmixes
1000 x 1000 pixels of 200 bands from an HDF5 file instead; ``--quick`` takes a small
generated scene.
"""

import argparse
import importlib.util
import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from measure import machine
from unmixing_scenes import (
    cpu_seconds,
    generated,
    header,
    jasper,
    pixels_of,
    row,
    samson,
)

import sparsesolve as ss
from sparsesolve.applications.unmixing import (
    archetypal_analysis,
    factorise,
    fclsu,
    sunsal,
    unmix_file,
    vca,
)

REPEATS = 7
BIG = (1000, 1000, 200, 6)


def median_seconds(run, repeats=REPEATS):
    """Median CPU seconds of some calls after one that is not counted."""
    run()
    return statistics.median(cpu_seconds(run)[1] for _ in range(repeats))


def rates(repeats=REPEATS, size=1024):
    """Return flops a second of a square product, and bytes a second of a copy."""
    a = np.random.default_rng(0).random((size, size))
    flops = 2 * size**3 / median_seconds(lambda: a @ a, repeats)
    source = np.ones(1 << 24)
    target = np.empty_like(source)
    copied = 2 * source.nbytes
    return flops, copied / median_seconds(lambda: np.copyto(target, source), repeats)


def residual(Y, E, A):
    """Return the largest violation of FCLSU's conditions, gradients over max |Y E'|.

    With gradient g of a pixel, g = mu on the support and g >= mu off it.
    """
    g, scale = _gradient(Y, E, A)
    on = A > 0
    mu = np.sum(np.where(on, g, 0), axis=1, keepdims=True) / on.sum(
        axis=1, keepdims=True
    )
    excess = np.where(on, np.abs(g - mu), np.maximum(mu - g, 0))
    return max(excess.max() / scale, np.abs(A.sum(axis=1) - 1).max(), -A.min())


def gap(Y, E, A):
    """Return the largest duality gap, Σ a (g - min g), in the same unit.

    For solvers that leave small shares where there should be none.
    """
    g, scale = _gradient(Y, E, A)
    return np.sum(A * (g - g.min(axis=1, keepdims=True)), axis=1).max() / scale


def _gradient(Y, E, A):
    rhs = Y @ E.T
    return A @ (E @ E.T) - rhs, np.abs(rhs).max()


def fully_constrained(scene, repeats):
    """Print FCLSU beside pysptools, in turn, with how exact both are."""
    Y, _ = pixels_of(scene)
    E = vca(Y, scene.count, rng=0)
    ours = median_seconds(lambda: fclsu(Y, E))
    A = fclsu(Y, E)
    exact = f"{residual(Y, E, A):.1e}", f"{gap(Y, E, A):.1e}"
    if importlib.util.find_spec("pysptools") is None:
        row(scene.name, f"{1e3 * ours:.1f}", "", "", *exact, "", "")
        return
    from pysptools.abundance_maps.amaps import FCLS

    peer, ratio, found = [], [], None
    for _ in range(repeats):
        near = median_seconds(lambda: fclsu(Y, E), 3)
        found, seconds = cpu_seconds(lambda: FCLS(Y, E))
        peer.append(seconds)
        ratio.append(seconds / near)
    found = np.asarray(found, float)
    row(
        scene.name,
        f"{1e3 * ours:.1f}",
        f"{statistics.median(peer):.2f}",
        f"{statistics.median(ratio):.0f} ({min(ratio):.0f} to {max(ratio):.0f})",
        *exact,
        f"{gap(Y, E, found):.1e}",
        f"{np.abs(found - A).max():.1e}",
    )


def per_iteration(run, few, many, repeats=REPEATS):
    """CPU seconds an iteration: of many less those of few, so that set-up cancels."""
    run(few)
    times = [
        cpu_seconds(lambda: run(many))[1] - cpu_seconds(lambda: run(few))[1]
        for _ in range(repeats)
    ]
    return statistics.median(times) / (many - few)


def sparse_regression(title, Y, E, flops, bandwidth):
    """Print SUnSAL: K x K x N multiply-adds and six arrays of K N an iteration."""
    n, k = len(Y), len(E)

    def run(count):
        admm = ss.ADMM()
        return sunsal(Y, E, max_iter=count, tol=0.0, progress=False, solver=admm)

    whole = median_seconds(lambda: run(100), 3)
    exact = median_seconds(lambda: sunsal(Y, E, progress=False), 3)
    step = per_iteration(run, 10, 110)
    inverse = np.random.default_rng(0).random((k, k))
    columns = np.ones((k, n))
    product = median_seconds(lambda: inverse @ columns)
    # Read z, u and E y; write x, z and u.
    floor = 2 * k * k * n / flops + 6 * 8 * k * n / bandwidth
    row(
        title,
        f"{n} x {k}",
        f"{1e3 * whole:.0f}",
        f"{1e3 * step:.3f}",
        f"{1e3 * floor:.3f}",
        f"{step / floor:.1f}",
        f"{1e3 * product:.3f}",
        f"{1e3 * exact:.0f}",
    )


def sweep(scene):
    """Print a sweep of `factorise`: two products of 2 L N K flops, Y read in each.

    Sweep and rates are measured in turn. The ratio is that of the best of each, and in
    brackets the median of ratios of neighbours in time, which share what else runs.
    """
    Y, norms = pixels_of(scene)
    w = norms / norms.mean()
    start = archetypal_analysis(Y, scene.count, weights=w, rng=0)
    n, bands = Y.shape
    k = scene.count

    def run(count, **options):
        return factorise(
            Y,
            start,
            pixel_weights=w,
            max_iter=count,
            tol=0.0,
            progress=False,
            **options,
        )

    M, A, rows = start.T.copy(), np.ones((k, n)), Y.T.copy()
    products = sum(
        median_seconds(product) for product in (lambda: M.T @ rows, lambda: rows @ A.T)
    )
    models = {
        "default": {},
        "guide 1/2": {"guide": 0.5},
        "Frobenius, guide 1/2": {"guide": 0.5, "loss": "frobenius"},
    }
    for title, model in models.items():
        steps, arithmetic, touching = [], [], []
        for _ in range(REPEATS):
            flops, bandwidth = rates(1)
            arithmetic.append(4 * bands * n * k / flops)
            touching.append(2 * Y.nbytes / bandwidth)
            again = per_iteration(lambda count, m=model: run(count, **m), 10, 60, 1)
            steps.append(again)
        step, floor = min(steps), min(arithmetic) + min(touching)
        pairs = zip(steps, arithmetic, touching, strict=True)
        paired = statistics.median(s / (a + t) for s, a, t in pairs)
        row(
            f"{scene.name}, {title}",
            f"{bands} x {n} x {k}",
            f"{1e3 * step:.2f}",
            f"{1e3 * floor:.2f}",
            f"{step / floor:.1f} ({paired:.1f})",
            f"{1e3 * products:.2f}",
        )


def write_big(path, rows, cols, bands, count):
    """Write a cube of integer reflectance: smooth spectra, Dirichlet shares, noise."""
    rng = np.random.default_rng(0)
    steps = 0.1 * np.cumsum(rng.standard_normal((count, bands)), axis=1)
    E = 0.1 + 0.4 / (1 + np.exp(-steps))
    data = np.empty((rows, cols, bands), np.uint16)
    for line in data:
        shares = rng.dirichlet(np.full(count, 0.3), cols).astype(np.float32)
        noise = 0.002 * rng.standard_normal((cols, bands), np.float32)
        line[:] = np.clip(1e4 * (shares @ E + noise), 0, 65535)
    ss.save(path, ss.HyperspectralCube(data, scale=1e-4, quantity="reflectance"))


def unmix_big(folder, size):
    """Write the cube in one process, unmix it in another, and print what that took."""
    header(
        "A cube from HDF5",
        "size",
        "file MB",
        "CPU s",
        "peak MB, of which interpreter and imports",
    )
    path = Path(folder) / "cube.h5"
    for task in ("write", "unmix"):
        command = [sys.executable, __file__, "--task", task, str(path)]
        subprocess.run([*command, *map(str, size)], check=True)


def peak_megabytes():
    """The most memory that this process has held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def do_task(task, path, rows, cols, bands, count):
    """What a process of `unmix_big` does."""
    size = tuple(int(n) for n in (rows, cols, bands, count))
    if task == "write":
        write_big(path, *size)
        return
    before = peak_megabytes()
    out = Path(path).with_name("maps.h5")
    _, seconds = cpu_seconds(
        lambda: unmix_file(path, size[3], out, rng=0, progress=False)
    )
    row(
        " x ".join(map(str, size[:3])) + f", K = {size[3]}",
        f"{Path(path).stat().st_size / 1e6:.0f}",
        f"{seconds:.1f}",
        f"{peak_megabytes():.0f}, {before:.0f}",
    )


def main(arguments=None):
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--big", action="store_true")
    parser.add_argument("--task", nargs=6, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.task:
        do_task(*options.task)
        return
    print(machine("numpy", "numba"))
    if options.big or options.quick:
        with tempfile.TemporaryDirectory() as folder:
            unmix_big(folder, BIG if options.big else (40, 40, 50, 3))
    if options.big:
        return
    scenes = [generated()] if options.quick else [samson(), jasper()]
    flops, bandwidth = rates()
    print(f"product {flops / 1e9:.1f} Gflop/s, copy {bandwidth / 1e9:.1f} GB/s")
    header(
        "FCLSU",
        "scene",
        "ours ms",
        "pysptools s",
        "pysptools / ours",
        "KKT residual, ours",
        "duality gap: ours",
        "pysptools",
        "largest difference",
    )
    for scene in scenes:
        fully_constrained(scene, 1 if options.quick else 3)
    header(
        "SUnSAL: 100 iterations of ADMM, and exactly",
        "spectra",
        "N x K",
        "whole ms",
        "an iteration ms",
        "floor ms",
        "iteration / floor",
        "its product alone ms",
        "exact, by active sets ms",
    )
    for scene in scenes:
        Y, _ = pixels_of(scene)
        for count in (scene.count, 60):
            E = vca(Y, count, rng=0) if count < 10 else Y[:: len(Y) // count][:count]
            title = f"{scene.name}, " + ("VCA" if count < 10 else "pixels as library")
            sparse_regression(title, Y, E, flops, bandwidth)
    header(
        "A sweep of `factorise`",
        "scene",
        "L x N x K",
        "ms",
        "floor ms",
        "sweep / floor: best (median of pairs)",
        "two products by BLAS ms",
    )
    for scene in scenes:
        sweep(scene)


if __name__ == "__main__":
    main()
