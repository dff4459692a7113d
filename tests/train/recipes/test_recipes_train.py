"""Every recipe trains from every data set it was written for, and what it makes is exported and run with no flag."""

from __future__ import annotations

import json
import runpy
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from rich.progress import Progress

from nafnet.checkpoint import load_checkpoint
from nafnet.train.processes.distributed import World
from nafnet.train.processes.signals import StopRequest
from nafnet.train.recipes.recipe_files import bundled_recipes, load_recipe
from nafnet.train.run.loop import MachineOptions, Run
from nafnet.train.run.run_data import DataSource
from nafnet.train.run.validation import BEST
from tests.export.conftest import nafnet_export
from tests.train.conftest import Command, trained_here

MADE = runpy.run_path(str(Path(__file__).parents[1] / "make_data.py"))
SIDE = 48
# Every length in a recipe by a sixteenth, so that it fits the small images.
SMALL = {
    ("prepare", "resize"): 256, ("prepare", "piece"): 256, ("prepare", "window"): 512, ("prepare", "stride"): 384,
    ("sampling", "patch"): 256, ("sampling", "crop"): 512, ("evaluation", "window"): 512,
}  # fmt: skip
BRIEF = ("architecture.width=4", "loop.steps=3", "loop.batch=4", "evaluation.every=3", "evaluation.images=4")
GENERATED = (
    "generated.images=20", "dead_leaves.size=64", "sampling.patch=32", "sampling.stages=[[0.7,48,4]]",
    "schedule.warmup_steps=0",
)  # fmt: skip
FITTING = [(name, layout) for name in bundled_recipes() for layout in load_recipe(name).layouts]


def small(name: str) -> list[str]:
    """Overrides that make a recipe train three steps in a moment, on images of 48 x 48."""
    tables = load_recipe(name).to_dict()
    changes = [
        f"{table}.{key}={tables[table][key] // 16}" for table, key in SMALL if tables[table][key] and table in tables
    ]
    return [*changes, *BRIEF]


@pytest.mark.parametrize(("name", "layout"), FITTING)
def test_a_recipe_trains_from_the_data_it_is_for(
    name: str, layout: str, tmp_path: Path, silent: Progress, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NAFNET_CACHE", str(tmp_path / "cache"))
    recipe = load_recipe(name, small(name))
    made = "reds-jpeg" if recipe.degraded == "blur_jpeg" else layout
    MADE["LAYOUTS"][made](tmp_path / "data", MADE["noise"](SIDE, SIDE + 16), 20)
    torch.set_num_threads(1)
    with silent:
        run = Run(recipe, tmp_path / "run", World(), MachineOptions(), [].append)
        assert run.train(DataSource(root=tmp_path / "data"), silent, StopRequest()).step == 3
    record = json.loads((tmp_path / "run" / "run.json").read_text(encoding="utf-8"))
    parts = record["data"]["parts"]
    assert record["data"]["layout"] == layout
    assert {"train", "validation"} <= set(parts)
    prepare = recipe.prepare
    if not prepare.window:
        expected = parts["train"]["pairs"] * (3 if prepare.flips else 1) * (prepare.grid or 1) ** 2
        assert parts["train"]["images"] == expected
    spec = load_checkpoint(tmp_path / "run" / BEST).spec
    assert spec.architecture == recipe.architecture
    assert spec.task == recipe.task


def export_and_run(run: Path, images: Path, folder: Path) -> None:
    """`nafnet-export` and `nafnet-run`, with no flag that says what the model is."""
    exported = nafnet_export(run / BEST, "-o", folder / "exported", cwd=Path.cwd())
    assert exported.returncode == 0, exported.stdout + exported.stderr
    (model,) = (folder / "exported").glob("*.onnx")
    words = [Path(sys.executable).with_name("nafnet-run"), "--model", model, images, folder / "restored"]
    restored = subprocess.run(words, capture_output=True, text=True, check=False)
    assert restored.returncode == 0, restored.stderr
    assert np.asarray(Image.open(folder / "restored" / "00.png")).shape == (24, 32, 3)


def test_what_is_trained_is_exported_and_run_with_no_flag(recipe: Path, pairs: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    done = trained_here(recipe, "--input", pairs / "input", "--target", pairs / "target", "-o", run)
    assert done.returncode == 0, done.stderr
    export_and_run(run, pairs / "input", tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("name", bundled_recipes())
def test_what_each_recipe_makes_is_exported_and_run_with_no_flag(
    name: str, pairs: Path, tmp_path: Path, nafnet_train: Command
) -> None:
    run, layouts = tmp_path / "run", load_recipe(name).layouts
    for layout in layouts[:1]:
        MADE["LAYOUTS"][layout](tmp_path / "data", MADE["noise"](SIDE, SIDE + 16), 20)
    data = ["--data", tmp_path / "data"] if layouts else []
    changes = small(name) if layouts else [*GENERATED, *BRIEF]
    done = nafnet_train(name, *data, *(f"--set={change}" for change in changes), "--threads=1", "-o", run)
    assert done.returncode == 0, done.stderr
    export_and_run(run, pairs / "input", tmp_path)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["denoise", "--input", "a", "--target", "b", "--steps", "30"],  # a warm-up that does not fit matters less
            "the recipe denoise makes its own training images and takes no folders of pairs. For your own pairs: "
            "nafnet-train pairs --input a --target b. For clean photographs: --clean FOLDER",
        ),
        (["denoise", "--data", "{pairs}", "--device", "tpu"], "For your own pairs: nafnet-train pairs --data {pairs}."),
        (["study/v1"], "the recipe study/v1 trains on pairs of images: give --input DIR --target DIR, or --data DIR"),
        (["denoise", "--set", "loop.steps=30"], "the run has 30 steps; choose fewer: --set schedule.warmup_steps=3"),
        (["denoise", "--steps", "30", "--set", "schedule.warmup_steps=40"], "warmup_steps = 40; the run has 30 steps"),
        (["--input", "a", "--target", "b"], "no recipe is given; for your own pairs: nafnet-train pairs --input DIR"),
        (["denoies"], "no recipe is named 'denoies'; did you mean denoise? `nafnet-train list` says what there is"),
        (["{pairs}/mine.toml"], "mine.toml: no such file"),
        (["data"], "give the FOLDER of a data set, or in place of it --input DIR --target DIR"),
        (["data", "{pairs}", "--target", "{pairs}/target"], "--input and --target go together; give both"),
        (["{recipe}", "--input", "{pairs}/input"], "--input and --target go together"),
        (["{recipe}", "--data", "{pairs}", "--target", "{pairs}/target"], "--data does not go with"),
        (["{recipe}", "--data", "{pairs}/none"], "no such folder"),
        (["{recipe}", "--data", "{pairs}", "--device", "tpu"], "expected auto, cpu, cuda or cuda:N"),
        (["{recipe}", "--data", "{pairs}", "--device", "cuda:7"], "found 0 NVIDIA GPUs"),
        (["{recipe}", "--data", "{pairs}", "--set", "loop.batches=3"], "[loop] has no 'batches'"),
        (["compare", "{pairs}"], "no run of nafnet-train"),
    ],
)
def test_wrong_commands_are_refused_in_a_line(
    words: list[str], message: str, recipe: Path, pairs: Path, tmp_path: Path
) -> None:
    filled = [word.format(pairs=pairs, recipe=recipe) for word in words]
    filled += [] if words[0] in ("compare", "data") else ["-o", str(tmp_path / "run")]
    done = trained_here(*filled)
    assert done.returncode in (1, 2)
    assert message.format(pairs=pairs) in done.stderr
    assert len([line for line in done.stderr.splitlines() if not line.startswith("  ")]) == 1, "but for choices"


