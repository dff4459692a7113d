"""Keeping freed memory, in processes of their own, for it cannot be taken back."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

FAULTS = """
import resource, sys
from nafnet.allocator import keep_memory
if sys.argv[1] == "keep":
    assert keep_memory()
import torch
from nafnet.architecture import NAFNet
from nafnet.spec import Architecture
network = NAFNet(Architecture(width=16, encoder_blocks=(1,), middle_blocks=1, decoder_blocks=(1,)))
image = torch.rand(1, 3, 256, 256)
with torch.inference_mode():
    for call in range(10):
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        network(image)
        after = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
print(after - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="a setting of glibc")
def test_a_call_of_a_network_asks_the_kernel_for_no_page_again() -> None:
    def faults(how: str) -> int:
        done = subprocess.run([sys.executable, "-c", FAULTS, how], capture_output=True, text=True, check=True)
        return int(done.stdout)

    default, kept = faults("default"), faults("keep")
    assert default > 1000, "if the default keeps memory as well, the setting can go"
    assert kept < default / 20
