"""The modules `tensorrt` and `tensorrt_rtx_bindings` on the stand-in's device.

Logger, network, parser, flags and enumerations are those of TensorRT-RTX's real wheel, which needs no GPU for them and
whose API is that of TensorRT 11. Its real builder builds what is built for RTX, too; only what runs is the stand-in's.
"""

from __future__ import annotations

import functools
import json
from types import ModuleType
from typing import Any

from tests.gpu_stand_in.cuda_runtime import CudaRuntime
from tests.gpu_stand_in.device import Device
from tests.gpu_stand_in.plan import Header, pack
from tests.gpu_stand_in.tensorrt_runtime import RtxRuntime, Runtime

_SHARED = (
    "ILogger", "Logger", "IProgressMonitor", "BuilderFlag", "NetworkDefinitionCreationFlag", "ProfilingVerbosity",
    "MemoryPoolType", "IProfiler", "HardwareCompatibilityLevel", "LayerType", "LayerInformationFormat", "TensorIOMode",
)  # fmt: skip
_RTX_ALONE = (
    "ComputeCapability", "CudaGraphStrategy", "DynamicShapesKernelSpecializationStrategy", "EngineValidity",
    "EngineInvalidityDiagnostics",
)  # fmt: skip
_AMPERE_ON = ("SM80", "SM86", "SM89", "SM120", "SM121")


class TensorRt(ModuleType):
    """One of the two modules.

    Args:
        real: TensorRT-RTX's module.
        flavour: tensorrt or tensorrt-rtx.
        cuda: of the same process, which knows each thread's device.
    """

    def __init__(self, real: Any, flavour: str, cuda: CudaRuntime, version: str) -> None:
        super().__init__("tensorrt" if flavour == "tensorrt" else "tensorrt_rtx_bindings")
        rtx = flavour == "tensorrt-rtx"
        self.real, self.flavour, self.cuda, self.__version__ = real, flavour, cuda, version
        for name in (*_SHARED, *(_RTX_ALONE if rtx else ())):
            setattr(self, name, getattr(real, name))
        self.Runtime = functools.partial(RtxRuntime if rtx else Runtime, self)
        self.Builder = functools.partial(Builder, self)
        self.OnnxParser = functools.partial(Parser, self)
        self.parsed: list[tuple[Any, bytes]] = []
        self._logger: Any = None

    @property
    def device(self) -> Device:
        """The calling thread's."""
        return self.cuda.current

    def take_logger(self, logger: Any) -> None:
        """A module keeps the first logger it meets, and whoever gives another is not heard."""
        if self._logger is not None and self._logger is not logger:
            self.device.broke("a second logger of one process", "TensorRT, createInferRuntime and nvinfer1::getLogger")
        self._logger = logger


class Parser:
    """The real one, which remembers what it read."""

    def __init__(self, trt: TensorRt, network: Any, logger: Any) -> None:
        self._trt, self._network = trt, network
        self._real = trt.real.OnnxParser(network, logger)

    def parse(self, model: bytes) -> bool:
        self._trt.parsed.append((self._network, model))
        return bool(self._real.parse(model))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)


class Builder:
    """The real one, whose plans are ours."""

    def __init__(self, trt: TensorRt, logger: Any) -> None:
        trt.take_logger(logger)
        self._trt, self._real = trt, trt.real.Builder(logger)

    def create_network(self, flags: int) -> Any:
        return self._real.create_network(flags)

    def create_optimization_profile(self) -> Any:
        return self._real.create_optimization_profile()

    def create_builder_config(self) -> Config:
        return Config(self._trt, self._real.create_builder_config())

    def build_serialized_network(self, network: Any, config: Config) -> bytes | None:
        if self._trt.flavour == "tensorrt-rtx":
            if self._real.build_serialized_network(network, config.real) is None:
                return None
        elif monitor := config.monitor:
            monitor.phase_start("Building engine", None, 1)
            if not monitor.step_complete("Building engine", 0):
                return None
            monitor.phase_finish("Building engine")
        model = next(model for parsed, model in self._trt.parsed if parsed is network)
        return pack(self._header(network, config), model)

    def _header(self, network: Any, config: Config) -> Header:
        trt, flag = self._trt, self._trt.BuilderFlag
        asked = [str(config.real.get_compute_capability(i).name) for i in range(config.real.num_compute_capabilities)]
        levels = trt.HardwareCompatibilityLevel
        return Header(
            library=trt.flavour, version=trt.__version__, device=trt.device.name,
            profile=[tuple(shape) for shape in config.profiles[0].get_shape(network.get_input(0).name)],
            targets=(asked or _AMPERE_ON) if trt.flavour == "tensorrt-rtx" else (),
            tf32=config.real.get_flag(flag.TF32), version_compatible=config.real.get_flag(flag.VERSION_COMPATIBLE),
            hardware_compatible=config.hardware_compatibility_level == levels.AMPERE_PLUS,
        )  # fmt: skip


class Config:
    """The real one; what TensorRT alone has is kept here."""

    _OWN = ("real", "trt", "profiles", "monitor", "timing", "hardware_compatibility_level")

    def __init__(self, trt: TensorRt, real: Any) -> None:
        self.real, self.trt = real, trt
        self.profiles: list[Any] = []
        self.monitor: Any = None
        self.timing: TimingCache | None = None
        self.hardware_compatibility_level = trt.HardwareCompatibilityLevel.NONE

    def __getattr__(self, name: str) -> Any:
        return getattr(self.real, name)

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "progress_monitor":
            self.monitor = value
        if name in self._OWN:
            object.__setattr__(self, name, value)
        else:
            setattr(self.real, name, value)

    def add_optimization_profile(self, profile: Any) -> int:
        index: int = self.real.add_optimization_profile(profile)
        self.profiles.append(profile)
        return index

    def create_timing_cache(self, blob: bytes) -> TimingCache | None:
        """Of bytes that are none, or of another version, there is none."""
        try:
            device, _ = json.loads(blob) if blob else (self.trt.device.name, None)
        except ValueError:
            return None
        return TimingCache(device)

    def set_timing_cache(self, cache: TimingCache, ignore_mismatch: bool) -> bool:
        if cache is None:
            raise TypeError("set_timing_cache(): incompatible function arguments")
        if cache.device != self.trt.device.name and not ignore_mismatch:
            return False
        self.timing = cache
        return True

    def get_timing_cache(self) -> TimingCache | None:
        return self.timing


class TimingCache:
    """What was measured on a device."""

    def __init__(self, device: str) -> None:
        self.device = device

    def serialize(self) -> bytes:
        return json.dumps([self.device, "measured"]).encode()
