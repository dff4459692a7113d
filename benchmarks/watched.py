"""Run a command and watch what it and its children take: memory, threads, open files."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sample:
    """One look at a process and its children."""

    seconds: float
    """Since the start."""
    megabytes: float
    """Proportional set size, summed: pages that several share count once."""
    threads: int
    files: int
    """Open file descriptors."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Watched:
    """What came of it."""

    code: int
    output: str
    seconds: float
    largest_process: float
    """MB of resident memory at the peak of the largest process, as the system counted it."""
    samples: list[Sample]

    @property
    def peak(self) -> float:
        """MB of all processes together, of the samples taken."""
        return max((sample.megabytes for sample in self.samples), default=0.0)


def watch(command: Sequence[str | Path], *, interval: float = 0.25) -> Watched:
    """Run to the end; a sample each `interval` seconds."""
    started = time.perf_counter()
    samples = []
    with tempfile.TemporaryFile() as written:  # a pipe that nobody empties would stop the command when it is full
        with subprocess.Popen(command, stdout=written, stderr=subprocess.STDOUT) as process:
            while process.poll() is None:
                samples.append(_look(process.pid, time.perf_counter() - started))
                time.sleep(interval)
            seconds = time.perf_counter() - started
        written.seek(0)
        output = written.read().decode(errors="replace")
    peaks = [sample for sample in samples if sample.files]
    return Watched(
        code=process.returncode, output=output, seconds=seconds, samples=peaks,
        largest_process=_children_peak(),
    )  # fmt: skip


def _children_peak() -> float:
    import resource

    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024


def _look(pid: int, seconds: float) -> Sample:
    megabytes, threads, files = 0.0, 0, 0
    for each in _tree(pid):
        try:
            rollup = Path(f"/proc/{each}/smaps_rollup").read_text(encoding="ascii")
            pss = next(line for line in rollup.splitlines() if line.startswith("Pss:"))
            megabytes += int(pss.split()[1]) / 1024
            threads += len(os.listdir(f"/proc/{each}/task"))
            files += len(os.listdir(f"/proc/{each}/fd"))
        except (OSError, StopIteration):
            continue  # it ended meanwhile
    return Sample(seconds=seconds, megabytes=megabytes, threads=threads, files=files)


def _tree(pid: int) -> list[int]:
    """The process and all below it."""
    found = [pid]
    for each in found:
        try:
            children = Path(f"/proc/{each}/task/{each}/children").read_text(encoding="ascii").split()
            tasks = os.listdir(f"/proc/{each}/task")
            for task in tasks:
                if task != str(each):
                    children += Path(f"/proc/{each}/task/{task}/children").read_text(encoding="ascii").split()
        except OSError:
            continue
        found += [int(child) for child in children if int(child) not in found]
    return found
