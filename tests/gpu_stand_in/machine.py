"""A machine with two such GPUs, CUDA, TensorRT and TensorRT-RTX."""

from __future__ import annotations

import dataclasses
import importlib.machinery
import sys
from typing import Any

import pytest

from tests.gpu_stand_in import torch_cuda
from tests.gpu_stand_in.cuda_runtime import CudaRuntime
from tests.gpu_stand_in.device import Device
from tests.gpu_stand_in.tensorrt_module import TensorRt
from tests.runtime.backends import cuda_onnxruntime

VERSION = "10.13.3.9"


def install_onnxruntime(monkeypatch: pytest.MonkeyPatch) -> cuda_onnxruntime.Machine:
    """Put ONNX Runtime's build for CUDA on the machine, with CUDA and cuDNN that came with pip."""
    from nafnet import sessions
    from nafnet.runtime.backends import REGISTRY, onnxruntime_cuda

    machine = cuda_onnxruntime.Machine()
    library = cuda_onnxruntime.Library(machine)
    monkeypatch.setitem(sys.modules, "onnxruntime", library)  # type: ignore[arg-type]  # it plays one
    monkeypatch.setattr(onnxruntime_cuda, "onnxruntime", library)
    sessions.preload_cuda.cache_clear()
    entry = dataclasses.replace(REGISTRY["onnxruntime-cuda"], absent=lambda: None)
    monkeypatch.setitem(REGISTRY, "onnxruntime-cuda", entry)
    return machine


class Machine:
    """What tests change on it, and what they ask."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, real: Any) -> None:
        self._patch, self._real = monkeypatch, real
        self._seen: list[Device] = []
        self.use(Device())

    def use(self, device: Device, version: str = VERSION) -> Device:
        """Start anew, as another process, with this GPU, one more of the kind, and this version of TensorRT."""
        from nafnet import enginelog
        from nafnet.runtime.backends import cuda_memory
        from nafnet.system import nvidia

        self.device, self.second = device, Device(device.name, device.capability, device.left)
        self._seen += [self.device, self.second]
        self.api = CudaRuntime(self.device, self.second)
        self._patch.setattr(enginelog, "_LOGS", {})
        self._patch.setattr(cuda_memory, "runtime_module", lambda: self.api)
        self._patch.setattr(nvidia, "cuda_devices", lambda: 2)
        self._patch.setattr(nvidia, "cuda_driver", lambda: 13000)
        for name in ("tensorrt", "tensorrt-rtx"):
            known = self._real.__version__ if name == "tensorrt-rtx" else version
            module = TensorRt(self._real, name, self.api, known)
            module.__spec__ = importlib.machinery.ModuleSpec(module.__name__, None)
            self._patch.setitem(sys.modules, module.__name__, module)
        self._patch.setitem(sys.modules, "tensorrt_rtx", None)
        torch_cuda.install(self._patch, device)
        return device

    @property
    def trt(self) -> TensorRt:
        """TensorRT's module."""
        return sys.modules["tensorrt"]  # type: ignore[return-value]

    @property
    def rtx(self) -> TensorRt:
        """TensorRT-RTX's module."""
        return sys.modules["tensorrt_rtx_bindings"]  # type: ignore[return-value]

    @property
    def broken(self) -> list[str]:
        """The rules that were broken, whoever caught the error."""
        return [rule for device in self._seen for rule in device.broken]
