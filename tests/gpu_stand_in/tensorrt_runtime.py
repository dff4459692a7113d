"""TensorRT's runtime: plans, engines and execution contexts on the stand-in's device."""

from __future__ import annotations

import ctypes
import json
import math
import weakref
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.gpu_stand_in.device import Allocation, Device, Work
from tests.gpu_stand_in.plan import Header, border, dtype_of, largest_output, session_of, unpack
from tests.gpu_stand_in.runtime_config import RuntimeCache, RuntimeConfig

GRAPHS = "TensorRT Developer Guide, CUDA Graphs"
RTX_GRAPHS = "TensorRT-RTX, Working with CUDA Graphs"
DEVICES = "TensorRT Developer Guide, FAQ, How do I use TensorRT on multiple GPUs?"
PROFILER = "TensorRT, IExecutionContext::setProfiler and setEnqueueEmitsProfile"
LAYER_MS = 2.0
"""That each layer is said to take."""
ENQUEUE = "TensorRT, IExecutionContext::enqueueV3"


class Runtime:
    """`trt.Runtime`; `trt` and `device` are bound by the module."""

    def __init__(self, trt: Any, logger: Any) -> None:
        trt.take_logger(logger)
        self._trt, self._logger = trt, logger
        self.engine_host_code_allowed = False

    def deserialize_cuda_engine(self, plan: bytes) -> Engine | None:
        self._trt.device.unsafe("deserialize_cuda_engine")
        found = unpack(bytes(plan))
        reason = "not a plan" if found is None else self._foreign(found[0])
        if found is None or reason is not None:
            self._logger.log(self._trt.Logger.ERROR, f"IRuntime::deserializeCudaEngine: Error Code 1: {reason}")
            return None
        return Engine(self._trt, self._logger, *found)

    def _foreign(self, header: Header) -> str | None:
        here, trt = self._trt.device, self._trt
        if header.library != trt.flavour:
            return f"a plan of {header.library}"
        if header.version_compatible and not self.engine_host_code_allowed:
            return "the engine has host code, which engine_host_code_allowed does not allow"
        built, now = ([int(part) for part in text.split(".")] for text in (header.version, trt.__version__))
        if built != now and not (header.version_compatible and built[0] == now[0] and built < now):
            return f"version tag does not match: built by {header.version}"
        major, minor = here.capability
        if header.targets:
            return None if f"SM{major}{minor}" in header.targets else f"no kernels for SM{major}{minor}"
        if header.device != here.name and not (header.hardware_compatible and major >= 8):
            return f"the engine plan file was built on {header.device}"
        return None


class RtxRuntime(Runtime):
    """It tells beforehand whether a plan would load."""

    def get_engine_validity(self, plan: bytes) -> tuple[Any, int]:
        found = unpack(bytes(plan))
        if found is None or self._foreign(found[0]):
            return self._trt.EngineValidity.INVALID, int(self._trt.EngineInvalidityDiagnostics.UNSUPPORTED_CC)
        return self._trt.EngineValidity.VALID, 0


class Engine:
    """`trt.ICudaEngine`."""

    num_io_tensors = 2
    num_optimization_profiles = 1

    def __init__(self, trt: Any, logger: Any, header: Header, model: bytes) -> None:
        self.trt, self.logger, self.header, self.model = trt, logger, header, model
        self.device: Device = trt.device  # a plan is bound to it for good
        self.input, self.output = border(model)

    def get_tensor_name(self, index: int) -> str:
        return (self.output.name, self.input.name)[index]  # in no order that could be relied on

    def get_tensor_mode(self, name: str) -> Any:
        return self.trt.TensorIOMode.INPUT if name == self.input.name else self.trt.TensorIOMode.OUTPUT

    def refuse_elsewhere(self, call: str) -> None:
        if self.trt.device is not self.device:
            self.device.broke(f"{call} while another device is the thread's current one", DEVICES)

    def log(self, errors: Iterable[str]) -> None:
        for each in errors:
            self.logger.log(self.trt.Logger.ERROR, each)

    def create_engine_inspector(self) -> Any:
        return Inspector(self.model)

    def create_runtime_config(self) -> RuntimeConfig:
        return RuntimeConfig(self.trt)

    def create_execution_context(self, runtime_config: RuntimeConfig | None = None) -> Context | None:
        """It takes the memory of its activations, those of the profile's largest shape, at once."""
        self.refuse_elsewhere("create_execution_context")
        self.device.unsafe("create_execution_context")
        if (refusal := self.device.refuses_context) is not None:
            self.log(refusal)
            return None
        scratch = self.device.allocate(8 * 4 * math.prod(self.header.profile[2]), "device")
        return Context(self, scratch, runtime_config) if scratch else None


