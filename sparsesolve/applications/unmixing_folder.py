"""From a cube to a folder of results: what the command line and the demo run."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sparsesolve import plot
from sparsesolve.applications.unmixing_dimension import elbow, hfc
from sparsesolve.applications.unmixing_library import resample
from sparsesolve.applications.unmixing_library_files import load_library
from sparsesolve.applications.unmixing_noise import screened
from sparsesolve.applications.unmixing_report import write_library_report, write_report
from sparsesolve.applications.unmixing_run import Unmixing
from sparsesolve.applications.unmixing_sample import SAMPLE, draw_sample
from sparsesolve.applications.unmixing_sunsal import sunsal
from sparsesolve.applications.unmixing_tiles import unmix_file
from sparsesolve.applications.unmixing_truth import UnmixingTruth
from sparsesolve.cube import TILE_BYTES, HyperspectralCube
from sparsesolve.solution import Status

__all__ = ["elbow_into", "sunsal_into", "unmix_into"]

Say = Callable[[str], None]
Row = dict[str, Any]


def unmix_into(
    folder: Path,
    name: str,
    cube: HyperspectralCube,
    n_endmembers: int,
    *,
    method: str = "robust",
    normalize: str | None = None,
    seed: int = 0,
    screen: bool = True,
    resume: bool = True,
    truth: UnmixingTruth | None = None,
    bad_bands: NDArray[np.bool_] | None = None,
    say: Say = print,
    progress: bool | None = None,
) -> tuple[Unmixing, Row]:
    """Unmix a cube and write all that follows; return it and its row of metrics.csv.

    Into NAME_unmixing.h5, and what `write_report` writes. Arguments as of `unmix_file`
    and `write_report`.

    Raises
    ------
    ValueError
        Also a truth of more endmembers than are looked for.
    KeyboardInterrupt
        Interrupted; of a large cube the tiles that are done were kept.
    """
    if truth is not None and len(truth.endmembers) > n_endmembers > 0:
        raise ValueError(
            f"n_endmembers is {n_endmembers}, but the truth has "
            f"{len(truth.endmembers)}; wanted at least as many, to compare them"
        )
    started = time.perf_counter()
    found = unmix_file(
        cube,
        n_endmembers,
        folder / f"{name}_unmixing.h5",
        method=method,
        normalize=normalize,
        rng=seed,
        screen=screen,
        resume=resume,
        progress=progress,
    )
    seconds = time.perf_counter() - started
    row = write_report(
        folder,
        name,
        cube,
        found,
        truth=truth,
        bad_bands=bad_bands,
        seconds=seconds,
        say=say,
    )
    return found, row


def sunsal_into(
    folder: Path,
    name: str,
    cube: HyperspectralCube,
    library: Path,
    *,
    screen: bool = True,
    say: Say = print,
    progress: bool | None = None,
) -> Row:
    """Unmix a cube with the spectra of a library file; return the row.

    Arguments and errors as of `unmix_into`, `load_library` and `resample`.
    """
    n_good = cube.n_good
    cube = screened(cube) if screen else cube
    known = resample(load_library(library), cube)
    started = time.perf_counter()
    found = sunsal(cube, known, progress=progress)
    seconds = time.perf_counter() - started
    if found.solution.status is Status.INTERRUPTED:
        raise KeyboardInterrupt(
            f"interrupted after {found.solution.n_iter} iterations; nothing was written"
        )
    for what, why in found.solution.choices.items():
        say(f"  {what}: {why}")
    return write_library_report(
        folder,
        name,
        cube,
        known,
        found,
        bands_screened=n_good - cube.n_good,
        seconds=seconds,
        say=say,
    )


def elbow_into(
    folder: Path,
    name: str,
    cube: HyperspectralCube,
    *,
    normalize: str | None = None,
    seed: int = 0,
    screen: bool = True,
    progress: bool | None = None,
) -> list[Row]:
    """Draw NAME_elbow.png; return its numbers, HFC's estimate marked.

    Of a large cube from the sample that `unmix_file` would draw; arguments as of it.
    """
    sample = draw_sample(
        cube,
        1,
        normalize=normalize,
        screen=screen,
        size=SAMPLE,
        nbytes=TILE_BYTES,
        rng=np.random.default_rng(seed),
        progress=progress,
    )
    errors, estimate = elbow(sample.pixels), hfc(sample.pixels)
    plot.save(plot.elbow(errors, estimate), folder / f"{name}_elbow.png")
    before = [float("nan"), *errors[:-1].tolist()]
    return [
        {
            "endmembers": k + 1,
            "error": float(error),
            "of_the_one_before": float(error) / last if k else "",
            "estimate": "HFC" if k + 1 == estimate else "",
        }
        for k, (error, last) in enumerate(zip(errors, before, strict=True))
    ]
