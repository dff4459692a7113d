"""Stores: their size said and room looked at, errors that name the file, listed, removed, held, and keyed rightly."""

from __future__ import annotations

import hashlib
import json
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.progress import Progress

from nafnet.errors import DataError, OutputError
from nafnet.train.data import digests, part_stores
from nafnet.train.data.digests import DigestMemory
from nafnet.train.data.pair_store import VERSION, open_store, stored_size
from nafnet.train.data.pairs import ArrayPairs, Shape
from nafnet.train.data.part_stores import checked, open_parts
from nafnet.train.data.prepare import Piece, prepared, prepared_shapes
from nafnet.train.data.stores import Hold, stores
from nafnet.train.processes.distributed import World
from nafnet.train.recipes.data_tables import PrepareConfig
from nafnet.train.recipes.recipe_files import load_recipe
from nafnet.train.run.run_data import DataSource, open_data
from tests.platforms import links, posix_alone
from tests.train.conftest import DENOISE_SMALL, Train, trained_here


def array_pairs(count: int = 5, height: int = 24, width: int = 32) -> ArrayPairs:
    values = np.random.default_rng(0).integers(0, 256, (2, count, height, width, 3), np.uint8)
    return ArrayPairs(tuple(f"{i:02}" for i in range(count)), values[0], values[1], tuple(range(count)))


CONFIGS = [
    PrepareConfig(), PrepareConfig(window=16, stride=12), PrepareConfig(flips=True, grid=2, evaluation=True),
    PrepareConfig(resize=20, grid=3, piece=9), PrepareConfig(window=64), PrepareConfig(grid=2, window=7, stride=5),
]  # fmt: skip


@pytest.mark.parametrize("config", CONFIGS)
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("bits", [8, 16])
def test_the_size_of_a_store_is_known_before_it_is_made(
    config: PrepareConfig, training: bool, bits: int, tmp_path: Path, silent: Progress
) -> None:
    pairs = array_pairs()
    if bits == 16:
        wide = [side.astype(np.uint16) * np.uint16(250) for side in (pairs.inputs, pairs.targets)]
        pairs = ArrayPairs(pairs.names, *wide, pairs.indices)  # type: ignore[arg-type]
    pieces = prepared(Piece("a", *pairs.load(0)), config, training=training)
    shape = Shape(24, 32, bits)
    expected = [Shape(*piece.clean.shape[:2], 8 * piece.clean.itemsize) for piece in pieces]
    assert prepared_shapes(shape, config, training=training) == expected
    open_store(tmp_path / "store", pairs, config, silent, training=training)
    size = sum(stored_size([shape] * 5, config, training=training))
    assert (tmp_path / "store" / "pixels.bin").stat().st_size == size


def opened(pairs: Path, recipe: Path, silent: Progress, said: list[str], *overrides: str, world: World | None = None):  # type: ignore[no-untyped-def]
    source = DataSource(root=pairs / "input", target=pairs / "target")
    return open_data(load_recipe(str(recipe), overrides), source, pairs, silent, world or World(), said.append)


def test_a_large_store_is_said_before_the_work(
    pairs: Path, recipe: Path, silent: Progress, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(part_stores, "WORTH_SAYING", 0)
    said: list[str] = []

    def when(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(part_stores, "open_store", when)
    with pytest.raises(KeyboardInterrupt):
        opened(pairs, recipe, silent, said)
    assert len(said) == 1
    assert said[0].startswith("prepared once, train 16 images, validation 2 images, test 2 images take 0.1 MB of the ")


def test_a_store_without_room_is_refused_before_the_work(
    pairs: Path, recipe: Path, silent: Progress, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 10_000})())
    words = r"test 2 images take 0\.1 MB, and 0\.0 MB are free; make room \(`nafnet-train cache` lists what can go\)"
    with pytest.raises(DataError, match=words):
        opened(pairs, recipe, silent, [])
    assert [store for store in stores() if store.size] == []


@posix_alone
@pytest.mark.parametrize("size", [2_000, 30_000])
def test_a_disk_that_is_full_is_named_with_the_file(size: int, pairs: Path, recipe: Path, tmp_path: Path) -> None:
    """In a process that may write no larger files; what was written is gone on from."""
    import resource
    import signal

    before, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.getsignal(signal.SIGXFSZ)
    words = (recipe, "--input", pairs / "input", "--target", pairs / "target", "--steps=1", "-o", tmp_path / "run")
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        done = trained_here(*words)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert str(tmp_path / "cache") in line
    assert ": cannot be written (" in line
    assert "make room (`nafnet-train cache` lists what can go), or choose another disk (NAFNET_CACHE)" in line
    assert trained_here(*words).returncode == 0


# The list and the removal


@pytest.fixture
def two_runs(train: Train) -> list[str]:
    """Stores of two ways to prepare the same pairs."""
    train("loop.steps=1", folder="one")
    train("loop.steps=1", "prepare.window=16", folder="two")
    return [store.folder.name for store in stores()]


