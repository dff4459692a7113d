"""ONNX Runtime on a CUDA device: inputs and outputs bound to device memory, CUDA graphs. Not run on hardware yet."""

from __future__ import annotations

import dataclasses
import time
from collections import Counter
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import onnxruntime

from nafnet.errors import DeviceMemoryError, ModelError
from nafnet.runtime.backends.base import Shape, is_memory_error
from nafnet.runtime.backends.capture_lock import CAPTURES
from nafnet.runtime.backends.device_time import DeviceTime, Parts, TimedBackend, TimedLane
from nafnet.runtime.backends.lanes import Lane
from nafnet.runtime.backends.pending import Pending, Wired
from nafnet.sessions import onnxruntime_session, preload_cuda
from nafnet.spec import WireType

PROVIDER = "CUDAExecutionProvider"
NO_GRAPH = -1
"""ONNX Runtime's number for running without a graph."""
MOST_GRAPHS = 4
"""Of a lane; each holds buffers."""
NOT_CAPTURABLE = "graph capture feature"
"""In what ONNX Runtime says of a model that it cannot capture, e.g. as some of its nodes run on the CPU."""
# The library leaves the arithmetic of shapes on the CPU on purpose: it is next to nothing, and its results are there.
SHAPE_OPERATORS = frozenset({
    "Add", "Cast", "Concat", "Constant", "ConstantOfShape", "Div", "Expand", "Gather", "Mod", "Mul", "Range", "Reshape",
    "Shape", "Size", "Slice", "Split", "Squeeze", "Sub", "Unsqueeze",
})  # fmt: skip


class OnnxRuntimeCudaBackend(TimedBackend):
    """Runs an ONNX file with ONNX Runtime's CUDA provider."""

    name = "onnxruntime-cuda"

    @property
    def description(self) -> str:
        on_cpu = f", on the CPU: {self._on_cpu}" if self._on_cpu else ""
        return f"ONNX Runtime {onnxruntime.__version__}, {self.device}{on_cpu}"

    def make_lanes(self, count: int) -> list[Lane]:
        number = int(self.device.partition(":")[2] or 0)
        self._missing = preload_cuda()
        lanes = (self.model.spec.fixed_shape and self._with_graphs(number, count)) or self._without(number, count)
        self._on_cpu = nodes_on_cpu(lanes[0].session)
        return list(lanes)

    def _with_graphs(self, number: int, count: int) -> list[BoundLane]:
        """Lanes with a session each, for a session with graphs has one set of addresses; fewer where memory ends.

        None at all for a model that cannot be captured. Where tiles have many shapes graphs would be captured for ever.
        """
        sessions: list[Any] = []
        try:
            while len(sessions) < count:
                sessions.append(self._session(number, graphs=True))
        except DeviceMemoryError:
            if not sessions:
                raise
        except ModelError as error:
            if NOT_CAPTURABLE not in str(error):
                raise
            return []
        return [BoundLane(session, number, self.model.spec.io, graphs=True) for session in sessions]

    def _without(self, number: int, count: int) -> list[BoundLane]:
        session = self._session(number, graphs=False)
        return [BoundLane(session, number, self.model.spec.io, graphs=False) for _ in range(count)]

    def _session(self, number: int, *, graphs: bool) -> Any:
        fixed = self.model.spec.fixed_shape
        settings = {
            "device_id": str(number), "enable_cuda_graph": "1" if graphs else "0",
            "cudnn_conv_algo_search": "EXHAUSTIVE" if fixed else "HEURISTIC", "use_tf32": "0",
        }  # fmt: skip
        options = onnxruntime.SessionOptions()
        options.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
        try:
            with CAPTURES.others():
                session = onnxruntime_session(
                    str(self.model.path), options, [(PROVIDER, settings), "CPUExecutionProvider"]
                )
        except Exception as error:  # the library raises many kinds
            kind = DeviceMemoryError if is_memory_error(error) else ModelError
            raise kind(f"{self.model.path}: ONNX Runtime cannot load it ({error})") from error
        if PROVIDER not in session.get_providers():
            missing = f" (not found: {self._missing})" if self._missing else ""
            raise ModelError(
                f"{self.model.path}: ONNX Runtime {onnxruntime.__version__} would run it on the CPU, for its CUDA "
                f"provider does not load{missing}; see nafnet-run --list-backends"
            )
        return session


