"""A measured microwave scan of a breast phantom, imaged with and without a prior.

Needs the MERIT scans; says where to get them if they are not found. A second argument
names another phantom: B0_P5, or B10E_P3 and B10E_P5, whose tissue is not homogeneous
and whose tumours nobody published the places of.
"""

import sys
from pathlib import Path

import sparsesolve as ss
from sparsesolve.applications import radar

out = Path(sys.argv[1] if len(sys.argv) > 1 else ".")
out.mkdir(parents=True, exist_ok=True)
name = sys.argv[2] if len(sys.argv) > 2 else "B0_P3"
folder = ss.data.find("merit")
# The same phantom turned by 36 degrees: the difference is free of antenna coupling and
# skin, but holds a negative copy of the tumour, turned about the z axis.
turns = (radar.read_merit(folder, f"{name}_{turn}") for turn in ("p000", "p036"))
scan = radar.subtract(*turns)
grid = radar.scene_grid(scan, spacing=0.004)  # m
print(scan, grid, sep="\n")

# A lossy medium and antennas close by: amplitudes tell little of distances.
solution = radar.reconstruct(scan, grid, spreading=False)
print(solution, "lam:", solution.choices["lam"], sep="\n")

position, diameter = radar.TUMOURS.get(name, (None, None))
images = {"back-projection": radar.back_projection(scan, grid)}
images["magnitude-l1"] = solution.x
for imager, x in images.items():
    print(imager, radar.describe_image(x, grid, target=position))
figure = ss.plot.volumes(images, grid, truth=position, truth_diameter=diameter)
ss.plot.save(figure, out / "radar_breast_phantom.png")
solution.save(out / "radar_breast_phantom.h5")
