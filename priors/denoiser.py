"""A denoiser in the place of a prox: plug-and-play."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sparsesolve import checks
from sparsesolve.backends import Array, array_namespace, device_of, is_array
from sparsesolve.priors.base import Prior


class Denoiser(Prior):
    """A prior known only by a denoiser: `prox` calls it, and there is no value.

    `step` is ignored: the denoiser's strength is `sigma` alone, so that solvers keep
    their step, or rho, fixed (`ignores_step`).

    Parameters
    ----------
    fn : callable (array, sigma) -> array
        Gets one real array of the unknown's shape (a batch is passed one by one) in
        the unknown's own library and on its device, and returns an array of the same
        shape and library. May change its argument.
    sigma : float
        Standard deviation of the noise to remove, of the unknown's unit.

    Raises
    ------
    TypeError
        `fn` is not callable. By `prox`: the array is complex (wrap the denoiser as
        ``Magnitude(Denoiser(fn, sigma))``), or `fn` returned no array of the same
        library and device.
    ValueError
        `sigma` is not positive. By `prox`: `fn` returned another shape.

    References
    ----------
    Venkatakrishnan, Bouman & Wohlberg, *Plug-and-play priors for model based
    reconstruction*, 2013, doi:10.1109/GlobalSIP.2013.6737048.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsesolve.priors import Denoiser
    >>> prior = Denoiser(lambda x, sigma: x / (1 + sigma**2), sigma=1.0)
    >>> prior.prox(np.array([2.0, -4.0]), 1.0)
    array([ 1., -2.])
    """

    convex = False
    has_value = False
    real_only = True
    ignores_step = True

    def __init__(self, fn: Callable[[Array, float], Array], sigma: float) -> None:
        if not callable(fn):
            raise TypeError(f"fn is {fn!r}; wanted a function (array, sigma) -> array")
        self.fn = fn
        self.sigma = float(checks.positive("sigma", sigma))

    def value(self, x: Array) -> Array:
        raise TypeError(f"{self!r} has no value; its prox is all that is known of it")

    def prox(self, v: Array, step: Any) -> Array:
        self.refuse_complex(v)
        xp, n = array_namespace(v), self.item_axes(v)
        images = xp.reshape(v, (-1, *v.shape[v.ndim - n :]))
        clean = [self._denoised(images[i, ...]) for i in range(images.shape[0])]
        return xp.reshape(xp.stack(clean), v.shape)

    def _denoised(self, image: Array) -> Array:
        xp = array_namespace(image)
        clean = self.fn(xp.asarray(image, copy=True), self.sigma)
        if not is_array(clean) or device_of(clean) != device_of(image):
            raise TypeError(
                f"the denoiser {self!r} returned a {type(clean).__name__}; wanted an "
                f"array on {device_of(image)}, as it was given"
            )
        if clean.shape != image.shape:
            raise ValueError(
                f"the denoiser {self!r} returned shape {tuple(clean.shape)}; wanted "
                f"{tuple(image.shape)}, as it was given"
            )
        return xp.astype(clean, image.dtype, copy=False)
