"""Preparing pairs: the study's counts, mirrored and cut as said, written once, gone on with after a kill."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from rich.progress import Progress

from nafnet.errors import DataError
from nafnet.files import exclusive
from nafnet.train.data import pair_store
from nafnet.train.data.layouts.folders import find_two
from nafnet.train.data.layouts.sidd import find_arrays
from nafnet.train.data.pair_store import PairStore, open_store
from nafnet.train.data.pairs import ArrayPairs
from nafnet.train.data.prepare import Piece, prepared, resized
from nafnet.train.data.splits import divide
from nafnet.train.recipes.data_tables import PrepareConfig
from nafnet.train.recipes.recipe_files import load_recipe
from tests.processes import GUARD

IMAGE = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)


def pieces(config: PrepareConfig, *, training: bool = True) -> list[Piece]:
    return prepared(Piece("a", IMAGE, 255 - IMAGE), config, training=training)


def test_both_of_a_pair_are_treated_alike() -> None:
    made = pieces(PrepareConfig(flips=True, grid=2, window=16, stride=8))
    assert len({piece.name for piece in made}) == len(made)
    for piece in made:
        assert np.array_equal(piece.clean, 255 - piece.degraded), piece.name


def test_mirrored_copies_stand_beside_the_image() -> None:
    original, left_right, up_down = pieces(PrepareConfig(flips=True))
    assert np.array_equal(original.degraded, IMAGE)
    assert np.array_equal(left_right.degraded, np.fliplr(IMAGE))
    assert np.array_equal(up_down.degraded, np.flipud(IMAGE))


def test_a_grid_parts_the_image() -> None:
    parts = [piece.degraded for piece in pieces(PrepareConfig(grid=2))]
    assert np.array_equal(np.block([[[parts[0]], [parts[1]]], [[parts[2]], [parts[3]]]]), IMAGE)


def test_windows_cover_all_and_end_at_the_borders() -> None:
    seen = np.zeros(IMAGE.shape[:2], int)
    made = pieces(PrepareConfig(window=16, stride=12))
    for piece in made:
        left, top = map(int, piece.name.rpartition("+")[2].split(","))
        assert np.array_equal(piece.degraded, IMAGE[top : top + 16, left : left + 16])
        seen[top : top + 16, left : left + 16] += 1
    assert seen.min() >= 1
    assert [piece.name for piece in made[:5]] == ["a+0,0", "a+12,0", "a+24,0", "a+36,0", "a+44,0"]
    (whole,) = pieces(PrepareConfig(window=512))
    assert np.array_equal(whole.degraded, IMAGE), "an image smaller than a window is kept"


def test_resizing_is_pillows() -> None:
    expected = np.asarray(Image.fromarray(IMAGE).resize((32, 32), Image.Resampling.BICUBIC))
    assert np.array_equal(resized(IMAGE, 32), expected)


def test_evaluation_is_never_mirrored_and_only_cut_where_said() -> None:
    config = PrepareConfig(resize=32, flips=True, grid=2)
    assert [piece.clean.shape for piece in pieces(config, training=False)] == [(32, 32, 3)]
    cut = PrepareConfig(resize=32, flips=True, grid=2, piece=8, evaluation=True)
    assert [piece.clean.shape for piece in pieces(cut, training=False)] == [(8, 8, 3)] * 4


@pytest.mark.parametrize(
    ("name", "counts"),
    [
        ("study/v1", {"train": 384, "validation": 16, "test": 16}),
        ("study/v5", {"train": 1536, "validation": 64, "test": 64}),
        ("study/enhanced-1", {"train": 1536, "validation": 64, "test": 64}),
    ],
)
def test_the_studys_counts(name: str, counts: dict[str, int], tmp_path: Path, silent: Progress) -> None:
    """160 pairs are 128, 16 and 16; mirrored 384; in four patches 1536."""
    for seed, side in enumerate(("noisy", "gt")):
        values = np.random.default_rng(seed).integers(0, 256, (160, 16, 16, 3), np.uint8)
        np.save(tmp_path / f"{side}_images_256.npy", values)
    found = find_arrays(tmp_path, "_256")
    assert found is not None
    recipe = load_recipe(name, ["prepare.piece=8", "prepare.resize=16"] if "enhanced" in name else [])
    parts = divide(found, recipe.split).parts
    assert [len(pairs.names) for pairs in parts.values()] == [128, 16, 16]
    for part, pairs in parts.items():
        store = open_store(tmp_path / part, pairs, recipe.prepare, silent, training=part == "train")
        assert len(store) == counts[part]
        assert {store.shape(index) for index in range(len(store))} == {(16, 16) if name == "study/v1" else (8, 8)}


def test_a_store_gives_back_what_was_prepared(tmp_path: Path, silent: Progress, pairs: Path) -> None:
    config = PrepareConfig(window=16, stride=8)
    found = find_two(pairs / "input", pairs / "target").parts["all"]
    store = open_store(tmp_path / "store", found, config, silent, training=True)
    expected = [
        piece
        for index, name in enumerate(found.names)
        for piece in prepared(Piece(name, *found.load(index)), config, training=True)
    ]
    assert store.names == [piece.name for piece in expected]
    for index, piece in enumerate(expected):
        degraded, clean = store.pair(index)
        assert np.array_equal(degraded, piece.degraded)
        assert np.array_equal(clean, piece.clean)
    assert not degraded.flags.owndata, "read from the map, without a copy"
    assert not degraded.flags.writeable


class Failing:
    """Pairs of which the disk gives only the first few."""

    def __init__(self, pairs: ArrayPairs, good: int) -> None:
        self.names, self._pairs, self.good, self.loaded = pairs.names, pairs, good, 0

    def load(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        if index >= self.good:
            raise OSError(28, "No space left on device")
        self.loaded += 1
        return self._pairs.load(index)


def array_pairs(count: int = 50) -> ArrayPairs:
    values = np.random.default_rng(0).integers(0, 256, (2, count, 8, 8, 3), np.uint8)
    return ArrayPairs(tuple(f"{i:02}" for i in range(count)), values[0], values[1], tuple(range(count)))


@pytest.mark.parametrize("torn", [False, True])
def test_an_interrupted_store_goes_on(torn: bool, tmp_path: Path, silent: Progress) -> None:
    pairs = array_pairs()
    whole = open_store(tmp_path / "whole", pairs, PrepareConfig(), silent, training=True)
    folder = tmp_path / "torn"
    with pytest.raises(OSError, match="No space"):
        open_store(folder, Failing(pairs, 40), PrepareConfig(), silent, training=True)  # type: ignore[arg-type]
    assert not (folder / "index.jsonl").exists(), "nobody takes it for whole"
    if torn:
        tear(folder)
    rest = Failing(pairs, 50)
    store = open_store(folder, rest, PrepareConfig(), silent, training=True)  # type: ignore[arg-type]
    assert rest.loaded < 50, "what was there was not made again"
    assert (folder / "pixels.bin").read_bytes() == (tmp_path / "whole" / "pixels.bin").read_bytes()
    assert store.names == whole.names


def tear(folder: Path) -> None:
    """What a kill leaves: pixels without a line, and half a line."""
    with (folder / "pixels.bin").open("ab") as file:
        file.write(b"half a picture")
    with (folder / "index.partial").open("ab") as file:
        file.write(b'{"pieces": [["48", 18')


@pytest.mark.parametrize("name", ["index.jsonl", "pixels.bin", "index.partial"])
@pytest.mark.parametrize("damage", ["garbage", "empty", "missing", "short"])
def test_a_damaged_store_is_made_anew(name: str, damage: str, tmp_path: Path, silent: Progress) -> None:
    pairs, folder = array_pairs(), tmp_path / "store"
    expected = open_store(folder, pairs, PrepareConfig(), silent, training=True)
    degraded = expected.pair(7)[0].copy()
    whole = (folder / "pixels.bin").read_bytes()
    if name == "index.partial":  # as if it had been interrupted
        (folder / "index.jsonl").rename(folder / name)
    path = folder / name
    if damage == "garbage":
        path.write_bytes(b"garbage\n")
    elif damage == "empty":
        path.write_bytes(b"")
    elif damage == "missing":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    store = open_store(folder, pairs, PrepareConfig(), silent, training=True)
    assert np.array_equal(store.pair(7)[0], degraded)
    assert (folder / "pixels.bin").read_bytes() == whole


def test_two_runs_prepare_the_same_pairs_once(
    tmp_path: Path, silent: Progress, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second waits for the first; one that was killed hands its work on."""
    folder = tmp_path / "store"
    folder.mkdir()
    pairs = Failing(array_pairs(), 50)
    held, let_go = threading.Event(), threading.Event()
    loaded_before: list[int] = []
    wait = pair_store._wait_for_another

    def hold() -> None:
        with exclusive(folder / ".lock"):
            held.set()
            let_go.wait(GUARD)

    def waiting(*given: Any) -> None:
        loaded_before.append(pairs.loaded)
        let_go.set()
        wait(*given)

    monkeypatch.setattr(pair_store, "_wait_for_another", waiting)
    other = threading.Thread(target=hold)
    other.start()
    held.wait(GUARD)
    store = open_store(folder, pairs, PrepareConfig(), silent, training=True)  # type: ignore[arg-type]
    let_go.set()
    other.join()
    assert loaded_before[0] == 0, "it waited, and had done nothing yet"
    assert len(store) == 50
    assert pairs.loaded == 50


