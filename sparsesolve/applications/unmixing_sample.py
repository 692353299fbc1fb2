"""The pixels from which endmembers are found: drawn, screened and scaled."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sparsesolve import checks
from sparsesolve.applications.unmixing_noise import screen_bands
from sparsesolve.applications.unmixing_spectra import Floats, endmember_count
from sparsesolve.backends import Array
from sparsesolve.cube import TILE_BYTES, HyperspectralCube
from sparsesolve.terminal import Bar

__all__ = ["SAMPLE", "PixelSample", "draw_sample", "interpolated", "scaled"]

Bools = NDArray[np.bool_]

SAMPLE = 20_000
"""Pixels that find the endmembers of larger scenes.

A quarter of it moved those of Samson by 0.001 rad, of Jasper Ridge by 0.003 to 0.008.
"""

# Fewer do not tell noise from chance: every band is regressed on all others.
_PIXELS_PER_BAND = 2


@dataclass(frozen=True)
class PixelSample:
    """Pixels of a cube as a method sees them.

    Attributes
    ----------
    used : (rows, cols) bool array
        The n pixels of the sample: valid, and positive in some band.
    kept : (n_good,) bool array
        Good bands that were not screened out.
    pixels : (n, n_kept) array
        Spectra, of unit norm if `normalize` is "l2".
    left_out : (n, n_good - n_kept) array
        The bands that were screened out, in physical units.
    norms : (n,) array
        What pixels were divided by; all one if they were not.
    whole : bool
        Whether no valid pixel was left to chance.
    normalize : None or "l2"
    choices : dict of str to str
    """

    used: Bools
    kept: Bools
    pixels: Floats
    left_out: Floats
    norms: Floats
    whole: bool
    normalize: str | None
    choices: dict[str, str]

    @property
    def weights(self) -> Floats:
        """Norms, of mean one: dark pixels, once normalised, have amplified noise."""
        return np.asarray(self.norms / self.norms.mean())


def draw_sample(
    cube: HyperspectralCube,
    n_endmembers: int,
    *,
    normalize: str | None,
    screen: bool,
    size: int,
    rng: np.random.Generator,
    progress: bool | None,
    nbytes: int = TILE_BYTES,
) -> PixelSample:
    """Read up to `size` valid pixels in one pass; all of them if there are no more.

    The pass reads tiles of about `nbytes`, see `HyperspectralCube.tiles`.

    Raises
    ------
    ValueError
        More endmembers than pixels, bands or the rank; all spectra equal; NaN.
    """
    size = checks.positive_int("sample", size)
    drawn = cube.valid.copy()
    choices: dict[str, str] = {}
    whole = cube.n_valid <= size
    if not whole:
        drawn[drawn] = _some(cube.n_valid, size, rng)
        choices["sample"] = (
            f"{size} of {cube.n_valid} valid pixels, drawn uniformly, gave endmembers, "
            "bands and scale; abundances are of all pixels"
        )
    Y = cube.spectra() if whole else _read(cube, drawn, nbytes, progress)
    alive = _lit(Y)
    if not alive.any():
        raise ValueError("the spectra are positive in no band; is the offset right?")
    Y = Y if alive.all() else Y[alive]
    endmember_count(n_endmembers, Y)
    if not np.ptp(Y, axis=0).any():
        raise ValueError("all spectra are equal; there is nothing to unmix")
    kept = _positive(Y) if screen else np.ones(Y.shape[1], bool)
    if screen and len(Y) >= _PIXELS_PER_BAND * Y.shape[1]:
        kept[kept] = screen_bands(Y[:, kept])
    elif screen:
        choices["bands"] = (
            f"not screened: {len(Y)} pixels are too few for {Y.shape[1]} bands"
        )
    pixels, norms, lit = scaled(Y, kept, normalize)
    alive[alive] = lit
    drawn[drawn] = alive
    if not alive.all():
        dead = int(np.sum(~alive))
        choices["pixels"] = f"{dead} are positive in no band and were left out"
    if not kept.all():
        out = int((~kept).sum())
        choices["bands"] = f"{out} of {len(kept)} left out as noise or not positive"
    if normalize == "l2":
        choices["normalize"] = (
            "pixels were divided by their norms: abundances are shares of the "
            "unit-norm spectrum, no area fractions"
        )
    return PixelSample(
        used=drawn,
        kept=kept,
        pixels=pixels,
        left_out=Y[lit][:, ~kept],
        norms=norms,
        whole=whole,
        normalize=normalize,
        choices=choices,
    )


def scaled(
    spectra: Floats, kept: Bools, normalize: str | None
) -> tuple[Floats, Floats, Bools]:
    """Return spectra on the kept bands, their norms, and which of them are not dead.

    Those that are positive in no kept band are left out; norms are one without "l2".
    """
    Y = spectra if kept.all() else spectra[:, kept]
    lit = _lit(Y)
    Y = np.ascontiguousarray(Y if lit.all() else Y[lit])
    norms = np.ones(len(Y), Y.dtype)
    if normalize == "l2":
        norms = np.linalg.norm(interpolated(spectra[lit], kept), axis=1)
        Y = Y / norms[:, None]
    return Y, norms, lit


def interpolated(
    spectra: Floats, kept: Bools, wavelengths: Array | None = None
) -> Floats:
    """Return spectra with the bands that are not kept filled from their neighbours.

    Linearly along `wavelengths` where these increase, else along the bands.
    """
    if kept.all():
        return spectra
    bands, known = np.arange(len(kept)), np.flatnonzero(kept)
    at: Any = bands
    if wavelengths is not None and np.all(np.diff(wavelengths) > 0):
        at = wavelengths
    right = np.clip(np.searchsorted(known, bands), 0, len(known) - 1)
    left = np.clip(np.searchsorted(known, bands, side="right") - 1, 0, None)
    a, b = known[left], known[right]
    width = np.where(a == b, 1, at[b] - at[a])
    share = ((at - at[a]) / width).clip(0, 1).astype(spectra.dtype)
    return np.asarray(spectra[:, a] * (1 - share) + spectra[:, b] * share)


def _lit(spectra: Floats) -> Bools:
    """Return which pixels are positive in some band: others saw no light, or are dead.

    Files fill dead pixels with 0 or with a negative number that nobody declared.
    """
    return np.asarray((spectra > 0).any(axis=1))


def _positive(spectra: Floats) -> Bools:
    """Return which bands have a positive mean, as light has; warn of negative ones."""
    mean = spectra.mean(axis=0)
    if not np.any(mean > 0):
        raise ValueError("the spectra are positive in no band; is the offset right?")
    if np.any(mean < 0):
        bands = ", ".join(map(str, np.flatnonzero(mean < 0)[:10]))
        warnings.warn(
            f"good bands {bands} are negative on average and were left out; is the "
            "offset right?",
            UserWarning,
            stacklevel=2,
        )
    return np.asarray(mean > 0)


def _some(n: int, size: int, rng: np.random.Generator) -> Bools:
    picked = np.zeros(n, bool)
    picked[rng.choice(n, size, replace=False, shuffle=False)] = True
    return picked


def _read(
    cube: HyperspectralCube, drawn: Bools, nbytes: int, progress: bool | None
) -> Floats:
    found: list[NDArray[Any]] = []
    with Bar(progress, cube.shape[0], 0, unit="row", label="sample") as bar:
        for rows in cube.tiles(nbytes):
            inside = drawn[rows][cube.valid[rows]]
            found.append(cube.spectra(rows=rows)[inside])
            bar.advance(rows.stop - rows.start)
    return np.concatenate(found)
