"""A prior of your own: value and prox, one check, and every solver takes it.

The one-sided absolute value lam·max(x, 0): positive entries cost, negative are free.
"""

import numpy as np

import sparsesolve as ss
from sparsesolve.backends import array_namespace


class OneSided(ss.priors.Prior):
    """lam Σ max(x, 0), for real x."""

    separable = keeps_nonnegative = True

    def __init__(self, lam):
        self.lam = lam

    def value(self, x):
        xp = array_namespace(x)
        return self.total(self.weight(x) * xp.where(x > 0, x, 0 * x), x)

    def prox(self, v, step):
        xp, weight = array_namespace(v), self.weight(v, step)
        return xp.where(v > weight, v - weight, xp.where(v > 0, 0 * v, v))


prior = OneSided(0.5)
print("violations:", ss.testing.check_prior(prior, (30,)))

rng = np.random.default_rng(0)
A = ss.operators.Dense(rng.standard_normal((50, 30)))
truth = -np.abs(rng.standard_normal(30)) * (rng.random(30) < 0.3)
y = A(truth) + 0.1 * rng.standard_normal(50)
problem = ss.Problem(ss.LeastSquares(A, y), prior)
for solver in (ss.ProximalGradient(), ss.ADMM(), ss.PrimalDual()):
    solution = ss.solve(problem, solver)
    error = np.linalg.norm(solution.x - truth) / np.linalg.norm(truth)
    print(f"{type(solver).__name__}: error {error:.3f}, {solution}")
