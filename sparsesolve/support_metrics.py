"""Numbers that say how good a sparse or a channel estimate is, phases included.

They are part of `sparsesolve.metrics`, where users find them. All work on the host in
double precision.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sparsesolve import checks
from sparsesolve.backends import Array, to_numpy
from sparsesolve.solution import Solution

__all__ = ["relative_squared_error", "support_recovery", "symbol_error_rate"]

Values = NDArray[Any]


def relative_squared_error(x: Array, truth: Array, *, axis: int | None = None) -> float:
    """Return ‖x - truth‖² / ‖truth‖².

    Unlike `nmse` it is not in dB, fits no scale, and phases count: what papers on
    sparse recovery and channel estimation call normalised mean squared error.

    Parameters
    ----------
    x, truth : arrays of one shape, real or complex
    axis : int, optional
        Take the ratio of each of the slices along this axis and return their mean;
        axis 0 of the channels behind a surface has one slice a pattern, as published
        figures have it. By default one ratio of everything.

    Raises
    ------
    ValueError
        Shapes differ, an entry is not finite, or the truth, or a slice of it, is zero
        everywhere. An axis that is none.
    """
    estimate, target = _pair("x", x, "truth", truth)
    if axis is not None and not -target.ndim <= axis < target.ndim:
        raise ValueError(f"axis is {axis}; wanted one of the {target.ndim} of truth")
    rows = 1 if axis is None else target.shape[axis]
    first = 0 if axis is None else axis
    error, size = (
        np.sum(np.abs(np.moveaxis(a, first, 0).reshape(rows, -1)) ** 2, axis=1)
        for a in (estimate - target, target)
    )
    if not size.all():
        raise ValueError("truth is zero everywhere; wanted something to compare with")
    return float(np.mean(error / size))


def support_recovery(
    found: Array | Solution, truth: Array, *, threshold: float = 1e-3
) -> float:
    """Return |S ∩ T| / |S ∪ T| of two supports, the index of Jaccard; 1 is perfect.

    Parameters
    ----------
    found : array, real, complex or bool, or Solution
        Of a Solution under a prior that eliminates nothing but says how probable each
        entry is (`TurboVBI`, `SpikeAndSlab`), what is on with a probability above ½;
        of any other its x.
    truth : array of that shape
    threshold : float, 0 to 1
        An entry counts where its magnitude is above this times the array's largest.

    Returns
    -------
    float
        0 to 1; two arrays of zeros have the same support.

    Raises
    ------
    ValueError
        Shapes differ, an entry is not finite, or a threshold of 1 and more.

    Examples
    --------
    >>> import numpy as np
    >>> support_recovery(np.array([2.0, 1.0, 0.0]), np.array([1.0, 0.0, 0.0]))
    0.5
    """
    level = checks.positive_number("threshold", threshold, zero=True)
    if level >= 1:
        raise ValueError(f"threshold is {level:g}; wanted a share below 1")
    pair = _pair("found", _indicator(found), "truth", truth)
    s, t = (np.abs(a) > level * np.abs(a).max() for a in pair)
    either = np.count_nonzero(s | t)
    return float(np.count_nonzero(s & t) / either) if either else 1.0


def symbol_error_rate(estimate: Array, channel: Array, noise_variance: float) -> float:
    """Return the probability that a QPSK symbol is received wrongly.

    The sender transmits with unit power along the first singular vector of the
    estimated channel, the receiver combines along the other; both trust the estimate.
    What arrives is g s + noise, with the gain g that the true channel gives these two
    directions, and is decided by its quadrant.

    Parameters
    ----------
    estimate, channel : (..., n_send, n_receive) arrays
        data[b] = Σ_m sent[m] channel[..., m, b]. The result is the mean over the axes
        in front.
    noise_variance : float
        E|n|² of one receiving antenna, in the squared units of `channel`.

    Returns
    -------
    float
        0 to 1; 3/4 is pure guessing.

    Raises
    ------
    ValueError, TypeError
        Shapes differ, an entry is not finite, or the noise variance is not above zero.

    Notes
    -----
    Exact, without drawing symbols: the real and the imaginary part of the noise are
    independent, so that 1 - SER = Φ(√2 Re(g s)/σ) Φ(√2 Im(g s)/σ) for s = (1 + j)/√2,
    and the other three symbols are rotations of this one.
    """
    from scipy.special import ndtr

    variance = checks.positive_number("noise_variance", noise_variance)
    trusted, true = _pair("estimate", estimate, "channel", channel)
    if trusted.ndim < 2:
        raise ValueError(
            f"estimate has shape {trusted.shape}; wanted (..., n_send, n_receive)"
        )
    u, _, vh = np.linalg.svd(trusted, full_matrices=False)
    gain = np.einsum(
        "...m,...mb,...b->...", u[..., 0].conj(), true, vh[..., 0, :].conj()
    )
    z = gain * (1 + 1j) / np.sqrt(variance)
    return float(np.mean(1 - ndtr(z.real) * ndtr(z.imag)))


def _indicator(found: Array | Solution) -> Any:
    if not isinstance(found, Solution):
        return found
    on = getattr(found.posterior, "hyper", {}).get("probability")
    # of tied axes there is one probability for all
    return found.x if on is None else np.broadcast_to(to_numpy(on) > 0.5, found.x.shape)


def _pair(name: str, a: Array, other: str, b: Array) -> tuple[Values, Values]:
    checks.finite(name, a)
    checks.finite(other, b)
    first, second = _double(a), _double(b)
    if first.shape != second.shape:
        raise ValueError(
            f"{name} has shape {first.shape}; wanted {second.shape} like {other}"
            f"{checks.swapped(first.shape, second.shape)}"
        )
    return first, second


def _double(x: Array) -> Values:
    array = to_numpy(x)
    return array.astype(complex if array.dtype.kind == "c" else float, copy=False)