def spoil_array(pairs: Path, change: Callable[[np.ndarray], np.ndarray]) -> Path:
    folder = pairs / "arrays"
    folder.mkdir()
    values = np.random.default_rng(0).random((20, 16, 16, 3), np.float32)
    np.save(folder / "gt_images_256.npy", values)
    np.save(folder / "noisy_images_256.npy", change(values))
    return folder


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda values: values[:-1], "is [20"),
        (lambda values: values[:, :8], "[20, 8, 16, 3]"),
        (lambda values: values * 3, "expected floats in [0, 1], or uint8"),
        (lambda values: np.where(values > 0.999, np.nan, values).astype(np.float32), "values from nan"),
    ],
)
def test_bad_arrays_are_refused_in_a_line(
    change: Callable[[np.ndarray], np.ndarray], message: str, recipe: Path, pairs: Path
) -> None:
    done = trained_here(recipe, "--data", spoil_array(pairs, change), "-o", pairs / "run")
    assert done.returncode == 2
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_bad_pairs_are_refused_and_left_out_when_asked(recipe: Path, pairs: Path, tmp_path: Path) -> None:
    (pairs / "input" / "00.png").unlink()
    Image.new("RGB", (10, 10)).save(pairs / "input" / "01.png")
    whole = (pairs / "target" / "02.png").read_bytes()
    (pairs / "target" / "02.png").write_bytes(whole[: len(whole) - 30])
    words = [recipe, "--input", pairs / "input", "--target", pairs / "target", "-o", tmp_path / "run"]
    refused = trained_here(*words)
    assert refused.returncode == 2
    assert len(refused.stderr.splitlines()) == 1
    for part in ("00.png: no degraded image", "01.png: 10x10 pixels", "--skip-bad"):
        assert part in refused.stderr
    done = trained_here(*words, "--skip-bad")
    assert done.returncode == 0, done.stderr
    left_out = [line for line in done.stdout.splitlines() if line.startswith("left out:")]
    assert [any(name in line for line in left_out) for name in ("00.png", "01.png", "02.png")] == [True] * 3
    assert len(left_out) == 3
