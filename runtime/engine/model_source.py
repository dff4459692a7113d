"""From what the user named as a model to what a backend can load.

An ONNX file is inspected and used as it is. A checkpoint goes to the torch backend as it is; for any other it is
exported once and kept in the cache, under a name made of its bytes' hash and of `REVISION`, so an edited file is
exported anew, and so is every file once exports are written otherwise.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

from nafnet.errors import MissingExtraError, ModelError, NafnetError, UsageError
from nafnet.files import cache_folder, file_sha256
from nafnet.onnxfile import inspect_onnx
from nafnet.planfile import inspect_plan, largest_tile
from nafnet.pretrained import bundled_model
from nafnet.runtime.backends import REGISTRY
from nafnet.runtime.backends.model import Model
from nafnet.steps import OnStep, unwatched
from nafnet.tiling import check_tile

REVISION = 6
"""Of the graphs that nafnet-export writes by default: one more whenever they change within a version."""
CHECKPOINT_SUFFIXES = (".safetensors", ".pth", ".pt", ".ckpt")


def open_model(
    source: str | os.PathLike[str] | None,
    backend: str,
    *,
    say: Callable[[str], None] = lambda _: None,
    on_step: OnStep = unwatched,
) -> Model:
    """The model that `backend`, a name of `REGISTRY`, is to run; None is the bundled denoiser.

    Args:
        say: told in a line that a checkpoint is exported, for about how long, and where the result is kept.
        on_step: told how far the export is.

    Raises:
        NafnetError: missing, unreadable, unsafe or not an image model; or the `export` extra is needed.
    """
    wants_checkpoint = REGISTRY[backend].reads == "checkpoint"
    path = bundled_model(".safetensors" if wants_checkpoint else ".onnx") if source is None else Path(source)
    if path.suffix == ".onnx":
        if wants_checkpoint:
            raise ModelError(f"{path}: --backend {backend} runs checkpoints (.safetensors, .pth), not ONNX files")
        return Model(path=path, spec=inspect_onnx(path))
    if path.suffix == ".plan" or REGISTRY[backend].reads == "plan":
        return _plan(path, backend)
    if path.suffix not in CHECKPOINT_SUFFIXES:
        known = ", ".join((".onnx", ".plan", *CHECKPOINT_SUFFIXES))
        raise ModelError(f"{path}: not a model by its ending; expected one of {known}")
    if not path.is_file():
        raise ModelError(f"{path}: no such file; expected a model")
    if wants_checkpoint:
        from nafnet.checkpoint import load_checkpoint

        return Model(path=path, spec=load_checkpoint(path).spec)
    return _exported(path, say, on_step)


def tiling_of(opened: Model, tile: int | None, overlap: int | None, *, whole: bool) -> tuple[int, int]:
    """Side of the tiles and overlap, as asked for or as the model has it.

    Raises:
        UsageError: the model does not take them.
    """
    side = opened.spec.tile if tile is None else tile
    if opened.spec.fixed_shape and side != opened.spec.tile:
        raise UsageError(f"--tile {side}: {opened.name} was exported for tiles of {opened.spec.tile} alone")
    if opened.spec.fixed_shape and whole:
        raise UsageError(f"--whole: {opened.name} was exported for tiles of {opened.spec.tile} alone")
    largest = largest_tile(opened.spec)
    if largest is not None and (whole or side > largest):
        asked = "--whole" if whole else f"--tile {side}"
        raise UsageError(
            f"{asked}: {opened.name} takes at most {largest}x{largest} pixels; "
            "nafnet-export --tile makes a plan for others"
        )
    shared = min(opened.spec.overlap, side // 4) if overlap is None else overlap
    check_tile(side, shared, opened.spec.multiple)
    return side, shared


def _plan(path: Path, backend: str) -> Model:
    if REGISTRY[backend].reads != "plan":
        raise ModelError(f"{path}: a plan; --backend {backend} does not run plans: expected tensorrt or tensorrt-rtx")
    if path.suffix != ".plan":
        raise ModelError(f"{path}: --backend {backend} runs plans: nafnet-export --format {backend} makes one of it")
    return Model(path=path, spec=inspect_plan(path))


def _exported(path: Path, say: Callable[[str], None], on_step: OnStep) -> Model:
    """The cached export of a checkpoint, made now if it is not there."""
    cached = cache_folder("onnx") / f"{file_sha256(path)}-{version('nafnet-toolchain')}-{REVISION}.onnx"
    if cached.exists():
        try:
            return Model(path=cached, spec=inspect_onnx(cached), source=path)
        except NafnetError:
            cached.unlink(missing_ok=True)  # from another format version, or damaged: make it again
    on_step("loading PyTorch", 0, 0)
    try:
        from nafnet.checkpoint import load_checkpoint
        from nafnet.export.exporter import expected_time, export_onnx
    except ImportError as error:
        before = f"{path} is a checkpoint, and "
        raise MissingExtraError.of(error, "export", before, ", which exports it,") from error
    checkpoint = load_checkpoint(path)
    if checkpoint.note:
        say(checkpoint.note)
    say(f"exporting {path.name} once ({expected_time(checkpoint.spec)}); kept in {cached.parent}")
    return Model(path=cached, spec=export_onnx(checkpoint, cached, on_step=on_step), source=path)
