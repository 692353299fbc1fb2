"""What a person at the terminal does and sees: Ctrl-C and a progress bar."""

from __future__ import annotations

import signal
import sys
import threading
from typing import Any

import numpy as np


class Interrupt:
    """Turns the first Ctrl-C into a request to stop; the second one raises.

    Only in the main thread, and only where Python's own handler is in place. `unit` is
    what is finished before.
    """

    def __init__(self, unit: str = "iteration") -> None:
        self.asked = False
        self.unit = unit

    def __enter__(self) -> Interrupt:
        main = threading.current_thread() is threading.main_thread()
        python_default = signal.getsignal(signal.SIGINT) is signal.default_int_handler
        self._active = main and python_default
        if self._active:
            signal.signal(signal.SIGINT, self._ask)
        return self

    def _ask(self, signum: int, frame: Any) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True
        print(
            f"\nsparsesolve: stopping after this {self.unit}; press Ctrl-C again to "
            "stop at once",
            file=sys.stderr,
        )

    def __exit__(self, *_: object) -> None:
        if self._active:
            signal.signal(signal.SIGINT, signal.default_int_handler)


class Bar:
    """A tqdm bar, with the residual if there is one; nothing where not asked for."""

    def __init__(
        self,
        wanted: bool | None,
        total: int,
        initial: int,
        *,
        unit: str = "it",
        label: str | None = None,
    ) -> None:
        self._bar: Any = None
        if sys.stderr.isatty() if wanted is None else wanted:
            from tqdm import tqdm

            self._bar = tqdm(
                total=total, initial=initial, unit=unit, desc=label, leave=False
            )

    def __enter__(self) -> Bar:
        return self

    def show(self, residual: Any) -> None:
        """Move on by one iteration; of a batch, the largest residual is shown."""
        if self._bar is not None:
            residual = float(np.max(residual))
            self._bar.set_postfix_str(f"residual {residual:.1e}", refresh=False)
            self._bar.update()

    def advance(self, steps: int) -> None:
        """Move on by some steps."""
        if self._bar is not None:
            self._bar.update(steps)

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.refresh()
            self._bar.close()
