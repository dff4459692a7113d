"""`cuda.bindings.runtime`, as far as the runtime calls it: codes come first in a tuple, whatever else is returned."""

# ruff: noqa: N802, N815, the names are CUDA's
from __future__ import annotations

import ctypes
import dataclasses
import enum
import threading
import time
from types import SimpleNamespace
from typing import Any

from tests.gpu_stand_in.device import Device, Mode, Stream, Work


class Code(enum.IntEnum):
    """`cudaError_t`, with the numbers of CUDA 13."""

    cudaSuccess = 0
    cudaErrorInvalidValue = 1
    cudaErrorMemoryAllocation = 2
    cudaErrorInvalidDevice = 101
    cudaErrorInvalidResourceHandle = 400
    cudaErrorIllegalState = 401
    cudaErrorNotReady = 600
    cudaErrorStreamCaptureUnsupported = 900
    cudaErrorStreamCaptureInvalidated = 901
    cudaErrorCapturedEvent = 907


class Kind(enum.IntEnum):
    cudaMemcpyHostToDevice = 1
    cudaMemcpyDeviceToHost = 2


class CaptureMode(enum.IntEnum):
    cudaStreamCaptureModeGlobal = 0
    cudaStreamCaptureModeThreadLocal = 1
    cudaStreamCaptureModeRelaxed = 2


@dataclasses.dataclass(eq=False)
class Event:
    """`cudaEvent_t`."""

    timed: bool
    recorded: bool = False
    captured: bool = False
    at: float | None = None
    """When the work before it was done, in seconds."""


MODES: dict[int, Mode] = {0: "global", 1: "thread-local", 2: "relaxed"}
OK = Code.cudaSuccess


