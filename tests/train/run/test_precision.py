"""bf16 on processors that do not multiply it is fp32, and that is said."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from nafnet.system import SYSTEM
from nafnet.train.run.precision import computed_in
from tests.train.conftest import DENOISE_SMALL, trained_here

CPU = torch.device("cpu")


def test_it_follows_the_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(type(SYSTEM), "processor_flags", lambda _: frozenset({"avx2", "avx512f"}))
    assert computed_in("bf16", CPU) == (
        "fp32", "precision: fp32 in place of the recipe's bf16, which this processor does not multiply"
    )  # fmt: skip
    assert computed_in("bf16", torch.device("cuda")) == ("bf16", None)
    assert computed_in("fp32", CPU) == ("fp32", None)
    for flags in (frozenset({"avx512f", "avx512_bf16"}), None):
        monkeypatch.setattr(type(SYSTEM), "processor_flags", lambda _, flags=flags: flags)
        assert computed_in("bf16", CPU) == ("bf16", None), "there it is, or nobody can tell"


def test_a_run_of_denoise_says_so_and_trains(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX2")
    words = [word for override in DENOISE_SMALL for word in ("--set", override)]
    ended = trained_here("denoise", *words, "-o", tmp_path / "run", "--device", "cpu")
    assert ended.returncode == 0, ended.stderr
    assert "fp32 in place of the recipe's bf16, of which ONEDNN_MAX_CPU_ISA=AVX2 allows no kernels" in ended.stdout
    assert 'precision = "bf16"' in (tmp_path / "run" / "recipe.toml").read_text(encoding="utf-8"), "it goes on anywhere"
