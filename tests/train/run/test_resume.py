"""A run is gone on from: to the very weights, from damaged states, and never with another recipe or other data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from nafnet.errors import CheckpointError, DataError, RecipeError
from nafnet.train.run.trainer import Trainer
from tests.train.conftest import Train, evaluated, rows, same

ALL_ON = ("loop.ema=0.9", "loop.accumulate=2", "loop.dropout=0.2", "sampling.flips=true", "sampling.turns=true")


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_a_run_in_two_halves_is_a_run_in_one(workers: int, train: Train) -> None:
    _, whole, _ = train("loop.steps=12", *ALL_ON, folder="whole")
    _, halves, _ = train("loop.steps=12", *ALL_ON, folder="halves", workers=workers)
    for state in (halves / "states").iterdir():
        if state.name > "state-00000010.pt":
            state.unlink()
    _, halves, said = train("loop.steps=12", *ALL_ON, folder="halves", workers=workers)
    assert "going on from step 10" in said
    for name in ("last.safetensors", "best.safetensors"):
        assert same(whole / name, halves / name)
    columns = ("step", "loss", "learning_rate", "gradient_norm")
    first, second = ([tuple(row[c] for c in columns) for row in rows(run / "steps.csv")] for run in (whole, halves))
    assert first == second


def test_a_truncated_state_falls_back_on_the_one_before(train: Train) -> None:
    _, whole, _ = train("loop.steps=12")
    before = load_file(whole / "last.safetensors")
    newest, older = sorted((whole / "states").iterdir(), reverse=True)
    newest.write_bytes(newest.read_bytes()[:1000])
    _, again, said = train("loop.steps=12")
    assert any(line.startswith(f"{newest}: damaged") for line in said)
    assert "going on from step 10" in said
    after = load_file(again / "last.safetensors")
    assert all(torch.equal(before[name], after[name]) for name in before)
    for state in (newest, older):
        state.write_bytes(b"")
    with pytest.raises(CheckpointError, match="none of 2 states can be read"):
        train("loop.steps=12")


def test_a_damaged_state_is_no_fallback(train: Train) -> None:
    _, run, _ = train("loop.steps=22")
    states = run / "states"
    newest, older = sorted(states.iterdir(), reverse=True)
    newest.write_bytes(newest.read_bytes()[:1000])
    last = (run / "last.safetensors").read_bytes()
    train("loop.steps=22")
    assert sorted(path.name for path in states.iterdir()) == [older.name, newest.name]
    newest.write_bytes(b"")
    _, _, said = train("loop.steps=22")
    assert "going on from step 20" in said
    assert (run / "last.safetensors").read_bytes() == last


def test_weights_that_are_gone_are_written_anew(train: Train) -> None:
    outcome, run, _ = train("loop.steps=20")
    before = load_file(run / "last.safetensors")
    for name in ("last.safetensors", "best.safetensors"):
        (run / name).unlink()
    again, _, said = train("loop.steps=20")
    assert any("best.safetensors is gone" in line for line in said)
    assert again.best_step == 20
    assert again.best_psnr <= outcome.best_psnr
    for name in ("last.safetensors", "best.safetensors"):
        after = load_file(run / name)
        assert all(torch.equal(before[key], after[key]) for key in before)


def test_an_evaluation_put_off_by_a_stop_is_made_up_for(train: Train, monkeypatch: pytest.MonkeyPatch) -> None:
    _, whole, _ = train("loop.steps=20", folder="whole")
    step = Trainer.train_step

    def stopping(self: Trainer, parts: Any, *, stop: bool = False) -> Any:
        return step(self, parts, stop=stop or self.step == 9)

    monkeypatch.setattr(Trainer, "train_step", stopping)
    with pytest.raises(KeyboardInterrupt):
        train("loop.steps=20", folder="stopped")
    monkeypatch.setattr(Trainer, "train_step", step)
    _, stopped, _ = train("loop.steps=20", folder="stopped")
    assert evaluated(whole) == evaluated(stopped)
    assert same(whole / "best.safetensors", stopped / "best.safetensors")


def test_states_go_with_their_recipe_and_their_data(train: Train, pairs: Path) -> None:
    _, run, _ = train("loop.steps=12")
    for path in (pairs / "input").iterdir():  # the same names, other pixels
        pixels = np.asarray(Image.open(path))
        Image.fromarray(255 - pixels).save(path)
    with pytest.raises(RecipeError, match="the data differ"):
        train("loop.steps=12")
    record = (run / "run.json").read_text(encoding="utf-8")
    (run / "run.json").unlink()
    with pytest.raises(CheckpointError, match="states of another recipe, of other data"):
        train("loop.steps=12")
    (run / "run.json").write_text(record[:-20], encoding="utf-8")
    with pytest.raises(CheckpointError, match=r"run\.json: damaged"):
        train("loop.steps=12")


def test_a_damaged_log_is_named_with_its_line(train: Train) -> None:
    _, run, _ = train("loop.steps=12")
    log = run / "steps.csv"
    log.write_text(log.read_text(encoding="utf-8").replace("\n3,", "\nx,"), encoding="utf-8")
    with pytest.raises(DataError, match=r"steps\.csv, line 4: damaged"):
        train("loop.steps=12")


def test_files_of_others_are_left_alone(train: Train, tmp_path: Path) -> None:
    theirs = tmp_path / "run" / "other" / ".x.partial"
    theirs.parent.mkdir(parents=True)
    theirs.touch()
    left = tmp_path / "run" / ".best.safetensors.0123abcd.partial"
    left.touch()
    train("loop.steps=2")
    assert theirs.exists()
    assert not left.exists()


def test_every_nth_state_is_kept(train: Train) -> None:
    _, run, _ = train("loop.steps=25", "loop.keep_every=7")
    kept = sorted(int(path.stem.rpartition("-")[2]) for path in (run / "states").iterdir())
    assert kept == [7, 14, 21, 25]


def test_a_folder_of_another_recipe_or_of_other_data_is_refused(train: Train, pairs: Path) -> None:
    train("loop.steps=5")
    with pytest.raises(RecipeError, match=r"loop\.batch, loop\.seed differ"):
        train("loop.steps=5", "loop.seed=1", "loop.batch=2")
    for side in ("input", "target"):
        (pairs / side / "00.png").unlink()
    with pytest.raises(RecipeError, match="the data differ"):
        train("loop.steps=5")
