"""Windows. Tried under Wine."""

# mypy: disable-error-code="attr-defined, union-attr"
# What Windows alone has is not known elsewhere.

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import signal
import socket
import subprocess
import sys
import time
import winreg
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, Any

import psutil

from nafnet.system import windows_lock
from nafnet.system.interface import Adapter, Lock, System, first_line, handed
from nafnet.system.windows_job import limit_this_process

PATIENCE = 3.0
"""Seconds. A virus scanner, an indexer or a backup opens a new file for a moment, and it cannot be renamed then."""
_HELD = (5, 32, 33)  # access denied, a sharing violation, a lock violation
_CRASHED = 2**31
"""Exit codes from here on are of exceptions (NTSTATUS)."""
_ADAPTERS = r"SYSTEM\CurrentControlSet\Control\Class\{4d36e968-e325-11ce-bfc1-08002be10318}"
_CPP = "https://aka.ms/vs/17/release/vc_redist.x64.exe"
_NO_DIALOGS = 0x8003
"""SEM_FAILCRITICALERRORS, SEM_NOGPFAULTERRORBOX and SEM_NOOPENFILEERRORBOX."""


class Windows(System):
    """10 and 11."""

    cuda_driver = "nvcuda.dll"
    cudnn = "cudnn64_9.dll"
    inference = frozenset({"directml"})
    full_disk = (*System.full_disk, errno.EDQUOT)
    ending_signals = (signal.SIGTERM, signal.SIGBREAK)
    renames_to_free_names_alone = True
    most_waited_for = 61  # of WaitForMultipleObjects 64, and concurrent.futures takes some

    def lock(self, file: IO[bytes]) -> Lock:
        """See `windows_lock`."""
        return windows_lock.lock(file)

    def replace(self, source: Path, target: Path) -> None:
        """See `System`; tried again while somebody holds either."""
        _patiently(lambda: source.replace(target))

    def remove(self, path: Path) -> None:
        """See `System`; tried again while somebody holds it."""
        _patiently(lambda: path.unlink(missing_ok=True))

    def move(self, source: Path, target: Path) -> None:
        """See `System`; tried again while somebody holds a file in it."""
        _patiently(lambda: source.rename(target))

    @property
    def full_disk_words(self) -> tuple[str, ...]:
        """With Windows' own, as in English."""
        return (*super().full_disk_words, "not enough space on the disk", "disk quota")

    @property
    def user(self) -> str:
        """The folder for temporary files is the user's own already."""
        return "user"

    def limit_memory(self, most: int) -> int:
        """By a job object."""
        limit_this_process(most)
        return most

    def peak_memory(self) -> int:
        """Committed."""
        return int(psutil.Process().memory_info().peak_pagefile)

    def peak_resident(self) -> int:
        """The working set."""
        return int(psutil.Process().memory_info().peak_wset)

    def processor(self) -> str:
        """As the registry has it."""
        place = r"HARDWARE\DESCRIPTION\System\CentralProcessor\0"
        try:
            with winreg.OpenKey(winreg.HKEY_LOCAL_MACHINE, place) as key:
                return str(winreg.QueryValueEx(key, "ProcessorNameString")[0]).strip()
        except OSError:
            return super().processor()

    def adapters(self) -> tuple[Adapter, ...]:
        """Those of the registry's class of display adapters."""
        found = []
        with contextlib.suppress(OSError), winreg.OpenKey(winreg.HKEY_LOCAL_MACHINE, _ADAPTERS) as key:
            for number in range(winreg.QueryInfoKey(key)[0]):
                with contextlib.suppress(OSError), winreg.OpenKey(key, winreg.EnumKey(key, number)) as one:
                    name = str(winreg.QueryValueEx(one, "DriverDesc")[0])
                    found.append(Adapter(name=name, driver=str(winreg.QueryValueEx(one, "DriverVersion")[0])))
        return tuple(found)

    def start_with_socket(self, words: Sequence[str], **options: Any) -> tuple[subprocess.Popen[bytes], socket.socket]:
        """The other end is duplicated for the process, and told to it in the first line of its standard input."""
        words = [*words]
        if words[0] == sys.executable != sys._base_executable:
            # In a virtual environment that is a launcher, which starts Python as its child, and the socket is for that.
            # As `multiprocessing` does: the variable has Python find the environment all the same.
            words[0] = sys._base_executable
            options["env"] = {**(options.get("env") or os.environ), "__PYVENV_LAUNCHER__": sys.executable}
        process = subprocess.Popen(words, stdin=subprocess.PIPE, **options)
        ours, theirs = socket.socketpair()
        try:
            with theirs:
                handed(process, theirs.share(process.pid).hex())
        except OSError:
            ours.close()
            process.kill()
            process.wait()
            raise
        return process, ours

    def handed_socket(self) -> socket.socket:
        """See `System`."""
        return socket.fromshare(bytes.fromhex(first_line(sys.stdin.fileno())))

    def ending(self, code: int) -> str:
        """A crash by the number under which it is found, as 0xC0000005."""
        code &= 2**32 - 1
        return f"crashed with 0x{code:08X}" if code >= _CRASHED else super().ending(code)

    def quiet_crashes(self) -> None:
        """No window."""
        ctypes.windll.kernel32.SetErrorMode(_NO_DIALOGS)

    def add_library_folders(self, folders: Callable[[], Sequence[Path]]) -> None:
        """The loader looks beside the library alone."""
        for folder in folders():
            os.add_dll_directory(str(folder))

    def loading_remedy(self, error: Exception) -> str:
        """Mostly it is Microsoft's C++ library that is missing, and the loader does not say which."""
        return f"install Microsoft's Visual C++ runtime, {_CPP}" if "DLL load failed" in str(error) else ""

    def library(self, name: str) -> str:
        """See `System`."""
        return f"{name}.dll"

    def prepare_console(self) -> None:
        """UTF-8 where output goes to a file or a pipe, which has the code page of the country else.

        A console is written to in UTF-16 by Python.
        """
        for stream in (sys.stdout, sys.stderr):
            if stream is not None and not stream.isatty():
                stream.reconfigure(encoding="utf-8", errors="backslashreplace")


def _patiently(action: Callable[[], Any]) -> None:
    until, wait = time.monotonic() + PATIENCE, 0.01
    while True:
        try:
            action()
        except PermissionError as error:
            if error.winerror not in _HELD or time.monotonic() > until:
                raise
        else:
            return
        time.sleep(wait)
        wait = min(2 * wait, 0.25)
