"""One run of nafnet-bench on a tiny network, for every test that looks at what it wrote."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from nafnet.architecture import NAFNet
from nafnet.benchmarks.measure import roofline
from nafnet.benchmarks.rows.candidate import Candidate
from nafnet.benchmarks.rows.candidates import Wanted, rows
from nafnet.benchmarks.rows.exports import Exports
from nafnet.checkpoint import load_checkpoint
from nafnet.spec import Architecture
from tests.sharing import Once

from .verdict.timed import timed

Command = Callable[..., subprocess.CompletedProcess[str]]
ROOT = Path(__file__).parents[2]
BACKENDS = ("torch", "onnxruntime", "openvino")


SHORT = """
import sys
from pathlib import Path
import torch
from nafnet.benchmarks.cli import main
from nafnet.benchmarks.measure import roofline
from tests.exported import Exporter
from tests.sharing import Once
torch.onnx.export = Exporter(Once.at(Path(sys.argv.pop(1))))
roofline.MATRIX_SIDE["cpu"], roofline.COPIED_BYTES["cpu"] = 64, 2**16
main(prog_name="nafnet-bench")
"""
"""The program with exports that all workers share, and yardsticks that take no time."""


def nafnet_bench(folder: Path, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run it to its end in a folder."""
    program = Path(sys.executable).with_name("nafnet-bench")
    return subprocess.run([program, *arguments], cwd=folder, capture_output=True, text=True, check=False)


def shown_times(row: dict[str, Any]) -> list[str]:
    """Of a row of the JSON, as tables have them: without the last percentiles of too few calls."""
    speed = row["speed"]
    names = ("minimum", "median", "p90", "p95", "p99")
    few = len(speed["seconds"]) < 20
    return ["" if few and name in names[3:] else f"{1e3 * speed[name]:.1f}" for name in names]


def photographs(folder: Path) -> None:
    """One picture of 96 x 80, in a folder of its own."""
    folder.mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (10, 12, 3), np.uint8)
    Image.fromarray(pixels).resize((96, 80), Image.Resampling.BICUBIC).save(folder / "<a>.png")


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint whose branches are open, so that they count."""
    torch.manual_seed(0)
    network = NAFNet(Architecture(width=4, encoder_blocks=(1,), middle_blocks=1, decoder_blocks=(1,)))
    for name, parameter in network.named_parameters():
        if name.endswith(("beta", "gamma")):
            torch.nn.init.normal_(parameter, std=0.1)
    path = tmp_path_factory.mktemp("model") / "small.pth"
    torch.save({"params": network.state_dict()}, path)
    return path


@pytest.fixture(scope="session")
def benched(small: Path, once: Once) -> Path:
    """A folder with result.json, result.html, result.md and what was printed, in out.txt."""

    def make(folder: Path) -> None:
        folder.mkdir()
        photographs(folder / "images")
        named = [word for name in BACKENDS for word in ("--backend", name)]
        written = ["--json", "result.json", "--html", "result.html", "--markdown", "result.md"]
        words = ["--model", small, *named, "--tile", "64,96", "--seconds", "0.2", "--images", "images", "--profile"]
        path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
        done = subprocess.run(
            [sys.executable, "-P", "-c", SHORT, once.folder, *words, *written], cwd=folder, capture_output=True,
            text=True, check=False, env={**os.environ, "PYTHONPATH": path},
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        (folder / "out.txt").write_text(done.stdout, encoding="utf-8")

    return once("bench", make)


@pytest.fixture
def result() -> Any:
    """A result to be changed by hand."""
    return timed()


@pytest.fixture(autouse=True)
def _short_yardsticks(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the machine can do is not asked in this process."""
    monkeypatch.setitem(roofline.MATRIX_SIDE, "cpu", 64)
    monkeypatch.setitem(roofline.COPIED_BYTES, "cpu", 2**16)


@pytest.fixture
def exports(small: Path, tmp_path: Path) -> Exports:
    """Of the small checkpoint, made when they are needed."""
    return Exports(load_checkpoint(small), tmp_path, "rms")


@pytest.fixture(scope="session")
def candidates(small: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Candidate]:
    """PyTorch, and ONNX Runtime on both exports."""
    exports = Exports(load_checkpoint(small), tmp_path_factory.mktemp("exports"), "rms")
    found = rows(exports, Wanted(backends=("onnxruntime",)))
    return [row for row in found if isinstance(row, Candidate)]
