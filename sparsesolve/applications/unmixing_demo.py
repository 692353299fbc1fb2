"""The unmixing demonstration: a generated scene, then real ones where found."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from sparsesolve import data
from sparsesolve.applications.results import output_folder
from sparsesolve.applications.unmixing_folder import unmix_into
from sparsesolve.applications.unmixing_scene import unmixing_scene
from sparsesolve.applications.unmixing_truth import (
    UnmixingTruth,
    read_truth,
    save_truth,
)
from sparsesolve.io import load, save

__all__ = ["run"]

SCENES = "samson", "jasper_ridge"


def run(
    out: str | Path,
    *,
    seed: int = 0,
    say: Callable[[str], None] = print,
    progress: bool | None = None,
) -> list[dict[str, Any]]:
    """Unmix a generated scene and, where found, two real ones; return the table.

    The generated scene goes through a file: it is written to HDF5 and read back. All
    scenes are unmixed as published tables have them, with pixels of unit norm, and
    compared with their truths.

    Parameters
    ----------
    out : path
        Folder for generated.h5 and generated_truth.npz, for metrics.csv, and for what
        `unmixing_report.write_report` writes of each scene.
    seed : int
        Of the generated scene, and of the random starts.
    say : callable
        Takes one line of text at a time.
    progress : bool, optional
        See `sparsesolve.solve`.
    """
    folder = output_folder(out)
    scene = unmixing_scene(seed)
    save(folder / "generated.h5", scene.cube)
    truth = UnmixingTruth(scene.names, scene.endmembers, scene.abundances)
    save_truth(folder / "generated_truth.npz", truth)
    cube = load(folder / "generated.h5", kind="hyperspectral")
    truth = read_truth(folder / "generated_truth.npz", cube)
    scenes = {"generated": (cube, truth)}
    for name in SCENES:
        try:
            place = data.find(name)
        except FileNotFoundError as error:
            say(f"{name}: skipped, {error}")
            continue
        cube = load(place, kind="hyperspectral")
        scenes[name] = cube, read_truth(place, cube)
    rows = []
    for name, (cube, truth) in scenes.items():
        say(f"{name}: {cube!r}")
        _, row = unmix_into(
            folder,
            name,
            cube,
            len(truth.endmembers),
            normalize="l2",
            seed=seed,
            truth=truth,
            bad_bands=scene.bad_bands if name == "generated" else None,
            say=say,
            progress=progress,
        )
        rows.append(row)
    return rows
