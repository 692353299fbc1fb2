"""The exact x-update of ADMM beside five warm steps of conjugate gradients.

Least Σ|x| within the level of noise and model error (`radar.data_level`), on the
reference radar of 12 x 13 antennas and 25 x 25 x 49 voxels. Scenes, settings and stop
were fixed before anything was run: simulated scans at 30 dB of three families and three
seeds, no scatterer on a voxel; the defaults of ADMM; 30 iterations, the published stop.

Counted are applications of A and of its adjoint; forming AAᴴ takes none and is timed.
As both forms make as many iterations, their ratio over the run follows from the forms,
and what is found out is the PSNR (fitted scale) that each ends with. Then, for both,
the applications until they first reach a common PSNR, 0.1 dB below what five steps end
with; either may fall below it again. The last part times 30 iterations at 20
frequencies, also as published: a complex128 matrix for each frequency, einsum, the
conjugate copied in each adjoint, five steps.

    bench_x_update.py               counts, times, the published form extrapolated
    bench_x_update.py --published   its 30 iterations in full as well: many minutes
"""

import itertools
import os
import sys
from dataclasses import replace
from tempfile import TemporaryDirectory

os.environ["SPARSESOLVE_CACHE"] = "off"  # the set-up is part of what is measured

import numpy as np
from measure import machine, seconds

import sparsesolve as ss
from sparsesolve.applications import radar
from sparsesolve.linalg import regularized_inverse
from sparsesolve.metrics import psnr
from sparsesolve.operators import NearFieldMIMO
from sparsesolve.operators.base import Operator
from sparsesolve.priors import L1, Magnitude
from sparsesolve.solvers import ADMM

FAMILIES = "clusters", "points", "letters"
"""The first is the kind of the published study."""

SEEDS = 0, 1, 2
ASIDE = 1e-6
"""m, by which transmitters are moved for an array without symmetry."""

SNR_DB = 30.0
ITERATIONS = 30
STEPS = 5
MARGIN_DB = 0.1
CHANGES = 5, 10, 20, 40, 80, 160, 320
"""Iterations after which ADMM changes rho, so that the next needs another factor."""


class Counted(NearFieldMIMO):
    """The radar operator, counting its applications."""

    def forward(self, x):
        """Count and apply."""
        self._count = self.count + 1
        return super().forward(x)

    def adjoint(self, y):
        """Count and apply."""
        self._count = self.count + 1
        return super().adjoint(y)

    @property
    def count(self):
        """Applications so far."""
        return getattr(self, "_count", 0)


class Published(Operator):
    """The same matrix as it was published: complex128, einsum, copies of conjugates."""

    def __init__(self, A):
        self.in_shape, self.out_shape = A.in_shape, A.out_shape
        self.in_dtype = self.out_dtype = np.dtype(np.complex128)
        points = A.grid.points.reshape(-1, 3)
        out = np.linalg.norm(A.tx[:, None] - points, axis=2)
        back = np.linalg.norm(A.rx[:, None] - points, axis=2)
        self.rows = []
        for f in A.freq:
            k = 2 * np.pi * f / A.speed
            p = np.exp(-1j * k * out) / (4 * np.pi * out)
            self.rows.append(np.einsum("tv,rv->trv", p, np.exp(-1j * k * back) / back))

    def forward(self, x):
        """Return A x, one image."""
        x = x.reshape(-1)
        return np.stack([np.einsum("trv,v->tr", a, x) for a in self.rows])

    def adjoint(self, y):
        """Return Aᴴ y, one measurement."""
        parts = (
            np.einsum("trv,tr->v", np.conj(a), b)
            for a, b in zip(self.rows, y, strict=True)
        )
        return sum(parts).reshape(self.in_shape)


class FiveSteps:
    """Five steps of conjugate gradients from the last x: 14 applications."""

    method = f"{STEPS} warm steps of conjugate gradients"

    def __init__(self, A):
        self.A = A

    def solve(self, w, u, rho, warm=None):
        """Return x, A x and x to go on from."""
        A = self.A
        x = w if warm is None else warm
        r = A.adjoint(u) + rho * w - (A.gram(x) + rho * x)
        p, power = r, np.vdot(r, r).real
        for _ in range(STEPS):
            if power == 0:  # the start is the first solution
                break
            q = A.gram(p) + rho * p
            alpha = power / np.vdot(p, q).real
            x, r = x + alpha * p, r - alpha * q
            new = np.vdot(r, r).real
            p, power = r + (new / power) * p, new
        return x, A.forward(x), x


class FiveStepADMM(ADMM):
    """ADMM with that x-update."""

    def prepare(self, problem):
        """Replace the x-update of the plan."""
        return super().prepare(problem)._replace(inverse=FiveSteps(problem.A))


