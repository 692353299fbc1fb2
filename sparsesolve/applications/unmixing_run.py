"""From a cube to endmembers and abundance maps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sparsesolve.applications.unmixing_archetypes import archetypal_analysis
from sparsesolve.applications.unmixing_guides import neighbour_guide
from sparsesolve.applications.unmixing_minimum_volume import sisal
from sparsesolve.applications.unmixing_noise import screen_bands
from sparsesolve.applications.unmixing_pure_pixels import nfindr, spa
from sparsesolve.applications.unmixing_robust import Factorisation, factorise
from sparsesolve.applications.unmixing_spectra import Floats, endmember_count
from sparsesolve.applications.unmixing_vca import vca
from sparsesolve.backends import Array
from sparsesolve.cube import HyperspectralCube
from sparsesolve.simplex_least_squares import fcls_matrix
from sparsesolve.solution import Solution

__all__ = ["METHODS", "Unmixing", "unmix"]

Bools = NDArray[np.bool_]

# Loss, sparsity, guide and sum of the methods that factorise; None: the default.
_MODELS: dict[str, dict[str, Any]] = {
    "robust": {},
    "nmf": {"loss": "frobenius", "sparsity": 0.0, "sum_to_one": "normalised"},
    "l1/2-nmf": {"loss": "frobenius", "guide": 0.5},
    "data-guided-nmf": {"loss": "frobenius", "guide": "data"},
    "l2,1-nmf": {"sparsity": 0.0, "sum_to_one": "normalised"},
}
_EXTRACTORS: dict[str, Callable[..., Floats]] = {
    "archetypes": lambda Y, k, w, rng: archetypal_analysis(Y, k, weights=w, rng=rng),
    "vca": lambda Y, k, w, rng: vca(Y, k, rng=rng),
    "nfindr": lambda Y, k, w, rng: nfindr(Y, k),
    "spa": lambda Y, k, w, rng: spa(Y, k),
    "sisal": lambda Y, k, w, rng: sisal(Y, k),
}
METHODS = *_MODELS, *_EXTRACTORS
"""Words that `unmix` takes for `method`."""

NORMALISATIONS = None, "l2"


@dataclass(frozen=True, eq=False, repr=False)
class Unmixing:
    """What a scene is made of, and how much of each is where.

    Attributes
    ----------
    endmembers : (K, bands) array
        Spectra in the units of the cube's physical values, on all its bands: NaN at
        bad ones, interpolated at those that were screened out.
    abundances : (rows, cols, K) array
        Non-negative and of sum one; NaN at invalid pixels. Area fractions if
        `normalize` is None, shares of the unit-norm spectrum if it is "l2".
    band_weights : (bands,) array
        How much each band counted, of mean one over the good bands; 0 where it did not.
    guide : (rows, cols) array
        The guide map in use at the end, 0 mixed to 3/4 pure; 0 where the method has
        none; NaN at invalid pixels.
    flagged : (bands,) bool array
        Bands that were screened out as noise or garbage.
    normalize : None or "l2"
        What was done to the pixels before.
    method : str
    solution : Solution or None
        Of the factorisation; None for a method that has none.
    choices : dict of str to str
        What was chosen for you, and why.
    """

    endmembers: Floats
    abundances: Floats
    band_weights: Floats
    guide: Floats
    flagged: Bools
    normalize: str | None
    method: str
    solution: Solution | None = None
    choices: dict[str, str] = field(default_factory=dict)

    def __repr__(self) -> str:
        rows, cols, count = self.abundances.shape
        scale = "unit-norm pixels" if self.normalize else "physical values"
        out = int(self.flagged.sum())
        screened = f", {out} bands screened out" if out else ""
        return (
            f"Unmixing({count} endmembers, {rows} x {cols} pixels, method "
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
    progress : bool, optional
        Show a bar for the factorisation; by default only on a terminal.

    Returns
    -------
    Unmixing

    Raises
    ------
    TypeError, ValueError
        Data that are no numbers or not finite, more endmembers than pixels, bands or
        the rank, another word, all pixels alike.

    Examples
    --------
    >>> from sparsesolve.applications.unmixing import unmix, unmixing_scene
    >>> unmix(unmixing_scene(rows=20, cols=20).cube, 4)
    Unmixing(4 endmembers, 20 x 20 pixels, method 'robust' on physical values, 8 bands \
screened out)
    """
    if method not in METHODS:
        raise ValueError(
            f"method is {method!r}; wanted one of {', '.join(map(repr, METHODS))}"
        )
    if normalize not in NORMALISATIONS:
        raise ValueError(f"normalize is {normalize!r}; wanted None or 'l2'")
    cube = as_cube(cube)
    scene = _Scene.of(cube, n_endmembers, normalize, screen)
    rng = np.random.default_rng(rng)
    Y, w = scene.pixels, scene.weights
    if method in _EXTRACTORS:
        found = np.asarray(_EXTRACTORS[method](Y, n_endmembers, w, rng))
        ones = np.ones(Y.shape[1], Y.dtype)
        zero = np.zeros(len(Y), Y.dtype)
        return scene.result(method, found, fcls_matrix(Y, found), ones, zero, None)
    first = scene.start(start, n_endmembers, method, rng)
    model = dict(_MODELS[method])
    if model.get("guide") == "data":
        model["guide"] = neighbour_guide(Y, scene.used)
    weights = w if method == "robust" else None
    fit = factorise(Y, first, pixel_weights=weights, progress=progress, **model)
    abundances = fit.abundances
    if method == "robust":
        abundances = fcls_matrix(Y, fit.endmembers, fit.band_weights)
    return scene.result(
        method, fit.endmembers, abundances, fit.band_weights, fit.guide, fit
    )


