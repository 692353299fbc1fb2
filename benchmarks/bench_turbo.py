"""Clustered supports: Turbo-VBI and spike and slab beside EM-SBL and the oracle.

Complex, 80 data, 200 unknowns, three runs of 8, A with columns of unit norm. Prints a
Markdown table: mean NMSE, support accuracy, learned noise over the true one.

    python benchmarks/bench_turbo.py --seeds 15 --snr 20 10 --noise known learned
"""

import argparse

import numpy as np
from measure import machine

import sparsesolve as ss

N_DATA, N, RUNS, LENGTH = 80, 200, 3, 8
PRIORS = {
    "Turbo-VBI, Markov": lambda: ss.priors.TurboVBI("markov"),
    "Turbo-VBI, independent": lambda: ss.priors.TurboVBI("independent"),
    "spike and slab, Markov": lambda: ss.priors.SpikeAndSlab("markov"),
    "spike and slab, independent": lambda: ss.priors.SpikeAndSlab("independent"),
    "SBL, EM": lambda: ss.priors.SBL(update="em"),
    "SBL, EM, no elimination": lambda: ss.priors.SBL(update="em"),
}


def instance(seed, snr):
    """A, truth, data and noise variance; the runs do not touch."""
    rng = np.random.default_rng(seed)

    def normal(*shape):
        return (rng.standard_normal((*shape, 2)) @ (1, 1j)) / np.sqrt(2)

    a = normal(N_DATA, N)
    a /= np.linalg.norm(a, axis=0)
    starts = np.sort(rng.choice(N - RUNS * (LENGTH + 1), RUNS, replace=False))
    x = np.zeros(N, complex)
    for start in starts + np.arange(RUNS) * (LENGTH + 1):
        x[start : start + LENGTH] = normal(LENGTH)
    clean = a @ x
    noise = np.mean(abs(clean) ** 2) / 10 ** (snr / 10)
    return a, x, clean + np.sqrt(noise) * normal(N_DATA), noise


def error(x, truth):
    """Squared error over the power of the truth."""
    return np.sum(abs(x - truth) ** 2) / np.sum(abs(truth) ** 2)


def solved(name, a, truth, y, noise, max_iter, *, known):
    """NMSE, share of entries whose on or off is right, noise ratio, iterations."""
    solver = ss.VariationalEM(
        noise_variance=noise if known else None, elimination="no elim" not in name
    )
    problem = ss.Problem(ss.LeastSquares(a, y), PRIORS[name]())
    found = ss.solve(problem, solver, max_iter=max_iter, tol=1e-4, progress=False)
    hyper = found.posterior.hyper
    on = hyper["probability"] > 0.5 if "probability" in hyper else abs(found.x) > 0.05
    ratio = found.posterior.noise_variance / noise
    return error(found.x, truth), np.mean(on == (truth != 0)), ratio, found.n_iter


def least_squares(a, truth, y):
    """NMSE of least squares on the true support."""
    on = truth != 0
    x = np.zeros_like(truth)
    x[on] = np.linalg.lstsq(a[:, on], y)[0]
    return error(x, truth)


def decibel(values):
    return 10 * np.log10(np.mean(values))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=15)
    parser.add_argument("--snr", type=float, nargs="+", default=[20, 10])
    parser.add_argument("--noise", nargs="+", default=["known", "learned"])
    parser.add_argument("--pull", type=float, help="of the spikes of both priors")
    parser.add_argument("--max-iter", type=int, default=250)
    args = parser.parse_args()
    if args.pull is not None:
        ss.priors.TurboVBI.pull = ss.priors.SpikeAndSlab.pull = args.pull
    print(machine("numpy", "scipy"), "\n")
    print("| SNR dB | noise | prior | NMSE dB | accuracy | noise ratio | iterations |")
    print("|---|---|---|---|---|---|---|")
    for snr in args.snr:
        cases = [instance(seed, snr) for seed in range(args.seeds)]
        oracle = decibel([least_squares(*case[:3]) for case in cases])
        print(f"| {snr:g} | | least squares, true support | {oracle:.2f} | 1 | | |")
        for noise in args.noise:
            known = noise == "known"
            for name in PRIORS:
                rows = [solved(name, *c, args.max_iter, known=known) for c in cases]
                errors, right, ratios, counts = zip(*rows, strict=True)
                print(
                    f"| {snr:g} | {noise} | {name} | {decibel(errors):.2f} | "
                    f"{np.mean(right):.3f} | {np.median(ratios):.2f} | "
                    f"{np.mean(counts):.0f} |",
                    flush=True,
                )
