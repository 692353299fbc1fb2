"""From a cube to endmembers and abundance maps."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sparsesolve import checks
from sparsesolve.applications.unmixing_fit import (
    EXTRACTORS,
    METHODS,
    Fit,
    fit_sample,
    map_tiles,
    on_map,
)
from sparsesolve.applications.unmixing_restoration import on_all_bands
from sparsesolve.applications.unmixing_sample import SAMPLE, PixelSample, draw_sample
from sparsesolve.applications.unmixing_spectra import Floats
from sparsesolve.atomic import StrPath
from sparsesolve.backends import Array, to_numpy
from sparsesolve.cube import TILE_BYTES, HyperspectralCube
from sparsesolve.schema import column
from sparsesolve.solution import Solution
from sparsesolve.terminal import Bar

__all__ = ["METHODS", "Unmixing", "unmix"]

Bools = NDArray[np.bool_]

NORMALISATIONS = None, "l2"


@dataclass(frozen=True, eq=False, repr=False)
class Unmixing:
    """What a scene is made of, and how much of each is where.

    Attributes
    ----------
    endmembers : (K, bands) array
        Spectra in the units of the cube's physical values, on all its bands: NaN at
        bad ones; at those that were screened out interpolated, or fitted where the
        abundances explain them after all.
    abundances : (rows, cols, K) array
        Non-negative and of sum one; NaN at invalid pixels. Area fractions if
        `normalize` is None, shares of the unit-norm spectrum if it is "l2". Loaded
        from a file, a large array stays there.
    band_weights : (bands,) array
        How much each band counted, of mean one over those that did; 0 where it did not.
    guide : (rows, cols) array
        From 0, mixed, to 3/4, pure. Of "robust" Hoyer's sparseness of `abundances`,
        cut at 3/4; else the guide that was given to the factorisation; 0 where the
        method has none; NaN at invalid pixels.
    flagged : (bands,) bool array
        Bands that were screened out as noise or garbage.
    method : str
    normalize : None or "l2"
        What was done to the pixels before.
    choices : dict of str to str
        What was chosen for you, and why.
    wavelengths : (bands,) array, nm, or None
    crs, transform
        Of the cube, see `HyperspectralCube`.
    solution : Solution or None
        Of the factorisation; None for a method that has none, and not part of the file
        that `save` writes (it has a `save` of its own).
    """

    endmembers: Array = field(metadata=column("1", "endmember band"))
    abundances: Array = field(
        metadata=column("1", "row col endmember", may_stay_in_file=True)
    )
    band_weights: Array = field(metadata=column("1", "band"))
    guide: Array = field(metadata=column("1", "row col"))
    flagged: Array = field(metadata=column("1", "band"))
    method: str = field(metadata=column("1", ""))
    normalize: str | None = field(default=None, metadata=column("1", ""))
    choices: dict[str, str] = field(
        default_factory=dict, metadata=column("1", "choice")
    )
    wavelengths: Array | None = field(default=None, metadata=column("nm", "band"))
    crs: str | None = field(default=None, metadata=column("1", ""))
    transform: tuple[float, ...] | None = field(
        default=None, metadata=column("1", "affine")
    )
    solution: Solution | None = None

    def in_convention(self) -> Unmixing:
        """Return the record with texts and numbers of a file as what they were."""
        count, bands = self.endmembers.shape
        wanted = {
            "abundances": (*self.guide.shape, count),
            "band_weights": (bands,),
            "flagged": (bands,),
        }
        for name, shape in wanted.items():
            found = getattr(self, name).shape
            if found != shape:
                raise ValueError(f"{name} has shape {found}; wanted {shape}")
        lines = self.choices
        if not isinstance(lines, dict):
            lines = dict(str(line).partition(": ")[::2] for line in lines)
        place = self.transform
        return dataclasses.replace(
            self,
            choices=lines,
            transform=None if place is None else tuple(float(x) for x in place),
        )

    def save(self, path: StrPath) -> None:
        """Write all but `solution` to an HDF5 file; see `sparsesolve.save`."""
        from sparsesolve.io import save

        save(path, self)

    def __repr__(self) -> str:
        rows, cols, count = self.abundances.shape
        scale = "unit-norm pixels" if self.normalize else "physical values"
        out = int(self.flagged.sum())
        bands = f"{out} band" + ("s" if out > 1 else "")
        screened = f", {bands} screened out" if out else ""
        materials = f"{count} endmember" + ("s" if count > 1 else "")
        return (
            f"Unmixing({materials}, {rows} x {cols} pixels, method "
            f"{self.method!r} on {scale}{screened})"
        )


def unmix(
    cube: HyperspectralCube | Array,
    n_endmembers: int,
    *,
    method: str = "robust",
    normalize: str | None = None,
    rng: int | np.random.Generator = 0,
    screen: bool = True,
    start: Array | None = None,
    sample: int = SAMPLE,
    progress: bool | None = None,
) -> Unmixing:
    """Find the endmembers of a scene and their abundances in every pixel.

    The default, "robust", screens out bands that are noise, begins with archetypal
    analysis weighted by brightness, refines with an ℓ2,1 loss over bands and a sparsity
    whose exponent is learnt pixel by pixel (`factorise`), and gives the exact fully
    constrained abundances of what it found, bands weighted by how well they fit.

    Parameters
    ----------
    cube : HyperspectralCube, or array (rows, cols, bands)
        Invalid pixels and bad bands enter no statistic.
    n_endmembers : int
        K; see `hfc` and `elbow` where it is not known.
    method : str
        "robust"; its special cases "nmf", "l1/2-nmf", "data-guided-nmf", "l2,1-nmf";
        or endmembers by "archetypes", "vca", "nfindr", "spa", "sisal" and abundances
        by FCLSU.
    normalize : None or "l2"
        "l2" divides each pixel by its norm first: shade and slopes no longer make
        endmembers, but abundances are shares of the unit-norm spectrum and no area
        fractions. Endmembers come back in the cube's units all the same.
    rng : int or numpy.random.Generator
        Seed of the random starts.
    screen : bool
        Leave out bands that `screen_bands` flags.
    start : (K, bands) array, optional
        Endmembers to begin with, in the cube's units, for the methods that factorise;
        by default archetypes for "robust", VCA for its special cases, as published.
    sample : int
        Of a scene with more valid pixels, so many, drawn uniformly, find endmembers,
        screening and scale; then abundances of all are computed tile by tile, so that
        a cube left in its file never is in memory. Those of the special cases of
        "robust" are then FCLSU or NNLS, without their sparsity.
    progress : bool, optional
        Show bars; by default only on a terminal.

    Returns
    -------
    Unmixing

    Raises
    ------
    TypeError, ValueError
        Data that are no numbers or not finite, more endmembers than pixels, bands or
        the rank, another word, all pixels alike; "data-guided-nmf" with a sample.

    See Also
    --------
    sparsesolve.applications.unmixing.unmix_file : maps larger than memory, resumed.

    Examples
    --------
    >>> from sparsesolve.applications.unmixing import unmix, unmixing_scene
    >>> unmix(unmixing_scene(rows=20, cols=20).cube, 4)
    Unmixing(4 endmembers, 20 x 20 pixels, method 'robust' on physical values, 8 bands \
screened out)
    """
    cube = as_cube(cube)
    check_words(method, normalize)
    pixels, fit = find_materials(
        cube,
        n_endmembers,
        method=method,
        normalize=normalize,
        rng=np.random.default_rng(rng),
        screen=screen,
        start=start,
        sample=sample,
        progress=progress,
    )
    if pixels.whole:
        shares, guide = (on_map(pixels.used, v) for v in (fit.abundances, fit.guide))
        return unmixing_of(cube, pixels, fit, method, shares, guide)
    kind = pixels.pixels.dtype
    shares = np.empty((*cube.shape[:2], len(fit.model.endmembers)), kind)
    guide = np.empty(cube.shape[:2], kind)
    with Bar(progress, cube.shape[0], 0, unit="row", label="abundances") as bar:
        for rows, part, its_guide in map_tiles(cube, fit.model):
            shares[rows], guide[rows] = part, its_guide
            bar.advance(rows.stop - rows.start)
    return unmixing_of(cube, pixels, fit, method, shares, guide)


def as_cube(cube: Any) -> HyperspectralCube:
    """Return a cube, made of an array (rows, cols, bands) if it is one."""
    if isinstance(cube, HyperspectralCube):
        return cube
    return HyperspectralCube(cube)


def check_words(method: str, normalize: str | None) -> None:
    """Refuse an unknown `method` or `normalize`."""
    if method not in METHODS:
        raise ValueError(
            f"method is {method!r}; wanted one of {', '.join(map(repr, METHODS))}"
        )
    if normalize not in NORMALISATIONS:
        raise ValueError(f"normalize is {normalize!r}; wanted None or 'l2'")


def find_materials(
    cube: HyperspectralCube,
    n_endmembers: int,
    *,
    method: str,
    normalize: str | None,
    rng: np.random.Generator,
    screen: bool,
    start: Array | None,
    sample: int,
    progress: bool | None,
    nbytes: int = TILE_BYTES,
) -> tuple[PixelSample, Fit]:
    """Draw a sample of pixels and find the endmembers in it; arguments of `unmix`.

    Tiles of about `nbytes` are read.
    """
    if start is not None and method in EXTRACTORS:
        raise ValueError(
            f"start was given, but method {method!r} begins with nothing; leave it out "
            f"or take one of {', '.join(m for m in METHODS if m not in EXTRACTORS)}"
        )
    first = None if start is None else _on_good_bands(cube, start, n_endmembers)
    pixels = draw_sample(
        cube,
        n_endmembers,
        normalize=normalize,
        screen=screen,
        size=sample,
        rng=rng,
        nbytes=nbytes,
        progress=progress,
    )
    fit = fit_sample(
        pixels, n_endmembers, method, start=first, rng=rng, progress=progress
    )
    return pixels, fit


def unmixing_of(
    cube: HyperspectralCube,
    sample: PixelSample,
    fit: Fit,
    method: str,
    abundances: Floats,
    guide: Floats,
) -> Unmixing:
    """Return what was found in the units and on the bands of the cube."""
    found, kept = fit.model.endmembers, sample.kept
    scale: Floats = np.ones(len(found))
    if sample.normalize == "l2":
        scale = _brightness(fit.abundances, sample.norms)
    nm = None if cube.wavelengths is None else cube.wavelengths[cube.good_bands]
    spectra = on_all_bands(sample, fit, nm) * scale[:, None]
    weights = fit.model.band_weights
    band_weights = np.zeros(len(kept), weights.dtype)
    band_weights[kept] = weights / weights.mean()
    flagged = np.zeros(cube.shape[2], bool)
    flagged[cube.good_bands] = ~kept
    solution = fit.solution
    choices = dict(sample.choices) | (solution.choices if solution else {})
    if solution is not None and not solution.converged:
        choices["refinement"] = solution.message
    return Unmixing(
        endmembers=cube.to_bands(spectra.astype(found.dtype)),
        abundances=abundances,
        band_weights=cube.to_bands(band_weights, 0.0),
        guide=guide,
        flagged=flagged,
        method=method,
        normalize=sample.normalize,
        choices=choices,
        wavelengths=cube.wavelengths,
        crs=cube.crs,
        transform=cube.transform,
        solution=solution,
    )


def _on_good_bands(cube: HyperspectralCube, start: Array, count: int) -> Floats:
    given = to_numpy(start)
    bands = cube.shape[2]
    if given.shape != (count, bands):
        raise ValueError(f"start has shape {given.shape}; wanted ({count}, {bands})")
    found = np.asarray(given[:, cube.good_bands])
    checks.finite("start", found)
    if not np.all((found > 0).any(axis=1)):
        raise ValueError("start has an endmember without a positive value")
    return found


def _brightness(abundances: Floats, norms: Floats) -> Floats:
    """Return the mean norm of the pixels that each endmember fills, purer ones first.

    An endmember that is nowhere keeps the scene's mean.
    """
    trust = abundances**2
    total = trust.sum(axis=0)
    mean = (norms @ trust) / np.where(total > 0, total, 1)
    return np.asarray(np.where(total > 0, mean, norms.mean()))
