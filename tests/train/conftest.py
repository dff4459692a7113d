"""A recipe that trains in a second, and runs of it."""

from __future__ import annotations

import csv
import io
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from rich.console import Console
from rich.progress import Progress
from safetensors.torch import load_file

from nafnet.train.cli import main
from nafnet.train.processes.distributed import World
from nafnet.train.processes.signals import StopRequest
from nafnet.train.recipes.recipe import Recipe
from nafnet.train.recipes.recipe_files import load_recipe
from nafnet.train.run.loop import MachineOptions, Outcome, Run
from nafnet.train.run.run_data import DataSource
from tests.processes import Ended, in_this_process

TINY = """
task = "denoise"
[architecture]
width = 4
encoder_blocks = [1]
middle_blocks = 1
decoder_blocks = [1]
[sampling]
patch = 16
[loop]
steps = 20
batch = 4
checkpoint_every = 5
[evaluation]
every = 10
images = 4
"""
# The recipe denoise, made small: it trains in a second on images of 48 pixels a side or more.
DENOISE_SMALL = (
    "architecture.width=4", "architecture.encoder_blocks=[1]", "architecture.middle_blocks=1",
    "architecture.decoder_blocks=[1]", "generated.share=0", "generated.images=4", "generated.held_out=2",
    "dead_leaves.size=64", "dead_leaves.textures=2", "sampling.patch=32", "sampling.stages=[[0.5,48,2]]",
    "schedule.warmup_steps=0", "loop.batch=4", "loop.steps=8", "loop.checkpoint_every=3", "evaluation.every=4",
    "evaluation.images=2", "evaluation.window=48",
)  # fmt: skip
Train = Callable[..., tuple[Outcome, Path, list[str]]]
Command = Callable[..., subprocess.CompletedProcess[str]]


def rows(path: Path) -> list[dict[str, str]]:
    """Of a CSV file."""
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def evaluated(run: Path) -> list[dict[str, str]]:
    """A run's evaluations, but for the time they took."""
    return [{**row, "seconds": ""} for row in rows(run / "evaluations.csv")]


def same(first: Path, second: Path) -> bool:
    """Whether two files hold the same tensors."""
    one, two = load_file(first), load_file(second)
    return one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in one)


def trained_here(*arguments: str | Path) -> Ended:
    """nafnet-train in this process, for what a process of its own, which loads PyTorch for seconds, would not show."""
    return in_this_process(main, "nafnet-train", *arguments)


@pytest.fixture
def silent() -> Progress:
    """Progress that nobody sees."""
    return Progress(console=Console(file=io.StringIO()))


@pytest.fixture
def nafnet_train() -> Command:
    """Run nafnet-train to its end, the arguments as given; more environment by keyword."""

    def run(*arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
        program = Path(sys.executable).with_name("nafnet-train")
        variables = {**os.environ, "COLUMNS": "200", **environment}
        return subprocess.run([program, *arguments], capture_output=True, text=True, check=False, env=variables)

    return run


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    """A recipe for pairs that trains in a second."""
    path = tmp_path / "tiny.toml"
    path.write_text(TINY, encoding="utf-8")
    return path


@pytest.fixture
def pairs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two folders of twenty pairs of 24 x 32, noisy and smooth; the cache is a folder of the test's own."""
    monkeypatch.setenv("NAFNET_CACHE", str(tmp_path / "cache"))
    generator = np.random.default_rng(0)
    for index in range(20):
        ramp = np.linspace(0, 255, 32)[None, :, None] * generator.random((24, 1, 3))
        for side, image in (("target", ramp), ("input", ramp + generator.normal(0, 20, ramp.shape))):
            folder = tmp_path / "pairs" / side
            folder.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.clip(image, 0, 255).astype(np.uint8)).save(folder / f"{index:02}.png")
    return tmp_path / "pairs"


@pytest.fixture
def train(recipe: Path, pairs: Path, tmp_path: Path, silent: Progress) -> Train:
    """Train in this process; returns the outcome, the run's folder and what was said."""

    def run(*overrides: str, folder: str = "run", workers: int = 0, skip_bad: bool = False) -> tuple[
        Outcome, Path, list[str]
    ]:  # fmt: skip
        torch.set_num_threads(1)
        said: list[str] = []
        loaded = load_recipe(str(recipe), overrides)
        source = DataSource(root=pairs / "input", target=pairs / "target", skip_bad=skip_bad)
        run = Run(loaded, tmp_path / folder, World(), MachineOptions(workers=workers), said.append)
        with silent:
            outcome = run.train(source, silent, StopRequest())
        return outcome, tmp_path / folder, said

    return run


@pytest.fixture
def photographs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of ten photographs of several sizes and kinds of file, two of them in a folder below."""
    monkeypatch.setenv("NAFNET_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "photographs"
    (folder / "more").mkdir(parents=True)
    for index in range(10):
        height, width = 64 + 4 * index, 96 - 3 * index
        ramp = np.linspace(0, 255, width)[None, :, None] * np.random.default_rng(index).random((height, 1, 3))
        where = folder / "more" if index > 7 else folder
        suffix = ("png", "webp", "tif")[index % 3]
        Image.fromarray(ramp.astype(np.uint8)).save(where / f"{index:02}.{suffix}", lossless=True)
    return folder


def small_denoise(*overrides: str) -> Recipe:
    """The recipe denoise, made small, and changed."""
    return load_recipe("denoise", [*DENOISE_SMALL, *overrides])
