"""What `nafnet-export` does with its options: check them before any work, export, show, write."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path

import torch

from nafnet.checkpoint import Checkpoint, load_checkpoint
from nafnet.errors import NafnetError, UsageError
from nafnet.export.attempts.attempt import Exported, ExportOptions
from nafnet.export.exporter import RefusalError, artefact_spec, expected_time, export, photograph_size
from nafnet.export.formats import engine_at_hand, web_page, write_formats
from nafnet.export.formats.standing import refuse_others, standing
from nafnet.export.formats.target import Target
from nafnet.export.gate.photographs import Photographs, read_photographs, read_truth
from nafnet.export.gate.report import closing_line, show, write_parity_report
from nafnet.export.inspection import inspect
from nafnet.export.options import CommandOptions, check
from nafnet.export.web.folder import is_current, refuse_folder
from nafnet.export.web.library import Library, library
from nafnet.steps import Display


def run(options: CommandOptions, display: Display) -> int:
    """Run the command; returns its exit code."""
    if options.inspected:
        for name, value in inspect(options.inspected):
            display.say(f"{name + ':':16} {value}")
        return 0
    check(options)
    loaded = load_checkpoint(options.source)
    if options.serve and is_current(options.page, artefact_spec(loaded, options.export)):
        display.say(f"{options.page}: as it was exported before")
        return 0
    started = time.perf_counter()
    exported, files = _export(options, loaded, display)
    for file in files:
        display.say(f"{file}: {file.stat().st_size / 1e6:.2f} MB")
    display.say(f"in {time.perf_counter() - started:.0f} s")
    half = options.precision in ("fp16", "bf16")
    # One can be built without a GPU, but who has none has no use for it.
    if half and not options.formats and torch.cuda.is_available() and (engine := engine_at_hand()):
        display.say(f"an engine of it can be built here, too: --format {engine}")
    if exported.verification:
        display.say(closing_line(exported.verification))
    else:
        display.say("not verified: nothing was compared with PyTorch, and the file says so")
    return 0


def _export(options: CommandOptions, loaded: Checkpoint, display: Display) -> tuple[Exported, list[Path]]:
    """Export, show, write; the report is written whatever the gate says. Returns the files, too."""
    there = standing(options.output, options.stem, options.formats or ("onnx",))
    refuse_others(there, artefact_spec(loaded, options.export), overwrite=options.overwrite)
    files_of = None
    if "web" in options.formats:
        web_page.refuse_channels(loaded.spec)
        refuse_folder(options.page, loaded.spec, overwrite=options.overwrite)
        files_of = library(options.onnxruntime_web, display.say)
    pictures = _pictures(loaded, options)
    made = _with_pictures(options.export, pictures)
    try:
        options.output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(
            f"{options.output}: cannot be made ({error.strerror or error}); choose another folder with -o"
        ) from error
    display.say(f"{options.source.name}: {loaded.spec.architecture}")
    if loaded.note:
        display.say(loaded.note)
    for line in pictures.lines(compared=made.verify) if pictures else ():
        display.say(line)
    compared = ", and comparing it with PyTorch," if made.verify else ""
    display.say(f"writing it in {made.precision}{compared} takes {expected_time(loaded.spec, made)}")
    try:
        exported = export(loaded, made, display.say, display.step)
    except RefusalError as refused:
        found = refused.verification
        display.clear()
        show(found)
        if options.report:
            write_parity_report(options.report, found.spec, found, refused.attempts, str(refused), pictures)
        for path in there:
            display.say(f"{path}: of an earlier export; it stays as it is")
        raise
    display.clear()
    if exported.verification:
        show(exported.verification)
    half = _half(loaded, made, display) if "web" in options.formats and made.precision == "fp32" else None
    return exported, _write(options, exported, pictures, display, half, files_of)


def _half(loaded: Checkpoint, made: ExportOptions, display: Display) -> Exported | None:
    """The same in fp16, for browsers that reach a GPU; None where the gate refuses it."""
    display.say("the same in fp16, for browsers that reach a GPU")
    try:
        half = export(loaded, dataclasses.replace(made, precision="fp16", norm=None), display.say, display.step)
    except RefusalError as refused:
        display.clear()
        display.say(f"the page is without fp16, and computes in fp32 there: {refused}")
        return None
    display.clear()
    if half.verification:
        display.say(f"in fp16, {closing_line(half.verification)}")
    return half


def _write(
    options: CommandOptions, exported: Exported, pictures: Photographs | None, display: Display,
    half: Exported | None, files_of: Library | None,
) -> list[Path]:  # fmt: skip
    """Every format, and the report."""
    card = options.source.with_name("MODEL_CARD.md")
    target = Target(
        folder=options.output, stem=options.stem, engine=options.engine, note=display.say,
        on_step=display.step, half=half, library=files_of, card=card if card.is_file() else None,
    )  # fmt: skip
    refusal: str | None = "interrupted"
    try:
        files = write_formats(exported, options.formats or ("onnx",), target)
        refusal = None
    except NafnetError as error:
        refusal = str(error)
        raise
    finally:
        if options.report:
            found = exported.verification
            write_parity_report(options.report, exported.spec, found, exported.attempts, refusal, pictures)
    return files


def _pictures(loaded: Checkpoint, options: CommandOptions) -> Photographs | None:
    """What is in the two folders."""
    if options.images is None:
        return None
    found = read_photographs(options.images, photograph_size(loaded, options.export))
    return read_truth(options.truth, found) if options.truth else found


def _with_pictures(options: ExportOptions, pictures: Photographs | None) -> ExportOptions:
    """The options with the pictures in them."""
    used = pictures.used if pictures else ()
    truth = [found.truth.planes for found in used if found.truth]
    return dataclasses.replace(options, photographs=[found.planes for found in used], truth=truth)
