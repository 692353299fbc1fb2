"""What each stage of unmixing buys: start, weights, loss, sparsity, guide, last step.

Unit-norm pixels of Samson and Jasper Ridge on the bands that screening keeps, Zhu's
truths. Three abundances of the same endmembers: plain FCLSU, FCLSU with bands weighted
by how well they fit (the default's), and the sparse minimiser itself. ``--quick`` takes
one seed of a small generated scene.
"""

import argparse
import math
import statistics

import numpy as np
from measure import machine
from unmixing_scenes import (
    cpu_seconds,
    generated,
    header,
    jasper,
    row,
    samson,
    score,
    spread,
)

from sparsesolve import metrics
from sparsesolve.applications.unmixing import (
    archetypal_analysis,
    factorise,
    fclsu,
    neighbour_guide,
    pixel_laplacian,
    screen_bands,
    vca,
)
from sparsesolve.priors.guides import SparsenessGuide

SEEDS = range(10)
CAP = 0.75


def stages(valid, Y, weights):
    """Return title to (start, arguments of `factorise`, or None for none)."""
    smooth = SparsenessGuide(
        start=0.5, largest=CAP, laplacian=pixel_laplacian(valid), smoothing=1.0
    )
    w = {"pixel_weights": weights}
    half = {"guide": 0.5}
    return {
        "VCA": ("VCA", None),
        "VCA, then the default's refinement": ("VCA", w),
        "archetypes, no weights": ("plain", None),
        "archetypes weighted by brightness: **start**": ("weighted", None),
        "+ ℓ2,1, no sparsity": ("weighted", {**w, "sparsity": 0.0}),
        "+ ℓ2,1, guide off (h = 0)": ("weighted", {**w, "guide": 0.0}),
        "+ ℓ2,1, h = 1/2": ("weighted", {**w, **half}),
        "+ ℓ2,1, h = 3/4": ("weighted", {**w, "guide": CAP}),
        "+ ℓ2,1, h learnt: **default**": ("weighted", w),
        "+ ℓ2,1, h learnt and smoothed on the image": (
            "weighted",
            {**w, "guide": smooth},
        ),
        "+ ℓ2,1, h from neighbours": (
            "weighted",
            {**w, "guide": neighbour_guide(Y, valid)},
        ),
        "+ Frobenius, h = 1/2": ("weighted", {**w, **half, "loss": "frobenius"}),
        "+ Frobenius, h learnt: twin": ("weighted", {**w, "loss": "frobenius"}),
        "default without weights in the refinement": ("weighted", {}),
        "default without weights anywhere": ("plain", {}),
    }


def table(scene, seeds):
    """Print a line for each stage."""
    Y = scene.cube.spectra()
    kept = screen_bands(Y)
    bands = np.flatnonzero(scene.cube.good_bands)[kept]
    norms = np.linalg.norm(Y[:, kept], axis=1)
    Y, weights = Y[:, kept] / norms[:, None], norms / norms.mean()
    count, purity = scene.count, metrics.purity(scene.abundances)
    starts = {
        "VCA": [vca(Y, count, rng=seed) for seed in seeds],
        "plain": [archetypal_analysis(Y, count, rng=seed) for seed in seeds],
        "weighted": [
            archetypal_analysis(Y, count, weights=weights, rng=seed) for seed in seeds
        ],
    }
    header(
        f"{scene.name}, {len(bands)} bands",
        "stage",
        "SAD: mean ± sd (worst)",
        "RMSE: FCLSU",
        "RMSE: band-weighted FCLSU",
        "RMSE: sparse A",
        "guide's correlation",
        "CPU s, beyond the start",
    )

    def one(start, model):
        if model is None:
            sad, rmse, _ = placed(start, fclsu(Y, start))
            return sad, rmse, np.nan, np.nan, np.nan, 0.0
        fit, seconds = cpu_seconds(lambda: factorise(Y, start, progress=False, **model))
        E = fit.endmembers
        sad, rmse, _ = placed(E, fclsu(Y, E))
        weighted = placed(E, fclsu(Y, E, weights=fit.band_weights))[1]
        sparse = placed(E, fit.abundances)[1]
        guide = metrics.guide_correlation(scene.cube.to_map(fit.guide), purity)
        return sad, rmse, weighted, sparse, guide, seconds

    def placed(E, A):
        whole = np.full((count, scene.cube.shape[2]), np.nan)
        whole[:, bands] = E
        return score(scene, whole, A)

    for title, (kind, model) in stages(scene.cube.valid, Y, weights).items():
        columns = list(zip(*(one(start, model) for start in starts[kind]), strict=True))
        cells = [spread(values) for values in columns[:4]]
        guide, seconds = statistics.fmean(columns[4]), statistics.median(columns[5])
        row(
            title, *cells, "" if math.isnan(guide) else f"{guide:.3f}", f"{seconds:.2f}"
        )


def main(arguments=None):
    """Print a table for each scene."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args(arguments)
    print(machine("numpy", "numba"))
    if options.quick:
        table(generated(), range(1))
        return
    for make in (samson, jasper):
        table(make(), SEEDS)


if __name__ == "__main__":
    main()
