"""A simulated uplink from a mobile to a base station through a reflecting surface."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sparsesolve import checks
from sparsesolve.applications.channel_steering import (
    cosine_grid,
    irs_factors,
    steering_matrix,
)
from sparsesolve.kronecker_measurement import KroneckerMeasurement
from sparsesolve.snr import power_ratio

__all__ = ["IRSUplink", "simulate"]

Complexes = NDArray[np.complex128]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class IRSUplink:
    """Stations, surface and dictionaries; the defaults are those of the literature.

    Attributes
    ----------
    n_mobile, n_base : int
        Antennas of the mobile and of the base station.
    n_irs : int
        Elements of the intelligent reflecting surface. All three are uniform linear
        arrays with elements half a wavelength apart.
    n_atoms : int
        Directions of each of the three dictionaries, on a uniform grid of cosines.
    n_pilots : int
        Pilots, vectors of QPSK symbols of unit power an antenna.
    n_patterns : int
        Patterns of the surface, of random signs times 1/√n_irs.
    n_adjacent : int, at most `n_atoms`
        Paths of each of the two clusters: those that arrive at the surface, and those
        that arrive at the base station.

    References
    ----------
    He and Joseph, arXiv 2307.14719.
    """

    n_mobile: int = 6
    n_base: int = 16
    n_irs: int = 256
    n_atoms: int = 18
    n_pilots: int = 3
    n_patterns: int = 6
    n_adjacent: int = 3

    def __post_init__(self) -> None:
        for name in self.__dataclass_fields__:
            checks.positive_int(name, getattr(self, name))
        if self.n_adjacent > self.n_atoms:
            raise ValueError(
                f"n_adjacent is {self.n_adjacent}; wanted at most n_atoms, "
                f"{self.n_atoms}"
            )

    @cached_property
    def _dictionaries(self) -> tuple[Complexes, Complexes, Complexes]:
        """Of the mobile station, of pairs of directions at the surface, of the base.

        Only the difference of two cosines counts at the surface, and the grid holds
        all of them, modulo the period 2, as differences from its first.
        """
        grid = cosine_grid(self.n_atoms)
        surface = steering_matrix(self.n_irs, grid)
        return (
            steering_matrix(self.n_mobile, grid),
            surface[:, :1] * surface.conj(),
            steering_matrix(self.n_base, grid),
        )


@dataclass(frozen=True)
class _Paths:
    """Directions of one scene, as places on the grid that need not be whole."""

    departure: NDArray[Any]
    """Of the mobile station, (1,)."""
    arrivals: NDArray[Any]
    """At the surface, (n_adjacent,)."""
    reflected: NDArray[Any]
    """From the surface, (1,)."""
    received: NDArray[Any]
    """At the base station, (n_adjacent,)."""


def simulate(
    rng: np.random.Generator | int,
    snr_db: float,
    geometry: IRSUplink | None = None,
    *,
    off_grid: bool = False,
    snapshots: int | None = None,
) -> KroneckerMeasurement:
    """Simulate the pilots that a base station receives by way of a surface.

    One path leaves the mobile station, arrives at the surface as a cluster of adjacent
    directions, is reflected into one, and arrives at the base station as a second
    cluster. The gains α and β of the paths of both clusters are independent CN(0, 1).

    Parameters
    ----------
    rng : numpy.random.Generator or int
        Of all random numbers. The noise is drawn last, so that equal generators give
        the same scene at another `snr_db`, with noise that is only scaled.
    snr_db : float, dB
        Mean power of the noiseless data over the noise variance; -200 to 200.
    geometry : IRSUplink, optional
        By default the one that published figures are for.
    off_grid : bool
        Draw directions between those of the dictionaries: single ones anywhere, those
        of a cluster each in the next of adjacent intervals of one grid step.
    snapshots : int, optional
        Measure as often while only gains and noise change: data and unknown get one
        more axis, at the end.

    Returns
    -------
    KroneckerMeasurement
        ``y`` (n_patterns, n_pilots, n_base), ``channel`` (n_patterns, n_mobile,
        n_base), and ``x`` (n_atoms, n_atoms, n_atoms), which is None off the grid. Axes
        of ``x``: difference of directions at the surface, departure, arrival.

    Raises
    ------
    ValueError, TypeError
        One sentence that names the argument, what it is and what was wanted.

    Notes
    -----
    With h_k(p) = patternᵀ (a_p conj(a_q)) of arrival p and reflection q at the surface,
    channel[k, m, b] = n_irs Σ_p α_p h_k(p) conj(a_mobile[m]) Σ_r β_r a_base[b, r]. The
    factor n_irs, the aperture that two steering vectors of unit norm hide, is in ``x``.
    """
    rng = _generator(rng)
    snr = power_ratio(snr_db)
    if not isinstance(geometry, (IRSUplink, type(None))):
        raise TypeError(f"geometry is {geometry!r}; wanted an IRSUplink")
    count = None if snapshots is None else checks.positive_int("snapshots", snapshots)
    scene = IRSUplink() if geometry is None else geometry
    signs = rng.choice((-1.0, 1.0), (2, scene.n_mobile, scene.n_pilots))
    pilots = (signs[0] + 1j * signs[1]) / np.sqrt(2)
    patterns = rng.choice((-1.0, 1.0), (scene.n_irs, scene.n_patterns))
    patterns /= np.sqrt(scene.n_irs)
    draw = _between if off_grid else _on_grid
    paths = draw(rng, scene.n_atoms, scene.n_adjacent)
    gains = _normal(rng, (2, scene.n_adjacent, count or 1))
    gains[0] *= scene.n_irs
    columns = _columns(scene, paths, patterns)
    parts = [columns[0] @ gains[0], columns[1], columns[2] @ gains[1]]
    channel = np.einsum("kl,m,bl->kmbl", *parts)
    clean = np.einsum("mt,kmbl->ktbl", pilots, channel)
    noise = float(np.mean(np.abs(clean) ** 2)) / snr
    y = clean + np.sqrt(noise) * _normal(rng, clean.shape)
    x = None if off_grid else _on_dictionary(scene, paths, gains)
    factors, synthesis = irs_factors(*scene._dictionaries, pilots, patterns)
    return KroneckerMeasurement(
        factors,
        _cut(y, count),
        noise_variance=noise,
        x=None if x is None else _cut(x, count),
        synthesis=synthesis,
        channel=_cut(channel, count),
    )


def _generator(rng: Any) -> np.random.Generator:
    seed = isinstance(rng, (int, np.integer)) and not isinstance(rng, bool)
    if not seed and not isinstance(rng, np.random.Generator):
        raise TypeError(f"rng is {rng!r}; wanted a numpy.random.Generator or a seed")
    if seed and rng < 0:
        raise ValueError(f"rng is {rng}; wanted a seed >= 0")
    return np.random.default_rng(rng)


def _on_grid(rng: np.random.Generator, n_atoms: int, n_adjacent: int) -> _Paths:
    first = rng.integers(n_atoms - n_adjacent + 1, size=2)
    single = rng.integers(n_atoms, size=2)
    places = first[:, None] + np.arange(n_adjacent)
    return _Paths(single[:1], places[0], single[1:], places[1])


def _between(rng: np.random.Generator, n_atoms: int, n_adjacent: int) -> _Paths:
    first = (n_atoms - n_adjacent) * rng.random((2, 1))
    single = n_atoms * rng.random(2)
    places = first + np.arange(n_adjacent) + rng.random((2, n_adjacent))
    return _Paths(single[:1], places[0], single[1:], places[1])


def _columns(
    scene: IRSUplink, paths: _Paths, patterns: Floats
) -> tuple[Complexes, Complexes, Complexes]:
    """Return (n_patterns, n_adjacent), (n_mobile,) and (n_base, n_adjacent)."""

    def steer(n_antennas: int, places: Floats) -> Complexes:
        return steering_matrix(n_antennas, -1 + 2 * places / scene.n_atoms)

    surface = steer(scene.n_irs, paths.arrivals)
    surface = surface * steer(scene.n_irs, paths.reflected).conj()
    mobile = steer(scene.n_mobile, paths.departure)[:, 0].conj()
    return patterns.T @ surface, mobile, steer(scene.n_base, paths.received)


def _on_dictionary(scene: IRSUplink, paths: _Paths, gains: Complexes) -> Complexes:
    n = scene.n_atoms
    x = np.zeros((n, n, n, gains.shape[-1]), complex)
    differences = (paths.reflected - paths.arrivals) % n
    place = np.ix_(differences, paths.departure, paths.received)
    x[place] = gains[0][:, None, None] * gains[1][None, None]
    return x


def _normal(rng: np.random.Generator, shape: tuple[int, ...]) -> Complexes:
    """Draw circular complex numbers with E|.|² = 1."""
    draw = rng.standard_normal((*shape, 2)) / np.sqrt(2)
    return np.asarray(draw[..., 0] + 1j * draw[..., 1])


def _cut(values: Complexes, snapshots: int | None) -> Complexes:
    return values[..., 0] if snapshots is None else values
