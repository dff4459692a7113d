"""What is told of NVIDIA's driver and of wheels: from files laid out as pip lays them out, and no library loaded."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from nafnet.system import nvidia

Install = Callable[..., None]
TOO_OLD = "the driver is of CUDA 12.8; {} needs 13 (driver 580 or newer)"
# As in PyTorch's wheels.
TORCH = """from typing import Optional

__all__ = ['__version__', 'debug', 'cuda', 'git_version', 'hip', 'rocm', 'xpu']
__version__ = '{version}'
debug = False
cuda: Optional[str] = {cuda!r}
hip: Optional[str] = None
"""


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Install distributions into a folder that is the only one; a GPU is there whose driver is of CUDA 12.8."""
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    for name in [name for name in sys.modules if name.partition(".")[0] in ("torch", "cuda")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(nvidia, "cuda_devices", lambda: 1)
    monkeypatch.setattr(nvidia, "cuda_driver", lambda: 12080)

    def make(name: str, version: str, cuda: str | None = None) -> None:
        information = tmp_path / f"{name.replace('-', '_')}-{version}.dist-info"
        information.mkdir()
        (information / "METADATA").write_text(f"Name: {name}\nVersion: {version}\n")
        if name == "torch":
            (tmp_path / "torch").mkdir()
            (tmp_path / "torch" / "__init__.py").write_text("raise AssertionError('imported to be listed')")
            (tmp_path / "torch" / "version.py").write_text(TORCH.format(version=version, cuda=cuda))
        if name == "cuda-bindings":
            (tmp_path / "cuda" / "bindings").mkdir(parents=True)
            (tmp_path / "cuda" / "bindings" / "__init__.py").write_text("")

    return make


def driver(monkeypatch: pytest.MonkeyPatch, version: int) -> None:
    monkeypatch.setattr(nvidia, "cuda_driver", lambda: version)


def test_pytorch_for_a_later_cuda_than_the_drivers(install: Install, monkeypatch: pytest.MonkeyPatch) -> None:
    install("torch", "2.13.0+cu130", "13.0")
    assert nvidia.no_cuda_for_torch() == TOO_OLD.format("PyTorch 2.13.0+cu130")
    driver(monkeypatch, 13000)
    assert nvidia.no_cuda_for_torch() is None


def test_pytorch_for_the_drivers_own_cuda(install: Install) -> None:
    install("torch", "2.13.0", "12.9")
    assert nvidia.no_cuda_for_torch() is None, "a driver runs all minor versions"


def test_pytorch_for_cpus_is_told_with_the_remedy(install: Install, monkeypatch: pytest.MonkeyPatch) -> None:
    install("torch", "2.13.0+cpu")
    said = nvidia.no_cuda_for_torch()
    assert said is not None
    assert said.startswith("PyTorch 2.13.0+cpu is built without CUDA: pip uninstall -y torch, then install")
    monkeypatch.setattr(nvidia, "cuda_devices", lambda: 0)
    assert nvidia.no_cuda_for_torch() == "no NVIDIA GPU, or no driver for it"


def test_a_pytorch_that_does_not_say_is_not_refused(install: Install, tmp_path: Path) -> None:
    install("torch", "2.13.0", "13.0")
    (tmp_path / "torch" / "version.py").write_text("")
    assert nvidia.no_cuda_for_torch() is None
    (tmp_path / "torch" / "version.py").unlink()
    assert nvidia.no_cuda_for_torch() is None


@pytest.mark.parametrize("flavour", ["tensorrt", "tensorrt-rtx"])
@pytest.mark.parametrize("end", ["", "-bindings", "-libs"])
def test_tensorrt_for_a_later_cuda_than_the_drivers(
    flavour: str, end: str, install: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    install("cuda-bindings", "12.9.4")
    install(f"{flavour}-cu13{end}", "10.13")
    assert nvidia.no_cuda_for_tensorrt(flavour) == TOO_OLD.format(f"{flavour}-cu13{end}")
    driver(monkeypatch, 13010)
    assert nvidia.no_cuda_for_tensorrt(flavour) is None


@pytest.mark.parametrize("names", [("tensorrt-cu12",), (), ("tensorrt",), ("tensorrt-cu12-libs", "tensorrt-cu13-libs")])
def test_a_tensorrt_whose_cuda_fits_or_is_not_known_is_not_refused(names: tuple[str, ...], install: Install) -> None:
    for name in ("cuda-bindings", *names):
        install(name, "12.9.4")
    assert nvidia.no_cuda_for_tensorrt("tensorrt") is None


def test_cuda_bindings_are_asked_as_well(install: Install) -> None:
    install("tensorrt-cu12", "10.13")
    assert nvidia.no_cuda_for_tensorrt("tensorrt") == (
        "cuda-bindings is not installed: pip install 'nafnet-toolchain[tensorrt]'"
    )
    install("cuda-bindings", "13.5.0")
    assert nvidia.no_cuda_for_tensorrt("tensorrt") == (
        TOO_OLD.format("cuda-bindings 13.5.0") + ", or pip install 'cuda-bindings<13'"
    )


def test_a_cuda_that_no_table_of_ours_knows(install: Install) -> None:
    install("torch", "3.0", "14.0")
    assert nvidia.no_cuda_for_torch() == "the driver is of CUDA 12.8; PyTorch 3.0 needs 14 (a newer driver)"


def test_what_is_listed_is_what_is_told(install: Install) -> None:
    from nafnet.runtime.backends import REGISTRY

    install("torch", "2.13.0+cu130", "13.0")
    install("cuda-bindings", "13.5.0")
    install("tensorrt-cu13-libs", "10.13")
    install("tensorrt-rtx-cu13-libs", "1.7")
    names = {
        "torch-cuda": "PyTorch 2.13.0+cu130",
        "tensorrt": "tensorrt-cu13-libs",
        "tensorrt-rtx": "tensorrt-rtx-cu13-libs",
    }
    for backend, what in names.items():
        assert REGISTRY[backend].absent() == TOO_OLD.format(what)