class Inspector:
    """What TensorRT 10 says of a network that it fused into one layer."""

    def __init__(self, model: bytes) -> None:
        self._kind = largest_output(model)

    def get_engine_information(self, _: Any) -> str:
        fused = {"Name": "{ForeignNode[conv...add]}", "LayerType": "kgen", "Outputs": [{"Format/Datatype": self._kind}]}
        return json.dumps({"Layers": [fused, {"Name": "wait", "Outputs": []}]})


class Context:
    """`trt.IExecutionContext`."""

    def __init__(self, engine: Engine, scratch: Allocation, config: RuntimeConfig | None) -> None:
        self._engine, self._device, self._scratch = engine, engine.device, scratch
        self._config = config or RuntimeConfig(engine.trt)
        self._cache = self._config.get_runtime_cache() or RuntimeCache(self._device)
        self._cache.users.add(self)
        self._shape: tuple[int, ...] = ()
        self._addresses: dict[str, int] = {}
        self._settled = False
        self._state = 0
        self.profiler: Any = None
        weakref.finalize(self, self._device.free, scratch.address, "device").atexit = False

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        low, _, high = self._engine.header.profile
        fits = len(shape) == len(low) and all(a <= b <= c for a, b, c in zip(low, shape, high, strict=True))
        if name != self._engine.input.name or not fits:
            return False
        if tuple(shape) != self._shape:
            self._shape, self._settled, self._state = tuple(shape), False, self._state + 1
        return True

    def set_tensor_address(self, name: str, address: int) -> bool:
        if name not in (self._engine.input.name, self._engine.output.name):
            return False
        if self._addresses.get(name) != address:
            self._addresses[name], self._state = address, self._state + 1
        return True

    def execute_async_v3(self, stream: int) -> bool:
        self._engine.refuse_elsewhere("enqueue")
        with self._device.lock:
            queue = self._device.stream(stream)
            if not self._shape or len(self._addresses) < 2:
                self._device.broke("enqueue before shapes and addresses are set", ENQUEUE)
            if queue.capture is not None:
                self._refuse_capture()
            if self._device.refuses_enqueue:
                self._engine.log(self._device.refuses_enqueue)
                return False
            self._compile()
            self._device.queue(queue, self._work(captured=queue.capture is not None))
            self._settled = True
            if self.profiler is not None:
                self._report(queue)
            return True

    def _report(self, queue: Any) -> None:
        """By its default `enqueue_emits_profile` enqueue waits, and then tells the profiler of each layer."""
        if queue.capture is not None:
            self._device.broke("a capture while a profiler is attached", PROFILER)
        self._device.drain(queue)
        for layer in json.loads(Inspector(self._engine.model).get_engine_information(None))["Layers"]:
            self.profiler.report_layer_time(layer["Name"], LAYER_MS)

    def _refuse_capture(self) -> None:
        if not self._settled:
            self._device.broke("a capture before the first enqueue after a change of the shape", GRAPHS)
        if self._engine.trt.flavour != "tensorrt-rtx":
            return
        enums = self._engine.trt
        if self._config.cuda_graph_strategy != enums.CudaGraphStrategy.DISABLED:
            self._device.broke("a capture around a context that captures by itself", RTX_GRAPHS)
        lazy = enums.DynamicShapesKernelSpecializationStrategy.LAZY
        if self._config.dynamic_shapes_kernel_specialization_strategy == lazy:
            self._device.broke("a capture keeps the fallback kernels that lazy specialisation starts with", RTX_GRAPHS)

    def _compile(self) -> None:
        if self._engine.trt.flavour == "tensorrt-rtx" and str(self._shape) not in self._cache.known:
            self._device.compilations += 1
            self._cache.known.add(str(self._shape))

    def _work(self, *, captured: bool) -> Work:
        taken, given = self._engine.input, self._engine.output
        size = math.prod(self._shape)
        buffers = tuple(
            self._device.resolve(
                self._addresses[each.name], size * dtype_of(each).itemsize, "device", f"enqueue: {role}"
            )
            for role, each in (("input", taken), ("output", given))
        )
        places = self._addresses[taken.name], self._addresses[given.name]
        session = session_of(self._engine.model, self._engine.header.tf32 and self._device.capability >= (8, 0))
        shape, state, me = self._shape, self._state, weakref.ref(self)

        def do() -> None:
            (made,) = session.run(None, {taken.name: _array(places[0], dtype_of(taken), shape)})
            _array(places[1], dtype_of(given), shape)[...] = made

        def still_valid() -> str | None:
            context = me()
            if context is None:
                return "its execution context is gone"
            if captured and context._state != state:
                return "its execution context has another shape or other addresses by now"
            return None

        return Work(do, (*buffers, self._scratch), still_valid, id(self))


def _array(address: int, dtype: np.dtype[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    buffer = (ctypes.c_uint8 * (math.prod(shape) * dtype.itemsize)).from_address(address)
    return np.frombuffer(buffer, dtype).reshape(shape)
