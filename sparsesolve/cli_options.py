"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path

import click

OUT = click.option(
    "--out",
    type=click.Path(path_type=Path),
    required=True,
    help="Folder to write into; made if need be.",
)
