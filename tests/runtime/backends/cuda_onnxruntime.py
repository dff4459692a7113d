"""ONNX Runtime with a CUDA device, played: it computes with the real library on the CPU, and holds to the rules.

Rules, and where they are written:

- [EP] onnxruntime.ai/docs/execution-providers/CUDA-ExecutionProvider.html: the options; what CUDA graphs ask for; CUDA
  and cuDNN that pip installed are found after `preload_dlls` alone.
- [PY] onnxruntime/capi/onnxruntime_inference_collection.py and onnxruntime/__init__.py of 1.31 and 1.32: the fallback,
  which prints and goes on with the CPU; what `preload_dlls` prints; `update_inplace`; the placement of nodes.
- [CC] onnxruntime/core/session/inference_session.cc: what is said of a graph that cannot be captured.
- [CU] NVIDIA's CUDA Runtime API, stream capture: in the global mode an unsafe call in any thread invalidates a capture.
"""

from __future__ import annotations

import contextlib
import threading
import time
import weakref
from typing import Any

import numpy as np
import onnxruntime as real
from numpy.typing import NDArray
from onnxruntime.capi.onnxruntime_pybind11_state import Fail

PROVIDER = "CUDAExecutionProvider"
OPTIONS = {  # [EP]
    "device_id", "user_compute_stream", "do_copy_in_default_stream", "use_ep_level_unified_stream", "gpu_mem_limit",
    "arena_extend_strategy", "cudnn_conv_algo_search", "cudnn_conv_use_max_workspace", "cudnn_conv1d_pad_to_nc1d",
    "enable_cuda_graph", "enable_skip_layer_norm_strict_mode", "use_tf32", "prefer_nhwc", "gpu_external_alloc",
    "gpu_external_free", "gpu_external_empty_cache", "tunable_op_enable", "tunable_op_tuning_enable", "fuse_conv_bias",
}  # fmt: skip


class Machine:
    """What the stand-in runs on: the state of the driver, of the disk, and of the devices."""

    def __init__(self) -> None:
        self.in_wheels = True
        """Whether CUDA and cuDNN lie where pip puts them, and not in the system's own places."""
        self.absent = False
        """Whether they are not to be had at all."""
        self.loaded = False
        self.memory = 10**9
        self.session_bytes = 10**6
        self.on_cpu: list[str] = []
        """Operators that the provider does not take."""
        self.capturing: list[Capture] = []
        self.captures = self.replays = self.sessions = 0
        self.faults: list[str] = []
        self._lock = threading.Lock()

    def unsafe(self, name: str) -> None:
        """A call that may not be made while any thread captures [CU]."""
        with self._lock:
            for each in self.capturing:
                each.broken_by = name
            if self.capturing:
                self.faults.append(f"{name} during a capture")
                raise RuntimeError(f"CUDA failure 900: operation not permitted when stream is capturing; {name}")

    def take(self, size: int) -> None:
        self.unsafe("cudaMalloc")
        if size > self.memory:
            raise RuntimeError(f"CUDA failure 2: out of memory ; cudaMalloc of {size} bytes")
        self.memory -= size

    def give(self, size: int) -> None:
        self.memory += size
        with contextlib.suppress(RuntimeError):  # from a destructor; it stands in `faults`
            self.unsafe("cudaFree")


class Capture:
    broken_by = ""


class Value:
    """An OrtValue on the device: its address stays, its destruction frees it."""

    def __init__(self, machine: Machine, shape: tuple[int, ...], kind: Any, device: str, number: int) -> None:
        assert device == "cuda", device
        self._machine, self.device = machine, number
        self.array: NDArray[Any] = np.full(shape, 9, kind)
        self._held = 0
        machine.take(self.array.nbytes)
        self._held = self.array.nbytes

    def update_inplace(self, data: NDArray[Any]) -> None:
        """A synchronous copy [PY]."""
        if data.shape != self.array.shape or data.dtype != self.array.dtype:
            raise RuntimeError("The input size of numpy array does not match the size of the OrtValue.")
        assert data.flags.c_contiguous
        self._machine.unsafe("cudaMemcpy")
        self.array[...] = data

    def numpy(self) -> NDArray[Any]:
        self._machine.unsafe("cudaMemcpy")
        return self.array.copy()

    def __del__(self) -> None:
        if self._held:
            self._machine.give(self._held)
            self.array = np.empty(0)  # a graph that is replayed on it fails


