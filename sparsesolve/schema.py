"""What a file says of itself: its kind, and the columns of each kind.

A kind of record is a frozen dataclass whose fields carry `column` metadata, and one
line in `KINDS`; reading, writing, checks of units and foreign mappings follow from it.
"""

from __future__ import annotations

import dataclasses
import difflib
import importlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

SCHEMA = 1
"""Version of the layout, the root attribute ``sparsesolve_schema``."""

KINDS: dict[str, str] = {
    "hyperspectral": "sparsesolve.cube:HyperspectralCube",
    "kronecker": "sparsesolve.kronecker_measurement:KroneckerMeasurement",
    "near_field_mimo": "sparsesolve.scan:RadarScan",
    "solution": "sparsesolve.solution:Solution",
    "unmixing": "sparsesolve.applications.unmixing_run:Unmixing",
}
"""Kind to ``"module:Class"``, imported when met. A kind of your own is one entry.

The class is a dataclass with `column` metadata on every field that a file shall hold,
and a method ``in_convention()`` that returns the record as the library wants it after
reading.
"""


@dataclass(frozen=True)
class Column:
    """One field of a record: its unit, axes, and what may be done with it."""

    name: str
    units: tuple[str, ...]
    layouts: tuple[tuple[str, ...], ...]
    missing: str | None
    may_stay_in_file: bool
    text: bool
    many: bool
    required: bool

    @property
    def any_axes(self) -> bool:
        """Whether a layout allows any number of axes."""
        return any(_repeats(names) for names in self.layouts)

    def layouts_of(self, n_axes: int) -> list[tuple[str, ...]]:
        """List the names of the axes of an array that has `n_axes` of them."""
        found = []
        for names in self.layouts:
            if _repeats(names):
                n = n_axes - len(names) + 1
                names = (*(f"{names[0][:-1]}{k}" for k in range(n)), *names[1:])
            if len(names) == n_axes:
                found.append(names)
        return found

    def __str__(self) -> str:
        layouts = " or ".join(f"({', '.join(names)})" for names in self.layouts)
        scalar = self.layouts == ((),)
        each = "several " if self.many else ""
        return f"{self.name} [{self.units[0]}]" + (
            "" if scalar else f" {each}{layouts}"
        )


def column(
    units: str,
    *layouts: str,
    missing: str | None = None,
    may_stay_in_file: bool = False,
    text: bool = False,
    many: bool = False,
) -> Mapping[str, Any]:
    """Return the metadata of a record's field.

    Parameters
    ----------
    units : str
        Units of the file, SI, separated by spaces; the first one is written.
    *layouts : str
        Names of the axes, separated by spaces; several if several are allowed; empty
        for a number. A first name that ends in ``*``, such as ``mode*``, stands for
        any number of axes: mode0, mode1, ...
    missing : str or None
        The field that marks, with False, entries that hold a foreign file's fill value.
    may_stay_in_file : bool
        Whether a large array is left in the file as a `LazyArray`.
    text : bool
        Whether it is words; a mapping gives them as they are.
    many : bool
        Whether it is a tuple of such arrays, of shapes of their own; in a file the
        datasets 0, 1, ... of a group.
    """
    return MappingProxyType(
        {
            "units": tuple(units.split()),
            "layouts": tuple(tuple(names.split()) for names in layouts),
            "missing": missing,
            "may_stay_in_file": may_stay_in_file,
            "text": text,
            "many": many,
        }
    )


def _repeats(names: tuple[str, ...]) -> bool:
    return bool(names) and names[0].endswith("*")


def columns(cls: type) -> list[Column]:
    """List the columns of a record's class, in the order of its fields.

    Fields without metadata never leave memory.
    """
    return [
        Column(
            name=item.name,
            required=item.default is item.default_factory is dataclasses.MISSING,
            **item.metadata,
        )
        for item in dataclasses.fields(cls)
        if item.metadata
    ]


def class_of(kind: str) -> Any:
    """Import the class of a kind.

    Raises
    ------
    ValueError
        No such kind.
    """
    if kind not in KINDS:
        raise ValueError(f"kind is {kind!r}; wanted one of {suggest(kind, KINDS)}")
    module, _, name = KINDS[kind].partition(":")
    return getattr(importlib.import_module(module), name)


def kind_of(cls: type) -> str:
    """Name the kind of a class, or refuse it.

    Raises
    ------
    TypeError
        The class has no entry in `KINDS`.
    """
    place = f"{cls.__module__}:{cls.__qualname__}"
    for kind, known in KINDS.items():
        if known == place:
            return kind
    names = ", ".join(known.partition(":")[2] for known in KINDS.values())
    raise TypeError(
        f"a {cls.__name__} cannot be saved; wanted one of {names} (another class needs "
        "an entry in sparsesolve.schema.KINDS)"
    )


def suggest(name: str, known: Iterable[str]) -> str:
    """List the known names, and the closest one if there is one."""
    names = list(known)
    close = difflib.get_close_matches(name, names, n=1)
    return ", ".join(names) + (f"; did you mean {close[0]!r}?" if close else "")
