"""The journal: on the disk before a file has its name, mended after a power cut, and read as anybody's file is."""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nafnet.errors import UsageError
from nafnet.files import PARTIAL_SUFFIX
from nafnet.runtime.engine.restorer import Restorer
from nafnet.runtime.folder.pipeline import Pipeline
from nafnet.runtime.paths.journal import FOLDER, Journal, Record
from nafnet.runtime.paths.leftovers import RunMark
from nafnet.runtime.paths.shard import Shard
from nafnet.runtime.paths.work import Request, find_work
from nafnet.system import SYSTEM, Lock
from tests.platforms import links, pipes, posix_alone
from tests.runtime.conftest import nafnet_run

COUNT = 12


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder of small pictures, no two alike."""
    folder = tmp_path / "in"
    folder.mkdir()
    generator = np.random.default_rng(0)
    for index in range(COUNT):
        Image.fromarray(generator.integers(0, 255, (16, 24, 3), np.uint8)).save(folder / f"{index:02}.png")
    return folder


def record(output: str = "a.png", **changed: object) -> Record:
    fields = {
        "event": "restored", "output": output, "input": "/in/a.png", "sha256": "0", "key": "k", "output_sha256": "1",
        "bytes": 1, "mtime_ns": 1, "time": 1.0,
    }  # fmt: skip
    return Record(**{**fields, **changed})  # type: ignore[arg-type]


@contextlib.contextmanager
def opened(folder: Path, **options: object) -> Iterator[Journal]:
    folder.mkdir(exist_ok=True)
    journal = Journal(folder, "k", Shard(), **options)  # type: ignore[arg-type]
    journal.open([folder])
    try:
        yield journal
    finally:
        journal.close()


@posix_alone
def test_a_record_is_flushed_before_the_file_has_its_name(
    photos: Path, tmp_path: Path, identity_onnx: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[tuple[str, str]] = []
    fsync, link = os.fsync, os.link

    def watched_fsync(descriptor: int) -> None:
        done.append(("flushed", Path(f"/proc/self/fd/{descriptor}").readlink().name))
        fsync(descriptor)

    def watched_link(source: Path, target: Path) -> None:
        done.append(("named", Path(target).name))
        assert any(json.loads(line)["output"] == Path(target).name for line in journal_of(tmp_path / "out"))
        link(source, target)

    monkeypatch.setattr(os, "fsync", watched_fsync)
    monkeypatch.setattr(os, "link", watched_link)
    work = find_work(Request(inputs=[photos], output=tmp_path / "out"))
    with Restorer.load(identity_onnx, tile=32, overlap=0) as restorer, opened(tmp_path / "out") as journal:
        rows = Pipeline(restorer, work.jobs[:1], outputs=work.outputs, journal=journal).run()
    assert [row.status for row in rows] == ["restored"]
    (picture, lines, named) = done
    assert picture[0] == "flushed"
    assert picture[1].endswith(PARTIAL_SUFFIX)
    assert (lines, named) == (("flushed", "1-of-1.jsonl"), ("named", "00.png"))


def journal_of(out: Path) -> list[str]:
    return (out / FOLDER / "1-of-1.jsonl").read_text(encoding="utf-8").splitlines()


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.usefixtures("photos")
def test_after_a_power_cut_what_is_left_is_done(seed: int, tmp_path: Path, identity_onnx: Path) -> None:
    """What was not flushed is cut at random: the names of some results, the end of the journal, a temporary file."""
    chance, out = random.Random(seed), tmp_path / "out"
    words = ("--model", identity_onnx, "in", "out")
    assert nafnet_run(tmp_path, *words).returncode == 0
    whole = {path.name: path.read_bytes() for path in out.glob("*.png")}
    lost = chance.sample(sorted(whole), 4)
    for name in lost:
        (out / name).unlink()
    path = out / FOLDER / "1-of-1.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    # The line of a file that has its name is on the disk; after the last such line anything may be cut.
    kept = max((index for index, line in enumerate(lines) if json.loads(line)["output"] not in lost), default=0)
    rest = b"".join(lines[kept + 1 :]) + b'{"event": "restored", "output": "'
    path.write_bytes(b"".join(lines[: kept + 1]) + rest[: chance.randrange(1, len(rest))])
    done = nafnet_run(tmp_path, *words)
    assert done.returncode == 0, done.stderr
    assert f"4 restored, {COUNT - 4} done before".encode() in done.stdout
    assert {path.name: path.read_bytes() for path in out.glob("*.png")} == whole
    assert f"nothing restored, {COUNT} done before".encode() in nafnet_run(tmp_path, *words).stdout


def test_a_torn_line_does_not_swallow_the_next(tmp_path: Path) -> None:
    with opened(tmp_path / "out") as journal:
        journal.add(record("a.png"))
    with (tmp_path / "out" / FOLDER / "1-of-1.jsonl").open("ab") as file:
        file.write(b'{"event": "resto')
    with opened(tmp_path / "out") as journal:
        journal.add(record("b.png"))
    with opened(tmp_path / "out") as journal:
        assert [len(journal.of(tmp_path / "out" / name)) for name in ("a.png", "b.png")] == [1, 1]


def test_a_line_that_is_being_written_is_read_when_it_is_whole(tmp_path: Path) -> None:
    with opened(tmp_path / "out") as journal:
        path = tmp_path / "out" / FOLDER / "2-of-2.jsonl"
        line = json.dumps({**json.loads(json.dumps(vars(record("b.png")))), "later": 1}).encode() + b"\n"
        path.write_bytes(line[:20])
        journal.reread()
        assert not journal.of(tmp_path / "out" / "b.png")
        path.write_bytes(line)
        journal.reread()
        assert journal.of(tmp_path / "out" / "b.png") == [record("b.png")]


def linked(path: Path) -> None:
    (path.parent.parent / "diary.txt").write_text("mine\n", encoding="utf-8")
    path.symlink_to("../diary.txt")


def hard_linked(path: Path) -> None:
    (path.parent.parent / "diary.txt").write_text("mine\n", encoding="utf-8")
    os.link(path.parent.parent / "diary.txt", path)


def piped(path: Path) -> None:
    os.mkfifo(path)


def large(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(2**31)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        pytest.param(linked, "is a link", marks=links),
        (hard_linked, "has a second name elsewhere"),
        pytest.param(piped, "is no regular file", marks=pipes),
        (large, "is 2048 MB large"),
    ],
)
@pytest.mark.parametrize("name", ["1-of-1.jsonl", "2-of-2.jsonl"])
def test_what_is_no_journal_is_not_written_through(
    name: str, make: Callable[[Path], object], said: str, photos: Path, tmp_path: Path, identity_onnx: Path
) -> None:
    place = tmp_path / "out" / FOLDER
    place.mkdir(parents=True)
    make(place / name)
    done = nafnet_run(tmp_path, "--model", identity_onnx, str(photos), "out")
    assert done.returncode == 2
    *progress, last = done.stderr.decode().splitlines()
    assert said in last
    assert all(line.startswith("loading ") for line in progress), "how far it is, where the machine is slow"
    if (tmp_path / "out" / "diary.txt").exists():
        assert (tmp_path / "out" / "diary.txt").read_text(encoding="utf-8") == "mine\n"


@pytest.mark.parametrize(
    "line",
    [b"[" * 200_000, b'{"event": 1}', b"null", b'{"event": "restored", "output": ["a"]}', b"\xff\xfe\0", b"7" * 5000],
)
def test_lines_that_are_no_records_are_passed_over(line: bytes, tmp_path: Path) -> None:
    with opened(tmp_path / "out") as journal:
        journal.add(record("a.png"))
    with (tmp_path / "out" / FOLDER / "1-of-1.jsonl").open("ab") as file:
        file.write(line + b"\n")
    with opened(tmp_path / "out") as journal:
        assert journal.of(tmp_path / "out" / "a.png") == [record("a.png")]


def test_without_locks_a_run_goes_on_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SYSTEM, "lock", lambda _: Lock.UNSUPPORTED)
    with opened(tmp_path / "out") as journal:
        assert not journal.locks
    monkeypatch.undo()
    with opened(tmp_path / "out") as journal:
        assert journal.locks
        with pytest.raises(UsageError, match="another run is writing here"), opened(tmp_path / "out"):
            pass


def test_only_what_dead_runs_left_is_removed(tmp_path: Path) -> None:
    out = tmp_path / "out"
    program = (
        "import os, sys; from pathlib import Path\n"
        "from nafnet.runtime.paths.journal import Journal; from nafnet.runtime.paths.shard import Shard\n"
        f"journal = Journal(Path({str(out)!r}), 'k', Shard(), name='2-of-2'); journal.open([Path({str(out)!r})])\n"
        f"Path({str(out)!r}, '.a.png.' + journal.mark.tag + '01234567.partial').touch(); os._exit(1)\n"
    )
    out.mkdir()
    with opened(out) as alive:
        mine = out / f".b.png.{alive.mark.tag}01234567{PARTIAL_SUFFIX}"
        strangers = out / f".c.png.01234567{PARTIAL_SUFFIX}"
        for path in (mine, strangers):
            path.touch()
        subprocess.run([sys.executable, "-c", program], check=False)
        with opened(out, name="3-of-3"):
            assert {path.name for path in out.glob(f".*{PARTIAL_SUFFIX}")} == {mine.name, strangers.name}
    assert not list((out / FOLDER).glob("run-*")), "no mark is left"


def test_shards_start_together(tmp_path: Path) -> None:
    """Looking at each other's marks, none takes another for dead and none is refused."""
    with contextlib.ExitStack() as stack:
        for index in range(40):
            stack.enter_context(opened(tmp_path / "out", name=f"{index + 1}-of-40"))
        assert len(list((tmp_path / "out" / FOLDER).glob("run-*.alive"))) == 40