def as_cube(cube: Any) -> HyperspectralCube:
    """Return a cube, made of an array (rows, cols, bands) if it is one."""
    if isinstance(cube, HyperspectralCube):
        return cube
    return HyperspectralCube(cube)


@dataclass(frozen=True)
class _Scene:
    """A cube as a method sees it: valid pixels, good bands, maybe of unit norm."""

    cube: HyperspectralCube
    normalize: str | None
    used: Bools
    """(rows, cols), pixels that enter: valid, and not zero in all bands."""
    kept: Bools
    """(n_good,), bands that enter."""
    pixels: Floats
    """(n_used, n_kept)."""
    norms: Floats
    """(n_used,), what pixels were divided by; all one if they were not."""
    choices: dict[str, str]

    @classmethod
    def of(
        cls, cube: HyperspectralCube, count: int, normalize: str | None, screen: bool
    ) -> _Scene:
        Y = cube.spectra()
        alive = Y.any(axis=1)
        used = cube.valid.copy()
        used[used] = alive
        choices: dict[str, str] = {}
        if not alive.all():
            dead = int(np.sum(~alive))
            choices["pixels"] = f"{dead} are zero in all bands and were left out"
            Y = Y[alive]
        endmember_count(count, Y)
        if not np.ptp(Y, axis=0).any():
            raise ValueError("all spectra are equal; there is nothing to unmix")
        kept = screen_bands(Y) if screen else np.ones(Y.shape[1], bool)
        if not kept.all():
            out = int((~kept).sum())
            choices["bands"] = f"{out} of {len(kept)} screened out as noise"
        norms = np.ones(len(Y), Y.dtype)
        if normalize == "l2":
            norms = np.linalg.norm(_interpolated(Y, kept), axis=1)
            choices["normalize"] = (
                "pixels were divided by their norms: abundances are shares of the "
                "unit-norm spectrum, no area fractions"
            )
        pixels = np.ascontiguousarray(Y[:, kept] / norms[:, None])
        return cls(cube, normalize, used, kept, pixels, norms, choices)

    @property
    def weights(self) -> Floats:
        """Norms, of mean one: dark pixels, once normalised, have amplified noise."""
        return np.asarray(self.norms / self.norms.mean())

    def start(
        self, start: Any, count: int, method: str, rng: np.random.Generator
    ) -> Floats:
        if start is not None:
            bands = self.cube.shape[2]
            given = np.asarray(start)
            if given.shape != (count, bands):
                raise ValueError(
                    f"start has shape {given.shape}; wanted ({count}, {bands})"
                )
            E = given[:, self.cube.good_bands][:, self.kept].astype(self.pixels.dtype)
            if self.normalize == "l2":
                E = E / np.linalg.norm(E, axis=1, keepdims=True)
            return np.asarray(E)
        if method == "robust":
            return archetypal_analysis(
                self.pixels, count, weights=self.weights, rng=rng
            )
        return np.asarray(vca(self.pixels, count, rng=rng))

    def result(
        self,
        method: str,
        endmembers: Floats,
        abundances: Floats,
        weights: Floats,
        guide: Floats,
        fit: Factorisation | None,
    ) -> Unmixing:
        scale: Floats = np.ones(len(endmembers))
        if self.normalize == "l2":
            scale = _brightness(abundances, self.norms)
        spectra = np.full((len(endmembers), len(self.kept)), np.nan, endmembers.dtype)
        spectra[:, self.kept] = endmembers * scale[:, None]
        band_weights = np.zeros(len(self.kept), weights.dtype)
        band_weights[self.kept] = weights / weights.mean()
        flagged = np.zeros(self.cube.shape[2], bool)
        flagged[self.cube.good_bands] = ~self.kept
        solution = None if fit is None else fit.solution
        choices = dict(self.choices) | (solution.choices if solution else {})
        return Unmixing(
            endmembers=self.cube.to_bands(_interpolated(spectra, self.kept)),
            abundances=self._on_map(abundances),
            band_weights=self.cube.to_bands(band_weights, 0.0),
            guide=self._on_map(guide),
            flagged=flagged,
            normalize=self.normalize,
            method=method,
            solution=solution,
            choices=choices,
        )

    def _on_map(self, values: Floats) -> Floats:
        shape = (*self.used.shape, *values.shape[1:])
        maps = np.full(shape, np.nan, values.dtype)
        maps[self.used] = values
        return maps


def _brightness(abundances: Floats, norms: Floats) -> Floats:
    """Return the mean norm of the pixels that each endmember fills, purer ones first.

    An endmember that is nowhere keeps the scene's mean.
    """
    trust = abundances**2
    total = trust.sum(axis=0)
    mean = (norms @ trust) / np.where(total > 0, total, 1)
    return np.asarray(np.where(total > 0, mean, norms.mean()))


def _interpolated(spectra: Floats, kept: Bools) -> Floats:
    """Return spectra with the bands that are not kept filled from their neighbours."""
    if kept.all():
        return spectra
    bands, known = np.arange(len(kept)), np.flatnonzero(kept)
    right = np.clip(np.searchsorted(known, bands), 0, len(known) - 1)
    left = np.clip(np.searchsorted(known, bands, side="right") - 1, 0, None)
    a, b = known[left], known[right]
    share = ((bands - a) / np.maximum(b - a, 1)).clip(0, 1).astype(spectra.dtype)
    return np.asarray(spectra[:, a] * (1 - share) + spectra[:, b] * share)
