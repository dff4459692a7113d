"""Data sets as their makers hand them out: generated in every layout, found, divided, and checked."""

from __future__ import annotations

import runpy
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from nafnet.errors import DataError, RecipeError
from nafnet.train.data.layouts import find_data
from nafnet.train.data.layouts.base import Found
from nafnet.train.data.layouts.folders import find_two
from nafnet.train.data.layouts.sidd import find_arrays
from nafnet.train.data.pairs import Shape
from nafnet.train.data.splits import divide
from nafnet.train.recipes.data_tables import SplitConfig
from tests.train.conftest import trained_here

MADE = runpy.run_path(str(Path(__file__).parents[1] / "make_data.py"))
LAYOUTS, scenes, arrays, blocks, flat, save = (
    MADE[name] for name in ("LAYOUTS", "scenes", "arrays", "blocks", "flat", "save")
)
PAIR = MADE["noise"](16, 24)
Make = Callable[[Path], object]
GOPROS = {"train": 6, "validation": 2, "test": 1}
EIGHTY = {"train": 16, "validation": 2, "test": 2}
PARTS = ("train", "validation", "test")


@pytest.mark.parametrize(
    ("make", "layout", "counts"),
    [
        (lambda root: scenes(root, PAIR, 40), "sidd", {"train": 32, "validation": 4, "test": 4}),
        (lambda root: scenes(root, PAIR, 6, "mnt/d/SIDD_Medium_Srgb/Data"), "sidd", dict.fromkeys(PARTS, 2)),
        (lambda root: scenes(root, PAIR, 6, "SIDD_Small_sRGB_Only/Data"), "sidd", dict.fromkeys(PARTS, 2)),
        (lambda root: scenes(root, PAIR, 4), "sidd", {"train": 4}),
        (lambda root: (scenes(root, PAIR, 6), blocks(root, PAIR, 128)), "sidd", {"train": 6, "validation": 128}),
        (lambda root: LAYOUTS["gopro"](root, PAIR, 9), "gopro", GOPROS),
        (
            lambda root: LAYOUTS["gopro-curated"](root, PAIR, 9),
            "gopro-curated",
            GOPROS,
        ),
        (lambda root: LAYOUTS["input-target"](root, PAIR, 9), "input-target", GOPROS),
        (lambda root: LAYOUTS["reds"](root, PAIR, 9), "reds", {"train": 6, "validation": 3}),
        (lambda root: arrays(root, PAIR, 160), "sidd-arrays", {"train": 128, "validation": 16, "test": 16}),
        (
            lambda root: arrays(root, PAIR, 20, "_128", "float32"),
            "sidd-arrays",
            EIGHTY,
        ),
        (lambda root: arrays(root, PAIR, 20, ""), "sidd-arrays", EIGHTY),
    ],
)
def test_layouts_are_found_and_divided(
    make: Callable[[Path], object], layout: str, counts: dict[str, int], tmp_path: Path
) -> None:
    make(tmp_path)
    found_layout, found = find_data(tmp_path)
    assert (found_layout.name, found.faults) == (layout, [])
    parts = divide(found, SplitConfig()).parts
    assert {part: len(pairs.names) for part, pairs in parts.items()} == counts
    if "all" in found.parts:
        names = [
            name
            for pairs in divide(Found(parts={"all": found.parts["all"]}), SplitConfig()).parts.values()
            for name in pairs.names
        ]
        assert sorted(names) == sorted(found.parts["all"].names), "each pair is in one part"
    for pairs in parts.values():
        degraded, clean = pairs.load(0)
        assert degraded.dtype == clean.dtype == np.uint8
        assert degraded.shape == clean.shape
        assert {pairs.shape(index) for index in range(len(pairs.names))} == {Shape(*clean.shape[:2])}


def test_the_pixels_are_those_of_the_pair(tmp_path: Path) -> None:
    scenes(tmp_path, PAIR, 6)
    _, found = find_data(tmp_path)
    pairs = found.parts["all"]
    for index, name in enumerate(pairs.names):
        number = 2 * (int(name[:4]) - 1) + int(name[-3:]) - 10
        for given, expected in zip(pairs.load(index), PAIR(number), strict=True):
            assert np.array_equal(given, expected)


def test_floats_become_the_bytes_they_were_made_of(tmp_path: Path) -> None:
    arrays(tmp_path, PAIR, 20, "_128", "float32")
    found = find_arrays(tmp_path, "_128")
    assert found is not None
    assert np.array_equal(found.parts["all"].load(7)[0], PAIR(7)[0])


