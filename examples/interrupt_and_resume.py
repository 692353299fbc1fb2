"""A long solve that is interrupted and goes on bit for bit where it stopped.

Here a stopping rule plays the part of Ctrl-C, SIGTERM or a power cut: the checkpoint
on disk is whole at any moment.
"""

import tempfile
from pathlib import Path

import numpy as np

import sparsesolve as ss

rng = np.random.default_rng(0)
A = ss.operators.Convolution(np.ones((5, 5)) / 25, (64, 64))
scene = np.zeros((64, 64))
scene[20:40, 25:50] = 1.0
y = A(scene) + 0.01 * rng.standard_normal((64, 64))
prior = ss.priors.TotalVariation(0.01) + ss.priors.NonNegative()
problem = ss.Problem(ss.LeastSquares(A, y), prior)

path = Path(tempfile.mkdtemp()) / "state.h5"
settings = {"solver": ss.ADMM(), "tol": 1e-3, "max_iter": 500}
first = ss.solve(problem, stop=lambda p: p.n_iter >= 10, checkpoint=path, **settings)
print("stopped: ", first)

resumed = ss.solve(problem, resume=path, **settings)
straight = ss.solve(problem, **settings)
print("resumed: ", resumed)
print("straight:", straight)
print("equal bit for bit:", np.array_equal(resumed.x, straight.x))
