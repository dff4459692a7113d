"""OpenVINO on the CPU."""

from __future__ import annotations

from typing import Any

import openvino

from nafnet.errors import ModelError
from nafnet.runtime.backends.base import Backend, Batch, Model


class OpenVinoBackend(Backend):
    """Runs an ONNX file with OpenVINO's CPU plugin, in fp32."""

    name = "openvino"

    def __init__(self, model: Model, threads: int | None) -> None:
        super().__init__(model, threads)
        # Without the hint the plugin picks bf16 on CPUs that have it, and parity with PyTorch is gone.
        settings: dict[str, Any] = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"}
        if threads:
            settings["INFERENCE_NUM_THREADS"] = threads
        try:
            self._request = openvino.Core().compile_model(str(model.path), "CPU", settings).create_infer_request()
        except Exception as error:  # the library raises RuntimeError for all that can go wrong
            raise ModelError(f"{model.path}: OpenVINO cannot load it ({error})") from error

    @property
    def description(self) -> str:
        return f"OpenVINO {openvino.__version__.split('-')[0]}, CPU"

    def _run(self, batch: Batch) -> Batch:
        # Copied: the request's own buffer is overwritten by the next call.
        self._request.infer({0: batch}, share_inputs=True)
        restored: Batch = self._request.get_output_tensor(0).data.copy()
        return restored
