"""Error bars: sparse Bayesian learning infers the unknown and how sure it is of it.

Nothing is chosen: neither a regularisation weight, nor the noise, nor the sparsity.
"""

import sys
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

import sparsesolve as ss

rng = np.random.default_rng(0)
m, n, k, noise = 60, 100, 8, 0.3
A = ss.operators.Dense(rng.standard_normal((m, n)))
truth = np.zeros(n)
truth[rng.choice(n, k, replace=False)] = rng.uniform(-2, 2, k)
y = A(truth) + noise * rng.standard_normal(m)

problem = ss.Problem(ss.LeastSquares(A, y), ss.priors.SBL())
solution = ss.solve(problem, ss.VariationalEM())
posterior, radius = solution.posterior, solution.posterior.radius(0.95)
print(solution)
print(f"noise: {posterior.noise_variance**0.5:.2f} learned, {noise} true")
for i in np.flatnonzero(solution.x):
    where = "inside" if abs(solution.x[i] - truth[i]) <= radius[i] else "outside"
    print(f"x[{i}] = {solution.x[i]:+.2f} ± {radius[i]:.2f}, {truth[i]:+.2f} {where}")

figure = Figure(figsize=(9, 3.5), layout="constrained")
axes = figure.subplots()
axes.errorbar(range(n), solution.x, radius, fmt=".", capsize=2, label="95 % interval")
axes.plot(truth, "kx", label="truth")
axes.set(xlabel="entry", ylabel="x")
axes.legend()
out = Path(sys.argv[1] if len(sys.argv) > 1 else ".")
figure.savefig(out / "error_bars.png", dpi=120)
