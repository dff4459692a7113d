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
from nafnet.train.data.pair_store import PairStore
from nafnet.train.processes.distributed import World
from nafnet.train.processes.signals import StopRequest
from nafnet.train.recipes.losses import Loss
from nafnet.train.synthetic.camera import CameraConfig, camera_noise
from nafnet.train.synthetic.noise import as_jpeg, as_unit, gaussian, quantised

Image = NDArray[np.float32]
TRAIN = "train"
MOST_PSNR = 100.0
"""dB; of 8 bits' rounding alone it is 59."""


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
        count = min(most or len(store), len(store))
        self.indices = np.linspace(0, len(store) - 1, count).round().astype(int)

    def __len__(self) -> int:
        return len(self.indices)

    def pair(self, index: int) -> tuple[Image, Image]:
        degraded, clean = (middle(side, self.window) for side in self.store.pair(int(self.indices[index])))
        return as_unit(degraded), as_unit(clean)


class NoisySet:
    """The middle of generated images, with one kind of noise."""

    def __init__(self, images: NDArray[np.uint8], add: Callable[[Image, int], Image], side: int = 256) -> None:
        self.images = images
        self.add = add
        self.side = side

    def __len__(self) -> int:
        return len(self.images)

    def pair(self, index: int) -> tuple[Image, Image]:
        clean = as_unit(middle(self.images[index], self.side))
        return self.add(clean, index), clean


def noisy_sets(trained: NDArray[np.uint8], held_out: NDArray[np.uint8], camera: CameraConfig) -> dict[str, NoisySet]:
    """The sets of a denoiser: Gaussian noise, a camera's at a medium and a high ISO, and a JPEG of noise."""

    def seen_by_camera(shot: float) -> Callable[[Image, int], Image]:
        return lambda clean, seed: quantised(
            clean + camera_noise(clean, camera, np.random.default_rng((seed, 2)), shot)
        )

    return {
        TRAIN: NoisySet(trained[: len(held_out)], lambda clean, seed: gaussian(clean, 25, seed)),
        "sigma 15": NoisySet(held_out, lambda clean, seed: gaussian(clean, 15, seed)),
        "sigma 25": NoisySet(held_out, lambda clean, seed: gaussian(clean, 25, seed)),
        "sigma 50": NoisySet(held_out, lambda clean, seed: gaussian(clean, 50, seed)),
        "camera": NoisySet(held_out, seen_by_camera(2e-3)),
        "camera, dark": NoisySet(held_out, seen_by_camera(8e-3)),
        "jpeg": NoisySet(held_out, lambda clean, seed: as_jpeg(gaussian(clean, 25, seed), 90, halved=True)),
    }


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
    """The mean over all sets but that of training images, in dB: what "best" goes by."""
    held_out: Sequence[float] = [each.psnr for name, each in scores.items() if name != TRAIN]
    return float(np.mean(held_out))
