"""The table of operators, priors and solvers, made from the classes themselves."""

from __future__ import annotations

import inspect
import re
import textwrap
from types import ModuleType
from typing import Any

from sparsesolve import operators, priors, solvers
from sparsesolve.operators import Operator
from sparsesolve.priors import HierarchicalPrior, Prior
from sparsesolve.solvers.base import Solver

__all__ = ["catalogue"]

_WIDTH = 88


def catalogue() -> str:
    """Return one entry a class: its form, what it needs or has, its reference."""
    sections = [
        ("operators", "y = A x", _classes(operators, Operator)),
        ("priors", "lam · prior(x)", _classes(priors, (Prior, HierarchicalPrior))),
        ("solvers", "argmin loss(A x) + prior(x)", _classes(solvers, Solver)),
    ]
    lines = []
    for name, form, classes in sections:
        lines += [f"{name}: {form}", ""]
        for cls in classes:
            lines += [*_entry(cls), ""]
    return "\n".join(lines).rstrip()


def _classes(module: ModuleType, base: Any) -> list[type]:
    found = (getattr(module, name) for name in module.__all__)
    return [
        cls
        for cls in found
        if inspect.isclass(cls)
        and issubclass(cls, base)
        and not inspect.isabstract(cls)
    ]


def _entry(cls: type) -> list[str]:
    text = inspect.getdoc(cls) or ""
    summary = " ".join(text.split("\n\n", 1)[0].split())
    details = {"": summary, "needs": _needs(cls), "is": _traits(cls)}
    details["reference"] = _reference(text)
    lines = [cls.__name__]
    for name, detail in details.items():
        label = f"{name}: " if name else ""
        if detail:
            lines += textwrap.wrap(
                label + detail,
                _WIDTH,
                initial_indent="    ",
                subsequent_indent="      ",
            )
    return lines


def _needs(cls: type) -> str:
    return ", ".join(need.what for need in getattr(cls, "needs", ()))


def _traits(cls: type) -> str:
    if issubclass(cls, HierarchicalPrior):
        return "hierarchical: variances are inferred from the data"
    if not issubclass(cls, Prior):
        return ""
    names = {"convex": cls.convex, "separable": cls.separable}
    traits = [name if has is True else f"not {name}" for name, has in names.items()]
    return ", ".join(traits)


def _reference(text: str) -> str:
    """Return the first reference of a numpydoc docstring."""
    found = re.search(r"^References\n-+\n(.+?)(?:\n\n|\Z)", text, re.M | re.S)
    return " ".join(found.group(1).split()) if found else ""
