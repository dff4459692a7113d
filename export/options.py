"""The options of `nafnet-export`, and what can be said of them before any work."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from nafnet.errors import UsageError
from nafnet.export.attempts.attempt import ExportOptions
from nafnet.export.engines.builder import EngineSettings
from nafnet.export.formats import require, web_page
from nafnet.export.formats.triton_repository import refuse_repository
from nafnet.parity import Precision
from nafnet.pretrained import bundled_model
from nafnet.spec import Norm, WireType


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
    serve: bool
    port: int | None
    onnxruntime_web: Path | None
    inspected: Path | None

    @property
    def source(self) -> Path:
        return self.checkpoint or bundled_model(".safetensors")

    @property
    def precision(self) -> Precision:
        return "fp16" if self.fp16 else "bf16" if self.bf16 else "int8" if self.int8 else "fp32"

    @property
    def page(self) -> Path:
        """The folder of the format web."""
        return web_page.folder_of(self.output, self.stem)

    @property
    def engine(self) -> EngineSettings:
        names = [field.name for field in dataclasses.fields(EngineSettings)]
        return EngineSettings(**{name: getattr(self, name) for name in names})

    @property
    def export(self) -> ExportOptions:
        """Without the pictures, which are read later."""
        return ExportOptions(
            precision=self.precision, norm=self.norm, io=self.io, tile=self.tile,
            batch=self.batch or ((1, 4, 8) if set(self.formats) - {"onnx", "web"} else None),
            local_pooling=None if self.local_pooling is None else self.local_pooling == "on",
            pad=self.pad, opset=self.opset, verify=not self.no_verify,
        )  # fmt: skip

    @property
    def stem(self) -> str:
        """A name that says how the artefact differs from the plain export, for people; nothing reads it back."""
        options = self.export
        parts = [self.source.stem]
        parts += [options.precision] if options.precision != "fp32" else []
        parts += [str(options.tile)] if options.tile else []
        parts += [options.io] if options.io != "float32" else []
        parts += [options.norm] if options.norm else []
        parts += ["local" if options.local_pooling else "global"] if options.local_pooling is not None else []
        parts += ["pad"] if options.pad else []
        parts += [f"opset{options.opset}"] if options.opset else []
        parts += ["unverified"] if not options.verify else []
        return "-".join(parts)


def check(options: CommandOptions) -> None:
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
        repository = options.output / options.stem
        refuse_repository(repository, options.batch if "tensorrt" in options.formats else None)
    if "web" in options.formats:
        web_page.refuse(options.export)
    require(options.formats, options.engine)


def _refuse_idle(options: CommandOptions) -> None:
    """An option that would do nothing is a mistake."""
    given = [name for name, value in vars(options.engine).items() if value not in (None, False, ())]
    if given and not any(name.startswith("tensorrt") for name in options.formats):
        flags = {"workspace_mib": "workspace", "compute_capabilities": "compute-capability", "log": "builder-log"}
        name = flags.get(given[0], given[0].replace("_", "-"))
        raise UsageError(f"--{name}: for engines alone; add --format tensorrt or --format tensorrt-rtx")
    of_page = {"serve": options.serve, "port": options.port, "onnxruntime-web": options.onnxruntime_web}
    if "web" not in options.formats and (idle := [name for name, value in of_page.items() if value]):
        raise UsageError(f"--{idle[0]}: for a page alone; add --format web")
    if options.port and not options.serve:
        raise UsageError(f"--port {options.port}: for --serve alone; add it, or leave --port out")
