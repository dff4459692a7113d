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


def refuse_others(paths: Iterable[Path], spec: ModelSpec, *, overwrite: bool = False) -> None:
    """Raise UsageError for a file that is not the artefact of `spec` exported before: another checkpoint, or another
    form of this one, may have its name.

    Args:
        overwrite: files may be replaced; a folder may not.
    """
    for path in paths:
        if path.is_dir():
            raise UsageError(f"{path}: there is a folder of this name; choose another folder with -o, or remove it")
        if overwrite:
            continue
        found: ModelSpec | None = None
        with contextlib.suppress(NafnetError):
            found = inspect_onnx(path) if path.suffix == ".onnx" else inspect_plan(path)
        if found is None or not _is_alike(found, spec):
            what = "an export of other weights, or another form," if found else "a file of another origin"
            raise UsageError(f"{path}: there is {what} of this name; choose another folder with -o, or --overwrite it")


def _is_alike(found: ModelSpec, spec: ModelSpec) -> bool:
    """Whether one is the other exported anew."""
    names = ("weights_sha256", "precision", "io", "multiple", "fixed_shape")
    return all(getattr(found, name) == getattr(spec, name) for name in names)
