"""The exact x-update of ADMM beside five warm steps of conjugate gradients.

Noise-ball ADMM with an ℓ1 prior on magnitudes, on the reference radar of 12 x 13
antennas and 25 x 25 x 49 voxels; one scene, data made on the same voxels, as solvers
are compared and not models. Applications of A and of its adjoint are counted; forming
AAᴴ takes none and is timed. The last part times the published formulation: a complex128
matrix for each frequency, einsum, the conjugate copied in each adjoint, five steps.

    bench_x_update.py               counts, times, the published form extrapolated
    bench_x_update.py --published   its 30 iterations at 20 frequencies in full: minutes
"""

import os
import sys

os.environ["SPARSESOLVE_CACHE"] = "off"  # the set-up is part of what is measured

import numpy as np
from measure import machine, seconds
from scipy.ndimage import gaussian_filter

import sparsesolve as ss
from sparsesolve.applications.radar_simulation import reference_array, reference_grid
from sparsesolve.linalg import regularized_inverse
from sparsesolve.metrics import psnr
from sparsesolve.operators import NearFieldMIMO
from sparsesolve.operators.base import Operator
from sparsesolve.priors import L1, Magnitude
from sparsesolve.solvers import ADMM

ITERATIONS = 60
TIMED_ITERATIONS = 30
STEPS = 5
SNR_DB = 30.0


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

    def __init__(self, A, x_dtype=np.complex128):
        self.in_shape, self.out_shape = A.in_shape, A.out_shape
        self.in_dtype = self.out_dtype = np.dtype(x_dtype)
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
        plan = ADMM(x_update="cg").prepare(problem)
        return plan._replace(inverse=FiveSteps(problem.A))


