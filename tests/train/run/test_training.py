"""Training in this process: it learns, evaluates, stops early, and stops before a step that is not finite."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from nafnet.checkpoint import load_checkpoint
from nafnet.errors import DataError, TrainingError
from nafnet.train.processes.distributed import World
from nafnet.train.recipes.recipe import Recipe
from nafnet.train.recipes.recipe_files import load_recipe
from nafnet.train.run.curves import turning_point
from nafnet.train.run.trainer import Trainer
from tests.train.conftest import Train, rows


def test_a_run_learns_and_writes_down_what_it_did(train: Train) -> None:
    outcome, run, said = train("loop.steps=60")
    assert outcome.step == 60
    evaluations = [row for row in rows(run / "evaluations.csv") if row["set"] == "validation"]
    assert [int(row["step"]) for row in evaluations] == [10, 20, 30, 40, 50, 60]
    assert float(evaluations[-1]["psnr"]) > float(evaluations[0]["psnr"]) + 1
    assert [int(row["step"]) for row in rows(run / "steps.csv")] == list(range(1, 61))
    spec = load_checkpoint(run / "best.safetensors").spec
    assert (spec.task, spec.train_patch, spec.multiple) == ("denoise", 16, 2)
    assert load_recipe(str(run / "recipe.toml")).loop.steps == 60
    record = json.loads((run / "run.json").read_text(encoding="utf-8"))
    parts = record["data"]["parts"]
    assert {part: parts[part]["pairs"] for part in parts} == {"train": 16, "validation": 2, "test": 2}
    assert len({name for part in parts.values() for name in part["names"]}) == 20
    assert Image.open(run / "curves.png").size[0] > 800
    assert Image.open(run / "samples" / "step-00000060.png").size == (3 * 32, 2 * 24)
    assert sorted(path.name for path in (run / "states").iterdir()) == ["state-00000055.pt", "state-00000060.pt"]
    assert all(float(row["seconds"]) > 0 for row in evaluations)
    assert said[0] == "two folders: train 16 pairs, validation 2 pairs, test 2 pairs"
    assert said[1] == "60 steps of 4 images, an evaluation after every 10"
    assert [line.partition(":")[0] for line in said[2:]] == [f"step {step}" for step in range(10, 70, 10)]


def test_it_stops_where_validation_gets_no_better(train: Train) -> None:
    still = ("loop.learning_rate=0", "schedule.final_rate=0")
    outcome, run, _ = train("loop.steps=500", *still, "evaluation.every=2", "evaluation.patience=3")
    assert outcome.early
    assert (outcome.step, outcome.best_step) == (8, 2)
    assert (run / "states" / "state-00000008.pt").exists(), "it can be gone on from"


def test_the_moving_average_is_what_is_written(train: Train) -> None:
    _, run, _ = train("loop.steps=3", "loop.ema=0.5", folder="average")
    state = torch.load(run / "states" / "state-00000003.pt", weights_only=True)
    written = load_file(run / "last.safetensors")
    assert all(torch.equal(state["average"][f"module.{name}"], tensor) for name, tensor in written.items())
    assert not torch.equal(state["model"]["intro.weight"], written["intro.weight"])


def test_images_of_many_sizes_smaller_than_a_patch_are_refused(train: Train, pairs: Path) -> None:
    for side in ("input", "target"):
        Image.new("RGB", (12, 12)).save(pairs / side / "05.png")
    with pytest.raises(DataError, match=r"smallest sides 12 and 12, and patches of 16.*sampling\.patch"):
        train("loop.steps=1", "split.seed=1")


def trainer(tmp_path: Path, **loop: Any) -> Trainer:
    loop = {"precision": "fp32", "loss": "psnr", **loop}
    recipe: Recipe = load_recipe("denoise", ["architecture.width=4", *(f"loop.{k}={v}" for k, v in loop.items())])
    return Trainer(recipe, 10, World(), tmp_path)


BATCH = tuple(torch.rand(2, 2, 3, 32, 32, generator=torch.Generator().manual_seed(0)))


@pytest.mark.parametrize(
    ("spoil", "cause"),
    [
        (lambda _, image: image.__setitem__((0, 0, 0, 0), torch.nan), "the images hold values"),
        (lambda weight, _: weight.fill_(torch.inf), "weights are not finite"),
        (lambda weight, _: weight.fill_(3e38), "the network overflowed in fp32"),
    ],
)
def test_what_is_not_finite_stops_the_run_before_the_step(
    spoil: Callable[[Any, Any], object], cause: str, tmp_path: Path
) -> None:
    chosen, batch = trainer(tmp_path), tuple(side.clone() for side in BATCH)
    spoil(chosen.model.intro.weight.data, batch[0])
    before = {name: tensor.clone() for name, tensor in chosen.model.state_dict().items()}
    with pytest.raises(TrainingError, match=cause):
        chosen.train_step([batch])  # type: ignore[list-item]
    assert chosen.step == 0
    assert all(torch.equal(before[name], tensor) for name, tensor in chosen.model.state_dict().items())
    saved = load_file(tmp_path / "not-finite-step-0-rank-0.safetensors")
    torch.testing.assert_close(saved["degraded.0"], batch[0], equal_nan=True, rtol=0, atol=0)


def test_accumulated_parts_are_one_batch(tmp_path: Path) -> None:
    one, two = trainer(tmp_path), trainer(tmp_path, accumulate=2)
    first = one.train_step([BATCH])
    second = two.train_step([(BATCH[0][:1], BATCH[1][:1]), (BATCH[0][1:], BATCH[1][1:])])
    assert first.loss == pytest.approx(second.loss, rel=1e-6)
    assert first.gradient_norm == pytest.approx(second.gradient_norm, rel=1e-4)


def test_bf16_is_near_fp32(tmp_path: Path) -> None:
    full, half = trainer(tmp_path), trainer(tmp_path, precision="bf16")
    losses = [[each.train_step([BATCH]).loss for _ in range(5)] for each in (full, half)]
    assert losses[0] == pytest.approx(losses[1], abs=0.2)
    assert losses[0] != losses[1]
    assert all(weight.dtype == torch.float32 for weight in half.model.parameters())


def test_validation_that_turns_away_is_found() -> None:
    def series(validation: list[float], training: list[float]) -> dict[str, dict[int, dict[str, float]]]:
        return {
            name: {step: {"loss": loss, "psnr": 0, "ssim": 0} for step, loss in enumerate(losses)}
            for name, losses in (("validation", validation), ("train", training))
        }

    assert turning_point(series([5, 4, 3, 4, 5], [5, 4, 3, 2, 1])) == 2
    assert turning_point(series([5, 4, 3, 2, 1], [5, 4, 3, 2, 1])) is None, "still getting better"
    assert turning_point(series([5, 4, 3, 4, 5], [5, 4, 3, 4, 5])) is None, "training got worse as well"
    assert turning_point(series([5, 4, 3, 3.001, 3.002], [5, 4, 3, 2, 1])) is None, "by next to nothing"
    assert turning_point(series([5, 4, 3, 4], [5, 4, 3, 2])) is None, "once alone"
