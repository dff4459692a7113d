"""Ctrl-C and SIGTERM: at once where nothing is lost by it, and between two steps while a run trains.

A run may be told twice: torchrun, a batch system or `timeout` pass a signal on that the whole group got already. So of
SIGTERM only the first counts, and a second Ctrl-C ends the run at once only when it is a person's, by the time between.
"""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Iterator
from typing import Any

IMPATIENT = 1.0
"""Seconds after the first Ctrl-C from which a second one is meant."""


class StopRequest:
    """Turns both signals into `KeyboardInterrupt`; inside `deferred`, the first of them into `asked`."""

    def __init__(self) -> None:
        self.asked = False
        self._deferring = False
        self._holding = False
        self._since = 0.0

    def listen(self) -> None:
        """Take the signals from now on; in the main thread alone."""
        for each in (signal.SIGINT, signal.SIGTERM):
            signal.signal(each, self._handle)

    @contextlib.contextmanager
    def deferred(self) -> Iterator[None]:
        """While this is open, the first signal only sets `asked`; an impatient Ctrl-C ends it all the same."""
        self._deferring = True
        try:
            yield
        finally:
            self._deferring = False

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """While this is open, no signal ends anything: a state is being written."""
        self._holding = True
        try:
            yield
        finally:
            self._holding = False

    def _handle(self, signum: int, _: Any) -> None:
        if not self._deferring and not self._holding:
            raise KeyboardInterrupt
        if self.asked and signum == signal.SIGINT and not self._holding and time.monotonic() > self._since + IMPATIENT:
            raise KeyboardInterrupt
        if not self.asked:
            self.asked, self._since = True, time.monotonic()


def leave_to_parent(_worker: int) -> None:
    """In a worker process: the parent says when to end, not a signal that reaches the whole group.

    A worker ends when its queue is closed, or when it sees that the parent is gone.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
