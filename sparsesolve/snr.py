"""Signal-to-noise ratios in decibels."""

from __future__ import annotations

from sparsesolve import checks

__all__ = ["power_ratio"]

_LIMIT_DB = 200.0


def power_ratio(snr_db: float) -> float:
    """Return 10^(snr_db/10), the mean power of a signal over the noise variance.

    Raises
    ------
    ValueError, TypeError
        `snr_db` is no finite number from -200 to 200 dB.
    """
    level = checks.finite_number("snr_db", snr_db)
    if abs(level) > _LIMIT_DB:
        raise ValueError(
            f"snr_db is {level:g}; wanted -{_LIMIT_DB:g} to {_LIMIT_DB:g} dB"
        )
    return float(10 ** (level / 10))
