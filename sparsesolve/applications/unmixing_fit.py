"""Endmembers from a sample of pixels, and maps of any pixels from those."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sparsesolve.applications.unmixing_archetypes import archetypal_analysis
from sparsesolve.applications.unmixing_guides import LARGEST, neighbour_guide
from sparsesolve.applications.unmixing_minimum_volume import sisal
from sparsesolve.applications.unmixing_pure_pixels import nfindr, spa
from sparsesolve.applications.unmixing_robust import factorise
from sparsesolve.applications.unmixing_sample import PixelSample, scaled
from sparsesolve.applications.unmixing_spectra import Floats
from sparsesolve.applications.unmixing_vca import vca
from sparsesolve.cube import TILE_BYTES, HyperspectralCube
from sparsesolve.priors.guides import sparseness
from sparsesolve.simplex_least_squares import fcls_matrix, nnls_matrix
from sparsesolve.solution import Solution

__all__ = [
    "EXTRACTORS",
    "METHODS",
    "Fit",
    "MaterialModel",
    "fit_sample",
    "map_tiles",
    "on_map",
]

Bools = NDArray[np.bool_]

# Loss, sparsity, guide and sum of the methods that factorise; None: the default.
_MODELS: dict[str, dict[str, Any]] = {
    "robust": {},
    "nmf": {"loss": "frobenius", "sparsity": 0.0, "sum_to_one": "normalised"},
    "l1/2-nmf": {"loss": "frobenius", "guide": 0.5},
    "data-guided-nmf": {"loss": "frobenius", "guide": "data"},
    "l2,1-nmf": {"sparsity": 0.0, "sum_to_one": "normalised"},
}
EXTRACTORS: dict[str, Callable[..., Floats]] = {
    "archetypes": lambda Y, k, w, rng: archetypal_analysis(Y, k, weights=w, rng=rng),
    "vca": lambda Y, k, w, rng: vca(Y, k, rng=rng),
    "nfindr": lambda Y, k, w, rng: nfindr(Y, k),
    # It begins with the longest spectrum: those of unit norm are given their own back.
    "spa": lambda Y, k, w, rng: Y[spa(Y * w[:, None], k, return_index=True)[1]],
    "sisal": lambda Y, k, w, rng: sisal(Y, k),
}
METHODS = *_MODELS, *EXTRACTORS
"""Words that `unmix` takes for `method`."""


@dataclass(frozen=True)
class MaterialModel:
    """Endmembers, and all else that the abundances of a pixel depend on.

    Attributes
    ----------
    endmembers : (K, n_kept) array
        On the bands and the scale of `PixelSample.pixels`.
    band_weights : (n_kept,) array
        Of the squared residuals.
    kept : (n_good,) bool array
    normalize : None or "l2"
    sums : "exact" or "normalised"
        FCLSU, or NNLS divided by its sum.
    guide : float or None
        Of the guide map: one number, or None, learnt from the abundances.
    """

    endmembers: Floats
    band_weights: Floats
    kept: Bools
    normalize: str | None
    sums: str
    guide: float | None

    def maps(self, spectra: Floats) -> tuple[Floats, Floats]:
        """Return abundances (n, K) and guide (n,) of spectra (n, n_good).

        NaN where a spectrum is positive in no band.
        """
        pixels, _, lit = scaled(spectra, self.kept, self.normalize)
        shares = np.full((len(lit), len(self.endmembers)), np.nan, spectra.dtype)
        if len(pixels):
            shares[lit] = self.shares(pixels)
        guide = np.full(len(lit), np.nan, spectra.dtype)
        guide[lit] = self.guide_of(shares[lit])
        return shares, guide

    def shares(self, pixels: Floats) -> Floats:
        """Return abundances of pixels that are scaled already."""
        if self.sums == "exact":
            return fcls_matrix(pixels, self.endmembers, self.band_weights)
        found = nnls_matrix(pixels, self.endmembers, self.band_weights)
        total = found.sum(axis=1, keepdims=True)
        return np.asarray(found / np.where(total > 0, total, 1))

    def guide_of(self, shares: Floats) -> Any:
        """Return the guide of pixels with these abundances."""
        if self.guide is not None:
            return self.guide
        return np.minimum(sparseness(shares, axis=-1), LARGEST)


@dataclass(frozen=True)
class Fit:
    """A model and what it says of the sample's own n pixels.

    Attributes
    ----------
    model : MaterialModel
    abundances : (n, K) array
        Those of the minimiser for the special cases of "robust".
    guide : (n,) array
    solution : Solution or None
        Of the factorisation, if there was one.
    """

    model: MaterialModel
    abundances: Floats
    guide: Floats
    solution: Solution | None


def fit_sample(
    sample: PixelSample,
    n_endmembers: int,
    method: str,
    *,
    start: Floats | None,
    rng: np.random.Generator,
    progress: bool | None,
) -> Fit:
    """Find endmembers.

    Parameters
    ----------
    start : (K, n_good) array, optional
        See `unmix`.

    Raises
    ------
    ValueError
        "data-guided-nmf" of a sample, whose pixels lack their neighbours.
    """
    Y, w = sample.pixels, sample.weights
    n, bands = Y.shape
    if method in EXTRACTORS:
        found = np.asarray(EXTRACTORS[method](Y, n_endmembers, w, rng))
        model = _model(sample, found, np.ones(bands, Y.dtype), "exact", 0.0)
        return Fit(model, model.shares(Y), np.zeros(n, Y.dtype), None)
    settings = dict(_MODELS[method])
    if settings.get("guide") == "data":
        if not sample.whole:
            raise ValueError(
                f"method is {method!r}, which compares every pixel with its "
                f"neighbours, but only {n} were drawn; pass a sample as large as the "
                "number of valid pixels, or take another method"
            )
        settings["guide"] = neighbour_guide(Y, sample.used)
    first = _start(sample, start, n_endmembers, method, rng)
    weights = w if method == "robust" else None
    fit = factorise(Y, first, pixel_weights=weights, progress=progress, **settings)
    sums = settings.get("sum_to_one", "exact")
    if method == "robust":
        model = _model(sample, fit.endmembers, fit.band_weights, sums, None)
        shares = model.shares(Y)
        return Fit(model, shares, model.guide_of(shares), fit.solution)
    same = float(fit.guide[0])
    model = _model(sample, fit.endmembers, fit.band_weights, sums, same)
    if not sample.whole:
        way = "FCLSU" if sums == "exact" else "NNLS divided by its sum"
        sample.choices["abundances"] = f"{way} without the sparsity of {method!r}"
    return Fit(model, fit.abundances, fit.guide, fit.solution)


def map_tiles(
    cube: HyperspectralCube,
    model: MaterialModel,
    *,
    nbytes: int = TILE_BYTES,
    done: int = 0,
) -> Iterator[tuple[slice, Floats, Floats]]:
    """Yield rows with their abundances (rows, cols, K) and guide (rows, cols).

    Tiles that end within the first `done` rows are passed over. NaN at invalid pixels
    and such as are positive in no band.
    """
    for rows in cube.tiles(nbytes):
        if rows.stop <= done:
            continue
        shares, guide = model.maps(cube.spectra(rows=rows))
        valid = cube.valid[rows]
        yield rows, on_map(valid, shares), on_map(valid, guide)


def on_map(used: Bools, values: Floats) -> Floats:
    """Put values of some pixels, in C order, on a map with NaN elsewhere."""
    maps = np.full((*used.shape, *values.shape[1:]), np.nan, values.dtype)
    maps[used] = values
    return maps


def _model(
    sample: PixelSample,
    endmembers: Floats,
    weights: Floats,
    sums: str,
    guide: float | None,
) -> MaterialModel:
    return MaterialModel(
        endmembers, weights, sample.kept, sample.normalize, sums, guide
    )


def _start(
    sample: PixelSample,
    start: Floats | None,
    count: int,
    method: str,
    rng: np.random.Generator,
) -> Floats:
    if start is not None:
        E = start[:, sample.kept].astype(sample.pixels.dtype)
        if sample.normalize == "l2":
            E = E / np.linalg.norm(E, axis=1, keepdims=True)
        return np.asarray(E)
    if method == "robust" or count == 1:  # VCA needs two
        return archetypal_analysis(
            sample.pixels, count, weights=sample.weights, rng=rng
        )
    return np.asarray(vca(sample.pixels, count, rng=rng))
