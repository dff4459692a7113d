"""What this machine has, found out without loading an inference library."""

from __future__ import annotations

import ctypes
import functools
import os
import subprocess
import sys
from pathlib import Path


@functools.cache
def _driver() -> ctypes.CDLL | None:
    """NVIDIA's, which comes with no wheel."""
    try:
        return ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
    except OSError:
        return None


@functools.cache
def cuda_devices() -> int:
    """How many CUDA devices the driver lists; 0 without a driver."""
    driver, count = _driver(), ctypes.c_int(0)
    if driver is None or driver.cuInit(0) or driver.cuDeviceGetCount(ctypes.byref(count)):
        return 0
    return count.value


@functools.cache
def cuda_driver() -> int:
    """The version of CUDA that the driver has, as 13010 for 13.1; 0 without a driver."""
    driver, version = _driver(), ctypes.c_int(0)
    if driver is None or driver.cuDriverGetVersion(ctypes.byref(version)):
        return 0
    return version.value


@functools.cache
def gpu_identity() -> tuple[str, ...]:
    """What decides which kernels run on a device beside its library: of each GPU its unique number, of the driver its
    build. Empty where neither can be found out: then nothing may be taken for the same as before."""
    try:
        found = subprocess.run(
            ["nvidia-smi", "--query-gpu=uuid,name,driver_version", "--format=csv,noheader"],
            capture_output=True, text=True, check=True, timeout=20,
        ).stdout.splitlines()  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return ()
    return (*found, str(cuda_driver()), os.environ.get("CUDA_VISIBLE_DEVICES", ""))


def no_cuda() -> str | None:
    """Words, unless there is a CUDA device."""
    return None if cuda_devices() else "no NVIDIA GPU, or no driver for it"


def no_openvino_gpu() -> str | None:
    """Words, unless there is a device that OpenVINO's GPU plugin could drive."""
    return None if any(Path("/dev/dri").glob("renderD*")) else "no Intel GPU (/dev/dri has no render device)"
