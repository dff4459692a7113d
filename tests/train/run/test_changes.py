"""What may be other in a run that goes on: evaluation, saving, a later end; nothing that changes what is learnt."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from nafnet.errors import RecipeError
from nafnet.train.recipes.recipe_files import load_recipe
from nafnet.train.recipes.schedule import learning_rate
from nafnet.train.run.trainer import Trainer
from tests.train.conftest import Train, evaluated, rows, same, trained_here


@contextlib.contextmanager
def killed_at(step: int) -> Iterator[None]:
    """A run in here ends in the midst of this step, as good as killed."""
    taken = Trainer.train_step

    def train_step(self: Trainer, parts: Any, *, stop: bool = False) -> Any:
        if self.step == step:
            raise SystemExit
        return taken(self, parts, stop=stop)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Trainer, "train_step", train_step)
        with contextlib.suppress(SystemExit):
            yield
            raise AssertionError(f"it came past step {step}")


def test_after_a_kill_evaluation_and_saving_may_be_other(train: Train) -> None:
    """The weights are those of a run that was left alone."""
    _, whole, _ = train("loop.steps=20", folder="whole")
    with killed_at(13):
        train("loop.steps=20", folder="changed")
    other = ("evaluation.every=4", "evaluation.images=1", "loop.checkpoint_every=3", "loop.keep_every=6")
    _, changed, said = train("loop.steps=20", *other, folder="changed")
    assert "going on from step 10" in said
    assert (
        "from step 10 on: loop.checkpoint_every, loop.keep_every, evaluation.every, evaluation.images changed" in said
    )
    assert same(whole / "last.safetensors", changed / "last.safetensors")
    assert {row["step"] for row in rows(changed / "evaluations.csv")} == {"10", "12", "16", "20"}
    assert load_recipe(str(changed / "recipe.toml")).evaluation.every == 4
    record = json.loads((changed / "run.json").read_text(encoding="utf-8"))
    assert [(entry["from"], entry["steps"]) for entry in record["changes"]] == [(10, 20)]
    _, _, said = train("loop.steps=20", *other, folder="changed")
    assert not any("changed" in line for line in said), "told once"


def test_scores_by_other_rules_begin_a_new_search_for_the_best(train: Train) -> None:
    outcome, run, _ = train("loop.steps=20")
    best = load_file(run / "best.safetensors")
    again, _, said = train("loop.steps=20", "evaluation.protocol=gopro", "evaluation.local_pooling=true")
    kept = run / "best-until-00000020.safetensors"
    assert any(str(kept) in line for line in said)
    assert all((load_file(kept)[name] == tensor).all() for name, tensor in best.items())
    assert again.best_step == 20
    assert again.best_psnr != outcome.best_psnr
    rarer, _, said = train("loop.steps=20", "evaluation.protocol=gopro", "evaluation.local_pooling=true",
                           "evaluation.patience=9")  # fmt: skip
    assert (rarer.best_step, rarer.best_psnr) == (again.best_step, again.best_psnr), "the same scores"


def test_a_run_made_longer_is_one_that_was_so_from_the_start_where_the_schedule_is(train: Train) -> None:
    constant = "schedule.kind=constant"
    _, whole, _ = train("loop.steps=30", constant, folder="whole")
    train("loop.steps=20", constant, folder="longer")
    _, longer, said = train("loop.steps=30", constant, folder="longer")
    assert "from step 20 on: 30 steps in place of 20" in said
    for name in ("last.safetensors", "best.safetensors"):
        assert same(whole / name, longer / name)
    assert evaluated(whole) == evaluated(longer)


def test_a_cosine_goes_on_as_in_a_run_of_the_new_length(train: Train) -> None:
    train("loop.steps=20")
    outcome, run, said = train("loop.steps=30")
    assert outcome.step == 30
    recipe = load_recipe(str(run / "recipe.toml"))
    expected = [learning_rate(recipe.schedule, 1e-3, step, 20 if step < 20 else 30) for step in range(30)]
    assert [float(row["learning_rate"]) for row in rows(run / "steps.csv")] == pytest.approx(expected)
    assert any(line.startswith("the learning rate goes on as in a run of 30 from the start: 0.00025") for line in said)
    assert recipe.loop.steps == 30
    _, _, said = train("loop.steps=30")
    assert "going on from step 30" in said


def test_epochs_extend_a_run_as_steps_do(train: Train) -> None:
    train("loop.steps=0", "loop.epochs=2")
    outcome, _, said = train("loop.steps=0", "loop.epochs=3")
    assert outcome.step == 12
    assert "from step 8 on: 12 steps in place of 8" in said


def test_a_run_is_not_made_shorter_nor_another(train: Train) -> None:
    train("loop.steps=20")
    with pytest.raises(RecipeError, match=r"run of 20 steps, and these are 12: .* give --steps 20"):
        train("loop.steps=12")
    with pytest.raises(RecipeError, match=r"loop\.learning_rate, loop\.ema differ"):
        train("loop.steps=30", "loop.learning_rate=1e-4", "loop.ema=0.5", "evaluation.every=1")


def test_a_run_that_stopped_early_goes_on_without_patience(train: Train) -> None:
    still = ("loop.steps=30", "loop.learning_rate=0", "schedule.final_rate=0", "evaluation.every=2")
    early, _, _ = train(*still, "evaluation.patience=2")
    assert early.early
    outcome, _, _ = train(*still, "evaluation.patience=0")
    assert (outcome.step, outcome.early) == (30, False)


def test_the_command_extends_a_run_whose_warm_up_it_had_shortened(recipe: Path, pairs: Path, tmp_path: Path) -> None:
    text = recipe.read_text(encoding="utf-8") + "[schedule]\nwarmup_steps = 15\n"
    recipe.write_text(text, encoding="utf-8")
    words = [recipe, "--input", pairs / "input", "--target", pairs / "target", "-o", tmp_path / "run"]
    first = trained_here(*words, "--steps", "10", "--device", "cpu")
    assert first.returncode == 0, first.stderr
    assert "warm-up: 1 step in place of the recipe's 15" in first.stdout
    assert "to train it for longer: the same command with --steps 15" in first.stdout
    second = trained_here(*words, "--steps", "16", "--device", "cpu")
    assert second.returncode == 0, second.stderr
    assert "from step 10 on: 16 steps in place of 10" in second.stdout
