"""The last stage: restored rows become files. Encoders work beside the model, and hold a bounded number of images."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from nafnet.errors import OutputError
from nafnet.images.pixels import Rows
from nafnet.images.writer import ImageWriter, check_quality
from nafnet.runtime.engine.events import Band, Closed, Event, Opened
from nafnet.runtime.folder.byte_queue import ByteQueue
from nafnet.runtime.folder.comparison import TOO_WIDE, Comparison
from nafnet.runtime.folder.item import FileItem
from nafnet.runtime.folder.photograph import PhotographItem
from nafnet.runtime.folder.publisher import Publisher, permissions
from nafnet.runtime.folder.settings import Encoding


class Sink:
    """Writes the files of a stream of events.

    Args:
        encoding: how they are written.
        publisher: gives finished ones their names.
        workers: images encoded at once.
        together: most files that are made of one photograph.
    """

    def __init__(self, encoding: Encoding, publisher: Publisher, workers: int, together: int = 1) -> None:
        self._encoding, self._publisher, self._workers = encoding, publisher, workers
        self._room = threading.Semaphore(workers + together)  # those are filled while the others are encoded
        self.fatal: OutputError | None = None
        """Why the folder takes no more; nothing is written after it."""
        self.over = threading.Event()
        """Set when nothing more is written."""
        self._cancelled = False
        self._open_files: set[_Files] = set()

    def cancel(self) -> None:
        """From another thread: write nothing more; what is being encoded is stopped, if its encoder can be."""
        self._cancelled = True
        for files in list(self._open_files):
            files.cancel()

    def run(self, queue: ByteQueue[Event[PhotographItem]]) -> None:
        """Write until the queue is closed and empty; an image that was not closed by then is dropped."""
        try:
            self._consume(queue)
        except Exception as error:  # else the run would wait for room in the queue for ever
            self.fatal = self.fatal or OutputError(f"writing failed ({type(error).__name__}: {error})")
        finally:
            queue.close(discard=True)
            self.over.set()

    def _consume(self, events: Iterable[Event[PhotographItem]]) -> None:
        with ThreadPoolExecutor(self._workers, thread_name_prefix="encode") as pool:
            current: list[_Files | None] = []
            """Of the photograph at hand, for each of its results."""
            for event in events:
                if isinstance(event, Opened):
                    self._drop(*current)
                    current = [None if self.fatal else self._open(file) for file in event.item.wanted]
                elif isinstance(event, Band):
                    for index, (files, rows) in enumerate(zip(current, event.results, strict=True)):
                        current[index] = self._written(files, rows, event.originals)
                elif isinstance(event, Closed):
                    for files in filter(None, current):
                        pool.submit(self._finish, files)
                    current = []
            self._drop(*current)

    def _open(self, item: FileItem) -> _Files | None:
        self._room.acquire()
        with item.guarded(self.note_fatal):
            if item.target is None:  # it has failed since
                self._room.release()
                return None
            if self._encoding.quality is not None:
                check_quality(self._encoding.quality, item.target)
            files = _Files(item, self._encoding.effective_quality, self._publisher)
            self._open_files.add(files)
            return files
        self._room.release()
        return None

    def _written(self, files: _Files | None, rows: Rows, originals: Sequence[Rows]) -> _Files | None:
        """The files with the next rows; None where they have failed, and are dropped before their neighbours end."""
        if files is None:
            return None
        with files.item.guarded(self.note_fatal):
            if files.item.under_way:
                files.write(rows, originals)
        if files.item.under_way:
            return files
        self._drop(files)
        return None

    def _finish(self, files: _Files) -> None:
        item = files.item
        started = time.perf_counter()
        try:
            with item.guarded(self.note_fatal):
                if self.fatal is None and not self._cancelled and item.under_way:
                    files.finish()
                    item.row.seconds["encode"] += time.perf_counter() - started
                    item.settle("restored")
        finally:
            self._drop(files)

    def _drop(self, *dropped: _Files | None) -> None:
        for files in filter(None, dropped):
            files.close()
            self._open_files.discard(files)
            self._room.release()

    def note_fatal(self, error: Exception) -> None:
        """End the run where it is the folder that refuses: what it refuses one file it will refuse the next."""
        if isinstance(error, OutputError):
            self.fatal = self.fatal or error


class _Files:
    """The restored file that is being written, and the comparison beside it."""

    def __init__(self, item: FileItem, quality: int, publisher: Publisher) -> None:
        assert item.target is not None
        self.item = item
        mode = permissions(item.job)
        place = publisher.result(item)
        self._writer = ImageWriter(
            item.job.target, item.target, quality=quality, tag=publisher.tag, place=place, mode=mode
        )
        self._comparison: Comparison | None = None
        if item.job.compare and Comparison.fits(item.target):
            place = publisher.comparison(item)
            assert item.header is not None
            self._comparison = Comparison(
                item.job.compare, item.header, item.target, publisher.tag, place=place, mode=mode
            )
        elif item.job.compare:
            item.row.notes.append(TOO_WIDE)

    def write(self, rows: Rows, originals: Sequence[Rows]) -> None:
        started = time.perf_counter()
        self._writer.write(rows)
        if self._comparison:
            self._comparison.write(np.concatenate(originals), rows)
        self.item.row.seconds["encode"] += time.perf_counter() - started

    def finish(self) -> None:
        self._writer.finish()
        if self._comparison:
            self._comparison.finish()

    def cancel(self) -> None:
        self._writer.cancel()

    def close(self) -> None:
        for writer in (self._writer, self._comparison):
            if writer:
                writer.close()
