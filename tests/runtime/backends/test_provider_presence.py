"""What is said of ONNX Runtime's providers for GPUs where something is missing, on each system."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from nafnet.errors import BackendError
from nafnet.runtime.backends import REGISTRY, choices_for, onnxruntime_builds, provider_presence, states
from nafnet.system import nvidia

NAMES = ("webgpu", "directml", "coreml", "migraphx", "onnx-tensorrt-rtx")
ALONE = "pip uninstall -y onnxruntime, then pip install 'nafnet-toolchain[{}]'"
Machine = Callable[..., None]


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """A machine with a system, builds and plugins of ONNX Runtime, and libraries that its loader finds."""
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    monkeypatch.delitem(sys.modules, "onnxruntime", raising=False)
    for name in provider_presence.VULKAN_DRIVERS:
        monkeypatch.delenv(name, raising=False)

    def make(
        *installed: str, inference: str = "", vulkan: str | None = None, gpu: bool = True, rocm: bool = True,
        finds: tuple[str, ...] = (), cuda: int = 0,
    ) -> None:  # fmt: skip
        system = SimpleNamespace(
            inference={inference}, vulkan=vulkan, may_have_graphics=lambda: gpu, may_have_rocm=lambda: rocm
        )
        monkeypatch.setattr(provider_presence, "SYSTEM", system)
        monkeypatch.setattr(onnxruntime_builds, "loads", lambda name: name in finds)
        monkeypatch.setattr(nvidia, "cuda_devices", lambda: bool(cuda))
        monkeypatch.setattr(nvidia, "cuda_driver", lambda: cuda)
        for name in installed:
            information = tmp_path / f"{name.replace('-', '_')}-1.27.0.dist-info"
            information.mkdir()
            (information / "METADATA").write_text(f"Name: {name}\nVersion: 1.27.0\n", encoding="utf-8")
            package = (
                "onnxruntime" if name in onnxruntime_builds.BUILDS else name.replace("-", "_").removesuffix("_cu13")
            )
            (tmp_path / package).mkdir(exist_ok=True)
            (tmp_path / package / "__init__.py").write_text("", encoding="utf-8")

    return make


def lacks(name: str) -> str | None:
    return REGISTRY[name].absent()


LINUX = {"inference": "migraphx", "vulkan": "libvulkan.so.1"}


def test_a_gpu_on_linux_and_the_plain_build(machine: Machine) -> None:
    machine("onnxruntime", finds=("libvulkan.so.1",), **LINUX)
    assert {name: lacks(name) for name in NAMES} == {
        "webgpu": "ONNX Runtime's plugin for WebGPU is not installed: pip install 'nafnet-toolchain[webgpu]'",
        "directml": "DirectML is a part of Windows",
        "coreml": "Core ML is a part of macOS",
        "migraphx": f"onnxruntime is not the build for MIGraphX: {ALONE.format('migraphx')}",
        "onnx-tensorrt-rtx": "no NVIDIA GPU, or no driver for it",
    }


def test_without_a_gpu_nobody_is_told_to_install_for_one(machine: Machine) -> None:
    machine("onnxruntime", gpu=False, rocm=False, **LINUX)
    assert lacks("webgpu") == "no GPU (the system lists no render device)"
    assert lacks("migraphx") == "no AMD GPU, or no driver for it (amdkfd)"


def test_a_driver_that_somebody_named_counts(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """As that of a software adapter."""
    machine("onnxruntime-webgpu", gpu=False, finds=("libvulkan.so.1",), **LINUX)
    monkeypatch.setenv("VK_ICD_FILENAMES", "swiftshader.json")
    assert lacks("webgpu") is None


@pytest.mark.parametrize("installed", [("onnxruntime", "onnxruntime-ep-webgpu"), ("onnxruntime-webgpu",)])
def test_webgpu_wants_vulkans_loader_on_linux_alone(machine: Machine, installed: tuple[str, ...]) -> None:
    machine(*installed, **LINUX)
    assert lacks("webgpu") == (
        "libvulkan.so.1 is missing, by which WebGPU reaches the GPU: install Vulkan's loader (on Debian and Ubuntu "
        "apt install libvulkan1)"
    )
    machine(finds=("libvulkan.so.1",), **LINUX)
    assert lacks("webgpu") is None
    machine(inference="coreml")
    assert lacks("webgpu") is None


def test_two_builds_over_each_other_are_told(machine: Machine) -> None:
    machine("onnxruntime", "onnxruntime-webgpu", "onnxruntime-directml", inference="directml")
    over = (
        "onnxruntime and onnxruntime-directml and onnxruntime-webgpu are installed over each other: pip uninstall -y "
    )
    for name in ("webgpu", "directml"):
        said = lacks(name)
        assert said is not None
        assert said.startswith(over)
        assert said.endswith(f", then pip install 'nafnet-toolchain[{name}]'")


def test_a_build_in_another_folder_is_not_over_it(
    machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine("onnxruntime-webgpu", inference="directml")
    hidden = tmp_path / "hidden" / "onnxruntime-1.32.0.dist-info"
    hidden.mkdir(parents=True)
    (hidden / "METADATA").write_text("Name: onnxruntime\nVersion: 1.32.0\n", encoding="utf-8")
    monkeypatch.setattr(sys, "path", [str(tmp_path), str(hidden.parent)])
    assert onnxruntime_builds.installed_builds() == {"onnxruntime-webgpu": "1.27.0"}
    assert lacks("webgpu") is None


def test_windows_and_macos_have_theirs(machine: Machine) -> None:
    machine("onnxruntime-directml", inference="directml")
    assert lacks("directml") is None
    machine(inference="coreml")
    assert lacks("coreml") is None
    assert lacks("migraphx") == "ONNX Runtime's build for MIGraphX is for Linux"


def test_migraphx_wants_rocm(machine: Machine) -> None:
    machine("onnxruntime-migraphx", **LINUX)
    assert lacks("migraphx") == (
        "libmigraphx_c.so.3 is missing: install ROCm, and in it the package migraphx, as AMD's documents say"
    )
    machine(finds=("libmigraphx_c.so.3",), **LINUX)
    assert lacks("migraphx") is None


def test_the_plugin_of_tensorrt_rtx_wants_a_driver_of_its_cuda(machine: Machine) -> None:
    machine("onnxruntime", cuda=13000, **LINUX)
    assert lacks("onnx-tensorrt-rtx") == (
        "ONNX Runtime's plugin for TensorRT-RTX is not installed: pip install 'nafnet-toolchain[onnx-tensorrt-rtx]'"
    )
    machine("onnxruntime-ep-nv-tensorrt-rtx-cu13", cuda=13000, **LINUX)
    assert lacks("onnx-tensorrt-rtx") is None
    machine(cuda=12040, **LINUX)
    assert lacks("onnx-tensorrt-rtx") == (
        "the driver is of CUDA 12.4; onnxruntime-ep-nv-tensorrt-rtx-cu13 needs 13 (driver 580 or newer)"
    )


def test_files_that_another_build_took_away_are_told(machine: Machine, tmp_path: Path) -> None:
    machine("onnxruntime-directml", inference="directml")
    (tmp_path / "onnxruntime" / "__init__.py").unlink()
    gone = "the files of onnxruntime-directml are gone, with another build that was uninstalled: "
    for name in ("webgpu", "directml"):
        assert lacks(name) == gone + "pip install --force-reinstall --no-deps onnxruntime-directml"


def test_without_onnxruntime_the_extra_is_named(machine: Machine) -> None:
    machine(inference="directml")
    said = {name: missing for name, _, missing in states()}
    assert said["webgpu"] == "pip install 'nafnet-toolchain[webgpu]'"
    assert said["coreml"] == "pip install 'nafnet-toolchain[cpu]'"


def test_who_asks_for_a_gpu_is_told_of_each(monkeypatch: pytest.MonkeyPatch) -> None:
    """And whoever does not is told of none that no such machine has."""
    for name in NAMES:
        monkeypatch.setitem(REGISTRY, name, dataclasses.replace(REGISTRY[name], absent=lambda: "no"))
    with pytest.raises(
        BackendError, match=r"finds no backend for the model .*directml: no; .*webgpu: no.*openvino-gpu"
    ):
        choices_for("auto", None, "gpu")
    assert "webgpu" not in choices_for("auto", None, None)[0].reason
