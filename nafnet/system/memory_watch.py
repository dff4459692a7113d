"""A limit on memory for systems that enforce none: the process ends itself when it has taken too much."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time

import psutil

SECONDS = 0.05
"""Between two looks. A decoder fills memory at some GB/s, so that it may pass the limit by some hundred MB."""
LAST_WORDS = "out of memory: over the limit of {:.0f} MB"


def end_above(most: int) -> None:
    """From now on this process ends, with a line on standard error, when it holds more than `most` bytes.

    Resident memory is counted: where it is watched, address space says nothing, since macOS maps gigabytes that no
    process asked for.
    """
    threading.Thread(target=_watch, args=(most,), name="memory", daemon=True).start()


def _watch(most: int) -> None:
    process, taken = psutil.Process(), 0
    while taken <= most:
        time.sleep(SECONDS)
        with contextlib.suppress(psutil.Error, OSError):  # asked once more
            taken = process.memory_info().rss
    print(LAST_WORDS.format(most / 2**20), file=sys.stderr, flush=True)
    os._exit(1)