EXACT, CG = ADMM(x_update="exact"), ADMM(x_update="cg")
LOOSE, FIVE = ADMM(x_update="cg", inner_tol=1e-3), FiveStepADMM(x_update="cg")


def operator(n_freq, aside=0.0):
    """Return the operator of every scene: all have one geometry."""
    scan = radar.simulate_scan(n_freq=n_freq).scan
    scan = replace(scan, tx=scan.tx + np.array([aside, 0, 0]))
    return Counted.from_scan(scan, radar.reference_grid())


def study(A, family, seed):
    """Return the scan of a scene, the level of its errors, the true magnitudes."""
    simulation = radar.simulate_scan(
        seed, scene=family, n_freq=len(A.freq), snr_db=SNR_DB
    )
    radius = radar.data_level(simulation.scan, A.grid).radius
    return simulation.scan, radius, simulation.truth(A.grid)


def problem_of(A, y, radius):
    """Least Σ|x| within the level of the data's errors."""
    return ss.Problem(ss.NoiseBall(A, y, radius), Magnitude(L1(1.0)))


def run(problem, solver, callback=None):
    """Make the iterations from the published start, Aᴴy over its largest magnitude."""
    x = problem.A.adjoint(problem.loss.y)
    return ss.solve(
        problem,
        solver,
        x0=x / float(np.abs(x).max()),
        max_iter=ITERATIONS,
        tol=0,
        progress=False,
        callback=callback,
    )


def trace(problem, solver, truth, scan):
    """Return applications and PSNR, as it is and restored, after each iteration."""
    A, rows = problem.A, []
    before, width = A.count, radar.restoring_beam(scan, A.grid)

    def note(progress):
        x = progress.state.x
        pictures = x, radar.restore(x, scan, A.grid, width=width)
        found = (psnr(picture, truth, scale="fit") for picture in pictures)
        rows.append((A.count - before, *found))

    run(problem, solver, note)
    return np.array(rows)


def reached(rows, level):
    """Return the applications after which the PSNR is first at a level, or nan."""
    there = np.flatnonzero(rows[:, 1] >= level)
    return rows[there[0], 0] if there.size else np.nan


def compare(A, seeds):
    """Print a row for each scene, the mean and the worst; then of restored images."""
    runs = {}
    for family, seed in itertools.product(FAMILIES, seeds):
        scan, radius, truth = study(A, family, seed)
        problem = problem_of(A, scan.data, radius)
        runs[family, seed] = [
            trace(problem, solver, truth, scan) for solver in (EXACT, FIVE)
        ]
    for column, what in ((1, "x itself"), (2, "restored")):
        report(runs, column, what)


def report(runs, column, what):
    """Print the comparison by one of the two PSNRs."""
    print(f"\nPSNR of the image, {what}")
    print(
        f"{'':12}{'exact':>16}{'five steps':>17}{'fewer':>8}{'exact better':>14}"
        f"{'to a common PSNR':>21}: exact, five, fewer"
    )
    ratios, gains, earlier = [], [], []
    for (family, seed), traces in runs.items():
        exact, five = (rows[:, (0, column)] for rows in traces)
        level = five[-1, 1] - MARGIN_DB
        a, b = reached(exact, level), reached(five, level)
        ratios.append(five[-1, 0] / exact[-1, 0])
        gains.append(exact[-1, 1] - five[-1, 1])
        earlier.append(b / a)
        end = "never" if np.isnan(a) else f"{a:5.0f}{b:6.0f}{b / a:7.1f} x"
        print(
            f"{family:9}{seed:3}{exact[-1, 0]:7.0f}{exact[-1, 1]:6.2f} dB"
            f"{five[-1, 0]:8.0f}{five[-1, 1]:6.2f} dB{ratios[-1]:6.1f} x"
            f"{gains[-1]:+11.2f} dB{level:18.2f} dB: {end}",
            flush=True,
        )
    known = [x for x in earlier if not np.isnan(x)]
    print(
        f"fewer applications over the run: mean {np.mean(ratios):.1f}, worst "
        f"{min(ratios):.1f} times (wanted 5); exact ends {np.mean(gains):+.2f} dB from "
        f"five steps in the mean, {min(gains):+.2f} at worst, {max(gains):+.2f} at best"
    )
    if known:
        print(
            f"until the common PSNR: mean {np.mean(known):.1f}, worst "
            f"{min(known):.1f} times; reached by exact in {len(known)} of "
            f"{len(earlier)} scenes"
        )


