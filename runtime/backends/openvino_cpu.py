"""OpenVINO on the CPU, and on Intel's GPUs."""

from __future__ import annotations

import functools
import importlib
import sys
from typing import Any, ClassVar

import numpy as np
from nafnet.runtime.backends.base import Backend, Run, Shape
from nafnet.runtime.backends.compiled_cache import compiled_folder, forget
from numpy.typing import NDArray

from nafnet.errors import ModelError


def _without_telemetry() -> Any:
    """OpenVINO, which when imported reports to its makers from a forked process; that can hang, and is not ours to do.

    A module that is None in `sys.modules` cannot be imported, and OpenVINO then does without it.
    """
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    return importlib.import_module("openvino")


openvino = _without_telemetry()


@functools.cache
def _core() -> Any:
    """One for the process, never freed.

    On CPUs with AMX a core gives its thread a stack for signals and at its end the one before, which, where two cores
    end in the order in which they came, is memory that was freed: the next signal kills the process.
    """
    return openvino.Core()


class OpenVinoBackend(Backend):
    """Runs an ONNX file with OpenVINO's CPU plugin, in fp32."""

    name = "openvino"
    precision: ClassVar[str] = "f32"

    @property
    def place(self) -> str:
        """The device as OpenVINO names it."""
        return self.device.upper().replace(":", ".")

    @property
    def description(self) -> str:
        return f"OpenVINO {openvino.__version__.split('-')[0]}, {self.place}"

    def _load(self, shape: Shape | None) -> Run:
        # Without the hint the plugin picks bf16 on CPUs that have it, and parity with PyTorch is gone.
        settings: dict[str, Any] = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": self.precision}
        if self.threads and self.place == "CPU":
            settings["INFERENCE_NUM_THREADS"] = self.threads
        try:
            request = self._compiled(shape, settings).create_infer_request()
        except Exception as error:  # the library raises RuntimeError for all that can go wrong
            raise ModelError(f"{self.model.path}: OpenVINO cannot load it ({error})") from error

        def run(batch: NDArray[np.generic]) -> NDArray[np.generic]:
            request.infer({0: batch}, share_inputs=True)
            # Copied: the request's own buffer is overwritten by the next call.
            restored: NDArray[np.generic] = request.get_output_tensor(0).data.copy()
            return restored

        return run

    def _compiled(self, shape: Shape | None, settings: dict[str, Any]) -> Any:
        """The model compiled for a shape, or for any: by an earlier run, if it is still there and whole."""
        core, path = _core(), self.model.path.resolve()
        model: Any = path
        if shape:
            model = core.read_model(path)
            model.reshape(list(shape))
        key = (self.model.sha256, str(path), shape, self.place, sorted(settings.items()), openvino.__version__)
        with compiled_folder(*key) as folder:
            if folder is None:
                return core.compile_model(model, self.place, settings)
            expected = any(folder.iterdir())
            compiled = core.compile_model(model, self.place, {**settings, "CACHE_DIR": str(folder)})
            if expected and not compiled.get_property("LOADED_FROM_CACHE"):
                forget(folder)  # it wants another now, for instance for the file's new date, and has put it beside
            return compiled


class OpenVinoBfloat16Backend(OpenVinoBackend):
    """The same in bfloat16, for CPUs that have it: about twice as fast, and 50 to 57 dB from fp32."""

    name = "openvino-bf16"
    precision = "bf16"

    @property
    def description(self) -> str:
        return f"{super().description} in bf16"


class OpenVinoGpuBackend(OpenVinoBackend):
    """The same on an Intel GPU, in fp32. Not run on hardware yet."""

    name = "openvino-gpu"
