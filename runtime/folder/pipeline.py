"""Decode, restore and encode at the same time: stages joined by queues that are bounded by bytes.

Processes decode, the calling thread restores, threads encode, so the model waits for a file only when files are slower
than the model. Images flow in bands of rows, so memory is bounded by their width, not by their number or height. One
file's failure is its own; the rest go on.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence

from nafnet.errors import ImageError
from nafnet.images.formats import Header
from nafnet.runtime.engine.events import Band, ByteQueue, Closed, Event, Item, Opened, size_of
from nafnet.runtime.engine.memory import QUEUE_BYTES
from nafnet.runtime.engine.restorer import Restorer
from nafnet.runtime.folder.decoding import Decoder, DecoderStopped
from nafnet.runtime.folder.discovery import Job
from nafnet.runtime.folder.journal import Journal
from nafnet.runtime.folder.report import FileReport
from nafnet.runtime.folder.settings import Limits, Output
from nafnet.runtime.folder.sink import Sink


class Pipeline:
    """Restores a list of files.

    Args:
        restorer: the model.
        jobs: what to restore and where to write it; the folders exist.
        output: how results are written.
        limits: what one input may take.
        journal: opened; says what is done already, and is told what is done. None restores everything.
        on_pixels: called with a file's row and a number of its pixels as they are restored, from the calling
            thread.
        on_done: called with each finished row, from any stage's thread.
    """

    def __init__(
        self,
        restorer: Restorer,
        jobs: Sequence[Job],
        *,
        output: Output | None = None,
        limits: Limits | None = None,
        journal: Journal | None = None,
        on_pixels: Callable[[FileReport, float], None] | None = None,
        on_done: Callable[[FileReport], None] | None = None,
    ) -> None:
        self.restorer = restorer
        self.reports = [FileReport.of(job) for job in jobs]
        self._output, self._limits, self._journal = output or Output(), limits or Limits(), journal
        self._on_pixels = on_pixels or (lambda *_: None)
        self._on_done = on_done or (lambda *_: None)
        self._items = [Item(job=j, report=r, on_done=self._tell) for j, r in zip(jobs, self.reports, strict=True)]
        cores = os.cpu_count() or 1
        self._decoders = max(min(cores // 8, 4), 1)
        self._encoders = max(min(cores // 4, 4), 1)

    def run(self) -> list[FileReport]:
        """Restore all; returns a row for each job, in their order.

        On Ctrl-C what was already restored is still written, then KeyboardInterrupt is raised; `reports` then
        has the files that were not reached as skipped.

        Raises:
            OutputError: the output folder takes no more.
            BackendError: the backend fails whatever it is given.
        """
        items = self._items
        with self.restorer.exclusive():
            while items:
                self._pass(items)
                items = [item for item in items if item.again and not item.failed]
                for item in items:
                    item.again = False
        return self.reports

    def _pass(self, items: Sequence[Item]) -> None:
        sink = Sink(self._output, self._journal, self._encoders)
        restored: ByteQueue[Event] = ByteQueue(QUEUE_BYTES, size_of)
        encoder = threading.Thread(target=sink.run, args=(restored,), name="encode", daemon=True)
        encoder.start()
        decoded = _Decoded(items, self._decoders, self._limits, self._is_wanted)
        try:
            for event in self.restorer.restore_stream(iter(decoded), self._output):
                if sink.fatal:
                    break
                if isinstance(event, Band):
                    self._progress(event.item.report, event.rows.shape[0] * event.rows.shape[1])
                restored.put(event)
        finally:
            decoded.close()
            restored.close()
            encoder.join()
        if sink.fatal:
            raise sink.fatal

    def _is_wanted(self, item: Item, digest: Callable[[], str]) -> bool:
        """Whether the file is this run's to restore, and is not restored yet."""
        if self._journal is None:
            return True
        item.digest = digest()
        if not self._journal.shard.has(item.digest):
            item.finish("elsewhere")
            return False
        if self._journal.is_done(item.job, item.digest):
            item.finish("unchanged")
            return False
        if not self._journal.may_write(item.job):
            raise ImageError(
                f"{item.job.source}: {item.job.target} exists and was not written from here; remove it, or use "
                "--overwrite"
            )
        return True

    def _progress(self, row: FileReport, pixels: float) -> None:
        """Call `on_pixels`, on the same terms as `_tell`."""
        try:
            self._on_pixels(row, pixels)
        except (Exception, SystemExit):
            self._on_pixels = lambda *_: None

    def _tell(self, row: FileReport) -> None:
        """Call `on_done`; one that fails, as a bar does whose terminal is gone, is not called again."""
        try:
            self._on_done(row)
        except (Exception, SystemExit):  # rich exits on a broken pipe
            self._on_done = lambda *_: None


class _Decoded:
    """The events of all items, in their order, decoded by several threads, each with a process."""

    def __init__(
        self, items: Sequence[Item], count: int, limits: Limits, is_wanted: Callable[[Item, Callable[[], str]], bool]
    ) -> None:
        self._items, self._limits, self._is_wanted = items, limits, is_wanted
        count = min(count, len(items))
        self._queues: list[ByteQueue[Event]] = [ByteQueue(QUEUE_BYTES // count, size_of) for _ in range(count)]
        self._decoders = [Decoder(limits) for _ in range(count)]
        self._threads = [
            threading.Thread(target=self._decode, args=(index,), name=f"decode-{index}", daemon=True)
            for index in range(count)
        ]
        for thread in self._threads:
            thread.start()

    def __iter__(self) -> Iterator[Event]:
        streams = [iter(queue) for queue in self._queues]
        for index in range(len(self._items)):
            for event in streams[index % len(streams)]:
                yield event
                if isinstance(event, Closed):
                    break

    def close(self) -> None:
        """Stop decoding, and wait for the processes to be gone."""
        for queue in self._queues:
            queue.close(discard=True)
        for decoder in self._decoders:
            decoder.stop()
        for thread in self._threads:
            thread.join()

    def _decode(self, index: int) -> None:
        """Decode every n-th item into the queue of that index."""
        target, decoder = self._queues[index], self._decoders[index]
        with contextlib.suppress(DecoderStopped), decoder:
            for item in self._items[index :: len(self._queues)]:
                for event in self._events(item, decoder):
                    if not target.put(event):
                        return

    def _events(self, item: Item, decoder: Decoder) -> Iterator[Event]:
        source = item.job.source
        with item.guarded():
            if self._is_wanted(item, lambda: decoder.digest(source)):
                parts = decoder.decode(source)
                started = time.perf_counter()
                for part in parts:
                    item.report.seconds["decode"] += time.perf_counter() - started
                    yield Opened(item, part) if isinstance(part, Header) else Band(item, part)
                    if item.failed:
                        parts.close()
                        break
                    started = time.perf_counter()
        yield Closed(item)
