"""How often 90 % intervals hold the truth: known and learned hyperparameters.

Known: x drawn from the prior, variances and noise given to the posterior. Learned: the
published synthetic problem with defaults, separately for entries that are truly not
zero, truly zero, and eliminated, and for the predicted noiseless data.
"""

import argparse

import numpy as np
from measure import machine

import sparsesolve as ss
from sparsesolve.separable import Separable
from sparsesolve.solution import PosteriorSummary
from sparsesolve.solvers.kronecker_engine import KroneckerEngine

LEVEL = 0.9
DRAWS = 400


def known(trials, *, is_complex):
    """Return the coverage where x is drawn from a prior that is known."""
    rng = np.random.default_rng(0)
    kind = complex if is_complex else float

    def normal(*shape):
        if is_complex:
            return rng.standard_normal((*shape, 2)) @ np.array([1, 1j]) / np.sqrt(2)
        return rng.standard_normal(shape)

    A = ss.operators.Kronecker(*(normal(m, n) for m, n in ((5, 8), (6, 8), (7, 8))))
    variance = Separable(rng.gamma(0.7, 1.0, 8) for _ in range(3))
    x = np.sqrt(variance.full()) * normal(trials, 8, 8, 8)
    noise = 0.1 * float(np.mean(np.abs(A(x)) ** 2))
    y = A(x) + np.sqrt(noise) * normal(trials, 5, 6, 7)
    parts = Separable(np.tile(g, (trials, 1)) for g in variance.factors)
    problem = ss.Problem(ss.LeastSquares(A, y.astype(kind)), ss.priors.KroneckerSBL())
    moments = KroneckerEngine(problem).moments(parts, np.full(trials, noise))
    posterior = PosteriorSummary(moments.mean, moments.variance, None, noise, {})
    wanted = {"real": x.real, "imag": x.imag, "abs": np.abs(x)}
    for of in ("real", "imag", "abs") if is_complex else ("real", "abs"):
        low, high = posterior.interval(LEVEL, of=of)
        inside = np.mean((low <= wanted[of]) & (wanted[of] <= high))
        label = "complex" if is_complex else "real"
        print(f"| {label} x, {of} | {100 * inside:.2f} % of {x.size} |")


def learned(snr, seeds):
    """Print the coverage of the published problem with defaults."""
    inside = {"non-zero": [], "zero": [], "eliminated": [], "data": []}
    for seed in range(seeds):
        m = ss.data.kronecker_sparse(seed, snr)
        A = m.operator
        problem = ss.Problem(ss.LeastSquares(A, m.y), ss.priors.KroneckerSBL())
        solution = ss.solve(problem, max_iter=1000, progress=False)
        posterior = solution.posterior
        low, high = posterior.interval(LEVEL)
        good, kept = (low <= m.x) & (m.x <= high), ~posterior.eliminated
        there = m.x != 0
        inside["non-zero"].append(good[kept & there])
        inside["zero"].append(good[kept & ~there])
        inside["eliminated"].append(~there[~kept])
        data = A(posterior.sample(np.random.default_rng(0), DRAWS))
        low, high = np.quantile(data, (0.5 - LEVEL / 2, 0.5 + LEVEL / 2), axis=0)
        truth = A(m.x)
        inside["data"].append(((low <= truth) & (truth <= high)).ravel())
    cells = []
    for hits in inside.values():
        all_hits = np.concatenate(hits)
        share = f"{100 * all_hits.mean():.1f} %" if all_hits.size else "none"
        cells.append(f"{share} of {all_hits.size}")
    print(f"| {snr:g} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--trials", type=int, default=200)
    options = parser.parse_args()
    print(machine("numpy", "scipy", "sparsesolve"))
    print(
        "\nHyperparameters known, x drawn from the prior\n\n| of | inside |\n|---|---|"
    )
    known(options.trials, is_complex=False)
    known(options.trials, is_complex=True)
    print("\nHyperparameters and noise learned\n")
    print("| SNR dB | non-zero, kept | zero, kept | eliminated: truly zero | data |")
    print("|---|---|---|---|---|")
    for level in (0.0, 10.0, 20.0):
        learned(level, options.seeds)
