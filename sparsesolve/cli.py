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

from sparsesolve.cli_by_kind import ByKind
from sparsesolve.cli_channel import demo_channel, reconstruct_channel
from sparsesolve.cli_radar import demo_radar, reconstruct_radar
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

    def end(*_: object) -> None:
        # as it is in jobs that a script starts with "&"
        if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
            raise KeyboardInterrupt(
                "ended by SIGTERM at once, as SIGINT is ignored; a checkpoint that was "
                "written before is kept"
            )
        signal.raise_signal(signal.SIGINT)

    before = signal.signal(signal.SIGTERM, end)
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


for command in (demo_radar, demo_unmixing, demo_channel):
    demo.add_command(command)
cli.add_command(unmix)
cli.add_command(
    ByKind(
        "reconstruct",
        """Find the unknown behind the measurement in FILE, by its kind.

        Example, after the demos: sparsesolve reconstruct demo-out/simulated.h5
        --prior l1 --grid=-0.1:0.1,-0.1:0.1,0.4:0.6 --out images; or sparsesolve
        reconstruct demo-out/uplink.h5 --out channels
        """,
        {"near_field_mimo": reconstruct_radar, "kronecker": reconstruct_channel},
        {".mat": "near_field_mimo"},
    )
)


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
