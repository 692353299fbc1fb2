"""Unmixing from file to file: cubes and maps may be larger than memory."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import Any

import numpy as np

from sparsesolve import checks
from sparsesolve.applications.unmixing_fit import (
    Fit,
    MaterialModel,
    map_tiles,
    on_map,
)
from sparsesolve.applications.unmixing_run import (
    Unmixing,
    as_cube,
    check_words,
    find_materials,
    unmixing_of,
)
from sparsesolve.applications.unmixing_sample import SAMPLE, PixelSample
from sparsesolve.atomic import StrPath, atomic_h5, rename, update_h5
from sparsesolve.backends import Array
from sparsesolve.checkpoint import fingerprint
from sparsesolve.cube import TILE_BYTES, HyperspectralCube
from sparsesolve.hdf5 import kind_in, open_h5, stamp
from sparsesolve.io import load, write_record
from sparsesolve.lazy import LazyArray
from sparsesolve.solution import Status
from sparsesolve.terminal import Bar, Interrupt
from sparsesolve.tree_io import read_tree, write_tree

__all__ = ["unmix_file"]

# What a file of unfinished maps calls itself, so that nobody takes it for a result.
_UNFINISHED = "unmixing_unfinished"


def unmix_file(
    cube: StrPath | HyperspectralCube | Array,
    n_endmembers: int,
    out: StrPath,
    *,
    method: str = "robust",
    normalize: str | None = None,
    rng: int = 0,
    screen: bool = True,
    start: Array | None = None,
    sample: int = SAMPLE,
    tile_bytes: int = TILE_BYTES,
    resume: bool = True,
    progress: bool | None = None,
) -> Unmixing:
    """Unmix a cube that may be larger than memory, into an HDF5 file.

    As `unmix`, but the maps go to the file tile by tile. Finished tiles lie in a
    working file, `out` with ``.part`` at its end, which becomes `out` when it is whole;
    after Ctrl-C, a crash or a full disk the same call goes on from there.

    Parameters
    ----------
    cube : path, HyperspectralCube, or array (rows, cols, bands)
        A path is read by `sparsesolve.load`, large files stay in the file.
    n_endmembers, method, normalize, screen, start, sample
        As of `unmix`; a cube of no more than `sample` valid pixels is done at once.
    out : path
        HDF5 file, replaced at the very end; ``sparsesolve.load(out)`` gives the
        `Unmixing` (without `solution`).
    rng : int
        Seed. No generator, as a resumed run must draw the same pixels.
    tile_bytes : int
        Size of a tile of spectra as float64; about five times that is in use.
    resume : bool
        Go on from the working file if there is one; False begins anew.
    progress : bool, optional
        Show bars; by default only on a terminal.

    Returns
    -------
    Unmixing
        As loaded from `out`: large maps stay there. `solution` is None if a working
        file had the endmembers already.

    Raises
    ------
    ValueError, TypeError
        As of `unmix`; `out` is the cube's own file; the working file is of another
        cube, other settings, or no working file.
    OSError
        The folder of `out` is missing or read-only, the disk is full; then finished
        tiles remain in the working file.
    KeyboardInterrupt
        Ctrl-C, after the tile in work: the sentence says how many rows are done.

    Examples
    --------
    >>> from sparsesolve.applications.unmixing import unmix_file
    >>> unmix_file("scene.h5", 6, "maps.h5")  # doctest: +SKIP
    """
    source = None
    if isinstance(cube, (str, os.PathLike)):
        source = Path(os.path.realpath(cube))
        cube = load(cube, kind="hyperspectral")
    cube = as_cube(cube)
    check_words(method, normalize)
    checks.positive_int("tile_bytes", tile_bytes)
    if isinstance(rng, bool) or not isinstance(rng, (int, np.integer)):
        raise TypeError(f"rng is {rng!r}; wanted an integer, to draw the same again")
    target = _target(out, source or _source(cube))
    settings = (n_endmembers, method, normalize, int(rng), screen, start, sample)
    key = fingerprint(*_identity(cube), settings)
    work = _WorkingFile(target, key)
    solution = None
    if not (resume and work.path.exists()):
        pixels, fit = find_materials(
            cube,
            n_endmembers,
            method=method,
            normalize=normalize,
            rng=np.random.default_rng(rng),
            screen=screen,
            start=start,
            sample=sample,
            nbytes=tile_bytes,
            progress=progress,
        )
        solution = fit.solution
        if solution is not None and solution.status is Status.INTERRUPTED:
            raise KeyboardInterrupt(
                f"interrupted while endmembers were looked for; {target} is not written"
            )
        work.create(cube, pixels, fit, method)
    work.fill(cube, tile_bytes, progress)
    found: Unmixing = load(target, kind="unmixing")
    return dataclasses.replace(found, solution=solution)


class _WorkingFile:
    """The maps in the making: an unmixing's file, with what a resumed run must know."""

    def __init__(self, target: Path, key: str) -> None:
        self.target, self.key = target, key
        self.path = target.with_name(f"{target.name}.part")

    def create(
        self, cube: HyperspectralCube, pixels: PixelSample, fit: Fit, method: str
    ) -> None:
        """Write all but the maps, and those too if the sample was the whole scene."""
        rows, cols = cube.shape[:2]
        if pixels.whole:
            maps = [on_map(pixels.used, v) for v in (fit.abundances, fit.guide)]
        else:
            # Takes the space on the disk now, and none in memory.
            empty = np.full(1, np.nan, fit.abundances.dtype)
            shape = (rows, cols, fit.abundances.shape[1])
            maps = [np.broadcast_to(empty, size) for size in (shape, shape[:2])]
        record = unmixing_of(cube, pixels, fit, method, *maps)
        with atomic_h5(self.path) as file:
            write_record(file, record)
            file.attrs["kind"] = _UNFINISHED
            write_tree(file, "fingerprint", self.key)
            write_tree(file, "model", vars(fit.model))
            file["done"] = rows if pixels.whole else 0

    def fill(self, cube: HyperspectralCube, nbytes: int, progress: bool | None) -> None:
        """Compute the tiles that are not there yet, and name the file `target`."""
        done, model = self._read()
        rows = cube.shape[0]
        bar = Bar(progress, rows, done, unit="row", label="abundances")
        with Interrupt("tile") as interrupt, bar:
            for tile, shares, guide in map_tiles(cube, model, nbytes=nbytes, done=done):
                self._write(tile, shares, guide)
                bar.advance(tile.stop - done)
                done = tile.stop
                if interrupt.asked and done < rows:
                    raise KeyboardInterrupt(
                        f"interrupted; {done} of {rows} rows are kept in {self.path}, "
                        "run the same again to go on"
                    )
        with update_h5(self.path) as file:
            for name in ("fingerprint", "model", "done"):
                del file[name]
            stamp(file, "unmixing")
        rename(self.path, self.target)

    def _write(self, tile: slice, shares: Any, guide: Any) -> None:
        with update_h5(self.path) as file:
            file["abundances"][tile] = shares
            file["guide"][tile] = guide
        # Only now, as the tile is on the disk, may a resumed run skip it.
        with update_h5(self.path) as file:
            file["done"][()] = tile.stop

    def _read(self) -> tuple[int, MaterialModel]:
        with open_h5(self.path) as file:
            if kind_in(file) != _UNFINISHED:
                raise ValueError(
                    f"{self.path} is in the way and no working file; move it elsewhere"
                )
            if read_tree(file, "fingerprint") != self.key:
                raise ValueError(
                    f"{self.path} is the working file of another cube or other "
                    "settings; repeat those, or begin anew with resume=False"
                )
            return int(file["done"][()]), MaterialModel(**read_tree(file, "model"))


