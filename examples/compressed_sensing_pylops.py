"""A PyLops operator goes straight into a problem.

Half the samples of a signal that is sparse in frequency, recovered by ℓ1. Needs PyLops:
pip install sparsesolve[pylops]
"""

import numpy as np
import pylops

import sparsesolve as ss

n, noise = 256, 0.02
rng = np.random.default_rng(0)
kept = np.sort(rng.choice(n, n // 2, replace=False))
sampling = pylops.Restriction(n, kept, dtype="complex128")
fourier = pylops.signalprocessing.FFT(n, norm="ortho", dtype="complex128")
A = sampling @ fourier.H  # spectrum -> the samples that were kept

truth = np.zeros(n, complex)
lines = rng.choice(n, 6, replace=False)
truth[lines] = np.exp(2j * np.pi * rng.random(6)) * (1 + rng.random(6))
half = noise / np.sqrt(2)
y = A @ truth
y = y + half * (rng.standard_normal(y.size) + 1j * rng.standard_normal(y.size))

problem = ss.Problem(ss.LeastSquares(A, y), ss.priors.L1(1.0))
best = ss.path(problem, choose="discrepancy", noise=noise).best
print(best)
print("lam:", best.choices["lam"])
found = np.flatnonzero(np.abs(best.x) > 0.3)
print("spectral lines found:", set(found) == set(lines))
print(f"error {np.linalg.norm(best.x - truth) / np.linalg.norm(truth):.3f}")
