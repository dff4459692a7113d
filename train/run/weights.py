"""What a run writes of its model: weights that the other stages take, and pictures of what it restores."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from torch import nn

from nafnet.checkpoint import load_checkpoint, save_checkpoint
from nafnet.errors import RecipeError
from nafnet.spec import ModelSpec
from nafnet.statedict import StateDict
from nafnet.train.recipes.recipe import Recipe
from nafnet.train.run.curves import write_samples
from nafnet.train.run.evaluation_sets import EvaluationSet, middle
from nafnet.train.run.tiled import TiledModel

_SAMPLES = 4
_AROUND = 512  # pixels a side of what is restored for a sample, of which less is shown


def initial_weights(path: Path, recipe: Recipe) -> StateDict:
    """The weights of a checkpoint, of any layout that is known, for a run to start from.

    Raises:
        CheckpointError: it cannot be read, or is none of NAFNet.
        RecipeError: its architecture is another than the recipe's.
    """
    checkpoint = load_checkpoint(path)
    if checkpoint.spec.architecture != recipe.architecture:
        raise RecipeError(
            f"{path}: {checkpoint.spec.architecture}, and the recipe {recipe.name} is for {recipe.architecture}; "
            "set [architecture] to that of the checkpoint"
        )
    return checkpoint.state_dict


def write_weights(path: Path, model: nn.Module, recipe: Recipe) -> None:
    """A checkpoint that says what it is: architecture, task, and the patch that its last stage trained on, and
    how it is evaluated."""
    architecture = recipe.architecture
    spec = ModelSpec(
        architecture=architecture, task=recipe.task, channels=architecture.channels, multiple=architecture.multiple,
        train_patch=recipe.patches[-1], local_pooling=recipe.evaluation.local_pooling,
    )  # fmt: skip
    save_checkpoint(path, dict(model.state_dict()), spec)


def write_restored(path: Path, model: TiledModel, chosen: EvaluationSet) -> None:
    """A PNG of some images of a set: degraded, restored, clean; of large ones the middle, which alone is restored."""
    rows = []
    for index in np.linspace(0, len(chosen) - 1, min(_SAMPLES, len(chosen))).astype(int):
        degraded, clean = (middle(side, _AROUND) for side in chosen.pair(int(index)))
        rows.append((degraded, model.restore(degraded).permute(1, 2, 0).cpu().numpy(), clean))
    write_samples(path, rows)