class Binding:
    def __init__(self, session: Session) -> None:
        self.session, self.values = session, {}

    def bind_ortvalue_input(self, name: str, value: Value) -> None:
        assert name == self.session.get_inputs()[0].name
        self.values["in"] = value

    def bind_ortvalue_output(self, name: str, value: Value) -> None:
        assert name == self.session.get_outputs()[0].name
        self.values["out"] = value


class Placed:
    def __init__(self, ep_name: str, nodes: list[Any]) -> None:
        self.ep_name, self._nodes = ep_name, nodes

    def get_nodes(self) -> list[Any]:
        return self._nodes


class Session:
    """An InferenceSession; with CUDA graphs it is for one thread [EP]."""

    def __init__(self, machine: Machine, path: Any, options: Any, providers: list[Any], **further: Any) -> None:
        self._machine, self._fallback = machine, int(further.pop("enable_fallback", 1)) == 1
        assert set(further) <= {"disabled_optimizers"}, further
        self._records = _entry(options, "session.record_ep_graph_assignment_info") == "1"
        self._settings: dict[str, str] = {}
        self._held = 0
        plain = real.SessionOptions()
        plain.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
        plain.log_severity_level = 3
        self._real = real.InferenceSession(path, plain, ["CPUExecutionProvider"])
        self._graphs: dict[int, dict[str, Any]] = {}
        self._busy = threading.Lock()
        self._shapes: set[tuple[int, ...]] = set()
        try:
            self._create(providers)
        except (ValueError, RuntimeError) as error:  # [PY]
            if not self._fallback:
                raise
            print("*************** EP Error ***************")
            print(f"EP Error {error} when using {providers}")
            print("Falling back to ['CPUExecutionProvider'] and retrying.")
            self._providers = ["CPUExecutionProvider"]
        machine.sessions += 1

    def _create(self, providers: list[Any]) -> None:
        self._providers = [each if isinstance(each, str) else each[0] for each in providers]
        settings = dict(next((each[1] for each in providers if each[0] == PROVIDER), {}))
        if unknown := set(settings) - OPTIONS:
            raise RuntimeError(f"Unknown provider option: {sorted(unknown)}")
        if not self._machine.loaded:  # logged as a warning, no more [EP]
            self._providers = ["CPUExecutionProvider"]
            return
        self._settings = settings
        self._machine.take(self._machine.session_bytes)
        self._held = self._machine.session_bytes
        if self._has_graphs and any(node.op_type in self._machine.on_cpu for node in self._nodes()):  # [CC]
            raise Fail(
                "[ONNXRuntimeError] : 1 : FAIL : This session cannot use the graph capture feature as requested by the "
                f"user as all compute graph nodes have not been partitioned to the {PROVIDER}"
            )

    def __del__(self) -> None:
        if self._held:
            self._machine.give(self._held)

    @property
    def _has_graphs(self) -> bool:
        return self._settings.get("enable_cuda_graph") == "1"

    def _nodes(self) -> list[Any]:
        return [node for part in self._real.get_provider_graph_assignment_info() for node in part.get_nodes()]

    def get_provider_graph_assignment_info(self) -> list[Placed]:
        if not self._records:
            raise Fail("graph assignment information was not recorded")
        here = [node for node in self._nodes() if node.op_type in self._machine.on_cpu]
        there = [node for node in self._nodes() if node.op_type not in self._machine.on_cpu]
        return [Placed(PROVIDER, there), *([Placed("CPUExecutionProvider", here)] if here else [])]

    def get_providers(self) -> list[str]:
        return self._providers

    def get_inputs(self) -> Any:
        return self._real.get_inputs()

    def get_outputs(self) -> Any:
        return self._real.get_outputs()

    def io_binding(self) -> Binding:
        return Binding(self)

    def run(self, names: Any, feed: dict[str, NDArray[Any]], options: Any = None) -> Any:
        assert PROVIDER not in self._providers, "bound values only"
        return self._real.run(names, feed, options)

    def run_with_iobinding(self, binding: Binding, options: Any = None) -> None:
        assert binding.session is self  # [PY]
        if not self._has_graphs:
            self._run(binding.values)
            return
        assert self._busy.acquire(blocking=False), "a session with CUDA graphs runs in one thread at a time [EP]"
        try:
            number = int(_entry(options, "gpu_graph_id") or 0)
            if number == -1:
                self._run(binding.values)
            elif number in self._graphs:  # what was captured is replayed, whatever is bound [EP]
                self._machine.replays += 1
                self._compute(self._graphs[number])
            else:
                self._capture(number, binding.values)
        finally:
            self._busy.release()

    def _capture(self, number: int, values: dict[str, Value]) -> None:
        """The first run of a number: once as it is, then captured, then replayed."""
        self._run(values)
        capture = Capture()
        self._machine.capturing.append(capture)
        time.sleep(0.02)  # for other threads to do what they do
        self._machine.capturing.remove(capture)
        if capture.broken_by:
            self._machine.faults.append(f"a capture broken by {capture.broken_by}")
            raise RuntimeError("CUDA failure 901: operation failed due to a previous error during capture")
        self._machine.captures += 1
        self._graphs[number] = {name: _Address(value) for name, value in values.items()}
        self._compute(self._graphs[number])

    def _run(self, values: dict[str, Value]) -> None:
        shape = values["in"].array.shape
        if shape not in self._shapes:  # memory for what is between the layers
            self._shapes.add(shape)
            self._machine.unsafe("cudaMalloc")
        self._machine.unsafe("cudaStreamSynchronize of a stream that captures")
        self._compute(values)

    def _compute(self, values: dict[str, Any]) -> None:
        given, made = values["in"].array, values["out"].array
        assert given.size, "a graph reads memory that was freed"
        made[...] = self._real.run(None, {self.get_inputs()[0].name: given})[0]


