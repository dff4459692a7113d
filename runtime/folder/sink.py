"""The last stage: restored rows become files. Encoders work beside the model, and hold a bounded number of images."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from nafnet.errors import OutputError
from nafnet.images.formats import FORMATS, Header
from nafnet.images.writer import ImageWriter, check_quality
from nafnet.runtime.engine.events import Band, ByteQueue, Closed, Event, Item, Opened
from nafnet.runtime.engine.tiles import convert_depth
from nafnet.runtime.folder.journal import Journal
from nafnet.runtime.folder.settings import Output

COMPARE_QUALITY = 92


class Sink:
    """Writes the files of a stream of events.

    Args:
        output: how they are written.
        journal: where finished ones are recorded; None for no record.
        workers: images encoded at once.
    """

    def __init__(self, output: Output, journal: Journal | None, workers: int) -> None:
        self._output, self._journal, self._workers = output, journal, workers
        self._room = threading.Semaphore(workers + 1)  # one is filled while the others are encoded
        self.fatal: OutputError | None = None
        """Why the folder takes no more; nothing is written after it."""

    def run(self, queue: ByteQueue[Event]) -> None:
        """Write until the queue is closed and empty; an image that was not closed by then is dropped."""
        try:
            self._consume(queue)
        except Exception as error:  # else the run would wait for room in the queue for ever
            self.fatal = self.fatal or OutputError(f"writing failed ({type(error).__name__}: {error})")
        finally:
            queue.close(discard=True)

    def _consume(self, events: Iterable[Event]) -> None:
        with ThreadPoolExecutor(self._workers, thread_name_prefix="encode") as pool:
            current: _Files | None = None
            for event in events:
                if isinstance(event, Opened):
                    self._drop(current)
                    current = None if self.fatal else self._open(event)
                elif current is not None and isinstance(event, Band):
                    with self._guarded(event.item):
                        current.write(event)
                elif current is not None and isinstance(event, Closed):
                    pool.submit(self._finish, current)
                    current = None
            self._drop(current)

    def _open(self, event: Opened) -> _Files | None:
        self._room.acquire()
        with self._guarded(event.item):
            if self._output.quality is not None:
                check_quality(self._output.quality, event.header)
            if self._journal:
                self._journal.started(event.item.job)
            tag = self._journal.tag if self._journal else ""
            return _Files(event.item, event.header, self._output.effective_quality, tag)
        self._room.release()
        return None

    def _finish(self, files: _Files) -> None:
        item = files.item
        started = time.perf_counter()
        try:
            with self._guarded(item):
                if self.fatal is None and not item.failed:
                    files.finish()
                    item.report.seconds["encode"] += time.perf_counter() - started
                    if self._journal:
                        assert item.digest is not None
                        self._journal.restored(item.job, item.digest, item.report)
                    item.finish("restored")
        finally:
            self._drop(files)

    def _drop(self, files: _Files | None) -> None:
        if files is not None:
            files.close()
            self._room.release()

    def _guarded(self, item: Item) -> _Guard:
        return _Guard(self, item)


class _Guard:
    """Makes an error the file's own, and one of the folder the run's."""

    def __init__(self, sink: Sink, item: Item) -> None:
        self._sink, self._item = sink, item

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: object) -> bool:
        if not isinstance(error, Exception):
            return False
        if isinstance(error, OutputError):
            self._sink.fatal = self._sink.fatal or error
        self._item.fail(error)
        return True


class _Files:
    """The restored file that is being written, and the comparison beside it."""

    def __init__(self, item: Item, header: Header, quality: int, tag: str) -> None:
        self.item = item
        self._writer = ImageWriter(item.job.target, header, quality=quality, tag=tag)
        self._compare: ImageWriter | None = None
        if item.job.compare:
            item.job.compare.parent.mkdir(parents=True, exist_ok=True)
            both = Header(
                width=2 * header.width, height=header.height, format="jpeg", channels=header.channels, alpha=False,
                pixel_type="uint8", bits=8, lossless=False, metadata={},
            )  # fmt: skip
            if both.width > FORMATS["jpeg"].max_side:
                item.report.notes.append("too wide to be compared side by side")
            else:
                self._compare = ImageWriter(item.job.compare, both, quality=COMPARE_QUALITY, tag=tag)
        self._channels = header.channels

    def write(self, band: Band) -> None:
        started = time.perf_counter()
        self._writer.write(band.rows)
        if self._compare:
            assert band.original is not None
            pair = [convert_depth(rows[:, :, : self._channels], "uint8") for rows in (band.original, band.rows)]
            self._compare.write(np.concatenate(pair, axis=1))
        self.item.report.seconds["encode"] += time.perf_counter() - started

    def finish(self) -> None:
        self._writer.finish()
        if self._compare:
            self._compare.finish()

    def close(self) -> None:
        for writer in (self._writer, self._compare):
            if writer:
                writer.close()
