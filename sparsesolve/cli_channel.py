"""The commands of channels: ``sparsesolve demo channel``, and part of `reconstruct`."""

from __future__ import annotations

from pathlib import Path

import click

from sparsesolve.cli_options import OUT


@click.command("channel")
@OUT
@click.option("--seed", default=0, show_default=True, help="Seed of the simulation.")
def demo_channel(out: Path, seed: int) -> int:
    """Estimate a simulated uplink channel, with error bars, beside what others do.

    The measurement is written to HDF5 and read back, then estimated by kronecker-sbl,
    l1, OMP and least squares. Writes uplink.h5, of the first two what `reconstruct`
    writes, and metrics.csv.

    Example: sparsesolve demo channel --out demo-out
    """
    from sparsesolve.applications import channel_demo, channel_report
    from sparsesolve.applications.results import text_table

    rows = channel_demo.run(out, seed=seed, say=_say)
    click.echo(text_table(rows, channel_report.COLUMNS[1:]))
    _say(channel_report.LEGEND)
    _say(f"pictures, solutions and metrics.csv are in {out}")
    return 0


@click.command("kronecker")
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--prior",
    type=click.Choice(["kronecker-sbl", "sbl", "l1"]),
    default="kronecker-sbl",
    show_default=True,
    help="kronecker-sbl: few atoms of each mode, with error bars; sbl: any few "
    "entries, with error bars; l1: any few entries, by the sum of magnitudes.",
)
@OUT
@click.option(
    "--noise-variance",
    type=float,
    help="E|n|² of an entry of the data; else the file's own, else it is learned.",
)
@click.option(
    "--lam",
    type=float,
    help="Weight of l1; by default the misfit is at the noise, or, where that is "
    "unknown, data left out are best predicted.",
)
@click.option("--max-iter", default=1000, show_default=True, help="Iterations at most.")
@click.option(
    "--tol",
    type=float,
    help="Relative change at which to stop; by default the solver's own.",
)
@click.option(
    "--resume", type=click.Path(path_type=Path), help="Checkpoint to continue from."
)
def reconstruct_channel(
    file: Path,
    prior: str,
    out: Path,
    noise_variance: float | None,
    lam: float | None,
    max_iter: int,
    tol: float | None,
    resume: Path | None,
) -> int:
    """Estimate the coefficients, and the channel, of a Kronecker measurement.

    Writes NAME_PRIOR.h5 (the solution), NAME_PRIOR.png (|x| with intervals),
    NAME_PRIOR_channel.png, NAME_PRIOR_convergence.png and a line of metrics.csv.

    Example, after the demo: sparsesolve reconstruct demo-out/uplink.h5 --out channels
    """
    from sparsesolve.applications import channel_report
    from sparsesolve.applications.results import output_folder, text_table
    from sparsesolve.io import load

    measurement = load(file, kind="kronecker")
    folder = output_folder(out)
    _say(repr(measurement))
    estimate, row = channel_report.estimate_into(
        folder,
        file.stem,
        measurement,
        prior=prior,
        noise_variance=noise_variance,
        lam=lam,
        max_iter=max_iter,
        tol=tol,
        resume=resume,
    )
    _say(repr(estimate))
    for name, why in estimate.solution.choices.items():
        _say(f"  {name}: {why}")
    click.echo(text_table([row], channel_report.COLUMNS))
    return 0


def _say(text: str) -> None:
    click.echo(text, err=True)
