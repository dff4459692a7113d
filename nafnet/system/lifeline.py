"""A process that ends when the one that started it does, however that ended."""

from __future__ import annotations

import os
import selectors
import socket
import threading
import time


def end_with(peer: socket.socket) -> None:
    """From now on this process ends within a second or so of the closing of the socket's other end.

    A parent that was killed cannot stop a child that hangs; but its end of the socket is closed. The socket may be used
    all the same, as long as the parent sends nothing while nobody here reads.
    """
    threading.Thread(target=_watch, args=(peer,), name="lifeline", daemon=True).start()


def _watch(peer: socket.socket) -> None:
    with selectors.DefaultSelector() as waiting:
        waiting.register(peer, selectors.EVENT_READ)
        while not (waiting.select(0) and _is_closed(peer)):
            time.sleep(1)
    os._exit(1)


def _is_closed(peer: socket.socket) -> bool:
    try:
        return not peer.recv(1, socket.MSG_PEEK)
    except OSError:
        return True
