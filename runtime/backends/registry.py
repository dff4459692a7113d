"""The backends by name: where each is, what it needs, and what it runs."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Literal

from nafnet.runtime.backends import onnxruntime_builds, presence, provider_presence
from nafnet.sessions import no_bfloat16
from nafnet.system import nvidia

Reads = Literal["onnx", "checkpoint", "plan"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Entry:
    """Where a backend is and what it needs."""

    target: str
    """module:class."""
    requires: str
    """The import name of its library."""
    extra: str
    """The extra that installs it."""
    reads: Reads
    """What it runs."""
    device: str = "cpu"
    """The kind of device it runs on: cpu, cuda, or gpu for any maker's."""
    absent: Callable[[], str | None] = lambda: None
    """Once the library is installed: what is missing to run here, in words; None if nothing is."""
    auto: bool = True
    """Whether `auto` may take it for any model."""
    measured: bool = False
    """Whether `auto` takes it only where it is faster than the CPU on one of the model's tiles."""

    @property
    def default_device(self) -> str:
        """The device where nobody said."""
        return self.device if self.device == "cpu" else f"{self.device}:0"


_HERE = __name__.rpartition(".")[0]
# In the order `auto` tries them: fastest first, as nafnet-bench measures on a CPU; of those on a GPU, as is expected.
REGISTRY: dict[str, Entry] = {
    "tensorrt": Entry(
        target=f"{_HERE}.tensorrt_engine:TensorRtBackend",
        requires="tensorrt", extra="tensorrt", reads="plan", device="cuda",
        absent=functools.partial(nvidia.no_cuda_for_tensorrt, "tensorrt"),
    ),
    "tensorrt-rtx": Entry(
        target=f"{_HERE}.tensorrt_engine:TensorRtRtxBackend",
        requires="tensorrt_rtx_bindings", extra="tensorrt-rtx", reads="plan", device="cuda",
        absent=functools.partial(nvidia.no_cuda_for_tensorrt, "tensorrt-rtx"),
    ),
    "onnxruntime-cuda": Entry(
        target=f"{_HERE}.onnxruntime_cuda:OnnxRuntimeCudaBackend",
        requires="onnxruntime", extra="gpu", reads="onnx", device="cuda", absent=onnxruntime_builds.no_cuda_provider,
    ),
    "torch-cuda": Entry(
        target=f"{_HERE}.torch_cuda:TorchCudaBackend",
        requires="torch", extra="export", reads="checkpoint", device="cuda", auto=False,
        absent=nvidia.no_cuda_for_torch,
    ),
    "onnx-tensorrt-rtx": Entry(
        target=f"{_HERE}.onnxruntime_providers:TensorRtRtxPluginBackend", requires="onnxruntime",
        extra="onnx-tensorrt-rtx", reads="onnx", device="cuda", absent=provider_presence.no_rtx_plugin, measured=True,
    ),
    "directml": Entry(
        target=f"{_HERE}.onnxruntime_providers:DirectMlBackend", requires="onnxruntime",
        extra="directml", reads="onnx", device="gpu", absent=provider_presence.no_directml, measured=True,
    ),
    "coreml": Entry(
        target=f"{_HERE}.onnxruntime_providers:CoreMlBackend", requires="onnxruntime",
        extra="cpu", reads="onnx", device="gpu", absent=provider_presence.no_coreml, measured=True,
    ),
    "migraphx": Entry(
        target=f"{_HERE}.onnxruntime_providers:MiGraphXBackend", requires="onnxruntime",
        extra="migraphx", reads="onnx", device="gpu", absent=provider_presence.no_migraphx, measured=True,
    ),
    "webgpu": Entry(
        target=f"{_HERE}.onnxruntime_providers:WebGpuBackend", requires="onnxruntime",
        extra="webgpu", reads="onnx", device="gpu", absent=provider_presence.no_webgpu, measured=True,
    ),
    "openvino-gpu": Entry(
        target=f"{_HERE}.openvino_cpu:OpenVinoGpuBackend",
        requires="openvino", extra="openvino", reads="onnx", device="gpu", absent=presence.no_openvino_gpu, auto=False,
    ),
    "openvino-bf16": Entry(
        target=f"{_HERE}.openvino_cpu:OpenVinoBfloat16Backend",
        requires="openvino", extra="openvino", reads="onnx", absent=no_bfloat16, auto=False,
    ),
    "openvino": Entry(
        target=f"{_HERE}.openvino_cpu:OpenVinoBackend", requires="openvino", extra="openvino", reads="onnx"
    ),
    "onnxruntime": Entry(
        target=f"{_HERE}.onnxruntime_cpu:OnnxRuntimeBackend",
        requires="onnxruntime", extra="cpu", reads="onnx", absent=onnxruntime_builds.no_onnxruntime,
    ),
    "torch": Entry(
        target=f"{_HERE}.torch_cpu:TorchBackend", requires="torch", extra="export", reads="checkpoint", auto=False
    ),
}  # fmt: skip
