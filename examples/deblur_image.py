"""Deblurring: one convolution, first total variation, then a denoiser from elsewhere.

Plug-and-play: any `(image, sigma) -> image` is a prior; here scikit-image's non-local
means.
"""

import sys
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from skimage import data, restoration

import sparsesolve as ss

noise, sigma = 0.01, 0.03
image = data.camera()[80:336:2, 140:396:2] / 255.0
A = ss.operators.Convolution(np.ones((5, 5)) / 25, image.shape)
rng = np.random.default_rng(0)
y = A(image) + noise * rng.standard_normal(image.shape)
loss = ss.LeastSquares(A, y)


def non_local_means(x, sigma):
    return restoration.denoise_nl_means(x, patch_size=5, h=0.8 * sigma, sigma=sigma)


tv = ss.Problem(loss, ss.priors.TotalVariation(1.0))
lams = np.geomspace(1e-1, 1e-3, 9)
by_tv = ss.path(tv, lams, choose="discrepancy", noise=noise, max_iter=100).best
print("TV:", by_tv, "lam", by_tv.choices["lam"])
plug = ss.Problem(loss, ss.priors.Denoiser(non_local_means, sigma))
by_nlm = ss.solve(plug, ss.ADMM(rho=(noise / sigma) ** 2), x0=by_tv.x, max_iter=15)
print("non-local means:", by_nlm)

figure = Figure(figsize=(12, 3.4), layout="constrained")
pictures = {"truth": image, "data": y, "TV": by_tv.x, "non-local means": by_nlm.x}
for axes, (name, x) in zip(figure.subplots(1, 4), pictures.items(), strict=True):
    axes.imshow(x, cmap="gray", vmin=0, vmax=1)
    axes.set_title(f"{name}, {-20 * np.log10(np.std(x - image) or 1):.1f} dB")
    axes.set_axis_off()
figure.savefig(Path(sys.argv[1] if len(sys.argv) > 1 else ".") / "deblur_image.png")
