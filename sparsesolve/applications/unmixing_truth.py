"""The truth of a scene, as the literature passes it around in MATLAB files."""

from __future__ import annotations

import io
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sparsesolve.atomic import StrPath, write_bytes
from sparsesolve.cube import HyperspectralCube
from sparsesolve.sources import Source, open_source

__all__ = ["UnmixingTruth", "read_truth", "save_truth"]

Floats = NDArray[np.float64]

_PAIRS = (
    ("GT", "S_GT"),
    ("M", "A"),
    ("E", "A_true"),
    ("endmembers", "abundances"),
)
"""Endmembers and abundances are called so, in the order that they are looked for."""

_NAMES = "names", "cood"

_PUBLIC: dict[tuple[int, ...], tuple[str, ...]] = {
    (95, 95, 156): ("soil", "tree", "water")
}
"""Shape of a public scene, Samson, to the names that its file leaves out."""


@dataclass(frozen=True, eq=False, repr=False)
class UnmixingTruth:
    """What a scene is known to be made of.

    Attributes
    ----------
    names : (K,) tuple of str
        Of the endmembers; "material 1" and so on where the file says nothing.
    endmembers : (K, bands) array
        In a unit of their own: angles do not see it.
    abundances : (rows, cols, K) array
        NaN is no-data.
    """

    names: tuple[str, ...]
    endmembers: Floats
    abundances: Floats

    def __repr__(self) -> str:
        shape = " x ".join(map(str, self.abundances.shape))
        return f"UnmixingTruth({', '.join(self.names)}; abundances {shape})"


def read_truth(path: StrPath, cube: HyperspectralCube) -> UnmixingTruth:
    """Read true endmembers and abundances from a MATLAB file (v5, v7.3) or `.npz`.

    Parameters
    ----------
    path : path
        With ``GT`` and ``S_GT`` (Samson), ``M`` and ``A`` (Jasper Ridge, Urban), ``E``
        and ``A_true``, or ``endmembers`` and ``abundances``; names of the endmembers
        in ``cood`` or ``names``. Spectra may be rows or columns. Abundances are
        (rows, cols, K), or (K, pixels) with the pixels **in Fortran order**, column
        after column, as MATLAB flattens.
    cube : HyperspectralCube
        Whose truth it is; its shape tells the axes.

    Returns
    -------
    UnmixingTruth

    Raises
    ------
    OSError, TypeError, ValueError
        There is no such file, or it holds no truth of this cube.
    """
    with open_source(path) as source:
        held = source.shapes()
        pair = next((pair for pair in _PAIRS if set(pair) <= set(held)), None)
        if pair is None:
            wanted = ", ".join(" and ".join(pair) for pair in _PAIRS)
            raise ValueError(
                f"{path} holds {', '.join(held) or 'no numbers'}; wanted {wanted}"
            )
        spectra, shares = (_numbers(source, name) for name in pair)
        names = _names(source)
    bands = cube.shape[2]
    if spectra.ndim == 2 and spectra.shape[1] != bands:
        spectra = spectra.T
    if spectra.ndim != 2 or spectra.shape[1] != bands:
        raise ValueError(
            f"{path}: {pair[0]} has shape {spectra.shape}; wanted (K, {bands}), a "
            "spectrum a row on the bands of the cube"
        )
    count = len(spectra)
    maps = _maps(shares, cube.shape[:2], count)
    if maps is None:
        raise ValueError(
            f"{path}: {pair[1]} has shape {shares.shape}; wanted "
            f"{(*cube.shape[:2], count)}, or ({count}, {math.prod(cube.shape[:2])})"
        )
    names = names or _PUBLIC.get(cube.shape, ())
    if len(names) != count:
        names = tuple(f"material {k + 1}" for k in range(count))
    return UnmixingTruth(names, spectra, maps)


def save_truth(path: StrPath, truth: UnmixingTruth) -> None:
    """Write a truth as `.npz`, whole or not at all; `read_truth` reads it."""
    content = io.BytesIO()
    np.savez_compressed(
        content,
        endmembers=truth.endmembers,
        abundances=truth.abundances,
        names=np.asarray(truth.names),
    )
    write_bytes(path, content.getvalue())


def _maps(shares: Floats, size: tuple[int, ...], count: int) -> Floats | None:
    """Return (rows, cols, K), or None if these are no abundances of such an image."""
    if shares.shape == (*size, count):
        return shares
    if shares.shape == (count, math.prod(size)):
        return np.asarray(shares.T.reshape(*size, count, order="F"))
    return None


def _names(source: Source) -> tuple[str, ...]:
    """Return the names in a v5 file or an archive, without the numbers before them."""
    arrays = getattr(source, "arrays", {})
    for name in _NAMES:
        if name in arrays:
            cells = [np.ravel(cell) for cell in np.ravel(arrays[name])]
            words = [str(cell[0]) if cell.size else "" for cell in cells]
            return tuple(word.lstrip("0123456789-_. ") or word for word in words)
    return ()


def _numbers(source: Source, name: str) -> Floats:
    order: Any = tuple(range(len(source.shape(name))))
    return np.asarray(source.array((name,), order, _same), np.float64)


def _same(piece: NDArray[Any]) -> NDArray[Any]:
    return piece
