"""Published recipes of Kronecker sparse Bayesian learning, written out slowly.

He and Joseph, arXiv 2307.14719 and its code for IRS channels: alternating minimisation
(AM), a singular value decomposition (SVD), and pattern coupling by non-negative least
squares (PC). They are what the library is compared with, and share no line with it.
"""

from dataclasses import dataclass
from functools import reduce

import numpy as np
from scipy.optimize import nnls


@dataclass(frozen=True)
class Settings:
    """How a recipe prunes and stops; the defaults are those of the synthetic tests.

    A variance of factor i is dropped below ``relative[i]`` times the factor's largest,
    and below `absolute`; factors but the last have unit 2-norm.
    """

    relative: tuple[float, ...] = (1e-2, 1e-2, 1e-2)
    absolute: float = 0.0
    inner_tol: float = 1e-5
    inner_relative: bool = False
    inner_sweeps: int = 1000
    coupling: float = 0.0
    coupled: tuple[int, ...] = (0, 2)
    max_iter: int = 150
    tol: float = 1e-4


AM_SYNTHETIC = Settings()
SVD_SYNTHETIC = Settings(relative=(1e-3, 1e-3, 1e-3))
AM_IRS = Settings((1e-2, 1e-1, 1e-3), 1e-4, inner_tol=1e-4, inner_relative=True)
SVD_IRS = Settings((0.0, 0.0, 0.0), 1e-4)
PC_IRS = Settings(
    (1e-2, 1e-1, 1e-2),
    1e-4,
    inner_tol=1e-4,
    inner_relative=True,
    inner_sweeps=10,
    coupling=0.8,
)


def kron(arrays):
    """Return the Kronecker product of vectors or of matrices, the last fastest."""
    return reduce(np.kron, arrays)


def dense_moments(factors, variances, y, noise):
    """Return posterior mean and variance by the matrix that is never to be formed."""
    H, g = kron(factors), kron(variances)
    gain = (g[:, None] * H.conj().T) @ np.linalg.inv(
        noise * np.eye(len(H)) + (H * g) @ H.conj().T
    )
    spread = g - np.real(np.sum(gain * (H.T * g[:, None]), axis=1))
    return gain @ y.ravel(), np.maximum(spread, 0)


def factored_moments(factors, variances, y, noise):
    """Return the same from one eigendecomposition a factor."""
    pairs = [
        np.linalg.eigh((A * g) @ A.conj().T)
        for A, g in zip(factors, variances, strict=True)
    ]
    D = noise + reduce(np.multiply.outer, [p for p, _ in pairs])
    cross = [
        g[:, None] * (A.conj().T @ U)
        for A, g, (_, U) in zip(factors, variances, pairs, strict=True)
    ]
    rotated = multiply(y, [U.conj().T for _, U in pairs])
    mean = multiply(rotated / D, cross)
    spread = kron(variances) - multiply(1 / D, [np.abs(c) ** 2 for c in cross]).ravel()
    return mean.ravel(), np.maximum(spread, 0)


def multiply(x, matrices):
    """Multiply every axis of `x` by its matrix."""
    for axis, A in enumerate(matrices):
        x = np.moveaxis(np.tensordot(A, x, axes=(1, axis)), 0, axis)
    return x


def contracted(power, variances, i):
    """Return the mean of `power` over g of all other modes: AM's next g of mode i."""
    ratio = power
    for j, g in enumerate(variances):
        if j != i:
            ratio = np.moveaxis(np.moveaxis(ratio, j, -1) / g, -1, j)
    axes = tuple(j for j in range(power.ndim) if j != i)
    return ratio.sum(axis=axes) * power.shape[i] / power.size


def normalised(variances):
    """Give all but the last unit 2-norm, and the last what they lose."""
    norms = [np.linalg.norm(g) for g in variances[:-1]]
    parts = [g / n for g, n in zip(variances[:-1], norms, strict=True)]
    return [*parts, variances[-1] * np.prod(norms)]


def neighbours(kept, coupling):
    """Return I + coupling (upper shift + lower shift) on the kept indices."""
    distance = np.abs(np.subtract.outer(kept, kept))
    return np.eye(len(kept)) + coupling * (distance == 1)


def alternating(power, variances, kept, settings):
    """Minimise Σ log g + power/g over each factor in turn, coupled ones by NNLS."""
    for _ in range(settings.inner_sweeps):
        old = kron(variances)
        for i in range(power.ndim):
            target = contracted(power, variances, i)
            if settings.coupling and i in settings.coupled:
                C = neighbours(kept[i], settings.coupling)
                target = C @ nnls(C, target)[0] + 1e-5
            variances = [*variances[:i], target, *variances[i + 1 :]]
        variances = normalised(variances)
        change = np.linalg.norm(kron(variances) - old)
        if change < settings.inner_tol * (
            np.linalg.norm(old) if settings.inner_relative else 1
        ):
            break
    return variances


def singular(power, variances, kept, settings):
    """Return the rank-one approximation of `power` by two truncated SVDs."""
    parts, rest = [], power
    while rest.ndim > 1:
        flat = rest.reshape(len(rest), -1)
        u, s, v = np.linalg.svd(flat, full_matrices=False)
        parts.append(np.abs(u[:, 0]))
        rest = (s[0] * np.abs(v[0])).reshape(rest.shape[1:])
    return [*parts, rest]


def run(factors, y, noise, update, settings, moments=factored_moments):
    """Run a recipe on y of shape (M_1, ..., M_I); return x of shape (N_1, ..., N_I).

    What the last update makes small is not pruned: so the published figures have it.
    """
    sizes = [A.shape[1] for A in factors]
    kept = [np.arange(n) for n in sizes]
    variances = [np.ones(n) for n in sizes]
    old = kron(variances)
    for _ in range(settings.max_iter):
        masks = [
            (g >= r * g.max()) & (g >= settings.absolute)
            for g, r in zip(variances, settings.relative, strict=True)
        ]
        if not all(m.any() for m in masks):
            return np.zeros(sizes, y.dtype)
        kept = [k[m] for k, m in zip(kept, masks, strict=True)]
        variances = [g[m] for g, m in zip(variances, masks, strict=True)]
        used = [A[:, k] for A, k in zip(factors, kept, strict=True)]
        mean, spread = moments(used, variances, y, noise)
        power = (np.abs(mean) ** 2 + spread).reshape([len(k) for k in kept])
        variances = update(power, variances, kept, settings)
        new = kron(on_grid(variances, kept, sizes))
        change = np.linalg.norm(new - old) / np.linalg.norm(old)
        old = new
        if change < settings.tol:
            break
    used = [A[:, k] for A, k in zip(factors, kept, strict=True)]
    mean, _ = moments(used, variances, y, noise)
    x = np.zeros(sizes, mean.dtype)
    x[np.ix_(*kept)] = mean.reshape([len(k) for k in kept])
    return x


def on_grid(variances, kept, sizes):
    """Return each factor at full length, zero where it was dropped."""
    full = [np.zeros(n) for n in sizes]
    for f, k, g in zip(full, kept, variances, strict=True):
        f[k] = g
    return full
