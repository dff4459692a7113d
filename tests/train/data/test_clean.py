"""Training on clean photographs: degraded as they are drawn, mixed with generated images, gone on with."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from rich.progress import Progress

from nafnet.errors import RecipeError
from nafnet.train.data.examples import CleanExamples, MixedExamples
from nafnet.train.processes.distributed import World
from nafnet.train.processes.signals import StopRequest
from nafnet.train.recipes.recipe import EvaluationConfig, Recipe
from nafnet.train.recipes.recipe_files import load_recipe
from nafnet.train.run.evaluation import Scores, mean_psnr
from nafnet.train.run.evaluation_sets import CLEAN, TRAIN, noisy_sets
from nafnet.train.run.loop import MachineOptions, Outcome, Run
from nafnet.train.run.run_data import DataSource
from nafnet.train.synthetic.camera import CameraConfig
from tests.train.conftest import DENOISE_SMALL, evaluated, rows, same, small_denoise, trained_here

TrainClean = Callable[..., tuple[Outcome, Path, list[str]]]


@pytest.fixture
def train_clean(photographs: Path, tmp_path: Path, silent: Progress) -> TrainClean:
    """Train the recipe denoise, made small, in this process; returns the outcome, the run's folder, what was said."""

    def run(*overrides: str, folder: str = "run", workers: int = 0, skip_bad: bool = False) -> tuple[
        Outcome, Path, list[str]
    ]:  # fmt: skip
        torch.set_num_threads(1)
        said: list[str] = []
        loaded = load_recipe("denoise", [*DENOISE_SMALL, *overrides])
        source = DataSource(clean=(photographs,), skip_bad=skip_bad)
        run = Run(loaded, tmp_path / folder, World(), MachineOptions(workers=workers), said.append)
        with silent:
            outcome = run.train(source, silent, StopRequest())
        return outcome, tmp_path / folder, said

    return run


def test_photographs_are_divided_and_written_down(train_clean: TrainClean, photographs: Path) -> None:
    _, run, _ = train_clean()
    record = json.loads((run / "run.json").read_text(encoding="utf-8"))["data"]
    assert record["layout"] == "clean photographs"
    assert record["root"] == [str(photographs)]
    trained, others = (record["parts"][part] for part in ("train", "held out"))
    assert (trained["images"], others["images"]) == (9, 1)
    assert sorted([*trained["names"], *others["names"]]) == sorted(
        path.relative_to(photographs).as_posix() for path in photographs.rglob("*.*")
    )
    sets = {row["set"] for row in rows(run / "evaluations.csv")}
    assert sets == {
        "train", "sigma 5", "sigma 15", "sigma 25", "sigma 50", "camera", "camera, dark", "jpeg", "clean",
    }  # fmt: skip


@pytest.mark.parametrize("share", [0.0, 0.4])
def test_a_run_in_two_halves_is_a_run_in_one(share: float, train_clean: TrainClean) -> None:
    settings = (f"generated.share={share}", "loop.ema=0.9")
    _, whole, _ = train_clean(*settings, folder="whole")
    _, halves, _ = train_clean(*settings, folder="halves", workers=1)
    (halves / "states" / "state-00000008.pt").unlink()
    _, halves, said = train_clean(*settings, folder="halves", workers=1)
    assert "going on from step 6" in said
    assert same(whole / "last.safetensors", halves / "last.safetensors")
    assert evaluated(whole) == evaluated(halves)


def test_a_run_is_refused_other_photographs_and_another_split(train_clean: TrainClean, photographs: Path) -> None:
    train_clean()
    with pytest.raises(RecipeError, match=r"photographs\.seed, the data"):
        train_clean("photographs.seed=1")
    Image.new("RGB", (64, 64)).save(photographs / "00.png")
    with pytest.raises(RecipeError, match="the data differ"):
        train_clean()


def test_a_copy_of_a_photograph_is_not_held_out_beside_it(train_clean: TrainClean, photographs: Path) -> None:
    for path in sorted(photographs.glob("*.*")):
        (photographs / f"copy of {path.name}").write_bytes(path.read_bytes())
    _, folder, _ = train_clean()
    parts = json.loads((folder / "run.json").read_text(encoding="utf-8"))["data"]["parts"]
    names = [name for part in ("train", "held out") for name in parts[part]["names"]]
    assert len(names) == 10
    assert len({Path(name).name.removeprefix("copy of ") for name in names}) == 10


def test_a_mixture_draws_its_share_of_generated_images() -> None:
    recipe = small_denoise("noise.clean_share=1.0", "noise.camera_share=0", "scene.dark_share=0", "scene.grey_share=0",
                          "scene.soft_share=0")  # fmt: skip
    black, white = ([np.full((64, 64, 3), value, np.uint8)] * 3 for value in (0, 255))
    mixed = MixedExamples(CleanExamples(black, recipe), CleanExamples(white, recipe), 0.3)
    drawn = [mixed.example(0, 32, 0, np.random.default_rng(seed))[1].max() for seed in range(400)]
    assert np.mean(drawn) == pytest.approx(0.3, abs=0.07)
    assert len(mixed) == 3 * 4


