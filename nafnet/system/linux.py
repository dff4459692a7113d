"""Linux."""

from __future__ import annotations

import contextlib
import ctypes
import os
import platform
from pathlib import Path

from nafnet.system import linux_graphics, linux_memory
from nafnet.system.interface import Adapter
from nafnet.system.linux_memory import lines
from nafnet.system.posix import Posix

CPU_INFO = Path("/proc/cpuinfo")
# Of mallopt(3).
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
_OLD_MOST = 2**25
"""The largest block that older versions of glibc can be told to keep."""


class Linux(Posix):
    """Of any distribution."""

    cuda_driver = "libcuda.so.1"
    cudnn = "libcudnn.so.9"
    vulkan = "libvulkan.so.1"
    inference = frozenset({"migraphx"})

    def available_memory(self) -> int | None:
        """Of the machine, the process's limit and its control groups, the least."""
        return linux_memory.available_bytes()

    def memory_limits(self) -> dict[str, int]:
        """Of `ulimit -v`, and of the control groups the least, as a container has one."""
        return linux_memory.memory_limits()

    def peak_memory(self) -> int:
        """Of address space."""
        return self._status("VmPeak:")

    def peak_resident(self) -> int:
        """Since this program began; `getrusage` would count the process that started it, too."""
        return self._status("VmHWM:")

    def _status(self, name: str) -> int:
        found = (line.split() for line in lines(Path("/proc/self/status")))
        return next((int(words[1]) * 1024 for words in found if words and words[0] == name), 0)

    def keep_memory(self, block: int, free: int) -> bool:
        """Only glibc can be told to; it cannot be taken back."""
        if platform.libc_ver()[0] != "glibc":
            return False
        mallopt = ctypes.CDLL(None).mallopt
        blocks = any(mallopt(_MMAP_THRESHOLD, most) for most in (block, min(block, _OLD_MOST)))
        return bool(mallopt(_TRIM_THRESHOLD, free)) and blocks

    def trim_memory(self) -> None:
        """See `System`; glibc alone has a call for it."""
        if platform.libc_ver()[0] == "glibc":
            ctypes.CDLL(None).malloc_trim(0)

    def cores(self) -> int:
        """See `System`."""
        return len(os.sched_getaffinity(0))

    def processor(self) -> str:
        """With the number of the model, since a cloud's names are of families."""
        named = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines(CPU_INFO))}
        model, number = named.get("model name", "unknown"), named.get("model")
        return f"{model} (model {number})" if number else model

    def processor_flags(self) -> frozenset[str] | None:
        """Of the first line that lists any."""
        found = (line.partition(":") for line in lines(CPU_INFO))
        flags = {flag for name, _, held in found if name.strip() in ("flags", "Features") for flag in held.split()}
        return frozenset(flags) if CPU_INFO.exists() else None

    def may_have_graphics(self) -> bool:
        """By the kernel's render devices."""
        return any(Path("/dev/dri").glob("renderD*"))

    def may_have_rocm(self) -> bool:
        """By the device of the kernel's driver amdkfd."""
        return Path("/dev/kfd").exists()

    def adapters(self) -> tuple[Adapter, ...]:
        """See `System`."""
        return linux_graphics.adapters()

    @property
    def release(self) -> str:
        """Distribution, kernel and C library: the last decides which wheels can be installed."""
        name = "unknown distribution"
        with contextlib.suppress(OSError):
            name = platform.freedesktop_os_release()["PRETTY_NAME"]
        return ", ".join(filter(None, (name, f"kernel {platform.release()}", " ".join(platform.libc_ver()).strip())))

    def library(self, name: str) -> str:
        """See `System`."""
        return f"lib{name}.so"
