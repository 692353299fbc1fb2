"""Non-negative matrix factorisation: two blocks, two priors, one problem.

Y = M A with mixing spectra M (endmembers) and abundances A whose columns sum to one.
"""

import numpy as np

import sparsesolve as ss

bands, materials, pixels, noise = 40, 3, 400, 0.01
rng = np.random.default_rng(0)
wave = np.linspace(0, 1, bands)[:, None]
endmembers = np.exp(-((wave - np.array([0.2, 0.5, 0.8])) ** 2) / 0.02) + 0.1
abundances = rng.dirichlet(0.5 * np.ones(materials), pixels).T
Y = endmembers @ abundances + noise * rng.standard_normal((bands, pixels))

product = ss.operators.Product("M", "A", shape=(bands, materials, pixels))
problem = ss.Problem(
    loss=ss.LeastSquares(product, Y),
    prior={"M": ss.priors.NonNegative(), "A": ss.priors.Simplex(axis=0)},
)
solution = ss.solve(problem, ss.AlternatingMinimization(), max_iter=500, tol=1e-5)
print(solution)

fit = np.linalg.norm(solution.x["M"] @ solution.x["A"] - Y) / np.sqrt(Y.size)
print(f"residual per entry {fit:.4f}, noise {noise}")
found = solution.x["M"] / np.linalg.norm(solution.x["M"], axis=0)
true = endmembers / np.linalg.norm(endmembers, axis=0)
angles = np.arccos(np.clip(true.T @ found, -1, 1)).min(axis=1)
print("angle to each true endmember in radians:", np.round(angles, 3))