def test_an_epoch_has_more_examples_of_larger_photographs() -> None:
    recipe = small_denoise()
    images = [np.zeros((48, 48, 3), np.uint8), np.zeros((96, 160, 3), np.uint8)]
    examples = CleanExamples(images, recipe)
    assert len(examples) == 2 + 15
    degraded, clean = examples.example(16, 48, 0, np.random.default_rng(0))
    assert degraded.shape == clean.shape == (3, 48, 48)
    assert degraded.dtype == clean.dtype == np.float32


def test_patches_lie_anywhere_on_the_blocks_of_a_jpeg() -> None:
    """The borders between blocks of 8 are where neighbours differ most; they are found at all eight places."""
    recipe = small_denoise(
        "noise.clean_share=0", "noise.camera_share=0", "noise.grain_share=0", "files.jpeg_share=1",
        "files.quantised_share=0", "files.jpeg_quality=[5,5]", "files.twice_share=0",
    )  # fmt: skip
    image = np.random.default_rng(0).integers(0, 256, (80, 80, 3)).astype(np.uint8)
    examples = CleanExamples([image], recipe)
    places = []
    for seed in range(100):
        degraded, _ = examples.example(0, 32, 0, np.random.default_rng(seed))
        steps = np.abs(np.diff(degraded, axis=2)).mean((0, 1))
        places.append(int(np.argmax([steps[place::8].mean() for place in range(8)])))
    assert set(places) == set(range(8))


def test_evaluation_sets_repeat_and_lie_anywhere_on_a_mosaic() -> None:
    images = [np.full((300, 320, 3), 128, np.uint8)] * 5
    config = EvaluationConfig(images=4, window=64)
    sets, again = (noisy_sets(images, images[:4], CameraConfig(), config) for _ in range(2))
    for name, chosen in sets.items():
        assert len(chosen) == 4
        for index in range(4):
            degraded, clean = chosen.pair(index)
            assert degraded.shape == clean.shape == (64, 64, 3)
            assert np.array_equal(degraded, again[name].pair(index)[0])
            assert np.array_equal(degraded, clean) == (name == CLEAN)
    assert not np.array_equal(sets["camera"].pair(0)[0], sets["camera"].pair(1)[0])


def test_best_goes_by_noisy_images_alone() -> None:
    scores = {
        "sigma 25": Scores(0, 30, 1, 0),
        "camera": Scores(0, 34, 1, 0),
        TRAIN: Scores(0, 50, 1, 0),
        CLEAN: Scores(0, 60, 1, 0),
    }
    assert mean_psnr(scores) == 32


def test_pairs_recipes_need_no_noise_and_say_none() -> None:
    assert load_recipe("upstream/sidd-width32").degradation is None
    assert Recipe(name="x", generated=small_denoise().generated).degradation is not None


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["denoise", "--clean", "{tmp}/none"], "--clean {tmp}/none: no such folder"),
        (["denoise", "--clean", "{tmp}/empty"], "--clean {tmp}/empty: has no pictures, nor have the folders below it"),
        (["denoise", "--clean", "{tmp}/small"], "none of 1 pictures can be used: {tmp}/small/a.png: 64x64 pixels"),
        (["study/v1", "--clean", "{clean}"], "study/v1 trains on pairs and adds no noise"),
        (["denoise", "--clean", "{clean}", "--data", "{clean}"], "--clean does not go with --data"),
        (["denoise", "--clean", "{clean}", "--input", "{clean}", "--target", "{clean}"], "--clean does not go with"),
        (["denoise", "--data", "{clean}"], "For clean photographs: --clean FOLDER"),
        (["{own}"], "own adds noise to clean photographs: give --clean FOLDER"),
    ],
)
def test_wrong_commands_are_refused_in_a_line(
    words: list[str], message: str, photographs: Path, tmp_path: Path
) -> None:
    for name in ("empty", "small"):
        (tmp_path / name).mkdir()
    Image.new("RGB", (64, 64)).save(tmp_path / "small" / "a.png")
    (tmp_path / "own.toml").write_text("[noise]\n[loop]\nsteps = 3\n", encoding="utf-8")
    filled = [word.format(clean=photographs, tmp=tmp_path, own=tmp_path / "own.toml") for word in words]
    done = trained_here(*filled, "-o", tmp_path / "run")
    assert done.returncode == 2
    assert message.format(tmp=tmp_path) in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_the_command_trains_on_photographs(photographs: Path, tmp_path: Path) -> None:
    changes = [f"--set={change}" for change in DENOISE_SMALL]
    done = trained_here("denoise", "--clean", photographs, *changes, "--threads=1", "-o", tmp_path / "run")
    assert done.returncode == 0, done.stderr
    assert "clean " in done.stdout
    shown = trained_here("show", "denoise").stdout
    for table in ("[photographs]", "[scene]", "[noise]", "[camera]", "[files]", "[generated]"):
        assert table in shown
    assert "[noise]" not in trained_here("show", "upstream/sidd-width32").stdout
