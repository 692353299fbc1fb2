"""Ten simulated scenes imaged with defaults: ℓ1 and TV + ℓ1 beside direct imagers.

The reference array and grid (12 x 13 antennas, 25 x 25 x 49 voxels) at 30 dB; K = 5,
10 and 20 frequencies are 2.5, 5 and 10 % as many data as voxels. No scatterer lies on a
voxel, and nothing is tuned to a scene. The minimisers of ℓ1 and TV + ℓ1 are shown, and
with the beam of `radar.restore`. A second table has a wrong speed and antennas.

``--freq K`` takes one number of frequencies (40 are 20 %) and no second table,
``--errors`` the second table alone, ``--quick`` two scenes on a grid eight times
coarser. ``--shares`` is how the width of the beam was chosen, on other scenes, and
``--tried`` what else was tried there for ℓ1. ``--unknown`` images five
of the ten as if their noise were unknown, at 30 and 10 dB.
"""

import argparse
import itertools
import statistics
import time
from dataclasses import replace

import numpy as np
import scipy.ndimage
from measure import machine

import sparsesolve as ss
from sparsesolve import metrics
from sparsesolve.applications import radar
from sparsesolve.operators import Grid

FAMILIES = "points", "letters", "plates", "clusters", "extruded"
SCENES = tuple((family, seed) for seed in (100, 101) for family in FAMILIES)
"""Two of each family; settled, and then run once, after all defaults were."""

SOME = SCENES[:5]
"""One of each, for the second table."""

OTHERS = tuple((family, 0) for family in FAMILIES)
SHARES = (0, 0.4, 0.5, 0.6, 1)
"""Widths of the beam that were tried on those, in widths of the array's own."""

N_FREQS = (10, 20, 40)
SNR_DB = 30.0
LOW_SNR_DB = 10.0
ERRORS = (
    ("none", {}),
    ("speed +5 %", {"speed_error": 0.05}),
    ("speed -5 %", {"speed_error": -0.05}),
    ("antennas 2 mm", {"position_error": 2e-3}),
)
PRIORS = "l1", "l1+tv"
RESTORED = ", restored"
IMAGERS = (
    "back-projection",
    "Kirchhoff",
    *(prior + end for prior in PRIORS for end in ("", RESTORED)),
)


def image(scene, seed, n_freq, grid, **errors):
    """Return a row for each imager: family, imager, PSNR both ways, SSIM, seconds."""
    simulation = radar.simulate_scan(
        seed, scene=scene, n_freq=n_freq, snr_db=SNR_DB, **errors
    )
    truth = simulation.truth(grid)
    rows = []
    for name, x, seconds in images(simulation.scan, grid):
        fit, published = (
            metrics.psnr(x, truth, scale=scale) for scale in ("fit", "max")
        )
        ssim = metrics.ssim(x, truth)
        rows.append((scene, name, fit, published, ssim, seconds))
    return rows


def images(scan, grid):
    """Yield imager, image and seconds; the restoring beam shares its prior's solve."""
    direct = (radar.back_projection, radar.kirchhoff)
    for name, imager in zip(IMAGERS, direct, strict=False):
        yield name, *timed(imager, scan, grid)
    for prior in PRIORS:
        x, seconds = timed(minimiser, scan, grid, prior)
        yield prior, x, seconds
        restored, more = timed(radar.restore, x, scan, grid)
        yield prior + RESTORED, restored, seconds + more


def minimiser(scan, grid, prior):
    """Return the reconstruction by default."""
    return radar.reconstruct(scan, grid, prior, progress=False).x


def timed(imager, *arguments):
    """Return an image and the seconds that it took."""
    start = time.perf_counter()
    return imager(*arguments), time.perf_counter() - start


