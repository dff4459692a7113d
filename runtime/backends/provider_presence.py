"""What ONNX Runtime's providers for GPUs lack on this machine, in words; found out without loading one."""

from __future__ import annotations

import importlib.util
import os

from nafnet.runtime.backends import onnxruntime_builds
from nafnet.system import SYSTEM, nvidia

WEBGPU_PLUGIN = "onnxruntime_ep_webgpu"
RTX_PLUGIN = "onnxruntime_ep_nv_tensorrt_rtx"
"""The import names of what is installed beside ONNX Runtime's plain build."""
PLUGINS = ("onnxruntime-ep-webgpu", "onnxruntime-ep-nv-tensorrt-rtx-cu12", "onnxruntime-ep-nv-tensorrt-rtx-cu13")
"""The same as pip lists them."""
VULKAN_DRIVERS = ("VK_DRIVER_FILES", "VK_ICD_FILENAMES", "VK_ADD_DRIVER_FILES")
"""Variables by which somebody names a driver, see Vulkan's loader: it need not be of a GPU."""
_MIGRAPHX = "libmigraphx_c.so.3"
"""Of ROCm 6 and 7."""


def has_plugin(module: str) -> bool:
    """Whether a plugin is installed, by its import name."""
    return importlib.util.find_spec(module) is not None


def no_webgpu() -> str | None:
    """Words, unless there may be a GPU, and ONNX Runtime has WebGPU, by its plugin or in its own build."""
    if not SYSTEM.may_have_graphics() and not any(os.environ.get(name) for name in VULKAN_DRIVERS):
        return "no GPU (the system lists no render device)"  # whoever has none is not told to install for one
    return onnxruntime_builds.no_onnxruntime() or _no_webgpu_provider() or _no_vulkan()


def _no_webgpu_provider() -> str | None:
    if has_plugin(WEBGPU_PLUGIN):
        return None
    if "onnxruntime-webgpu" in onnxruntime_builds.installed_builds():
        return onnxruntime_builds.not_the_build("onnxruntime-webgpu", "WebGPU", "webgpu")
    return "ONNX Runtime's plugin for WebGPU is not installed: pip install 'nafnet-toolchain[webgpu]'"


def _no_vulkan() -> str | None:
    if SYSTEM.vulkan is None or onnxruntime_builds.loads(SYSTEM.vulkan):
        return None
    return (
        f"{SYSTEM.vulkan} is missing, by which WebGPU reaches the GPU: install Vulkan's loader "
        "(on Debian and Ubuntu apt install libvulkan1)"
    )


def no_directml() -> str | None:
    """Words, unless this is Windows, with ONNX Runtime's build for DirectML."""
    if "directml" not in SYSTEM.inference:
        return "DirectML is a part of Windows"
    build = onnxruntime_builds.not_the_build("onnxruntime-directml", "DirectML", "directml")
    return onnxruntime_builds.no_onnxruntime() or build


def no_coreml() -> str | None:
    """Words, unless this is macOS; there ONNX Runtime's plain build has it."""
    if "coreml" not in SYSTEM.inference:
        return "Core ML is a part of macOS"
    return onnxruntime_builds.no_onnxruntime()


def no_migraphx() -> str | None:
    """Words, unless there are a GPU that ROCm drives, ROCm itself, and ONNX Runtime's build for it."""
    if "migraphx" not in SYSTEM.inference:
        return "ONNX Runtime's build for MIGraphX is for Linux"
    if not SYSTEM.may_have_rocm():
        return "no AMD GPU, or no driver for it (amdkfd)"
    build = onnxruntime_builds.not_the_build("onnxruntime-migraphx", "MIGraphX", "migraphx")
    return onnxruntime_builds.no_onnxruntime() or build or _no_rocm()


def _no_rocm() -> str | None:
    if onnxruntime_builds.loads(_MIGRAPHX):
        return None
    return f"{_MIGRAPHX} is missing: install ROCm, and in it the package migraphx, as AMD's documents say"


def no_rtx_plugin() -> str | None:
    """Words, unless there are an NVIDIA GPU, a driver for it, and the plugin."""
    if device := nvidia.no_cuda():
        return device
    if not has_plugin(RTX_PLUGIN):
        command = "pip install 'nafnet-toolchain[onnx-tensorrt-rtx]'"
        return f"ONNX Runtime's plugin for TensorRT-RTX is not installed: {command}"
    names = {f"onnxruntime-ep-nv-tensorrt-rtx-cu{major}": major for major in nvidia.DRIVERS}
    found = {name: major for name, major in names.items() if nvidia.installed_version(name)}
    old = nvidia.old_driver(*next(iter(found.items()))) if len(found) == 1 else None
    return onnxruntime_builds.no_onnxruntime() or old
