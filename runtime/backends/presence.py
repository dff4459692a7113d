"""What this machine has, found out without loading an inference library."""

from __future__ import annotations

import functools
import importlib.util
import os

from nafnet.sessions import openvino_devices
from nafnet.system import SYSTEM, nvidia
from nafnet.system.nvidia import cuda_devices, cuda_driver, no_cuda

__all__ = ["cuda_devices", "cuda_driver", "gpu_identity", "no_cuda", "no_openvino_gpu"]


@functools.cache
def gpu_identity() -> tuple[str, ...]:
    """What decides which kernels run on a device beside its library: of each GPU its unique number, of the driver its
    build. Empty where neither can be found out: then nothing may be taken for the same as before."""
    found = nvidia.smi("--query-gpu=uuid,name,driver_version")
    if not found:
        return ()
    return (*found, str(cuda_driver()), os.environ.get("CUDA_VISIBLE_DEVICES", ""))


def no_openvino_gpu() -> str | None:
    """Words, unless OpenVINO lists a GPU; where the system knows of none at all, OpenVINO is not asked."""
    if not SYSTEM.may_have_graphics():
        return "no Intel GPU (/dev/dri has no render device)"
    if importlib.util.find_spec("openvino") and not any(name.startswith("GPU") for name in openvino_devices()):
        return "no Intel GPU, or no driver for it: OpenVINO lists none"
    return None
