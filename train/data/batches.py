"""Batches by number: what is in one depends on (seed, step, index) alone, on no worker, rank or earlier batch.

So any number of worker processes and of GPUs gives the same training, and a run goes on at any step.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from nafnet.errors import RecipeError
from nafnet.train.data.examples import Examples
from nafnet.train.processes.distributed import World
from nafnet.train.processes.signals import leave_to_parent
from nafnet.train.recipes.recipe import Recipe

Batch = tuple[Tensor, Tensor]
"""(degraded, clean), uint8 or float32 [n,3,P,P]."""


@functools.lru_cache(maxsize=2)
def _order(seed: int, epoch: int, count: int) -> NDArray[np.int64]:
    return np.random.default_rng((seed, 1, epoch)).permutation(count)


class StepBatches(Dataset[Batch]):
    """The batches of a run, by number: those of step 0, then those of step 1, as many as the recipe accumulates.

    Each process of a distributed run gets its share of every batch.

    Raises:
        RecipeError: a batch cannot be shared out among the processes.
    """

    def __init__(self, examples: Examples, recipe: Recipe, steps: int, world: World) -> None:
        self.examples = examples
        self.recipe = recipe
        self.steps = steps
        self.world = world
        self.parts = recipe.loop.accumulate
        for _, _, batch in recipe.starts(steps):
            if batch % (self.parts * world.size):
                raise RecipeError(
                    f"a batch of {batch} in {self.parts} parts cannot be shared by {world.size} processes; "
                    "choose a multiple (--set loop.batch=...)"
                )

    def __len__(self) -> int:
        return self.steps * self.parts

    def indices(self, step: int) -> list[int]:
        """The examples of a step, over all processes: numbers within an epoch, in the order of the batch."""
        return [position % len(self.examples) for position in self._shuffled(step)]

    def _shuffled(self, step: int) -> list[int]:
        """Positions since the start of the run, epoch x length + example."""
        _, batch = self.recipe.stage(step, self.steps)
        first = self.recipe.images_until(step, self.steps)
        count = len(self.examples)
        return [
            at // count * count + int(_order(self.recipe.loop.seed, at // count, count)[at % count])
            for at in range(first, first + batch)
        ]

    def __getitem__(self, number: int) -> Batch:
        step, part = divmod(number, self.parts)
        patch, batch = self.recipe.stage(step, self.steps)
        share = batch // (self.parts * self.world.size)
        first = (part * self.world.size + self.world.rank) * share
        made = []
        for index, position in list(enumerate(self._shuffled(step)))[first : first + share]:
            rng = np.random.default_rng((self.recipe.loop.seed, step, index))
            epoch, example = divmod(position, len(self.examples))
            made.append(self.examples.example(example, patch, epoch, rng))
        degraded, clean = (torch.from_numpy(np.stack(side)) for side in zip(*made, strict=True))
        return degraded, clean

    def loader(self, start: int, workers: int, *, pinned: bool) -> Iterator[Batch]:
        """The batches from step `start` on, made ahead by worker processes; in this one if `workers` is 0."""
        options: dict[str, Any] = {"prefetch_factor": 4, "persistent_workers": True} if workers else {}
        numbers = range(start * self.parts, len(self))
        return iter(DataLoader(
            self, batch_size=None, sampler=numbers, num_workers=workers, pin_memory=pinned,
            worker_init_fn=leave_to_parent, **options,
        ))  # fmt: skip


def in_unit_range(pixels: Tensor) -> Tensor:
    """float32[N,3,H,W] in [0, 1], channels-last in memory, of uint8 or float32."""
    unit = pixels.float() / 255 if pixels.dtype == torch.uint8 else pixels
    return unit.contiguous(memory_format=torch.channels_last)
