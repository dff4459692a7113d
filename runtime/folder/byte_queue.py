"""A queue between two stages, bounded by the bytes it holds."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

from nafnet.runtime.engine.events import Band, Event, Opened
from nafnet.runtime.folder.photograph import PhotographItem

T = TypeVar("T")
_WAKE_SECONDS = 0.1  # how often one who waits looks whether the queue was closed


def size_of(event: Event[PhotographItem]) -> int:
    """Bytes an event holds; with the first of an image comes all that its file carries beside the pixels."""
    if isinstance(event, Band):
        return sum(rows.nbytes for rows in event.results)
    return 1024 + (event.item.metadata_bytes if isinstance(event, Opened) else 0)


class ByteQueue(Generic[T]):
    """A queue between two threads that holds at most so many bytes, but at least one value."""

    def __init__(self, limit: int, size: Callable[[T], int]) -> None:
        self._limit, self._size = limit, size
        self._values: deque[tuple[T, int]] = deque()
        self._bytes = 0
        self._closed = False
        self._changed = threading.Condition()

    def put(self, value: T) -> bool:
        """Wait for room and put; says whether it was put, which it is not once the queue is closed."""
        size = self._size(value)
        with self._changed:
            while not self._closed and self._values and self._bytes + size > self._limit:
                self._changed.wait(_WAKE_SECONDS)
            if self._closed:
                return False
            self._values.append((value, size))
            self._bytes += size
            self._changed.notify_all()
        return True

    def __iter__(self) -> Iterator[T]:
        """The values as they come, until the queue is closed and empty."""
        while True:
            with self._changed:
                while not self._values:
                    if self._closed:
                        return
                    # With a timeout, for only then does Ctrl-C reach a waiting main thread everywhere.
                    self._changed.wait(_WAKE_SECONDS)
                value, size = self._values.popleft()  # by then it may hold less
                self._bytes -= size
                self._changed.notify_all()
            yield value

    def close(self, *, discard: bool = False) -> None:
        """No more values; with `discard`, those inside are dropped."""
        with self._changed:
            self._closed = True
            if discard:
                self._values.clear()
                self._bytes = 0
            self._changed.notify_all()
