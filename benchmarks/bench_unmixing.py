"""Unmixing of Samson and Jasper Ridge beside peers, every method by its defaults.

Unit-norm pixels, Zhu's truths; SAD in rad, mean over endmembers after optimal matching
on the angle; RMSE over all abundances with that matching; CPU seconds of one thread
(``OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 NUMBA_NUM_THREADS=1``), medians of the
seeds. scikit-learn and pysptools join where they can be imported. "RMSE, best order" is
that of the matching with the least RMSE: where it is much lower, spectra were mistaken
for each other, not abundances.

``--simulated sim1`` (or ``sim2``) takes the simulated cubes at three noise levels, of
unit norm and raw, on which no default was settled. ``--guide DIR`` draws the learnt
guide beside the purity of the true abundances. ``--scene`` takes one of the two real
scenes, ``--quick`` one seed of a small generated one.
"""

import argparse
import statistics
from pathlib import Path

import numpy as np
import unmixing_peers
from measure import machine
from unmixing_scenes import (
    cpu_seconds,
    generated,
    header,
    jasper,
    pixels_of,
    row,
    samson,
    score,
    simulated,
    spread,
)

from sparsesolve import metrics, plot
from sparsesolve.applications.unmixing import fclsu, sunsal, unmix, vca

SEEDS = range(10)
SNRS_DB = 20, 30, 40
# Of the simulated tables, which take an hour a scene as it is.
FEW = 3

WORDS = {
    "archetypes": "archetypal analysis + FCLSU",
    "nmf": "NMF from VCA",
    "l1/2-nmf": "ℓ1/2-NMF from VCA",
    "data-guided-nmf": "data-guided NMF from VCA",
    "l2,1-nmf": "ℓ2,1-NMF from VCA",
    "nfindr": "N-FINDR + FCLSU",
    "spa": "SPA + FCLSU",
    "sisal": "SISAL + FCLSU",
    "vca": "VCA + FCLSU",
}


def by_unmix(method):
    """Return a method of `unmix` as a run of (scene, normalize, seed)."""

    def run(scene, normalize, seed):
        found = unmix(
            scene.cube,
            scene.count,
            method=method,
            normalize=normalize,
            rng=seed,
            progress=False,
        )
        return found.endmembers, found.abundances

    return run


def vca_and_sunsal(scene, normalize, seed):
    """Endmembers by VCA, abundances by SUnSAL: non-negative, ℓ1, sums left free."""
    Y, _ = pixels_of(scene, normalize)
    E = vca(Y, scene.count, rng=seed)
    return E, sunsal(Y, E, progress=False).abundances


def true_endmembers(scene, normalize, seed):
    """What a method that finds the very endmembers gets: no method's, the floor."""
    Y, _ = pixels_of(scene, normalize)
    E = scene.endmembers[:, scene.cube.good_bands]
    if normalize == "l2":
        E = E / np.linalg.norm(E, axis=1, keepdims=True)
    return E, fclsu(Y, E)


def true_endmembers_weighted(scene, normalize, seed):
    """The same floor for FCLSU with the bands weighted as the default has them."""
    Y, _ = pixels_of(scene, normalize)
    E, _ = true_endmembers(scene, normalize, seed)
    found = unmix(
        scene.cube, scene.count, normalize=normalize, rng=seed, progress=False
    )
    return E, fclsu(Y, E, weights=found.band_weights[scene.cube.good_bands])


METHODS = {
    "default: unmix(cube, K)": by_unmix("robust"),
    **{title: by_unmix(method) for method, title in WORDS.items()},
    "VCA + SUnSAL": vca_and_sunsal,
    **unmixing_peers.METHODS,
    "true endmembers + FCLSU (floor)": true_endmembers,
    "true endmembers + band-weighted FCLSU (floor)": true_endmembers_weighted,
}


def table(title, scenes, normalize, methods, few=()):
    """Print a line for each method, over scenes of which each has its own seed.

    Methods of the names `few` are run on the first three alone.
    """
    cells = "SAD: mean ± sd (worst)", "RMSE: mean ± sd (worst)", "RMSE, best order"
    header(title, "method", *cells, "CPU s")
    for name, method in methods.items():
        rows = []
        try:
            for seed, scene in enumerate(scenes[:FEW] if name in few else scenes):
                found, seconds = cpu_seconds(
                    lambda s=scene, i=seed, m=method: m(s, normalize, i)
                )
                rows.append((*score(scene, *found), seconds))
        except (AttributeError, ImportError) as error:
            says = str(error).split("\n", 1)[0]
            row(name, f"does not run: {type(error).__name__}: {says}", "", "", "")
            continue
        sad, rmse, least, seconds = zip(*rows, strict=True)
        best, time = statistics.fmean(least), statistics.median(seconds)
        name = f"{name} ({FEW} seeds)" if name in few else name
        row(name, spread(sad), spread(rmse), f"{best:.4f}", f"{time:.2f}")


def guide(scenes, folder=None):
    """Print the correlation of the learnt guide with the true purity; draw the last."""
    scene = scenes[0]
    purity = metrics.purity(scene.abundances)
    guided, found = [], []
    for seed in range(len(scenes)):
        result = unmix(
            scene.cube, scene.count, normalize="l2", rng=seed, progress=False
        )
        guided.append(metrics.guide_correlation(result.guide, purity))
        own = metrics.purity(result.abundances)
        found.append(metrics.guide_correlation(own, purity))
    row(scene.name, *(_lowest(values) for values in (guided, found)))
    if folder is not None:
        path = Path(folder) / f"guide_{scene.name}.png"
        plot.guide(result.guide, purity).savefig(path, dpi=150)
        print(f"drawn: {path}")


def _lowest(values):
    deviation = statistics.stdev(values) if len(values) > 1 else 0.0
    return f"{statistics.fmean(values):.3f} ± {deviation:.4f} ({min(values):.3f})"


def main(arguments=None):
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--scene", choices=("samson", "jasper"))
    parser.add_argument("--simulated", choices=("sim1", "sim2"))
    parser.add_argument("--guide", metavar="DIR")
    options = parser.parse_args(arguments)
    print(machine("numpy", "numba"))
    if options.simulated:
        for snr_db in SNRS_DB:
            few = [name for name in METHODS if "NMF" in name]
            scenes = [simulated(options.simulated, snr_db, seed) for seed in SEEDS]
            for normalize, kind in ((None, "raw pixels"), ("l2", "unit-norm pixels")):
                title = f"{options.simulated}, {snr_db} dB, {kind}"
                table(title, scenes, normalize, METHODS, few)
        return
    seeds = range(1) if options.quick else SEEDS
    real = {"samson": samson, "jasper": jasper}
    makers = [real[options.scene]] if options.scene else real.values()
    makers = [generated] if options.quick else makers
    groups = [[make()] * len(seeds) for make in makers]
    for scenes in groups if options.guide is None else ():
        methods = METHODS | unmixing_peers.SLOW
        table(f"{scenes[0].name}, unit-norm pixels", scenes, "l2", methods)
    header(
        "Correlation with the purity of the true abundances",
        "scene",
        "learnt guide: mean ± sd (worst)",
        "purity of the found abundances",
    )
    for scenes in groups:
        guide(scenes, options.guide)


if __name__ == "__main__":
    main()