def test_one_of_several_sizes_is_taken_when_it_is_named(tmp_path: Path) -> None:
    arrays(tmp_path / "a", PAIR, 20, "_256")
    for path in (tmp_path / "a" / "SIDD").iterdir():
        np.save(path.with_name(path.name.replace("_256", "_128")), np.load(path)[:, :8, :8])
    assert find_data(tmp_path / "a")[1].parts["all"].load(0)[0].shape == (16, 24, 3)
    named = tmp_path / "a" / "SIDD" / "noisy_images_128.npy"
    assert find_data(named)[1].parts["all"].load(0)[0].shape == (8, 8, 3)
    with pytest.raises(DataError, match="no such folder"):
        find_data(tmp_path / "a" / "SIDD" / "other.npy")


def test_gopros_test_is_halved_as_in_the_study(tmp_path: Path) -> None:
    """Of 1,111 frames 556 are for validation and 555 for the test, the same whenever the seed is."""
    for side in ("blur", "sharp"):
        for part, count in (("train", 2103), ("test", 1111)):
            folder = tmp_path / "DBlur" / "Gopro" / part / side
            folder.mkdir(parents=True)
            for frame in range(count):
                (folder / f"{frame:04}.png").touch()
    _, found = find_data(tmp_path)
    parts = divide(found, SplitConfig(seed=5)).parts
    assert [len(parts[part].names) for part in ("train", "validation", "test")] == [2103, 556, 555]
    assert not set(parts["validation"].names) & set(parts["test"].names)
    assert divide(found, SplitConfig(seed=5)).parts["test"].names == parts["test"].names
    assert divide(found, SplitConfig(seed=6)).parts["test"].names != parts["test"].names


def test_a_scene_is_never_parted(tmp_path: Path) -> None:
    scenes(tmp_path, PAIR, 6)
    _, found = find_data(tmp_path)
    for seed in range(5):
        parts = divide(found, SplitConfig(validation_share=0.3, test_share=0.3, seed=seed)).parts
        homes = [{name.partition("/")[0] for name in pairs.names} for pairs in parts.values()]
        assert [len(home) for home in homes] == [1, 1, 1]
        assert len(set.union(*homes)) == 3


def test_shares_that_leave_nothing_are_refused() -> None:
    with pytest.raises(RecipeError, match="less than 1"):
        SplitConfig(validation_share=0.5, test_share=0.5)


def test_blocks_alone_are_not_for_training(tmp_path: Path) -> None:
    blocks(tmp_path, PAIR, 64)
    layout, found = find_data(tmp_path)
    assert layout.name == "sidd-validation"
    with pytest.raises(DataError, match="nothing to train on"):
        divide(found, SplitConfig())


def test_what_is_wrong_is_listed_by_name(tmp_path: Path) -> None:
    flat("input", "target")(tmp_path, PAIR, 9)
    train = tmp_path / "train"
    Image.new("RGB", (24, 16)).save(train / "input" / "alone.png")
    cut = train / "target" / "0001.png"
    cut.write_bytes(cut.read_bytes()[:60])
    Image.new("RGB", (24, 20)).save(train / "target" / "0003.png")
    Image.new("L", (24, 16)).save(train / "input" / "0004.png")
    done = trained_here("data", tmp_path, "--decode")
    wrong = [line for line in done.stdout.splitlines() if line.startswith("wrong:")]
    assert done.returncode == 1
    assert len(wrong) == 4
    for part in ("alone.png: no clean image", "target/0001.png", "0003.png has 24x20", "0004.png: uint8 with 1"):
        assert any(part in line for line in wrong), part
    assert "input-target" in done.stdout


def test_two_folders_of_any_name(tmp_path: Path) -> None:
    for index in range(20):
        save(PAIR(index), tmp_path / "bad" / f"{index}.jpg", tmp_path / "good" / f"{index}.png")
    assert len(find_two(tmp_path / "bad", tmp_path / "good").parts["all"].names) == 20
    done = trained_here("data", "--input", tmp_path / "bad", "--target", tmp_path / "good")
    assert done.returncode == 0, done.stderr
    assert [part for part in ("train", "validation", "test") if part in done.stdout] == ["train", "validation", "test"]


def paired(*places: str, count: int = 9) -> Make:
    """Makes pairs in the folders `places`, by turns degraded and clean."""

    def make(root: Path) -> None:
        for number, (degraded, clean) in enumerate(zip(places[::2], places[1::2], strict=True)):
            for index in range(count):
                name = f"{number}-{index}.png"
                save(PAIR(index), root / degraded / name, root / clean / name)

    return make


