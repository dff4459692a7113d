"""All of a run's work, known before it begins: the photographs, what their results are called, what may be written."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path

from nafnet.errors import UsageError
from nafnet.images.formats import Format
from nafnet.runtime.paths.discovery import Finder, Found
from nafnet.runtime.paths.job import Job
from nafnet.runtime.paths.outputs import Beside, Outputs
from nafnet.runtime.paths.targets import name_jobs


@dataclasses.dataclass(frozen=True, kw_only=True)
class Request:
    """What the user named.

    `output` is a folder, but for one input file it may name a file with an image's ending, which then says its format.
    """

    inputs: Sequence[Path] = ()
    """Files, folders, and patterns that no shell has expanded; folders are walked, and their structure is kept."""
    listed: Sequence[Path] = ()
    """Files of a list; one that is missing fails in its turn."""
    output: Path
    file_format: Format | None = None
    """Of all results, whose names then end accordingly."""
    compare: Path | None = None
    """A folder for side-by-side pictures."""
    beside: tuple[Beside, ...] = ()
    """The report and the page."""
    strengths: Sequence[float] = ()
    """Where each photograph has a result for each."""
    exclude: Sequence[str] = ()
    """Patterns of what is passed over in folders; see `Finder`."""
    keep_folders: bool = False
    """Put each input's results below the folders that it was named with."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Work:
    """Jobs that were checked together."""

    jobs: list[Job]
    outputs: Outputs
    found: Found

    @property
    def folders(self) -> list[Path]:
        """All that are written to."""
        named = {path.parent for job in self.jobs for path in (job.target, job.compare) if path}
        is_file = any(job.target == self.outputs.folder for job in self.jobs)
        return sorted(named if is_file or self.outputs.folder is None else {*named, self.outputs.folder})


def find_work(request: Request, on_count: Callable[[int], None] = lambda _: None) -> Work:
    """Find the photographs, name the results and check all paths together; nothing is written.

    Args:
        request: what the user named.
        on_count: told, now and then, how many photographs were found.

    Raises:
        UsageError: an input is missing, there are no photographs, or a file could be lost; see `Outputs.check`.
    """
    finder = Finder(request.exclude, keep_folders=request.keep_folders, on_count=on_count)
    for path in request.inputs:
        finder.add(path)
    for path in request.listed:
        finder.add_listed(path)
    try:
        jobs = name_jobs(
            finder.found, request.output, file_format=request.file_format, compare=request.compare,
            strengths=request.strengths,
        )  # fmt: skip
    except UsageError as error:
        if finder.found.photographs:
            raise
        raise UsageError(f"{', '.join(map(str, request.inputs))}: {error}") from error
    outputs = Outputs(folder=request.output, compare=request.compare, beside=request.beside)
    outputs.check(jobs, finder.found.folders)
    return Work(jobs=jobs, outputs=outputs, found=finder.found)
