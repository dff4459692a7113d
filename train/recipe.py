"""Recipes: everything a training run depends on, but for the data itself and the machine.

Each table of the TOML file is one of the classes here; a field that is not written has the default.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any, Literal

from nafnet.train.camera import CameraConfig
from nafnet.train.dead_leaves import DeadLeavesConfig
from nafnet.train.losses import LOSSES
from nafnet.train.noise import NoiseConfig
from nafnet.train.schedule import ScheduleConfig
from nafnet.train.splits import SplitConfig

from nafnet.errors import RecipeError
from nafnet.metrics import PROTOCOLS
from nafnet.spec import Architecture

Precision = Literal["fp32", "bf16", "fp16"]


def _at_least(table: str, config: Any, lowest: int, *names: str) -> None:
    """Raise RecipeError unless these fields are numbers, and none below `lowest`."""
    for name in names:
        value = getattr(config, name)
        if not (math.isfinite(value) and value >= lowest):
            raise RecipeError(f"recipe: [{table}] {name} = {value!r}; expected at least {lowest}")


def images_until(stages: Sequence[Sequence[int]], step: int) -> int:
    """How many images the first `step` steps take.

    Args:
        stages: (first step, patch, batch) of each, see `Recipe.starts`.
    """
    ends = [*(start for start, _, _ in stages[1:]), step]
    return sum(max(min(step, end) - start, 0) * batch for (start, _, batch), end in zip(stages, ends, strict=True))


@dataclasses.dataclass(frozen=True, kw_only=True)
class GeneratedConfig:
    """Images that are drawn instead of read; they get noise as they are used."""

    images: int = 1000
    held_out: int = 24
    """Further images, never trained on, for validation."""
    seed: int = 0

    def __post_init__(self) -> None:
        _at_least("generated", self, 1, "images", "held_out")
        _at_least("generated", self, 0, "seed")


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
        _at_least("prepare", self, 0, "resize", "grid", "piece", "window", "stride")
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
        _at_least("sampling", self, 1, "patch")
        _at_least("sampling", self, 0, "crop")
        if self.crop and (self.crop % self.patch or self.stages):
            raise RecipeError(f"recipe: [sampling] crop {self.crop} must be a multiple of patch, without stages")
        starts = [stage[0] for stage in self.stages]
        if starts != sorted(starts) or any(len(stage) != 3 or not 0 < stage[0] < 1 for stage in self.stages):
            raise RecipeError("recipe: [sampling] stages are [share, patch, batch] with shares from 0 to 1, in order")
        if any(min(stage[1:]) < 1 for stage in self.stages):
            raise RecipeError("recipe: [sampling] patches and batches of stages are at least 1")


@dataclasses.dataclass(frozen=True, kw_only=True)
class LoopConfig:
    """The optimiser (AdamW) and the loop."""

    steps: int = 0
    epochs: int = 0
    """Instead of steps: so many times through the training images."""
    batch: int = 8
    """Images of one step, over all processes and parts."""
    accumulate: int = 1
    """Parts of a batch that are computed one after the other, to need less memory."""
    loss: str = "psnr"
    learning_rate: float = 1e-3
    betas: tuple[float, float] = (0.9, 0.9)
    weight_decay: float = 0.0
    gradient_clip: float = 0.01
    """Largest norm of the gradient; 0 turns clipping off."""
    dropout: float = 0.0
    ema: float = 0.0
    """Decay of the weights' moving average, which is then what is evaluated and written; 0: none."""
    precision: Precision = "fp32"
    """bf16 and fp16 are mixed: weights and the sum of gradients stay fp32."""
    seed: int = 0
    """Of the initial weights, and of every step's images and noise."""
    checkpoint_every: int = 500
    """Steps from one state to resume from to the next."""
    keep_every: int = 0
    """Steps from one state that is kept for good to the next."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "betas", tuple(self.betas))
        _at_least(
            "loop", self, 0, "steps", "epochs", "learning_rate", "weight_decay", "gradient_clip", "seed", "keep_every"
        )
        _at_least("loop", self, 1, "batch", "accumulate", "checkpoint_every")
        if not all(0 <= beta < 1 for beta in self.betas):
            raise RecipeError(f"recipe: [loop] betas = {list(self.betas)}; expected two numbers from 0 to below 1")
        if bool(self.steps) == bool(self.epochs):
            raise RecipeError("recipe: [loop] needs either steps or epochs")
        if self.batch % self.accumulate:
            raise RecipeError("recipe: [loop] batch must be a multiple of accumulate")
        if self.loss not in LOSSES:
            raise RecipeError(f"recipe: [loop] loss = {self.loss!r}; known are {', '.join(LOSSES)}")
        if not (0 <= self.dropout < 1 and 0 <= self.ema < 1):
            raise RecipeError("recipe: [loop] dropout and ema lie between 0 and 1")


@dataclasses.dataclass(frozen=True, kw_only=True)
class EvaluationConfig:
    """How often, on what and by which rules a run is evaluated."""

    every: int = 0
    """Steps; 0: once an epoch, at most a hundred times in a run."""
    images: int = 64
    """Images of validation, and of training for the gap between the two; 0: all."""
    window: int = 0
    """Of larger images the middle alone, a square of this side; 0: all of them."""
    protocol: str = "plain"
    """See `nafnet.metrics.PROTOCOLS`."""
    patience: int = 0
    """Stop after so many evaluations in a row without a better PSNR; 0: never."""

    def __post_init__(self) -> None:
        _at_least("evaluation", self, 0, "every", "images", "window", "patience")
        if 0 < self.window < 11:
            raise RecipeError(f"recipe: [evaluation] window = {self.window}; SSIM needs at least 11, or 0 for all")
        if self.protocol not in PROTOCOLS:
            raise RecipeError(f"recipe: [evaluation] protocol = {self.protocol!r}; known are {', '.join(PROTOCOLS)}")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Recipe:
    """One training run."""

    name: str
    task: str = "restore"
    layouts: tuple[str, ...] = ()
    """The data sets it was written for, by the names of `nafnet-train data`; any other is taken as well."""
    architecture: Architecture = dataclasses.field(default_factory=Architecture)
    generated: GeneratedConfig | None = None
    """None: it trains on pairs."""
    dead_leaves: DeadLeavesConfig = dataclasses.field(default_factory=DeadLeavesConfig)
    noise: NoiseConfig = dataclasses.field(default_factory=NoiseConfig)
    camera: CameraConfig = dataclasses.field(default_factory=CameraConfig)
    split: SplitConfig = dataclasses.field(default_factory=SplitConfig)
    prepare: PrepareConfig = dataclasses.field(default_factory=PrepareConfig)
    sampling: SamplingConfig = dataclasses.field(default_factory=SamplingConfig)
    schedule: ScheduleConfig = dataclasses.field(default_factory=ScheduleConfig)
    loop: LoopConfig = dataclasses.field(default_factory=lambda: LoopConfig(steps=1000))
    evaluation: EvaluationConfig = dataclasses.field(default_factory=EvaluationConfig)

    def __post_init__(self) -> None:
        parts = self.loop.accumulate
        if any(batch % parts for _, _, batch in self.sampling.stages):
            raise RecipeError(f"recipe: [sampling] batches of stages must be multiples of accumulate, {parts}")
        if self.loop.steps and self.schedule.warmup_steps >= self.loop.steps:
            raise RecipeError(
                f"recipe: [schedule] warmup_steps = {self.schedule.warmup_steps}; the run has {self.loop.steps} steps"
            )

    def to_dict(self) -> dict[str, Any]:
        """Plain values, equal for equal recipes; stored in the run, compared on resume."""
        return dataclasses.asdict(self)

    def starts(self, steps: int) -> list[tuple[int, int, int]]:
        """(first step, patch, batch) of each stage of a run of `steps`."""
        found = [(0, self.sampling.patch, self.loop.batch)]
        for share, patch, batch in self.sampling.stages:
            # 0.7 of 10 is 7, whatever floats make of it.
            found.append((math.ceil(share * steps - 1e-6), patch, batch))
        return found

    def stage(self, step: int, steps: int) -> tuple[int, int]:
        """(patch, batch) of a step in a run of `steps`."""
        _, patch, batch = [stage for stage in self.starts(steps) if stage[0] <= step][-1]
        return patch, batch

    def images_until(self, step: int, steps: int) -> int:
        """How many images the first `step` steps of a run of `steps` take."""
        return images_until(self.starts(steps), step)
