"""How good a model is on images held out, and on some it trained on, so that the two can be compared.

The metrics are computed where the model computes, so that no evaluation waits for the CPU.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
import time
from collections.abc import Callable, Sequence

import numpy as np
import torch
from rich.progress import Progress

from nafnet.errors import TrainingError
from nafnet.train.processes.distributed import World
from nafnet.train.processes.signals import StopRequest
from nafnet.train.recipes.losses import Loss
from nafnet.train.run.evaluation_sets import NOT_IN_MEANS, EvaluationSet, Image
from nafnet.train.run.scores import measured
from nafnet.train.run.tiled import NoMemoryError, TiledModel, short_of_memory

MOST_PSNR = 100.0
"""dB; of 8 bits' rounding alone it is 59."""


@dataclasses.dataclass(frozen=True)
class Scores:
    """Means over the images of a set."""

    loss: float
    psnr: float
    """In dB."""
    ssim: float
    seconds: float
    """That it took, in all."""


@torch.inference_mode()
def evaluate(
    model: TiledModel, chosen: EvaluationSet, loss: Loss, protocol: str, world: World,
    goes_on: Callable[[], bool] = lambda: True,
) -> Scores | None:  # fmt: skip
    """The scores of a model on a set; each process takes its share of the images, and all get the result.

    An image that is restored to the bit counts as `MOST_PSNR`, or its infinity would be the mean's.

    Args:
        model: in eval mode.
        chosen: the set.
        loss: of training.
        protocol: see `nafnet.metrics.PROTOCOLS`.
        world: the processes.
        goes_on: asked before each image; where it says no in any process, the evaluation is broken off.

    Returns:
        The scores; None, in every process, where it was broken off.

    Raises:
        TrainingError: what the model gives is not finite.
        NoMemoryError: in every process, where one has not the memory.
    """
    started, sums = time.monotonic(), torch.zeros(5, dtype=torch.float64)
    for index in range(world.rank, len(chosen), world.size):
        if not goes_on():
            sums[3] = 1
            break
        try:
            sums[:3] += torch.tensor(scored(model, *chosen.pair(index), loss, protocol), dtype=torch.float64)
        except NoMemoryError:
            sums[4] = 1
            break
    *totals, broken_off, short = world.sum(sums.to(world.device)).tolist()
    if short:
        raise NoMemoryError
    if broken_off:
        return None
    value, psnr, ssim = (total / len(chosen) for total in totals)
    if not all(map(math.isfinite, (value, psnr, ssim))):
        raise TrainingError("evaluation: what the model gives is not finite; start again with a lower learning rate")
    return Scores(value, psnr, ssim, time.monotonic() - started)


def scored(model: TiledModel, degraded: Image, clean: Image, loss: Loss, protocol: str) -> tuple[float, float, float]:
    """(loss, PSNR in dB, SSIM) of one image restored, float32[H,W,3] in [0, 1] both.

    Raises:
        NoMemoryError: the memory does not suffice.
    """
    restored = model.restore(degraded)
    try:
        target = torch.from_numpy(np.ascontiguousarray(clean.transpose(2, 0, 1))).to(restored.device)
        value = float(loss(restored[None], target[None]))
        psnr, ssim = measured(restored, target, protocol)
    except (RuntimeError, MemoryError) as error:
        if not short_of_memory(error):
            raise
        raise NoMemoryError from None
    return value, min(psnr, MOST_PSNR), ssim


def evaluate_sets(
    model: TiledModel, sets: dict[str, EvaluationSet], loss: Loss, protocol: str, world: World, progress: Progress,
    asked: StopRequest,
) -> dict[str, Scores] | None:  # fmt: skip
    """The scores of a model on each set, by its name; None, in every process, where one was asked to stop meanwhile.

    Raises:
        TrainingError: what the model gives is not finite.
        NoMemoryError: in every process, where one has not the memory.
    """
    task = progress.add_task("evaluating", total=sum(-(-len(chosen) // world.size) for chosen in sets.values()))
    begun = itertools.count()  # images; the task is at its end with the last one, not when that begins

    def goes_on() -> bool:
        progress.update(task, completed=next(begun))
        return not asked.asked

    scores = {}
    try:
        for name, chosen in sets.items():
            progress.update(task, description=f"evaluating {name}")
            score = evaluate(model, chosen, loss, protocol, world, goes_on)
            if score is None:
                return None
            scores[name] = score
    finally:
        progress.remove_task(task)
    return scores


def mean_psnr(scores: dict[str, Scores]) -> float:
    """The mean over all sets but `NOT_IN_MEANS`, in dB: what "best" goes by."""
    held_out: Sequence[float] = [each.psnr for name, each in scores.items() if name not in NOT_IN_MEANS]
    return float(np.mean(held_out))
