"""ONNX Runtime on GPUs of every maker, by its providers: WebGPU, DirectML, Core ML, MIGraphX, TensorRT-RTX.

No gate ever ran on their devices. So each is compared when it is loaded (`Backend.ungated`), and `auto` takes one only
after it was faster than the CPU. A provider may leave what it cannot do to the CPU without a word: the graph has to be
taken whole, or what is left is looked at.

Run on a software adapter: WebGPU in ONNX Runtime's own build. Not run on hardware yet: all of them.
"""

from __future__ import annotations

import functools
import importlib
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import onnxruntime

from nafnet.errors import BackendError, DeviceMemoryError, ModelError, UsageError
from nafnet.kept_tile import kept_tile
from nafnet.runtime.backends import placement
from nafnet.runtime.backends.base import Backend, Run, Shape, is_memory_error
from nafnet.runtime.backends.model import Model
from nafnet.runtime.backends.pending import Wired
from nafnet.runtime.backends.provider_presence import RTX_PLUGIN, WEBGPU_PLUGIN, has_plugin
from nafnet.sessions import onnxruntime_session
from nafnet.wire import wire_dtype, wire_shape


class ProviderBackend(Backend):
    """Runs an ONNX file with one of ONNX Runtime's providers. A subclass says which, and with what options."""

    provider: ClassVar[str]
    """As ONNX Runtime names it."""
    title: ClassVar[str]
    """As people name it."""
    plugin: ClassVar[str | None] = None
    """The import name of what brings it beside the plain build; where that is not there, the build may have it."""
    picks_itself: ClassVar[bool] = False
    """Whether the library chooses among several GPUs, and cannot be told."""
    gains_from_fixed_shapes = False
    beside_cpu = True
    ungated = True

    def __init__(self, model: Model, threads: int | None, device: str = "gpu:0") -> None:
        self._number = int(device.partition(":")[2] or 0)
        self._on_cpu = ""
        self._dimensions: tuple[str | int, ...] = ()
        """Of the graph's input; those that are not fixed are names."""
        if self._number and self.picks_itself:
            raise UsageError(f"--device {device}: {self.name} chooses the GPU itself; expected --device gpu")
        super().__init__(model, threads, device)

    @property
    def description(self) -> str:
        on_cpu = f", on the CPU: {self._on_cpu}" if self._on_cpu else ""
        return f"ONNX Runtime {onnxruntime.__version__}, {self.title}, {self.device}{on_cpu}"

    @property
    def settings(self) -> dict[str, str]:
        """The provider's options."""
        return {"device_id": str(self._number)}

    def session_options(self) -> onnxruntime.SessionOptions:
        """What the provider asks of a session."""
        return onnxruntime.SessionOptions()

    def _load(self, shape: Shape | None) -> Run:
        session = self._placed(shape)
        name = session.get_inputs()[0].name

        def run(batch: Wired) -> Wired:
            restored: Wired = session.run(None, {name: batch})[0]
            return restored

        return run

    def _placed(self, shape: Shape | None) -> onnxruntime.InferenceSession:
        """A session that runs the whole graph on the device, or all that is heavy in it."""
        options = self._options(shape)
        options.add_session_config_entry(placement.WHOLE, "1")
        try:
            session = self._session(options)
        except ModelError as error:
            if placement.NOT_ALL not in str(error):
                raise
            session, left = self._looked_at(shape)
            self._on_cpu = placement.in_words(left)
            if not placement.HEAVY.isdisjoint(left):
                raise ModelError(
                    f"{self.model.path}: {self.title} leaves its convolutions to the CPU ({self._on_cpu}); "
                    "it is not used"
                ) from error
        self._dimensions = tuple(session.get_inputs()[0].shape)
        return session

    def _looked_at(self, shape: Shape | None) -> tuple[onnxruntime.InferenceSession, Counter[str]]:
        """A session that may leave nodes to the CPU, and those that it left there when it ran once."""
        options, spec = self._options(shape), self.model.spec
        with tempfile.TemporaryDirectory() as folder:
            options.enable_profiling, options.profile_file_prefix = True, str(Path(folder) / "profile")
            session = self._session(options)
            picture = np.zeros(shape or wire_shape(kept_tile(spec).shape, spec.io), wire_dtype(spec.io))
            session.run(None, {session.get_inputs()[0].name: picture})
            return session, placement.on_cpu(Path(session.end_profiling()))

    def _options(self, shape: Shape | None) -> onnxruntime.SessionOptions:
        options = self.session_options()
        if self.threads:
            options.intra_op_num_threads = self.threads
        for name, size in zip(self._dimensions, shape or (), strict=False):
            if isinstance(name, str):
                options.add_free_dimension_override_by_name(name, size)
        return options

    def _session(self, options: onnxruntime.SessionOptions) -> onnxruntime.InferenceSession:
        providers = []
        if self.plugin and has_plugin(self.plugin):
            options.add_provider_for_devices([self._plugin_device(self.plugin)], self.settings)
        elif self.provider in onnxruntime.get_available_providers():
            providers = [(self.provider, self.settings)]
        else:
            raise BackendError(
                f"{self.name}: ONNX Runtime {onnxruntime.__version__} has no {self.provider}; "
                "see nafnet-run --list-backends"
            )
        try:
            session = onnxruntime_session(str(self.model.path), options, providers, silent=True)
        except Exception as error:  # the library raises many kinds
            kind = DeviceMemoryError if is_memory_error(error) else ModelError
            raise kind(f"{self.model.path}: ONNX Runtime cannot load it with {self.title} ({error})") from error
        if self.provider not in session.get_providers():
            raise BackendError(
                f"{self.name}: ONNX Runtime {onnxruntime.__version__} would run it on the CPU, for {self.provider} "
                "does not load; see nafnet-run --list-backends"
            )
        return session

    def _plugin_device(self, module: str) -> Any:
        devices = plugin_devices(module)
        if self._number < len(devices):
            return devices[self._number]
        found = f"lists {len(devices)} GPUs" if devices else "lists no GPU: is a driver for it installed"
        raise BackendError(f"{self.name}: --device {self.device}, and {module} {found}; see nafnet-run --list-backends")


