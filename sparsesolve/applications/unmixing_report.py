"""What an unmixing leaves behind: maps, pictures, and a line in a table."""

from __future__ import annotations

import dataclasses
import importlib.util
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sparsesolve import metrics, plot
from sparsesolve.applications.results import add_rows
from sparsesolve.applications.unmixing_error import fit_error
from sparsesolve.applications.unmixing_library import SpectralLibrary
from sparsesolve.applications.unmixing_run import Unmixing
from sparsesolve.applications.unmixing_sunsal import LibraryUnmixing
from sparsesolve.applications.unmixing_truth import UnmixingTruth
from sparsesolve.backends import Array
from sparsesolve.cube import HyperspectralCube
from sparsesolve.cube_maps import save_envi, save_geotiff
from sparsesolve.io import save
from sparsesolve.spectral_residual import ReconstructionError

__all__ = ["COLUMNS", "LEGEND", "write_library_report", "write_report"]

COLUMNS = (
    "scene",
    "method",
    "normalize",
    "endmembers",
    "bands_screened",
    "error",
    "sad",
    "rmse",
    "guide_correlation",
    "band_f1",
    "seconds",
)

LEGEND = (
    "error: root mean square of data minus model, in the data's unit, over the bands "
    "used; sad: mean angle to the true spectra, rad; rmse: of all abundances; guide "
    "correlation: with the purity of the true abundances; band f1: of the screening"
)

_KEYS = COLUMNS[:4]
# Maps of a library that are drawn: those of the largest share.
_SHOWN = 8
_NOT_IN_HEADER = re.compile(r"[{},=;\x00-\x1f]+")

Say = Callable[[str], None]


@dataclasses.dataclass(frozen=True)
class _Shown:
    """Endmembers (K, bands) and abundances (rows, cols, K) to draw."""

    endmembers: Array
    abundances: Array


def write_report(
    folder: Path,
    name: str,
    cube: HyperspectralCube,
    found: Unmixing,
    *,
    truth: UnmixingTruth | None = None,
    bad_bands: NDArray[np.bool_] | None = None,
    seconds: float,
    say: Say = print,
) -> dict[str, Any]:
    """Write all that follows from an unmixing; return its row of metrics.csv.

    NAME_abundances as ENVI and, where rasterio is installed, GeoTIFF; NAME.png,
    NAME_spectra.png, NAME_bands.png, NAME_error.png; NAME_guide.png and
    NAME_convergence.png where the method has such.

    Parameters
    ----------
    folder : Path
        Exists.
    name : str
        Of the scene, first part of the files' names.
    cube : HyperspectralCube
        That was unmixed.
    found : Unmixing
    truth : UnmixingTruth, optional
        Names the endmembers that match, and is compared with them.
    bad_bands : (bands,) bool array, optional
        Which bands truly are bad, to judge the screening.
    seconds : float
        That the unmixing took.
    say : callable
        Takes one line of text: what could not be written, and why.
    """
    names = None if truth is None else _names(found, truth)
    kept = cube.good_bands & ~found.flagged
    error = fit_error(cube, found)
    row: dict[str, Any] = {
        "scene": name,
        "method": found.method,
        "normalize": found.normalize or "none",
        "endmembers": len(found.endmembers),
        "bands_screened": int(found.flagged.sum()),
        "error": error.overall,
        **_against(found, truth),
    }
    if bad_bands is not None:
        row["band_f1"] = metrics.band_detection(~kept, bad_bands).f1
    row["seconds"] = seconds
    _write_maps(folder, name, cube, found.abundances, names, say)
    scale = "unit-norm pixels" if found.normalize else "physical values"
    title = f"{name}: {found.method} on {scale}"
    _draw(folder, name, title, cube, found, names, error)
    spectra = plot.endmembers(
        found.endmembers,
        cube.wavelengths,
        *_truth_in_order(found, truth),
        cube.good_bands,
        quantity="value" if cube.quantity == "unknown" else cube.quantity,
    )
    plot.save(spectra, folder / f"{name}_spectra.png")
    weights = np.where(cube.good_bands, found.band_weights, np.nan)
    bands = plot.band_weights(weights, cube.wavelengths, found.flagged)
    plot.save(bands, folder / f"{name}_bands.png")
    curve = None if found.solution is None else plot.convergence(found.solution)
    _save_or_remove(curve, folder / f"{name}_convergence.png")
    guide = None
    if _has_guide(found):
        guide = plot.guide(
            found.guide, None if truth is None else metrics.purity(truth.abundances)
        )
    _save_or_remove(guide, folder / f"{name}_guide.png")
    add_rows(folder / "metrics.csv", [row], keys=_KEYS)
    return row


