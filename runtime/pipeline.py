"""Decode, restore and encode at the same time: three stages joined by two bounded queues.

One thread decodes, the calling thread restores, one thread encodes, so the model waits for a file only when
files are slower than the model. The queues hold two images each: memory is bounded by the size of the images,
not by their number. One file's failure is its own; the rest go on.
"""

from __future__ import annotations

import dataclasses
import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence

from nafnet.runtime.discovery import Job
from nafnet.runtime.report import FileReport
from nafnet.runtime.restorer import Restorer, Work

from nafnet.errors import NafnetError
from nafnet.imagefile import ImageFile, read_image, write_image

QUEUE_DEPTH = 2
_WAKE_SECONDS = 0.1  # how often a stage that waits looks whether the run was stopped


@dataclasses.dataclass(kw_only=True)
class _Item:
    """A file on its way through the stages."""

    job: Job
    report: FileReport
    image: ImageFile | None = None


class Pipeline:
    """Restores a list of files.

    Args:
        restorer: the model.
        jobs: what to restore and where to write it; the folders exist.
        on_pixels: called with a file's path and a number of its pixels as they are restored, from the calling
            thread.
        on_done: called with each finished row, from any stage's thread.
    """

    def __init__(
        self,
        restorer: Restorer,
        jobs: Sequence[Job],
        *,
        on_pixels: Callable[[str, float], None] | None = None,
        on_done: Callable[[FileReport], None] | None = None,
    ) -> None:
        self.restorer = restorer
        self.reports = [FileReport.of(job) for job in jobs]
        self._items = [_Item(job=j, report=r) for j, r in zip(jobs, self.reports, strict=True)]
        self._on_pixels = on_pixels or (lambda *_: None)
        self._on_done = on_done or (lambda *_: None)
        self._decoded: queue.Queue[_Item | None] = queue.Queue(QUEUE_DEPTH)
        self._restored: queue.Queue[_Item | None] = queue.Queue(QUEUE_DEPTH)
        self._stop = threading.Event()

    def run(self) -> list[FileReport]:
        """Restore all; returns a row for each job, in their order.

        On Ctrl-C what was already restored is still written, then KeyboardInterrupt is raised; `reports` then
        has the files that were not reached as skipped.
        """
        decoder = threading.Thread(target=self._decode, name="decode", daemon=True)
        encoder = threading.Thread(target=self._encode, name="encode", daemon=True)
        decoder.start()
        encoder.start()
        try:
            while (item := self._next(self._decoded)) is not None:
                if self._guarded(item, self._restore):
                    self._put(self._restored, item)
        finally:
            self._stop.set()
            decoder.join()
            self._finish(encoder)
        return self.reports

    def _finish(self, encoder: threading.Thread) -> None:
        """Let the encoder write what it was given, and end."""
        while encoder.is_alive():
            try:
                self._restored.put(None, timeout=_WAKE_SECONDS)
                break
            except queue.Full:
                continue
        encoder.join()

    def _decode(self) -> None:
        for item in self._items:
            if self._stop.is_set() or (self._guarded(item, self._read) and not self._put(self._decoded, item)):
                return
        self._put(self._decoded, None)

    def _encode(self) -> None:
        for item in self._until_end(self._restored):
            if self._guarded(item, self._write):
                item.report.status = "restored"
                self._tell(item.report)
            item.image = None

    def _read(self, item: _Item) -> None:
        with _Stopwatch(item.report, "decode"):
            item.image = read_image(item.job.source)
        item.report.height, item.report.width = item.image.pixels.shape[:2]

    def _restore(self, item: _Item) -> None:
        assert item.image is not None
        pixels = item.report.width * item.report.height
        work = Work()
        try:
            restored = self.restorer.restore_counted(
                item.image.pixels, work, lambda share: self._progress(item.report.input, share * pixels)
            )
        finally:
            item.report.tiles, item.report.seconds["infer"] = work.tiles, round(work.infer_seconds, 6)
        item.image = item.image.replace_pixels(restored)

    def _write(self, item: _Item) -> None:
        assert item.image is not None
        with _Stopwatch(item.report, "encode"):
            write_image(item.job.target, item.image)

    def _guarded(self, item: _Item, stage: Callable[[_Item], None]) -> bool:
        """Run a stage; whatever goes wrong with this file is its row's error, and the run goes on."""
        try:
            stage(item)
        except Exception as error:  # the boundary between one file and the others
            kind = "" if isinstance(error, NafnetError) else f"{type(error).__name__}: "
            item.report.status, item.report.error = "failed", " ".join(f"{kind}{error}".split())
            item.image = None
            self._tell(item.report)
            return False
        return True

    def _progress(self, source: str, pixels: float) -> None:
        """Call `on_pixels`, on the same terms as `_tell`."""
        try:
            self._on_pixels(source, pixels)
        except (Exception, SystemExit):
            self._on_pixels = lambda *_: None

    def _tell(self, row: FileReport) -> None:
        """Call `on_done`; one that fails, as a bar does whose terminal is gone, is not called again."""
        try:
            self._on_done(row)
        except (Exception, SystemExit):  # rich exits on a broken pipe
            self._on_done = lambda *_: None

    def _put(self, target: queue.Queue[_Item | None], item: _Item | None) -> bool:
        """Put unless the run is stopped; says whether it was put."""
        while not self._stop.is_set():
            try:
                target.put(item, timeout=_WAKE_SECONDS)
                return True
            except queue.Full:
                continue
        return False

    @staticmethod
    def _next(source: queue.Queue[_Item | None]) -> _Item | None:
        """Wait for an item; with a timeout, for only then does Ctrl-C reach a waiting main thread everywhere."""
        while True:
            try:
                return source.get(timeout=_WAKE_SECONDS)
            except queue.Empty:
                continue

    def _until_end(self, source: queue.Queue[_Item | None]) -> Iterator[_Item]:
        while (item := self._next(source)) is not None:
            yield item


class _Stopwatch:
    """Writes the seconds of its block into a row."""

    def __init__(self, report: FileReport, stage: str) -> None:
        self._report, self._stage = report, stage

    def __enter__(self) -> None:
        self._started = time.perf_counter()

    def __exit__(self, *_: object) -> None:
        self._report.seconds[self._stage] = round(time.perf_counter() - self._started, 6)
