"""Deblurring by total variation, then by any denoiser (needs scikit-image)."""

import sys
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from skimage import data, restoration

import sparsesolve as ss

noise, sigma = 0.01, 0.03
image = data.camera()[80:336:2, 140:396:2] / 255.0
A = ss.operators.Convolution(np.ones((5, 5)) / 25, image.shape)
y = A(image) + noise * np.random.default_rng(0).standard_normal(image.shape)
loss = ss.LeastSquares(A, y)

problem = ss.Problem(loss, ss.priors.TotalVariation(1.0))
lams = np.geomspace(3e-2, 1e-3, 6)
by_tv = ss.path(problem, lams, choose="discrepancy", noise=noise).best
print("TV:", by_tv, "lam", by_tv.choices["lam"])


def non_local_means(x, sigma):
    return restoration.denoise_nl_means(x, patch_size=5, h=0.8 * sigma, sigma=sigma)


plug = ss.Problem(loss, ss.priors.Denoiser(non_local_means, sigma))
by_nlm = ss.solve(plug, ss.ADMM(rho=(noise / sigma) ** 2), x0=by_tv.x, max_iter=12)
print("non-local means:", by_nlm)

figure = Figure(figsize=(12, 3.4), layout="constrained")
pictures = {"data": y, "total variation": by_tv.x, "non-local means": by_nlm.x}
for axes, (name, x) in zip(figure.subplots(1, 3), pictures.items(), strict=True):
    axes.imshow(x, cmap="gray", vmin=0, vmax=1)
    axes.set_title(f"{name}, PSNR {-20 * np.log10(np.std(x - image)):.1f} dB")
    axes.set_axis_off()
figure.savefig(Path(sys.argv[1] if len(sys.argv) > 1 else ".") / "deblur_image.png")
