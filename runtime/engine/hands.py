"""The CPU's cores, for what is done to pixels before and after a device has them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor, wait
from typing import TypeVar

from nafnet.closing import Closing

T = TypeVar("T")
R = TypeVar("R")


class Hands(Closing):
    """So many threads; of one alone there is none, and the caller does the work.

    NumPy lets other threads run while it computes, so work on arrays of some ten thousand values is shared well.

    Args:
        count: of threads.
    """

    def __init__(self, count: int) -> None:
        self.count = count
        self._pool = ThreadPoolExecutor(count, thread_name_prefix="pixels") if count > 1 else None

    def map(self, work: Callable[[T], R], items: Iterable[T]) -> list[R]:
        """What `work` gives for each item, in their order; an error of one is raised once all are done."""
        each = list(items)
        if self._pool is None or len(each) < 2:
            return [work(item) for item in each]
        futures = [self._pool.submit(work, item) for item in each]
        try:
            wait(futures)  # all of them, before an error frees what they write to
        except BaseException:  # Ctrl-C
            for future in futures:
                future.cancel()
            wait(futures)
            raise
        return [future.result() for future in futures]

    def over_rows(self, work: Callable[[slice], None], rows: int, at_once: int) -> None:
        """Do `work` for all of so many rows, in parts that each hand takes one of, cut so that its caches hold it.

        Args:
            at_once: rows of a part.
        """
        parts = [slice(start, min(start + at_once, rows)) for start in range(0, rows, at_once)]
        share = -(-len(parts) // self.count)

        def do(mine: list[slice]) -> int:
            for part in mine:
                work(part)
            return len(mine)

        self.map(do, [parts[start : start + share] for start in range(0, len(parts), share)])

    def close(self) -> None:
        """End the threads."""
        if self._pool:
            self._pool.shutdown()
