"""What a result was measured on: hardware, versions, date, clocks, temperatures and power."""

from __future__ import annotations

import contextlib
import os
import platform
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from nafnet.benchmarks import gpu

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
    versions = {}
    for name in LIBRARIES:
        with contextlib.suppress(PackageNotFoundError):
            versions[name] = version(name)
    return {
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "memory_gib": _memory(),
        "gpu": gpu.query("name,driver_version,memory.total", gpu.gpu_uuid()),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "versions": versions,
    }


def cores() -> int:
    """That this process may use, which in a container are fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def readings() -> dict[str, float]:
    """Clocks in MHz, temperatures in degrees Celsius, power in watts, load: what can be read here, by name."""
    found: dict[str, float] = {}
    clocks = [float(line.split(":")[1]) for line in _lines("/proc/cpuinfo") if line.startswith("cpu MHz")]
    if clocks:
        found["CPU MHz"] = sum(clocks) / len(clocks)
    for zone in sorted(Path("/sys/class/thermal").glob("thermal_zone*")):
        with contextlib.suppress(OSError, ValueError):
            kind = (zone / "type").read_text(encoding="ascii").strip()
            found[f"{kind} C"] = int((zone / "temp").read_text(encoding="ascii")) / 1000
    with contextlib.suppress(OSError):
        found["load"] = os.getloadavg()[0]
    found |= gpu.readings(gpu.gpu_uuid())
    return {name: round(value, 2) for name, value in found.items()}


def _processor() -> str:
    named = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in _lines("/proc/cpuinfo"))}
    if not named:
        return platform.processor() or "unknown"
    model, family = named.get("model name", "unknown"), named.get("model")
    return f"{model} (model {family})" if family else model


def _memory() -> float | None:
    for line in _lines("/proc/meminfo"):
        if line.startswith("MemTotal"):
            return round(int(line.split()[1]) / 2**20, 1)
    return None


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
