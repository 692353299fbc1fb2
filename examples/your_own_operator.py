"""An operator of your own: two methods, one check, and it solves.

A running mean over `width` samples, as a slow sensor sees a fast signal.
"""

import numpy as np

import sparsesolve as ss
from sparsesolve.backends import array_namespace


class RunningMean(ss.operators.Operator):
    """Mean of each sample and the `width - 1` before it, zeros before the start."""

    def __init__(self, n, width):
        self.in_shape = self.out_shape = (n,)
        self.width = width

    def forward(self, x):
        xp = array_namespace(x)
        total = xp.cumulative_sum(x, axis=-1)
        late = xp.concat([0 * x[..., : self.width], total[..., : -self.width]], axis=-1)
        return (total - late) / self.width

    def adjoint(self, y):
        xp = array_namespace(y)
        return xp.flip(self.forward(xp.flip(y, axis=-1)), axis=-1)


A = RunningMean(200, width=12)
print("relative mismatches:", ss.testing.check_operator(A))

rng = np.random.default_rng(0)
truth = np.zeros(200)
truth[[30, 42, 110, 160]] = [1.0, -0.7, 1.5, 0.8]
y = A(truth) + 0.002 * rng.standard_normal(200)
problem = ss.Problem(ss.LeastSquares(A, y), ss.priors.L1(1.0))
best = ss.path(problem, choose="discrepancy", noise=0.002).best
print(best, "lam:", best.choices["lam"])
print("largest entries at", sorted(int(i) for i in np.argsort(-np.abs(best.x))[:4]))
