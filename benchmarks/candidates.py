"""What `nafnet-bench` compares: the network as published in PyTorch, and every backend on two exports of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path

import onnx
import torch
from nafnet.export.graph import to_onnx
from nafnet.export.rewrites import InferenceNAFNet
from nafnet.runtime.backends import backend_class, states
from nafnet.runtime.backends.base import Model

from nafnet.architecture import NAFNet, channels_last
from nafnet.checkpoint import Checkpoint
from nafnet.spec import Norm
from nafnet.wire import Batch


@dataclasses.dataclass(frozen=True, kw_only=True)
class Candidate:
    """One row of the table."""

    name: str
    run: Callable[[Batch], Batch]
    """float32[N,C,H,W] -> float32[N,C,H,W]."""


def candidates(checkpoint: Checkpoint, folder: Path, *, norm: Norm, threads: int, size: int) -> Iterator[Candidate]:
    """PyTorch eager as published (the reference, always first), PyTorch channels-last, then each backend here.

    "naive" is torch.onnx.export of the module as it is, run as it is; "ours" is the rewritten one, prepared for the
    shape of the tile as the runtime does by itself in a long run. Exports go to `folder`.
    """
    torch.set_num_threads(threads)
    reference = checkpoint.build()
    yield Candidate(name="torch eager", run=_torch(reference, torch.contiguous_format))
    yield Candidate(name="torch channels-last", run=_torch(channels_last(checkpoint.build()), torch.channels_last))
    spec = checkpoint.spec
    exports = {"naive": reference, "ours": InferenceNAFNet(reference, norm)}
    for label, module in exports.items():
        path = folder / f"{label}.onnx"
        onnx.save(to_onnx(module, spec.channels, spec.multiple), path)
        for name, entry, missing in states():
            if entry.reads == "onnx" and missing is None:
                backend = backend_class(name)(Model(path=path, spec=spec), threads, entry.default_device)
                if label == "ours":
                    backend.prepare((1, spec.channels, size, size))
                yield Candidate(name=f"{name} {label}", run=backend)


def _torch(module: NAFNet, layout: torch.memory_format) -> Callable[[Batch], Batch]:
    @torch.inference_mode()
    def run(batch: Batch) -> Batch:
        restored: Batch = module(torch.from_numpy(batch).to(memory_format=layout)).contiguous().numpy()
        return restored

    return run
