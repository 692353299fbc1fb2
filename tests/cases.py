"""The table of all instances; the laws run over it, so a new row is tested by itself.

A row says how to make an instance for a dtype (the dtype of the unknown) from seeded
random numbers. `test_operator_laws.py`, `test_prior_laws.py` and
`test_solver_laws.py` hold the laws.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pylops
import scipy.sparse

import sparsesolve as ss
from sparsesolve.operators.blocks import LeftMultiply, RightMultiply

REAL = ("float32", "float64")
COMPLEX = ("complex64", "complex128")
LIBRARIES = ("numpy", "array_api_strict", "torch:cpu")


@dataclass(frozen=True)
class OperatorCase:
    """How to make an operator whose unknown has a given dtype."""

    make: Callable[[str], Any]
    dtypes: tuple[str, ...] = REAL + COMPLEX
    libraries: tuple[str, ...] = LIBRARIES


@dataclass(frozen=True)
class PriorCase:
    """How to make a proximal prior, and the shape of one unknown to try it on."""

    make: Callable[[], Any]
    shape: tuple[int, ...] = (4, 3)
    dtypes: tuple[str, ...] = REAL + COMPLEX
    libraries: tuple[str, ...] = LIBRARIES


@dataclass(frozen=True)
class SolverCase:
    """How to make a solver, and for each of `PROBLEMS` it must solve, in how many
    iterations at the most."""

    make: Callable[[], Any]
    iterations: dict[str, int]


def random(shape: tuple[int, ...], dtype: str, seed: int = 0) -> Any:
    """Seeded standard normal numbers, circular if complex."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal(shape)
    if np.dtype(dtype).kind == "c":
        x = (x + 1j * rng.standard_normal(shape)) / np.sqrt(2)
    return x.astype(dtype)


def complex_of(dtype: str) -> str:
    """The complex dtype of the same precision."""
    return str(np.result_type(dtype, np.complex64))


def near_field(dtype: str, **options: Any) -> Any:
    """A small near-field radar: 3 transmitters, 2 receivers, 4 frequencies."""
    antennas = np.array([[-0.1, 0, 0], [0.1, 0.05, 0], [0, -0.1, 0.02]])
    freq = np.array([2e9, 3e9, 4e9, 6e9])
    grid = ss.Grid([-0.02, 0.0, 0.03], [0.01, 0.05], [0.2, 0.26])
    grid = ss.Grid(*grid.axes, region=options.pop("region", None))
    return ss.operators.NearFieldMIMO(
        antennas, antennas[:2] + 0.03, freq, grid, dtype=dtype, **options
    )


