"""nafnet-bench: the table's rows, their order, and the JSON beside it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import torch
from nafnet.benchmarks.timing import alternate
from nafnet.runtime.backends import states

from nafnet.architecture import NAFNet
from nafnet.spec import Architecture


def test_functions_are_called_in_turn() -> None:
    calls: list[str] = []
    timings = alternate([lambda: calls.append("a"), lambda: calls.append("b")], rounds=3, warmup=1)
    assert calls == ["a", "b"] * 4
    assert [len(timing.seconds) for timing in timings] == [3, 3]
    assert all(0 <= timing.minimum <= timing.median for timing in timings)


def test_every_backend_is_compared(tmp_path: Path) -> None:
    torch.manual_seed(0)
    small = NAFNet(Architecture(width=4, encoder_blocks=(1,), middle_blocks=1, decoder_blocks=(1,)))
    torch.save({"params": small.state_dict()}, tmp_path / "small.pth")
    program = Path(sys.executable).with_name("nafnet-bench")
    arguments = ["--model", "small.pth", "--size", "64", "--rounds", "2", "--json", "out.json"]
    done = subprocess.run([program, *arguments], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.index("Parity") < done.stdout.index("Speed")
    content = json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))
    names = [row["name"] for row in content["results"]]
    assert names[:2] == ["torch eager", "torch channels-last"]
    present = [name for name, entry, missing in states() if entry.reads == "onnx" and missing is None]
    assert {"openvino", "onnxruntime"} <= set(present)
    assert set(names[2:]) == {f"{b} {e}" for b in present for e in ("naive", "ours")}
    assert all(row["psnr_to_torch"] > (45 if "bf16" in row["name"] else 90) for row in content["results"])
    assert all(row["milliseconds"]["min"] <= row["milliseconds"]["median"] for row in content["results"])
    assert content["machine"]["versions"]["torch"]


def test_size_must_fit_the_model(tmp_path: Path) -> None:
    program = Path(sys.executable).with_name("nafnet-bench")
    done = subprocess.run([program, "--size", "100"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "multiple of 16" in done.stderr
