"""The command line: ``sparsesolve demo | reconstruct | unmix | info | list | data``.

Exit codes: 0 done; 2 bad input, with one readable line; 130 interrupted (Ctrl-C or
SIGTERM), with the checkpoint's path. Everything heavy loads inside the commands, so
that ``--help`` is quick.
"""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from sparsesolve.cli_options import OUT
from sparsesolve.cli_unmixing import demo_unmixing, unmix

BAD_INPUT = 2
INTERRUPTED = 130

# What bad input raises anywhere in the library; anything else is a bug and is shown
# with its traceback.
_ERRORS = (
    *(ValueError, TypeError, OSError, MemoryError, FloatingPointError),
    ImportError,  # of a package that is optional
)


def main(arguments: list[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    try:
        with _sigterm_as_interrupt(), _short_warnings():
            return cli(arguments, "sparsesolve", standalone_mode=False) or 0
    except click.ClickException as error:
        return _fail(error.format_message(), error.exit_code)
    except (KeyboardInterrupt, click.Abort) as error:
        # click turns the interrupt of a command into an Abort that it caused
        message = str(error.__cause__ or error) or "interrupted; nothing was kept"
        return _fail(message, INTERRUPTED)
    except _ERRORS as error:
        return _fail(str(error) or type(error).__name__, BAD_INPUT)


def _fail(message: str, code: int) -> int:
    print(f"sparsesolve: {' '.join(message.split())}", file=sys.stderr)
    return code


@contextlib.contextmanager
def _sigterm_as_interrupt() -> Iterator[None]:
    """Let SIGTERM do what Ctrl-C does: end after this iteration and keep the state."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(
        signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT)
    )
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextlib.contextmanager
def _short_warnings() -> Iterator[None]:
    """Show a warning as one line, without the place in the code it came from."""
    with warnings.catch_warnings():
        warnings.simplefilter("once")
        warnings.showwarning = lambda message, *_: click.echo(
            f"sparsesolve: warning: {message}", err=True
        )
        yield


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="sparsesolve")
def cli() -> None:
    """Inverse problems: operator x prior x solver.

    Example: sparsesolve demo radar --out demo-out
    """


@cli.group()
def demo() -> None:
    """Run an application from data to pictures and numbers.

    Example: sparsesolve demo radar --out demo-out
    """


demo.add_command(demo_unmixing)
cli.add_command(unmix)


@demo.command("radar")
@OUT
@click.option("--seed", default=0, show_default=True, help="Seed of the scene.")
def demo_radar(out: Path, seed: int) -> int:
    """Image a simulated scan, and measured breast phantoms where they are found.

    Each scan is written to HDF5 and read back, then imaged by back-projection and by
    magnitude-l1. Writes NAME.png, NAME.h5, NAME_l1.h5 and metrics.csv.

    Example: sparsesolve demo radar --out demo-out
    """
    from sparsesolve.applications import radar_demo
    from sparsesolve.applications.results import text_table

    rows = radar_demo.run(out, seed=seed, say=lambda text: click.echo(text, err=True))
    click.echo(text_table(rows, radar_demo.COLUMNS))
    click.echo(radar_demo.LEGEND, err=True)
    click.echo(f"pictures, solutions and metrics.csv are in {out}", err=True)
    return 0


@cli.command()
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
    "discrepancy (misfit at the noise), held_out. By default discrepancy if the noise "
    "is known, else share.",
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
def reconstruct(
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


@cli.command()
@click.argument("file", type=click.Path(path_type=Path))
def info(file: Path) -> int:
    """Say what is in FILE: HDF5 of this library or another's, ENVI, GeoTIFF.

    Example: sparsesolve info demo-out/simulated.h5
    """
    from sparsesolve.cube_files import cube_reader
    from sparsesolve.hdf5 import contents, open_h5
    from sparsesolve.io import LAZY_BYTES, load
    from sparsesolve.schema import KINDS

    reader = cube_reader(file, None, LAZY_BYTES)
    if reader is not None:
        cube = reader()
        click.echo("\n  ".join([repr(cube), *cube.steps]))
        return 0
    with open_h5(file) as opened:
        kind = opened.attrs.get("kind")
        rows = contents(opened)
    if kind in KINDS:
        found: Any = load(file)
        click.echo(repr(found))
        for name, why in getattr(found, "choices", {}).items():
            click.echo(f"  {name}: {why}")
    else:
        click.echo(f"kind: {kind or 'foreign, with no kind attribute of this library'}")
    for name, shape, dtype, unit in rows:
        click.echo(f"  {name}  {shape}  {dtype}  {unit}".rstrip())
    return 0


@cli.command("list")
def list_parts() -> int:
    """List operators, priors and solvers: form, needs, reference.

    Example: sparsesolve list
    """
    from sparsesolve.catalogue import catalogue

    click.echo(catalogue())
    return 0


@cli.group()
def data() -> None:
    """Find data sets.

    Example: sparsesolve data list
    """


@data.command("list")
def data_list() -> int:
    """List the data sets that are known, and where each was found.

    Example: sparsesolve data list
    """
    from sparsesolve import data as data_sets

    for row in data_sets.table():
        where = row["found"] or f"not found; published at {row['publisher']}"
        click.echo(f"{row['name']:14}{row['title']}")
        click.echo(f"{'':14}licence: {row['licence']}; {where}")
    return 0


@data.command("find")
@click.argument("name")
def data_find(name: str) -> int:
    """Print where the data set NAME is, downloading it if its publisher allows.

    Example: sparsesolve data find merit
    """
    from sparsesolve import data as data_sets

    click.echo(data_sets.find(name))
    return 0


if __name__ == "__main__":
    sys.exit(main())
