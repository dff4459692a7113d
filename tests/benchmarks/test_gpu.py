"""nafnet-bench on a GPU: its rows, copies apart from computing, and TF32 under its own name."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from nafnet.runtime.backends import presence

from .conftest import nafnet_bench

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not presence.cuda_devices(), reason="needs an NVIDIA GPU"),
]


def test_the_table_of_a_gpu(small: Path, tmp_path: Path) -> None:
    words = ["--model", small, "--tile", "64", "--batch", "1,4", "--seconds", "0.5", "--json", "out.json"]
    done = nafnet_bench(tmp_path, *words, "--html", "out.html")
    assert done.returncode == 0, done.stderr
    (model,) = json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))["models"]
    for case in model["cases"]:
        timed = {row["name"] for row in case["rows"] if "speed" in row}
        assert {"torch eager", "torch channels-last", "torch eager TF32"} <= timed
        assert all(row["device"]["compute"] > 0 for row in case["rows"] if row["name"] in timed)
        assert all(row["streamed_seconds"] > 0 for row in case["rows"] if row["name"] in timed)
        assert case["readings"]["while it works"]
        assert case["transfers"]["to_device"] > 0
        assert any("GPU" in name for name in case["readings"]["after"])
    assert any(start.get("device_mb") for start in model["starts"])
