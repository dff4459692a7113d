"""ONNX Runtime with a GPU behind one of its providers, played: it computes with the real library on the CPU, and holds
to the rules.

Rules, and where they are written:

- [DML] onnxruntime.ai/docs/execution-providers/DirectML-ExecutionProvider.html: no plan of the memory, one node after
  the other, one thread in a session; its options, which are also in onnxruntime.dll of 1.24.4.
- [CML] onnxruntime.ai/docs/execution-providers/CoreML-ExecutionProvider.html: options and their values, which are also
  in the wheel of 1.32 for macOS.
- [MGX] onnxruntime.ai/docs/execution-providers/MIGraphX-ExecutionProvider.html, and what the provider's library of
  1.27.1 has for options; what is said without ROCm, as that wheel says it.
- [RTX] tensorrt_rtx_provider_options.h and __init__.py of onnxruntime-ep-nv-tensorrt-rtx-cu13 0.5.0.
- [WEB] README.md and the library of onnxruntime-ep-webgpu 0.4.0.
- [CC] onnxruntime/core/session/inference_session.cc: a session without fallback to the CPU, and with it.
"""

from __future__ import annotations

import importlib.machinery
import json
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import onnxruntime as real
from numpy.typing import NDArray
from onnxruntime.capi.onnxruntime_pybind11_state import Fail

FLAGS = frozenset({"0", "1"})
ANY: frozenset[str] = frozenset()
OPTIONS: dict[str, dict[str, frozenset[str]]] = {
    "DmlExecutionProvider": {  # [DML]
        "device_id": ANY, "performance_preference": frozenset({"default", "high_performance", "minimum_power"}),
        "device_filter": frozenset({"gpu", "npu", "any"}), "disable_metacommands": frozenset({"true", "false"}),
    },
    "CoreMLExecutionProvider": {  # [CML]
        "ModelFormat": frozenset({"MLProgram", "NeuralNetwork"}),
        "MLComputeUnits": frozenset({"CPUOnly", "CPUAndNeuralEngine", "CPUAndGPU", "ALL"}),
        "RequireStaticInputShapes": FLAGS, "EnableOnSubgraphs": FLAGS, "ProfileComputePlan": FLAGS,
        "SpecializationStrategy": frozenset({"Default", "FastPrediction"}), "ModelCacheDirectory": ANY,
        "AllowLowPrecisionAccumulationOnGPU": FLAGS,
    },
    "MIGraphXExecutionProvider": {  # [MGX]
        "device_id": ANY, "migraphx_fp16_enable": FLAGS, "migraphx_bf16_enable": FLAGS, "migraphx_fp8_enable": FLAGS,
        "migraphx_int8_enable": FLAGS, "migraphx_exhaustive_tune": FLAGS, "migraphx_mem_limit": ANY,
        "migraphx_model_cache_dir": ANY, "migraphx_arena_extend_strategy": ANY,
    },
    "NvTensorRTRTXExecutionProvider": {  # [RTX]
        "enable_cuda_graph": FLAGS, "nv_runtime_cache_path": ANY, "nv_profile_min_shapes": ANY,
        "nv_profile_max_shapes": ANY, "nv_profile_opt_shapes": ANY, "nv_max_workspace_size": ANY,
    },
    "WebGpuExecutionProvider": {"preferredLayout": frozenset({"NCHW", "NHWC"}), "enableGraphCapture": FLAGS},  # [WEB]
}  # fmt: skip
NO_ROCM = "libmigraphx_c.so.3: cannot open shared object file: No such file or directory"


class Machine:
    """What the stand-in runs on."""

    def __init__(self, provider: str) -> None:
        self.provider = provider
        self.built_in = True
        """Whether the build has it; else it comes with a plugin."""
        self.gpus = 2
        self.refuses = ""
        """What the provider says instead of loading."""
        self.leaves: set[str] = set()
        """Operators that it does not take."""
        self.error = 0.0
        """What it adds to its result."""
        self.registered: list[str] = []
        self.settings: list[dict[str, str]] = []
        self.numbers: list[int] = []
        self.dimensions: list[dict[str, int]] = []
        self.broken: list[str] = []

    def rule(self, kept: bool, words: str) -> None:
        if not kept:
            self.broken.append(words)
            raise Fail(f"[ONNXRuntimeError] : 1 : FAIL : {words}")


class SessionOptions(real.SessionOptions):  # type: ignore[misc]  # of a library without types
    """The real ones, and what was said to the provider."""

    def __init__(self) -> None:
        super().__init__()
        self.entries: dict[str, str] = {}
        self.devices: list[Any] = []
        self.settings: dict[str, str] = {}
        self.fixed: dict[str, int] = {}

    def add_session_config_entry(self, name: str, value: str) -> None:
        self.entries[name] = value

    def add_free_dimension_override_by_name(self, name: str, size: int) -> None:
        self.fixed[name] = size
        super().add_free_dimension_override_by_name(name, size)

    def add_provider_for_devices(self, devices: list[Any], settings: dict[str, str]) -> None:
        self.devices, self.settings = list(devices), dict(settings)