def test_pairs_that_cannot_be_read_are_refused_or_left_out(tmp_path: Path, silent: Progress, pairs: Path) -> None:
    good = (pairs / "input" / "03.png").read_bytes()
    (pairs / "input" / "03.png").write_bytes(good[: len(good) // 2])
    found = find_two(pairs / "input", pairs / "target").parts["all"]
    with pytest.raises(DataError, match=r"03\.png.*--skip-bad"):
        open_store(tmp_path / "store", found, PrepareConfig(), silent, training=True)
    store = open_store(tmp_path / "store", found, PrepareConfig(), silent, training=True, skip_bad=True)
    assert len(store) == 19
    assert "03.png" in store.skipped[0]
    with pytest.raises(DataError, match="--skip-bad"):
        open_store(tmp_path / "store", found, PrepareConfig(), silent, training=True)


def test_a_store_can_go_to_another_process(tmp_path: Path, silent: Progress) -> None:
    import pickle

    store = open_store(tmp_path / "store", array_pairs(), PrepareConfig(), silent, training=True)
    store.pair(0)
    data = pickle.dumps(store)
    assert len(data) < 5000, "the pixels stay where they are"
    again: PairStore = pickle.loads(data)
    assert np.array_equal(again.pair(7)[0], store.pair(7)[0])
