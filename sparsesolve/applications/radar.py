"""Near-field radar: from a scan to an image and the numbers that describe it."""

from sparsesolve.applications.merit import TUMOURS, read_merit
from sparsesolve.applications.radar_grid import scene_grid
from sparsesolve.applications.radar_imaging import (
    back_projection,
    describe_image,
    imaging_problem,
    reconstruct,
)
from sparsesolve.applications.radar_simulation import (
    Simulation,
    reference_array,
    reference_grid,
    simulate_scan,
)
from sparsesolve.applications.radar_steps import subtract

__all__ = [
    "TUMOURS",
    "Simulation",
    "back_projection",
    "describe_image",
    "imaging_problem",
    "read_merit",
    "reconstruct",
    "reference_array",
    "reference_grid",
    "scene_grid",
    "simulate_scan",
    "subtract",
]
