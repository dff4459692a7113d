"""One training example, of a pair or of a clean image: cut, mirrored, noisy; it follows from numbers alone.

An example is (degraded, clean), both float32[3,P,P] or uint8[3,P,P], P the side of the patch; uint8 where it may be,
for that is a quarter of the bytes to move.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from nafnet.errors import DataError
from nafnet.train.data.pair_store import PairStore
from nafnet.train.recipes.data_tables import SamplingConfig
from nafnet.train.recipes.recipe import Recipe
from nafnet.train.synthetic.compression import as_unit
from nafnet.train.synthetic.degradation import MARGIN

Example = tuple[NDArray[Any], NDArray[Any]]
Images = Sequence[NDArray[np.uint8]] | NDArray[np.uint8]
"""Clean ones, uint8[H,W,3] each: in a list, or all in one array."""


class Examples(Protocol):
    """What training draws from."""

    def __len__(self) -> int:
        """Examples of an epoch."""

    def example(self, index: int, patch: int, epoch: int, rng: np.random.Generator) -> Example:
        """Number `index` of an epoch, its random choices made by `rng`; `epoch` for those that examples share."""


class PairExamples:
    """Examples from prepared pairs."""

    def __init__(self, store: PairStore, recipe: Recipe) -> None:
        self.store = store
        self.sampling = recipe.sampling
        self.seed = recipe.loop.seed
        self._parts = (recipe.sampling.crop // recipe.sampling.patch) ** 2 or 1
        self._check_sizes(max(recipe.sampling.crop, *recipe.patches))

    def _check_sizes(self, side: int) -> None:
        """Images smaller than a patch make no batch, unless all are of one size, turned ones included."""
        shapes = {self.store.shape(index) for index in range(len(self.store))}
        height, width = (min(shape[axis] for shape in shapes) for axis in (0, 1))
        if len(shapes) > 1 and min(height, width) < side:
            raise DataError(
                f"images of {len(shapes)} sizes, the smallest sides {width} and {height}, and patches of {side}; "
                "choose smaller ones (--set sampling.patch=...) or one size for all (--set prepare.resize=...)"
            )
        if self.sampling.turns and min(height, width) < side and min(height, side) != min(width, side):
            raise DataError(
                f"images of {width}x{height}, and patches of {side} that are turned by a quarter; choose smaller ones "
                "(--set sampling.patch=...), or none turned (--set sampling.turns=false)"
            )
        if self.sampling.crop and min(height, width) < side:
            raise DataError(f"images of {width}x{height} are smaller than crops of {side} (--set sampling.crop=...)")

    def __len__(self) -> int:
        return len(self.store) * self._parts

    def example(self, index: int, patch: int, epoch: int, rng: np.random.Generator) -> Example:
        number, part = divmod(index, self._parts)
        pair: Example = self.store.pair(number)
        degraded, clean = pair
        if self.sampling.crop:
            # All parts of a crop have to agree where it lies.
            place = np.random.default_rng((self.seed, epoch, number))
            degraded, clean = cut(degraded, clean, self.sampling.crop, place)
            row, column = divmod(part, self.sampling.crop // patch)
            area = np.s_[row * patch : (row + 1) * patch, column * patch : (column + 1) * patch]
            degraded, clean = degraded[area], clean[area]
        else:
            degraded, clean = cut(degraded, clean, patch, rng)
        if self.store.deep:  # a batch is of one type
            degraded, clean = as_unit(degraded), as_unit(clean)
        return planes(*turned(degraded, clean, self.sampling, rng))


class CleanExamples:
    """Examples from clean images, degraded as they are drawn.

    An epoch has as many examples of each image as patches of the first stage fit into it, one at least.

    Args:
        images: uint8[H,W,3] each, of any sizes from the largest patch on.
        recipe: says how they are degraded.
    """

    def __init__(self, images: Images, recipe: Recipe) -> None:
        assert recipe.degradation is not None
        self.images = images
        self.sampling = recipe.sampling
        self.degradation = recipe.degradation
        sides = np.array([image.shape[:2] for image in images])
        self._numbers = np.repeat(np.arange(len(images)), np.maximum(sides.prod(1) // recipe.sampling.patch**2, 1))

    def __len__(self) -> int:
        return len(self._numbers)

    def example(self, index: int, patch: int, epoch: int, rng: np.random.Generator) -> Example:
        del epoch
        image = self.images[int(self._numbers[index])]
        wide, _ = cut(image, image, patch + MARGIN, rng)
        wide, _ = turned(wide, wide, self.sampling, rng)
        return planes(*cut(*self.degradation.pair(as_unit(wide), rng), patch, rng))


class MixedExamples:
    """Examples of one kind, and in a share of the draws of another.

    Args:
        main: how long an epoch is follows from these.
        other: drawn at random.
        share: of the other.
    """

    def __init__(self, main: Examples, other: Examples, share: float) -> None:
        self.main, self.other, self.share = main, other, share

    def __len__(self) -> int:
        return len(self.main)

    def example(self, index: int, patch: int, epoch: int, rng: np.random.Generator) -> Example:
        if rng.random() < self.share:
            return self.other.example(int(rng.integers(len(self.other))), patch, epoch, rng)
        return self.main.example(index, patch, epoch, rng)


def cut(degraded: NDArray[Any], clean: NDArray[Any], side: int, rng: np.random.Generator) -> Example:
    """The same random square of both; the whole length where an image is shorter."""
    top, left = (int(rng.integers(0, max(length - side, 0) + 1)) for length in clean.shape[:2])
    area = np.s_[top : top + side, left : left + side]
    return degraded[area], clean[area]


def turned(degraded: NDArray[Any], clean: NDArray[Any], sampling: SamplingConfig, rng: np.random.Generator) -> Example:
    """Both mirrored, turned and their channels exchanged alike, as far as the recipe says."""
    left_right, up_down, quarter = rng.random(3) < 0.5
    order = rng.permutation(3)

    def one(image: NDArray[Any]) -> NDArray[Any]:
        if sampling.flips:
            image = image[:: -1 if up_down else 1, :: -1 if left_right else 1]
        if sampling.turns and quarter:
            image = image.transpose(1, 0, 2)
        return image[:, :, order] if sampling.colours else image

    return one(degraded), one(clean)


def planes(degraded: NDArray[Any], clean: NDArray[Any]) -> Example:
    """[H,W,3] -> [3,H,W] in memory of its own."""
    return np.ascontiguousarray(degraded.transpose(2, 0, 1)), np.ascontiguousarray(clean.transpose(2, 0, 1))
