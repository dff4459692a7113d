"""Whether a backend, on this machine, gives what PyTorch gave where the model was made: asked once for each.

A driver, a kernel or an optimiser that computes wrong is found before the first photograph. The artefact's spec has the
answer to one small picture, see `nafnet.kept_tile`. That it was right is remembered in the cache for the same model,
library, version, device and processor, so it costs a few milliseconds once.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from nafnet.difference import Difference
from nafnet.errors import BackendError, DeviceMemoryError, ModelError, UsageError
from nafnet.files import cache_folder, write_whole
from nafnet.kept_tile import answer_of, compare_with_answer, is_askable, kept_tile
from nafnet.onnxfile import read_onnx
from nafnet.parity import Answer, coarser
from nafnet.runtime.backends import presence
from nafnet.runtime.backends.base import Backend
from nafnet.runtime.backends.model import Model
from nafnet.runtime.engine.fallback import run_in_fp32
from nafnet.spec import ModelSpec
from nafnet.system.processor import features

_LEAST_SIDE = 8
"""Pixels of what a model is tried on."""


class WrongResultError(BackendError):
    """The backend does not give what PyTorch gave."""


def try_out(backend: Backend, batch: int, tile: int) -> None:
    """Run a small tile once: a model that is no image-to-image one is found, and a backend that computes it wrong. On a
    device also a batch of the tiles to come, whose kernels are then ready.

    Raises:
        ModelError: it gives no image of its input's size.
        BackendError: it takes no batch of this size, or see `check_backends`.
    """
    with backend.translated("trying out"):
        _try_out(backend, batch, tile)


def _try_out(backend: Backend, batch: int, tile: int) -> None:
    known = check_backends(backend.parts)
    # Of one pixel a library may make one where it ought to make none, and a model that halves would pass.
    spec = backend.model.spec
    side = -(-_LEAST_SIDE // spec.multiple) * spec.multiple
    try:
        if not known:
            backend(np.zeros((1, spec.channels, side, side), np.float32))
    except DeviceMemoryError:
        raise
    except BackendError as error:
        raise ModelError(f"{error}; expected a model that gives an image of its input's size") from error
    on_cpu = backend.device == "cpu"
    if known and batch == 1 and on_cpu:
        return
    side = side if on_cpu else tile
    try:
        with backend.translated():
            backend(np.zeros((batch, spec.channels, side, side), np.float32))
    except DeviceMemoryError:
        pass  # the batch is halved where it matters
    except BackendError as error:
        raise BackendError(f"batch {batch}: {error}; choose a smaller one") from error


def check_backends(backends: Sequence[Backend]) -> bool:
    """Check each device that shares a model.

    Returns:
        Whether all of them are known to run it; False where the model's spec has no answer to compare with. One that
        no gate ever ran on is then compared with ONNX Runtime on the CPU.

    Raises:
        WrongResultError: one differs from PyTorch by more than the gate allows.
        BackendError: it cannot run the model at all.
    """
    for each in backends:
        _refuse_unknown(each)
    told = all(each.model.spec.answer is not None and is_askable(each.model.spec) for each in backends)
    if not told and not any(each.ungated for each in backends):
        return False
    for each in backends:
        _check(each)
    return True


def _check(backend: Backend) -> None:
    _refuse_refused(backend)
    seal = _seal(backend)
    if seal is not None and seal.is_file():
        return
    spec, whose = backend.model.spec, "PyTorch"
    if spec.answer is None:
        spec, whose = spec.replace(answer=_answer_on_cpu(backend.model)), "ONNX Runtime on the CPU"
    refused = compared(backend, spec).refused
    if refused:
        raise WrongResultError(
            f"{backend.description}: gives another result than {whose} for {backend.model.name} ({refused}); it is not "
            "used: choose another --backend, or another version of the library or driver"
        )
    if seal is not None:
        with contextlib.suppress(OSError):
            write_whole(seal, f"{backend.description}: as PyTorch\n".encode())


def compared(backend: Backend, spec: ModelSpec) -> Difference:
    """How far a backend's result for the kept picture is from the kept answer, by the gate of what it computes in.

    Args:
        spec: of the model, with the answer.

    Raises:
        SpecError: the spec has no answer, or a malformed one.
        BackendError: it cannot run the model.
    """
    precision = coarser(spec.precision, backend.reduced_to or spec.precision)
    return compare_with_answer(spec, backend(kept_tile(spec)), precision)


def _answer_on_cpu(model: Model) -> Answer:
    """What takes the place of PyTorch's answer for a model that has none: its fp32 twin, without an optimisation."""
    return answer_of(run_in_fp32(read_onnx(model.path), model)(kept_tile(model.spec)))


def _refuse_unknown(backend: Backend) -> None:
    """Where no gate ever runs on a device: half that was not compared with PyTorch anywhere, and what cannot be."""
    spec = backend.model.spec
    if not backend.ungated:
        return
    if spec.precision != "fp32" and not spec.is_verified:
        raise BackendError(
            f"{backend.name}: {backend.model.name} is in {spec.precision}, {spec.standing}; expected fp32, or an "
            "export that passed its gate: nafnet-export makes one of your checkpoint"
        )
    if not is_askable(spec):
        raise BackendError(f"{backend.name}: tiles of {spec.tile} are too large to compare one with the CPU's")


def _refuse_refused(backend: Backend) -> None:
    """Where a model was exported, a backend that computes in less than the model does may have been refused."""
    parity = backend.model.spec.parity
    for each in parity.executors if parity else ():
        if each.name == backend.name and not each.passed:
            raise WrongResultError(
                f"{backend.name}: {backend.model.name} was compared with PyTorch on it when it was exported, and was "
                f"refused ({each.psnr:.1f} dB, largest difference {each.max_abs:.1e}): choose another --backend"
            )


def _seal(backend: Backend) -> Path | None:
    """The file that says that it was right; None where nothing can be kept."""
    if backend.model.spec.graph_sha256 is None:
        return None  # the spec does not say of which bytes it speaks
    # Of other GPUs nothing tells the version of all that their drivers are made of: they are asked each time.
    kind = backend.device.partition(":")[0]
    where = features() if kind == "cpu" else presence.gpu_identity() if kind == "cuda" else ()
    if not where:
        return None
    key = (backend.model.spec.to_json(), backend.name, backend.description, backend.device, where)
    try:
        return cache_folder("checks") / hashlib.sha256(repr(key).encode()).hexdigest()[:32]
    except (OSError, UsageError):
        return None
