"""The radar demonstration: a simulated scan, then measured ones where found."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from sparsesolve import data, plot
from sparsesolve.applications import radar
from sparsesolve.applications.merit import TUMOURS, read_merit
from sparsesolve.applications.results import add_rows, output_folder
from sparsesolve.backends import Array
from sparsesolve.io import load, save
from sparsesolve.operators.grid import Grid
from sparsesolve.scan import RadarScan
from sparsesolve.solution import Solution, Status
from sparsesolve.vtk import write_vti

__all__ = ["COLUMNS", "LEGEND", "image_scan", "phantom_grid", "run"]

COLUMNS = (
    "scan",
    "image",
    "lam",
    "peak_x_mm",
    "peak_y_mm",
    "peak_z_mm",
    "error_mm",
    "off_target_db",
    "side_energy_db",
    "entropy",
    "contrast",
    "seconds",
)


LEGEND = (
    "error: of the peak, from the published centre (simulated: the nearest point); "
    "off target and side energy: outside 15 mm of the targets and of the image's own "
    "peak, relative to inside, lower is better; entropy: lower is sharper; contrast: "
    "higher is sharper"
)


def phantom_grid(spacing: float = 0.0025) -> Grid:
    """Return the inside of the phantoms' hemisphere: 65 of its 70 mm, z upwards.

    The outermost 5 mm are left out, since next to an antenna every echo can be
    explained by a voxel there.
    """
    n = round(0.07 / spacing)
    side = spacing * np.arange(-n, n + 1)
    return Grid(side, side, spacing * np.arange(n + 1)).within(0.065)


def run(
    out: str | Path,
    *,
    seed: int = 0,
    say: Callable[[str], None] = print,
    progress: bool | None = None,
) -> list[dict[str, Any]]:
    """Image a simulated scan and, where found, two measured ones; return the table.

    Everything goes through files: each scan is written to HDF5 and read back.

    Parameters
    ----------
    out : path
        Folder for NAME.h5 (scan), NAME_l1.h5 (solution), NAME.png and metrics.csv.
    seed : int
        Of the simulated scene.
    say : callable
        Takes one line of text at a time.
    progress : bool, optional
        See `sparsesolve.solve`.
    """
    folder = output_folder(out)
    simulation = radar.simulate_scan(seed)
    say("simulated: five points between voxels, 12 x 13 antennas, 4 to 16 GHz")
    rows = _image(
        folder,
        "simulated",
        simulation.scan,
        radar.reference_grid(),
        truth=simulation.positions,
        progress=progress,
    )
    try:
        merit = data.find("merit")
    except FileNotFoundError as error:
        say(f"measured: skipped, {error}")
        return rows
    for name, (center, diameter) in TUMOURS.items():
        say(f"{name}: measured breast phantom, minus its scan rotated by 36 degrees")
        scans = (read_merit(merit, f"{name}_{turn}") for turn in ("p000", "p036"))
        rows += _image(
            folder,
            name,
            radar.subtract(*scans),
            phantom_grid(),
            truth=center,
            truth_diameter=diameter,
            spreading=False,
            progress=progress,
        )
    return rows


def _image(
    folder: Path, name: str, scan: RadarScan, grid: Grid, **options: Any
) -> list[dict[str, Any]]:
    save(folder / f"{name}.h5", scan)
    scan = load(folder / f"{name}.h5", kind="near_field_mimo").read()
    _, rows = image_scan(folder, name, scan, grid, **options)
    return rows


def image_scan(
    folder: Path,
    name: str,
    scan: RadarScan,
    grid: Grid,
    *,
    truth: Any = None,
    truth_diameter: float | None = None,
    prior: str = "l1",
    form: str = "penalised",
    lam: float | str | None = None,
    noise: float | None = None,
    snr: float | None = None,
    spreading: bool = True,
    vti: bool = False,
    max_iter: int = 500,
    tol: float = 1e-4,
    resume: str | Path | None = None,
    progress: bool | None = None,
) -> tuple[Solution, list[dict[str, Any]]]:
    """Image a scan by back-projection and with a prior; write all that follows.

    NAME_PRIOR.h5 (the solution), NAME.png and three pictures more, and three rows of
    metrics.csv in `folder`; with `vti`, NAME_PRIOR.vti; while it works,
    NAME_PRIOR.checkpoint.h5. Arguments as of `radar.reconstruct` and `plot.volumes`.

    Raises
    ------
    KeyboardInterrupt
        Interrupted; the message says where the checkpoint is and how to go on.
    """
    checkpoint = folder / f"{name}_{prior}.checkpoint.h5"
    started = time.perf_counter()
    first = radar.back_projection(scan, grid)
    rows = [_row(name, "back-projection", "", first, grid, truth, started)]
    beam = radar.restoring_beam(scan, grid)
    started = time.perf_counter()
    solution = radar.reconstruct(
        scan,
        grid,
        prior,
        form=form,
        lam=lam,
        noise=noise,
        snr=snr,
        spreading=spreading,
        max_iter=max_iter,
        tol=tol,
        checkpoint=checkpoint,
        resume=resume,
        progress=progress,
    )
    weight = solution.choices.get("lam", "").partition(",")[0]
    if solution.status is Status.INTERRUPTED:
        again = f"--lam {weight} " if weight else ""
        raise KeyboardInterrupt(
            f"interrupted after {solution.n_iter} iterations; the state is in "
            f"{checkpoint}: repeat the command with {again}--resume {checkpoint} to go "
            "on"
        )
    # the checkpoint goes once all else is written, and the note of it with it
    choices = {k: v for k, v in solution.choices.items() if k != "checkpoint"}
    solution = replace(solution, choices=choices)
    shown = f"{float(weight):.4g}" if weight else ""
    if not np.any(solution.x):
        why = f"lam {shown} is not below lam_max" if weight else "noise explains all"
        raise ValueError(f"the image of {name} is zero everywhere: {why}")
    label = f"λ = {shown}" if weight else f"ε = {choices['epsilon'].partition(';')[0]}"
    restored = radar.restore(solution.x, scan, grid, width=beam)
    for what, x in ((prior, solution.x), (f"{prior}, restored", restored)):
        rows.append(_row(name, f"magnitude-{what}", shown, x, grid, truth, started))
    picture = plot.volumes(
        {
            "back-projection": first,
            f"magnitude-{prior}, {label}": solution.x,
            f"restored, beam {_in_mm(beam)}": restored,
        },
        grid,
        title=_caption(name, scan),
        truth=truth,
        truth_diameter=truth_diameter,
    )
    plot.save(picture, folder / f"{name}.png")
    _details(folder, name, scan, grid, solution, spreading)
    if vti:
        fields = {"reflectivity": solution.x, "restored": restored}
        write_vti(folder / f"{name}_{prior}.vti", fields, grid)
    save(folder / f"{name}_{prior}.h5", solution)
    add_rows(folder / "metrics.csv", rows)
    if solution.converged:
        checkpoint.unlink(missing_ok=True)
    return solution, rows


def _details(
    folder: Path,
    name: str,
    scan: RadarScan,
    grid: Grid,
    solution: Solution,
    spreading: bool,
) -> None:
    """Draw slices through the peak, residuals and convergence."""
    problem = radar.imaging_problem(scan, grid, spreading=spreading)
    pictures = {
        "slices": plot.slices(solution.x, grid, title=_caption(name, scan)),
        "residuals": plot.residuals(problem, solution.x),
        "convergence": plot.convergence(solution),
    }
    for what, picture in pictures.items():
        plot.save(picture, folder / f"{name}_{what}.png")


def _in_mm(widths: tuple[float, float, float]) -> str:
    return " x ".join(f"{1e3 * width:.2g}" for width in widths) + " mm"


def _caption(name: str, scan: RadarScan) -> str:
    n_freq, *channels = scan.data.shape
    return (
        f"{name}: {' x '.join(map(str, channels))} channels, {n_freq} frequencies "
        f"{scan.freq[0] / 1e9:g} to {scan.freq[-1] / 1e9:g} GHz"
    )


def _row(
    scan: str, image: str, lam: str, x: Array, grid: Grid, truth: Any, started: float
) -> dict[str, Any]:
    seconds = time.perf_counter() - started
    numbers = radar.describe_image(x, grid, target=truth)
    return {"scan": scan, "image": image, "lam": lam, **numbers, "seconds": seconds}
