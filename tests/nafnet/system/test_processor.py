"""The instructions of a processor, read from Linux's own file and, elsewhere, from NumPy."""

from __future__ import annotations

from pathlib import Path

import pytest

from nafnet.system import linux, processor

LIMITS = ("ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA")


@pytest.fixture
def cpu_info(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in LIMITS:
        monkeypatch.delenv(name, raising=False)
    path = tmp_path / "cpuinfo"
    monkeypatch.setattr(linux, "CPU_INFO", path)
    return path


def test_those_that_decide_are_named_and_no_others(cpu_info: Path) -> None:
    cpu_info.write_text("processor\t: 0\nflags\t\t: fpu avx512_vnni sse2 avx2\nbugs : amx_int8\n", encoding="ascii")
    assert processor.features() == ("avx2", "avx512_vnni")
    cpu_info.write_text("processor\t: 0\nFeatures\t: fp asimd asimddp i8mm bf16\n", encoding="ascii")
    assert processor.features() == ("asimd", "asimddp", "i8mm", "bf16")


def test_a_limit_on_the_kernels_is_one_of_them(cpu_info: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cpu_info.write_text("flags : avx2\n", encoding="ascii")
    monkeypatch.setenv("DNNL_MAX_CPU_ISA", "AVX2")
    assert processor.features() == ("avx2", "DNNL_MAX_CPU_ISA=AVX2")
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "SSE41")
    assert processor.features() == ("avx2", "ONEDNN_MAX_CPU_ISA=SSE41")


@pytest.mark.skipif(not linux.CPU_INFO.is_file(), reason="NumPy's answer is compared with that of Linux")
def test_without_linux_numpy_is_asked(cpu_info: Path) -> None:
    here = set(Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace").split())
    found = processor.features()
    assert not cpu_info.exists()
    assert set(found) <= here
    assert ("avx2" in found) == ("avx2" in here)
    assert processor.has_bfloat16() is None