class CudaRuntime:
    """The module.

    Args:
        devices: by number.
    """

    cudaError_t = Code
    cudaMemcpyKind = Kind
    cudaStreamCaptureMode = CaptureMode
    cudaHostAllocDefault = 0
    cudaStreamNonBlocking = 1
    cudaEventDefault, cudaEventBlockingSync, cudaEventDisableTiming = 0, 1, 2

    def __init__(self, *devices: Device) -> None:
        self.devices = devices
        self._chosen = threading.local()

    @property
    def current(self) -> Device:
        """The calling thread's; 0 until it chooses another."""
        return self.devices[getattr(self._chosen, "number", 0)]

    def cudaSetDevice(self, number: int) -> tuple[Code]:
        if not 0 <= number < len(self.devices):
            return (Code.cudaErrorInvalidDevice,)
        self._chosen.number = number
        return (OK,)

    def cudaGetDeviceProperties(self, number: int) -> tuple[Code, Any]:
        found = self.devices[number]
        major, minor = found.capability
        return OK, SimpleNamespace(name=found.name.encode().ljust(256, b"\0"), major=major, minor=minor)

    def cudaMalloc(self, nbytes: int) -> tuple[Code, int | None]:
        return self._allocate("cudaMalloc", nbytes, "device")

    def cudaHostAlloc(self, nbytes: int, flags: int) -> tuple[Code, int | None]:
        assert flags == self.cudaHostAllocDefault
        return self._allocate("cudaHostAlloc", nbytes, "pinned")

    def _allocate(self, name: str, nbytes: int, kind: Any) -> tuple[Code, int | None]:
        with self.current.lock:
            self.current.unsafe(name)
            made = self.current.allocate(nbytes, kind)
            return (OK, made.address) if made else (Code.cudaErrorMemoryAllocation, None)

    def cudaFree(self, address: int) -> tuple[Code]:
        with self.current.lock:
            self.current.unsafe("cudaFree")
            self.current.free(address, "device")
            return (OK,)

    def cudaFreeHost(self, address: int) -> tuple[Code]:
        with self.current.lock:
            self.current.unsafe("cudaFreeHost")
            self.current.free(address, "pinned")
            return (OK,)

    def cudaStreamCreateWithFlags(self, flags: int) -> tuple[Code, Stream]:
        assert flags == self.cudaStreamNonBlocking
        with self.current.lock:
            made = Stream(number=next(self.current.numbers))
            self.current.streams[made.number] = made
            return OK, made

    def cudaEventCreateWithFlags(self, flags: int) -> tuple[Code, Event]:
        made = Event(timed=not flags & self.cudaEventDisableTiming)
        self.current.events.append(made)
        return OK, made

    def cudaEventRecord(self, event: Event, stream: Stream) -> tuple[Code]:
        with self.current.lock:
            self._known(event)
            found = self.current.stream(stream)
            event.recorded, event.captured, event.at = True, found.capture is not None, None

            def happen() -> None:
                event.at = time.perf_counter()

            self.current.queue(found, Work(happen, ()))
            return (OK,)

    def cudaEventElapsedTime(self, start: Event, end: Event) -> tuple[Code, float | None]:
        """CUDA Runtime API, Event Management: both of the timing kind, recorded and over, and not in a capture."""
        for event in (start, end):
            self._known(event)
        if not all(event.timed and event.recorded for event in (start, end)):
            return Code.cudaErrorInvalidResourceHandle, None
        if start.captured or end.captured:
            return Code.cudaErrorCapturedEvent, None
        if start.at is None or end.at is None:
            return Code.cudaErrorNotReady, None
        return OK, 1e3 * (end.at - start.at)

    def cudaEventDestroy(self, event: Event) -> tuple[Code]:
        self._known(event)
        self.current.events.remove(event)
        return (OK,)

    def _known(self, event: Event) -> None:
        if event not in self.current.events:
            self.current.broke("an event is used after its end", "CUDA Runtime API, Event Management")

    def cudaMemcpyAsync(self, target: int, source: int, nbytes: int, kind: int, stream: Stream) -> tuple[Code]:
        device, into = self.current, kind == Kind.cudaMemcpyHostToDevice
        with device.lock:
            host = device.resolve(source if into else target, nbytes, "pinned", "cudaMemcpyAsync")
            there = device.resolve(target if into else source, nbytes, "device", "cudaMemcpyAsync")

            def copy() -> None:
                ctypes.memmove(target, source, nbytes)

            device.queue(device.stream(stream), Work(copy, (host, there)))
            return (OK,)

    def cudaStreamBeginCapture(self, stream: Stream, mode: int) -> tuple[Code]:
        with self.current.lock:
            found = self.current.stream(stream)
            if found.capture is not None:
                return (Code.cudaErrorIllegalState,)
            found.capture, found.mode = [], MODES[mode]
            found.thread, found.invalidated = threading.get_ident(), self.current.refuses_capture
            return (OK,)

    def cudaStreamEndCapture(self, stream: Stream) -> tuple[Code, list[Work] | None]:
        with self.current.lock:
            found = self.current.stream(stream)
            if found.capture is None:
                return Code.cudaErrorIllegalState, None
            if found.mode != "relaxed" and found.thread != threading.get_ident():
                self.current.broke(
                    "a capture ends in another thread than it began in", "CUDA Runtime API, cudaStreamEndCapture"
                )
            recorded, found.capture = found.capture, None
            return (Code.cudaErrorStreamCaptureInvalidated, None) if found.invalidated else (OK, recorded)

    def cudaGraphInstantiate(self, graph: list[Work], flags: int) -> tuple[Code, list[Work]]:
        assert flags == 0
        return OK, list(graph)

    def cudaGraphDestroy(self, graph: list[Work]) -> tuple[Code]:
        graph.clear()
        return (OK,)

    def cudaGraphExecDestroy(self, graph: list[Work]) -> tuple[Code]:
        graph.clear()
        return (OK,)

    def cudaGraphLaunch(self, graph: list[Work], stream: Stream) -> tuple[Code]:
        with self.current.lock:
            if not graph:
                self.current.broke("a graph is launched after its end", "CUDA Runtime API, Graph Management")
            self.current.launch(graph, self.current.stream(stream))
            return (OK,)

    def cudaStreamSynchronize(self, stream: Stream) -> tuple[Code]:
        with self.current.lock:
            found = self.current.stream(stream)
            if found.capture is not None:
                found.invalidated = True
                return (Code.cudaErrorStreamCaptureUnsupported,)
            self.current.unsafe("cudaStreamSynchronize")
            self.current.drain(found)
            return (OK,)

    def cudaStreamDestroy(self, stream: Stream) -> tuple[Code]:
        with self.current.lock:
            found = self.current.stream(stream)
            if found.queue:
                self.current.broke("a stream is destroyed before its work is awaited", "this project's own rule")
            del self.current.streams[found.number]
            return (OK,)
