"""A request to end is heard within seconds, also while Python waits for a library that hears no signals."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import threading
from collections.abc import Iterator

import click

from nafnet.commandline import GO_ON, INTERRUPTED
from nafnet.system import SYSTEM

SECONDS = 4.5
"""From the signal to the end; services are commonly killed after ten to thirty, without a word."""
_END = bytes([255])


@contextlib.contextmanager
def ends_in_time(seconds: float = SECONDS) -> Iterator[None]:
    """While this is open, a SIGTERM that has not ended the block in time ends the process.

    Files are whole at every moment, so nothing is lost but what was under way, the report and the page included. The
    system writes a signal's number into a socket at once; Python's own handlers wait for the main thread.
    """
    waking, woken = socket.socketpair()
    waking.setblocking(False)
    before = signal.set_wakeup_fd(waking.fileno(), warn_on_full_buffer=False)
    ended = threading.Event()
    watch = threading.Thread(target=_watch, args=(woken, ended, seconds), name="deadline", daemon=True)
    watch.start()
    try:
        yield
    finally:
        ended.set()
        signal.set_wakeup_fd(before)
        waking.send(_END)
        watch.join()
        waking.close()
        woken.close()


def _watch(woken: socket.socket, ended: threading.Event, seconds: float) -> None:
    while (received := woken.recv(1)) != _END:
        if received[0] in SYSTEM.ending_signals and not ended.wait(seconds):
            click.echo(f"nafnet-run: {GO_ON}; what was under way, and a report or a page, are not written", err=True)
            os._exit(INTERRUPTED)
