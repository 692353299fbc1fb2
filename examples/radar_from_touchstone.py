"""From a network analyser's Touchstone files to an image.

The files are written first, one a position, as the analyser would leave them: the
reflection of an antenna that moves over a raster, with a target and without.
"""

import sys
from pathlib import Path

import numpy as np
import skrf

import sparsesolve as ss
from sparsesolve.applications import radar

out = Path(sys.argv[1] if len(sys.argv) > 1 else ".")
out.mkdir(parents=True, exist_ok=True)
side = np.linspace(-0.12, 0.12, 13)  # m
places = [(x, y, 0.0) for x in side for y in side]
freq = np.linspace(6e9, 10e9, 31)  # Hz
pairs = np.repeat(np.arange(169), 2).reshape(-1, 2)
target, echo = [[0.02, -0.03, 0.30]], [1.0]
measured = radar.simulate(target, echo, places, places, freq, channels=pairs).data
own = 0.2 * np.exp(-2j * np.pi * freq * 0.4e-9)[:, None]  # the antenna's own reflection
for name, data in {"target": own + measured, "empty": own + 0 * measured}.items():
    (out / name).mkdir(exist_ok=True)
    for i, s11 in enumerate(data.T):
        network = skrf.Network(f=freq, f_unit="Hz", s=s11[:, None, None])
        network.write_touchstone(f"{i:03d}", dir=out / name)

folders = out / "target", out / "empty"
scans = [radar.from_touchstone(sorted(f.glob("*.s1p")), places) for f in folders]
scan = radar.range_gate(radar.subtract(*scans), near=0.2, far=0.45)  # m
scan.check()
print(*scan.steps, sep="\n")

grid = ss.Grid.box((0, 0, 0.3), (0.2, 0.2, 0.16), 0.01)
solution = radar.reconstruct(scan, grid)
print(solution, radar.describe_image(solution.x, grid, target=target), sep="\n")
ss.plot.save(ss.plot.volume(solution.x, grid, truth=target), out / "touchstone.png")
