"""What is told of a machine's devices."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from nafnet.runtime.doctor.apart import ask
from tests.processes import GUARD

TOOLS = Path(__file__).parents[2] / "gpu_stand_in" / "bin"


def test_an_nvidia_card_by_its_own_tool(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the number by which it is told from all others."""
    monkeypatch.setenv("PATH", str(TOOLS), prepend=os.pathsep)
    facts = ask("devices", limit=GUARD).facts
    assert facts["nvidia"] == [{"name": "NVIDIA H100 80GB HBM3", "driver": "580.65.06", "memory_mib": 81559}]


def test_a_tool_that_hangs_is_an_answer(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As nvidia-smi does where a card has fallen off its bus."""
    (tmp_path / "nvidia-smi").write_text("#!/bin/sh\nexec sleep 100000\n", encoding="ascii")
    (tmp_path / "nvidia-smi").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    answer = ask("devices", limit=2)
    assert (answer.ending, answer.facts, answer.said) == ("hung", {}, "no answer in 2 s")
