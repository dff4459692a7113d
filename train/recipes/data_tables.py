"""The tables of a recipe that say what it trains on: generated images, photographs, the split, preparation, sampling.

Each class is one table of the TOML file; a field that is not written has the default.
"""

from __future__ import annotations

import dataclasses
import math
import re
from typing import Any

from nafnet.errors import RecipeError
from nafnet.words import counted


def at_least(table: str, config: Any, lowest: int, *names: str) -> None:
    """Raise RecipeError unless these fields are numbers, and none below `lowest`."""
    for name in names:
        value = getattr(config, name)
        if not (math.isfinite(value) and value >= lowest):
            raise RecipeError(f"recipe: [{table}] {name} = {value!r}; expected at least {lowest}")


@dataclasses.dataclass(frozen=True, kw_only=True)
class SplitConfig:
    """How a data set without a split of its own is divided; pairs of one scene stay together."""

    validation_share: float = 0.1
    """Of the pairs, or of the scenes where pairs belong to one."""
    test_share: float = 0.1
    seed: int = 0
    scene: str = ""
    """A regular expression, looked for in each pair's name, whose one group is the pair's scene; without it the data
    set's layout says what a scene is, or else it is guessed from names. `(.*)`: each pair by itself."""
    shared_scenes: bool = False
    """Let parts share scenes: pairs are divided one by one, and parts of a data set's own are not compared."""

    def __post_init__(self) -> None:
        self._check_scene()
        if min(self.validation_share, self.test_share) < 0 or self.validation_share + self.test_share >= 1:
            raise RecipeError("recipe: [split] the shares must be at least 0, and less than 1 together")

    def _check_scene(self) -> None:
        try:
            groups = re.compile(self.scene).groups
        except re.error as error:
            raise RecipeError(f"recipe: [split] scene = {self.scene!r}; not a regular expression ({error})") from error
        if self.scene and groups != 1:
            raise RecipeError(
                f"recipe: [split] scene = {self.scene!r}; has {counted(groups, 'group')}, expected one in parentheses, "
                r"such as ^(\d+)_"
            )
        if self.scene and self.shared_scenes:
            raise RecipeError("recipe: [split] scene and shared_scenes exclude each other; leave one out")


@dataclasses.dataclass(frozen=True, kw_only=True)
class GeneratedConfig:
    """Images that are drawn instead of read; they get noise as they are used."""

    images: int = 1000
    held_out: int = 24
    """Further images, never trained on, for validation."""
    seed: int = 0
    share: float = 0.0
    """Of the examples, where --clean gives photographs as well; without them all examples are generated."""

    def __post_init__(self) -> None:
        if not 0 <= self.share < 1:
            raise RecipeError(f"recipe: [generated] share = {self.share}; expected 0 to below 1")
        at_least("generated", self, 1, "images", "held_out")
        at_least("generated", self, 0, "seed")


@dataclasses.dataclass(frozen=True, kw_only=True)
class PhotographsConfig:
    """Clean photographs (--clean); they get noise as they are used."""

    held_out_share: float = 0.1
    """Of the photographs, never trained on, for validation; one at least."""
    seed: int = 0
    """Of the draw of those held out."""
    reduce: int = 1
    """Make every photograph smaller by this factor first: so goes the noise that it has itself."""

    def __post_init__(self) -> None:
        if not 0 < self.held_out_share < 1:
            raise RecipeError(
                f"recipe: [photographs] held_out_share = {self.held_out_share}; expected a share between 0 and 1"
            )
        at_least("photographs", self, 0, "seed")
        at_least("photographs", self, 1, "reduce")


@dataclasses.dataclass(frozen=True, kw_only=True)
class PrepareConfig:
    """What is made of every pair before training, once, in this order; 0 and false leave a step out."""

    resize: int = 0
    """Both sides of the whole image, in pixels."""
    flips: bool = False
    """Keep a left-right and an upside-down copy beside the image: three for one."""
    grid: int = 0
    """Cut into grid x grid pieces of one size; what is left over at the right and below is dropped."""
    piece: int = 0
    """Resize each piece to this side, in pixels."""
    window: int = 0
    """Cut into windows of this side, in pixels; the last of a row and a column lie at the border."""
    stride: int = 0
    """From one window to the next, in pixels; 0: a window."""
    evaluation: bool = False
    """Cut and resize validation and test as well; they are never flipped, and else only resized as a whole."""

    def __post_init__(self) -> None:
        at_least("prepare", self, 0, "resize", "grid", "piece", "window", "stride")
        if self.stride and not self.window:
            raise RecipeError("recipe: [prepare] stride without window; give both")


@dataclasses.dataclass(frozen=True, kw_only=True)
class SamplingConfig:
    """How training patches are cut from what was prepared, anew in each epoch."""

    patch: int = 256
    """Side in pixels; smaller images are given whole, if all are of one size."""
    crop: int = 0
    """A random crop of this side is cut first and then parted into patches, each an example; 0: a patch at random."""
    flips: bool = False
    """Left-right and upside-down, each with a chance of one half."""
    turns: bool = False
    """By a quarter, with a chance of one half."""
    colours: bool = False
    """Exchange the channels at random."""
    stages: tuple[tuple[float, int, int], ...] = ()
    """Progressive training: (share of the run, patch, batch), each from that share on."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "stages", tuple(tuple(stage) for stage in self.stages))
        at_least("sampling", self, 1, "patch")
        at_least("sampling", self, 0, "crop")
        if self.crop and (self.crop % self.patch or self.stages):
            raise RecipeError(f"recipe: [sampling] crop {self.crop} must be a multiple of patch, without stages")
        starts = [stage[0] for stage in self.stages]
        if starts != sorted(starts) or any(len(stage) != 3 or not 0 < stage[0] < 1 for stage in self.stages):
            raise RecipeError("recipe: [sampling] stages are [share, patch, batch] with shares from 0 to 1, in order")
        if any(min(stage[1:]) < 1 for stage in self.stages):
            raise RecipeError("recipe: [sampling] patches and batches of stages are at least 1")
