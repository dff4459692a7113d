"""What a result was measured on: hardware, versions, date, clocks, temperatures and power."""

from __future__ import annotations

import contextlib
import os
import sys
import time

import psutil

from nafnet.benchmarks import gpu
from nafnet.system import SYSTEM, nvidia

LIBRARIES = (
    "nafnet-toolchain",
    "torch",
    "onnx",
    "onnxruntime",
    "onnxruntime-gpu",
    "openvino",
    "tensorrt",
    "tensorrt-rtx-cu13-libs",
    "numpy",
    "pyvips",
)


def describe_machine() -> dict[str, object]:
    """Processor, cores, memory, GPU, operating system, Python, library versions and the date in UTC."""
    versions = {name: version for name in LIBRARIES if (version := nvidia.installed_version(name))}
    return {
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "processor": SYSTEM.processor(),
        "cores": os.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "gpu": gpu.query("name,driver_version,memory.total", gpu.gpu_uuid()),
        "system": SYSTEM.description,
        "python": ".".join(map(str, sys.version_info[:3])),
        "versions": versions,
    }


def readings() -> dict[str, float]:
    """Clocks in MHz, temperatures in degrees Celsius, power in watts, load: what can be read here, by name."""
    found: dict[str, float] = {}
    with contextlib.suppress(OSError, NotImplementedError):  # of what a virtual machine does not show
        if clock := psutil.cpu_freq():
            found["CPU MHz"] = clock.current
    with contextlib.suppress(OSError, AttributeError):  # psutil reads temperatures on Linux alone
        for kind, sensors in psutil.sensors_temperatures().items():
            found |= {f"{sensor.label or kind} C": sensor.current for sensor in sensors}
    with contextlib.suppress(OSError):
        found["load"] = psutil.getloadavg()[0]
    found |= gpu.readings(gpu.gpu_uuid())
    return {name: round(value, 2) for name, value in found.items()}
