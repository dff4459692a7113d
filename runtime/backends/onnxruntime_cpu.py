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
        if shape is None:
            session = self._session({})
            self._taken = session.get_inputs()[0]
        else:
            # With fixed sizes it knows which images are of one shape, and keeps its blocked layout between layers.
            free = zip(self._taken.shape, shape, strict=True)
            session = self._session({name: size for name, size in free if isinstance(name, str)})
        taken = self._taken.name

        def run(batch: NDArray[np.generic]) -> NDArray[np.generic]:
            restored: NDArray[np.generic] = session.run(None, {taken: batch})[0]
            return restored

        return run

    def _session(self, fixed: dict[str, int]) -> onnxruntime.InferenceSession:
        try:
            return onnxruntime_session(str(self.model.path), self._options(fixed))
        except Exception as error:  # the library raises many kinds
            raise ModelError(f"{self.model.path}: ONNX Runtime cannot load it ({error})") from error

    def _options(self, fixed: dict[str, int]) -> onnxruntime.SessionOptions:
        """Of a session whose free dimensions are fixed by their names."""
        options = onnxruntime.SessionOptions()
        if self.threads:
            options.intra_op_num_threads = self.threads
        for name, size in fixed.items():
            options.add_free_dimension_override_by_name(name, size)
        return options
