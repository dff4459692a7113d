"""ONNX Runtime's providers for GPUs, on a stand-in: options, devices, what is left to the CPU, what is refused."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from onnx import helper

from nafnet.errors import BackendError, ModelError, UsageError
from nafnet.onnxfile import inspect_onnx
from nafnet.pretrained import bundled_model
from nafnet.runtime import Restorer
from nafnet.runtime.backends import REGISTRY, backend_class, onnxruntime_providers
from nafnet.runtime.backends.model import Model
from nafnet.spec import ModelSpec
from tests.runtime.backends.provider_machine import Install, installing
from tests.runtime.backends.provider_onnxruntime import NO_ROCM

MakeOnnx = Callable[..., Path]
NAMES = ("webgpu", "directml", "coreml", "migraphx", "onnx-tensorrt-rtx")
TITLES = dict(zip(NAMES, ("WebGPU", "DirectML", "Core ML", "MIGraphX", "TensorRT-RTX"), strict=True))


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """See `installing`."""
    yield from installing(monkeypatch)


def opened(name: str, path: Path, device: str | None = None) -> onnxruntime_providers.ProviderBackend:
    kind = backend_class(name)
    device = device or REGISTRY[name].default_device
    return kind(Model(path=path, spec=inspect_onnx(path)), None, device)  # type: ignore[return-value]


@pytest.mark.parametrize("name", NAMES)
def test_each_gives_what_pytorch_gives_and_says_where(name: str, install: Install) -> None:
    install(name)
    picture = np.random.default_rng(0).integers(0, 255, (70, 90, 3), np.uint8)
    made = []
    for backend in (name, "onnxruntime"):
        with Restorer.load(backend=backend, tile=32, overlap=8) as restorer:
            made.append(restorer.restore(picture).astype(int))
            if backend == name:
                expected = rf"ONNX Runtime [\d.]+, {TITLES[name]}, {REGISTRY[name].default_device}"
                assert re.fullmatch(expected, restorer.backend.description)
    assert np.abs(made[0] - made[1]).max() <= 1


def test_what_each_is_told(install: Install) -> None:
    told = {}
    for name in NAMES:
        machine = install(name)
        opened(name, bundled_model(".onnx")).close()
        told[name] = machine.settings[-1]
    assert told == {
        "webgpu": {},
        "directml": {"device_id": "0"},
        "coreml": {
            "ModelFormat": "MLProgram",
            "MLComputeUnits": "CPUAndGPU",
            "AllowLowPrecisionAccumulationOnGPU": "0",
        },
        "migraphx": {"device_id": "0"},
        "onnx-tensorrt-rtx": {},
    }


def test_the_neural_engine_is_for_half_alone(install: Install, identity_onnx: Path) -> None:
    machine = install("coreml")
    half = Model(path=identity_onnx, spec=ModelSpec(precision="fp16"))
    backend_class("coreml")(half, None, "gpu:0").close()
    assert machine.settings[-1]["MLComputeUnits"] == "ALL"


@pytest.mark.parametrize(
    ("name", "device"), [("directml", "gpu:1"), ("migraphx", "gpu:1"), ("onnx-tensorrt-rtx", "cuda:1")]
)
def test_a_second_gpu_is_reached_by_its_number(name: str, device: str, install: Install, identity_onnx: Path) -> None:
    machine = install(name)
    opened(name, identity_onnx, device).close()
    assert machine.numbers == [1]


@pytest.mark.parametrize("name", ["webgpu", "coreml"])
def test_one_that_chooses_itself_cannot_be_told(name: str, install: Install, identity_onnx: Path) -> None:
    install(name)
    with pytest.raises(UsageError, match=f"--device gpu:1: {name} chooses the GPU itself; expected --device gpu"):
        opened(name, identity_onnx, "gpu:1")


def test_a_plugin_that_lists_no_such_gpu_is_told(install: Install, identity_onnx: Path) -> None:
    machine = install("onnx-tensorrt-rtx")
    with pytest.raises(BackendError, match="onnxruntime_ep_nv_tensorrt_rtx lists 2 GPUs"):
        opened("onnx-tensorrt-rtx", identity_onnx, "cuda:2")
    machine.gpus = 0
    onnxruntime_providers.plugin_devices.cache_clear()
    machine.registered.clear()
    with pytest.raises(
        BackendError, match="lists no GPU: is a driver for it installed; see nafnet-run --list-backends"
    ):
        opened("onnx-tensorrt-rtx", identity_onnx)


def test_webgpu_is_in_a_build_as_well(install: Install, identity_onnx: Path) -> None:
    machine = install("webgpu", plugin=False)
    opened("webgpu", identity_onnx).close()
    assert machine.registered == []
    machine.built_in = False
    with pytest.raises(BackendError, match=r"has no WebGpuExecutionProvider; see nafnet-run --list-backends"):
        opened("webgpu", identity_onnx)


def test_what_is_left_to_the_cpu_is_said(install: Install, make_onnx: MakeOnnx) -> None:
    machine = install("coreml")
    path = make_onnx(
        helper.make_node("Shape", ["image"], ["size"]), helper.make_node("Expand", ["image", "size"], ["same"]),
        helper.make_node("Relu", ["same"], ["restored"]),
    )  # fmt: skip
    machine.leaves = {"Relu", "Shape"}
    with opened("coreml", path) as backend:
        assert backend.description.endswith(", gpu:0, on the CPU: 1 Relu"), "the arithmetic of shapes belongs there"


@pytest.mark.parametrize("name", NAMES)
def test_convolutions_on_the_cpu_are_refused(name: str, install: Install) -> None:
    machine = install(name)
    machine.leaves = {"Conv", "DepthToSpace"}
    with pytest.raises(
        ModelError, match=r"leaves its convolutions to the CPU \(135 Conv, 5 DepthToSpace\); it is not used"
    ):
        opened(name, bundled_model(".onnx"))


def test_a_library_that_is_missing_is_told(install: Install, identity_onnx: Path) -> None:
    install("migraphx").refuses = f"Failed to load library libonnxruntime_providers_migraphx.so with error: {NO_ROCM}"
    with pytest.raises(ModelError, match=r"cannot load it with MIGraphX \(Failed to load .*libmigraphx_c\.so\.3"):
        opened("migraphx", identity_onnx)


@pytest.mark.parametrize(("name", "fixed"), [("directml", True), ("coreml", True), ("webgpu", False)])
def test_a_shape_that_repeats_is_prepared_for(name: str, fixed: bool, install: Install, identity_onnx: Path) -> None:
    machine = install(name)
    with opened(name, identity_onnx) as backend:
        backend.prepare((1, 3, 32, 48))
        assert (machine.dimensions[-1] == {"batch": 1, "height": 32, "width": 48}) == fixed
        assert backend(np.ones((1, 3, 32, 48), np.float32)).min() == 1
