"""Keeping freed memory, in processes of their own, for it cannot be taken back."""

from __future__ import annotations

import ctypes
import platform
import subprocess
import sys

import pytest

GIVEN_BACK = """
import ctypes, sys
from nafnet.allocator import keep_memory
if sys.argv[1] == "keep":
    assert keep_memory()
import torch
from nafnet.architecture import NAFNet
from nafnet.spec import Architecture

NAMES = "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost"
class Info(ctypes.Structure):
    _fields_ = [(name, ctypes.c_size_t) for name in NAMES.split()]
libc = ctypes.CDLL(None)
libc.mallinfo2.restype = Info

held = []
def look(*_):
    info = libc.mallinfo2()
    held.append(info.arena + info.hblkhd)  # of the heap, and of blocks apart

network = NAFNet(Architecture(width=16, encoder_blocks=(1,), middle_blocks=1, decoder_blocks=(1,)))
for module in network.modules():
    module.register_forward_hook(look)
image = torch.rand(1, 3, 256, 256)
total = 0
with torch.inference_mode():
    for _ in range(4):
        network(image)
        look()
        total += max(held) - held[-1]
        held.clear()
print(total)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="a setting of glibc")
def test_bands_that_were_freed_are_taken_again() -> None:
    """By the pages that the kernel had to give: all of each, or none after the first."""
    program = """
import resource, sys
import numpy as np
from nafnet.allocator import keep_bands
if sys.argv[1] == "keep":
    assert keep_bands()
for index in range(40):
    if index == 10:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    bands = [np.ones(3 * 2**20, np.uint8) for _ in range(8)]
    del bands
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""

    def pages(how: str) -> int:
        done = subprocess.run([sys.executable, "-c", program, how], capture_output=True, text=True, check=True)
        return int(done.stdout)

    assert pages("default") > 10_000, "if the default keeps memory as well, the setting can go"
    assert pages("keep") < 1000


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="a setting of glibc")
@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallinfo2"), reason="glibc before 2.33 does not tell")
def test_what_a_network_freed_is_kept_for_its_next_call() -> None:
    """By glibc's own account of what it has from the kernel, in bytes."""

    def given_back(how: str) -> int:
        done = subprocess.run([sys.executable, "-c", GIVEN_BACK, how], capture_output=True, text=True, check=True)
        return int(done.stdout)

    assert given_back("default") > 2**20, "if the default keeps memory as well, the setting can go"
    assert given_back("keep") == 0
