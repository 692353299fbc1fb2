"""A hyperspectral cube: an image whose pixels are spectra, checked."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from sparsesolve import checks, cube_check
from sparsesolve.backends import Array, Shape
from sparsesolve.lazy import LazyArray
from sparsesolve.schema import column

TILE_BYTES = 2**26
"""Rows are read in blocks of about this size as float64 (64 MiB)."""


@dataclass(frozen=True, eq=False, repr=False)
class HyperspectralCube:
    """A hyperspectral image with what is known of its bands, pixels and place.

    The physical value of an entry is ``data * scale + offset``: reflectance stored as
    integers up to 10,000 has ``scale=1e-4``.

    Parameters
    ----------
    data : (rows, cols, bands) integer or real array
        As stored. May be a `LazyArray` left in its file (then NaN are found when its
        spectra are read), or a memory map.
    wavelengths : (bands,) array, nm, optional
        Centres of the bands, each once; overlapping detectors need not be sorted.
    fwhm : (bands,) array, nm, optional
        Full width at half maximum of each band.
    good_bands : (bands,) bool array, optional
        False: a band that enters no statistic and no fit. None: all are good.
    valid : (rows, cols) bool array, optional
        False: a pixel that enters no statistic and no fit, and leaves as no-data; its
        entries may be anything, NaN included. None: all are valid.
    scale, offset : float
        See above; one number for all bands.
    quantity : str
        What the physical values are, such as ``"reflectance"`` or ``"radiance"``.
    crs : str, optional
        Coordinate reference system of the map, as WKT or ``"EPSG:32610"``.
    transform : (6,) sequence of float, optional
        ``(a, b, c, d, e, f)`` of the affine map x = a·col + b·row + c,
        y = d·col + e·row + f from the outer corner of the first pixel, as GDAL and
        rasterio have it; in units of `crs`. An ``affine.Affine`` will do.
    steps : tuple of str
        What was done to the data since they were measured, a sentence a step, in order.

    Raises
    ------
    ValueError, TypeError
        One sentence that names the argument, what it is and what was wanted.

    Notes
    -----
    Nothing is copied but the small arrays; the check for NaN reads real data once,
    O(rows · cols · bands), in blocks of 64 MiB. After construction `good_bands` and
    `valid` always are arrays.

    Examples
    --------
    >>> import numpy as np
    >>> counts = np.arange(24, dtype="uint16").reshape(2, 3, 4)
    >>> cube = HyperspectralCube(counts, [450, 550, 650, 850], scale=1e-4)
    >>> cube
    HyperspectralCube(2 x 3 x 4 uint16, 450 to 850 nm, 100 % valid, 4 good bands)
    >>> cube.spectra().shape
    (6, 4)
    """

    data: Array = field(
        metadata=column("1", "row col band", missing="valid", may_stay_in_file=True)
    )
    wavelengths: Array | None = field(default=None, metadata=column("nm", "band"))
    fwhm: Array | None = field(default=None, metadata=column("nm", "band"))
    good_bands: Array = field(default=None, metadata=column("1", "band"))
    valid: Array = field(default=None, metadata=column("1", "row col"))
    scale: float = field(default=1.0, metadata=column("1", ""))
    offset: float = field(default=0.0, metadata=column("1", ""))
    quantity: str = field(default="unknown", metadata=column("1", "", text=True))
    crs: str | None = field(default=None, metadata=column("1", "", text=True))
    transform: tuple[float, ...] | None = field(
        default=None, metadata=column("1", "affine")
    )
    steps: tuple[str, ...] = field(default=(), metadata=column("1", "step"))

    def __post_init__(self) -> None:
        bands = None if self.wavelengths is None else np.size(self.wavelengths)
        data = cube_check.image(self.data, bands)
        rows, cols, n_bands = data.shape
        wavelengths = cube_check.wavelengths(self.wavelengths, n_bands)
        clean = {
            "data": data,
            "wavelengths": wavelengths,
            "fwhm": cube_check.widths(self.fwhm, n_bands),
            "good_bands": cube_check.flags("good_bands", self.good_bands, (n_bands,)),
            "valid": cube_check.flags("valid", self.valid, (rows, cols)),
            "scale": checks.positive_number("scale", self.scale),
            "offset": cube_check.number("offset", self.offset),
            "quantity": cube_check.text("quantity", self.quantity),
            "crs": None if self.crs is None else cube_check.text("crs", self.crs),
            "transform": cube_check.affine(self.transform),
            "steps": checks.sentences("steps", self.steps),
        }
        for name, value in clean.items():
            object.__setattr__(self, name, value)
        if data.dtype.kind == "f" and not isinstance(data, LazyArray):
            self._refuse_nan()

    @classmethod
    def from_matrix(
        cls,
        matrix: Array,
        shape: tuple[int, int],
        *,
        order: str,
        wavelengths: Array | None = None,
        scale: float = 1.0,
    ) -> HyperspectralCube:
        """Return the cube of a matrix of spectra, in a stated order of the pixels.

        Parameters
        ----------
        matrix : (n_pixels, bands) array
            A spectrum a row; transpose one of (bands, n_pixels).
        shape : (rows, cols)
            Of the image.
        order : "C" or "F"
            "C": a row of the image after the other, as NumPy flattens; "F": column
            after column, as MATLAB flattens. There is no default, as a wrong one
            still looks like spectra.
        wavelengths, scale
            As of `HyperspectralCube`.

        Raises
        ------
        ValueError, TypeError
            `matrix` does not have rows times cols rows, or `order` is another.

        Examples
        --------
        >>> import numpy as np
        >>> matrix = np.arange(6.0)[:, None]
        >>> HyperspectralCube.from_matrix(matrix, (2, 3), order="F").data[:, :, 0]
        array([[0., 2., 4.],
               [1., 3., 5.]])
        """
        size = checks.shape_tuple("shape", shape)
        if order not in ("C", "F"):
            raise ValueError(
                f"order is {order!r}; wanted 'C' (row after row, NumPy) or 'F' (column "
                "after column, MATLAB)"
            )
        data = cube_check.pixel_rows(matrix, size)
        image = data.reshape(
            (*size, -1) if order == "C" else (*size[::-1], data.shape[1])
        )
        if order == "F":
            image = np.swapaxes(image, 0, 1)
        return cls(image, wavelengths, scale=scale)

    @property
    def shape(self) -> Shape:
        """(rows, cols, bands)."""
        return tuple(self.data.shape)

    @property
    def n_valid(self) -> int:
        """Number of valid pixels."""
        return int(np.count_nonzero(self.valid))

    @property
    def n_good(self) -> int:
        """Number of good bands."""
        return int(np.count_nonzero(self.good_bands))

    def tiles(self, nbytes: int = TILE_BYTES) -> Iterator[slice]:
        """Cut the rows into blocks of about `nbytes` as float64, one row at least.

        ``for rows in cube.tiles(): cube.spectra(rows=rows)`` streams a cube that is
        larger than memory.
        """
        size = checks.positive_int("nbytes", nbytes)
        rows, cols, bands = self.shape
        step = max(1, size // (8 * cols * bands))
        for start in range(0, rows, step):
            yield slice(start, min(start + step, rows))

    def spectra(
        self, dtype: DTypeLike | None = None, *, rows: slice | None = None
    ) -> NDArray[Any]:
        """Return the physical spectra of valid pixels in good bands.

        Parameters
        ----------
        dtype : float32, float64 or None
            None: float32 if the data are, else float64.
        rows : slice or None
            Only of these rows of the image; None: of all.

        Returns
        -------
        (n_valid, n_good) array
            A pixel a row, in C order of the image (row after row). Read block by block
            of rows: beside the result, about 64 MiB are in memory.

        Raises
        ------
        ValueError
            The data, left in their file, hold NaN there, or the file has changed.
        """
        single = self.data.dtype.kind == "f" and self.data.dtype.itemsize == 4
        kind = np.dtype(dtype or (np.float32 if single else np.float64))
        if kind not in (np.dtype(np.float32), np.dtype(np.float64)):
            raise TypeError(f"dtype is {kind}; wanted float32 or float64")
        first, last, _ = (rows or slice(None)).indices(self.shape[0])
        window = slice(first, max(first, last))
        found = np.empty((np.count_nonzero(self.valid[window]), self.n_good), kind)
        done = 0
        for tile in self.tiles():
            part = slice(max(tile.start, window.start), min(tile.stop, window.stop))
            if part.start < part.stop:
                block = self._stored(part)
                found[done : done + len(block)] = block
                done += len(block)
        if self.scale != 1:
            found *= self.scale
        if self.offset != 0:
            found += self.offset
        return found

    def to_map(self, values: Array, fill: float = math.nan) -> NDArray[Any]:
        """Put values of valid pixels back on the map.

        Parameters
        ----------
        values : (n_valid, ...) array
            As of the rows of `spectra`.
        fill : float
            What invalid pixels get. Integers become float64 where they must hold NaN.

        Returns
        -------
        (rows, cols, ...) array

        Raises
        ------
        ValueError
            Another number of pixels.
        """
        array = np.asarray(values)
        if array.ndim == 0 or len(array) != self.n_valid:
            raise ValueError(
                f"values has shape {array.shape}; wanted ({self.n_valid}, ...), one "
                f"entry a valid pixel of {self!r}"
            )
        kind = cube_check.holding(array.dtype, fill)
        found = np.full((*self.shape[:2], *array.shape[1:]), fill, kind)
        found[self.valid] = array
        return found

    def to_bands(self, values: Array, fill: float = math.nan) -> NDArray[Any]:
        """Put values of good bands back on all bands.

        Parameters
        ----------
        values : (..., n_good) array
            As of the columns of `spectra`.
        fill : float
            What the other bands get. Integers become float64 where they must hold NaN.

        Returns
        -------
        (..., bands) array

        Raises
        ------
        ValueError
            Another number of bands.
        """
        array = np.asarray(values)
        if array.ndim == 0 or array.shape[-1] != self.n_good:
            raise ValueError(
                f"values has shape {array.shape}; wanted (..., {self.n_good}), one "
                f"entry a good band of {self!r}"
            )
        kind = cube_check.holding(array.dtype, fill)
        found = np.full((*array.shape[:-1], self.shape[2]), fill, kind)
        found[..., self.good_bands] = array
        return found

    def read(self) -> HyperspectralCube:
        """Return the cube with its data in memory and checked for NaN.

        Raises
        ------
        ValueError
            The data hold NaN in a valid pixel and a good band, or the file has changed
            since it was opened.
        """
        mapped = isinstance(self.data, np.memmap)
        data = np.array(self.data) if mapped else np.asarray(self.data)
        return dataclasses.replace(self, data=data)

    def in_convention(self) -> HyperspectralCube:
        """Return the cube itself: its units are the library's by construction."""
        return self

    def __repr__(self) -> str:
        rows, cols, bands = self.shape
        share = f"{100 * self.n_valid / (rows * cols):.3g} % valid"
        parts = [f"{rows} x {cols} x {bands} {self.data.dtype}"]
        if self.wavelengths is not None:
            low, high = np.min(self.wavelengths), np.max(self.wavelengths)
            parts.append(f"{low:.5g} to {high:.5g} nm")
        parts += [share, f"{self.n_good} good bands"]
        return f"HyperspectralCube({', '.join(parts)})"

    def _stored(self, rows: slice) -> NDArray[Any]:
        """Stored entries of valid pixels and good bands in some rows, without NaN."""
        block = np.asarray(self.data[rows])
        everywhere = bool(np.all(self.valid[rows]))
        block = block.reshape(-1, block.shape[-1])
        block = block if everywhere else block[self.valid[rows].reshape(-1)]
        block = block if np.all(self.good_bands) else block[:, self.good_bands]
        if block.dtype.kind == "f" and not np.all(np.isfinite(block)):
            raise ValueError(
                f"data has {int(np.sum(~np.isfinite(block)))} NaN or infinite entries "
                f"in good bands of valid pixels of rows {rows.start} to "
                f"{rows.stop - 1}; exclude those pixels with valid=, or bands with "
                "good_bands="
            )
        return block

    def _refuse_nan(self) -> None:
        for rows in self.tiles():
            self._stored(rows)
