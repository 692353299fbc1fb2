"""A command whose options and work follow from the kind of the file it is given."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click


class ByKind(click.Command):
    """One command for files of several kinds, each of which has a command of its own.

    Parameters
    ----------
    name, help : str
        Of the whole command.
    kinds : dict of str to click.Command
        What runs for each kind. All take an argument FILE; their options may differ,
        and those of the same name may have other choices and defaults.
    suffixes : dict of str to str
        Kinds of files in other formats, by the ending of the name.
    """

    def __init__(
        self,
        name: str,
        help: str,
        kinds: Mapping[str, click.Command],
        suffixes: Mapping[str, str],
    ) -> None:
        params = {p.name: p for command in kinds.values() for p in command.params}
        super().__init__(name, help=help, params=list(params.values()))
        self.kinds, self.suffixes = kinds, suffixes

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        given, _, _ = self.make_parser(ctx).parse_args(list(args))
        # What was not given is None or a mark, by the version of click.
        if given.get("help") is True or not isinstance(given.get("file"), str):
            return super().parse_args(ctx, args)
        kind = self._kind_of(Path(given["file"]))
        command = self.kinds[kind]
        try:
            ctx.obj = command.make_context(self.name, list(args), parent=ctx.parent)
        except click.UsageError as error:
            taken = ", ".join(p.opts[0] for p in command.params if p.opts[0][:1] == "-")
            raise click.UsageError(
                f"{error.format_message().rstrip('.')}; {given['file']} is of kind "
                f"{kind!r}, whose options are {taken}"
            ) from error
        return []

    def invoke(self, ctx: click.Context) -> Any:
        with ctx.obj as chosen:
            return chosen.command.invoke(chosen)

    def format_options(
        self, ctx: click.Context, formatter: click.HelpFormatter
    ) -> None:
        for kind, command in self.kinds.items():
            about = command.get_short_help_str(limit=200)
            with formatter.section(f"Of kind {kind}"):
                formatter.write_text(about)
                records = [p.get_help_record(ctx) for p in command.params]
                formatter.write_dl([r for r in records if r is not None])

    def _kind_of(self, file: Path) -> str:
        if file.suffix in self.suffixes:
            return self.suffixes[file.suffix]
        from sparsesolve.hdf5 import kind_in, open_h5

        with open_h5(file) as opened:
            kind = kind_in(opened)
        if kind not in self.kinds:
            wanted = " or ".join(map(repr, self.kinds))
            raise ValueError(f"{file} is of kind {kind!r}; wanted {wanted}")
        return kind
