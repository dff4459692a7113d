"""One execution context of a TensorRT engine, with the stream and the memory that it works in."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nafnet.enginelog import log_of, reason
from nafnet.errors import BackendError, DeviceMemoryError, speaks_of_memory
from nafnet.runtime.backends.cuda_memory import Cuda, DeviceBuffer, Event, PinnedBuffer, Stream
from nafnet.runtime.backends.device_time import DeviceTime, Parts, TimedLane
from nafnet.runtime.backends.pending import Pending, Wired
from nafnet.spec import WireType
from nafnet.wire import wire_dtype, wire_shape


class EngineLane(TimedLane):
    """A context; a shape that repeats becomes a CUDA graph. Memory is that of the largest shape met.

    Args:
        trt: the module.
        cuda: the device.
        engine: the deserialised plan.
        batches: the smallest and the largest batch of its profile.
        wire: what its input and output hold.
        tell: told in a line what does not go as it could.
        config: how the engine is to be run, of the library's own kind.
        captures: whether to make graphs.

    Raises:
        DeviceMemoryError: there is no memory for another context.
        BackendError: there is none for another reason, which the message has.
    """

    def __init__(
        self, trt: Any, cuda: Cuda, engine: Any, batches: tuple[int, int], wire: WireType, tell: Callable[[str], None],
        config: Any = None, *, captures: bool = True,
    ) -> None:  # fmt: skip
        self._cuda, self._smallest, self._largest = cuda, *batches
        self._wire, self._tell, self._captures = wire, tell, captures
        self._log = log_of(trt)
        with self._log.errors_within() as errors:
            self._context = engine.create_execution_context(*(() if config is None else (config,)))
        if self._context is None:
            said = reason(errors)
            if errors and not speaks_of_memory(" ".join(errors)):
                raise BackendError(f"TensorRT made no execution context ({said})")
            raise DeviceMemoryError(f"TensorRT made no execution context ({said}); the GPU's memory does not suffice")
        self._stream = Stream(cuda)
        names = [engine.get_tensor_name(index) for index in range(engine.num_io_tensors)]
        inputs = [name for name in names if engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT]
        (self._input,), (self._output,) = inputs, [name for name in names if name not in inputs]
        self._shape: tuple[int, ...] = ()
        self._runs = 0  # of this shape
        self._pinned: list[PinnedBuffer] = []  # input, output
        self._buffers: list[DeviceBuffer] = []
        self._views: list[NDArray[Any]] = []
        self._count = 0
        self.fills_up_to = 0
        """Tiles: a smaller batch of the shape at hand is filled up, so that its graph serves, unless that is larger."""

    def start(self, pending: Pending) -> None:
        self._cuda.use()
        self._count = pending.shape[0]
        if self._count > self._largest:
            raise BackendError(f"the plan takes at most {self._largest} tiles at once, got {self._count}; see --batch")
        shape = (max(self._count, self._smallest), *wire_shape(pending.shape, self._wire)[1:])
        fits = shape[1:] == self._shape[1:] and shape[0] < self._shape[0] <= self.fills_up_to
        if shape != self._shape and not fits:
            self._take_shape(shape, wire_dtype(self._wire))
        pending.write(self._views[0][: self._count])
        if self._runs == 1 and self._captures:  # the first run of a shape allocates, which a graph cannot
            self._capture()
        if self._stream.has_graph:
            self._stream.replay()
        else:
            self._queue()
        self._runs += 1

    def _capture(self) -> None:
        try:
            with self._stream.captured():
                self._queue()
        except BackendError as error:  # what cannot be recorded is queued each time
            self._captures = False
            self._tell(f"going on without a CUDA graph, which may be slower: {error}")

    def finish(self) -> Wired:
        self._cuda.use()
        self._stream.wait()
        return self._views[1][: self._count]

    def _queue(self) -> None:
        """Copy in, compute, copy out: queued, not awaited."""
        nbytes = self._views[0].nbytes
        self._stream.copy_in(self._buffers[0], self._pinned[0], nbytes)
        self._compute(self._stream)
        self._stream.copy_out(self._pinned[1], self._buffers[1], nbytes)

    def _compute(self, stream: Stream) -> None:
        with self._log.errors_within() as errors:
            done = self._context.execute_async_v3(stream.address)
        if not done:
            said = reason(errors)
            kind = DeviceMemoryError if speaks_of_memory(" ".join(errors)) else BackendError
            raise kind(f"TensorRT could not run a batch of shape {list(self._shape)} ({said})")

    def device_time(self, pending: Pending, rounds: int) -> DeviceTime:
        self.start(pending)  # takes the shape, and makes the first run
        self.finish()
        with contextlib.ExitStack() as stack:
            stream = stack.enter_context(contextlib.closing(Stream(self._cuda)))
            marks = [stack.enter_context(contextlib.closing(Event(self._cuda))) for _ in range(4)]
            stack.callback(stream.wait)
            if self._captures:  # alone, for the graph of the lane has the copies in it
                with contextlib.suppress(BackendError), stream.captured():
                    self._compute(stream)
            return DeviceTime.of([self._timed(stream, marks) for _ in range(rounds)], "events")

    def layer_seconds(self, trt: Any, pending: Pending) -> list[tuple[str, float]]:
        """Run a batch with the library's profiler; the seconds of each layer, by its name. For contexts that make
        no graphs, in which it would report nothing; from now on each run waits for its report.

        Args:
            trt: the module.
        """
        if self._recorder is None:
            self._context.profiler = self._recorder = _recorder(trt)
        self._recorder.reported.clear()
        self.start(pending)
        self.finish()
        return list(self._recorder.reported)

    _recorder: Any = None

    def _timed(self, stream: Stream, marks: list[Event]) -> Parts:
        nbytes = self._views[0].nbytes
        marks[0].record(stream)
        stream.copy_in(self._buffers[0], self._pinned[0], nbytes)
        marks[1].record(stream)
        if stream.has_graph:
            stream.replay()
        else:
            self._compute(stream)
        marks[2].record(stream)
        stream.copy_out(self._pinned[1], self._buffers[1], nbytes)
        marks[3].record(stream)
        stream.wait()
        there, compute, back = (one.seconds_to(next_one) for one, next_one in pairwise(marks))
        return there, compute, back

    def _take_shape(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        """Context and memory for another shape; its input and output are of one size."""
        self._stream.wait()  # for a start that failed half way
        self._stream.forget()
        self._shape = ()
        if not self._context.set_input_shape(self._input, shape):
            raise BackendError(f"the plan takes no batch of shape {list(shape)}; see nafnet-export --tile and --batch")
        nbytes = math.prod(shape) * dtype.itemsize
        if len(self._buffers) < 2 or nbytes > self._buffers[1].nbytes:
            self._allocate(nbytes)
        self._views = [pinned.view(shape, dtype) for pinned in self._pinned]
        self._views[0][...] = 0
        self._shape, self._runs = shape, 0

    def _allocate(self, nbytes: int) -> None:
        self._free()
        for _ in range(2):  # one by one: where one fails, those before it are freed
            self._pinned.append(PinnedBuffer(self._cuda, nbytes))
        for _ in range(2):
            self._buffers.append(DeviceBuffer(self._cuda, nbytes))
        for name, buffer in zip((self._input, self._output), self._buffers, strict=True):
            if not self._context.set_tensor_address(name, buffer.address):
                self._free()
                raise BackendError(f"TensorRT takes no memory for {name}")

    def _free(self) -> None:
        self._stream.forget()
        for pinned in self._pinned:
            pinned.free()
        for buffer in self._buffers:
            buffer.free()
        self._pinned, self._buffers, self._views = [], [], []
        self._shape = ()

    def close(self) -> None:
        self._cuda.use()
        with contextlib.ExitStack() as stack:  # from the last to the first, each whatever another raises
            stack.callback(self.__dict__.pop, "_context", None)
            stack.callback(self._stream.close)
            stack.callback(self._free)
            stack.callback(self._stream.wait)


def _recorder(trt: Any) -> Any:
    """The library's class of profilers, which it calls with a layer's name and milliseconds."""

    class Recorder(trt.IProfiler):
        def __init__(self) -> None:
            trt.IProfiler.__init__(self)
            self.reported: list[tuple[str, float]] = []

        def report_layer_time(self, layer_name: str, ms: float) -> None:
            self.reported.append((layer_name, ms / 1e3))

    return Recorder()
