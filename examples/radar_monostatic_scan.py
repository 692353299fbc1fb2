"""One antenna moved over a raster of 101 x 101 places: an image in a minute.

The second argument makes the raster smaller. With such an aperture the waves are
computed as they are needed; their tables would take gigabytes.
"""

import sys
from pathlib import Path

import numpy as np

import sparsesolve as ss
from sparsesolve.applications import radar

out = Path(sys.argv[1] if len(sys.argv) > 1 else ".")
out.mkdir(parents=True, exist_ok=True)
n = int(sys.argv[2]) if len(sys.argv) > 2 else 101
side = np.linspace(-0.15, 0.15, n)  # m
x, y = np.meshgrid(side, side, indexing="ij")
places = np.stack([x.ravel(), y.ravel(), 0 * x.ravel()], axis=1)
freq = np.linspace(8e9, 12e9, 51)  # Hz

# Points along a bent wire, 0.4 m before the antenna's plane.
t = np.linspace(-1, 1, 60)
wire = np.stack([0.08 * t, 0.05 * np.sin(3 * t), 0.4 + 0.02 * t], axis=1)
pairs = np.repeat(np.arange(n * n), 2).reshape(-1, 2)
scan = radar.simulate(
    wire, np.ones(60), places, places, freq, channels=pairs, snr_db=10
)
grid = ss.Grid.box((0, 0, 0.4), (0.2, 0.14, 0.09), (0.0075, 0.0075, 0.015))
print(scan, grid, sep="\n")

# A tenth of the weight at which the image vanishes: one solve instead of a search. The
# step by backtracking: the norm of A would cost as much as the image.
lam = 0.1 * radar.imaging_problem(scan, grid).lam_max()
solver = ss.ProximalGradient(backtracking=True)
solution = radar.reconstruct(scan, grid, lam=lam, solver=solver, max_iter=20)
images = {"back-projection": radar.back_projection(scan, grid), "l1": solution.x}
print(solution, *(radar.describe_image(i, grid) for i in images.values()), sep="\n")
ss.plot.save(ss.plot.volumes(images, grid), out / "radar_monostatic_scan.png")
