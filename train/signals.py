"""Ctrl-C and SIGTERM: at once where nothing is lost by it, and between two steps while a run trains."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from typing import Any


class StopRequest:
    """Turns both signals into `KeyboardInterrupt`; inside `deferred`, the first of them into `asked`."""

    def __init__(self) -> None:
        self.asked = False
        self._deferring = False

    def listen(self) -> None:
        """Take the signals from now on; in the main thread alone."""
        for each in (signal.SIGINT, signal.SIGTERM):
            signal.signal(each, self._handle)

    @contextlib.contextmanager
    def deferred(self) -> Iterator[None]:
        """While this is open, the first signal only sets `asked`."""
        self._deferring = True
        try:
            yield
        finally:
            self._deferring = False

    def _handle(self, *_: Any) -> None:
        if not self._deferring or self.asked:
            raise KeyboardInterrupt
        self.asked = True


def leave_to_parent(_worker: int) -> None:
    """In a worker process: the parent says when to end, not a Ctrl-C that reaches the whole group."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
