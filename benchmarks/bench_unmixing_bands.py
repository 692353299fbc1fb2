"""Unmixing with 10 and 20 % of the bands made noise, or replaced by garbage.

Unit-norm pixels, Zhu's truths, ten draws of bands. ``noise`` is white Gaussian noise of
the band's own mean and standard deviation, cut at zero; ``garbage`` is uniform from
zero to the maximum of the cube. SAD is on the bands that were left alone; ratios are to
the same method's means on the clean scene. ``--quick`` takes one draw of a small
generated scene.
"""

import argparse
import statistics
from dataclasses import replace

import numpy as np
from measure import machine
from unmixing_scenes import (
    corrupted,
    generated,
    header,
    jasper,
    row,
    samson,
    score,
    spread,
)

from sparsesolve.applications.unmixing import (
    archetypal_analysis,
    factorise,
    fclsu,
    screen_bands,
    unmix,
)
from sparsesolve.metrics import band_detection

SEEDS = range(10)
CASES = (
    (0.0, "noise"),
    (0.1, "noise"),
    (0.2, "noise"),
    (0.1, "garbage"),
    (0.2, "garbage"),
)


def default(scene, seed, *, method="robust", screen=True):
    """`unmix` as it is, or with another method, or without screening."""
    found = unmix(
        scene.cube,
        scene.count,
        method=method,
        normalize="l2",
        rng=seed,
        screen=screen,
        progress=False,
    )
    return found.endmembers, found.abundances


def dropped(scene, seed):
    """The control: leave the flagged bands out of the cube, then the same method."""
    good = scene.cube.good_bands.copy()
    good[good] = screen_bands(scene.cube)
    less = replace(scene, cube=replace(scene.cube, good_bands=good))
    return default(less, seed, screen=False)


def frobenius(scene, seed, *, screen=True):
    """The default's twin whose loss is the Frobenius norm; nothing else differs."""
    good = scene.cube.good_bands.copy()
    if screen:
        good[good] = screen_bands(scene.cube)
    Y = replace(scene.cube, good_bands=good).spectra()
    norms = np.linalg.norm(Y, axis=1)
    Y, w = Y / norms[:, None], norms / norms.mean()
    start = archetypal_analysis(Y, scene.count, weights=w, rng=seed)
    fit = factorise(Y, start, loss="frobenius", pixel_weights=w, progress=False)
    whole = np.full((scene.count, scene.cube.shape[2]), np.nan)
    whole[:, good] = fit.endmembers
    return whole, fclsu(Y, fit.endmembers)


METHODS = {
    "default": default,
    "flagged bands dropped, default": dropped,
    "Frobenius twin, screened": frobenius,
    "VCA + FCLSU, screened": lambda scene, seed: default(scene, seed, method="vca"),
    "default without screening": lambda scene, seed: default(scene, seed, screen=False),
    "Frobenius twin without screening": lambda scene, seed: frobenius(
        scene, seed, screen=False
    ),
}


def table(clean, seeds):
    """Print errors of each method in each case, then how bad bands were found."""
    header(
        clean.name,
        "method",
        "bands",
        "SAD: mean ± sd (worst)",
        "ratio",
        "RMSE: mean ± sd (worst)",
        "ratio",
    )
    for name, method in METHODS.items():
        base = None
        for share, kind in CASES:
            errors = []
            for seed in seeds:
                scene, bad = corrupted(clean, share, kind, seed)
                errors.append(score(scene, *method(scene, seed), ~bad)[:2])
            columns = list(zip(*errors, strict=True))
            means = [statistics.fmean(values) for values in columns]
            base = base or means
            ratios = [f"{m / b:.2f}" for m, b in zip(means, base, strict=True)]
            cells = [spread(values) for values in columns]
            case = f"{share:.0%} {kind}" if share else "clean"
            row(name, case, cells[0], ratios[0], cells[1], ratios[1])


def detection(clean, seeds):
    """Print precision, recall and F1 of screening."""
    for share, kind in CASES[1:]:
        marks = []
        for seed in seeds:
            scene, bad = corrupted(clean, share, kind, seed)
            good = scene.cube.good_bands
            marks.append(band_detection(~screen_bands(scene.cube), bad[good]))
        precision, recall, f1 = zip(*marks, strict=True)
        row(
            clean.name,
            f"{share:.0%} {kind}",
            *(f"{statistics.fmean(m):.3f} ({min(m):.3f})" for m in (precision, recall)),
            f"{statistics.fmean(f1):.3f} ({min(f1):.3f})",
        )


def main(arguments=None):
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args(arguments)
    print(machine("numpy", "numba"))
    scenes = [generated()] if options.quick else [samson(), jasper()]
    seeds = range(1) if options.quick else SEEDS
    title = "Bad bands found: mean (worst)"
    header(title, "scene", "bands", "precision", "recall", "F1")
    for scene in scenes:
        detection(scene, seeds)
    for scene in scenes:
        table(scene, seeds)


if __name__ == "__main__":
    main()
