"""One training step, and everything that changes from one to the next."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from nafnet.architecture import NAFNet, channels_last
from nafnet.errors import TrainingError
from nafnet.files import whole_file
from nafnet.statedict import StateDict
from nafnet.train.data.batches import Batch, in_unit_range
from nafnet.train.processes.distributed import World
from nafnet.train.recipes.losses import LOSSES
from nafnet.train.recipes.recipe import Precision, Recipe
from nafnet.train.recipes.schedule import learning_rate

_TYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}
_MOST_SKIPPED = 30  # steps in a row that fp16's scaler may skip; it halves the scale at each


@dataclasses.dataclass(frozen=True)
class StepResult:
    """What a step gave, over all processes."""

    loss: float
    gradient_norm: float
    """Before clipping; not finite where fp16's scaler skipped the step."""
    learning_rate: float
    stop: bool
    """Whether any process was asked to stop."""


def set_tf32(device: torch.device, precision: str) -> None:
    """Let fp32 be fp32 on CUDA, where PyTorch's convolutions would compute in TF32; other precisions have TF32."""
    if device.type == "cuda":
        torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = precision != "fp32"


class Trainer:
    """Model, optimiser, moving average, scaler and the number of steps taken.

    Nothing else goes from one step to the next: the learning rate, the images and the dropout of a step follow from its
    number and the recipe's seed.

    Args:
        recipe: how to train.
        steps: how long.
        world: with whom.
        folder: where a batch goes that cannot be trained on.
        initial: weights to start from, in place of random ones.
        compiled: let torch.compile make the forward pass.
        precision: that is computed in; by default the recipe's.
    """

    def __init__(
        self, recipe: Recipe, steps: int, world: World, folder: Path, initial: StateDict | None = None, *,
        compiled: bool = False, precision: Precision | None = None,
    ) -> None:  # fmt: skip
        self.recipe, self.steps, self.world, self.folder = recipe, steps, world, folder
        self.step = 0
        loop = recipe.loop
        self.precision = precision or loop.precision
        torch.manual_seed(loop.seed)
        set_tf32(world.device, self.precision)
        self.model = NAFNet(recipe.architecture, dropout=loop.dropout)
        channels_last(self.model).to(world.device)
        if initial is not None:
            self.model.load_state_dict(initial)
        self.average = AveragedModel(self.model, multi_avg_fn=get_ema_multi_avg_fn(loop.ema)) if loop.ema else None
        self.optimiser = torch.optim.AdamW(
            self.model.parameters(), lr=loop.learning_rate, betas=loop.betas, weight_decay=loop.weight_decay, fused=True
        )
        self.scaler = torch.amp.GradScaler(world.device.type, enabled=self.precision == "fp16")
        self.loss = LOSSES[loop.loss]
        self._skipped = 0
        shared: nn.Module = self.model
        if world.size > 1:
            devices = [world.device] if world.device.type == "cuda" else None
            # A 1x1 kernel has two equal orders in memory, of which backward and buckets take one each.
            warnings.filterwarnings("ignore", "Grad strides do not match bucket view strides")
            shared = DistributedDataParallel(self.model, device_ids=devices, gradient_as_bucket_view=True)
        self._shared = shared
        self._forward: nn.Module = torch.compile(shared) if compiled else shared  # type: ignore[assignment]  # a module, typed as a function

    @property
    def evaluated(self) -> NAFNet:
        """The model that is evaluated and written: the moving average where the recipe has one."""
        averaged: NAFNet = self.average.module if self.average else self.model
        return averaged

    def train_step(self, parts: Sequence[Batch], *, stop: bool = False) -> StepResult:
        """One step on the parts of this process's share of the batch.

        Args:
            parts: as many as the recipe accumulates.
            stop: whether this process was asked to stop; all get to know by the result.

        Raises:
            TrainingError: a loss or a gradient is not finite; the weights are as they were, and the batch is saved.
        """
        loop, count = self.recipe.loop, len(parts)
        dropout = np.random.SeedSequence((loop.seed, self.step, self.world.rank))
        torch.manual_seed(int(dropout.generate_state(1)[0]))
        rate = learning_rate(self.recipe.schedule, loop.learning_rate, self.step, self.steps)
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        self.optimiser.zero_grad(set_to_none=True)
        total = torch.zeros(2, device=self.world.device)
        total[1] = float(stop)
        for number, part in enumerate(parts):
            with self._synchronised(last=number == count - 1):
                loss = self._loss(part) / count
                total[0] += loss.detach()
                self.scaler.scale(loss).backward()
        loss_sum, stops = self.world.sum(total).tolist()
        loss_mean = loss_sum / self.world.size
        if not math.isfinite(loss_mean):
            raise self._not_finite("loss", loss_mean, parts)
        self.scaler.unscale_(self.optimiser)
        norm = float(nn.utils.clip_grad_norm_(self.model.parameters(), loop.gradient_clip or math.inf))
        self._check_norm(norm, parts)
        self.scaler.step(self.optimiser)
        self.scaler.update()
        if self.average:
            self.average.update_parameters(self.model)
        self.step += 1
        return StepResult(loss_mean, norm, rate, stops > 0)

    def _loss(self, part: Batch) -> Tensor:
        device, precision = self.world.device, self.precision
        degraded, clean = (in_unit_range(side.to(device, non_blocking=True)) for side in part)
        with torch.autocast(device.type, _TYPES.get(precision), enabled=precision != "fp32"):
            output = self._forward(degraded)
        return self.loss(output.float(), clean)

    @contextlib.contextmanager
    def _synchronised(self, *, last: bool) -> Iterator[None]:
        """Processes exchange gradients at the last part alone."""
        if last or not isinstance(self._shared, DistributedDataParallel):
            yield
        else:
            with self._shared.no_sync():
                yield

    def _check_norm(self, norm: float, parts: Sequence[Batch]) -> None:
        if math.isfinite(norm):
            self._skipped = 0
            return
        self._skipped += 1
        if not self.scaler.is_enabled() or self._skipped > _MOST_SKIPPED:
            raise self._not_finite("gradient's norm", norm, parts)

    def _not_finite(self, what: str, value: float, parts: Sequence[Batch]) -> TrainingError:
        """The error for it, with the batch saved beside the run."""
        path = self.folder / f"not-finite-step-{self.step}-rank-{self.world.rank}.safetensors"
        tensors = {
            f"{side}.{number}": tensor.contiguous()
            for number, part in enumerate(parts)
            for side, tensor in zip(("degraded", "clean"), part, strict=True)
        }
        with whole_file(path) as temporary:
            safetensors.torch.save_file(tensors, temporary)
        if not all(bool(tensor.float().isfinite().all()) for tensor in tensors.values()):
            cause = "the images hold values that are not finite"
        elif not all(bool(weight.isfinite().all()) for weight in self.model.parameters()):
            cause = "weights are not finite"
        else:
            cause = f"images and weights are finite, so the network overflowed in {self.precision}"
        return TrainingError(
            f"step {self.step}: the {what} is {value}: {cause}; the batch is in {path}; "
            "the step was not taken: start again with a lower learning rate or another precision"
        )

    def state(self) -> dict[str, Any]:
        """All that `load` needs, as tensors and plain values."""
        return {
            "step": self.step,
            "model": self.model.state_dict(),
            "average": self.average.state_dict() if self.average else None,
            "optimiser": self.optimiser.state_dict(),
            "scaler": self.scaler.state_dict(),
            "skipped": self._skipped,
        }

    def load(self, state: dict[str, Any]) -> None:
        """Go on from a state of the same recipe."""
        self.model.load_state_dict(state["model"])
        if self.average:
            self.average.load_state_dict(state["average"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.scaler.load_state_dict(state["scaler"])
        self._skipped = state["skipped"]
        self.step = state["step"]
