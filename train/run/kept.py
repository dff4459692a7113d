"""What a run keeps on the disk so that it can go on: its states and its newest weights."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from nafnet.errors import CheckpointError
from nafnet.train.processes.distributed import World
from nafnet.train.processes.signals import StopRequest
from nafnet.train.recipes.recipe import Recipe
from nafnet.train.recipes.schedule import learning_rate
from nafnet.train.run.changes import Changes
from nafnet.train.run.run_record import note_changes
from nafnet.train.run.state_files import StateFiles
from nafnet.train.run.trainer import Trainer
from nafnet.train.run.validation import BEST, Validation
from nafnet.train.run.weights import write_weights

LAST = "last.safetensors"


class Kept:
    """The states and the newest weights of one run.

    Args:
        recipe: says how often.
        folder: of the run.
        world: the processes; the leading one writes.
        validation: its state is part of the run's.
        say: takes lines for the user.
    """

    def __init__(
        self, recipe: Recipe, folder: Path, world: World, validation: Validation, say: Callable[[str], None]
    ) -> None:
        self.recipe, self.folder, self.world, self.validation, self.say = recipe, folder, world, validation, say
        self.states = StateFiles(folder / "states", recipe.loop.keep_every)
        self.fingerprint = ""
        """Of the run, see `run_record.fingerprint`; set before anything is saved or loaded."""

    def is_due(self, step: int) -> bool:
        """Whether the recipe has a state saved after this step, evaluations and the end apart."""
        loop = self.recipe.loop
        return any(step % every == 0 for every in (loop.checkpoint_every, loop.keep_every) if every)

    def save(self, trainer: Trainer, asked: StopRequest, *, weights: bool = True) -> None:
        """The weights first: of a run that is killed in between, the state says that they are still to be written.

        Args:
            trainer: of the run.
            asked: what stops it.
            weights: whether they are other ones than when it was saved before.
        """
        if not self.world.leads:
            return
        with asked.held():
            if weights:
                write_weights(self.folder / LAST, trainer.evaluated, self.recipe)
            state = {**trainer.state(), **self.validation.state(), "run": self.fingerprint}
            self.states.save(trainer.step, state)

    def resume(self, trainer: Trainer) -> None:
        """Go on from the leading process's newest state, which it hands to all: they may have no folder in common.

        Raises:
            CheckpointError: the states are damaged, of another run, or of another version.
        """
        state, damaged = self.states.load() if self.world.leads else (None, [])
        for line in damaged:
            self.say(line)
        state = self.world.same(state)
        if state is None:
            return
        if state.get("run") != self.fingerprint:
            raise CheckpointError(
                f"{self.states.folder}: states of another recipe, of other data or of another version; choose another "
                "folder with -o, or remove it to start anew"
            )
        try:
            trainer.load(state)
            self.validation.load(state)
        except (KeyError, ValueError, TypeError, RuntimeError) as error:
            reason = str(error).splitlines()[0][:200]
            raise CheckpointError(
                f"{self.states.folder}: of another version ({reason}); remove it to start anew"
            ) from error
        self.say(f"going on from step {trainer.step}")
        if self.world.leads and not (self.folder / LAST).exists():  # what the state says was written
            write_weights(self.folder / LAST, trainer.evaluated, self.recipe)
        self.validation.mend()

    def change(self, changed: Changes, trainer: Trainer) -> None:
        """Go on as the recipe says now, and write down from when on."""
        if not changed:
            return
        self.say(changed.line(trainer.step))
        if changed.length and trainer.step:
            schedule, highest = self.recipe.schedule, self.recipe.loop.learning_rate
            before, now = (learning_rate(schedule, highest, trainer.step, steps) for steps in changed.length)
            self.say(
                f"the learning rate goes on as in a run of {trainer.steps:,} from the start: {now:.2g}, where it had "
                f"come to {before:.2g}"
            )
        if changed.scoring:
            self.validation.begin_anew(trainer.step)
            if self.world.leads and (self.folder / LAST).exists():  # what weights say of themselves is other, too
                write_weights(self.folder / LAST, trainer.evaluated, self.recipe)
        if self.world.leads:
            note_changes(self.folder, self.recipe, changed, trainer.step, trainer.steps)

    def left_behind(self) -> str:
        """What an interrupted run leaves, and how to go on; empty where another process has to know."""
        if not self.world.leads:
            return ""
        if not (there := self.there()):
            return "stopped before a step was saved; the same command begins again"
        return f"stopped; {there}; the same command goes on"

    def there(self) -> str:
        """What the run has on the disk; empty where that is nothing."""
        newest, best = self.states.steps()[:1], self.folder / BEST
        if not newest:
            return ""
        found = f"the best so far is {best}" if best.exists() else f"{BEST} comes with the first evaluation"
        return f"step {newest[0]} is saved, and its weights are {self.folder / LAST} ({found})"
