"""Run a command and watch what it and its children take: memory, threads, open files."""

from __future__ import annotations

import contextlib
import dataclasses
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import psutil


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sample:
    """One look at a process and its children."""

    seconds: float
    """Since the start."""
    megabytes: float
    """Proportional set size, summed: pages that several share count once. Resident memory where that is not known."""
    threads: int
    files: int
    """Open file descriptors; on Windows handles."""
    largest: float
    """MB of resident memory of the largest of them."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Watched:
    """What came of it."""

    code: int
    output: str
    seconds: float
    samples: list[Sample]

    @property
    def peak(self) -> float:
        """MB of all processes together, of the samples taken."""
        return max((sample.megabytes for sample in self.samples), default=0.0)

    @property
    def largest_process(self) -> float:
        """MB of resident memory of the largest process, of the samples taken."""
        return max((sample.largest for sample in self.samples), default=0.0)


def watch(command: Sequence[str | Path], *, interval: float = 0.25) -> Watched:
    """Run to the end; a sample each `interval` seconds."""
    started = time.perf_counter()
    samples = []
    with tempfile.TemporaryFile() as written:  # a pipe that nobody empties would stop the command when it is full
        with subprocess.Popen(command, stdout=written, stderr=subprocess.STDOUT) as process:
            while process.poll() is None:
                samples.append(_look(psutil.Process(process.pid), time.perf_counter() - started))
                time.sleep(interval)
            seconds = time.perf_counter() - started
        written.seek(0)
        output = written.read().decode(errors="replace")
    peaks = [sample for sample in samples if sample.files]
    return Watched(code=process.returncode, output=output, seconds=seconds, samples=peaks)


def _look(process: psutil.Process, seconds: float) -> Sample:
    megabytes, threads, files, largest = 0.0, 0, 0, 0.0
    for each in _tree(process):
        with contextlib.suppress(psutil.Error, OSError):  # it ended meanwhile
            held = each.memory_full_info()
            megabytes += getattr(held, "pss", held.rss) / 2**20
            threads += each.num_threads()
            files += each.num_handles() if hasattr(each, "num_handles") else each.num_fds()
            largest = max(largest, held.rss / 2**20)
    return Sample(seconds=seconds, megabytes=megabytes, threads=threads, files=files, largest=largest)


def _tree(process: psutil.Process) -> list[psutil.Process]:
    """The process and all below it."""
    with contextlib.suppress(psutil.Error):
        return [process, *process.children(recursive=True)]
    return []
