"""The commands of radar: ``sparsesolve demo radar``, and scans in ``reconstruct``."""

from __future__ import annotations

from pathlib import Path

import click

from sparsesolve.cli_options import OUT


@click.command("radar")
@OUT
@click.option("--seed", default=0, show_default=True, help="Seed of the scene.")
def demo_radar(out: Path, seed: int) -> int:
    """Image a simulated scan, and measured breast phantoms where they are found.

    Each scan is written to HDF5 and read back, then imaged by back-projection and by
    magnitude-l1, as it is and with the restoring beam. Writes NAME.png, NAME.h5,
    NAME_l1.h5 and metrics.csv.

    Example: sparsesolve demo radar --out demo-out
    """
    from sparsesolve.applications import radar_demo
    from sparsesolve.applications.results import text_table

    rows = radar_demo.run(out, seed=seed, say=lambda text: click.echo(text, err=True))
    click.echo(text_table(rows, radar_demo.COLUMNS))
    click.echo(radar_demo.LEGEND, err=True)
    click.echo(f"pictures, solutions and metrics.csv are in {out}", err=True)
    return 0


@click.command("near_field_mimo")
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--prior",
    type=click.Choice(["l1", "tv", "l1+tv", "group"]),
    default="l1",
    show_default=True,
    help="On magnitudes, each voxel with its own phase. l1: few voxels reflect; l1+tv: "
    "few, in bodies of even strength; tv: more so; group: blocks of 2 x 2 x 2 voxels.",
)
@OUT
@click.option(
    "--form",
    type=click.Choice(["penalised", "noise-ball"]),
    default="penalised",
    show_default=True,
    help="Add lam times the prior to the misfit, or minimise the prior within the "
    "noise.",
)
@click.option(
    "--lam",
    help="Weight of the prior, or the rule that chooses it: share (half of lam_max), "
    "discrepancy (misfit at the noise), held_out (predicts receivers left out). By "
    "default discrepancy if the noise is known, else held_out, or share where they "
    "cannot be predicted.",
)
@click.option(
    "--noise",
    type=float,
    help="Standard deviation of a complex datum; else the scan's own.",
)
@click.option("--snr", type=float, help="Instead of --noise: echoes over noise, dB.")
@click.option("--speed", type=float, help="Wave speed, m/s; else the scan's own.")
@click.option(
    "--grid",
    metavar="X0:X1,Y0:Y1,Z0:Z1",
    help="Volume, m; else that before a planar array or inside a surrounding one.",
)
@click.option("--spacing", type=float, help="Distance between voxels, m.")
@click.option(
    "--no-spreading",
    is_flag=True,
    help="Leave 1/R² out of the model: for lossy media and antennas close by.",
)
@click.option("--vti", is_flag=True, help="Write NAME_PRIOR.vti too, for ParaView.")
@click.option("--max-iter", default=500, show_default=True, help="Iterations at most.")
@click.option(
    "--tol",
    default=1e-4,
    show_default=True,
    help="Relative change of the image at which to stop.",
)
@click.option(
    "--resume", type=click.Path(path_type=Path), help="Checkpoint to continue from."
)
def reconstruct_radar(
    file: Path,
    prior: str,
    out: Path,
    form: str,
    lam: str | None,
    noise: float | None,
    snr: float | None,
    speed: float | None,
    grid: str | None,
    spacing: float | None,
    no_spreading: bool,
    vti: bool,
    max_iter: int,
    tol: float,
    resume: Path | None,
) -> int:
    """Image the radar scan in FILE: HDF5, or IEEE DataPort's layout in .mat.

    Writes NAME_PRIOR.h5 (the solution), NAME.png (beside back-projection),
    NAME_slices.png, NAME_residuals.png, NAME_convergence.png and a line of
    metrics.csv.

    Example, after the demo: sparsesolve reconstruct demo-out/simulated.h5
    --prior l1 --grid=-0.1:0.1,-0.1:0.1,0.4:0.6 --out images
    """
    from dataclasses import replace

    from sparsesolve.applications import radar, radar_demo
    from sparsesolve.applications.results import output_folder, text_table
    from sparsesolve.io import load

    if file.suffix == ".mat":
        scan = radar.from_dataport(file)
    else:
        scan = load(file, kind="near_field_mimo").read()
    scan = scan if speed is None else replace(scan, speed=speed)
    center, extent = (None, None) if grid is None else _box(grid)
    voxels = radar.scene_grid(scan, center=center, extent=extent, spacing=spacing)
    folder = output_folder(out)
    click.echo(f"{scan!r} on {voxels!r}", err=True)
    solution, rows = radar_demo.image_scan(
        folder,
        file.stem,
        scan,
        voxels,
        prior=prior,
        form=form.replace("-", "_"),
        lam=_weight(lam),
        noise=noise,
        snr=snr,
        spreading=not no_spreading,
        vti=vti,
        max_iter=max_iter,
        tol=tol,
        resume=resume,
    )
    click.echo(repr(solution), err=True)
    for name, why in solution.choices.items():
        click.echo(f"  {name}: {why}", err=True)
    click.echo(text_table(rows, radar_demo.COLUMNS))
    return 0


def _box(text: str) -> tuple[list[float], list[float]]:
    """Return centre and extent of a box written X0:X1,Y0:Y1,Z0:Z1."""
    try:
        sides = [tuple(map(float, side.split(":"))) for side in text.split(",")]
        (x, y, z) = [(low, high) for low, high in sides if low <= high]
    except ValueError:
        raise ValueError(
            f"--grid is {text!r}; wanted X0:X1,Y0:Y1,Z0:Z1 in m, lower ends first, "
            "such as --grid=-0.1:0.1,-0.1:0.1,0.4:0.6"
        ) from None
    return [sum(side) / 2 for side in (x, y, z)], [b - a for a, b in (x, y, z)]


def _weight(text: str | None) -> float | str | None:
    if text is None:
        return None
    try:
        return float(text)
    except ValueError:
        return text
