"""TensorRT and TensorRT-RTX: plans that nafnet-export built, on their own streams. Not run on hardware yet."""

from __future__ import annotations

import contextlib
import hashlib
import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

from nafnet.enginelog import log_of
from nafnet.errors import DeviceMemoryError, ModelError, UsageError
from nafnet.files import cache_folder, write_whole
from nafnet.planfile import refuse_foreign_plan
from nafnet.runtime.backends import presence
from nafnet.runtime.backends.cuda_memory import Cuda
from nafnet.runtime.backends.device_time import TimedBackend
from nafnet.runtime.backends.engine_lane import EngineLane
from nafnet.runtime.backends.lanes import Lane
from nafnet.wire import Batch


class TensorRtBackend(TimedBackend):
    """Runs a plan with TensorRT. Batches smaller than the plan's profile takes are filled up."""

    name = "tensorrt"
    module: ClassVar[str] = "tensorrt"

    @property
    def description(self) -> str:
        return f"{self.name} {self._trt.__version__}, {self._cuda.gpu.name}"

    def make_lanes(self, count: int) -> list[Lane]:
        path, spec = self.model.path, self.model.spec
        self._trt: Any = importlib.import_module(self.module)
        self._cuda = Cuda(int(self.device.partition(":")[2] or 0))
        refuse_foreign_plan(path, spec, flavour=self.name, version=self._trt.__version__, gpu=self._cuda.gpu)
        assert spec.engine is not None
        self.default_batch = spec.engine.profiles[0][1][0]  # a plan knows its own best one
        with log_of(self._trt).recording(None) as log:
            self._runtime = self._trt.Runtime(log.logger)
            # A plan that later versions load holds code for the host; it is our own, as the hash in its spec says.
            self._runtime.engine_host_code_allowed = spec.engine.version_compatible
            self._engine = self._runtime.deserialize_cuda_engine(path.read_bytes())
            if self._engine is None:
                raise ModelError(
                    f"{path}: {self.name} {self._trt.__version__} cannot load it on this GPU, {self._cuda.gpu} "
                    f"({log.last_error()}); export it anew"
                )
        self._config = self._runtime_config()
        self._lanes: list[Lane] = []
        with contextlib.suppress(DeviceMemoryError):  # where there is one lane, it goes on with that
            while len(self._lanes) < count:
                self._lanes.append(self._lane())
        if not self._lanes:
            raise DeviceMemoryError(f"{self.name} made no execution context for {path.name}; the GPU's memory is full")
        if len(self._lanes) < count:
            self.tell("the GPU's memory holds one execution context alone; going on with one batch at a time")
        return self._lanes

    def _lane(self) -> EngineLane:
        assert self.model.spec.engine is not None
        smallest, _, largest = self.model.spec.engine.profiles[0]
        return EngineLane(
            self._trt, self._cuda, self._engine, (smallest[0], largest[0]), self.tell, self._config,
            captures=self._captures,
        )  # fmt: skip

    _captures: ClassVar[bool] = True
    """Whether what a lane queues is captured here."""

    def _runtime_config(self) -> Any:
        """How the engine is to be run; None leaves it to the library."""
        return None

    def stream(self, batches: Iterator[Batch]) -> Iterator[Batch]:
        """As any; a batch that is smaller than those before it is filled up, so that their graph serves it."""
        try:
            yield from super().stream(self._watched(batches))
        finally:
            self._fill_up_to(0)

    def _watched(self, batches: Iterator[Batch]) -> Iterator[Batch]:
        """Of shapes from before the stream nothing is known: their batches may have been too much for the memory."""
        largest: tuple[int, ...] = (0,)
        for batch in batches:
            same = largest[1:] == batch.shape[1:]
            self._fill_up_to(largest[0] if same else 0)
            yield batch
            largest = largest if same and largest[0] > len(batch) else batch.shape

    def _fill_up_to(self, count: int) -> None:
        for lane in self._lanes:
            assert isinstance(lane, EngineLane)
            lane.fills_up_to = count

    def close(self) -> None:
        super().close()
        self._engine = self._runtime = self._config = None


class TensorRtRtxBackend(TensorRtBackend):
    """Runs a plan with TensorRT-RTX, which compiles kernels on the GPU that runs them.

    It captures graphs by itself, once its specialised kernels are compiled: a capture of ours would keep the slow ones
    that it begins with. What it compiled is kept, so that the next start has it at once.
    """

    name = "tensorrt-rtx"
    module = "tensorrt_rtx_bindings"
    _captures = False

    def _runtime_config(self) -> Any:
        config = self._engine.create_runtime_config()
        if hasattr(self._trt, "CudaGraphStrategy"):
            config.cuda_graph_strategy = self._trt.CudaGraphStrategy.WHOLE_GRAPH_CAPTURE
        self._kernels = config.create_runtime_cache()
        self._kept = b""
        with contextlib.suppress(OSError, UsageError):
            blob = self._cache_file().read_bytes()
            self._kept = blob if self._kernels.deserialize(blob) else b""  # else they are compiled anew
        config.set_runtime_cache(self._kernels)
        return config

    def _cache_file(self) -> Path:
        assert self.model.spec.engine is not None
        key = (self.model.spec.engine.plan_sha256, self._trt.__version__, str(self._cuda.gpu), presence.cuda_driver())
        return cache_folder("tensorrt-rtx") / f"{hashlib.sha256(repr(key).encode()).hexdigest()[:32]}.kernels"

    def close(self) -> None:
        if self._config is not None and (compiled := bytes(self._kernels.serialize())) != self._kept:
            with contextlib.suppress(OSError, UsageError):
                write_whole(self._cache_file(), compiled)
        self._kernels = None
        super().close()
