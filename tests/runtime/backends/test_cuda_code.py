"""The CUDA and TensorRT code as far as it goes without a GPU: its order of work.

A device of host memory stands in for the GPU: a stream is a list of what was queued, done when it is awaited, so a
result that is read too early, a buffer that is reused too soon or a graph that is replayed wrongly shows.
"""

from __future__ import annotations

import ctypes
import enum
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from nafnet.errors import BackendError, DeviceMemoryError
from nafnet.runtime.backends import cuda_memory, tensorrt_engine
from nafnet.runtime.backends.cuda_memory import Cuda
from nafnet.runtime.backends.tensorrt_engine import EngineLane, TensorRtBackend
from nafnet.runtime.engine.model_source import open_model


class Code(enum.IntEnum):
    cudaSuccess = 0
    cudaErrorMemoryAllocation = 2
    cudaErrorIllegalState = 401
    cudaErrorStreamCaptureUnsupported = 900


class HostApi:
    """CUDA's runtime, played on the host."""

    cudaError_t = Code
    cudaHostAllocDefault = 0
    cudaStreamNonBlocking = 1
    cudaMemcpyKind = SimpleNamespace(cudaMemcpyHostToDevice=1, cudaMemcpyDeviceToHost=2)
    cudaStreamCaptureMode = SimpleNamespace(cudaStreamCaptureModeThreadLocal=1)

    def __init__(self, memory: int = 10**9) -> None:
        self.left, self.held = memory, {}
        self.queues: dict[int, list[Callable[[], None]]] = {}
        self.captured: dict[int, list[Callable[[], None]]] = {}
        self.replays = 0

    def cudaSetDevice(self, device: int) -> tuple[Code]:
        assert device == 0
        return (Code.cudaSuccess,)

    def cudaHostAlloc(self, size: int, flags: int) -> tuple[Code, int]:
        del flags
        return self.cudaMalloc(size)

    def cudaMalloc(self, size: int) -> tuple[Code, int]:
        if size > self.left:
            return Code.cudaErrorMemoryAllocation, 0
        buffer = ctypes.create_string_buffer(b"\xff" * size, size)
        address = ctypes.addressof(buffer)
        self.held[address] = buffer
        self.left -= size
        return Code.cudaSuccess, address

    def cudaFree(self, address: int) -> tuple[Code]:
        self.left += len(self.held.pop(address))
        return (Code.cudaSuccess,)

    cudaFreeHost = cudaFree

    def cudaStreamCreateWithFlags(self, flags: int) -> tuple[Code, int]:
        del flags
        self.queues[len(self.queues) + 1] = []
        return Code.cudaSuccess, len(self.queues)

    def queue(self, stream: int, work: Callable[[], None]) -> None:
        self.captured.get(stream, self.queues[stream]).append(work)

    def cudaMemcpyAsync(self, target: int, source: int, size: int, kind: int, stream: int) -> tuple[Code]:
        assert kind in (1, 2)
        self.queue(stream, lambda: ctypes.memmove(target, source, size) and None)
        return (Code.cudaSuccess,)

    def cudaStreamBeginCapture(self, stream: int, mode: int) -> tuple[Code]:
        assert mode == 1
        if stream in self.captured:
            return (Code.cudaErrorIllegalState,)
        self.captured[stream] = []
        return (Code.cudaSuccess,)

    def cudaStreamEndCapture(self, stream: int) -> tuple[Code, list[Callable[[], None]]]:
        return Code.cudaSuccess, self.captured.pop(stream)

    def cudaGraphInstantiate(self, graph: Any, flags: int) -> tuple[Code, Any]:
        del flags
        return Code.cudaSuccess, list(graph)

    def cudaGraphDestroy(self, graph: Any) -> tuple[Code]:
        graph.clear()
        return (Code.cudaSuccess,)

    cudaGraphExecDestroy = cudaGraphDestroy

    def cudaGraphLaunch(self, graph: Any, stream: int) -> tuple[Code]:
        self.replays += 1
        for work in graph:
            self.queue(stream, work)
        return (Code.cudaSuccess,)

    def cudaStreamSynchronize(self, stream: int) -> tuple[Code]:
        if stream in self.captured:
            return (Code.cudaErrorStreamCaptureUnsupported,)
        queue = self.queues[stream]
        while queue:
            queue.pop(0)()
        return (Code.cudaSuccess,)

    def cudaStreamDestroy(self, stream: int) -> tuple[Code]:
        assert not self.queues[stream]
        return (Code.cudaSuccess,)


