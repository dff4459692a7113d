"""What is said of the builds of ONNX Runtime that are installed: told from files laid out as pip lays them out."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from nafnet.runtime.backends import onnxruntime_builds, states
from nafnet.system import SYSTEM, nvidia

Install = Callable[..., Path]
# As in the wheels of 1.25 and of 1.31.
WANTED = {
    "12.8": ("nvidia-cuda-runtime-cu12~=12.0", "nvidia-cudnn-cu12~=9.0"),
    "13.0": ("nvidia-cuda-runtime~=13.0", "nvidia-cudnn-cu13~=9.0"),
}


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Install a build, or any distribution, into a folder that is the only one; a GPU with CUDA 13.0 is there."""
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    monkeypatch.delitem(sys.modules, "onnxruntime", raising=False)
    monkeypatch.setattr(nvidia, "cuda_devices", lambda: 1)
    monkeypatch.setattr(nvidia, "cuda_driver", lambda: 13000)
    monkeypatch.setattr(onnxruntime_builds, "loads", lambda _: False)

    def make(name: str, version: str = "1.31.1", cuda: str | None = None, library: str | None = None) -> Path:
        information = tmp_path / f"{name.replace('-', '_')}-{version}.dist-info"
        information.mkdir()
        lines = [f"Requires-Dist: {wheel}; extra == 'cuda'" for wheel in WANTED.get(cuda or "", ())]
        (information / "METADATA").write_text("\n".join([f"Name: {name}", f"Version: {version}", *lines, ""]))
        package = tmp_path / "onnxruntime"
        if name.startswith("onnxruntime"):
            (package / "capi").mkdir(parents=True, exist_ok=True)
            (package / "__init__.py").write_text("")
            told = f"package_name = '{name}'\n__version__ = '{version}'\n" + (
                f"cuda_version = '{cuda}'\n" if cuda else ""
            )
            (package / "capi" / "build_and_package_info.py").write_text(told)
            if cuda:
                (package / "capi" / (library or SYSTEM.library("onnxruntime_providers_cuda"))).write_text("")
        return package

    return make


def said() -> str | None:
    return {name: missing for name, _, missing in states()}["onnxruntime-cuda"]


def install_whole(install: Install, cuda: str = "13.0", version: str = "1.31.1") -> Path:
    for wheel in WANTED[cuda]:
        install(wheel.partition("~")[0], "9.1")
    return install("onnxruntime-gpu", version, cuda)


def test_all_that_is_wanted_is_ready(install: Install) -> None:
    install_whole(install)
    assert said() is None


def test_the_build_for_cpus_is_named_with_the_command(install: Install) -> None:
    install("onnxruntime", "1.32.0")
    assert said() == (
        "onnxruntime is not the build for CUDA: pip uninstall -y onnxruntime, then pip install 'nafnet-toolchain[gpu]'"
    )


def test_two_builds_over_each_other_are_told(install: Install) -> None:
    """The provider's file is there all the same."""
    install_whole(install)
    install("onnxruntime", "1.32.0")
    assert said() == (
        "onnxruntime and onnxruntime-gpu are installed over each other: pip uninstall -y onnxruntime onnxruntime-gpu, "
        "then pip install 'nafnet-toolchain[gpu]'"
    )


def test_files_that_another_build_took_away_are_told(install: Install) -> None:
    """What `pip uninstall onnxruntime` leaves: a folder without the package's own files, which imports as nothing."""
    (install_whole(install) / "__init__.py").unlink()
    gone = "the files of onnxruntime-gpu are gone, with another build that was uninstalled: "
    assert said() == gone + "pip install --force-reinstall --no-deps onnxruntime-gpu"
    missing = {name: missing for name, _, missing in states()}
    assert missing["onnxruntime"] == missing["onnxruntime-cuda"]


def test_without_cuda_and_cudnn_the_command_brings_those_of_this_version(install: Install) -> None:
    install("onnxruntime-gpu", "1.31.1", "13.0")
    assert said() == (
        "CUDA and cuDNN are missing (nvidia-cuda-runtime, nvidia-cudnn-cu13): "
        "pip install 'onnxruntime-gpu[cuda,cudnn]==1.31.1'"
    )


def test_cudnn_in_the_systems_own_places_will_do(install: Install, monkeypatch: pytest.MonkeyPatch) -> None:
    install("onnxruntime-gpu", "1.31.1", "13.0")
    monkeypatch.setattr(onnxruntime_builds, "loads", lambda name: name == SYSTEM.cudnn)
    assert said() is None


def test_a_driver_too_old_for_cuda_13_is_told(install: Install, monkeypatch: pytest.MonkeyPatch) -> None:
    install_whole(install)
    monkeypatch.setattr(nvidia, "cuda_driver", lambda: 12040)
    assert said() == (
        "the driver is of CUDA 12.4; onnxruntime-gpu needs 13 (driver 580 or newer), or pip install "
        "'onnxruntime-gpu[cuda,cudnn]<1.26'"
    )


def test_the_build_for_cuda_12_runs_on_that_driver(install: Install, monkeypatch: pytest.MonkeyPatch) -> None:
    install_whole(install, "12.8", "1.25.1")
    monkeypatch.setattr(nvidia, "cuda_driver", lambda: 12040)
    assert said() is None


def test_without_a_gpu_nobody_is_told_to_install_for_one(install: Install, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nvidia, "cuda_devices", lambda: 0)
    monkeypatch.setattr(nvidia, "cuda_driver", lambda: 0)
    install("onnxruntime", "1.32.0")
    assert said() == "no NVIDIA GPU, or no driver for it"


def test_a_system_has_names_of_its_own(install: Install, monkeypatch: pytest.MonkeyPatch) -> None:
    package = install_whole(install)
    here = SYSTEM.library("onnxruntime_providers_cuda")
    monkeypatch.setattr(SYSTEM, "library", lambda name: f"{name}.other")
    assert (
        said() == "onnxruntime_providers_cuda.other is missing: pip install --force-reinstall --no-deps onnxruntime-gpu"
    )
    shutil.copy(package / "capi" / here, package / "capi" / "onnxruntime_providers_cuda.other")
    assert said() is None


def test_what_windows_finds_by_path_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Python leaves PATH out where it is not told otherwise, and ONNX Runtime's provider is loaded with it."""
    asked: list[tuple[str, int | None]] = []
    monkeypatch.setattr(onnxruntime_builds.ctypes, "CDLL", lambda name, winmode=None: asked.append((name, winmode)))
    assert onnxruntime_builds.loads("cudnn64_9.dll")
    assert asked == [("cudnn64_9.dll", 0)]
