"""Have the C library keep the memory that is freed.

PyTorch on the CPU allocates each intermediate result anew. By glibc's defaults a large block that is freed goes back to
the kernel, at once or with the end of the heap, so that each call of the network asks for tens of thousands of pages
again, which the kernel clears: it takes up to 1.9 times as long for it. Kept, the memory of one call serves the next.
This serves what runs in the main thread; other threads allocate from smaller heaps of their own.
"""

from __future__ import annotations

import gc

from nafnet.system import SYSTEM

MOST = 2**30
"""Bytes of a block, and of free memory at the end of the heap, above which it is given back all the same."""
MOST_BAND = 2**25
"""Bytes of a block on the way through a run."""


def keep_memory(block: int = MOST, free: int = MOST) -> bool:
    """For the whole process, from now on; it cannot be taken back.

    Args:
        block: bytes of the largest that is kept.
        free: bytes at the end of the heap above which they are given back.

    Returns:
        Whether it is so: only glibc can be told to, elsewhere nothing happens.
    """
    return SYSTEM.keep_memory(block, free)


def keep_bands() -> bool:
    """For rows on their way through a run: they are of megabytes, and as many are freed as are asked for."""
    return keep_memory(MOST_BAND, 4 * MOST_BAND)


def give_back() -> None:
    """Give the memory that is free now to the system, where it is kept as well: for after work of another kind."""
    gc.collect()  # an exporter's graphs hold each other
    SYSTEM.trim_memory()