class _Address:
    """What a graph keeps of a value: where it is, and not the value."""

    def __init__(self, value: Value) -> None:
        self._value = weakref.ref(value)

    @property
    def array(self) -> NDArray[Any]:
        value = self._value()
        return np.empty(0) if value is None else value.array


class RunOptions:
    def __init__(self) -> None:
        self.entries: dict[str, str] = {}

    def add_run_config_entry(self, name: str, value: str) -> None:
        self.entries[name] = value


class SessionOptions:
    log_severity_level = 2

    def __init__(self) -> None:
        self.entries: dict[str, str] = {}

    def add_session_config_entry(self, name: str, value: str) -> None:
        self.entries[name] = value


def _entry(options: Any, name: str) -> str | None:
    return None if options is None else options.entries.get(name)


class Library:
    """The module `onnxruntime`, as the build for CUDA."""

    __version__, __spec__ = "1.31.1", real.__spec__
    SessionOptions, RunOptions = SessionOptions, RunOptions

    def __init__(self, machine: Machine) -> None:
        self._machine = machine

        class OrtValue:
            @staticmethod
            def ortvalue_from_shape_and_type(shape: Any, kind: Any, device: str, number: int) -> Value:
                return Value(machine, shape, kind, device, number)

        self.OrtValue = OrtValue
        if not machine.in_wheels:
            machine.loaded = True

    def preload_dlls(self) -> None:
        if self._machine.absent:  # [PY]
            print("Failed to load libcudnn.so.9: libcudnn.so.9: cannot open shared object file")
            print("Please follow https://onnxruntime.ai/docs/install/#cuda-and-cudnn to install CUDA.")
        else:
            self._machine.loaded = True

    def InferenceSession(  # noqa: N802, its name
        self, path: Any, options: Any = None, providers: Any = None, **further: Any
    ) -> Any:
        names = [each if isinstance(each, str) else each[0] for each in providers]
        if PROVIDER not in names:
            return real.InferenceSession(path, None, providers, **further)
        return Session(self._machine, path, options, providers, **further)
