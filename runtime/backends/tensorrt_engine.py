"""TensorRT and TensorRT-RTX: plans that nafnet-export built, on their own streams. Not run on hardware yet."""

from __future__ import annotations

import contextlib
import importlib
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from nafnet.errors import BackendError, ModelError
from nafnet.planfile import refuse_foreign_plan
from nafnet.runtime.backends.cuda_memory import Cuda, DeviceBuffer, PinnedArray, Stream
from nafnet.runtime.backends.lanes import Lane, LaneBackend


class TensorRtBackend(LaneBackend):
    """Runs a plan with TensorRT. Batches smaller than the plan's profile takes are filled up."""

    name = "tensorrt"
    module: ClassVar[str] = "tensorrt"

    @property
    def description(self) -> str:
        return f"{self.name} {self._trt.__version__}, {self._cuda.device_name}"

    def make_lanes(self, count: int) -> list[Lane]:
        path, spec = self.model.path, self.model.spec
        self._trt: Any = importlib.import_module(self.module)
        self._cuda = Cuda(int(self.device.partition(":")[2] or 0))
        refuse_foreign_plan(path, spec, flavour=self.name, version=self._trt.__version__, gpu=self._cuda.device_name)
        assert spec.engine is not None
        smallest, best, largest = spec.engine.profiles[0]
        self.default_batch = best[0]  # a plan knows its own
        self._runtime = self._trt.Runtime(self._trt.Logger(self._trt.Logger.ERROR))
        self._engine = self._runtime.deserialize_cuda_engine(path.read_bytes())
        if self._engine is None:
            raise ModelError(f"{path}: {self.name} {self._trt.__version__} cannot load it on this GPU; export it anew")
        limits = (smallest[0], largest[0])
        return [EngineLane(self._trt, self._cuda, self._engine, limits) for _ in range(count)]

    def close(self) -> None:
        super().close()
        self._engine = self._runtime = None


class TensorRtRtxBackend(TensorRtBackend):
    """Runs a plan with TensorRT-RTX."""

    name = "tensorrt-rtx"
    module = "tensorrt_rtx_bindings"


class EngineLane(Lane):
    """One execution context with its stream, pinned and device buffers; a shape that repeats becomes a CUDA graph.

    Args:
        trt: the module.
        cuda: the device.
        engine: the deserialised plan.
        batches: the smallest and the largest batch of its profile.
    """

    def __init__(self, trt: Any, cuda: Cuda, engine: Any, batches: tuple[int, int]) -> None:
        self._cuda, self._smallest, self._largest = cuda, *batches
        self._context = engine.create_execution_context()
        if self._context is None:
            raise BackendError("TensorRT made no execution context; the device's memory does not suffice")
        self._stream = Stream(cuda)
        names = [engine.get_tensor_name(index) for index in range(engine.num_io_tensors)]
        inputs = [name for name in names if engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT]
        (self._input,), (self._output,) = inputs, [name for name in names if name not in inputs]
        self._shape: tuple[int, ...] = ()
        self._runs = 0  # of this shape
        self._pinned: list[PinnedArray] = []  # input, output
        self._buffers: list[DeviceBuffer] = []
        self._count = 0

    def start(self, batch: NDArray[np.generic]) -> None:
        self._cuda.use()
        self._count = len(batch)
        if self._count > self._largest:
            raise BackendError(f"the plan takes at most {self._largest} tiles at once, got {self._count}; see --batch")
        shape = (max(self._count, self._smallest), *batch.shape[1:])
        if shape != self._shape:
            self._take_shape(shape, batch.dtype)
        self._pinned[0].array[: self._count] = batch
        if self._runs == 1:  # the first run of a shape allocates, which a graph cannot
            with contextlib.suppress(BackendError):  # what cannot be recorded is queued each time
                self._capture()
        if self._stream.has_graph:
            self._stream.replay()
        else:
            self._queue()
        self._runs += 1

    def _capture(self) -> None:
        with self._stream.captured():
            self._queue()

    def finish(self) -> NDArray[np.generic]:
        self._cuda.use()
        self._stream.wait()
        return self._pinned[1].array[: self._count].copy()

    def _queue(self) -> None:
        """Copy in, compute, copy out: queued, not awaited."""
        self._stream.copy_in(self._buffers[0], self._pinned[0])
        if not self._context.execute_async_v3(self._stream.address):
            raise BackendError(f"TensorRT could not run a batch of shape {list(self._shape)}")
        self._stream.copy_out(self._pinned[1], self._buffers[1])

    def _take_shape(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        """Buffers and context for another shape."""
        self._free()
        if not self._context.set_input_shape(self._input, shape):
            raise BackendError(f"the plan takes no batch of shape {list(shape)}; see nafnet-export --tile and --batch")
        for _ in range(2):  # one by one: where one fails, those before it are freed
            self._pinned.append(PinnedArray(self._cuda, shape, dtype))
        for _ in range(2):
            self._buffers.append(DeviceBuffer(self._cuda, self._pinned[0].nbytes))
        self._context.set_tensor_address(self._input, self._buffers[0].address)
        self._context.set_tensor_address(self._output, self._buffers[1].address)
        self._pinned[0].array[...] = 0
        self._shape, self._runs = shape, 0

    def _free(self) -> None:
        self._stream.forget()
        for pinned in self._pinned:
            pinned.free()
        for buffer in self._buffers:
            buffer.free()
        self._pinned, self._buffers = [], []
        self._shape = ()

    def close(self) -> None:
        self._cuda.use()
        try:
            self._stream.wait()
        finally:
            self._free()
            self._stream.close()
            del self._context
