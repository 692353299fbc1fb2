"""How every benchmark measures: alternating, medians of ratios, machine printed."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path


def seconds(run: Callable[[], object]) -> float:
    """Wall-clock seconds of one call."""
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def alternate(
    ours: Callable[[], object], peer: Callable[[], object], *, repeats: int = 7
) -> tuple[float, float, float]:
    """Run both in turn; return median seconds of each and the median of ratios.

    The ratio is peer / ours, of neighbours in time: above 1, ours is faster. One call
    of each goes before and is not counted (compilation, caches).
    """
    ours()
    peer()
    pairs = [(seconds(ours), seconds(peer)) for _ in range(repeats)]
    return (
        statistics.median(a for a, _ in pairs),
        statistics.median(b for _, b in pairs),
        statistics.median(b / a for a, b in pairs),
    )


def machine(*packages: str) -> str:
    """One line on the machine, its threads and the versions of `packages`."""
    versions = " ".join(
        f"{name} {importlib.metadata.version(name)}" for name in packages
    )
    threads = os.environ.get("OMP_NUM_THREADS", "default")
    return (
        f"{_processor()}, {os.cpu_count()} cores, OMP_NUM_THREADS {threads}, "
        f"Python {platform.python_version()}, {versions}"
    )


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if not info.exists():
        return platform.processor() or platform.machine()
    lines = info.read_text().splitlines()
    names = [line.split(":")[1].strip() for line in lines if "model name" in line]
    return names[0] if names else platform.machine()