OPERATORS: dict[str, OperatorCase] = {
    "Reshape": OperatorCase(lambda t: ss.operators.Reshape((4, 3), (2, 6))),
    "Dense": OperatorCase(lambda t: ss.operators.Dense(random((5, 7), t))),
    "Dense, tall": OperatorCase(lambda t: ss.operators.Dense(random((6, 4), t))),
    "Diagonal": OperatorCase(lambda t: ss.operators.Diagonal(random((3, 4), t))),
    "Identity": OperatorCase(lambda t: ss.operators.Identity((2, 3))),
    "Kronecker": OperatorCase(
        lambda t: ss.operators.Kronecker(
            random((4, 3), t), random((2, 6), t, 1), random((3, 5), t, 2)
        )
    ),
    "Kronecker, narrow": OperatorCase(
        lambda t: ss.operators.Kronecker(
            random((3, 3), t), random((6, 4), t, 1), random((2, 2), t, 2)
        )
    ),
    "Gradient": OperatorCase(lambda t: ss.operators.Gradient((3, 4, 2))),
    "Gradient, some axes": OperatorCase(
        lambda t: ss.operators.Gradient((3, 1, 4), axes=(-1, 1))
    ),
    "Mask": OperatorCase(
        lambda t: ss.operators.Mask(random((3, 5), "float64", 3) > -0.2)
    ),
    "Convolution": OperatorCase(
        lambda t: ss.operators.Convolution(random((3, 4), t), (6, 5))
    ),
    "Convolution, zero": OperatorCase(
        lambda t: ss.operators.Convolution(random((4, 3), t), (3, 5), "zero")
    ),
    "Fourier": OperatorCase(
        lambda t: ss.operators.Fourier((3, 4, 2), axes=(0, -1), dtype=t), COMPLEX
    ),
    "real unknown": OperatorCase(
        lambda t: ss.operators.Dense(random((4, 6), complex_of(t))).real(), REAL
    ),
    "scaled": OperatorCase(lambda t: -2 * ss.operators.Dense(random((3, 4), t))),
    "sum": OperatorCase(
        lambda t: ss.operators.Diagonal(random((5,), t)) - ss.operators.Identity((5,))
    ),
    "sum, real unknown": OperatorCase(
        lambda t: (
            ss.operators.Fourier((5,), dtype=complex_of(t)).real()
            + ss.operators.Dense(random((5, 5), t))
        ),
        REAL,
    ),
    "composition": OperatorCase(
        lambda t: (
            ss.operators.Gradient((4, 3))
            @ ss.operators.Convolution(random((3, 2), t), (4, 3))
        )
    ),
    "composition, real first": OperatorCase(
        lambda t: (
            ss.operators.Fourier((4,), dtype=t)
            @ ss.operators.Dense(random((4, 6), t).real.copy())
        ),
        COMPLEX,
    ),
    "vstack": OperatorCase(
        lambda t: ss.operators.vstack(
            ss.operators.Gradient((3, 4)), ss.operators.Diagonal(random((3, 4), t))
        )
    ),
    "hstack": OperatorCase(
        lambda t: ss.operators.hstack(
            ss.operators.Dense(random((4, 3), t)), ss.operators.Identity((4,))
        )
    ),
    "block_diag": OperatorCase(
        lambda t: ss.operators.block_diag(
            ss.operators.Kronecker(random((2, 3), t), random((3, 4), t)),
            ss.operators.Identity((2, 4)),
        )
    ),
    "kron": OperatorCase(
        lambda t: ss.operators.kron(
            ss.operators.Gradient((3, 2)), ss.operators.Dense(random((2, 4), t))
        )
    ),
    "left multiply": OperatorCase(lambda t: LeftMultiply(random((5, 2), t), 3)),
    "right multiply": OperatorCase(lambda t: RightMultiply(random((2, 5), t), 3)),
    "sparse": OperatorCase(
        lambda t: ss.operators.as_operator(scipy.sparse.csr_array(random((5, 4), t))),
        libraries=("numpy",),
    ),
    "pylops": OperatorCase(
        lambda t: ss.operators.as_operator(
            pylops.FirstDerivative((5, 4), axis=0, dtype=t)
        ),
        libraries=("numpy",),
    ),
    "NearFieldMIMO": OperatorCase(near_field, COMPLEX),
    "NearFieldMIMO, channels": OperatorCase(
        lambda t: near_field(t, channels=[[0, 1], [2, 0], [1, 1]], sign=1, speed=2e8),
        COMPLEX,
    ),
    "NearFieldMIMO, masked and calibrated": OperatorCase(
        lambda t: near_field(
            t,
            mask=random((4, 3, 2), "float64", 5) > -0.7,
            calibration=random((3, 1), t, 6),
            region=random((3, 2, 2), "float64", 7) > -0.5,
        ),
        COMPLEX,
    ),
}

_WEIGHTS = np.array([[1, 2, 0.5], [3, 1, 1], [1.5, 1, 0.1], [1, 0.7, 2]])
_LABELS = np.array([[7, 7, -2], [7, 0, 0], [3, 7, 0], [7, 3, 0]])

