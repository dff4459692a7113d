"""A run from its first step to its last: train, evaluate, write down, save, stop early or when asked to.

The run's folder gets recipe.toml (in full), run.json (data, split, versions), steps.csv, evaluations.csv, curves.png,
tensorboard/, samples/, states/ (to go on from), best.safetensors and last.safetensors.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from rich.progress import Progress

from nafnet.checkpoint import StateDict, weights_sha256
from nafnet.errors import CheckpointError, UsageError
from nafnet.files import exclusive
from nafnet.train.data.batches import Batch, StepBatches
from nafnet.train.processes.distributed import World
from nafnet.train.processes.signals import StopRequest
from nafnet.train.recipes.recipe import Recipe
from nafnet.train.run.curves import draw_curves
from nafnet.train.run.evaluation import TRAIN, evaluate, mean_psnr
from nafnet.train.run.logbook import Logbook
from nafnet.train.run.run_data import DataSource, RunData, open_data
from nafnet.train.run.run_record import RECORD, fingerprint, refuse_another, remove_leftovers, write_record
from nafnet.train.run.state_files import StateFiles
from nafnet.train.run.trainer import StepResult, Trainer
from nafnet.train.run.weights import write_restored, write_weights

BEST, LAST = "best.safetensors", "last.safetensors"
NOTHING_YET = (-1, float("-inf"))
_MOST_EVALUATIONS = 100
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO)


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
        initial: weights to start from, in place of random ones.
    """

    def __init__(
        self, recipe: Recipe, folder: Path, world: World, options: MachineOptions, say: Callable[[str], None],
        initial: StateDict | None = None,
    ) -> None:  # fmt: skip
        self.recipe, self.folder, self.world, self.options, self.say = recipe, folder, world, options, say
        self.initial, self._initial_hash = initial, weights_sha256(initial) if initial else None
        self.states = StateFiles(folder / "states", recipe.loop.keep_every)
        self.best = NOTHING_YET
        self.since_best = 0
        self._due = False  # an evaluation that was put off, for the run was asked to stop
        self._fingerprint = ""

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
                remove_leftovers(self.folder)
            data = open_data(self.recipe, source, self.folder, progress, self.world)
            for line in data.left_out:
                self.say(f"left out: {line}")
            try:
                return self._train(data, progress, asked)
            except OSError as error:
                if error.errno not in _NO_ROOM:
                    raise
                raise self.states.refused(self.folder, error) from error

    def _train(self, data: RunData, progress: Progress, asked: StopRequest) -> Outcome:
        loop = self.recipe.loop
        steps = loop.steps or max(loop.epochs * len(data.examples) // loop.batch, 1)
        every = self.recipe.evaluation.every or max(len(data.examples) // loop.batch, steps // _MOST_EVALUATIONS, 1)
        trainer = Trainer(self.recipe, steps, self.world, self.folder, self.initial, compiled=self.options.compiled)
        self._check_recipe(trainer, data)
        self._fingerprint = fingerprint(self.recipe, data.record, self._initial_hash)
        self._resume(trainer)
        batches = StepBatches(data.examples, self.recipe, steps, self.world)
        loader = batches.loader(trainer.step, self.options.workers, pinned=self.world.device.type == "cuda")
        task = progress.add_task("training", total=steps, completed=trainer.step)
        stopped, early = False, self._out_of_patience
        with asked.deferred(), contextlib.ExitStack() as stack:
            log = stack.enter_context(Logbook(self.folder, trainer.step)) if self.world.leads else None
            if self._due or (trainer.step == steps and self.best[0] < 0):
                early = self._evaluate(trainer, data, log)
                self._save(trainer, asked)
            while trainer.step < steps and not (stopped or early):
                result = self._step(trainer, loader, asked, log)
                progress.update(task, completed=trainer.step, description=f"training, loss {result.loss:.4g}")
                stopped, last = result.stop, trainer.step == steps
                self._due = last or trainer.step % every == 0
                if self._due and not stopped:
                    early = self._evaluate(trainer, data, log)
                if last or stopped or early or any(trainer.step % each == 0 for each in self._saves):
                    self._save(trainer, asked)
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
            shown = next((name for name in data.evaluation if name != TRAIN), TRAIN)
            samples = self.folder / "samples" / f"step-{trainer.step:08}.png"
            write_restored(samples, model, data.evaluation[shown], self.world.device)
            told = (f"{name} {each.psnr:.2f} dB / {each.ssim:.4f}" for name, each in scores.items())
            self.say(f"step {trainer.step}: {', '.join(told)}")
        trainer.model.train()
        self._due = False
        return self._out_of_patience

    def _write_weights(self, trainer: Trainer, name: str) -> None:
        if self.world.leads:
            write_weights(self.folder / name, trainer.evaluated, self.recipe)

    @property
    def _saves(self) -> tuple[int, ...]:
        loop = self.recipe.loop
        return (loop.checkpoint_every, loop.keep_every) if loop.keep_every else (loop.checkpoint_every,)

    def _save(self, trainer: Trainer, asked: StopRequest) -> None:
        """The weights first: of a run that is killed in between, the state says that they are still to be written."""
        if not self.world.leads:
            return
        progress = {
            "best": list(self.best), "since_best": self.since_best, "due": self._due, "run": self._fingerprint,
        }  # fmt: skip
        with asked.held():
            self._write_weights(trainer, LAST)
            self.states.save(trainer.step, {**trainer.state(), **progress})

    def _resume(self, trainer: Trainer) -> None:
        """Go on from the leading process's newest state, which it hands to all: they may have no folder in common."""
        state, damaged = self.states.load() if self.world.leads else (None, [])
        for line in damaged:
            self.say(line)
        state = self.world.same(state)
        if state is None:
            return
        if state.get("run") != self._fingerprint:
            raise CheckpointError(
                f"{self.states.folder}: states of another recipe, of other data or of another version; choose another "
                "folder with -o, or remove it to start anew"
            )
        try:
            trainer.load(state)
            self.best, self.since_best = (int(state["best"][0]), float(state["best"][1])), state["since_best"]
            self._due = bool(state["due"])
        except (KeyError, ValueError, TypeError, RuntimeError) as error:
            reason = str(error).splitlines()[0][:200]
            raise CheckpointError(
                f"{self.states.folder}: of another version ({reason}); remove it to start anew"
            ) from error
        self.say(f"going on from step {trainer.step}")
        self._mend_weights(trainer)

    def _mend_weights(self, trainer: Trainer) -> None:
        """Write anew what the state says was written and is not there any more."""
        if self.world.leads and not (self.folder / LAST).exists():
            self._write_weights(trainer, LAST)
        if not self.world.same((self.folder / BEST).exists()) and self.best[0] >= 0:
            self.say(f"{self.folder / BEST} is gone: the best from here on is kept")
            self.best, self.since_best = NOTHING_YET, 0

    def _check_recipe(self, trainer: Trainer, data: RunData) -> None:
        """Refuse to mix two recipes, or two data sets, in one folder; write down which they are."""
        if (self.folder / RECORD).exists():
            refuse_another(self.folder, self.recipe, data.record, self._initial_hash)
        elif self.world.leads:
            parameters = sum(weight.numel() for weight in trainer.model.parameters())
            write_record(
                self.folder, self.recipe, data.record, parameters=parameters, processes=self.world.size,
                examples=len(data.examples), steps=trainer.steps, stages=self.recipe.starts(trainer.steps),
                initial=self._initial_hash,
            )  # fmt: skip
        self.world.wait()
