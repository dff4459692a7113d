"""Decode, restore and encode at the same time: stages joined by queues that are bounded by bytes.

Processes decode, the calling thread restores, threads encode, so the model waits for a file only when files are slower
than the model. Images flow in bands of rows, so memory is bounded by their width, not by their number or height. One
file's failure is its own; the rest go on.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import threading
from collections.abc import Callable, Sequence
from functools import partial

from nafnet.errors import ImageError, OutputError
from nafnet.images.header import Header
from nafnet.runtime.engine.events import Band, Event
from nafnet.runtime.engine.events import State as Stage
from nafnet.runtime.engine.restorer import Restorer
from nafnet.runtime.folder.byte_queue import ByteQueue, size_of
from nafnet.runtime.folder.comparison import NOT_COMPARED, TOO_WIDE, Comparison, compare_files
from nafnet.runtime.folder.decoding import Decoder
from nafnet.runtime.folder.item import FileItem
from nafnet.runtime.folder.memory import QUEUE_BYTES, check_fits
from nafnet.runtime.folder.photograph import PhotographItem, photographs
from nafnet.runtime.folder.publisher import Publisher, permissions
from nafnet.runtime.folder.report import FileReport
from nafnet.runtime.folder.settings import Encoding, Limits
from nafnet.runtime.folder.sheet import Sheets
from nafnet.runtime.folder.sink import Sink
from nafnet.runtime.folder.source import Source
from nafnet.runtime.paths.job import Job
from nafnet.runtime.paths.journal import Journal
from nafnet.runtime.paths.outputs import Outputs
from nafnet.runtime.paths.standing import Judge, Standing, State

MOST_WORKERS = 12
"""Files decoded at once, and encoded at once."""
PATIENCE = 1.5
"""Seconds that an interrupted run waits for encoders, before and after it asks them to stop."""


def workers(beside_cpu: bool, cores: int) -> tuple[int, int]:
    """How many files are decoded and encoded at once.

    Args:
        beside_cpu: whether a device computes; else the model wants the cores, and files are seldom what it waits for.
        cores: of the CPU.
    """
    if beside_cpu:
        return (min(cores, MOST_WORKERS),) * 2
    return max(min(cores // 8, 4), 1), max(min(cores // 4, 4), 1)


class Pipeline:
    """Restores a list of files.

    Args:
        restorer: the model.
        jobs: what to restore and where to write it; the folders exist.
        encoding: how results are written.
        limits: what one input may take.
        outputs: asked before a file gets its name; None believes the jobs.
        journal: opened; says what is done already, and is told what is done. None restores everything.
        decoder: to decode with, in place of some of its own; it stays open.
        judge: says of each job whether it is to be done; by default what is there is not replaced.
        on_pixels: called with a file's row and a number of its pixels as they are restored, from the calling
            thread.
        on_done: called with each finished row, from any stage's thread.
    """

    def __init__(
        self,
        restorer: Restorer,
        jobs: Sequence[Job],
        *,
        encoding: Encoding | None = None,
        limits: Limits | None = None,
        outputs: Outputs | None = None,
        journal: Journal | None = None,
        decoder: Decoder | None = None,
        judge: Judge | None = None,
        on_pixels: Callable[[FileReport, float], None] | None = None,
        on_done: Callable[[FileReport], None] | None = None,
    ) -> None:
        self.restorer = restorer
        self.reports = [FileReport.of(job) for job in jobs]
        self._encoding, self._limits, self._journal = encoding or Encoding(), limits or Limits(), journal
        self._judge = judge or Judge(journal)
        self._publisher = Publisher(outputs or Outputs(), journal, self._judge)
        self.stuck = False
        """After an interruption: an encoder still works and cannot be stopped but with the process."""
        self._on_pixels = on_pixels or (lambda *_: None)
        self._on_done = on_done or (lambda *_: None)
        self._sheets = Sheets(self._publisher, self._judge, self._limits)
        self._items = list(photographs(jobs, self.reports, self._tell, self._sheets.add))
        decoders, self._encoders = workers(restorer.backend.beside_cpu, os.cpu_count() or 1)
        self._decoders = decoder or decoders

    def run(self) -> list[FileReport]:
        """Restore all; returns a row for each job, in their order.

        On Ctrl-C what was already restored is still written if it takes a few seconds, then KeyboardInterrupt is
        raised; `reports` then has the files that were not reached as skipped. See `stuck`.

        Raises:
            OutputError: the output folder takes no more.
            BackendError: the backend fails whatever it is given.
        """
        items = self._items
        with self._sheets:
            with self.restorer.exclusive():
                while items:
                    self._pass(items)
                    items = [item for item in items if item.state is Stage.AGAIN]
            self._sheets.finish()
        return self.reports

    def _pass(self, items: Sequence[PhotographItem]) -> None:
        together = max(len(item.files) for item in items)
        self._sink = sink = Sink(self._encoding, self._publisher, self._encoders, together)
        restored: ByteQueue[Event[PhotographItem]] = ByteQueue(QUEUE_BYTES, size_of)
        encoder = threading.Thread(target=sink.run, args=(restored,), name="encode", daemon=True)
        encoder.start()
        check = partial(check_fits, self.restorer)
        source = Source(items, self._decoders, self._limits, self._encoding, self._is_wanted, check)
        patience: float | None = None
        try:
            for event in self.restorer.restore_stream(iter(source)):
                if sink.fatal:
                    break
                if isinstance(event, Band):
                    for file in event.item.wanted:
                        if file.under_way:
                            self._progress(file.row, event.rows.shape[0] * event.rows.shape[1])
                restored.put(event)
            restored.close()
            sink.over.wait()  # here, so that an interruption while it works is one as well
        except KeyboardInterrupt:
            patience = PATIENCE
            raise
        finally:
            source.close()
            restored.close()
            # Not by joining the thread: a join that is interrupted takes it for ended (Python 3.11).
            if not sink.over.wait(patience):  # whoever stops a run does not wait for the slowest encoder
                sink.cancel()
                self.stuck = not sink.over.wait(PATIENCE)
        if fatal := sink.fatal or source.fatal:
            raise fatal

    def _is_wanted(self, photograph: PhotographItem, item: FileItem, decoder: Decoder) -> bool:
        """Whether the file is this run's to make, and is not made yet."""
        job, journal = item.job, self._journal
        if journal and not journal.shard.has(journal.name_of(job.shard_name)):
            item.settle("elsewhere")
            return False

        def digest() -> str:
            item.digest = photograph.digest = photograph.digest or decoder.digest(job.source)
            return item.digest

        item.times = photograph.times
        item.standing = self._judge.result(job, digest)
        compared = self._standing_comparison(item)
        if item.standing.state is not State.DONE:
            if journal:
                digest()
            return True
        item.result_sha256 = item.standing.sha256
        if compared and compared.state is not State.DONE:
            digest()
            self._compare(item, decoder)
        item.settle("unchanged")
        return False

    def _standing_comparison(self, item: FileItem) -> Standing | None:
        """That of its comparison; where it may not be replaced the photograph is restored all the same."""
        if not item.job.compare:
            return None
        try:
            return self._judge.comparison(item.job)
        except ImageError as error:
            item.row.notes.append(f"{NOT_COMPARED}: {error}")
            item.job = dataclasses.replace(item.job, compare=None)
            return None

    def _compare(self, item: FileItem, decoder: Decoder) -> None:
        """Make the comparison of a file that an earlier run restored; where that fails, the result is good as it is."""
        job, publisher = item.job, self._publisher
        assert job.compare is not None
        try:
            with contextlib.ExitStack() as stack:
                original = stack.enter_context(contextlib.closing(decoder.decode(job.source)))
                header = next(original)
                assert isinstance(header, Header)
                if not Comparison.fits(header):
                    item.row.notes.append(TOO_WIDE)
                    return
                # By the original's header: some formats have no grey, and give it back in three equal channels.
                place, mode = publisher.comparison(item), permissions(job)
                other = stack.enter_context(Decoder(self._limits))  # the two are read side by side
                result = stack.enter_context(contextlib.closing(other.decode(job.target)))
                made = next(result)
                assert isinstance(made, Header)
                with Comparison(job.compare, header, made, publisher.tag, place=place, mode=mode) as comparison:
                    compare_files(original, result, comparison)
        except ImageError as error:
            item.row.notes.append(f"{NOT_COMPARED}: {error}")
        except OutputError as error:
            self._sink.note_fatal(error)
            raise

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