PRIORS: dict[str, PriorCase] = {
    "Zero": PriorCase(lambda: ss.priors.Zero()),
    "L1": PriorCase(lambda: ss.priors.L1(0.7)),
    "L1, weighted": PriorCase(lambda: ss.priors.L1(0.7, _WEIGHTS)),
    "SquaredL2": PriorCase(lambda: ss.priors.SquaredL2(0.7)),
    "SquaredL2, weighted": PriorCase(lambda: ss.priors.SquaredL2(0.7, _WEIGHTS)),
    "ElasticNet": PriorCase(lambda: ss.priors.ElasticNet(0.9, 0.6)),
    "GroupL2, labels": PriorCase(
        lambda: ss.priors.GroupL2(1.2, _LABELS, np.array([1.0, 0.5, 1.5, 2.0]))
    ),
    "GroupL2, equal labels": PriorCase(
        lambda: ss.priors.GroupL2(0.8, np.arange(12).reshape(4, 3) % 4)
    ),
    "GroupL2, axis": PriorCase(
        lambda: ss.priors.GroupL2(0.8, 0, np.array([[0.5, 1.0, 2.0]]))
    ),
    "GroupL2, axes": PriorCase(lambda: ss.priors.GroupL2(0.8, (0, -1)), (3, 2, 2)),
    "TotalVariation, 1-D": PriorCase(
        lambda: ss.priors.TotalVariation(0.6, tol=1e-11), (9,)
    ),
    "TotalVariation": PriorCase(lambda: ss.priors.TotalVariation(0.3, tol=1e-11)),
    "TotalVariation, anisotropic": PriorCase(
        lambda: ss.priors.TotalVariation(0.3, isotropic=False, tol=1e-11)
    ),
    "TotalVariation, 3-D": PriorCase(
        lambda: ss.priors.TotalVariation(0.2, tol=1e-11), (2, 3, 2)
    ),
    "FusedLasso with TotalVariation": PriorCase(
        lambda: ss.priors.FusedLasso(0.3, tv=0.7, tol=1e-11), dtypes=REAL
    ),
    "Lp, 0": PriorCase(lambda: ss.priors.Lp(0.7, 0)),
    "Lp, 1/2": PriorCase(lambda: ss.priors.Lp(0.7, 0.5)),
    "Lp, 2/3": PriorCase(lambda: ss.priors.Lp(0.7, 2 / 3)),
    "NonNegative": PriorCase(lambda: ss.priors.NonNegative(), dtypes=REAL),
    "Box": PriorCase(lambda: ss.priors.Box(-0.5, 0.4), dtypes=REAL),
    "Box, arrays": PriorCase(
        lambda: ss.priors.Box(np.full((4, 3), -0.3), _WEIGHTS), dtypes=REAL
    ),
    "Simplex": PriorCase(lambda: ss.priors.Simplex(), dtypes=REAL),
    "Simplex, rows": PriorCase(
        lambda: ss.priors.Simplex(axis=-1, total=2.5), dtypes=REAL
    ),
    "SoftSimplex": PriorCase(lambda: ss.priors.SoftSimplex(3.0), dtypes=REAL),
    "SoftSimplex, rows": PriorCase(
        lambda: ss.priors.SoftSimplex(0.5, axis=-1, total=2.5), dtypes=REAL
    ),
    "SoftSimplex, weighted": PriorCase(
        lambda: ss.priors.SoftSimplex(2.0, weights=np.array([[0.5, 1.0, 3.0]])),
        dtypes=REAL,
    ),
    "Tilted": PriorCase(
        lambda: ss.priors.Tilted(0.3, ss.priors.NonNegative()), dtypes=REAL
    ),
    "Tilted, Simplex": PriorCase(
        lambda: ss.priors.Tilted(0.7, ss.priors.Simplex(), _WEIGHTS - 1), dtypes=REAL
    ),
    "GuidedLp": PriorCase(lambda: ss.priors.GuidedLp(0.7, 0.3)),
    "GuidedLp, map": PriorCase(
        lambda: ss.priors.GuidedLp(
            0.7, np.array([0.0, 0.5, 0.9]), weights=_WEIGHTS, floor=0.05
        )
    ),
    "OnNonNegative, GroupL2": PriorCase(
        lambda: ss.priors.OnNonNegative(ss.priors.GroupL2(0.8, 1)), dtypes=REAL
    ),
    "OnNonNegative, L1": PriorCase(
        lambda: ss.priors.OnNonNegative(ss.priors.L1(0.7, _WEIGHTS)), dtypes=REAL
    ),
    "L1Ball": PriorCase(lambda: ss.priors.L1Ball(2.0)),
    "L2Ball": PriorCase(lambda: ss.priors.L2Ball(1.5)),
    "TopK": PriorCase(lambda: ss.priors.TopK(4)),
    "Magnitude of L1": PriorCase(lambda: ss.priors.Magnitude(ss.priors.L1(0.7))),
    "Magnitude of Lp": PriorCase(lambda: ss.priors.Magnitude(ss.priors.Lp(0.7, 0.5))),
    "Magnitude of TotalVariation": PriorCase(
        lambda: ss.priors.Magnitude(ss.priors.TotalVariation(0.3, tol=1e-11))
    ),
    "Magnitude of FusedLasso with TotalVariation": PriorCase(
        lambda: ss.priors.Magnitude(ss.priors.FusedLasso(0.3, tv=0.7, tol=1e-11))
    ),
    "Magnitude of Box": PriorCase(lambda: ss.priors.Magnitude(ss.priors.Box(0.3, 0.9))),
    "Magnitude of Simplex": PriorCase(lambda: ss.priors.Magnitude(ss.priors.Simplex())),
    "Denoiser": PriorCase(
        lambda: ss.priors.Denoiser(lambda x, sigma: x / (1 + sigma), 0.3), dtypes=REAL
    ),
    "Magnitude of Denoiser": PriorCase(
        lambda: ss.priors.Magnitude(ss.priors.Denoiser(lambda x, s: x - s, 0.3))
    ),
}


