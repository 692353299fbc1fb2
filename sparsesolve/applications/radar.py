"""Near-field radar: from a scan to an image and the numbers that describe it."""

from sparsesolve.applications.merit import TUMOURS, read_merit
from sparsesolve.applications.radar_beam import restore, restoring_beam
from sparsesolve.applications.radar_calibration import calibrate
from sparsesolve.applications.radar_csv import read_positions
from sparsesolve.applications.radar_dataport import from_dataport
from sparsesolve.applications.radar_design import Design, design, memory_needed
from sparsesolve.applications.radar_direct import back_projection, kirchhoff
from sparsesolve.applications.radar_echoes import simulate
from sparsesolve.applications.radar_gate import range_gate
from sparsesolve.applications.radar_grid import scene_grid
from sparsesolve.applications.radar_imaging import (
    describe_image,
    imaging_problem,
    reconstruct,
)
from sparsesolve.applications.radar_level import (
    DataLevel,
    data_level,
    off_grid_error,
)
from sparsesolve.applications.radar_noise import (
    noise_from_empty_delays,
    noise_from_repeats,
)
from sparsesolve.applications.radar_point_spread import PointSpread, point_spread
from sparsesolve.applications.radar_resolution import (
    ambiguity,
    cross_range,
    range_cell,
)
from sparsesolve.applications.radar_scenes import SCENES
from sparsesolve.applications.radar_simulation import (
    Simulation,
    reference_array,
    reference_grid,
    simulate_scan,
)
from sparsesolve.applications.radar_speed import SpeedEstimate, estimate_speed
from sparsesolve.applications.radar_steps import (
    mask_channels,
    remove_delay,
    subtract,
)
from sparsesolve.applications.radar_touchstone import from_touchstone

__all__ = [
    "SCENES",
    "TUMOURS",
    "DataLevel",
    "Design",
    "PointSpread",
    "Simulation",
    "SpeedEstimate",
    "ambiguity",
    "back_projection",
    "calibrate",
    "cross_range",
    "data_level",
    "describe_image",
    "design",
    "estimate_speed",
    "from_dataport",
    "from_touchstone",
    "imaging_problem",
    "kirchhoff",
    "mask_channels",
    "memory_needed",
    "noise_from_empty_delays",
    "noise_from_repeats",
    "off_grid_error",
    "point_spread",
    "range_cell",
    "range_gate",
    "read_merit",
    "read_positions",
    "reconstruct",
    "reference_array",
    "reference_grid",
    "remove_delay",
    "restore",
    "restoring_beam",
    "scene_grid",
    "simulate",
    "simulate_scan",
    "subtract",
]
