"""How good a model is on images held out, and on some it trained on, so that the two can be compared."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from rich.progress import Progress
from torch import Tensor, nn

from nafnet.errors import TrainingError
from nafnet.metrics import PROTOCOLS
from nafnet.train.data.examples import Images
from nafnet.train.data.pair_store import PairStore
from nafnet.train.processes.distributed import World
from nafnet.train.processes.signals import StopRequest
from nafnet.train.recipes.losses import Loss
from nafnet.train.recipes.recipe import EvaluationConfig
from nafnet.train.synthetic.camera import CameraConfig, camera_noise
from nafnet.train.synthetic.compression import as_jpeg, as_unit, quantised
from nafnet.train.synthetic.degradation import MARGIN
from nafnet.train.synthetic.noise import gaussian

Image = NDArray[np.float32]
TRAIN = "train"
CLEAN = "clean"
"""The set of images that need nothing done: how much harm is done to them."""
NOT_IN_MEANS = (TRAIN, CLEAN)
"""Sets apart: that of training images, and that of clean ones, whose decibels are many and sway."""
MOST_PSNR = 100.0
"""dB; of 8 bits' rounding alone it is 59."""
_SIDE = 256


@dataclasses.dataclass(frozen=True)
class Scores:
    """Means over the images of a set."""

    loss: float
    psnr: float
    """In dB."""
    ssim: float


class EvaluationSet(Protocol):
    """Pairs to evaluate on."""

    def __len__(self) -> int: ...

    def pair(self, index: int) -> tuple[Image, Image]:
        """(degraded, clean), float32[H,W,3] in [0, 1], the same at every call."""


class StoreSet:
    """Some pieces of a store, spread over it.

    Args:
        store: the pieces.
        most: how many at most; 0: all.
        window: of larger ones the middle alone, a square of this side; 0: all of them.
    """

    def __init__(self, store: PairStore, most: int = 0, window: int = 0) -> None:
        self.store = store
        self.window = window
        self.indices = spread(len(store), most)

    def __len__(self) -> int:
        return len(self.indices)

    def pair(self, index: int) -> tuple[Image, Image]:
        degraded, clean = (middle(side, self.window) for side in self.store.pair(int(self.indices[index])))
        return as_unit(degraded), as_unit(clean)


class NoisySet:
    """The middle of clean images, with one kind of noise; it lies anywhere on a sensor's mosaic and a JPEG's blocks.

    Args:
        images: uint8[H,W,3] each.
        add: what is done to float32[H,W,3], by a seed.
        config: how many of the images, spread over all, and how much of each.
    """

    def __init__(self, images: Images, add: Callable[[Image, int], Image], config: EvaluationConfig) -> None:
        self.images = images
        self.add = add
        self.side = config.window or _SIDE
        self.indices = spread(len(images), config.images)

    def __len__(self) -> int:
        return len(self.indices)

    def pair(self, index: int) -> tuple[Image, Image]:
        clean = as_unit(middle(self.images[int(self.indices[index])], self.side + MARGIN))
        degraded = self.add(clean, index)
        places = np.random.default_rng((index, 3))
        top, left = (int(places.integers(0, max(length - self.side, 0) + 1)) for length in clean.shape[:2])
        area = np.s_[top : top + self.side, left : left + self.side]
        return degraded[area], clean[area]


def noisy_sets(
    trained: Images, held_out: Images, camera: CameraConfig, config: EvaluationConfig
) -> dict[str, NoisySet]:  # fmt: skip
    """The sets of a denoiser: Gaussian noise, a camera's at a medium and a high ISO, a JPEG of noise, and no noise."""

    def with_gaussian(sigma: float) -> Callable[[Image, int], Image]:
        return lambda clean, seed: gaussian(clean, sigma, seed)

    def seen_by_camera(shot: float) -> Callable[[Image, int], Image]:
        return lambda clean, seed: quantised(
            clean + camera_noise(clean, camera, np.random.default_rng((seed, 2)), shot)
        )

    sets = {f"sigma {sigma}": with_gaussian(sigma) for sigma in (5, 15, 25, 50)}
    sets |= {
        "camera": seen_by_camera(2e-3),
        "camera, dark": seen_by_camera(8e-3),
        "jpeg": lambda clean, seed: as_jpeg(gaussian(clean, 25, seed), 90, halved=True),
        CLEAN: lambda clean, _: clean,
    }
    # As many of the training images as of the others: for the gap between the two.
    few = [trained[int(index)] for index in spread(len(trained), len(held_out))]
    made = {name: NoisySet(held_out, add, config) for name, add in sets.items()}
    return {TRAIN: NoisySet(few, with_gaussian(25), config), **made}


