"""Registry of data sets: what they are, whose they are, and what the files hash to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class DataSet:
    """One data set.

    Parameters
    ----------
    title : str
        What was measured.
    place : str
        File or folder inside a data folder, with forward slashes.
    files : dict of str to str
        File, relative to the folder `place` (or `place` itself if it is a file), to
        SHA-256.
    licence : str
        As the publisher states it.
    publisher : str
        Web page where a person finds it.
    addresses : dict of str to str
        File to download address; empty if the publisher offers another format.
    reading : str
        How to turn it into a record of this library.
    """

    title: str
    place: str
    files: Mapping[str, str]
    licence: str
    publisher: str
    addresses: Mapping[str, str]
    reading: str


def _sums(text: str) -> dict[str, str]:
    """Read lines of hash and file, as sha256sum prints them."""
    pairs = (line.split() for line in text.strip().splitlines())
    return {name: digest for digest, name in pairs}


_MERIT_FILES = _sums("""
aa1d696f1dda127a0cbd83fb214cded2d745d623aef419ef23121cb1e69e8794 B0_P3_p000.csv
cbc8e76ab403912fd9e2edd4a24fc62cc830241e1fc4f61878137bb6d82283b5 B0_P3_p036.csv
6ef60fe2a4bc59b969e7f860680877ba6ff09183ad100b0e9bc51724f2623b00 B0_P5_p000.csv
06cea7b45439dfdb8c7ddf06fb60447f45aab5a8d47a79e1177df3645f9a4d8e B0_P5_p036.csv
a0e897da5622050ab3d509208e28d735f2f36cbacac12fd036d3c27ab6e7f875 B10E_P3_p000.csv
da91466fa87398ff496ef5eba02d7ca6059805a8619bbc5618cb5e67fe491a77 B10E_P3_p036.csv
20a5c418d48f5ff87d4e5fefe545a81f24b65f045cc751a3fb5ee9a0ce4904ff B10E_P5_p000.csv
a77ba959a3907a80afde99462c3d40945ad7d267d9efc197e1eeb19ed0662b15 B10E_P5_p036.csv
2fafa650ed3c6d5e7ba2a450d30937fdba620686719f2658f76c895f3d983e35 antenna_locations.csv
74c9f4328135be4e4bbe159aa556f761083eae1c536cd7c7c3e01533e4a83706 channel_names.csv
24dcb8c43f1d0eabdaeb25d7821ee532373171aba4ebeec8dc82b6ab8957d40c frequencies.csv
""")
# Immutable addresses: commit and folder of each file in the publisher's repository.
_MERIT_ADDRESSES = {
    name: f"https://raw.githubusercontent.com/EMFMed/MERIT/{folder}/{name}"
    for folder, names in {
        "4cb994e38289f41e4abe32b7890523e97a644519/data": (
            "antenna_locations.csv",
            "channel_names.csv",
            "frequencies.csv",
        ),
        "1b4a8170c8de0a8b1add305dd4b2ce4153b627db/data": (
            "B10E_P3_p000.csv",
            "B10E_P3_p036.csv",
            "B10E_P5_p000.csv",
        ),
        "dea09e911e362ebe58a971e9a048e67b35c64423/example_data": (
            "B0_P3_p000.csv",
            "B0_P5_p036.csv",
            "B10E_P5_p036.csv",
        ),
        "e4921aa57e6e22eacc0714daabdf91d16ab32fd7/example_data": ("B0_P5_p000.csv",),
        "3fbd2b416163957d04cf24c5e4b56178285f6272/+example_data": ("B0_P3_p036.csv",),
    }.items()
    for name in names
}

_MISICNET_FILES = _sums("""
d149ce0ff3f7a0b7877e27707e4b38ab4c76984d18541f10500ae7f6ddfda59d samson/A_true.mat
4a1faf067e354704d9a26ff954182b00f604762f12a610a2316ffd6b9d68e690 samson/E.mat
6a55839368ebd470ec075ae32ba1676d1fbabc3584cb369d457e16e9a1a531bd samson/Y_clean.mat
7226e98279222ce8b55b08759cce5aa4e521bf2f5fc12ff9174fcdef60d797b4 sim1/A_true.mat
7575ea437eddc913c12d83b1e923e577fa548cda5c5c3adc753e280fad4db07b sim1/E.mat
a7865df05668f9c8bf791f780c3b57415591c618bac63ec6ef5c88067981d7ee sim1/Y_clean.mat
81706087626b7dbec80571687cc5c3c658b16c6fa8db6d109d83cfab62dc22ff sim2/A_true.mat
2dafdb732dc0976e6f34475efb3c854d80b1683ebaef8e156b8a9cebf7b7a19f sim2/E.mat
edef7ba867d1ea70efbc846e2c2d71bdcb8ac607a34617c2f48d8bc170ac22ea sim2/Y_clean.mat
""")
_MISICNET = (
    "https://raw.githubusercontent.com/BehnoodRasti/MiSiCNet/"
    "a207f73d8663f38d71685383b324ae0f97f43603/HS%20Data"
)

REGISTRY: dict[str, DataSet] = {
    "merit": DataSet(
        title="Breast phantoms: 24 antennas, 96 channels, 76 frequencies, 1.5-4.5 GHz",
        place="radar/merit",
        files=_MERIT_FILES,
        licence="Apache-2.0",
        publisher="https://github.com/EMFMed/MERIT",
        addresses=_MERIT_ADDRESSES,
        reading="sparsesolve.applications.merit.read_merit(folder, name)",
    ),
    "samson": DataSet(
        title="Samson: 95 x 95 pixels, 156 bands, 401-889 nm, 3 materials",
        place="hsi/samson.mat",
        files=_sums(
            "49530e80d0dabf6b1fb9cde2d6cf257f89a344afe9c13b2cc912eb22f344de18 "
            "samson.mat"
        ),
        licence="none stated; cite arXiv:1708.05125",
        publisher="https://arxiv.org/abs/1708.05125",
        addresses={},
        reading="sparsesolve.load(path, kind='hyperspectral'); unmixing.read_truth",
    ),
    "jasper_ridge": DataSet(
        title="Jasper Ridge: 100 x 100 pixels, 198 bands, 380-2500 nm, 4 materials",
        place="hsi/jasper_ridge.mat",
        files=_sums(
            "7dd702f9958510f35c7fee35f7f18ecfca393c9eebd39bddf6c9b7d147754caa "
            "jasper_ridge.mat"
        ),
        licence="none stated; cite arXiv:1708.05125",
        publisher="https://arxiv.org/abs/1708.05125",
        addresses={},
        reading="sparsesolve.load(path, kind='hyperspectral'); unmixing.read_truth",
    ),
    "misicnet": DataSet(
        title="Samson with its other truth, and two simulated cubes, 105 x 105 x 224",
        place="hsi/misicnet",
        files=_MISICNET_FILES,
        licence="Apache-2.0",
        publisher="https://github.com/BehnoodRasti/MiSiCNet",
        addresses={
            f"{folder}/{name}": f"{_MISICNET}/{folder.capitalize()}/{name}"
            for folder in ("samson", "sim1", "sim2")
            for name in ("A_true.mat", "E.mat", "Y_clean.mat")
        },
        reading="scipy.io.loadmat: Y_clean, A_true, E",
    ),
    "mnist": DataSet(
        title="MNIST: 70,000 handwritten digits, 28 x 28 (HDF5)",
        place="mnist.h5",
        files=_sums(
            "78912dace31f803728e3474db585697c3e6a0d66d9462591161d1254a5a30761 mnist.h5"
        ),
        licence="public; cite LeCun, Cortes and Burges",
        publisher="http://yann.lecun.com/exdb/mnist",
        addresses={},
        reading="h5py: train and test, each images (n, 28, 28) and labels, uint8",
    ),
    "cifar10_jpeg": DataSet(
        title="CIFAR-10: 60,000 pictures re-encoded as JPEG, which is lossy (HDF5)",
        place="cifar10_jpeg.h5",
        files=_sums(
            "40b9cf86fc95a34fa8f243809d0768772a8415174953bc9139baecbac65b6824 "
            "cifar10_jpeg.h5"
        ),
        licence="none stated; cite Krizhevsky, 2009",
        publisher="https://www.cs.toronto.edu/~kriz/cifar.html",
        addresses={},
        reading="h5py: train and test, each jpeg (bytes), offsets and labels",
    ),
}