def _sensing(dtype: str, prior: Any, *, loss: str = "least squares") -> Any:
    """Sparse recovery from half as many Gaussian measurements as unknowns."""
    A = ss.operators.Dense(random((30, 60), dtype) / np.asarray(5, dtype))
    truth = np.zeros(60, dtype)
    truth[[3, 17, 18, 42]] = random((4,), dtype, 1) + 2
    noise = 0.05 * random((30,), dtype, 2)
    y = A(truth) + noise.astype(dtype)
    if loss == "noise ball":
        return ss.Problem(ss.NoiseBall(A, y, float(np.linalg.norm(noise))), prior)
    if loss == "huber":
        y[4] += 10
        return ss.Problem(ss.Huber(A, y, 0.1), prior)
    return ss.Problem(ss.LeastSquares(A, y), prior)


def _deblurring(dtype: str, prior: Any) -> Any:
    """A blurred square under noise."""
    scene = np.zeros((16, 16), dtype)
    scene[4:10, 5:12] = 1
    kernel = (np.ones((3, 3)) / 9).astype(np.empty(0, dtype).real.dtype)
    A = ss.operators.Convolution(kernel, (16, 16))
    y = A(scene) + (0.02 * random((16, 16), dtype, 3)).astype(dtype)
    return ss.Problem(ss.LeastSquares(A, y), prior)


def _factorisation(dtype: str, priors: Any, *, loss: Any = ss.LeastSquares) -> Any:
    """A noisy non-negative product of rank two."""
    rng = np.random.default_rng(4)
    M, A = rng.random((8, 2)), rng.random((2, 12))
    y = (M @ A + 0.01 * rng.random((8, 12))).astype(dtype)
    product = ss.operators.Product("M", "A", shape=(8, 2, 12))
    return ss.Problem(loss(product, y), priors)


def _archetypes(dtype: str) -> Any:
    """Mixtures of three of twenty points in four dimensions, the corners among them."""
    rng = np.random.default_rng(5)
    corners = rng.random((4, 3))
    y = (corners @ rng.dirichlet(np.ones(3), 20).T).astype(dtype)
    y[:, :3] = corners + 0.01 * rng.random((4, 3))
    loss = ss.LeastSquares(ss.operators.Archetypes(y, 3, 20), y, np.arange(1.0, 21))
    return ss.Problem(loss, {"B": ss.priors.Simplex(), "A": ss.priors.Simplex()})


def _unmixing(dtype: str) -> Any:
    """Sparse non-negative abundances of eight spectra that resemble each other."""
    rng = np.random.default_rng(6)
    m = 0.5 + rng.random((12, 8))
    truth = rng.random((8, 20)) * (rng.random((8, 20)) < 0.4)
    y = m @ truth + 0.05 * rng.standard_normal((12, 20))
    loss = ss.LeastSquares(LeftMultiply(m.astype(dtype), 20), y.astype(dtype))
    return ss.Problem(loss, ss.priors.Tilted(0.1, ss.priors.NonNegative()))


def _kronecker_sensing(dtype: str) -> Any:
    """Two by two terms of a product, from fewer data than unknowns."""
    A = ss.operators.Kronecker(random((7, 9), dtype), random((6, 8), dtype, 1))
    truth = np.zeros((9, 8), dtype)
    truth[np.ix_([2, 5], [0, 6])] = random((2, 2), dtype, 2) + 2
    y = A(truth) + (0.05 * random((7, 6), dtype, 3)).astype(dtype)
    return ss.Problem(ss.LeastSquares(A, y), ss.priors.KroneckerTopK(2))


