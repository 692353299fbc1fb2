"""How well an unmixing explains its cube."""

from __future__ import annotations

import dataclasses

import numpy as np

from sparsesolve import metrics
from sparsesolve.applications.unmixing_run import Unmixing
from sparsesolve.cube import HyperspectralCube
from sparsesolve.spectral_residual import ReconstructionError

__all__ = ["fit_error"]


def fit_error(cube: HyperspectralCube, found: Unmixing) -> ReconstructionError:
    """Return data minus model in the cube's unit, on the bands that were used.

    Shares of a unit-norm spectrum explain the shape alone: the brightness is the data's
    own. For other models, `sparsesolve.metrics.reconstruction_error`.

    Parameters
    ----------
    cube : HyperspectralCube
        That was unmixed; read tile by tile.
    found : Unmixing

    Returns
    -------
    ReconstructionError
        ``per_pixel (rows, cols)`` and ``overall``, root mean squares.

    Raises
    ------
    ValueError
        The unmixing is not one of this cube.
    """
    if found.abundances.shape[:2] != cube.shape[:2]:
        raise ValueError(
            f"found has maps of {found.abundances.shape[:2]}; wanted {cube.shape[:2]}, "
            "as of the cube"
        )
    cube = dataclasses.replace(cube, good_bands=cube.good_bands & ~found.flagged)
    spectra, shares = found.endmembers, np.asarray(found.abundances)
    if found.normalize == "l2":
        good = spectra[:, cube.good_bands]
        spectra = spectra / np.linalg.norm(good, axis=1, keepdims=True)
        blocks = (cube.spectra(rows=rows) for rows in cube.tiles())
        norms = np.concatenate([np.linalg.norm(block, axis=1) for block in blocks])
        shares = shares * cube.to_map(norms)[:, :, None]
    return metrics.reconstruction_error(cube, spectra, shares)
