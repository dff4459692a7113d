"""Locks on open files of Windows, where what is locked cannot be read by others."""

# mypy: disable-error-code="attr-defined"
# What Windows alone has is not known elsewhere.

from __future__ import annotations

import ctypes
import msvcrt
from ctypes import wintypes
from typing import IO

from nafnet.system.interface import Lock

# Of minwinbase.h.
_AT_ONCE, _EXCLUSIVE = 1, 2
_TAKEN = (33, 997)
"""ERROR_LOCK_VIOLATION, and ERROR_IO_PENDING of some shares."""
_BEYOND = 0x7FFFFFFF
"""The upper half of where the locked byte is: no file is as long."""


class _Overlapped(ctypes.Structure):
    """OVERLAPPED."""

    _fields_ = (
        ("internal", ctypes.c_size_t), ("internal_high", ctypes.c_size_t), ("offset", wintypes.DWORD),
        ("offset_high", wintypes.DWORD), ("event", wintypes.HANDLE),
    )  # fmt: skip


def lock(file: IO[bytes]) -> Lock:
    """Lock one byte far beyond what is written, without waiting."""
    kernel = ctypes.WinDLL("kernel32", use_last_error=True)
    dword = wintypes.DWORD
    kernel.LockFileEx.argtypes = [wintypes.HANDLE, dword, dword, dword, dword, ctypes.POINTER(_Overlapped)]
    place = _Overlapped(offset_high=_BEYOND)
    handle = msvcrt.get_osfhandle(file.fileno())
    if kernel.LockFileEx(handle, _AT_ONCE | _EXCLUSIVE, 0, 1, 0, ctypes.byref(place)):
        return Lock.OURS
    return Lock.TAKEN if ctypes.get_last_error() in _TAKEN else Lock.UNSUPPORTED
