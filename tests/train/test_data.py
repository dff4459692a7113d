"""Data sets as their makers hand them out: generated in every layout, found, divided, and checked."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from nafnet.train.layouts import find_data
from nafnet.train.layouts.folders import find_two
from nafnet.train.layouts.sidd import find_arrays
from nafnet.train.splits import SplitConfig, divide
from numpy.typing import NDArray
from PIL import Image
from scipy.io import savemat

from nafnet.errors import DataError, RecipeError

Command = Callable[..., subprocess.CompletedProcess[str]]
SCENES = ("0001_001_S6_00100_00060_3200_L", "0002_001_IP_00100_00100_5500_N", "0003_002_GP_00800_00640_4400_H")


def picture(seed: int, size: tuple[int, int] = (24, 16)) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), np.uint8)


def save(path: Path, seed: int, size: tuple[int, int] = (24, 16)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture(seed, size)).save(path)


def scenes(root: Path, home: str = "Data") -> None:
    for index, scene in enumerate(SCENES):
        for number in (10, 11):
            save(root / home / scene / f"{scene[:4]}_NOISY_SRGB_{number:03}.PNG", 10 * index + number)
            save(root / home / scene / f"{scene[:4]}_GT_SRGB_{number:03}.PNG", 100 + 10 * index + number)


def sequences(root: Path) -> None:
    for part in ("train", "test"):
        for sequence in ("GOPR0001_11_00", "GOPR0002_11_00"):
            for frame in range(3):
                for side in ("blur", "sharp"):
                    save(root / part / sequence / side / f"{frame:06}.png", frame)


def flat(first: str, second: str, home: str = ".") -> Callable[[Path], None]:
    def make(root: Path) -> None:
        for part, count in (("train", 6), ("test", 5)):
            for frame in range(count):
                for side in (first, second):
                    save(root / home / part / side / f"{frame}.png", frame)

    return make


def reds(root: Path) -> None:
    for part in ("train", "val"):
        for frame in range(2):
            for side in ("blur", "sharp"):
                save(root / part / f"{part}_{side}" / "000" / f"{frame:08}.png", frame)


def blocks(root: Path) -> None:
    generator = np.random.default_rng(0)
    for name in ("ValidationNoisyBlocksSrgb", "ValidationGtBlocksSrgb"):
        savemat(root / f"{name}.mat", {name: generator.integers(0, 256, (4, 32, 8, 8, 3), np.uint8)})


def arrays(root: Path, size: str = "_256", dtype: str = "uint8") -> None:
    (root / "SIDD").mkdir()
    for seed, side in enumerate(("noisy", "gt")):
        values = np.random.default_rng(seed).integers(0, 256, (160, 8, 8, 3), np.uint8)
        np.save(
            root / "SIDD" / f"{side}_images{size}.npy", values if dtype == "uint8" else (values / 255).astype(dtype)
        )


@pytest.mark.parametrize(
    ("make", "layout", "counts"),
    [
        (scenes, "sidd", {"train": 6}),
        (lambda root: scenes(root, "mnt/d/SIDD_Medium_Srgb/Data"), "sidd", {"train": 6}),
        (lambda root: scenes(root, "SIDD_Small_sRGB_Only/Data"), "sidd", {"train": 6}),
        (lambda root: (scenes(root), blocks(root)), "sidd", {"train": 6, "validation": 128}),
        (sequences, "gopro", {"train": 6, "validation": 3, "test": 3}),
        (flat("blur", "sharp", "DBlur/Gopro"), "gopro-curated", {"train": 6, "validation": 3, "test": 2}),
        (flat("input", "target"), "input-target", {"train": 6, "validation": 3, "test": 2}),
        (reds, "reds", {"train": 2, "validation": 2}),
        (arrays, "sidd-arrays", {"train": 128, "validation": 16, "test": 16}),
        (lambda root: arrays(root, "_128", "float32"), "sidd-arrays", {"train": 128, "validation": 16, "test": 16}),
        (lambda root: arrays(root, ""), "sidd-arrays", {"train": 128, "validation": 16, "test": 16}),
    ],
)
def test_layouts_are_found_and_divided(
    make: Callable[[Path], object], layout: str, counts: dict[str, int], tmp_path: Path
) -> None:
    make(tmp_path)
    found_layout, found = find_data(tmp_path)
    assert (found_layout.name, found.faults) == (layout, [])
    parts = divide(found.parts, SplitConfig())
    assert {part: len(pairs.names) for part, pairs in parts.items()} == counts
    names = [
        name for part, pairs in parts.items() if part != "validation" or counts[part] != 128 for name in pairs.names
    ]
    if layout not in ("input-target", "gopro-curated", "gopro", "reds"):
        assert len(set(names)) == len(names), "no pair is in two parts"
    for pairs in parts.values():
        degraded, clean = pairs.load(0)
        assert degraded.dtype == clean.dtype == np.uint8
        assert degraded.shape == clean.shape
        assert all(pairs.fault(index) is None for index in range(len(pairs.names)))


def test_the_pixels_are_those_of_the_pair(tmp_path: Path) -> None:
    scenes(tmp_path)
    _, found = find_data(tmp_path)
    pairs = found.parts["all"]
    for index, name in enumerate(pairs.names):
        scene, number = SCENES.index(name.partition("/")[0]), int(name[-3:])
        degraded, clean = pairs.load(index)
        assert np.array_equal(degraded, picture(10 * scene + number))
        assert np.array_equal(clean, picture(100 + 10 * scene + number))


def test_floats_become_the_bytes_they_were_made_of(tmp_path: Path) -> None:
    arrays(tmp_path, "_128", "float32")
    found = find_arrays(tmp_path, "_128")
    assert found is not None
    expected = np.random.default_rng(0).integers(0, 256, (160, 8, 8, 3), np.uint8)
    assert np.array_equal(found.parts["all"].load(7)[0], expected[7])


def test_gopros_test_is_halved_as_in_the_study(tmp_path: Path) -> None:
    """Of 1,111 frames 556 are for validation and 555 for the test, the same whenever the seed is."""
    for side in ("blur", "sharp"):
        for part, count in (("train", 2103), ("test", 1111)):
            folder = tmp_path / "DBlur" / "Gopro" / part / side
            folder.mkdir(parents=True)
            for frame in range(count):
                (folder / f"{frame:04}.png").touch()
    _, found = find_data(tmp_path)
    parts = divide(found.parts, SplitConfig(seed=5))
    assert [len(parts[part].names) for part in ("train", "validation", "test")] == [2103, 556, 555]
    assert not set(parts["validation"].names) & set(parts["test"].names)
    assert divide(found.parts, SplitConfig(seed=5))["test"].names == parts["test"].names
    assert divide(found.parts, SplitConfig(seed=6))["test"].names != parts["test"].names


def test_a_scene_is_never_parted(tmp_path: Path) -> None:
    scenes(tmp_path)
    _, found = find_data(tmp_path)
    for seed in range(5):
        parts = divide(found.parts, SplitConfig(validation_share=0.3, test_share=0.3, seed=seed))
        homes = [{name.partition("/")[0] for name in pairs.names} for pairs in parts.values()]
        assert [len(home) for home in homes] == [1, 1, 1]
        assert len(set.union(*homes)) == 3


def test_shares_that_leave_nothing_are_refused() -> None:
    with pytest.raises(RecipeError, match="less than 1"):
        SplitConfig(validation_share=0.5, test_share=0.5)


def test_blocks_alone_are_not_for_training(tmp_path: Path) -> None:
    blocks(tmp_path)
    layout, found = find_data(tmp_path)
    assert layout.name == "sidd-validation"
    with pytest.raises(DataError, match="nothing to train on"):
        divide(found.parts, SplitConfig())


def test_what_is_wrong_is_listed_by_name(nafnet_train: Command, tmp_path: Path) -> None:
    flat("input", "target")(tmp_path)
    train = tmp_path / "train"
    save(train / "input" / "alone.png", 0)
    (train / "target" / "1.png").write_bytes((train / "target" / "1.png").read_bytes()[:60])
    save(train / "target" / "2.png", 0, (24, 20))
    Image.fromarray(picture(0)).convert("L").save(train / "input" / "3.png")
    done = nafnet_train("data", tmp_path, "--decode")
    wrong = [line for line in done.stdout.splitlines() if line.startswith("wrong:")]
    assert done.returncode == 1
    assert len(wrong) == 4
    for part in ("alone.png: no clean image", "target/1.png", "2.png has 24x20", "3.png: uint8 with 1 channels"):
        assert any(part in line for line in wrong), part
    assert "input-target" in done.stdout


def test_two_folders_of_any_name(nafnet_train: Command, tmp_path: Path) -> None:
    for index in range(20):
        save(tmp_path / "bad" / f"{index}.jpg", index)
        save(tmp_path / "good" / f"{index}.png", index)
    assert len(find_two(tmp_path / "bad", tmp_path / "good").parts["all"].names) == 20
    done = nafnet_train("data", tmp_path / "bad", "--target", tmp_path / "good")
    assert done.returncode == 0, done.stderr
    assert [part for part in ("train", "validation", "test") if part in done.stdout] == ["train", "validation", "test"]


@pytest.mark.parametrize(
    ("break_it", "words"),
    [
        (lambda root: (root / "holiday").mkdir(), r"found holiday/, and 0 images; expected one of sidd-arrays"),
        (lambda root: root.rmdir(), "no such folder"),
        (lambda root: (root / "train" / "input").mkdir(parents=True), "no data set that is known"),
        (lambda root: np.save(root / "noisy_images.npy", np.zeros((2, 8, 8, 3))), "no data set that is known"),
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
