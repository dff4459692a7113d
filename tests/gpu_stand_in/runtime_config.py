"""TensorRT's configuration of a run, and TensorRT-RTX's cache of compiled kernels."""

from __future__ import annotations

import json
import weakref
from typing import Any

from tests.gpu_stand_in.device import Device

CACHE = "TensorRT-Edge-LLM, RtxRuntimeCache: it must outlive every context, and is serialised after them"


class RuntimeCache:
    """Compiled kernels of TensorRT-RTX."""

    def __init__(self, device: Device) -> None:
        self._device, self._stamp = device, f"{device.name} {device.capability}"
        self.known: set[str] = set()
        self.users: weakref.WeakSet[Any] = weakref.WeakSet()
        """The contexts that compile into it."""

    def serialize(self) -> bytes | None:
        if self.users:
            self._device.broke("a cache of kernels is serialised while a context compiles into it", CACHE)
        if self._device.refuses_cache == "serialize":
            return None
        return json.dumps([self._stamp, sorted(self.known)]).encode()

    def deserialize(self, blob: bytes) -> bool:
        try:
            stamp, known = json.loads(bytes(blob))
        except ValueError:
            return False
        if stamp == self._stamp:
            self.known |= set(known)
        return bool(stamp == self._stamp)


class RuntimeConfig:
    """`trt.IRuntimeConfig`: TensorRT's has no strategies, and no assignment makes it have them."""

    def __init__(self, trt: Any) -> None:
        self._trt = trt
        self._cache: RuntimeCache | None = None
        if trt.flavour == "tensorrt-rtx":
            self.cuda_graph_strategy = trt.CudaGraphStrategy.DISABLED
            self.dynamic_shapes_kernel_specialization_strategy = trt.DynamicShapesKernelSpecializationStrategy.LAZY

    def create_runtime_cache(self) -> RuntimeCache | None:
        if self._trt.device.refuses_cache == "create":
            return None
        return RuntimeCache(self._trt.device)

    def set_runtime_cache(self, cache: RuntimeCache) -> bool:
        if self._trt.device.refuses_cache == "set":
            return False
        self._cache = cache
        return True

    def get_runtime_cache(self) -> RuntimeCache | None:
        return self._cache
