"""CUDA's streams, buffers and graphs through `cuda-bindings`, without torch."""

from __future__ import annotations

import contextlib
import ctypes
import math
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nafnet.errors import BackendError, DeviceMemoryError, MissingExtraError
from nafnet.planfile import Gpu
from nafnet.runtime.backends.capture_lock import UNCOLLECTED


def runtime_module() -> ModuleType:
    """`cuda.bindings.runtime`.

    Raises:
        MissingExtraError: cuda-bindings is not installed.
    """
    try:
        from cuda.bindings import runtime
    except ImportError as error:
        raise MissingExtraError("cuda-bindings", "tensorrt") from error
    return runtime


class Cuda:
    """Calls into CUDA's runtime for one device; a code that is not success becomes an error.

    Args:
        device: its number.
    """

    def __init__(self, device: int) -> None:
        self.api: Any = runtime_module()
        self.device = device
        self.call("cudaSetDevice", device)

    def call(self, name: str, *arguments: Any) -> Any:
        """Call a function of the runtime by its name; returns its one result, or None.

        Raises:
            DeviceMemoryError: the device's memory does not suffice.
            BackendError: any other code.
        """
        code, *results = getattr(self.api, name)(*arguments)
        if code != self.api.cudaError_t.cudaSuccess:
            kind = DeviceMemoryError if code == self.api.cudaError_t.cudaErrorMemoryAllocation else BackendError
            raise kind(f"CUDA: {name} on device {self.device}: {code.name}")
        return results[0] if results else None

    def use(self) -> None:
        """Make this the calling thread's device."""
        self.call("cudaSetDevice", self.device)

    @property
    def gpu(self) -> Gpu:
        """What it is."""
        found = self.call("cudaGetDeviceProperties", self.device)
        name = found.name.decode().rstrip("\0") if isinstance(found.name, bytes) else str(found.name)
        return Gpu(name, int(found.major), int(found.minor))


class PinnedBuffer:
    """Bytes on the host that the device can copy to and from while the CPU does something else."""

    def __init__(self, cuda: Cuda, nbytes: int) -> None:
        self._cuda, self.nbytes = cuda, nbytes
        self.address: int | None = int(cuda.call("cudaHostAlloc", nbytes, cuda.api.cudaHostAllocDefault))

    def view(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
        """Its first bytes as an array, which is dead once they are given back."""
        assert self.address is not None
        buffer = (ctypes.c_uint8 * (math.prod(shape) * dtype.itemsize)).from_address(self.address)
        return np.frombuffer(memoryview(buffer), dtype).reshape(shape)

    def free(self) -> None:
        """Give the memory back."""
        if self.address is not None:
            self._cuda.call("cudaFreeHost", self.address)
            self.address = None


class DeviceBuffer:
    """Bytes on the device."""

    def __init__(self, cuda: Cuda, nbytes: int) -> None:
        self._cuda, self.nbytes = cuda, nbytes
        self.address: int | None = int(cuda.call("cudaMalloc", nbytes))

    def free(self) -> None:
        """Give the memory back."""
        if self.address is not None:
            self._cuda.call("cudaFree", self.address)
            self.address = None


class Event:
    """A moment of a stream, by the device's clock."""

    def __init__(self, cuda: Cuda) -> None:
        self._cuda = cuda
        self.handle = cuda.call("cudaEventCreateWithFlags", cuda.api.cudaEventDefault)  # without, it keeps no time

    def record(self, stream: Stream) -> None:
        """Let it be when what was queued so far is done."""
        self._cuda.call("cudaEventRecord", self.handle, stream.handle)

    def seconds_to(self, later: Event) -> float:
        """Between two moments that are over, see `Stream.wait`; to about half a microsecond."""
        return float(self._cuda.call("cudaEventElapsedTime", self.handle, later.handle)) / 1e3

    def close(self) -> None:
        """Drop it."""
        self._cuda.call("cudaEventDestroy", self.handle)


class Stream:
    """A queue of work on the device, and what was captured from it as a graph."""

    def __init__(self, cuda: Cuda) -> None:
        self._cuda = cuda
        self.handle = cuda.call("cudaStreamCreateWithFlags", cuda.api.cudaStreamNonBlocking)
        self._graph: Any = None

    @property
    def address(self) -> int:
        """As TensorRT takes it."""
        return int(self.handle)

    def copy_in(self, target: DeviceBuffer, source: PinnedBuffer, nbytes: int) -> None:
        """Queue a copy of the first bytes from the host."""
        kind = self._cuda.api.cudaMemcpyKind.cudaMemcpyHostToDevice
        self._cuda.call("cudaMemcpyAsync", target.address, source.address, nbytes, kind, self.handle)

    def copy_out(self, target: PinnedBuffer, source: DeviceBuffer, nbytes: int) -> None:
        """Queue a copy of the first bytes to the host."""
        kind = self._cuda.api.cudaMemcpyKind.cudaMemcpyDeviceToHost
        self._cuda.call("cudaMemcpyAsync", target.address, source.address, nbytes, kind, self.handle)

    @contextlib.contextmanager
    def captured(self) -> Iterator[None]:
        """Record what is queued inside, and run none of it; `replay` queues it. An error inside ends the recording."""
        mode = self._cuda.api.cudaStreamCaptureMode.cudaStreamCaptureModeThreadLocal
        with UNCOLLECTED:
            self._cuda.call("cudaStreamBeginCapture", self.handle, mode)
            try:
                yield
            except BaseException:
                with contextlib.suppress(BackendError):  # of a recording that was invalidated there is no graph
                    self._cuda.call("cudaGraphDestroy", self._cuda.call("cudaStreamEndCapture", self.handle))
                raise
            graph = self._cuda.call("cudaStreamEndCapture", self.handle)
        self.forget()
        try:
            self._graph = self._cuda.call("cudaGraphInstantiate", graph, 0)
        finally:
            self._cuda.call("cudaGraphDestroy", graph)

    @property
    def has_graph(self) -> bool:
        """Whether there is something to replay."""
        return self._graph is not None

    def replay(self) -> None:
        """Queue what was recorded, as one piece of work."""
        self._cuda.call("cudaGraphLaunch", self._graph, self.handle)

    def forget(self) -> None:
        """Drop what was recorded."""
        if self._graph is not None:
            self._cuda.call("cudaGraphExecDestroy", self._graph)
            self._graph = None

    def wait(self) -> None:
        """Wait until all that was queued is done."""
        self._cuda.call("cudaStreamSynchronize", self.handle)

    def close(self) -> None:
        """Drop the graph and the stream."""
        self.forget()
        self._cuda.call("cudaStreamDestroy", self.handle)
