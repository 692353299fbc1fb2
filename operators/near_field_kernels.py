"""Numba kernels of `NearFieldMIMO` for one run of equally spaced frequencies.

Voxels are taken in tiles that stay in the caches. Per channel a wave and its change
from one frequency to the next, s = e^{jθ}, are formed once; frequencies then come five
at a time, z s^{-2} to z s^{2} about a middle one, from which the next five follow by
s^5. With z = a + jb the sums of a cos mθ, b sin mθ, a sin mθ and b cos mθ give the
frequencies m steps above and below the middle together, in half the products of two
complex ones. What is left of the frequencies, four at most, follows one by one.

Real and imaginary parts are kept apart, because interleaved complex numbers do not
vectorise, and loops are written with explicit vectors (`sparsesolve.lanes`), as LLVM
leaves loops over so many rows scalar.
"""

from __future__ import annotations

import math

import numpy as np

from sparsesolve.backends import Array
from sparsesolve.kernels import claim, njit, prange
from sparsesolve.lanes import load, splat, store, total, width

# A tile's work rows stay in the first-level cache, the waves of some dozens of antennas
# in the second-level one. Rows are a little longer than a tile: at multiples of 4 KiB
# they would compete for the same places of the cache.
TILE = 512
_ROW = TILE + 16
# Rows of an antenna: its wave and the change per frequency, real and imaginary parts.
_ROWS = 4
Waves = tuple[Array, Array, Array, Array, Array]
Blocks = tuple[Array, Array, Array, Array]
Work = tuple[Array, Array, Array, Array]

# Without the promise that NaN and infinity never come: they must come out again.
_FAST = {"reassoc", "contract", "nsz", "arcp"}


@njit(cache=True, error_model="numpy")
def _times(a: Array, b: Array, c: Array, d: Array) -> tuple[Array, Array]:
    """Return (a + jb)(c + jd)."""
    return a * c - b * d, a * d + b * c


@njit(cache=True, error_model="numpy", fastmath=_FAST)
def _part(values: Array, first: int, n: int, out: Array, row: int) -> None:
    """Copy real and imaginary parts of a tile to the two rows of `out` at `row`."""
    re, im, tile = out[row : row + n], out[row + _ROW : row + _ROW + n], values[first:]
    for i in range(n):
        re[i], im[i] = tile[i].real, tile[i].imag


@njit(cache=True, error_model="numpy")
def _look_up(
    start: Array, step: Array, antennas: Array, first: int, n: int, out: Array
) -> None:
    """Copy a tile of the tables of some antennas to the rows of `out`."""
    for a in range(antennas.size):
        row = _ROWS * _ROW * a
        _part(start[antennas[a]], first, n, out, row)
        _part(step[antennas[a]], first, n, out, row + 2 * _ROW)


@njit(cache=True, error_model="numpy", fastmath=_FAST)
def _distances(points: Array, position: Array, first: int, r: Array) -> None:
    """Put the distances of a tile of `points`, (3, voxels), into `r`."""
    x, y, z = position[0], position[1], position[2]
    px, py, pz = points[0, first:], points[1, first:], points[2, first:]
    for i in range(r.size):
        dx, dy, dz = px[i] - x, py[i] - y, pz[i] - z
        r[i] = math.sqrt(dx * dx + dy * dy + dz * dz)


@njit(cache=True, error_model="numpy", fastmath=_FAST)
def _phasors(r: Array, per_metre: float, re: Array, im: Array) -> None:
    """Put e^{2πj r per_metre} into `re` and `im`, phases in double precision.

    The angle is brought into a turn, a quarter of it into Taylor's series, whose first
    term left out is below 1e-16, and the angle doubled twice.
    """
    for i in range(r.size):
        turns = r[i] * per_metre
        x = (turns - np.floor(turns + 0.5)) * (math.pi / 2)
        u = x * x
        s = -1 / 1307674368000.0 * u + 1 / 6227020800.0
        s = (s * u - 1 / 39916800.0) * u + 1 / 362880.0
        s = ((s * u - 1 / 5040.0) * u + 1 / 120.0) * u - 1 / 6.0
        s = x + x * u * s
        c = 1 / 20922789888000.0 * u - 1 / 87178291200.0
        c = (c * u + 1 / 479001600.0) * u - 1 / 3628800.0
        c = ((c * u + 1 / 40320.0) * u - 1 / 720.0) * u + 1 / 24.0
        c = 1 - u * (0.5 - u * c)
        s, c = 2 * s * c, 1 - 2 * s * s
        re[i], im[i] = 1 - 2 * s * s, 2 * s * c


@njit(cache=True, error_model="numpy", fastmath=_FAST)
def _spread(r: Array, re: Array, im: Array) -> None:
    """Divide a wave by √(4π) r."""
    scale = 1 / math.sqrt(4 * math.pi)
    for i in range(r.size):
        loss = scale / r[i]
        re[i], im[i] = re[i] * loss, im[i] * loss


