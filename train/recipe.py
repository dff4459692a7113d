"""Recipes: everything a training run depends on, but for the data itself and the machine.

Each table of the TOML file is one of the classes here; a field that is not written has the default.
"""

from __future__ import annotations

import dataclasses
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


@dataclasses.dataclass(frozen=True, kw_only=True)
class GeneratedConfig:
    """Images that are drawn instead of read; they get noise as they are used."""

    images: int = 1000
    held_out: int = 24
    """Further images, never trained on, for validation."""
    seed: int = 0


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
        if self.crop and (self.crop % self.patch or self.stages):
            raise RecipeError(f"recipe: [sampling] crop {self.crop} must be a multiple of patch, without stages")
        starts = [stage[0] for stage in self.stages]
        if starts != sorted(starts) or any(len(stage) != 3 or not 0 < stage[0] < 1 for stage in self.stages):
            raise RecipeError("recipe: [sampling] stages are [share, patch, batch] with shares from 0 to 1, in order")


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
        if bool(self.steps) == bool(self.epochs):
            raise RecipeError("recipe: [loop] needs either steps or epochs")
        if min(self.batch, self.accumulate, self.checkpoint_every) < 1 or self.batch % self.accumulate:
            raise RecipeError("recipe: [loop] batch must be a multiple of accumulate, checkpoint_every at least 1")
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

    def to_dict(self) -> dict[str, Any]:
        """Plain values, equal for equal recipes; stored in the run, compared on resume."""
        return dataclasses.asdict(self)

    def stage(self, step: int, steps: int) -> tuple[int, int]:
        """(patch, batch) of a step in a run of `steps`."""
        current = self.sampling.patch, self.loop.batch
        for share, patch, batch in self.sampling.stages:
            if step >= share * steps:
                current = patch, batch
        return current
