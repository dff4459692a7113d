"""Training in this process: it learns, repeats itself exactly, evaluates, stops early, refuses what is not finite."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from nafnet.train.batches import StepBatches
from nafnet.train.curves import turning_point
from nafnet.train.distributed import World
from nafnet.train.examples import PairExamples
from nafnet.train.loop import Outcome
from nafnet.train.pair_store import open_store
from nafnet.train.pairs import ArrayPairs
from nafnet.train.recipe import PrepareConfig, Recipe
from nafnet.train.recipe_files import load_recipe
from nafnet.train.trainer import Trainer
from PIL import Image
from rich.progress import Progress
from safetensors.torch import load_file

from nafnet.checkpoint import load_checkpoint
from nafnet.errors import CheckpointError, DataError, RecipeError, TrainingError

Train = Callable[..., tuple[Outcome, Path, list[str]]]
ALL_ON = ("loop.ema=0.9", "loop.accumulate=2", "loop.dropout=0.2", "sampling.flips=true", "sampling.turns=true")


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def same(first: Path, second: Path) -> bool:
    one, two = load_file(first), load_file(second)
    return one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in one)


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
    assert len(said) == 6


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_a_run_in_two_halves_is_a_run_in_one(workers: int, train: Train) -> None:
    _, whole, _ = train("loop.steps=12", *ALL_ON, folder="whole")
    _, halves, _ = train("loop.steps=12", *ALL_ON, folder="halves", workers=workers)
    for state in (halves / "states").iterdir():
        if state.name > "state-00000010.pt":
            state.unlink()
    _, halves, said = train("loop.steps=12", *ALL_ON, folder="halves", workers=workers)
    assert said[0] == "going on from step 10"
    for name in ("last.safetensors", "best.safetensors"):
        assert same(whole / name, halves / name)
    columns = ("step", "loss", "learning_rate", "gradient_norm")
    first, second = ([tuple(row[c] for c in columns) for row in rows(run / "steps.csv")] for run in (whole, halves))
    assert first == second


def test_a_truncated_state_falls_back_on_the_one_before(train: Train) -> None:
    _, whole, _ = train("loop.steps=12")
    before = load_file(whole / "last.safetensors")
    newest, older = sorted((whole / "states").iterdir(), reverse=True)
    newest.write_bytes(newest.read_bytes()[:1000])
    _, again, said = train("loop.steps=12")
    assert f"{newest}: damaged" in said[0]
    assert said[1] == "going on from step 10"
    after = load_file(again / "last.safetensors")
    assert all(torch.equal(before[name], after[name]) for name in before)
    for state in (newest, older):
        state.write_bytes(b"")
    with pytest.raises(CheckpointError, match="none of 2 states can be read"):
        train("loop.steps=12")


def test_a_damaged_state_is_no_fallback(train: Train) -> None:
    _, run, _ = train("loop.steps=22")
    states = run / "states"
    newest, older = sorted(states.iterdir(), reverse=True)
    newest.write_bytes(newest.read_bytes()[:1000])
    last = (run / "last.safetensors").read_bytes()
    train("loop.steps=22")
    assert sorted(path.name for path in states.iterdir()) == [older.name, newest.name]
    newest.write_bytes(b"")
    _, _, said = train("loop.steps=22")
    assert "going on from step 20" in said
    assert (run / "last.safetensors").read_bytes() == last


def test_weights_that_are_gone_are_written_anew(train: Train) -> None:
    outcome, run, _ = train("loop.steps=20")
    before = load_file(run / "last.safetensors")
    for name in ("last.safetensors", "best.safetensors"):
        (run / name).unlink()
    again, _, said = train("loop.steps=20")
    assert any("best.safetensors is gone" in line for line in said)
    assert again.best_step == 20
    assert again.best_psnr <= outcome.best_psnr
    for name in ("last.safetensors", "best.safetensors"):
        after = load_file(run / name)
        assert all(torch.equal(before[key], after[key]) for key in before)


def test_an_evaluation_put_off_by_a_stop_is_made_up_for(train: Train, monkeypatch: pytest.MonkeyPatch) -> None:
    _, whole, _ = train("loop.steps=20", folder="whole")
    step = Trainer.train_step

    def stopping(self: Trainer, parts: Any, *, stop: bool = False) -> Any:
        return step(self, parts, stop=stop or self.step == 9)

    monkeypatch.setattr(Trainer, "train_step", stopping)
    with pytest.raises(KeyboardInterrupt):
        train("loop.steps=20", folder="stopped")
    monkeypatch.setattr(Trainer, "train_step", step)
    _, stopped, _ = train("loop.steps=20", folder="stopped")
    assert rows(whole / "evaluations.csv") == rows(stopped / "evaluations.csv")
    assert same(whole / "best.safetensors", stopped / "best.safetensors")


def test_states_go_with_their_recipe_and_their_data(train: Train, pairs: Path) -> None:
    _, run, _ = train("loop.steps=12")
    for path in (pairs / "input").iterdir():  # the same names, other pixels
        pixels = np.asarray(Image.open(path))
        Image.fromarray(255 - pixels).save(path)
    with pytest.raises(RecipeError, match="the data differ"):
        train("loop.steps=12")
    record = (run / "run.json").read_text(encoding="utf-8")
    (run / "run.json").unlink()
    with pytest.raises(CheckpointError, match="states of another recipe, of other data"):
        train("loop.steps=12")
    (run / "run.json").write_text(record[:-20], encoding="utf-8")
    with pytest.raises(CheckpointError, match=r"run\.json: damaged"):
        train("loop.steps=12")


def test_a_damaged_log_is_named_with_its_line(train: Train) -> None:
    _, run, _ = train("loop.steps=12")
    log = run / "steps.csv"
    log.write_text(log.read_text(encoding="utf-8").replace("\n3,", "\nx,"), encoding="utf-8")
    with pytest.raises(DataError, match=r"steps\.csv, line 4: damaged"):
        train("loop.steps=12")


def test_files_of_others_are_left_alone(train: Train, tmp_path: Path) -> None:
    theirs = tmp_path / "run" / "other" / ".x.partial"
    theirs.parent.mkdir(parents=True)
    theirs.touch()
    left = tmp_path / "run" / ".best.safetensors.0123abcd.partial"
    left.touch()
    train("loop.steps=2")
    assert theirs.exists()
    assert not left.exists()


def test_every_nth_state_is_kept(train: Train) -> None:
    _, run, _ = train("loop.steps=25", "loop.keep_every=7")
    kept = sorted(int(path.stem.rpartition("-")[2]) for path in (run / "states").iterdir())
    assert kept == [7, 14, 21, 25]


def test_a_folder_of_another_recipe_or_of_other_data_is_refused(train: Train, pairs: Path) -> None:
    train("loop.steps=5")
    with pytest.raises(RecipeError, match=r"\[loop\] differ"):
        train("loop.steps=6")
    for side in ("input", "target"):
        (pairs / side / "00.png").unlink()
    with pytest.raises(RecipeError, match="the data differ"):
        train("loop.steps=5")


def test_it_stops_where_validation_gets_no_better(train: Train) -> None:
    outcome, run, _ = train("loop.steps=500", "loop.learning_rate=0", "evaluation.every=2", "evaluation.patience=3")
    assert outcome.early
    assert (outcome.step, outcome.best_step) == (8, 2)
    assert (run / "states" / "state-00000008.pt").exists(), "it can be gone on from"


def test_the_moving_average_is_what_is_written(train: Train) -> None:
    _, run, _ = train("loop.steps=3", "loop.ema=0.5", folder="average")
    state = torch.load(run / "states" / "state-00000003.pt", weights_only=True)
    written = load_file(run / "last.safetensors")
    assert all(torch.equal(state["average"][f"module.{name}"], tensor) for name, tensor in written.items())
    assert not torch.equal(state["model"]["intro.weight"], written["intro.weight"])


def batches(tmp_path: Path, silent: Progress, world: World, *overrides: str, count: int = 10) -> StepBatches:
    """Of images whose pixels are their number."""
    values = np.broadcast_to(np.arange(count, dtype=np.uint8)[:, None, None, None], (count, 32, 32, 3))
    pairs = ArrayPairs(tuple(f"{i:02}" for i in range(count)), values, values, tuple(range(count)))
    store = open_store(tmp_path / "store", pairs, PrepareConfig(), silent, training=True)
    recipe = load_recipe("study/v1", ["loop.batch=4", "loop.steps=20", "sampling.patch=16", *overrides])
    return StepBatches(PairExamples(store, recipe), recipe, recipe.loop.steps, world)


def numbers(made: StepBatches) -> list[list[int]]:
    return [made[index][0][:, 0, 0, 0].tolist() for index in range(len(made))]


def test_every_image_comes_once_an_epoch(tmp_path: Path, silent: Progress) -> None:
    made = batches(tmp_path, silent, World())
    seen = [number for batch in numbers(made) for number in batch]
    epochs = [seen[start : start + 10] for start in range(0, 80, 10)]
    assert all(sorted(epoch) == list(range(10)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 8, "in another order each time"
    assert [number for step in range(20) for number in made.indices(step)] == seen


def test_processes_and_parts_share_a_batch_out(tmp_path: Path, silent: Progress) -> None:
    whole = batches(tmp_path, silent, World())
    for index in range(5):
        shares = [batches(tmp_path, silent, World(rank, 2))[index] for rank in (0, 1)]
        assert torch.equal(torch.cat([share[0] for share in shares]), whole[index][0])
        parts = [batches(tmp_path, silent, World(), "loop.accumulate=2")[2 * index + part][0] for part in (0, 1)]
        assert torch.equal(torch.cat(parts), whole[index][0])
    with pytest.raises(RecipeError, match="cannot be shared by 3 processes"):
        batches(tmp_path, silent, World(0, 3))


def test_stages_change_patch_and_batch_and_lose_no_image(tmp_path: Path, silent: Progress) -> None:
    made = batches(tmp_path, silent, World(), "sampling.stages=[[0.5, 24, 2], [0.75, 32, 1]]")
    shapes = [tuple(made[index][0].shape) for index in range(len(made))]
    assert shapes == [(4, 3, 16, 16)] * 10 + [(2, 3, 24, 24)] * 5 + [(1, 3, 32, 32)] * 5
    seen = [number for batch in numbers(made) for number in batch]
    assert all(sorted(seen[start : start + 10]) == list(range(10)) for start in range(0, 50, 10))


@pytest.mark.parametrize("steps", [10, 12, 52, 101])
def test_stages_that_begin_between_two_steps_lose_no_image_either(steps: int, tmp_path: Path, silent: Progress) -> None:
    stages = "sampling.stages=[[0.7, 24, 2]]"
    made = batches(tmp_path, silent, World(), stages, f"loop.steps={steps}")
    sizes = [len(batch) for batch in numbers(made)]
    assert sizes == [4] * math.ceil(round(0.7 * steps, 6)) + [2] * (steps - math.ceil(round(0.7 * steps, 6)))
    seen = [number for batch in numbers(made) for number in batch]
    assert all(sorted(seen[start : start + 10]) == list(range(10)) for start in range(0, len(seen) - 9, 10))
    assert made.recipe.images_until(steps, steps) == len(seen)


def test_a_crop_is_parted_into_patches_that_belong_together(tmp_path: Path, silent: Progress) -> None:
    """The four parts of one image in one epoch make up one 16 x 16 square of it."""
    image = np.arange(32 * 32 * 3, dtype=np.uint32).reshape(1, 32, 32, 3).astype(np.uint8)
    image[..., 1], image[..., 2] = np.arange(32)[:, None], np.arange(32)  # where a pixel came from
    pairs = ArrayPairs(("a",), image, image, (0,))
    store = open_store(tmp_path / "store", pairs, PrepareConfig(), silent, training=True)
    recipe = load_recipe("study/crop-512", ["sampling.crop=16", "sampling.patch=8", "loop.batch=4", "loop.steps=9"])
    examples = PairExamples(store, recipe)
    assert len(examples) == 4
    made = StepBatches(examples, recipe, 9, World())
    corners = set()
    for step in range(9):
        tops = [tuple(patch[1:, 0, 0].tolist()) for patch in made[step][0]]
        top, left = min(tops)
        assert sorted(tops) == [(top, left), (top, left + 8), (top + 8, left), (top + 8, left + 8)]
        corners.add((top, left))
    assert len(corners) > 3, "another place in each epoch"


def test_images_of_many_sizes_smaller_than_a_patch_are_refused(train: Train, pairs: Path) -> None:
    for side in ("input", "target"):
        Image.new("RGB", (12, 12)).save(pairs / side / "05.png")
    with pytest.raises(DataError, match=r"smallest sides 12 and 12, and patches of 16.*sampling\.patch"):
        train("loop.steps=1", "split.seed=1")


def trainer(tmp_path: Path, **loop: Any) -> Trainer:
    recipe: Recipe = load_recipe("denoise", ["architecture.width=4", *(f"loop.{k}={v}" for k, v in loop.items())])
    return Trainer(recipe, 10, World(), tmp_path)


BATCH = (torch.rand(2, 3, 32, 32), torch.rand(2, 3, 32, 32))


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
