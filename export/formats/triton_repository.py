"""A model repository for Triton Inference Server: its configuration, and a new version for each model that is new.

Fields after Triton's ``model_config.proto``. Requests are batched where their images are of one size. What counts as
a version is after ``VersionsToLoad`` in Triton's ``model_lifecycle.cc``, which reads the digits that a folder's name
begins with: it takes ``3.partial`` for version 3, and passes over ``.3.partial``.
"""

from __future__ import annotations

import errno
import hashlib
import json
import re
import shutil
from collections.abc import Sequence
from pathlib import Path

from nafnet.errors import UsageError
from nafnet.export.attempts.attempt import Exported, Note
from nafnet.export.formats.target import Target
from nafnet.export.network.graph import INPUT, OUTPUT
from nafnet.files import temporary_beside, write_whole
from nafnet.spec import METADATA_KEY, ModelSpec, WireType
from nafnet.system import SYSTEM
from nafnet.wire import wire_shape

TYPES: dict[WireType, str] = {"float32": "TYPE_FP32", "float16": "TYPE_FP16", "uint8": "TYPE_UINT8"}
# Long enough for a client's tiles to meet in one batch, short beside the time of a tile.
QUEUE_DELAY_MICROSECONDS = 2000
CONFIG, CONFIG_BESIDE = "config.pbtxt", "config.pbtxt.new"
MARK = "# written by nafnet-export, SHA-256 of what follows: "

_VERSION = re.compile("[1-9][0-9]{0,17}")  # Triton's are of 64 bits
_RUNS = re.compile(rb"""^\s*(?:platform|backend)\s*:\s*["'](\w+)""", re.MULTILINE)


def refuse_repository(repository: Path, plan_batch: Sequence[int] | None) -> None:
    """Raise UsageError for what cannot be written so: asked before any work, and again before it is written.

    Args:
        repository: the folder of the model, there or not.
        plan_batch: smallest, best and largest batch of the plan that it is to hold; None where it is to hold the
            ONNX file, which takes any batch.
    """
    if plan_batch and plan_batch[0] > 1:
        raise UsageError(
            f"--batch {':'.join(map(str, plan_batch))}: Triton sends lone requests, too, which a plan of it does not "
            "take; begin with 1, or give --format triton without --format tensorrt"
        )
    there = [repository] if repository.is_symlink() or repository.exists() else []
    inside = list(repository.iterdir()) if repository.is_dir() else []
    for path in there + [each for each in inside if _VERSION.fullmatch(each.name)]:
        if not path.is_dir():
            raise UsageError(f"--format triton: {path} is no folder; move it away, or choose another folder with -o")
    for path in inside:
        if path.name in (CONFIG, CONFIG_BESIDE) and not path.is_file():
            raise UsageError(f"--format triton: {path} is no file; move it away, or choose another folder with -o")


def write(exported: Exported, target: Target) -> list[Path]:
    """DIR/STEM/config.pbtxt and DIR/STEM/N/model.plan where a TensorRT plan was written, else N/model.onnx.

    N is one more than the newest version, or the newest where that is the same model, byte for byte. The model comes
    first, the configuration last; where the user's own is kept, ours is config.pbtxt.new, and that is returned.

    Raises:
        UsageError: see `refuse_repository`.
    """
    repository, plan = target.folder / target.stem, target.written.get("tensorrt")
    refuse_repository(repository, [size[0] for size in exported.sizes] if plan else None)
    if plan is None and "tensorrt-rtx" in target.written:
        target.note("triton: it has no backend for TensorRT-RTX, so the repository holds the ONNX file")
    if plan is None and exported.spec.precision == "bf16":
        target.note("triton: ONNX Runtime has no bf16 on a CPU, and on a GPU this was not run; prefer --fp16")
    name, data = ("model.plan", plan.read_bytes()) if plan else ("model.onnx", exported.model.SerializeToString())
    repository.mkdir(parents=True, exist_ok=True)
    newest = max((int(path.name) for path in repository.iterdir() if _VERSION.fullmatch(path.name)), default=0)
    model = repository / str(newest) / name
    if model.is_file() and model.stat().st_size == len(data) and model.read_bytes() == data:
        target.note(f"triton: version {newest} is this very model, so there is no new version")
    else:
        model = _add_version(repository, newest + 1, name, data)
    body = _config(target.stem, exported, is_plan=plan is not None)
    return [_write_config(repository, body, model, target.note), model]


def _add_version(repository: Path, number: int, name: str, data: bytes) -> Path:
    """The model in a folder of the first free number from `number` on, which Triton sees whole or not at all."""
    aside = temporary_beside(repository / str(number))
    try:
        aside.mkdir()
        write_whole(aside / name, data)
        while True:
            try:
                SYSTEM.move(aside, repository / str(number))
                return repository / str(number) / name
            except OSError as error:  # another export was faster: a folder that holds something is not replaced
                if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):
                    raise
            number += 1
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _write_config(repository: Path, body: str, model: Path, note: Note) -> Path:
    """Replace a configuration of ours, or write ours beside one that the user made or edited; returns what is ours.

    Where the user edited the very configuration that would be written, there is nothing new to say, and it stays.
    """
    config, beside = repository / CONFIG, repository / CONFIG_BESIDE
    old, new = config.read_bytes() if config.exists() else b"", _marked(body.encode())
    if old.partition(b"\n")[0] == new.partition(b"\n")[0]:
        return config  # not touched either: Triton loads anew what is
    runs = _RUNS.search(old)
    other_kind = runs is not None and (b"tensorrt" in runs[1]) != (model.suffix == ".plan")
    if not old or (old == _marked(old.partition(b"\n")[2]) and not config.is_symlink()):
        write_whole(config, new)
        if other_kind:
            note(f"triton: {CONFIG} is for a {model.name} now; versions without one stay, but no longer load")
        return config
    write_whole(beside, new)
    waits = f"; version {model.parent.name} does not load before that takes its place" if other_kind else ""
    note(f"triton: {config} is not as nafnet-export wrote it and stays; the new one is {beside.name}{waits}")
    return beside


def _marked(body: bytes) -> bytes:
    """With a first line by which it is known later that nobody edited the rest."""
    return f"{MARK}{hashlib.sha256(body).hexdigest()}\n".encode() + body


def _config(name: str, exported: Exported, *, is_plan: bool) -> str:
    spec, batches = exported.spec, [size[0] for size in exported.sizes]
    preferred = ", ".join(map(str, sorted({batches[1], batches[2]})))
    backend = 'platform: "tensorrt_plan"' if is_plan else 'backend: "onnxruntime"'
    return f"""name: {json.dumps(name)}
{backend}
max_batch_size: {batches[2]}
{_tensor("input", INPUT, spec)}
{_tensor("output", OUTPUT, spec)}
dynamic_batching {{
  preferred_batch_size: [ {preferred} ]
  max_queue_delay_microseconds: {QUEUE_DELAY_MICROSECONDS}
}}
parameters {{
  key: {json.dumps(METADATA_KEY)}
  value {{ string_value: {json.dumps(spec.to_json())} }}
}}
"""


def _tensor(field: str, name: str, spec: ModelSpec) -> str:
    side = spec.tile if spec.fixed_shape else -1
    dims = wire_shape((1, spec.channels, side, side), spec.io)[1:]  # Triton leaves the batch out
    listed = ", ".join(map(str, dims))
    return f"{field} [ {{ name: {json.dumps(name)} data_type: {TYPES[spec.io]} dims: [ {listed} ] }} ]"
