"""From what the user named as inputs and output to a list of files to restore, before any work is done."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NoReturn

from nafnet.errors import ImageError, UsageError
from nafnet.imagefile import SUFFIXES, read_header


@dataclasses.dataclass(frozen=True, kw_only=True)
class Job:
    """One photograph and where its restored copy goes."""

    source: Path
    target: Path


def find_jobs(inputs: Sequence[Path], output: Path) -> list[Job]:
    """The jobs for files and folders; folders are walked recursively and their structure is kept.

    `output` is a folder, but for one input file it may name a file with an image's ending. Files of a folder
    without an image's ending are passed over; a file named outright is tried whatever its name.

    Raises:
        UsageError: an input is missing or has no images, two inputs would give one output, an output would
            replace its input or leave the output folder by a link, or the output folder lies inside an input folder.
    """
    for path in inputs:
        if not path.exists():
            raise UsageError(f"{path}: no such file or folder")
    if len(inputs) == 1 and inputs[0].is_file() and output.suffix.lower() in SUFFIXES and not output.is_dir():
        _refuse_other_format(inputs[0], output)
        jobs = [Job(source=inputs[0], target=output)]
    else:
        jobs = [job for path in inputs for job in _jobs_of(path, output)]
        _refuse_escapes(jobs, output)
    if not jobs:
        where = ", ".join(map(str, inputs))
        raise UsageError(f"{where}: no images; expected files ending in {', '.join(SUFFIXES)}")
    _refuse_collisions(jobs)
    return jobs


def prepare_output(jobs: Sequence[Job]) -> None:
    """Make the folders the jobs write to.

    Raises:
        UsageError: one cannot be made or written to.
    """
    for folder in sorted({job.target.parent for job in jobs}):
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(f"{folder}: cannot be made ({error.strerror or error}); choose another output") from error
        if not os.access(folder, os.W_OK | os.X_OK):
            raise UsageError(f"{folder}: no permission to write; choose another output")


def _jobs_of(path: Path, output: Path) -> Iterator[Job]:
    if path.is_file():
        yield Job(source=path, target=output / path.name)
        return
    if _real(output).is_relative_to(_real(path)):
        raise UsageError(f"{output}: the output lies inside the input {path}; choose a folder outside of it")
    # Links to folders are not followed: they can lead out of the folder, or round in it.
    for folder, subfolders, names in os.walk(path, onerror=_refuse_unreadable):
        subfolders.sort()
        for name in sorted(names):
            source = Path(folder, name)
            if source.suffix.lower() in SUFFIXES and not name.startswith("."):
                yield Job(source=source, target=output / source.relative_to(path))


def _refuse_escapes(jobs: Sequence[Job], output: Path) -> None:
    """A link inside the output folder must not lead the results out of it."""
    inside = _real(output)
    for folder in sorted({job.target.parent for job in jobs}):
        if not _real(folder).is_relative_to(inside):
            raise UsageError(f"{folder}: leads out of the output folder {output}; remove the link")


def _refuse_collisions(jobs: Sequence[Job]) -> None:
    sources = {_real(job.source): job.source for job in jobs}
    taken: dict[Path, Path] = {}
    for job in jobs:
        target = _real(job.target)
        if target in sources:
            raise UsageError(
                f"{job.source}: its output {job.target} would replace the input {sources[target]}; "
                "choose another output"
            )
        if target in taken:
            raise UsageError(f"{taken[target]} and {job.source} would both be written to {job.target}; rename one")
        taken[target] = job.source


def _real(path: Path) -> Path:
    """The path without links; unlike `Path.resolve` it leaves a loop of links as it is, for reading to fail on."""
    return Path(os.path.realpath(path))


def _refuse_unreadable(error: OSError) -> NoReturn:
    raise UsageError(f"{error.filename}: cannot be read ({error.strerror}); allow it, or leave it out")


def _refuse_other_format(source: Path, target: Path) -> None:
    """A file keeps its format, so a name that says another is a mistake; an unreadable input fails in its turn."""
    try:
        kind = read_header(source).format
    except ImageError:
        return
    if kind != SUFFIXES[target.suffix.lower()]:
        raise UsageError(f"{target}: {source} is {kind.upper()} and keeps its format; name the output accordingly")
