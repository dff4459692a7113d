"""What a run would do and take, from the headers alone: `--dry-run`, and the memory that `--verbose` prints."""

from __future__ import annotations

import contextlib
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import click
import numpy as np

from nafnet.errors import ImageError
from nafnet.images.header import Header
from nafnet.images.pixels import WHITE
from nafnet.images.writer import ImageWriter, check_quality
from nafnet.runtime.engine.restorer import Restorer
from nafnet.runtime.folder.decoding import Decoder
from nafnet.runtime.folder.memory import check_fits, file_bytes
from nafnet.runtime.folder.settings import Encoding, Limits
from nafnet.runtime.paths.job import Job
from nafnet.runtime.paths.journal import Journal
from nafnet.runtime.paths.standing import Judge, State
from nafnet.system import SYSTEM
from nafnet.words import counted, lasting, printable

Say = Callable[[str], None]
"""Prints a line."""
_SAMPLE = 512
"""Side of the picture whose encoding is timed."""


class DryRun:
    """Says what a run would do, by the same rules: what is done before, other shards', refused, or restored.

    Args:
        restorer: the model.
        limits: what one input may take.
        encoding: how results are written.
        say: prints a line.
    """

    def __init__(self, restorer: Restorer, limits: Limits, encoding: Encoding, say: Say) -> None:
        self._restorer, self._limits, self._encoding, self._say = restorer, limits, encoding, say
        self._tiles = self._pixels = self._most_memory = self._failed = self._done = self._elsewhere = 0
        self._encode_seconds = 0.0
        self._results: Counter[Path] = Counter()  # of each photograph
        self._passed: Path | None = None
        """The last photograph that goes through the model, for however many results."""
        self._encoders: dict[tuple[str, str, bool], float] = {}  # seconds a pixel

    def run(self, jobs: Sequence[Job], journal: Journal | None, judge: Judge) -> int:
        """Print a line for each file and one for the run; returns the exit code, 1 if a file cannot be restored."""
        self._results = Counter(job.source for job in jobs)
        with Decoder(self._limits) as decoder:
            for job in jobs:
                try:
                    if journal and not journal.shard.has(journal.name_of(job.shard_name)):
                        self._elsewhere += 1
                    elif self._is_done(job, judge, decoder):
                        self._done += 1
                    else:
                        self._add(job, decoder.header(job.source))
                except ImageError as error:
                    message = str(error)
                    click.echo(
                        printable(message if str(job.source) in message else f"{job.source}: {message}"), err=True
                    )
                    self._failed += 1
        self._sum_up(len(jobs))
        return 1 if self._failed else 0

    def _is_done(self, job: Job, judge: Judge, decoder: Decoder) -> bool:
        return judge.result(job, lambda: decoder.digest(job.source)).state is State.DONE

    def _add(self, job: Job, header: Header) -> None:
        restorer = self._restorer
        target = self._encoding.target(header, job)
        if self._encoding.quality is not None:
            check_quality(self._encoding.quality, target)
        check_fits(restorer, header)
        plan = restorer.plan(header.height, header.width)
        height, width = plan.tile_shape
        memory = file_bytes(restorer, header, self._results[job.source])
        self._most_memory = max(self._most_memory, memory)
        if job.source != self._passed:
            self._tiles += plan.count * header.timing.frames * (header.channels if restorer.spec.channels == 1 else 1)
        self._passed = job.source
        self._pixels += header.pixels
        self._encode_seconds += header.pixels * self._encoding_time(target)
        several = f", {counted(header.timing.frames, 'frame')}," if header.timing.frames > 1 else ""
        self._say(
            f"{job.source} -> {job.target}: {header.width}x{header.height}{several} "
            f"{header.format} {header.pixel_type} -> "
            f"{target.format} {target.pixel_type}, {counted(plan.count, 'tile')} of {width}x{height}, "
            f"{memory / 2**20:.0f} MB"
        )

    def _sum_up(self, count: int) -> None:
        left = count - self._failed - self._done - self._elsewhere
        seconds = 0.0
        if left:  # the two go on at the same time, so the slower one counts
            seconds = max(_seconds_per_tile(self._restorer) * self._tiles, self._encode_seconds)
        others = (
            (self._done, "done before"), (self._elsewhere, "of other shards"), (self._failed, "would fail"),
        )  # fmt: skip
        self._say(
            f"{counted(left, 'file')}, {self._pixels / 1e6:.1f} MP, {counted(self._tiles, 'tile')}, about "
            f"{self._most_memory / 2**20:.0f} MB at most, about {lasting(seconds)} on "
            f"{self._restorer.backend.description}" + "".join(f"; {number} {word}" for number, word in others if number)
        )

    def _encoding_time(self, target: Header) -> float:
        """Seconds a pixel, measured once for each kind of result."""
        kind = (target.format, target.pixel_type, target.lossless)
        if kind not in self._encoders:
            self._encoders[kind] = _seconds_per_pixel(target, self._encoding.effective_quality)
        return self._encoders[kind]


def print_memory(restorer: Restorer, jobs: Sequence[Job], limits: Limits, say: Say) -> None:
    """Print the most memory that one image will take, and what there is."""
    most, where, results = 0, None, Counter(job.source for job in jobs)
    with Decoder(limits) as decoder:
        for job in jobs:
            with contextlib.suppress(ImageError):  # it will be said when its turn comes
                memory = file_bytes(restorer, decoder.header(job.source), results[job.source])
                most, where = max((most, where), (memory, job.source), key=lambda pair: pair[0])
    available = SYSTEM.available_memory()
    there_is = f"; {available / 2**20:.0f} MB are available" if available else ""
    say(f"memory: about {most / 2**20:.0f} MB beside the model, for {where}{there_is}")


def _seconds_per_tile(restorer: Restorer) -> float:
    """The fastest of three full tiles, after one to warm up."""
    tile = np.zeros((1, restorer.spec.channels, restorer.tile, restorer.tile), np.float32)
    restorer.backend(tile)
    took = []
    for _ in range(3):
        started = time.perf_counter()
        restorer.backend(tile)
        took.append(time.perf_counter() - started)
    return min(took)


def _seconds_per_pixel(target: Header, quality: int) -> float:
    """Of encoding a smooth picture with little noise, as a restored photograph is."""
    header = Header(
        width=_SAMPLE, height=_SAMPLE, format=target.format, channels=target.channels, alpha=target.alpha,
        pixel_type=target.pixel_type, bits=target.bits, lossless=target.lossless,
    )  # fmt: skip
    ramp = np.linspace(0.2, 0.8, _SAMPLE)[:, None, None] * np.ones((_SAMPLE, _SAMPLE, header.bands))
    noisy = np.clip(ramp + np.random.default_rng(0).normal(0, 0.01, ramp.shape), 0, 1)
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        with ImageWriter(Path(folder, "sample"), header, quality=quality) as writer:
            writer.write((noisy * WHITE[header.pixel_type]).astype(header.pixel_type))
            writer.finish()
        return (time.perf_counter() - started) / _SAMPLE**2
