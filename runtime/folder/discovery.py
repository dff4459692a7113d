"""From what the user named as inputs and output to a list of files to restore, before any work is done."""

from __future__ import annotations

import dataclasses
import glob
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NoReturn

from nafnet.errors import UsageError
from nafnet.images.formats import FORMATS, SUFFIXES, Format
from nafnet.runtime.folder.job import Job

NOT_WRITTEN = (".heic", ".heif", ".gif", ".jxl", ".jp2", ".psd", ".svg", ".pdf", ".exr", ".hdr", ".ico", ".tga")
"""Endings that mean a picture, not a folder; of these nothing is written."""
_ENDINGS = ", ".join(suffix for suffix in SUFFIXES if suffix not in NOT_WRITTEN)


def find_jobs(
    inputs: Sequence[Path], output: Path, *, file_format: Format | None = None, compare: Path | None = None
) -> list[Job]:
    """The jobs for files, folders and patterns; folders are walked recursively and their structure is kept.

    `output` is a folder, but for one input file it may name a file with an image's ending, which then says its format.
    Files of a folder without an image's ending are passed over; a file named outright is tried whatever its name.

    Args:
        inputs: files, folders, and patterns as "photos/**/*.jpg" that no shell has expanded.
        output: where results go.
        file_format: of all results, whose names then end accordingly.
        compare: a folder for side-by-side pictures.

    Raises:
        UsageError: an input is missing or has no images, two inputs would give one output, an output would
            replace its input or leave the output folder by a link, or the output folder or that of the comparisons
            lies inside an input folder.
    """
    found = [path for named in inputs for path in _expanded(named)]
    if is_file_output(found, output):
        named_format = SUFFIXES[output.suffix.lower()]
        if file_format and file_format != named_format:
            raise UsageError(f"--format {file_format}: the output {output} says {named_format}; leave one of them out")
        jobs = [Job(source=found[0], target=output, format=named_format)]
    else:
        jobs = [_renamed(job, file_format) for path in found for job in _jobs_of(path, output)]
        _refuse_escapes(jobs, output)
    if not jobs:
        where = ", ".join(map(str, inputs))
        raise UsageError(f"{where}: no images; expected files ending in {', '.join(SUFFIXES)}")
    if compare:
        for folder in filter(Path.is_dir, found):
            if _real(compare).is_relative_to(_real(folder)):
                raise UsageError(
                    f"--compare {compare}: lies inside the input {folder}, whose next run would take comparisons for "
                    "photographs; choose a folder outside of it"
                )
        jobs = _compared(jobs, output, compare)
    _refuse_collisions(jobs)
    return jobs


def listed_jobs(
    files: Sequence[Path], output: Path, *, file_format: Format | None = None, compare: Path | None = None
) -> list[Job]:
    """The jobs for a list of files; relative paths keep their folders below `output`, others go straight into it.

    Raises:
        UsageError: as `find_jobs`; a file that is missing fails in its turn.
    """
    jobs = []
    for path in files:
        inside = path if not path.is_absolute() and ".." not in path.parts else Path(path.name)
        jobs.append(_renamed(Job(source=path, target=output / inside), file_format))
    _refuse_escapes(jobs, output)
    if compare:
        jobs = _compared(jobs, output, compare)
    _refuse_collisions(jobs)
    return jobs


def read_list(name: str) -> list[Path]:
    """The paths in a file, or on standard input if it is "-": one to a line, or each ended by a NUL.

    Raises:
        UsageError: it cannot be read, or names nothing.
    """
    try:
        data = sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()
    except OSError as error:
        raise UsageError(f"--files-from {name}: cannot be read ({error.strerror or error})") from error
    names = data.split(b"\0") if b"\0" in data else data.splitlines()
    paths = [Path(os.fsdecode(entry)) for entry in names if entry.strip()]
    if not paths:
        raise UsageError(f"--files-from {name}: names no file")
    return paths


def is_file_output(inputs: Sequence[Path], output: Path) -> bool:
    """Whether `output` names a file, not a folder.

    Raises:
        UsageError: it is named as a picture of a kind that is not written.
    """
    one = len(inputs) == 1 and inputs[0].is_file()
    if not one or output.is_dir():
        return False
    if output.suffix.lower() in NOT_WRITTEN:
        raise UsageError(f"{output}: {output.suffix} is not written; expected a folder, or a file ending in {_ENDINGS}")
    return output.suffix.lower() in SUFFIXES


def _expanded(path: Path) -> list[Path]:
    if os.path.lexists(path):
        return [path]
    if any(character in str(path) for character in "*?["):
        matches = sorted(Path(match) for match in glob.iglob(str(path), recursive=True))  # noqa: PTH207, it may be absolute
        if matches:
            return matches
        raise UsageError(f"{path}: nothing matches this pattern")
    raise UsageError(f"{path}: no such file or folder")


def _renamed(job: Job, file_format: Format | None) -> Job:
    """With the ending of the format asked for; a name that has one of its endings keeps it."""
    if file_format is None or job.target.suffix.lower() in FORMATS[file_format].suffixes:
        return dataclasses.replace(job, format=file_format)
    target = job.target.with_suffix(FORMATS[file_format].suffixes[0])
    return dataclasses.replace(job, target=target, format=file_format)


def _compared(jobs: Sequence[Job], output: Path, folder: Path) -> list[Job]:
    """With the comparison's name: that of the result, its ending included, so that no two are the same.

    Raises:
        UsageError: the comparisons would lie among photographs that are restored.
    """
    named = []
    for job in jobs:
        inside = job.target.relative_to(output) if job.target != output else Path(job.target.name)
        path = folder / inside.with_name(f"{inside.stem}-{inside.suffix.removeprefix('.')}-compared.jpg")
        named.append(dataclasses.replace(job, compare=path))
    sources = {_real(job.source.parent) for job in jobs}
    for job in named:
        assert job.compare is not None
        if _real(job.compare.parent) in sources:
            raise UsageError(
                f"--compare {folder}: {job.compare} would lie beside the photographs, and the next run would take it "
                "for one; choose another folder"
            )
    return named


def prepare_output(jobs: Sequence[Job]) -> None:
    """Make the folders the jobs write to.

    Raises:
        UsageError: one cannot be made or written to.
    """
    compared = {job.compare.parent for job in jobs if job.compare}
    for folder in sorted({job.target.parent for job in jobs} | compared):
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(f"{folder}: cannot be made ({error.strerror or error}); choose another output") from error
        if not os.access(folder, os.W_OK | os.X_OK):
            raise UsageError(f"{folder}: no permission to write; choose another output")


def _jobs_of(path: Path, output: Path) -> Iterator[Job]:
    if not path.is_dir():
        yield Job(source=path, target=output / path.name)
        return
    if _real(output).is_relative_to(_real(path)):
        raise UsageError(f"{output}: the output lies inside the input {path}; choose a folder outside of it")
    # Links to folders are not followed: they can lead out of the folder, or round in it.
    for folder, subfolders, names in os.walk(path, onerror=_refuse_unreadable):
        subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
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
    for job in jobs:
        if job.compare and (other := taken.get(_real(job.compare))):
            raise UsageError(
                f"{job.source}: its comparison {job.compare} would replace the result of {other}; choose another "
                "folder for --compare"
            )


def _real(path: Path) -> Path:
    """The path without links; unlike `Path.resolve` it leaves a loop of links as it is, for reading to fail on."""
    return Path(os.path.realpath(path))


def _refuse_unreadable(error: OSError) -> NoReturn:
    raise UsageError(f"{error.filename}: cannot be read ({error.strerror}); allow it, or leave it out")
