"""Scenes with their truths, and how the benchmarks of unmixing score what is found."""

import math
import statistics
import time
from dataclasses import dataclass, replace

import numpy as np
from scipy.io import loadmat

import sparsesolve as ss
from sparsesolve import metrics
from sparsesolve.applications.unmixing import unmixing_scene


@dataclass(frozen=True)
class Scene:
    """A cube and its truth: endmembers (K, bands), abundances (rows, cols, K)."""

    name: str
    cube: ss.HyperspectralCube
    endmembers: np.ndarray
    abundances: np.ndarray

    @property
    def count(self):
        """K."""
        return len(self.endmembers)


def samson():
    """Samson with Zhu's truth."""
    path = ss.data.find("samson")
    file = loadmat(path)
    cube = ss.load(path, kind="hyperspectral")
    return Scene("Samson", cube, file["GT"], file["S_GT"])


def jasper():
    """Jasper Ridge with Zhu's truth."""
    path = ss.data.find("jasper_ridge")
    file = loadmat(path)
    abundances = file["A"].T.reshape(100, 100, 4, order="F")
    cube = ss.load(path, kind="hyperspectral")
    return Scene("Jasper", cube, file["M"].T, abundances)


def simulated(name, snr_db, seed):
    """``sim1`` or ``sim2`` with white noise of the cube's mean square over the SNR."""
    folder = ss.data.find("misicnet") / name
    clean, spectra, shares = (
        loadmat(folder / f"{key}.mat")[key].astype(float)
        for key in ("Y_clean", "E", "A_true")
    )
    rng = np.random.default_rng([seed, round(snr_db)])
    sigma = np.sqrt(np.mean(clean**2) / 10 ** (snr_db / 10))
    noisy = clean + sigma * rng.standard_normal(clean.shape)
    return Scene(name, ss.HyperspectralCube(noisy), spectra.T, shares)


def generated(seed=0, size=24):
    """A small scene that needs no file, for a quick look."""
    made = unmixing_scene(seed, size, size, n_bands=60, noisy_bands=0)
    return Scene("generated", made.cube, made.endmembers, made.abundances)


def corrupted(scene, share, kind, seed):
    """Return the scene with a share of its bands replaced, and which these are.

    ``noise``: white Gaussian noise of the band's own mean and standard deviation, cut
    at zero. ``garbage``: uniform from zero to the maximum of the cube.
    """
    rng = np.random.default_rng([seed, round(100 * share), len(kind)])
    data = scene.cube.data * scene.cube.scale + scene.cube.offset
    bands = np.flatnonzero(scene.cube.good_bands)
    chosen = rng.choice(bands, round(share * len(bands)), replace=False)
    valid, shape = scene.cube.valid, data.shape[:2]
    top = data[valid][:, bands].max()
    for band in chosen:
        old = data[valid, band]
        if kind == "noise":
            new = old.mean() + old.std() * rng.standard_normal(shape)
            data[..., band] = np.maximum(new, 0)
        else:
            data[..., band] = rng.uniform(0, top, shape)
    bad = np.zeros(data.shape[2], bool)
    bad[chosen] = True
    cube = replace(scene.cube, data=data, scale=1.0, offset=0.0)
    return replace(scene, cube=cube), bad


def pixels_of(scene, normalize="l2"):
    """Return spectra of the valid pixels (n, bands), of unit norm, and their norms."""
    Y = scene.cube.spectra()
    norms = np.linalg.norm(Y, axis=1) if normalize == "l2" else np.ones(len(Y))
    return Y / norms[:, None], norms


def score(scene, endmembers, abundances, bands=slice(None)):
    """Return SAD on some bands (rad), RMSE with that matching, and the least RMSE."""
    if abundances.ndim == 2:
        abundances = scene.cube.to_map(abundances)
    if endmembers.shape[1] != scene.endmembers.shape[1]:
        endmembers = scene.cube.to_bands(endmembers)
    found, truth = endmembers[:, bands], scene.endmembers[:, bands]
    order = metrics.match_endmembers(found, truth)
    rmse = metrics.abundance_rmse(abundances, scene.abundances, order=order)
    least = metrics.abundance_rmse(abundances, scene.abundances)
    return metrics.spectral_angle(found, truth), rmse, least


def cpu_seconds(run):
    """Return what a call gives and its CPU seconds, which other users do not change."""
    start = time.process_time()
    result = run()
    return result, time.process_time() - start


def spread(values):
    """Mean, deviation and worst of errors in one cell of a table; "" for NaN."""
    values = [float(value) for value in values]
    if any(map(math.isnan, values)):
        return ""
    deviation = statistics.stdev(values) if len(values) > 1 else 0.0
    return f"{statistics.fmean(values):.4f} ± {deviation:.4f} ({max(values):.4f})"


def row(*cells):
    """Print a line of a Markdown table, at once."""
    print("| " + " | ".join(str(cell) for cell in cells) + " |", flush=True)


def header(title, *cells):
    """Print a table's title and head."""
    print(f"\n### {title}\n")
    row(*cells)
    row(*("---" for _ in cells))
