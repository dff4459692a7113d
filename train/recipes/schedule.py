"""The learning rate as a function of the step, so that a run which goes on has nothing to remember of it."""

from __future__ import annotations

import dataclasses
import math
from typing import Literal

from nafnet.errors import RecipeError

Kind = Literal["cosine", "step", "constant"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class ScheduleConfig:
    """A linear warm-up, and what comes after it."""

    kind: Kind = "cosine"
    """cosine: half a cosine down to `final_rate`; step: times `factor` after each of `milestones`; constant."""
    warmup_steps: int = 0
    final_rate: float = 1e-7
    """Where the cosine ends."""
    milestones: tuple[float, ...] = (0.5, 0.75)
    """Of the step schedule, as shares of what follows the warm-up."""
    factor: float = 0.5
    """Of the step schedule."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "milestones", tuple(self.milestones))
        for name in ("warmup_steps", "final_rate", "factor"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= 0):
                raise RecipeError(f"recipe: [schedule] {name} = {value!r}; expected at least 0")
        if any(not 0 < milestone < 1 for milestone in self.milestones):
            raise RecipeError(f"recipe: [schedule] milestones are {self.milestones}; expected shares between 0 and 1")


def learning_rate(config: ScheduleConfig, highest: float, step: int, steps: int) -> float:
    """The rate of step number `step`, from 0, in a run of `steps`; `highest` is the recipe's rate."""
    if step < config.warmup_steps:
        return highest * (step + 1) / config.warmup_steps
    progress = (step - config.warmup_steps) / max(steps - config.warmup_steps, 1)
    if config.kind == "constant":
        return highest
    if config.kind == "step":
        return highest * config.factor ** sum(progress >= milestone for milestone in config.milestones)
    return config.final_rate + (highest - config.final_rate) * (1 + math.cos(math.pi * progress)) / 2
