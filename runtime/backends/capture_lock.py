"""What keeps a graph capture apart from all other calls to CUDA in this process: a lock, and no garbage collection.

While a thread captures a stream in CUDA's global mode, what may not be captured, such as cudaMalloc and cudaMemcpy, is
an error in every thread and invalidates the capture. (CUDA Runtime API: cudaThreadExchangeStreamCaptureMode.)
"""

from __future__ import annotations

import contextlib
import gc
import threading
from collections.abc import Iterator


class _Uncollected:
    """Holds Python's garbage collector, for as long as anybody is inside.

    It runs when any thread allocates, and may then destroy what holds memory or a graph of the device, which calls CUDA
    and breaks the capture. (NVIDIA/TransformerEngine#2092 and pytorch/pytorch#161037 report it.)
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._resumes = False

    def __enter__(self) -> None:
        with self._lock:
            if not self._inside:
                self._resumes = gc.isenabled()
                gc.disable()
            self._inside += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._inside -= 1
            if not self._inside and self._resumes:
                gc.enable()


UNCOLLECTED = _Uncollected()
"""Of the process, as the collector is; captures of several devices may overlap."""


class CaptureLock:
    """Many callers at once, or one capture alone. A capture that waits goes before callers that come later."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._callers = 0
        self._captures = 0
        """Waiting or at work."""
        self._capturing = False

    @contextlib.contextmanager
    def others(self) -> Iterator[None]:
        """For any calls but a capture; not to be nested."""
        with self._changed:
            self._changed.wait_for(lambda: not self._captures)
            self._callers += 1
        try:
            yield
        finally:
            with self._changed:
                self._callers -= 1
                self._changed.notify_all()

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """For a capture."""
        with self._changed:
            self._captures += 1
            self._changed.wait_for(lambda: not self._callers and not self._capturing)
            self._capturing = True
        try:
            with UNCOLLECTED:
                yield
        finally:
            with self._changed:
                self._captures -= 1
                self._capturing = False
                self._changed.notify_all()


CAPTURES = CaptureLock()
"""Of the process: the mode is, too."""