def summary(title, rows):
    """Print a line for each imager: means, deviations, worst, margin per family."""
    print(f"\n{title}, {len(rows) // len(IMAGERS)} scenes")
    families = list(dict.fromkeys(row[0] for row in rows))
    print(
        f"{'':17}{'PSNR fit dB':>19}{'worst':>7}{'PSNR max':>15}{'SSIM':>7}{'s':>7}   "
        "over the better direct imager, dB: all, families alike, worst scene, "
        + ", ".join(families)
    )
    direct = np.maximum(
        *(_column(rows, name, 2) for name in ("back-projection", "Kirchhoff"))
    )
    kinds = np.array([row[0] for row in rows if row[1] == "l1"])
    for name in IMAGERS:
        fit, published, ssim, seconds = (_column(rows, name, i) for i in range(2, 6))
        margin = fit - direct
        by_family = [margin[kinds == kind].mean() for kind in families]
        print(
            f"{name:17}{fit.mean():10.2f} +- {_deviation(fit):5.2f}{fit.min():7.2f}"
            f"{published.mean():7.2f} +- {_deviation(published):4.2f}"
            f"{ssim.mean():7.3f}{seconds.mean():7.1f}   {margin.mean():6.2f}"
            f"{np.mean(by_family):6.2f}{margin.min():6.2f} "
            + " ".join(f"{value:6.1f}" for value in by_family),
            flush=True,
        )


def _column(rows, name, i):
    return np.array([row[i] for row in rows if row[1] == name])


def _deviation(values):
    return statistics.stdev(values) if len(values) > 1 else 0.0


def shares(grid):
    """Print mean margins of each image for each width of the beam."""
    rows = {name: [] for name in ("back-projection", "Kirchhoff", *PRIORS)}
    for scene, seed in OTHERS:
        simulation = radar.simulate_scan(seed, scene=scene, n_freq=20, snr_db=SNR_DB)
        scan, truth = simulation.scan, simulation.truth(grid)
        full = 2 * np.array(radar.restoring_beam(scan, grid))
        found = {
            name: [
                metrics.psnr(
                    radar.restore(x, scan, grid, width=share * full), truth, scale="fit"
                )
                for share in SHARES
            ]
            for name, x, _ in images(scan, grid)
            if name in rows
        }
        direct = max(found["back-projection"][0], found["Kirchhoff"][0])
        for name, values in found.items():
            rows[name].append(np.array(values) - direct)
    print(f"{'beam':17}" + "".join(f"{share:7g}" for share in SHARES))
    for name, values in rows.items():
        print(f"{name:17}" + "".join(f"{m:7.2f}" for m in np.mean(values, axis=0)))


def tried(grid):
    """Print what other weights of ℓ1 add to its PSNR: of all voxels, and of each."""
    for scene, seed in OTHERS:
        simulation = radar.simulate_scan(seed, scene=scene, n_freq=20, snr_db=SNR_DB)
        truth = simulation.truth(grid)
        first = radar.reconstruct(simulation.scan, grid, progress=False)
        lam = float(first.choices["lam"].partition(",")[0])
        loss = radar.imaging_problem(simulation.scan, grid).loss
        before = metrics.psnr(first.x, truth, scale="fit")

        def gain(lam, weights=None, *, loss=loss, x=first.x, truth=truth, was=before):
            prior = ss.priors.Magnitude(ss.priors.L1(lam, weights))
            solver = ss.solvers.ProximalGradient(backtracking=True)
            problem = ss.Problem(loss, prior)
            found = ss.solve(problem, solver, x0=x, max_iter=300, tol=0)
            return metrics.psnr(found.x, truth, scale="fit") - was

        gains = [f"lam x {f:g} {gain(f * lam):+.2f}" for f in (0.1, 0.3, 3)]
        for sigma in (0, 1, 2):
            size = scipy.ndimage.gaussian_filter(np.abs(first.x), sigma)
            for delta in (0.1, 0.5):
                weights = 1 / (size / size.max() + delta)
                weights = (weights / np.median(weights)).astype("float32")
                change = gain(lam, weights)
                gains.append(f"reweighted, {sigma} voxels, {delta:g} {change:+.2f}")
        print(f"{scene}: {'; '.join(gains)}", flush=True)


