"""ONNX Runtime on the CPU."""

from __future__ import annotations

import onnxruntime

from nafnet.errors import ModelError
from nafnet.runtime.backends.base import Backend, Batch, Model


class OnnxRuntimeBackend(Backend):
    """Runs an ONNX file with ONNX Runtime's CPU provider."""

    name = "onnxruntime"

    def __init__(self, model: Model, threads: int | None) -> None:
        super().__init__(model, threads)
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        if threads:
            options.intra_op_num_threads = threads
        try:
            self._session = onnxruntime.InferenceSession(
                str(model.path), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # the library raises many kinds
            raise ModelError(f"{model.path}: ONNX Runtime cannot load it ({error})") from error
        self._input = self._session.get_inputs()[0].name

    @property
    def description(self) -> str:
        return f"ONNX Runtime {onnxruntime.__version__}, CPU"

    def _run(self, batch: Batch) -> Batch:
        restored: Batch = self._session.run(None, {self._input: batch})[0]
        return restored
