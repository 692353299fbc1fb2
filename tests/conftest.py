"""What every test may ask for."""

import os

# Before anything imports them: pictures without a screen, and a PyLops that can be
# imported where cupy is installed without a driver.
os.environ["MPLBACKEND"] = "Agg"
# Small matrices: threads of the linear algebra library would only wait for each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("CUPY_PYLOPS", "0")

from pathlib import Path

import hypothesis
import numpy as np
import pytest

ROOT = Path(__file__).resolve().parent.parent

# The same examples on every run and machine; no deadline, as tests assert no times.
hypothesis.settings.register_profile(
    "sparsesolve", derandomize=True, deadline=None, database=None, max_examples=30
)
hypothesis.settings.load_profile("sparsesolve")


@pytest.fixture
def rng() -> np.random.Generator:
    """Seeded random numbers."""
    return np.random.default_rng(0)


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """Folder of third-party data, or a skip that says where it was looked for."""
    folder = Path(os.environ.get("SPARSESOLVE_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no third-party data: {folder} is absent ($SPARSESOLVE_DATA)")
    return folder


@pytest.fixture(scope="session")
def merit_folder(data_folder: Path) -> Path:
    """Folder of the measured breast-phantom scans, or a skip."""
    folder = data_folder / "radar" / "merit"
    if not folder.is_dir():
        pytest.skip(f"no measured scans: {folder} is absent")
    return folder


@pytest.fixture(scope="session")
def hsi_folder(data_folder: Path) -> Path:
    """Folder of the public unmixing scenes, or a skip."""
    folder = data_folder / "hsi"
    if not folder.is_dir():
        pytest.skip(f"no hyperspectral scenes: {folder} is absent")
    return folder
