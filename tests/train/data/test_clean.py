"""Clean photographs: found, refused, divided, stored once, degraded as they are drawn, and gone on with."""

from __future__ import annotations

import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from rich.progress import Progress

from nafnet.errors import DataError, RecipeError
from nafnet.files import exclusive
from nafnet.train.data.clean_store import CleanStore, write_store
from nafnet.train.data.examples import CleanExamples, MixedExamples
from nafnet.train.data.photographs import find_photographs
from nafnet.train.data.splits import held_out
from nafnet.train.processes.distributed import World
from nafnet.train.processes.signals import StopRequest
from nafnet.train.recipes.recipe import EvaluationConfig, Recipe
from nafnet.train.recipes.recipe_files import load_recipe
from nafnet.train.run.evaluation import CLEAN, TRAIN, Scores, mean_psnr, noisy_sets
from nafnet.train.run.loop import MachineOptions, Outcome, Run
from nafnet.train.run.run_data import DataSource, open_data
from nafnet.train.synthetic.camera import CameraConfig
from tests.train.conftest import Command, rows, same

SMALL = (
    "architecture.width=4", "architecture.encoder_blocks=[1]", "architecture.middle_blocks=1",
    "architecture.decoder_blocks=[1]", "generated.share=0", "generated.images=4", "generated.held_out=2",
    "dead_leaves.size=64", "dead_leaves.textures=2", "sampling.patch=32", "sampling.stages=[[0.5,48,2]]",
    "schedule.warmup_steps=0", "loop.batch=4", "loop.steps=8", "loop.checkpoint_every=3", "evaluation.every=4",
    "evaluation.images=2", "evaluation.window=48",
)  # fmt: skip
TrainClean = Callable[..., tuple[Outcome, Path, list[str]]]


@pytest.fixture
def photographs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of ten photographs of several sizes and kinds of file, two of them in a folder below."""
    monkeypatch.setenv("NAFNET_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "photographs"
    (folder / "more").mkdir(parents=True)
    for index in range(10):
        height, width = 64 + 4 * index, 96 - 3 * index
        ramp = np.linspace(0, 255, width)[None, :, None] * np.random.default_rng(index).random((height, 1, 3))
        where = folder / "more" if index > 7 else folder
        suffix = ("png", "webp", "tif")[index % 3]
        Image.fromarray(ramp.astype(np.uint8)).save(where / f"{index:02}.{suffix}", lossless=True)
    return folder


@pytest.fixture
def train_clean(photographs: Path, tmp_path: Path, silent: Progress) -> TrainClean:
    """Train the recipe denoise, made small, in this process; returns the outcome, the run's folder, what was said."""

    def run(*overrides: str, folder: str = "run", workers: int = 0, skip_bad: bool = False) -> tuple[
        Outcome, Path, list[str]
    ]:  # fmt: skip
        torch.set_num_threads(1)
        said: list[str] = []
        loaded = load_recipe("denoise", [*SMALL, *overrides])
        source = DataSource(clean=(photographs,), skip_bad=skip_bad)
        run = Run(loaded, tmp_path / folder, World(), MachineOptions(workers=workers), said.append)
        with silent:
            outcome = run.train(source, silent, StopRequest())
        return outcome, tmp_path / folder, said

    return run


def small_recipe(*overrides: str) -> Recipe:
    return load_recipe("denoise", [*SMALL, *overrides])


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
    assert said[0] == "going on from step 6"
    assert same(whole / "last.safetensors", halves / "last.safetensors")
    assert rows(whole / "evaluations.csv") == rows(halves / "evaluations.csv")


def test_a_run_is_refused_other_photographs_and_another_split(train_clean: TrainClean, photographs: Path) -> None:
    train_clean()
    with pytest.raises(RecipeError, match=r"\[photographs\], the data differ"):
        train_clean("photographs.seed=1")
    Image.new("RGB", (64, 64)).save(photographs / "00.png")
    with pytest.raises(RecipeError, match="the data differ"):
        train_clean()


def test_a_mixture_draws_its_share_of_generated_images() -> None:
    recipe = small_recipe("noise.clean_share=1.0", "noise.camera_share=0", "scene.dark_share=0", "scene.grey_share=0",
                          "scene.soft_share=0")  # fmt: skip
    black, white = ([np.full((64, 64, 3), value, np.uint8)] * 3 for value in (0, 255))
    mixed = MixedExamples(CleanExamples(black, recipe), CleanExamples(white, recipe), 0.3)
    drawn = [mixed.example(0, 32, 0, np.random.default_rng(seed))[1].max() for seed in range(400)]
    assert np.mean(drawn) == pytest.approx(0.3, abs=0.07)
    assert len(mixed) == 3 * 4


