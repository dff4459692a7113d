"""What an export can be written as.

To add a format: write a module here with a function ``write(exported, target) -> list[Path]``, and a line in
`FORMATS`. What must be there before the long work starts goes into a function ``require()``, which is called first.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable
from pathlib import Path

from nafnet.errors import NafnetError
from nafnet.export.attempts.attempt import Exported
from nafnet.export.engines.builder import EngineSettings, refuse_settings
from nafnet.export.formats.target import Target

FORMATS = {
    "onnx": "nafnet.export.formats.onnx_file",
    "tensorrt": "nafnet.export.formats.tensorrt_plan",
    "tensorrt-rtx": "nafnet.export.formats.tensorrt_rtx_plan",
    # After the others: it takes the plan where one was written.
    "triton": "nafnet.export.formats.triton_repository",
    "web": "nafnet.export.formats.web_page",
}
ENGINES = ("tensorrt", "tensorrt-rtx")


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
