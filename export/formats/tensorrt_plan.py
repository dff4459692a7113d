"""A TensorRT plan, plain enough for trtexec and Triton, and its spec beside it."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import torch

from nafnet.errors import EngineError, MissingExtraError
from nafnet.export.attempts.attempt import Exported
from nafnet.export.engines.plan import build_verified, write_plan
from nafnet.export.formats.target import Target

FLAVOUR = "tensorrt"
OLDEST = (10, 12)


def write(exported: Exported, target: Target) -> list[Path]:
    """DIR/STEM.plan and DIR/STEM.plan.json.

    Raises:
        EngineError: it cannot build the graph.
        ParityError: the engine is not what was asked for, or does not match PyTorch.
    """
    path = target.folder / f"{target.stem}.plan"
    made = build_verified(require(), FLAVOUR, exported, target.engine, target.note, target.on_step)
    return write_plan(path, made)


def require() -> Any:
    """The module, once it and a GPU are known to be there.

    Raises:
        MissingExtraError: TensorRT is not installed.
        EngineError: it is too old, or there is no GPU to build on.
    """
    try:
        trt = importlib.import_module("tensorrt")
    except ImportError as error:
        raise MissingExtraError("--format tensorrt: tensorrt", "tensorrt") from error
    version = tuple(int(part) for part in trt.__version__.split(".")[:2])
    if version < OLDEST:
        raise EngineError(f"TensorRT {trt.__version__} cannot keep a graph's own types; 10.12 or later is needed")
    if not torch.cuda.is_available():
        raise EngineError(
            "--format tensorrt: TensorRT builds on the GPU that will run the engine, and none is here; run this "
            "command there, or use --format tensorrt-rtx, which builds ahead of time for RTX GPUs"
        )
    return trt
