"""An evaluation within a run: of a small sample of training, with the state saved first, and never the run's end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from rich.progress import Progress

from nafnet.checkpoint import load_checkpoint
from nafnet.errors import RecipeError, TrainingError
from nafnet.train.recipes.recipe import EvaluationConfig
from nafnet.train.recipes.recipe_files import load_recipe
from nafnet.train.run import evaluation, validation
from nafnet.train.run.tiled import TiledModel
from nafnet.train.run.trainer import Trainer
from nafnet.train.run.weights import write_restored
from tests.train.conftest import Train, rows


def test_all_of_validation_is_not_all_of_training() -> None:
    """`images = 0` of upstream/sidd had every window of training evaluated: hours."""
    assert EvaluationConfig(images=0).most_trained == 32
    assert EvaluationConfig(images=4).most_trained == 4
    assert EvaluationConfig(images=0, train_images=5).most_trained == 5
    with pytest.raises(RecipeError, match="train_images = 0"):
        EvaluationConfig(train_images=0)


def test_the_sample_of_training_is_what_is_evaluated(train: Train, monkeypatch: pytest.MonkeyPatch) -> None:
    scored, seen = evaluation.scored, []

    def counting(*given: Any) -> Any:
        seen.append(1)
        return scored(*given)

    monkeypatch.setattr(evaluation, "scored", counting)
    train("loop.steps=2", "evaluation.images=0", "evaluation.train_images=3", "evaluation.every=2")
    assert len(seen) == 3 + 2, "of 16 training pairs three, and both for validation"


def test_a_log_hears_of_the_evaluation_while_its_last_image_is_restored(
    train: Train, silent: Progress, monkeypatch: pytest.MonkeyPatch
) -> None:
    scored, shown = evaluation.scored, []

    def looking(*given: Any) -> Any:
        running = [task for task in silent.tasks if task.started and not task.finished]
        shown.append(running[-1].description)
        return scored(*given)

    monkeypatch.setattr(evaluation, "scored", looking)
    train("loop.steps=2", "evaluation.images=2")
    assert shown == ["evaluating train"] * 2 + ["evaluating validation"] * 2


def test_samples_of_large_images_restore_their_middle_alone(tmp_path: Path) -> None:
    class Large:
        pixels = 700 * 900

        def __len__(self) -> int:
            return 1

        def pair(self, index: int) -> tuple[Any, Any]:
            del index
            image = np.full((700, 900, 3), 0.5, np.float32)
            return image, image

    seen: list[tuple[int, ...]] = []

    class Looking(torch.nn.Module):
        def forward(self, image: torch.Tensor) -> torch.Tensor:
            seen.append(tuple(image.shape))
            return image

    write_restored(tmp_path / "samples.png", TiledModel(Looking(), torch.device("cpu"), multiple=16), Large())
    assert seen == [(1, 3, 512, 512)]
    assert Image.open(tmp_path / "samples.png").size == (3 * 256, 256)


def test_the_state_is_saved_before_an_evaluation(train: Train, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(*_: Any) -> Any:
        raise SystemExit  # as good as a kill: nothing after it is run

    _, whole, _ = train("loop.steps=12", "loop.checkpoint_every=100", folder="whole")
    with monkeypatch.context() as patched:
        patched.setattr(validation, "evaluate_sets", killed)
        with pytest.raises(SystemExit):
            train("loop.steps=12", "loop.checkpoint_every=100", folder="killed")
    _, run, said = train("loop.steps=12", "loop.checkpoint_every=100", folder="killed")
    assert "going on from step 10" in said
    kept = [[(row["step"], row["set"], row["psnr"]) for row in rows(each / "evaluations.csv")] for each in (whole, run)]
    assert kept[0] == kept[1]


def test_an_evaluation_without_the_memory_is_a_line_and_the_run_goes_on(
    train: Train, monkeypatch: pytest.MonkeyPatch
) -> None:
    scored = evaluation.scored

    def greedy(*given: Any) -> Any:
        try:
            torch.empty(1 << 50)
        except RuntimeError:
            raise evaluation.NoMemoryError from None
        return scored(*given)

    with monkeypatch.context() as patched:
        patched.setattr(evaluation, "scored", greedy)
        outcome, run, said = train("loop.steps=12")
    assert outcome.step == 12
    assert outcome.best_step == -1
    assert sum("not evaluated, out of memory" in line for line in said) == 2
    again, _, _ = train("loop.steps=12")
    assert again.best_step == 12, "with memory again, the finished run is evaluated"
    assert (run / "best.safetensors").exists()


def test_a_step_without_the_memory_says_what_is_there(train: Train, monkeypatch: pytest.MonkeyPatch) -> None:
    step = Trainer.train_step

    def greedy(self: Trainer, parts: Any, *, stop: bool = False) -> Any:
        if self.step == 7:
            torch.empty(1 << 50)
        return step(self, parts, stop=stop)

    monkeypatch.setattr(Trainer, "train_step", greedy)
    with pytest.raises(TrainingError) as refusal:
        train("loop.steps=12")
    told = str(refusal.value)
    assert told.startswith("step 7: out of memory, training 4 patches of 16 at once")
    assert "loop.accumulate=2" in told
    assert "; step 5 is saved, and its weights are " in told


def test_weights_say_how_they_are_evaluated(train: Train) -> None:
    _, run, _ = train("loop.steps=2", "evaluation.local_pooling=true")
    spec = load_checkpoint(run / "best.safetensors").spec
    assert (spec.local_pooling, spec.train_patch) == (True, 16)


def test_local_pooling_is_another_score(train: Train) -> None:
    runs = [
        train("loop.steps=20", f"evaluation.local_pooling={chosen}", "sampling.patch=8", folder=chosen)[1]
        for chosen in ("true", "false")
    ]
    scores = [[row["psnr"] for row in rows(run / "evaluations.csv")] for run in runs]
    assert scores[0] != scores[1]


@pytest.mark.parametrize("name", ["upstream/gopro-width32", "upstream/gopro-width64", "upstream/reds-width64"])
def test_the_authors_deblurring_is_evaluated_as_they_do(name: str) -> None:
    chosen = load_recipe(name).evaluation
    assert chosen.local_pooling
    assert chosen.tile in (0, 1280), "their frames are restored whole"
    assert not load_recipe("upstream/sidd-width32").evaluation.local_pooling


def test_tiles_are_multiples(recipe: Path) -> None:
    with pytest.raises(RecipeError, match=r"tile = 101; expected a multiple of 2"):
        load_recipe(str(recipe), ["evaluation.tile=101"])
