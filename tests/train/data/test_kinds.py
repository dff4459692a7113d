"""REDS with and without JPEG by choice; WebP and 16-bit pairs; alpha and grey refused by name."""

from __future__ import annotations

import json
import runpy
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from nafnet.train.data.layouts.folders import find_two
from nafnet.train.data.pair_store import open_store
from nafnet.train.data.photographs import find_photographs
from nafnet.train.data.prepare import resized
from nafnet.train.processes.distributed import World
from nafnet.train.recipes.recipe_files import load_recipe
from nafnet.train.run.run_data import DataSource, open_data
from tests.train.conftest import TINY, trained_here

MADE = runpy.run_path(str(Path(__file__).parents[1] / "make_data.py"))
reds, save = MADE["reds"], MADE["save"]
PAIR = MADE["noise"](16, 16)
LIGHT, DARK = (lambda _, value=value: (np.full((16, 16, 3), value, np.uint8),) * 2 for value in (200, 20))
"""Of the two versions of REDS."""


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of the test's own."""
    monkeypatch.setenv("NAFNET_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


# REDS


def degraded_pixels(root: Path, *changes: str) -> set[int]:
    """The values of all degraded images that a run would see."""
    (root.parent / "tiny.toml").write_text(TINY, encoding="utf-8")
    from rich.progress import Progress

    recipe = load_recipe(str(root.parent / "tiny.toml"), changes)
    data = open_data(recipe, DataSource(root=root), root.parent, Progress(disable=True), World())
    return {round(float(each.pair(0)[0].max()) * 255) for each in data.evaluation.values()}


def test_where_both_versions_of_reds_lie_one_is_chosen(tmp_path: Path) -> None:
    root = tmp_path / "reds"
    reds(root, LIGHT, 9, "blur")
    reds(root, DARK, 9, "blur_jpeg")
    done = trained_here("data", root)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert "has 2 degraded versions (blur in train, validation; blur_jpeg in train, validation)" in done.stderr
    assert "choose: --set degraded=blur or --set degraded=blur_jpeg" in done.stderr
    for version, value in (("blur", 200), ("blur_jpeg", 20)):
        said = trained_here("data", root, f"--set=degraded={version}").stdout
        assert f"degraded version: {version}" in said.splitlines()
        assert degraded_pixels(root, f"degraded={version}") == {value}


def test_the_authors_recipe_is_for_jpeg() -> None:
    assert load_recipe("upstream/reds-width64").degraded == "blur_jpeg"
    assert not load_recipe("upstream/gopro-width64").degraded


def test_parts_of_two_versions_are_refused(tmp_path: Path) -> None:
    for version in ("blur", "blur_jpeg"):
        reds(tmp_path / version, PAIR, 9, version)
    (tmp_path / "blur" / "val").rename(tmp_path / "gone")
    (tmp_path / "blur_jpeg" / "val").rename(tmp_path / "blur" / "val")
    mixed = tmp_path / "blur"
    for words in ((), ("--set=degraded=blur",), ("--set=degraded=blur_jpeg",)):
        done = trained_here("data", mixed, *words)
        assert done.returncode == 2
        assert "blur in train; blur_jpeg in validation" in done.stderr
    assert "blur is not in validation" in trained_here("data", mixed, "--set=degraded=blur").stderr


def test_a_version_that_is_not_there_is_named(tmp_path: Path) -> None:
    reds(tmp_path, PAIR, 9, "blur")
    assert "degraded version: blur" in trained_here("data", tmp_path).stdout, "the only one"
    done = trained_here("data", tmp_path, "--recipe", "upstream/reds-width64")
    assert done.returncode == 2
    assert "has no blur_jpeg, but blur in train, validation; choose --set degraded=blur" in done.stderr


def test_a_choice_that_chooses_nothing_is_said(tmp_path: Path) -> None:
    for number in range(9):
        save(PAIR(number), tmp_path / "noisy" / f"{number}.png", tmp_path / "clean" / f"{number}.png")
    said = trained_here("data", tmp_path, "--set=degraded=blur").stdout
    assert "degraded = 'blur' says nothing here: the data set has one version" in said


# Files


def deep(number: int) -> NDArray[np.uint16]:
    """16 bits of which none are idle."""
    return np.random.default_rng(number).integers(0, 2**16, (24, 32, 3)).astype(np.uint16)


def save_deep(path: Path, pixels: NDArray[np.uint16]) -> None:
    import pyvips

    path.parent.mkdir(parents=True, exist_ok=True)
    pyvips.Image.new_from_array(pixels, interpretation="rgb16").write_to_file(str(path))


def test_webp_pairs_are_pairs(tmp_path: Path) -> None:
    for number in range(9):
        save(PAIR(number), tmp_path / "noisy" / f"{number}.png", tmp_path / "clean" / f"{number}.png")
        for side in ("noisy", "clean"):
            path = tmp_path / side / f"{number}.png"
            Image.open(path).save(path.with_suffix(".webp"), lossless=True)
            path.unlink()
    done = trained_here("data", tmp_path, "--decode")
    assert done.returncode == 0, done.stderr
    found = find_two(tmp_path / "noisy", tmp_path / "clean").parts["all"]
    assert np.array_equal(found.load(3)[0], PAIR(3)[0])


@pytest.mark.parametrize("ending", ["png", "tif"])
def test_16_bits_are_kept_and_trained_on(ending: str, tmp_path: Path, recipe: Path) -> None:
    """No two of 65,536 values become one; of a pair whose other side has 8 bits, that side gets 16."""
    for number in range(9):
        save_deep(tmp_path / "noisy" / f"{number}.{ending}", deep(number))
        save((deep(number).astype(np.uint8),) * 2, tmp_path / "clean" / f"{number}.png", tmp_path / "x" / "x.png")
    said = trained_here("data", tmp_path, "--decode").stdout
    assert "16 bits" in said
    from rich.progress import Progress

    source = DataSource(root=tmp_path)
    changes = ("sampling.flips=false", "sampling.patch=24")
    data = open_data(load_recipe(str(recipe), changes), source, tmp_path, Progress(disable=True), World())
    trained: set[bytes] = set()
    originals = {deep(number)[:, left : left + 24].tobytes() for number in range(9) for left in range(9)}
    for index in range(len(data.examples)):
        degraded, clean = data.examples.example(index, 24, 0, np.random.default_rng(index))
        assert degraded.dtype == clean.dtype == np.float32
        trained.add(np.rint(degraded.transpose(1, 2, 0) * 65535).astype(np.uint16).tobytes())
        assert np.allclose(clean * 255, np.rint(clean * 255), atol=1e-3)
    assert trained <= originals
    evaluated, _ = data.evaluation["validation"].pair(0)
    assert np.rint(evaluated * 65535).astype(np.uint16).tobytes() in {deep(number).tobytes() for number in range(9)}
    done = trained_here(recipe, "--data", tmp_path, "--steps=2", "-o", tmp_path / "run")
    assert done.returncode == 0, done.stderr


def test_8_bits_beside_16_are_one_batch(tmp_path: Path, recipe: Path) -> None:
    for number in range(10):
        for side in ("noisy", "clean"):
            if number % 2:
                save_deep(tmp_path / side / f"{number}.png", deep(number))
            else:
                (tmp_path / side).mkdir(exist_ok=True)
                Image.fromarray(deep(number).astype(np.uint8)).save(tmp_path / side / f"{number}.png")
    done = trained_here(recipe, "--data", tmp_path, "--steps=6", "-o", tmp_path / "run")
    assert done.returncode == 0, done.stderr


def test_resizing_of_16_bits_is_that_of_8() -> None:
    image = np.random.default_rng(0).integers(100, 156, (40, 60, 3), np.uint8)  # nothing is clipped
    made = resized(image.astype(np.uint16) * 257, 32)
    assert made.dtype == np.uint16
    assert np.abs(made / 257 - resized(image, 32)).max() < 1.01, "Pillow rounds 8 bits between its two passes"


def test_a_store_of_8_bits_stays_one(tmp_path: Path, recipe: Path) -> None:
    from rich.progress import Progress

    for number in range(4):
        save(PAIR(number), tmp_path / "noisy" / f"{number}.png", tmp_path / "clean" / f"{number}.png")
    pairs = find_two(tmp_path / "noisy", tmp_path / "clean").parts["all"]
    loaded = load_recipe(str(recipe))
    store = open_store(tmp_path / "store", pairs, loaded.prepare, Progress(disable=True), training=True)
    assert not store.deep
    assert store.pair(0)[0].dtype == np.uint8
    assert (tmp_path / "store" / "pixels.bin").stat().st_size == 4 * 2 * 16 * 16 * 3


@pytest.mark.parametrize(
    ("mode", "words"),
    [
        ("RGBA", "uint8 with 3 channels and alpha; expected RGB of 8 or 16 bits, without alpha"),
        ("L", "uint8 with 1 channels; expected RGB of 8 or 16 bits"),
        ("LA", "uint8 with 1 channels and alpha; expected RGB"),
        ("I;16", "uint16 with 1 channels; expected RGB of 8 or 16 bits"),
    ],
)
@pytest.mark.parametrize("side", ["noisy", "clean"])
def test_alpha_and_grey_are_refused_by_name(mode: str, words: str, side: str, tmp_path: Path, recipe: Path) -> None:
    for number in range(9):
        save(PAIR(number), tmp_path / "noisy" / f"{number}.png", tmp_path / "clean" / f"{number}.png")
    path = tmp_path / side / "4.png"
    made = Image.new("RGB" if mode == "I;16" else mode, (16, 16))
    (Image.fromarray(np.zeros((16, 16), np.uint16)) if mode == "I;16" else made).save(path)
    done = trained_here(recipe, "--data", tmp_path, "-o", tmp_path / "run")
    assert done.returncode == 2
    assert f"{path}: {words}" in done.stderr
    left = trained_here(recipe, "--data", tmp_path, "-o", tmp_path / "run", "--skip-bad", "--steps=1")
    assert left.returncode == 0, left.stderr
    assert f"left out: {path}" in left.stdout
    parts = json.loads((tmp_path / "run" / "run.json").read_text(encoding="utf-8"))["data"]["parts"]
    assert "4" not in [name for part in parts.values() for name in part["names"]]


def test_turned_oblongs_smaller_than_a_patch_are_refused(tmp_path: Path, recipe: Path) -> None:
    for number in range(9):
        save(MADE["noise"](24, 16)(number), tmp_path / "noisy" / f"{number}.png", tmp_path / "clean" / f"{number}.png")
    words = ("--data", tmp_path, "-o", tmp_path / "run", "--set=sampling.turns=true", "--set=sampling.patch=32")
    done = trained_here(recipe, *words, "--steps=8")
    assert done.returncode == 2
    assert "images of 16x24, and patches of 32 that are turned by a quarter" in done.stderr


# What nafnet-run reads is trained on


@pytest.mark.parametrize("ending", ["ppm", "avif"])
def test_pairs_of_any_format_that_is_read_are_pairs(ending: str, tmp_path: Path) -> None:
    options = {"avif": {"quality": 100}}.get(ending, {})
    generator = np.random.default_rng(0)
    for side in ("in", "out"):
        (tmp_path / side).mkdir()
        for index in range(2):
            pixels = generator.integers(100, 156, (64, 64, 3), np.uint8)
            Image.fromarray(pixels).save(tmp_path / side / f"{index}.{ending}", **options)
    found = find_two(tmp_path / "in", tmp_path / "out")
    assert (found.parts["all"].names, found.faults, found.notes) == (("0", "1"), [], [])
    degraded, clean = found.parts["all"].load(1)
    assert degraded.shape == clean.shape == (64, 64, 3)
    assert np.abs(degraded.astype(int) - pixels).mean() > 1, "the other side's pixels"
    assert np.abs(clean.astype(int) - pixels).mean() < 25


def test_what_is_no_training_picture_is_counted_by_its_ending(tmp_path: Path) -> None:
    for side in ("in", "out"):
        (tmp_path / side).mkdir()
        Image.fromarray(np.zeros((64, 64, 3), np.uint8)).save(tmp_path / side / "a.png")
        for name in ("a.NEF", "b.nef", "c.gif", "notes.txt"):
            (tmp_path / side / name).write_bytes(b"")
    line = (
        "passed over: .gif ({0}), .nef ({1}); a camera's raw files and GIFs are not trained on: "
        "develop them into TIFF or PNG"
    )
    assert find_two(tmp_path / "in", tmp_path / "out").notes == [line.format(2, 4)]
    assert find_photographs([tmp_path / "in"], 48)[1] == [line.format(1, 2)]
