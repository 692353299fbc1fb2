"""A spectral library instead of unknown endmembers: which of its spectra are here.

Twelve spectra, every 2 nm, of which the scene holds four; maps for QGIS.
"""

import sys
from pathlib import Path

import numpy as np

from sparsesolve.applications.unmixing import (
    SpectralLibrary,
    resample,
    save_envi,
    screened,
    sunsal,
    unmixing_scene,
)

out = Path(sys.argv[1] if len(sys.argv) > 1 else ".")
scene = unmixing_scene(rows=40, cols=40, variability=0.0)
cube = screened(scene.cube)  # what is noise would count as much as the rest

nm = np.arange(390.0, 2512.0, 2.0)
known = [np.interp(nm, cube.wavelengths, e) for e in scene.endmembers]
others = [0.3 + 0.2 * np.sin(nm / (60 + 25 * k) + k) for k in range(8)]
names = [*scene.names, *(f"other {k + 1}" for k in range(8))]
library = resample(SpectralLibrary([*known, *others], nm, names), cube)
print(library)

found = sunsal(cube, library)
print("lam:", found.solution.choices["lam"])
shares = np.nanmean(found.abundances, axis=(0, 1))
for name, share in zip(names[:4], shares, strict=False):
    print(f"{name:12}{100 * share:5.1f} %")
print(f"eight that are absent: {100 * shares[4:].sum():.1f} % together")
save_envi(out / "unmixing_with_library.hdr", found.abundances, cube, names=names)
