"""What an export can be written as.

To add a format: write a module here with a function ``write(exported, target) -> list[Path]``, and a line in
`FORMATS`. What must be there before the long work starts goes into a function ``require()``, which is called first.
"""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Callable, Iterable
from pathlib import Path

from nafnet.errors import NafnetError
from nafnet.export.attempts.attempt import Exported, Note
from nafnet.export.engines.builder import EngineSettings, refuse_settings
from nafnet.steps import OnStep, unwatched

FORMATS = {
    "onnx": "nafnet.export.formats.onnx_file",
    "tensorrt": "nafnet.export.formats.tensorrt_plan",
    "tensorrt-rtx": "nafnet.export.formats.tensorrt_rtx_plan",
    # After the others: it takes the plan where one was written.
    "triton": "nafnet.export.formats.triton_repository",
}
ENGINES = ("tensorrt", "tensorrt-rtx")


@dataclasses.dataclass(kw_only=True)
class Target:
    """Where a format writes, and with what."""

    folder: Path
    stem: str
    """The name of the files, without an ending."""
    engine: EngineSettings
    note: Note
    """Told in a line what is going on."""
    on_step: OnStep = unwatched
    """Told how far it is."""
    written: dict[str, Path] = dataclasses.field(default_factory=dict)
    """The artefact of each format that is done."""


def require(names: Iterable[str], settings: EngineSettings | None = None) -> None:
    """Raise the error of the first of the named formats that cannot be written on this machine, or not so."""
    for name in names:
        check = getattr(importlib.import_module(FORMATS[name]), "require", None)
        library = check() if check else None
        if settings and name in ENGINES:
            refuse_settings(library, name, settings)


def engine_at_hand() -> str | None:
    """The engine format that can be built here, TensorRT before TensorRT-RTX, or None."""
    for name in ENGINES:
        try:
            require([name])
        except NafnetError:
            continue
        return name
    return None


Write = Callable[[Exported, Target], list[Path]]


def write_formats(exported: Exported, names: tuple[str, ...], target: Target) -> list[Path]:
    """Write each of the named formats once, in the order of `FORMATS`; returns every file written.

    Raises:
        NafnetError: one cannot be written; those before it stay.
    """
    files: list[Path] = []
    for name, module in FORMATS.items():
        if name in names:
            write: Write = importlib.import_module(module).write
            made = write(exported, target)
            target.written[name] = made[0]
            files += made
    return files
