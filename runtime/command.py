"""What `nafnet-run` does with its options: find the work, load the model, run, report."""

from __future__ import annotations

import dataclasses
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NoReturn

import click

from nafnet.errors import UsageError
from nafnet.files import check_writable
from nafnet.images.formats import Format
from nafnet.runtime.engine.restorer import Restorer
from nafnet.runtime.folder.discovery import find_jobs, listed_jobs, prepare_output, read_list
from nafnet.runtime.folder.dry_run import print_memory, print_plan
from nafnet.runtime.folder.job import Job
from nafnet.runtime.folder.journal import Journal, Shard, settings_key
from nafnet.runtime.folder.pipeline import Pipeline
from nafnet.runtime.folder.progress import RunProgress
from nafnet.runtime.folder.report import FileReport, noted, opening, summary, totals, write_report
from nafnet.runtime.folder.settings import Encoding, Limits, result_settings
from nafnet.steps import Display
from nafnet.words import counted

STDOUT = Path("-")


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunOptions:
    """The options of the command, as its help explains them."""

    inputs: tuple[Path, ...]
    output: Path
    files_from: str | None
    model: str | None
    backend: str
    device: str | None
    tile: int | None
    overlap: int | None
    batch: int | None
    tune: bool
    whole: bool
    threads: int | None
    file_format: Format | None
    depth: int | None
    quality: int | None
    compare: Path | None
    overwrite: bool
    shard: str | None
    ray: str | None
    max_pixels: int
    decode_seconds: int
    decode_memory: int
    report: Path | None
    html: Path | None
    dry_run: bool
    quiet: bool
    verbose: bool
    piped: bool = False
    """Standard output is for the picture alone."""

    def say(self, line: str) -> None:
        """Print a line where it disturbs nothing."""
        click.echo(line, err=self.piped)

    @property
    def limits(self) -> Limits:
        return Limits(max_pixels=self.max_pixels, seconds=float(self.decode_seconds), memory=self.decode_memory * 2**20)

    @property
    def encoding(self) -> Encoding:
        return Encoding(format=self.file_format, bits=self.depth, quality=self.quality)

    @property
    def model_options(self) -> dict[str, Any]:
        """The arguments of `Restorer.load`."""
        names = ("model", "backend", "device", "tile", "overlap", "batch", "threads", "whole")
        return {name: getattr(self, name) for name in names}


def run(options: RunOptions) -> int:
    """Run the command; returns its exit code."""
    signal.signal(signal.SIGTERM, _interrupt)
    if options.output == STDOUT:
        return _to_stdout(options)
    for name, path in (("report", options.report), ("html", options.html)):
        if path:
            _check_writable(f"--{name}", path, options.output)
    shard = Shard.parse(options.shard) if options.shard else Shard()
    jobs = _find(options)
    with _load(options) as restorer:
        if options.tune:
            from nafnet.runtime.engine.tuning import tune

            tune(restorer, fixed_tile=options.tile, fixed_overlap=options.overlap, fixed_batch=options.batch)
        if options.dry_run:
            return print_plan(restorer, jobs, options.limits, options.encoding, options.say)
        prepare_output(jobs)
        if not options.quiet:
            options.say(opening(restorer, len(jobs)))
        if options.verbose:
            options.say(f"{restorer.backend.name}: {restorer.reason}; batches of {restorer.batch}")
            print_memory(restorer, jobs, options.limits, options.say)
        folder = options.output if options.output.is_dir() else None
        if folder is None and shard.count > 1:
            raise UsageError(f"--shard {options.shard}: the output {options.output} is a file; expected a folder")
        return _restore(options, jobs, restorer, folder, shard)


def _load(options: RunOptions) -> Restorer:
    """The model; where that takes long, for it is a checkpoint that is exported first, it is said how far it is."""
    quiet = options.quiet
    with Display(lines=sys.stderr, quiet=quiet) as display:
        display.step(f"loading {options.model or 'the bundled model'}", 0, 0)
        say = (lambda _: None) if quiet else display.say
        restorer = Restorer.load(**options.model_options, say=say, on_step=display.step)
    restorer.say = lambda line: click.echo(line, err=True)
    return restorer


