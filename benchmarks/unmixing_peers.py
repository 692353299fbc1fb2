"""Other libraries' unmixing as they publish it, where they can be imported."""

import importlib.util

import numpy as np
from unmixing_scenes import pixels_of

from sparsesolve.applications.unmixing import fclsu, vca


def vca_and_pysptools(scene, normalize, seed):
    """Endmembers by our VCA, as pysptools has none; abundances by its FCLS."""
    from pysptools.abundance_maps.amaps import FCLS

    Y, _ = pixels_of(scene, normalize)
    E = vca(Y, scene.count, rng=seed)
    return E, FCLS(Y, E)


def ppi(scene, normalize, seed):
    """pysptools' pixel purity index of 10,000 directions, its default."""
    from pysptools.eea.eea import PPI

    np.random.seed(seed)  # noqa: NPY002 it draws from there
    Y, _ = pixels_of(scene, normalize)
    E = PPI(Y, scene.count, 10_000)[0]
    return E, fclsu(Y, E)


def atgp(scene, normalize, seed):
    """pysptools' ATGP."""
    from pysptools.eea.eea import ATGP

    Y, _ = pixels_of(scene, normalize)
    E = ATGP(Y, scene.count)[0]
    return E, fclsu(Y, E)


def nfindr(scene, normalize, seed):
    """pysptools' N-FINDR."""
    from pysptools.eea.nfindr import NFINDR

    np.random.seed(seed)  # noqa: NPY002 it draws from there
    Y, _ = pixels_of(scene, normalize)
    E = NFINDR(Y, scene.count)[0]
    return E, fclsu(Y, E)


def scikit_learn(scene, normalize, seed):
    """scikit-learn's NMF from VCA; endmembers to unit norm, abundances to sum one."""
    from sklearn.decomposition import NMF

    Y, _ = pixels_of(scene, normalize)
    # Noise of simulated cubes dips below zero, which NMF refuses.
    Y = np.maximum(Y, 0)
    E = np.maximum(vca(Y, scene.count, rng=seed), 0)
    model = NMF(scene.count, init="custom", max_iter=200, tol=1e-4)
    A = model.fit_transform(Y, W=fclsu(Y, E), H=E)
    found = model.components_
    if normalize == "l2":
        norms = np.linalg.norm(found, axis=1)
        A, found = A * norms, found / norms[:, None]
    total = A.sum(axis=1, keepdims=True)
    return found, A / np.where(total > 0, total, 1)


METHODS = {}
SLOW = {}
"""Left out on the many simulated cubes, some 10 s each."""
if importlib.util.find_spec("sklearn"):
    METHODS["scikit-learn NMF from VCA"] = scikit_learn
if importlib.util.find_spec("pysptools"):
    METHODS["pysptools ATGP + FCLSU"] = atgp
    METHODS["pysptools N-FINDR + FCLSU"] = nfindr
    SLOW["VCA + pysptools FCLS"] = vca_and_pysptools
    SLOW["pysptools PPI + FCLSU"] = ppi
