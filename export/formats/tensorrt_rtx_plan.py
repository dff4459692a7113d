"""A TensorRT-RTX plan, built with or without a GPU, and its spec beside it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from nafnet.export.attempts.attempt import Exported
from nafnet.export.engines.library import imported
from nafnet.export.engines.plan import build_verified, write_plan
from nafnet.export.formats.target import Target

FLAVOUR = "tensorrt-rtx"
MODULES = ("tensorrt_rtx", "tensorrt_rtx_bindings")  # the whole package's name, and that of its part


def write(exported: Exported, target: Target) -> list[Path]:
    """DIR/STEM-rtx.plan and DIR/STEM-rtx.plan.json.

    Raises:
        EngineError: it cannot build the graph.
        ParityError: the engine is not what was asked for, or does not match PyTorch.
    """
    path = target.folder / f"{target.stem}-rtx.plan"
    made = build_verified(require(), FLAVOUR, exported, target.engine, target.note, target.on_step)
    return write_plan(path, made)


def require() -> Any:
    """The module.

    Raises:
        MissingExtraError: TensorRT-RTX is not installed.
        EngineError: it is, and does not load.
    """
    return imported(FLAVOUR, MODULES)
