"""What this machine has, found out without loading an inference library."""

from __future__ import annotations

import ctypes
import functools
import importlib.util
import os
from pathlib import Path

CPU_INFO = Path("/proc/cpuinfo")
# The library of kernels obeys the first of these that is not empty. OpenVINO does not: it asks the processor, in its
# list of capabilities too, and calls kernels that are not there. Its fp32 was right under each.
_LIMITS = ("ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA")
_WITHOUT_BFLOAT16 = ("sse41", "avx", "avx2", "avx2_vnni", "avx2_vnni_2")


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


def no_bfloat16() -> str | None:
    """Words, unless the CPU multiplies bfloat16 (AMX or AVX512_BF16), and OpenVINO's kernels may use that."""
    try:
        flags = CPU_INFO.read_text(encoding="ascii", errors="replace")
    except OSError:
        return "whether this CPU has bfloat16 is not known"
    if "amx_bf16" not in flags and "avx512_bf16" not in flags:
        return "this CPU has no bfloat16"
    limit = next(((name, value) for name in _LIMITS if (value := os.environ.get(name))), None)
    if limit is None or limit[1].lower() not in _WITHOUT_BFLOAT16:
        return None
    return f"{limit[0]}={limit[1]} is set, with which OpenVINO's bf16 fails or crashes on this CPU: unset it"
