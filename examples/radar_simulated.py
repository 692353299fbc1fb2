"""A letter seen by a near-field MIMO array: images of it, and their numbers.

The scatterers lie between the voxels, on a grid twice finer, so that no image is tested
with the model that made its data.
"""

import sys
from pathlib import Path

import sparsesolve as ss
from sparsesolve.applications import radar

out = Path(sys.argv[1] if len(sys.argv) > 1 else ".")
out.mkdir(parents=True, exist_ok=True)
simulation = radar.simulate_scan(3, scene="letters", n_freq=15, snr_db=30)
scan, grid = simulation.scan, radar.reference_grid()
print(radar.design(scan.tx, scan.rx, scan.freq, grid=grid))

images = {
    "back-projection": radar.back_projection(scan, grid),
    "Kirchhoff": radar.kirchhoff(scan, grid),
}
for prior in ("l1", "l1+tv"):
    solution = radar.reconstruct(scan, grid, prior)
    print(solution, "lam:", solution.choices["lam"], sep="\n")
    images[f"magnitude-{prior}"] = solution.x
    images[f"{prior}, restored"] = radar.restore(solution.x, scan, grid)

truth = simulation.truth(grid)
for name, x in images.items():
    psnr = ss.metrics.psnr(x, truth, scale="fit")
    print(f"{name:16} PSNR {psnr:5.1f} dB, SSIM {ss.metrics.ssim(x, truth):.3f}")
figure = ss.plot.volumes({"truth": truth, **images}, grid)
ss.plot.save(figure, out / "radar_simulated.png")
ss.vtk.write_vti(out / "radar_simulated.vti", images, grid)
