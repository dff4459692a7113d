"""What ONNX Runtime is asked to load of CUDA, and what is made of what it prints, on Linux and on Windows."""

from __future__ import annotations

import os
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
    """What comes of it if ONNX Runtime prints so on this system."""
    sessions.preload_cuda.cache_clear()

    def run(printed: str, platform: str) -> str:
        library = SimpleNamespace(__file__=str(tmp_path / "onnxruntime" / "__init__.py"))
        library.preload_dlls = lambda: print(printed, end="")
        monkeypatch.setitem(sys.modules, "onnxruntime", library)
        monkeypatch.setattr(sessions.sys, "platform", platform)
        return sessions.preload_cuda()

    yield run
    sessions.preload_cuda.cache_clear()


def test_on_linux_each_missing_library_is_named_once(said: Said, capsys: pytest.CaptureFixture[str]) -> None:
    assert said(LINUX, "linux") == "libcublas.so.13"
    assert capsys.readouterr().out == ""


def test_on_windows_a_path_has_a_colon_and_blanks(said: Said, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "add_dll_directory", lambda _: None, raising=False)
    named = "cublas64_13.dll, cudart64_13.dll, the Microsoft Visual C++ Redistributable"
    assert said(WINDOWS, "win32") == named


@pytest.mark.parametrize("folder", ["nvidia/cu13/bin/x86_64", "nvidia/cudnn/bin", "nvidia/cublas/bin"])
def test_on_windows_one_wheel_finds_anothers_libraries(
    folder: str, said: Said, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    added: list[str] = []
    monkeypatch.setattr(os, "add_dll_directory", added.append, raising=False)
    (tmp_path / folder).mkdir(parents=True)
    assert said("", "win32") == ""
    assert str(tmp_path / folder) in added
    assert all(str(tmp_path) in each for each in added)
