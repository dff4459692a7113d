"""`nafnet-export`: a checkpoint in; ONNX, TensorRT plans or a Triton repository out, refused unless they match."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nafnet.commandline import Command, exits
from nafnet.errors import MissingExtraError, NafnetError, UsageError
from nafnet.pretrained import bundled_model

if TYPE_CHECKING:
    from nafnet.export.attempts.attempt import ExportOptions
    from nafnet.spec import Precision

NORMS = ("rms", "conv", "fused", "fused-fp32", "manual")
FORMAT_NAMES = ("onnx", "tensorrt", "tensorrt-rtx", "triton")
FOLDER = click.Path(path_type=Path, file_okay=False)
FILE = click.Path(path_type=Path, dir_okay=False)


class BatchRange(click.ParamType[tuple[int, int, int]]):
    """MIN:OPT:MAX, or one number for all three."""

    name = "MIN:OPT:MAX"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, int, int]:
        if isinstance(value, tuple):
            return value
        parts = str(value).split(":")
        try:
            numbers = [int(part) for part in parts]
        except ValueError:
            self.fail(f"{value!r} is not MIN:OPT:MAX, such as 1:4:8", param, ctx)
        if len(numbers) not in (1, 3) or not 1 <= numbers[0] <= numbers[len(numbers) // 2] <= numbers[-1]:
            self.fail(f"{value!r}: expected MIN:OPT:MAX in ascending order from 1, such as 1:4:8", param, ctx)
        return numbers[0], numbers[len(numbers) // 2], numbers[-1]


@click.command(cls=Command, context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("checkpoint", required=False, type=FILE)
@click.option("-o", "--output", default=".", show_default=True, type=FOLDER, help="Folder to write to.")
@click.option("--fp16", is_flag=True, help="Half precision, fp32 where statistics need it.")
@click.option("--bf16", is_flag=True, help="bfloat16, likewise.")
@click.option("--int8", is_flag=True, help="8-bit convolutions, calibrated on --images.")
@click.option(
    "--format",
    "formats",
    multiple=True,
    type=click.Choice(FORMAT_NAMES),
    help="Repeat for several.  [default: onnx; with --fp16 also the engine that can be built here]",
)
@click.option("--tile", type=click.IntRange(min=1), help="Fix height and width to this.  [default: any size]")
@click.option("--batch", type=BatchRange(), help="Batch sizes of an engine.  [default: 1:4:8]")
@click.option("--images", type=FOLDER, help="Photographs to compare on; the first 8 are taken.")
@click.option("--truth", type=FOLDER, help="Their clean versions, same names: --int8 must not lose against them.")
@click.option("--local-pooling", type=click.Choice(["on", "off"]), help="TLC.  [default: as the checkpoint says]")
@click.option(
    "--io",
    type=click.Choice(["float32", "float16", "uint8"]),
    default="float32",
    show_default=True,
    help="Type of input and output; uint8 is [N,H,W,C].",
)
@click.option("--norm", type=click.Choice(NORMS), help="Form of LayerNorm.  [default: the first that passes]")
@click.option("--report", type=FILE, help="Write every comparison as JSON, and the worst error as PNG.")
@click.option("--no-verify", is_flag=True, help="Do not compare with PyTorch; the file says so ever after.")
@click.option("--workspace", "workspace_mib", type=click.IntRange(min=1), help="Engine: scratch memory, MiB.")
@click.option("--optimization-level", type=click.IntRange(0, 5), help="Engine: how long to look for fast kernels.")
@click.option("--version-compatible", is_flag=True, help="Engine: loads in later minor versions; slower.")
@click.option("--hardware-compatible", is_flag=True, help="Engine: runs on all GPUs from Ampere on; slower.")
@click.option(
    "--compute-capability",
    "compute_capabilities",
    multiple=True,
    help="TensorRT-RTX: build for this, such as SM89; repeat for several.  [default: all]",
)
@click.option("--builder-log", "log", type=FILE, help="Engine: write what the builder says to this file.")
@click.option("--inspect", "inspected", type=FILE, help="Say what a checkpoint, ONNX file or plan is, and stop.")
@exits
def main(
    checkpoint: Path | None, output: Path, fp16: bool, bf16: bool, int8: bool, formats: tuple[str, ...],
    images: Path | None, truth: Path | None, local_pooling: str | None, report: Path | None, no_verify: bool,
    inspected: Path | None, **chosen: Any,
) -> int:  # fmt: skip
    """Export CHECKPOINT (.safetensors, .pth; the bundled denoiser by default) to DIR.

    Every artefact is compared with PyTorch before it is written; one that differs is refused with exit code 3.
    """
    try:
        from nafnet.export.attempts.attempt import ExportOptions
    except ImportError as error:
        raise MissingExtraError(str(error.name), "export") from error
    if inspected:
        from nafnet.export.inspection import inspect

        for name, value in inspect(inspected):
            click.echo(f"{name + ':':16} {value}")
        return 0
    if fp16 + bf16 + int8 > 1:
        raise UsageError("--fp16, --bf16 and --int8 exclude one another; choose one")
    if truth and not (images and int8):
        raise UsageError("--truth: for --int8 with --images alone, whose clean versions it has; leave it out")
    if report and report.suffix != ".json":
        raise UsageError(f"--report {report}: expected a name ending in .json; the picture beside it ends in .png")
    for option, path in (("--report", report), ("--builder-log", chosen["log"])):
        if path and not path.absolute().parent.is_dir():
            raise UsageError(f"{option} {path}: its folder does not exist; make it, or choose another")
    precision: Precision = "fp16" if fp16 else "bf16" if bf16 else "int8" if int8 else "fp32"
    names = _formats(formats, precision)
    batch = chosen.pop("batch") or (None if names == ("onnx",) else (1, 4, 8))
    options = ExportOptions(
        precision=precision, norm=chosen.pop("norm"), io=chosen.pop("io"), tile=chosen.pop("tile"), batch=batch,
        local_pooling=None if local_pooling is None else local_pooling == "on", verify=not no_verify,
    )  # fmt: skip
    _refuse_idle(names, chosen)
    _refuse_unbuildable(names, chosen)
    started = time.perf_counter()
    source = checkpoint or bundled_model(".safetensors")
    for file in _run(source, output, _with_pictures(options, images, truth), names, report, chosen):
        click.echo(f"{file}: {file.stat().st_size / 1e6:.2f} MB")
    click.echo(f"in {time.perf_counter() - started:.0f} s")
    return 0


def _run(
    source: Path, output: Path, options: ExportOptions, formats: tuple[str, ...], report: Path | None,
    engine: dict[str, Any],
) -> list[Path]:  # fmt: skip
    """Export, show, write; the report is written whatever the gate says. Returns the files."""
    from nafnet.checkpoint import load_checkpoint
    from nafnet.export.engines.builder import EngineSettings
    from nafnet.export.exporter import RefusalError, export
    from nafnet.export.formats import Target, write_formats
    from nafnet.export.gate.report import show, write_parity_report

    loaded = load_checkpoint(source)
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(
            f"{output}: cannot be made ({error.strerror or error}); choose another folder with -o"
        ) from error
    click.echo(f"{source.name}: {loaded.spec.architecture}")
    try:
        exported = export(loaded, options, click.echo)
    except RefusalError as refused:
        found = refused.verification
        show(found)
        if report:
            write_parity_report(report, found.spec, found, refused.attempts, str(refused))
        raise
    if exported.verification:
        show(exported.verification)
    else:
        click.echo("not verified: nothing was compared with PyTorch, and the file says so")
    target = Target(folder=output, stem=_stem(source, options), engine=EngineSettings(**engine), note=click.echo)
    refusal: str | None = "interrupted"
    try:
        files = write_formats(exported, formats, target)
        refusal = None
    except NafnetError as error:
        refusal = str(error)
        raise
    finally:
        if report:
            write_parity_report(report, exported.spec, exported.verification, exported.attempts, refusal)
    return files


def _with_pictures(options: ExportOptions, images: Path | None, truth: Path | None) -> ExportOptions:
    """The options with what is in the two folders."""
    if images is None:
        return options
    from nafnet.export.gate.cases import read_photographs, read_truth

    found = read_photographs(images)
    clean = read_truth(truth, found) if truth else []
    return dataclasses.replace(options, photographs=list(found.values()), truth=clean)


def _refuse_idle(formats: tuple[str, ...], engine: dict[str, Any]) -> None:
    """An option that would do nothing is a mistake."""
    given = [name for name, value in engine.items() if value not in (None, False, ())]
    if given and not any(name.startswith("tensorrt") for name in formats):
        option = {"workspace_mib": "workspace", "compute_capabilities": "compute-capability", "log": "builder-log"}
        name = option.get(given[0], given[0].replace("_", "-"))
        raise UsageError(f"--{name}: for engines alone; add --format tensorrt or --format tensorrt-rtx")


def _refuse_unbuildable(formats: tuple[str, ...], engine: dict[str, Any]) -> None:
    """What an engine cannot be built with is to be known before the gate runs, not after."""
    from nafnet.export.engines.builder import EngineSettings
    from nafnet.export.formats import require

    require(formats, EngineSettings(**engine))


def _formats(asked: tuple[str, ...], precision: str) -> tuple[str, ...]:
    """What to write; says so where it was left open, and refuses what cannot be written here."""
    from nafnet.export.formats import engine_at_hand, require

    if asked or precision != "fp16":
        require(asked)
        return asked or ("onnx",)
    engine = engine_at_hand()
    if engine is None:
        click.echo("writing ONNX alone: no engine can be built here (TensorRT needs its extra and a GPU, "
                   "TensorRT-RTX its extra)")  # fmt: skip
        return ("onnx",)
    click.echo(f"writing ONNX and a {engine} engine, which can be built here")
    return ("onnx", engine)


def _stem(source: Path, options: ExportOptions) -> str:
    """A name that says how the artefact differs from the plain export, for people; nothing reads it back."""
    parts = [source.stem]
    parts += [options.precision] if options.precision != "fp32" else []
    parts += [str(options.tile)] if options.tile else []
    parts += [options.io] if options.io != "float32" else []
    parts += [options.norm] if options.norm else []
    parts += ["local" if options.local_pooling else "global"] if options.local_pooling is not None else []
    parts += ["unverified"] if not options.verify else []
    return "-".join(parts)