def unknown(grid):
    """Print PSNR as if the noise were unknown, and what of receivers is predicted."""
    names = "default", "best predicted", "share of lam_max", "noise known"
    for prior, snr_db in itertools.product(PRIORS, (SNR_DB, LOW_SNR_DB)):
        head = "".join(f"{name:>18}{'restored':>10}" for name in names)
        print(f"\n{prior + f', {snr_db:g} dB':14}{head}   lam by each rule")
        rows = []
        for scene, seed in SOME:
            row, lams = by_rules(scene, seed, snr_db, grid, prior)
            rows.append(row)
            _line(scene, row, "   " + ", ".join(lams))
        _line("mean", np.mean(rows, axis=0))
    print()
    for title, errors in ERRORS:
        for scene, seed in SOME:
            simulation = radar.simulate_scan(
                seed, scene=scene, n_freq=10, snr_db=SNR_DB, **errors
            )
            scan = replace(simulation.scan, noise=None)
            found = radar.reconstruct(scan, grid, max_iter=1, progress=False)
            print(f"l1, wrong: {title}, {scene}: {found.choices['lam']}", flush=True)


def by_rules(scene, seed, snr_db, grid, prior):
    """Return PSNR by each rule, also restored, and the weights."""
    simulation = radar.simulate_scan(seed, scene=scene, n_freq=10, snr_db=snr_db)
    truth, values, lams = simulation.truth(grid), [], []
    scan = replace(simulation.scan, noise=None)
    for rule in (None, best_predicted(scan, grid, prior), "share", "discrepancy"):
        told = simulation.scan if rule == "discrepancy" else scan
        found = radar.reconstruct(told, grid, prior, lam=rule, progress=False)
        shown = found.x, radar.restore(found.x, scan, grid)
        values += [metrics.psnr(x, truth, scale="fit") for x in shown]
        lams.append(found.choices["lam"].partition(",")[0])
    return values, lams


def best_predicted(scan, grid, prior):
    """Return the weight of the default's path that predicts receivers best."""
    problem = radar.imaging_problem(scan, grid, prior)
    convex = problem.prior.convex
    return ss.path(
        problem,
        choose="held_out",
        axis=-1,
        n_lams=11,
        ratio=2.0**-10,
        solver=ss.solvers.ProximalGradient(backtracking=True),
        max_iter=30 if convex else 60,
        tol=3e-3 if convex else 1e-3,
        progress=False,
    ).lam


def _line(title, values, end=""):
    pairs = zip(values[::2], values[1::2], strict=True)
    print(f"{title:14}" + "".join(f"{x:18.2f}{r:10.2f}" for x, r in pairs) + end)


def main(arguments=None):
    """Print the two tables."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--freq", type=int, default=None)
    parser.add_argument("--errors", action="store_true")
    parser.add_argument("--shares", action="store_true")
    parser.add_argument("--tried", action="store_true")
    parser.add_argument("--unknown", action="store_true")
    options = parser.parse_args(arguments)
    print(machine("numpy", "numba"))
    if options.quick:
        grid = Grid.box((0, 0, 0.5), (0.3, 0.3, 0.3), (0.025, 0.025, 0.0125))
        rows = [row for scene in SCENES[:2] for row in image(*scene, 10, grid)]
        summary(f"K = 10, {SNR_DB:g} dB", rows)
        return
    grid = radar.reference_grid()
    if options.shares:
        shares(grid)
        return
    if options.tried:
        tried(grid)
        return
    if options.unknown:
        unknown(grid)
        return
    numbers = N_FREQS if options.freq is None else (options.freq,)
    for n_freq in () if options.errors else numbers:
        rows = [row for scene in SCENES for row in image(*scene, n_freq, grid)]
        summary(f"K = {n_freq}, {SNR_DB:g} dB", rows)
    for title, errors in ERRORS if options.freq is None else ():
        rows = [row for scene in SOME for row in image(*scene, 10, grid, **errors)]
        summary(f"K = 10, {SNR_DB:g} dB, wrong: {title}", rows)


if __name__ == "__main__":
    main()
