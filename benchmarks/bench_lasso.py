"""Lasso on 2000 x 4000 to a relative gap of 1e-6, beside a bare NumPy FISTA loop.

Floor: two products with A an iteration, 2 x 64 MB read from memory.
"""

import functools

import numpy as np
from measure import alternate, machine

import sparsesolve as ss

N_DATA, N, SPARSE, SHARE = 2000, 4000, 50, 0.1
GAP = 1e-6


def instance():
    """Gaussian matrix, sparse truth, lam = lam_max / 10."""
    rng = np.random.default_rng(0)
    a = rng.standard_normal((N_DATA, N)) / np.sqrt(N_DATA)
    truth = np.zeros(N)
    truth[rng.choice(N, SPARSE, replace=False)] = rng.standard_normal(SPARSE)
    y = a @ truth + 0.01 * rng.standard_normal(N_DATA)
    return a, y, SHARE * np.abs(a.T @ y).max()


def relative_gap(a, y, lam, x):
    """Duality gap over the objective, by scaling the residual into the dual set."""
    r = y - a @ x
    primal = 0.5 * r @ r + lam * np.abs(x).sum()
    theta = r * min(1.0, lam / np.abs(a.T @ r).max())
    dual = 0.5 * y @ y - 0.5 * (y - theta) @ (y - theta)
    return (primal - dual) / primal


def bare(a, y, lam, step, n_iter, *, restart):
    """FISTA as one would write it, with our step and number of iterations."""
    x = z = np.zeros(N)
    t = 1.0
    for _ in range(n_iter):
        v = z - step * (a.T @ (a @ z - y))
        new = np.sign(v) * np.maximum(np.abs(v) - lam * step, 0)
        if restart and (z - new) @ (new - x) > 0:
            t = 1.0
        t_new = (1 + np.sqrt(1 + 4 * t * t)) / 2
        z = new + (t - 1) / t_new * (new - x)
        x, t = new, t_new
    return x


def iterations_to_gap(a, y, lam, run):
    """Smallest multiple of 5 iterations that reaches the gap."""
    n = 5
    while relative_gap(a, y, lam, run(n)) > GAP:
        n += 5
    return n


if __name__ == "__main__":
    print(machine("numpy", "scipy"))
    a, y, lam = instance()
    problem = ss.Problem(ss.LeastSquares(ss.operators.Dense(a), y), ss.priors.L1(lam))
    step = 1 / problem.A.norm() ** 2
    solver = ss.ProximalGradient()

    def ours(n):
        return ss.solve(problem, solver, max_iter=n, tol=0, progress=False).x

    n_ours = iterations_to_gap(a, y, lam, ours)
    gap = relative_gap(a, y, lam, ours(n_ours))
    print(f"ours: gap {gap:.1e} in {n_ours} iterations")
    for restart in (True, False):
        peer = functools.partial(bare, a, y, lam, step, restart=restart)
        n_bare = iterations_to_gap(a, y, lam, peer)
        t_ours, t_bare, ratio = alternate(
            functools.partial(ours, n_ours), functools.partial(peer, n_bare)
        )
        kind = "with restart" if restart else "without restart"
        print(
            f"bare NumPy FISTA {kind}: {n_bare} iterations in {t_bare:.3f} s, ours "
            f"{t_ours:.3f} s: ours/bare {1 / ratio:.2f} (wanted <= 1.2)"
        )
