"""A run from its first step to its last: train, evaluate, write down, save, stop early or when asked to.

The run's folder gets recipe.toml (in full), run.json (data, split, versions), steps.csv, evaluations.csv, curves.png,
tensorboard/, samples/, states/ (to go on from), best.safetensors and last.safetensors.
"""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from rich.progress import Progress

from nafnet.checkpoint import weights_sha256
from nafnet.errors import DataError, TrainingError, UsageError
from nafnet.files import exclusive
from nafnet.statedict import StateDict
from nafnet.system import SYSTEM
from nafnet.train.data.batches import Batch, StepBatches
from nafnet.train.processes.distributed import World
from nafnet.train.processes.signals import StopRequest
from nafnet.train.recipes.recipe import Recipe
from nafnet.train.run.changes import Changes
from nafnet.train.run.curves import draw_curves
from nafnet.train.run.kept import Kept
from nafnet.train.run.logbook import Logbook
from nafnet.train.run.pace import Pace
from nafnet.train.run.precision import computed_in
from nafnet.train.run.run_data import DataSource, RunData, open_data
from nafnet.train.run.run_record import (
    RECORD,
    checked_changes,
    fingerprint,
    remove_leftovers,
    write_record,
)
from nafnet.train.run.tiled import short_of_memory
from nafnet.train.run.trainer import StepResult, Trainer
from nafnet.train.run.validation import Course, Validation
from nafnet.words import counted

