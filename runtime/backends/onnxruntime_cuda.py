"""ONNX Runtime on a CUDA device: inputs and outputs bound to device memory, CUDA graphs. Not run on hardware yet."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
import onnxruntime
from nafnet.runtime.backends.lanes import Lane, LaneBackend
from numpy.typing import NDArray

from nafnet.errors import ModelError
from nafnet.onnxfile import HARMFUL_OPTIMIZERS


class OnnxRuntimeCudaBackend(LaneBackend):
    """Runs an ONNX file with ONNX Runtime's CUDA provider."""

    name = "onnxruntime-cuda"

    @property
    def description(self) -> str:
        return f"ONNX Runtime {onnxruntime.__version__}, {self.device}"

    def make_lanes(self, count: int) -> list[Lane]:
        number = int(self.device.partition(":")[2] or 0)
        fixed = self.model.spec.fixed_shape
        # A graph is captured for each shape it meets, so where tiles have many shapes it would be captured for ever.
        settings = {
            "device_id": str(number), "enable_cuda_graph": "1" if fixed else "0",
            "cudnn_conv_algo_search": "EXHAUSTIVE" if fixed else "HEURISTIC", "use_tf32": "0",
        }  # fmt: skip
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        providers = [("CUDAExecutionProvider", settings), "CPUExecutionProvider"]
        try:
            # Each lane its own session: a session with CUDA graphs has one set of addresses.
            sessions = [
                onnxruntime.InferenceSession(
                    str(self.model.path), options, providers, disabled_optimizers=HARMFUL_OPTIMIZERS
                )
                for _ in range(count if fixed else 1)
            ]
        except Exception as error:  # the library raises many kinds
            raise ModelError(f"{self.model.path}: ONNX Runtime cannot load it ({error})") from error
        if "CUDAExecutionProvider" not in sessions[0].get_providers():
            raise ModelError(
                f"{self.model.path}: ONNX Runtime {onnxruntime.__version__} fell back to the CPU; it wants the "
                "CUDA and cuDNN it was built for: pip install 'onnxruntime-gpu[cuda,cudnn]'"
            )
        return [BoundLane(sessions[index % len(sessions)], number) for index in range(count)]


class BoundLane(Lane):
    """Device buffers for one batch; the session's call waits for the device, so a thread of the lane's own makes it."""

    def __init__(self, session: Any, device: int) -> None:
        self._session, self._device = session, device
        self._input, self._output = session.get_inputs()[0].name, session.get_outputs()[0].name
        self._thread = ThreadPoolExecutor(1)
        self._shape: tuple[int, ...] = ()
        self._future: Future[NDArray[np.generic]] | None = None

    def start(self, batch: NDArray[np.generic]) -> None:
        self._future = self._thread.submit(self._run, batch)

    def finish(self) -> NDArray[np.generic]:
        assert self._future is not None
        return self._future.result()

    def _run(self, batch: NDArray[np.generic]) -> NDArray[np.generic]:
        if batch.shape != self._shape:
            self._bind(batch)
        self._given.update_inplace(batch)
        self._session.run_with_iobinding(self._binding)
        return self._made.numpy()

    def _bind(self, batch: NDArray[np.generic]) -> None:
        """Buffers on the device, at addresses that stay: a captured graph reads and writes there."""
        make = onnxruntime.OrtValue.ortvalue_from_shape_and_type
        self._given = make(batch.shape, batch.dtype.type, "cuda", self._device)
        self._made = make(batch.shape, batch.dtype.type, "cuda", self._device)
        self._binding = self._session.io_binding()
        self._binding.bind_ortvalue_input(self._input, self._given)
        self._binding.bind_ortvalue_output(self._output, self._made)
        self._shape = batch.shape

    def close(self) -> None:
        self._thread.shutdown()
