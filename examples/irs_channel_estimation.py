"""A channel by way of a reflecting surface: errors against SNR, with error bars.

python irs_channel_estimation.py [folder [trials]]
"""

import sys
from pathlib import Path

import numpy as np

import sparsesolve as ss
from sparsesolve.applications import channel

folder = Path(sys.argv[1] if len(sys.argv) > 1 else ".")
trials = int(sys.argv[2]) if len(sys.argv) > 2 else 20
snr_db = [-4, 0, 4, 8, 12]


def kronecker_sbl(m):
    return channel.estimate(m).channel


def omp(m):
    problem = ss.Problem(ss.LeastSquares(m.operator, m.data), ss.priors.TopK(100))
    stop = ss.stopping.Discrepancy(m.noise_variance**0.5)
    x = ss.solve(problem, ss.solvers.OMP(), stop=stop, progress=False).x
    return ss.operators.Kronecker(*m.synthesis)(x)


methods = {"Kronecker SBL": kronecker_sbl, "OMP": omp}
results = {q: {name: [] for name in methods} for q in ("NMSE", "SER")}
for snr in snr_db:
    scenes = [channel.simulate(np.random.default_rng(t), snr) for t in range(trials)]
    for name, method in methods.items():
        found = [(method(m), m.channel, m.noise_variance) for m in scenes]
        nmse = [channel.relative_squared_error(h, true) for h, true, _ in found]
        results["NMSE"][name].append(nmse)
        results["SER"][name].append([channel.symbol_error_rate(*f) for f in found])
        print(f"{snr:3} dB  {name:13}  median NMSE {np.median(nmse):.2g}")
ss.plot.save(ss.plot.against_snr(snr_db, results), folder / "irs_errors.png")
