"""Each backend is tried in a process of its own, whatever its library does there."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from nafnet.parity import GATES
from nafnet.runtime.backends import REGISTRY
from nafnet.runtime.doctor.backends import examined
from tests.processes import GUARD, has_ended, wait_until_ended
from tests.runtime.doctor.conftest import PutLibrary

CRASHES = """
import ctypes, sys
print("nafnet-doctor: this is no answer", file=sys.stdout, flush=True)
print("kernel 7 reads beyond its buffer", file=sys.stderr, flush=True)
ctypes.string_at(0)
"""
# It takes a child along, which has its output open.
HANGS = """
import os, subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(100_000)"])
with open({mark!r} + ".new", "w") as file:
    file.write(f"{{os.getpid()}} {{child.pid}}")
os.replace({mark!r} + ".new", {mark!r})
time.sleep(100_000)
"""
# OpenVINO as `openvino_cpu` uses it, which gives its input back.
GIVES_INPUT_BACK = """
__version__ = "1.2.3"
class Request:
    def infer(self, given, share_inputs): self.data = given[0]
    def get_output_tensor(self, number): return self
class Compiled:
    def create_infer_request(self): return Request()
    def get_property(self, name): return True
class Core:
    available_devices = ["CPU"]
    def get_property(self, *names): return []
    def compile_model(self, *given): return Compiled()
"""


@pytest.mark.parametrize("name", ["onnxruntime", "torch"])
def test_a_backend_is_right(name: str) -> None:
    """Also one that reads the checkpoint, which carries no answer of its own."""
    found = examined(name, limit=GUARD)
    assert (found.state, found.detail) == ("right", None)
    assert found.psnr is not None
    assert found.psnr >= GATES["fp32"].psnr
    assert found.megapixels_per_second
    assert found.tile
    assert found.description


def test_a_library_that_crashes_is_a_line(put_library: PutLibrary) -> None:
    put_library("openvino", CRASHES)
    found = examined("openvino", limit=GUARD)
    assert found.state == "crashed"
    assert found.detail == "killed by SIGSEGV (kernel 7 reads beyond its buffer)"
    assert found.psnr is None


def test_a_library_that_hangs_is_ended_with_its_children(put_library: PutLibrary, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    put_library("openvino", HANGS.format(mark=str(mark)))
    limit = 2.0
    while not mark.exists():  # a machine may be so busy that the library was not even reached
        found = examined("openvino", limit=limit)
        assert (found.state, found.detail) == ("hung", f"no answer in {limit:g} s")
        limit *= 2
        assert limit < GUARD
    for number in map(int, mark.read_text().split()):
        wait_until_ended(number)


def test_a_library_that_computes_wrong_is_told(put_library: PutLibrary) -> None:
    put_library("openvino", GIVES_INPUT_BACK)
    found = examined("openvino", limit=GUARD)
    assert found.state == "wrong"
    assert found.psnr is not None
    assert found.psnr < 40
    assert found.detail == f"{found.psnr:.1f} dB, below 90"
    assert found.description == "OpenVINO 1.2.3, CPU"
    assert found.megapixels_per_second is None


def test_a_library_that_does_not_load_is_told_in_its_own_words(put_library: PutLibrary) -> None:
    put_library("openvino", "raise ImportError('libgomp.so.1: cannot open shared object file')")
    found = examined("openvino", limit=GUARD)
    assert found.state == "failed"
    assert found.detail is not None
    assert "libgomp.so.1: cannot open shared object file" in found.detail


def test_an_answer_stands_though_the_process_dies_at_its_end(put_library: PutLibrary) -> None:
    """Many libraries crash when they are unloaded; the pictures were right."""
    at_end = "import atexit, os, signal\natexit.register(os.kill, os.getpid(), signal.SIGKILL)\n"
    put_library("sitecustomize", at_end)
    found = examined("onnxruntime", limit=GUARD)
    assert (found.state, found.detail) == ("right", "and at its end killed by SIGKILL")


def test_a_child_that_stays_is_not_waited_for(put_library: PutLibrary, tmp_path: Path) -> None:
    """It has the pipes of the process that crashed."""
    mark = tmp_path / "mark"
    put_library("openvino", HANGS.format(mark=str(mark)).rpartition("time.sleep")[0] + "os.abort()\n")
    found = examined("openvino", limit=GUARD)
    child = int(mark.read_text().split()[1])
    assert not has_ended(child)
    os.kill(child, signal.SIGKILL)
    assert (found.state, found.detail) == ("crashed", "killed by SIGABRT")


def test_what_reads_plans_says_how_to_make_one(put_library: PutLibrary) -> None:
    """There is none that every GPU runs; the library is loaded all the same."""
    put_library("sitecustomize", "from nafnet.system import nvidia\nnvidia.no_cuda_for_tensorrt = lambda _: None\n")
    put_library("tensorrt_rtx_bindings", "print('loaded')")
    names = [name for name, entry in REGISTRY.items() if entry.requires == "tensorrt_rtx_bindings"]
    pytest.importorskip("tensorrt_rtx_bindings", reason="TensorRT-RTX's wheels are for Linux on x86-64")
    for name in names:
        found = examined(name, limit=GUARD)
        assert found.state == "untried"
        assert found.detail == (
            f"runs plans: nafnet-export --format {name} makes one, which is checked when it is loaded"
        )
