"""A monostatic raster of 101 x 101 positions and 51 frequencies to a picture.

Prints seconds of back-projection and of magnitude-ℓ1, and the most memory that the
process held. Wanted: a picture in 60 s on two cores, within 2 GB.
"""

import resource

import numpy as np
from measure import machine, seconds

import sparsesolve as ss
from sparsesolve.applications import radar


def scene(n=101):
    """A bent wire 0.4 m before the raster, 10 dB of signal over noise."""
    side = np.linspace(-0.15, 0.15, n)
    x, y = np.meshgrid(side, side, indexing="ij")
    places = np.stack([x.ravel(), y.ravel(), 0 * x.ravel()], axis=1)
    t = np.linspace(-1, 1, 60)
    wire = np.stack([0.08 * t, 0.05 * np.sin(3 * t), 0.4 + 0.02 * t], axis=1)
    pairs = np.repeat(np.arange(n * n), 2).reshape(-1, 2)
    freq = np.linspace(8e9, 12e9, 51)
    return radar.simulate(
        wire, np.ones(60), places, places, freq, channels=pairs, snr_db=10
    )


def main():
    """Print one line a picture."""
    print(machine("numpy", "numba"))
    scan = scene()
    fine = ss.Grid.box((0, 0, 0.4), (0.2, 0.15, 0.1), (0.005, 0.005, 0.01))
    coarse = ss.Grid.box((0, 0, 0.4), (0.2, 0.15, 0.09), (0.0075, 0.0075, 0.015))
    radar.back_projection(scan, ss.Grid([0.0], [0.0], [0.4]))  # compiles
    spent = seconds(lambda: radar.back_projection(scan, fine))
    print(f"back-projection, {fine!r}: {spent:.1f} s")

    def l1():
        lam = 0.1 * radar.imaging_problem(scan, coarse).lam_max()
        solver = ss.ProximalGradient(backtracking=True)
        return radar.reconstruct(scan, coarse, lam=lam, solver=solver, max_iter=20)

    print(f"magnitude-ℓ1, 20 iterations, {coarse!r}: {seconds(l1):.1f} s")
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"most memory: {most:.2f} GiB")


if __name__ == "__main__":
    main()
