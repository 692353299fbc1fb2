"""Numba for the kernel files: one word on the terminal while a kernel compiles.

Kernel files take `njit` and `prange` from here and are themselves imported on first
use. Compiled code is kept on disk, so that only the first process ever waits.
"""

from __future__ import annotations

import sys
from typing import Any

from numba import get_num_threads, njit, prange  # noqa: TID253 - only kernels come here
from numba.core import event  # noqa: TID253

__all__ = ["get_num_threads", "njit", "prange"]


class _Announcement(event.Listener):  # type: ignore[misc]
    """Say what a cold start waits for: Numba reports only what its cache lacks."""

    def __init__(self) -> None:
        self.depth = 0

    def on_start(self, event: Any) -> None:
        function = event.data["dispatcher"].py_func
        if not self.depth and function.__module__.startswith("sparsesolve."):
            name = f"{function.__module__}.{function.__qualname__}"
            print(
                f"sparsesolve: compiling {name.removeprefix('sparsesolve.')} "
                "(first use on this machine; cached afterwards)",
                file=sys.stderr,
                flush=True,
            )
        self.depth += 1

    def on_end(self, event: Any) -> None:
        self.depth -= 1


event.register("numba:compile", _Announcement())
