"""Which builds of ONNX Runtime are installed, and what the one for CUDA lacks; found out without loading one.

All its builds are distributions of different names that own one folder. pip does not know that they exclude each other:
the one installed last writes over the other's files, and the one uninstalled first takes the other's away.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib.metadata
import importlib.util
import re
from pathlib import Path

from nafnet.system import SYSTEM, nvidia

BUILDS = (
    "onnxruntime", "onnxruntime-gpu", "onnxruntime-directml", "onnxruntime-openvino", "onnxruntime-webgpu",
    "onnxruntime-qnn", "onnxruntime-migraphx", "onnxruntime-training",
)  # fmt: skip
CUDA_BUILD = "onnxruntime-gpu"
LAST_FOR_CUDA_12 = "<1.26"
"""Of CUDA_BUILD on PyPI: 1.25 names CUDA 12's wheels, later ones CUDA 13's."""


def installed_builds() -> dict[str, str]:
    """Those that pip lists beside the package's own files: name to version. One in another folder of Python's path is
    hidden by them, and writes over none."""
    place = folder()
    found = {}
    for name in BUILDS:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            build = importlib.metadata.distribution(name)
            if place is None or Path(str(build.locate_file(""))).resolve() == place.parent.resolve():
                found[name] = build.version
    return found


def folder() -> Path | None:
    """Where the package's own files are; None where there is none, or what an uninstalled build left of it."""
    found = importlib.util.find_spec("onnxruntime")
    return Path(found.origin).parent if found and found.origin else None


def no_onnxruntime() -> str | None:
    """Words, if the files are not there that pip says it installed."""
    if folder() is not None:
        return None
    names = list(installed_builds()) or ["onnxruntime"]
    return (
        f"the files of {' and '.join(names)} are gone, with another build that was uninstalled: "
        f"pip install --force-reinstall --no-deps {names[-1]}"
    )


def no_cuda_provider() -> str | None:
    """Words, unless there are a CUDA device, ONNX Runtime's provider for it, and the CUDA and cuDNN that it wants."""
    device = nvidia.no_cuda()
    if device and CUDA_BUILD not in installed_builds():
        return device  # whoever has no GPU is not told to install for one
    faults = [device, no_onnxruntime() or wrong_build() or old_driver() or no_cuda_libraries()]
    return "; ".join(fault for fault in faults if fault) or None


def not_the_build(build: str, what: str, extra: str) -> str | None:
    """Words, unless a build is installed, and alone.

    Args:
        build: of `BUILDS`.
        what: it is for, in words.
        extra: that brings it.
    """
    builds = installed_builds()
    right = f"pip uninstall -y {' '.join(builds)}, then pip install 'nafnet-toolchain[{extra}]'"
    if len(builds) > 1:
        return f"{' and '.join(builds)} are installed over each other: {right}"
    if builds and build not in builds:
        return f"{', '.join(builds)} is not the build for {what}: {right}"
    return None


def wrong_build() -> str | None:
    """Words, unless the build for CUDA is installed, and alone, and its provider is there."""
    if fault := not_the_build(CUDA_BUILD, "CUDA", "gpu"):
        return fault
    place, library = folder(), provider_library()
    if place is None or not (place / "capi" / library).is_file():
        return f"{library} is missing: pip install --force-reinstall --no-deps {CUDA_BUILD}"
    return None


def provider_library() -> str:
    """The file's name of the provider for CUDA."""
    return SYSTEM.library("onnxruntime_providers_cuda")


def cuda_version() -> str | None:
    """The CUDA that the installed files were built for, as 13.0; None for a build without."""
    place = folder()
    told = place / "capi" / "build_and_package_info.py" if place else None
    if told is None or not told.is_file():
        return None
    found = re.search(r"^cuda_version = '([\d.]+)'", told.read_text(encoding="utf-8"), re.MULTILINE)
    return found[1] if found else None


def old_driver() -> str | None:
    """Words, if the driver knows less than the major version of CUDA that the build is for."""
    built = cuda_version()
    fault = nvidia.old_driver(CUDA_BUILD, int(built.partition(".")[0]) if built else None)
    older = (
        f", or pip install '{CUDA_BUILD}[cuda,cudnn]{LAST_FOR_CUDA_12}'" if nvidia.cuda_driver() // 1000 == 12 else ""
    )
    return f"{fault}{older}" if fault else None


def no_cuda_libraries() -> str | None:
    """Words, if neither the wheels of CUDA and cuDNN nor cuDNN in the system's own places are there."""
    missing = [name for name in _wanted_wheels() if not nvidia.installed_version(name)]
    if not missing or loads(SYSTEM.cudnn):
        return None
    version = installed_builds().get(CUDA_BUILD)
    exactly = f"=={version}" if version else ""
    return f"CUDA and cuDNN are missing ({', '.join(missing)}): pip install '{CUDA_BUILD}[cuda,cudnn]{exactly}'"


def _wanted_wheels() -> list[str]:
    """What the build itself names as its CUDA and cuDNN."""
    try:
        wanted = importlib.metadata.requires(CUDA_BUILD) or []
    except importlib.metadata.PackageNotFoundError:
        return []
    named = (re.match(r"([\w.-]+).*extra == [\"'](?:cuda|cudnn)[\"']", line) for line in wanted)
    return [found[1] for found in named if found]


def loads(library: str) -> bool:
    """Whether the system's loader finds a shared library, by its file name."""
    try:
        ctypes.CDLL(library, winmode=0)  # on Windows as the provider is loaded: PATH counts, which Python leaves out
    except OSError:
        return False
    return True
