"""What `nafnet-bench` does with its options."""

from __future__ import annotations

import dataclasses
import shlex
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import cast

from nafnet.allocator import keep_memory
from nafnet.benchmarks.bench import Listener, bench
from nafnet.benchmarks.group import Settings
from nafnet.benchmarks.machine import describe_machine
from nafnet.benchmarks.pictures import load_pictures, side_for
from nafnet.benchmarks.report.page import Story, write_page
from nafnet.benchmarks.report.sheet import Sheet
from nafnet.benchmarks.report.tables import parity_sheet, quick_sheet, sheets, speed_sheet, to_markdown
from nafnet.benchmarks.results_file import VERSION, Result, RowResult, write_result
from nafnet.benchmarks.rows.candidates import BACKENDS, Wanted, asked_for
from nafnet.benchmarks.verdict.baseline import Baseline, Key, read_baseline
from nafnet.benchmarks.verdict.regression import changes_sheet, compare_results, exit_code
from nafnet.checkpoint import Checkpoint, load_checkpoint
from nafnet.errors import UsageError
from nafnet.files import check_writable, write_whole
from nafnet.onnxfile import inspect_onnx
from nafnet.parity import Arithmetic
from nafnet.planfile import inspect_plan
from nafnet.pretrained import bundled_model
from nafnet.progress import PlainConsole
from nafnet.runtime.backends.model import Model
from nafnet.runtime.engine.model_source import CHECKPOINT_SUFFIXES
from nafnet.spec import Norm
from nafnet.steps import Display
from nafnet.system import SYSTEM


@dataclasses.dataclass(frozen=True, kw_only=True)
class BenchOptions:
    """The command line's, by their names there."""

    models: tuple[Path, ...]
    backends: tuple[str, ...]
    precisions: tuple[Arithmetic, ...]
    tiles: tuple[int, ...]
    batches: tuple[int, ...]
    images: Path | None
    truth: Path | None
    seconds: float
    norm: Norm
    threads: int | None
    malloc: str | None
    no_cold: bool
    quick: bool
    profile: bool
    crop: int | None
    memory: float
    json_file: Path | None
    markdown_file: Path | None
    html_file: Path | None
    baselines: tuple[Path, ...]


def run(options: BenchOptions) -> int:
    """Measure, print, write; returns the exit code.

    Raises:
        NafnetError: an option does not fit; nothing was measured.
    """
    for name in options.backends:
        if name not in BACKENDS:
            raise UsageError(f"--backend {name}: no such backend; expected {', '.join(BACKENDS)}")
    _refuse_unwritable(options)
    if options.quick and (options.images or options.truth or options.crop):
        raise UsageError("--quick restores no pictures: leave out --images, --truth and --crop, or --quick")
    checkpoints, artefacts = open_models(options.models)
    for checkpoint in checkpoints:
        _refuse_tiles(checkpoint, options.tiles)
        if checkpoint.spec.channels not in (1, 3):
            raise UsageError(
                f"--model {checkpoint.source}: takes {checkpoint.spec.channels} channels; photographs have 1 or 3"
            )
    threads = options.threads or SYSTEM.cores()
    console = PlainConsole(width=None if sys.stdout.isatty() else 160)
    kept = options.malloc != "default" and keep_memory()
    if options.malloc == "keep" and not kept:
        raise UsageError("--malloc keep: this system's C library has no such setting; expected --malloc default")
    settings_told = {
        "threads": threads, "seconds": options.seconds, "norm": options.norm, "malloc": "keep" if kept else "default",
    }  # fmt: skip
    machine = describe_machine()
    keys = [
        Key(checkpoint.spec.weights_sha256 or "", tile, batch)
        for checkpoint in checkpoints for tile in options.tiles for batch in options.batches
    ]  # fmt: skip
    earlier = read_baseline(options.baselines, settings_told, machine, keys)
    stories: list[Story] = []
    date = time.strftime("%Y-%m-%d", time.gmtime())
    for checkpoint in checkpoints:
        own = [model for model in artefacts if model.spec.weights_sha256 == checkpoint.spec.weights_sha256]
        shapes = [(batch, tile) for tile in options.tiles for batch in options.batches]
        wanted = Wanted(
            backends=options.backends, precisions=options.precisions, artefacts=own, shapes=shapes, brief=options.quick
        )  # fmt: skip
        settings = Settings(
            wanted=wanted, norm=options.norm, tiles=options.tiles, batches=options.batches, seconds=options.seconds,
            threads=threads, memory=1e9 * options.memory, cold=not (options.no_cold or options.quick), earlier=earlier,
            profiled=options.profile,
        )  # fmt: skip
        say_standing(own, console.print)
        stories.append(_bench(checkpoint, settings, options, console))
        result = Result(
            version=VERSION, date=date, command=_command(), machine=machine, settings=settings_told,
            models=[story.model for story in stories],
        )  # fmt: skip
        _write(options, result, stories)  # after each model: the next one may fail, and this one took its time
    return _compared(earlier, result, options, console) if options.baselines else 0