@njit(cache=True, error_model="numpy")
def _fill(
    waves: Waves, antennas: Array, first: int, n: int, r: Array, out: Array
) -> None:
    """Put a tile of some antennas' waves, from the tables if there are, into `out`.

    See `near_field_compiled` for `waves`; `r` is room for distances.
    """
    start, step, points, positions, wave = waves
    if start.shape[1]:
        _look_up(start, step, antennas, first, n, out)
        return
    for a in range(antennas.size):
        row = _ROWS * _ROW * a
        re, im = out[row : row + n], out[row + _ROW : row + _ROW + n]
        _distances(points, positions[antennas[a]], first, r)
        _phasors(r, wave[0], re, im)
        if wave[2] != 0:
            _spread(r, re, im)
        row += 2 * _ROW
        re, im = out[row : row + n], out[row + _ROW : row + _ROW + n]
        if wave[1] != 0:
            _phasors(r, wave[1], re, im)


@njit(cache=True, error_model="numpy")
def _complete(n_antennas: int, n: int, middle: bool, out: Array) -> int:
    """Fill up the last vector with zeros and go to the middle of the first five.

    Returns the number of voxels with those that were added.
    """
    whole: int = -(-n // width(out)) * width(out)
    for row in range(0, _ROWS * _ROW * n_antennas, _ROW):
        for i in range(n, whole):
            out[row + i] = 0
    if not middle:
        return whole
    for row in range(0, _ROWS * _ROW * n_antennas, _ROWS * _ROW):
        for i in range(row, row + whole, width(out)):
            c, s = load(out, i + 2 * _ROW), load(out, i + 3 * _ROW)
            c, s = _times(c, s, c, s)
            c, s = _times(load(out, i), load(out, i + _ROW), c, s)
            store(out, i, c)
            store(out, i + _ROW, s)
    return whole


@njit(cache=True, error_model="numpy")
def _weigh(w: Array, n: int, rows: Array, out: Array) -> None:
    """Put waves times the voxels in the first rows of `w` into the rows of `out`."""
    for row in range(0, rows.size, _ROWS * _ROW):
        for i in range(0, n, width(w)):
            j = row + i
            a, b = load(rows, j), load(rows, j + _ROW)
            a, b = _times(a, b, load(w, i), load(w, i + _ROW))
            store(out, j, a)
            store(out, j + _ROW, b)


@njit(cache=True, error_model="numpy")
def _channel(
    p: Array, change: Array, a: int, q: Array, b: int, n: int, w: Array
) -> None:
    """Put a channel's z, s, s² and s⁵ into eight rows of `w`.

    `p` has the first antenna's waves (rows of antenna `a`), `change` its changes, `q`
    the second antenna's (rows of antenna `b`).
    """
    for i in range(0, n, width(w)):
        j, k = a + i, b + i
        c, s = _times(load(p, j), load(p, j + _ROW), load(q, k), load(q, k + _ROW))
        store(w, i, c)
        store(w, i + _ROW, s)
        j, k = j + 2 * _ROW, k + 2 * _ROW
        c, s = _times(
            load(change, j), load(change, j + _ROW), load(q, k), load(q, k + _ROW)
        )
        store(w, i + 2 * _ROW, c)
        store(w, i + 3 * _ROW, s)
        u, v = c * c - s * s, (c + c) * s
        store(w, i + 4 * _ROW, u)
        store(w, i + 5 * _ROW, v)
        u, v = u * u - v * v, (u + u) * v
        u, v = _times(u, v, c, s)
        store(w, i + 6 * _ROW, u)
        store(w, i + 7 * _ROW, v)


@njit(cache=True, error_model="numpy")
def _sum_five(w: Array, n: int, out: Array, k: int) -> None:
    """Add the sums over voxels of five frequencies to `out` and go on to the next."""
    a0 = b0 = ac = bc = as_ = bs = splat(w.dtype.type(0))
    ac2 = bc2 = as2 = bs2 = a0
    for i in range(0, n, width(w)):
        a, b = load(w, i), load(w, i + _ROW)
        a0, b0 = a0 + a, b0 + b
        c, s = load(w, i + 2 * _ROW), load(w, i + 3 * _ROW)
        ac, bc, as_, bs = ac + a * c, bc + b * c, as_ + a * s, bs + b * s
        c, s = load(w, i + 4 * _ROW), load(w, i + 5 * _ROW)
        ac2, bc2, as2, bs2 = ac2 + a * c, bc2 + b * c, as2 + a * s, bs2 + b * s
        a, b = _times(a, b, load(w, i + 6 * _ROW), load(w, i + 7 * _ROW))
        store(w, i, a)
        store(w, i + _ROW, b)
    out[k] += complex(total(ac2 + bs2), total(bc2 - as2))
    out[k + 1] += complex(total(ac + bs), total(bc - as_))
    out[k + 2] += complex(total(a0), total(b0))
    out[k + 3] += complex(total(ac - bs), total(bc + as_))
    out[k + 4] += complex(total(ac2 - bs2), total(bc2 + as2))


@njit(cache=True, error_model="numpy")
def _turn(w: Array, row: int, by: int, sign: int, n: int) -> None:
    """Multiply the two rows at `row` by those at `by`, conjugated if sign is -1."""
    way = splat(w.dtype.type(sign))
    for i in range(0, n, width(w)):
        c, s = load(w, by + i), way * load(w, by + _ROW + i)
        a, b = _times(load(w, row + i), load(w, row + _ROW + i), c, s)
        store(w, row + i, a)
        store(w, row + _ROW + i, b)


@njit(cache=True, error_model="numpy")
def _sum(w: Array, n: int) -> complex:
    """Return the sum over voxels of z."""
    re = im = splat(w.dtype.type(0))
    for i in range(0, n, width(w)):
        re, im = re + load(w, i), im + load(w, i + _ROW)
    return complex(total(re), total(im))


@njit(cache=True, error_model="numpy")
def _frequencies(w: Array, n: int, n_freq: int, out: Array) -> None:
    """Add a channel's data from one tile to `out`, (n_freq,)."""
    fives = n_freq // 5
    for k in range(fives):
        _sum_five(w, n, out, 5 * k)
    if fives and n_freq > 5 * fives:
        _turn(w, 0, 4 * _ROW, -1, n)
    for k in range(5 * fives, n_freq):
        out[k] += _sum(w, n)
        if k + 1 < n_freq:
            _turn(w, 0, 2 * _ROW, 1, n)


@njit(cache=True, error_model="numpy")
def _add_five(y: Array, k: int, w: Array, n: int) -> None:
    """One step of Horner's rule in s⁻⁵, in rows 8 and 9, for five frequencies."""
    y0, y1, y2, y3, y4 = y[k], y[k + 1], y[k + 2], y[k + 3], y[k + 4]
    m, e, o, e2, o2 = y2, y3 + y1, y3 - y1, y4 + y0, y4 - y0
    mr, mi, er, ei = splat(m.real), splat(m.imag), splat(e.real), splat(e.imag)
    our, oi, er2, ei2 = splat(o.real), splat(o.imag), splat(e2.real), splat(e2.imag)
    or2, oi2 = splat(o2.real), splat(o2.imag)
    for i in range(0, n, width(w)):
        c, s = load(w, i + 2 * _ROW), load(w, i + 3 * _ROW)
        re, im = mr + er * c + oi * s, mi + ei * c - our * s
        c, s = load(w, i + 4 * _ROW), load(w, i + 5 * _ROW)
        re, im = re + er2 * c + oi2 * s, im + ei2 * c - or2 * s
        c, s = load(w, i + 6 * _ROW), load(w, i + 7 * _ROW)
        a, b = load(w, i + 8 * _ROW), load(w, i + 9 * _ROW)
        store(w, i + 8 * _ROW, re + a * c + b * s)
        store(w, i + 9 * _ROW, im + b * c - a * s)


@njit(cache=True, error_model="numpy")
def _add(y: complex, w: Array, n: int) -> None:
    """Add one datum to rows 8 and 9."""
    re, im = splat(w.dtype.type(y.real)), splat(w.dtype.type(y.imag))
    for i in range(0, n, width(w)):
        store(w, i + 8 * _ROW, load(w, i + 8 * _ROW) + re)
        store(w, i + 9 * _ROW, load(w, i + 9 * _ROW) + im)


@njit(cache=True, error_model="numpy")
def _focus(y: Array, w: Array, n: int, sums: Array, at: int) -> None:
    """Add a channel's Σ_k conj(z s^k) y_k to the two rows of `sums` at `at`."""
    n_freq, fives = y.size, y.size // 5
    for i in range(8 * _ROW, 10 * _ROW):
        w[i] = 0
    for k in range(n_freq - 1, 5 * fives - 1, -1):
        _turn(w, 8 * _ROW, 2 * _ROW, -1, n)
        _add(y[k], w, n)
    if fives and n_freq > 5 * fives:
        _turn(w, 8 * _ROW, 4 * _ROW, 1, n)
    for k in range(5 * fives - 5, -1, -5):
        _add_five(y, k, w, n)
    for i in range(0, n, width(w)):
        a, b = load(w, i + 8 * _ROW), load(w, i + 9 * _ROW)
        c, s = load(w, i), load(w, i + _ROW)
        store(sums, at + i, load(sums, at + i) + a * c + b * s)
        j = at + _ROW + i
        store(sums, j, load(sums, j) + b * c - a * s)


@njit(cache=True, error_model="numpy")
def _rows(blocks: Blocks, like: Array) -> Array:
    """Return rows for the antennas of any block, in the precision of `like`."""
    return np.zeros(_ROWS * _ROW * np.diff(blocks[2]).max(), like.real.dtype)


@njit(cache=True, error_model="numpy")
def _measure(
    x: Array, waves: Waves, blocks: Blocks, cuts: Array, job: int, work: Work, y: Array
) -> None:
    """Put the data that a group of voxels gives a block of channels into `y`.

    `work` is room for the antennas' rows, twice, for a channel's, and for distances.
    """
    first_of, members, edges, pairs = blocks
    block, group = job // len(y), job % len(y)
    low, high, n_freq = cuts[group], cuts[group + 1], y.shape[3]
    antennas, out = members[edges[block] : edges[block + 1]], y[group]
    rows, weighed, w, r = work
    rows = rows[: _ROWS * _ROW * antennas.size]
    out[:, first_of[block] : first_of[block + 1]] = 0
    n_tiles = -(-(high - low) // TILE)
    for tile in range(n_tiles):
        first = low + (high - low) * tile // n_tiles
        n = low + (high - low) * (tile + 1) // n_tiles - first
        _fill(waves, antennas, first, n, r[:n], rows)
        whole = _complete(antennas.size, n, n_freq >= 5, rows)
        for b in range(x.shape[0]):
            for i in range(n, whole):
                w[i], w[_ROW + i] = 0, 0
            _part(x[b], first, n, w, 0)
            _weigh(w, whole, rows, weighed)
            for c in range(first_of[block], first_of[block + 1]):
                t, u = _ROWS * _ROW * pairs[c, 0], _ROWS * _ROW * pairs[c, 1]
                _channel(weighed, rows, t, rows, u, whole, w)
                _frequencies(w, whole, n_freq, out[b, c])


@njit(cache=True, error_model="numpy")
def _image(
    y: Array, waves: Waves, blocks: Blocks, low: int, high: int, work: Work, out: Array
) -> None:
    """Put the image of all channels on the voxels low to high into `out`.

    `work` is room for the antennas' rows, for a channel's, for distances and for sums.
    """
    first_of, members, edges, pairs = blocks
    n_batch, n_freq = y.shape[0], y.shape[2]
    rows, w, r, sums = work
    n_tiles = -(-(high - low) // TILE)
    for tile in range(n_tiles):
        first = low + (high - low) * tile // n_tiles
        n = low + (high - low) * (tile + 1) // n_tiles - first
        sums[:] = 0
        for block in range(first_of.size - 1):
            antennas = members[edges[block] : edges[block + 1]]
            _fill(waves, antennas, first, n, r[:n], rows)
            whole = _complete(antennas.size, n, n_freq >= 5, rows)
            for c in range(first_of[block], first_of[block + 1]):
                t, u = _ROWS * _ROW * pairs[c, 0], _ROWS * _ROW * pairs[c, 1]
                _channel(rows, rows, t, rows, u, whole, w)
                for b in range(n_batch):
                    _focus(y[b, c], w, whole, sums, 2 * _ROW * b)
        for b in range(n_batch):
            at = 2 * _ROW * b
            for i in range(n):
                out[b, first + i] = complex(sums[at + i], sums[at + _ROW + i])


@njit(parallel=True, cache=True, error_model="numpy")
def measure_all(
    x: Array, waves: Waves, blocks: Blocks, cuts: Array, counters: Array, sums: Array
) -> None:
    """Put the data of the voxels between each two `cuts` into `sums`, (groups, *).

    `counters` are a zero for each thread; see `sparsesolve.kernels.claim`.
    """
    n_jobs = len(sums) * (blocks[0].size - 1)
    for _ in prange(counters.size):
        rows = _rows(blocks, x)
        w, r = np.empty(8 * _ROW, rows.dtype), np.empty(TILE)
        work = rows, np.empty_like(rows), w, r
        job = claim(counters)
        while job < n_jobs:
            _measure(x, waves, blocks, cuts, job, work, sums)
            job = claim(counters)


@njit(parallel=True, cache=True, error_model="numpy")
def image_all(
    y: Array, waves: Waves, blocks: Blocks, cuts: Array, counters: Array, x: Array
) -> None:
    """Put the image of the data `y` into `x`, (batch, voxels)."""
    for _ in prange(counters.size):
        rows = _rows(blocks, y)
        w, r = np.empty(10 * _ROW, rows.dtype), np.empty(TILE)
        work = rows, w, r, np.empty(2 * _ROW * len(y), rows.dtype)
        group = claim(counters)
        while group < cuts.size - 1:
            _image(y, waves, blocks, cuts[group], cuts[group + 1], work, x)
            group = claim(counters)
