"""Bands that are garbage: found by screening, and what they do where they are not.

A tenth of the good bands of a generated scene is replaced by other pixels' values.
"""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np

import sparsesolve as ss
from sparsesolve.applications.unmixing import unmix, unmixing_scene

out = Path(sys.argv[1] if len(sys.argv) > 1 else ".")
rng = np.random.default_rng(0)
scene = unmixing_scene(rows=40, cols=40, noisy_bands=0)
data, good = scene.cube.data.copy(), np.flatnonzero(scene.cube.good_bands)
bad = np.zeros(data.shape[2], bool)
bad[rng.choice(good, good.size // 10, replace=False)] = True
for band in np.flatnonzero(bad):
    data[:, :, band] = rng.permutation(data[:, :, band].ravel()).reshape(data.shape[:2])
cube = replace(scene.cube, data=data)

judged = scene.cube.good_bands & ~bad  # angles on the bands that hold something
for method in ("robust", "nmf"):
    for screen in (True, False):
        found = unmix(cube, 4, method=method, normalize="l2", screen=screen)
        pair = found.endmembers[:, judged], scene.endmembers[:, judged]
        sad = ss.metrics.spectral_angle(*pair)
        print(f"{method}, {'screened' if screen else 'not screened'}: SAD {sad:.3f}")
        if method == "robust" and screen:
            flagged = found.flagged
            weights = ss.plot.band_weights(found.band_weights, cube.wavelengths, bad)
            ss.plot.save(weights, out / "unmixing_outlier_bands.png")
print(f"screening: F1 {ss.metrics.band_detection(flagged, bad).f1:.2f}")