_MOST_EVALUATIONS = 100


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
        self.validation = Validation(recipe, folder, world, say)
        self.kept = Kept(recipe, folder, world, self.validation, say)

    def train(self, source: DataSource, progress: Progress, asked: StopRequest) -> Outcome:
        """Train to the end, going on where an earlier run of the same recipe on the same data stopped.

        Raises:
            UsageError: another process trains in this folder.
            RecipeError: the folder holds a run of another recipe, or of other data.
            OutputError: the disk takes no more.
            KeyboardInterrupt: it was asked to stop; the state is saved.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        began = False
        with exclusive(self.folder / f".lock-{self.world.rank}") as alone:
            if not alone:
                raise UsageError(f"{self.folder}: another process trains here; choose another folder with -o")
            if self.world.leads:
                remove_leftovers(self.folder)
            try:
                opened = open_data(self.recipe, source, self.folder, progress, self.world, self.say)
                with contextlib.closing(opened) as data:
                    for line in (*(f"left out: {each}" for each in data.left_out), data.summary):
                        self.say(line)
                    began = True
                    return self._train(data, progress, asked)
            except KeyboardInterrupt:
                raise KeyboardInterrupt(self.kept.left_behind()) from None
            except (TrainingError, DataError) as error:
                if began and self.world.leads:
                    error.args = (f"{error}; {self.kept.there() or 'nothing is saved yet'}",)
                raise
            except OSError as error:
                if error.errno not in SYSTEM.full_disk:
                    raise
                raise self.kept.states.refused(self.folder, error) from error

    def _train(self, data: RunData, progress: Progress, asked: StopRequest) -> Outcome:
        loop = self.recipe.loop
        steps = loop.steps or max(loop.epochs * len(data.examples) // loop.batch, 1)
        every = self.recipe.evaluation.every or max(len(data.examples) // loop.batch, steps // _MOST_EVALUATIONS, 1)
        precision, note = computed_in(loop.precision, self.world.device)
        if note:
            self.say(note)
        trainer = Trainer(
            self.recipe, steps, self.world, self.folder, self.initial, compiled=self.options.compiled,
            precision=precision,
        )  # fmt: skip
        changed = self._check_recipe(trainer, data)
        self.kept.fingerprint = fingerprint(self.recipe, data.record, self._initial_hash)
        often = "at the end" if every >= steps else f"after every {every}" if every > 1 else "after every step"
        self.say(f"{counted(steps, 'step')} of {counted(loop.batch, 'image')}, an evaluation {often}")
        self.kept.resume(trainer)
        self.kept.change(changed, trainer)
        batches = StepBatches(data.examples, self.recipe, steps, self.world)
        task = progress.add_task("training", total=steps, completed=trainer.step, left=0.0)
        validation, stopped = self.validation, False
        with asked.deferred(), asked.answered(self.say), contextlib.ExitStack() as stack:
            loader = batches.loader(trainer.step, self.options.workers, pinned=self.world.device.type == "cuda")
            book = Logbook(self.folder, trainer.step, due=validation.due) if self.world.leads else None
            log = stack.enter_context(book) if book else None
            evaluated = sum(each.pixels for each in data.evaluation.values()) // self.world.size
            course = Course(progress, asked, Pace(self.recipe, steps, every, evaluated), log)
            if validation.due or (trainer.step == steps and validation.best[0] < 0):
                stopped = not validation.evaluate(trainer, data.evaluation, course)
                self.kept.save(trainer, asked)
            while trainer.step < steps and not (stopped or validation.out_of_patience):
                result = self._step(trainer, loader, course)
                doing, left = f"training, loss {result.loss:.4g}", course.pace.left(trainer.step)
                progress.update(task, completed=trainer.step, description=doing, left=left)
                # Several processes agree by the step's result; one alone need not take another step to know.
                stopped = result.stop or (self.world.size == 1 and asked.asked)
                last = trainer.step == steps
                validation.due = last or trainer.step % every == 0
                evaluates = validation.due and not stopped
                if evaluates:
                    self.kept.save(trainer, asked)  # an evaluation needs memory of its own, and time
                    stopped = not validation.evaluate(trainer, data.evaluation, course)
                if evaluates or last or stopped or self.kept.is_due(trainer.step):
                    self.kept.save(trainer, asked, weights=not evaluates)
        if self.world.leads:
            draw_curves(self.folder)
        if stopped:
            raise KeyboardInterrupt
        return Outcome(trainer.step, *validation.best, validation.out_of_patience)

    def _step(self, trainer: Trainer, loader: Iterator[Batch], course: Course) -> StepResult:
        started = time.monotonic()
        parts = [next(loader) for _ in range(self.recipe.loop.accumulate)]
        result = self._taken(trainer, parts, stop=course.asked.asked)
        seconds = time.monotonic() - started
        if course.log:
            course.log.step(
                trainer.step, loss=result.loss, learning_rate=result.learning_rate,
                gradient_norm=result.gradient_norm, seconds=seconds,
            )  # fmt: skip
        course.pace.step(trainer.step, seconds)
        if line := course.pace.announcement(trainer.step):
            self.say(line)
        return result

    def _taken(self, trainer: Trainer, parts: list[Batch], *, stop: bool) -> StepResult:
        try:
            return trainer.train_step(parts, stop=stop)
        except (RuntimeError, MemoryError) as error:
            if not short_of_memory(error):
                raise
        patch, batch = self.recipe.stage(trainer.step, trainer.steps)
        at_once = counted(batch // len(parts), "patch", "patches")
        raise TrainingError(
            f"step {trainer.step}: out of memory, training {at_once} of {patch} at once; free some and give the same "
            f"command again, or begin anew with --set loop.accumulate={2 * len(parts)}, which needs half of it"
        )

    def _check_recipe(self, trainer: Trainer, data: RunData) -> Changes:
        """Refuse to mix two recipes, or two data sets, in one folder; write down which they are.

        Returns:
            What is other than before, of what may be.
        """
        changed = Changes()
        if (self.folder / RECORD).exists():
            changed = checked_changes(self.folder, self.recipe, data.record, self._initial_hash, trainer.steps)
        elif self.world.leads:
            parameters = sum(weight.numel() for weight in trainer.model.parameters())
            write_record(
                self.folder, self.recipe, data.record, parameters=parameters, processes=self.world.size,
                examples=len(data.examples), steps=trainer.steps, stages=self.recipe.starts(trainer.steps),
                initial=self._initial_hash,
            )  # fmt: skip
        self.world.wait()
        agreed: Changes = self.world.same(changed)
        return agreed
