"""ONNX Runtime's CUDA backend against a stand-in that holds to the library's rules."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from nafnet import sessions
from nafnet.errors import DeviceMemoryError, ModelError
from nafnet.onnxfile import embed_spec
from nafnet.runtime import Restorer
from nafnet.runtime.backends.base import Backend
from nafnet.runtime.backends.lanes import SeveralDevices
from nafnet.runtime.backends.onnxruntime_cuda import OnnxRuntimeCudaBackend
from nafnet.runtime.engine.model_source import open_model
from nafnet.spec import ModelSpec
from nafnet.system import nvidia
from tests.gpu_stand_in.machine import install_onnxruntime
from tests.streaming import streamed

from .cuda_onnxruntime import Machine

MakeOnnx = Callable[..., Path]


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Iterator[Machine]:
    """One with a GPU, whose CUDA came with pip; at the end nothing illegal was done, and nothing is held."""
    machine = install_onnxruntime(monkeypatch)
    monkeypatch.setattr(nvidia, "cuda_devices", lambda: 2)
    yield machine
    sessions.preload_cuda.cache_clear()
    assert machine.faults == []


def halving(make_onnx: MakeOnnx, *, fixed: bool) -> Path:
    """A model that gives half of its input, for tiles of 32 alone or of any size."""
    half = numpy_helper.from_array(np.array(0.5, np.float32), "half")
    shape = ("batch", 3, 32, 32) if fixed else None
    node = helper.make_node("Mul", ["image", "half"], ["positive"])
    last = helper.make_node("Relu", ["positive"], ["restored"])
    path = make_onnx(node, last, initializer=[half], shape=shape)
    model = onnx.load(path)
    embed_spec(model, ModelSpec(tile=32, overlap=8, multiple=32 if fixed else 16, fixed_shape=fixed))
    onnx.save(model, path)
    return path


def loaded(path: Path, device: str = "cuda:0") -> OnnxRuntimeCudaBackend:
    return OnnxRuntimeCudaBackend(open_model(path, "onnxruntime-cuda"), None, device)


def batches(count: int) -> list[NDArray[np.float32]]:
    return [np.random.default_rng(seed).random((1 + seed % 3, 3, 32, 32), np.float32) for seed in range(count)]


def check_stream(backend: Backend, count: int = 24) -> None:
    given = batches(count)
    for one, restored in zip(given, streamed(backend, given), strict=True):
        assert np.array_equal(restored, one / 2)


@pytest.mark.parametrize("fixed", [False, True])
def test_cuda_that_pip_installed_is_found(machine: Machine, make_onnx: MakeOnnx, fixed: bool) -> None:
    with loaded(halving(make_onnx, fixed=fixed)) as backend:
        check_stream(backend)
        assert backend.description == "ONNX Runtime 1.31.1, cuda:0"
    assert machine.memory == 10**9, "all of it is given back"
    assert machine.captures == (6 if fixed else 0)
    assert (machine.replays > 10) is fixed


def test_cuda_that_is_nowhere_is_an_error_that_says_what_is_missing(
    machine: Machine, make_onnx: MakeOnnx, capfd: pytest.CaptureFixture[str]
) -> None:
    machine.absent = True
    with pytest.raises(
        ModelError, match=r"would run it on the CPU.*\(not found: libcudnn\.so\.9\); see .*--list-backends"
    ):
        loaded(halving(make_onnx, fixed=False))
    assert capfd.readouterr().out == ""


def test_auto_goes_on_to_the_next_backend_and_says_so(machine: Machine, make_onnx: MakeOnnx) -> None:
    machine.absent = True
    said: list[str] = []
    with Restorer.load(halving(make_onnx, fixed=False), say=said.append) as restorer:
        assert restorer.backend.name == "openvino"
        assert "libcudnn.so.9" in restorer.reason
    (line,) = said
    assert "libcudnn.so.9" in line
    assert line.endswith("going on with openvino")


def test_memory_that_does_not_suffice_to_load_is_no_fallback_to_the_cpu(
    machine: Machine, make_onnx: MakeOnnx, capfd: pytest.CaptureFixture[str]
) -> None:
    machine.memory = 10
    with pytest.raises(DeviceMemoryError, match="out of memory"):
        loaded(halving(make_onnx, fixed=True))
    assert capfd.readouterr().out == "", "which a picture may be piped to"


def test_an_option_that_the_library_does_not_know_is_no_fallback_to_the_cpu(
    machine: Machine, make_onnx: MakeOnnx, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    del machine
    monkeypatch.setattr(sys.modules[Machine.__module__], "OPTIONS", {"device_id"})
    with pytest.raises(ModelError, match="Unknown provider option"):
        loaded(halving(make_onnx, fixed=False))
    assert capfd.readouterr().out == ""


def test_a_second_session_that_does_not_fit_leaves_one_lane(machine: Machine, make_onnx: MakeOnnx) -> None:
    machine.memory = machine.session_bytes + 10**6 // 2
    with loaded(halving(make_onnx, fixed=True)) as backend:
        check_stream(backend)
    assert machine.sessions == 1


def test_memory_that_does_not_suffice_to_run_is_told_as_such(machine: Machine, make_onnx: MakeOnnx) -> None:
    with loaded(halving(make_onnx, fixed=True)) as backend:
        machine.memory = 10
        with pytest.raises(DeviceMemoryError, match="out of memory"):
            backend(batches(1)[0])
        machine.memory = 10**8
        check_stream(backend)


def test_lanes_and_devices_do_not_break_each_others_captures(machine: Machine, make_onnx: MakeOnnx) -> None:
    path = halving(make_onnx, fixed=True)
    with SeveralDevices([loaded(path, "cuda:0"), loaded(path, "cuda:1")]) as backend:
        check_stream(backend, 60)
    assert machine.captures == 12, "three shapes on each of four lanes"


def test_a_model_that_cannot_be_captured_runs_without_graphs_and_says_why(
    machine: Machine, make_onnx: MakeOnnx
) -> None:
    machine.on_cpu = ["Relu"]
    with loaded(halving(make_onnx, fixed=True)) as backend:
        check_stream(backend)
        assert backend.description == "ONNX Runtime 1.31.1, cuda:0, on the CPU: 1 Relu"
    assert machine.captures == 0


def test_the_arithmetic_of_shapes_may_be_on_the_cpu(machine: Machine, make_onnx: MakeOnnx) -> None:
    machine.on_cpu = ["Mul"]
    with loaded(halving(make_onnx, fixed=False)) as backend:
        assert backend.description == "ONNX Runtime 1.31.1, cuda:0"
