"""OpenVINO on the CPU, and on Intel's GPUs."""

from __future__ import annotations

import os
import queue
import threading
from typing import Any, ClassVar, Literal

import numpy as np

from nafnet.errors import ModelError
from nafnet.runtime.backends.base import Backend, Run, Shape
from nafnet.runtime.backends.compiled_cache import compiled_folder, forget
from nafnet.runtime.backends.model import Model
from nafnet.runtime.backends.pending import Wired
from nafnet.sessions import openvino_core, openvino_settings, openvino_version


def _infer(request: Any, batch: Wired) -> Wired:
    request.infer({0: batch}, share_inputs=True)
    # Copied: the request's own buffer is overwritten by the next call.
    restored: Wired = request.get_output_tensor(0).data.copy()
    return restored


MOST_SIDE_BY_SIDE = 4
"""Tiles at work at once; each takes memory of its own."""


class OpenVinoBackend(Backend):
    """Runs an ONNX file with OpenVINO's CPU plugin, in fp32.

    A tile that is alone gets all threads. Where tiles of one shape come in a long stream, each of a few gets its share
    of the threads: they wait less for each other than the threads of a single one do.
    """

    name = "openvino"
    precision: ClassVar[Literal["f32", "bf16"]] = "f32"

    def __init__(self, model: Model, threads: int | None, device: str = "cpu") -> None:
        cores = threads or os.cpu_count() or 1
        self.at_once = min(cores, MOST_SIDE_BY_SIDE) if device == "cpu" else 1
        self._counting, self._turn = threading.Lock(), threading.Lock()
        self._active = 0
        self._side_by_side: tuple[Shape, Run] | None = None
        super().__init__(model, threads, device)

    @property
    def place(self) -> str:
        """The device as OpenVINO names it."""
        return self.device.upper().replace(":", ".")

    @property
    def description(self) -> str:
        return f"OpenVINO {openvino_version()}, {self.place}"

    def _load(self, shape: Shape | None) -> Run:
        try:
            request = self._compiled(shape, self._settings).create_infer_request()
        except Exception as error:  # the library raises RuntimeError for all that can go wrong
            raise ModelError(f"{self.model.path}: OpenVINO cannot load it ({error})") from error

        def run(batch: Wired) -> Wired:
            return _infer(request, batch)

        return run

    def _run(self, given: Wired) -> Wired:
        with self._counting:
            self._active += 1
            alone = self._active == 1
        try:
            several = self._side_by_side
            if not alone and several is not None and several[0] == given.shape:
                return several[1](given)
            with self._turn:
                return super()._run(given)
        finally:
            with self._counting:
                self._active -= 1

    def _prepare_if_same(self, given: Wired) -> None:
        if self._active == 1:
            super()._prepare_if_same(given)
            return
        try:
            run = self._load_side_by_side(given.shape)
        except Exception:  # there is no memory for a second copy, for one: it goes on without
            return
        if np.array_equal(run(given), self._any_shape(given)):
            self._side_by_side = (given.shape, run)

    def _load_side_by_side(self, shape: Shape) -> Run:
        """Requests that share the threads, each of which any thread may use."""
        compiled = self._compiled(shape, {**self._settings, "NUM_STREAMS": self.at_once})
        requests: queue.SimpleQueue[Any] = queue.SimpleQueue()
        for _ in range(self.at_once):
            requests.put(compiled.create_infer_request())

        def run(batch: Wired) -> Wired:
            request = requests.get()
            try:
                return _infer(request, batch)
            finally:
                requests.put(request)

        return run

    def close(self) -> None:
        super().close()
        self._side_by_side = None

    @property
    def _settings(self) -> dict[str, Any]:
        settings = openvino_settings(self.precision)
        if self.threads and self.place == "CPU":
            settings["INFERENCE_NUM_THREADS"] = self.threads
        return settings

    def _compiled(self, shape: Shape | None, settings: dict[str, Any]) -> Any:
        """The model compiled for a shape, or for any: by an earlier run, if it is still there and whole."""
        core, path = openvino_core(), self.model.path.resolve()
        model: Any = path
        if shape:
            model = core.read_model(path)
            model.reshape(list(shape))
        key = (self.model.sha256, str(path), shape, self.place, sorted(settings.items()), openvino_version())
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
    precision: ClassVar[Literal["f32", "bf16"]] = "bf16"
    reduced_to = "bf16"

    @property
    def description(self) -> str:
        return f"{super().description} in bf16"


class OpenVinoGpuBackend(OpenVinoBackend):
    """The same on an Intel GPU, in fp32. Not run on hardware yet."""

    name = "openvino-gpu"
    beside_cpu = True
