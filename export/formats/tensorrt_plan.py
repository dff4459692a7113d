"""A TensorRT plan, plain enough for trtexec and Triton, and its spec beside it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from nafnet.errors import EngineError
from nafnet.export.attempts.attempt import Exported
from nafnet.export.engines.library import imported
from nafnet.export.engines.plan import build_verified, write_plan
from nafnet.export.formats.target import Target
from nafnet.system import nvidia

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
    """The module, once it and a GPU that it can use are known to be there.

    Raises:
        MissingExtraError: TensorRT is not installed.
        EngineError: it does not load or is too old, or there is no GPU to build on; the message says why.
    """
    trt = imported(FLAVOUR, (FLAVOUR,))
    version = tuple(int(part) for part in trt.__version__.split(".")[:2])
    if version < OLDEST:
        raise EngineError(f"TensorRT {trt.__version__} cannot keep a graph's own types; 10.12 or later is needed")
    if missing := nvidia.old_tensorrt_driver(FLAVOUR) or _no_gpu():
        raise EngineError(
            "--format tensorrt: TensorRT builds on the GPU that will run the engine, and none can be used here "
            f"({missing}); run this command there, or use --format tensorrt-rtx, which builds ahead of time for RTX "
            "GPUs"
        )
    return trt


def _no_gpu() -> str | None:
    """Why PyTorch, with which the engine is run and compared, has no GPU."""
    if torch.cuda.is_available():
        return None
    return nvidia.no_cuda_for_torch() or "PyTorch finds none"
