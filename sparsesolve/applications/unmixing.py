"""Hyperspectral unmixing: from a cube to endmembers, abundances and maps."""

from sparsesolve.applications.unmixing_abundances import fclsu, nnls
from sparsesolve.applications.unmixing_archetypes import archetypal_analysis
from sparsesolve.applications.unmixing_dimension import elbow, hfc, hysime
from sparsesolve.applications.unmixing_error import fit_error
from sparsesolve.applications.unmixing_guides import neighbour_guide, pixel_laplacian
from sparsesolve.applications.unmixing_library import SpectralLibrary, resample
from sparsesolve.applications.unmixing_library_files import load_library
from sparsesolve.applications.unmixing_minimum_volume import sisal
from sparsesolve.applications.unmixing_noise import band_noise, screen_bands, screened
from sparsesolve.applications.unmixing_pure_pixels import nfindr, spa
from sparsesolve.applications.unmixing_robust import Factorisation, factorise
from sparsesolve.applications.unmixing_run import Unmixing, unmix
from sparsesolve.applications.unmixing_scene import UnmixingScene, unmixing_scene
from sparsesolve.applications.unmixing_subspace import affine_subspace, signal_subspace
from sparsesolve.applications.unmixing_sunsal import (
    LibraryUnmixing,
    clsunsal,
    sunsal,
    sunsal_tv,
)
from sparsesolve.applications.unmixing_tiles import unmix_file
from sparsesolve.applications.unmixing_truth import UnmixingTruth, read_truth
from sparsesolve.applications.unmixing_vca import vca
from sparsesolve.cube_maps import save_envi, save_geotiff
from sparsesolve.cube_mat import from_mat

__all__ = [
    "Factorisation",
    "LibraryUnmixing",
    "SpectralLibrary",
    "Unmixing",
    "UnmixingScene",
    "UnmixingTruth",
    "affine_subspace",
    "archetypal_analysis",
    "band_noise",
    "clsunsal",
    "elbow",
    "factorise",
    "fclsu",
    "fit_error",
    "from_mat",
    "hfc",
    "hysime",
    "load_library",
    "neighbour_guide",
    "nfindr",
    "nnls",
    "pixel_laplacian",
    "read_truth",
    "resample",
    "save_envi",
    "save_geotiff",
    "screen_bands",
    "screened",
    "signal_subspace",
    "sisal",
    "spa",
    "sunsal",
    "sunsal_tv",
    "unmix",
    "unmix_file",
    "unmixing_scene",
    "vca",
]
