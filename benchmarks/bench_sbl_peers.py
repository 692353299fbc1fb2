"""Kronecker SBL beside what people use, on one problem each, in one run.

A complex problem (seed 7: 6x10, 8x10, 8x10, two non-zeros an axis, 20 dB) and the
published real one (seed 0, 25 dB). Peers take part where they can be imported:
scikit-learn (ARDRegression, OMP), pylops (omp, fista), spgl1, celer. They are given
what they ask for, from the truth where a user could only guess: the number of
non-zeros, the noise, the best of a grid of weights. ARDRegression takes minutes at the
published size: ``--problems complex`` leaves it out.
"""

import argparse
import importlib.util
import time
import warnings

import numpy as np
from measure import machine

import sparsesolve as ss

WEIGHTS = (0.3, 0.1, 0.03, 0.01, 0.003)


def complex_problem(seed=7):
    """Draw the complex problem."""
    rng = np.random.default_rng(seed)
    rows, n, count = (6, 8, 8), 10, 2

    def normal(*shape):
        return rng.standard_normal((*shape, 2)) @ np.array([1, 1j]) / np.sqrt(2)

    factors = tuple(normal(m, n) for m in rows)
    x = np.zeros((n, n, n), complex)
    places = [np.sort(rng.choice(n, count, replace=False)) for _ in rows]
    x[np.ix_(*places)] = normal(count, count, count)
    y = ss.operators.Kronecker(*factors)(x)
    noise = float(np.mean(np.abs(y) ** 2) / 100)
    y = y + np.sqrt(noise) * normal(*rows)
    return ss.KroneckerMeasurement(factors, y, noise_variance=noise, x=x)


def hierarchical(prior):
    """Infer with defaults; the noise is learned."""

    def run(m):
        problem = ss.Problem(ss.LeastSquares(m.operator, m.y), prior)
        return ss.solve(problem, ss.VariationalEM(), max_iter=1000, progress=False).x

    return run


def our_omp(m):
    """Pursue until the residual is at the noise."""
    prior = ss.priors.TopK(200)
    problem = ss.Problem(ss.LeastSquares(m.operator, m.y), prior)
    stop = [ss.stopping.Discrepancy(np.sqrt(m.noise_variance))]
    return ss.solve(
        problem, ss.solvers.OMP(), stop=stop, max_iter=200, progress=False
    ).x


def our_fista(m):
    """Take the best weight of a grid, by the truth."""
    problem = ss.Problem(ss.LeastSquares(m.operator, m.y), ss.priors.L1(1.0))
    most = float(problem.lam_max())
    return best(
        m,
        lambda w: (
            ss.solve(
                problem.with_prior(ss.priors.L1(w * most)),
                ss.ProximalGradient(),
                max_iter=500,
                progress=False,
            ).x
        ),
    )


def best(m, solve):
    """Return the solution of the weight with the least error; its time is one share."""
    found = [solve(w) for w in WEIGHTS]
    return min(found, key=lambda x: np.linalg.norm(np.reshape(x, m.x.shape) - m.x))


def matrix(m):
    """Return the dense matrix."""
    n = m.x.size
    return m.operator.columns(np.arange(n)).reshape(n, -1).T


def stacked(m):
    """Return a real matrix and real data: parts beside each other where complex."""
    H, y = matrix(m), m.y.ravel()
    if not np.iscomplexobj(H):
        return H, y
    A = np.block([[H.real, -H.imag], [H.imag, H.real]])
    return A, np.concatenate([y.real, y.imag])


