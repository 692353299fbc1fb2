"""Pattern-coupled SBL as Fang, Shen, Li and Wang (2015) publish it, real data."""

import numpy as np


def pattern_coupled_sbl(a, y, noise, *, eta=0.9, shape=0.5, rate=1e-4, n_iter=200):
    """Posterior mean after `n_iter` steps; `noise` is the variance of the noise.

    The inverse variances are alpha + eta * (alpha of both neighbours); alpha_n is the
    mean of a gamma posterior, (shape + 1/2) / (E_n / 2 + rate), where E adds to second
    moments eta times those of the neighbours.
    """
    eye = np.eye(len(y))
    alpha = np.ones(a.shape[1])
    for _ in range(n_iter):
        gamma = 1 / with_neighbours(alpha, eta)
        gain = (gamma[:, None] * a.T) @ np.linalg.inv(noise * eye + (a * gamma) @ a.T)
        mean = gain @ y
        variance = gamma - np.sum(gain * a.T, axis=1) * gamma
        moments = with_neighbours(mean**2 + variance, eta)
        alpha = (shape + 0.5) / (moments / 2 + rate)
    return mean


def with_neighbours(v, weight):
    padded = np.pad(v, 1)
    return v + weight * (padded[:-2] + padded[2:])
