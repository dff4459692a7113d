"""The training loop: patches, noise, PSNR loss, AdamW under a cosine schedule, checkpoints that resume exactly.

Every random draw of a step comes from (seed, step), so a resumed run takes the very steps an uninterrupted one
would have taken.
"""

from __future__ import annotations

import dataclasses
import json
import math
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from nafnet.train.image_store import held_out_images, open_images, training_patches
from nafnet.train.noise import add_noise, gaussian
from nafnet.train.recipe import LoopConfig, Recipe
from numpy.typing import NDArray
from rich.progress import Progress
from torch import Tensor

from nafnet.architecture import NAFNet, channels_last
from nafnet.checkpoint import save_checkpoint
from nafnet.errors import CheckpointError, RecipeError
from nafnet.files import whole_file
from nafnet.spec import ModelSpec

VALIDATION_SIGMAS = (15.0, 25.0, 50.0)


def train(recipe: Recipe, run: Path, progress: Progress) -> Path:
    """Train by `recipe` in the folder `run`, going on where a run of the same recipe stopped.

    The folder gets images.npy (the generated images), state.pt (everything needed to go on), log.jsonl (loss and
    validation) and, in the end and at each validation, <recipe>.safetensors.

    Returns:
        The path of the checkpoint.

    Raises:
        RecipeError: the folder holds a run of another recipe.
    """
    run.mkdir(parents=True, exist_ok=True)
    trainer = Trainer(recipe, run)
    trainer.resume()
    images = open_images(run / "images.npy", recipe.data, progress)
    held_out = held_out_images(images, recipe.data)
    task = progress.add_task("training", total=recipe.loop.steps, completed=trainer.step)
    try:
        while trainer.step < recipe.loop.steps:
            loss = trainer.train_step(images)
            progress.update(task, completed=trainer.step, description=f"training, loss {loss:.2f} dB")
            last = trainer.step == recipe.loop.steps
            if last or trainer.step % recipe.loop.validate_every == 0:
                trainer.write_checkpoint()
                trainer.log(loss=loss, **trainer.validate(held_out))
            if last or trainer.step % recipe.loop.checkpoint_every == 0:
                trainer.save_state()
    except KeyboardInterrupt:
        trainer.save_state()
        raise
    return trainer.checkpoint_path


class Trainer:
    """The state of one run: model, optimiser and the number of steps taken."""

    def __init__(self, recipe: Recipe, run: Path) -> None:
        torch.manual_seed(recipe.loop.seed)
        self.recipe = recipe
        self.run = run
        self.step = 0
        self.checkpoint_path = run / f"{recipe.name}.safetensors"
        self.model = channels_last(NAFNet(recipe.architecture))
        loop = recipe.loop
        self.optimiser = torch.optim.AdamW(
            self.model.parameters(), lr=loop.learning_rate, betas=loop.betas, weight_decay=loop.weight_decay
        )
        self._started = time.monotonic()

    def train_step(self, images: NDArray[np.uint8]) -> float:
        """One step; returns the loss, the mean of -PSNR in dB."""
        loop = self.recipe.loop
        rng = np.random.default_rng((loop.seed, self.step))
        clean = training_patches(images, self.recipe.data, loop.batch, rng)
        noise = torch.Generator().manual_seed(int(rng.integers(2**62)))
        noisy = add_noise(clean, self.recipe.noise, noise)
        for group in self.optimiser.param_groups:
            group["lr"] = learning_rate(loop, self.step)
        loss = psnr_loss(self.model(noisy), clean)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        if loop.gradient_clip:
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), loop.gradient_clip)
        self.optimiser.step()
        self.step += 1
        return float(loss.detach())

    @torch.inference_mode()
    def validate(self, held_out: Tensor) -> dict[str, float]:
        """PSNR in dB on held-out generated images, for each sigma, of unclipped and of 8-bit noise."""
        self.model.eval()
        scores: dict[str, float] = {}
        for sigma in VALIDATION_SIGMAS:
            for quantised in (False, True):
                noisy = gaussian(held_out, sigma, torch.Generator().manual_seed(0), quantised=quantised)
                restored = torch.cat([self.model(part) for part in noisy.split(4)]).clamp(0, 1)
                name = f"psnr_{sigma:g}{'_8bit' if quantised else ''}"
                scores[name] = -float(psnr_loss(restored, held_out))
        self.model.train()
        return scores

    def log(self, **values: float) -> None:
        """Add a line to log.jsonl."""
        row = {"step": self.step, "seconds": round(time.monotonic() - self._started, 1), **values}
        with (self.run / "log.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")

    def write_checkpoint(self) -> None:
        """Write the weights as safetensors with their spec."""
        architecture, patch = self.recipe.architecture, self.recipe.data.patch
        spec = ModelSpec(
            architecture=architecture,
            task=self.recipe.task,
            channels=architecture.channels,
            multiple=architecture.multiple,
            train_patch=patch,
        )
        save_checkpoint(self.checkpoint_path, dict(self.model.state_dict()), spec)

    def save_state(self) -> None:
        """Write all that `resume` needs, whole or not at all."""
        state = {
            "recipe": json.dumps(self.recipe.to_dict()),
            "step": self.step,
            "model": self.model.state_dict(),
            "optimiser": self.optimiser.state_dict(),
        }
        with whole_file(self.run / "state.pt") as temporary:
            torch.save(state, temporary)

    def resume(self) -> None:
        """Load the state an earlier run of the same recipe left; without one, start at step 0."""
        path = self.run / "state.pt"
        if not path.exists():
            return
        try:
            state: dict[str, Any] = torch.load(path, weights_only=True)
            stored = json.loads(state["recipe"])
        except Exception as error:  # torch raises many kinds for a damaged file
            raise CheckpointError(f"{path}: cannot be read ({error}); remove it to start anew") from error
        ours = json.loads(json.dumps(self.recipe.to_dict()))
        if changed := [f"[{s}]" for s in ours if ours[s] != stored.get(s)]:
            raise RecipeError(
                f"{self.run} holds a run of another recipe: {', '.join(changed)} differ; choose another folder with -o"
            )
        self.model.load_state_dict(state["model"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.step = state["step"]


def psnr_loss(output: Tensor, target: Tensor) -> Tensor:
    """The mean over the batch of -PSNR in dB (peak 1.0); float32[N,C,H,W] each."""
    error = (output - target).square().mean((1, 2, 3))
    return 10 * torch.log10(error + 1e-8).mean()


def learning_rate(loop: LoopConfig, step: int) -> float:
    """Linear warm-up, then a cosine down to the final rate."""
    if step < loop.warmup_steps:
        return loop.learning_rate * (step + 1) / loop.warmup_steps
    progress = (step - loop.warmup_steps) / max(loop.steps - loop.warmup_steps, 1)
    height = (1 + math.cos(math.pi * progress)) / 2
    return loop.final_learning_rate + (loop.learning_rate - loop.final_learning_rate) * height


def with_steps(recipe: Recipe, steps: int | None) -> Recipe:
    """The recipe with another number of steps, the schedule stretched to fit."""
    if steps is None:
        return recipe
    return dataclasses.replace(recipe, loop=dataclasses.replace(recipe.loop, steps=steps))
