"""What nvidia-smi is asked, and what is made of its answers; the tool is played by a script."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from nafnet.benchmarks import gpu as readings_of
from nafnet.benchmarks.machine import describe_machine, readings
from tests.gpu_stand_in.machine import Machine

BIN = Path(__file__).parents[2] / "gpu_stand_in" / "bin"


@pytest.fixture
def smi(gpu: Machine, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """A machine with the tool."""
    monkeypatch.setenv("PATH", f"{BIN}{os.pathsep}{os.environ['PATH']}")
    return gpu


@pytest.mark.usefixtures("smi")
def test_the_gpu_is_named_by_its_uuid() -> None:
    uuid = readings_of.gpu_uuid()
    assert uuid == "GPU-6c2e1b0a-7f35-4d0e-9d7a-3b1f0c5e8a42"
    assert readings_of.query("name,driver_version", uuid) == "NVIDIA H100 80GB HBM3, 580.65.06"
    assert readings_of.query("name", "GPU-of-another") is None
    assert describe_machine()["gpu"] == "NVIDIA H100 80GB HBM3, 580.65.06, 81559"
    found = readings()
    assert (found["GPU MHz"], found["GPU C"]) == (1980, 41)
    assert "GPU W" not in found, "not told"


@pytest.mark.usefixtures("smi")
def test_memory_is_the_processs_own(monkeypatch: pytest.MonkeyPatch) -> None:
    uuid = readings_of.gpu_uuid()
    assert readings_of.memory(uuid, 4100.0) == (512, "process")
    monkeypatch.setenv("HIDDEN", "1")
    assert readings_of.memory(uuid, 4100.0) == (500, "card")
    assert readings_of.memory(uuid, None) is None


@pytest.mark.usefixtures("smi")
def test_a_thread_looks_while_it_works() -> None:
    with readings_of.Sampler(readings_of.gpu_uuid(), on=True) as sampler:
        pass
    assert sampler.summary() == {"GPU MHz": 1980, "lowest GPU MHz": 1980, "GPU C": 41, "highest GPU C": 41}
    with readings_of.Sampler(None, on=False) as sampler:
        pass
    assert sampler.summary() == {}


def test_without_the_tool_nothing_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert readings_of.gpu_uuid() is None
    assert readings_of.query("name", None) is None
    assert readings_of.memory(None, 1.0) is None
    with readings_of.Sampler(None, on=True) as sampler:
        pass
    assert sampler.summary() == {}
