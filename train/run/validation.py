"""The evaluations of a run: whether one is due, what each found, the best weights, and whether to stop early."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.progress import Progress

from nafnet.train.processes.distributed import World
from nafnet.train.processes.signals import StopRequest
from nafnet.train.recipes.recipe import Recipe
from nafnet.train.run.evaluation import Scores, evaluate_sets, mean_psnr
from nafnet.train.run.evaluation_sets import TRAIN, EvaluationSet
from nafnet.train.run.logbook import Logbook
from nafnet.train.run.pace import Pace
from nafnet.train.run.tiled import NoMemoryError, TiledModel, with_local_pooling
from nafnet.train.run.trainer import Trainer
from nafnet.train.run.weights import write_restored, write_weights
from nafnet.words import lasting

BEST = "best.safetensors"
NOTHING_YET = (-1, float("-inf"))


@dataclasses.dataclass(frozen=True)
class Course:
    """What goes with the training of one process while it lasts."""

    progress: Progress
    asked: StopRequest
    pace: Pace
    log: Logbook | None
    """Of the leading process."""


class Validation:
    """The evaluations of one run.

    Args:
        recipe: says by which rules.
        folder: of the run.
        world: the processes.
        say: takes lines for the user.
    """

    def __init__(self, recipe: Recipe, folder: Path, world: World, say: Callable[[str], None]) -> None:
        self.recipe, self.folder, self.world, self.say = recipe, folder, world, say
        self.best = NOTHING_YET
        """(step, mean PSNR in dB) of the best weights."""
        self.since_best = 0
        self.tile = recipe.evaluation.tile
        """Side of the tiles, see `TiledModel`: smaller than the recipe's where memory did not suffice."""
        self.due = False
        """Whether one is still to be made: the run was asked to stop before it, or in the midst of it."""

    @property
    def out_of_patience(self) -> bool:
        """Whether validation got no better for as long as the recipe waits."""
        patience = self.recipe.evaluation.patience
        return bool(patience) and self.since_best >= patience

    def evaluate(self, trainer: Trainer, sets: dict[str, EvaluationSet], course: Course) -> bool:
        """Evaluate, write down and keep the best; False, and still due, where it was asked to stop meanwhile.

        Where the memory does not suffice, however small the tiles, the run goes on without it.
        """
        self.due = True
        started, model = time.monotonic(), self._model(trainer)
        try:
            with course.asked.finishing("this image of the evaluation"):
                protocol = self.recipe.evaluation.protocol
                scores = evaluate_sets(model, sets, trainer.loss, protocol, self.world, course.progress, course.asked)
            if scores is not None:
                self._keep(trainer, scores)
                if course.log:
                    self._tell(trainer.step, scores, time.monotonic() - started, course.log, course.pace)
                    shown = next((name for name in sets if name != TRAIN), TRAIN)
                    write_restored(self.folder / "samples" / f"step-{trainer.step:08}.png", model, sets[shown])
            self.due = scores is None
        except NoMemoryError:
            self.say(
                f"step {trainer.step}: not evaluated, out of memory in the smallest tiles; the run goes on, and "
                "--set evaluation.window=512 has smaller images evaluated"
            )
            self.due = False
        finally:
            self.tile = model.tile
            trainer.model.train()
        return not self.due

    def _model(self, trainer: Trainer) -> TiledModel:
        evaluation, network = self.recipe.evaluation, trainer.evaluated.eval()
        if evaluation.local_pooling:
            network = with_local_pooling(network, self.recipe.patches[-1])
        multiple = self.recipe.architecture.multiple
        return TiledModel(network, self.world.device, multiple=multiple, tile=self.tile, say=self.say)

    def begin_anew(self, step: int) -> None:
        """Look for the best anew, for scores will be other ones; the weights of the best so far are kept by a name."""
        self.best, self.since_best = NOTHING_YET, 0
        if self.world.leads and (self.folder / BEST).exists():
            kept = self.folder / f"best-until-{step:08}.safetensors"
            (self.folder / BEST).replace(kept)
            self.say(f"scores will be other ones: the best is looked for anew, and the one so far is {kept}")

    def _keep(self, trainer: Trainer, scores: dict[str, Scores]) -> None:
        mean = mean_psnr(scores) if len(scores) > 1 else scores[TRAIN].psnr
        self.since_best += 1
        if mean > self.best[1]:
            self.best, self.since_best = (trainer.step, mean), 0
            if self.world.leads:
                write_weights(self.folder / BEST, trainer.evaluated, self.recipe)

    def _tell(self, step: int, scores: dict[str, Scores], seconds: float, log: Logbook, pace: Pace) -> None:
        log.evaluation(step, scores)
        pace.evaluated(seconds)
        told = (f"{name} {each.psnr:.2f} dB / {each.ssim:.4f}" for name, each in scores.items())
        self.say(f"step {step}: {', '.join(told)}, evaluated in {lasting(seconds)}{pace.told_left(step)}")
        if line := pace.too_many_evaluations(step):
            self.say(line)

    def state(self) -> dict[str, Any]:
        """All that `load` needs, as plain values."""
        return {"best": list(self.best), "since_best": self.since_best, "due": self.due}

    def load(self, state: dict[str, Any]) -> None:
        """Go on from a state of the same recipe.

        Raises:
            KeyError, ValueError, TypeError: it is of another version.
        """
        self.best, self.since_best = (int(state["best"][0]), float(state["best"][1])), state["since_best"]
        self.due = bool(state["due"])

    def mend(self) -> None:
        """Begin anew to look for the best where its weights, which the state says were written, are gone."""
        if not self.world.same((self.folder / BEST).exists()) and self.best[0] >= 0:
            self.say(f"{self.folder / BEST} is gone: the best from here on is kept")
            self.best, self.since_best = NOTHING_YET, 0
