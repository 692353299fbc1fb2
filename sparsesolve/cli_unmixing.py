"""The commands of unmixing: ``sparsesolve unmix`` and ``sparsesolve demo unmixing``."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import click

from sparsesolve.cli_options import OUT

# The words of `unmix`, written out: importing them would load SciPy for every --help.
METHODS = (
    *("robust", "nmf", "l1/2-nmf", "data-guided-nmf", "l2,1-nmf"),
    *("archetypes", "vca", "nfindr", "spa", "sisal"),
)


@click.command("unmixing")
@OUT
@click.option("--seed", default=0, show_default=True, help="Of scene and starts.")
def demo_unmixing(out: Path, seed: int) -> int:
    """Unmix a generated scene, and Samson and Jasper Ridge where they are found.

    The generated scene is written to HDF5 and read back; all are unmixed with pixels of
    unit norm and compared with their truths. Writes of each scene what `unmix` writes,
    and metrics.csv.

    Example: sparsesolve demo unmixing --out demo-out
    """
    from sparsesolve.applications import unmixing_demo, unmixing_report
    from sparsesolve.applications.results import text_table

    rows = unmixing_demo.run(out, seed=seed, say=_say)
    click.echo(text_table(rows, unmixing_report.COLUMNS))
    _say(unmixing_report.LEGEND)
    _say(f"maps, pictures, solutions and metrics.csv are in {out}")
    return 0


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "-p",
    "--endmembers",
    "count",
    type=int,
    help="Number of endmembers; --elbow helps to find it.",
)
@OUT
@click.option(
    "--method",
    type=click.Choice(METHODS),
    default="robust",
    show_default=True,
    help="robust: the default of the library; NMF and its kin; or endmembers by "
    "archetypes, vca, nfindr, spa or sisal, and abundances by least squares.",
)
@click.option(
    "--normalize",
    type=click.Choice(["none", "l2"]),
    default="none",
    show_default=True,
    help="l2: pixels of unit norm. Shade makes no endmember then, but abundances are "
    "no area fractions.",
)
@click.option("--seed", default=0, show_default=True, help="Of the random starts.")
@click.option("--no-screen", is_flag=True, help="Keep bands that look like noise.")
@click.option(
    "--library",
    type=click.Path(path_type=Path),
    help="Instead of -p: known spectra (.sli, .mat), of which SUnSAL finds a few.",
)
@click.option(
    "--elbow",
    is_flag=True,
    help="Instead of -p: draw how the error falls with the number of endmembers.",
)
@click.option(
    "--no-resume",
    is_flag=True,
    help="Begin anew where an interrupted run left tiles of a large image.",
)
@click.option(
    "--truth",
    type=click.Path(path_type=Path),
    help="Compare with the endmembers and abundances in this .mat or .npz.",
)
def unmix(
    file: Path,
    count: int | None,
    out: Path,
    method: str,
    normalize: str,
    seed: int,
    no_screen: bool,
    library: Path | None,
    elbow: bool,
    no_resume: bool,
    truth: Path | None,
) -> int:
    """Unmix the hyperspectral image in FILE: ENVI, GeoTIFF, HDF5, or .mat.

    Writes NAME_unmixing.h5 (endmembers, abundances, solution), NAME_abundances.hdr and
    .img (ENVI) and .tif, which overlay the image in QGIS; NAME.png and pictures of
    spectra, bands, guide, error and convergence; and a line of metrics.csv.

    Example: sparsesolve unmix scene.hdr -p 4 --out maps
    """
    from sparsesolve.applications import unmixing_folder, unmixing_report
    from sparsesolve.applications.results import output_folder, text_table
    from sparsesolve.applications.unmixing_truth import read_truth
    from sparsesolve.io import load

    _check_task(file, count, library, elbow, truth)
    cube = load(file, kind="hyperspectral")
    for line in (repr(cube), *cube.steps):
        _say(line)
    place = output_folder(out), file.stem, cube
    scale = None if normalize == "none" else normalize
    if elbow:
        rows = unmixing_folder.elbow_into(
            *place, normalize=scale, seed=seed, screen=not no_screen
        )
        click.echo(text_table(rows, list(rows[0])))
        _say(_HOW_TO_READ)
        return 0
    if library is not None:
        row = unmixing_folder.sunsal_into(
            *place, library, screen=not no_screen, say=_say
        )
        click.echo(text_table([row], unmixing_report.COLUMNS))
        return 0
    found, row = unmixing_folder.unmix_into(
        *place,
        cast(int, count),  # one of the three tasks was given
        method=method,
        normalize=scale,
        seed=seed,
        screen=not no_screen,
        resume=not no_resume,
        truth=None if truth is None else read_truth(truth, cube),
        say=_say,
    )
    _say(repr(found))
    for what, why in found.choices.items():
        _say(f"  {what}: {why}")
    click.echo(text_table([row], unmixing_report.COLUMNS))
    return 0


_HOW_TO_READ = (
    "take the number after which the error hardly falls; HFC's estimate counts the "
    "variability within materials too, and often is too large"
)


def _check_task(
    file: Path, count: int | None, library: Path | None, elbow: bool, truth: Any
) -> None:
    given = sum([count is not None, library is not None, elbow])
    if given > 1:
        raise ValueError("-p, --library and --elbow are three tasks; give one of them")
    if not given:
        raise ValueError(
            "-p, the number of endmembers, is missing; to find it, run sparsesolve "
            f"unmix {file} --elbow --out DIR and take where the curve bends"
        )
    if truth is not None and count is None:
        raise ValueError("--truth is compared with what -p finds; leave it out")


def _say(text: str) -> None:
    click.echo(text, err=True)
