"""nafnet-bench on a GPU that the stand-in plays: which rows there are, what they hold, and the whole path of a plan."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from nafnet.architecture import NAFNet
from nafnet.benchmarks.cli import main
from nafnet.benchmarks.measure import roofline, whole_path
from nafnet.benchmarks.profiles.profiled import profiles
from nafnet.benchmarks.rows.candidate import Candidate
from nafnet.benchmarks.rows.candidates import Wanted, rows
from nafnet.benchmarks.rows.exports import Exports
from nafnet.checkpoint import load_checkpoint, save_checkpoint
from nafnet.planfile import inspect_plan
from nafnet.runtime import Restorer
from nafnet.spec import ModelSpec
from tests.conftest import TINY
from tests.export.conftest import nafnet_export
from tests.gpu_stand_in.device import Device
from tests.gpu_stand_in.machine import Machine, install_onnxruntime
from tests.gpu_stand_in.tensorrt_runtime import LAYER_MS
from tests.processes import in_this_process
from tests.runtime.backends import cuda_onnxruntime

from .conftest import photographs

BIN = Path(__file__).parents[1] / "gpu_stand_in" / "bin"
TILE, LARGE = 64, 128
"""Of the network, and one that the profile of its plan does not reach: 1.5 times the training patch, or the tile."""


@pytest.fixture
def onnxruntime_cuda(gpu: Machine, monkeypatch: pytest.MonkeyPatch) -> Iterator[cuda_onnxruntime.Machine]:
    """ONNX Runtime on the same machine."""
    machine = install_onnxruntime(monkeypatch)
    yield machine
    assert machine.faults == []
    assert gpu.device.held == []


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Yardsticks and photographs that take no time, and NVIDIA's tool."""
    monkeypatch.setenv("PATH", f"{BIN}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(whole_path, "TILES", (4, 4))
    monkeypatch.setitem(roofline.MATRIX_SIDE, "cuda", 64)
    monkeypatch.setitem(roofline.COPIED_BYTES, "cuda", 2**16)


@pytest.fixture
def tiny(tiny_network: NAFNet, tmp_path: Path) -> Path:
    """A network whose results are near to its input, as a trained one's are; its training patch is small."""
    with torch.no_grad():
        tiny_network.ending.weight *= 0.02
        tiny_network.ending.bias *= 0.02
    path = tmp_path / "tiny.safetensors"
    spec = ModelSpec(architecture=TINY, multiple=4, train_patch=32, tile=TILE, overlap=8, task="denoise")
    save_checkpoint(path, dict(tiny_network.state_dict()), spec)
    photographs(tmp_path / "images")
    return path


def benched(folder: Path, *words: str | Path, model: Path | str = "tiny.safetensors") -> list[dict[str, Any]]:
    """The cases of a run."""
    common = [
        "--seconds",
        "0",
        "--no-cold",
        "--images",
        "images",
        "--threads",
        "1",
        "--json",
        "out.json",
        "--markdown",
        "out.md",
    ]
    done = in_this_process(main, "nafnet-bench", "--model", model, *words, *common, cwd=folder)
    assert done.returncode == 0, done.stderr + done.stdout
    (model,) = json.loads((folder / "out.json").read_text(encoding="utf-8"))["models"]
    cases: list[dict[str, Any]] = model["cases"]
    return cases


def rows_of(case: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {row["name"]: row for row in case["rows"]}


@pytest.mark.usefixtures("gpu")
def test_each_tile_and_batch_has_a_plan_of_its_own(tiny: Path) -> None:
    words = ["--backend", "tensorrt", "--precision", "fp32", "--tile", f"{TILE},{LARGE}", "--batch", "1,2"]
    cases = benched(tiny.parent, *words)
    assert [(case["batch"], case["tile"]) for case in cases] == [(1, TILE), (2, TILE), (1, LARGE), (2, LARGE)]
    for case in cases:
        rows = rows_of(case)
        assert {name: row["refused"] for name, row in rows.items() if row["refused"]} == {}
        assert list(rows) == ["torch eager", "tensorrt ours fp32"]
        for row in rows.values():
            assert row["device"]["clock"] == "events"
            assert min(row["device"]["compute"], row["device"]["copies"]) > 0
            assert row["streamed_megapixels_per_second"] > 0
        assert case["readings"]["while it works"]["lowest GPU MHz"] == 1980
    shown = (tiny.parent / "out.md").read_text(encoding="utf-8")
    assert "on the GPU: computing, ms" in shown


def test_onnxruntime_is_measured_with_graphs(tiny: Path, onnxruntime_cuda: cuda_onnxruntime.Machine) -> None:
    """Which it makes for a model of one size alone."""
    (case,) = benched(tiny.parent, "--backend", "onnxruntime-cuda", "--precision", "fp32", "--tile", f"{TILE}")
    rows = rows_of(case)
    assert {name: row["refused"] for name, row in rows.items() if row["refused"]} == {}
    assert list(rows) == ["torch eager", "onnxruntime-cuda naive", "onnxruntime-cuda ours"]
    assert rows["onnxruntime-cuda ours"]["device"]["clock"] == "host"
    assert "| &lt; " in (tiny.parent / "out.md").read_text(encoding="utf-8"), "no more than what the host saw"
    assert onnxruntime_cuda.captures > 0
    assert onnxruntime_cuda.replays > 0


@pytest.mark.parametrize("backend", ["tensorrt", "tensorrt-rtx"])
def test_a_plan_is_profiled_layer_by_layer(gpu: Machine, tiny: Path, backend: str) -> None:
    """The stand-in says what TensorRT does of a network that it fused to one layer: that is of no level."""
    if backend == "tensorrt-rtx":
        gpu.use(Device("NVIDIA GeForce RTX 4090", (8, 9)))
    exports = Exports(load_checkpoint(tiny), tiny.parent, "rms")
    wanted = Wanted(backends=(backend,), precisions=("fp32",), shapes=((1, TILE),))
    plans = [row for row in rows(exports, wanted) if isinstance(row, Candidate) and row.backend == backend]
    (profile,) = profiles(plans, exports, 1, 1, TILE, lambda _: None)
    assert "failed" not in profile, profile
    layers = 2  # the network, and a wait
    seconds = pytest.approx(layers * LAYER_MS / 1e3)
    assert profile["operators"] == [{"level": "outside", "operator": "other", "seconds": seconds, "count": layers}]


@pytest.mark.usefixtures("gpu")
def test_tf32_is_judged_by_a_gate_of_its_own(tiny: Path, small: Path) -> None:
    (case,) = benched(tiny.parent, "--backend", "torch-eager", "--tile", f"{TILE}", model=small)
    row = rows_of(case)["torch eager TF32"]
    assert row["precision"] == "tf32"
    assert 60 < row["parity"]["psnr"] < 90, "ten bits, which the gate of fp32 refuses"
    assert row["speed"]["minimum"] > 0
    assert row["share_of_matrix_rate"] > 0, "of a product in TF32"
    assert {"matrix product fp32", "matrix product tf32"} <= set(case["yardsticks"])


def test_from_the_export_to_the_row_of_its_plan(
    gpu: Machine, onnxruntime_cuda: cuda_onnxruntime.Machine, tiny: Path, photograph: NDArray[np.uint8]
) -> None:
    """nafnet-export, Restorer.load, restore, and nafnet-bench on what was exported."""
    folder = tiny.parent
    formats = ["--format", "tensorrt", "--format", "onnx"]
    done = nafnet_export(tiny.name, "--norm", "fused", "--tile", f"{TILE}", *formats, "-o", "out", cwd=folder)
    assert done.returncode == 0, done.stderr + done.stdout
    (plan,), (onnx_file,) = (folder / "out").glob("*.plan"), (folder / "out").glob("*.onnx")
    spec = inspect_plan(plan)
    assert spec.parity is not None
    assert spec.parity.ran_on == ("tensorrt",)
    whole_tiles, pictures = photograph[:, :176], {}  # 120 and 176 are 2 and 3 tiles that share 8
    for model, backend in ((tiny, "torch"), (plan, "tensorrt"), (onnx_file, "onnxruntime-cuda")):
        with Restorer.load(model, backend=backend, tile=TILE) as restorer:
            pictures[backend] = [restorer.restore(whole_tiles).astype(int) for _ in range(3)][-1]  # by a graph
    assert np.ptp(pictures["torch"] - whole_tiles) > 2, "a network that does nothing would prove nothing"
    assert np.abs(pictures["tensorrt"] - pictures["torch"]).max() <= 1
    assert np.abs(pictures["onnxruntime-cuda"] - pictures["torch"]).max() <= 1
    assert gpu.device.replays > 0
    assert onnxruntime_cuda.captures > 0
    words = ["--model", f"out/{plan.name}", "--model", f"out/{onnx_file.name}", "--precision", "fp32"]
    named = ["--backend", "tensorrt", "--backend", "onnxruntime-cuda", "--tile", f"{TILE}"]
    (case,) = benched(folder, *words, *named)
    for name in (f"tensorrt {plan.name}", f"onnxruntime-cuda {onnx_file.name}"):
        row = rows_of(case)[name]
        assert row["refused"] is None
        assert row["parity"]["psnr"] > 100
        assert row["speed"]["minimum"] > 0
