"""What `nafnet-run` does with its options: find the work, load the model, run, report."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

import click

from nafnet.commandline import GO_ON, INTERRUPTED
from nafnet.errors import UsageError
from nafnet.files import check_writable
from nafnet.images.writer import check_writer
from nafnet.runtime.beside import say_what_else, write_beside
from nafnet.runtime.engine.restorer import Restorer
from nafnet.runtime.folder.dry_run import DryRun, print_memory
from nafnet.runtime.folder.pipeline import Pipeline
from nafnet.runtime.folder.progress import RunProgress
from nafnet.runtime.folder.report import noted, notes_in_short, opening, summary, totals, unreadable
from nafnet.runtime.folder.settings import result_settings
from nafnet.runtime.folder.stopping import ends_in_time
from nafnet.runtime.options import STDOUT, RunOptions
from nafnet.runtime.paths.discovery import passed_over
from nafnet.runtime.paths.filelist import read_list
from nafnet.runtime.paths.folding import refuse_folding
from nafnet.runtime.paths.journal import Journal, settings_key
from nafnet.runtime.paths.outputs import make_folders
from nafnet.runtime.paths.shard import Shard
from nafnet.runtime.paths.standing import Judge
from nafnet.runtime.paths.work import Request, Work, find_work
from nafnet.steps import Display
from nafnet.system import SYSTEM
from nafnet.words import printable


def run(options: RunOptions) -> int:
    """Run the command; returns its exit code."""
    for each in SYSTEM.ending_signals:
        signal.signal(each, _interrupt)
    with ends_in_time():
        return _run(options)


def _run(options: RunOptions) -> int:
    if options.output == STDOUT:
        return _to_stdout(options)
    if options.file_format:
        check_writer(options.file_format, options.output)
    for name, path in (("report", options.report), ("html", options.html)):
        if path:
            _check_writable(f"--{name}", path, options.output)
    if options.ray and options.strengths:
        raise UsageError(f"--ray: one strength alone, not {len(options.strengths)}; run it here, or once for each")
    shard = Shard.parse(options.shard) if options.shard else Shard()
    work = _find(options)
    is_file = any(job.target == options.output for job in work.jobs)
    if is_file and shard.count > 1:
        raise UsageError(f"--shard {options.shard}: the output {options.output} is a file; expected a folder")
    with _load(options) as restorer:
        if options.tune:
            from nafnet.runtime.engine.tuning import tune

            tune(restorer, fixed_tile=options.tile, fixed_overlap=options.overlap, fixed_batch=options.batch)
        key = settings_key(result_settings(restorer, options.encoding))
        journal = None if is_file else Journal(options.output, key, shard)
        judge = Judge(journal, overwrite=options.overwrite, checksum=options.checksum)
        if options.dry_run:
            if journal:
                journal.reread()
            return DryRun(restorer, options.limits, options.encoding, options.say).run(work.jobs, journal, judge)
        make_folders(work.folders)
        refuse_folding(work.outputs, work.jobs)
        _say_what_comes(options, work, restorer)
        if journal:
            journal.open(work.folders)
            if not journal.locks and not options.quiet:
                line = f"{options.output}: its file system has no locks; start no second run into it"
                click.echo(printable(line), err=True)
        return _restore(options, work, restorer, journal, judge)


def _say_what_comes(options: RunOptions, work: Work, restorer: Restorer) -> None:
    if not options.quiet:
        options.say(opening(restorer, len(work.jobs)))
        if left := passed_over(work.found):
            options.say(left)
    if options.verbose:
        options.say(f"{restorer.backend.name}: {restorer.reason}; batches of {restorer.batch}")
        print_memory(restorer, work.jobs, options.limits, options.say)


def _load(options: RunOptions) -> Restorer:
    """The model; where that takes long, for it is a checkpoint that is exported first, it is said how far it is."""
    quiet = options.quiet
    with Display(lines=sys.stderr, quiet=quiet) as display:
        display.step(f"loading {options.model or 'the bundled model'}", 0, 0)
        say = (lambda _: None) if quiet else display.say
        restorer = Restorer.load(**options.model_options, say=say, on_step=display.step)
    restorer.say = (lambda _: None) if quiet else (lambda line: click.echo(printable(line), err=True))
    return restorer


def _restore(
    options: RunOptions, work: Work, restorer: Restorer, journal: Journal | None, judge: Judge
) -> int:  # fmt: skip
    """Run the jobs; whatever ends it, what was done is reported."""
    started = time.perf_counter()
    rows, pipeline, is_whole = unreadable(work.found), None, False
    try:
        with RunProgress(work.jobs, quiet=options.quiet) as bar:
            for row in rows:
                bar.done(row)
            pipeline = _pipeline(options, work, restorer, journal, judge, bar)
            rows = [*pipeline.reports, *rows]
            pipeline.run()
            is_whole = True
    finally:
        seconds = time.perf_counter() - started
        stuck = pipeline is not None and pipeline.stuck
        if journal and not stuck:  # else the next run is to find what is left
            journal.close()
        if pipeline:
            write_beside(options, work, restorer, rows, seconds, pictures=is_whole)
        if stuck:
            click.echo("nafnet-run: " + GO_ON, err=True)
            os._exit(INTERRUPTED)  # an encoder still works, and would be waited for
    if options.verbose:
        for line in noted(rows):
            options.say(line)
    elif not options.quiet:
        for line in notes_in_short(rows):
            options.say(line)
    if not options.quiet:
        options.say(summary(totals(rows, seconds), STDOUT if options.piped else options.output))
        say_what_else(options, work.jobs, rows)
    return 1 if any(row.status == "failed" for row in rows) else 0


def _pipeline(
    options: RunOptions, work: Work, restorer: Restorer, journal: Journal | None, judge: Judge, bar: RunProgress
) -> Any:  # fmt: skip
    """What runs the jobs: here, or on Ray."""
    if not options.ray:
        return Pipeline(
            restorer, work.jobs, encoding=options.encoding, limits=options.limits, outputs=work.outputs,
            journal=journal, judge=judge, on_pixels=bar.advance, on_done=bar.done,
        )  # fmt: skip
    from nafnet.runtime.folder.ray_run import RayPipeline, ray_plan

    if journal is None:
        raise UsageError(f"--ray: the output {options.output} is a file; expected a folder")
    plan = ray_plan(
        options.model_options, options.encoding, options.limits, work.outputs, work.folders, journal,
        overwrite=options.overwrite, checksum=options.checksum,
    )  # fmt: skip
    return RayPipeline(options.ray, plan, work.jobs, bar.done)


def _find(options: RunOptions) -> Work:
    if options.files_from is None and not options.inputs:
        raise UsageError("one path alone; expected INPUT... OUTPUT, or --files-from FILE OUTPUT")
    if options.files_from is not None and options.inputs:
        raise UsageError(f"--files-from and {options.inputs[0]}: expected the one or the other")
    request = Request(
        inputs=options.inputs, listed=read_list(options.files_from) if options.files_from else (),
        output=options.output, file_format=options.file_format, compare=options.compare, beside=options.beside,
        exclude=options.exclude, keep_folders=options.keep_folders, strengths=options.strengths,
    )  # fmt: skip
    with Display(quiet=options.quiet) as display:
        return find_work(request, lambda count: display.step(f"looking for photographs, {count:,} found", 0, 0))


def _to_stdout(options: RunOptions) -> int:
    """One picture to standard output; what is said goes to stderr."""
    if len(options.inputs) != 1 or not options.inputs[0].is_file():
        raise UsageError("OUTPUT -: expected one file as INPUT")
    if options.strengths:
        raise UsageError(f"OUTPUT -: one picture, and --strength asks for {len(options.strengths)}; name a folder")
    with _standard_output() as picture, tempfile.TemporaryDirectory() as folder:
        target = Path(folder, options.inputs[0].name)
        changed = dataclasses.replace(options, output=Path(folder), piped=True)
        code = _run(changed)
        made = [path for path in target.parent.iterdir() if path.is_file()]
        if code == 0 and made:
            with made[0].open("rb") as file:
                shutil.copyfileobj(file, picture)
            picture.flush()
        return code


@contextlib.contextmanager
def _standard_output() -> Iterator[BinaryIO]:
    """Standard output for the picture alone: what else is written there, by libraries in C too, goes to stderr."""
    sys.stdout.flush()
    ours = os.dup(1)
    try:
        os.dup2(2, 1)
        with os.fdopen(ours, "wb", closefd=False) as picture:
            yield picture
    finally:
        sys.stdout.flush()
        os.dup2(ours, 1)
        os.close(ours)


def _interrupt(*_: object) -> NoReturn:
    """SIGTERM ends a run as Ctrl-C does: whole files, a journal, a report."""
    raise KeyboardInterrupt


def _check_writable(option: str, path: Path, output: Path) -> None:
    """Whether it can be written is to be known before the work, not after it."""
    folder = path.absolute().parent
    if folder != output.absolute() or folder.exists():  # else it will be made
        check_writable(option, path)
