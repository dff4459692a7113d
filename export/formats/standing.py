"""Exports that stand where new ones are to be written: never replaced in silence where they are of other weights."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from pathlib import Path

from nafnet.errors import NafnetError, UsageError
from nafnet.onnxfile import inspect_onnx
from nafnet.planfile import inspect_plan
from nafnet.spec import ModelSpec

# Of each format its file; Triton's repository keeps what was there as an earlier version.
_ENDINGS = {"onnx": ".onnx", "tensorrt": ".plan", "tensorrt-rtx": "-rtx.plan"}


def standing(folder: Path, stem: str, formats: Iterable[str]) -> list[Path]:
    """The files of these formats that are there already."""
    paths = [folder / f"{stem}{_ENDINGS[name]}" for name in formats if name in _ENDINGS]
    return [path for path in paths if path.exists() or path.is_symlink()]


def refuse_others(paths: Iterable[Path], spec: ModelSpec) -> None:
    """Raise UsageError for a file that is no export of the weights of `spec`: another checkpoint may have its name."""
    for path in paths:
        found: ModelSpec | None = None
        with contextlib.suppress(NafnetError):
            found = inspect_onnx(path) if path.suffix == ".onnx" else inspect_plan(path)
        if found is None or found.weights_sha256 != spec.weights_sha256:
            what = "an export of other weights" if found and found.weights_sha256 else "a file of another origin"
            raise UsageError(f"{path}: there is {what} of this name; choose another folder with -o, or --overwrite it")
