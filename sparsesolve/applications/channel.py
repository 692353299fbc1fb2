"""Channel estimation: from pilots and steering matrices to a channel and its error."""

from sparsesolve.applications.channel_estimate import ChannelEstimate, estimate
from sparsesolve.applications.channel_noise import whiten
from sparsesolve.applications.channel_scene import IRSUplink, simulate
from sparsesolve.applications.channel_steering import (
    cascaded_steering,
    cosine_grid,
    irs_factors,
    steering_matrix,
)
from sparsesolve.metrics import (
    relative_squared_error,
    support_recovery,
    symbol_error_rate,
)

__all__ = [
    "ChannelEstimate",
    "IRSUplink",
    "cascaded_steering",
    "cosine_grid",
    "estimate",
    "irs_factors",
    "relative_squared_error",
    "simulate",
    "steering_matrix",
    "support_recovery",
    "symbol_error_rate",
    "whiten",
]