def _compared(earlier: Baseline, result: Result, options: BenchOptions, console: PlainConsole) -> int:
    """Print what has changed; returns the exit code."""
    asked = Wanted(backends=options.backends, precisions=options.precisions, brief=options.quick)

    def wanted_now(row: RowResult) -> bool:
        return asked_for(asked, row["name"], row["backend"], cast(Arithmetic, row["precision"]))

    changes = compare_results(earlier, result, wanted_now)
    console.print(changes_sheet(changes).to_rich())
    return exit_code(changes)


def _write(options: BenchOptions, result: Result, stories: Sequence[Story]) -> None:
    if options.json_file:
        write_result(options.json_file, result)
    if options.markdown_file:
        write_whole(options.markdown_file, to_markdown(result).encode())
    if options.html_file:
        write_page(options.html_file, result, stories)


def open_models(paths: Sequence[Path]) -> tuple[list[Checkpoint], list[Model]]:
    """Checkpoints, and the exports of them; none given is the bundled denoiser.

    Raises:
        UsageError: an export belongs to none of the checkpoints.
    """
    checkpoints, artefacts = [], []
    for path in paths:
        if path.suffix in CHECKPOINT_SUFFIXES:
            checkpoints.append(load_checkpoint(path))
        elif path.suffix in (".onnx", ".plan"):
            artefacts.append(
                Model(path=path, spec=inspect_onnx(path) if path.suffix == ".onnx" else inspect_plan(path))
            )
        else:
            known = ", ".join((*CHECKPOINT_SUFFIXES, ".onnx", ".plan"))
            raise UsageError(f"--model {path}: not a model by its ending; expected one of {known}")
    if not checkpoints:
        checkpoints = [load_checkpoint(bundled_model(".safetensors"))]
    weights = {checkpoint.spec.weights_sha256 for checkpoint in checkpoints}
    for model in artefacts:
        if model.spec.weights_sha256 not in weights:
            raise UsageError(
                f"--model {model.path}: compared with PyTorch it must be; add --model with the checkpoint it was "
                "exported from"
            )
    return checkpoints, artefacts


def say_standing(models: Sequence[Model], say: Callable[[str], None]) -> None:
    """A line for each artefact that is not known to give what PyTorch gives; its rows are compared all the same."""
    for model in models:
        if not model.spec.is_verified:
            say(f"{model.name}: {model.spec.standing}")


def _bench(checkpoint: Checkpoint, settings: Settings, options: BenchOptions, console: PlainConsole) -> Story:
    spec = checkpoint.spec
    pictures = None
    if not options.quick:
        side = options.crop or side_for(settings.tiles[0])
        pictures = load_pictures(options.images, options.truth, spec.task, spec.channels, side)
    console.print(f"{checkpoint.source.name}: {spec.architecture}, {settings.threads} threads")
    # What is said of the run goes where its progress is drawn: standard output has the tables alone.
    with Display(lines=sys.stderr) as display:

        def show(sheet: Sheet) -> None:
            display.clear()
            console.print(sheet.to_rich())

        listener = Listener(on_step=display.step, say=display.say)
        if options.quick:
            listener.on_case = lambda case: show(quick_sheet(case))
        else:
            listener.on_parity = lambda rows: show(parity_sheet(rows))
            listener.on_case = lambda case: show(speed_sheet(case))
        model, restored = bench(checkpoint, pictures, settings, listener)
    shown = model.copy()
    if options.quick and not options.backends:
        shown["absent"] = []  # what is not here would fill a screen of its own
    for sheet in list(sheets(shown))[1 + len(model["cases"]) :]:
        console.print(sheet.to_rich())
    return Story(model=model, restored=restored)


def _refuse_unwritable(options: BenchOptions) -> None:
    """An hour's measurement should not end at a file that cannot be written."""
    for option in ("json_file", "markdown_file", "html_file"):
        path: Path | None = getattr(options, option)
        if path is not None:
            check_writable(f"--{option.removesuffix('_file')}", path)


def _refuse_tiles(checkpoint: Checkpoint, tiles: Sequence[int]) -> None:
    multiple = checkpoint.spec.multiple
    for tile in tiles:
        if tile % multiple:
            raise UsageError(f"--tile {tile}: expected a multiple of {multiple}, which {checkpoint.source.name} needs")


def _command() -> str:
    return shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]])
