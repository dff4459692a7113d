"""ONNX Runtime on the CPU."""

from __future__ import annotations

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from nafnet.errors import ModelError
from nafnet.runtime.backends.base import Backend, Run, Shape
from nafnet.sessions import onnxruntime_session


class OnnxRuntimeBackend(Backend):
    """Runs an ONNX file with ONNX Runtime's CPU provider."""

    name = "onnxruntime"

    @property
    def description(self) -> str:
        return f"ONNX Runtime {onnxruntime.__version__}, CPU"

    def _load(self, shape: Shape | None) -> Run:
        session = self._session({})
        taken = session.get_inputs()[0]
        if shape:
            # With fixed sizes it knows which images are of one shape, and keeps its blocked layout between layers.
            fixed = {name: size for name, size in zip(taken.shape, shape, strict=True) if isinstance(name, str)}
            session = self._session(fixed)

        def run(batch: NDArray[np.generic]) -> NDArray[np.generic]:
            restored: NDArray[np.generic] = session.run(None, {taken.name: batch})[0]
            return restored

        return run

    def _session(self, fixed: dict[str, int]) -> onnxruntime.InferenceSession:
        options = onnxruntime.SessionOptions()
        if self.threads:
            options.intra_op_num_threads = self.threads
        for name, size in fixed.items():
            options.add_free_dimension_override_by_name(name, size)
        try:
            return onnxruntime_session(str(self.model.path), options)
        except Exception as error:  # the library raises many kinds
            raise ModelError(f"{self.model.path}: ONNX Runtime cannot load it ({error})") from error
