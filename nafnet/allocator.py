"""Have the C library keep the memory that is freed.

PyTorch on the CPU allocates each intermediate result anew. glibc gives large blocks back to the kernel as soon as they
are freed, so that a call of the network asks for tens of thousands of pages again, each of which the kernel clears: it
takes up to 1.9 times as long for it. Kept, the memory of one call serves the next.
"""

from __future__ import annotations

import ctypes

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
"""Of ``mallopt(3)``."""
MOST = 2**30
"""Bytes of a block, and of free memory at the end of the heap, above which it is given back all the same."""


def keep_memory() -> bool:
    """For the whole process, from now on.

    Returns:
        Whether there is such a setting: there is none outside glibc, where nothing happens.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # musl and macOS have none; Windows, no library without a name
        return False
    return bool(mallopt(M_MMAP_THRESHOLD, MOST)) and bool(mallopt(M_TRIM_THRESHOLD, MOST))