def test_an_epoch_has_more_examples_of_larger_photographs() -> None:
    recipe = small_recipe()
    images = [np.zeros((48, 48, 3), np.uint8), np.zeros((96, 160, 3), np.uint8)]
    examples = CleanExamples(images, recipe)
    assert len(examples) == 2 + 15
    degraded, clean = examples.example(16, 48, 0, np.random.default_rng(0))
    assert degraded.shape == clean.shape == (3, 48, 48)
    assert degraded.dtype == clean.dtype == np.float32


def test_patches_lie_anywhere_on_the_blocks_of_a_jpeg() -> None:
    """The borders between blocks of 8 are where neighbours differ most; they are found at all eight places."""
    recipe = small_recipe(
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


def test_a_store_holds_the_pixels_and_is_made_once(photographs: Path, tmp_path: Path, silent: Progress) -> None:
    found, faults = find_photographs([photographs], 48)
    assert faults == []
    write_store(tmp_path / "store", found, 1, silent)
    written = (tmp_path / "store" / "pixels.bin").stat().st_mtime_ns
    store = pickle.loads(pickle.dumps(CleanStore(tmp_path / "store", [3, 0])))
    assert len(store) == 2
    for number, index in enumerate((3, 0)):
        assert np.array_equal(store[number], np.asarray(Image.open(found.paths[index])))
    write_store(tmp_path / "store", found, 1, silent)
    assert (tmp_path / "store" / "pixels.bin").stat().st_mtime_ns == written


def test_photographs_are_made_smaller_when_asked(photographs: Path, tmp_path: Path, silent: Progress) -> None:
    found, _ = find_photographs([photographs], 48)
    write_store(tmp_path / "store", found, 2, silent)
    first = np.asarray(Image.open(found.paths[0])).astype(float)
    expected = first.reshape(first.shape[0] // 2, 2, first.shape[1] // 2, 2, 3).mean((1, 3))
    np.testing.assert_allclose(CleanStore(tmp_path / "store")[0], expected, atol=0.51)


def test_a_store_that_has_no_room_is_refused_before_the_work(
    photographs: Path, tmp_path: Path, silent: Progress, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 1000})())
    found, _ = find_photographs([photographs], 48)
    with pytest.raises(DataError, match=r"10 photographs take 0\.0 GB once decoded, and 0\.0 GB are free"):
        write_store(tmp_path / "store", found, 1, silent)


def test_an_interrupted_store_is_begun_anew(photographs: Path, tmp_path: Path, silent: Progress) -> None:
    found, _ = find_photographs([photographs], 48)
    write_store(tmp_path / "store", found, 1, silent)
    (tmp_path / "store" / "index.json").unlink()
    (tmp_path / "store" / "pixels.bin").write_bytes(b"half")
    (tmp_path / "store" / ".pixels.bin.0123abcd.partial").write_bytes(b"half")
    write_store(tmp_path / "store", found, 1, silent)
    assert not list((tmp_path / "store").glob("*.partial"))
    assert np.array_equal(CleanStore(tmp_path / "store")[9], np.asarray(Image.open(found.paths[9])))


def test_a_store_that_another_run_makes_is_waited_for(
    photographs: Path, tmp_path: Path, silent: Progress, monkeypatch: pytest.MonkeyPatch
) -> None:
    found, _ = find_photographs([photographs], 48)
    write_store(tmp_path / "theirs", found, 1, silent)
    ours = tmp_path / "ours"
    ours.mkdir()

    def done_meanwhile(_: float) -> None:
        for name in ("pixels.bin", "index.json"):
            shutil.copy2(tmp_path / "theirs" / name, ours / name)

    monkeypatch.setattr("time.sleep", done_meanwhile)
    with exclusive(ours / ".lock") as alone:
        assert alone
        write_store(ours, found, 1, silent)
    assert (ours / "pixels.bin").stat().st_mtime_ns == (tmp_path / "theirs" / "pixels.bin").stat().st_mtime_ns


def test_what_is_held_out_follows_from_the_seed() -> None:
    trained, others = held_out(50, 0.1, 3)
    assert sorted([*trained, *others]) == list(range(50))
    assert len(others) == 5
    assert held_out(50, 0.1, 3) == (trained, others)
    assert held_out(50, 0.1, 4) != (trained, others)
    assert [len(part) for part in held_out(2, 0.1, 0)] == [1, 1]
    with pytest.raises(DataError, match="give two at least"):
        held_out(1, 0.1, 0)


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
        "sigma 25": Scores(0, 30, 1),
        "camera": Scores(0, 34, 1),
        TRAIN: Scores(0, 50, 1),
        CLEAN: Scores(0, 60, 1),
    }
    assert mean_psnr(scores) == 32