def test_stores_are_listed(two_runs: list[str], pairs: Path, photographs: Path, tmp_path: Path) -> None:
    changes = [f"--set={change}" for change in DENOISE_SMALL]
    assert trained_here("denoise", "--clean", photographs, *changes, "-o", tmp_path / "run").returncode == 0
    done = trained_here("cache")
    assert done.returncode == 0, done.stderr
    for name in two_runs:
        assert name[:10] in done.stdout
    said = " ".join(done.stdout.split())
    assert said.count(": train") == 2
    assert f"{pairs / 'input'}: train".replace("-", "")[:20] in said.replace("-", "")
    assert "photographs" in said
    assert f"7 stores, {sum(store.size for store in stores()) / 1e6:.1f} MB in {tmp_path / 'cache'}" in said


def test_stores_are_removed_by_name_by_age_and_all(two_runs: list[str], train: Train) -> None:
    done = trained_here("cache", "--remove", two_runs[0][:10])
    assert (done.returncode, len(stores())) == (0, 5)
    assert "removed 1 store" in done.stdout
    old = [store for store in stores() if store.folder.name in two_runs[1:4]]
    for store in old:
        os.utime(store.folder / "store.json", (time.time() - 10 * 86400,) * 2)
    assert "removed 0 stores" in trained_here("cache", "--older-than", "11").stdout
    assert "removed 3 stores" in trained_here("cache", "--older-than", "9").stdout
    assert {store.folder.name for store in stores()} == set(two_runs[4:])
    assert "removed 2 stores" in trained_here("cache", "--all").stdout
    assert stores() == []
    train("loop.steps=1", folder="three")
    assert len(stores()) == 3, "made again"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--remove", "zzz"], "--remove zzz: no store of that name"),
        (["--remove", ""], "6 stores of that name"),
        (["--remove", "a", "--all"], "exclude each other"),
        (["--all", "--older-than", "3"], "exclude each other"),
    ],
)
@pytest.mark.usefixtures("two_runs")
def test_wrong_removals_remove_nothing(words: list[str], message: str) -> None:
    done = trained_here("cache", *words)
    assert done.returncode == 2
    assert message in done.stderr
    assert len(stores()) == 6


@pytest.mark.usefixtures("two_runs")
def test_a_store_that_is_used_stays(pairs: Path, recipe: Path, silent: Progress) -> None:
    data = opened(pairs, recipe, silent, [])
    held = [store for store in stores() if store.held]
    assert len(held) == 3
    assert trained_here("cache").stdout.count("in use") == 3
    done = trained_here("cache", "--all")
    assert "removed 3 stores" in done.stdout
    assert "kept 3 stores in use" in done.stdout
    assert trained_here("cache", "--remove", held[0].name).returncode == 1
    data.examples.example(0, 16, 0, np.random.default_rng(0))
    for hold in data.holds:
        hold.close()
    assert "removed 3 stores" in trained_here("cache", "--all").stdout


def test_what_a_killed_run_leaves_holds_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NAFNET_CACHE", str(tmp_path))
    folder = tmp_path / "pairs" / ("0" * 32)
    (tmp_path / "pairs").mkdir()
    Hold(folder).close()
    (folder / ".held-0123456789abcdef").touch()
    (folder / "pixels.bin").write_bytes(b"half")
    (store,) = stores()
    assert not store.held
    assert not store.finished
    assert "(unfinished)" in trained_here("cache").stdout
    assert trained_here("cache", "--all").returncode == 0
    assert not folder.exists()


@links
def test_nothing_else_in_the_cache_is_touched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NAFNET_CACHE", str(tmp_path))
    for name in ("pairs/mine", "pairs/" + "g" * 32, "onnx/" + "0" * 32):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "pairs" / ("a" * 32)).symlink_to(tmp_path / "elsewhere")
    assert "removed 0 stores" in trained_here("cache", "--all").stdout
    assert len(list(tmp_path.glob("*/*"))) >= 4
    assert (tmp_path / "elsewhere").is_dir()


# Keys and digests


