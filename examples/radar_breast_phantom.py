"""A measured microwave scan of a breast phantom: its tumour, found and measured.

Needs the MERIT scans; says where to get them if they are not found.
"""

import sys
from pathlib import Path

import sparsesolve as ss
from sparsesolve.applications.merit import TUMOURS, read_merit
from sparsesolve.applications.radar import (
    back_projection,
    describe_image,
    reconstruct,
    subtract,
)
from sparsesolve.applications.radar_grid import scene_grid

out = Path(sys.argv[1] if len(sys.argv) > 1 else ".")
folder = ss.data.find("merit")
# The same phantom turned by 36 degrees: the difference is free of antenna coupling and
# skin, but holds a negative copy of the tumour, turned about the z axis.
scan = subtract(read_merit(folder, "B0_P3_p000"), read_merit(folder, "B0_P3_p036"))
grid = scene_grid(scan, spacing=0.004)  # m
print(scan, grid, sep="\n")

# A lossy medium and antennas close by: amplitudes tell little of distances.
solution = reconstruct(scan, grid, spreading=False)
print(solution, "lam:", solution.choices["lam"], sep="\n")

position, diameter = TUMOURS["B0_P3"]
images = {"back-projection": back_projection(scan, grid), "magnitude-l1": solution.x}
for name, x in images.items():
    print(name, describe_image(x, grid, target=position))
figure = ss.plot.volumes(images, grid, truth=position, truth_diameter=diameter)
ss.plot.save(figure, out / "radar_breast_phantom.png")
solution.save(out / "radar_breast_phantom.h5")