def test_pairs_recipes_need_no_noise_and_say_none() -> None:
    assert load_recipe("upstream/sidd-width32").degradation is None
    assert Recipe(name="x", generated=small_recipe().generated).degradation is not None


def spoiled(folder: Path, kind: str) -> str:
    """Add a picture that cannot be used; returns its name."""
    path = folder / f"{kind}.png"
    made = {
        "alpha": Image.new("RGBA", (64, 64)), "grey": Image.new("L", (64, 64)), "small": Image.new("RGB", (64, 40)),
        "deep": Image.fromarray(np.zeros((64, 64), np.uint16)),
    }  # fmt: skip
    if kind in made:
        made[kind].save(path)
    else:
        path.write_bytes(b"no picture")
    return path.name


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("alpha", "uint8 with 3 channels and alpha; expected 8-bit RGB"),
        ("grey", "uint8 with 1 channels; expected 8-bit RGB"),
        ("deep", "uint16 with 1 channels; expected 8-bit RGB"),
        ("small", "64x40 pixels; expected 48 a side at least"),
        ("damaged", "damaged.png"),
    ],
)
def test_pictures_that_cannot_be_used_are_named(
    kind: str, message: str, photographs: Path, tmp_path: Path, silent: Progress
) -> None:
    name = spoiled(photographs, kind)
    with pytest.raises(DataError, match="--skip-bad") as refused:
        open_data(small_recipe(), DataSource(clean=(photographs,)), tmp_path, silent, World())
    assert name in str(refused.value)
    assert message in str(refused.value)
    source = DataSource(clean=(photographs,), skip_bad=True)
    opened = open_data(small_recipe(), source, tmp_path, silent, World())
    assert len(opened.left_out) == 1
    assert name in opened.left_out[0]


def test_folders_are_walked_and_hidden_files_passed_over(photographs: Path) -> None:
    (photographs / ".thumbnails").mkdir()
    for hidden in (photographs / "._00.png", photographs / ".thumbnails" / "00.png"):
        hidden.write_bytes(b"not a picture")
    found, faults = find_photographs([photographs], 48)
    assert (len(found.names), faults) == (10, [])
    twice, _ = find_photographs([photographs, photographs / "more"], 48)
    assert len(twice.names) == len(set(twice.names)) == 12
    assert twice.names[-1].startswith("1/")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["denoise", "--clean", "{tmp}/none"], "--clean {tmp}/none: no such folder"),
        (["denoise", "--clean", "{tmp}/empty"], "--clean {tmp}/empty: has no pictures, nor have the folders below it"),
        (["denoise", "--clean", "{tmp}/small"], "none of 1 pictures can be used: {tmp}/small/a.png: 64x64 pixels"),
        (["study/v1", "--clean", "{clean}"], "study/v1 trains on pairs and adds no noise"),
        (["denoise", "--clean", "{clean}", "--data", "{clean}"], "--clean does not go with --data"),
        (["denoise", "--clean", "{clean}", "--input", "{clean}", "--target", "{clean}"], "--clean does not go with"),
        (["denoise", "--data", "{clean}"], "give --clean FOLDER"),
        (["{own}"], "own adds noise to clean photographs: give --clean FOLDER"),
    ],
)
def test_wrong_commands_are_refused_in_a_line(
    words: list[str], message: str, photographs: Path, tmp_path: Path, nafnet_train: Command
) -> None:
    for name in ("empty", "small"):
        (tmp_path / name).mkdir()
    Image.new("RGB", (64, 64)).save(tmp_path / "small" / "a.png")
    (tmp_path / "own.toml").write_text("[noise]\n[loop]\nsteps = 3\n", encoding="utf-8")
    filled = [word.format(clean=photographs, tmp=tmp_path, own=tmp_path / "own.toml") for word in words]
    done = nafnet_train(*filled, "-o", tmp_path / "run")
    assert done.returncode == 2
    assert message.format(tmp=tmp_path) in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_the_command_trains_on_photographs(photographs: Path, tmp_path: Path, nafnet_train: Command) -> None:
    changes = [f"--set={change}" for change in SMALL]
    done = nafnet_train("denoise", "--clean", photographs, *changes, "--threads=1", "-o", tmp_path / "run")
    assert done.returncode == 0, done.stderr
    assert "clean " in done.stdout
    shown = nafnet_train("show", "denoise").stdout
    for table in ("[photographs]", "[scene]", "[noise]", "[camera]", "[files]", "[generated]"):
        assert table in shown
    assert "[noise]" not in nafnet_train("show", "upstream/sidd-width32").stdout
