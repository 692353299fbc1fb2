"""Jasper Ridge: trees, water, dirt and road, found without being told, and judged.

Needs the scene; says where to get it if it is not found.
"""

import sys
from pathlib import Path

import sparsesolve as ss
from sparsesolve.applications.unmixing import read_truth, unmix

out = Path(sys.argv[1] if len(sys.argv) > 1 else ".")
try:
    scene = ss.data.find("jasper_ridge")
except FileNotFoundError as error:
    sys.exit(f"Jasper Ridge is not here: {error}")
cube = ss.load(scene, kind="hyperspectral")
truth = read_truth(scene, cube)  # pixels in MATLAB's order, column after column
print(cube)

# Published tables take pixels and endmembers of unit norm; so must who compares.
found = unmix(cube, len(truth.names), normalize="l2")
print(found, found.choices["lam"], sep="\nlam: ")

order = ss.metrics.match_endmembers(found.endmembers, truth.endmembers)
angles = ss.metrics.spectral_angles(found.endmembers, truth.endmembers)
for name, angle in zip(truth.names, angles, strict=True):
    print(f"{name}: {angle:.4f} rad")
rmse = ss.metrics.abundance_rmse(found.abundances, truth.abundances, order=order)
print(f"SAD {angles.mean():.4f} rad, RMSE {rmse:.4f}")

maps = found.abundances
figure = ss.plot.abundances(maps, truth.names, truth.abundances, order=order)
ss.plot.save(figure, out / "unmixing_jasper.png")