def whole(m, x):
    """Undo `stacked`."""
    if np.iscomplexobj(m.y):
        x = x[: x.size // 2] + 1j * x[x.size // 2 :]
    return x.reshape(m.x.shape)


def ard(m):
    """scikit-learn's ARDRegression."""
    from sklearn.linear_model import ARDRegression

    return whole(m, ARDRegression(fit_intercept=False).fit(*stacked(m)).coef_)


def scikit_omp(m):
    """scikit-learn's OMP with the true number of non-zeros."""
    from sklearn.linear_model import OrthogonalMatchingPursuit

    count = np.count_nonzero(m.x) * (2 if np.iscomplexobj(m.y) else 1)
    model = OrthogonalMatchingPursuit(n_nonzero_coefs=count, fit_intercept=False)
    return whole(m, model.fit(*stacked(m)).coef_)


def pylops_kronecker(m):
    """PyLops' own Kronecker operator."""
    import pylops

    kind = m.y.dtype
    a, b, c = (pylops.MatrixMult(f.astype(kind), dtype=kind) for f in m.factors)
    inner = pylops.Kronecker(b, c, dtype=kind)
    return pylops.Kronecker(a, inner, dtype=kind)


def pylops_omp(m):
    """PyLops' omp, stopped at the noise."""
    from pylops.optimization.sparsity import omp

    sigma = np.sqrt(m.noise_variance * m.y.size)
    A = pylops_kronecker(m)
    return omp(A, m.y.ravel(), niter_outer=100, sigma=sigma, normalizecols=True)[0]


def pylops_fista(m):
    """PyLops' fista, best weight of a grid."""
    from pylops.optimization.sparsity import fista

    A, y = pylops_kronecker(m), m.y.ravel()
    most = float(np.max(np.abs(A.rmatvec(y))))
    return best(m, lambda w: fista(A, y, niter=500, eps=2 * w * most)[0])


def spgl1_denoise(m):
    """Basis pursuit denoising with the noise known."""
    import spgl1

    sigma = np.sqrt(m.noise_variance * m.y.size)
    return spgl1.spg_bpdn(matrix(m), m.y.ravel(), sigma, iter_lim=1000)[0]


def celer(m):
    """celer's Lasso, or its GroupLasso on pairs of parts; best weight of a grid."""
    from celer import GroupLasso, Lasso

    A, y = stacked(m)
    n = m.x.size
    if np.iscomplexobj(m.y):
        pairs = [[k, k + n] for k in range(n)]
        norms = [np.linalg.norm(A[:, p].T @ y) for p in pairs]
        most = max(norms) / len(y)
        make = lambda w: GroupLasso(pairs, w * most, fit_intercept=False)  # noqa: E731
    else:
        most = np.max(np.abs(A.T @ y)) / len(y)
        make = lambda w: Lasso(w * most, fit_intercept=False)  # noqa: E731
    return best(m, lambda w: whole(m, make(w).fit(A, y).coef_))


METHODS = {
    "KroneckerSBL, default": (hierarchical(ss.priors.KroneckerSBL()), None, 1),
    'KroneckerSBL(update="mackay")': (
        hierarchical(ss.priors.KroneckerSBL(update="mackay")),
        None,
        1,
    ),
    "SBL, default": (hierarchical(ss.priors.SBL()), None, 1),
    "OMP, stopped at the noise": (our_omp, None, 1),
    "FISTA, best weight": (our_fista, None, len(WEIGHTS)),
    "scikit-learn ARDRegression": (ard, "sklearn", 1),
    "scikit-learn OMP, true count": (scikit_omp, "sklearn", 1),
    "pylops omp, stopped at the noise": (pylops_omp, "pylops", 1),
    "pylops fista, best weight": (pylops_fista, "pylops", len(WEIGHTS)),
    "spgl1, noise known": (spgl1_denoise, "spgl1", 1),
    "celer, best weight": (celer, "celer", len(WEIGHTS)),
}
QUICK = (
    "KroneckerSBL, default",
    'KroneckerSBL(update="mackay")',
    "OMP, stopped at the noise",
    "scikit-learn OMP, true count",
    "pylops omp, stopped at the noise",
    "spgl1, noise known",
    "celer, best weight",
)
PROBLEMS = {
    "complex": complex_problem,
    "published": lambda: ss.data.kronecker_sparse(0, 25.0),
}


def run(name, m, repeats):
    """Print the table of one problem."""
    print(f"\n{name}: {m!r}\n")
    print("| method | NMSE | SRR | CPU s | x default's time |\n|---|---|---|---|---|")
    first = None
    for label, (method, package, share) in METHODS.items():
        if package and importlib.util.find_spec(package) is None:
            print(f"| {label} | not installed | | | |")
            continue
        times = []
        while not times or (len(times) < repeats and sum(times) < 2):
            start = time.process_time()
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                x = np.reshape(method(m), m.x.shape)
            times.append((time.process_time() - start) / share)
        first = first or min(times)
        nmse = ss.metrics.relative_squared_error(x, m.x)
        srr = ss.metrics.support_recovery(x, m.x)
        print(
            f"| {label} | {nmse:.3e} | {srr:.2f} | {min(times):.3g} | "
            f"{min(times) / first:.3g} |",
            flush=True,
        )


def draws(count):
    """Print what the quick methods reach over draws of the complex problem."""
    print(f"\ncomplex, {count} draws\n")
    print("| method | NMSE mean | median | worst |\n|---|---|---|---|")
    for label in QUICK:
        method, package, _ = METHODS[label]
        if package and importlib.util.find_spec(package) is None:
            continue
        errors = []
        for seed in range(count):
            m = complex_problem(seed)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                x = np.reshape(method(m), m.x.shape)
            errors.append(ss.metrics.relative_squared_error(x, m.x))
        mean, median, worst = np.mean(errors), np.median(errors), np.max(errors)
        print(f"| {label} | {mean:.3e} | {median:.3e} | {worst:.3e} |", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--problems", nargs="*", default=list(PROBLEMS))
    parser.add_argument("--draws", type=int, default=20)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    print(machine("numpy", "scipy", "sparsesolve"))
    for problem in options.problems:
        run(problem, PROBLEMS[problem](), options.repeats)
    draws(options.draws)
