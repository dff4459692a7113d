"""What is written beside the results when they are done: the report and the page; and what is said of it."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from nafnet.runtime.engine.restorer import Restorer
from nafnet.runtime.folder.comparison import NOT_COMPARED
from nafnet.runtime.folder.report import FileReport, opening, summary, totals, write_report
from nafnet.runtime.folder.sheet import NO_SHEET
from nafnet.runtime.options import RunOptions
from nafnet.runtime.paths.job import Job
from nafnet.runtime.paths.work import Work
from nafnet.words import counted


def write_beside(
    options: RunOptions, work: Work, restorer: Restorer, rows: list[FileReport], seconds: float, *, pictures: bool
) -> None:  # fmt: skip
    """The report and the page, each in the place of an earlier one at most.

    Where the run was cut short the page has no pictures: whoever stops a run waits seconds, not for forty of them.
    """
    expected = {file.path: file.expected for file in work.outputs.beside}

    def place(temporary: Path, path: Path) -> None:
        work.outputs.place(temporary, path, expected[path])

    if options.report:
        write_report(options.report, rows, report_settings(restorer, options), seconds, place)
    if options.html:
        from nafnet.runtime.folder.gallery import write_gallery

        ended = summary(totals(rows, seconds), options.output)
        began = opening(restorer, len(rows))
        limits = options.limits if pictures else None
        write_gallery(options.html, rows, opening=began, summary=ended, limits=limits, place=place)


def say_what_else(options: RunOptions, jobs: list[Job], rows: list[FileReport]) -> None:
    """What lies beside the results now."""
    if options.compare:
        without = {row.output for row in rows if any(note.startswith(NOT_COMPARED) for note in row.notes)}
        made = sum(job.compare is not None and job.compare.exists() and str(job.target) not in without for job in jobs)
        options.say(f"{counted(made, 'comparison')} -> {options.compare}")
    if any(job.sheet for job in jobs):
        without = {row.output for row in rows if any(note.startswith(NO_SHEET) for note in row.notes)}
        made = sum(job.sheet is not None and job.sheet.exists() and str(job.target) not in without for job in jobs)
        options.say(f"{counted(made, 'contact sheet')} -> {options.output}")
    for what, path in (("page", options.html), ("report", options.report)):
        if path:
            options.say(f"{what} -> {path}")


def report_settings(restorer: Restorer, options: RunOptions) -> dict[str, Any]:
    """What the report says of how the files were restored."""
    strengths = list(options.strengths)
    return {
        "model": str(restorer.backend.model.path),
        "spec": dataclasses.asdict(restorer.spec),
        "backend": restorer.backend.description,
        "tile": restorer.tile,
        "overlap": restorer.overlap,
        "batch": restorer.batch,
        "colour": options.colour,
        "look": {**dataclasses.asdict(options.encoding.look), **({"strength": strengths} if strengths else {})},
        "shard": options.shard,
    }