def _restore(options: RunOptions, jobs: list[Job], restorer: Restorer, folder: Path | None, shard: Shard) -> int:
    """Run the jobs, with a journal where the output is a folder."""
    started = time.perf_counter()
    rows: list[FileReport] = []
    key = settings_key(result_settings(restorer, options.encoding))
    journal = Journal(folder, key, shard, ignore=options.overwrite) if folder else None
    try:
        with RunProgress(jobs, quiet=options.quiet) as bar:
            if journal:
                journal.open({job.target.parent for job in jobs} | {job.compare.parent for job in jobs if job.compare})
            if options.ray:
                pipeline: Any = _on_ray(options, jobs, journal, bar)
            else:
                pipeline = Pipeline(
                    restorer, jobs, encoding=options.encoding, limits=options.limits, journal=journal,
                    on_pixels=bar.advance, on_done=bar.done,
                )  # fmt: skip
            rows = pipeline.reports
            pipeline.run()
    finally:
        seconds = time.perf_counter() - started
        if journal:
            journal.close()
        if options.report:
            write_report(options.report, rows, report_settings(restorer, options), seconds)
        if options.html:
            _write_html(options, restorer, rows, seconds)
    if options.verbose:
        for line in noted(rows):
            options.say(line)
    if not options.quiet:
        options.say(summary(totals(rows, seconds), STDOUT if options.piped else options.output))
        _say_what_else(options, jobs)
    return 1 if any(row.status == "failed" for row in rows) else 0


def _say_what_else(options: RunOptions, jobs: list[Job]) -> None:
    """What lies beside the results now."""
    if options.compare:
        made = sum(job.compare is not None and job.compare.exists() for job in jobs)
        options.say(f"{counted(made, 'comparison')} -> {options.compare}")
    for what, path in (("page", options.html), ("report", options.report)):
        if path:
            options.say(f"{what} -> {path}")


def _write_html(options: RunOptions, restorer: Restorer, rows: list[FileReport], seconds: float) -> None:
    from nafnet.runtime.folder.gallery import write_gallery

    assert options.html is not None
    ended = summary(totals(rows, seconds), options.output)
    write_gallery(
        options.html, rows, opening=opening(restorer, len(rows)), summary=ended, max_pixels=options.max_pixels
    )


def _on_ray(options: RunOptions, jobs: list[Job], journal: Journal | None, bar: RunProgress) -> Any:
    from nafnet.runtime.folder.ray_run import RayPipeline, ray_plan

    if journal is None:
        raise UsageError(f"--ray: the output {options.output} is a file; expected a folder")
    assert options.ray is not None
    plan = ray_plan(options.model_options, options.encoding, options.limits, journal)
    return RayPipeline(options.ray, plan, jobs, bar.done)


def report_settings(restorer: Restorer, options: RunOptions) -> dict[str, Any]:
    """What the report says of how the files were restored."""
    return {
        "model": str(restorer.backend.model.path),
        "spec": dataclasses.asdict(restorer.spec),
        "backend": restorer.backend.description,
        "tile": restorer.tile,
        "overlap": restorer.overlap,
        "batch": restorer.batch,
        "shard": options.shard,
    }


def _find(options: RunOptions) -> list[Job]:
    if options.files_from is None:
        if not options.inputs:
            raise UsageError("one path alone; expected INPUT... OUTPUT, or --files-from FILE OUTPUT")
        return find_jobs(options.inputs, options.output, file_format=options.file_format, compare=options.compare)
    if options.inputs:
        raise UsageError(f"--files-from and {options.inputs[0]}: expected the one or the other")
    files = read_list(options.files_from)
    return listed_jobs(files, options.output, file_format=options.file_format, compare=options.compare)


def _to_stdout(options: RunOptions) -> int:
    """One picture to standard output; what is said goes to stderr."""
    if len(options.inputs) != 1 or not options.inputs[0].is_file():
        raise UsageError("OUTPUT -: expected one file as INPUT")
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder, options.inputs[0].name)
        changed = dataclasses.replace(options, output=Path(folder), piped=True)
        code = run(changed)
        made = [path for path in target.parent.iterdir() if path.is_file()]
        if code == 0 and made:
            with made[0].open("rb") as file:
                shutil.copyfileobj(file, sys.stdout.buffer)
            sys.stdout.buffer.flush()
        return code


def _interrupt(*_: object) -> NoReturn:
    """SIGTERM ends a run as Ctrl-C does: whole files, a journal, a report."""
    raise KeyboardInterrupt


def _check_writable(option: str, path: Path, output: Path) -> None:
    """Whether it can be written is to be known before the work, not after it."""
    folder = path.absolute().parent
    if folder != output.absolute() or folder.exists():  # else it will be made
        check_writable(option, path)
