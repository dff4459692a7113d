"""A page that restores photographs in the browser: a folder for any static host."""

from __future__ import annotations

from pathlib import Path

from nafnet.errors import UsageError
from nafnet.export.attempts.attempt import Exported, ExportOptions
from nafnet.export.formats.target import Target
from nafnet.export.web.folder import Model, write_folder
from nafnet.export.web.library import library
from nafnet.spec import ModelSpec

ENDING = "-web"


def folder_of(folder: Path, stem: str) -> Path:
    """Where the page of an export goes."""
    return folder / f"{stem}{ENDING}"


def refuse(options: ExportOptions) -> None:
    """Raise UsageError for an export that the page cannot run: asked before any work."""
    if options.precision not in ("fp32", "fp16"):
        raise UsageError(
            f"--{options.precision} --format web: a browser has fp32 and fp16; leave it out, or give --fp16"
        )
    if options.io != "float32":
        raise UsageError(f"--io {options.io} --format web: the page gives float32; leave --io out")


def refuse_channels(spec: ModelSpec) -> None:
    """Raise UsageError for a network that takes no RGB."""
    if spec.channels != 3:
        raise UsageError(f"--format web: this network takes {spec.channels} channels; the page is for those of 3, RGB")


def write(exported: Exported, target: Target) -> list[Path]:
    """DIR/STEM-web/index.html and all that it needs, with the model in fp32 and in fp16, or in the one asked for.

    Raises:
        UsageError: the library that runs it cannot be had.
    """
    forms = [each for each in (exported, target.half) if each]
    models = [Model(content=each.model.SerializeToString(), spec=each.spec) for each in forms]
    files = target.library or library(note=target.note)
    return write_folder(folder_of(target.folder, target.stem), models, files, target.card)
