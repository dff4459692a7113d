"""NVIDIA's driver, and the CUDA that the installed wheels are for: found out without loading an inference library."""

from __future__ import annotations

import ctypes
import functools
import importlib.metadata
import importlib.util
import re
import subprocess
from pathlib import Path

from nafnet.system import SYSTEM

# NVIDIA, CUDA Toolkit release notes, table 3: the oldest driver for Linux with each major version. Within one, any
# driver runs what was built for any minor version.
DRIVERS = {12: 525, 13: 580}


@functools.cache
def _driver() -> ctypes.CDLL | None:
    """NVIDIA's, which comes with no wheel."""
    try:
        return ctypes.CDLL(SYSTEM.cuda_driver)
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


def smi(*words: str) -> list[str]:
    """What NVIDIA's tool prints: a line for each GPU, or process, with the fields that were asked for, without units.

    Args:
        words: for `nvidia-smi`, as --query-gpu=name.

    Returns:
        None of them where it is not installed, fails, or does not answer.
    """
    try:
        done = subprocess.run(
            ["nvidia-smi", *words, "--format=csv,noheader,nounits"],
            capture_output=True, text=True, check=True, timeout=20,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return []
    return [line.strip() for line in done.stdout.splitlines() if line.strip()]


def no_cuda() -> str | None:
    """Words, unless there is a CUDA device."""
    return None if cuda_devices() else "no NVIDIA GPU, or no driver for it"


def old_driver(what: str, major: int | None) -> str | None:
    """Words, if the driver knows less than this major version of CUDA, which `what` is built for.

    Where either is not known, nothing is held against it.
    """
    driver = cuda_driver()
    if not driver or major is None or driver // 1000 >= major:
        return None
    needs = f"driver {DRIVERS[major]} or newer" if major in DRIVERS else "a newer driver"
    return f"the driver is of CUDA {driver // 1000}.{driver % 1000 // 10}; {what} needs {major} ({needs})"


def no_cuda_for_torch() -> str | None:
    """Words, unless there are a CUDA device, a PyTorch that was built with CUDA, and a driver for it."""
    if missing := no_cuda():
        return missing  # whoever has no GPU is not told to install for one
    told = _torch_version()
    if told is None:
        return None
    version, cuda = told
    if cuda is None:
        return (
            f"PyTorch {version} is built without CUDA: pip uninstall -y torch, then install the build for CUDA that "
            "https://pytorch.org/get-started/locally names"
        )
    return old_driver(f"PyTorch {version}", int(cuda.partition(".")[0]))


def _torch_version() -> tuple[str, str | None] | None:
    """PyTorch's own version and its CUDA's, None for a build without; read from its file, for its import takes seconds.

    None where that file is not as expected.
    """
    spec = importlib.util.find_spec("torch")
    told = Path(spec.origin).with_name("version.py") if spec and spec.origin else None
    if told is None or not told.is_file():
        return None
    text = told.read_text(encoding="utf-8")
    version = re.search(r"^__version__ *= *'([^']+)'", text, re.MULTILINE)
    cuda = re.search(r"^cuda\b[^=\n]*= *(?:'([\d.]+)'|None)", text, re.MULTILINE)
    return (version[1], cuda[1]) if version and cuda else None


def old_tensorrt_driver(flavour: str) -> str | None:
    """Words, if the driver is too old for the installed wheels.

    Args:
        flavour: tensorrt or tensorrt-rtx.
    """
    ends = ("", "-bindings", "-libs")
    found = {name: major for major in DRIVERS for end in ends if installed_version(name := f"{flavour}-cu{major}{end}")}
    if len(set(found.values())) != 1:
        return None  # both, or it did not come by pip
    return old_driver(*next(iter(found.items())))


def no_cuda_for_tensorrt(flavour: str) -> str | None:
    """Words, unless there are a CUDA device, a driver for the installed wheels, and cuda-bindings.

    Args:
        flavour: tensorrt or tensorrt-rtx.
    """
    return no_cuda() or old_tensorrt_driver(flavour) or _no_bindings(flavour)


def _no_bindings(flavour: str) -> str | None:
    try:
        there = importlib.util.find_spec("cuda.bindings") is not None
    except ModuleNotFoundError:
        there = False
    if not there:
        return f"cuda-bindings is not installed: pip install 'nafnet-toolchain[{flavour}]'"
    version = installed_version("cuda-bindings")
    fault = old_driver(f"cuda-bindings {version}", int(version.partition(".")[0])) if version else None
    return f"{fault}, or pip install 'cuda-bindings<{cuda_driver() // 1000 + 1}'" if fault else None


def installed_version(name: str) -> str | None:
    """The version of a distribution, as pip lists it; None where it lists none."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None