def spread(count: int, most: int) -> NDArray[np.int64]:
    """At most `most` numbers from 0 to below `count`, evenly spread; all where `most` is 0."""
    return np.linspace(0, count - 1, min(most or count, count)).round().astype(np.int64)


@torch.inference_mode()
def evaluate(
    model: nn.Module, chosen: EvaluationSet, loss: Loss, protocol: str, world: World,
    goes_on: Callable[[], bool] = lambda: True,
) -> Scores | None:  # fmt: skip
    """The scores of a model in eval mode; each process takes its share of the images, and all get the result.

    An image that is restored to the bit counts as `MOST_PSNR`, or its infinity would be the mean's.

    Args:
        goes_on: asked before each image; where it says no in any process, the evaluation is broken off.

    Returns:
        The scores; None, in every process, where it was broken off.

    Raises:
        TrainingError: what the model gives is not finite.
    """
    score = PROTOCOLS[protocol]
    sums = torch.zeros(4, dtype=torch.float64)
    for index in range(world.rank, len(chosen), world.size):
        if not goes_on():
            sums[3] = 1
            break
        degraded, clean = chosen.pair(index)
        restored = restore(model, degraded, world.device)
        sums[0] += float(loss(torch.from_numpy(restored)[None], torch.from_numpy(np.ascontiguousarray(clean))[None]))
        psnr, ssim = score(restored, clean)
        sums[1:3] += torch.tensor((min(psnr, MOST_PSNR), ssim))
    *totals, broken_off = world.sum(sums.to(world.device)).tolist()
    if broken_off:
        return None
    means = [total / len(chosen) for total in totals]
    if not all(map(math.isfinite, means)):
        raise TrainingError("evaluation: what the model gives is not finite; start again with a lower learning rate")
    return Scores(*means)


def evaluate_sets(
    model: nn.Module, sets: dict[str, EvaluationSet], loss: Loss, protocol: str, world: World, progress: Progress,
    asked: StopRequest,
) -> dict[str, Scores] | None:  # fmt: skip
    """The scores of a model on each set, by its name; None, in every process, where one was asked to stop meanwhile.

    Raises:
        TrainingError: what the model gives is not finite.
    """
    task = progress.add_task("evaluating", total=sum(-(-len(chosen) // world.size) for chosen in sets.values()))

    def goes_on() -> bool:
        progress.advance(task)
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


def restore(model: nn.Module, image: Image, device: torch.device) -> Image:
    """float32[H,W,3], not clipped, of float32[H,W,3]."""
    planes = torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1)[None].to(device)
    restored: Tensor = model(planes.contiguous(memory_format=torch.channels_last))
    return np.ascontiguousarray(restored[0].float().permute(1, 2, 0).cpu().numpy())


def middle(image: NDArray[Any], side: int) -> NDArray[Any]:
    """The middle of [H,W,3], at most `side` a side; all of it where `side` is 0."""
    if not side:
        return image
    top, left = (max((length - side) // 2, 0) for length in image.shape[:2])
    return image[top : top + side, left : left + side]


def mean_psnr(scores: dict[str, Scores]) -> float:
    """The mean over all sets but `NOT_IN_MEANS`, in dB: what "best" goes by."""
    held_out: Sequence[float] = [each.psnr for name, each in scores.items() if name not in NOT_IN_MEANS]
    return float(np.mean(held_out))
