"""Numba for the kernel files: one word on the terminal while a kernel compiles.

Kernel files take `njit` and `prange` from here and are themselves imported on first
use. Compiled code is kept on disk, so that only the first process ever waits.

`prange` gives each thread its share beforehand and so waits for the slowest. Where that
costs, each thread takes one job after the other instead: `prange` over the number of
threads, and in it a loop over what `claim` returns. The counter is an argument: what a
parallel function allocates outside `prange` is a parallel loop of its own, at the end
of which threads wait for each other.
"""

from __future__ import annotations

import sys
from typing import Any

from numba import get_num_threads, njit, prange
from numba.core import event
from numba.extending import intrinsic

__all__ = ["claim", "get_num_threads", "njit", "prange"]


@intrinsic
def claim(typing: Any, counter: Any) -> Any:
    """Return the first number of an integer array, which grows by one, to one thread.

    No two threads are given the same one.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array = context.make_array(counter)(context, builder, arguments[0])
        one = context.get_constant(counter.dtype, 1)
        return builder.atomic_rmw("add", array.data, one, "monotonic")

    return counter.dtype(counter), generate


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