def nodes_on_cpu(session: Any) -> str:
    """What of a session's graph runs on the CPU, shapes apart, as "2 Pad, 1 Conv"; versions before 1.24 do not tell.

    `session.disable_cpu_ep_fallback` would refuse the arithmetic of shapes as well.
    """
    if not hasattr(session, "get_provider_graph_assignment_info"):
        return ""
    placed = session.get_provider_graph_assignment_info()
    kinds = [node.op_type for part in placed if part.ep_name == "CPUExecutionProvider" for node in part.get_nodes()]
    counts = Counter(kind for kind in kinds if kind not in SHAPE_OPERATORS)
    return ", ".join(f"{count} {kind}" for kind, count in counts.most_common())


@dataclasses.dataclass(frozen=True)
class _Bound:
    """Buffers on the device, at addresses that stay: a captured graph reads and writes there."""

    given: Any
    made: Any
    binding: Any
    options: Any


class BoundLane(TimedLane):
    """Device buffers for one batch; the session's call waits for the device, so a thread of the lane's own makes it.

    A captured graph is replayed whatever is bound, so each shape has a graph and buffers of its own, and a shape that
    was not seen before runs without one. Copies to and from the device are of pageable memory.

    ONNX Runtime captures when a number is run for the first time, in CUDA's global mode, in which an allocation or a
    synchronous copy of any thread, for any device, breaks the capture. So every call to the device is under
    `CAPTURES`.
    """

    def __init__(self, session: Any, device: int, wire: WireType, *, graphs: bool) -> None:
        self.session, self._device, self._wire = session, device, wire
        self._graphs, self._graphs_left = graphs, MOST_GRAPHS if graphs else 0
        self._input, self._output = session.get_inputs()[0].name, session.get_outputs()[0].name
        self._thread = ThreadPoolExecutor(1)
        self._scratch: tuple[Shape, _Bound] | None = None
        self._kept: dict[Shape, _Bound] = {}
        self._seen: set[Shape] = set()
        self._future: Future[tuple[Wired, Parts]] | None = None

    def start(self, pending: Pending) -> None:
        self._future = self._thread.submit(self._run, pending.written(self._wire))

    def finish(self) -> Wired:
        assert self._future is not None
        return self._future.result()[0]

    def _run(self, batch: Wired) -> tuple[Wired, Parts]:
        shape = batch.shape
        if self._graphs_left and shape in self._seen and shape not in self._kept:
            with CAPTURES.alone():
                return self._capture(batch)
        self._seen.add(shape)
        with CAPTURES.others():
            return self._call(self._kept.get(shape) or self._unkept(batch), batch)

    def _capture(self, batch: Wired) -> tuple[Wired, Parts]:
        self._scratch = None  # freed before more is taken
        number = self._graphs_left  # never twice, not even after an error: its graph may have been captured
        self._graphs_left -= 1
        bound = self._bind(batch, number)
        restored = self._call(bound, batch)
        self._kept[batch.shape] = bound
        return restored

    def _call(self, bound: _Bound, batch: Wired) -> tuple[Wired, Parts]:
        began = time.perf_counter()
        bound.given.update_inplace(batch)
        there = time.perf_counter()
        self.session.run_with_iobinding(bound.binding, bound.options)
        computed = time.perf_counter()
        restored: Wired = bound.made.numpy()
        return restored, (there - began, computed - there, time.perf_counter() - computed)

    def device_time(self, pending: Pending, rounds: int) -> DeviceTime:
        for _ in range(2):  # the second has a graph
            self.start(pending)
            self.finish()
        timed = [self._thread.submit(self._run, pending.written(self._wire)).result()[1] for _ in range(rounds)]
        return DeviceTime.of(timed, "host")  # the library has no events; each of its calls waits for the device

    def _unkept(self, batch: Wired) -> _Bound:
        if self._scratch is None or self._scratch[0] != batch.shape:
            self._scratch = None
            self._scratch = (batch.shape, self._bind(batch, NO_GRAPH))
        return self._scratch[1]

    def _bind(self, batch: Wired, graph: int) -> _Bound:
        make = onnxruntime.OrtValue.ortvalue_from_shape_and_type
        given, made = (make(batch.shape, batch.dtype.type, "cuda", self._device) for _ in range(2))
        binding = self.session.io_binding()
        binding.bind_ortvalue_input(self._input, given)
        binding.bind_ortvalue_output(self._output, made)
        options = onnxruntime.RunOptions()
        if self._graphs:
            options.add_run_config_entry("gpu_graph_id", str(graph))
        return _Bound(given, made, binding, options)

    def close(self) -> None:
        self._thread.shutdown()
        with CAPTURES.others():  # what is freed is a call to the device, too
            self._scratch = self.session = None
            self._kept.clear()
