"""Ctrl-C and SIGTERM: at once where nothing is lost by it, and between two steps while a run trains.

Python's handlers run between two of its instructions, and one call into PyTorch may take half a minute. So a thread,
which the C handler wakes at once, says that a signal was heard.

A run may be told twice: torchrun, a batch system or `timeout` pass a signal on that the whole group got already. So of
SIGTERM only the first counts, and a second Ctrl-C ends the run at once only when it is a person's, by the time between.
"""

from __future__ import annotations

import contextlib
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from nafnet.system import SYSTEM

_SIGNALS = (signal.SIGINT, *SYSTEM.ending_signals)
_END = b"\0"  # the number of no signal
IMPATIENT = 1.0
"""Seconds after the first Ctrl-C from which a second one is meant."""


class StopRequest:
    """Turns both signals into `KeyboardInterrupt`; inside `deferred`, the first of them into `asked`."""

    def __init__(self) -> None:
        self.asked = False
        self._listening = False
        self._finishing = "this step"
        self._deferring = False
        self._holding = False
        self._since = 0.0

    def listen(self) -> None:
        """Take the signals from now on; in the main thread alone."""
        self._listening = True
        for each in _SIGNALS:
            signal.signal(each, self._handle)

    @contextlib.contextmanager
    def answered(self, say: Callable[[str], None]) -> Iterator[None]:
        """While this is open, the first signal that is deferred is answered at once: `say` is called by a thread."""
        if not self._listening:
            yield
            return
        woken, waking = socket.socketpair()  # Windows wakes sockets alone
        waking.setblocking(False)
        before = signal.set_wakeup_fd(waking.fileno(), warn_on_full_buffer=False)
        thread = threading.Thread(target=self._answer, args=(woken, say), daemon=True)
        thread.start()
        try:
            yield
        finally:
            signal.set_wakeup_fd(before)
            waking.send(_END)  # closing it would not end the thread while worker processes have copies of it
            thread.join()
            waking.close()
            woken.close()

    def _answer(self, woken: socket.socket, say: Callable[[str], None]) -> None:
        while (received := woken.recv(1)) != _END:
            if received[0] not in _SIGNALS or not (self._deferring or self._holding):
                continue
            name, again = "SIGTERM", ""
            if received[0] == signal.SIGINT:
                name, again = "Ctrl-C", "; Ctrl-C once more leaves at once, unsaved"
            say(f"{name}: stopping after {self._finishing}, then saving{again}")
            return

    @contextlib.contextmanager
    def deferred(self) -> Iterator[None]:
        """While this is open, the first signal only sets `asked`; an impatient Ctrl-C ends it all the same."""
        self._deferring = True
        try:
            yield
        finally:
            self._deferring = False

    @contextlib.contextmanager
    def finishing(self, what: str) -> Iterator[None]:
        """While this is open, a deferred stop comes after `what`, as the user is told."""
        before, self._finishing = self._finishing, what
        try:
            yield
        finally:
            self._finishing = before

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


@contextlib.contextmanager
def postponed() -> Iterator[None]:
    """While this is open, signals wait; for starting workers: an exception raised while a process forks is lost.

    Blocking them would not do, for another thread takes them then, and the handler runs in the main one all the same.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    received: list[int] = []
    before = {each: signal.signal(each, lambda signum, _: received.append(signum)) for each in _SIGNALS}
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
    if received:
        signal.raise_signal(received[0])


def leave_to_parent(_worker: int) -> None:
    """In a worker process: the parent says when to end, not a signal that reaches the whole group.

    A worker ends when its queue is closed, or when it sees that the parent is gone.
    """
    for each in _SIGNALS:
        signal.signal(each, signal.SIG_IGN)


def leave_interrupts_to_parent() -> None:
    """In a worker of a pool: the parent sees to Ctrl-C; SIGTERM ends the worker, as the pool does when it is broken."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