PROBLEMS: dict[str, Callable[[str], Any]] = {
    "lasso": lambda t: _sensing(t, ss.priors.L1(0.1)),
    "magnitude lasso": lambda t: _sensing(t, ss.priors.Magnitude(ss.priors.L1(0.1))),
    "group lasso": lambda t: _sensing(t, ss.priors.GroupL2(0.2, np.arange(60) // 3)),
    "basis pursuit": lambda t: _sensing(t, ss.priors.L1(1.0), loss="noise ball"),
    "robust lasso": lambda t: _sensing(t, ss.priors.L1(0.1), loss="huber"),
    "total variation": lambda t: _deblurring(t, ss.priors.TotalVariation(0.02)),
    "tv as a term": lambda t: _deblurring(
        t,
        ss.priors.Term(ss.priors.GroupL2(0.02, 0), ss.operators.Gradient((16, 16))),
    ),
    "tv and l1": lambda t: _deblurring(
        t, ss.priors.TotalVariation(0.02) + ss.priors.L1(0.01)
    ),
    "sparse bayes": lambda t: _sensing(t, ss.priors.SBL()),
    "turbo": lambda t: _sensing(t, ss.priors.TurboVBI("markov")),
    "spike and slab": lambda t: _sensing(t, ss.priors.SpikeAndSlab()),
    "block sparse bayes": lambda t: _sensing(t, ss.priors.BlockSBL(np.arange(60) // 3)),
    "coupled bayes": lambda t: _sensing(t, ss.priors.PatternCoupledSBL(0.5)),
    "Kronecker bayes": lambda t: _kronecker_sensing(t).with_prior(
        ss.priors.KroneckerSBL()
    ),
    "unmixing": _unmixing,
    "best terms": lambda t: _sensing(t, ss.priors.TopK(4)),
    "best Kronecker terms": _kronecker_sensing,
    "nmf": lambda t: _factorisation(
        t, {"M": ss.priors.NonNegative(), "A": ss.priors.NonNegative()}
    ),
    "robust nmf": lambda t: _factorisation(
        t, {"M": ss.priors.NonNegative(), "A": ss.priors.NonNegative()}, loss=ss.L21
    ),
    "archetypes nmf": lambda t: _archetypes(t),
    "guided nmf": lambda t: _factorisation(
        t,
        {
            "M": ss.priors.NonNegative(),
            "A": ss.priors.GuidedLp(
                0.01, ss.priors.SparsenessGuide(), within=ss.priors.Simplex()
            ),
        },
        loss=ss.L21,
    ),
    "ridge factorisation": lambda t: _factorisation(
        t, {"M": ss.priors.SquaredL2(0.1), "A": ss.priors.SquaredL2(0.1)}
    ),
}

SOLVERS: dict[str, SolverCase] = {
    "ProximalGradient": SolverCase(
        lambda: ss.ProximalGradient(),
        {
            "lasso": 70,
            "magnitude lasso": 70,
            "group lasso": 70,
            "robust lasso": 90,
            "total variation": 40,
            "unmixing": 1500,
        },
    ),
    "ProximalGradient with backtracking": SolverCase(
        lambda: ss.ProximalGradient(backtracking=True),
        {"lasso": 70, "robust lasso": 60, "total variation": 50},
    ),
    "ADMM": SolverCase(
        lambda: ss.ADMM(),
        {
            "lasso": 110,
            "magnitude lasso": 110,
            "group lasso": 70,
            "basis pursuit": 160,
            "robust lasso": 210,
            "total variation": 50,
            "unmixing": 120,
            "tv as a term": 270,
            "tv and l1": 100,
        },
    ),
    "PrimalDual": SolverCase(
        lambda: ss.PrimalDual(),
        {
            "lasso": 230,
            "magnitude lasso": 230,
            "group lasso": 150,
            "basis pursuit": 380,
            "robust lasso": 250,
            "total variation": 160,
            "tv as a term": 1500,
            "tv and l1": 230,
        },
    ),
    "AlternatingMinimization": SolverCase(
        lambda: ss.AlternatingMinimization(),
        {
            "nmf": 40,
            "robust nmf": 80,
            "guided nmf": 200,
            "ridge factorisation": 120,
        },
    ),
    "ActiveSet": SolverCase(lambda: ss.solvers.ActiveSet(), {"unmixing": 1}),
    "ArchetypeDescent": SolverCase(
        lambda: ss.solvers.ArchetypeDescent(), {"archetypes nmf": 60}
    ),
    "OMP": SolverCase(lambda: ss.solvers.OMP(), {"best terms": 4}),
    "CoSaMP": SolverCase(lambda: ss.solvers.CoSaMP(), {"best terms": 5}),
    "IHT": SolverCase(lambda: ss.solvers.IHT(), {"best terms": 30}),
    "KroneckerOMP": SolverCase(
        lambda: ss.solvers.KroneckerOMP(), {"best Kronecker terms": 4}
    ),
    "VariationalEM": SolverCase(
        lambda: ss.VariationalEM(),
        {
            "sparse bayes": 160,
            "block sparse bayes": 70,
            "coupled bayes": 70,
            "Kronecker bayes": 60,
        },
    ),
}
