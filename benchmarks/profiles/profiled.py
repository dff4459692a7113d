"""The rows of a bench, each with its library's profiler: one after the other, for a profiler disturbs."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Protocol, cast

import numpy as np
import onnx

from nafnet.allocator import give_back
from nafnet.benchmarks.profile_result import ProfileResult
from nafnet.benchmarks.profiles.levels import Levels
from nafnet.benchmarks.profiles.measured import RUNS, WARM, Taken, by_level, fastest
from nafnet.benchmarks.rows.candidate import Candidate
from nafnet.benchmarks.rows.exports import Exports
from nafnet.export.gate.cases import picture
from nafnet.parity import Precision
from nafnet.wire import Batch

_FORMS, _BACKENDS, _HERE = "nafnet.benchmarks.rows.torch_forms", "nafnet.runtime.backends", "nafnet.benchmarks.profiles"
TARGETS = {
    f"{_FORMS}:AsPublished": f"{_HERE}.of_torch:ProfiledAsPublished",
    f"{_FORMS}:ChannelsLast": f"{_HERE}.of_torch:ProfiledChannelsLast",
    f"{_FORMS}:Tf32": f"{_HERE}.of_torch:ProfiledTf32",
    f"{_BACKENDS}.onnxruntime_cpu:OnnxRuntimeBackend": f"{_HERE}.of_onnxruntime:ProfiledOnnxRuntime",
    f"{_BACKENDS}.openvino_cpu:OpenVinoBackend": f"{_HERE}.of_openvino:ProfiledOpenVino",
    f"{_BACKENDS}.openvino_cpu:OpenVinoBfloat16Backend": f"{_HERE}.of_openvino:ProfiledOpenVinoBfloat16",
    f"{_BACKENDS}.tensorrt_engine:TensorRtBackend": f"{_HERE}.of_tensorrt:ProfiledTensorRt",
    f"{_BACKENDS}.tensorrt_engine:TensorRtRtxBackend": f"{_HERE}.of_tensorrt:ProfiledTensorRtRtx",
}
"""What opens a row with its profiler, by what opens it without."""


class Profiled(Protocol):
    """A backend that tells its operators."""

    def runs(self, batch: Batch, levels: Levels, count: int) -> Sequence[Sequence[Taken]]:
        """Of so many runs of a batch float32[N,C,H,W], one after the other: each operator's place, and its seconds."""
        ...


def profiles(
    candidates: Sequence[Candidate], exports: Exports, threads: int, batch: int, tile: int,
    on_row: Callable[[str], None],
) -> Iterator[ProfileResult]:  # fmt: skip
    """Each row's profile, or why it has none.

    Args:
        on_row: told the name of each before it begins.
    """
    spec = exports.checkpoint.spec
    assert spec.architecture is not None, "a checkpoint's is known"
    given = picture(batch, spec.channels, tile, tile)
    for candidate in candidates:
        on_row(candidate.name)
        result = ProfileResult(name=candidate.name, tile=tile, batch=batch)
        if candidate.target not in TARGETS:
            result["failed"] = "its library tells no operators by their names"
        else:
            try:
                levels = Levels(onnx.load(_graph(candidate, exports, tile)), len(spec.architecture.encoder_blocks))
                result["operators"] = by_level(profile(candidate, levels, threads, given), levels)
            except Exception as error:  # each library has its own family of errors, and the others are to be profiled
                result["failed"] = " ".join(f"{type(error).__name__}: {error}".split())
        yield result
        give_back()  # of one row no more is wanted


def profile(candidate: Candidate, levels: Levels, threads: int, given: Batch) -> Sequence[Taken]:
    """The operators of the fastest run of a batch float32[N,C,H,W]."""
    with dataclasses.replace(candidate, target=TARGETS[candidate.target]).open(threads) as backend:
        backend.prepares_itself = False
        if candidate.prepared:
            backend.prepare(given.shape)
        return fastest(cast(Profiled, backend).runs(np.ascontiguousarray(given), levels, WARM + RUNS)[WARM:])


def _graph(candidate: Candidate, exports: Exports, tile: int) -> Path:
    """The export whose names the row's library has; of an engine the one that it was built from, or its like. Modules
    of PyTorch are their own names, and any graph tells the levels."""
    if candidate.model.path.suffix == ".onnx":
        return candidate.model.path
    precision: Precision = candidate.model.spec.precision if candidate.model.path.suffix == ".plan" else "fp32"
    return exports.ours(precision, tile if candidate.shape else None).path
