"""What this machine has, found out without loading an inference library."""

from __future__ import annotations

import ctypes
import functools
import importlib.util
from pathlib import Path


@functools.cache
def cuda_devices() -> int:
    """How many CUDA devices the driver lists; 0 without a driver."""
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return 0
    count = ctypes.c_int(0)
    if driver.cuInit(0) or driver.cuDeviceGetCount(ctypes.byref(count)):
        return 0
    return count.value


def no_cuda() -> str | None:
    """Words, unless there is a CUDA device."""
    return None if cuda_devices() else "no NVIDIA GPU, or no driver for it"


def no_cuda_provider() -> str | None:
    """Words, unless there is a CUDA device and ONNX Runtime's provider for it."""
    if missing := no_cuda():
        return missing
    found = importlib.util.find_spec("onnxruntime")
    places = found.submodule_search_locations if found else None
    if places and any(Path(place, "capi", "libonnxruntime_providers_cuda.so").is_file() for place in places):
        return None
    return "the onnxruntime installed is the one for CPUs: pip install onnxruntime-gpu in its place"


def no_openvino_gpu() -> str | None:
    """Words, unless there is a device that OpenVINO's GPU plugin could drive."""
    return None if any(Path("/dev/dri").glob("renderD*")) else "no Intel GPU (/dev/dri has no render device)"


@functools.cache
def cuda_driver() -> int:
    """The version of CUDA that the driver has, as 13010 for 13.1; 0 without a driver."""
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return 0
    version = ctypes.c_int(0)
    return 0 if driver.cuDriverGetVersion(ctypes.byref(version)) else version.value