def test_another_version_of_the_preparing_code_makes_another_store(
    pairs: Path, recipe: Path, silent: Progress, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened(pairs, recipe, silent, [])
    assert len(stores()) == 3
    opened(pairs, recipe, silent, [])
    assert len(stores()) == 3, "the same again"
    monkeypatch.setattr(part_stores, "VERSION", VERSION + 1)
    opened(pairs, recipe, silent, [])
    assert len(stores()) == 6


def test_the_version_goes_with_what_is_made() -> None:
    """Where this digest changes, stores of older versions hold something else: raise `pair_store.VERSION`."""
    pair = array_pairs(1).load(0)
    digest = hashlib.sha256()
    for config in CONFIGS:
        for piece in prepared(Piece("a", *pair), config, training=True):
            digest.update(f"{piece.name}{piece.clean.shape}".encode())
            if not config.resize:  # by Pillow, which may round otherwise in another version
                digest.update(np.ascontiguousarray(piece.degraded).data)
    assert (VERSION, digest.hexdigest()[:16]) == (2, "add47369bd1c13aa")


def test_a_file_that_was_replaced_with_its_size_and_time_is_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NAFNET_CACHE", str(tmp_path / "cache"))
    path = tmp_path / "a.png"
    path.write_bytes(b"before")
    state = path.stat()
    memory = DigestMemory()
    first = memory.of(path)
    memory.save()
    while path.stat().st_ctime_ns == state.st_ctime_ns:  # a file system's clock ticks in milliseconds
        path.write_bytes(b"after!")
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (state.st_size, state.st_mtime_ns)
    assert DigestMemory().of(path) == hashlib.sha256(b"after!").hexdigest() != first


def test_a_file_that_stayed_is_not_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NAFNET_CACHE", str(tmp_path / "cache"))
    path = tmp_path / "a.png"
    path.write_bytes(b"before")
    others = [DigestMemory(), DigestMemory()]
    first = others[0].of(path)
    (tmp_path / "b.png").write_bytes(b"other")
    others[1].of(tmp_path / "b.png")
    for memory in others:
        memory.save()
    monkeypatch.setattr(digests, "file_sha256", lambda _: pytest.fail("read again"))
    assert DigestMemory().of(path) == first
    assert DigestMemory().of(tmp_path / "b.png")


def test_what_older_versions_remember_is_not_believed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NAFNET_CACHE", str(tmp_path / "cache"))
    path = tmp_path / "a.png"
    path.write_bytes(b"before")
    known = {str(path): [path.stat().st_size, path.stat().st_mtime_ns, "0" * 64]}
    (tmp_path / "cache" / "digests").mkdir(parents=True)
    (tmp_path / "cache" / "digests" / "files.json").write_text(json.dumps(known))
    assert DigestMemory().of(path) == hashlib.sha256(b"before").hexdigest()


class Told(World):
    """A process that is told what the leading one found."""

    heard: tuple[Any, ...] = ()

    def same(self, value: Any) -> Any:
        """What was said to it, in turn."""
        del value
        first, *rest = self.heard
        object.__setattr__(self, "heard", rest)
        return first

    def wait(self) -> None:
        """The others are done."""


class Telling(World):
    """The leading process; what it says is kept."""

    heard: tuple[Any, ...] = ()

    def same(self, value: Any) -> Any:
        """What it said."""
        object.__setattr__(self, "heard", (*self.heard, value))
        return value


def test_one_process_reads_for_all(
    pairs: Path, recipe: Path, tmp_path: Path, silent: Progress, monkeypatch: pytest.MonkeyPatch
) -> None:
    leading = Telling()
    expected = opened(pairs, recipe, silent, [], world=leading)
    (tmp_path / "cache" / "digests" / "files.json").unlink()
    monkeypatch.setattr(digests, "file_sha256", lambda _: pytest.fail("a second process reads the files"))
    other = Told(rank=1, size=2)
    object.__setattr__(other, "heard", leading.heard)
    assert opened(pairs, recipe, silent, [], world=other).record == expected.record


def test_reading_shows_progress_and_is_remembered_when_stopped(
    pairs: Path, recipe: Path, silent: Progress, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen, read = [], digests.file_sha256

    def stopped(path: Path) -> str:
        seen.append([task.description for task in silent.tasks])
        if len(seen) > 10:
            raise KeyboardInterrupt
        return read(path)

    monkeypatch.setattr(digests, "file_sha256", stopped)
    with pytest.raises(KeyboardInterrupt):
        opened(pairs, recipe, silent, [])
    assert seen[0] == ["reading train"]
    monkeypatch.setattr(digests, "file_sha256", read)
    assert len(DigestMemory()._known) == 10


def test_a_run_that_is_refused_lets_go(pairs: Path, recipe: Path, silent: Progress) -> None:
    good = (pairs / "input" / "03.png").read_bytes()
    (pairs / "input" / "03.png").write_bytes(good[: len(good) // 2])
    with pytest.raises(DataError, match=r"03\.png"):
        opened(pairs, recipe, silent, [])
    assert len(stores()) == 3
    assert not any(list(store.folder.glob(".held-*")) for store in stores())


def test_a_hold_clears_what_killed_runs_left_and_no_more(tmp_path: Path) -> None:
    first = Hold(tmp_path / "store")
    (tmp_path / "store" / ".held-0123456789abcdef").touch()
    second = Hold(tmp_path / "store")
    assert len(list((tmp_path / "store").glob(".held-*"))) == 2
    first.close()
    second.close()


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path, silent: Progress) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match=r"file/store: cannot be written \(.*\); make room"):
        open_store(tmp_path / "file" / "store", array_pairs(), PrepareConfig(), silent, training=True)


def test_parts_are_checked_pair_by_pair(silent: Progress, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NAFNET_CACHE", str(tmp_path))
    whole = checked({"train": array_pairs()}, silent, World())
    assert (len(whole["train"].shapes), whole["train"].faults) == (5, ())
    parts = open_parts(whole, PrepareConfig(), "here", silent, World(), lambda _: None)
    assert len(parts["train"].store) == 5
    assert stores()[0].of == "here: train"
