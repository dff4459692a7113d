"""What ONNX Runtime is asked to load of CUDA, and what is made of what it prints, on Linux and on Windows."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from nafnet import sessions

Said = Callable[..., str]
LINUX = """Failed to load /venv/lib/site-packages/onnxruntime/../nvidia/cu13/lib/libcublas.so.13: libcublasLt: no
Failed to load libcublas.so.13: libcublas.so.13: cannot open shared object file: No such file or directory
Please follow https://onnxruntime.ai/docs/install/#cuda-and-cudnn to install CUDA.
"""
WINDOWS = r"""Microsoft Visual C++ Redistributable is not installed, this may lead to the DLL load failure.
It can be downloaded at https://aka.ms/vs/17/release/vc_redist.x64.exe.
Failed to load C:\Users\A B\venv\Lib\site-packages\nvidia\cu13\bin\x86_64\cublas64_13.dll: [WinError 127] not found
Failed to load cudart64_13.dll: Could not find module 'cudart64_13.dll' (or one of its dependencies).
Failed to load cublas64_13.dll: Could not find module 'cublas64_13.dll' (or one of its dependencies).
"""


@pytest.fixture
def said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Said]:
    """What comes of it if ONNX Runtime prints so."""
    sessions.preload_cuda.cache_clear()

    def run(printed: str) -> str:
        library = SimpleNamespace(__file__=str(tmp_path / "onnxruntime" / "__init__.py"))
        library.preload_dlls = lambda: print(printed, end="")
        monkeypatch.setitem(sys.modules, "onnxruntime", library)
        return sessions.preload_cuda()

    yield run
    sessions.preload_cuda.cache_clear()


def test_on_linux_each_missing_library_is_named_once(said: Said, capsys: pytest.CaptureFixture[str]) -> None:
    assert said(LINUX) == "libcublas.so.13"
    assert capsys.readouterr().out == ""


def test_on_windows_a_path_has_a_colon_and_blanks(said: Said) -> None:
    named = "cublas64_13.dll, cudart64_13.dll, the Microsoft Visual C++ Redistributable"
    assert said(WINDOWS) == named


@pytest.mark.parametrize("folder", ["nvidia/cu13/bin/x86_64", "nvidia/cudnn/bin", "nvidia/cublas/bin"])
def test_one_wheel_finds_anothers_libraries(
    folder: str, said: Said, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the loader looks beside a library alone."""
    added: list[Path] = []
    monkeypatch.setattr(sessions.SYSTEM, "add_library_folders", lambda folders: added.extend(folders()))
    (tmp_path / folder).mkdir(parents=True)
    assert said("") == ""
    assert tmp_path / folder in added
    assert all(each.is_relative_to(tmp_path) for each in added)


def test_no_library_tells_its_makers_of_the_user(tmp_path: Path) -> None:
    """ONNX Runtime keeps a number of the machine in the user's home as soon as it is to report."""
    script = (
        "import sys\nfrom nafnet.sessions import onnxruntime_session\nfrom nafnet.pretrained import bundled_model\n"
        "onnxruntime_session(str(bundled_model()))"
    )
    home = tmp_path / "home"
    home.mkdir()
    kept = {name: value for name, value in os.environ.items() if name not in ("ORT_DISABLE_TELEMETRY", "CI")}
    places = {"HOME": str(home), "XDG_CACHE_HOME": str(home), "USERPROFILE": str(home), "LOCALAPPDATA": str(home)}
    subprocess.run([sys.executable, "-c", script], check=True, env={**kept, **places})
    assert list(home.rglob("*")) == []


@pytest.mark.parametrize("capabilities", [["FP32", "BF16"], ["FP32", "INT8"]])
def test_where_the_system_does_not_say_openvino_is_asked(
    capabilities: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def told(device: str, name: str) -> list[str]:
        asked.append((device, name))
        return capabilities

    monkeypatch.setattr(sessions.SYSTEM, "processor_flags", lambda: None)
    monkeypatch.setattr(sessions, "openvino_core", lambda: SimpleNamespace(get_property=told))
    monkeypatch.setattr(sessions.processor, "limited_kernels", lambda: None)
    assert sessions.no_bfloat16() == (None if "BF16" in capabilities else "this CPU has no bfloat16")
    assert asked == [("CPU", "OPTIMIZATION_CAPABILITIES")]


def test_what_the_system_says_of_bfloat16_is_what_openvino_says() -> None:
    """Each for itself, of this very processor."""
    there = sessions.processor.has_bfloat16()
    if there is None:
        pytest.skip("the system does not list the processor's instructions")
    assert there == ("BF16" in sessions.openvino_core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"))


@pytest.mark.parametrize(
    ("devices", "words"),
    [(("CPU",), "no Intel GPU, or no driver for it: OpenVINO lists none"), (("CPU", "GPU.0"), None)],
)
def test_openvino_is_asked_for_its_gpus(
    devices: tuple[str, ...], words: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    from nafnet.runtime.backends import presence

    monkeypatch.setattr(presence.SYSTEM, "may_have_graphics", lambda: True)
    monkeypatch.setattr(presence, "openvino_devices", lambda: devices)
    assert presence.no_openvino_gpu() == words
