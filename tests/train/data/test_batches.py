"""What is in the batch of a step: each image once an epoch, shared out among processes, parts and stages."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from rich.progress import Progress

from nafnet.errors import RecipeError
from nafnet.train.data.batches import StepBatches
from nafnet.train.data.examples import PairExamples
from nafnet.train.data.pair_store import open_store
from nafnet.train.data.pairs import ArrayPairs
from nafnet.train.processes.distributed import World
from nafnet.train.recipes.data_tables import PrepareConfig
from nafnet.train.recipes.recipe_files import load_recipe


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
