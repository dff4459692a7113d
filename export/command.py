"""What `nafnet-export` does with its options: check them before any work, export, show, write."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path

import torch

from nafnet.checkpoint import Checkpoint, load_checkpoint
from nafnet.errors import NafnetError, UsageError
from nafnet.export.attempts.attempt import Exported, ExportOptions
from nafnet.export.engines.builder import EngineSettings
from nafnet.export.exporter import RefusalError, artefact_spec, expected_time, export, photograph_size
from nafnet.export.formats import engine_at_hand, require, write_formats
from nafnet.export.formats.standing import refuse_others, standing
from nafnet.export.formats.target import Target
from nafnet.export.formats.triton_repository import refuse_repository
from nafnet.export.gate.photographs import Photographs, read_photographs, read_truth
from nafnet.export.gate.report import closing_line, show, write_parity_report
from nafnet.export.inspection import inspect
from nafnet.parity import Precision
from nafnet.pretrained import bundled_model
from nafnet.spec import Norm, WireType
from nafnet.steps import Display


@dataclasses.dataclass(frozen=True, kw_only=True)
class CommandOptions:
    """The options of the command, as its help explains them."""

    checkpoint: Path | None
    output: Path
    fp16: bool
    bf16: bool
    int8: bool
    formats: tuple[str, ...]
    tile: int | None
    batch: tuple[int, int, int] | None
    images: Path | None
    truth: Path | None
    local_pooling: str | None
    io: WireType
    norm: Norm | None
    pad: bool
    opset: int | None
    overwrite: bool
    report: Path | None
    no_verify: bool
    workspace_mib: int | None
    optimization_level: int | None
    version_compatible: bool
    hardware_compatible: bool
    compute_capabilities: tuple[str, ...]
    log: Path | None
    inspected: Path | None

    @property
    def source(self) -> Path:
        return self.checkpoint or bundled_model(".safetensors")

    @property
    def precision(self) -> Precision:
        return "fp16" if self.fp16 else "bf16" if self.bf16 else "int8" if self.int8 else "fp32"

    @property
    def engine(self) -> EngineSettings:
        names = [field.name for field in dataclasses.fields(EngineSettings)]
        return EngineSettings(**{name: getattr(self, name) for name in names})

    @property
    def export(self) -> ExportOptions:
        """Without the pictures, which are read later."""
        return ExportOptions(
            precision=self.precision, norm=self.norm, io=self.io, tile=self.tile,
            batch=self.batch or ((1, 4, 8) if set(self.formats) - {"onnx"} else None),
            local_pooling=None if self.local_pooling is None else self.local_pooling == "on",
            pad=self.pad, opset=self.opset, verify=not self.no_verify,
        )  # fmt: skip


def run(options: CommandOptions, display: Display) -> int:
    """Run the command; returns its exit code."""
    if options.inspected:
        for name, value in inspect(options.inspected):
            display.say(f"{name + ':':16} {value}")
        return 0
    _check(options)
    started = time.perf_counter()
    exported, files = _export(options, display)
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


def _check(options: CommandOptions) -> None:
    """Raise UsageError for what cannot be done, before any work."""
    if options.fp16 + options.bf16 + options.int8 > 1:
        raise UsageError("--fp16, --bf16 and --int8 exclude one another; choose one")
    if options.truth and not (options.images and options.int8):
        raise UsageError("--truth: for --int8 with --images alone, whose clean versions it has; leave it out")
    report = options.report
    if report and report.suffix != ".json":
        raise UsageError(f"--report {report}: expected a name ending in .json; the picture beside it ends in .png")
    for option, path in (("--report", report), ("--builder-log", options.log)):
        if path and not path.absolute().parent.is_dir():
            raise UsageError(f"{option} {path}: its folder does not exist; make it, or choose another")
    _refuse_idle(options)
    if "triton" in options.formats:
        repository = options.output / _stem(options.source, options.export)
        refuse_repository(repository, options.batch if "tensorrt" in options.formats else None)
    require(options.formats, options.engine)


def _refuse_idle(options: CommandOptions) -> None:
    """An option that would do nothing is a mistake."""
    given = [name for name, value in vars(options.engine).items() if value not in (None, False, ())]
    if given and not any(name.startswith("tensorrt") for name in options.formats):
        flags = {"workspace_mib": "workspace", "compute_capabilities": "compute-capability", "log": "builder-log"}
        name = flags.get(given[0], given[0].replace("_", "-"))
        raise UsageError(f"--{name}: for engines alone; add --format tensorrt or --format tensorrt-rtx")


def _export(options: CommandOptions, display: Display) -> tuple[Exported, list[Path]]:
    """Export, show, write; the report is written whatever the gate says. Returns the files, too."""
    loaded = load_checkpoint(options.source)
    there = standing(options.output, _stem(options.source, options.export), options.formats or ("onnx",))
    refuse_others(there, artefact_spec(loaded, options.export), overwrite=options.overwrite)
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
    return exported, _write(options, exported, pictures, display)


def _write(options: CommandOptions, exported: Exported, pictures: Photographs | None, display: Display) -> list[Path]:
    """Every format, and the report."""
    stem = _stem(options.source, options.export)
    target = Target(folder=options.output, stem=stem, engine=options.engine, note=display.say, on_step=display.step)
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


def _stem(source: Path, options: ExportOptions) -> str:
    """A name that says how the artefact differs from the plain export, for people; nothing reads it back."""
    parts = [source.stem]
    parts += [options.precision] if options.precision != "fp32" else []
    parts += [str(options.tile)] if options.tile else []
    parts += [options.io] if options.io != "float32" else []
    parts += [options.norm] if options.norm else []
    parts += ["local" if options.local_pooling else "global"] if options.local_pooling is not None else []
    parts += ["pad"] if options.pad else []
    parts += [f"opset{options.opset}"] if options.opset else []
    parts += ["unverified"] if not options.verify else []
    return "-".join(parts)
