"""How much memory there is, asked before a large allocation."""

from __future__ import annotations

import os
import sys
from pathlib import Path

__all__ = ["available_bytes", "enough"]

_GIB = 2**30
_LIMITS = "/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"


def available_bytes() -> int:
    """Memory that can still be taken, in bytes.

    What Linux calls MemAvailable, elsewhere all physical memory, unlimited where the
    system does not say; never more than the control group (container) may hold.
    """
    return min(_system(), *(_limit(Path(path)) for path in _LIMITS))


def enough(what: str, needed: int, advice: str) -> None:
    """Refuse work that needs more memory than there is.

    Raises
    ------
    MemoryError
        Naming `what`, the predicted and the available GiB, and the `advice`.
    """
    available = available_bytes()
    if needed > available:
        raise MemoryError(
            f"{what} needs about {needed / _GIB:.3g} GiB but {available / _GIB:.3g} "
            f"GiB are available; {advice}"
        )


def _system() -> int:
    meminfo = Path("/proc/meminfo")
    if meminfo.exists():
        for line in meminfo.read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    if not hasattr(os, "sysconf"):
        return sys.maxsize
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _limit(path: Path) -> int:
    text = path.read_text().strip() if path.exists() else "max"
    return sys.maxsize if text == "max" else int(text)