def write_library_report(
    folder: Path,
    name: str,
    cube: HyperspectralCube,
    library: SpectralLibrary,
    found: LibraryUnmixing,
    *,
    bands_screened: int,
    seconds: float,
    say: Say = print,
) -> dict[str, Any]:
    """Write all that follows from unmixing with a library; return its row.

    As `write_report`, without guide and weights; the pictures show the eight spectra of
    the largest share.

    Parameters
    ----------
    folder, name, cube, seconds, say
        As of `write_report`.
    library : SpectralLibrary
        On the good bands of the cube, see `resample`.
    found : LibraryUnmixing
    bands_screened : int
        How many good bands were left out as noise.
    """
    spectra = cube.to_bands(library.spectra)
    error = metrics.reconstruction_error(cube, spectra, found.abundances)
    save(folder / f"{name}_sunsal.h5", found.solution)
    _write_maps(folder, name, cube, found.abundances, found.names, say)
    share = np.nanmean(found.abundances, axis=(0, 1))
    most = np.argsort(-share, kind="stable")[:_SHOWN]
    shown = _Shown(spectra[most], found.abundances[:, :, most])
    title = f"{name}: SUnSAL, the {len(most)} largest of {len(library)} spectra"
    names = [found.names[k] for k in most]
    _draw(folder, name, title, cube, shown, names, error)
    curve = plot.convergence(found.solution)
    plot.save(curve, folder / f"{name}_convergence.png")
    row = {
        "scene": name,
        "method": "sunsal",
        "normalize": "none",
        "endmembers": len(library),
        "bands_screened": bands_screened,
        "error": error.overall,
        "seconds": seconds,
    }
    add_rows(folder / "metrics.csv", [row], keys=_KEYS)
    return row


def _match(found: Unmixing, truth: UnmixingTruth) -> NDArray[np.intp]:
    return metrics.match_endmembers(found.endmembers, truth.endmembers)


def _truth_in_order(
    found: Unmixing, truth: UnmixingTruth | None
) -> tuple[Array | None, list[str] | None]:
    """Return spectra and names as they were found: each keeps its colour."""
    if truth is None:
        return None, None
    order = np.argsort(_match(found, truth))
    return truth.endmembers[order], [truth.names[k] for k in order]


def _names(found: Unmixing, truth: UnmixingTruth) -> list[str]:
    """Return the names of the true endmembers that were matched."""
    names = [f"endmember {k + 1}" for k in range(len(found.endmembers))]
    for row, name in zip(_match(found, truth), truth.names, strict=True):
        names[row] = name
    return names


def _against(found: Unmixing, truth: UnmixingTruth | None) -> dict[str, float]:
    if truth is None:
        return {}
    order = _match(found, truth)
    numbers = {
        "sad": metrics.spectral_angle(found.endmembers, truth.endmembers),
        "rmse": metrics.abundance_rmse(found.abundances, truth.abundances, order=order),
    }
    if _has_guide(found):
        purity = metrics.purity(truth.abundances)
        numbers["guide_correlation"] = metrics.guide_correlation(found.guide, purity)
    return numbers


def _has_guide(found: Unmixing) -> bool:
    """Whether the guide tells pixels apart."""
    return bool(np.nanmax(found.guide) > np.nanmin(found.guide))


def _save_or_remove(figure: Any, path: Path) -> None:
    """Write a picture; where this run has none, remove that of an earlier one."""
    if figure is None:
        path.unlink(missing_ok=True)
    else:
        plot.save(figure, path)


def _write_maps(
    folder: Path,
    name: str,
    cube: HyperspectralCube,
    maps: Array,
    names: Sequence[str] | None,
    say: Say,
) -> None:
    count = maps.shape[2]
    titles = names or [f"endmember {k + 1}" for k in range(count)]
    titles = [_NOT_IN_HEADER.sub(" ", title).strip() for title in titles]
    header, binary, tiff = (
        folder / f"{name}_abundances{suffix}" for suffix in (".hdr", ".img", ".tif")
    )
    text = f"abundances of {name}"
    try:
        save_envi(
            header,
            maps,
            cube,
            names=titles,
            description=_NOT_IN_HEADER.sub(" ", text),
        )
    # A map that is turned or in a rare coordinate system: what was found is kept.
    except (ImportError, ValueError) as error:
        for place in (header, binary):
            place.unlink(missing_ok=True)
        say(f"no ENVI file of the abundances: {error}")
    if importlib.util.find_spec("rasterio") is None:
        tiff.unlink(missing_ok=True)
        say("no GeoTIFF of the abundances: pip install 'sparsesolve[geotiff]' for one")
        return
    save_geotiff(tiff, maps, cube, names=titles)


def _draw(
    folder: Path,
    name: str,
    title: str,
    cube: HyperspectralCube,
    found: Any,
    names: Sequence[str] | None,
    error: ReconstructionError,
) -> None:
    """Draw the overview and the map of errors."""
    overview = plot.unmixing(cube, found, names, title=title)
    plot.save(overview, folder / f"{name}.png")
    plot.save(plot.error_map(error.per_pixel), folder / f"{name}_error.png")
