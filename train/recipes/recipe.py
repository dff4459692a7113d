"""Recipes: everything a training run depends on, but for the data itself and the machine.

Each table of the TOML file is one of the classes here; a field that is not written has the default.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any, Literal

from nafnet.errors import RecipeError
from nafnet.metrics import PROTOCOLS
from nafnet.spec import Architecture
from nafnet.train.recipes.data_tables import (
    GeneratedConfig,
    PhotographsConfig,
    PrepareConfig,
    SamplingConfig,
    SplitConfig,
    at_least,
)
from nafnet.train.recipes.losses import LOSSES
from nafnet.train.recipes.schedule import ScheduleConfig
from nafnet.train.synthetic.camera import CameraConfig
from nafnet.train.synthetic.compression import FilesConfig
from nafnet.train.synthetic.dead_leaves import DeadLeavesConfig
from nafnet.train.synthetic.degradation import Degradation
from nafnet.train.synthetic.noise import NoiseConfig
from nafnet.train.synthetic.scene import SceneConfig
from nafnet.words import counted

Precision = Literal["fp32", "bf16", "fp16"]


def images_until(stages: Sequence[Sequence[int]], step: int) -> int:
    """How many images the first `step` steps take.

    Args:
        stages: (first step, patch, batch) of each, see `Recipe.starts`.
    """
    ends = [*(start for start, _, _ in stages[1:]), step]
    return sum(max(min(step, end) - start, 0) * batch for (start, _, batch), end in zip(stages, ends, strict=True))


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
        at_least(
            "loop", self, 0, "steps", "epochs", "learning_rate", "weight_decay", "gradient_clip", "seed", "keep_every"
        )
        at_least("loop", self, 1, "batch", "accumulate", "checkpoint_every")
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
    """Of validation; 0: all."""
    train_images: int = 32
    """Images of training, for the gap between the two; no more than `images`, where that is not 0."""
    window: int = 0
    """Of larger images the middle alone, a square of this side; 0: all of them, of clean images that get noise 256."""
    tile: int = 1024
    """Larger images are restored in tiles of at most this side, in pixels, as `nafnet-run` does; 0: whole."""
    local_pooling: bool = False
    """Pool over 1.5 training patches in place of the whole image (TLC), as the authors evaluate GoPro and REDS; the
    weights say so, and are restored with in the same way."""
    protocol: str = "plain"
    """See `nafnet.metrics.PROTOCOLS`."""
    patience: int = 0
    """Stop after so many evaluations in a row without a better PSNR; 0: never."""

    def __post_init__(self) -> None:
        at_least("evaluation", self, 0, "every", "images", "window", "tile", "patience")
        at_least("evaluation", self, 1, "train_images")
        if 0 < self.window < 11:
            raise RecipeError(f"recipe: [evaluation] window = {self.window}; SSIM needs at least 11, or 0 for all")
        if self.protocol not in PROTOCOLS:
            raise RecipeError(f"recipe: [evaluation] protocol = {self.protocol!r}; known are {', '.join(PROTOCOLS)}")

    @property
    def most_trained(self) -> int:
        """How many images of training are evaluated at most."""
        return min(self.train_images, self.images or self.train_images)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Recipe:
    """One training run."""

    name: str
    task: str = "restore"
    layouts: tuple[str, ...] = ()
    """The data sets it was written for, by the names of `nafnet-train data`; any other is taken as well."""
    degraded: str = ""
    """Which of a data set's degraded versions, where it has several: of REDS blur or blur_jpeg."""
    architecture: Architecture = dataclasses.field(default_factory=Architecture)
    generated: GeneratedConfig | None = None
    """None: it draws no images."""
    dead_leaves: DeadLeavesConfig = dataclasses.field(default_factory=DeadLeavesConfig)
    photographs: PhotographsConfig = dataclasses.field(default_factory=PhotographsConfig)
    noise: NoiseConfig | None = None
    """None: it trains on pairs, which have theirs. Generated images always get some."""
    scene: SceneConfig = dataclasses.field(default_factory=SceneConfig)
    camera: CameraConfig = dataclasses.field(default_factory=CameraConfig)
    files: FilesConfig = dataclasses.field(default_factory=FilesConfig)
    split: SplitConfig = dataclasses.field(default_factory=SplitConfig)
    prepare: PrepareConfig = dataclasses.field(default_factory=PrepareConfig)
    sampling: SamplingConfig = dataclasses.field(default_factory=SamplingConfig)
    schedule: ScheduleConfig = dataclasses.field(default_factory=ScheduleConfig)
    loop: LoopConfig = dataclasses.field(default_factory=lambda: LoopConfig(steps=1000))
    evaluation: EvaluationConfig = dataclasses.field(default_factory=EvaluationConfig)

    def __post_init__(self) -> None:
        if self.generated is not None and self.noise is None:
            object.__setattr__(self, "noise", NoiseConfig())
        parts = self.loop.accumulate
        if any(batch % parts for _, _, batch in self.sampling.stages):
            raise RecipeError(f"recipe: [sampling] batches of stages must be multiples of accumulate, {parts}")
        multiple, tile = self.architecture.multiple, self.evaluation.tile
        if tile % multiple:
            raise RecipeError(
                f"recipe: [evaluation] tile = {tile}; expected a multiple of {multiple}, which the network needs, or 0"
            )
        if self.loop.steps and self.schedule.warmup_steps >= self.loop.steps:
            raise RecipeError(
                f"recipe: [schedule] warmup_steps = {self.schedule.warmup_steps}; the run has "
                f"{counted(self.loop.steps, 'step')}; choose fewer: --set schedule.warmup_steps={self.loop.steps // 10}"
            )

    def to_dict(self) -> dict[str, Any]:
        """Plain values, equal for equal recipes; stored in the run, compared on resume."""
        return dataclasses.asdict(self)

    @property
    def degradation(self) -> Degradation | None:
        """What is done to clean images; None: the recipe trains on pairs."""
        if self.noise is None:
            return None
        return Degradation(scene=self.scene, noise=self.noise, camera=self.camera, files=self.files)

    @property
    def patches(self) -> list[int]:
        """The side of a patch in each stage of the run."""
        return [self.sampling.patch, *(stage[1] for stage in self.sampling.stages)]

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