@pytest.mark.parametrize(
    ("places", "counts"),
    [
        (("noisy", "clean"), {"train": 7, "validation": 1, "test": 1}),
        (("input", "target"), {"train": 7, "validation": 1, "test": 1}),
        (("Blur", "SHARP"), {"train": 7, "validation": 1, "test": 1}),
        (("LQ", "GT"), {"train": 7, "validation": 1, "test": 1}),
        (("train/noisy", "train/clean", "val/noisy", "val/clean"), {"train": 9, "validation": 9}),
        (("noisy/train", "clean/train", "noisy/test", "clean/test"), {"train": 9, "validation": 5, "test": 4}),
        (
            ("Train/lq", "Train/gt", "valid/lq", "valid/gt", "Test/lq", "Test/gt"),
            {"train": 9, "validation": 9, "test": 9},
        ),
    ],
)
def test_pairs_of_folders_are_known_by_their_names(
    places: tuple[str, ...], counts: dict[str, int], tmp_path: Path
) -> None:
    paired(*places)(tmp_path)
    layout, found = find_data(tmp_path)
    assert (layout.name, found.faults) == ("input-target", [])
    parts = divide(found, SplitConfig()).parts
    assert {part: len(pairs.names) for part, pairs in parts.items()} == counts
    (tmp_path / places[0] / "alone.png").touch()
    assert find_data(tmp_path)[1].faults == [f"{tmp_path / places[0] / 'alone.png'}: no clean image of that name"]


@pytest.mark.parametrize(
    "places",
    [
        ("lr", "hr"),  # of two sizes
        ("before", "after"),
        ("noisy", "clean", "blur", "clean"),  # which of the two?
        ("val/noisy", "val/clean"),  # nothing to train on
    ],
)
def test_folders_that_may_be_something_else_are_not_guessed_at(places: tuple[str, ...], tmp_path: Path) -> None:
    paired(*places)(tmp_path)
    with pytest.raises(DataError, match="no data set is recognised") as caught:
        find_data(tmp_path)
    assert len(str(caught.value).replace(str(tmp_path), "")) < 250
    assert len(caught.value.choices) == 7, "a line for each layout"


def test_pairs_that_share_no_name_are_shown_two(tmp_path: Path) -> None:
    save(PAIR(0), tmp_path / "noisy" / "1_noisy.png", tmp_path / "clean" / "1_clean.png")
    told = r"no two files have the same name, such as 1_noisy\.png and 1_clean\.png; give both of a pair one name"
    with pytest.raises(DataError, match=told):
        find_data(tmp_path)
    with pytest.raises(DataError, match=told):
        find_two(tmp_path / "noisy", tmp_path / "clean")
    (tmp_path / "clean" / "1_clean.png").unlink()
    with pytest.raises(DataError, match=r"clean: has no images; expected \.png"):
        find_data(tmp_path)


def test_two_files_of_one_name_and_empty_folders_are_told(tmp_path: Path) -> None:
    for index in range(3):
        save(PAIR(index), tmp_path / "bad" / f"{index}.jpg", tmp_path / "good" / f"{index}.png")
    Image.open(tmp_path / "bad" / "0.jpg").save(tmp_path / "bad" / "0.png")
    found = find_two(tmp_path / "bad", tmp_path / "good")
    assert found.faults == [f"{tmp_path / 'bad' / '0.png'}: has the name of 0.jpg; which of the two is meant?"]
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"empty: has no images; expected \.png"):
        find_two(tmp_path / "empty", tmp_path / "good")
    with pytest.raises(DataError, match="no such folder"):
        find_two(tmp_path / "bad", tmp_path / "none")


@pytest.mark.parametrize(
    ("break_it", "words"),
    [
        (lambda root: (root / "holiday").mkdir(), "recognised; found holiday/, and 0 images. Give your own pairs"),
        (lambda root: root.rmdir(), "no such folder"),
        (lambda root: (root / "train" / "input").mkdir(parents=True), "no data set is recognised"),
        (lambda root: np.save(root / "noisy_images.npy", np.zeros((2, 8, 8, 3))), "no data set is recognised"),
    ],
)
def test_a_wrong_folder_is_told_what_was_expected(
    break_it: Callable[[Path], object], words: str, tmp_path: Path
) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    break_it(folder)
    with pytest.raises(DataError, match=words):
        find_data(folder)


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.zeros((4, 8, 8), np.uint8), r"expected \[N,H,W,3\]"),
        (np.zeros((4, 8, 8, 3), np.int32), "expected uint8"),
        (np.full((4, 8, 8, 3), 1.5, np.float32), "values from 1.5 to 1.5"),
        (np.full((4, 8, 8, 3), np.nan, np.float32), "values from nan"),
        (np.zeros((3, 8, 8, 3), np.uint8), r"but gt_images_256.npy is \[4"),
        (np.array([{}], dtype=object), "not a NumPy array"),
    ],
)
def test_wrong_arrays_are_refused_in_words(array: NDArray[np.generic], words: str, tmp_path: Path) -> None:
    np.save(tmp_path / "noisy_images_256.npy", array, allow_pickle=True)
    np.save(tmp_path / "gt_images_256.npy", np.zeros((4, 8, 8, 3), np.uint8))
    with pytest.raises(DataError, match=words):
        find_data(tmp_path)