def scene(seed=0):
    """Small blobs in a random box, magnitudes in [0, 1], uniform random phases."""
    rng = np.random.default_rng(seed)
    shape = reference_grid().shape
    low = [rng.integers(2, n // 2) for n in shape]
    points = np.zeros(shape)
    for _ in range(15):
        place = [rng.integers(a, a + n // 2) for a, n in zip(low, shape, strict=True)]
        points[tuple(place)] = 1
    magnitude = gaussian_filter(points, 0.6)
    magnitude = magnitude / magnitude.max()
    return magnitude * np.exp(2j * np.pi * rng.uniform(size=shape))


def study(n_freq, seed=0):
    """Return the operator, the scene, data with noise and its norm."""
    tx, rx = reference_array()
    freq = np.linspace(4e9, 16e9, n_freq)
    A = Counted(tx, rx, freq, reference_grid())
    x = scene(seed).astype("complex64")
    y = A.forward(x)
    rng = np.random.default_rng([seed, 1])
    noise = rng.standard_normal((2, *y.shape)) * np.sqrt(
        np.mean(np.abs(y) ** 2) / 10 ** (SNR_DB / 10) / 2
    )
    noise = (noise[0] + 1j * noise[1]).astype("complex64")
    return A, x, y + noise, float(np.linalg.norm(noise))


def problem_of(A, y, radius):
    """Least Σ|x| within the norm of the noise."""
    return ss.Problem(ss.NoiseBall(A, y, radius), Magnitude(L1(1.0)))


def start(problem):
    """Return the published start, Aᴴy over its largest magnitude."""
    x = problem.A.adjoint(problem.loss.y)
    return x / float(np.abs(x).max())


def trace(A, problem, solver, truth):
    """Return applications and PSNR after each iteration."""
    before, rows = A.count, []
    ss.solve(
        problem,
        solver,
        x0=start(problem),
        max_iter=ITERATIONS,
        tol=0,
        progress=False,
        callback=lambda p: rows.append(
            (A.count - before, psnr(p.state.x, truth, scale="fit"))
        ),
    )
    return np.array(rows)


def compare(n_freq):
    """Print applications at equal PSNR, and when the set-up is repaid."""
    A, truth, y, radius = study(n_freq)
    problem = problem_of(A, y, radius)
    A.forward(truth), A.adjoint(y)
    pair = min(seconds(lambda: (A.forward(truth), A.adjoint(y))) for _ in range(5))
    set_up = seconds(lambda: regularized_inverse(A, method="exact"))
    exact = trace(A, problem, ADMM(x_update="exact"), truth)
    five = trace(A, problem, FiveStepADMM(), truth)
    goal = min(exact[:, 1].max(), five[:, 1].max())
    a, b = (int(np.argmax(rows[:, 1] >= goal)) for rows in (exact, five))
    used, spent = exact[a, 0], five[b, 0]
    inverse = regularized_inverse(A, method="exact")
    w, rho = A.adjoint(y), 2 * float(np.linalg.norm(A.forward(truth))) ** 2
    inverse.solve(w, y, rho)
    one = min(seconds(lambda: inverse.solve(w, y, rho)) for _ in range(5))
    saved = (STEPS * 2 + 4) / 2 * pair - one
    print(f"{n_freq} frequencies, {A.shape[0]} data, ADMM chose: {inverse.method}")
    print(
        f"  after {ITERATIONS} iterations: exact {exact[-1, 1]:.2f} dB with "
        f"{exact[-1, 0]:.0f} applications, five steps {five[-1, 1]:.2f} dB with "
        f"{five[-1, 0]:.0f}; best {exact[:, 1].max():.2f} and {five[:, 1].max():.2f} dB"
    )
    print(
        f"  to {goal:.2f} dB: exact {used:.0f} applications ({a + 1} iterations), five "
        f"steps {spent:.0f} ({b + 1}): {spent / used:.1f} times fewer (wanted 5)"
    )
    print(
        f"  set-up {set_up:.1f} s; a solve {1e3 * one:.0f} ms, five steps "
        f"{1e3 * (saved + one):.0f} ms: repaid after {np.ceil(set_up / saved):.0f} "
        "iterations"
    )


def thirty(problem, solver):
    """Run the iterations that are timed."""
    x0, n = start(problem), TIMED_ITERATIONS
    ss.solve(problem, solver, x0=x0, max_iter=n, tol=0, progress=False)


def against_published(run_it):
    """Print the time of 30 iterations at 20 frequencies, and that of the published."""
    A, _, y, radius = study(20)
    problem = problem_of(A, y, radius)
    A.forward(A.adjoint(y))  # compile
    ours = seconds(lambda: thirty(problem, ADMM(x_update="exact")))
    old = Published(A)
    y = y.astype("complex128")
    np.testing.assert_allclose(
        old.adjoint(y), A.adjoint(y.astype("complex64")), atol=1e-3 * abs(y).sum()
    )
    if run_it:
        problem = problem_of(old, y, radius)
        theirs = seconds(lambda: thirty(problem, FiveStepADMM()))
        label = "run in full"
    else:
        x = old.adjoint(y)
        forward = min(seconds(lambda: old.forward(x)) for _ in range(2))
        adjoint = min(seconds(lambda: old.adjoint(y)) for _ in range(2))
        theirs = TIMED_ITERATIONS * (STEPS + 2) * (forward + adjoint)
        label = (
            f"EXTRAPOLATED from {1e3 * forward:.0f} ms and {1e3 * adjoint:.0f} ms an "
            "application, 7 of each an iteration"
        )
    print(
        f"{TIMED_ITERATIONS} iterations at 20 frequencies: ours {ours:.1f} s, set-up "
        f"included; published {theirs:.0f} s ({label}): 1/{theirs / ours:.0f} of it "
        "(wanted 1/20)"
    )


def main():
    """Print the comparisons."""
    print(machine("numpy", "scipy", "numba"))
    compare(10)
    compare(20)
    against_published("--published" in sys.argv[1:])


if __name__ == "__main__":
    main()
