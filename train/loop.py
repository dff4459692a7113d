"""A run from its first step to its last: train, evaluate, write down, save, stop early or when asked to.

The run's folder gets recipe.toml (in full), run.json (data, split, versions), steps.csv, evaluations.csv, curves.png,
tensorboard/, samples/, states/ (to go on from), best.safetensors and last.safetensors.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import platform
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from nafnet.train.batches import Batch, StepBatches
from nafnet.train.curves import draw_curves, write_samples
from nafnet.train.distributed import World
from nafnet.train.evaluation import TRAIN, Scores, evaluate, mean_psnr, restore
from nafnet.train.logbook import Logbook
from nafnet.train.recipe import Recipe
from nafnet.train.recipe_files import recipe_toml
from nafnet.train.run_data import DataSource, RunData, open_data
from nafnet.train.signals import StopRequest
from nafnet.train.state_files import StateFiles
from nafnet.train.trainer import StepResult, Trainer
from rich.progress import Progress

from nafnet.checkpoint import save_checkpoint
from nafnet.errors import CheckpointError, RecipeError, UsageError
from nafnet.files import PARTIAL_SUFFIX, exclusive, write_whole
from nafnet.spec import ModelSpec

BEST, LAST, RECORD = "best.safetensors", "last.safetensors", "run.json"
_MOST_EVALUATIONS = 100
_SAMPLES = 4


@dataclasses.dataclass(frozen=True, kw_only=True)
class MachineOptions:
    """What does not change what is learnt."""

    workers: int = 0
    """Processes that make batches ahead; 0: none."""
    compiled: bool = False


@dataclasses.dataclass(frozen=True)
class Outcome:
    """How a run ended."""

    step: int
    best_step: int
    best_psnr: float
    """Mean over the evaluation sets, in dB."""
    early: bool
    """Stopped because validation got no better."""


class Run:
    """One process's part in one run.

    Args:
        recipe: what to train and how.
        folder: of the run.
        world: the processes.
        options: of this machine.
        say: takes lines for the user.
    """

    def __init__(
        self, recipe: Recipe, folder: Path, world: World, options: MachineOptions, say: Callable[[str], None]
    ) -> None:
        self.recipe, self.folder, self.world, self.options, self.say = recipe, folder, world, options, say
        self.states = StateFiles(folder / "states", recipe.loop.keep_every)
        self.best = (-1, float("-inf"))
        self.since_best = 0

    def train(self, source: DataSource, progress: Progress, asked: StopRequest) -> Outcome:
        """Train to the end, going on where an earlier run of the same recipe on the same data stopped.

        Raises:
            UsageError: another process trains in this folder.
            RecipeError: the folder holds a run of another recipe, or of other data.
                OutputError: the disk takes no more.
            KeyboardInterrupt: it was asked to stop; the state is saved.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        with exclusive(self.folder / f".lock-{self.world.rank}") as alone:
            if not alone:
                raise UsageError(f"{self.folder}: another process trains here; choose another folder with -o")
            if self.world.leads:
                for left in self.folder.rglob(f".*{PARTIAL_SUFFIX}"):
                    left.unlink()  # of a process that was killed while it wrote
            data = open_data(self.recipe, source, self.folder, progress, self.world)
            for line in data.left_out:
                self.say(f"left out: {line}")
            try:
                return self._train(data, progress, asked)
            except OSError as error:
                raise self.states.refused(self.folder, error) from error

    def _train(self, data: RunData, progress: Progress, asked: StopRequest) -> Outcome:
        loop = self.recipe.loop
        steps = loop.steps or max(loop.epochs * len(data.examples) // loop.batch, 1)
        every = self.recipe.evaluation.every or max(len(data.examples) // loop.batch, steps // _MOST_EVALUATIONS, 1)
        trainer = Trainer(self.recipe, steps, self.world, self.folder, compiled=self.options.compiled)
        self._check_recipe(trainer, data)
        self._resume(trainer)
        batches = StepBatches(data.examples, self.recipe, steps, self.world)
        loader = batches.loader(trainer.step, self.options.workers, pinned=self.world.device.type == "cuda")
        task = progress.add_task("training", total=steps, completed=trainer.step)
        stopped, early = False, self._out_of_patience
        with asked.deferred(), contextlib.ExitStack() as stack:
            log = stack.enter_context(Logbook(self.folder, trainer.step)) if self.world.leads else None
            while trainer.step < steps and not (stopped or early):
                result = self._step(trainer, loader, asked, log)
                progress.update(task, completed=trainer.step, description=f"training, loss {result.loss:.4g}")
                stopped, last = result.stop, trainer.step == steps
                if last or trainer.step % every == 0:
                    early = self._evaluate(trainer, data, log)
                if last or stopped or early or trainer.step % loop.checkpoint_every == 0:
                    self._save(trainer)
        if self.world.leads:
            draw_curves(self.folder)
        if stopped:
            raise KeyboardInterrupt
        return Outcome(trainer.step, *self.best, early)

    def _step(self, trainer: Trainer, loader: Iterator[Batch], asked: StopRequest, log: Logbook | None) -> StepResult:
        started = time.monotonic()
        parts = [next(loader) for _ in range(self.recipe.loop.accumulate)]
        result = trainer.train_step(parts, stop=asked.asked)
        if log:
            log.step(
                trainer.step,
                loss=result.loss,
                learning_rate=result.learning_rate,
                gradient_norm=result.gradient_norm,
                seconds=time.monotonic() - started,
            )
        return result

    @property
    def _out_of_patience(self) -> bool:
        patience = self.recipe.evaluation.patience
        return bool(patience) and self.since_best >= patience

    def _evaluate(self, trainer: Trainer, data: RunData, log: Logbook | None) -> bool:
        """Evaluate, write down and keep the best; says whether to stop for want of progress."""
        config, model = self.recipe.evaluation, trainer.evaluated.eval()
        scores = {
            name: evaluate(model, chosen, trainer.loss, config.protocol, self.world)
            for name, chosen in data.evaluation.items()
        }
        mean = mean_psnr(scores) if len(scores) > 1 else scores[TRAIN].psnr
        self.since_best += 1
        if mean > self.best[1]:
            self.best, self.since_best = (trainer.step, mean), 0
            self._write_weights(trainer, BEST)
        if log:
            log.evaluation(trainer.step, scores)
            self._write_samples(trainer, data)
            self.say(f"step {trainer.step}: {_line(scores)}")
        trainer.model.train()
        return self._out_of_patience

    def _write_samples(self, trainer: Trainer, data: RunData) -> None:
        name = next((name for name in data.evaluation if name != TRAIN), TRAIN)
        chosen = data.evaluation[name]
        rows = []
        with torch.inference_mode():
            for index in np.linspace(0, len(chosen) - 1, min(_SAMPLES, len(chosen))).astype(int):
                degraded, clean = chosen.pair(int(index))
                rows.append((degraded, restore(trainer.evaluated, degraded, self.world.device), clean))
        write_samples(self.folder / "samples" / f"step-{trainer.step:08}.png", rows)

    def _write_weights(self, trainer: Trainer, name: str) -> None:
        if not self.world.leads:
            return
        architecture = self.recipe.architecture
        patches = [self.recipe.sampling.patch, *(stage[1] for stage in self.recipe.sampling.stages)]
        spec = ModelSpec(
            architecture=architecture,
            task=self.recipe.task,
            channels=architecture.channels,
            multiple=architecture.multiple,
            train_patch=patches[-1],
        )
        save_checkpoint(self.folder / name, dict(trainer.evaluated.state_dict()), spec)

    def _save(self, trainer: Trainer) -> None:
        if self.world.leads:
            progress = {"best": list(self.best), "since_best": self.since_best}
            self.states.save(trainer.step, {**trainer.state(), **progress})
            self._write_weights(trainer, LAST)

    def _resume(self, trainer: Trainer) -> None:
        state, damaged = self.states.load()
        for line in damaged:
            self.say(line)
        if state is None:
            return
        try:
            trainer.load(state)
            self.best, self.since_best = (int(state["best"][0]), float(state["best"][1])), state["since_best"]
        except (KeyError, ValueError, RuntimeError) as error:
            raise CheckpointError(
                f"{self.states.folder}: of another version ({error}); remove it to start anew"
            ) from error
        self.say(f"going on from step {trainer.step}")

    def _check_recipe(self, trainer: Trainer, data: RunData) -> None:
        """Refuse to mix two recipes, or two data sets, in one folder; write down which they are."""
        record: dict[str, Any] = {"recipe": self.recipe.to_dict(), "data": data.record}
        record = json.loads(json.dumps(record))
        path = self.folder / RECORD
        if path.exists():
            before = json.loads(path.read_text(encoding="utf-8"))
            changed = [
                f"[{table}]" for table, value in record["recipe"].items() if before["recipe"].get(table) != value
            ]
            if before["data"]["parts"] != record["data"]["parts"]:
                changed.append("the data")
            if changed:
                raise RecipeError(
                    f"{self.folder} holds a run of another recipe: {', '.join(changed)} differ; "
                    "choose another folder with -o"
                )
        elif self.world.leads:
            parameters = sum(weight.numel() for weight in trainer.model.parameters())
            versions = {"torch": torch.__version__, "numpy": np.__version__, "python": platform.python_version()}
            record |= {"parameters": parameters, "processes": self.world.size, "versions": versions}
            write_whole(self.folder / "recipe.toml", recipe_toml(self.recipe).encode())
            write_whole(path, json.dumps(record, indent=1).encode())
        self.world.wait()


def _line(scores: dict[str, Scores]) -> str:
    return ", ".join(f"{name} {each.psnr:.2f} dB / {each.ssim:.4f}" for name, each in scores.items())