@functools.cache
def plugin_devices(module: str) -> tuple[Any, ...]:
    """The GPUs that a plugin of ONNX Runtime lists, once it is registered; of a process, for good.

    Args:
        module: the plugin's import name.

    Raises:
        BackendError: ONNX Runtime does not take it.
    """
    plugin = importlib.import_module(module)
    name = plugin.get_ep_name()
    try:
        onnxruntime.register_execution_provider_library(name, plugin.get_library_path())
    except Exception as error:  # no such function in versions before 1.22; else the library raises many kinds
        raise BackendError(
            f"{module}: ONNX Runtime {onnxruntime.__version__} does not take this plugin ({error}); it may be too old, "
            "or a library that the plugin needs is missing"
        ) from error
    found = (device for device in onnxruntime.get_ep_devices() if device.ep_name == name)
    return tuple(device for device in found if device.device.type == onnxruntime.OrtHardwareDeviceType.GPU)


class WebGpuBackend(ProviderBackend):
    """Direct3D 12 on Windows, Metal on macOS, Vulkan on Linux: any maker's GPU."""

    name = "webgpu"
    provider = "WebGpuExecutionProvider"
    title = "WebGPU"
    plugin = WEBGPU_PLUGIN
    picks_itself = True

    @property
    def settings(self) -> dict[str, str]:
        """None: its `deviceId` is not a number of a GPU."""
        return {}


class DirectMlBackend(ProviderBackend):
    """Direct3D 12 on Windows."""

    name = "directml"
    provider = "DmlExecutionProvider"
    title = "DirectML"
    gains_from_fixed_shapes = True

    def session_options(self) -> onnxruntime.SessionOptions:
        """It takes no plan of the memory, and one node after the other."""
        options = onnxruntime.SessionOptions()
        options.enable_mem_pattern = False
        options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
        return options


class CoreMlBackend(ProviderBackend):
    """Apple's GPUs, and the Neural Engine, which computes in half alone, for models that are in half."""

    name = "coreml"
    provider = "CoreMLExecutionProvider"
    title = "Core ML"
    picks_itself = True
    gains_from_fixed_shapes = True

    @property
    def settings(self) -> dict[str, str]:
        """The older of the two formats would round fp32 to half."""
        return {"ModelFormat": "MLProgram", "MLComputeUnits": self._units, "AllowLowPrecisionAccumulationOnGPU": "0"}

    @property
    def _units(self) -> str:
        return "ALL" if self.model.spec.precision == "fp16" else "CPUAndGPU"


class MiGraphXBackend(ProviderBackend):
    """AMD's GPUs by ROCm. It compiles the model for each shape that it meets, which takes long."""

    name = "migraphx"
    provider = "MIGraphXExecutionProvider"
    title = "MIGraphX"


class TensorRtRtxPluginBackend(ProviderBackend):
    """NVIDIA's RTX cards by TensorRT-RTX, from ONNX files: it compiles here what a plan has already."""

    name = "onnx-tensorrt-rtx"
    provider = "NvTensorRTRTXExecutionProvider"
    title = "TensorRT-RTX"
    plugin = RTX_PLUGIN

    @property
    def settings(self) -> dict[str, str]:
        """None: which GPU is said by the device that the plugin lists."""
        return {}