class HalvingEngine:
    """An engine, and its own execution context, that gives half of its input."""

    num_io_tensors = 2

    def __init__(self, api: HostApi, limit: int) -> None:
        self._api, self._limit, self._addresses = api, limit, {}

    def create_execution_context(self) -> HalvingEngine:
        return HalvingEngine(self._api, self._limit)

    def get_tensor_name(self, index: int) -> str:
        return ("restored", "image")[index]

    def get_tensor_mode(self, name: str) -> str:
        return "in" if name == "image" else "out"

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        assert name == "image"
        self._shape = shape
        return max(shape[2:]) <= self._limit

    def set_tensor_address(self, name: str, address: int) -> None:
        self._addresses[name] = address

    def execute_async_v3(self, stream: int) -> bool:
        size = int(np.prod(self._shape))
        given, made = (
            np.frombuffer((ctypes.c_float * size).from_address(self._addresses[name]), np.float32)
            for name in ("image", "restored")
        )
        self._api.queue(stream, lambda: np.multiply(given, 0.5, out=made) is None and None)
        return True


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> Iterator[HostApi]:
    api = HostApi()
    monkeypatch.setattr(cuda_memory, "runtime_module", lambda: api)
    yield api
    assert not any(api.queues.values())


TRT = SimpleNamespace(TensorIOMode=SimpleNamespace(INPUT="in"))


def batch(count: int, side: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).random((count, 3, side, side), np.float32)


def test_lane_runs_shapes_in_turn_and_captures_what_repeats(host: HostApi) -> None:
    lane = EngineLane(TRT, Cuda(0), HalvingEngine(host, 64), (1, 4))
    for seed, (count, side) in enumerate([(2, 32), (2, 32), (2, 32), (2, 32), (1, 64), (1, 64), (2, 32)]):
        given = batch(count, side, seed)
        lane.start(given)
        given_before = given.copy()
        given[...] = 9  # the lane has its own copy
        assert np.array_equal(lane.finish(), given_before * np.float32(0.5))
    assert host.replays == 3 + 1, "all but the first run of each shape are replayed"
    lane.close()
    assert not host.held, "every buffer was given back"


def test_lane_goes_on_without_a_graph_that_could_not_be_captured(
    host: HostApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    lane = EngineLane(TRT, Cuda(0), HalvingEngine(host, 64), (1, 4))
    execute = HalvingEngine.execute_async_v3
    monkeypatch.setattr(
        HalvingEngine, "execute_async_v3", lambda self, stream: stream not in host.captured and execute(self, stream)
    )
    for seed in range(4):
        lane.start(batch(2, 32, seed))
        assert np.array_equal(lane.finish(), batch(2, 32, seed) * np.float32(0.5))
    assert host.replays == 0
    lane.close()
    assert not host.held


def test_lane_that_cannot_be_awaited_gives_back_what_it_took(host: HostApi) -> None:
    lane = EngineLane(TRT, Cuda(0), HalvingEngine(host, 64), (1, 4))
    lane.start(batch(2, 32, 0))
    lane.finish()
    host.captured[1] = []  # as one that was left recording
    with pytest.raises(BackendError, match="StreamCaptureUnsupported"):
        lane.close()
    assert not host.held


def test_lane_fills_up_what_is_less_than_the_profile_takes(host: HostApi) -> None:
    lane = EngineLane(TRT, Cuda(0), HalvingEngine(host, 64), (4, 8))
    given = batch(3, 32, 0)
    lane.start(given)
    assert np.array_equal(lane.finish(), given * np.float32(0.5))
    with pytest.raises(BackendError, match="at most 8 tiles"):
        lane.start(batch(9, 32, 0))
    with pytest.raises(BackendError, match="takes no batch of shape"):
        lane.start(batch(1, 128, 0))
    lane.close()


def test_lane_without_memory_says_so_and_gives_back_what_it_took(host: HostApi) -> None:
    lane = EngineLane(TRT, Cuda(0), HalvingEngine(host, 4096), (1, 64))
    host.left = 3 * batch(8, 64, 0).nbytes
    with pytest.raises(DeviceMemoryError, match="cudaErrorMemoryAllocation"):
        lane.start(batch(8, 64, 0))
    lane.start(batch(4, 64, 0))
    assert np.array_equal(lane.finish(), batch(4, 64, 0) * np.float32(0.5))
    lane.close()
    assert not host.held


def test_backend_runs_a_plan_on_its_lanes(host: HostApi, plan: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Runtime:
        def __init__(self, logger: object) -> None:
            del logger

        def deserialize_cuda_engine(self, data: bytes) -> HalvingEngine:
            assert data == b"plan"
            return HalvingEngine(host, 64)

    class Logger:
        ERROR = 0

        def __init__(self, level: int) -> None:
            del level

    module = SimpleNamespace(**vars(TRT), Runtime=Runtime, Logger=Logger, __version__="10.12")
    monkeypatch.setattr(tensorrt_engine.importlib, "import_module", lambda name: module if name == "tensorrt" else None)
    monkeypatch.setattr(Cuda, "device_name", "GPU")
    with TensorRtBackend(open_model(plan, "tensorrt"), None, "cuda:0") as backend:
        assert backend.default_batch == 2
        given = [batch(2, 64, seed) for seed in range(7)]
        restored = list(backend.stream(iter(given)))
        assert all(np.array_equal(one, other / 2) for one, other in zip(restored, given, strict=True))
        assert np.array_equal(backend(given[3]), given[3] / 2)
    assert not host.held
