"""ONNX Runtime on a CUDA device: inputs and outputs bound to device memory, CUDA graphs. Not run on hardware yet."""

from __future__ import annotations

import dataclasses
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from nafnet.errors import ModelError
from nafnet.runtime.backends.base import Shape
from nafnet.runtime.backends.lanes import Lane, LaneBackend
from nafnet.sessions import onnxruntime_session

NO_GRAPH = -1
"""ONNX Runtime's number for running without a graph."""
MOST_GRAPHS = 4
"""Of a lane; each holds buffers."""


class OnnxRuntimeCudaBackend(LaneBackend):
    """Runs an ONNX file with ONNX Runtime's CUDA provider."""

    name = "onnxruntime-cuda"

    @property
    def description(self) -> str:
        return f"ONNX Runtime {onnxruntime.__version__}, {self.device}"

    def make_lanes(self, count: int) -> list[Lane]:
        number = int(self.device.partition(":")[2] or 0)
        fixed = self.model.spec.fixed_shape
        # Where tiles have many shapes, a graph would be captured for ever.
        settings = {
            "device_id": str(number), "enable_cuda_graph": "1" if fixed else "0",
            "cudnn_conv_algo_search": "EXHAUSTIVE" if fixed else "HEURISTIC", "use_tf32": "0",
        }  # fmt: skip
        providers = [("CUDAExecutionProvider", settings), "CPUExecutionProvider"]
        try:
            # Each lane its own session: a session with CUDA graphs has one set of addresses.
            sessions = [
                onnxruntime_session(str(self.model.path), providers=providers) for _ in range(count if fixed else 1)
            ]
        except Exception as error:  # the library raises many kinds
            raise ModelError(f"{self.model.path}: ONNX Runtime cannot load it ({error})") from error
        if "CUDAExecutionProvider" not in sessions[0].get_providers():
            raise ModelError(
                f"{self.model.path}: ONNX Runtime {onnxruntime.__version__} fell back to the CPU; it wants the "
                "CUDA and cuDNN it was built for: pip install 'onnxruntime-gpu[cuda,cudnn]'"
            )
        return [BoundLane(sessions[index % len(sessions)], number, graphs=fixed) for index in range(count)]


@dataclasses.dataclass(frozen=True)
class _Bound:
    """Buffers on the device, at addresses that stay: a captured graph reads and writes there."""

    given: Any
    made: Any
    binding: Any
    options: Any


class BoundLane(Lane):
    """Device buffers for one batch; the session's call waits for the device, so a thread of the lane's own makes it.

    A captured graph is replayed whatever is bound, so each shape has a graph and buffers of its own, and a shape that
    was not seen before runs without one. Copies to and from the device are of pageable memory.
    """

    def __init__(self, session: Any, device: int, *, graphs: bool) -> None:
        self._session, self._device, self._graphs = session, device, graphs
        self._input, self._output = session.get_inputs()[0].name, session.get_outputs()[0].name
        self._thread = ThreadPoolExecutor(1)
        self._scratch: tuple[Shape, _Bound] | None = None
        self._kept: dict[Shape, _Bound] = {}
        self._seen: set[Shape] = set()
        self._future: Future[NDArray[np.generic]] | None = None

    def start(self, batch: NDArray[np.generic]) -> None:
        self._future = self._thread.submit(self._run, batch)

    def finish(self) -> NDArray[np.generic]:
        assert self._future is not None
        return self._future.result()

    def _run(self, batch: NDArray[np.generic]) -> NDArray[np.generic]:
        bound = self._bound_for(batch)
        bound.given.update_inplace(batch)
        self._session.run_with_iobinding(bound.binding, bound.options)
        return bound.made.numpy()

    def _bound_for(self, batch: NDArray[np.generic]) -> _Bound:
        shape = batch.shape
        if shape in self._kept:
            return self._kept[shape]
        if self._graphs and shape in self._seen and len(self._kept) < MOST_GRAPHS:
            self._scratch = None
            self._kept[shape] = self._bind(batch, len(self._kept) + 1)
            return self._kept[shape]
        self._seen.add(shape)
        if self._scratch is None or self._scratch[0] != shape:
            self._scratch = None  # freed before more is taken
            self._scratch = (shape, self._bind(batch, NO_GRAPH))
        return self._scratch[1]

    def _bind(self, batch: NDArray[np.generic], graph: int) -> _Bound:
        make = onnxruntime.OrtValue.ortvalue_from_shape_and_type
        given, made = (make(batch.shape, batch.dtype.type, "cuda", self._device) for _ in range(2))
        binding = self._session.io_binding()
        binding.bind_ortvalue_input(self._input, given)
        binding.bind_ortvalue_output(self._output, made)
        options = onnxruntime.RunOptions()
        if self._graphs:
            options.add_run_config_entry("gpu_graph_id", str(graph))
        return _Bound(given, made, binding, options)

    def close(self) -> None:
        self._thread.shutdown()