class Session:
    """An InferenceSession on the GPU; what the provider leaves is on the CPU."""

    def __init__(self, machine: Machine, path: Any, options: SessionOptions, providers: list[Any]) -> None:
        self._machine, self._options = machine, options
        self._busy = threading.Lock()
        settings = options.settings if options.devices else dict(providers[0][1])
        self._check(settings, providers)
        if machine.refuses:
            raise RuntimeError(machine.refuses)
        plain = real.SessionOptions()
        plain.log_severity_level = 3
        # As a provider sees it: no CPU's kernel has fused or reordered anything.
        plain.graph_optimization_level = real.GraphOptimizationLevel.ORT_DISABLE_ALL
        plain.enable_profiling, plain.profile_file_prefix = options.enable_profiling, options.profile_file_prefix
        for name, size in options.fixed.items():
            plain.add_free_dimension_override_by_name(name, size)
        self._real = real.InferenceSession(path, plain, ["CPUExecutionProvider"])
        machine.settings.append(settings)
        machine.numbers.append(options.devices[0].number if options.devices else int(settings.get("device_id", 0)))
        machine.dimensions.append(options.fixed)
        if options.entries.get("session.disable_cpu_ep_fallback") == "1":  # [CC]
            machine.rule("CPUExecutionProvider" not in providers, "Conflicting session configuration")
            if machine.leaves & _kinds(path):
                raise Fail(
                    "[ONNXRuntimeError] : 1 : FAIL : This session contains graph nodes that are assigned to the "
                    "default CPU EP, but fallback to CPU EP has been explicitly disabled by the user."
                )

    def _check(self, settings: dict[str, str], providers: list[Any]) -> None:
        machine, known = self._machine, OPTIONS[self._machine.provider]
        machine.rule(bool(self._options.devices) != bool(providers), "either devices or providers")
        for name, value in settings.items():
            machine.rule(name in known, f"Unknown option: {name}")
            machine.rule(not known[name] or value in known[name], f"{name}: {value}")
        if machine.provider == "DmlExecutionProvider":
            machine.rule(not self._options.enable_mem_pattern, "memory pattern with DirectML")
            sequential = self._options.execution_mode == real.ExecutionMode.ORT_SEQUENTIAL
            machine.rule(sequential, "parallel execution with DirectML")

    def get_providers(self) -> list[str]:
        return [self._machine.provider, "CPUExecutionProvider"]

    def get_inputs(self) -> Any:
        return self._real.get_inputs()

    def run(self, names: Any, feed: dict[str, NDArray[Any]]) -> list[NDArray[Any]]:
        alone = self._busy.acquire(blocking=False)
        self._machine.rule(alone, "several threads in one session [DML]")
        try:
            made: list[NDArray[Any]] = self._real.run(names, feed)
            return [each + each.dtype.type(self._machine.error) for each in made]
        finally:
            self._busy.release()

    def end_profiling(self) -> str:
        """Of the real one, with the provider in the place of the CPU for what it takes."""
        written = Path(self._real.end_profiling())
        events = json.loads(written.read_text(encoding="utf-8"))
        for event in events:
            told = event.get("args", {})
            if told.get("provider") and told["op_name"] not in self._machine.leaves:
                told["provider"] = self._machine.provider
        written.write_text(json.dumps(events), encoding="utf-8")
        return str(written)


def _kinds(path: Any) -> set[str]:
    return {node.op_type for node in onnx.load(path).graph.node}


class Library:
    """The module `onnxruntime`."""

    __version__ = real.__version__
    SessionOptions = SessionOptions
    ExecutionMode = real.ExecutionMode
    GraphOptimizationLevel = real.GraphOptimizationLevel
    OrtHardwareDeviceType = real.OrtHardwareDeviceType

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self.__spec__ = real.__spec__

    def get_available_providers(self) -> list[str]:
        return [*([self._machine.provider] if self._machine.built_in else []), "CPUExecutionProvider"]

    def InferenceSession(self, path: Any, options: Any, providers: list[Any], **further: Any) -> Any:  # noqa: N802
        assert further.pop("enable_fallback", 1) == 0, "it would go on with the CPU, and only print it"
        if providers == ["CPUExecutionProvider"]:
            return real.InferenceSession(path, options, providers)
        return Session(self._machine, path, options, providers)

    def register_execution_provider_library(self, name: str, path: str) -> None:
        self._machine.rule(name not in self._machine.registered, f"{name} is registered already")
        self._machine.rule(Path(path).is_absolute(), "the path of a library is absolute")
        self._machine.registered.append(name)

    def get_ep_devices(self) -> list[Any]:
        kinds = real.OrtHardwareDeviceType
        cpu = SimpleNamespace(ep_name="CPUExecutionProvider", device=SimpleNamespace(type=kinds.CPU))
        gpus = (
            SimpleNamespace(ep_name=self._machine.provider, device=SimpleNamespace(type=kinds.GPU), number=number)
            for number in range(self._machine.gpus)
        )
        return [cpu, *(gpus if self._machine.registered else ())]


class Plugin:
    """What a plugin's module has [RTX, WEB]."""

    def __init__(self, provider: str, module: str) -> None:
        self._provider = provider
        self.__spec__ = importlib.machinery.ModuleSpec(module, None)

    def get_ep_name(self) -> str:
        return self._provider

    def get_library_path(self) -> str:
        return str(Path(np.__file__).absolute())
