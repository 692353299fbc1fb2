"""A generated hyperspectral scene with its truth, for demonstrations and tests."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sparsesolve import checks
from sparsesolve.applications.unmixing_materials import MATERIALS
from sparsesolve.cube import HyperspectralCube

__all__ = ["UnmixingScene", "unmixing_scene"]

Floats = NDArray[np.float64]

# Where water vapour takes nearly all light, nm.
_VAPOUR = ((1345.0, 1430.0), (1805.0, 1955.0))

# Reflectance that stands for no data, times 10,000, as is usual in integer files.
_NO_DATA = -9999

_SCALE = 1e-4
_PIXEL_M = 4.0
_SMALLEST = 16


@dataclass(frozen=True)
class UnmixingScene:
    """A hyperspectral cube and what it was computed from.

    Attributes
    ----------
    cube : HyperspectralCube
        Reflectance times 10,000 as int16.
    names : (K,) tuple of str
        Of the endmembers.
    endmembers : (K, bands) array
        Reflectance of the usual surface of each kind; pixels vary around it.
    abundances : (rows, cols, K) array
        Shares of area, which sum to one; those of dead pixels too.
    bad_bands : (bands,) bool array
        All that are mostly noise: those marked in the cube and those that are not.
    """

    cube: HyperspectralCube
    names: tuple[str, ...]
    endmembers: Floats
    abundances: Floats
    bad_bands: NDArray[np.bool_]


def unmixing_scene(
    seed: int = 0,
    rows: int = 60,
    cols: int = 60,
    *,
    n_bands: int = 210,
    noise: float = 0.002,
    variability: float = 1.0,
    relief: float = 0.06,
    noisy_bands: int = 8,
    dead_pixels: int = 5,
) -> UnmixingScene:
    """Return a scene of fields, a lake and a road, from 400 to 2500 nm.

    The data do not follow the model that unmixing assumes: the spectrum of a material
    changes smoothly over the image, light that leaf and soil both scatter adds a small
    product of their spectra, hillsides are brighter and darker, and the noise grows
    towards both ends of the spectrum. A method that recovers the truth exactly here is
    wrong.

    Parameters
    ----------
    seed : int
        The same scene for the same arguments.
    rows, cols : int, >= 16
    n_bands : int, >= 20
        Equally spaced; their FWHM is their distance.
    noise : float, reflectance, 0 to 0.1
        Standard deviation in a good band in the middle of the spectrum; 0.002 is 48 dB
        below vegetation in the near infrared, and 10 dB below a lake there.
    variability : float, 0 to 4
        Of the spectra within a material, and of the products of two; 0 leaves a linear
        mixture of the endmembers, apart from brightness and noise.
    relief : float, 0 to 0.3
        Standard deviation of the brightness around 1.
    noisy_bands : int
        How many bands are mostly noise without being marked; the ones in the two
        absorptions of water vapour are marked in ``cube.good_bands``.
    dead_pixels : int
        How many are without data, -9999, and marked in ``cube.valid``.

    Raises
    ------
    ValueError, TypeError
        An argument is out of its range.

    Examples
    --------
    >>> scene = unmixing_scene(rows=20, cols=30)
    >>> scene.cube
    HyperspectralCube(20 x 30 x 210 int16, 400 to 2500 nm, 99.2 % valid, 187 good bands)
    >>> scene.names
    ('vegetation', 'soil', 'water', 'concrete')
    """
    shape = _size("rows", rows), _size("cols", cols)
    bands = checks.positive_int("n_bands", n_bands)
    if bands < 20:
        raise ValueError(f"n_bands is {bands}; wanted at least 20")
    # Beyond these, 16 bits would not hold the noise, nor 0 to 1 the reflectance.
    _between("noise", noise, 0.1)
    _between("variability", variability, 4.0)
    _between("relief", relief, 0.3)
    nm = np.linspace(400, 2500, bands)
    vapour = np.any([(low <= nm) & (nm <= high) for low, high in _VAPOUR], axis=0)
    _count("noisy_bands", noisy_bands, int(np.sum(~vapour)) // 2)
    _count("dead_pixels", dead_pixels, rows * cols // 2)
    rng = np.random.default_rng(seed)
    abundances = _abundances(rng, shape)
    reflectance = _mixture(rng, nm, abundances, variability)
    reflectance *= 1 + relief * _smooth_field(rng, shape, 0.12)[:, :, None]
    noisy = np.zeros(bands, bool)
    noisy[rng.choice(np.flatnonzero(~vapour), noisy_bands, replace=False)] = True
    reflectance += _noise(rng, nm, shape, noise, vapour, noisy)
    data = np.round(reflectance / _SCALE).astype(np.int16)
    dead = np.zeros(rows * cols, bool)
    dead[rng.choice(rows * cols, dead_pixels, replace=False)] = True
    valid = ~dead.reshape(shape)
    data[~valid] = _NO_DATA
    cube = HyperspectralCube(
        data,
        nm,
        np.full(bands, nm[1] - nm[0]),
        good_bands=~vapour,
        valid=valid,
        scale=_SCALE,
        quantity="reflectance",
        crs="EPSG:32611",
        transform=(_PIXEL_M, 0.0, 480000.0, 0.0, -_PIXEL_M, 4100000.0),
        steps=(f"generated by sparsesolve, seed {seed}",),
    )
    usual = np.stack([material(nm, np.zeros(1)) for material in MATERIALS.values()])
    return UnmixingScene(cube, tuple(MATERIALS), usual, abundances, vapour | noisy)


def _abundances(rng: np.random.Generator, shape: tuple[int, int]) -> Floats:
    """Shares of vegetation, soil, water and concrete, (rows, cols, 4)."""
    from scipy.ndimage import gaussian_filter

    down, across = np.meshgrid(*(np.linspace(0, 1, n) for n in shape), indexing="ij")
    green = _parcels(rng, down, across)
    shore = 0.35 * _smooth_field(rng, shape, 0.1)
    center = rng.uniform(0.25, 0.4, 2)
    lake = ((down - center[0]) / 0.2) ** 2 + ((across - center[1]) / 0.17) ** 2
    middle = 0.72 + 0.1 * np.sin(2 * np.pi * (down + rng.uniform()))
    road = np.abs(across - middle) < max(0.035, 1.2 / shape[1])
    yard = (np.abs(down - 0.75) < 0.08) & (np.abs(across - 0.4) < 0.1)
    covers = np.zeros((*shape, 4))
    covers[..., 0], covers[..., 1] = green, 1 - green
    covers[lake + shore < 1] = (0, 0, 1, 0)
    covers[road | yard] = (0, 0, 0, 1)
    # The optics blur a border over a pixel or two; within that, covers are patchy.
    blurred = gaussian_filter(covers, (0.8, 0.8, 0))
    shares = rng.gamma(30 * blurred)
    return np.asarray(shares / shares.sum(axis=2, keepdims=True))


def _parcels(rng: np.random.Generator, down: Floats, across: Floats) -> Floats:
    """Share of vegetation in fields, each even, from bare ones to closed ones."""
    count = 14
    seeds = rng.uniform(0, 1, (2, count))
    # The larger of both distances makes fields with straight borders at right angles.
    far = np.maximum(
        np.abs(down[..., None] - seeds[0]), np.abs(across[..., None] - seeds[1])
    )
    even = rng.permutation(np.linspace(0, 1, count))
    share = even**2 * (3 - 2 * even)
    return np.asarray(share[np.argmin(far, axis=-1)])


def _mixture(
    rng: np.random.Generator, nm: Floats, abundances: Floats, variability: float
) -> Floats:
    shape = abundances.shape[:2]
    spectra, mixed = [], np.zeros((*shape, len(nm)))
    for k, material in enumerate(MATERIALS.values()):
        change = 0.25 * variability * _smooth_field(rng, shape, 0.08)[:, :, None]
        spectra.append(material(nm, change))
        mixed += abundances[:, :, k, None] * spectra[-1]
    both = (abundances[:, :, 0] * abundances[:, :, 1])[:, :, None]
    return np.asarray(mixed + 0.3 * variability * both * spectra[0] * spectra[1])


def _noise(
    rng: np.random.Generator,
    nm: Floats,
    shape: tuple[int, int],
    noise: float,
    vapour: NDArray[np.bool_],
    noisy: NDArray[np.bool_],
) -> Floats:
    level = noise * (1 + 2 * np.exp((400 - nm) / 60) + 2 * np.exp((nm - 2500) / 80))
    level[noisy] = rng.uniform(0.08, 0.25, int(noisy.sum()))
    level[vapour] = 0.3
    return np.asarray(level * rng.standard_normal((*shape, len(nm))))


def _smooth_field(
    rng: np.random.Generator, shape: tuple[int, int], length: float
) -> Floats:
    """Normal numbers, mean 0 and deviation 1, at most 2.5, smooth over a length.

    `length` is a share of the shorter side.
    """
    from scipy.ndimage import gaussian_filter

    field = gaussian_filter(
        rng.standard_normal(shape), length * min(shape), mode="wrap"
    )
    field -= field.mean()
    return np.asarray(np.clip(field / field.std(), -2.5, 2.5))


def _size(name: str, value: int) -> int:
    size = checks.positive_int(name, value)
    if size < _SMALLEST:
        raise ValueError(f"{name} is {size}; wanted at least {_SMALLEST}")
    return size


def _between(name: str, value: float, most: float) -> None:
    if checks.positive_number(name, value, zero=True) > most:
        raise ValueError(f"{name} is {value:g}; wanted 0 to {most:g}")


def _count(name: str, value: int, most: int) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
        raise TypeError(f"{name} is {value!r}; wanted an integer")
    if not 0 <= value <= most:
        raise ValueError(f"{name} is {value}; wanted 0 to {most}")
