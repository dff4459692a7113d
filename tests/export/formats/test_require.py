"""What the engine formats say before the work starts, where their library does not load or cannot use a GPU."""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import Any

import pytest
import torch

from nafnet.errors import EngineError, MissingExtraError
from nafnet.export.engines.builder import EngineSettings, runs_here
from nafnet.export.formats import FORMATS, require, tensorrt_plan
from nafnet.system import nvidia
from tests.gpu_stand_in.machine import Machine

MODULES = {"tensorrt": ("tensorrt",), "tensorrt-rtx": ("tensorrt_rtx", "tensorrt_rtx_bindings")}


def importing(monkeypatch: pytest.MonkeyPatch, **errors: Exception) -> None:
    """Let these modules fail so when they are imported."""
    real = importlib.import_module

    def fails(name: str, package: str | None = None) -> ModuleType:
        if name in errors:
            raise errors[name]
        return real(name, package)

    monkeypatch.setattr(importlib, "import_module", fails)


@pytest.mark.parametrize("flavour", MODULES)
@pytest.mark.parametrize("kind", [OSError, ImportError, RuntimeError])
def test_a_library_that_does_not_load_says_why(
    flavour: str, kind: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    first, *others = MODULES[flavour]
    absent = {name: ModuleNotFoundError(f"No module named '{name}'", name=name) for name in others}
    importlib.import_module(FORMATS[flavour])
    importing(monkeypatch, **{first: kind("libcudart.so.13: cannot open\nshared object file")}, **absent)
    with pytest.raises(EngineError) as caught:
        require([flavour])
    said = f"does not load ({first}: libcudart.so.13: cannot open shared object file)"
    assert str(caught.value) == f"--format {flavour}: its library is installed and {said}"


@pytest.mark.parametrize("flavour", MODULES)
def test_a_library_that_is_not_there_is_named_with_its_extra(flavour: str, monkeypatch: pytest.MonkeyPatch) -> None:
    importlib.import_module(FORMATS[flavour])
    importing(monkeypatch, **{name: ModuleNotFoundError(name=name) for name in MODULES[flavour]})
    with pytest.raises(MissingExtraError, match=rf"--format {flavour}: .*pip install 'nafnet-toolchain\[{flavour}\]'"):
        require([flavour])


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"cuda_devices": lambda: 0}, "no NVIDIA GPU, or no driver for it"),
        ({"_torch_version": lambda: ("2.13.0+cpu", None)}, r"PyTorch 2\.13\.0\+cpu is built without CUDA: .*"),
        ({"cuda_driver": lambda: 12080, "_torch_version": lambda: ("2.13.0", "13.0")}, r"the driver .* PyTorch .*"),
        ({"_torch_version": lambda: None}, "PyTorch finds none"),
    ],
)
def test_without_a_gpu_that_pytorch_can_use_the_reason_is_told(
    changes: dict[str, Any], reason: str, gpu: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert tensorrt_plan.require() is gpu.trt
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    for name, value in changes.items():
        monkeypatch.setattr(nvidia, name, value)
    with pytest.raises(EngineError, match=rf"and none can be used here \({reason}\); run this command there"):
        tensorrt_plan.require()


def test_a_driver_too_old_for_tensorrts_wheels_is_told(gpu: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """PyTorch may be of an earlier CUDA, and find the GPU."""
    monkeypatch.setattr(nvidia, "cuda_driver", lambda: 12080)
    wheels = {"tensorrt-cu13-libs", "tensorrt-rtx-cu13-libs"}
    monkeypatch.setattr(nvidia, "installed_version", lambda name: "1.0" if name in wheels else None)
    with pytest.raises(EngineError, match=r"none can be used here \(the driver is of CUDA 12\.8; tensorrt-cu13-libs"):
        tensorrt_plan.require()
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda *_: (8, 9))
    assert not runs_here(gpu.rtx, "tensorrt-rtx", EngineSettings(), b"")