def costs(A):
    """Print the times of both x-updates, and when the set-up is repaid."""
    rng = np.random.default_rng(0)
    w, u = (
        (rng.standard_normal(s) + 1j * rng.standard_normal(s)).astype("complex64")
        for s in (A.in_shape, A.out_shape)
    )
    image, x = A.forward(w), A.adjoint(u)  # compile
    set_up = seconds(lambda: regularized_inverse(A, method="exact"))
    odd = operator(len(A.freq), ASIDE)
    odd_set_up = seconds(lambda: regularized_inverse(odd, method="exact"))
    inverse = regularized_inverse(A, method="exact")
    rho = 2 * float(np.linalg.norm(image) / np.linalg.norm(w)) ** 2
    first = [seconds(lambda r=r: inverse.solve(w, u, r * rho)) for r in (3, 2, 1)]
    one = min(seconds(lambda: inverse.solve(w, u, rho)) for _ in range(5))
    factor = min(first) - one
    steps = FiveSteps(A)
    five = min(seconds(lambda: steps.solve(w, u, rho, x)) for _ in range(3))
    print(
        f"\n{len(A.freq)} frequencies, {A.shape[0]} data: AAᴴ takes {set_up:.1f} s, "
        f"{odd_set_up:.1f} s without symmetry, a factor for a new rho "
        f"{1e3 * factor:.0f} ms, an exact x-update {1e3 * one:.0f} ms, five steps "
        f"{1e3 * five:.0f} ms: repaid after "
        f"{break_even(set_up, factor, one, five)} iterations"
    )


def break_even(set_up, factor, one, five):
    """Return the first number of iterations that exact x-updates make faster."""
    if one >= five:
        return "no number of"
    return next(
        n
        for n in itertools.count(1)
        if set_up + (1 + sum(n > k for k in CHANGES)) * factor <= n * (five - one)
    )


def against_published(run_it):
    """Print times of the run at 20 frequencies, ours in each way and as published."""
    A = operator(20)
    scan, radius, truth = study(A, FAMILIES[0], SEEDS[0])
    y, rows = scan.data, []

    def timed(name, A, solver):
        problem, found = problem_of(A, y.astype(A.in_dtype), radius), []
        spent = seconds(lambda: found.append(run(problem, solver)))
        rows.append((name, spent, f"{psnr(found[0].x, truth, scale='fit'):.2f} dB"))

    A.forward(A.adjoint(y))  # compile
    timed("conjugate gradients to 1e-6", A, CG)
    timed("conjugate gradients to 1e-3", A, LOOSE)
    timed("five steps", A, FIVE)
    with TemporaryDirectory() as folder:
        os.environ["SPARSESOLVE_CACHE"] = folder
        # operators of their own, as one would share its AAᴴ
        timed("exact, AAᴴ formed and kept", operator(20), EXACT)
        timed("exact, AAᴴ from the disk", operator(20), EXACT)
        timed("exact, formed, no symmetry", operator(20, ASIDE), EXACT)
        os.environ["SPARSESOLVE_CACHE"] = "off"
    old = Published(A)
    forward, adjoint = agree(old, A, y)
    each = STEPS + 2
    if run_it:
        timed("published, run in full", old, FIVE)
    else:
        total = ITERATIONS * each * (forward + adjoint)
        rows.append(("published, EXTRAPOLATED", total, "-"))
    print(
        f"\n{ITERATIONS} iterations at 20 frequencies, {FAMILIES[0]} {SEEDS[0]}; "
        f"'auto' takes: {regularized_inverse(A).method}\n"
        f"published: forward {1e3 * forward:.0f} ms, adjoint {1e3 * adjoint:.0f} ms, "
        f"{each} of each an iteration\n"
        f"{'':30}{'s':>8}{'times faster than published (wanted 20)':>41}   PSNR"
    )
    for name, spent, end in rows:
        print(f"{name:30}{spent:8.1f}{rows[-1][1] / spent:41.1f}   {end}")


def agree(old, A, y):
    """Check that both apply one matrix; return the published seconds of A and Aᴴ."""
    found = []
    y = y.astype("complex128")
    adjoint = min(seconds(lambda: found.append(old.adjoint(y))) for _ in range(2))
    forward = min(seconds(lambda: found.append(old.forward(found[0]))) for _ in (0, 1))
    x = found[0].astype("complex64")
    for ours, theirs in ((A.adjoint(y.astype(x.dtype)), x), (A.forward(x), found[-1])):
        error = np.linalg.norm(ours - theirs) / np.linalg.norm(theirs)
        if error > 1e-5:
            raise ArithmeticError(f"ours and the published operator differ by {error}")
    return forward, adjoint


def main():
    """Print the comparisons."""
    print(machine("numpy", "scipy", "numba"))
    for n_freq, seeds in ((10, SEEDS), (20, SEEDS[:1])):
        A = operator(n_freq)
        costs(A)
        compare(A, seeds)
    against_published("--published" in sys.argv[1:])


if __name__ == "__main__":
    main()
