"""What flows between the stages of a run, and the queue it flows through, bounded by bytes.

Each image is `Opened`, then `Band`s of its rows from the top, then `Closed`; of an image that failed on the way the
rest is missing, and its `Item` says so. Every stage is a generator over such events.
"""

from __future__ import annotations

import contextlib
import dataclasses
import threading
from collections import deque
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

from nafnet.errors import NafnetError
from nafnet.images.formats import Header
from nafnet.images.reader import Rows
from nafnet.runtime.folder.discovery import Job
from nafnet.runtime.folder.report import FileReport, Status

T = TypeVar("T")
_WAKE_SECONDS = 0.1  # how often one who waits looks whether the queue was closed


@dataclasses.dataclass(kw_only=True, eq=False)
class Item:
    """A file on its way through the stages."""

    job: Job
    report: FileReport
    on_done: Callable[[FileReport], None]
    failed: bool = False
    again: bool = False
    """To be fed once more from the start."""
    digest: str | None = None
    """SHA-256 of the input, once it is known."""
    _lock: threading.Lock = dataclasses.field(default_factory=threading.Lock)

    def fail(self, error: Exception) -> None:
        """Whatever goes wrong with this file is its row's error, and the run goes on; the first error counts."""
        with self._lock:
            if self.failed:
                return
            self.failed = True
        kind = "" if isinstance(error, NafnetError) else f"{type(error).__name__}: "
        source, message = self.job.source, f"{kind}{error}"
        named = message if str(source) in message or f"{str(source)!a}" in message else f"{source}: {message}"
        self.report.status, self.report.error = "failed", " ".join(named.split())
        self.on_done(self.report)

    def finish(self, status: Status) -> None:
        """The file is done."""
        self.report.status = status
        self.on_done(self.report)

    @contextlib.contextmanager
    def guarded(self) -> Iterator[None]:
        """Make any error inside this file's own."""
        try:
            yield
        except Exception as error:  # the boundary between one file and the others
            self.fail(error)


@dataclasses.dataclass(frozen=True)
class Opened:
    """An image begins."""

    item: Item
    header: Header


@dataclasses.dataclass(frozen=True)
class Band:
    """The next rows of an image."""

    item: Item
    rows: Rows
    original: Rows | None = None
    """Of restored rows, where they are to be compared: the rows they were made of."""


@dataclasses.dataclass(frozen=True)
class Closed:
    """No more of this item, whether whole, failed or skipped."""

    item: Item


Event = Opened | Band | Closed


def size_of(event: Event) -> int:
    """Bytes an event holds."""
    return event.rows.nbytes if isinstance(event, Band) else 1024


class ByteQueue(Generic[T]):
    """A queue between two threads that holds at most so many bytes, but at least one value."""

    def __init__(self, limit: int, size: Callable[[T], int]) -> None:
        self._limit, self._size = limit, size
        self._values: deque[T] = deque()
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
            self._values.append(value)
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
                value = self._values.popleft()
                self._bytes -= self._size(value)
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
