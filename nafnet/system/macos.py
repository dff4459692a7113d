"""macOS. Written by its documents, and tried only with parts that stand in for it."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import platform
import resource
import subprocess
from typing import IO, Any

from nafnet.system.interface import Adapter
from nafnet.system.memory_watch import end_above
from nafnet.system.posix import Posix

_NO_FULL_SYNC = (errno.ENOTSUP, errno.EINVAL, errno.ENOTTY)
"""Of file systems that cannot, as a network's."""
_PROFILER = "/usr/sbin/system_profiler"
_SYSCTL = "/usr/sbin/sysctl"


class MacOS(Posix):
    """On Apple's processors; there are no wheels of the inference libraries for Intel's any more."""

    cuda_driver = "libcuda.dylib"  # never there
    cudnn = "libcudnn.9.dylib"
    inference = frozenset({"coreml"})

    def sync(self, file: IO[Any]) -> None:
        """`fsync` there returns when the drive has the data, which it may still lose; see fcntl(2), F_FULLFSYNC."""
        full = getattr(fcntl, "F_FULLFSYNC", None)
        if full is not None:
            try:
                fcntl.fcntl(file.fileno(), full)
            except OSError as error:
                if error.errno not in _NO_FULL_SYNC:
                    raise
            else:
                return
        super().sync(file)

    def limit_memory(self, most: int) -> int:
        """The kernel refuses RLIMIT_AS, or takes it and holds nobody to it, so the process watches itself."""
        end_above(most)
        return most

    def peak_resident(self) -> int:
        """`ru_maxrss`, which is in bytes there."""
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    def processor(self) -> str:
        """As `sysctl` names it."""
        with contextlib.suppress(OSError, subprocess.SubprocessError):
            asked = [_SYSCTL, "-n", "machdep.cpu.brand_string"]
            return subprocess.run(asked, capture_output=True, text=True, check=True, timeout=5).stdout.strip()
        return os.uname().machine

    def adapters(self) -> tuple[Adapter, ...]:
        """As `system_profiler` lists them; the driver is the system's own."""
        with contextlib.suppress(OSError, ValueError, KeyError, subprocess.SubprocessError):
            asked = [_PROFILER, "-json", "SPDisplaysDataType"]
            told = subprocess.run(asked, capture_output=True, text=True, check=True, timeout=20).stdout
            listed = json.loads(told)["SPDisplaysDataType"]
            return tuple(Adapter(name=str(each.get("sppci_model", "unknown")), driver="") for each in listed)
        return ()

    @property
    def release(self) -> str:
        """As the system's own window says it."""
        return f"macOS {platform.mac_ver()[0]}, Darwin {platform.release()}"

    def library(self, name: str) -> str:
        """See `System`."""
        return f"lib{name}.dylib"