def test_a_photograph_that_was_only_moved_is_not_done_again(photos: Path, tmp_path: Path, identity_onnx: Path) -> None:
    assert nafnet_run(tmp_path, "--model", identity_onnx, "in", "out").returncode == 0
    photos.rename(tmp_path / "moved")
    done = nafnet_run(tmp_path, "--model", identity_onnx, "moved", "out")
    assert f"nothing restored, {COUNT} done before".encode() in done.stdout


@pytest.mark.parametrize("checksum", [True, False])
def test_content_is_read_where_it_is_asked_for(
    checksum: bool, photos: Path, tmp_path: Path, identity_onnx: Path
) -> None:
    words = ("--model", identity_onnx, "in", "out", *(["--checksum"] if checksum else []))
    assert nafnet_run(tmp_path, *words).returncode == 0
    state = (photos / "03.png").stat()
    data = bytearray((photos / "03.png").read_bytes())
    shutil.copy(photos / "04.png", photos / "03.png")
    other = (photos / "03.png").read_bytes()
    (photos / "03.png").write_bytes(other[: len(data)].ljust(len(data), b"\0"))
    os.utime(photos / "03.png", ns=(state.st_atime_ns, state.st_mtime_ns))  # the same size and time
    done = nafnet_run(tmp_path, *words)
    assert (b"1 restored" in done.stdout) is checksum


def test_a_mark_that_is_just_being_made_is_let_be(tmp_path: Path) -> None:
    """It is locked before it has content; who locked it first would take it from its run."""
    begun = tmp_path / "run-0123456789ab.alive"
    begun.touch()
    RunMark(tmp_path, tmp_path).remove_leftovers()
    assert begun.exists()
    os.utime(begun, (0, 0))  # of a run that died before it wrote any
    RunMark(tmp_path, tmp_path).remove_leftovers()
    assert not begun.exists()
