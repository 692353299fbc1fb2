"""Kronecker SBL as published: its reference rows, its speed, and its floor.

Three tables: the nine rows of the authors' MATLAB functions (run in Octave on another
machine, so that only the ratio's order of magnitude means something); one iteration
beside the floor of its operations; one iteration at a million unknowns. Run with one
thread: ``OPENBLAS_NUM_THREADS=1 OMP_NUM_THREADS=1``.
"""

import functools
import resource
import time

import numpy as np
from measure import machine

import sparsesolve as ss

# SNR in dB, seed, update, prune, the authors' NMSE, their CPU seconds
ROWS = (
    (25, 0, "svd", 8.792103e-5, 6.45),
    (25, 0, "am", 4.534593e-3, 57.5),
    (25, 1, "svd", 2.883523e-4, 14.1),
    (25, 1, "am", 2.883669e-4, 40.0),
    (25, 2, "svd", 1.212688e-4, 21.5),
    (25, 2, "am", 1.230223e-4, 58.7),
    (10, 0, "svd", 1.649083e-3, 8.3),
    (10, 0, "am", 2.766784e-2, 178.0),
    (10, 1, "svd", 5.740625e-3, 18.3),
)
PRUNE = {"svd": 1e-3, "am": 1e-2}
SIZES = {
    "8x15, 12x15, 15x15": ((8, 12, 15), (15, 15, 15)),
    "24x32, three times": ((24, 24, 24), (32, 32, 32)),
    "48x64, three times": ((48, 48, 48), (64, 64, 64)),
    "96x128, 96x128, 48x64": ((96, 96, 48), (128, 128, 64)),
}
REPEATS = 9
ROUNDS = 9


def published(measurement, update):
    """Solve with the published settings."""
    prior = ss.priors.KroneckerSBL(update=update, prune=PRUNE[update])
    solver = ss.VariationalEM(
        noise_variance=measurement.noise_variance, elimination=False
    )
    problem = ss.Problem(ss.LeastSquares(measurement.operator, measurement.y), prior)
    ones = np.ones(measurement.x.shape)
    return ss.solve(problem, solver, x0=ones, tol=1e-4, max_iter=150, progress=False)


def cpu_seconds(run, repeats=REPEATS):
    """Least CPU seconds of several calls."""
    best = np.inf
    for _ in range(repeats):
        start = time.process_time()
        run()
        best = min(best, time.process_time() - start)
    return best


def rows():
    """Print the nine reference rows."""
    print(
        "| SNR dB, seed | update | NMSE | authors' NMSE | iterations | CPU s |", end=""
    )
    print(" authors' CPU s | ratio |\n|---|---|---|---|---|---|---|---|")
    for snr, seed, update, nmse, seconds in ROWS:
        measurement = ss.data.kronecker_sparse(seed, snr)
        solution = published(measurement, update)
        found = ss.metrics.relative_squared_error(solution.x, measurement.x)
        ours = cpu_seconds(lambda m=measurement, u=update: published(m, u))
        print(
            f"| {snr}, {seed} | {update} | {found:.6e} | {nmse:.6e} | "
            f"{solution.n_iter} | {ours:.4f} | {seconds} | {seconds / ours:.0f} |",
            flush=True,
        )


def random_problem(sizes, update):
    """Draw a problem of six non-zeros an axis at 25 dB."""
    rng = np.random.default_rng(0)
    rows, columns = sizes
    A = ss.operators.Kronecker(
        *(rng.standard_normal(shape) for shape in zip(rows, columns, strict=True))
    )
    x = np.zeros(columns)
    places = [rng.choice(n, 6, replace=False) for n in columns]
    x[np.ix_(*places)] = rng.standard_normal((6, 6, 6))
    y = A(x)
    noise = np.mean(y**2) / 10**2.5
    y = y + np.sqrt(noise) * rng.standard_normal(y.shape)
    problem = ss.Problem(ss.LeastSquares(A, y), ss.priors.KroneckerSBL(update=update))
    return problem, noise


def floor_seconds(sizes, rate, n_posteriors):
    """Seconds of one iteration's decompositions and products.

    One decomposition for each factor; for each posterior the data times the left
    vectors and the whitened mean times the right vectors of one axis; and the mean, all
    modes, once. The decompositions are timed, the products counted.
    """
    rng = np.random.default_rng(0)
    rows, columns = sizes
    factors = [rng.standard_normal(s) for s in zip(rows, columns, strict=True)]
    decompositions = sum(
        cpu_seconds(lambda a=a: np.linalg.svd(a, full_matrices=False), 9)
        for a in factors
    )
    data = float(np.prod(rows))
    project = 2 * data * sum(rows)
    one_axis = 2 * data * max(columns)
    expand, size = 0.0, data
    for m, n in zip(rows, columns, strict=True):
        expand += 2 * size * n
        size *= n / m
    flops = n_posteriors * (project + one_axis) + expand
    return decompositions + flops / rate


def peak_rate():
    """Flops a second of a large matrix product."""
    a = np.random.default_rng(0).standard_normal((1000, 1000))
    return 2e9 / cpu_seconds(lambda: a @ a)


def iterations(update="mm"):
    """Print one iteration at several sizes beside its floor.

    "E and M steps" are a posterior and an update for each factor; the whole iteration
    adds the mean, the evidence and the stopping rule. Floor and both are measured in
    turn, and ratios are medians over the rounds.
    """
    rate = peak_rate()
    print(f"\nPeak rate of a product: {rate / 1e9:.0f} Gflop/s.\n")
    print(
        "| factors | N | floor, ms | E and M steps, ms | ratio | iteration, ms | ",
        end="",
    )
    print("ratio | peak memory, MiB |\n|---|---|---|---|---|---|---|---|")
    for name, sizes in SIZES.items():
        problem, noise = random_problem(sizes, update)
        solver = ss.VariationalEM(noise_variance=noise, elimination=False)
        plan = solver.prepare(problem)
        state = solver.init(problem, plan, None, np.random.default_rng(0))
        for _ in range(3):
            state = solver.step(problem, plan, state)
        repeats = 50 if np.prod(sizes[1]) < 10**5 else 2
        steps = functools.partial(sweep, problem.prior, plan.engine, state, noise)
        whole = functools.partial(solver.step, problem, plan, state)
        rounds = np.array(
            [
                (
                    floor_seconds(sizes, rate, n_posteriors=3),
                    cpu_seconds(steps, repeats),
                    cpu_seconds(whole, repeats),
                )
                for _ in range(ROUNDS)
            ]
        )
        floor, inner, outer = np.median(rounds, axis=0)
        first, second = np.median(rounds[:, 1:] / rounds[:, :1], axis=0)
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(
            f"| {name} | {np.prod(sizes[1])} | {1e3 * floor:.3g} | {1e3 * inner:.3g} | "
            f"{first:.2f} | {1e3 * outer:.3g} | {second:.2f} | "
            f"{memory:.0f} |",
            flush=True,
        )


def sweep(prior, engine, state, noise):
    """Take the E and M steps of one iteration."""
    hyper = state.hyper
    now = engine.restored(state.moments, noise)
    for part in prior.parts:
        hyper = prior.update_hyper(hyper, now, part)
        now = engine.moments(prior.variance(hyper), noise)
    return now


if __name__ == "__main__":
    print(machine("numpy", "sparsesolve"))
    rows()
    iterations()
