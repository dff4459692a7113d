"""What a run is evaluated on: some pairs held out and some trained on, or clean images with noise; always the same."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from nafnet.train.data.examples import Images
from nafnet.train.data.pair_store import PairStore
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
_SIDE = 256


class EvaluationSet(Protocol):
    """Pairs to evaluate on."""

    def __len__(self) -> int: ...

    def pair(self, index: int) -> tuple[Image, Image]:
        """(degraded, clean), float32[H,W,3] in [0, 1], the same at every call."""

    @property
    def pixels(self) -> int:
        """Of all its degraded images, about."""


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

    @property
    def pixels(self) -> int:
        """Of all its degraded images."""
        shapes = (self.store.shape(int(index)) for index in self.indices)
        return sum(min(height, self.window or height) * min(width, self.window or width) for height, width in shapes)


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

    @property
    def pixels(self) -> int:
        """Of all its images, where none is smaller than what is shown of it."""
        return len(self.indices) * self.side**2


def pair_sets(stores: Mapping[str, PairStore], config: EvaluationConfig) -> dict[str, EvaluationSet]:
    """Of prepared pairs: a few of the training part, and the validation part; the test part where there is none."""
    held_out = next((part for part in ("validation", "test") if part in stores), None)
    sets: dict[str, EvaluationSet] = {TRAIN: StoreSet(stores[TRAIN], config.most_trained, config.window)}
    return sets if held_out is None else {**sets, held_out: StoreSet(stores[held_out], config.images, config.window)}


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
    few = [trained[int(index)] for index in spread(len(trained), min(len(held_out), config.most_trained))]
    made = {name: NoisySet(held_out, add, config) for name, add in sets.items()}
    return {TRAIN: NoisySet(few, with_gaussian(25), config), **made}


def spread(count: int, most: int) -> NDArray[np.int64]:
    """At most `most` numbers from 0 to below `count`, evenly spread; all where `most` is 0."""
    return np.linspace(0, count - 1, min(most or count, count)).round().astype(np.int64)


def middle(image: NDArray[Any], side: int) -> NDArray[Any]:
    """The middle of [H,W,3], at most `side` a side; all of it where `side` is 0."""
    if not side:
        return image
    top, left = (max((length - side) // 2, 0) for length in image.shape[:2])
    return image[top : top + side, left : left + side]
