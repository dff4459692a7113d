"""TensorRT and TensorRT-RTX: plans that nafnet-export built, on their own streams. Not run on hardware yet."""

from __future__ import annotations

import contextlib
import hashlib
import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

from nafnet.enginelog import log_of, reason
from nafnet.errors import DeviceMemoryError, ModelError, UsageError, speaks_of_memory
from nafnet.files import cache_folder, write_whole
from nafnet.planfile import refuse_foreign_plan
from nafnet.runtime.backends import presence
from nafnet.runtime.backends.cuda_memory import Cuda
from nafnet.runtime.backends.device_time import TimedBackend
from nafnet.runtime.backends.engine_lane import EngineLane
from nafnet.runtime.backends.lanes import Lane
from nafnet.runtime.backends.pending import Pending, Wired


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
        self._engine = self._deserialised(path.read_bytes())
        self._config = self._runtime_config()
        try:
            while len(self._lanes) < count:
                self._lanes.append(self._lane())
        except DeviceMemoryError:
            if not self._lanes:
                raise
            self.tell("the GPU's memory holds one execution context alone; going on with one batch at a time")
        return self._lanes

    def _deserialised(self, plan: bytes) -> Any:
        """The engine of a plan.

        Raises:
            DeviceMemoryError: the GPU's memory does not suffice.
            ModelError: the library cannot load it; the message says why.
        """
        assert self.model.spec.engine is not None
        log = log_of(self._trt)
        with log.errors_within() as errors:
            self._runtime = self._trt.Runtime(log.logger)
            # A plan that later versions load holds code for the host; it is our own, as the hash in its spec says.
            self._runtime.engine_host_code_allowed = self.model.spec.engine.version_compatible
            engine = self._runtime.deserialize_cuda_engine(plan)
        if engine is not None:
            return engine
        path, said = (
            self.model.path,
            f"{self.name} {self._trt.__version__} cannot load it on this GPU, {self._cuda.gpu}",
        )
        if speaks_of_memory(" ".join(errors)):
            raise DeviceMemoryError(f"{path}: {said} ({reason(errors)})")
        raise ModelError(f"{path}: {said} ({reason(errors)}); export it anew")

    def _lane(self) -> EngineLane:
        assert self.model.spec.engine is not None
        smallest, _, largest = self.model.spec.engine.profiles[0]
        return EngineLane(
            self._trt, self._cuda, self._engine, (smallest[0], largest[0]), self.model.spec.io, self.tell,
            self._config, captures=self._captures,
        )  # fmt: skip

    _captures: ClassVar[bool] = True
    """Whether what a lane queues is captured here."""

    def _runtime_config(self) -> Any:
        """How the engine is to be run; None leaves it to the library."""
        return None

    def stream_pending(self, batches: Iterator[Pending]) -> Iterator[Wired]:
        """As any; a batch that is smaller than those before it is filled up, so that their graph serves it."""
        try:
            yield from super().stream_pending(self._watched(batches))
        finally:
            self._fill_up_to(0)

    def _watched(self, batches: Iterator[Pending]) -> Iterator[Pending]:
        """Of shapes from before the stream nothing is known: their batches may have been too much for the memory."""
        largest: tuple[int, ...] = (0,)
        for batch in batches:
            same = largest[1:] == batch.shape[1:]
            self._fill_up_to(largest[0] if same else 0)
            yield batch
            largest = largest if same and largest[0] > batch.shape[0] else batch.shape

    def _fill_up_to(self, count: int) -> None:
        for lane in self._lanes:
            assert isinstance(lane, EngineLane)
            lane.fills_up_to = count

    _config: Any = None
    _engine: Any = None
    _runtime: Any = None

    def close(self) -> None:
        try:
            super().close()
        finally:
            self._forget()

    def _forget(self) -> None:
        """Let go of what the contexts were made of, once they are gone: the last that was made first."""
        self._config = None
        self._engine = None
        self._runtime = None


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
        kernels = config.create_runtime_cache()
        if kernels is None or not config.set_runtime_cache(kernels):
            self.tell("TensorRT-RTX takes no cache of kernels: it compiles them at each start")
            return config
        with contextlib.suppress(OSError, UsageError):
            blob = self._cache_file().read_bytes()
            self._kept = blob if kernels.deserialize(blob) else b""  # else they are compiled anew
        self._kernels = kernels
        return config

    def _cache_file(self) -> Path:
        assert self.model.spec.engine is not None
        key = (self.model.spec.engine.plan_sha256, self._trt.__version__, str(self._cuda.gpu), presence.cuda_driver())
        return cache_folder("tensorrt-rtx") / f"{hashlib.sha256(repr(key).encode()).hexdigest()[:32]}.kernels"

    _kernels: Any = None
    _kept: bytes = b""

    def _forget(self) -> None:
        """As any; the contexts compile until they are gone, and need the cache for as long.

        (NVIDIA, TensorRT-Edge-LLM, RtxRuntimeCache: it must outlive every context, and is serialised after them.)
        """
        self._keep_kernels()
        self._config = None
        self._kernels = None
        super()._forget()

    def _keep_kernels(self) -> None:
        compiled = self._kernels.serialize() if self._kernels is not None else None  # None where it fails
        if compiled is not None and (blob := bytes(compiled)) != self._kept:
            with contextlib.suppress(OSError, UsageError):
                write_whole(self._cache_file(), blob)
