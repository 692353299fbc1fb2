"""How well Kronecker SBL recovers: synthetic problems and IRS channels, many seeds.

Synthetic: the published problem (`sparsesolve.data.kronecker_sparse`), defaults and
learned noise beside the published settings, greedy pursuit and least squares on the
true support. IRS channels: defaults beside the published recipes, which are written
out in ``tests/oracles/kronecker_sbl.py``, on the same draws.
"""

import argparse
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
from bench_sbl_published import PRUNE
from measure import machine

import sparsesolve as ss
from sparsesolve.applications import channel

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from oracles import kronecker_sbl as recipes

HEAD = "| method | NMSE mean | median | worst / oracle | SRR | iterations | CPU ms |"
SEPARATOR = "|---|---|---|---|---|---|---|"


def solve(measurement, prior, solver, **options):
    """Return the solution, its iterations and CPU seconds."""
    problem = ss.Problem(ss.LeastSquares(measurement.operator, measurement.y), prior)
    start = time.process_time()
    found = ss.solve(problem, solver, progress=False, **options)
    return found.x, found.n_iter, time.process_time() - start


def default(update):
    """Solve with the library's defaults; the noise is learned."""
    prior = ss.priors.KroneckerSBL(update=update)
    return lambda m: solve(m, prior, ss.VariationalEM(), max_iter=1000)


def published(update):
    """Solve with the published settings; the noise is known."""
    prior = ss.priors.KroneckerSBL(update=update, prune=PRUNE[update])

    def run(m):
        known = ss.VariationalEM(noise_variance=m.noise_variance, elimination=False)
        ones = np.ones(m.x.shape)
        return solve(m, prior, known, x0=ones, tol=1e-4, max_iter=150)

    return run


def greedy(m):
    """Pursue mode by mode with the true number of entries an axis."""
    others = (1, 2), (0, 2), (0, 1)
    count = [np.count_nonzero(np.any(m.x != 0, axis=axes)) for axes in others]
    prior = ss.priors.KroneckerTopK(*count)
    return solve(m, prior, ss.solvers.KroneckerOMP())


def oracle(m):
    """Solve least squares on the true support."""
    start = time.process_time()
    support = np.flatnonzero(m.x)
    columns = m.operator.columns(support).reshape(len(support), -1).T
    x = np.zeros(m.x.size)
    x[support] = np.linalg.lstsq(columns, m.y.ravel(), rcond=None)[0]
    return x.reshape(m.x.shape), 1, time.process_time() - start


METHODS = {
    "default (mm)": default("mm"),
    'update="mackay"': default("mackay"),
    "published SVD": published("svd"),
    "published AM": published("am"),
    "KroneckerOMP, true counts": greedy,
    "least squares on the support": oracle,
}


def synthetic(snr, seeds, methods):
    """Print one table of the synthetic problem."""
    print(f"\n{snr} dB, {seeds} seeds\n\n{HEAD}\n{SEPARATOR}")
    draws = [ss.data.kronecker_sparse(seed, snr) for seed in range(seeds)]
    best = [ss.metrics.relative_squared_error(oracle(m)[0], m.x) for m in draws]
    for name in methods:
        rows = []
        for m, least in zip(draws, best, strict=True):
            x, n_iter, seconds = METHODS[name](m)
            nmse = ss.metrics.relative_squared_error(x, m.x)
            srr = ss.metrics.support_recovery(x, m.x)
            rows.append((nmse, nmse / least, srr, n_iter, 1e3 * seconds))
        table = np.array(rows)
        nmse, _ratio, srr, n_iter, ms = table.mean(axis=0)
        print(
            f"| {name} | {nmse:.3e} | {np.median(table[:, 0]):.3e} | "
            f"{table[:, 1].max():.3g} | {srr:.3f} | {n_iter:.0f} | {ms:.0f} |",
            flush=True,
        )
    print(f"\nMedian of the oracle's NMSE: {np.median(best):.3e}.")


def our_channel(m):
    """Estimate with the defaults."""
    return channel.estimate(m).channel


def without_starts(m):
    """Estimate without further starts."""
    solver = ss.VariationalEM(noise_variance=m.noise_variance, starts=0)
    return channel.estimate(m, solver=solver).channel


def recipe(update, settings):
    """Estimate by a published recipe."""

    def run(m):
        x = recipes.run(m.factors, m.y, m.noise_variance, update, settings)
        return recipes.multiply(x, m.synthesis)

    return run


RECIPES = {
    "default": our_channel,
    "default without further starts": without_starts,
    "published PC, 0.8": recipe(recipes.alternating, recipes.PC_IRS),
    "published PC, 0.5": recipe(
        recipes.alternating, replace(recipes.PC_IRS, coupling=0.5)
    ),
    "published AM": recipe(recipes.alternating, recipes.AM_IRS),
    "published SVD": recipe(recipes.singular, recipes.SVD_IRS),
}


def channels(snr, trials, *, off_grid):
    """Print one table of IRS channels."""
    kind = "off the grid" if off_grid else "on the grid"
    print(f"\nIRS uplink {kind}, {snr} dB, {trials} trials\n")
    print("| method | NMSE mean | median | worst | SER | CPU ms |")
    print("|---|---|---|---|---|---|")
    for name, estimate in RECIPES.items():
        rows = []
        for seed in range(trials):
            m = channel.simulate(np.random.default_rng(seed), snr, off_grid=off_grid)
            start = time.process_time()
            found = estimate(m)
            seconds = time.process_time() - start
            nmse = ss.metrics.relative_squared_error(found, m.channel, axis=0)
            ser = ss.metrics.symbol_error_rate(found, m.channel, m.noise_variance)
            rows.append((nmse, ser, 1e3 * seconds))
        table = np.array(rows)
        nmse, ser, ms = table.mean(axis=0)
        print(
            f"| {name} | {nmse:.4f} | {np.median(table[:, 0]):.4f} | "
            f"{table[:, 0].max():.4f} | {ser:.2g} | {ms:.0f} |",
            flush=True,
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--table", choices=["synthetic", "irs", "off-grid"], default="synthetic"
    )
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--snr", type=float, nargs="+", default=[25.0, 10.0])
    parser.add_argument("--methods", nargs="+", default=list(METHODS))
    options = parser.parse_args()
    print(machine("numpy", "sparsesolve"))
    for level in options.snr:
        if options.table == "synthetic":
            synthetic(level, options.seeds, options.methods)
        else:
            channels(level, options.seeds, off_grid=options.table == "off-grid")
