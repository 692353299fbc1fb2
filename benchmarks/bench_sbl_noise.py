"""Learned noise beside the degrees of freedom left: when it is to be warned of.

Steering dictionaries (240 data, 1080 unknowns, 8 on) and Gaussian ones (80, 200, 10),
complex, at 10 and 20 dB, three seeds, three priors. A line each: learned over true
noise, share of the data's degrees of freedom that the model leaves, NMSE. ``--quick``
leaves out the steering dictionaries, which take ten minutes.
"""

import argparse
import warnings

import numpy as np
from measure import machine

import sparsesolve as ss

PRIORS = ss.priors.SBL, ss.priors.TurboVBI, ss.priors.SpikeAndSlab
STEERING = (6, 9), (5, 10), (8, 12)
ITERATIONS = 1000


def steering(m, n):
    """Return n responses of a half-wave array of m, on a uniform grid of cosines."""
    cosines = np.linspace(-1, 1, n, endpoint=False)
    return np.exp(1j * np.pi * np.outer(np.arange(m), cosines)) / np.sqrt(m)


def draw(rng, *shape):
    """Return complex standard normal numbers."""
    return rng.standard_normal(shape) + 1j * rng.standard_normal(shape)


def problem(kind, seed, snr_db):
    """Return dictionary, x, data and their noise variance."""
    rng = np.random.default_rng(seed)
    if kind == "steering":
        first, second, third = (steering(*size) for size in STEERING)
        a, n_on = np.kron(np.kron(first, second), third), 8
    else:
        a, n_on = draw(rng, 80, 200) / np.sqrt(160), 10
    x = np.zeros(a.shape[1], complex)
    x[rng.choice(x.size, n_on, replace=False)] = draw(rng, n_on)
    y = a @ x
    noise = np.mean(np.abs(y) ** 2) / 10 ** (snr_db / 10)
    return a, x, y + np.sqrt(noise / 2) * draw(rng, y.size), noise


def main():
    """Print a line a problem."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--quick", action="store_true")
    kinds = ("gaussian",) if parser.parse_args().quick else ("gaussian", "steering")
    print(machine("numpy", "scipy"))
    print(f"{'':10}{'prior':14}{'SNR':>4}{'seed':>5}{'noise':>9}{'left':>7}{'NMSE':>9}")
    for kind in kinds:
        for prior in PRIORS:
            for snr_db in (10, 20):
                for seed in range(3):
                    line(kind, prior, snr_db, seed)


def line(kind, prior, snr_db, seed):
    """Solve and print."""
    a, x, y, noise = problem(kind, seed, snr_db)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        found = ss.solve(
            ss.Problem(ss.LeastSquares(a, y), prior()),
            ss.VariationalEM(),
            max_iter=ITERATIONS,
            progress=False,
        )
    ratio = found.posterior.noise_variance / noise
    left = 1 - found.history["effective_parameters"][-1] / y.size
    nmse = ss.metrics.relative_squared_error(found.x, x)
    print(
        f"{kind:10}{prior.__name__:14}{snr_db:4}{seed:5}{ratio:9.3g}{left:7.3f}"
        f"{nmse:9.2g}{'  warned' if said else ''}",
        flush=True,
    )


if __name__ == "__main__":
    main()