def _target(out: StrPath, source: Path | None) -> Path:
    """Return the file behind `out`, refused before any work if it cannot be written."""
    target = Path(os.path.realpath(out))
    if target.is_dir():
        raise IsADirectoryError(f"cannot write {target}: it is a folder")
    if not target.parent.is_dir() or not os.access(target.parent, os.W_OK):
        raise OSError(
            f"cannot write {target}: its folder does not exist or is read-only"
        )
    if target == source:
        raise ValueError(f"out is {target}, the file of the cube; wanted another")
    return target


def _source(cube: HyperspectralCube) -> Path | None:
    """Return the file that the data are left in, if they are."""
    if isinstance(cube.data, LazyArray):
        return cube.data.path
    if isinstance(cube.data, np.memmap) and cube.data.filename is not None:
        return Path(os.path.realpath(cube.data.filename))
    return None


def _identity(cube: HyperspectralCube) -> list[Any]:
    """Return what tells a cube from others: all of it, or its file's size and date."""
    fields: list[Any] = [
        cube.shape,
        cube.valid,
        cube.good_bands,
        cube.scale,
        cube.offset,
    ]
    fields += [cube.wavelengths, cube.crs, cube.transform]
    source = _source(cube)
    if source is None:
        return [*fields, *(fingerprint(cube.data[rows]) for rows in cube.tiles())]
    found = source.stat()
    return [*fields, source.name, found.st_size, found.st_mtime_ns]
